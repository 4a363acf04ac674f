"""The page of a trainer's own numbers: what they tell of the run over its steps, and what they cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groupsigma import __version__
from groupsigma.figures import COLORS, INK
from groupsigma.findings import Finding
from groupsigma.report.charts import ends_named, over_steps
from groupsigma.report.page import page, section
from groupsigma.report.picture import Picture, layered
from groupsigma.report.tables import tabled
from groupsigma.scalar_course import ScalarCourse
from groupsigma.scalar_screen import head, stretches_table
from groupsigma.screen import many

_COLORS = {"silent": INK, "all_wrong": COLORS["dr-grpo"], "all_right": COLORS["dapo"], "reward": COLORS["grpo"]}


def scalar_page(course: ScalarCourse) -> tuple[str, list[Picture]]:
    """A trainer's own numbers as one HTML text, and the picture in it, if these can be drawn."""
    missing = Finding("What these numbers cannot tell", "; ".join(course.missing), course.remedy)
    whole, first = course.stretches[-1], course.stretches[0]
    said = [missing]
    if whole.silent is not None and first.silent is not None:
        last = course.stretches[max(0, len(course.stretches) - 2)]
        evidence = f"{first.silent:.1%} at first, {last.silent:.1%} at last, over {many(whole.steps, 'step')}"
        title = f"{whole.silent:.1%} of the groups were silent, by the trainer's own number"
        said.insert(0, Finding(title, evidence, "its answers would say why: groupsigma audit on a log of them"))
    shares, table = _shares(course), tabled(stretches_table(course))
    pictures = [_picture(course, shares)] if shares else []
    beside = f'<div class="pair">{"".join(p.on_page() for p in pictures)}{table}</div>'
    text = page(
        course.source,
        [f"{head(course)}."],
        {"What to know": said},
        [section("The run, step by step", beside)],
        made_by=f"groupsigma {__version__}, audit",
    )
    return text, pictures


def _shares(course: ScalarCourse) -> dict[str, tuple[list[float], list[float]]]:
    """The middle steps and the values of what has any and lies between 0 and 1, by role."""
    found = {}
    for role in _COLORS:
        known = [(s, v) for s in course.stretches[:-1] or course.stretches if (v := getattr(s, role)) is not None]
        if known and all(0 <= v <= 1 for _, v in known):
            found[role] = ([(s.first + s.last) / 2 for s, _ in known], [v for _, v in known])
    return found


def _picture(course: ScalarCourse, shares: Mapping[str, tuple[list[float], list[float]]]) -> Picture:
    first, last = course.stretches[0].first, course.stretches[-1].last
    axes = over_steps("training step", "share, or mean reward", (0, 0.25, 0.5, 0.75, 1), first, last)
    layers: list[Any] = []
    ends = {}
    for role, (at, values) in shares.items():
        color = _COLORS[role]
        layers += [axes.line(at, values, color), axes.points(at, values, color)]
        ends[role.replace("_", " ")] = (at[-1], values[-1], color)
    return Picture(
        "own-numbers",
        "The trainer's own numbers",
        f"Means over stretches of its steps: {', '.join(role.replace('_', ' ') for role in shares)}.",
        "the table beside has the numbers",
        layered(*layers, *ends_named(axes, ends)),
    )
