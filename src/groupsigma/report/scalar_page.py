"""The page of a trainer's own numbers: what they tell of the run over its steps, and what they cannot."""

from __future__ import annotations

from typing import Any

import numpy as np

from groupsigma import __version__
from groupsigma.figures import COLORS, INK
from groupsigma.findings import Finding
from groupsigma.report.charts import ends_named, over_steps
from groupsigma.report.page import page, section
from groupsigma.report.picture import Picture, layered
from groupsigma.report.tables import tabled
from groupsigma.scalar_course import ScalarCourse
from groupsigma.scalar_screen import head, stretches_table

_LINES = {"silent": INK, "all_wrong": COLORS["dr-grpo"], "all_right": COLORS["dapo"], "reward": COLORS["grpo"]}


def scalar_page(course: ScalarCourse) -> tuple[str, list[Picture]]:
    """A trainer's own numbers as one HTML text, and the picture in it."""
    missing = Finding("What these numbers cannot tell", "; ".join(course.missing), course.remedy)
    picture = Picture(
        "own-numbers",
        "The trainer's own numbers",
        f"Means over stretches of its steps; {', '.join(course.names.values())}.",
        "the table beside has the numbers",
        _chart(course),
    )
    beside = f'<div class="pair">{picture.on_page()}{tabled(stretches_table(course))}</div>'
    text = page(
        course.source,
        [f"{head(course)}."],
        {"What to know": [missing]},
        [section("The run, step by step", beside)],
        made_by=f"groupsigma {__version__}, audit",
    )
    return text, [picture]


def _chart(course: ScalarCourse) -> Any:
    cut = course.stretches[:-1] or course.stretches
    axes = over_steps("training step", "share, or mean reward", (0, 0.25, 0.5, 0.75, 1), cut[0].first, cut[-1].last)
    layers: list[Any] = []
    lines: dict[str, tuple[list[float], str]] = {}
    for role, color in _LINES.items():
        known = [(s, v) for s in cut if (v := getattr(s, role)) is not None]
        values = [v for _, v in known]
        if values and min(values) >= 0 and max(values) <= 1:
            at = [(s.first + s.last) / 2 for s, _ in known]
            layers += [axes.line(at, values, color), axes.points(at, values, color)]
            lines[role.replace("_", " ")] = (values, color)
    end = np.array([(cut[-1].first + cut[-1].last) / 2])
    return layered(*layers, *ends_named(axes, end, lines))
