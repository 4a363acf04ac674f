"""What a sampling rule really optimises: the objective implied by when it stops and how it weighs.

Optional stopping is free for the direction: given the rewards, the scores of right answers are drawn from
one law and those of wrong answers from another, so whatever a rule decides from rewards, the mean score of
right answers it ends with is ∇p/p in expectation and of wrong ones −∇p/(1−p). Only the scalar in front
changes. With k right and f wrong at the end and advantages A₊, A₋ over the n = k+f answers,

    E[update] = F'(p) ∇p,   F'(p) = Σ N(k,f) p^k (1−p)^f [ (k/n) A₊ / p − (f/n) A₋ / (1−p) ],

N(k, f) the number of ways to get there. Where advantages sum to zero both terms are the gain c, and
F'(p) = E[c]/(p(1−p)). The rule may look at this prompt's own rewards, not at its scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groupsigma import checks
from groupsigma.checks import Floats, Ints
from groupsigma.dial import DR_GRPO, GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.law import difficulty_weight, mixed_rate
from groupsigma.sigma import gain

#: (k, f) → whether another round is drawn.
Continue = Callable[[Ints, Ints], NDArray[np.bool_]]
#: (k, f) → (k A₊/n, −f A₋/n); equal where advantages sum to zero, and then the group's gain.
Push = Callable[[Ints, Ints], tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False)
class Sampling:
    """A rule that samples one prompt until it stops, as tables over k right and f wrong answers; see `sampling`.

    Attributes:
        on: bool [n+1, n+1], whether another answer is drawn at (k, f).
        plus, minus: float64 [n+1, n+1], what right and wrong answers push with where it stops.
    """

    on: NDArray[np.bool_]
    plus: Floats
    minus: Floats

    @cached_property
    def ways(self) -> Floats:
        """N(k, f): sequences of answers that stop at k right and f wrong."""
        return self._ways_from(0)

    def _ways_from(self, each: int) -> Floats:
        """Sequences that stop at (k, f), counted from (each, each)."""
        n = len(self.on) - 1
        reach, ways = np.zeros((n + 2, n + 2)), np.zeros((n + 1, n + 1))
        reach[each, each] = 1.0
        for total in range(2 * each, n + 1):
            right = np.arange(total + 1)
            wrong = total - right
            here, more = reach[right, wrong], self.on[right, wrong]
            ways[right, wrong] = np.where(more, 0.0, here)
            reach[right + 1, wrong] += np.where(more, here, 0.0)
            reach[right, wrong + 1] += np.where(more, here, 0.0)
        return ways

    def weight(self, p: ArrayLike) -> Floats:
        """F'(p): the weight on dp that the rule really has; finite at p = 0 and 1."""
        p_ = checks.probabilities("Sampling.weight", p)
        terms = (c * p_[..., None] ** k * (1 - p_[..., None]) ** f for k, f, c in self._terms())
        return sum((t.sum(-1) for t in terms), np.zeros(p_.shape))

    def objective(self, p: ArrayLike) -> Floats:
        """F(p) = ∫₀ᵖ F': what the rule ascends, exactly (incomplete beta functions)."""
        from scipy.special import beta, betainc

        p_ = checks.probabilities("Sampling.objective", p)
        terms = (c * beta(k + 1.0, f + 1.0) * betainc(k + 1.0, f + 1.0, p_[..., None]) for k, f, c in self._terms())
        return sum((t.sum(-1) for t in terms), np.zeros(p_.shape))

    def _terms(self) -> list[tuple[Ints, Ints, Floats]]:
        """F' as polynomials: (powers of p, powers of 1−p, coefficients) of the right and the wrong answers."""
        parts = []
        for table, right, wrong in ((self.plus, 1, 0), (self.minus, 0, 1)):
            coefficient = self.ways * table
            k, f = np.nonzero(coefficient)
            parts.append((k - right, f - wrong, coefficient[k, f]))
        return parts

    def tries(self, p: ArrayLike) -> Floats:
        """E[answers] at p."""
        return self._mean(p, lambda k, f: k + f)

    def mixed_rate(self, p: ArrayLike) -> Floats:
        """P(the group ends with right and wrong answers) at p."""
        return self._mean(p, lambda k, f: (k > 0) & (f > 0))

    def _mean(self, p: ArrayLike, value: Callable[[Ints, Ints], NDArray[Any]]) -> Floats:
        p_ = checks.probabilities("Sampling", p)
        k, f = np.nonzero(self.ways)
        return (self.ways[k, f] * p_[..., None] ** k * (1 - p_[..., None]) ** f) @ value(k, f).astype(np.float64)

    def undone(self) -> Sampling:
        """The same sampling with the weights under which its objective is p exactly (Dr. GRPO's), however it stops.

        c(k, f) = ways from (1, 1) to (k, f) over all ways to (k, f): 0 where the group is silent, and its mean
        is p(1−p), the chance to begin with one right and then one wrong answer (Girshick, Mosteller and Savage 1946).
        For a fixed G it is k(G−k)/(G(G−1)).
        Raises ArgumentError for a rule that can stop after its first answer, right or wrong.
        """
        if not (self.on[1:2, 0].any() or self.on[0, 1:2].any()):
            raise ArgumentError("undone", "a rule that draws at least two answers", "one that stops at the first")
        share = np.divide(self._ways_from(1), self.ways, out=np.zeros_like(self.ways), where=self.ways > 0)
        return Sampling(self.on, share, share)


