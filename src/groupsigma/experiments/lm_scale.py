"""The family that runs on a GPU, stage by stage, where nothing but NumPy, SciPy, torch and transformers is installed.

    python -m groupsigma.experiments.lm_scale smoke|start|gradients|arms FOLDER [--workers N]

smoke: a minute's check of the device: answers as often as the exact solve rates say, steps and Theorem 1 as on a CPU,
and what a step of the full model takes. Then start; gradients and arms may run beside one another. All go on where they
were stopped; FOLDER is the family's own, with its rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from groupsigma.checks import Floats
from groupsigma.dial import GRPO
from groupsigma.experiments import addition, lm_full
from groupsigma.experiments.arms import Arm, Passes
from groupsigma.experiments.draw import Answers, draw
from groupsigma.experiments.gradients import groups, theorem
from groupsigma.experiments.language import Language, Weighted
from groupsigma.experiments.norms import norms
from groupsigma.experiments.precision import BFLOAT16, FLOAT32, machine, place
from groupsigma.experiments.run import run_jobs

#: Sums of two digits, so that prompts are padded, and a model taught in seconds.
SMALL = addition.Setting(
    layers=2, width=64, inner=128, heads=4, learning_rate=0.01, steps=300, batch=128, until=0.3, digits=2, problems=60,
    held_out=20, dtype=BFLOAT16,
)  # fmt: skip
#: Answers drawn to each problem; how far a frequency may be from a solve rate, beside its own spread.
_MANY, _OFF = 10**6, 0.01


def main(given: Sequence[str] | None = None) -> None:
    """One stage, from the shell."""
    parser = argparse.ArgumentParser(prog="lm_scale", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("stage", choices=("smoke", "start", "gradients", "arms"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args(given)
    family = lm_full.FAMILIES["gym"]
    with _told(asked.stage, asked.folder, asked.workers):
        if asked.stage == "smoke":
            print(json.dumps(smoke(family.setting, asked.folder), indent=1), flush=True)
        elif asked.stage == "start":
            lm_full.started(family, asked.folder, _said)
        elif asked.stage == "gradients":
            lm_full.gradients(family, asked.folder, asked.workers)
        else:
            best, _ = lm_full.tuned(family, asked.folder, asked.workers)
            lm_full.scored(family, asked.folder, best, asked.workers)


def smoke(full: addition.Setting, kept: Path) -> dict[str, Any]:
    """What was checked on this machine, number by number; `good` says whether all is as it should be.

    Args: full: the setting of which a step is timed. kept: where its rows are.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = addition.taught(SMALL, folder)
        rows, held_out = addition.data(SMALL)
        world = Language(start, rows, held_out, batch=480, learning_rate=1e-3, seed=0)
        found: dict[str, Any] = {
            **machine(),
            "place": str(place(world.model)),
            "solved": round(float(world.p.mean()), 3),
            "draws": _draws(world),
            "step": _step(world, start),
            "theorem": _theorem(start, rows),
            "norms": len(norms(world, np.arange(20), world.rng, sizes=(8,))["p"]),
            "workers": _workers(folder),
        }
        good = (
            found["draws"]["off"] < 0.02
            and found["step"] < 0.1
            and found["theorem"]["float64"] < 1e-10
            and found["theorem"]["float32"] < 1e-4
            and found["workers"] == 2
        )
        return {**found, "good": bool(good), "full": _full(full, kept, folder)}


def _draws(world: Language) -> dict[str, float]:
    """How often a million draws are right, beside the solve rate: the largest distance, and that of the mean."""
    came = draw(world.model, world.prompts, np.full(world.problems, _MANY), world.rng, most=world.most)
    often = np.bincount(came.prompt, came.count * world.judged(came.prompt, came.ids), world.problems) / _MANY
    off = often - world.chances(world.rows)
    return {"off": round(float(np.abs(off).max()), 5), "mean": round(float(off.mean()), 6)}


