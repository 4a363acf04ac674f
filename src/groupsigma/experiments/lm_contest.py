"""`reproduce lm-allocation`: who gets how many tries on a language model, a map first, then the cells that decide.

Stages of resumable jobs, one after another: uniform groups, ours and its oracle over batch and learning rate; rivals
tuned over batch, rate and their knobs; every rule at its best on other seeds; what ours is made of, taken apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from groupsigma.errors import ArgumentError
from groupsigma.experiments import addition
from groupsigma.experiments.lm_allocation import Cell, run_cell
from groupsigma.experiments.run import Job, run_jobs

SCHEMA = "groupsigma.lm-allocation/1"
#: Answers a run samples.
BUDGET = 61_440
#: Batch → learning rates of the map; rivals are tuned on that part of it where the map's own were best.
GRID = {
    64: (2.5e-5, 5e-5, 1e-4),
    256: (5e-5, 1e-4, 2e-4, 4e-4),
    1024: (1e-4, 2e-4, 4e-4, 8e-4),
}
MIDDLE = {64: (2.5e-5, 5e-5, 1e-4), 256: (5e-5, 1e-4, 2e-4)}
#: Seeds that settings are chosen on, rivals on the first alone; and scored on, none of them looked at before.
TUNING, SCORING = (100, 101), (10, 11, 12, 13, 14)
#: Ours, what it is compared with, and the yardstick: ours with the true solve rates.
OURS, UNIFORM, ORACLE = "lone", "grpo", "oracle"
MAPPED = (UNIFORM, OURS, ORACLE)

Knobs = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A rule as it is listed, the knobs it is tuned over beside batch and rate, and whether it is scored after that."""

    rule: str
    knobs: tuple[Knobs, ...] = ({},)
    scored: bool = True


#: Listed name → rule. Those of the map are tuned on the whole of it.
ENTRIES: dict[str, Entry] = {
    "grpo": Entry("grpo"),
    "lone": Entry("lone"),
    "oracle": Entry("oracle"),
    "grpo, small G": Entry("grpo", ({"size": 4}, {"size": 2})),
    "dr-grpo": Entry("dr-grpo"),
    "plain": Entry("plain"),
    "lone, none chosen": Entry("lone", ({"over": 1.0},)),
    "dapo": Entry("dapo", ({}, {"size": 4})),
    "top-k": Entry("top-k", ({"size": 8}, {"size": 4, "over": 4.0})),
    "plan, whole pool": Entry("plan, whole pool", scored=False),
}

#: What ours is made of, one thing changed at a time, at its best cell.
PARTS: dict[str, Knobs] = {
    "two tries each, of as many candidates": {"most": 2, "over": 0.75, "saturation": 1e6},
    "up to 4 tries, n0 measured": {"most": 4, "saturation": None},
    "own history alone": {"columns": False},
    "spread of solve rates not told": {"spread": False},
    "wander kept at 0.05": {"drift": {"adapt": 0.0}},
}


@dataclass(frozen=True)
class Plan:
    """What is run of a start: the map's grid and seeds, rivals and their grid and seeds, parts or not."""

    grid: Mapping[int, tuple[float, ...]]
    #: The oracle is on the map on the first of them alone: nobody can run it.
    seeds: tuple[int, ...]
    rivals: tuple[str, ...]
    middle: Mapping[int, tuple[float, ...]]
    parts: bool
    scoring: tuple[int, ...] = SCORING


STARTS: dict[str, Plan] = {
    "bigmath": Plan(GRID, TUNING, tuple(name for name in ENTRIES if name not in MAPPED), MIDDLE, True),
    "flat": Plan(MIDDLE, TUNING[:1], ("dr-grpo", "dapo", "top-k"), MIDDLE, False),
}


def lm_contest(folder: Path, *, start: str | None = None, workers: int | None = None) -> dict[str, Any]:
    """All that was computed, as plain data; what is finished is taken up.

    Args: folder: that of `reproduce lm`: its family of sums has the taught model. start: "bigmath" or "flat" alone.
    """
    if start is not None and start not in STARTS:
        raise ArgumentError("reproduce lm-allocation", f"a start of {', '.join(STARTS)}", repr(start))
    names = list(STARTS) if start is None else [start]
    return {"schema": SCHEMA, "starts": {name: one_start(folder / "sums", name, workers) for name in names}}


