"""Resampling prompts: a prompt with all its visits is one unit, drawn as often as chance has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groupsigma import arrays
from groupsigma.checks import Floats, Ints
from groupsigma.groups import Groups

#: Cells of weights held at a time: 32 MB.
_CELLS = 1 << 22


@dataclass(frozen=True, eq=False)
class Stratum:
    """Prompts that are resampled together: columns [units, m] to be summed, count [units] prompts a unit stands for."""

    columns: Floats
    count: Ints

    @property
    def prompts(self) -> int:
        """How many prompts are drawn, with replacement."""
        return int(self.count.sum())


def total(strata: Sequence[Stratum]) -> Floats:
    """The columns' sums over the prompts as they are, [m]."""
    return np.sum([s.count @ s.columns for s in strata], axis=0)


def resampled_totals(strata: Sequence[Stratum], resamples: int, rng: np.random.Generator) -> Floats:
    """The columns' sums in each resample of as many prompts as each stratum has, [resamples, m].

    Only how often a prompt is drawn matters, and that is multinomial. It is drawn block by block (first how many
    draws fall into a block, then where), so memory does not grow with the prompts, and prompts with
    equal columns are one unit.

    Source: Efron 1979; clusters: Davison and Hinkley 1997, §3.8.
    """
    out = np.zeros((resamples, strata[0].columns.shape[1]))
    for stratum in strata:
        width = max(1, _CELLS // resamples)
        starts = np.arange(0, len(stratum.count), width)
        inside = np.add.reduceat(stratum.count, starts)
        drawn = rng.multinomial(stratum.prompts, inside / stratum.prompts, size=resamples)
        for block, at in enumerate(starts):
            here = slice(at, at + width)
            out += _weights(stratum.count[here], drawn[:, block], rng) @ stratum.columns[here]
    return out


def _weights(count: Ints, drawn: Ints, rng: np.random.Generator) -> Floats:
    """How often each unit comes up in each row of draws, float64 [resamples, units]."""
    if (count == 1).all():
        units = len(count)
        row = np.repeat(np.arange(len(drawn)) * units, drawn)
        row += rng.integers(0, units, len(row))
        return np.bincount(row, minlength=len(drawn) * units).reshape(len(drawn), units).astype(np.float64)
    return rng.multinomial(drawn, count / max(int(count.sum()), 1)).astype(np.float64)


def strata_of(
    a: Groups, b: Groups, codes: tuple[Ints, Ints], columns: tuple[Floats, Floats]
) -> tuple[list[Stratum], list[int], int]:
    """(strata, prompts on each side, prompts on both). Strata: prompts on both sides, columns joined; on one.

    Prompts are the same where their ids are, or where both sides are one object. Rows that stand for several
    problems (count > 1) have no ids to pair by.

    Args: codes: [rows] for each side, which row of its columns [cells, m] a row of the groups has.
    """
    (prompt_a, prompt_b), count = _prompts(a, b)
    sides = [_Side(p, c, x, len(count)) for p, c, x in zip((prompt_a, prompt_b), codes, columns, strict=True)]
    in_a, in_b = (side.visits > 0 for side in sides)
    strata: list[Stratum] = []
    for here in (in_a & in_b, in_a & ~in_b, in_b & ~in_a):
        unit = np.flatnonzero(here)
        if not count[unit].sum():
            continue
        weight = count[unit]
        if all((side.visits[unit] <= 1).all() for side in sides):
            # One visit each: prompts with the same cells on both sides are alike.
            key = (sides[0].cell[unit] + 1) * (len(columns[1]) + 1) + sides[1].cell[unit] + 1
            _, first, alike = np.unique(key, return_index=True, return_inverse=True)
            unit, weight = unit[first], np.bincount(alike, weight).astype(np.int64)
        strata.append(Stratum(np.hstack([side.sums(unit) for side in sides]), weight))
    prompts = [int(count[side].sum()) for side in (in_a, in_b)]
    return strata, prompts, int(count[in_a & in_b].sum())


class _Side:
    """One side's rows gathered by prompt."""

    def __init__(self, prompt: Ints, code: Ints, columns: Floats, prompts: int) -> None:
        from scipy.sparse import csr_array

        self.visits = np.bincount(prompt, minlength=prompts)
        self.cell = np.full(prompts, -1, dtype=np.int64)
        self.cell[prompt] = code
        shape = (prompts, len(columns))
        self.seen, self.columns = csr_array((np.ones(len(code)), (prompt, code)), shape=shape), columns

    def sums(self, units: Ints) -> Floats:
        """The columns summed over each prompt's visits."""
        return np.asarray(self.seen[units] @ self.columns)


def _prompts(a: Groups, b: Groups) -> tuple[tuple[Ints, Ints], Ints]:
    """The prompt of each row on both sides, and how many prompts each stands for."""
    counted = [(side.count != 1).any() for side in (a, b)]
    rows_a, rows_b = np.arange(len(a.prompt_ids)), np.arange(len(b.prompt_ids))
    if a is b and counted[0]:
        return (rows_a, rows_a), a.count
    if any(counted):
        return (rows_a, len(rows_a) + rows_b), np.concatenate([a.count, b.count])
    if a is b:
        codes, ids = arrays.factorize(a.prompt_ids)
        return (codes, codes), np.ones(len(ids), dtype=np.int64)
    if a.prompt_ids.dtype.kind == b.prompt_ids.dtype.kind and a.prompt_ids.dtype.kind in "biu":
        labels = np.concatenate([a.prompt_ids, b.prompt_ids])
    else:
        labels = np.concatenate([side.prompt_ids.astype(object) for side in (a, b)])
    codes, ids = arrays.factorize(labels)
    return (codes[: len(rows_a)], codes[len(rows_a) :]), np.ones(len(ids), dtype=np.int64)