def sampling(go: Continue, push: Push, *, most: int, round_size: int = 1) -> Sampling:
    """A rule as a Sampling: it draws rounds while go(k, f), at most `most` answers, then pushes.

    Args:
        go: of whole arrays k, f: whether to draw a further round. push: see `Push`, or use `by_dial`.
        most: most answers, 1 to 512. round_size: answers drawn at a time; divides most.

    >>> fixed = sampling(lambda k, f: k + f < 8, by_dial(), most=8)
    >>> round(float(fixed.weight(0.5)), 6), round(float(difficulty_weight(0.5, G=8)), 6)
    (1.855656, 1.855656)
    """
    n = int(checks.whole("sampling", "most", most, 1))
    by = int(checks.whole("sampling", "round_size", round_size, 1))
    if n > 512 or n % by:
        raise ArgumentError("sampling", "most up to 512, a multiple of round_size", f"{n}, {by}")
    k, f = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    on = np.broadcast_to(np.asarray(go(k, f), dtype=bool), k.shape) | ((k + f) % by != 0) | (k + f == 0)
    plus, minus = push(k, f)
    return Sampling(on & (k + f < n), np.where(k > 0, plus, 0.0), np.where(f > 0, minus, 0.0))


def by_dial(dial: Dial = GRPO) -> Push:
    """All answers count, advantages by a dial: both sides push with gain(k, n).

    >>> [x.tolist() for x in by_dial(DR_GRPO)(np.array([1]), np.array([3]))]
    [[0.1875], [0.1875]]
    """

    def push(k: Ints, f: Ints) -> tuple[Floats, Floats]:
        c = gain(k, np.maximum(k + f, 1), dial)
        return c, c

    return push


def halves(keep: int, *, global_mean: bool = True) -> Push:
    """keep/2 right and keep/2 wrong answers stay (filled from the other kind), advantages R − mean.

    The mean of all that were drawn (Reinforce-Ada) or of those kept.
    """

    def push(k: Ints, f: Ints) -> tuple[Floats, Floats]:
        right = np.minimum(k, keep // 2)
        wrong = np.minimum(f, keep - right)
        right = np.minimum(k, keep - wrong)
        size = np.maximum(right + wrong, 1)
        mean = k / np.maximum(k + f, 1) if global_mean else right / size
        return right / size * (1 - mean), wrong / size * mean

    return push


def balanced_down(k: Ints, f: Ints) -> tuple[Floats, Floats]:
    """AERO: fewer right than wrong: all right and as many wrong stay; otherwise all. R − mean of those kept."""
    wrong = np.where((k > 0) & (k < f), k, f)
    c = gain(k, np.maximum(k + wrong, 1), DR_GRPO)
    return c, c


def redrawn_weight(p: ArrayLike, G: int, dial: Dial = GRPO, draws: int = 4) -> Floats:
    """F'(p) when a silent group of the same prompt is drawn again, up to `draws` groups in all.

    E[gain | mixed] (1 − silent^draws)/(p(1−p)): the paper's DAPO. Refilling from other prompts leaves F' as it was.

    >>> round(float(redrawn_weight(0.05, 8) / difficulty_weight(0.05, G=8)), 3)
    2.396
    """
    p_ = checks.probabilities("redrawn_weight", p)
    times = int(checks.whole("redrawn_weight", "draws", draws, 1))
    # E[gain | mixed] (1 − s^c) = E[gain] (1 + s + … + s^(c−1)): no division where nothing is mixed.
    silent = 1 - mixed_rate(p_, G)
    return difficulty_weight(p_, dial, G) * sum(silent**j for j in range(times))


def _mixed(k: Ints, f: Ints) -> NDArray[np.bool_]:
    return (k > 0) & (f > 0)


#: Rules whose tries follow this prompt's own rewards, at their authors' settings, and two that do not.
PUBLISHED: dict[str, Callable[[], Sampling]] = {
    "GRPO, G = 8": lambda: sampling(lambda k, f: k + f < 8, by_dial(), most=8),
    "Dr. GRPO, G = 8": lambda: sampling(lambda k, f: k + f < 8, by_dial(DR_GRPO), most=8),
    "SPEED, 4 + 12": lambda: sampling(_mixed, by_dial(DR_GRPO), most=16, round_size=4),
    "Pilot-Commit, 8 + 24": lambda: sampling(
        lambda k, f: (k + f > 8) | ((k >= 1) & (k <= 6)), by_dial(), most=32, round_size=8
    ),
    "AERO, 8 then by 2 to 16": lambda: sampling(
        lambda k, f: (k + f < 8) | (k == 0), balanced_down, most=16, round_size=2
    ),
    "Reinforce-Ada, one right": lambda: sampling(lambda k, f: k == 0, halves(4), most=32, round_size=8),
    "Reinforce-Ada, balanced": lambda: sampling(lambda k, f: (k < 2) | (f < 2), halves(4), most=32, round_size=8),
    "until one is right, to 32": lambda: sampling(lambda k, f: k == 0, by_dial(DR_GRPO), most=32),
    "until mixed, to 32": lambda: sampling(lambda k, f: ~_mixed(k, f), by_dial(), most=32),
}
