"""Published ways to spend answers, and ours, as settings of one engine.

A rule says four things: what is remembered of each problem, in which order problems are taken, how many tries
they get, and when a started group gets more. The engine takes problems until the step's answers are
used; every answer sampled is paid for. Where a rule's public code was run, `tests/test_rules.py`
holds its arithmetic to what came out; "like" marks rules known from their abstract only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from groupsigma.allocate import allocate
from groupsigma.belief import Beliefs, Drift
from groupsigma.checks import Floats, Ints
from groupsigma.dial import DR_GRPO, GRPO, Dial
from groupsigma.experiments.arena import Drawn, World, start_spread
from groupsigma.plan import plan
from groupsigma.sigma import gain
from groupsigma.stopping import stopping
from groupsigma.value import Goal


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
    last: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.right, self.wrong, self.tries = (np.zeros(self.problems) for _ in range(3))
        self.streak = np.zeros(self.problems, dtype=np.int64)
        self.last = np.full(self.problems, np.nan)

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

    def visit(self, i: Ints, k: Floats, n: Floats) -> None:
        """Count a step's answers."""
        self.right *= self.per_step
        self.wrong *= self.per_step
        self.right[i] = self.per_visit * self.right[i] + k
        self.wrong[i] = self.per_visit * self.wrong[i] + n - k
        self.tries[i] += n
        self.last[i] = k / n
        grown = np.where(k == n, np.maximum(self.streak[i], 0) + 1, np.minimum(self.streak[i], 0) - 1)
        self.streak[i] = np.where((k > 0) & (k < n), 0, grown)


#: Problems in the order they are to be taken.
Order = Callable[[Memory, World], Ints]
#: First tries of the problems of a batch; the batch is as long as the mean of 8 (or the rule's size) allows.
Tries = Callable[[Memory, Ints, int], Ints]
#: Further tries after k of n; 0 is enough.
More = Callable[[Ints, Ints], Ints]
#: (k, n, gain-like weights) → what counts: k, n, plus, minus.
Keep = Callable[[Ints, Ints, World], tuple[Floats, Floats, Floats, Floats]]


@dataclass(frozen=True)
class Rule:
    """One way to spend answers; make() gives a fresh chooser for a run."""

    name: str
    make: Callable[..., Any]
    source: str
    knobs: tuple[dict[str, Any], ...] = ({},)
    steps: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    #: How groups count: dial and weighting; tuned with the rest.
    weights: tuple[str, ...] = ("grpo", "dr-grpo", "grpo/sum", "dr-grpo/sum")


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
        memory = self.memory = self.memory or Memory(world.family.problems, **self.settings)
        order = self.order(memory, world)
        wanted, at, used = world.family.batch, 0, 0
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


# ---- published rules: orders, tries, continuations ----------------------------------------------


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


def neyman(size: int) -> Tries:
    """VIP-like: least variance of the batch, n − 1 ∝ √E[v], from 2 to 4 × size."""

    def tries(memory: Memory, batch: Ints, answers: int) -> Ints:
        least, most = 2, 4 * size
        table = -1 / np.maximum(np.arange(most + 1.0) - 1, 1)
        v = memory.variance[batch]
        return fill(lambda s, e: v[s:e, None] * table, most, least, max(len(batch) * size, 2 * len(batch)), len(batch))

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


def knapsack_values(p: Floats, most: int) -> Floats:
    """Knapsack RL: (1 − p^N − (1−p)^N) p (1−p)² for N = 0 … most."""
    n = np.arange(most + 1)
    mixed = np.where(n > 0, 1 - p[:, None] ** n - (1 - p[:, None]) ** n, 0.0)
    return mixed * (p * (1 - p) ** 2)[:, None]


