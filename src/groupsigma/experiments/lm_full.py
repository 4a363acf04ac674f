"""`reproduce lm`, the test the paper left open: every method from one taught start, many seeds, each tuned alike.

Two families of problems, so that one sees what carries over. Stages of resumable jobs: the start, Theorem 1 on its
gradients, how large Δs is; every method on the same grid of learning rates; each at its best on other seeds; GRPO at
other G; where the identity stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from groupsigma.experiments.run import Job, run_jobs
from groupsigma.sigma import is_silent

SCHEMA = "groupsigma.lm-full/1"
#: Answers an arm samples, answers a step, G.
BUDGET, BATCH, G = 204_800, 1024, 8
#: The same grid of learning rates for all, and the seeds they are chosen on and scored on.
RATES, TUNING, SCORING = (1e-4, 2e-4, 4e-4, 8e-4), (100, 101), (0, 1, 2, 3, 4)
#: Learning rate between looks at one model: of the norms, of mini-batches.
PROBED = 2e-4
#: Seeds of the measurements where the identity stops.
STOPS = (0, 1, 2)
#: Groups on which Theorem 1 is checked; updates after which norms are taken, prompts they are taken on.
COMPARED, UPDATES, MEASURED = 32, (0, 100, 200), 1024
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
    """

    setting: addition.Setting
    ways: tuple[str, ...]
    sizes: tuple[int, ...]
    departs: bool = False


FAMILIES: dict[str, Family] = {
    "sums": Family(addition.FULL, tuple(WAYS), (4, 16, 32), departs=True),
    "kinds": Family(addition.KINDS, ("grpo", "dr-grpo", "dapo", "maxrl"), (4, 16)),
}


def lm_full(folder: Path, *, family: str | None = None, workers: int | None = None) -> dict[str, Any]:
    """All that was computed, as plain data; what is finished is taken up.

    Args:
        folder: a part of it for each family holds the taught model and results, *.jsonl.
        family: one of FAMILIES alone; None: all.
    """
    if family is not None and family not in FAMILIES:
        raise ArgumentError("reproduce lm", f"a family of {', '.join(FAMILIES)}", repr(family))
    names = list(FAMILIES) if family is None else [family]
    told = {name: one_family(folder / name, FAMILIES[name], workers=workers) for name in names}
    return {"schema": SCHEMA, "families": told}


def one_family(folder: Path, family: Family, *, workers: int | None = None) -> dict[str, Any]:
    """What was computed on a family."""
    setting = family.setting
    # Alone and first: it teaches the model that all others start from.
    done = run_jobs(partial(part, setting, folder), [("start",)], folder / "parts.jsonl", workers=1)
    parts: list[Job] = [*(("theorem", kind) for kind in _DIALS)]
    parts += [("norms", n, seed) for n in UPDATES for seed in (SCORING[:2] if n else SCORING[:1])]
    done |= run_jobs(partial(part, setting, folder), parts, folder / "parts.jsonl", workers=workers, label="gradients")
    stops = run_jobs(
        partial(departure, setting, folder), departures_wanted() if family.departs else (), folder / "departures.jsonl",
        workers=workers, label="where the identity stops",
    )  # fmt: skip
    best, grid = tuned(family, folder, workers)
    return {
        "setting": asdict(setting),
        "start": done["start",],
        "theorem": {kind: done["theorem", kind] for kind in _DIALS},
        "norms": [{"updates": job[1], "seed": job[2], **done[job]} for job in parts if job[0] == "norms"],
        "departures": [{"job": list(job), "found": came} for job, came in stops.items()],
        "rates": best,
        "grid": _listed(grid),
        "arms": _listed(scored(family, folder, best, workers)),
    }


def _listed(came: Mapping[Arm, Any]) -> list[dict[str, Any]]:
    return [{**asdict(arm), **found} for arm, found in came.items()]


def part(setting: addition.Setting, folder: Path, job: Job) -> Any:
    """What is computed on one model: job = ("start",), ("theorem", kind of rewards) or ("norms", updates, seed)."""
    start = addition.taught(setting, folder)
    rows, held_out = addition.data(setting)
    if job[0] == "theorem":
        return _theorem(start, rows, job[1])
    world = Language(start, rows, held_out, batch=BATCH, learning_rate=PROBED, seed=1000 + (job[2] if job[1:] else 0))
    if job[0] == "norms":
        choose = Passes(GRPO, G)
        for _ in range(job[1]):
            world.learn(choose(world))
        problem = np.sort(np.random.default_rng(0).permutation(len(rows))[:MEASURED])
        return norms(world, problem, world.rng)
    p = world.chances(rows)
    counts, _ = np.histogram(p, np.linspace(0, 1, 11))
    return {
        "parameters": sum(q.numel() for q in world.model.parameters()),
        "solved": float(p.mean()),
        "held_out": world.held_out,
        "histogram": (counts / len(p)).tolist(),
        "silent": {str(n): float((p**n + (1 - p) ** n).mean()) for n in (4, 8, 16, 32)},
    }


def _theorem(start: Path, rows: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Theorem 1 on real groups, over all parameters, by precision; graded: the share of an answer's letters."""
    model, tokenizer = addition.load(start)
    # More than are compared: graded rewards are silent where all answers share as many letters.
    chosen = groups(model, tokenizer, rows[:256], G, torch.Generator().manual_seed(1))
    if kind == "graded":
        answers = {row["prompt"]: row["answer"] for row in rows[:256]}
        chosen = [_graded(tokenizer, group, answers[group.prompt]) for group in chosen]
    chosen = [group for group in chosen if not is_silent(group.rewards)][:COMPARED]
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


def departure(setting: addition.Setting, folder: Path, job: Job) -> Any:
    """One of them, on the taught model."""
    kind, *rest = job
    start = addition.taught(setting, folder)
    size: dict[str, Any] = dict(prompts=BATCH // G, G=G)
    if kind == "passes":
        return passes(start, setting, rest[0], rest[1], rest[2], K=4, **size)
    if kind == "minis":
        return passes(start, setting, PROBED, "grpo", rest[2], K=1, M=rest[0], torn=bool(rest[1]), **size)
    if kind == "stale":
        return stale(start, setting, rest[0], **size)
    return kl(start, setting, rest[1], beta=rest[0], looks=(0, 25) if rest[0] else (0, 25, 50, 100), **size)


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


def tuned(family: Family, folder: Path, workers: int | None) -> tuple[dict[str, float], dict[Arm, Any]]:
    """Each way's best learning rate, and all arms it was chosen from."""
    grid = [Arm(way, G, BATCH, rate, BUDGET, seed) for seed in TUNING for way in family.ways for rate in RATES]
    came = arms(family.setting, folder, grid, workers, "learning rates")
    best = {}
    for way in family.ways:
        level = {rate: np.mean([reached(came[Arm(way, G, BATCH, rate, BUDGET, s)]) for s in TUNING]) for rate in RATES}
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
    wanted = [Arm(way, G, BATCH, rate, BUDGET, seed) for seed in SCORING for way, rate in best.items()]
    wanted += [Arm("grpo", size, BATCH, best["grpo"], BUDGET, seed) for seed in SCORING[:3] for size in family.sizes]
    return arms(family.setting, folder, wanted, workers, "scored runs")
