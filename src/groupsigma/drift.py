"""A run in which solve rates move: what could be said of each group before it came.

Every prompt carries a belief over the grid of p. Between two visits the belief takes a step
of a random walk in log-odds, with a spread (how far the prompt wanders) and a shift (where
it drifts); at a visit it is multiplied by the likelihood of k of n. This is the exact Bayes
filter, not a discounted count. Prompts differ in pace: several steps are held side by side for
each, weighed by how well they foretold its own visits, from what the run's prompts have shown
so far; nothing is tuned on what is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import arrays, checks
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.law import expected_gain, silent_rate
from groupsigma.mixture import mixture, probability, solve_rate_grid

#: Coarser than the mixture's grid: beliefs are kept for every prompt.
_POINTS = 201
#: (spread, shift) of a step in log-odds, held side by side; wider and finer ones gained little on a real run.
MOVES = (
    (0.0, 0.0),
    *((spread, shift) for spread in (0.05, 0.125, 0.3, 0.8) for shift in (-0.1, -0.03, 0.0, 0.03, 0.1)),
)
#: Groups whose counts say how the population is today, for prompts not met before.
RECENT = 1024
#: Rounds of EM that a visit pays for.
_ROUNDS = 10


@dataclass(frozen=True, eq=False)
class Forecast:
    """For each row of a history, what could be said before it came; NaN at a prompt's first visit.

    Attributes:
        silent, gain, solve_rate: predicted P(silent), E[gain] and E[p], float64 [rows].
        spread, shift: the mean step believed of that prompt then, in log-odds a visit.
        log_likelihood: of the row's k given what came before, float64 [rows].
    """

    silent: Floats
    gain: Floats
    solve_rate: Floats
    spread: Floats
    shift: Floats
    log_likelihood: Floats


def visits(groups: Groups) -> Ints:
    """0 for a prompt's first row, 1 for its second, …, by step where there is one, else as given. int64 [rows].

    >>> visits(Groups(["a", "b", "a"], [1, 0, 2], [4, 4, 4])).tolist()
    [0, 0, 1]
    """
    codes, _ = arrays.factorize(groups.prompt_ids)
    at = np.arange(len(codes)) if groups.step is None else groups.step
    order = np.lexsort((at, codes))
    ranked = codes[order]
    first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    rank = np.arange(len(codes)) - np.repeat(first, np.diff(np.r_[first, len(codes)]))
    out = np.empty(len(codes), dtype=np.int64)
    out[order] = rank
    return out


def forecast(groups: Groups, dial: Dial = GRPO, *, moves: Sequence[tuple[float, float]] = MOVES) -> Forecast:
    """Each group predicted from the same prompt's earlier visits, one visit at a time.

    The first beliefs are the spread of solve rates fitted to all first visits.

    Args:
        groups: counts, several visits a prompt; ordered by step, else as given.
        dial: for the predicted E[gain].
        moves: (spread ≥ 0, shift) of a step in log-odds a visit, held side by side for each prompt.
            A spread of 0 stands still, whatever its shift.

    Raises: ArgumentError for rates, graded rewards, prompts seen only once, or no moves.

    >>> told = forecast(Groups(["a", "b", "a", "b"], [0, 4, 0, 3], [8, 8, 8, 8]))
    >>> bool(told.silent[2] > told.silent[3])
    True
    """
    if groups.n_correct is None:
        raise ArgumentError("forecast", "counts k of n", "graded rewards" if groups.graded else "rates without n")
    codes, ids = arrays.factorize(groups.prompt_ids)
    visit, k, n = visits(groups), groups.n_correct, groups.n_rollouts
    if not visit.any():
        raise ArgumentError("forecast", "prompts with several visits", "one visit each", hint="a --step column?")
    pairs = checks.finite("forecast", "moves", list(moves))
    if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs[:, 0] < 0).any():
        raise ArgumentError("forecast", "moves as (spread >= 0, shift) pairs", repr(list(moves))[:60])
    start = visit == 0
    curve = np.maximum(mixture(Groups(codes[start], k[start], n[start]), points=_POINTS).weight, 1e-12)
    walks = Walks(len(ids), pairs, _POINTS)
    walks.meet(np.arange(len(ids)), curve)
    p = walks.p
    fields = ("silent", "gain", "solve_rate", "spread", "shift", "log_likelihood")
    out = {name: np.full(len(k), np.nan) for name in fields}
    for now in range(int(visit.max()) + 1):
        here = np.flatnonzero(visit == now)
        seen = walks.visit(codes[here], k[here], n[here])
        if not now:
            continue
        out["log_likelihood"][here] = seen.log_likelihood
        out["spread"][here], out["shift"][here] = (seen.pace @ pairs).T
        out["solve_rate"][here] = seen.before @ p
        for size in np.unique(n[here]):
            rows = n[here] == size
            out["silent"][here[rows]] = seen.before[rows] @ silent_rate(p, int(size))
            out["gain"][here[rows]] = seen.before[rows] @ expected_gain(p, int(size), dial)
    return Forecast(**out)


@dataclass(frozen=True, eq=False)
class Visit:
    """One visit of some prompts: their beliefs over the grid before it and after, float64 [rows, J].

    pace: [rows, moves] what was believed of each prompt's steps before; log_likelihood: of k, given what came before.
    """

    before: Floats
    after: Floats
    pace: Floats
    log_likelihood: Floats


class Walks:
    """Beliefs about prompts whose solve rates walk, each at a pace of its own.

    Args: prompts: how many; moves: (spread, shift) pairs of a step in log-odds a visit; points: of the grid of p.

    >>> walks = Walks(1)
    >>> walks.meet(np.array([0]), np.full(len(walks.p), 1 / len(walks.p)))
    >>> first, second = (walks.visit(np.array([0]), np.array([8]), np.array([8])) for _ in range(2))
    >>> bool(first.before @ walks.p < second.before @ walks.p)
    True
    """

    def __init__(self, prompts: int, moves: ArrayLike = MOVES, points: int = _POINTS) -> None:
        pairs = np.asarray(moves, dtype=np.float64)
        self.p = solve_rate_grid(points)
        self.steps = np.stack([_walk(self.p, spread, shift) for spread, shift in pairs])
        self.belief = np.zeros((prompts, len(pairs), points))
        self.score = np.zeros((prompts, len(pairs)))
        self.visits = np.zeros(prompts, dtype=np.int64)
        #: Share of the prompts at each pace, as shown so far; evenly spread before any came again.
        self.paces = np.full(len(pairs), 1 / len(pairs))
        self._due = 0

    def meet(self, rows: Ints, curve: Floats) -> None:
        """New prompts are as the population's curve [J] says, at whatever pace."""
        self.belief[rows] = curve

    def now(self, rows: Ints) -> Floats:
        """What is believed after the visits so far, float64 [rows, J]."""
        return np.asarray(np.einsum("rm,rmj->rj", self._pace(rows), self.belief[rows]))

    def visit(self, rows: Ints, k: Ints, n: Ints) -> Visit:
        """Foresee a visit to prompts, all different and met, then count k of n; a first visit takes no step."""
        pace = self._pace(rows)
        belief = self.belief[rows]
        again = self.visits[rows] > 0
        for at, step in enumerate(self.steps):
            belief[again, at] = belief[again, at] @ step
        before = np.einsum("rm,rmj->rj", pace, belief)
        belief *= _chance(k, n, self.p)[:, None]
        came = belief.sum(-1)
        self.belief[rows] = belief / came[..., None]
        self.score[rows[again]] += np.log(came[again])
        self.visits[rows] += 1
        self._learn(int(again.sum()))
        return Visit(before, self.now(rows), pace, np.log((pace * came).sum(1)))

    def _learn(self, visits: int) -> None:
        """Paces by maximum likelihood: rounds of EM over all that came again, ten for each visit of theirs."""
        shown = np.flatnonzero(self.visits > 1)
        self._due += _ROUNDS * visits
        while len(shown) and self._due >= len(shown):
            self._due -= len(shown)
            # One prompt's worth of not knowing keeps every pace possible.
            self.paces = (1 / len(self.steps) + self._pace(shown).sum(0)) / (1 + len(shown))

    def _pace(self, rows: Ints) -> Floats:
        """P(pace) of each prompt, by its own visits and by what is common, [rows, moves]."""
        score = self.score[rows]
        weight = self.paces * np.exp(score - score.max(1, keepdims=True))
        return np.asarray(weight / weight.sum(1, keepdims=True))


def _walk(p: Floats, spread: float, shift: float) -> Floats:
    """P(next grid point | grid point) of a normal step in log-odds, [J, J]; the ends stand one unit outside."""
    if spread == 0:
        return np.eye(len(p))
    inner = np.log(p[1:-1] / (1 - p[1:-1]))
    odds = np.concatenate([[inner[0] - 1], inner, [inner[-1] + 1]])
    step = np.exp(-0.5 * ((odds - odds[:, None] - shift) / max(spread, 1e-3)) ** 2) * np.gradient(odds)
    return step / step.sum(1, keepdims=True)


def _chance(k: Ints, n: Ints, p: Floats) -> Floats:
    """P(k of n) at each grid point, [rows, J]; equal (k, n) computed once."""
    pairs, inverse = np.unique(np.stack([k, n]), axis=1, return_inverse=True)
    return probability(pairs[0], pairs[1], p)[inverse]
