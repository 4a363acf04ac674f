"""The paper's controlled run, again and again: 6,000 prompts from Big-Math's interior, each a coin of its own.

The authors' prompts were drawn by row number, and rows are not public here, so no run can be
theirs. Each number is computed on several draws; the published one has to lie within three
standard deviations of a new draw, and half a unit of its last digit. One thing is known of
their draw: solve rates are multiples of 1/64, so the lower quartile falls on 6/64 or (ten times
in eleven) on 7/64, and their start of .0445 says 6/64. All prompts at the quartile belong to it, as in their
script: more than a quarter. Only draws with the quartile at 6/64 are compared; `ties` says what that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from groupsigma.checks import Floats
from groupsigma.dial import DAPO, DR_GRPO, GRPO, Dial
from groupsigma.expect import table_mean
from groupsigma.experiments.readings import bigmath, series
from groupsigma.law import gradient_share
from groupsigma.sigma import gain
from groupsigma.simulate import TENTHS, Records, simulate

METHODS: dict[str, Dial] = {"grpo": GRPO, "dr-grpo": DR_GRPO, "dapo": DAPO}
PROMPTS, G, STEP_SIZE, STEPS = 6000, 8, 0.5, 150
#: Draws of the prompts that the published numbers are held against, and the fewer that grids run on.
DRAWS, FEW = 20, 4
#: Their lower quartile; the next one up is the common one.
QUARTILE, COMMON = 6 / 64, 7 / 64
#: Repeats of the first step for the measured mass, as in the paper.
REPEATS = 400
#: Step sizes tried; the paper's is 0.5.
GRID = (0.125, 0.5, 2.0, 8.0, 32.0)
#: For batches: prompts a step; groups drawn a prompt, and steps, at which methods are compared.
BATCH, BUDGETS, LATER = 1000, (20, 60), 100

#: The published series, and their names of the methods.
CURVE = "experiment_c_hardest_quartile_{}_vertices.csv"
SILENT, SILENT_PREDICTED = "experiment_a_silent_measured.csv", "experiment_a_closed_form_vertices.csv"
MASS = "experiment_b_gradient_mass.csv"
THEIRS = {"grpo": "grpo", "dr-grpo": "drgrpo", "dapo": "dapo"}

Read = Callable[[int], tuple[float, ...]]


def start(seed: int) -> Floats:
    """6,000 interior Big-Math solve rates drawn without replacement, clipped to [.02, .98]."""
    data = bigmath()
    p = data.solve_rate
    inside = (p > 0) & (p < 1)
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(data.count[inside], PROMPTS)
    return np.clip(np.repeat(p[inside], drawn), 0.02, 0.98)


@cache
def seeds(quartile: float = QUARTILE, count: int = DRAWS) -> tuple[int, ...]:
    """The first seeds whose lower quartile is there."""
    found: list[int] = []
    seed = 0
    while len(found) < count:
        if np.quantile(start(seed), 0.25) == quartile:
            found.append(seed)
        seed += 1
    return tuple(found)


@cache
def run(method: str, seed: int, step_size: float = STEP_SIZE) -> Records:
    """One run of 150 steps over all prompts."""
    rng = np.random.default_rng((seed, *map(ord, method)))
    return simulate(start(seed), dial=METHODS[method], group_size=G, steps=STEPS, step_size=step_size, rng=rng)


@cache
def read(reading: Read, count: int = DRAWS, quartile: float = QUARTILE) -> Floats:
    """A reading on each draw, float64 [draws, numbers]."""
    return np.array([reading(seed) for seed in seeds(quartile, count)])


def mean(reading: Read, draws: int = DRAWS) -> Callable[[], tuple[float, ...]]:
    """Its mean over the draws."""
    return lambda: tuple(float(x) for x in read(reading, draws).mean(0))


def tolerance(
    reading: Read, draws: int = DRAWS, half_unit: float | Sequence[float] = 0.0
) -> Callable[[], tuple[float, ...]]:
    """Three standard deviations of one more draw from the mean of ours, and half a unit of the published digit."""
    return lambda: tuple(float(x) for x in 3 * _new_draw(read(reading, draws)) + np.asarray(half_unit))


def _new_draw(rows: Floats) -> Floats:
    return rows.std(0, ddof=1) * np.sqrt(1 + 1 / len(rows))


def first(seed: int) -> tuple[float, ...]:
    """Solve rate of the hardest quartile at the start."""
    return (float(run("grpo", seed).hardest[0]),)


def fit(seed: int) -> tuple[float, ...]:
    """R² of the closed form for the silent share measured in GRPO's run."""
    came, told = run("grpo", seed).silent, run("grpo", seed).silent_predicted
    return (float(1 - ((came - told) ** 2).sum() / ((came - came.mean()) ** 2).sum()),)


