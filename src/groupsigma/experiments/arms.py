"""One arm of the test on a language model: a method trained from the taught start, and what was seen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groupsigma.bands import INTERIOR, band_of
from groupsigma.checks import Floats, Ints
from groupsigma.dial import DAPO, DR_GRPO, GRPO, LOGIT, MAXRL, Dial
from groupsigma.experiments import addition
from groupsigma.experiments.language import Language, Lengths
from groupsigma.experiments.worlds import Drawn
from groupsigma.law import expected_gain
from groupsigma.sigma import gain
from groupsigma.tracker import Tracker

#: Looks at the solve rates over a run; problems looked at, apart from those held out.
LOOKS, LOOKED = 20, 1024


@dataclass(frozen=True)
class Way:
    """What is compared: a dial, and how an answer's tokens add up in the loss."""

    dial: Dial
    lengths: Lengths = "sum"


#: The paper's three, then the other points of the dial, then GRPO with the loss it was published with.
WAYS: dict[str, Way] = {
    "grpo": Way(GRPO),
    "dr-grpo": Way(DR_GRPO),
    "dapo": Way(DAPO),
    "power 0.5": Way(Dial(power=0.5)),
    "power 1.5": Way(Dial(power=1.5)),
    "power 2": Way(LOGIT),
    "maxrl": Way(MAXRL),
    "grpo, token mean": Way(GRPO, "mean"),
}


@dataclass(frozen=True)
class Arm:
    """A run: way by name, G answers a prompt, batch answers a step, budget answers sampled in all."""

    way: str
    G: int
    batch: int
    learning_rate: float
    budget: int
    seed: int


class Passes:
    """Uniform groups, in passes through the shuffled problems; silent ones are replaced where the dial says so."""

    def __init__(self, dial: Dial, G: int) -> None:
        self.dial, self.G = dial, G
        self._ahead = np.zeros(0, dtype=np.int64)

    def __call__(self, world: Language) -> Drawn:
        """One step's groups, silent ones among them; those push with 0."""
        i, k = (np.zeros(0, dtype=np.int64) for _ in range(2))
        missing = world.batch // self.G
        while missing:
            some = self._next(missing, i, world)
            right = world.sample(some, np.full(len(some), self.G))
            i, k = np.append(i, some), np.append(k, right)
            mixed = int(((right > 0) & (right < self.G)).sum())
            missing = missing - mixed if self.dial.keep == "mixed" else 0
        push = gain(k, np.full(len(k), self.G), self.dial) * self.G
        return Drawn(i, k.astype(np.float64), (self.G - k).astype(np.float64), push, push, self.G * len(i))

    def _next(self, n: int, drawn: Ints, world: Language) -> Ints:
        """The next n problems; where a pass ends within a step, those of the step come last in the new one."""
        while len(self._ahead) < n:
            new = world.rng.permutation(world.problems)
            again = np.isin(new, np.append(drawn, self._ahead))
            self._ahead = np.concatenate([self._ahead, new[~again], new[again]])
        some, self._ahead = self._ahead[:n], self._ahead[n:]
        return some


def run_arm(start: Path, setting: addition.Setting, arm: Arm) -> dict[str, Any]:
    """What came of an arm, as plain data: `trained`'s looks and steps, and `mass`.

    Steps have the groups drawn and how many were silent: seen, expected from the exact solve rates of their prompts
    at that moment, and (a share) foreseen by a `Tracker` that has only seen the run's own answers. mass: where the
    update of the whole run went by band of exact solve rate: measured gains, and their expectation.
    """
    way = WAYS[arm.way]
    rows, held_out = addition.data(setting, start.parent)
    world = Language(
        start, rows, held_out, batch=arm.batch, learning_rate=arm.learning_rate, seed=arm.seed, lengths=way.lengths
    )
    tracker, mass = Tracker(), np.zeros((2, len(INTERIOR)))

    def note(drawn: Drawn) -> dict[str, Any]:
        told, came, due = _step(world, drawn, arm.G, way.dial, tracker)
        mass[:] += [came, due]
        return told

    found = trained(world, Passes(way.dial, arm.G), arm.budget, note)
    return {**found, "mass": [[round(x, 3) for x in row] for row in mass.tolist()]}


def trained(
    world: Language, choose: Callable[[Language], Drawn], budget: int, note: Callable[[Drawn], dict[str, Any]]
) -> dict[str, Any]:
    """Train until the budget of answers is sampled; what was seen on the way.

    Looks have the answers and tokens sampled and the updates made until then, and mean exact solve rates: of held-out
    problems, of those trained on, and of the quarters of both by their solve rate at the start, hardest first.
    Steps are columns of what `note` says before each update, and the gradient's norm.
    """
    watch = _Watch(world)
    looks, steps = [watch.look()], []
    while world.answers < budget:
        drawn = choose(world)
        steps.append(note(drawn))
        steps[-1]["norm"] = round(world.learn(drawn), 4)
        if world.answers >= budget * len(looks) / LOOKS:
            looks.append(watch.look())
    return {"looks": looks, "steps": {name: [step[name] for step in steps] for name in steps[0]}}


class _Watch:
    """Looks at a fixed part of the problems, by quarters of the start."""

    def __init__(self, world: Language) -> None:
        self.world = world
        self.seen = world.rows[:LOOKED]
        self.order = [np.argsort(world.chances(rows), kind="stable") for rows in (self.seen, world.held_rows)]

    def look(self) -> dict[str, Any]:
        """Answers, tokens, updates, and mean exact solve rates."""
        found: dict[str, Any] = {
            "answers": self.world.answers, "tokens": self.world.tokens, "updates": self.world.step,
        }  # fmt: skip
        for name, rows, order in zip(("seen", "held_out"), (self.seen, self.world.held_rows), self.order, strict=True):
            p = self.world.chances(rows)
            found[name] = round(float(p.mean()), 5)
            found[f"{name} quarters"] = [round(float(p[part].mean()), 5) for part in np.array_split(order, 4)]
        return found


def _step(world: Language, drawn: Drawn, G: int, dial: Dial, tracker: Tracker) -> tuple[dict[str, Any], Floats, Floats]:
    """What a step's groups were, beside what was to be expected; and their mass by band, came and due."""
    i, k = drawn.problem, drawn.right
    p = world.chances([world.rows[at] for at in i])
    silent = (k == 0) | (k == G)
    chance = p**G + (1 - p) ** G
    labels = i.tolist()
    foreseen = None
    if len(tracker):
        foreseen = round(float(tracker.foresee(labels, np.full(len(i), G)).silent.mean()), 4)
    tracker.observe(labels, k.astype(np.int64), np.full(len(i), G), world.step)
    told = {
        "groups": len(i),
        "silent": int(silent.sum()),
        "all_right": int((k == G).sum()),
        "expected": round(float(chance.sum()), 4),
        "variance": round(float((chance * (1 - chance)).sum()), 4),
        "foreseen": foreseen,
        "reward": round(float(k.mean()) / G, 4),
    }
    band = band_of(p)
    came = np.bincount(band, drawn.plus / G, len(INTERIOR)).astype(np.float64)
    due = np.bincount(band, expected_gain(p, G, dial), len(INTERIOR)).astype(np.float64)
    return told, came, due