def _step(world: Language, start: Path) -> float:
    """How far a step's gradient here is from that in float32 on the CPU, relative."""
    other = Language(start, world.rows, world.held_rows, batch=world.batch, learning_rate=1e-3, seed=0)
    other.model.to("cpu").config.autocast = FLOAT32
    told = world.weighted(Passes(GRPO, 8)(world))
    world.update(told)
    other.update(told)
    here, there = _gradient(world), _gradient(other)
    return round(float(np.linalg.norm(here - there) / np.linalg.norm(there)), 5)


def _gradient(world: Language) -> Floats:
    parts = [p.grad.flatten() for p in world.model.parameters()]
    return np.asarray(torch.cat(parts).double().cpu().numpy())


def _theorem(start: Path, rows: Sequence[addition.Row]) -> dict[str, float]:
    model, tokenizer = addition.load(start)
    chosen = groups(model, tokenizer, rows, 8, torch.Generator().manual_seed(0), most=2)
    return {
        name: max(found.error for group in chosen for found in theorem(model, group, dtype=getattr(torch, name)))
        for name in ("float64", "float32")
    }


def _workers(folder: Path) -> int:
    """Arms that came out of two worker processes."""
    family = lm_full.Family(SMALL, ("grpo",), ())
    jobs = [("arm", *vars(Arm("grpo", 8, 64, 1e-3, 640, seed)).values()) for seed in (0, 1)]
    return len(run_jobs(partial(lm_full.compute, family, folder), jobs, folder / "smoke.jsonl", workers=2))


def _full(setting: addition.Setting, kept: Path, folder: Path) -> dict[str, float]:
    """Seconds that a step takes with the full model, as good as untaught: of teaching, drawing, updating; GiB at most.

    Untaught, it says something else each time: no step of the run draws or updates as many different answers.
    """
    model, words = addition.new_model(setting), addition.new_tokenizer(setting.task)
    addition.teach(model, words, replace(setting, steps=5), folder=kept)
    few = replace(setting, steps=40)
    taught = _seconds(lambda: addition.teach(model, words, few, folder=kept), model) / few.steps
    read = _seconds(lambda: addition.teach(model, words, replace(setting, steps=1), folder=kept), model)
    world = Language(
        addition.save(model, words, folder / "full"), *addition.data(setting, kept), batch=1024, learning_rate=1e-4,
        seed=0,
    )  # fmt: skip
    problem = np.arange(128)

    def drawn() -> Answers:
        return draw(world.model, world.prompts[:128], np.full(128, 8), world.rng, most=world.most)

    came = drawn()
    told = Weighted(problem[came.prompt], came.ids, came.count.astype(np.float64))
    world.update(told)
    most = torch.cuda.max_memory_allocated() / 2**30 if place(world.model).type == "cuda" else 0.0
    return {
        "answers": len(came.ids),
        "teaching": round(taught - read / few.steps, 4),
        "reading the rows": round(read, 2),
        "drawing": round(_seconds(drawn, world.model), 4),
        "judging": round(_seconds(lambda: world.judged(came.prompt, came.ids), world.model), 4),
        "updating": round(_seconds(lambda: world.update(told), world.model), 4),
        "looking": round(_seconds(lambda: world.chances(world.rows[:1024]), world.model), 4),
        "GiB": round(most, 2),
    }


def _seconds(work: Callable[[], object], model: Any) -> float:
    began = time.perf_counter()
    work()
    if place(model).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _said(step: int, solved: float) -> None:
    if step % 100 == 0:
        print(f"step {step}: {solved:.3f}", file=sys.stderr, flush=True)


@contextmanager
def _told(stage: str, folder: Path, workers: int) -> Iterator[None]:
    """Seconds of a stage, on stderr and beside the results."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds = round(time.perf_counter() - began, 1)
        print(f"{stage}: {seconds} s", file=sys.stderr, flush=True)
        if stage != "smoke":
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "clock.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"stage": stage, "seconds": seconds, "workers": workers}) + "\n")


if __name__ == "__main__":
    main()
