"""A training run without a language model: every prompt a coin of its own, moved by its groups.

A prompt answers right with p = 1/(1 + exp(−θ)). The score of a right answer is 1 − p, of a
wrong one −p, so the contrast Δs is 1 and a group of k right among G moves its prompt by
θ ← θ + step_size · gain(k, G). Nothing is shared between prompts and no update is ever in a
wrong direction: the run shows where a rule puts its updates, not what noise does to them.

Silent groups move nothing, so a step only computes the prompts whose group was mixed: one
uniform number u a group, silent for u < (1−p)^G and for u ≥ 1 − p^G, and k by inversion between.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groupsigma import checks
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.expect import table_mean
from groupsigma.sigma import gain, mean_advantage

Refill = Literal["same", "others"]

#: Solve rates are reported by tenth.
TENTHS = 10
#: Prompts worked on at a time, so that their chances of every k stay in cache.
_BLOCK = 4096
#: (1−p)^G of the harder side, 2^−G at least, must be a float.
_LARGEST = 1000


@dataclass(frozen=True, eq=False, repr=False)
class Records:
    """What a run of `simulate` did, step by step; T steps, M prompts.

    Attributes:
        solve_rate: mean solve rate over all prompts before each step and at the end, float64 [T+1].
        hardest: the same over the hardest quartile at the start: all prompts with p0 at or below
            the quartile, ties included, so often more than a quarter.
        hardest_prompts: how many those are.
        silent: share of first draws that were silent, float64 [T].
        silent_predicted: mean of p^G + (1−p)^G over all prompts before the step, float64 [T].
        answers: answers drawn so far, int64 [T+1]; 0 first.
        updated: share of the visited prompts whose group, drawn again or not, ended mixed, float64 [T].
        energy: mean over all prompts of the squared update (step_size · gain)², float64 [T].
        mass, mass_predicted: Σ gain over the run by tenth of the solve rate at the time, as drawn
            and in expectation given that rate, float64 [10].
        groups: groups drawn over the run by tenth of the solve rate at the time, float64 [10].
        final: solve rate of each prompt at the end, float64 [M].
    """

    solve_rate: Floats
    hardest: Floats
    hardest_prompts: int
    silent: Floats
    silent_predicted: Floats
    answers: Ints
    updated: Floats
    energy: Floats
    mass: Floats
    mass_predicted: Floats
    groups: Floats
    final: Floats

    def __repr__(self) -> str:
        drawn = f"{len(self.final):,} prompts, {len(self.silent)} steps, {int(self.answers[-1]):,} answers"
        rates = f"solve rate {self.solve_rate[0]:.3f} to {self.solve_rate[-1]:.3f}"
        return f"Records({drawn}, {rates}, hardest quartile {self.hardest[0]:.3f} to {self.hardest[-1]:.3f})"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(self).items()}


def simulate(
    p0: ArrayLike,
    *,
    dial: Dial = GRPO,
    group_size: int = 8,
    steps: int = 150,
    step_size: float = 0.5,
    rng: np.random.Generator,
    draws: int = 4,
    refill: Refill = "same",
    batch: int | None = None,
) -> Records:
    """A run of prompts that learn alone: k ~ Binomial(G, p), θ ← θ + step_size · gain(k, G), p = 1/(1 + exp(−θ)).

    Args:
        p0: solve rates at the start, strictly between 0 and 1, [M].
        dial: whose gain; its advantages must sum to 0 in each group (no leave-one-out spread),
            and dial.keep == "mixed" draws again for silent groups as `refill` says.
        group_size: G, whole, 1 to 1000.
        steps, step_size: how many, and how far; ≥ 0. A step size of 0 stands still and counts.
        rng: where all randomness comes from.
        draws: with keep="mixed", at most this many groups for each one wanted, the first included.
        refill: "same" draws the silent prompt again (arXiv 2607.00152's DAPO: its expected update is
            E[gain] (1 − silent^draws)/(1 − silent)); "others" moves on to prompts not yet seen in
            the step until `batch` groups are mixed or draws · batch were drawn (DAPO's dynamic sampling).
        batch: prompts a step, drawn without replacement; None visits all.

    Returns: Records; equal arguments and an equal generator give equal bytes.
    Raises: ArgumentError for values out of range, a rule that looks at more than one group, or
        refill="others" without a batch.
    Source: arXiv 2607.00152, §8 and Fig. 10; "others": arXiv 2503.14476, §3.2.

    >>> run = simulate([0.1, 0.5, 0.9], steps=100, rng=np.random.default_rng(0))
    >>> run.answers[-1].item(), bool((run.final > 0.97).all())
    (2400, True)
    """
    start, G, steps, limit, size = _checked(p0, dial, group_size, steps, step_size, rng, draws, refill, batch)
    prompts = _Prompts(start, gain(np.arange(G + 1), G, dial), limit if refill == "same" else 1)
    hard = np.flatnonzero(start <= np.quantile(start, 0.25))
    mean, hardest, answers = np.empty(steps + 1), np.empty(steps + 1), np.zeros(steps + 1, dtype=np.int64)
    silent, predicted, updated, energy = (np.empty(steps) for _ in range(4))
    order = np.arange(len(start))
    for t in range(steps):
        mean[t], hardest[t], predicted[t] = prompts.p.mean(), prompts.p[hard].mean(), prompts.silent.mean()
        if size < len(order):
            rng.shuffle(order)
        if refill == "others":
            groups, visited, first_silent, rows, u = _others(prompts, order[: limit * size], size, rng)
        else:
            groups, visited, first_silent, rows, u = _same(prompts, order[:size], limit, rng)
        moved = prompts.move(rows, u, step_size)
        answers[t + 1] = answers[t] + G * groups
        silent[t], updated[t] = first_silent, len(rows) / visited
        energy[t] = step_size**2 * (moved @ moved) / len(start)
    mean[steps], hardest[steps] = prompts.p.mean(), prompts.p[hard].mean()
    prompts.close()
    ledger = prompts.mass, prompts.mass_predicted, prompts.groups
    return Records(mean, hardest, len(hard), silent, predicted, answers, updated, energy, *ledger, prompts.p)


class _Prompts:
    """Where each prompt stands, arrays [M], and what was spent there, entered by tenth before it moves on."""

    def __init__(self, p: Floats, gains: Floats, draws: int) -> None:
        self.gains, self.draws = gains, draws
        self.theta = np.log(p) - np.log1p(-p)
        self.p, self.tenth = p.copy(), np.empty(len(p), dtype=np.int64)
        self.wrong, self.right, self.silent = (np.empty(len(p)) for _ in range(3))
        #: First and repeated draws since the prompt last moved.
        self.visits, self.repeats = np.zeros(len(p)), np.zeros(len(p))
        self.mass, self.mass_predicted, self.groups = np.zeros(TENTHS), np.zeros(TENTHS), np.zeros(TENTHS)
        self._settle(np.arange(len(p)), p)

    def is_mixed(self, rows: Ints | slice, u: Floats) -> NDArray[np.bool_]:
        """Whether the group that u stands for holds right and wrong answers."""
        return (u >= self.wrong[rows]) & (u < self.right[rows])

    def move(self, rows: Ints, u: Floats, step_size: float) -> Floats:
        """θ ← θ + step_size · gain for the mixed groups that u stands for; the gains."""
        k, expected = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
        for i in range(0, len(rows), _BLOCK):
            at = slice(i, i + _BLOCK)
            k[at], expected[at] = _inverted(u[at], self.p[rows[at]], self.gains)
        moved = self.gains[k]
        self.mass += np.bincount(self.tenth[rows], moved, TENTHS)
        if step_size:
            self._enter(rows, expected)
            self.theta[rows] += step_size * moved
            with np.errstate(over="ignore"):
                self._settle(rows, 1 / (1 + np.exp(-self.theta[rows])))
        return moved

    def close(self) -> None:
        """Enter what was spent where the prompts stand at the end."""
        self._enter(np.arange(len(self.p)), table_mean(self.p, self.gains))

    def _enter(self, rows: Ints, expected: Floats) -> None:
        tenth, visits, silent = self.tenth[rows], self.visits[rows], self.silent[rows]
        # A silent group is drawn again: 1 + silent + … + silent^(draws−1) chances a visit.
        chances = np.ones(len(rows))
        for _ in range(self.draws - 1):
            chances = 1 + silent * chances
        self.mass_predicted += np.bincount(tenth, expected * visits * chances, TENTHS)
        self.groups += np.bincount(tenth, visits + self.repeats[rows], TENTHS)
        self.visits[rows] = self.repeats[rows] = 0

    def _settle(self, rows: Ints, p: Floats) -> None:
        G = len(self.gains) - 1
        wrong, right = _power(1 - p, G), _power(p, G)
        self.p[rows], self.wrong[rows], self.right[rows], self.silent[rows] = p, wrong, 1 - right, wrong + right
        self.tenth[rows] = np.minimum(p * TENTHS, TENTHS - 1)


def _same(prompts: _Prompts, rows: Ints, draws: int, rng: np.random.Generator) -> tuple[int, int, float, Ints, Floats]:
    """A group for each row, again for those still silent, up to `draws` in all.

    Returns: groups drawn, prompts visited, silent share of the first draws, rows with a mixed group, its u.
    """
    # All prompts at once need no index.
    view = slice(None) if len(rows) == len(prompts.p) else rows
    prompts.visits[view] += 1
    u = rng.random(len(rows))
    is_mixed = prompts.is_mixed(view, u)
    at = np.flatnonzero(is_mixed)
    groups, silent, left, mixed, us = len(rows), 1 - len(at) / len(rows), rows, [rows[at]], [u[at]]
    for _ in range(draws - 1):
        left = left[np.flatnonzero(~is_mixed)]
        prompts.repeats[left] += 1
        groups += len(left)
        u = rng.random(len(left))
        is_mixed = prompts.is_mixed(left, u)
        at = np.flatnonzero(is_mixed)
        mixed.append(left[at])
        us.append(u[at])
    return groups, len(rows), silent, np.concatenate(mixed), np.concatenate(us)


def _others(
    prompts: _Prompts, rows: Ints, wanted: int, rng: np.random.Generator
) -> tuple[int, int, float, Ints, Floats]:
    """A group for each row in turn until `wanted` are mixed or the rows end; returns as `_same`."""
    u = rng.random(len(rows))
    at = np.flatnonzero(prompts.is_mixed(rows, u))[:wanted]
    groups = int(at[-1]) + 1 if len(at) == wanted else len(rows)
    prompts.visits[rows[:groups]] += 1
    return groups, groups, 1 - len(at) / groups, rows[at], u[at]


def _inverted(u: Floats, p: Floats, gains: Floats) -> tuple[Ints, Floats]:
    """k of a mixed group, Binomial(G, p) inverted at u, summed from the likelier end; and E[gain] on the way."""
    G = len(gains) - 1
    easy = p > 0.5
    x, v = np.where(easy, 1 - p, p), np.where(easy, 1 - u, u)
    odds = x / (1 - x)
    chance = np.empty((G, len(p)))
    chance[0] = _power(1 - x, G)
    below, k = chance[0].copy(), np.zeros(len(p), dtype=np.int16)
    for j in range(1, G):
        k += v >= below
        np.multiply(chance[j - 1], odds, out=chance[j])
        chance[j] *= (G - j + 1) / j
        below += chance[j]
    # Rounding at the ends: the group is known to be mixed.
    k = np.maximum(k, 1)
    return np.where(easy, G - k, k), np.where(easy, gains[:0:-1] @ chance, gains[:-1] @ chance)


def _power(x: Floats, n: int) -> Floats:
    """xⁿ by squaring, for small n much faster than a general power."""
    out = np.ones_like(x)
    while n:
        if n & 1:
            out = out * x
        n >>= 1
        x = x * x if n else x
    return out


def _checked(
    p0: ArrayLike,
    dial: Dial,
    group_size: int,
    steps: int,
    step_size: float,
    rng: np.random.Generator,
    draws: int,
    refill: Refill,
    batch: int | None,
) -> tuple[Floats, int, int, int, int]:
    """Start, G, steps, draws for each group wanted and groups wanted a step; or an error."""
    who = "simulate"
    start = checks.probabilities(who, p0, "p0")
    if start.ndim != 1 or not len(start):
        raise ArgumentError(who, "p0 as one row of solve rates", f"shape {start.shape}")
    stuck = (start == 0) | (start == 1)
    if stuck.any():
        at = int(np.argmax(stuck))
        hint = "such a prompt never moves: leave it out, or clip"
        raise ArgumentError(who, "p0 strictly between 0 and 1", f"p0 = {start[at]:g}", f"index {at}", hint)
    G, T, limit = (
        _one(name, value, least)
        for name, value, least in (("group_size", group_size, 1), ("steps", steps, 0), ("draws", draws, 1))
    )
    if G > _LARGEST:
        raise ArgumentError(who, f"a group_size of at most {_LARGEST}", str(G))
    far = checks.finite(who, "step_size", step_size)
    if far.ndim or far < 0:
        raise ArgumentError(who, "step_size to be a number of at least 0", repr(step_size)[:60])
    expect_dial(who, dial)
    if not dial.compares or np.abs(mean_advantage(np.arange(G + 1), G, dial)).max() > 1e-9:
        hint = "the prompt's own score would add to the contrast"
        raise ArgumentError(who, "a rule whose advantages sum to 0 in each group", repr(dial), hint=hint)
    if not isinstance(rng, np.random.Generator):
        raise ArgumentError(who, "rng as a numpy Generator", repr(rng)[:60], hint="np.random.default_rng(seed)")
    if refill not in get_args(Refill):
        raise ArgumentError(who, f"refill in {get_args(Refill)}", repr(refill))
    size = len(start) if batch is None else _one("batch", batch, 1)
    if size > len(start):
        raise ArgumentError(who, f"a batch of at most the {len(start)} prompts", str(size))
    if dial.keep == "mixed" and refill == "others" and batch is None:
        hint = "a step that visits all prompts has no others to move on to"
        raise ArgumentError(who, "a batch with refill='others'", "None", hint=hint)
    return start, G, T, limit if dial.keep == "mixed" else 1, size


def _one(name: str, value: Any, least: int) -> int:
    number = checks.whole("simulate", name, value, least)
    if number.ndim:
        raise ArgumentError("simulate", f"one {name}", repr(value)[:60])
    return int(number)
