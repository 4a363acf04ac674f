"""The arena: a policy with shared parameters and true score noise, in which ways to spend answers compete.

Problem i is solved with log-odds b_i + x_i · θ. The score of an answer is (R − p_i) x_i plus noise of
standard deviation τ in each of θ's d coordinates, so a group's contrast is x_i with noise τ² (1/k + 1/(G−k)):
moving θ along noise harms other problems, as in a model with shared weights. x_i = √ρ m_s(i) + √(1−ρ) e_i with the
direction m of the problem's skill and one of its own, all of length 1: ρ is how far problems of one skill help
each other. Which skill a problem is of is known where there are several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from groupsigma.checks import Floats, Ints
from groupsigma.experiments.worlds import Chooser, Drawn
from groupsigma.mixture import Mixture, mixture
from groupsigma.readers.bigmath import read_bigmath


@dataclass(frozen=True)
class Family:
    """A kind of training problem; a seed draws one of it.

    Attributes:
        shared: ρ, the cosine between two problems of one skill. noise: τ. width: d. skills: how many.
        step: what the grid of step sizes is multiplied by.
        problems, batch, budget: how many, answers a step, answers in all.
        target: mean solve rate of held-out problems that is to be reached.
        hint: standard deviation (log-odds) of what a published solve rate (16 answers) is off by; None: there is none.
    """

    name: str
    shared: float
    noise: float
    problems: int = 1500
    width: int = 128
    skills: int = 1
    step: float = 1.0
    batch: int = 512
    budget: int = 153_600
    target: float = 0.9
    hint: float | None = None


#: Parameters are chosen on draws of the first; all are scored on other draws.
FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        Family("noisy", 0.10, 5.0),
        Family("quiet", 0.10, 0.0, step=16.0),
        Family("weak", 0.03, 1.5, step=2.0, target=0.85),
        Family("short", 0.10, 4.0, problems=2048, batch=256, budget=102_400),
        Family("hinted", 0.10, 4.0, problems=2048, batch=256, budget=102_400, hint=1.0),
        Family("topics", 0.50, 3.5, skills=8),
    )
}


class Arena:
    """One draw of a family, and its policy."""

    def __init__(self, family: Family, seed: int) -> None:
        self.family, self.rng = family, np.random.default_rng([seed, 2607])
        skills = _directions(family.skills, family.width, self.rng)
        self.base, self.x, self.skill = self._problems(family.problems, skills)
        self.held_base, self.held_x, _ = self._problems(2000, skills)
        self.theta = np.zeros(family.width)
        self.step = 0
        self.spread: Mixture | None = start_spread()
        known = []
        if family.skills > 1:
            known.append(np.eye(family.skills)[self.skill])
        if family.hint is not None:
            k = self.rng.binomial(16, _sigmoid(self.base + family.hint * self.rng.normal(size=family.problems)))
            known.append(np.log((k + 0.5) / (16.5 - k))[:, None])
        self.columns = np.hstack(known) if known else None

    def _problems(self, n: int, skills: Floats) -> tuple[Floats, Floats, Ints]:
        spread = start_spread()
        p = np.clip(self.rng.choice(spread.p, n, p=spread.weight), 0.0025, 0.9975)
        rho, skill = self.family.shared, self.rng.integers(len(skills), size=n)
        x = np.sqrt(rho) * skills[skill] + np.sqrt(1 - rho) * _directions(n, self.family.width, self.rng)
        return np.log(p) - np.log1p(-p), x, skill

    @property
    def problems(self) -> int:
        """How many there are to train on."""
        return self.family.problems

    @property
    def batch(self) -> int:
        """Answers a step."""
        return self.family.batch

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


_AHEAD = 5


@dataclass(frozen=True)
class Curve:
    """Held-out solve rate against all answers sampled."""

    answers: tuple[int, ...]
    solved: tuple[float, ...]

    def reaches(self, target: float) -> float:
        """Answers until the target is reached and, in the mean of the next `_AHEAD` points, held; inf if never.

        A lucky step that is lost again does not count.
        """
        here = np.asarray(self.solved)
        padded = np.append(here, np.full(_AHEAD - 1, here[-1]))
        ahead = np.convolve(padded, np.full(_AHEAD, 1 / _AHEAD), "valid")
        hit = np.flatnonzero((here >= target) & (ahead >= target))
        if not len(hit):
            return float("inf")
        i = int(hit[0])
        if i == 0 or here[i - 1] >= target:
            return float(self.answers[i])
        share = (target - here[i - 1]) / (here[i] - here[i - 1])
        return float(self.answers[i - 1] + share * (self.answers[i] - self.answers[i - 1]))

    def at(self, answers: float) -> float:
        """Solved share after so many answers."""
        return float(np.interp(answers, self.answers, self.solved))

    def area(self, budget: int) -> float:
        """Mean solve rate over the budget; the last value stands for what was not run."""
        x, y = np.append(self.answers, max(budget, self.answers[-1])), np.append(self.solved, self.solved[-1])
        return float(np.trapezoid(y, x) / x[-1])


def run(family: Family, seed: int, chooser: Callable[[], Chooser], step_size: float) -> Curve:
    """Train until the budget is spent or 97 % are solved; steps are scaled by the batch, not by what counted."""
    world, choose = Arena(family, seed), chooser()
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
