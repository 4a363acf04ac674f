"""From a printed solve rate back to k of n."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from groupsigma.checks import Floats, Ints
from groupsigma.errors import SourceError

#: Denominators tried when the number of answers is not given. 100 and 1000 are left out:
#: rates on those grids are more often rounded than counted.
_GRIDS = (*range(1, 100), *range(101, 129), 256, 512, 1024)
#: Fewer problems than this say nothing about a grid.
_ENOUGH = 20


def rounding(rates: Floats) -> Floats:
    """Half a unit of the last digit of each rate, for two or three digits; 1e-6 for more."""
    slack = np.full(rates.shape, 1e-6)
    for digits in (3, 2):
        scaled = rates * 10.0**digits
        slack[np.abs(scaled - np.rint(scaled)) < 1e-9] = 0.5 * 10.0**-digits * (1 + 1e-9)
    return slack


def guess(values: Floats, weight: Ints) -> int | None:
    """The smallest n for which nearly all rates are k/n and half of all k occur; None if none is convincing."""
    if weight.sum() < _ENOUGH:
        return None
    for n in _GRIDS:
        on = np.abs(values * n - np.rint(values * n)) <= 1e-9 * n
        if weight[on].sum() >= 0.995 * weight.sum():
            return n if 2 * on.sum() > n else None
    return None


def counts(values: Floats, n: int, name: str) -> tuple[Ints, Ints]:
    """k and n of each rate: k/n up to rounding, else the simplest fraction with a smaller denominator."""
    slack = rounding(values)
    k, size = np.rint(values * n).astype(np.int64), np.full(len(values), n)
    for i in np.flatnonzero(np.abs(k / n - values) > slack):
        simple = Fraction(float(values[i])).limit_denominator(n)
        if abs(float(simple) - values[i]) > 1e-6:
            hint = "another --answers N, or leave it out"
            raise SourceError(name, f"solve rates k/n with n <= {n}", f"{values[i]:.6g}", hint=hint)
        k[i], size[i] = simple.numerator, simple.denominator
    return k, size
