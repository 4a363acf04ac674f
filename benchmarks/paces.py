"""How wide prompts may walk: python benchmarks/paces.py; writes PACES.md, a minute.

The grid of steps in `drift.MOVES` beside the one before it, whose shifts ended at .03, on worlds whose truth is known
and, where GROUPSIGMA_DATA has it, on One-Shot-RLVR's run.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from groupsigma import Groups, load
from groupsigma.drift import MOVES, forecast, visits
from groupsigma.experiments.history import DATA, LAST

HERE = Path(__file__).parent
NARROW = ((0.0, 0.0), *((spread, shift) for spread in (0.1, 0.2, 0.4, 0.8) for shift in (-0.03, 0.0, 0.03)))
PROMPTS, VISITS, SEEDS = 800, 30, 2

#: Log-odds a visit: shift and spread; own: an exponential factor of each prompt's own; push: times √(p(1−p)).
WORLDS: dict[str, dict[str, float]] = {
    "still": {},
    "shift .02, spread .1": {"shift": 0.02, "spread": 0.1},
    "shift .06, spread .1": {"shift": 0.06, "spread": 0.1},
    "the same, each its own": {"shift": 0.06, "spread": 0.1, "own": 1.0},
    "shift −.05, spread .15": {"shift": -0.05, "spread": 0.15},
    "pushed by .1 √(p(1−p)), spread .05": {"push": 0.1, "spread": 0.05},
    "pushed by .3 √(p(1−p))": {"push": 0.3},
    "spread .3": {"spread": 0.3},
    "spread .8": {"spread": 0.8},
}

HEAD = """# How wide prompts may walk

Written by `python benchmarks/paces.py`; do not edit. narrow: shifts to ±.03 a visit; wide: `drift.MOVES`. Log-likelihood a group and error
of the silent share by visit (mean of |foretold − came|, points); simulated worlds: {prompts} prompts, {visits} visits, {seeds} seeds.

| world | log-likelihood, narrow | wide | wide − narrow | error, narrow | wide |
|---|---|---|---|---|---|"""


def main() -> None:
    lines = [HEAD.format(prompts=PROMPTS, visits=VISITS, seeds=SEEDS)]
    data = Path(os.environ.get("GROUPSIGMA_DATA", "")) / DATA
    if data.is_file():
        lines.append(line("One-Shot-RLVR, 64,000 groups", [load(data)]))
    for name, told in WORLDS.items():
        lines.append(line(name, [world(np.random.default_rng(seed), **told) for seed in range(SEEDS)]))
    page = "\n".join(lines) + "\n"
    HERE.joinpath("PACES.md").write_text(page, encoding="utf-8")
    print(page)


def line(name: str, runs: list[Groups]) -> str:
    narrow, wide = (np.mean([scored(run, moves) for run in runs], axis=0) for moves in (NARROW, MOVES))
    return (
        f"| {name} | {narrow[0]:.5f} | {wide[0]:.5f} | {wide[0] - narrow[0]:+.5f} | {narrow[1]:.2f} | {wide[1]:.2f} |"
    )


def scored(run: Groups, moves: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    """Mean log-likelihood of a group, and the error by visit in points."""
    told, visit, came = forecast(run, moves=moves), visits(run), run.silent
    at = range(1, min(LAST, int(visit.max()) + 1))
    error = np.mean([abs(told.silent[visit == v].mean() - came[visit == v].mean()) for v in at])
    return float(np.nanmean(told.log_likelihood)), 100 * float(error)


def world(
    rng: np.random.Generator, shift: float = 0.0, spread: float = 0.0, push: float = 0.0, own: float = 0.0
) -> Groups:
    odds = rng.normal(-0.5, 2.5, PROMPTS)
    pace = rng.exponential(own, PROMPTS) if own else np.ones(PROMPTS)
    right = []
    for _ in range(VISITS):
        p = 1 / (1 + np.exp(-odds))
        right.append(rng.binomial(8, p))
        odds = odds + shift * pace + spread * rng.normal(size=PROMPTS) + push * np.sqrt(p * (1 - p))
    many = PROMPTS * VISITS
    step = np.repeat(np.arange(VISITS), PROMPTS)
    return Groups(np.tile(np.arange(PROMPTS), VISITS), np.concatenate(right), np.full(many, 8), step=step)


if __name__ == "__main__":
    main()
