"""`reproduce lm`, the test the paper left open: every method from one taught start, many seeds, each tuned alike.

Two families of problems, so that one sees what carries over, and a third on a GPU, fifty times as large a model.
Stages of resumable jobs: the start, Theorem 1 on its gradients, how large Δs is; every method on the same grid of
learning rates; each at its best on other seeds; GRPO at other G; where the identity stops.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from groupsigma.checks import Floats
from groupsigma.dial import DR_GRPO, GRPO, LOGIT, MAXRL, Dial
from groupsigma.errors import ArgumentError
from groupsigma.experiments import addition
from groupsigma.experiments.arms import WAYS, Arm, Passes, run_arm
from groupsigma.experiments.departures import CLIPS, kl, passes, stale
from groupsigma.experiments.gradients import Group, by_precision, groups
from groupsigma.experiments.language import Language
from groupsigma.experiments.norms import norms
from groupsigma.experiments.precision import FLOAT32, machine
from groupsigma.experiments.run import Job, run_jobs
from groupsigma.sigma import is_silent

SCHEMA = "groupsigma.lm-full/1"
#: Of the families for a CPU. Answers an arm samples; answers a step and G, of every family.
BUDGET, BATCH, G = 204_800, 1024, 8
#: The same grid of learning rates for all, and the seeds they are chosen on and scored on.
RATES, TUNING, SCORING = (1e-4, 2e-4, 4e-4, 8e-4), (100, 101), (0, 1, 2, 3, 4)
#: Learning rate between looks at one model: of the norms, of mini-batches.
PROBED = 2e-4
#: Seeds of the measurements where the identity stops.
STOPS = (0, 1, 2)
#: Groups on which Theorem 1 is checked; updates after which norms are taken, prompts they are taken on.
COMPARED, UPDATES, MEASURED = 32, (0, 100, 200), 1024
#: Held-out accuracies to which answers are counted.
TARGETS = (0.58, 0.6, 0.62)
#: On graded rewards the exponent of σ alone: there a tilt is another rule than dividing by the mean.
_DIALS: dict[str, tuple[Dial, ...]] = {
    "0/1": (GRPO, DR_GRPO, MAXRL, LOGIT),
    "graded": (GRPO, DR_GRPO, Dial(power=0.5), LOGIT),
}


@dataclass(frozen=True)
class Family:
    """Problems, the model taught them, and what is run on it.

    Attributes:
        ways: by name, tuned and scored. sizes: G at which silence is foretold, with GRPO at its best rate; G = 8 is
            among the scored. departs: whether it is also measured where the identity stops.
        gpu: whether it is only run on a GPU; what is finished is read everywhere.
        budget, batch: answers an arm samples, answers a step. rates: learning rates tried.
        tuning, scoring: seeds; the sizes have the first three of scoring.
        probed, updates, measured: norms are taken after so many updates at that rate, on so many prompts.
        compared: groups on which Theorem 1 is checked. targets: held-out accuracies to which answers are counted.
    """

    setting: addition.Setting
    ways: tuple[str, ...]
    sizes: tuple[int, ...]
    departs: bool = False
    gpu: bool = False
    budget: int = BUDGET
    batch: int = BATCH
    rates: tuple[float, ...] = RATES
    tuning: tuple[int, ...] = TUNING
    scoring: tuple[int, ...] = SCORING
    probed: float = PROBED
    updates: tuple[int, ...] = UPDATES
    measured: int = MEASURED
    compared: int = COMPARED
    targets: tuple[float, ...] = TARGETS


FAMILIES: dict[str, Family] = {
    "sums": Family(addition.FULL, tuple(WAYS), (4, 16, 32), departs=True),
    "kinds": Family(addition.KINDS, ("grpo", "dr-grpo", "dapo", "maxrl"), (4, 16), targets=(0.52, 0.54, 0.56)),
    "gym": Family(
        addition.GYM, ("grpo", "dr-grpo", "dapo", "maxrl"), (4, 16, 32), gpu=True, budget=102_400,
        rates=(2.5e-5, 5e-5, 1e-4, 2e-4), tuning=(100,), scoring=(0, 1, 2), probed=5e-5, updates=(0, 50),
        measured=192, compared=3, targets=(0.5, 0.51, 0.52),
    ),
}  # fmt: skip


def lm_full(folder: Path, *, family: str | None = None, workers: int | None = None) -> dict[str, Any]:
    """All that was computed, as plain data; what is finished is taken up.

    Args:
        folder: a part of it for each family holds the taught model and results, *.jsonl.
        family: one of FAMILIES alone; None: all that run on a CPU.
    """
    if family is not None and family not in FAMILIES:
        raise ArgumentError("reproduce lm", f"a family of {', '.join(FAMILIES)}", repr(family))
    names = [name for name, one in FAMILIES.items() if not one.gpu] if family is None else [family]
    told = {name: one_family(folder / name, FAMILIES[name], workers=workers) for name in names}
    return {"schema": SCHEMA, "families": told}


def one_family(folder: Path, family: Family, *, workers: int | None = None) -> dict[str, Any]:
    """What was computed on a family."""
    done = gradients(family, folder, workers)
    stops = _run(
        family, departure, departures_wanted() if family.departs else (), folder / "departures.jsonl", workers,
        "where the identity stops",
    )  # fmt: skip
    best, grid = tuned(family, folder, workers)
    return {
        "setting": asdict(family.setting),
        "budget": family.budget,
        "batch": family.batch,
        "targets": list(family.targets),
        "start": done["start",],
        "theorem": {kind: done["theorem", kind] for kind in _DIALS},
        "norms": [{"updates": job[1], "seed": job[2], **done[job]} for job in done if job[0] == "norms"],
        "departures": [{"job": list(job), "found": came} for job, came in stops.items()],
        "rates": best,
        "grid": _listed(grid),
        "arms": _listed(scored(family, folder, best, workers)),
    }


def started(family: Family, folder: Path, progress: addition.Progress | None = None) -> dict[Job, Any]:
    """The start alone: it teaches the model that all others start from."""
    return _run(family, partial(part, progress=progress), [("start",)], folder / "parts.jsonl", 1)


def gradients(family: Family, folder: Path, workers: int | None) -> dict[Job, Any]:
    """The start, Theorem 1, and norms."""
    done = started(family, folder)
    parts: list[Job] = [*(("theorem", kind) for kind in _DIALS)]
    parts += [("norms", n, seed) for n in family.updates for seed in (family.scoring[:2] if n else family.scoring[:1])]
    return done | _run(family, part, parts, folder / "parts.jsonl", workers, "gradients")


def _run(
    family: Family, compute: Callable[[Family, Path, Job], Any], jobs: Iterable[Job], path: Path,
    workers: int | None, label: str = "",
) -> dict[Job, Any]:  # fmt: skip
    """`run_jobs`, where the family can run."""
    if family.gpu and not torch.cuda.is_available():
        compute, workers = _refused, 1
    return run_jobs(partial(compute, family, path.parent), jobs, path, workers=workers, label=label)


def _refused(family: Family, folder: Path, job: Job) -> Any:
    hint = f"run it where there is one; finished runs of {folder.name} are read everywhere"
    raise ArgumentError("reproduce lm", "a CUDA device", "none", where=f"run {' '.join(map(str, job))}", hint=hint)


def _listed(came: Mapping[Arm, Any]) -> list[dict[str, Any]]:
    return [{**asdict(arm), **found} for arm, found in came.items()]


def part(family: Family, folder: Path, job: Job, progress: addition.Progress | None = None) -> Any:
    """What is computed on one model: job = ("start",), ("theorem", kind of rewards) or ("norms", updates, seed)."""
    began, setting = time.perf_counter(), family.setting
    start = addition.taught(setting, folder, progress)
    rows, held_out = addition.data(setting, folder)
    if job[0] == "theorem":
        return _theorem(start, rows, job[1], family.compared)
    seed = 1000 + (job[2] if job[1:] else 0)
    world = Language(start, rows, held_out, batch=family.batch, learning_rate=family.probed, seed=seed)
    if job[0] == "norms":
        choose = Passes(GRPO, G)
        for _ in range(job[1]):
            world.learn(choose(world))
        problem = np.sort(np.random.default_rng(0).permutation(len(rows))[: family.measured])
        found = norms(world, problem, world.rng)
    else:
        found = _start(world)
    return found | _clocked(setting, began)


def _start(world: Language) -> dict[str, Any]:
    p = world.chances(world.rows)
    counts, _ = np.histogram(p, np.linspace(0, 1, 11))
    return {
        "parameters": sum(q.numel() for q in world.model.parameters()),
        "solved": float(p.mean()),
        "held_out": world.held_out,
        "histogram": (counts / len(p)).tolist(),
        "silent": {str(n): float((p**n + (1 - p) ** n).mean()) for n in (4, 8, 16, 32)},
    }


def _clocked(setting: addition.Setting, began: float) -> dict[str, Any]:
    """What ran a job and for how long; nothing of it in float32, where equal seeds are equal results."""
    if setting.dtype == FLOAT32:
        return {}
    return {"machine": {**machine(), "dtype": setting.dtype, "seconds": round(time.perf_counter() - began, 2)}}


def _theorem(start: Path, rows: list[dict[str, Any]], kind: str, compared: int) -> dict[str, Any]:
    """Theorem 1 on real groups, over all parameters, by precision; graded: the share of an answer's letters."""
    model, tokenizer = addition.load(start)
    # More than are compared: graded rewards are silent where all answers share as many letters.
    chosen = groups(model, tokenizer, rows[:256], G, torch.Generator().manual_seed(1))
    if kind == "graded":
        answers = {row["prompt"]: row["answer"] for row in rows[:256]}
        chosen = [_graded(tokenizer, group, answers[group.prompt]) for group in chosen]
    chosen = [group for group in chosen if not is_silent(group.rewards)][:compared]
    return by_precision(model, chosen, _DIALS[kind])


