"""One engine for ways to spend answers: what is remembered, in which order, how many tries, when more.

A rule says four things: what is remembered of each problem, in which order problems are taken, how many tries
they get, and when a started group gets more. The engine takes problems until the step's answers are
used; every answer sampled is paid for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from groupsigma.allocate import Values, allocate
from groupsigma.checks import Floats, Ints
from groupsigma.dial import DR_GRPO, GRPO
from groupsigma.experiments.worlds import Drawn, World
from groupsigma.sigma import gain

#: Answers that `Memory.rate` looks back on, and the least that make a rate.
WINDOW, ENOUGH = 16, 8


@dataclass
class Memory:
    """Discounted counts of each problem: what published rules keep. Beta(prior + right, prior + wrong).

    Attributes:
        prior: pseudo-counts of each side. per_visit, per_step: what a visit or a step leaves of the counts.
    """

    problems: int
    prior: float = 1.0
    per_visit: float = 1.0
    per_step: float = 1.0
    right: Floats = field(init=False)
    wrong: Floats = field(init=False)
    streak: Ints = field(init=False)  # silent visits in a row, negative where all wrong
    tries: Floats = field(init=False)
    recent: Floats = field(init=False)  # newest answers first, each as its visit's rate

    def __post_init__(self) -> None:
        self.right, self.wrong, self.tries = (np.zeros(self.problems) for _ in range(3))
        self.streak = np.zeros(self.problems, dtype=np.int64)
        self.recent = np.full((self.problems, WINDOW), np.nan)

    @property
    def a(self) -> Floats:
        """Beta's a."""
        return self.prior + self.right

    @property
    def b(self) -> Floats:
        """Beta's b."""
        return self.prior + self.wrong

    @property
    def variance(self) -> Floats:
        """E[p(1−p)] = ab/((a+b)(a+b+1))."""
        n = self.a + self.b
        return self.a * self.b / (n * (n + 1))

    def rate(self, i: Ints) -> Floats:
        """Share right of the newest 16 answers, or of the last visit where that was longer; NaN before the 8th.

        Of a visit that the window cuts its share counts: the order of its answers is not kept.
        """
        known = self.tries[i] >= ENOUGH
        rate = np.full(len(i), np.nan)
        rate[known] = np.nanmean(self.recent[i[known]], axis=1)
        return rate

    def visit(self, i: Ints, k: Ints, n: Ints) -> None:
        """Count a step's answers."""
        self.right *= self.per_step
        self.wrong *= self.per_step
        self.right[i] = self.per_visit * self.right[i] + k
        self.wrong[i] = self.per_visit * self.wrong[i] + n - k
        self.tries[i] += n
        older = np.arange(WINDOW) - n[:, None]
        kept = np.take_along_axis(self.recent[i], np.maximum(older, 0), axis=1)
        self.recent[i] = np.where(older < 0, (k / n)[:, None], kept)
        grown = np.where(k == n, np.maximum(self.streak[i], 0) + 1, np.minimum(self.streak[i], 0) - 1)
        self.streak[i] = np.where((k > 0) & (k < n), 0, grown)


#: Problems in the order they are to be taken.
Order = Callable[[Memory, World], Ints]
#: First tries of the problems of a batch; the batch is as long as the mean of 8 (or the rule's size) allows.
Tries = Callable[[Memory, Ints, int], Ints]
#: Further tries after k of n; 0 is enough.
More = Callable[[Ints, Ints], Ints]
#: (k, n) → what counts: k, n, plus, minus.
Keep = Callable[[Ints, Ints, World], tuple[Floats, Floats, Floats, Floats]]


class Engine:
    """Takes problems in a rule's order until the step's answers are used."""

    def __init__(
        self,
        weight: str,
        memory: dict[str, Any] | None = None,
        order: Order | None = None,
        size: int = 8,
        tries: Tries | None = None,
        more: More | None = None,
        keep: Keep | None = None,
        kept_only: bool = False,
    ) -> None:
        self.settings, self.order, self.size, self.tries = memory or {}, order or shuffled, size, tries
        self.more, self.keep, self.kept_only, self.weight = more, keep, kept_only, weight
        self.memory: Memory | None = None

    def __call__(self, world: World) -> Drawn:
        """One step: its groups, with every answer that was sampled for them."""
        memory = self.memory = self.memory or Memory(world.problems, **self.settings)
        order = self.order(memory, world)
        wanted, at, used = world.batch, 0, 0
        i, k, n = (np.zeros(0, dtype=np.int64) for _ in range(3))
        while used < wanted and at < len(order):
            batch = order[at : at + max(1, round((wanted - used) / self.size))]
            at += len(batch)
            drawn = np.full(len(batch), self.size) if self.tries is None else self.tries(memory, batch, wanted - used)
            right = world.sample(batch, drawn)
            paid = int(drawn.sum())
            while self.more is not None and (further := self.more(right, drawn)).any():
                right, drawn = right + world.sample(batch, further), drawn + further
                paid += int(further.sum())
            i, k, n = np.append(i, batch), np.append(k, right), np.append(n, drawn)
            # Dynamic sampling goes on until the batch is full of mixed groups.
            used += self.size * int(((right > 0) & (right < drawn)).sum()) if self.kept_only else paid
        tried = n > 0
        i, k, n = i[tried], k[tried], n[tried]
        memory.visit(i, k, n)
        return drawn_of(i, k, n, self.weight, int(n.sum()), self.keep, world)


def drawn_of(i: Ints, k: Ints, n: Ints, weight: str, answers: int, keep: Keep | None, world: World) -> Drawn:
    """A step's groups with their push: gain × 8 where groups count the same, gain × n where answers do."""
    if keep is not None:
        right, size, plus, minus = keep(k, n, world)
        return Drawn(i, right, size - right, plus, minus, answers)
    name, _, by = weight.partition("/")
    push = gain(k, n, DR_GRPO if name == "dr-grpo" else GRPO) * (n if by == "sum" else 8.0)
    return Drawn(i, k.astype(np.float64), (n - k).astype(np.float64), push, push, answers)


def shuffled(memory: Memory, world: World) -> Ints:
    """Problems at random, each once."""
    return world.rng.permutation(memory.problems)


def most_variance(memory: Memory, world: World) -> Ints:
    """By E[p(1−p)], ties at random."""
    return np.lexsort((world.rng.random(memory.problems), -memory.variance))


def fill(values: Values, most: int, least: int, budget: int, rows: int, skip: bool = False) -> Ints:
    """The package's own allocator on a rule's own values."""
    ones = np.ones(rows)
    return allocate(values, most, least, float(budget), ones, np.ones(rows, dtype=np.int64), skip).tries
