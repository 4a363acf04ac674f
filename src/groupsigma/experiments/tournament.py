"""The dynamic benchmark: every rule tuned on the same grid, scored on draws it was not tuned on.

A rule's knobs and how its groups count are chosen on tuning draws of the first family and kept; the step size is
chosen on tuning draws of each family, for every rule alike. Scores are answers to a
target on other draws, paired: a seed is the same world for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from groupsigma.experiments.arena import FAMILIES, Curve, Family, run, smaller
from groupsigma.experiments.rules import RULES, Rule
from groupsigma.experiments.run import Job, run_jobs

TUNING, SCORING = (1000, 1001, 1002, 1003), tuple(range(20))


@dataclass(frozen=True)
class Setting:
    """One way to run a rule: which of its knobs, how groups count, step size."""

    rule: str
    knob: int
    weight: str
    step_size: float

    @property
    def key(self) -> tuple[Any, ...]:
        """As a part of a job."""
        return self.rule, self.knob, self.weight, self.step_size


@dataclass(frozen=True)
class Score:
    """A rule on a family: its setting, and answers to the target on each scoring draw (inf: never)."""

    setting: Setting
    answers: tuple[float, ...]
    area: tuple[float, ...]

    @property
    def median(self) -> float:
        """Over the draws."""
        return float(np.median(self.answers))


def compute(job: Job) -> list[Any]:
    """One run: job = (family, shrink, seed, rule, knob, weight, step size); every fourth step of its curve."""
    family, shrink, seed, name, knob, weight, step_size = job
    rule = RULES[name]
    world = smaller(FAMILIES[family], shrink)
    curve = run(world, seed, lambda: rule.make(weight, **rule.knobs[knob]), step_size)
    # Some rules take several batches a step; all of their points are kept.
    stride = 4 if curve.answers[-1] < 2 * world.batch * (len(curve.answers) - 1) else 1
    keep = sorted({*range(0, len(curve.answers), stride), len(curve.answers) - 1})
    return [[curve.answers[i] for i in keep], [round(curve.solved[i], 5) for i in keep]]


class Tournament:
    """All runs, kept in one file."""

    def __init__(
        self, path: Path, *, shrink: int = 1, tuning: int = 4, scoring: int = 20, workers: int | None = None
    ) -> None:
        self.path, self.shrink, self.workers = path, shrink, workers
        self.tuning, self.scoring = TUNING[:tuning], SCORING[:scoring]

    def curves(self, family: Family, settings: list[Setting], seeds: tuple[int, ...], label: str) -> dict[Any, Curve]:
        """Curves by (setting, seed)."""
        jobs: list[Job] = [(family.name, self.shrink, seed, *s.key) for s in settings for seed in seeds]
        found = run_jobs(compute, jobs, self.path, workers=self.workers, label=f"{family.name}: {label}")
        return {(Setting(*job[3:]), job[2]): Curve(*map(tuple, result)) for job, result in found.items()}

    def tune(self, families: list[Family], rules: list[Rule]) -> dict[tuple[str, str], Setting]:
        """The best setting of each (family, rule).

        On the first family weight and step size, then the rule's knobs, then the step size again; on the others
        the step size alone. All runs of a stage are done side by side.
        """
        home, best = families[0], {}
        grid = {r.name: [Setting(r.name, 0, w, s * home.step) for w in r.weights for s in r.steps] for r in rules}
        first = self._best(home, grid, "tuning steps")
        knobs = {r.name: [replace(first[r.name], knob=k) for k in range(len(r.knobs))] for r in rules}
        chosen = self._best(home, knobs, "tuning knobs")
        around = {n: [replace(s, step_size=s.step_size * f) for f in (0.5, 1.0, 2.0)] for n, s in chosen.items()}
        chosen = self._best(home, around, "tuning steps again")
        best = {(home.name, name): setting for name, setting in chosen.items()}
        for family in families[1:]:
            grid = {r.name: [replace(chosen[r.name], step_size=s * family.step) for s in r.steps] for r in rules}
            best |= {(family.name, n): s for n, s in self._best(family, grid, "tuning steps").items()}
        return best

    def _best(self, family: Family, grid: dict[str, list[Setting]], label: str) -> dict[str, Setting]:
        curves = self.curves(family, [s for settings in grid.values() for s in settings], self.tuning, label)
        budget = family.budget // self.shrink

        def loss(s: Setting) -> float:
            """Mean area above the curve: how far, over the whole budget, problems were from solved."""
            return -float(np.mean([curves[s, seed].area(budget) for seed in self.tuning]))

        return {name: min(settings, key=loss) for name, settings in grid.items()}

    def score(self, family: Family, settings: list[Setting]) -> list[Score]:
        """Settings on the scoring draws."""
        curves = self.curves(family, settings, self.scoring, "scoring")
        budget = family.budget // self.shrink
        runs = {s: [curves[s, seed] for seed in self.scoring] for s in settings}
        return [
            Score(s, tuple(c.reaches(family.target) for c in each), tuple(c.area(budget) for c in each))
            for s, each in runs.items()
        ]
