"""Reading rollouts at scale: python benchmarks/logs.py [FOLDER]; writes LOGS.md.

Two files are generated in FOLDER (default: a temporary one; 3 GB): 10^8 rollouts of 10^6 prompts in Parquet, and 10^6
lines of verl's layout with texts of 1 kB. Each is read by ours and by DuckDB alone, turn by turn.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
from measure import compare, others_cpu, process

import groupsigma

HERE = Path(__file__).parent
REPEATS = 5

ROLLOUTS = """COPY (SELECT hash(i) % 1000000 AS prompt_id,
                     CAST(hash(i, 'r') % 1000 < hash(hash(i) % 1000000) % 1001 AS DOUBLE) AS reward
              FROM range(100000000) AS t(i)) TO '{path}' (FORMAT parquet)"""
LINES = """COPY (SELECT 'Problem ' || (i // 8) % 20000 || repeat(' and so on', 100) AS input,
                   'Answer ' || i || repeat(' because of it', 72) AS output, '42' AS gts,
                   CAST(hash(i) % 3 = 0 AS DOUBLE) AS score, 1 + i // 2048 AS step
            FROM range(1000000) AS t(i)) TO '{path}' (FORMAT json)"""

BARE = "SELECT prompt_id, count(*), sum(reward) FROM read_parquet('{path}') GROUP BY prompt_id"
SCAN = (
    "read_json('{path}', format = 'newline_delimited', "
    "columns = {{input: 'VARCHAR', gts: 'VARCHAR', step: 'BIGINT', score: 'DOUBLE', reward: 'DOUBLE'}})"
)
#: Parsed and dropped at once; kept, as a reader of them must; and summed up.
READ = "SELECT count(input), count(gts), count(step), sum(score), count(reward) FROM " + SCAN
KEPT = "CREATE OR REPLACE TEMP TABLE kept AS SELECT * FROM " + SCAN
GROUPED = "SELECT input, gts, step, count(*), sum(score) FROM " + SCAN + " GROUP BY ALL"

HEAD = f"""# Reading rollouts at scale

Written by `python benchmarks/logs.py`; do not edit. Ours and DuckDB alone turn by turn, {REPEATS} turns, two threads; medians (least to most). Others' CPUs:
what else ran meanwhile.

| ours | DuckDB alone | ours, s | DuckDB, s | ours / DuckDB | peak, GiB | others' CPUs |
|---|---|---|---|---|---|---|"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        for name, sql in (("rollouts.parquet", ROLLOUTS), ("lines.jsonl", LINES)):
            if not (folder / name).exists():
                duckdb.execute(sql.format(path=folder / name))
        page = "\n".join([HEAD, processes(folder / "rollouts.parquet"), *calls(folder / "lines.jsonl")]) + "\n"
    HERE.joinpath("LOGS.md").write_text(page, encoding="utf-8")
    print(page)


def processes(path: Path) -> str:
    """The whole command, imports and all, against a process that only counts."""
    ours = [sys.executable, "-m", "groupsigma.cli", "audit", str(path), "--json"]
    bare = [sys.executable, "-c", f"import duckdb; duckdb.execute({BARE.format(path=path)!r}).fetchnumpy()"]
    turns, others = busy(lambda: [[process(command) for command in (ours, bare)] for _ in range(REPEATS)])
    seconds = [[turn[side][0] for turn in turns] for side in (0, 1)]
    peak = f"{max(turn[0][1] for turn in turns) / 2**30:.2f}"
    what = "10⁸ rollouts, 10⁶ prompts, Parquet: `groupsigma audit --json`"
    return row(what, "the `GROUP BY` that counts them", *seconds, peak, others)


def calls(path: Path) -> list[str]:
    """`load` against DuckDB parsing, keeping, and grouping the same columns, in one process."""
    sqls = [sql.format(path=path) for sql in (READ, KEPT, GROUPED)]
    bare = [partial(lambda sql: duckdb.execute(sql).fetchnumpy(), sql) for sql in sqls]
    groupsigma.load(path)
    timed, others = busy(lambda: compare(lambda: groupsigma.load(path), *bare, repeats=REPEATS))
    ours, *bare_seconds = (t.seconds for t in timed)
    what = "10⁶ lines of verl's layout, 2 kB each: `load`"
    against = ("parsing the columns needed, none kept", "reading them into a table of its own", "grouping them")
    rows = zip((what, "the same", "the same"), against, bare_seconds, strict=True)
    return [row(name, other, ours, seconds, "", others) for name, other, seconds in rows]


def busy(work: Callable[[], Any]) -> tuple[Any, str]:
    """What it gives, and the CPUs that others used meanwhile."""
    start, before = time.perf_counter(), others_cpu()
    result = work()
    spent, after = time.perf_counter() - start, others_cpu()
    return result, "–" if before is None or after is None else f"{(after - before) / spent:.1f}"


def row(what: str, against: str, ours: list[float], bare: list[float], peak: str, others: str) -> str:
    spans = " | ".join(f"{median(t):.2f} ({min(t):.2f} to {max(t):.2f})" for t in (ours, bare))
    return f"| {what} | {against} | {spans} | {median(ours) / median(bare):.2f} | {peak} | {others} |"


if __name__ == "__main__":
    main()
