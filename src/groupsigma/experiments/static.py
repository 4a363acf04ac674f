"""The static benchmark: one step on Big-Math's real spread of solve rates, after a few past tries of each problem.

Nothing learns here. What counts is what a step's answers bring: groups with right and wrong answers, and
effective contrast pairs, per 1,000 answers sampled, pilots and screening included. Beside each rule stand what a
rule that knew every solve rate would bring, and the bound on all adaptive rules under the same beliefs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from groupsigma.belief import Beliefs
from groupsigma.checks import Floats, Ints
from groupsigma.experiments.arena import start_spread
from groupsigma.experiments.engine import Engine, Memory
from groupsigma.experiments.rules import RULES, Planner
from groupsigma.experiments.worlds import Drawn
from groupsigma.stopping import stopping
from groupsigma.value import Goal

PROBLEMS, ANSWERS, PAST, MOST = 4096, 8192, 8, 32
COVERAGE = Goal("coverage")


class Pool:
    """Problems whose solve rates stand still; looks like a `World` to a rule."""

    def __init__(self, seed: int, past: int = PAST) -> None:
        self.problems, self.batch = PROBLEMS, ANSWERS
        self.rng = np.random.default_rng([seed, 4])
        self.spread = spread = start_spread()
        self.p = self.rng.choice(spread.p, PROBLEMS, p=spread.weight)
        self.columns, self.step, self.past = None, 1, past
        self.before = self.rng.binomial(past, self.p)

    def sample(self, problem: Ints, n: Ints) -> Ints:
        """Right ones of n more answers."""
        return self.rng.binomial(n, self.p[problem])


@dataclass(frozen=True)
class Yield:
    """What one step brought, per 1,000 answers sampled."""

    mixed: float
    pairs: float


def measured(drawn: Drawn) -> Yield:
    """Mixed groups and contrast pairs per 1,000 answers."""
    live = (drawn.right > 0) & (drawn.wrong > 0)
    k, f = drawn.right[live], drawn.wrong[live]
    return Yield(1000 * float(live.sum()) / drawn.answers, 1000 * float((k * f / (k + f)).sum()) / drawn.answers)


def remembers(chooser: Any, pool: Pool) -> Any:
    """A rule that has seen the past tries."""
    everyone = np.arange(PROBLEMS)
    if isinstance(chooser, Engine) and pool.past:
        chooser.memory = Memory(PROBLEMS, **chooser.settings)
        chooser.memory.visit(everyone, pool.before, np.full(PROBLEMS, pool.past))
    elif isinstance(chooser, Planner) and not chooser.oracle:
        chooser.beliefs = believed(pool)
    return chooser


def believed(pool: Pool) -> Beliefs:
    """The posterior of each problem after the past tries, given the spread they were drawn from."""
    # As the arena's step comes after the past: nothing has moved since.
    start = replace(Beliefs.about(np.arange(PROBLEMS), spread=start_spread()), wander=0.0, step=pool.step)
    still = replace(start, covariance=np.zeros((1, 1)), drift=replace(start.drift, learn=0.0, adapt=0.0))
    if not pool.past:
        return still
    return still.observe(np.arange(PROBLEMS), pool.before, np.full(PROBLEMS, pool.past))


def _ours(**options: Any) -> Callable[[], Planner]:
    return lambda: Planner("grpo", goal="coverage", most=MOST, **options)


def contenders() -> dict[str, Callable[[], Any]]:
    """Every rule at each of its knobs, and ours for coverage; by name and knobs."""
    ours = {
        "plan (coverage)": _ours(),
        "plan (coverage), one by one": _ours(round_size=1),
        "oracle plan (coverage)": _ours(oracle=True),
        "oracle (coverage), one by one": _ours(oracle=True, round_size=1),
        "plan (signal)": lambda: Planner("grpo"),
        "oracle plan (signal)": lambda: Planner("grpo", oracle=True),
    }
    published = {}
    for rule in RULES.values():
        if rule.source in ("ours", "bound"):
            continue
        for knob in rule.knobs:
            label = ", ".join(f"{k} {v:g}" for k, v in knob.items())
            published[f"{rule.name}{' (' + label + ')' if label else ''}"] = _bind(rule.make, rule.weights[0], knob)
    # The rival's best size for coverage is smaller than for learning.
    for size in (2, 3):
        label = f"top-k E[v] (size {size}, per_step 0.9)"
        published[label] = _bind(RULES["top-k E[v]"].make, "grpo", dict(size=size, per_step=0.9))
    return published | ours


def _bind(make: Callable[..., Any], weight: str, knob: dict[str, Any]) -> Callable[[], Any]:
    return lambda: make(weight, **knob)


def static_run(seed: int, past: int = PAST) -> dict[str, tuple[float, float]]:
    """(mixed, pairs) per 1,000 answers of every contender on one draw, and the dual bound for coverage."""
    out: dict[str, tuple[float, float]] = {}
    for name, make in contenders().items():
        pool = Pool(seed, past)
        result = measured(remembers(make(), pool)(pool))
        out[name] = (result.mixed, result.pairs)
    bound = stopping(believed(Pool(seed, past)), budget=ANSWERS, goal=COVERAGE, max_tries=MOST).bound
    out["dual bound"] = (1000 * bound / ANSWERS, float("nan"))
    return out


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean over draws and its standard error."""
    x: Floats = np.asarray(values)
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else float("nan")
