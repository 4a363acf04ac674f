"""A run in which solve rates move: what could be said of each group before it came.

Every prompt carries a belief over the grid of p. Between two visits the belief takes a step
of a random walk in log-odds, with a spread (how far prompts wander) and a shift (how far all
of them move); at a visit it is multiplied by the likelihood of k of n. This is the exact Bayes
filter, not a discounted count. Spread and shift are chosen by how well they predicted the
visits so far, so nothing is tuned on what is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groupsigma import arrays, checks
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.law import expected_gain, silent_rate
from groupsigma.mixture import mixture, probability, solve_rate_grid

#: Coarser than the mixture's grid: beliefs are kept for every prompt.
_POINTS = 201
#: (spread, shift) of a step in log-odds, tried side by side.
MOVES = ((0.0, 0.0), *((spread, shift) for spread in (0.1, 0.2, 0.4, 0.8) for shift in (-0.03, 0.0, 0.03)))


@dataclass(frozen=True, eq=False)
class Forecast:
    """For each row of a history, what could be said before it came; NaN at a prompt's first visit.

    Attributes:
        silent, gain, solve_rate: predicted P(silent), E[gain] and E[p], float64 [rows].
        spread, shift: the step in force at that row, in log-odds a visit.
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
        moves: (spread ≥ 0, shift) of a step in log-odds a visit; the best so far is in force.
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
    p = solve_rate_grid(_POINTS)
    steps = [_walk(p, spread, shift) for spread, shift in pairs]
    start = visit == 0
    fitted = mixture(Groups(codes[start], k[start], n[start]), points=_POINTS).weight
    beliefs = np.tile(np.maximum(fitted, 1e-12), (len(steps), len(ids), 1))
    score = np.zeros(len(steps))
    fields = ("silent", "gain", "solve_rate", "spread", "shift", "log_likelihood")
    out = {name: np.full(len(k), np.nan) for name in fields}
    for now in range(int(visit.max()) + 1):
        here = np.flatnonzero(visit == now)
        chance = _chance(k[here], n[here], p)
        best = int(np.argmax(score))
        for i, step in enumerate(steps):
            belief = beliefs[i, codes[here]]
            if now:
                belief = belief @ step
            joint = belief * chance
            seen = joint.sum(1)
            if now:
                score[i] += np.log(seen).sum()
            if now and i == best:
                out["log_likelihood"][here] = np.log(seen)
                out["spread"][here], out["shift"][here] = pairs[i]
                out["solve_rate"][here] = belief @ p
                for size in np.unique(n[here]):
                    rows = n[here] == size
                    out["silent"][here[rows]] = belief[rows] @ silent_rate(p, int(size))
                    out["gain"][here[rows]] = belief[rows] @ expected_gain(p, int(size), dial)
            beliefs[i, codes[here]] = joint / seen[:, None]
    return Forecast(**out)


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
