"""Run the benchmarks, each in a process of its own: python benchmarks/bench.py [--only NAME …] [--out FILE]."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cases import CASES
from measure import HERE, others_cpu
from peers import version_of

PACKAGES = ("groupsigma", "numpy", "scipy", "duckdb", "torch", "verl", "rlvr-audit")
HEADER = ("benchmark", "ours", "against", "alternative", "ratio", "target", "met")


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmarks of groupsigma; see README.md.")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--out", type=Path, help="JSON file; default results.json here, or none with --only")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for case in options.only or CASES:
        print(f"{case} …", file=sys.stderr, flush=True)
        command = [sys.executable, str(HERE / "cases.py"), case]
        start, before = time.perf_counter(), others_cpu()
        lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        spent, after = time.perf_counter() - start, others_cpu()
        busy = None if before is None or after is None else round((after - before) / spent, 2)
        rows += [{"case": case, "cpus_used_by_others": busy, **row} for row in json.loads(lines[-1])]
    print(plain_table(rows))
    out = options.out or (None if options.only else HERE / "results.json")
    if out:
        results = {"environment": environment(), "rows": rows}
        out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        out.with_name("RESULTS.md").write_text(markdown(results), encoding="utf-8")


def environment() -> dict[str, Any]:
    versions = {name: version_of(name) for name in PACKAGES}
    system = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "system": system, "cpus": os.cpu_count(), **versions}


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """A row as it is shown, in the order of HEADER."""
    unit, target = row["unit"], "–"
    if row["at_most"] is not None:
        target = f"≤ {amount(row['at_most'], unit)}"
    elif row["ratio_at_least"] is not None:
        target = f"ratio ≥ {row['ratio_at_least']:g}"
    ours, other = (x if isinstance(x, str) else amount(x["median"], unit) for x in (row["ours"], row["alternative"]))
    ratio = "–" if row["ratio"] is None else f"{row['ratio']:.3g}×"
    return row["name"], ours, row["against"], other, ratio, target, {True: "yes", False: "NO", None: "–"}[row["met"]]


def amount(value: float, unit: str) -> str:
    if unit == "s" and value < 0.1:
        value, unit = 1000 * value, "ms"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def plain_table(rows: list[dict[str, Any]]) -> str:
    table = [HEADER, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in table)


def markdown(results: dict[str, Any]) -> str:
    where = results["environment"]
    versions = ", ".join(f"{name} {where[name] or 'not installed'}" for name in PACKAGES)
    lines = [
        "# Results",
        "",
        "Written by `python benchmarks/bench.py`; do not edit. Medians; ratio = alternative / ours.",
        "Least and largest values, repeats: `results.json`.",
        "",
        f"Python {where['python']}, {where['system']}, {where['cpus']} CPUs; {versions}.",
        "",
    ]
    busy = {row["case"]: row["cpus_used_by_others"] for row in results["rows"]}
    if None not in busy.values():
        listed = ", ".join(f"{case} {cpus:.1f}" for case, cpus in busy.items())
        lines += [f"CPUs that other processes used meanwhile: {listed}.", ""]
    table = [HEADER, ("---",) * len(HEADER), *map(cells, results["rows"])]
    lines += ["| " + " | ".join(row) + " |" for row in table]
    notes = [f"- {row['name']} ({row['against']}): {row['note']}." for row in results["rows"] if row["note"]]
    return "\n".join([*lines, "", "Notes", "", *notes]) + "\n"


if __name__ == "__main__":
    main()
