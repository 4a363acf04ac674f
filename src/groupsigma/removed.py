"""Silent groups that were removed before a log was written: what the mixed ones say of them.

A binomial mixture cannot hide its ends. With m_j = E[p^j (1−p)^(n−j)], Cauchy–Schwarz gives
m_0 m_2 ≥ m_1² and m_n m_{n−2} ≥ m_{n−1}²: groups with one right answer need groups with none.
So the mixed counts alone bound, from below, how many silent groups were drawn with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from groupsigma import checks
from groupsigma.checks import Floats
from groupsigma.groups import Groups

#: Too few mixed groups of one size say nothing.
_LEAST = 30
#: Removal is said only where chance would do it less often than this; half of it pays for the bound's own error.
SURE = 1e-6
#: The same where whoever writes the log is known to filter, so that removal is no surprise, and it is looked at once.
LIKELY = 1e-2


@dataclass(frozen=True)
class Removed:
    """What the mixed groups of a log say about its silent ones.

    Attributes:
        groups, silent: in the log, of the sizes that can tell; sizes: those sizes.
        least: silent share of what was drawn, at least, as the counts stand; low: at 95 % certainty.
        expected: silent groups that a log of so many groups would hold at least, were none removed (95 %).
        probability: an upper bound on the chance of so few, if none was removed; sure: below what it says removal.
    """

    groups: int
    silent: int
    sizes: tuple[int, ...]
    least: float
    low: float
    expected: float
    probability: float
    sure: float

    @property
    def removed(self) -> bool:
        """Whether silent groups are missing beyond chance."""
        return self.probability < self.sure

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "removed": self.removed}


def silent_removed(groups: Groups, sure: float = SURE) -> Removed | None:
    """The least silent share behind these groups, by their mixed counts, and whether silent groups are missing.

    Per size n, with h_j groups of j right: silent over mixed ≥ (n−1)/(2n) · (h_1²/h_2 + h_{n−1}²/h_{n−2}) / Σ h_j.
    Each count gets an exact Poisson limit on its unfavourable side, all at once (Bonferroni): sums of independent
    yes-or-no draws stray less. It needs answers that are independent within a group, and groups that were not
    chosen by their count otherwise; solve rates may move, and prompts repeat.

    Args: sure: removal is said where chance would do it less often than this, at one look.
    Returns: None for rates, graded rewards, or no size with at least 30 mixed groups.
    Source: the moment sequence's Hankel determinants (Karlin and Studden 1966); Hoeffding 1956 for the tails.

    >>> kept = Groups(range(7000), np.repeat(np.arange(1, 8), 1000), np.full(7000, 8))
    >>> told = silent_removed(kept)
    >>> told.removed, round(told.least, 3), told.low < told.least
    (True, 0.111, True)
    """
    if groups.n_correct is None:
        return None
    groups = groups.tally()
    assert groups.n_correct is not None
    tables = []
    for n in np.unique(groups.n_rollouts[groups.n_rollouts > 1]).tolist():
        here = groups.n_rollouts == n
        table = np.bincount(groups.n_correct[here], groups.count[here], n + 1).astype(np.float64)
        if table[1:n].sum() >= _LEAST:
            tables.append(table)
    if not tables:
        return None
    silent = sum(t[0] + t[-1] for t in tables)
    every = sum(t.sum() for t in tables)
    mixed = np.array([t[1:-1].sum() for t in tables])
    low = _odds(tables, 0.05)

    def drawn(odds: Floats) -> float:
        return float(mixed @ odds / (mixed @ (1 + odds)))

    def held(odds: Floats) -> float:
        """Silent ones expected among the logged, were none removed."""
        return float(sum(t.sum() * r / (1 + r) for t, r in zip(tables, odds, strict=True)))

    return Removed(
        groups=int(every),
        silent=int(silent),
        sizes=tuple(len(t) - 1 for t in tables),
        least=drawn(_odds(tables, None)),
        low=drawn(low),
        expected=held(low),
        probability=min(
            1.0, *(e / 2 + _at_most(int(silent), int(every), held(_odds(tables, e / 2)) / every) for e in {sure, SURE})
        ),
        sure=sure,
    )


def reasons(groups: Groups) -> tuple[str, ...]:
    """Why silent groups are missing, as far as it is known and the notes do not say it."""
    known = groups.intake.filter if groups.intake is not None else ""
    return (known,) if known and not groups.unseen else ()


def _odds(tables: Sequence[Floats], error: float | None) -> Floats:
    """The least silent groups per mixed one, for each size; any of them below the truth but for this chance of error.

    For n = 2 it is 1, as p(1−p) ≤ ¼, with nothing to estimate.
    """
    n = np.array([len(t) - 1 for t in tables])
    part = None if error is None else checks.fraction("silent_removed", "error", error / 5 / len(tables))
    one = _limit(np.array([[t[1], t[-2]] for t in tables]), part, upper=False)
    two = _limit(np.array([[t[2], t[-3]] for t in tables]), part, upper=True)
    mixed = _limit(np.array([t[1:-1].sum() for t in tables]), part, upper=True)
    ends = np.divide(one**2, two, out=np.zeros_like(one), where=two > 0).sum(axis=1)
    return np.where(n == 2, 1.0, (n - 1) / (2 * n) * ends / mixed)


def _limit(count: Floats, error: float | None, *, upper: bool) -> Floats:
    """Garwood's limit of Poisson means, one-sided; the counts themselves without an error."""
    # Not scipy.stats, whose import takes longer than all the rest.
    from scipy.special import gammainccinv, gammaincinv

    if error is None:
        return count
    found = gammainccinv(count + 1, error) if upper else gammaincinv(np.maximum(count, 1), error)
    return np.asarray(np.where(upper | (count > 0), found, 0.0))


def _at_most(silent: int, groups: int, share: float) -> float:
    from scipy.special import bdtr

    return float(bdtr(silent, groups, share))
