"""`reproduce lm --quick`: a language model is taught, trained through TRL, and held against what the theory foresees.

A tiny character model is taught addition until its solve rates are spread over (0, 1), then trained by GRPO,
Dr. GRPO and DAPO from the same start. Its solve rates are known exactly (one forward pass), so accuracy has no
sampling error. Finished parts are kept in the folder and not computed again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from groupsigma.dial import DR_GRPO, GRPO, LOGIT, MAXRL
from groupsigma.experiments import addition
from groupsigma.experiments.gradients import EXACT, by_precision, groups
from groupsigma.experiments.run import run_jobs
from groupsigma.methods import METHODS, method_config

_DIALS = (GRPO, DR_GRPO, MAXRL, LOGIT)


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes: start: the model and how it is taught. steps of prompts × G answers; learning_rate of Adam, constant;
        compared: groups on which Theorem 1 is checked.
    """

    start: addition.Setting
    steps: int
    prompts: int
    G: int
    learning_rate: float
    compared: int


QUICK = Scale(addition.QUICK, steps=24, prompts=64, G=8, learning_rate=1.5e-4, compared=12)


def lm(folder: Path) -> dict[str, Any]:
    """Teach, check Theorem 1 on real gradients, train by each method; what came of it, as plain data.

    Args: folder: where the taught model, the trained ones and finished parts are kept.
    """
    if not sys.stderr.isatty():
        disable_progress_bar()
    scale, place = QUICK, folder / "quick"
    jobs = [("start",), ("theorem",), *(("train", name) for name in METHODS)]
    done = run_jobs(partial(_part, scale, place), jobs, place / "parts.jsonl", workers=1, label="language model")
    return {
        "schema": "groupsigma.lm/1",
        "quick": True,
        "scale": asdict(scale),
        "start": done["start",],
        "theorem": done["theorem",],
        "methods": {name: done["train", name] for name in METHODS},
    }


def verdicts(found: dict[str, Any]) -> list[tuple[str, float, str, bool]]:
    """(what, the number, what is wanted, whether it is so)."""
    told = []
    for kind, most in EXACT.items():
        worst = max(row["error"] for row in found["theorem"][kind])
        told.append((f"Theorem 1 on {kind} gradients, largest relative error", worst, f"≤ {most:g}", worst <= most))
    before = found["start"]["held_out"]
    for name, run in found["methods"].items():
        rise = run["held_out"] - before
        told.append((f"{name}: held-out accuracy gained", rise, "> 0", rise > 0))
    drawn = found["methods"]["dapo"]["draws"]
    told.append(("dapo: draws that came, in sd of what was expected", drawn["off"], "-4 to 4", abs(drawn["off"]) <= 4))
    return told


def _part(scale: Scale, place: Path, job: tuple[Any, ...]) -> Any:
    if sys.stderr.isatty():
        print(f"  {' '.join(map(str, job))} …", file=sys.stderr, flush=True)
    start = addition.taught(scale.start, place)
    if job[0] == "start":
        return _start(scale, start)
    if job[0] == "theorem":
        return _theorem(scale, start)
    return _train(scale, place, start, job[1])


def _start(scale: Scale, start: Path) -> dict[str, Any]:
    model, tokenizer = addition.load(start)
    train, held_out = addition.data(scale.start)
    chances = addition.solve_chances(model, tokenizer, train)
    counts, _ = np.histogram(chances, np.linspace(0, 1, 11))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "solved": float(chances.mean()),
        "held_out": float(addition.solve_chances(model, tokenizer, held_out).mean()),
        "hardest": _hardest(chances),
        "histogram": (counts / len(chances)).tolist(),
        "silent": _silent(chances, scale.G),
    }


def _theorem(scale: Scale, start: Path) -> dict[str, Any]:
    model, tokenizer = addition.load(start)
    rows, _ = addition.data(scale.start)
    chosen = groups(model, tokenizer, rows[:256], scale.G, torch.Generator().manual_seed(1), most=scale.compared)
    return by_precision(model, chosen, _DIALS)


def _train(scale: Scale, place: Path, start: Path, name: str) -> dict[str, Any]:
    """The run of `groupsigma train --method NAME`, and what its log and its model say."""
    from groupsigma.training import Order, parse, train

    problems, held_out = addition.data(scale.start)
    table, out = place / "sums.jsonl", place / name
    table.write_text("".join(json.dumps(row) + "\n" for row in problems), encoding="utf-8")
    method = method_config(name)
    most = max(len(row["answer"]) for row in problems) + 1
    flags = {
        "output_dir": out,
        "max_steps": scale.steps,
        "per_device_train_batch_size": scale.prompts * scale.G,
        "num_generations": scale.G,
        # DAPO punishes the last fifth of this limit, where no right answer may lie.
        "max_completion_length": most + 4,
        "learning_rate": scale.learning_rate,
        "lr_scheduler_type": "constant",
        "save_strategy": "no",
        "seed": scale.start.seed,
        "use_cpu": True,
    }
    args, model_args, _ = parse(method, [f"--{key}={value}" for key, value in flags.items()])
    order = Order(method, str(start), str(table), "exact", quiet=True)
    # A model this small loses more to a second thread than it gains.
    with addition.one_thread():
        train(order, args, model_args)
    logged = json.loads((out / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    steps = [step for step in logged if "group/silent" in step]
    model, tokenizer = addition.load(out)
    chances = addition.solve_chances(model, tokenizer, problems)
    found = {
        "held_out": float(addition.solve_chances(model, tokenizer, held_out).mean()),
        "solved": float(chances.mean()),
        "hardest": _hardest(chances),
        "silent": [step["group/silent"] for step in steps],
        "silent_predicted": [step.get("group/silent_predicted") for step in steps],
        "reward": [step["group/reward_mean"] for step in steps],
        "seconds": logged[-1]["train_runtime"],
    }
    if method.dial.keep == "mixed":
        found["draws"] = _draws(steps, scale.prompts)
    return found


def _hardest(chances: Any) -> float:
    """Mean solve rate of the quarter that is solved least."""
    return float(np.sort(chances)[: len(chances) // 4].mean())


def _silent(chances: Any, G: int) -> float:
    return float((chances**G + (1 - chances) ** G).mean())


def _draws(steps: Sequence[dict[str, float]], wanted: int) -> dict[str, float]:
    """Groups drawn where draws were foreseen, beside what was expected and its standard deviation."""
    told = [step for step in steps if "group/draws_predicted" in step]
    came = sum(step["group/draws"] for step in told)
    expected = sum(step["group/draws_predicted"] * wanted for step in told)
    # Negative binomial: B kept with chance q each take B/q draws, variance B (1 − q)/q².
    spread = 0.0
    for step in told:
        q = 1 / step["group/draws_predicted"]
        spread += wanted * (1 - q) / q**2
    return {"came": came, "expected": expected, "sd": sqrt(spread), "off": (came - expected) / sqrt(spread)}
