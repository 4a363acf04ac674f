"""`reproduce lm`, the test the paper left open: every method from one taught start, many seeds, each tuned alike.

Stages, each of resumable jobs in one file: the start; Theorem 1 on its gradients; every method on the same grid of
learning rates; each at its best on other seeds; GRPO at other G.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from groupsigma.experiments import addition
from groupsigma.experiments.arms import WAYS, Arm, run_arm
from groupsigma.experiments.run import Job, run_jobs

#: Answers an arm samples, answers a step, G.
BUDGET, BATCH, G = 204_800, 1024, 8
#: The same grid of learning rates for all, and the seeds they are chosen on and scored on.
RATES, TUNING, SCORING = (5e-5, 1e-4, 2e-4, 4e-4), (100, 101), (0, 1, 2, 3, 4)
#: Group sizes at which silence is foretold, with GRPO at its best rate; G = 8 is among the scored.
SIZES = (4, 16, 32)


def compute(setting: addition.Setting, folder: Path, job: Job) -> Any:
    """One arm: job = ("arm", way, G, batch, learning rate, budget, seed)."""
    return run_arm(addition.taught(setting, folder), setting, Arm(*job[1:]))


def arms(
    setting: addition.Setting, folder: Path, wanted: Iterable[Arm], workers: int | None, label: str
) -> dict[Arm, Any]:
    """What came of arms, computed or taken up."""
    jobs = [("arm", *asdict(arm).values()) for arm in wanted]
    found = run_jobs(partial(compute, setting, folder), jobs, folder / "arms.jsonl", workers=workers, label=label)
    return {Arm(*job[1:]): came for job, came in found.items()}


def tuned(setting: addition.Setting, folder: Path, workers: int | None) -> tuple[dict[str, float], dict[Arm, Any]]:
    """Each way's best learning rate, and all arms it was chosen from."""
    grid = [Arm(way, G, BATCH, rate, BUDGET, seed) for seed in TUNING for way in WAYS for rate in RATES]
    came = arms(setting, folder, grid, workers, "learning rates")
    best = {}
    for way in WAYS:
        level = {rate: np.mean([reached(came[Arm(way, G, BATCH, rate, BUDGET, s)]) for s in TUNING]) for rate in RATES}
        best[way] = max(level, key=level.__getitem__)
    return best, came


def reached(found: Mapping[str, Any], what: str = "held_out") -> float:
    """Accuracy over the last quarter of the looks: one look is noisy."""
    looks = found["looks"]
    return float(np.mean([look[what] for look in looks[-len(looks) // 4 :]]))


def scored(setting: addition.Setting, folder: Path, best: Mapping[str, float], workers: int | None) -> dict[Arm, Any]:
    """Each way at its best rate on seeds it was not chosen on, and GRPO at other G."""
    wanted = [Arm(way, G, BATCH, rate, BUDGET, seed) for seed in SCORING for way, rate in best.items()]
    wanted += [Arm("grpo", size, BATCH, best["grpo"], BUDGET, seed) for seed in SCORING[:3] for size in SIZES]
    return arms(setting, folder, wanted, workers, "scored runs")
