"""What each trainer divides by what, restated as the trainer writes it: torch, in the dtype it is given, one group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

#: Rewards of one group [G] -> its advantages.
Formula = Callable[[Any], Any]


def divided(eps: float, ddof: int = 1) -> Formula:
    """(R − mean) / (std + eps)."""
    return lambda r: (r - r.mean()) / (r.std(correction=ddof) + eps)


def centred(r: Any) -> Any:
    """R − mean."""
    return r - r.mean()


def leave_one_out(r: Any) -> Any:
    """R − mean of the others."""
    return r - (r.sum() - r) / (len(r) - 1)


def by_mean(r: Any) -> Any:
    """(R − mean) / mean."""
    return (r - r.mean()) / r.mean()


def areal(r: Any) -> Any:
    """Mean and standard deviation in float64, each rounded to the rewards' precision before it is used."""
    mean = r.double().mean().to(r.dtype)
    std = ((r.double() - mean) ** 2).sum() / (len(r) - 1)
    return (r - mean) / (std.sqrt().to(r.dtype) + 1e-5)


def nemo(r: Any) -> Any:
    """Leave-one-out mean and standard deviation; divided only where the latter is positive."""
    out = torch.empty_like(r)
    for i in range(len(r)):
        others = torch.cat([r[:i], r[i + 1 :]])
        s = others.std() if len(others) > 1 else torch.tensor(0.0)
        a = r[i] - others.mean()
        out[i] = a / (s + 1e-6) if s > 0 else a
    return out


#: Preset -> formula; trl-batch is not here, since its scale is that of a whole batch.
FORMULAS: Mapping[str, Formula] = {
    "grpo": divided(0, 0),
    "dr-grpo": centred,
    "dapo": divided(0, 0),
    "rloo": leave_one_out,
    "maxrl": by_mean,
    "logit": lambda r: (r - r.mean()) / r.var(correction=0),
    "pass@4": lambda r: (r - r.mean()) * (1 - r.mean()) ** 3,
    "trl": divided(1e-4),
    "trl-none": centred,
    "trl-async": divided(1e-8, 0),
    "trl-rloo": leave_one_out,
    "verl": divided(1e-6),
    "verl-dr-grpo": centred,
    "verl-rloo": lambda r: len(r) / (len(r) - 1) * (r - r.mean()),
    "verl-dapo": divided(1e-6),
    "openrlhf": divided(1e-9),
    "openrlhf-dr-grpo": centred,
    "openrlhf-rloo": leave_one_out,
    "skyrl": divided(1e-6),
    "skyrl-dr-grpo": centred,
    "skyrl-rloo": leave_one_out,
    "skyrl-maxrl": by_mean,
    "prime-rl": centred,
    "prime-rl-maxrl": by_mean,
    "slime": lambda r: (c := centred(r)) / (c.std() + 1e-6),
    "slime-dr-grpo": centred,
    "nemo-rl": nemo,
    "nemo-rl-rloo": leave_one_out,
    "nemo-rl-dapo": divided(1e-6),
    "open-instruct": centred,
    "open-instruct-std": divided(1e-8, 0),
    "roll": divided(1e-6),
    "areal": areal,
    "oat": centred,
    "oat-grpo": divided(1e-8),
    "ms-swift": divided(1e-4),
    "ms-swift-rloo": leave_one_out,
    "tinker": centred,
    "unsloth": divided(1e-4),
}
