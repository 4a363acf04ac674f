"""The one allocator: tries for many problems under one budget, optimal on the concave envelope.

Each row has a value V(0), V(1), … for its tries and a cost for one. At a price only the upper
concave envelope of V can be bought, so tries are handed out by falling slope of the envelope until
the budget is gone: the optimum of the envelope, and of V itself up to the one block that no
longer fits. The price at the margin bounds every other allocation (weak duality).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groupsigma.checks import Floats, Ints

#: Rows worked on at a time: a block of values stays in cache.
_ROWS = 4096
#: Segments past the margin whose rows compete for the rest of the budget.
_LINE = 256
#: Beyond twice as many rows a sample brackets the price first.
_SAMPLE = 512

#: V of some rows (a slice, or row numbers) at 0, 1, …, most tries: float64 [rows, most + 1].
Values = Callable[[Any], Floats]


@dataclass(frozen=True, eq=False)
class Allocation:
    """Tries and what they are worth.

    Attributes:
        tries: int64 [P]; for a row that stands for several problems those of all but `split`.
        split: (row, how many of its problems, their tries) where a row is divided at the margin, else None.
        value: attained, summed over problems. bound: no allocation of this budget is worth more.
        price: value of the last unit of cost; 0 where the budget is more than can be used.
        spent: cost of it all.
    """

    tries: Ints
    split: tuple[int, int, int] | None
    value: float
    bound: float
    price: float
    spent: float


@dataclass(frozen=True, eq=False)
class Segments:
    """Pieces of envelopes between two prices: row, slope per cost, tries, value; and what is surely bought."""

    tries: Ints
    value: Floats
    row: Ints
    slope: Floats
    size: Ints
    worth: Floats


def allocate(
    values: Values, most: int, least: int, budget: float, cost: Floats, count: Ints, skip: bool = True
) -> Allocation:
    """Tries that maximise Σ count V under Σ count cost tries ≤ budget, each 0 or from least to most. Unchecked.

    Args: skip: whether a row may get nothing; where it may not, every row starts at `least`.
    """
    base = 0 if skip else least
    total = count * cost
    room = budget - float(total.sum() * base)
    low, high = _bracket(values, most, least, room, cost, count, base)
    while True:
        s = _segments(values, np.arange(len(cost)), most, least, cost, base, low, high)
        sure = float(total @ (s.tries - base))
        if sure > room * (1 + 1e-12) and high < np.inf:
            high = np.inf
        elif sure + float(total[s.row] @ s.size) <= room and low > 0:
            low = 0.0
        else:
            break
    order = np.argsort(-s.slope, kind="stable")
    reach = np.cumsum(total[s.row[order]] * s.size[order])
    fits = int(np.searchsorted(reach, (room - sure) * (1 + 1e-12), side="right"))
    taken = order[:fits]
    tries = s.tries.copy()
    np.add.at(tries, s.row[taken], s.size[taken])
    value = float(count @ s.value + count[s.row[taken]] @ s.worth[taken])
    left = room - sure - (float(reach[fits - 1]) if fits else 0.0)
    if fits == len(order):
        return Allocation(tries, None, value, value, 0.0, budget - left)
    # What is left of the budget buys no whole block at the margin: some of the row's problems, or what else is
    # worth most, of the rows next in line.
    price = float(s.slope[order[fits]])
    bound, split = value + price * left, None
    line = list(dict.fromkeys(s.row[order[fits : fits + _LINE]].tolist()))
    now = dict(zip(line, values(np.array(line)), strict=True))
    while True:
        best = (0.0, 0, 0, 0)
        for row, v in now.items():
            affordable = int(left * (1 + 1e-12) / cost[row])
            now_at = int(tries[row])
            ahead = np.arange(max(least, now_at + 1), min(most, now_at + affordable) + 1)
            if not len(ahead):
                continue
            # A row of many problems is divided once: some of them get more.
            copies = np.minimum(count[row], affordable // (ahead - now_at))
            gains = np.where((copies == count[row]) | (split is None), copies * (v[ahead] - v[now_at]), 0.0)
            j = int(gains.argmax())
            best = max(best, (float(gains[j]), row, int(ahead[j]), int(copies[j])))
        gain, row, new, some = best
        if gain <= 0:
            break
        value += gain
        left -= some * (new - int(tries[row])) * float(cost[row])
        if some < count[row]:
            split = (row, some, new)
            del now[row]
        else:
            tries[row] = new
    return Allocation(tries, split, value, max(bound, value), price, budget - left)


def _bracket(
    values: Values, most: int, least: int, room: float, cost: Floats, count: Ints, base: int
) -> tuple[float, float]:
    """Prices between which the last unit's lies, by a sample of the rows; (0, inf) where there are few."""
    stand = np.flatnonzero(count)
    every = len(stand) // _SAMPLE
    if every < 2:
        return 0.0, np.inf
    rows = stand[every // 2 :: every]
    s = _segments(values, rows, most, least, cost, base, 0.0, np.inf)
    order = np.argsort(-s.slope)
    total = count * cost
    scale = float(total.sum() / total[rows].sum())
    bought = (total[s.row] * s.size)[order]
    reach = np.cumsum(bought) * scale
    # Six standard errors of what the sampled rows buy at the price where they spend the budget.
    until = int(np.searchsorted(reach, room))
    each = np.bincount(s.row[order[:until]], bought[:until], len(cost))[rows]
    near = 6 * scale * np.sqrt(len(rows)) * float(each.std()) + total.max() * most
    first, last = np.searchsorted(reach, [room - near, room + near])
    high = np.inf if first == 0 else float(s.slope[order[first - 1]])
    return (0.0 if last >= len(order) else float(s.slope[order[last]])), high


def _segments(
    values: Values, rows: Ints, most: int, least: int, cost: Floats, base: int, low: float, high: float
) -> Segments:
    """The rising pieces of each envelope with low ≤ slope ≤ high, and per row all that is steeper, already summed."""
    parts = []
    for start in range(0, len(rows), _ROWS):
        here = rows[start : start + _ROWS]
        whole = len(rows) == len(cost)
        v = values(slice(start, start + len(here)) if whole else here)
        parts.append(_block(v, here, cost[here], least, base, low, high))
    return Segments(*(np.concatenate([getattr(p, f) for p in parts]) for f in Segments.__dataclass_fields__))


def _block(v: Floats, rows: Ints, cost: Floats, least: int, base: int, low: float, high: float) -> Segments:
    most = v.shape[1] - 1
    tries, value = np.full(len(v), base), v[:, base].copy()
    if base:
        entry, average = np.full(len(v), base), np.full(len(v), np.inf)
    else:
        mean = (v[:, least:] - v[:, :1]) / np.arange(least, most + 1)
        entry = mean.argmax(1) + least
        average = mean[np.arange(len(v)), entry - least] / cost
        # No piece of an envelope is steeper than its best average: most rows are done here.
        alive = np.flatnonzero((average >= low) & (average > 0))
        if len(alive) < len(v):
            inner = _pieces(v[alive], cost[alive], least, base, low, high, entry[alive], average[alive])
            tries[alive], value[alive] = inner.tries, inner.value
            return Segments(tries, value, rows[alive[inner.row]], inner.slope, inner.size, inner.worth)
    inner = _pieces(v, cost, least, base, low, high, entry, average)
    return Segments(inner.tries, inner.value, rows[inner.row], inner.slope, inner.size, inner.worth)


def _pieces(
    v: Floats, cost: Floats, least: int, base: int, low: float, high: float, entry: Ints, average: Floats
) -> Segments:
    every, most = np.arange(len(v)), v.shape[1] - 1
    entered = v[every, entry] - v[:, base]
    slope = np.diff(v, axis=1) / cost[:, None]
    later: NDArray[np.bool_] = np.arange(most) >= entry[:, None]
    # Past the entry block V is concave under every goal of ours; a row where it is not gets its hull.
    steeper = np.greater(slope[:, 1:], slope[:, :-1] * (1 + 1e-9) + 1e-300)
    bends: NDArray[np.bool_] = np.any(later[:, :-1] & steeper, axis=1)
    later &= ~bends[:, None]
    np.minimum(slope, average[:, None], out=slope)
    above = later & (slope > high)
    tries, value = np.full(len(v), base) + above.sum(1), v[:, base] + np.where(above, slope, 0.0).sum(1) * cost
    sure = ~bends & (average > high) & (base == 0)
    tries[sure] += entry[sure]
    value[sure] += entered[sure]
    r, c = np.nonzero(later & (slope <= high) & (slope >= low) & (slope > 0))
    pieces = [(r, slope[r, c], np.ones(len(r), dtype=np.int64), slope[r, c] * cost[r])]
    if not base:
        buys = np.flatnonzero(~bends & ~sure)
        pieces.insert(0, (buys, average[buys], entry[buys], entered[buys]))
    for i in np.flatnonzero(bends):
        size, worth = _hull(v[i], least, base)
        steep = worth / size / cost[i]
        bought = steep > high
        tries[i] += size[bought].sum()
        value[i] += worth[bought].sum()
        keep = ~bought & (steep >= low)
        pieces.append((np.full(int(keep.sum()), i), steep[keep], size[keep], worth[keep]))
    row, steep, size, worth = (np.concatenate(x) for x in zip(*pieces, strict=True))
    return Segments(tries, value, row, steep, size, worth)


def _hull(v: Floats, least: int, base: int) -> tuple[Ints, Floats]:
    """Tries and value of the rising pieces of one row's upper concave envelope."""
    hull: list[int] = []
    for g in (base, *range(max(least, base + 1), len(v))):
        while len(hull) > 1:
            i, j = hull[-2:]
            if (v[j] - v[i]) * (g - j) > (v[g] - v[j]) * (j - i):
                break
            hull.pop()
        hull.append(g)
    size, worth = np.diff(hull), np.diff(v[hull])
    return size[worth > 0], worth[worth > 0]