def hardest(seed: int) -> tuple[float, ...]:
    """Solve rate of the hardest quartile at the end, by method."""
    return tuple(float(run(method, seed).hardest[-1]) for method in METHODS)


def oversampling(seed: int) -> tuple[float, ...]:
    """Answers that DAPO drew over the run for each of GRPO's."""
    return (float(run("dapo", seed).answers[-1] / run("grpo", seed).answers[-1]),)


@cache
def tenths(method: str, seed: int) -> Floats:
    """Shares of the gradient mass at the start by tenth of solve rate: measured over 400 groups a prompt."""
    rng = np.random.default_rng((seed, len(method)))
    still = simulate(start(seed), dial=METHODS[method], group_size=G, steps=REPEATS, step_size=0.0, rng=rng)
    return still.mass / still.mass.sum()


def tenths_predicted(method: str, seed: int) -> Floats:
    """The same shares in closed form."""
    p = start(seed)
    return np.histogram(p, np.linspace(0, 1, TENTHS + 1), weights=gradient_share(p, G, METHODS[method]))[0]


def extremes(seed: int) -> tuple[float, ...]:
    """Per cent of the mass in the first and last tenth, closed form: GRPO, Dr. GRPO."""
    return tuple(100 * float(tenths_predicted(m, seed)[[0, -1]].sum()) for m in ("grpo", "dr-grpo"))


def extremes_measured(seed: int) -> tuple[float, ...]:
    """The same as drawn."""
    return tuple(100 * float(tenths(m, seed)[[0, -1]].sum()) for m in ("grpo", "dr-grpo"))


def off_closed_form() -> tuple[float, ...]:
    """Largest difference of a measured from a predicted share of a tenth, in points: at the start, along the runs."""
    still, along = 0.0, 0.0
    for seed in seeds(count=FEW):
        for method in METHODS:
            record = run(method, seed)
            shares = record.mass / record.mass.sum() - record.mass_predicted / record.mass_predicted.sum()
            along = max(along, float(np.abs(shares).max()))
            if method != "dapo":
                still = max(still, float(np.abs(tenths(method, seed) - tenths_predicted(method, seed)).max()))
    return 100 * still, 100 * along


def wasted(seed: int) -> tuple[float, ...]:
    """DAPO: per cent of all draws on prompts then solved over 90 %; of visits silent after four draws, at the end."""
    record = run("dapo", seed)
    return 100 * float(record.groups[-1] / record.groups.sum()), 100 * float(1 - record.updated[-1])


def off_series(name: str, column: str, ours: Callable[[int], Floats], draws: int = DRAWS) -> tuple[float, ...]:
    """Largest distance of a published series from the mean of ours, in standard deviations of one more draw.

    `ours` has a number for each step where the series has steps, else for each row.
    """
    published = series(name)
    rows = over_draws(ours, draws)
    if "step" in published:
        rows = rows[:, published["step"].astype(np.int64)]
    return (float(np.max(np.abs(published[column] - rows.mean(0)) / _new_draw(rows))),)


def over_draws(ours: Callable[[int], Floats], draws: int = DRAWS) -> Floats:
    """A series on each draw, float64 [draws, length]."""
    return np.array([ours(seed) for seed in seeds(count=draws)])


def curve(method: str, seed: int) -> Floats:
    """The hardest quartile's solve rate along a run."""
    return run(method, seed).hardest


def silent(seed: int) -> Floats:
    """The silent share measured along GRPO's run."""
    return run("grpo", seed).silent


def silent_predicted(seed: int) -> Floats:
    """The closed form at the solve rates of that run."""
    return run("grpo", seed).silent_predicted


def off_silent() -> tuple[float, ...]:
    """Distances of the published silent shares: measured, closed form."""
    measured = off_series(SILENT, "silent_measured", silent)
    return *measured, *off_series(SILENT_PREDICTED, "silent_closed_form", silent_predicted)


def off_mass() -> tuple[float, ...]:
    """Distances of the published shares by tenth: closed form and measured, GRPO, then Dr. GRPO."""
    out: tuple[float, ...] = ()
    for method in ("grpo", "dr-grpo"):
        out += off_series(MASS, f"{THEIRS[method]}_closed_form_G8", partial(tenths_predicted, method))
        out += off_series(MASS, f"{THEIRS[method]}_measured", partial(tenths, method), FEW)
    return out


