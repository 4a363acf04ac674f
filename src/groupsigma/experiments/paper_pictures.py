"""The paper's figures 3 to 9 drawn again from our computations, the published points on them where those are at hand.

What the paper leaves out of a figure and a reader needs beside it, exact finite groups above all, is drawn too and
named. Its Fig. 10 is `pictures.dynamics`; Figs. 1 and 2 are sketches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from groupsigma.checks import Floats
from groupsigma.dial import DR_GRPO, GRPO
from groupsigma.experiments import readings as r
from groupsigma.experiments.claims import Missing
from groupsigma.figures import COLORS, INK, PALE, Axes, panel, row
from groupsigma.law import (
    difficulty_weight,
    expected_gain,
    fidelity,
    group_size_law,
    limit_gain,
    objective,
    required_group_size,
    silent_rate,
)
from groupsigma.sigma import sigma

_BLUE, _RED, _GREEN = COLORS["grpo"], COLORS["dr-grpo"], COLORS["dapo"]
_RATES = (0, 0.2, 0.4, 0.6, 0.8, 1)
_P = np.linspace(0.005, 0.995, 199)
#: Two panels where other rows have three.
_SIZE = (352, 214)
_DASH = (5, 4)
_BARS, _SHARES = "realdata_left_histogram_bars.csv", "realdata_right_gradient_share.csv"
#: Another colour for each solve rate or group size, hard to easy or small to large.
_FIVE = ("#882255", _RED, COLORS["maxrl"], _GREEN, _BLUE)


def identity() -> dict[str, Any]:
    """Fig. 3: one group's update, and what its mean realises of the limit."""
    k = np.arange(9.0)
    a = Axes("right answers k of G = 8", "update per unit of contrast", tuple(k), (0, 0.1, 0.2, 0.3, 0.4, 0.5))
    one = [
        a.line(k, sigma(k, 8), _BLUE),
        a.line(k, sigma(k, 8) ** 2, _RED),
        a.label(4, 0.46, "σ: GRPO, DAPO", _BLUE, "center"),
        a.label(4, 0.21, "σ²: Dr. GRPO", _RED, "center"),
    ]
    sizes = np.arange(4, 257)
    b = _sizes("realised of the large-G update", (0.5, 0.6, 0.7, 0.8, 0.9, 1), (4, 8, 16, 32, 64, 128, 256))
    realised: list[Any] = []
    for p, color, x, y in ((0.5, _BLUE, 4.3, 0.965), (0.2, "#882255", 5.5, 0.65)):
        realised += [b.line(sizes, fidelity(p, sizes), color), b.label(x, y, f"p = {p:g}", color)]
        realised.append(b.line(sizes, _law(p, sizes), color, dash=_DASH, width=1.2))
    realised.append(b.label(256, 0.55, "solid: exact; dashed: 1 − 1/(8Gp(1−p))", INK, "right"))
    seen = _points(
        _Seen("a", one, a, "identity_left_g_of_k_G8.csv", "k", "marker_b0.5", lambda s: sigma(s["k"], 8)),
        _Seen("b", realised, b, "identity_right_attenuation.csv", "G", "monte_carlo_marker_80000", _fidelity),
    )
    panels = {"a  One group": one, "b  On average": realised}
    drawn = "b’s are means of 80,000 simulated groups" if seen.startswith("circles") else ""
    return _figure(3, "The update is the group's standard deviation", panels, seen, drawn)


