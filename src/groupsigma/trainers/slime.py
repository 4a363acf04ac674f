"""The dial in slime, by three of its dotted paths; read and tested with slime 0.3.1 (git 624b824a).

    --dynamic-sampling-filter-path     groupsigma.trainers.slime.keep_mixed   (or prefer_mixed)
    --custom-reward-post-process-path  groupsigma.trainers.slime.advantages
    --rollout-all-samples-process-path groupsigma.trainers.slime.log_groups

A group is the samples of one `group_index`, in any order and of any size; the samples of one `rollout_id` (a rollout
cut into several) are one answer, its last one. Without further words the dial is the one that slime's own flags say.
Another comes from the file of --custom-config-path, whose lines slime makes arguments: `groupsigma_dial: maxrl`, and
`groupsigma_weight: proportional`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from groupsigma.dial import DR_GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.metrics import group_metrics
from groupsigma.presets import DIALS, find_dial
from groupsigma.sigma import is_silent
from groupsigma.trainers.tokens import Weight, last_rows, row_advantages
from groupsigma.trainers.versions import tested

tested("slime", "0.3.1")

#: slime's estimators that compare an answer with its group; the first three divide by the spread.
_DIVIDE = ("grpo", "gspo", "cispo")
_CENTRE = (*_DIVIDE, "reinforce_plus_plus_baseline")


def keep_mixed(args: Any, samples: Sequence[Any], **_: Any) -> Any:
    """slime's `DynamicFilterOutput`: keep a group unless it is silent.

    slime's own filter asks std > 1e-6 of float64, which is false of a group of one and of one with a NaN, whatever
    the rest says. The reason of a drop is in slime's log as rollout/dynamic_filter/drop_<reason>.
    """
    from slime.rollout.filter_hub.base_types import DynamicFilterOutput

    reason = silence(args, samples)
    return DynamicFilterOutput(keep=reason is None, reason=reason)


def prefer_mixed(args: Any, samples: Sequence[Any], **_: Any) -> Any:
    """`keep_mixed` that takes silent groups rather than draw once more: slime's refill has no cap of its own."""
    output = keep_mixed(args, samples)
    output.keep_when_insufficient = True
    return output


def silence(args: Any, samples: Sequence[Any]) -> str | None:
    """Why one group teaches nothing: all_right, all_wrong, equal, no_reward; None for a mixed one."""
    flat = list(_flat(samples))
    rows, _ = last_rows([0] * len(flat), [sample.rollout_id for sample in flat])
    rewards = [_reward(args, flat[i]) for i in rows]
    if not is_silent(rewards):
        return None
    told = group_metrics(rewards, [0] * len(rewards))
    if not told["group/size_mean"]:
        return "no_reward"
    return next((what for what in ("all_right", "all_wrong") if told[f"group/{what}"]), "equal")


def advantages(args: Any, samples: Sequence[Any]) -> tuple[list[float], list[float]]:
    """(raw rewards, advantages) of a batch, in the order of its samples; raw NaN: no reward.

    A sample that is not trained on (`remove_sample`) stays out of its group.
    Raises: ArgumentError for samples without a `group_index`; slime's data source sets it.
    """
    flat = list(_flat(samples))
    raw = [_reward(args, sample) for sample in flat]
    dial = dial_of(args)
    if dial is None:
        return raw, raw
    scores = [math.nan if sample.remove_sample else reward for sample, reward in zip(flat, raw, strict=True)]
    groups, rollouts = _labels(flat)
    weight: Weight = getattr(args, "groupsigma_weight", "equal")
    told = row_advantages(torch.tensor(scores, dtype=torch.float64), groups, dial, sessions=rollouts, weight=weight)
    return raw, told.tolist()


def log_groups(args: Any, all_samples: Sequence[Any], data_source: Any = None) -> None:
    """Logs rollout/group/silent and the like of all that was drawn, dropped groups included, at slime's own step."""
    from slime.observability.logging_utils import log
    from slime.observability.metric_utils import compute_rollout_step
    from slime.rollout import sample_hooks

    step = compute_rollout_step(args, sample_hooks._current_rollout_id or 0)
    told = {f"rollout/{name}": value for name, value in metrics(args, all_samples).items()}
    log(args, {**told, "rollout/step": step}, step_key="rollout/step")


def metrics(args: Any, all_samples: Sequence[Any]) -> dict[str, float]:
    """`group_metrics` of samples in any nesting."""
    flat = list(_flat(all_samples))
    groups, rollouts = _labels(flat)
    rows, _ = last_rows(groups, rollouts)
    return group_metrics([_reward(args, flat[i]) for i in rows], [groups[i] for i in rows])


def dial_of(args: Any) -> Dial | None:
    """`groupsigma_dial` where it is set; else what slime's flags say, None where they leave rewards as they are.

    >>> from argparse import Namespace
    >>> dial_of(Namespace(advantage_estimator="grpo", rewards_normalization=True, grpo_std_normalization=False))
    Dial: R − μ
    """
    name = getattr(args, "groupsigma_dial", None)
    if name is not None:
        return find_dial(name)
    if args.advantage_estimator not in _CENTRE or not args.rewards_normalization:
        return None
    return DIALS["slime"] if args.advantage_estimator in _DIVIDE and args.grpo_std_normalization else DR_GRPO


def _flat(samples: Sequence[Any]) -> Iterator[Any]:
    for one in samples:
        if isinstance(one, list | tuple):
            yield from _flat(one)
        else:
            yield one


def _reward(args: Any, sample: Any) -> float:
    reward = None if sample.reward is None else sample.get_reward_value(args)
    return math.nan if reward is None else float(reward)


def _labels(flat: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """(group, rollout) of each sample."""
    if any(sample.group_index is None for sample in flat):
        hint = "set it where the samples are made; groups by position would mix prompts where sizes differ"
        raise ArgumentError("groupsigma.trainers.slime", "a group_index on each sample", "None", hint=hint)
    return [sample.group_index for sample in flat], [sample.rollout_id for sample in flat]
