"""What the counts can tell at any G, and no more: the least and the largest value over all spreads that fit.

A spread of solve rates fits if, for every k, the share of problems with k right lies in a
confidence interval around its expectation. The intervals hold together with the stated
confidence (Clopper-Pearson, Šidák over the cells), so what all fitting spreads
agree on holds with it too. Least and largest are linear programmes. Where the data
cannot tell, the interval is wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupsigma import arrays, checks
from groupsigma.checks import Floats
from groupsigma.dial import GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.law import expected_gain, silent_rate
from groupsigma.mixture import probability, solve_rate_grid

#: Cells (n, k) used at most; the n with most problems come first.
_CELLS = 160
#: Widenings below this are the tolerance of the programme.
_EXACT = 1e-6


@dataclass(frozen=True, eq=False)
class Region:
    """All spreads w on the grid p with low ≤ cells · w ≤ high.

    level: the chance that the true spread is inside. strain: 0 when some spread fits; else how
    many times its half-width every interval had to be widened before one did. Then the counts are
    not those of independent draws at fixed solve rates (problems were filtered by these very
    counts, or answers depend on each other), and `level` is no longer a promise.
    """

    p: Floats
    cells: Floats
    low: Floats
    high: Floats
    level: float
    strain: float

    def interval(self, values: Floats) -> tuple[float, float]:
        """Least and largest Σ w f(p) over the region, for f given on the grid."""
        return self.share_interval(values, np.ones_like(self.p))

    def share_interval(self, part: Floats, whole: Floats) -> tuple[float, float]:
        """Least and largest Σ w part / Σ w whole over the region, whole ≥ 0 on the grid.

        y = w / Σ w whole and t = 1 / Σ w whole make the ratio linear (Charnes and Cooper 1962).
        """
        above = np.hstack([self.cells, -self.high[:, None]])
        below = np.hstack([-self.cells, self.low[:, None]])
        mass = np.append(np.ones_like(self.p), -1.0)
        rows = dict(
            A_ub=np.concatenate([above, below]),
            b_ub=np.zeros(2 * len(self.cells)),
            A_eq=np.stack([mass, np.append(whole, 0.0)]),
            b_eq=np.array([0.0, 1.0]),
        )
        target = np.append(part, 0.0)
        return _least(target, **rows), -_least(-target, **rows)


def region(groups: Groups, level: float = 0.95) -> Region:
    """The spreads of solve rates that the counts do not contradict.

    Several visits of one prompt count as one observation (their mean), which is
    valid whatever ties them together.

    Args: groups with counts; level: joint confidence, strictly between 0 and 1.
    Raises: ArgumentError for rates or graded rewards.

    >>> where = region(Groups(range(9), range(9), [8] * 9))
    >>> where.strain, where.p.shape == where.cells[0].shape
    (0.0, True)
    """
    if groups.n_correct is None:
        raise ArgumentError("bounds", "counts k of n", "graded rewards" if groups.graded else "rates without n")
    level = checks.fraction("bounds", "level", level)
    from scipy.special import betaincinv

    p = solve_rate_grid()
    k, n, shares, sizes = _cells(groups)
    each = (1 - level ** (1 / len(k))) / 2
    right, wrong = shares * sizes, (1 - shares) * sizes
    low = np.where(right > 0, betaincinv(np.maximum(right, 1e-300), wrong + 1, each), 0.0)
    high = np.where(wrong > 0, betaincinv(right + 1, np.maximum(wrong, 1e-300), 1 - each), 1.0)
    cells = probability(k, n, p)
    # The smallest common widening that leaves a spread inside; 0 for counts that some spread gives.
    half = ((high - low) / 2)[:, None]
    strain = _least(
        np.append(np.zeros_like(p), 1.0),
        A_ub=np.concatenate([np.hstack([cells, -half]), np.hstack([-cells, -half])]),
        b_ub=np.concatenate([high, -low]),
        A_eq=np.append(np.ones_like(p), 0.0)[None],
        b_eq=np.array([1.0]),
    )
    if strain > _EXACT:
        # A little more than just feasible, so that the programmes have room.
        low, high = low - 1.05 * strain * half[:, 0], high + 1.05 * strain * half[:, 0]
    return Region(p, cells, low, high, level, strain if strain > _EXACT else 0.0)


def _least(target: Floats, **rows: Floats) -> float:
    from scipy.optimize import linprog

    found = linprog(target, method="highs", **rows)
    if found.status != 0:
        raise ArgumentError("bounds", "a programme that HiGHS solves", str(found.message))
    return float(found.fun)


def silent_rate_interval(groups: Groups, G: int, level: float = 0.95) -> tuple[float, float]:
    """(low, high) of the silent share at G that the counts allow, any G; wide where they cannot tell.

    >>> from groupsigma import load
    >>> low, high = silent_rate_interval(load("bigmath"), 128)
    >>> 0.04 < low < 0.06 < high < 0.08
    True
    """
    where = region(groups, level)
    return where.interval(silent_rate(where.p, G))


def expected_gain_interval(groups: Groups, G: int, dial: Dial = GRPO, level: float = 0.95) -> tuple[float, float]:
    """(low, high) of E[gain] at G that the counts allow, any G and any dial that looks at one group.

    >>> from groupsigma import load
    >>> low, high = expected_gain_interval(load("bigmath"), 8)
    >>> 0.21 < low < 0.235 < high < 0.26
    True
    """
    where = region(groups, level)
    return where.interval(expected_gain(where.p, G, dial))


def _cells(groups: Groups) -> tuple[Floats, Floats, Floats, Floats]:
    """k, n, share of the problems with that n that have k right, and how many independent problems these are."""
    codes, ids = arrays.factorize(groups.prompt_ids)
    if len(ids) == len(codes) or (groups.count != 1).any():
        # Every row is a problem, or stands for several of its own.
        tally = groups.tally()
        assert tally.n_correct is not None
        n, k, count = tally.n_rollouts, tally.n_correct, tally.count.astype(np.float64)
        sizes = {int(m): float(count[n == m].sum()) for m in np.unique(n)}
        totals = sizes
    else:
        assert groups.n_correct is not None
        n, k = groups.n_rollouts, groups.n_correct
        sizes, totals, visits = {}, {}, np.zeros(len(codes))
        for m in np.unique(n):
            here = n == m
            per_prompt = np.bincount(codes[here], minlength=len(ids))
            sizes[int(m)] = totals[int(m)] = float((per_prompt > 0).sum())
            visits[here] = 1 / per_prompt[codes[here]]
        count = visits
    order = sorted(sizes, key=lambda m: -sizes[m])
    used: list[int] = []
    for m in order:
        if not used or sum(u + 1 for u in used) + m + 1 <= _CELLS:
            used.append(m)
    rows = [(j, m, float(count[(n == m) & (k == j)].sum()) / totals[m], sizes[m]) for m in used for j in range(m + 1)]
    columns = np.array(rows, dtype=np.float64).T
    return columns[0], columns[1], columns[2], columns[3]
