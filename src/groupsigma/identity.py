"""Theorem 1 on your own numbers: the update of a group, computed both ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import checks
from groupsigma.advantages import advantages
from groupsigma.checks import Floats
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.sigma import gain as binary_gain
from groupsigma.sigma import is_silent, slope


@dataclass(frozen=True)
class Identity:
    """Both sides of g = gain · direction (+ mean advantage · mean score where ΣA ≠ 0).

    Attributes:
        update: (1/G) Σ Aᵢ sᵢ, summed directly, float64 [...].
        gain: the scalar in front of the direction; GRPO: σ.
        direction: Δs for 0/1 rewards, the slope β for graded ones, float64 [...].
        remainder: Ā · s̄, zeros for every rule whose advantages sum to 0.
        error: max |update − gain · direction − remainder| / max |update| (absolute where update is 0).
    """

    update: Floats
    gain: float
    direction: Floats
    remainder: Floats
    error: float


def identity(scores: ArrayLike, rewards: ArrayLike, dial: Dial = GRPO) -> Identity:
    """The group-standard-deviation identity g = (1/G) Σ Aᵢ sᵢ = σ Δs, checked on these numbers.

    For 0/1 rewards the direction is the contrast Δs = s̄₊ − s̄₋. For graded rewards
    it is the least-squares slope β of score on reward, with gain σ^(2−α) for
    A = (R−μ)/σ^α; the two agree on 0/1 rewards.

    Args:
        scores: [G, …] score vectors ∇θ log π(yᵢ|x), any finite numbers.
        rewards: [G], finite. Rules with a leave-one-out spread need 0/1 rewards.
        dial: the rule.
    Raises: ArgumentError for shapes that differ or a batch-wide dial.
    Source: arXiv 2607.00152, Theorem 1; graded: docs/concepts.md.

    >>> result = identity([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]], [1, 0, 0])
    >>> round(result.gain, 4), result.direction.round(4).tolist(), result.error < 1e-15
    (0.4714, [-0.5, 1.5], True)
    """
    expect_dial("identity", dial)
    if dial.spread == "batch":
        raise ArgumentError("identity", "a rule that looks at one group", "spread='batch'")
    direction = slope(scores, rewards)
    s, r = checks.finite("identity", "scores", scores), checks.finite("identity", "rewards", rewards)
    if dial.spread == "others" and not np.isin(r, (0.0, 1.0)).all():
        raise ArgumentError("identity", "0/1 rewards for a leave-one-out spread", "graded rewards")
    weights = advantages(r, dial)
    update = np.tensordot(weights, s, 1) / len(r)
    gain = _gain(r, dial)
    remainder = weights.mean() * s.mean(0)
    if dial.compares and abs(weights.sum()) <= 1e-12 * np.abs(weights).sum():
        remainder = np.zeros_like(update)
    off = float(np.abs(update - gain * direction - remainder).max(initial=0.0))
    size = float(np.abs(update).max(initial=0.0))
    return Identity(update, gain, direction, remainder, off / size if size else off)


def _gain(r: Floats, dial: Dial) -> float:
    """The scalar in front of the direction by its closed form, not from the advantages it is held against."""
    if np.isin(r, (0.0, 1.0)).all():
        return float(binary_gain(r.sum(), len(r), dial))
    if is_silent(r):
        return 0.0
    mu, G = r.mean(), len(r)
    std = float(r.std(ddof=dial.ddof)) + dial.eps
    scale = std**-dial.power * (mu / (1 - mu)) ** -dial.tilt if dial.tilt else std**-dial.power
    return float(r.var() * scale * (G / (G - 1) if dial.center == "loo" else 1.0))
