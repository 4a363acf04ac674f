"""The test on a language model as pictures: silence and contrast; the methods as they learn; the points of the dial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groupsigma.checks import Floats
from groupsigma.experiments import lm_findings as told
from groupsigma.experiments.lm_contrasts import contrasts
from groupsigma.experiments.lm_findings import named, written
from groupsigma.experiments.lm_full import last
from groupsigma.experiments.lm_stops import aged, pulled, reused
from groupsigma.figures import COLORS, INK, PALE, Axes, Dot, panel, ranking, row

_RATES = (0, 0.2, 0.4, 0.6, 0.8, 1)
#: Steps whose mean is one mark of a silence curve.
_WINDOW = 10
#: Colours of G = 4, 8, 16, 32: of points of the dial that belong to no method here.
_BY_SIZE = dict(zip((4, 8, 16, 32), ("#332288", COLORS["grpo"], "#44AA99", "#999933"), strict=True))


def lm_figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """The charts by file name."""
    charts: dict[str, Any] = {}
    for name, family in found["families"].items():
        drawn = {"identity": _identity(name, family), "learning": _learning(name, family), "dial": _dial(name, family)}
        if family["departures"]:
            drawn["stops"] = _stops(name, family)
        charts |= {f"lm-{name}-{what}": chart for what, chart in drawn.items()}
    return charts


def _identity(name: str, found: Mapping[str, Any]) -> Any:
    seeds, more = (len(told.of(found, "grpo", G)) for G in (4, 8))
    return row(
        "On a language model: silence as the closed form has it; the contrast is not the same for all",
        f"{name}; GRPO, {found['batch']:,} answers a step, {seeds} seeds of each G ({more} of G = 8), "
        f"means of {_WINDOW} steps; "
        f"contrast: {len(found['norms'][0]['p']):,} prompts at the start, {found['start']['parameters']:,} parameters",
        panel("a  Silent groups", *_silence(found)),
        panel("b  How large the contrast is", *_contrast(found)),
        panel("c  What it is worth to held-out problems", *_worth(found)),
    )


def _silence(found: Mapping[str, Any]) -> list[Any]:
    most = max(len(run["steps"]["silent"]) for run in told.of(found, "grpo", 8))
    smallest = min(arm["G"] for arm in found["arms"] if arm["way"] == "grpo")
    top = max(float((silent / groups).max()) for silent, groups in _both(told.of(found, "grpo", smallest)))
    up = (0, 0.2, 0.4, 0.6, 0.8, 1) if top > 0.75 else (0, 0.2, 0.4, 0.6, 0.8)
    axes = Axes("training step", "silent share of groups", (0, most // 2, most), up, percent=True)
    layers = []
    for G, color in _BY_SIZE.items():
        runs = told.of(found, "grpo", G)
        if not runs:
            continue
        silent, groups, expected = (
            _windows([run["steps"][name] for run in runs]) for name in ("silent", "groups", "expected")
        )
        steps = _WINDOW * (np.arange(silent.shape[1]) + 0.5)
        named = max(0, silent.shape[1] - 3)
        layers += [
            axes.line(steps, expected.sum(0) / groups.sum(0), color, width=1.3),
            axes.points(steps, silent.sum(0) / groups.sum(0), color),
            axes.label(
                most * 0.82, float(expected[:, named].sum() / groups[:, named].sum()) + 0.055, f"G = {G}", color
            ),
        ]
    return [*layers, axes.label(most * 0.03, up[-1] * 0.95, "circles: seen\nlines: expected", INK)]


def _both(runs: Sequence[Mapping[str, Any]]) -> list[tuple[Floats, Floats]]:
    """Silent groups and groups of each run, in windows."""
    silent, groups = (_windows([run["steps"][name] for run in runs]) for name in ("silent", "groups"))
    return list(zip(silent, groups, strict=True))


def _windows(rows: Sequence[Sequence[float]]) -> Floats:
    """Sums over windows of steps, [runs, windows]."""
    x = np.array(rows, dtype=np.float64)
    whole = x.shape[1] // _WINDOW
    return np.asarray(x[:, : whole * _WINDOW].reshape(len(x), whole, _WINDOW).sum(2))


def _contrast(found: Mapping[str, Any]) -> list[Any]:
    rows = contrasts(found["norms"][0])
    top = 50 * np.ceil(1.1 * max(max(r["contrast"], r["drawn"]) for r in rows) / 50)
    axes = Axes("exact solve rate", "norm over all parameters", _RATES, tuple(np.arange(0, top + 1, 50).tolist()))
    p = [r["p"] for r in rows]
    own, drawn = [r["contrast"] for r in rows], [r["drawn"] for r in rows]
    return [
        axes.line(p, drawn, INK),
        axes.points(p, drawn, INK),
        axes.label(0.4, max(drawn[len(drawn) // 3 :]) + top * 0.07, "‖Δs‖ as drawn, G = 8", INK),
        axes.line(p, own, COLORS["plan"]),
        axes.points(p, own, COLORS["plan"]),
        axes.label(0.4, float(np.interp(0.4, p, own)) - top * 0.1, "‖E Δs‖", COLORS["plan"]),
    ]


def _worth(found: Mapping[str, Any]) -> list[Any]:
    rows = contrasts(found["norms"][0])
    top = 5 * np.ceil(max(r["worth"] + 2 * r["error"] for r in rows) / 5)
    bottom = min(0, 5 * np.floor(min(r["worth"] - 2 * r["error"] for r in rows) / 5))
    up = tuple(np.arange(bottom, top + 1, 5).tolist())
    axes = Axes("exact solve rate", "E Δs along the gradient of accuracy", _RATES, up)
    p, worth, error = (np.array([r[name] for r in rows]) for name in ("p", "worth", "error"))
    return [axes.bars(p, worth - 2 * error, worth + 2 * error, COLORS["plan"]), axes.points(p, worth, COLORS["plan"])]


def _learning(name: str, found: Mapping[str, Any]) -> Any:
    panels, batch = [], found["batch"]
    for letter, what, where, spent in (
        ("a  Held-out accuracy", "held_out", None, "answers"),
        ("b  Its hardest quarter", "held_out quarters", 0, "answers"),
        ("c  The same by updates", "held_out quarters", 0, "updates"),
    ):
        curves = {way: _curve(told.of(found, way), what, where, spent, batch) for way in ("grpo", "dr-grpo", "dapo")}
        every = np.concatenate([y.ravel() for _, y in curves.values()])
        up, end = _nice(float(every.min()), float(every.max())), max(float(x[-1]) for x, _ in curves.values())
        axes = Axes(
            f"answers, in steps of {batch:,}" if spent == "answers" else spent, "solve rate", (0, end / 2, end), up
        )
        layers = []
        for at, (way, (x, y)) in enumerate(curves.items()):
            layers += [
                axes.band(x, y.min(0), y.max(0), COLORS[way]),
                axes.line(x, y.mean(0), COLORS[way]),
                axes.label(end * 0.66, up[0] + (up[-1] - up[0]) * (0.3 - 0.09 * at), named(way), COLORS[way]),
            ]
        panels.append(panel(letter, *layers))
    rates = ", ".join(f"{named(way)} {written(found['rates'][way])}" for way in ("grpo", "dr-grpo", "dapo"))
    return row(
        "The three methods from one start, each at its own best learning rate",
        f"{name}; {len(told.of(found, 'grpo'))} seeds: mean and range; G = 8, {batch:,} answers a step; "
        f"learning rates {rates}",
        *panels,
    )


def _nice(low: float, high: float) -> tuple[float, ...]:
    """Round ticks around a range."""
    step = next(step for step in (0.02, 0.05, 0.1, 0.2) if high - low <= 4 * step or step == 0.2)
    first, last = int(np.floor(low / step)), int(np.ceil(high / step))
    return tuple(round(step * i, 2) for i in range(first, last + 1))


def _curve(
    runs: Sequence[Mapping[str, Any]], what: str, where: int | None, spent: str, batch: int
) -> tuple[Floats, Floats]:
    """Where looks were, on a common axis, and what they saw, [runs, looks]."""
    x = np.array([[look[spent] for look in run["looks"]] for run in runs], dtype=np.float64)
    x = x / batch if spent == "answers" else x
    y = np.array([[look[what] if where is None else look[what][where] for look in run["looks"]] for run in runs])
    common = np.linspace(0, np.round(x[:, -1].min()), x.shape[1])
    return common, np.array([np.interp(common, a, b) for a, b in zip(x, y, strict=True)])


def _stops(name: str, found: Mapping[str, Any]) -> Any:
    rows = reused(found)
    passes = sorted({row["pass"] for row in rows})
    a = Axes("pass over the batch", "‖u − g‖ / ‖g‖", tuple(passes), (0, 0.5, 1, 1.5, 2))
    shades = dict(zip(sorted({row["rate"] for row in rows}), _BY_SIZE.values(), strict=False))
    again = []
    for rate, color in shades.items():
        for clip, dash in (("grpo", ()), ("none", (4, 3))):
            here = [row for row in rows if row["rate"] == rate and row["clip"] == clip]
            y = [row["distance"] for row in here]
            again.append(a.line(passes, y, color, dash=dash))
            if not dash:
                again += [
                    a.points(passes, y, color),
                    a.label(passes[0] + 0.05, 1.92 - 0.12 * len(again) / 3, written(rate), color),
                ]
    b = Axes("age of the answers, updates", "‖u − g‖ / ‖g‖", (0, 4, 8, 12, 16), (0, 0.5, 1, 1.5, 2, 2.5))
    old = []
    for clip, color, words, up in (("grpo", INK, "clipped at .2", 1.4), ("none", COLORS["plan"], "no clip", 0.35)):
        ages = aged(found, clip)
        x = [row["age"] for row in ages]
        old += [
            b.band(x, [row["low"] for row in ages], [row["high"] for row in ages], color),
            b.line(x, [row["all"] for row in ages], color),
            b.label(9, up, words, color),
        ]
    betas = (0, 0.02, 0.04, 0.06, 0.08, 0.1)
    c = Axes("β of the KL term", "‖u − g‖ / ‖g‖", betas, (0, 0.2, 0.4, 0.6))
    drift = []
    rows = [row for row in pulled(found) if not row["beta"]]
    # The median: where one rare token has nearly all of h, a mean says nothing.
    sizes = {at: float(np.median([r["size"] for r in rows if r["updates"] == at])) for at in (25, 50, 100)}
    for (at, size), color in zip(sizes.items(), list(_BY_SIZE.values())[:3], strict=True):
        # Beside the end of its line: the lowest below it, the others above.
        beside = -0.085 if size == min(sizes.values()) else 0.035
        drift += [
            c.line([0, 0.1], [0, 0.1 * size], color),
            c.label(0.098, 0.098 * size + beside, f"{at} updates", color, align="right"),
        ]
    return row(
        "Where the identity stops: u, the trainer's update, against g = Σ σ Δs on the same answers",
        f"{name}; GRPO, 128 × 8 answers, after 20 updates (c: as said); 3 seeds: means, ranges in b, medians in c; "
        "solid: clipped at .2, dashed: no clip",
        panel("a  A batch used again, by learning rate", *again),
        panel("b  Stale answers", *old),
        panel("c  KL to the start, after training", *drift),
    )


def _dial(name: str, found: Mapping[str, Any]) -> Any:
    panels = []
    for letter, what in (("a  Held-out accuracy", "held_out"), ("b  Its hardest quarter", "held_out quarters")):
        dots = []
        for way in found["rates"]:
            ends = [float(np.atleast_1d(last(run, what))[0]) for run in told.of(found, way)]
            mean, low, high = told.interval(ends)
            color = COLORS.get(way, PALE)
            dots.append(Dot(named(way), mean, low, high, f"{mean:.1%}", color))
        least, most = min(d.low for d in dots), max(d.high for d in dots)
        across = (float(np.floor(50 * least) / 50), float(np.ceil(50 * most + 1) / 50))
        panels.append(ranking(letter, "solve rate", across, dots))
    return row(
        "Points of the dial, each at its own best learning rate",
        f"{name}; last quarter of {found['budget']:,} answers; mean and 95 % interval over seeds",
        *panels,
    )
