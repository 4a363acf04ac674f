"""Reading rollouts at scale: python benchmarks/logs.py [FOLDER]; writes LOGS.md.

Two files are generated in FOLDER (default: a temporary one; 3 GB): 10^8 rollouts of 10^6 prompts in Parquet, and 10^6
lines of verl's layout with texts of 1 kB. Each is read by `groupsigma audit` and by DuckDB alone, turn by turn, in
processes of their own on two threads.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import duckdb
from measure import others_cpu, process

HERE = Path(__file__).parent
REPEATS = 3

ROLLOUTS = """COPY (SELECT hash(i) % 1000000 AS prompt_id,
                     CAST(hash(i, 'r') % 1000 < hash(hash(i) % 1000000) % 1001 AS DOUBLE) AS reward
              FROM range(100000000) AS t(i)) TO '{path}' (FORMAT parquet)"""
LINES = """COPY (SELECT 'Problem ' || (i // 8) % 20000 || repeat(' and so on', 100) AS input,
                   'Answer ' || i || repeat(' because of it', 72) AS output, '42' AS gts,
                   CAST(hash(i) % 3 = 0 AS DOUBLE) AS score, 1 + i // 2048 AS step
            FROM range(1000000) AS t(i)) TO '{path}' (FORMAT json)"""

#: What is measured: ours, and what DuckDB alone does, each a process of its own.
MEASURES = (
    (
        "10⁸ rollouts, 10⁶ prompts, Parquet: `groupsigma audit --json`",
        "the `GROUP BY` that counts them",
        "rollouts.parquet",
        "from groupsigma.cli import main; import sys; sys.argv = ['groupsigma', 'audit', '{path}', '--json']; main()",
        "SELECT prompt_id, count(*), sum(reward) FROM read_parquet('{path}') GROUP BY prompt_id",
    ),
    (
        "10⁶ lines of verl's layout, 2 kB each: `load`",
        "reading the columns needed",
        "lines.jsonl",
        "import groupsigma; groupsigma.load('{path}')",
        "SELECT count(input), count(gts), count(step), sum(score), count(reward) FROM {scan}",
    ),
    (
        "the same",
        "reading and grouping them",
        "lines.jsonl",
        "import groupsigma; groupsigma.load('{path}')",
        "SELECT input, gts, step, count(*), sum(score) FROM {scan} GROUP BY ALL",
    ),
)
SCAN = (
    "read_json('{path}', format = 'newline_delimited', "
    "columns = {{input: 'VARCHAR', gts: 'VARCHAR', step: 'BIGINT', score: 'DOUBLE', reward: 'DOUBLE'}})"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        for name, sql in (("rollouts.parquet", ROLLOUTS), ("lines.jsonl", LINES)):
            if not (folder / name).exists():
                duckdb.execute(sql.format(path=folder / name))
        lines = [measured(*measure, folder) for measure in MEASURES]
    page = "\n".join([HEAD, *lines]) + "\n"
    HERE.joinpath("LOGS.md").write_text(page, encoding="utf-8")
    print(page)


HEAD = f"""# Reading rollouts at scale

Written by `python benchmarks/logs.py`; do not edit. Whole processes, imports and all, ours and DuckDB alone turn by turn, {REPEATS} turns each, two
threads; medians (least to most); `cpus_used_by_others` as on the other pages: what else ran meanwhile.

| ours | DuckDB alone | ours, s | DuckDB, s | ours / DuckDB | peak, GiB | others' CPUs |
|---|---|---|---|---|---|---|"""


def measured(what: str, against: str, name: str, ours: str, sql: str, folder: Path) -> str:
    """A row of the page."""
    path = folder / name
    bare = sql.format(path=path, scan=SCAN.format(path=path))
    commands = [
        [sys.executable, "-c", ours.format(path=path)],
        [sys.executable, "-c", f"import duckdb; duckdb.execute({bare!r}).fetchnumpy()"],
    ]
    start, before = time.perf_counter(), others_cpu()
    turns = [[process(command) for command in commands] for _ in range(REPEATS)]
    spent, after = time.perf_counter() - start, others_cpu()
    others = "–" if before is None or after is None else f"{(after - before) / spent:.1f}"
    seconds = [[turn[side][0] for turn in turns] for side in (0, 1)]
    spans = " | ".join(f"{median(t):.1f} ({min(t):.1f} to {max(t):.1f})" for t in seconds)
    peak = max(turn[0][1] for turn in turns) / 2**30
    return f"| {what} | {against} | {spans} | {median(seconds[0]) / median(seconds[1]):.2f} | {peak:.2f} | {others} |"


if __name__ == "__main__":
    main()
