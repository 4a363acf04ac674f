"""Published ways to spend answers, each as its order, its tries, its continuation or what it keeps.

Where a rule's public code was run, `tests/test_rules.py` holds its arithmetic to what came out and says where ours
differs on purpose; "like" marks rules known from their abstract only.

Left out of all: queues between steps (SPEED and Pilot-Commit finish a group in the step that begins it), epochs
(what is skipped or dropped may come up in the next step), settings that tune themselves (GRESO's chance of
skipping), batches topped up for the hardware.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln

from groupsigma.checks import Floats, Ints
from groupsigma.dial import DR_GRPO
from groupsigma.experiments.engine import Engine, Keep, Memory, More, Order, Tries, drawn_of, fill
from groupsigma.experiments.worlds import Drawn, World
from groupsigma.sigma import gain

# ---- which problems -----------------------------------------------------------------------------


def nearest_half(candidates: int) -> Order:
    """MoPPS: of so many random candidates those whose Thompson draw is nearest ½."""

    def order(memory: Memory, world: World) -> Ints:
        pool = world.rng.permutation(memory.problems)[:candidates]
        draws = world.rng.beta(memory.a[pool], memory.b[pool])
        return pool[np.argsort((draws - 0.5) ** 2, kind="stable")]

    return order


def skip_chance(streak: Ints, keep: float) -> Floats:
    """GRESO: 1 − max(keep^z, .01) after z silent visits in a row."""
    return np.where(streak == 0, 0.0, 1 - np.maximum(keep ** np.abs(streak), 0.01))


def skipping(keep: float) -> Order:
    """GRESO: at random, silent streaks skipped by chance."""

    def order(memory: Memory, world: World) -> Ints:
        everyone = world.rng.permutation(memory.problems)
        return everyone[world.rng.random(len(everyone)) >= skip_chance(memory.streak[everyone], keep)]

    return order


def by_cumulative(scale: float) -> Order:
    """CERO-like: by E[v]/(1 + tries/scale), the marginal of a concave utility of all tries so far."""

    def order(memory: Memory, world: World) -> Ints:
        worth = memory.variance / (1 + memory.tries / scale)
        return np.lexsort((world.rng.random(memory.problems), -worth))

    return order


# ---- how many tries -----------------------------------------------------------------------------


def neyman(size: int) -> Tries:
    """VIP-like: least variance of the batch, n − 1 ∝ √E[v], from 2 to 4 × size."""

    def tries(memory: Memory, batch: Ints, answers: int) -> Ints:
        least, most = 2, 4 * size
        table = -1 / np.maximum(np.arange(most + 1.0) - 1, 1)
        v = memory.variance[batch]
        return fill(lambda rows: v[rows, None] * table, most, least, max(len(batch) * size, 2 * len(batch)), len(batch))

    return tries


def gvm_tries(p: Floats, norm: Floats, budget: int, alpha: float = 1e-3, beta: float = 2.0) -> Ints:
    """GVM: n ∝ norm/√(p + α/p^(β−1)), 0 where p is 0; rounded half to even, residuals one by one."""
    with np.errstate(divide="ignore"):
        share = np.where(p > 0, norm / np.sqrt(p + alpha / np.maximum(p, 1e-300) ** (beta - 1)), 0.0)
    if not share.sum():
        return np.zeros(len(p), dtype=np.int64)
    want = budget * share / share.sum()
    n = np.rint(want).astype(np.int64)
    short = budget - int(n.sum())
    nearest = np.argsort(-np.sign(short) * (want - n), kind="stable")[: abs(short)]
    n[nearest] += np.sign(short)
    return n


def knapsack(size: int) -> Tries:
    """Knapsack RL: by the rate of the newest answers as if exact."""
    return lambda memory, batch, answers: knapsack_tries(memory.rate(batch), size)


def knapsack_tries(rate: Floats, size: int, most: int = 128) -> Ints:
    """Knapsack RL: 2 for all, `size` where the rate is unknown (NaN), the rest by value to those in between.

    These get no more than a chance of .9 of a mixed group costs; what is over goes evenly to all-wrong and unknown
    ones, else to all-right ones. Where all are in between they share it all; the public code fails there.
    """
    unknown, open_ = np.isnan(rate), (rate > 0) & (rate < 1)
    n = np.where(unknown, size, 2)
    left, p = len(rate) * size - int(n.sum()), rate[open_]
    wrong = np.flatnonzero(unknown | (rate == 0))
    others = wrong if len(wrong) else np.flatnonzero(~open_)
    cost = np.minimum(np.log(1 - 0.9) / np.log(np.maximum(p, 1 - p)), most).astype(np.int64)
    spend = min(left, int(cost.sum())) if len(others) else left
    if len(others):
        n[others] += (left - spend) // len(others) + (np.arange(len(others)) < (left - spend) % len(others))
    if len(p):
        values = knapsack_values(p, most)
        n[open_] = fill(lambda rows: values[rows], most, 2, 2 * len(p) + spend, len(p))
    return n


def knapsack_values(p: Floats, most: int) -> Floats:
    """Knapsack RL: (1 − p^N − (1−p)^N) p (1−p)² for N = 0 … most, but nothing for the first 2, as its code has it."""
    n = np.arange(most + 1)
    mixed = np.where(n > 2, 1 - p[:, None] ** n - (1 - p[:, None]) ** n, 0.0)
    return mixed * (p * (1 - p) ** 2)[:, None]


class Pilot:
    """GVM: 8 tries for all of the batch whose only use is the rate they show, then as many again by the rule."""

    def __init__(self, weight: str, pilot: int = 8) -> None:
        self.weight, self.pilot = weight, pilot

    def __call__(self, world: World) -> Drawn:
        """One step: the groups of the second draw; the pilot's answers are paid for as well."""
        batch = world.rng.permutation(world.problems)[: world.batch // (2 * self.pilot)]
        seen = world.sample(batch, np.full(len(batch), self.pilot)) / self.pilot
        # The gradient norm of a right answer is (1 − p)|x|, and noise: the same for all here.
        n = gvm_tries(seen, np.ones(len(batch)), self.pilot * len(batch))
        k = world.sample(batch, n)
        tried = n > 0
        answers = self.pilot * len(batch) + int(n.sum())
        return drawn_of(batch[tried], k[tried], n[tried], self.weight, answers, None, world)


# ---- when a group goes on -----------------------------------------------------------------------


def screened(first: int, further: int, low: float = 0.0, high: float = 1.0) -> More:
    """SPEED (low 0, high 1: any mixed screen) and Pilot-Commit (bounds included): go on where the pilot is between."""

    def more(k: Ints, n: Ints) -> Ints:
        rate = k / n
        passes = (rate > 0) & (rate < 1) if (low, high) == (0.0, 1.0) else (rate >= low) & (rate <= high)
        return np.where((n == first) & passes, further, 0)

    return more


def until(right: int, wrong: int, by: int, most: int) -> More:
    """Reinforce-Ada: rounds until so many right and wrong, or most."""
    return lambda k, n: np.where((n < most) & ((k < right) | (n - k < wrong)), by, 0)


def rescued(first: int, by: int, most: int) -> More:
    """AERO: all wrong after `first`: `by` more at a time until one is right."""
    return lambda k, n: np.where((k == 0) & (n >= first) & (n < most), by, 0)


def hora(size: int) -> More:
    """HORA-like: after size/2 tries the rest by the chance of a first hit under Beta(1, 1), to 4 × size."""

    def more(k: Ints, n: Ints) -> Ints:
        if n.max() > size // 2:
            return np.zeros_like(n)
        spare = size // 2 * len(n)
        extra = np.arange(4 * size - size // 2 + 1)
        a, b = 1.0 + k, 1.0 + n - k
        missed = np.exp(betaln(a[:, None], b[:, None] + extra) - betaln(a, b)[:, None])
        values = np.where((k > 0)[:, None], 0.0, 1 - missed)
        if not (k == 0).any():
            return np.full_like(n, size // 2)
        return fill(lambda rows: values[rows], len(extra) - 1, 1, spare, len(n), skip=True)

    return more


def halved(weight: str, size: int) -> Engine:
    """HORA-like draws size/2 first; the batch is cut for the whole of it."""

    def tries(memory: Memory, batch: Ints, answers: int) -> Ints:
        return np.full(len(batch), size // 2)

    return Engine(weight, size=size, tries=tries, more=hora(size))


# ---- which answers count ------------------------------------------------------------------------


def balanced(keep: int) -> Keep:
    """Reinforce-Ada: keep/2 of each kind, filled from the other, advantages R − mean of all draws."""

    def kept(k: Ints, n: Ints, world: World) -> tuple[Floats, Floats, Floats, Floats]:
        right, wrong = kept_counts(k, n, keep)
        mean = k / n
        plus, minus = 8 / keep * right * (1 - mean), 8 / keep * wrong * mean
        return right.astype(np.float64), (right + wrong).astype(np.float64), plus, minus

    return kept


def kept_counts(k: Ints, n: Ints, keep: int) -> tuple[Ints, Ints]:
    """How many right and wrong answers of k of n stay when `keep` are kept, half and half where possible."""
    right = np.minimum(k, keep // 2)
    wrong = np.minimum(n - k, keep - right)
    return np.minimum(k, keep - wrong), wrong


def trimmed(first: int) -> Keep:
    """AERO: fewer right than wrong: all right and as many wrong; otherwise all. Advantages R − mean of the kept.

    A rescued group keeps the one right answer that ended it, whatever came in the same round.
    """

    def kept(k: Ints, n: Ints, world: World) -> tuple[Floats, Floats, Floats, Floats]:
        right = np.where(n > first, np.minimum(k, 1), k)
        wrong = np.where((right > 0) & (2 * right < n), right, n - k)
        size = right + wrong
        push = 8.0 * gain(right, size, DR_GRPO)
        return right.astype(np.float64), size.astype(np.float64), push, push

    return kept
