"""The page's charts that do not move: difficulty, fidelity with the data's mass on it, required G; a run over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groupsigma.audit import Audit
from groupsigma.bands import INTERIOR
from groupsigma.bounds import Region
from groupsigma.checks import Floats
from groupsigma.course import Course
from groupsigma.figures import COLORS, INK, PALE, Axes
from groupsigma.groups import Groups
from groupsigma.law import fidelity, group_size_law, required_group_size
from groupsigma.mixture import Mixture
from groupsigma.report.crowd import Crowd
from groupsigma.report.picture import layered

_RATES = (0, 0.2, 0.4, 0.6, 0.8, 1)
_TENTHS = np.linspace(0, 1, 11)
#: All wrong, all right: red and green are told apart by more than hue in this palette.
_WRONG, _RIGHT = COLORS["dr-grpo"], COLORS["dapo"]
#: From hard to easy.
_BANDS = ("#882255", "#D55E00", "#E69F00", "#009E73", "#0072B2")


def difficulty(audit: Audit, tally: Groups, spread: Mixture | None, where: Region | None) -> Any:
    """Shares of problems by tenths of the solve rate: as logged, and as the fitted spread has it.

    where: gives the interval of each tenth, unless no spread gives these counts and it would promise nothing.
    """
    p, weight = tally.solve_rate, tally.count / tally.count.sum()
    logged = _shares(p, weight)
    held = [logged]
    layers: list[Any] = []
    if spread is not None:
        point = low = high = _shares(spread.p, spread.weight)
        if promises(where):
            assert where is not None
            ends = [where.interval(np.where(_tenth(where.p) == i, 1.0, 0.0)) for i in range(10)]
            low, high = (np.array(x) for x in zip(*ends, strict=True))
        held += [np.maximum(high, point)]
    top = nice(1.2 * float(max(h.max() for h in held)))
    up = tuple(top * i / 4 for i in range(5))
    axes = Axes(f"solve rate, tenths (n = {audit.problems:,})", f"share of {audit.unit}s", _RATES, up, percent=True)
    left, right = _TENTHS[:-1] + 0.006, _TENTHS[1:] - 0.006
    layers.append(axes.cells(left, right, np.zeros(10), logged, np.full(10, 0.38), PALE))
    for share, at in ((audit.never or 0.0, 0), (audit.always or 0.0, 9)):
        if share:
            layers.append(axes.cells(left[[at]], right[[at]], [0.0], [share], [0.75], PALE))
    if spread is not None:
        middle = (left + right) / 2
        layers.append(axes.bars(middle, np.minimum(low, point), np.maximum(high, point), COLORS["grpo"]))
        layers.append(axes.points(middle, point, COLORS["grpo"], size=40))
        how = "circles: estimated" + (", with its 95% interval" if promises(where) else "")
        layers += [] if top == 1 else [axes.label(0.5, 0.93 * top, how, COLORS["grpo"], "center")]
    if top < 1:
        layers.append(axes.label(0.5, 0.86 * top, "bars: as logged; darker: never, always", INK, "center"))
    return layered(*layers)


def promises(where: Region | None) -> bool:
    """Whether a region's intervals hold at their level."""
    return where is not None and not where.strain


def fidelity_map(crowd: Crowd, G: int) -> Any:
    """GRPO's φ(G, p) over solve rate and group size; below, where the data are; across, the audited G."""
    sizes, edges = 2.0 ** np.arange(1, 8.25, 0.25), np.linspace(0, 1, 41)
    axes = Axes("solve rate p", "group size G", _RATES, (1, 2, 4, 8, 16, 32, 64, 128, 256), factors=True)
    middle = (edges[:-1] + edges[1:]) / 2
    p, size = (x.ravel() for x in np.meshgrid(middle, sizes))
    reached = fidelity(p, np.rint(size).astype(np.int64))
    half, low, high = 2**0.125, p - 0.0125, p + 0.0125
    blue = COLORS["grpo"]
    layers = [axes.cells(low, high, size / half, size * half, 0.9 * reached**3, blue)]
    for target in (0.8, 0.9, 0.95):
        x = np.linspace(0.01, 0.99, 99)
        need = required_group_size(x, target).astype(np.float64)
        shown = need <= 256
        layers.append(axes.line(x[shown], need[shown], "white", width=1.2))
        layers.append(axes.label(0.5, float(need[49]) * 1.22, f"{target:.0%}", "white", "center"))
    mass = np.bincount(np.minimum((crowd.p * 40).astype(int), 39), crowd.mass.sum(0), 40)
    layers.append(axes.cells(edges[:-1], edges[1:], np.full(40, 1.0), np.full(40, 1.6), mass / mass.max(), INK))
    if 2 <= G <= 256:
        layers += [axes.line([0, 1], [G, G], COLORS["maxrl"], dash=(5, 4), width=1.6)]
        layers += [axes.label(0.015, G * 1.2, f"G = {G}", COLORS["maxrl"])]
    return layered(*layers)


