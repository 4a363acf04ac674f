"""Planning an audit: how many problems and answers an interval needs, and what another model's rates save."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupsigma import arrays, checks
from groupsigma.bounds import silent_rate_interval
from groupsigma.checks import Floats
from groupsigma.errors import ArgumentError
from groupsigma.estimate import silent_rate_unbiased
from groupsigma.groups import Groups
from groupsigma.mixture import Mixture, probability

_Z = 1.959963984540054


def interval_width(spread: Mixture, problems: int, n: int, G: int) -> float:
    """The width of the 95 % interval on the silent share at G from `problems` problems with n answers each.

    n ≥ G: 2 · 1.96 standard errors of the unbiased estimate. n < G: the interval of all spreads that
    fit the counts to be expected, which no number of problems makes narrower than the answers allow.

    Args: spread: what solve rates to expect, e.g. `mixture(load("bigmath"))`; whole numbers ≥ 1 (problems ≥ 2).

    >>> from groupsigma import load, mixture
    >>> spread = mixture(load("bigmath"))
    >>> round(interval_width(spread, 1000, 8, 8), 3), interval_width(spread, 1000, 8, 16) > 0.1
    (0.061, True)
    """
    size, answers = int(checks.whole("interval_width", "problems", problems, 2)), int(checks.group_sizes("n", n))
    group = int(checks.group_sizes("interval_width", G))
    k = np.arange(answers + 1)
    chance = probability(k, np.full(answers + 1, answers), spread.p) @ spread.weight
    chance /= chance.sum()
    if answers >= group:
        silent = silent_rate_unbiased(k, answers, group)
        spread_of = float(chance @ silent**2 - (chance @ silent) ** 2)
        return 2 * _Z * float(np.sqrt(max(0.0, spread_of) / (size - 1)))
    counts = np.floor(size * chance).astype(np.int64)
    # The largest remainders get what rounding down left over.
    counts[np.argsort(size * chance - counts)[::-1][: size - counts.sum()]] += 1
    low, high = silent_rate_interval(Groups(k, k, np.full(answers + 1, answers), count=counts), group)
    return high - low


def problems_needed(spread: Mixture, width: float, n: int, G: int, most: int = 1_000_000) -> int:
    """The fewest problems whose interval is at most `width` wide; −1 if `most` are not enough.

    Args: width in (0, 1); others as `interval_width`.

    >>> from groupsigma import load, mixture
    >>> problems_needed(mixture(load("bigmath")), 0.05, 8, 8)
    1509
    """
    target = checks.fraction("problems_needed", "width", width)
    if interval_width(spread, most, n, G) > target:
        return -1
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        if interval_width(spread, middle, n, G) <= target:
            high = middle
        else:
            low = middle
    return high


@dataclass(frozen=True)
class Borrowed:
    """A silent share of my model, from a small sample of its own answers and another model's published rates.

    value, low, high: with the borrowed rates, 95 % interval; alone_*: the same sample without them.
    """

    value: float
    low: float
    high: float
    alone: float
    alone_low: float
    alone_high: float


def borrow(theirs: Groups, mine: Groups, G: int, bands: int = 5) -> Borrowed:
    """What another model's solve rates add to a sample of my own answers, for the silent share at G.

    Problems are cut into bands of their rate; my silent share is estimated without bias inside each band and
    the bands are weighted as in all the data (post-stratification). Their rates need not be mine:
    a rate that says nothing about my model only fails to narrow the interval.

    Args:
        theirs: rates of all problems, with ids; mine: a random sample of them, n ≥ G answers each.
        bands: how many, equal in problems; bands with fewer than two of mine are joined to their neighbour.
    Raises: ArgumentError where an id of mine is unknown to theirs, or n < G.

    >>> theirs = Groups(range(6), [0, 1, 4, 5, 8, 8], [8] * 6)
    >>> told = borrow(theirs, Groups([0, 1, 4, 5], [0, 1, 7, 8], [8] * 4), 4, bands=2)
    >>> told.low <= told.value <= told.high
    True
    """
    if mine.n_correct is None:
        raise ArgumentError("borrow", "counts of mine", "graded rewards" if mine.graded else "rates without n")
    labels = np.concatenate([np.asarray(theirs.prompt_ids, object), np.asarray(mine.prompt_ids, object)])
    codes, ids = arrays.factorize(labels)
    known = np.full(len(ids), np.nan)
    known[codes[: len(theirs.prompt_ids)]] = theirs.solve_rate
    own = known[codes[len(theirs.prompt_ids) :]]
    if np.isnan(own).any():
        missing = labels[len(theirs.prompt_ids) :][int(np.argmax(np.isnan(own)))]
        raise ArgumentError("borrow", "my problems to be among theirs", repr(missing)[:60])
    silent = silent_rate_unbiased(mine.n_correct, mine.n_rollouts, G)
    parts_wanted = int(checks.whole("borrow", "bands", bands, 1))
    edges = np.unique(np.quantile(theirs.solve_rate, np.linspace(0, 1, parts_wanted + 1)))
    band = np.searchsorted(edges[1:-1], own, side="right")
    whole = np.searchsorted(edges[1:-1], theirs.solve_rate, side="right")
    value, variance, waiting, pool = 0.0, 0.0, 0.0, np.empty(0)
    parts: list[tuple[float, Floats]] = []
    for b in range(len(edges)):
        waiting += float(theirs.count[whole == b].sum() / theirs.count.sum())
        pool = np.concatenate([pool, silent[band == b]])
        if len(pool) >= 2:
            parts.append((waiting, pool))
            waiting, pool = 0.0, np.empty(0)
    if not parts:
        raise ArgumentError("borrow", "at least two problems of mine", str(len(silent)))
    weight, last = parts[-1]
    parts[-1] = (weight + waiting, np.concatenate([last, pool]))
    for weight, values in parts:
        value += weight * float(values.mean())
        variance += weight**2 * float(values.var(ddof=1)) / len(values)
    half, alone = _Z * float(np.sqrt(variance)), float(silent.mean())
    half_alone = _Z * float(np.sqrt(silent.var(ddof=1) / len(silent)))
    ends = [min(1.0, max(0.0, x)) for x in (value - half, value + half, alone - half_alone, alone + half_alone)]
    return Borrowed(value, ends[0], ends[1], alone, ends[2], ends[3])