def group_size() -> dict[str, Any]:
    """Fig. 4: fidelity against G, and the G that it takes: exact, and by the asymptotic law."""
    sizes = np.unique(np.rint(2 ** np.linspace(1, 9, 120)))
    a = _sizes("fidelity φ(G, p)", (0.2, 0.4, 0.6, 0.8, 1), (2, 4, 8, 16, 32, 64, 128, 256, 512))
    near: list[Any] = []
    for p, color, beside in ((0.5, _BLUE, 0.56), (0.1, _FIVE[1], 0.49), (0.05, _FIVE[0], 0.42)):
        exact = fidelity(p, sizes.astype(int))
        near += [a.line(sizes, exact, color)]
        law = _law(p, sizes)
        near.append(a.line(sizes[law > 0.2], law[law > 0.2], color, dash=_DASH, width=1.1))
        near.append(a.label(90, beside, f"p = {p:g}", color))
    near.append(a.label(480, 0.28, "dashed: 1 − 1/(8Gp(1−p))", INK, "right"))
    b = Axes("solve rate p", "group size G", _RATES, (4, 8, 16, 32, 64, 128, 256, 512), factors=True)
    rates, need = np.linspace(0.02, 0.98, 193), []
    for target, color in ((0.99, _FIVE[0]), (0.95, _BLUE)):
        size, law = required_group_size(rates, target).astype(float), group_size_law(rates, target)
        need += [b.line(rates[size <= 512], size[size <= 512], color)]
        need += [b.line(rates[law <= 512], law[law <= 512], color, dash=_DASH, width=1.2)]
        need.append(b.label(0.5, 1.45 * float(required_group_size(0.5, target)), f"{target:.0%}", color, "center"))
    need.append(b.label(0.5, 5, "solid: exact; dashed: the law 1/(8εp(1−p))", INK, "center"))
    seen = _points(
        _Seen("a", near, a, "groupsize_left_fidelity.csv", "G", "fidelity_exact", _fidelity, 4),
        _Seen("b", need, b, "groupsize_right_required_G.csv", "p", "G_exact", _required, 3),
    )
    short = [
        f"{group_size_law(p, 0.9):.0f} of the {required_group_size(p, 0.9)} for 90 % at p = {p:g}" for p in (0.5, 0.05)
    ]
    say = f"the law is asymptotic and asks for too few: {', '.join(short)}"
    return _figure(
        4, "How many answers a group needs", {"a  Fidelity": near, "b  The G for 95 and 99 %": need}, seen, say
    )


def silent() -> dict[str, Any]:
    """Fig. 5: silence by solve rate; beside it the paper's Table 4, with what its closed form is biased by."""
    a = Axes("solve rate p", "silent share of groups", _RATES, percent=True)
    by_rate: list[Any] = []
    for G, color, x in zip((2, 4, 8, 16, 64), _FIVE, (0.5, 0.34, 0.23, 0.14, 0.035), strict=True):
        by_rate.append(a.line(_P, silent_rate(_P, G), color))
        beside = float(silent_rate(x, G)) + (0.05 if G > 2 else 0.04)
        by_rate.append(a.label(x, beside, f"G = {G}" if G == 2 else str(G), color, "center" if G == 2 else "left"))
    sizes = tuple(r.TABLE_SILENT["plugin"])
    b = _sizes("silent share of Big-Math's groups", (0, 0.2, 0.4, 0.6, 0.8), sizes, percent=True)
    plug, drawn = (r.silent_split(how, sizes) for how in ("plugin", "unbiased"))
    table = [
        b.line(sizes, plug, _RED, dash=_DASH),
        b.line(sizes, drawn, _BLUE),
        b.label(62, 0.42, "k/64 put into p^G + (1−p)^G: biased", _RED, "right"),
        b.label(15, 0.18, "G of the 64 answers: unbiased", _BLUE, "right"),
        *(b.points(list(row), [share / 100 for share in row.values()], INK) for row in r.TABLE_SILENT.values()),
    ]
    say = f"the closed form at k/64 is off by {100 * (plug[-1] - drawn[-1]):.1f} points at G = 64: k/64 is not p"
    panels = {"a  By solve rate": by_rate, "b  On real data": table}
    return _figure(5, "Silent groups", panels, "circles: Table 4, whole per cent", say)


