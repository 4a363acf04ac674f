"""What a group is worth before it is drawn: every goal of the planner is one fold over k.

At a known solve rate p the value of G tries is p^s (1−p)^t Σ_k Bin(k; G, p) u(k, G): a tilt,
which says which problems matter, times the mean of a reward u for what the group came out as.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import checks
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.expect import binomial_mean
from groupsigma.sigma import gain

GoalName = Literal["signal", "coverage", "contrast", "gain", "variance", "fidelity"]

#: What each goal buys, for screens and docs.
MEANING: dict[str, str] = {
    "signal": "improvement of the dial's objective by a step of the best length: contrast that saturates",
    "coverage": "groups that hold right and wrong answers",
    "contrast": "effective contrast pairs k(G−k)/G: signal far from saturation",
    "gain": "the size of the update, E[gain] under the dial",
    "variance": "least variance of the update when every problem must be served (Neyman)",
    "fidelity": "equal closeness to the dial's large-G objective; not learning per answer",
}

#: Contrast pairs after which half of what a prompt can teach in one step is had; how chosen: docs/planning.md.
SATURATION = 4.0


@dataclass(frozen=True)
class Goal:
    """What tries are spent for.

    u is the reward of a group with k of G right, n = k(G−k)/G its effective contrast pairs;
    w(p) = p^−a (1−p)^−b the dial's weight on dp, v = p(1−p).

    | name | tilt | u(k, G) |
    |---|---|---|
    | signal | (w v)² | n/(n + saturation) |
    | coverage | 1 | 1 if mixed |
    | contrast | (w v)² | n |
    | gain | 1 | gain(k, G) under the dial |
    | variance | w² v | −1/(G−1) |
    | fidelity | – | – the smallest E[gain]/limit over the problems |

    Args:
        name: one of the six.
        dial: whose objective counts.
        saturation: n₀ ≥ 0 of signal: score noise over squared contrast, the prompt-level
            critical batch size. 0 is coverage with the dial's tilt, inf is refused (use contrast).

    >>> Goal("coverage").tilt, Goal("signal", saturation=4).tilt
    ((0.0, 0.0), (1.0, 1.0))
    """

    name: GoalName = "signal"
    dial: Dial = GRPO
    saturation: float = SATURATION

    def __post_init__(self) -> None:
        if self.name not in get_args(GoalName):
            raise ArgumentError("Goal", "a known goal", repr(self.name), hint="one of " + ", ".join(MEANING))
        expect_dial("Goal", self.dial)
        n0 = checks.floats("Goal", "saturation", self.saturation)
        if n0.ndim or not 0 <= n0 < inf:
            raise ArgumentError(
                "Goal", "a finite saturation >= 0", repr(self.saturation), hint="goal contrast is its limit"
            )
        if self.dial.spread == "batch":
            raise ArgumentError("Goal", "a rule that looks at one group", "spread='batch'", hint="use power=0")

    @property
    def tilt(self) -> tuple[float, float]:
        """(s, t) of the factor p^s (1−p)^t."""
        a, b = self.dial.exponents
        if self.name in ("signal", "contrast"):
            return 2 - 2 * a, 2 - 2 * b
        return (1 - 2 * a, 1 - 2 * b) if self.name == "variance" else (0.0, 0.0)

    def reward(self, k: ArrayLike, G: ArrayLike) -> Floats:
        """u(k, G): what a group that came out k of G is worth, before the tilt. float64, 0 for G ≤ 1."""
        right, size = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(G, dtype=np.float64))
        if self.name == "variance":
            return np.where(size > 1, -1 / np.maximum(size - 1, 1), -inf)
        if self.name == "gain":
            return gain(right, np.maximum(size, 1), self.dial)
        pairs = right * (size - right)
        mixed = pairs > 0
        if self.name == "coverage":
            return np.where(mixed, 1.0, 0.0)
        if self.name == "contrast":
            return pairs / np.maximum(size, 1)
        if self.name == "signal":
            return np.where(mixed, pairs / np.where(mixed, pairs + self.saturation * size, 1.0), 0.0)
        raise ArgumentError("Goal", "a goal that sums over problems", "fidelity", hint="it is a level, see plan()")


def group_value(p: ArrayLike, G: ArrayLike, goal: Goal | None = None) -> Floats:
    """V(G) at a known solve rate: p^s (1−p)^t Σ_k Bin(k; G, p) u(k, G).

    Args: p in [0, 1], G whole ≥ 0; they broadcast; goal: default `Goal()`.
    Returns: float64; 0 at p ∈ {0, 1} and for G ≤ 1 (−inf there for variance).

    >>> float(group_value(0.5, 8, Goal("coverage")))
    0.9921875
    >>> round(float(group_value(0.2, 8, Goal("contrast", Dial(power=0)))), 6)  # v² (G−1) v
    0.028672
    """
    goal = Goal() if goal is None else goal
    p_, size = checks.probabilities("group_value", p), checks.group_sizes("group_value", G, 0)
    checks.together("group_value", p_, size)
    p_, size = np.broadcast_arrays(p_, size)
    s, t = goal.tilt
    if goal.name == "variance":
        mean = goal.reward(0.0, size)
    elif goal.name == "coverage":
        from groupsigma.law import mixed_rate

        mean = np.where(size > 0, mixed_rate(p_, np.maximum(size, 1)), 0.0)
    elif goal.name == "contrast":
        mean = np.maximum(size - 1, 0) * p_ * (1 - p_)
    else:
        mean = binomial_mean(p_, np.maximum(size, 1), goal.reward)
    inside = (p_ > 0) & (p_ < 1)
    safe = np.where(inside, p_, 0.5)
    tilted = safe**s * (1 - safe) ** t * mean
    return np.where(inside, tilted, np.where(size > 1, 0.0, goal.reward(0.0, 0.0) if goal.name == "variance" else 0.0))


def beta_value(a: ArrayLike, b: ArrayLike, G: int, goal: Goal | None = None) -> Floats:
    """V(G) under a belief p ~ Beta(a, b), closed form: the same mean under the belief tilted by (s, t).

    B(a+s, b+t)/B(a, b) · Σ_k BetaBin(k; G, a+s, b+t) u(k, G). Special cases: coverage
    1 − [B(a+G, b) + B(a, b+G)]/B(a, b); contrast at s = t = 0 (logit) (G−1) E[v].

    Args: a, b > 0, they broadcast; G whole ≥ 0; goal: default `Goal()`, not fidelity.
    Raises: ArgumentError where the tilt leaves no belief (a + s ≤ 0 or b + t ≤ 0).

    >>> round(float(beta_value(1, 1, 8, Goal("coverage"))), 12) == round(1 - 2 / 9, 12)
    True
    """
    from scipy.special import betaln, gammaln

    goal = Goal() if goal is None else goal
    who = "beta_value"
    a_, b_ = np.broadcast_arrays(checks.finite(who, "a", a), checks.finite(who, "b", b))
    size = int(checks.group_sizes(who, G, 0))
    s, t = goal.tilt
    if (a_ <= 0).any() or (b_ <= 0).any() or (a_ + s <= 0).any() or (b_ + t <= 0).any():
        raise ArgumentError(who, "a > 0, b > 0 and a finite mean of the tilt", f"least a {a_.min():g}, b {b_.min():g}")
    k = np.arange(size + 1.0)
    choose = gammaln(size + 1) - gammaln(k + 1) - gammaln(size - k + 1)
    chance = np.exp(choose + betaln(a_[..., None] + s + k, b_[..., None] + t + size - k) - betaln(a_, b_)[..., None])
    return chance @ goal.reward(k, float(size)) if size > 1 else np.full(a_.shape, goal.reward(0.0, size))


def value_table(p: Floats, sizes: Ints, goal: Goal) -> Floats:
    """V(G) at each grid point and size, float64 [J, sizes]: what beliefs are averaged over; kept between calls."""
    key = (p.tobytes(), sizes.tobytes(), goal)
    if key not in _TABLES:
        if len(_TABLES) > 16:
            _TABLES.clear()
        _TABLES[key] = group_value(p[:, None], sizes[None, :], goal)
        _TABLES[key].setflags(write=False)
    return _TABLES[key]


_TABLES: dict[tuple[bytes, bytes, Goal], Floats] = {}
