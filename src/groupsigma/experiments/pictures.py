"""The experiments as pictures: ours, beside the published series where those are at hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from groupsigma.checks import Floats
from groupsigma.experiments import controlled as c
from groupsigma.experiments.claims import Missing
from groupsigma.experiments.readings import series
from groupsigma.figures import COLORS, INK, PALE, Axes, panel, row

_RATES = (0, 0.2, 0.4, 0.6, 0.8, 1)
#: Where the marks of a method stand beside the middle of a tenth.
_ASIDE = {"grpo": -0.02, "dr-grpo": 0.02}


def dynamics() -> dict[str, Any]:
    """The charts by file name: "dynamics", the paper's three panels; "dynamics-fair", ours."""
    return {"dynamics": _as_published(), "dynamics-fair": _fair()}


def _as_published() -> Any:
    steps, tenths = np.arange(c.STEPS + 1.0), np.arange(0.05, 1, 0.1)
    a = Axes("training step", "silent share of groups", (0, 50, 100, 150), percent=True)
    came, told = c.over_draws(c.silent), c.over_draws(c.silent_predicted)
    silent = [
        a.band(steps[:-1], came.min(0), came.max(0), COLORS["grpo"]),
        a.line(steps[:-1], np.median(told, 0), INK, width=1.3),
        a.label(48, 0.56, "line: closed form", INK),
        a.label(48, 0.48, "band: measured", COLORS["grpo"]),
    ]
    b = Axes("solve rate at the start", "share of gradient mass", _RATES, (0, 0.05, 0.1, 0.15), percent=True)
    mass = [b.label(0.03, 0.143, "GRPO", COLORS["grpo"]), b.label(0.24, 0.143, "Dr. GRPO", COLORS["dr-grpo"])]
    for method, aside in _ASIDE.items():
        shares = c.over_draws(partial(c.tenths_predicted, method))
        mass += [b.bars(tenths + aside, shares.min(0), shares.max(0), COLORS[method])]
        mass += [b.points(tenths + aside, np.median(shares, 0), COLORS[method], shape="stroke", size=50)]
    h = Axes("training step", "solve rate, hardest quartile", (0, 50, 100, 150))
    hardest = []
    for method, text, x, y in (
        ("dapo", "DAPO", 3, 0.93),
        ("grpo", "GRPO", 36, 0.5),
        ("dr-grpo", "Dr. GRPO", 84, 0.45),
    ):
        hardest += _curve(h, COLORS[method], steps, c.over_draws(partial(c.curve, method)))
        hardest += [h.label(x, y, text, COLORS[method])]
    circles = ""
    if published := _published():
        measured, theirs, curves = published
        silent += [a.points(measured["step"], measured["silent_measured"], INK)]
        mass += [b.points(tenths + d, theirs[f"{c.THEIRS[method]}_measured"], INK) for method, d in _ASIDE.items()]
        hardest += [h.points(curve["step"][::3], curve["mean_solve_rate"][::3], INK) for curve in curves]
        circles = "; circles: as published"
    return row(
        "The paper's controlled run comes out again",
        f"6,000 prompts with Big-Math's solve rates, G = 8, step size 0.5; {c.DRAWS} draws of the prompts: "
        f"median and range{circles}",
        panel("a  Silent groups, foretold", *silent),
        panel("b  Where the update goes", *mass),
        panel("c  One step size for all", *hardest),
    )


def _curve(axes: Axes, color: str, x: Floats, rows: Floats, dash: tuple[int, ...] = ()) -> list[Any]:
    """Median and range over the draws."""
    return [axes.band(x, rows.min(0), rows.max(0), color), axes.line(x, np.median(rows, 0), color, dash=dash)]


def _published() -> tuple[dict[str, Floats], dict[str, Floats], list[dict[str, Floats]]] | None:
    try:
        return series(c.SILENT), series(c.MASS), [series(c.CURVE.format(name)) for name in c.THEIRS.values()]
    except Missing:
        return None


def _fair() -> Any:
    blue, red, green = COLORS["grpo"], COLORS["dr-grpo"], COLORS["dapo"]
    steps, means, groups = np.arange(c.STEPS + 1.0), np.linspace(0.47, 0.99, 105), np.linspace(0, 60, 121)
    a = Axes("training step", "solve rate, hardest quartile", (0, 50, 100, 150))
    energy = [
        *_curve(a, PALE, steps, c.over_draws(partial(c.curve, "dr-grpo")), (4, 3)),
        *_curve(a, blue, steps, c.over_draws(partial(c.curve, "grpo"))),
        *_curve(a, red, steps, c.over_draws(_hardest_at_equal_energy)),
        a.label(4, 0.72, "GRPO\nstep 0.5", blue),
        a.label(55, 0.67, "Dr. GRPO\nstep 1.14", red),
        a.label(92, 0.5, "Dr. GRPO\nstep 0.5", PALE),
    ]
    b = Axes("mean solve rate, all prompts", "solve rate, hardest quartile", (0.4, 0.6, 0.8, 1))
    at_mean = [
        *_curve(b, blue, means, c.over_draws(partial(_along, "grpo", means))),
        *_curve(b, red, means, c.over_draws(partial(_along, "dr-grpo", means)), (5, 4)),
        b.label(0.5, 0.62, "GRPO", blue),
        b.label(0.5, 0.53, "Dr. GRPO, dashed", red),
    ]
    d = Axes("groups drawn per prompt", "solve rate, hardest quartile", (0, 20, 40, 60))
    per_answer = [
        *_curve(d, green, groups, c.over_draws(partial(c.after, groups, "same"), c.FEW)),
        *_curve(d, blue, groups, c.over_draws(partial(c.after, groups, "grpo"), c.FEW)),
        *_curve(d, green, groups, c.over_draws(partial(c.after, groups, "others"), c.FEW), (5, 4)),
        d.label(2, 0.88, "GRPO", blue),
        d.label(2, 0.79, "DAPO on other\nprompts, dashed", green),
        d.label(36, 0.36, "DAPO on the\nsame prompt", green),
    ]
    return row(
        "What remains when the comparison is fair",
        f"the same prompts; a, b: {c.DRAWS} draws, median and range; c: batches of {c.BATCH:,} prompts, {c.FEW} draws",
        panel("a  Equal first step energy", *energy),
        panel("b  At equal mean", *at_mean),
        panel("c  At equal answers", *per_answer),
    )


def _hardest_at_equal_energy(seed: int) -> Floats:
    return c.run("dr-grpo", seed, c.equal_energy(seed)).hardest


def _along(method: str, means: Floats, seed: int) -> Floats:
    """The hardest quartile as a function of the mean of all, at equal first energy."""
    record = c.run(method, seed, c.equal_energy(seed) if method == "dr-grpo" else c.STEP_SIZE)
    return np.interp(means, record.solve_rate, record.hardest)


#: First part of a claim's name -> its charts by file name.
FIGURES = {"dynamics": dynamics}