def dapo() -> dict[str, Any]:
    """Fig. 6: DAPO's logged share of problems all right, and Big-Math moved along by one time scale."""
    data = r.bigmath()
    p, weight = data.solve_rate, data.count / data.count.sum()
    times = 2 ** np.linspace(0, 8, 90)
    b = Axes("mean solve rate E[p]", "E[p³²]", (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1), percent=True)
    mean, right = (np.array([weight @ p ** (n / T) for T in times]) for n in (1, r.DAPO_N))
    along = [b.line(mean, right, _GREEN), b.points(mean[:1], right[:1], _GREEN, size=70)]
    along.append(b.label(float(mean[0]) + 0.015, float(right[0]) - 0.035, "as published, T = 1", _GREEN))
    a = Axes("training step", "problems with all 32 answers right", (0, 3000, 6000, 9000), percent=True, end=9200)
    seen = _points(
        _Seen("b", along, b, "dapo_right_allcorrect_vs_competence.csv", "mean_solve_rate", "all_correct_mass_p32",
         r.all_right_along, 4),
    )  # fmt: skip
    beside = {"b  Big-Math at T times the competence": along}
    try:
        fit = r.dapo_fit()
    except Missing:
        return _figure(6, "What DAPO leaves out", beside, seen, "DAPO's own log is not at hand")
    logged = [
        a.line(fit.step, fit.closed, _GREEN),
        a.line(fit.step, fit.generic, PALE, dash=_DASH),
        a.points(fit.step, fit.logged, INK),
        a.label(4300, 0.4, f"closed form, R² = {fit.r2[0]:.3f}", _GREEN),
        a.label(4300, 0.32, f"generic curve, R² = {fit.r2[1]:.3f}", PALE),
    ]
    say = "a curve that knows nothing of the law fits the log better: a consistency check, no evidence"
    return _figure(6, "What DAPO leaves out", {"a  DAPO's log": logged} | beside, seen, say)


