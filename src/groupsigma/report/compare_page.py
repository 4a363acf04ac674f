"""The page of a comparison: what it says, both sides' shares with their intervals, both runs over their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from groupsigma import __version__
from groupsigma.checks import Floats
from groupsigma.compare import Comparison
from groupsigma.compare_findings import written
from groupsigma.compare_screen import compare_tables, how_apart, label_of, what, who
from groupsigma.figures import COLORS, Axes, Dot, ranking
from groupsigma.findings import Finding
from groupsigma.groups import Groups
from groupsigma.report.page import page, section
from groupsigma.report.picture import Picture, gallery, layered
from groupsigma.report.tables import tabled
from groupsigma.windows import seen_of, split_steps

_A, _B = COLORS["grpo"], COLORS["dr-grpo"]
#: Windows of a run's steps.
_WINDOWS = 24


def compare_page(found: Comparison, findings: Sequence[Finding], a: Groups, b: Groups) -> tuple[str, list[Picture]]:
    """A comparison of two logs, or of one under two settings, as one HTML text, and the pictures in it."""
    pictures = [
        Picture(
            "shares",
            "Shares on both sides",
            f"A blue, B red, {found.level:.0%} interval of each by itself; n = {found.a.prompts:,} and "
            f"{found.b.prompts:,} prompts.",
            "the shares of the table below",
            _shares(found),
        )
    ]
    if a is not b and a.step is not None and b.step is not None:
        pictures.append(
            Picture(
                "steps",
                "Silent groups over the steps",
                f"By window of steps, as logged; n = {a.problems:,} and {b.problems:,} groups.",
                "silent share of A and of B by step; the table has the quarters",
                _silence(a, b),
            )
        )
    tables = f'<div class="pair">{"".join(map(tabled, compare_tables(found)))}</div>'
    text = page(
        f"{found.a.source or 'A'} beside {found.b.source or 'B'}",
        [line for letter, side in (("A", found.a), ("B", found.b)) for line in (who(letter, side), what(side).strip())],
        {"What to know": findings},
        [
            section("Side by side", gallery(pictures)),
            section("In numbers", tables),
        ],
        notes=[*found.notes, how_apart(found)],
        made_by=f"groupsigma {__version__}, compare",
    )
    return text, pictures


def _shares(found: Comparison) -> Any:
    dots = []
    for d in found.differences:
        if d.unit != "share" or "kept" in d.name or d.a is None or d.b is None or not max(d.a.value, d.b.value):
            continue
        for letter, share, color in (("A", d.a, _A), ("B", d.b, _B)):
            low, high = (share.value if end is None else end for end in (share.low, share.high))
            name = f"{label_of(d)}  {letter}" if letter == "A" else letter
            dots.append(Dot(name, share.value, low, high, written(d, share), color))
    return ranking("", "share", (0, 0.2, 0.4, 0.6, 0.8, 1), dots)


def _silence(a: Groups, b: Groups) -> Any:
    sides = [(letter, *_by_window(side), color) for letter, side, color in (("A", a, _A), ("B", b, _B))]
    last = max(float(at[-1]) for _, at, _, _ in sides)
    first = min(float(at[0]) for _, at, _, _ in sides)
    ticks = tuple(np.unique(np.rint(np.linspace(first, last, 5))).tolist())
    axes = Axes(
        "training step", "silent share of groups", ticks, (0, 0.25, 0.5, 0.75, 1), True, end=last + (last - first) / 12
    )
    layers = []
    for letter, at, share, color in sides:
        layers += [axes.line(at, share, color), axes.points(at, share, color)]
        layers.append(axes.label(float(at[-1]) + (last - first) / 50, float(share[-1]), letter, color))
    return layered(*layers)


def _by_window(groups: Groups) -> tuple[Floats, Floats]:
    """The middle step and the silent share of each window."""
    assert groups.step is not None
    at = split_steps(groups.step, _WINDOWS, None)
    size = np.bincount(at)
    silent = np.bincount(at, seen_of(groups).silent) / size
    return np.bincount(at, groups.step) / size, silent
