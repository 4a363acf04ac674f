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
from groupsigma.figures import COLORS, Dot, ranking
from groupsigma.findings import Finding
from groupsigma.groups import Groups
from groupsigma.report.charts import ends_named, over_steps
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
            f"A blue, B orange, {found.level:.0%} interval of each by itself; n = {found.a.prompts:,} and "
            f"{found.b.prompts:,} prompts.",
            "the shares of the table below",
            _shares(found),
        )
    ]
    if a is not b and a.step is not None and b.step is not None:
        n = f"By window of steps, as logged; n = {a.problems:,} and {b.problems:,} groups."
        pictures += [
            Picture(
                "steps",
                "Silent groups over the steps",
                n,
                "silent share of A and of B by step; the table has the quarters",
                _over_time(a, b, ("silent",)),
            ),
            Picture(
                "sides",
                "All right and all wrong over the steps",
                f"Solid all right, dashed all wrong. {n}",
                "share of A and of B that is all right and that is all wrong, by step",
                _over_time(a, b, ("right", "wrong")),
            ),
        ]
        if not a.graded and not b.graded:
            told = "mean σ of A's groups and of B's by step"
            title = "Mean σ, the size of the update, over the steps"
            pictures.append(Picture("sigma", title, n, told, _over_time(a, b, ("sigma",))))
    tables = f'<div class="pair tables">{"".join(map(tabled, compare_tables(found)))}</div>'
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


def _over_time(a: Groups, b: Groups, kinds: Sequence[str]) -> Any:
    """Both sides' groups by window; kinds: what of `Seen`, the second dashed."""
    sides = {"A": (a, _A), "B": (b, _B)}
    steps = np.concatenate([side.step for side, _ in sides.values() if side.step is not None])
    spread = "sigma" in kinds  # of right-or-wrong answers, so at most ½
    what, up = ("mean σ", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)) if spread else ("share of groups", (0, 0.25, 0.5, 0.75, 1))
    axes = over_steps("training step", what, up, int(steps.min()), int(steps.max()), percent=not spread)
    layers: list[Any] = []
    ends: dict[str, tuple[float, float, str]] = {}
    for kind, dash in zip(kinds, ((), (5, 4)), strict=False):
        for letter, (side, color) in sides.items():
            at, share = _by_window(side, kind)
            layers += [axes.line(at, share, color, dash=dash), axes.points(at, share, color)]
            name = letter if len(kinds) == 1 else f"{letter} {kind}"
            ends[name] = (float(at[-1]), float(share[-1]), color)
    return layered(*layers, *ends_named(axes, ends))


def _by_window(groups: Groups, kind: str) -> tuple[Floats, Floats]:
    """The middle step of each window, and the mean of what is asked of its groups."""
    assert groups.step is not None
    at = split_steps(groups.step, _WINDOWS, None)
    size = np.bincount(at)
    return np.bincount(at, groups.step) / size, np.bincount(at, getattr(seen_of(groups), kind)) / size
