"""Reading rollouts at scale: python benchmarks/logs.py [FOLDER]; writes LOGS.md.

Two files are generated in FOLDER (default: a temporary one; 3 GB): 10^8 rollouts of 10^6 prompts in Parquet, and 10^6
lines of verl's layout with texts of 1 kB. Each is read by `groupsigma audit` and by DuckDB alone, turn by turn, in
processes of their own on two threads.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

import duckdb
from measure import process

HERE = Path(__file__).parent
REPEATS = 3

ROLLOUTS = """COPY (SELECT hash(i) % 1000000 AS prompt_id,
                     CAST(hash(i, 'r') % 1000 < hash(hash(i) % 1000000) % 1001 AS DOUBLE) AS reward
              FROM range(100000000) AS t(i)) TO '{path}' (FORMAT parquet)"""
LINES = """COPY (SELECT 'Problem ' || (i // 8) % 20000 || repeat(' and so on', 100) AS input,
                   'Answer ' || i || repeat(' because of it', 72) AS output, '42' AS gts,
                   CAST(hash(i) % 3 = 0 AS DOUBLE) AS score, 1 + i // 2048 AS step
            FROM range(1000000) AS t(i)) TO '{path}' (FORMAT json)"""

BARE = {
    "rollouts.parquet": "SELECT prompt_id, count(*), sum(reward) FROM read_parquet('{path}') GROUP BY prompt_id",
    "lines.jsonl": "SELECT count(input), count(step), sum(score) FROM read_json('{path}', "
    "format = 'newline_delimited', columns = {{input: 'VARCHAR', step: 'BIGINT', score: 'DOUBLE'}})",
}
WHAT = {
    "rollouts.parquet": "10⁸ rollouts, 10⁶ prompts, Parquet; DuckDB's `GROUP BY` that counts them",
    "lines.jsonl": "10⁶ lines of verl's layout, 2 kB each; DuckDB reading the three columns needed",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        for name, sql in (("rollouts.parquet", ROLLOUTS), ("lines.jsonl", LINES)):
            if not (folder / name).exists():
                duckdb.execute(sql.format(path=folder / name))
        rows = [measured(folder / name) for name in BARE]
    HERE.joinpath("LOGS.md").write_text(page(rows), encoding="utf-8")
    print(page(rows))


def measured(path: Path) -> tuple[str, list[float], list[float], float, float]:
    """Seconds of ours and of DuckDB alone, turn by turn, and the peak memory of each in GiB."""
    sql = BARE[path.name].format(path=path)
    bare = [sys.executable, "-c", f"import duckdb; duckdb.execute({sql!r}).fetchnumpy()"]
    ours = [sys.executable, "-m", "groupsigma.cli", "audit", str(path), "--json"]
    turns = [(process(ours), process(bare)) for _ in range(REPEATS)]
    peak_ours, peak_bare = (max(turn[side][1] for turn in turns) / 2**30 for side in (0, 1))
    return path.name, [t[0][0] for t in turns], [t[1][0] for t in turns], peak_ours, peak_bare


def page(rows: list[tuple[str, list[float], list[float], float, float]]) -> str:
    lines = [
        "# Reading rollouts at scale",
        "",
        "Written by `python benchmarks/logs.py`; do not edit. Whole processes, `groupsigma audit FILE --json` against",
        f"DuckDB alone, {REPEATS} turns each, two threads; medians (least to most).",
        "",
        "| file | ours, s | DuckDB alone, s | ours / DuckDB | peak, GiB | DuckDB's peak |",
        "|---|---|---|---|---|---|",
    ]
    for name, ours, bare, peak, other in rows:
        spans = " | ".join(f"{median(t):.1f} ({min(t):.1f} to {max(t):.1f})" for t in (ours, bare))
        ratio = median(ours) / median(bare)
        lines.append(f"| {WHAT[name]} | {spans} | {ratio:.2f} | {peak:.2f} | {other:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
