"""A run over time as text: what came window by window, what was foretold, where the update went."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from groupsigma.bands import INTERIOR
from groupsigma.course import Course
from groupsigma.findings import Finding
from groupsigma.groups import Groups
from groupsigma.presets import spoken
from groupsigma.removed import Removed, reasons
from groupsigma.screen import closing, many, table_of
from groupsigma.windows import Window

_HOW = (
    "foretold: p^G + (1−p)^G at the difficulty believed before each group came, from its prompt's earlier groups; for "
    "a prompt not met before, from the last 1,024 groups of the run. ±: one standard deviation of chance. met: of "
    "prompts that came before. G=64: silent 95% of the time even then."
)


def course_screen(course: Course, findings: Sequence[Finding]) -> list[RenderableType]:
    """The run: head, windows, gradient by difficulty, findings, notes."""
    parts: list[RenderableType] = [Text("the run over time", style="bold"), Text(_head(course)), Text()]
    parts += [_came_table(course), Text()]
    if course.whole.foretold:
        parts += [_foretold_table(course), Text(_HOW, style="dim"), Text()]
    if course.whole.gradient is not None:
        parts += [_gradient_table(course), Text()]
    return [*parts, *closing(findings, course.notes)]


def removed_screen(groups: Groups, removed: Removed, findings: Sequence[Finding]) -> list[RenderableType]:
    """A log without its silent groups: what was read, and why it has no silent share."""
    kept = (
        f"{many(groups.problems, 'group')}, {many(groups.answers, 'answer')}, of which {removed.silent:,} groups silent"
    )
    parts: list[RenderableType] = [Text(groups.source or "groups", style="bold"), Text(kept), Text()]
    parts += [Text("no silent share can be read from this log", style="bold"), Text()]
    return [*parts, *closing(findings, [*groups.notes, *reasons(groups)])]


def _head(course: Course) -> str:
    least, mean, most = course.group_size
    size = f"G = {most}" if least == most else f"G = {mean:.4g} ({least} to {most})"
    groups = f"{many(course.whole.groups, 'group')} of {many(course.prompts, 'prompt')}"
    text = f"{many(course.steps, 'step')}, {groups}, {size}"
    spent = f"; {course.spent:,} answers ({course.spent_share:.1%}) in silent groups"
    if course.cost is not None:
        spent += f", {course.cost:,.2f} of {course.cost_all:,.2f}"
    return text + spent


def _rows(course: Course) -> list[tuple[str, Window]]:
    named = [(str(w.first) if w.first == w.last else f"{w.first}–{w.last}", w) for w in course.windows]
    return [*named, ("all", course.whole)] if len(course.windows) > 1 else named


def _came_table(course: Course) -> Table:
    partial = ["equal"] if course.graded else []
    mean = "reward" if course.graded else "solved"
    table = table_of("steps", "groups", mean, "all wrong", "all right", *partial, "silent", "mean σ", "met")
    for name, w in _rows(course):
        equal = [f"{w.equal_partial:.1%}"] if course.graded else []
        solved = f"{w.mean_reward:.3f}" if course.graded else f"{w.mean_reward:.1%}"
        shares = (f"{w.all_wrong:.1%}", f"{w.all_right:.1%}", *equal, f"{w.silent:.1%}")
        table.add_row(name, f"{w.groups:,}", solved, *shares, f"{w.sigma:.3f}", f"{w.met:.0%}")
    return table


def _foretold_table(course: Course) -> Table:
    table = table_of("steps", "foretold", "all wrong", "all right", "silent", "came", "off", "±", "G=64")
    table.title = "foretold beside what came, of the groups that could be"
    for name, w in _rows(course):
        if w.came is None or w.silent_predicted is None or w.noise is None:
            table.add_row(name, "0", *["–"] * 7)
            continue
        shares = (w.all_wrong_predicted, w.all_right_predicted, w.silent_predicted, w.came)
        off = 100 * (w.came - w.silent_predicted)
        table.add_row(
            name, f"{w.foretold:,}", *(f"{x:.1%}" for x in shares), f"{off:+.1f}", f"{100 * w.noise:.1f}",
            f"{w.out_of_reach:.1%}",
        )  # fmt: skip
    return table


def _gradient_table(course: Course) -> Table:
    table = table_of("steps", *INTERIOR)
    table.title = f"share of {spoken(course.dial)}'s update by difficulty, realised (foretold)"
    for name, w in _rows(course):
        if w.gradient is None:
            table.add_row(name, *["–"] * len(INTERIOR))
            continue
        said = w.gradient_predicted
        table.add_row(
            name,
            *(f"{w.gradient[b]:.1%}" + (f" ({said[b]:.1%})" if said is not None else "") for b in INTERIOR),
        )
    return table
