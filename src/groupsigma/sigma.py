"""One group: σ, silence, the A₊/A₋ table, gain, contrast and slope.

A rule on right-or-wrong rewards that looks at one group is a table with a
column for each k = 0…G: the advantage of a wrong and of a right answer. All
closed forms of the package are folds over that table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import checks
from groupsigma.checks import Floats
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError

#: Two rewards closer than this, times max(1, |reward|), are the same reward.
TOLERANCE = 1e-6


def sigma(k: ArrayLike, G: ArrayLike) -> Floats:
    """Standard deviation of a group's 0/1 rewards: σ = √(k(G−k))/G.

    Args:
        k: right answers, whole, 0 ≤ k ≤ G; broadcasts with G.
        G: group size, whole, ≥ 1.

    Returns: float64, 0 exactly for k ∈ {0, G}, at most ½.
    Source: arXiv 2607.00152, Theorem 1.

    >>> float(sigma(4, 8))
    0.5
    """
    right, size = checks.counts("sigma", k, G)
    return np.sqrt(right * (size - right.astype(np.float64))) / size


def advantage_pair(k: ArrayLike, G: ArrayLike, dial: Dial = GRPO) -> tuple[Floats, Floats]:
    """Advantages (A₊, A₋) of a right and of a wrong answer when k of G are right.

    For GRPO A₊ = √((G−k)/k), A₋ = −√(k/(G−k)). Both are 0 in silent groups
    (k ∈ {0, G}), unless the dial neither centres nor scales (then A₊ = 1).

    Args: k, G as in `sigma`; dial: any Dial whose spread is not "batch".
    Raises: ArgumentError for spread="batch", which no single group determines.
    Source: arXiv 2607.00152, proof of Theorem 1.

    >>> tuple(round(float(a), 3) for a in advantage_pair(1, 8))
    (2.646, -0.378)
    """
    right, size = checks.counts("advantage_pair", k, G)
    return right_wrong(right.astype(np.float64), size.astype(np.float64), dial)


def advantage_table(G: int, dial: Dial = GRPO) -> Floats:
    """The rule as a table: row 0 wrong, row 1 right, column k = 0…G; A = table[reward, k].

    Args: G: one group size, whole, ≥ 1; dial as in `advantage_pair`.
    Returns: float64 [2, G+1].

    >>> advantage_table(2).tolist()
    [[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]
    """
    size_ = checks.group_sizes("advantage_table", G)
    if size_.ndim:
        raise ArgumentError("advantage_table", "one G", f"{size_.size} of them")
    size = int(size_)
    right, wrong = right_wrong(np.arange(size + 1.0), np.array(float(size)), dial)
    return np.stack([wrong, right])


def gain(k: ArrayLike, G: ArrayLike, dial: Dial = GRPO) -> Floats:
    """The scalar in front of the contrast: g = gain · Δs, gain = (A₊ − A₋) k(G−k)/G².

    GRPO: σ. Dr. GRPO: σ². Where the advantages of a group do not sum to 0
    (leave-one-out spread, no centre) the update has a further part
    `mean_advantage` · s̄ and this is the coefficient of Δs alone.

    Args, errors: as `advantage_pair`. Returns: float64, 0 in silent groups.
    Source: arXiv 2607.00152, Theorem 1 (GRPO); the same algebra for any table.

    >>> float(gain(4, 8, Dial(power=0)))
    0.25
    """
    right, size = checks.counts("gain", k, G)
    k_, G_ = right.astype(np.float64), size.astype(np.float64)
    return contrast_advantage(k_, G_, dial) * k_ * (G_ - k_) / G_**2


def mean_advantage(k: ArrayLike, G: ArrayLike, dial: Dial = GRPO) -> Floats:
    """Ā = (k A₊ + (G−k) A₋)/G: what the identity leaves over, g = gain · Δs + Ā · s̄.

    0 for every centred rule on its own group; not 0 for NeMo-RL's default.

    >>> from groupsigma.presets import DIALS
    >>> round(8 * float(mean_advantage(1, 8, DIALS["nemo-rl"])), 2)
    -1.65
    """
    right, size = checks.counts("mean_advantage", k, G)
    plus, minus = right_wrong(right.astype(np.float64), size.astype(np.float64), dial)
    return (right * plus + (size - right) * minus) / size


def contrast_advantage(k: Floats, G: Floats, dial: Dial) -> Floats:
    """A₊ − A₋ on mixed groups, 0 on silent ones. Unchecked: k, G float64 and in range."""
    plus, minus = right_wrong(k, G, dial)
    return np.where((k > 0) & (k < G), plus - minus, 0.0)


def right_wrong(k: Floats, G: Floats, dial: Dial) -> tuple[Floats, Floats]:
    """(A₊, A₋), unchecked: the one place where a dial becomes numbers on 0/1 rewards."""
    expect_dial("advantage table", dial)
    if dial.spread == "batch":
        raise ArgumentError(
            "advantage table",
            "a rule that looks at one group",
            "spread='batch'",
            hint="a batch-wide scale is one factor for all prompts: shares and fidelity are those of power=0",
        )
    mixed = (k > 0) & (k < G)
    k = np.where(mixed, k, 1.0)
    G = np.where(mixed, G, 2.0)
    plus, minus = {
        "mean": ((G - k) / G, -k / G),
        "loo": ((G - k) / (G - 1), -k / (G - 1)),
        "none": (np.ones_like(G), np.zeros_like(G)),
    }[dial.center]
    if dial.spread == "group":
        std = np.sqrt(k * (G - k) / (G - dial.ddof) / G) + dial.eps
        if dial.tilt:
            # Both powers at once: for pass@n each alone leaves the range of floats.
            factor = np.exp(-dial.power * np.log(std) - dial.tilt * (np.log(k) - np.log(G - k)))
        else:
            factor = std**-dial.power
        plus, minus = plus * factor, minus * factor
    else:
        lean = (k / (G - k)) ** -dial.tilt
        plus = plus * _others_factor(k - 1, G - 1, dial) * lean
        minus = minus * _others_factor(k, G - 1, dial) * lean
    silent_right = 0.0 if dial.compares else 1.0
    return np.where(mixed, plus, silent_right), np.where(mixed, minus, 0.0)


def _others_factor(k: Floats, n: Floats, dial: Dial) -> Floats:
    """(s + ε)^−α with s over the n other answers, k of them right; 1 where s is 0."""
    std = np.sqrt(k * (n - k) / np.maximum(n - dial.ddof, 1) / n)
    return np.where(std > 0, (np.where(std > 0, std, 1.0) + dial.eps) ** -dial.power, 1.0)


def is_silent(rewards_G: ArrayLike, atol: float = TOLERANCE) -> Any:
    """Whether a group teaches nothing: max − min ≤ atol · max(1, |reward|) over the scorable answers.

    Decided on the raw rewards before any arithmetic, since a standard deviation
    in floating point does not see a unanimous group (six rewards of 0.7 have
    std 1e-16). NaN, None and ±inf are unscorable and do not count; groups with
    fewer than two scorable answers are silent.

    Args: rewards_G: [..., G]; atol ≥ 0.  Returns: bool [...].

    >>> bool(is_silent([0.7] * 6)), bool(is_silent([1, 0, 1]))
    (True, False)
    """
    rewards = checks.floats("is_silent", "rewards", rewards_G)
    if rewards.ndim == 0 or rewards.shape[-1] == 0:
        raise ArgumentError("is_silent", "at least one reward in a group", f"shape {rewards.shape}")
    live = np.isfinite(rewards)
    top = np.where(live, rewards, -np.inf).max(-1)
    bottom = np.where(live, rewards, np.inf).min(-1)
    scale = np.maximum(1.0, np.maximum(np.abs(top), np.abs(bottom)))
    return ~(live.any(-1) & (top - bottom > atol * np.where(np.isfinite(scale), scale, 1.0)))


def contrast(scores: ArrayLike, rewards: ArrayLike) -> Floats:
    """Δs = s̄₊ − s̄₋, mean score of the right answers minus that of the wrong ones.

    Args: scores [G, …], any finite numbers (∇θ log π of each answer); rewards [G], 0 or 1.
    Returns: float64 […]; zeros when all answers agree.
    Raises: ArgumentError for rewards other than 0/1 (use `slope`) or lengths that differ.
    Source: arXiv 2607.00152, eq. 1.

    >>> contrast([[2.0], [0.0], [1.0]], [1, 0, 0]).tolist()
    [1.5]
    """
    s, r = _scores_rewards("contrast", scores, rewards)
    if not np.isin(r, (0.0, 1.0)).all():
        raise ArgumentError("contrast", "rewards that are 0 or 1", f"{r[~np.isin(r, (0.0, 1.0))][0]:g}", hint="slope()")
    k = r.sum()
    if k in (0, len(r)):
        return np.zeros(s.shape[1:])
    return np.tensordot(r / k, s, 1) - np.tensordot((1 - r) / (len(r) - k), s, 1)


def slope(scores: ArrayLike, rewards: ArrayLike) -> Floats:
    """β = Σ(Rᵢ−μ)sᵢ / Σ(Rᵢ−μ)²: least-squares slope of score on reward; Δs when rewards are 0/1.

    With it the identity holds for any real rewards: A = (R−μ)/σ^α gives g = σ^(2−α) β.

    Args: scores [G, …]; rewards [G], finite.  Returns: float64 […], zeros in a silent group.

    >>> slope([[2.0], [0.0], [1.0]], [1.0, 0.0, 0.5]).tolist()
    [2.0]
    """
    s, r = _scores_rewards("slope", scores, rewards)
    if is_silent(r):
        return np.zeros(s.shape[1:])
    d = r - r.mean()
    return np.tensordot(d / (d @ d), s, 1)


def _scores_rewards(who: str, scores: ArrayLike, rewards: ArrayLike) -> tuple[Floats, Floats]:
    s, r = checks.finite(who, "scores", scores), checks.finite(who, "rewards", rewards)
    if r.ndim != 1 or len(r) == 0 or s.shape[:1] != r.shape:
        raise ArgumentError(who, "scores [G, …] and rewards [G] of one group", f"shapes {s.shape} and {r.shape}")
    return s, r
