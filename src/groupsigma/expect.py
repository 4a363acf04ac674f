"""Exact means over how many of a group are right: k ~ Binomial(G, p) or k ~ Hypergeometric.

Both distributions have one peak and simple ratios between neighbours, so their
weights are built outward from the peak and divided by their own sum: nothing
overflows at any G, no log-gamma loses digits, and relative error grows only
with the distance from the peak. For small G and many p a polynomial in the
odds (Horner) is much faster and as exact. Equal arguments are computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from groupsigma.checks import Floats, Ints

#: f(k, G): the value averaged, float64 in and out, vectorised; only called with 0 <= k <= G.
Values = Callable[[Floats, Floats], Floats]
#: A function of k [rows, cells] and of which rows these are [rows, 1].
_Rows = Callable[[Floats, Ints], Floats]

#: C(1000, 500) still fits float64.
_POLYNOMIAL_LIMIT = 1000
#: Below this many distinct p a polynomial loop costs more than the window.
_POLYNOMIAL_WORTH = 32
#: Cells worked on at a time: 8 arrays of 2 MB stay in cache and bound the memory.
_CELLS = 1 << 18


def binomial_mean(p: Floats, G: Ints, values: Values, widen: float = 0.0) -> Floats:
    """E[f(k, G)], k ~ Binomial(G, p), for p and G that broadcast; G >= 0.

    `widen` moves the far edges of the sums outward, for f that vary by powers
    of k/G or 1 − k/G of about that size.
    """
    p, G = np.broadcast_arrays(p, G)
    if G.size == 0:
        return np.zeros(G.shape)
    flat_p, flat_G = p.ravel(), G.ravel()
    if (flat_G == flat_G[0]).all():
        distinct_p, inverse = np.unique(flat_p, return_inverse=True)
        distinct_G = np.full(len(distinct_p), flat_G[0])
    else:
        pairs, inverse = np.unique(flat_G + 1j * flat_p, return_inverse=True)
        distinct_p, distinct_G = pairs.imag, pairs.real.astype(np.int64)
    out = np.empty(len(distinct_p))
    sizes, start = np.unique(distinct_G, return_index=True)
    rest = np.ones(len(out), dtype=bool)
    for size, lo, hi in zip(sizes, start, [*start[1:], len(out)], strict=True):
        if size <= _POLYNOMIAL_LIMIT and (hi - lo >= _POLYNOMIAL_WORTH or len(sizes) == 1):
            k = np.arange(size + 1.0)
            out[lo:hi] = _polynomial(distinct_p[lo:hi], int(size), values(k, np.full(size + 1, float(size))))
            rest[lo:hi] = False
    if rest.any():
        out[rest] = _window(distinct_p[rest], distinct_G[rest].astype(np.float64), values, widen)
    return out[inverse].reshape(p.shape)


def table_mean(p: Floats, table: Floats) -> Floats:
    """E[table[k]], k ~ Binomial(len(table) − 1, p), for p [N] as they come, without a search for equal ones."""
    return _polynomial(p, len(table) - 1, table)


def hypergeometric_mean(k: Ints, n: Ints, G: int, values: Values) -> Floats:
    """E[f(j, G)] when G of n logged answers, k of them right, are drawn without replacement; G <= n."""
    k, n = np.broadcast_arrays(k, n)
    pairs, inverse = np.unique(np.stack([k.ravel(), n.ravel()]), axis=1, return_inverse=True)
    right, wrong = pairs[0].astype(np.float64), (pairs[1] - pairs[0]).astype(np.float64)
    low, high = np.maximum(0.0, G - wrong), np.minimum(right, G)
    peak = np.clip(np.floor((G + 1) * (right + 1) / (right + wrong + 2)), low, high)

    def ratio(j: Floats, rows: Ints) -> Floats:
        return (right[rows] - j) * (G - j) / ((j + 1) * (wrong[rows] - G + j + 1))

    out = _from_peak(
        peak, low, high, np.full(len(peak), float(G)), ratio, lambda j, _: values(j, np.full((), float(G)))
    )
    return out[inverse].reshape(k.shape)


@lru_cache(maxsize=64)
def _choose(G: int) -> Floats:
    row = [1]
    for k in range(G):
        row.append(row[-1] * (G - k) // (k + 1))
    return np.array([float(c) for c in row])


def _polynomial(p: Floats, G: int, table: Floats) -> Floats:
    """(1−x)^G Σ_k C(G,k) f(k) r^k with r = x/(1−x) <= 1, x the smaller of p and 1−p."""
    out = np.empty_like(p)
    easy = p > 0.5
    terms = _choose(G) * table
    for side, coefficients in ((~easy, terms), (easy, terms[::-1])):
        x = np.where(easy, 1 - p, p)[side]
        total = np.empty_like(x)
        for i in range(0, len(x), 8192):
            odds = x[i : i + 8192] / (1 - x[i : i + 8192])
            acc = np.full_like(odds, coefficients[-1])
            for c in coefficients[-2::-1]:
                acc *= odds
                acc += c
            total[i : i + 8192] = acc
        out[side] = total * np.exp(G * np.log1p(-x))
    return out


def _window(p: Floats, G: Floats, values: Values, widen: float) -> Floats:
    """The same means as sums around the peak of each (p, G), on the side where p <= ½."""
    easy = p > 0.5
    x = np.where(easy, 1 - p, p)
    odds = x / (1 - x)
    # 12 standard deviations and 60 more: beyond, weights are below 1e-30 of the peak in the
    # normal as in the Poisson regime; `widen` follows f where it moves the mass.
    reach = np.minimum(G, np.ceil((12 + widen) * np.sqrt(G * x * (1 - x)) + 60 + 8 * widen))

    def ratio(k: Floats, rows: Ints) -> Floats:
        return (G[rows] - k) / (k + 1) * odds[rows]

    def mirrored(k: Floats, rows: Ints) -> Floats:
        return values(np.where(easy[rows], G[rows] - k, k), G[rows])

    return _from_peak(np.floor((G + 1) * x), np.zeros_like(G), G, reach, ratio, mirrored)


def _from_peak(peak: Floats, low: Floats, high: Floats, reach: Floats, ratio: _Rows, values: _Rows) -> Floats:
    """Σ w f / Σ w over low <= k <= high within reach of the peak; w(peak) = 1, w(k+1) = w(k) ratio(k)."""
    out = np.empty(len(peak))
    order = np.argsort(reach, kind="stable")
    at = 0
    while at < len(order):
        # The block's longest reach serves all its rows; they are sorted, so little is wasted.
        block = order[at : at + max(1, int(_CELLS // (2 * reach[order[at]] + 1)))]
        span = reach[block[-1]]
        if span > 2 * reach[block[0]]:
            block = block[reach[block] <= 2 * reach[block[0]]]
            span = reach[block[-1]]
        at += len(block)
        rows = block[:, None]
        lo, hi, k = low[rows], high[rows], peak[rows] + np.arange(-span, span + 1)
        middle = int(span)
        weight = np.ones(k.shape)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            up, down = k[:, middle:-1], k[:, :middle]
            np.cumprod(np.where(up < hi, ratio(up, rows), 0.0), axis=1, out=weight[:, middle + 1 :])
            steps = np.where(down >= lo, 1 / ratio(down, rows), 0.0)[:, ::-1]
            weight[:, :middle] = np.cumprod(steps, axis=1)[:, ::-1]
            total = weight.sum(1)
            weight *= values(np.clip(k, lo, hi), rows)
        out[block] = weight.sum(1) / total
    return out
