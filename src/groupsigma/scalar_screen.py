"""A trainer's own numbers as text."""

from __future__ import annotations

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from groupsigma.scalar_course import ScalarCourse
from groupsigma.screen import many, table_of


def scalar_screen(course: ScalarCourse) -> list[RenderableType]:
    """Windows of the run, and what these numbers cannot tell."""
    parts: list[RenderableType] = [Text(course.source, style="bold"), Text(head(course)), Text()]
    parts += [stretches_table(course), Text(), Text("What these numbers cannot tell", style="bold")]
    return parts + [Padding(Text(line), (0, 0, 0, 3)) for line in (*course.missing, f"→ {course.remedy}")]


def head(course: ScalarCourse) -> str:
    """How many steps, and what the log calls its numbers."""
    names = ", ".join(f"{role.replace('_', ' ')} = {name}" for role, name in course.names.items())
    return f"{many(course.stretches[-1].steps, 'step')} of the trainer's own numbers: {names}"


def stretches_table(course: ScalarCourse) -> Table:
    """A line a stretch of steps, the whole run last."""
    table = table_of("steps", "reward", "silent", "all wrong", "all right", "all right, if 0/1")
    for at, s in enumerate(course.stretches):
        alone = str(s.first) if s.first == s.last else f"{s.first}–{s.last}"
        name = "all" if at and at == len(course.stretches) - 1 else alone
        bounds = "–" if s.all_right_low is None else f"{s.all_right_low:.1%} to {s.all_right_high:.1%}"
        reward = "–" if s.reward is None else f"{s.reward:.3f}"
        table.add_row(name, reward, *(_share(x) for x in (s.silent, s.all_wrong, s.all_right)), bounds)
    return table


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
