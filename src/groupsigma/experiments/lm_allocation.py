"""Ways to spend answers on a language model, beside an oracle that knows every solve rate.

Two starts: the taught model's own problems, whose solve rates are spread flat, and a pool chosen so that they follow
Big-Math's, which is what users have. Rules for groups, and one try each of many problems; the world is a `Language`.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from groupsigma.belief import Drift
from groupsigma.checks import Floats, Ints
from groupsigma.dial import DAPO, DR_GRPO, GRPO
from groupsigma.experiments import addition
from groupsigma.experiments.addition import Row
from groupsigma.experiments.arena import start_spread
from groupsigma.experiments.arms import Passes, trained
from groupsigma.experiments.engine import Engine, Memory, most_variance
from groupsigma.experiments.language import Language
from groupsigma.experiments.pool import kept
from groupsigma.experiments.rules import Planner
from groupsigma.experiments.spend import Lone, Plain
from groupsigma.experiments.worlds import Drawn

#: Problems that a pool is chosen from.
CANDIDATES = 40_000


def _top(size: int = 8, over: float = 0.0) -> Callable[[Any], Drawn]:
    """Tuned top-k: the largest E[p(1−p)] of discounted counts, among all or among as many as `nearest_top` has."""
    order = most_variance if not over else nearest_top(over)
    return Engine("grpo", dict(prior=0.5, per_step=0.9), order, size)


def nearest_top(over: float) -> Callable[[Memory, Any], Ints]:
    """`most_variance` among candidates drawn at random, so many for each group of 8 that a step has."""

    def order(memory: Memory, world: Any) -> Ints:
        some = world.rng.permutation(memory.problems)[: round(over * world.batch / 8)]
        return some[np.argsort(-memory.variance[some], kind="stable")]

    return order


def _lone(drift: dict[str, float] | None = None, **knobs: Any) -> Lone:
    return Lone(drift=None if drift is None else Drift(**drift), **knobs)


#: Rule by name; each takes its knobs.
RULES: dict[str, Callable[..., Callable[[Any], Drawn]]] = {
    "grpo": lambda size=8: Passes(GRPO, size),
    "dr-grpo": lambda size=8: Passes(DR_GRPO, size),
    "dapo": lambda size=8: Passes(DAPO, size),
    "top-k": _top,
    "plan, whole pool": lambda columns=True: Planner("grpo", columns=columns),
    "plain": Plain,
    "lone": _lone,
    "oracle": lambda **knobs: Lone(oracle=True, **knobs),
}


@dataclass(frozen=True)
class Cell:
    """One run: start "flat" or "bigmath", rule and its knobs (JSON), answers a step, rate, budget of answers, seed."""

    start: str
    rule: str
    knobs: str
    batch: int
    learning_rate: float
    budget: int
    seed: int


def run_cell(setting: addition.Setting, folder: Path, cell: Cell) -> dict[str, Any]:
    """`trained`'s record of a run, and the seconds that choosing took beside sampling."""
    rows, held_out = pool(setting, folder, cell.start)
    world = Language(
        addition.taught(setting, folder), rows, held_out, batch=cell.batch, learning_rate=cell.learning_rate,
        seed=cell.seed, columns=columns(rows), spread=start_spread() if cell.start == "bigmath" else None,
    )  # fmt: skip
    rule = RULES[cell.rule](**json.loads(cell.knobs))
    spent = [0.0]

    def choose(here: Language) -> Drawn:
        began, slept = time.perf_counter(), here.sampling
        drawn = rule(here)
        spent[0] += time.perf_counter() - began - (here.sampling - slept)
        return drawn

    def note(drawn: Drawn) -> dict[str, Any]:
        silent = (drawn.right == 0) | (drawn.wrong == 0)
        told = {"groups": len(silent), "silent": int(silent.sum()), "answers": drawn.answers}
        return told | ({"saturation": round(rule.saturation, 3)} if isinstance(rule, Lone) and rule.measures else {})

    return {**trained(world, choose, cell.budget, note), "choosing": round(spent[0], 2)}


@cache
def pool(setting: addition.Setting, folder: Path, start: str) -> tuple[Sequence[Row], Sequence[Row]]:
    """Problems to train on and held-out ones: the setting's own, or chosen to follow Big-Math's solve rates."""
    rows, held_out = addition.data(setting)
    if start == "flat":
        return rows, held_out
    # Kept: rounding on another machine would choose others.
    told = {"start": start, "setting": asdict(setting)}
    chosen = kept(folder / start, told, lambda: _like_big_math(setting, folder, len(rows) + len(held_out)))
    return chosen[: len(rows)], chosen[len(rows) :]


def _like_big_math(setting: addition.Setting, folder: Path, many: int) -> list[dict[str, Any]]:
    """Problems whose solve rates today follow Big-Math's, in no order."""
    rng = np.random.default_rng([setting.seed, 2])
    found = addition.problems(CANDIDATES, rng, digits=setting.digits, task=setting.task)
    model, tokenizer = addition.load(addition.taught(setting, folder))
    p = addition.solve_chances(model, tokenizer, found)
    spread = start_spread()
    wanted = rng.choice(spread.p, many, p=spread.weight)
    # Shuffled: those served last got what was left.
    return [found[i] for i in rng.permutation(nearest(_odds(p), _odds(wanted)))]


def nearest(have: Floats, wanted: Floats) -> list[int]:
    """Of each wanted number in turn, the index of the nearest one still to be had."""
    order = np.argsort(have, kind="stable").tolist()
    values = have[order].tolist()
    found = []
    for x in wanted.tolist():
        at = bisect_left(values, x)
        if at == len(values) or (at and x - values[at - 1] <= values[at] - x):
            at -= 1
        found.append(order.pop(at))
        values.pop(at)
    return found


def columns(rows: Sequence[Row]) -> Floats:
    """What anyone can see of a problem, standardised, [P, d]: its digits, lengths of prompt and answer, its kind."""
    kinds = sorted({str(row.get("kind", "")) for row in rows})
    seen = [
        [row["digits"], len(row["prompt"]), len(row["answer"]), *(row.get("kind") == kind for kind in kinds[1:])]
        for row in rows
    ]
    x = np.array(seen, dtype=np.float64)
    return np.asarray((x - x.mean(0)) / np.maximum(x.std(0), 1e-9))


def _odds(p: Floats) -> Floats:
    q = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(q) - np.log1p(-q))
