"""Answers to many prompts at once, drawn from a language model exactly, every different one computed once.

Answers to a prompt that begin alike share a node of a tree. How many of them go on with each token is multinomial,
so n draws cost a forward pass of one token for each *different* beginning, and equal answers come counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groupsigma.checks import Floats, Ints
from groupsigma.experiments.precision import autocast, place

#: Prompts in one forward pass.
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Answers:
    """Different answers to some prompts, and how often each came.

    Attributes: prompt: [A], which prompt, ascending. count: [A], ≥ 1. ids: A token sequences, the end included.
    """

    prompt: Ints
    count: Ints
    ids: list[tuple[int, ...]]


def draw(
    model: Any, prompts: Sequence[Sequence[int]], n: Ints, rng: np.random.Generator, *, most: int, end: int = 0
) -> Answers:
    """n[i] independent answers to prompt i at temperature 1, cut off after `most` tokens.

    Args: model: a causal one of transformers. prompts: token ids. end: the token that ends an answer.
    """
    asked = np.flatnonzero(n)
    found: list[tuple[int, tuple[int, ...], int]] = []
    with autocast(model), torch.no_grad():
        for start in range(0, len(asked), _ROWS):
            some = asked[start : start + _ROWS]
            found += _grown(model, [prompts[i] for i in some], some, n[some], rng, most, end)
    found.sort()
    return Answers(
        np.array([i for i, _, _ in found], dtype=np.int64),
        np.array([count for _, _, count in found], dtype=np.int64),
        [ids for _, ids, _ in found],
    )


def _grown(
    model: Any, prompts: list[Sequence[int]], labels: Ints, n: Ints, rng: np.random.Generator, most: int, end: int
) -> list[tuple[int, tuple[int, ...], int]]:
    """(prompt, answer, count) of one tree for each prompt, grown a token at a time."""
    device = place(model)
    ids, mask = (x.to(device) for x in _left_padded(prompts, end))
    out = model(input_ids=ids, attention_mask=mask, position_ids=_positions(mask), use_cache=True, logits_to_keep=1)
    cache, at = out.past_key_values, _positions(mask)[:, -1]
    prompt, count = labels, n
    begun: list[tuple[int, ...]] = [()] * len(labels)
    found: list[tuple[int, tuple[int, ...], int]] = []
    for length in range(1, most + 1):
        times = rng.multinomial(count, _chances(out.logits[:, -1]))
        node, token = np.nonzero(times)
        grown = [(*begun[i], int(t)) for i, t in zip(node, token, strict=True)]
        went, on = times[node, token], np.flatnonzero((token != end) & (length < most))
        over = np.setdiff1d(np.arange(len(node)), on, assume_unique=True)
        found += [(int(prompt[node[i]]), grown[i], int(went[i])) for i in over]
        if not len(on):
            break
        parent = torch.from_numpy(node[on]).to(device)
        cache.batch_select_indices(parent)
        mask = torch.cat([mask[parent], mask.new_ones(len(on), 1)], 1)
        at = at[parent] + 1
        prompt, count, begun = prompt[node[on]], went[on], [grown[i] for i in on]
        out = model(
            input_ids=torch.from_numpy(token[on]).to(device)[:, None], attention_mask=mask, position_ids=at[:, None],
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
    return found


def _chances(logits: Tensor) -> Floats:
    """π of each next token, float64 rows that add to 1 as closely as the multinomial needs."""
    p = torch.softmax(logits.double(), -1).cpu().numpy()
    return np.asarray(p / p.sum(1, keepdims=True))


def _left_padded(prompts: list[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return ids, mask


def _positions(mask: Tensor) -> Tensor:
    """Of each token in its own prompt; padding has 0."""
    return (mask.cumsum(1) - 1).clamp(min=0)
