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
        name, unit: of the quantity; see `Ratio`.
        a, b: its values with their own intervals, each by itself; None where it has none (nothing was mixed).
        difference: B − A, or B / A where unit is "times"; low, high: its simultaneous interval: all differences of a
            comparison lie in theirs together with the stated confidence; None where resampling finds none.
        alone_low, alone_high: the interval of this one difference taken by itself.
        real: whether the simultaneous interval excludes no difference.
        least_seen: the difference above none that these prompts would have told apart 80 % of the time.
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

    @property
    def equal(self) -> bool:
        """Whether both sides are the same to the last digit."""
        return self.difference == (1.0 if self.unit == "times" else 0.0)


def values_of(totals: Floats, names: Sequence[str], ratios: Sequence[Ratio]) -> Floats:
    """Every quantity of both sides, [2, resamples, quantities]; NaN or inf where its denominator is nothing."""
    at = {name: i for i, name in enumerate(names)}
    sides = np.stack(np.split(totals, 2, axis=1))
    top, bottom = sides[..., [at[r.top] for r in ratios]], sides[..., [at[r.bottom] for r in ratios]]
    nothing = bottom <= 1e-12 * np.maximum(sides[..., [at["groups"]]], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nothing, np.nan, top / bottom * [r.factor for r in ratios])


def worth_of(totals: Floats, names: Sequence[str], ratios: Sequence[Ratio], prompts: Sequence[int]) -> Floats:
    """By how much one prompt can move each quantity, about: the least that resampling may call its error; [2, q]."""
    at = {name: i for i, name in enumerate(names)}
    out = np.zeros((2, len(ratios)))
    for side, (sums, n) in enumerate(zip(np.split(totals, 2), prompts, strict=True)):
        for i, r in enumerate(ratios):
            top, bottom = sums[at[r.top]], sums[at[r.bottom]]
            # Of a mean; σ is at most ½. What is paid follows from how many groups are mixed.
            if r.unit != "times":
                out[side, i] = (0.5 if r.name == "sigma" else 1.0) / n
            elif "mixed" in (r.top, r.bottom) and min(top, bottom) > 0:
                out[side, i] = r.factor * top / bottom * sums[at["groups"]] / n / sums[at["mixed"]]
    return out


def told_apart(
    ratios: Sequence[Ratio], now: Floats, drawn: Floats, worth: Floats, few: float, level: float
) -> tuple[float, list[Difference]]:
    """(standard errors of a simultaneous interval, every difference).

    Args: now [2, quantities]; drawn [2, resamples, quantities]; worth [2, quantities]: one prompt's; few: what
        standard errors of few prompts are short by.
    """
    times = np.array([r.unit == "times" for r in ratios])
    with np.errstate(divide="ignore", invalid="ignore"):
        # Factors add up on the log scale.
        at, sample = (np.where(times, np.log(x), x) for x in (now, drawn))
        difference, moved = at[1] - at[0], sample[1] - sample[0]
        error = np.maximum(moved.std(0) * few, np.hypot(*np.where(times, worth / now, worth)))
        live = np.isfinite(error) & (error > 1e-12)
        t = np.abs(moved - difference)[:, live] * few / error[live]
    z = _normal(level)
    critical = max(z, float(np.quantile(t.max(1), level))) if live.any() else z
    out = []
    for i, r in enumerate(ratios):
        back = np.exp if times[i] else float
        sides = [_own(now[s, i], drawn[s, :, i], z * worth[s, i], (1 - level) / 2, r.unit) for s in (0, 1)]
        d, se = float(difference[i]), float(error[i]) if live[i] else 0.0 if np.isfinite(error[i]) else np.inf
        ends = [d + c * se for c in (-critical, critical, -z, z)]
        held = all(map(isfinite, ends))
        if r.unit == "share":
            ends = [min(1.0, max(-1.0, x)) if abs(d) <= 1 else x for x in ends]
        low, high, alone_low, alone_high = (float(back(x)) if held else None for x in ends)
        out.append(
            Difference(
                name=r.name,
                unit=r.unit,
                a=sides[0],
                b=sides[1],
                difference=float(back(d)) if isfinite(d) else None,
                low=low,
                high=high,
                alone_low=alone_low,
                alone_high=alone_high,
                real=held and abs(d) > max(critical * se, 1e-12),
                least_seen=float(back((critical + _POWER) * se)) if held else None,
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
    return Share(float(value), float(low), float(max(value, min(1.0, high)) if unit == "share" else high))