def limits() -> dict[str, Any]:
    """Figs. 7 and 8: the large-group objectives, gradients and weights, beside those of the groups one really has."""
    a = Axes("solve rate p", "objective, from 0 to 1", _RATES)
    ascend = []
    for dial, color in ((DR_GRPO, _RED), (GRPO, _BLUE)):
        for G in (None, 8):
            value = objective(np.r_[0.0, _P, 1.0], dial, G)
            scaled = (value - value[0]) / (value[-1] - value[0])
            ascend.append(a.line(np.r_[0.0, _P, 1.0], scaled, color, dash=_DASH if G else (), width=1.2 if G else 2))
    ascend += [
        a.label(0.03, 0.54, "GRPO: (2/π) arcsin √p", _BLUE),
        a.label(0.38, 0.3, "Dr. GRPO: p", _RED),
        a.label(0.97, 0.1, "dashed: groups of 8", INK, "right"),
    ]
    b = Axes("solve rate p", "expected update in log-odds", _RATES, (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
    update = []
    for dial, color in ((DR_GRPO, _RED), (GRPO, _BLUE)):
        update += [
            b.line(_P, limit_gain(_P, dial), color),
            b.line(_P, expected_gain(_P, 8, dial), color, dash=_DASH, width=1.2),
        ]
    update += [
        b.label(0.5, 0.545, "GRPO: √(p(1−p))", _BLUE, "center"),
        b.label(0.5, 0.285, "Dr. GRPO: p(1−p)", _RED, "center"),
    ]
    c = Axes("solve rate p", "weight of an improvement dp", _RATES, (0.5, 1, 2, 4, 8, 16), factors=True)
    p = np.linspace(0.002, 0.998, 499)
    weighs = [
        c.line(p, difficulty_weight(p), _BLUE),
        c.line(p, difficulty_weight(p, G=64), _FIVE[3], dash=_DASH, width=1.4),
        c.line(p, difficulty_weight(p, G=8), "#882255", dash=_DASH, width=1.4),
        c.line(p, np.ones_like(p), _RED),
        c.label(0.5, 1.16, "Dr. GRPO: 1", _RED, "center"),
        c.label(0.06, 5.6, "GRPO, large groups: 1/√(p(1−p))", _BLUE),
        c.label(0.94, 5.6, "GRPO, exact: G = 64", _FIVE[3], "right"),
        c.label(0.015, 1.72, "GRPO, exact: G = 8", "#882255"),
    ]
    say = "dashed lines are exact: groups of 8 weigh the ends by at most √7, where the limit goes to infinity"
    halves = {"a  Objective": ascend, "b  Update": update}
    seven = _figure(7, "What the division optimises", halves, "exact, no draws; dashed: groups of 8")
    whole = (2 * _SIZE[0] + 22, _SIZE[1])
    eight = _figure(8, "How difficulty is weighed", {"Weight on dp": weighs}, say, size=whole)
    return seven | eight


def bigmath() -> dict[str, Any]:
    """Fig. 9: Big-Math's solve rates, and where the update goes."""
    data = r.bigmath()
    a = Axes(f"solve rate (n = {data.problems:,})", "problems", _RATES, (0, 5000, 10000, 15000, 20000, 25000))
    edges = np.linspace(0, 1, 65)
    counts = r.bars({"bin_left": edges[:-1]})
    bars = [a.cells(edges[:-1] + 0.002, edges[1:] - 0.002, np.zeros(64), counts, np.full(64, 0.45), PALE)]
    b = Axes("solve rate, tenths", "share of the large-G update", _RATES, (0, 0.05, 0.1, 0.15, 0.2), percent=True)
    left, mass = np.linspace(0, 0.9, 10), []
    rules = ((1, "share_grpo_sqrt", _BLUE, 0.012, 0.046), (0, "share_drgrpo_p(1-p)", _RED, 0.054, 0.088))
    for power, _, color, low, high in rules:
        share = r.bins(power)({})
        mass.append(b.cells(left + low, left + high, np.zeros(10), share, np.full(10, 0.6), color))
    mass += [b.label(0.03, 0.185, "GRPO: √(p(1−p))", _BLUE), b.label(0.03, 0.17, "Dr. GRPO: p(1−p)", _RED)]
    tops = [
        _Seen("b", mass, b, _SHARES, partial(_inside, (low + high) / 2), column, r.bins(power))
        for power, column, _, low, high in rules
    ]
    seen = _points(_Seen("a", bars, a, _BARS, partial(_inside, 1 / 128), "integer_count", r.bars), *tops)
    return _figure(9, "Real difficulty", {"a  Big-Math": bars, "b  Where the update goes": mass}, seen)


def _sizes(what: str, up: tuple[float, ...], across: tuple[float, ...], percent: bool = False) -> Axes:
    return Axes("group size G", what, across, up, percent=percent, doubling=True)


def _law(p: float, sizes: Any) -> Floats:
    """The paper's expansion of φ(G, p), Corollary 1."""
    return np.asarray(1 - 1 / (8 * sizes * p * (1 - p)))


def _inside(by: float, s: dict[str, Floats]) -> Floats:
    return s["bin_left"] + by


def _fidelity(s: dict[str, Floats]) -> Floats:
    return fidelity(s["p"], s["G"].astype(int))


def _required(s: dict[str, Floats]) -> Floats:
    at = [required_group_size(s["p"], target) for target in (0.95, 0.99)]
    return np.where(s["target_fidelity"] < 0.97, *at).astype(float)


@dataclass(frozen=True)
class _Seen:
    """A published series on a panel: its columns across and up, what we compute for it, every how many are drawn."""

    panel: str
    layers: list[Any]
    axes: Axes
    file: str
    x: str | Callable[[dict[str, Floats]], Floats]
    y: str
    ours: Callable[[dict[str, Floats]], Floats]
    every: int = 1


def _points(*published: _Seen) -> str:
    """Draws the published points, and says how far the farthest is from what we compute, panel by panel."""
    try:
        held = [r.series(seen.file) for seen in published]
    except Missing:
        return "the published points are not at hand (GROUPSIGMA_DATA)"
    far: dict[str, float] = {}
    for seen, s in zip(published, held, strict=True):
        x = seen.x(s) if callable(seen.x) else s[seen.x]
        seen.layers.append(seen.axes.points(x[:: seen.every], s[seen.y][:: seen.every], INK))
        off = float(np.nanmax(np.abs(seen.ours(s) - s[seen.y])))
        far[seen.panel] = max(off, far.get(seen.panel, 0.0))
    told = ", ".join(f"{off:.1g} in {letter}" for letter, off in far.items())
    return f"circles: as published; the farthest from what is computed here: {told}"


def _figure(
    number: int,
    title: str,
    panels: Mapping[str, list[Any]],
    *words: str,
    size: tuple[int, int] = _SIZE,
) -> dict[str, Any]:
    """A figure of the paper under its number; panels: layers by title; words: the caption's lines."""
    drawn = [panel(name, *layers, size=size) for name, layers in panels.items()]
    head = f"{title} (the paper's Fig. {number})"
    return {f"paper-{number}": row(head, [line for line in words if line], *drawn)}


#: First part of a claim's name -> its figures by file name.
FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "identity": identity,
    "group-size": group_size,
    "objective": limits,
    "bigmath": bigmath,
    "silent": silent,
    "dapo": dapo,
}
