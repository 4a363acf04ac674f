"""Theorem 1 on a language model: the update that a trainer's loss gives, held against gain · direction.

Two routes to one vector over all parameters. A trainer's: one backward pass through −(1/G) Σ Aᵢ log π(yᵢ|x), the
group padded into one batch. The theorem's: the score sᵢ = ∇θ log π(yᵢ|x) of each answer by a backward pass of its
own, unpadded, and of these σ Δs, Δs = s̄₊ − s̄₋; in general gain · slope. Shared is how log π is read off the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from groupsigma.advantages import advantages
from groupsigma.checks import Floats
from groupsigma.dial import DR_GRPO, GRPO, LOGIT, MAXRL, Dial
from groupsigma.experiments.addition import Row, one_thread, rewards, sample
from groupsigma.experiments.precision import FLOAT32, place, wanted
from groupsigma.identity import identity
from groupsigma.presets import name_of
from groupsigma.sigma import is_silent

#: Largest relative error at which Theorem 1 holds, by precision.
EXACT = {"float64": 1e-10, "float32": 1e-4}


@dataclass(frozen=True, eq=False)
class Group:
    """G answers to one prompt, as token ids (the end is one of them), and their rewards, float64 [G]."""

    prompt: str
    prompt_ids: list[int]
    answers: list[list[int]]
    rewards: Floats


@dataclass(frozen=True, eq=False)
class Comparison:
    """Theorem 1 on one group.

    Attributes:
        dial: the rule. rewards: [G].
        gain: its closed form; GRPO: σ. parameters: how many numbers the vectors have.
        update_norm: ‖g‖ of the trainer's route. direction_norm: ‖Δs‖; of the slope for graded rewards.
        error: ‖g − gain · direction‖ / ‖g‖; absolute where g = 0. What Ā · s̄ adds where ΣA ≠ 0 is no error.
    """

    dial: Dial
    rewards: Floats
    gain: float
    parameters: int
    update_norm: float
    direction_norm: float
    error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "dial": name_of(self.dial),
            "rewards": self.rewards.tolist(),
            "gain": self.gain,
            "parameters": self.parameters,
            "update_norm": self.update_norm,
            "direction_norm": self.direction_norm,
            "error": self.error,
        }


def groups(
    model: Any, tokenizer: Any, rows: Sequence[Row], G: int, generator: torch.Generator, *, most: int | None = None
) -> list[Group]:
    """The mixed groups among G sampled answers to each row, in the order of the rows; the first `most` of them."""
    found = []
    for row, answers in zip(rows, sample(model, tokenizer, rows, G, generator), strict=True):
        earned = rewards(tokenizer, row, answers)
        if not is_silent(earned):
            found.append(Group(row["prompt"], tokenizer(row["prompt"])["input_ids"], answers, earned))
    return found[:most]


@one_thread()
def theorem(
    model: Any,
    group: Group,
    dials: Sequence[Dial] = (GRPO, DR_GRPO, MAXRL, LOGIT),
    *,
    dtype: torch.dtype = torch.float64,
) -> list[Comparison]:
    """Theorem 1 on a real group, over all parameters, for each dial; the model is left as it is.

    Args:
        model: any causal language model whose parameters take part; G gradients are held at once.
        dtype: in which both routes compute; scores are put together in float64.
    Source: arXiv 2607.00152, Theorem 1.
    """
    net = _in(dtype, model)
    scored = scores(net, group)
    found = []
    for dial in dials:
        told = identity(scored, group.rewards, dial)
        g = update(net, group, dial)
        off = float(np.linalg.norm(g - told.gain * told.direction - told.remainder))
        size = float(np.linalg.norm(g))
        direction = float(np.linalg.norm(told.direction))
        error = off / size if size else off
        found.append(Comparison(dial, group.rewards, told.gain, len(g), size, direction, error))
    return found


def by_precision(model: Any, chosen: Sequence[Group], dials: Sequence[Dial]) -> dict[str, list[dict[str, Any]]]:
    """`theorem` on each group, as plain data, in float64 and in float32."""
    kinds = {name: getattr(torch, name) for name in EXACT}
    return {
        name: [found.to_dict() for group in chosen for found in theorem(model, group, dials, dtype=dtype)]
        for name, dtype in kinds.items()
    }


def scores(model: Any, group: Group) -> Floats:
    """sᵢ = ∇θ log π(yᵢ|x) of each answer, one backward pass each, float64 [G, parameters]."""
    return np.stack([_gradient(model, _log_likelihoods(model, group, [i]).sum()) for i in range(len(group.answers))])


def update(model: Any, group: Group, dial: Dial = GRPO) -> Floats:
    """g as a trainer computes it: minus the gradient of −(1/G) Σ Aᵢ log π(yᵢ|x), one backward pass."""
    likelihoods = _log_likelihoods(model, group, range(len(group.answers)))
    weights = torch.as_tensor(advantages(group.rewards, dial), dtype=likelihoods.dtype, device=likelihoods.device)
    return -_gradient(model, -(weights * likelihoods).mean())


def _in(dtype: torch.dtype, model: Any) -> Any:
    """A copy that computes in `dtype` throughout: transformers takes the root mean square in float32 whatever it is.

    So it does with the softmax of "eager" attention, which a model of bfloat16 has.
    """
    net = deepcopy(model).to(dtype).eval()
    if wanted(model) != FLOAT32:
        net.set_attn_implementation("sdpa")
    for layer in net.modules():
        if hasattr(layer, "variance_epsilon"):
            shape, eps = layer.weight.shape, layer.variance_epsilon
            layer.forward = partial(rms_norm, normalized_shape=shape, weight=layer.weight, eps=eps)
    return net


def _gradient(model: Any, value: Tensor) -> Floats:
    gradients = torch.autograd.grad(value, list(model.parameters()))
    return torch.cat([g.flatten() for g in gradients]).double().cpu().numpy()


def _log_likelihoods(model: Any, group: Group, which: Sequence[int]) -> Tensor:
    """log π(yᵢ|x) of some answers of a group, in one batch: the sum over an answer's tokens."""
    start, answers = len(group.prompt_ids), [group.answers[i] for i in which]
    width = max(map(len, answers))
    # Padded on the right, behind all that counts.
    device = place(model)
    ids = torch.tensor([group.prompt_ids + answer + [0] * (width - len(answer)) for answer in answers], device=device)
    counts = torch.tensor([[at < len(answer) for at in range(width)] for answer in answers], device=device)
    logs = torch.log_softmax(model(input_ids=ids).logits[:, start - 1 : -1], -1)
    return (logs.gather(-1, ids[:, start:, None])[..., 0] * counts).sum(1)