def _graded(tokenizer: Any, group: Group, right: str) -> Group:
    texts = tokenizer.batch_decode(group.answers, skip_special_tokens=True)
    return Group(group.prompt, group.prompt_ids, group.answers, np.array([alike(text, right) for text in texts]))


def alike(text: str, right: str) -> float:
    """Share of letters that agree, place by place; what is missing or too much agrees with nothing.

    >>> alike("129", "123"), alike("1234", "123")
    (0.6666666666666666, 0.75)
    """
    return sum(a == b for a, b in zip(text, right, strict=False)) / max(len(text), len(right), 1)


def departures_wanted() -> list[Job]:
    """Passes over a batch by learning rate and clip, mini-batches whole and torn, stale answers, KL; every seed."""
    jobs: list[Job] = [("passes", rate, clip, seed) for rate in RATES for clip in CLIPS for seed in STOPS]
    jobs += [("minis", M, torn, seed) for M in (2, 4, 8) for torn in (0, 1) for seed in STOPS]
    jobs += [("stale", seed) for seed in STOPS]
    return jobs + [("kl", beta, seed) for beta in (0.0, 0.1) for seed in STOPS]


def departure(family: Family, folder: Path, job: Job) -> Any:
    """One of them, on the taught model."""
    kind, *rest = job
    setting = family.setting
    start = addition.taught(setting, folder)
    size: dict[str, Any] = dict(prompts=family.batch // G, G=G)
    if kind == "passes":
        return passes(start, setting, rest[0], rest[1], rest[2], K=4, **size)
    if kind == "minis":
        return passes(start, setting, family.probed, "grpo", rest[2], K=1, M=rest[0], torn=bool(rest[1]), **size)
    if kind == "stale":
        return stale(start, setting, rest[0], **size)
    return kl(start, setting, rest[1], beta=rest[0], looks=(0, 25) if rest[0] else (0, 25, 50, 100), **size)


def compute(family: Family, folder: Path, job: Job) -> Any:
    """One arm: job = ("arm", way, G, batch, learning rate, budget, seed)."""
    began = time.perf_counter()
    found = run_arm(addition.taught(family.setting, folder), family.setting, Arm(*job[1:]))
    return found | _clocked(family.setting, began)


def arms(family: Family, folder: Path, wanted: Iterable[Arm], workers: int | None, label: str) -> dict[Arm, Any]:
    """What came of arms, computed or taken up."""
    jobs = [("arm", *asdict(arm).values()) for arm in wanted]
    found = _run(family, compute, jobs, folder / "arms.jsonl", workers, label)
    return {Arm(*job[1:]): came for job, came in found.items()}


def tuned(family: Family, folder: Path, workers: int | None) -> tuple[dict[str, float], dict[Arm, Any]]:
    """Each way's best learning rate, and all arms it was chosen from."""

    def arm(way: str, rate: float, seed: int) -> Arm:
        return Arm(way, G, family.batch, rate, family.budget, seed)

    grid = [arm(way, rate, seed) for seed in family.tuning for way in family.ways for rate in family.rates]
    came = arms(family, folder, grid, workers, "learning rates")
    best = {}
    for way in family.ways:
        level = {rate: np.mean([reached(came[arm(way, rate, s)]) for s in family.tuning]) for rate in family.rates}
        best[way] = max(level, key=level.__getitem__)
    return best, came


def reached(found: Mapping[str, Any]) -> float:
    """Held-out accuracy over the last quarter of the looks: one look is noisy."""
    return float(last(found, "held_out"))


def last(found: Mapping[str, Any], what: str) -> Floats:
    """The last quarter of the looks, averaged; quarters of the problems stay apart."""
    looks = found["looks"]
    return np.mean([look[what] for look in looks[-(len(looks) // 4) :]], axis=0)


def scored(family: Family, folder: Path, best: Mapping[str, float], workers: int | None) -> dict[Arm, Any]:
    """Each way at its best rate on seeds it was not chosen on, and GRPO at other G."""

    def arm(way: str, size: int, seed: int) -> Arm:
        return Arm(way, size, family.batch, best[way], family.budget, seed)

    wanted = [arm(way, G, seed) for seed in family.scoring for way in best]
    wanted += [arm("grpo", size, seed) for seed in family.scoring[:3] for size in family.sizes]
    return arms(family, folder, wanted, workers, "scored runs")
