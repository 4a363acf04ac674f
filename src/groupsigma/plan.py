"""The plan: how many tries each problem gets, with what weight, and how far that is from the best possible.

Tries and weight are two controls. Tries say where the budget goes; weight says how much a group
counts in the loss once it is drawn. A plan spends; a dial weighs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import checks
from groupsigma.allocate import Allocation, Values, allocate
from groupsigma.belief import Beliefs
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.law import expected_gain, limit_gain, mixed_rate, silent_rate
from groupsigma.value import SATURATION, Goal, GoalName, value_table

SCHEMA = "groupsigma.plan/1"

#: How a group counts in the loss: every prompt the same; every answer the same; or so that each prompt's
#: expected update is the dial's large-G one at its own solve rate, however few tries it got.
Weight = Literal["equal", "proportional", "dial"]


@dataclass(frozen=True)
class Totals:
    """What some tries bring, expected under the beliefs; per whole plan.

    Attributes:
        problems: with at least one try. rollouts: answers. cost: in the unit of `cost`.
        mixed: groups with right and wrong answers. silent_rollouts: answers in groups without.
        contrast: effective contrast pairs Σ k(G−k)/G. gain: Σ E[gain] under the dial.
    """

    problems: int
    rollouts: int
    cost: float
    mixed: float
    silent_rollouts: float
    contrast: float
    gain: float


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """Tries and weight of each problem, with its certificate.

    Attributes:
        beliefs: what it was made from; row: int64 [R], which of their rows each entry is about (one row
            that stands for several problems may be divided in two).
        tries, count: int64 [R], tries of each problem and how many problems the entry stands for.
        value, bound: attained by the goal, and what no plan of this budget can exceed under these beliefs.
            It bounds the goal, contrast per answer, not learning.
        price: the goal's value of the last unit of cost.
        reference_size: G of the uniform run it is compared with. caps: fewest and most tries of a problem.
    """

    goal: Goal
    budget: float
    beliefs: Beliefs
    row: Ints
    tries: Ints
    count: Ints
    cost: Floats
    weighting: Weight
    value: float
    bound: float
    price: float
    reference_size: int
    caps: tuple[int, int]
    source: str = ""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        spent = int(self.count @ self.tries)
        return f"Plan({int(self.count[self.tries > 0].sum()):,} problems, {spent:,} rollouts, gap {self.gap:.2g})"

    @property
    def gap(self) -> float:
        """1 − value/bound: how far from the best possible this plan can be; 0 to 1."""
        return 0.0 if self.bound == self.value else abs(self.bound - self.value) / abs(self.bound)

    @cached_property
    def weight(self) -> Floats:
        """[R] what multiplies a group's loss, mean 1 over the planned groups; 0 without tries. See `Weight`."""
        planned = self.tries > 0
        raw = planned.astype(np.float64)
        if self.weighting == "proportional":
            raw *= self.tries
        elif self.weighting == "dial":
            dial = self.goal.dial
            whole = self._mean(lambda p, _: limit_gain(p, dial))
            part = self._mean(lambda p, G: expected_gain(p, G, dial))
            raw = np.where(planned & (part > 0), whole / np.where(part > 0, part, 1.0), 0.0)
        total = float(self.count[planned] @ raw[planned])
        return raw * (self.count[planned].sum() / total) if total else raw

    @cached_property
    def solve_rate(self) -> Floats:
        """[R] E[p] as believed."""
        return self.beliefs.mean[self.row]

    @cached_property
    def interval(self) -> tuple[Floats, Floats]:
        """[R], [R] the central 90 % of p as believed."""
        low, high = self.beliefs.interval(0.9)
        return low[self.row], high[self.row]

    @cached_property
    def silent(self) -> Floats:
        """[R] P(silent) of the planned group; of one of `reference_size` where there are no tries."""
        return self._mean(silent_rate, idle=self.reference_size)

    @property
    def seen(self) -> Floats:
        """[R] answers it was told of, by problem."""
        return self.beliefs.seen[self.row]

    @cached_property
    def why(self) -> list[str]:
        """[R] why it got its tries, in a word or two."""
        idle, believed = self.tries == 0, self.solve_rate
        words = np.where(self.tries > self.reference_size, "promote", "keep").astype("<U12")
        low, high = self.interval
        words[~idle & (self.seen == 0) & (high - low > 0.5)] = "explore"
        words[idle] = "below price"
        words[idle & (believed < 0.1)] = "too hard now"
        words[idle & (believed > 0.9)] = "solved"
        return words.tolist()

    @cached_property
    def planned(self) -> Totals:
        """What the plan brings, expected under the beliefs."""
        dial, n, tries = self.goal.dial, self.count, self.tries
        mixed = self._mean(mixed_rate)
        pairs = self._mean(lambda p, G: (G - 1) * p * (1 - p))
        gained = self._mean(lambda p, G: expected_gain(p, G, dial))
        spent = float((n * self.cost[self.row]) @ tries)
        silent = float((n * tries) @ np.where(tries > 0, 1 - mixed, 0.0))
        return Totals(
            int(n[tries > 0].sum()),
            int(n @ tries),
            spent,
            float(n @ mixed),
            silent,
            float(n @ pairs),
            float(n @ gained),
        )

    @cached_property
    def uniform(self) -> Totals:
        """The same for groups of `reference_size` on problems drawn at random, for the same cost."""
        n, G, dial = self.beliefs.count, self.reference_size, self.goal.dial
        share, p = n / n.sum(), self.beliefs.p
        crowd = share @ self.beliefs.weight
        groups = self.planned.cost / float(G * (share @ self.cost))
        mixed = groups * float(crowd @ mixed_rate(p, G))
        pairs = groups * float(crowd @ ((G - 1) * p * (1 - p)))
        gained = groups * float(crowd @ expected_gain(p, G, dial))
        return Totals(round(groups), round(groups * G), self.planned.cost, mixed, G * (groups - mixed), pairs, gained)

    def _mean(self, function: Callable[[Floats, int], Floats], idle: int = 0) -> Floats:
        """E[f(p, tries)] for each entry, as believed; `idle` stands for no tries, 0 gives 0."""
        sizes = np.where(self.tries > 0, self.tries, idle)
        out = np.zeros(len(sizes))
        for G in np.unique(sizes[sizes > 0]):
            here = sizes == G
            out[here] = self.beliefs.weight[self.row[here]] @ function(self.beliefs.p, int(G))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "goal": self.goal.name,
            "dial": self.goal.dial.formula,
            "saturation": self.goal.saturation,
            "weighting": self.weighting,
            "min_tries": self.caps[0],
            "max_tries": self.caps[1],
            "budget": self.budget,
            "certificate": {"value": self.value, "bound": self.bound, "gap": self.gap, "price": self.price},
            "planned": vars(self.planned),
            "uniform": {"group_size": self.reference_size, **vars(self.uniform)},
            "notes": list(self.notes),
            "problems": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One dict an entry: what CSV, JSONL and JSON hold."""
        low, high = self.interval
        table: dict[str, Any] = dict(
            prompt_id=np.asarray(self.beliefs.prompt_ids)[self.row],
            tries=self.tries,
            weight=self.weight,
            solve_rate=self.solve_rate,
            low=low,
            high=high,
            silent=self.silent,
            seen=self.seen.astype(np.int64),
            count=self.count,
        )
        columns = [np.asarray(column).tolist() for column in table.values()]
        return [dict(zip((*table, "why"), row, strict=True)) for row in zip(*columns, self.why, strict=True)]


def plan(
    source: Groups | Beliefs,
    *,
    budget: float,
    goal: GoalName = "signal",
    dial: Dial = GRPO,
    saturation: float = SATURATION,
    cost: ArrayLike = 1.0,
    min_tries: int = 2,
    max_tries: int = 32,
    skip: bool | None = None,
    weight: Weight = "equal",
    breadth: float | None = None,
    reference_size: int = 8,
    rng: np.random.Generator | None = None,
) -> Plan:
    """Tries for every problem, so that the goal's expected value under the budget is largest.

    Args:
        source: logged groups, or beliefs kept during a run.
        budget: what may be spent: Σ count · cost · tries ≤ budget; answers where cost is 1.
        goal, dial, saturation: see `Goal`. "variance" and "fidelity" serve every problem.
        cost: of one try, > 0: one number or one a problem (expected tokens).
        min_tries, max_tries: of a problem that is tried at all.
        skip: whether problems may get nothing; None as the goal has it.
        weight: how a group counts in the loss, see `Weight`.
        breadth: contrast pairs lately drawn from a problem that halve its worth now; None: no memory of them.
        reference_size: G of the uniform run that totals are compared with.
        rng: plan for one draw from the beliefs instead of their mean (Thompson sampling): explores.

    Returns: a Plan; its `gap` says how far from the best plan it can be.
    Raises: ArgumentError for a budget that is 0, too small for one group, or larger than all caps.
    Source: docs/planning.md.

    >>> groups = Groups(["easy", "even", "hard"], [8, 4, 0], [8, 8, 8])
    >>> plan(groups, budget=16, max_tries=16).tries.tolist()
    [0, 16, 0]
    """
    who = "plan"
    beliefs = _beliefs(who, source)
    aim = Goal(goal, dial, saturation)
    serves_all = aim.name in ("variance", "fidelity")
    if serves_all and skip:
        raise ArgumentError(who, f"every problem served under goal={goal!r}", "skip=True")
    skips = not serves_all if skip is None else bool(skip)
    if weight not in get_args(Weight):
        raise ArgumentError(who, "a known weight", repr(weight), hint="one of " + ", ".join(get_args(Weight)))
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise ArgumentError(who, "a numpy.random.Generator", repr(rng)[:60], hint="rng=np.random.default_rng(0)")
    each = _costs(who, cost, beliefs)
    least, most = _caps(who, min_tries, max_tries)
    if aim.name == "variance" and least < 2:
        raise ArgumentError(who, "min_tries of at least 2 for goal='variance'", f"{least}")
    money = _budget(who, budget, least, most, each, beliefs.count, skips)
    reference = int(checks.group_sizes(who, reference_size, 2))
    if breadth is not None and not (np.ndim(breadth) == 0 and checks.finite(who, "breadth", breadth) > 0):
        raise ArgumentError(who, "breadth > 0, or None", repr(breadth))
    look = beliefs if rng is None else beliefs.draw(rng)
    found = (
        _equal_fidelity(look, aim.dial, money, each, least, most)
        if aim.name == "fidelity"
        else allocate(_values(look, aim, least, most, skips, breadth), most, least, money, each, beliefs.count, skips)
    )
    row, tries, count = np.arange(len(found.tries)), found.tries, beliefs.count
    if found.split is not None:
        at, copies, more = found.split
        row, tries, count = np.insert(row, at, at), np.insert(tries, at, more), np.insert(count, at, copies)
        count[at + 1] -= copies
    origin: dict[str, Any] = dict(source=source.source, notes=source.notes) if isinstance(source, Groups) else {}
    certificate = (found.value, found.bound, found.price)
    return Plan(aim, money, beliefs, row, tries, count, each, weight, *certificate, reference, (least, most), **origin)


def _values(look: Beliefs, aim: Goal, least: int, most: int, skips: bool, breadth: float | None) -> Values:
    """V of rows at 0 … most tries under the beliefs."""
    sizes = np.arange(most + 1)
    # Below `least` nothing is bought; −inf of variance must not enter the arithmetic.
    table = value_table(look.p, np.maximum(sizes, 0 if skips else least), aim)
    if breadth is None:
        return lambda rows: look.weight[rows] @ table
    worth = 1 / (1 + look.recent / float(breadth))
    return lambda rows: (look.weight[rows] @ table) * worth[rows, None]


def _equal_fidelity(look: Beliefs, dial: Dial, budget: float, cost: Floats, least: int, most: int) -> Allocation:
    """The paper's group-size law as a plan: the highest φ that all problems below their caps can have, by bisection."""
    sizes = np.arange(1, most + 1)
    limit = look.weight @ limit_gain(look.p, dial)
    reached = (look.weight @ expected_gain(look.p[:, None], sizes[None, :], dial)) / np.maximum(limit, 1e-300)[:, None]
    total = look.count * cost

    def tries(level: float) -> Ints:
        enough = (reached < level).sum(1) + 1
        return np.clip(enough, least, most)

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if total @ tries(middle) <= budget else (low, middle)
    chosen = tries(low)
    least_reached = float(reached[np.arange(len(chosen)), chosen - 1].min())
    # A problem at its cap holds the least back whatever the budget.
    bound = max(least_reached, min(high, float(reached[:, -1].min())))
    return Allocation(chosen, None, least_reached, bound, 0.0, float(total @ chosen))


