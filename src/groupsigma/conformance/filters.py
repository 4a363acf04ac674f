"""Trainers' own filters of silent groups, asked about one group: the lines of the package that is installed, run.

What they need around them, a queue, a logger, a record to answer with, is stood in for; what they decide is theirs.
Each raises ImportError where its trainer is not installed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from groupsigma.conformance.own import source_of

#: Rewards of one group -> whether the trainer keeps it.
Keeps = Callable[[Sequence[float]], bool]


def verl(rewards: Sequence[float]) -> bool:
    """verl's replay buffer with filter_groups, by a metric that came with the answers."""
    keys = [f"a_{i}_0" for i in range(len(rewards))]
    fields = [{"reward_extra_info": {"acc": reward}} for reward in rewards]
    queue = SimpleNamespace(kv_batch_get=lambda **_: {"extra_fields": fields})
    names = dict(np=np, tq=queue, defaultdict=defaultdict, Counter=Counter, FILTER_GROUPS_REWARD_METRIC="reward")
    method = source_of("verl", "trainer/ppo/v1/replay_buffer.py", "_dapo_filtered_keys", names)
    buffer = SimpleNamespace(
        filter_groups_metric="acc", finished_keys={"train": {"a"}}, partitions={"train": keys},
        _dapo_classification_cache=defaultdict(dict),
    )  # fmt: skip
    dropped, _ = method(buffer, "train")
    return "a" not in dropped


def skyrl(rewards: Sequence[float]) -> bool:
    """SkyRL's dynamic sampling of type filter."""
    names = dict(
        np=np, defaultdict=defaultdict, logger=SimpleNamespace(info=lambda _: None),
        filter_generator_output=lambda output, kept: [output["rewards"][i] for i in kept],
    )  # fmt: skip
    method = source_of("skyrl", "train/utils/trainer_utils.py", "handle_filter_sampling", names)
    asked = {"train_batch_size": 2, "n_samples_per_prompt": len(rewards)}
    state: dict[str, Any] = {"sample_batch_count": 1}
    method({"rewards": list(rewards)}, ["a"] * len(rewards), asked, state)
    return bool(state["num_prompts_in_batch"])


def slime(rewards: Sequence[float]) -> bool:
    """slime's `check_reward_nonzero_std`."""
    file = "rollout/filter_hub/dynamic_sampling_filters.py"
    names = dict(torch=torch, DynamicFilterOutput=SimpleNamespace)
    method = source_of("slime", file, "check_reward_nonzero_std", names)
    return bool(method(None, [SimpleNamespace(get_reward_value=lambda _, r=r: r) for r in rewards]).keep)


FILTERS: Mapping[str, Keeps] = {"verl": verl, "skyrl": skyrl, "slime": slime}
