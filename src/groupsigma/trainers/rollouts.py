"""Answers as TRL's trainer hands them around, cut into groups and put together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

#: What `GRPOTrainer._generate` returns in TRL 1.16, in this order.
_PARTS = ("prompt_ids", "completion_ids", "tool_mask", "completions", "logprobs")


@dataclass(frozen=True)
class Answer:
    """One answer: the data's row (with what the rollout added), the prompt, and `_generate`'s parts of it."""

    row: Mapping[str, Any]
    prompt: Any
    parts: tuple[Any, ...]
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """All answers of one draw of a prompt. rewards: float32 [n, functions]."""

    prompt_id: Any
    answers: Sequence[Answer]
    rewards: Tensor


@dataclass(frozen=True)
class Filled:
    """A generation batch whose answers exist already: this process's, in the form in which TRL asks for them.

    Attributes:
        inputs, prompts: this process's rows. generated: what `_generate` returns for them.
        rewards: float32 [N, functions] of all processes. extra: columns that reward functions logged.
        prompt_ids, sizes: one entry a group, of all processes.
    """

    inputs: list[dict[str, Any]]
    generated: tuple[Any, ...]
    rewards: Tensor
    extra: dict[str, list[Any]]
    prompt_ids: list[Any]
    sizes: list[int]


def share(rows: Sequence[Any], rank: int, world: int) -> list[Any]:
    """This process's equal part of the rows; the last ones are repeated until they divide, and cut off by `whole`.

    >>> share([1, 2, 3], 1, 2)
    [3, 3]
    """
    rows = list(rows)
    part = -(-len(rows) // world)
    padded = rows + rows[-1:] * (part * world - len(rows))
    return padded[rank * part : (rank + 1) * part]


def answers(inputs: Sequence[Mapping[str, Any]], generated: Sequence[Any], extra: Mapping[str, list[Any]]) -> Any:
    """What `_generate` returned for these rows, one Answer a row."""
    parts = generated[: len(_PARTS)]
    columns = {name: values for name, values in extra.items() if len(values) == len(inputs)}
    return [
        Answer(
            row,
            row["prompt"],
            tuple(None if part is None else part[i] for part in parts),
            {name: values[i] for name, values in columns.items()},
        )
        for i, row in enumerate(inputs)
    ]


def whole(local: Sequence[Answer], count: int) -> list[Answer]:
    """The answers of all processes, in the order of the rows that `share` divided."""
    return gather_object(list(local))[:count]


def lengths(groups: Iterable[Group], ends: Sequence[int]) -> dict[str, float]:
    """TRL's `completions/…` numbers of these answers; `ends`: tokens that end one."""
    parts = [answer.parts for group in groups for answer in group.answers]
    n = np.array([len(ids) if mask is None else sum(mask) for _, ids, mask, *_ in parts], dtype=np.float64)
    ended = np.isin([ids[-1] for _, ids, *_ in parts], list(ends))
    told = {"clipped_ratio": float((~ended).mean())}
    for kind, some in (("", n), ("terminated_", n[ended] if ended.any() else np.zeros(1))):
        for name, number in (("mean", some.mean()), ("min", some.min()), ("max", some.max())):
            told[f"{name}_{kind}length"] = float(number)
    return {f"completions/{name}": value for name, value in told.items()}


def filled(groups: Iterable[Group], rank: int, world: int) -> Filled:
    """A generation batch of these groups; their answers must divide by the number of processes."""
    kept = list(groups)
    own = share([answer for group in kept for answer in group.answers], rank, world)
    columns = sorted({name for answer in own for name in answer.extra})
    parts = zip(*(answer.parts for answer in own), strict=True)
    return Filled(
        inputs=[dict(answer.row) for answer in own],
        generated=(*(None if part[0] is None else list(part) for part in parts), {}, None, []),
        rewards=torch.cat([group.rewards for group in kept]),
        extra={name: [answer.extra.get(name) for answer in own] for name in columns},
        prompt_ids=[group.prompt_id for group in kept],
        sizes=[len(group.answers) for group in kept],
    )
