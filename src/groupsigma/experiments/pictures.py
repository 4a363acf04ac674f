"""The experiments as pictures: ours, beside the published series where those are at hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from groupsigma.checks import Floats
from groupsigma.experiments import controlled as c
from groupsigma.experiments import paper_pictures
from groupsigma.experiments.allocation import OURS, UNIFORM, dynamic_rows, static_rows
from groupsigma.experiments.claims import Missing
from groupsigma.experiments.objectives import REDRAWN, relative
from groupsigma.experiments.readings import series
from groupsigma.experiments.static import ANSWERS as IN_STEP
from groupsigma.experiments.static import PAST, PROBLEMS
from groupsigma.figures import COLORS, INK, PALE, Axes, Dot, panel, ranking, row

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


def objectives() -> dict[str, Any]:
    """The chart by file name: what sampling rules weigh by solve rate."""
    p = np.linspace(0.01, 0.99, 197)
    axes = Axes("solve rate p", "weight F'(p), that of p = ½ is 1", _RATES, (0.25, 0.5, 1, 2, 4, 8), factors=True)
    pale = [axes.line(p, (4 * p * (1 - p)) ** -power, "#c4c4c4", width=1.2) for power in (0.0, 0.5, 1.0)]
    panels = []
    for title, curves in _OBJECTIVES.items():
        layers = list(pale)
        for name, color, dash, text, x, y in curves:
            layers += [axes.line(p, relative(name, p), color, dash=dash), axes.label(x, y, text, color)]
        panels.append(panel(title, *layers))
    caption = (
        "exact, no draws; pale, from below: what dials weigh for large G, 1 (Dr. GRPO), 1/√(p(1−p)) (GRPO), "
        "1/(p(1−p)) (log-odds)"
    )
    return {"objectives": row("What sampling rules weigh", caption, *panels)}


#: Panel -> (rule, colour, dashes, words, where they stand).
_OBJECTIVES: dict[str, tuple[tuple[str, str, tuple[int, ...], str, float, float], ...]] = {
    "a  A fixed number; a pilot first": (
        ("Dr. GRPO, G = 8", COLORS["dr-grpo"], (), "Dr. GRPO", 0.78, 0.88),
        ("GRPO, G = 8", COLORS["grpo"], (), "GRPO", 0.43, 1.25),
        ("SPEED, 4 + 12", COLORS["speed"], (), "SPEED, 4 + 12", 0.33, 0.6),
        ("Pilot-Commit, 8 + 24", COLORS["pilot-commit"], (), "Pilot-Commit,\n8 + 24", 0.3, 2.1),
    ),
    "b  Until one is right": (
        ("until one is right, to 32", INK, (), "one by one,\nto 32", 0.5, 0.55),
        ("AERO, 8 then by 2 to 16", COLORS["aero"], (), "AERO", 0.83, 0.82),
        ("Reinforce-Ada, one right", COLORS["reinforce-ada"], (), "Reinforce-Ada,\none right", 0.35, 2.1),
    ),
    "c  Until right and wrong": (
        ("until mixed, to 32", INK, (), "one by one, to 32", 0.3, 0.83),
        (REDRAWN, COLORS["dapo"], (), "DAPO, same\nprompt again", 0.32, 1.9),
        ("Reinforce-Ada, balanced", COLORS["reinforce-ada"], (), "Reinforce-Ada,\nbalanced", 0.32, 4.6),
    ),
}


def allocation(found: dict[str, Any]) -> dict[str, Any]:
    """The chart by file name: who gets how many tries, from the results of `allocation`."""
    table = next(t for t in found["static"] if t["past"] == PAST)
    groups = [
        Dot(_short(name), mixed, mixed - 2 * error, mixed + 2 * error, f"{mixed:.0f}", *_look(name))
        for name, mixed, error, _, _ in static_rows(table)
        if _short(name) not in _LEFT_OUT
    ]
    moving = found["dynamic"][0]
    answers = []
    for name, _, _, (value, low, high), _, _ in dynamic_rows(moving):
        if name in _LEFT_OUT:
            continue
        never = any(a is None for a in moving["rules"][name]["answers"])
        text = "1" if name == OURS else f"{'> ' if never else ''}{value:.{1 if value >= 1 else 2}f}"
        answers.append(Dot(name, value, low, high, text, *_look(name), beyond=never))
    answers.sort(key=lambda d: d.value)
    top = max(d.high for d in groups)
    draws = len(moving["rules"][OURS]["answers"])
    caption = [
        f"a: {PAST} past tries of each of {PROBLEMS:,} problems spread as Big-Math’s, {IN_STEP:,} answers; "
        f"{table['draws']} draws, mean ± 2 standard errors",
        f"b: {moving['budget']:,} answers at most, to a held-out solve rate of {moving['target']:.2g}; {draws} draws, "
        "paired, mean ratio and 95 % interval",
        "hollow: knows every solve rate, or the bound in expectation; arrow: not reached on some draws, counted as "
        "twice the budget",
    ]
    if found["quick"]:
        caption.append("a quick look: few rules, few draws, a third of the answers")
    return {
        "allocation": row(
            "Who gets how many tries",
            caption,
            ranking("a  Groups that teach", "mixed groups per 1,000 answers", _round_ticks(top), groups),
            ranking(
                f"b  Answers to the target, family “{moving['family']}”",
                "answers, in multiples of the plan’s (log scale)", _factors(answers), answers, factors=True,
            ),
        )
    }  # fmt: skip


#: Between their neighbours, or the same rule for another goal.
_LEFT_OUT = frozenset({"GRPO G=4", "GRPO G=16", "plan (signal)", "oracle plan (signal)", "oracle plan (coverage)"})


def _short(name: str) -> str:
    """A rule without its knobs."""
    knobs = ("(size", "(by", "(pilot", "(further", "(first")
    return min((name.split(f" {k}")[0] for k in knobs), key=len).replace(" (coverage)", "")


def _look(name: str) -> tuple[str, bool]:
    """Colour, and whether hollow."""
    if name.startswith("oracle") or name == "dual bound":
        return PALE, True
    if name.startswith("plan"):
        return COLORS["plan"], False
    if name == UNIFORM:
        return COLORS["grpo"], False
    return (COLORS["dapo"], False) if _short(name) == "DAPO" else (INK, False)


def _round_ticks(top: float) -> tuple[float, ...]:
    """0 to a round number over the top, and room for words."""
    by = next(b for b in (50, 100, 200, 500) if top * 1.12 <= 5 * b)
    return tuple(float(x) for x in range(0, int(np.ceil(top * 1.12 / by)) * by + 1, by))


def _factors(dots: list[Dot]) -> tuple[float, ...]:
    """Powers of two around all intervals."""
    low, high = np.log2(min(d.low for d in dots)), np.log2(max(d.high for d in dots) * 1.3)
    return tuple(2.0**k for k in range(int(np.floor(low)), int(np.ceil(high)) + 1))


#: First part of a claim's name -> its charts by file name.
FIGURES = {**paper_pictures.FIGURES, "dynamics": dynamics, "objectives": objectives}
