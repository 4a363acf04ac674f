"""`reproduce lm-allocation` as text: what was to be reached, the scores, the map, and ours taken apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from groupsigma.experiments.lm_contest import BUDGET, ORACLE, OURS, UNIFORM
from groupsigma.experiments.lm_contest_findings import SHARES, verdicts
from groupsigma.experiments.lm_findings import named, written
from groupsigma.screen import table_of, verdict_table

#: What the starts are.
_STARTS = {
    "bigmath": "a pool whose solve rates follow Big-Math's",
    "flat": "the problems as they were taught, solve rates spread flat",
}


_SETUP = (
    f"each run samples {BUDGET:,} answers; batch, rate and knobs are chosen by the area under held-out accuracy on "
    "other seeds: uniform groups, ours and its oracle on the map, rivals on that part of it where those were best, on "
    "one seed. lone: ours, one try each of the most uncertain two thirds of the next problems, an answer's advantage "
    "R − what is believed of its problem; oracle: the same with the true solve rates; plain: one try each, R − the "
    "mean of the step's other answers"
)


def lm_contest_screen(found: Mapping[str, Any]) -> list[RenderableType]:
    """Everything `lm_allocation` found, start by start."""
    parts: list[RenderableType] = [
        Text("who gets how many tries, on a language model", style="bold"),
        Text(_SETUP),
        Text(),
        verdict_table(verdicts(found), ("reached", "not reached")),
        Text(),
    ]
    for name, one in found["findings"].items():
        parts += [Text(f"{name}: {_STARTS[name]}", style="bold"), Text(), *_start(one)]
    return parts[:-1]


def _start(told: Mapping[str, Any]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for title, table in (
        ("at their best settings, other seeds; ± over seeds; end: the last quarter of the looks", _scores(told)),
        ("held-out problems at the end, by solve rate at the start", _quarters(told)),
        (
            "answers to what GRPO, G = 8, has after half and all of its answers; × ours: theirs for each of ours, with "
            "95 % bootstrap ranges over seeds; > where they never get there within theirs",
            _ratios(told),
        ),
        ("area under held-out accuracy by batch and rate: uniform, ours, oracle; ours less uniform", _map(told)),
        ("settings chosen, tuning seed", _tuned(told)),
        ("ours with one thing changed, less ours, in points", _parts(told)),
    ):  # fmt: skip
        if table.row_count:
            parts += [Text(title, style="bold"), table, Text()]
    return parts


def shown(name: str) -> str:
    """A rule as it is shown."""
    return named(name) if name.split(",")[0] in (UNIFORM, "dr-grpo", "dapo") else name


def _knobs(told: str) -> str:
    return ", ".join(f"{name} {value}" for name, value in json.loads(told).items())


def _scores(told: Mapping[str, Any]) -> Table:
    table = table_of("", "batch", "rate", "area", "ours ahead by", "end", "silent", "choosing")
    for row in told["scores"]:
        ahead = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * x for x in row["behind"]))
        table.add_row(
            shown(row["name"]), str(row["batch"]), written(row["learning_rate"]), _percent(row["area"]),
            "" if row["name"] == OURS else ahead, _percent(row["end"]),
            "" if row["silent"] == 1 else f"{row['silent']:.0%}", f"{row['choosing']:.1f} s",
        )  # fmt: skip
    return table


def _percent(mean: tuple[float, float, float]) -> str:
    return f"{mean[0]:.1%} ± {50 * (mean[2] - mean[1]):.1f}"


def _quarters(told: Mapping[str, Any]) -> Table:
    table = table_of("", "hardest", "second", "third", "easiest")
    for row in told["scores"]:
        table.add_row(shown(row["name"]), *(f"{q:.1%}" for q in row["quarters"]))
    return table


def _ratios(told: Mapping[str, Any]) -> Table:
    table = table_of("", "to half", "× ours", "to all", "× ours", "in tokens")
    for row in told["scores"]:
        cells = [x for at in range(len(SHARES)) for x in (_answers(row["reached"][at]), _ratio(row["answers"], at))]
        table.add_row(shown(row["name"]), *cells, _ratio(row["tokens"], -1))
    return table


def _answers(reached: float) -> str:
    return f"{reached / 1000:.0f}k" if isfinite(reached) else "never"


def _ratio(ratios: Sequence[Mapping[str, Any]], at: int) -> str:
    return _times(ratios[at]) if ratios else "1"


def _times(ratio: Mapping[str, Any]) -> str:
    return f"{'> ' * ratio['beyond']}{ratio['times']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def _map(told: Mapping[str, Any]) -> Table:
    table = table_of("batch", "rate", "uniform", "ours", "oracle", "ours less uniform", "seeds", "end: uniform", "ours")
    for row in told["map"]:
        base, ours, best = (row[name] for name in (UNIFORM, OURS, ORACLE))
        table.add_row(
            str(row["batch"]), written(row["rate"]), *(f"{x['area']:.1%}" for x in (base, ours, best)),
            f"{100 * (ours['area'] - base['area']):+.1f}", str(ours["seeds"]),
            f"{base['end']:.1%}", f"{ours['end']:.1%}",
        )  # fmt: skip
    return table


def _tuned(told: Mapping[str, Any]) -> Table:
    table = table_of("", "knobs", "batch", "rate", "area", "end")
    for row in told["tuned"]:
        table.add_row(
            shown(row["name"]), _knobs(row["knobs"]), str(row["batch"]), written(row["learning_rate"]),
            f"{row['area']:.1%}", f"{row['end']:.1%}",
        )  # fmt: skip
    return table


def _parts(told: Mapping[str, Any]) -> Table:
    table = table_of("", "area", "end", "seeds", "n0")
    for row in told["parts"]:
        table.add_row(
            row["name"], f"{100 * row['area']:+.1f}", f"{100 * row['end']:+.1f}", str(row["seeds"]),
            ", ".join(f"{x:.1f}" for x in row["saturation"]),
        )  # fmt: skip
    return table
