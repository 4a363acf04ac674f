"""Differences of two sides with intervals that hold together: the largest |t| over all of them, resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from groupsigma.checks import Floats
from groupsigma.measures import Ratio
from groupsigma.splits import Share

#: 80 % point of the normal distribution: with this power a difference of `least_seen` is told apart.
_POWER = 0.8416212335729143


@dataclass(frozen=True)
class Difference:
    """One quantity on both sides.

    Attributes:
        name, unit: of the quantity; "share" or "number".
        a, b: its values with their own intervals; value None where it has none (nothing was mixed).
        difference: B − A; low, high: its simultaneous interval: all differences of a comparison lie in
            theirs together with the stated confidence; None where resampling finds none.
        alone_low, alone_high: the interval of this one difference taken by itself.
        real: whether the simultaneous interval excludes 0.
        least_seen: the difference that these prompts would have told apart 80 % of the time.
    """

    name: str
    unit: str
    a: Share | None
    b: Share | None
    difference: float | None
    low: float | None
    high: float | None
    alone_low: float | None
    alone_high: float | None
    real: bool
    least_seen: float | None


def values_of(totals: Floats, names: Sequence[str], ratios: Sequence[Ratio]) -> Floats:
    """Every quantity of both sides, [2, resamples, quantities]; NaN or inf where its denominator is nothing."""
    at = {name: i for i, name in enumerate(names)}
    sides = np.stack(np.split(totals, 2, axis=1))
    top, bottom = sides[..., [at[r.top] for r in ratios]], sides[..., [at[r.bottom] for r in ratios]]
    nothing = bottom <= 1e-12 * np.maximum(sides[..., [at["groups"]]], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nothing, np.nan, top / bottom * [r.factor for r in ratios])


def worth_of(totals: Floats, names: Sequence[str], ratios: Sequence[Ratio], prompts: Sequence[int]) -> Floats:
    """By how much one prompt's groups, all of them silent or mixed instead, move each quantity; [2, quantities]."""
    at = {name: i for i, name in enumerate(names)}
    out = np.zeros((2, len(ratios)))
    for side, sums in enumerate(np.split(totals, 2)):
        for i, r in enumerate(ratios):
            whole = sums[at["groups"]] if not r.bottom.startswith("groups_") else sums[at[r.bottom]]
            one, bottom = whole / prompts[side], sums[at[r.bottom]]
            if bottom > 0 and (r.bottom.startswith("groups") or r.bottom == "answers") and r.top != "sigma":
                out[side, i] = r.factor * one / bottom
            elif bottom > 0 and r.top == "answers":
                out[side, i] = r.factor * sums[at[r.top]] / bottom * one / bottom * (r.bottom == "mixed")
    return out


def told_apart(
    ratios: Sequence[Ratio], now: Floats, drawn: Floats, worth: Floats, few: float, level: float
) -> tuple[float, list[Difference]]:
    """Intervals of each side, of each difference, and of all differences together; now [2, q], drawn [2, r, q]."""
    difference, moved = now[1] - now[0], drawn[1] - drawn[0]
    with np.errstate(invalid="ignore"):
        error = np.maximum(moved.std(0) * few, np.hypot(*worth))
        off = np.abs(moved - difference)
        live = np.isfinite(error) & (error > 1e-12 * np.maximum(1, np.abs(difference)))
        t = off[:, live] / error[live] * few
    z = _normal(level)
    critical = max(z, float(np.quantile(t.max(1), level))) if live.any() else z
    tail = (1 - level) / 2
    out = []
    for i, r in enumerate(ratios):
        sides = [_own(now[s, i], drawn[s, :, i], z * worth[s, i], tail, r.unit) for s in (0, 1)]
        d = float(difference[i])
        known, half = isfinite(d), float(error[i])
        held = known and isfinite(half)
        half = half if held and live[i] else 0.0
        out.append(
            Difference(
                name=r.name,
                unit=r.unit,
                a=sides[0],
                b=sides[1],
                difference=d if known else None,
                low=d - critical * half if held else None,
                high=d + critical * half if held else None,
                alone_low=d - z * half if held else None,
                alone_high=d + z * half if held else None,
                real=held and abs(d) > critical * half and abs(d) > 1e-12,
                least_seen=(critical + _POWER) * half if held else None,
            )
        )
    return critical, out


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def _own(value: float, drawn: Floats, least: float, tail: float, unit: str) -> Share | None:
    """A side's own value with the middle of its resamples, at least one prompt's worth wide."""
    if not isfinite(value):
        return None
    if not np.isfinite(drawn).all():
        return Share(float(value))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    low, high = max(0.0, min(low, value - least)), max(high, value + least)
    return Share(float(value), float(low), float(min(1.0, high) if unit == "share" else high))
