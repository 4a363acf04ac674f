"""The rules that compete: published ways to spend answers, and ours, with the settings each is tuned over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from groupsigma.belief import Beliefs, Drift
from groupsigma.checks import Ints
from groupsigma.dial import GRPO, Dial
from groupsigma.experiments.engine import Engine, drawn_of, most_variance
from groupsigma.experiments.published import (
    Pilot,
    balanced,
    by_cumulative,
    halved,
    knapsack,
    nearest_half,
    neyman,
    rescued,
    screened,
    skipping,
    trimmed,
    until,
)
from groupsigma.experiments.worlds import Drawn, World
from groupsigma.plan import plan
from groupsigma.stopping import stopping
from groupsigma.value import Goal


@dataclass(frozen=True)
class Rule:
    """One way to spend answers; make() gives a fresh chooser for a run."""

    name: str
    make: Callable[..., Any]
    source: str
    knobs: tuple[dict[str, Any], ...] = ({},)
    steps: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0)
    #: How groups count: dial and weighting; tuned with the rest.
    weights: tuple[str, ...] = ("grpo", "grpo/sum", "dr-grpo/sum")


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
        columns: bool = False,
        thompson: bool = False,
        breadth: float | None = None,
        round_size: int = 0,
        oracle: bool = False,
    ) -> None:
        self.goal = Goal(goal, dial, saturation)  # type: ignore[arg-type]
        self.weight, self.most, self.drift, self.columns = weight, most, drift, columns
        self.thompson, self.breadth, self.round_size, self.oracle = thompson, breadth, round_size, oracle
        self.beliefs: Beliefs | None = None

    def __call__(self, world: World) -> Drawn:
        """One step by the plan, and the beliefs after it."""
        beliefs = self.beliefs = self._believed(world)
        if self.round_size:
            i, k, n = self._sequential(world, beliefs)
        else:
            made = plan(
                beliefs, budget=world.batch, goal=self.goal.name, dial=self.goal.dial,
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
            return Beliefs.known(np.arange(world.problems), world.p)
        if self.beliefs is not None:
            return self.beliefs.advance(world.step)
        columns = world.columns if self.columns else None
        return Beliefs.about(np.arange(world.problems), columns=columns, spread=world.spread, drift=self.drift)

    def _sequential(self, world: World, beliefs: Beliefs) -> tuple[Ints, Ints, Ints]:
        """Rounds of tries where the dynamic programme goes on, at the price that uses the batch."""
        look = beliefs.draw(world.rng) if self.thompson else beliefs
        rule = stopping(look, budget=world.batch, goal=self.goal, max_tries=self.most, round_size=self.round_size)
        return rule.follow(world.sample)


def _grid(**options: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
    """Every combination of the options."""
    grid: list[dict[str, Any]] = [{}]
    for name, values in options.items():
        grid = [{**g, name: v} for g in grid for v in values]
    return tuple(grid)


def _top(weight: str, size: int = 16, per_step: float = 0.9) -> Engine:
    return Engine(weight, dict(prior=0.5, per_step=per_step), most_variance, size)


def _mopps(weight: str, size: int = 8, per_visit: float = 0.5, pool: int = 16) -> Engine:
    return Engine(weight, dict(prior=1.0, per_visit=per_visit), nearest_half(pool * 64), size)


def _vip(weight: str, size: int = 8) -> Engine:
    return Engine(weight, dict(prior=0.5, per_step=0.9), size=size, tries=neyman(size))


def _aero(weight: str, first: int = 8) -> Engine:
    return Engine(weight, size=first, more=rescued(first, 2, 2 * first), keep=trimmed(first))


def _positive(weight: str, by: int = 8, keep: int = 4) -> Engine:
    return Engine(weight, size=by, more=until(1, 0, by, 4 * by), keep=balanced(keep))


def _both(weight: str, by: int = 8, keep: int = 4) -> Engine:
    return Engine(weight, size=by, more=until(keep // 2, keep - keep // 2, by, 4 * by), keep=balanced(keep))


def _commit(weight: str, pilot: int = 8, low: float = 0.125, high: float = 0.75) -> Engine:
    return Engine(weight, size=pilot, more=screened(pilot, 3 * pilot, low, high))


def _cero(weight: str, size: int = 8, scale: float = 32.0) -> Engine:
    return Engine(weight, dict(prior=1.0, per_step=1.0), by_cumulative(scale), size)


def _plan(weight: str, saturation: float = 4.0) -> Planner:
    return Planner(weight, saturation=saturation)


def _columns(weight: str, saturation: float = 4.0) -> Planner:
    return Planner(weight, saturation=saturation, columns=True)


def _rounds(weight: str, saturation: float = 4.0) -> Planner:
    return Planner(weight, saturation=saturation, most=16, round_size=2)


def _oracle(weight: str, saturation: float = 4.0) -> Planner:
    return Planner(weight, saturation=saturation, oracle=True)


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
        Rule("MoPPS", _mopps, "2507.04632, code run", _grid(size=(8, 4, 16), per_visit=(0.5, 0.8, 1.0))),
        Rule("top-k E[v]", _top, "tuned rival", _grid(size=(16, 8, 4), per_step=(0.9, 0.8, 0.95))),
        Rule("VIP-like", _vip, "2602.01601, abstract", _grid(size=(8, 4))),
        Rule("GVM", Pilot, "2505.02391, code run", _grid(pilot=(8, 4))),
        Rule(
            "Knapsack", lambda w, size=8: Engine(w, size=size, tries=knapsack(size)), "2509.25849, code run",
            _grid(size=(8, 4)),
        ),
        Rule("HORA-like", lambda w, size=8: halved(w, size), "2605.07114, abstract", _grid(size=(8, 4))),
        Rule("AERO", _aero, "2602.14338, re-implementation run", _grid(first=(8, 4)), weights=("own",)),
        Rule("Reinforce-Ada +", _positive, "2510.04996, code run", _grid(by=(8, 4), keep=(4, 8)), weights=("own",)),
        Rule("Reinforce-Ada =", _both, "2510.04996, code run", _grid(by=(8, 4), keep=(4, 8)), weights=("own",)),
        Rule("Pilot-Commit", _commit, "2605.26606, code run", _grid(pilot=(8, 4), low=(0.125, 0.25))),
        Rule("CERO-like", _cero, "2606.05606, abstract", _grid(size=(8, 4), scale=(8.0, 32.0))),
        Rule("plan", _plan, "ours", _grid(saturation=(4.0, 2.0, 8.0))),
        Rule("plan, columns", _columns, "ours", _grid(saturation=(4.0, 2.0, 8.0))),
        Rule("plan, in rounds", _rounds, "ours", _grid(saturation=(4.0, 2.0, 8.0))),
        Rule("oracle plan", _oracle, "bound", _grid(saturation=(4.0, 2.0, 8.0))),
    )
}  # fmt: skip