def off_hardest() -> tuple[float, ...]:
    """Distances of the three published curves."""
    return tuple(
        x
        for method, theirs in THEIRS.items()
        for x in off_series(CURVE.format(theirs), "mean_solve_rate", partial(curve, method))
    )


def ties() -> tuple[float, ...]:
    """Per cent of draws with the quartile at 6/64; the readings of `first` and `hardest` where it is at 7/64."""
    quartiles = np.array([np.quantile(start(seed), 0.25) for seed in range(seeds()[-1] + 1)])
    common = np.hstack([read(first, FEW, COMMON), read(hardest, FEW, COMMON)]).mean(0)
    return 100 * float(np.mean(quartiles == QUARTILE)), *(float(x) for x in common)


@cache
def equal_energy(seed: int) -> float:
    """Dr. GRPO's step size with the mean squared first update of GRPO's: step² Σ E[gain²] over the prompts."""
    p, k = start(seed), np.arange(G + 1)
    grpo, dr = (table_mean(p, gain(k, G, METHODS[m]) ** 2).sum() for m in ("grpo", "dr-grpo"))
    return float(STEP_SIZE * np.sqrt(grpo / dr))


def at_equal_energy(seed: int) -> tuple[float, ...]:
    """Dr. GRPO's step size; the hardest quartile's end: GRPO, Dr. GRPO at that step, at the paper's."""
    step = equal_energy(seed)
    runs = run("grpo", seed), run("dr-grpo", seed, step), run("dr-grpo", seed)
    return step, *(float(record.hardest[-1]) for record in runs)


def energy_spent(seed: int) -> tuple[float, ...]:
    """Dr. GRPO's squared updates over the whole run for GRPO's: at the paper's step size, at equal energy."""
    runs = run("dr-grpo", seed), run("dr-grpo", seed, equal_energy(seed))
    return tuple(float(record.energy.sum() / run("grpo", seed).energy.sum()) for record in runs)


def on_grid(seed: int) -> tuple[float, ...]:
    """The hardest quartile's end at each step size of the grid: GRPO, then Dr. GRPO."""
    return tuple(float(run(method, seed, step).hardest[-1]) for method in ("grpo", "dr-grpo") for step in GRID)


def at_equal_mean(seed: int) -> tuple[float, ...]:
    """Hardest quartile where the mean over all prompts passes .6, .7, .8, .9: GRPO, then Dr. GRPO at equal energy."""
    runs = run("grpo", seed), run("dr-grpo", seed, equal_energy(seed))
    return tuple(float(np.interp(m, r.solve_rate, r.hardest)) for r in runs for m in (0.6, 0.7, 0.8, 0.9))


#: GRPO; DAPO that draws the same prompt again, as in the paper; DAPO that moves on to others, as its authors run it.
KINDS = ("grpo", "same", "others")


@cache
def batched(kind: str, seed: int) -> Records:
    """A run of 1,000 random prompts a step, until each prompt had 60 groups on average."""
    rng = np.random.default_rng((seed, *map(ord, kind)))
    visits = PROMPTS * BUDGETS[-1] // BATCH
    dial, refill, steps = {
        "grpo": (GRPO, "same", visits),
        # Never fewer than 1.5 groups for a mixed one here.
        "same": (DAPO, "same", visits * 2 // 3),
        "others": (DAPO, "others", visits * 2 // 3),
    }[kind]
    options: dict[str, Any] = dict(group_size=G, steps=steps, step_size=STEP_SIZE, batch=BATCH, refill=refill)
    return simulate(start(seed), dial=dial, rng=rng, **options)


def after(groups: ArrayLike, kind: str, seed: int) -> Floats:
    """The hardest quartile's solve rate once so many groups a prompt were drawn."""
    record = batched(kind, seed)
    return np.interp(np.asarray(groups) * PROMPTS * G, record.answers, record.hardest)


def at_equal_answers(seed: int) -> tuple[float, ...]:
    """Hardest quartile after 20, then 60 groups drawn a prompt, each of the three kinds."""
    return tuple(float(after(budget, kind, seed)) for budget in BUDGETS for kind in KINDS)


def at_equal_steps(seed: int) -> tuple[float, ...]:
    """Hardest quartile after 100 steps, each of the three kinds; answers spent there for each of GRPO's."""
    records = [batched(kind, seed) for kind in KINDS]
    spent = [float(record.answers[LATER] / records[0].answers[LATER]) for record in records[1:]]
    return *(float(record.hardest[LATER]) for record in records), *spent
