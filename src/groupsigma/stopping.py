"""When to stop trying a problem inside a step: the optimal rule, its price, and a bound on every adaptive plan.

After k right and f wrong answers a problem may get more tries or be left. Each try costs the price
λ; stopping pays the goal's u(k, k+f) times the tilt expected under the belief. With everything
multiplied by the probability of the answers so far, M(k, f) = E[p^k (1−p)^f], nothing is divided:

    W(k, f) = max( u E[p^(k+s) (1−p)^(f+t)],  −λ R M + Σ_j C(R, j) W(k+j, f+R−j) )

for rounds of R tries. At the best λ, λB + Σ W(0, 0) bounds every adaptive use of B answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groupsigma import checks
from groupsigma.belief import Beliefs
from groupsigma.checks import Floats, Ints
from groupsigma.errors import ArgumentError
from groupsigma.value import Goal

_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class Stopping:
    """The optimal rule for each problem at a price.

    Attributes:
        price: λ, in the goal's value per unit of cost. round: tries drawn at a time.
        go: bool [P, most+1, most+1]: whether to draw a further round at (k, f).
        begin: int64 [P] how many of a row's problems to start: `count` or 0; at a budget, of those on the margin
            as many as it pays for.
        worth: [P] value less λ · cost of a problem that is handled so; ≥ 0.
        tries: [P] expected tries of a problem that is started.
        value, spent: what the rule attains and uses, expected over all problems.
        bound: no adaptive rule of that budget (or of that spending) attains more.
    """

    price: float
    round: int
    go: NDArray[np.bool_]
    begin: Ints
    worth: Floats
    tries: Floats
    value: float
    spent: float
    bound: float

    def follow(self, draw: Callable[[Ints, Ints], Ints]) -> tuple[Ints, Ints, Ints]:
        """One step by the rule: rounds for all that go on, until none does.

        Args: draw(rows, n): right ones of n more answers to each of these rows; called once a round.
        Returns: row, right answers and answers of each group begun, int64.

        >>> rule = stopping(Beliefs.about(["a", "b"]), price=0.1, goal=Goal("coverage"))
        >>> rows, k, n = rule.follow(lambda rows, n: n)  # every answer right
        >>> bool((k == n).all() and (n < 16).all())
        True
        """
        rows = np.repeat(np.arange(len(self.begin)), self.begin)
        k, n = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
        active = np.arange(len(rows))
        while len(active):
            further = np.full(len(active), self.round)
            k[active] += draw(rows[active], further)
            n[active] += further
            active = active[n[active] < self.go.shape[1] - 1]
            active = active[self.should_continue(rows[active], k[active], n[active] - k[active])]
        return rows, k, n

    def should_continue(self, rows: Ints, k: ArrayLike, f: ArrayLike) -> NDArray[np.bool_]:
        """Whether these rows, with k right and f wrong so far, get a further round."""
        return self.go[np.asarray(rows), np.asarray(k), np.asarray(f)]


def should_continue(k: ArrayLike, f: ArrayLike, *, price: float, a: float = 0.5, b: float = 0.5) -> NDArray[np.bool_]:
    """Goal coverage, belief p ~ Beta(a, b): whether one more try is worth its price after k right, f wrong.

    Never once mixed; after f wrong alone iff a/(a+b+f) > λ, after k right alone iff b/(a+b+k) > λ: the
    chance that the next try splits the group. Looking one step ahead is optimal, since that chance only
    falls. Before the first try (k = f = 0) a group must be worth its whole way: start iff W(0, 0) > 0.

    Args: k, f whole ≥ 0, they broadcast; price λ in (0, 1), mixed groups per try; a, b > 0.
    Source: docs/planning.md; checked against the dynamic programme.

    >>> should_continue(0, [1, 5, 50], price=0.05).tolist()
    [True, True, False]
    """
    who = "should_continue"
    right, wrong = checks.whole(who, "k", k, 0), checks.whole(who, "f", f, 0)
    cost = checks.fraction(who, "price", price)
    for name, value in (("a", a), ("b", b)):
        if np.ndim(value) or not checks.finite(who, name, value) > 0:
            raise ArgumentError(who, f"{name} > 0", repr(value))
    right, wrong = np.broadcast_arrays(right, wrong)
    chance = np.where(right > 0, b, a) / (a + b + right + wrong)
    start = _starts(float(a), float(b), cost) if ((right == 0) & (wrong == 0)).any() else False
    return np.where((right > 0) & (wrong > 0), False, np.where((right == 0) & (wrong == 0), start, chance > cost))


def _starts(a: float, b: float, price: float) -> bool:
    """Whether following the rule from nothing earns more than it costs under Beta(a, b)."""
    earned = -price
    for side, other in ((a, b), (b, a)):
        # After one answer of this side: go on while the other's chance beats the price.
        alive, seen = side / (a + b), 1
        while (chance := other / (a + b + seen)) > price and alive > 1e-12:
            earned += alive * (chance - price)
            if earned > 0:
                return True
            alive *= 1 - chance
            seen += 1
    return False


def stopping(
    beliefs: Beliefs,
    *,
    price: float | None = None,
    budget: float | None = None,
    goal: Goal | None = None,
    max_tries: int = 16,
    round_size: int = 1,
    cost: ArrayLike = 1.0,
) -> Stopping:
    """The optimal stopping rule of every problem, at a price or at the price that uses a budget in expectation.

    Args:
        beliefs: about the problems. price: λ > 0; or budget: Σ count · cost · tries expected.
        goal: default `Goal()`; of those that sum over problems.
        max_tries: most tries of a problem. round_size: R tries are drawn at a time.
        cost: of one try, > 0, one number or one a problem.
    Raises: ArgumentError unless exactly one of price and budget is given.

    >>> told = Beliefs.about(["a", "b"], rate=[0.5, 0.001], strength=1000)
    >>> stopping(told, price=0.1, goal=Goal("coverage")).begin.tolist()
    [1, 0]
    """
    who = "stopping"
    aim = Goal() if goal is None else goal
    if aim.name in ("variance", "fidelity"):
        raise ArgumentError(who, "a goal that can leave problems untried", aim.name)
    most, size = int(checks.whole(who, "max_tries", max_tries, 2)), int(checks.whole(who, "round_size", round_size, 1))
    if most > 128 or size > most:
        raise ArgumentError(who, "round_size <= max_tries <= 128", f"{size}, {most}")
    each = checks.finite(who, "cost", cost)
    if each.shape not in ((), beliefs.count.shape) or (each <= 0).any():
        raise ArgumentError(who, "costs > 0, one or one for each problem", f"shape {each.shape}, least {each.min():g}")
    each = np.broadcast_to(each, beliefs.count.shape)
    if (price is None) == (budget is None):
        raise ArgumentError(who, "a price or a budget", "both" if price is not None else "neither")
    tree = _Tree(beliefs, aim, most, size, each)
    if price is not None:
        return tree.at(_positive(who, "price", price), None)
    assert budget is not None
    return tree.within(_positive(who, "budget", budget))


def _positive(who: str, name: str, value: float) -> float:
    x = checks.finite(who, name, value)
    if x.ndim or x <= 0:
        raise ArgumentError(who, f"a {name} > 0", repr(value)[:60])
    return float(x)


class _Tree:
    """The states (k, f) of all rows, M and the pay of stopping in each; solved for one price after another."""

    def __init__(self, beliefs: Beliefs, goal: Goal, most: int, size: int, cost: Floats) -> None:
        self.beliefs, self.goal, self.size, self.cost = beliefs, goal, size, cost
        self.most = most - most % size
        self.count = beliefs.count
        p = beliefs.p
        self.layers = [np.arange(n + 1) for n in range(0, self.most + 1, size)]
        s, t = goal.tilt
        self.reach, self.pay = [], []
        lp, lq = np.log(p), np.log1p(-p)
        for right in self.layers:
            n = len(right) - 1
            path = np.exp(np.multiply.outer(lp, right) + np.multiply.outer(lq, n - right))
            # Denormal numbers add nothing and would slow the product a hundred times.
            path[path < 1e-250] = 0.0
            tilted = (
                path * np.exp(s * lp + t * lq)[:, None] * goal.reward(right, n)[None, :] if n else np.zeros_like(path)
            )
            self.reach.append(beliefs.weight @ path)
            self.pay.append(beliefs.weight @ tilted)
        self.ways = [float(comb(size, j)) for j in range(size + 1)]

    def solve(self, price: float, rows: Any = _ALL, keep: bool = False) -> tuple[Floats, Floats, Any]:
        """W(0, 0) and expected tries of some rows, and where to go on if it is to be kept."""
        most, R = self.most, self.size
        fee = (price * R * self.cost[rows])[:, None]
        worth = self.pay[-1][rows]
        tries = np.zeros_like(worth)
        go = np.zeros((len(worth), most + 1, most + 1), dtype=bool) if keep else None
        for layer in range(len(self.layers) - 2, -1, -1):
            right = self.layers[layer]
            n = len(right)
            reach, pay = self.reach[layer][rows], self.pay[layer][rows]
            on, ahead = -fee * reach, R * reach
            for j, ways in enumerate(self.ways):
                on += ways * worth[:, j : j + n]
                ahead += ways * tries[:, j : j + n]
            more = on > pay
            worth, tries = np.where(more, on, pay), np.where(more, ahead, 0.0)
            if go is not None:
                go[:, right, n - 1 - right] = more
        return worth[:, 0], tries[:, 0], go

    def at(self, price: float, budget: float | None) -> Stopping:
        worth, tries, go = self.solve(price, keep=True)
        assert go is not None
        begin = np.where(go[:, 0, 0], self.count, 0)
        each = self.cost * tries
        bound = float(self.count @ worth)
        if budget is not None and begin @ each > budget:
            order = np.flatnonzero(begin)
            order = order[np.argsort(-worth[order] / each[order], kind="stable")]
            paid = begin[order] * each[order]
            before = np.cumsum(paid) - paid
            begin[order] = np.clip((budget * (1 + 1e-9) - before) // each[order], 0, begin[order])
        spent = float(begin @ each)
        value = float(begin @ worth) + price * spent
        bound += price * (spent if budget is None else budget)
        return Stopping(price, self.size, go, begin, worth, tries, value, spent, bound)

    def within(self, budget: float) -> Stopping:
        """At the highest price whose expected spending covers the budget; what is over is not begun."""
        unit = self.count * self.cost
        # No price is above what a problem is worth per try of its first round when tries are free.
        low, high = 0.0, float((self.solve(0.0)[0] / self.cost).max()) / self.size * (1 + 1e-9)
        # A row that does not start at a price does not start at a higher one.
        rows = np.arange(len(unit))
        for _ in range(40):
            middle = (low + high) / 2
            tries = self.solve(middle, rows)[1]
            if unit[rows] @ tries >= budget:
                low, rows = middle, rows[tries > 0]
            else:
                high = middle
            if high - low < 1e-4 * high:
                break
        return self.at(low or high, budget)
