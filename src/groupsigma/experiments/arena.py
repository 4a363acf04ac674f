"""The arena: a policy with shared parameters and true score noise, in which ways to spend answers compete.

Problem i is solved with log-odds b_i + x_i · θ. The score of an answer is (R − p_i) x_i plus noise of
standard deviation τ in each of θ's d coordinates, so a group's contrast is x_i with noise τ² (1/k + 1/(G−k)):
moving θ along noise harms other problems, as in a model with shared weights. x_i = √ρ m + √(1−ρ) e_i
with a common direction m and own directions e_i, all of length 1: ρ is how far problems help each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np

from groupsigma.checks import Floats, Ints
from groupsigma.mixture import Mixture, mixture
from groupsigma.readers.bigmath import read_bigmath


@dataclass(frozen=True)
class Family:
    """A kind of training problem; a seed draws one of it.

    Attributes:
        shared: ρ, the cosine between two problems' directions. noise: τ. width: d.
        problems, batch, budget: how many, answers a step, answers in all.
        hint: standard deviation (log-odds) of what a published solve rate is off by; None: there is none.
    """

    name: str
    shared: float
    noise: float
    problems: int = 1500
    width: int = 128
    batch: int = 512
    budget: int = 153_600
    hint: float | None = None


#: Parameters are chosen on draws of the first; all are scored on other draws.
FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        Family("noisy", 0.10, 5.0),
        Family("quiet", 0.10, 0.0),
        Family("strong", 0.25, 12.0),
        Family("weak", 0.04, 2.0),
        Family("short", 0.10, 5.0, problems=4096, batch=256, budget=102_400),
        Family("hinted", 0.10, 5.0, problems=4096, batch=256, budget=102_400, hint=1.0),
    )
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a step brought: problem, right and wrong answers that count, and what they push with.

    plus, minus: k A₊ and −(n−k) A₋ of each group; equal wherever advantages sum to zero, and then the
    group's gain times its size. answers: all that were sampled, counted or not.
    """

    problem: Ints
    right: Floats
    wrong: Floats
    plus: Floats
    minus: Floats
    answers: int


class Chooser(Protocol):
    """A way to spend one step's answers."""

    def __call__(self, world: World) -> Drawn:
        """Sample, and say what counts."""


class World:
    """One draw of a family, and its policy."""

    def __init__(self, family: Family, seed: int) -> None:
        self.family, self.rng = family, np.random.default_rng([seed, 2607])
        common = _directions(1, family.width, self.rng)[0]
        self.base, self.x = self._problems(family.problems, common)
        self.held_base, self.held_x = self._problems(2000, common)
        self.theta = np.zeros(family.width)
        self.step = 0
        self.rate: Floats | None = None
        if family.hint is not None:
            other = _sigmoid(self.base + family.hint * self.rng.normal(size=family.problems))
            self.rate = self.rng.binomial(16, other) / 16

    def _problems(self, n: int, common: Floats) -> tuple[Floats, Floats]:
        spread = start_spread()
        p = np.clip(self.rng.choice(spread.p, n, p=spread.weight), 0.0025, 0.9975)
        rho = self.family.shared
        x = np.sqrt(rho) * common + np.sqrt(1 - rho) * _directions(n, self.family.width, self.rng)
        return np.log(p) - np.log1p(-p), x

    @property
    def p(self) -> Floats:
        """Today's solve rates; a chooser that is no oracle must not look."""
        return _sigmoid(self.base + self.x @ self.theta)

    @property
    def held_out(self) -> float:
        """Mean solve rate of problems never trained on."""
        return float(_sigmoid(self.held_base + self.held_x @ self.theta).mean())

    def sample(self, problem: Ints, n: Ints) -> Ints:
        """Right ones of n more answers to each problem."""
        return self.rng.binomial(n, self.p[problem])

    def learn(self, drawn: Drawn, size: float) -> None:
        """θ += size · Σ over answers of advantage · score."""
        p = self.p[drawn.problem]
        push = drawn.plus * (1 - p) + drawn.minus * p
        with np.errstate(divide="ignore", invalid="ignore"):
            noise = np.where(drawn.right > 0, drawn.plus**2 / drawn.right, 0.0)
            noise = noise + np.where(drawn.wrong > 0, drawn.minus**2 / drawn.wrong, 0.0)
        shake = self.family.noise * np.sqrt(noise.sum()) * self.rng.normal(size=self.family.width)
        self.theta = self.theta + size * (push @ self.x[drawn.problem] + shake)


@dataclass(frozen=True)
class Curve:
    """Held-out solve rate against all answers sampled."""

    answers: tuple[int, ...]
    solved: tuple[float, ...]

    def reaches(self, target: float) -> float:
        """Answers until the target is first reached; inf if it never is."""
        solved = np.asarray(self.solved)
        hit = np.flatnonzero(solved >= target)
        if not len(hit):
            return float("inf")
        i = int(hit[0])
        if i == 0:
            return float(self.answers[0])
        share = (target - solved[i - 1]) / (solved[i] - solved[i - 1])
        return float(self.answers[i - 1] + share * (self.answers[i] - self.answers[i - 1]))

    def area(self, budget: int) -> float:
        """Mean solve rate over the budget; the last value stands for what was not run."""
        x, y = np.append(self.answers, max(budget, self.answers[-1])), np.append(self.solved, self.solved[-1])
        return float(np.trapezoid(y, x) / x[-1])


def run(family: Family, seed: int, chooser: Callable[[], Chooser], step_size: float) -> Curve:
    """Train until the budget is spent or 97 % are solved; steps are scaled by the batch, not by what counted."""
    world, choose = World(family, seed), chooser()
    answers, solved, spent = [0], [world.held_out], 0
    while spent < family.budget and solved[-1] < 0.97:
        drawn = choose(world)
        world.learn(drawn, step_size / family.batch)
        world.step += 1
        spent += drawn.answers
        answers.append(spent)
        solved.append(world.held_out)
    return Curve(tuple(answers), tuple(solved))


@cache
def start_spread() -> Mixture:
    """The fitted spread of Big-Math's solve rates: where every problem starts."""
    return mixture(read_bigmath())


def _directions(n: int, width: int, rng: np.random.Generator) -> Floats:
    x = rng.normal(size=(n, width))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(x, -700, 700)))


def smaller(family: Family, factor: int) -> Family:
    """The same family with 1/factor of the answers, for --quick."""
    return replace(family, budget=family.budget // factor)
