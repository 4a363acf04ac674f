"""The contest on a language model as a picture: the map, the best of each rule as it learns, and answers saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groupsigma.experiments import lm_contest_findings as told
from groupsigma.experiments.lm_contest import BUDGET, ORACLE, OURS, UNIFORM
from groupsigma.experiments.lm_findings import written
from groupsigma.figures import COLORS, INK, PALE, Axes, Dot, panel, ranking, row

#: Rules in the picture: colour, and words.
_SHOWN = {
    ORACLE: (INK, "ours, true solve rates"),
    OURS: (COLORS["plan"], "ours"),
    "grpo, small G": (COLORS["logit"], "GRPO, small G"),
    UNIFORM: (COLORS["grpo"], "GRPO, G = 8"),
    "lone, none chosen": (COLORS["rloo"], "ours, none chosen"),
    "plain": (COLORS["maxrl"], "one try each, batch mean"),
    "dapo": (COLORS["dapo"], "DAPO"),
    "dr-grpo": (COLORS["dr-grpo"], "Dr. GRPO"),
    "top-k": (PALE, "tuned top-k"),
}

#: Those whose curves are drawn.
_DRAWN = (ORACLE, OURS, "plain", "dapo", UNIFORM)
#: Lines of the map by batch, in words and as dashes.
_DASHES = (("solid", ()), ("dashed", (5, 3)), ("dotted", (1, 2)))


def lm_contest_figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """The charts by file name."""
    return {f"lm-allocation-{start}": _chart(start, one) for start, one in found["starts"].items()}


def _chart(start: str, found: Mapping[str, Any]) -> Any:
    seeds = len(told.of(found, OURS))
    pool = "follow Big-Math's" if start == "bigmath" else "are spread flat"
    return row(
        "One try each of many problems, compared with what is believed of them",
        f"a language model of 494,080 parameters, problems whose solve rates {pool}; {BUDGET:,} answers a run; "
        f"b, c: each rule at its own best batch and rate, {seeds} seeds",
        panel("a  The map: by batch and learning rate", *_map(found)),
        panel("b  Held-out accuracy, by answers", *_learning(found)),
        _saved(found),
    )


def _map(found: Mapping[str, Any]) -> list[Any]:
    rows = told.mapped(found)
    every = [cell[name]["area"] for cell in rows for name in (UNIFORM, OURS, ORACLE)]
    up = tuple(np.round(np.arange(np.floor(20 * min(every)) / 20 - 0.05, max(every) + 0.05, 0.05), 2).tolist())
    rates = sorted({cell["rate"] for cell in rows})
    place = {rate: at for at, rate in enumerate(rates)}
    axes = Axes(
        f"learning rate, doublings of {written(rates[0])}",
        "mean held-out accuracy of the run", tuple(range(len(rates))), up,
    )  # fmt: skip
    layers = []
    dashes = dict(zip(sorted({cell["batch"] for cell in rows}), _DASHES, strict=False))
    for name in (UNIFORM, OURS, ORACLE):
        color, words = _SHOWN[name]
        for batch, (_, dash) in dashes.items():
            here = [cell for cell in rows if cell["batch"] == batch]
            x, y = [place[cell["rate"]] for cell in here], [cell[name]["area"] for cell in here]
            layers += [axes.line(x, y, color, dash=dash, width=1.5), axes.points(x, y, color, size=12)]
    for at, name in enumerate((ORACLE, OURS, UNIFORM)):
        layers.append(axes.label(0, up[0] + (up[-1] - up[0]) * (0.24 - 0.08 * at), *reversed(_SHOWN[name])))
    words = "answers a step:\n" + ", ".join(f"{batch:,} {name}" for batch, (name, _) in dashes.items())
    return [*layers, axes.label(0, up[0] + (up[-1] - up[0]) * 0.4, words, INK)]


def _learning(found: Mapping[str, Any]) -> list[Any]:
    curves = {name: told.curves(told.of(found, name)) for name in _DRAWN if told.of(found, name)}
    every = np.concatenate([y.mean(0) for _, y in curves.values()])
    # Room below the curves for their names.
    up = tuple(np.round(np.arange(np.floor(20 * every.min()) / 20 - 0.05, every.max() + 0.05, 0.05), 2).tolist())
    axes = Axes("answers sampled, thousands", "held-out accuracy", (0, 20, 40, 60), up)
    layers = []
    for at, (name, (x, y)) in enumerate(curves.items()):
        color, words = _SHOWN[name]
        if name in (OURS, UNIFORM):
            layers.append(axes.band(x / 1000, y.min(0), y.max(0), color))
        layers += [
            axes.line(x / 1000, y.mean(0), color),
            axes.label(22, up[0] + (up[-1] - up[0]) * (0.33 - 0.07 * at), words, color),
        ]
    return layers


def _saved(found: Mapping[str, Any]) -> Any:
    """Answers for each of ours, to what uniform groups have at the end."""
    dots = []
    for name, (color, words) in _SHOWN.items():
        if name == OURS or not told.of(found, name):
            continue
        ratio = told.fewer(found, OURS, name, 1.0)
        at = f"{'> ' * ratio.beyond}{ratio.times:.2f}"
        dots.append(Dot(words, ratio.times, ratio.low, ratio.high, at, color, beyond=ratio.beyond))
    dots.sort(key=lambda dot: dot.value)
    most = np.ceil(max(dot.high for dot in dots))
    return ranking("c  Answers for each of ours", "to GRPO's last level", (0, 1, *range(2, int(most) + 1)), dots)
