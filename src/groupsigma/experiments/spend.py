"""Spending a step's answers on as many problems as there are answers, among problems that take turns.

Candidates are the next problems of a shuffled walk through all of them: whoever may choose from the whole pool comes
back to the same few. `Lone` compares an answer with what was believed of its problem, `Plain` with the step's others.
"""

from __future__ import annotations

import numpy as np

from groupsigma.allocate import allocate
from groupsigma.baseline import baseline_of
from groupsigma.belief import Beliefs, Drift
from groupsigma.checks import Floats, Ints
from groupsigma.experiments.halves import contrast_halves
from groupsigma.experiments.language import Language
from groupsigma.experiments.worlds import Drawn
from groupsigma.odds import points_for
from groupsigma.stream import Stream

#: Steps between two looks at how noisy contrasts are; problems and answers of a look; what an older look counts for.
_EVERY, _LOOKED, _DEEP, _OLDER = 10, 8, 8, 0.8


def walk_through(world: Language) -> Stream:
    """All problems, shuffled pass after pass."""
    return Stream(world.problems, lambda _: world.rng.permutation(world.problems).tolist())


def taken(walk: Stream, many: int) -> Ints:
    """The next so many, each once, ascending; all where there are no more."""
    return np.sort(np.array(walk.take(min(many, walk.rows)), dtype=np.int64))


class Lone:
    """The candidates whose answer is worth most, one try each or a few; an answer's advantage is R − b.

    b is the belief's mean after the problem's other answers. n tries at p are worth n v/(n v + n₀), v = p(1−p): half of
    what a step can have of a problem is had at n v = n₀.

    Args:
        over: candidates for each answer, ≥ 1/most. most: tries of a problem at most.
        saturation: n₀; None: measured every ten steps on eight problems, fewer where a step has fewer than 128
            answers, from the contrasts of two halves of eight answers each.
        columns, spread, oracle, drift: what beliefs are made of, or the truth instead.
    """

    def __init__(
        self,
        over: float = 1.5,
        most: int = 1,
        saturation: float | None = 1.0,
        columns: bool = True,
        spread: bool = True,
        oracle: bool = False,
        drift: Drift | None = None,
    ) -> None:
        self.over, self.most, self.measures = over, most, saturation is None
        self.columns, self.spread, self.oracle, self.drift = columns, spread, oracle, drift
        self.beliefs: Beliefs | None = None
        self._walk: Stream | None = None
        self.saturation = 1.0 if saturation is None else saturation
        self._seen = np.zeros(2)

    def __call__(self, world: Language) -> Drawn:
        """One step."""
        walk = self._walk = self._walk or walk_through(world)
        rows = taken(walk, round(self.over * world.batch))
        look = self._believed(world, rows)
        v = look.p * (1 - look.p)
        # At most half of a step's answers.
        many = min(_LOOKED, world.batch // (2 * _DEEP)) if self.measures and world.step % _EVERY == 0 else 0
        deep = np.argsort(-(look.weight @ v), kind="stable")[:many]
        tries = self._tries(look.weight, v, world.batch - len(deep) * _DEEP, deep)
        tries[deep] = _DEEP
        at = np.flatnonzero(tries)
        i, n, weight = rows[at], tries[at], look.weight[at]
        k = world.sample(i, n)
        if many:
            self._seen = _OLDER * self._seen + contrast_halves(world, rows[np.sort(deep)])
            self.saturation = float(np.clip(self._seen[1] / max(self._seen[0], 1e-12), 0.05, 20.0))
        right, wrong = baseline_of(weight, look.p, k, n)
        if self.beliefs is not None:
            self.beliefs = self.beliefs.observe(i, k, n)
        return Drawn(
            i, k.astype(np.float64), (n - k).astype(np.float64), k * (1 - right), (n - k) * wrong,
            int(n.sum()),
        )  # fmt: skip

    def _believed(self, world: Language, rows: Ints) -> Beliefs:
        """Today's beliefs about some problems; an oracle is sure of the truth."""
        if self.oracle:
            return Beliefs.known(rows, world.rates(rows), points=points_for(200))
        if self.beliefs is None:
            known = world.columns if self.columns else None
            spread = world.spread if self.spread else None
            self.beliefs = Beliefs.about(np.arange(world.problems), columns=known, spread=spread, drift=self.drift)
        self.beliefs = self.beliefs.advance(world.step)
        return self.beliefs.among(rows)

    def _tries(self, weight: Floats, v: Floats, budget: int, deep: Ints) -> Ints:
        """Tries of all candidates that use the budget; none of those asked deeply."""
        n = np.arange(self.most + 1.0)
        table = n * v[:, None] / (n * v[:, None] + self.saturation)
        worth = np.ones(len(weight))
        worth[deep] = 0.0
        ones = np.ones(len(weight))
        return allocate(
            lambda some: (weight[some] @ table) * worth[some, None], self.most, 1, float(budget), ones,
            np.ones(len(weight), dtype=np.int64), True,
        ).tries.copy()  # fmt: skip


class Plain:
    """One try each, nothing believed: an answer is compared with the mean of the step's other answers."""

    def __init__(self) -> None:
        self._walk: Stream | None = None

    def __call__(self, world: Language) -> Drawn:
        """One step."""
        walk = self._walk = self._walk or walk_through(world)
        i = taken(walk, world.batch)
        k = world.sample(i, np.ones(len(i), dtype=np.int64)).astype(np.float64)
        others = (k.sum() - k) / (len(k) - 1)
        return Drawn(i, k, 1 - k, k * (1 - others), (1 - k) * others, len(i))
