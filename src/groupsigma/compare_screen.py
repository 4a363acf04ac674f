"""A comparison as text: both sides, every quantity with its difference and interval, and what it says."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from groupsigma.compare import Comparison, Side
from groupsigma.compare_findings import difference, interval, written
from groupsigma.differences import Difference
from groupsigma.findings import Finding
from groupsigma.screen import closing, many, table_of

_LABELS = {
    "silent": "silent groups",
    "all_wrong": "  all wrong",
    "all_right": "  all right",
    "mixed_per_1000": "mixed per 1,000 rollouts",
    "answers_per_mixed_group": "answers per mixed group",
    "cost_per_1000_mixed_groups": "cost of 1,000 mixed",
    "silent_kept": "silent of those kept",
    "answers_per_kept_group": "answers per kept group",
    "sigma": "mean σ",
    "fidelity": "fidelity",
    "gradient_extremes": "under .1 or over .9",
}


def compare_screen(found: Comparison, findings: Sequence[Finding]) -> list[RenderableType]:
    """Both sides, the differences, where the update goes, the run by quarters, findings, notes."""
    parts: list[RenderableType] = [Text(who("A", found.a), style="bold"), Text(what(found.a))]
    parts += [Text(who("B", found.b), style="bold"), Text(what(found.b)), Text()]
    for table in compare_tables(found):
        parts += [table, Text()]
    return [*parts, *closing(findings, [*found.notes, how_apart(found)])]


def compare_tables(found: Comparison) -> list[Table]:
    """The differences, where the update goes, the run by quarters."""
    replaced = "mixed" in (found.a.setting.dial.keep, found.b.setting.dial.keep)
    main = [d for d in found.differences if not d.name.startswith("gradient") and (replaced or "kept" not in d.name)]
    bands = [d for d in found.differences if d.name.startswith("gradient_")]
    tables = [_table("", main, found.level)]
    if any(d.a is not None or d.b is not None for d in bands):
        tables.append(_table("share of the update, solved", bands, found.level))
    return [*tables, _table("silent, quarter of the run", found.quarters, found.level)] if found.quarters else tables


def how_apart(found: Comparison) -> str:
    """What the intervals are of, and what real means."""
    return (
        f"{found.level:.0%} intervals hold for all differences together (max-t, {found.resamples:,} resamples "
        "of prompts); real: 0, or ×1, is outside; shares differ in points"
    )


def who(letter: str, side: Side) -> str:
    """Which side, and what was read."""
    return f"{letter}: {side.source or 'groups'}"


def what(side: Side) -> str:
    """How it is looked at, and how much of it there is."""
    how = "" if side.method == "logged" else f" ({side.method})"
    seen = f", {many(side.answers, 'answer')}" if side.answers else ", solve rates only"
    return f"   {side.text}{how}; {many(side.prompts, 'prompt')}, {many(side.problems, 'group')}{seen}"


def _table(head: str, differences: Sequence[Difference], level: float) -> Table:
    table = table_of(head or "groups", "A", "B", "B − A" if head else "B − A, B / A", f"{level:.0%}, all together", "")
    for d in differences:
        band, values = d.name.startswith("gradient"), [s.value for s in (d.a, d.b) if s is not None]
        if not values or (band and not any(values)):
            continue
        sides = (written(d, s) for s in (d.a, d.b))
        table.add_row(label_of(d), *sides, difference(d, d.difference), interval(d), _verdict(d))
    return table


def label_of(d: Difference) -> str:
    """What a quantity is called."""
    return _LABELS.get(d.name) or d.name.removeprefix("gradient_").removeprefix("silent_quarter_")


def _verdict(d: Difference) -> str:
    if d.difference is None:
        return "–"
    return "real" if d.real else "same" if d.equal and d.low == d.high else "not told apart"