def required(G: int) -> Any:
    """The group size that a fidelity needs: exact, and by the asymptotic law, which is too small."""
    axes = Axes("solve rate p", "group size G", _RATES, (1, 4, 16, 64, 256, 1024), factors=True)
    x = np.linspace(0.01, 0.99, 99)
    layers = []
    for target, color, up in ((0.99, "#882255", 1.55), (0.95, COLORS["grpo"], 1.6), (0.9, _RIGHT, 0.45)):
        need = required_group_size(x, target).astype(np.float64)
        shown = need <= 1024
        layers.append(axes.line(x[shown], need[shown], color))
        law = group_size_law(x, target)
        layers.append(axes.line(x[law <= 1024], law[law <= 1024], color, dash=(4, 3), width=1.2))
        layers.append(axes.label(0.5, float(need[49]) * up, f"{target:.0%}", color, "center"))
    layers.append(axes.label(0.5, 700, "solid: exact; dashed: 1/(8ε p(1−p))", INK, "center"))
    if 1 < G <= 1024:
        layers.append(axes.line([0, 1], [G, G], COLORS["maxrl"], dash=(5, 4), width=1.6))
        layers.append(axes.label(0.985, G * 0.75, f"G = {G}", COLORS["maxrl"], "right"))
    return layered(*layers)


def silence_over_time(course: Course) -> Any:
    """Silent share by window: as it came and as it was foretold; all wrong and all right; where it reaches half."""
    axes, at = _over_steps(course, "share of groups", (0, 0.25, 0.5, 0.75, 1))
    windows = course.windows
    layers: list[Any] = []
    lines = {
        "all wrong": ([w.all_wrong for w in windows], _WRONG),
        "all right": ([w.all_right for w in windows], _RIGHT),
        "silent": ([w.silent for w in windows], INK),
    }
    told = [(x, w) for x, w in zip(at, windows, strict=True) if w.silent_predicted is not None and w.noise is not None]
    if told:
        x, said = [x for x, _ in told], np.array([w.silent_predicted for _, w in told])
        noise = np.array([w.noise for _, w in told])
        low, high = np.clip(said - 2 * noise, 0, 1), np.clip(said + 2 * noise, 0, 1)
        layers += [axes.band(x, low, high, COLORS["grpo"]), axes.line(x, said, COLORS["grpo"], dash=(5, 4))]
        layers.append(
            axes.label(float(at[-1]), 0.95, "dashed: silent as foretold, ±2σ of chance", COLORS["grpo"], "right")
        )
    for values, color in lines.values():
        layers += [axes.line(at, values, color), axes.points(at, values, color)]
    layers += ends_named(axes, {name: (float(at[-1]), values[-1], color) for name, (values, color) in lines.items()})
    if course.half_silent_step is not None:
        step = float(course.half_silent_step)
        layers += [axes.line([step, step], [0, 1], PALE, dash=(2, 3), width=1.4)]
        layers += [axes.label(step, 0.03, f" half silent from step {course.half_silent_step}", PALE)]
    return layered(*layers)


def gradient_over_time(course: Course) -> Any:
    """The share of the update by band of difficulty, window by window."""
    told = [w.gradient for w in course.windows if w.gradient is not None]
    top = nice(max(max(g.values()) for g in told)) if told else 1.0
    axes, at = _over_steps(course, "share of the update", tuple(top * i / 4 for i in range(5)))
    at = np.array([x for x, w in zip(at, course.windows, strict=True) if w.gradient is not None])
    lines = {band: ([g[band] for g in told], color) for band, color in zip(INTERIOR, _BANDS, strict=True)}
    layers: list[Any] = []
    for values, color in lines.values():
        layers += [axes.line(at, values, color), axes.points(at, values, color)]
    ends = {name: (float(at[-1]), values[-1], color) for name, (values, color) in lines.items()}
    return layered(*layers, *ends_named(axes, ends))


def _over_steps(course: Course, what: str, up: tuple[float, ...]) -> tuple[Axes, Floats]:
    words = f"training step (n = {course.whole.groups:,} groups)"
    at = np.array([(w.first + w.last) / 2 for w in course.windows])
    return over_steps(words, what, up, course.windows[0].first, course.windows[-1].last), at


def over_steps(words: str, what: str, up: tuple[float, ...], first: int, last: int, percent: bool = True) -> Axes:
    """Axes from the first step to the last, with room for names behind the lines' ends."""
    last = max(last, first + 1)
    ticks = np.unique(np.rint(np.linspace(first, last, last - first + 1 if last - first < 10 else 5)))
    return Axes(words, what, tuple(ticks.tolist()), up, percent, end=last + (last - first) * 0.14)


def ends_named(axes: Axes, ends: Mapping[str, tuple[float, float, str]]) -> list[Any]:
    """The name of each line behind its end, names that would touch moved apart; ends: x, y and colour by name."""
    wide, gap = float((axes.end or axes.across[-1]) - axes.across[0]), 0.06 * axes.up[-1]
    placed: list[tuple[float, float]] = []
    layers = []
    for name in sorted(ends, key=lambda name: ends[name][1]):
        x, height, color = ends[name]
        below = [up for at, up in placed if abs(at - x) < 0.1 * wide]
        height = max([height, *(up + gap for up in below)])
        placed.append((x, height))
        layers.append(axes.label(x + 0.015 * wide, height, name, color))
    return layers


def _tenth(p: Floats) -> Any:
    return np.minimum((p * 10 + 1e-9).astype(np.int64), 9)


def _shares(p: Floats, weight: Floats) -> Floats:
    return np.bincount(_tenth(p), weight, 10).astype(np.float64)


def nice(top: float) -> float:
    """The end of an axis that holds `top` in four even steps."""
    return next(end for end in (0.08, 0.12, 0.2, 0.32, 0.4, 0.6, 0.8, 1.0) if end >= min(top, 1.0) - 1e-9)