def _beliefs(who: str, source: Any) -> Beliefs:
    if isinstance(source, Groups):
        return Beliefs.of_groups(source)
    if not isinstance(source, Beliefs):
        raise ArgumentError(who, "Groups or Beliefs", repr(source)[:60], hint="load(path), or Beliefs.about(ids)")
    if not np.isfinite(source.weight).all():
        raise ArgumentError(who, "beliefs without NaN", "NaN in their weights")
    return source


def _costs(who: str, cost: ArrayLike, beliefs: Beliefs) -> Floats:
    each = checks.finite(who, "cost", cost)
    if each.shape not in ((), beliefs.count.shape):
        raise ArgumentError(who, "one cost, or one for each problem", f"shape {each.shape}")
    if (each <= 0).any():
        where = f"index {int(np.argmax(each <= 0))}" if each.ndim else ""
        raise ArgumentError(who, "costs > 0", f"cost = {each.min():g}", where)
    return np.broadcast_to(each, beliefs.count.shape)


def _caps(who: str, min_tries: int, max_tries: int) -> tuple[int, int]:
    least, most = (int(checks.whole(who, n, v, 1)) for n, v in (("min_tries", min_tries), ("max_tries", max_tries)))
    if most < max(2, least):
        raise ArgumentError(who, f"max_tries of at least {max(2, least)}", str(most))
    if most > 1024:
        raise ArgumentError(who, "max_tries of at most 1,024", f"{most:,}")
    return least, most


def _budget(who: str, budget: float, least: int, most: int, cost: Floats, count: Ints, skips: bool) -> float:
    money = checks.finite(who, "budget", budget)
    if money.ndim or money <= 0:
        raise ArgumentError(who, "a budget > 0", repr(budget))
    smallest = max(2, least) * float(cost[count > 0].min()) if skips else least * float(count @ cost)
    largest = most * float(count @ cost)
    if money < smallest:
        who_for = "one group" if skips else f"{least} tries of every problem"
        hint = "" if skips else "fewer problems, or a goal that may leave some untried"
        raise ArgumentError(who, f"a budget of at least {smallest:g}, {who_for}", f"{float(money):g}", hint=hint)
    if money > largest * (1 + 1e-12):
        raise ArgumentError(
            who, f"a budget of at most {largest:g}, {most} tries of every problem", f"{float(money):g}",
            hint="raise max_tries",
        )  # fmt: skip
    return float(money)