def one_start(folder: Path, start: str, workers: int | None = None) -> dict[str, Any]:
    """What came of one start: its map, the settings chosen, the runs at them, and the parts."""
    plan = STARTS[start]
    mapped = [
        cell(start, name, {}, batch, rate, seed)
        for seed in plan.seeds for batch, rates in plan.grid.items() for rate in rates
        for name in (MAPPED if seed == plan.seeds[0] else MAPPED[:2])
    ]  # fmt: skip
    came = ran(folder, mapped, workers, f"{start}: map")
    tried = [
        cell(start, name, knobs, batch, rate, plan.seeds[0])
        for name in plan.rivals for knobs in ENTRIES[name].knobs
        for batch, rates in plan.middle.items() for rate in rates
    ]  # fmt: skip
    tuning = came | ran(folder, tried, workers, f"{start}: rivals")
    best = {name: chosen(name, tuning) for name in (*MAPPED, *plan.rivals)}
    scores = {
        (name, seed): reseeded(at, seed) for seed in plan.scoring for name, at in best.items() if ENTRIES[name].scored
    }  # fmt: skip
    parts = {
        (what, seed): taken_apart(best[OURS], knobs, seed)
        for seed in plan.scoring[:2] for what, knobs in PARTS.items() if plan.parts
    }  # fmt: skip
    scored = ran(folder, scores.values(), workers, f"{start}: scored runs")
    apart = ran(folder, parts.values(), workers, f"{start}: parts")
    return {
        "map": [{**asdict(at), **came[at]} for at in mapped],
        "tuned": [{**asdict(at), **tuning[at]} for at in tried],
        "best": {name: asdict(at) for name, at in best.items()},
        "scored": [{"name": name, **asdict(at), **scored[at]} for (name, _), at in scores.items()],
        "parts": [{"name": what, **asdict(at), **apart[at]} for (what, _), at in parts.items()],
    }


def cell(start: str, name: str, knobs: Knobs, batch: int, rate: float, seed: int) -> Cell:
    """A run of a listed rule."""
    return Cell(start, ENTRIES[name].rule, json.dumps(dict(knobs), sort_keys=True), batch, rate, BUDGET, seed)


def reseeded(at: Cell, seed: int) -> Cell:
    """The same run on another seed."""
    return Cell(**{**asdict(at), "seed": seed})


def taken_apart(at: Cell, knobs: Knobs, seed: int) -> Cell:
    """Ours with one thing changed."""
    return Cell(**{**asdict(at), "knobs": json.dumps(dict(knobs), sort_keys=True), "seed": seed})


def ran(folder: Path, cells: Iterable[Cell], workers: int | None, label: str) -> dict[Cell, Any]:
    """What came of runs, computed or taken up."""
    jobs = [("cell", *asdict(at).values()) for at in dict.fromkeys(cells)]
    found = run_jobs(partial(compute, folder), jobs, folder / "allocation.jsonl", workers=workers, label=label)
    return {Cell(*job[1:]): came for job, came in found.items()}


def compute(folder: Path, job: Job) -> dict[str, Any]:
    """One run: job = ("cell", start, rule, knobs, batch, learning rate, budget, seed)."""
    return run_cell(addition.FULL, folder, Cell(*job[1:]))


def chosen(name: str, came: Mapping[Cell, Any]) -> Cell:
    """Of the runs of a listed rule the setting with the largest area under held-out accuracy, over tuning seeds."""
    entry = ENTRIES[name]
    wanted = {json.dumps(dict(knobs), sort_keys=True) for knobs in entry.knobs}
    level: dict[Cell, list[float]] = {}
    for at, found in came.items():
        if at.rule == entry.rule and at.knobs in wanted:
            level.setdefault(reseeded(at, TUNING[0]), []).append(area(found))
    return max(level, key=lambda at: float(np.mean(level[at])))


def area(found: Mapping[str, Any]) -> float:
    """Mean held-out accuracy over the answers of the run."""
    x = np.array([look["answers"] for look in found["looks"]], dtype=np.float64)
    y = np.array([look["held_out"] for look in found["looks"]])
    return float(np.trapezoid(y, x) / x[-1])


if __name__ == "__main__":
    import sys

    lm_contest(Path(sys.argv[1]), start=sys.argv[2], workers=int(sys.argv[3]))