def knapsack(size: int) -> Tries:
    """Knapsack RL: the last visit's rate as if exact; 2 for silent ones, `size` for unseen ones, surplus to all-wrong."""

    def tries(memory: Memory, batch: Ints, answers: int) -> Ints:
        p, n = memory.last[batch], np.full(len(batch), 2)
        n[np.isnan(p)] = size
        open_ = ~np.isnan(p) & (p > 0) & (p < 1)
        left = len(batch) * size - int(n[~open_].sum())
        spare = left
        if open_.any():
            with np.errstate(divide="ignore"):
                cost = np.minimum(np.log(0.1) / np.log(np.maximum(p[open_], 1 - p[open_])), 128).astype(np.int64)
            spent = int(np.clip(cost.sum(), 2 * open_.sum(), left))
            values = knapsack_values(p[open_], 128)
            n[open_] = fill(lambda s, e: values[s:e], 128, 2, spent, int(open_.sum()))
            spare = left - int(n[open_].sum())
        wrong = np.flatnonzero(np.isnan(p) | (p == 0))
        if len(wrong) and spare > 0:
            n[wrong] += spare // len(wrong)
        return n

    return tries


def hora(size: int) -> More:
    """HORA-like: after size/2 tries the rest of the batch by the chance of a first hit under Beta(1, 1), to 4 × size."""

    def more(k: Ints, n: Ints) -> Ints:
        if n.max() > size // 2:
            return np.zeros_like(n)
        spare = size // 2 * len(n)
        extra = np.arange(4 * size - size // 2 + 1)
        a, b = 1.0 + k, 1.0 + n - k
        from scipy.special import betaln

        missed = np.exp(betaln(a[:, None], b[:, None] + extra) - betaln(a, b)[:, None])
        values = np.where((k > 0)[:, None], 0.0, 1 - missed)
        if not (k == 0).any():
            return np.full_like(n, size // 2)
        return fill(lambda s, e: values[s:e], len(extra) - 1, 1, spare, len(n), skip=True)

    return more


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


def balanced(keep: int) -> Keep:
    """Reinforce-Ada: keep/2 of each kind, filled from the other, advantages R − mean of all draws."""

    def kept(k: Ints, n: Ints, world: World) -> tuple[Floats, Floats, Floats, Floats]:
        right, wrong = kept_counts(k, n, keep)
        mean = k / n
        return (
            right.astype(float),
            (right + wrong).astype(float),
            8 / keep * right * (1 - mean),
            8 / keep * wrong * mean,
        )

    return kept


def kept_counts(k: Ints, n: Ints, keep: int) -> tuple[Ints, Ints]:
    """How many right and wrong answers of k of n stay when `keep` are kept, half and half where possible."""
    right = np.minimum(k, keep // 2)
    wrong = np.minimum(n - k, keep - right)
    return np.minimum(k, keep - wrong), wrong


def trimmed(k: Ints, n: Ints, world: World) -> tuple[Floats, Floats, Floats, Floats]:
    """AERO: fewer right than wrong: all right and as many wrong; otherwise all. Advantages R − mean of the kept."""
    wrong = np.where((k > 0) & (2 * k < n), k, n - k)
    size = k + wrong
    push = 8.0 * gain(k, size, DR_GRPO)
    return k.astype(float), size.astype(float), push, push


def fill(
    values: Callable[[int, int], Floats], most: int, least: int, budget: int, rows: int, skip: bool = False
) -> Ints:
    """The package's own allocator on a rule's own values."""
    ones = np.ones(rows)
    return allocate(values, most, least, float(budget), ones, np.ones(rows, dtype=np.int64), skip).tries


class Pilot:
    """GVM: 8 tries for all of the batch whose only use is the rate they show, then as many again by the rule."""

    def __init__(self, weight: str, pilot: int = 8) -> None:
        self.weight, self.pilot = weight, pilot

    def __call__(self, world: World) -> Drawn:
        batch = world.rng.permutation(world.family.problems)[: world.family.batch // (2 * self.pilot)]
        seen = world.sample(batch, np.full(len(batch), self.pilot)) / self.pilot
        # The gradient norm of a right answer is (1 − p)|x|, and noise: the same for all here.
        n = gvm_tries(seen, np.ones(len(batch)), self.pilot * len(batch))
        k = world.sample(batch, n)
        tried = n > 0
        answers = self.pilot * len(batch) + int(n.sum())
        return drawn_of(batch[tried], k[tried], n[tried], self.weight, answers, None, world)


# ---- ours ---------------------------------------------------------------------------------------


class Planner:
    """Ours: beliefs over the grid, the plan, and (screen > 0) the stopping rule inside the step."""

    def __init__(
        self,
        weight: str,
        goal: str = "signal",
        dial: Dial = GRPO,
        saturation: float = 4.0,
        most: int = 32,
        drift: Drift | None = None,
        use_hint: bool = True,
        thompson: bool = False,
        breadth: float | None = None,
        round_size: int = 0,
        oracle: bool = False,
    ) -> None:
        self.goal = Goal(goal, dial, saturation)  # type: ignore[arg-type]
        self.weight, self.most, self.drift, self.use_hint = weight, most, drift, use_hint
        self.thompson, self.breadth, self.round_size, self.oracle = thompson, breadth, round_size, oracle
        self.beliefs: Beliefs | None = None

    def __call__(self, world: World) -> Drawn:
        beliefs = self.beliefs = self._believed(world)
        if self.round_size:
            i, k, n = self._sequential(world, beliefs)
        else:
            made = plan(
                beliefs, budget=world.family.batch, goal=self.goal.name, dial=self.goal.dial,
                saturation=self.goal.saturation, max_tries=self.most, breadth=self.breadth,
                rng=world.rng if self.thompson else None,
            )  # fmt: skip
            i = np.flatnonzero(made.tries)
            n = made.tries[i]
            k = world.sample(i, n)
        if not self.oracle:
            self.beliefs = beliefs.observe(i, k, n)
        return drawn_of(i, k, n, self.weight, int(n.sum()), None, world)

    def _believed(self, world: World) -> Beliefs:
        if self.oracle:
            return Beliefs.known(np.arange(world.family.problems), world.p)
        if self.beliefs is not None:
            return self.beliefs.advance(world.step)
        hint = world.rate if self.use_hint else None
        columns = None if hint is None else np.log((16 * hint + 0.5) / (16 - 16 * hint + 0.5))
        return Beliefs.about(np.arange(world.family.problems), columns=columns, spread=start_spread(), drift=self.drift)

    def _sequential(self, world: World, beliefs: Beliefs) -> tuple[Ints, Ints, Ints]:
        """Rounds of tries where the dynamic programme goes on, at the price that uses the batch."""
        look = beliefs.draw(world.rng) if self.thompson else beliefs
        rule = stopping(
            look, budget=world.family.batch, goal=self.goal, max_tries=self.most, round_size=self.round_size
        )
        i = np.flatnonzero(rule.begin)
        k = n = np.zeros(len(i), dtype=np.int64)
        active = np.arange(len(i))
        while len(active):
            further = np.full(len(active), self.round_size)
            k, n = k.copy(), n.copy()
            k[active] += world.sample(i[active], further)
            n[active] += self.round_size
            open_ = n[active] < rule.go.shape[1] - 1
            active = active[open_]
            active = active[rule.should_continue(i[active], k[active], n[active] - k[active])]
        return i, k, n


def _grid(**options: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
    """Every combination of the options."""
    grid: list[dict[str, Any]] = [{}]
    for name, values in options.items():
        grid = [{**g, name: v} for g in grid for v in values]
    return tuple(grid)


def _top(size: int = 16, per_step: float = 0.9) -> dict[str, Any]:
    return dict(memory=dict(prior=0.5, per_step=per_step), order=most_variance, size=size)


RULES: dict[str, Rule] = {
    r.name: r
    for r in (
        Rule("GRPO G=2", lambda w: Engine(w, size=2), "uniform"),
        Rule("GRPO G=4", lambda w: Engine(w, size=4), "uniform"),
        Rule("GRPO G=8", lambda w: Engine(w, size=8), "uniform"),
        Rule("GRPO G=16", lambda w: Engine(w, size=16), "uniform"),
        Rule(
            "DAPO", lambda w, size=8: Engine(w, size=size, kept_only=True), "2503.14476, code run",
            _grid(size=(8, 4)),
        ),
        Rule(
            "GRESO", lambda w, size=8, keep=0.5: Engine(w, size=size, order=skipping(keep)), "2506.02177, code run",
            _grid(size=(8, 4), keep=(0.5, 0.75)),
        ),
        Rule(
            "SPEED", lambda w, further=12: Engine(w, size=4, more=screened(4, further)), "2506.09016, code run",
            _grid(further=(12, 4, 20)),
        ),
        Rule(
            "MoPPS",
            lambda w, size=8, per_visit=0.5, pool=16: Engine(
                w, dict(prior=1.0, per_visit=per_visit), nearest_half(pool * 64), size
            ),
            "2507.04632, code run", _grid(size=(8, 4, 16), per_visit=(0.5, 0.8, 1.0)),
        ),
        Rule("top-k E[v]", lambda w, **o: Engine(w, **_top(**o)), "tuned rival", _grid(size=(16, 8, 4), per_step=(0.9, 0.8, 0.95))),
        Rule(
            "VIP-like",
            lambda w, size=8: Engine(w, dict(prior=0.5, per_step=0.9), size=size, tries=neyman(size)),
            "2602.01601, abstract", _grid(size=(8, 4)),
        ),
        Rule("GVM", lambda w, pilot=8: Pilot(w, pilot), "2505.02391, code run", _grid(pilot=(8, 4))),
        Rule("Knapsack", lambda w, size=8: Engine(w, size=size, tries=knapsack(size)), "2509.25849, code run", _grid(size=(8, 4))),
        Rule("HORA-like", lambda w, size=8: _halved(w, size), "2605.07114, abstract", _grid(size=(8, 4))),
        Rule(
            "AERO", lambda w, first=8: Engine(w, size=first, more=rescued(first, 2, 2 * first), keep=trimmed),
            "2602.14338, re-implementation run", _grid(first=(8, 4)), weights=("own",),
        ),
        Rule(
            "Reinforce-Ada +", lambda w, by=8, keep=4: Engine(w, size=by, more=until(1, 0, by, 4 * by), keep=balanced(keep)),
            "2510.04996, code run", _grid(by=(8, 4), keep=(4, 8)), weights=("own",),
        ),
        Rule(
            "Reinforce-Ada =",
            lambda w, by=8, keep=4: Engine(w, size=by, more=until(keep // 2, keep - keep // 2, by, 4 * by), keep=balanced(keep)),
            "2510.04996, code run", _grid(by=(8, 4), keep=(4, 8)), weights=("own",),
        ),
        Rule(
            "Pilot-Commit",
            lambda w, pilot=8, low=0.125, high=0.75: Engine(w, size=pilot, more=screened(pilot, 3 * pilot, low, high)),
            "2605.26606, code run", _grid(pilot=(8, 4), low=(0.125, 0.25)),
        ),
        Rule(
            "CERO-like",
            lambda w, size=8, scale=32.0: Engine(w, dict(prior=1.0, per_step=1.0), by_cumulative(scale), size),
            "2606.05606, abstract", _grid(size=(8, 4), scale=(8.0, 32.0)),
        ),
        Rule(
            "plan", lambda w, **o: Planner(w, **o), "ours",
            _grid(saturation=(4.0, 2.0, 8.0)),
        ),
        Rule(
            "plan, in rounds", lambda w, **o: Planner(w, round_size=o.pop("round_size", 2), most=16, **o), "ours",
            _grid(saturation=(4.0, 2.0, 8.0)),
        ),
        Rule("oracle plan", lambda w, **o: Planner(w, oracle=True, **o), "bound", _grid(saturation=(4.0, 2.0, 8.0))),
    )
}  # fmt: skip


def _halved(weight: str, size: int) -> Engine:
    """HORA-like draws size/2 first; the batch is cut for the whole of it."""

    def tries(memory: Memory, batch: Ints, answers: int) -> Ints:
        return np.full(len(batch), size // 2)

    return Engine(weight, size=size, tries=tries, more=hora(size))
