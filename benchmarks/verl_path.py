"""The advantage step in verl's path: group statistics against verl's own estimator, the whole call against its floor.

    python benchmarks/verl_path.py          # in an environment with verl, see .ci/trainers

100,000 ragged groups, one token an answer, so that statistics are all there is; and 100,000 answers of 1,024 tokens
against the sum over tokens and the mask that every estimator must do. Writes verl_path.json and VERL_PATH.md.
"""

from __future__ import annotations

import json
import platform
import sys
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

warnings.simplefilter("ignore")

import verl  # noqa: E402
from verl.trainer.ppo.core_algos import get_adv_estimator_fn  # noqa: E402

HERE = Path(__file__).parent


def batch(groups: int, tokens: int, rng: np.random.Generator) -> dict[str, Any]:
    """Answers in the order in which a cluster returns them: groups of 2 to 16, uids as verl makes them."""
    sizes = rng.integers(2, 17, groups)
    index = np.repeat(np.array([f"{i:032x}" for i in range(groups)], dtype=object), sizes)
    rng.shuffle(index)
    rewards = torch.zeros(len(index), tokens)
    lengths = rng.integers(1, tokens + 1, len(index))
    rewards[torch.arange(len(index)), torch.from_numpy(lengths - 1)] = torch.from_numpy(
        (rng.random(len(index)) < 0.5).astype(np.float32)
    )
    mask = (torch.arange(tokens)[None] < torch.from_numpy(lengths)[:, None]).to(torch.int64)
    return {"token_level_rewards": rewards, "response_mask": mask, "index": index, "config": {}}


def floor(token_level_rewards: Any, response_mask: Any, **_: Any) -> Any:
    """What nobody can leave out: rewards of tokens summed, a number an answer spread under the mask."""
    return token_level_rewards.sum(-1).unsqueeze(-1) * response_mask


def seconds(call: Any, given: dict[str, Any], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call(**given)
        times.append(perf_counter() - start)
    return times


def main() -> None:
    rng = np.random.default_rng(7)
    ours, theirs = get_adv_estimator_fn("groupsigma_verl"), get_adv_estimator_fn("grpo")
    statistics = batch(100_000, 1, rng)
    found = {
        "statistics": {
            "rows": len(statistics["index"]),
            "ours": seconds(ours, statistics, 5),
            "verl grpo": seconds(theirs, statistics, 2),
            "verl grpo_vectorized": seconds(get_adv_estimator_fn("grpo_vectorized"), statistics, 2),
        }
    }
    whole = batch(11_500, 1024, rng)
    rows = slice(0, 100_000)
    whole = {name: value if name == "config" else value[rows] for name, value in whole.items()}
    seconds(floor, whole, 1)
    pairs = [(seconds(floor, whole, 1)[0], seconds(ours, whole, 1)[0]) for _ in range(7)]
    found["whole call"] = {
        "rows": len(whole["index"]), "tokens": 1024,
        "floor": [a for a, _ in pairs], "ours": [b for _, b in pairs],
    }  # fmt: skip
    machine = (
        f"verl {verl.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}"
    )
    (HERE / "verl_path.json").write_text(json.dumps({"machine": machine, **found}, indent=1) + "\n")
    stats, call = found["statistics"], found["whole call"]
    mine = median(stats["ours"])
    lines = [
        "# The advantage step in verl's path",
        "",
        f"`python benchmarks/verl_path.py`, {machine}; medians.",
        "",
        f"| group statistics, 100,000 ragged groups, {stats['rows']:,} answers of one token | seconds | ours is |",
        "|---|---:|---:|",
        f"| groupsigma_verl | {mine:.3f} | |",
        *(
            f"| {name} | {median(stats[name]):.3f} | {median(stats[name]) / mine:.0f}× faster |"
            for name in list(stats)[2:]
        ),
        "",
        f"| whole call, {call['rows']:,} answers of {call['tokens']:,} tokens | seconds | of the floor |",
        "|---|---:|---:|",
        f"| sum and mask alone | {median(call['floor']):.3f} | 1 |",
        f"| groupsigma_verl | {median(call['ours']):.3f} | {median(b / a for a, b in pairs):.2f} |",
        "",
    ]
    (HERE / "VERL_PATH.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
