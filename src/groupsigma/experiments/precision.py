"""Where a language model computes, and in what precision: float32 on the CPU, or bfloat16 on a GPU.

A model says so itself: `config.autocast`, kept with its weights. Without it nothing is changed, wherever it is. With
"bfloat16" its matrix products are in bfloat16, in teaching, drawing and training alike, so that what is drawn from and
what is trained is one policy; weights, Adam's state, the sums between layers, logits and log-probabilities are not.

The policy that is drawn from goes a token at a time through a cache, solve rates are one pass over whole answers: the
same function, summed in another order. With "eager" attention, the same products for both, log p differs by .00001
(standard deviation; .0002 at most; half a million parameters on a CPU), where fused kernels differ by .001. So an
"exact" solve rate is free of sampling error, and exact to that. It is the bfloat16 policy's: float32's is .01 away in
log p. On a GPU the smoke test of `lm_scale` says how far draws and solve rates are apart.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor

#: What `Setting.dtype` and a model's `config.autocast` may say.
FLOAT32, BFLOAT16 = "float32", "bfloat16"


class _Head(torch.nn.Linear):
    """The last layer, in its weights' precision whatever the layers below compute in."""

    def forward(self, input: Tensor) -> Tensor:
        """Logits [..., letters]."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


def settled(model: Any) -> Any:
    """The model, ready where it computes: in bfloat16 on the GPU if there is one."""
    if wanted(model) == FLOAT32:
        return model
    # Not a layer of its own: its weights are those of the embedding, and stay tied.
    model.lm_head.__class__ = _Head
    # One way for whole answers and for one token: fused kernels differ between the two, and by what is padded.
    model.set_attn_implementation("eager")
    return model.to("cuda") if torch.cuda.is_available() else model


def wanted(model: Any) -> str:
    """FLOAT32 or BFLOAT16."""
    return str(getattr(model.config, "autocast", FLOAT32))


def autocast(model: Any) -> torch.autocast:
    """The context of a forward pass; for as many passes as share their weights, which are cast once in it."""
    return torch.autocast(place(model).type, torch.bfloat16, enabled=wanted(model) == BFLOAT16)


def place(model: Any) -> torch.device:
    """Where its weights are."""
    return next(iter(model.parameters())).device


def machine() -> dict[str, str]:
    """What a model of bfloat16 runs on here: the device's name, and torch's version."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"device": device, "torch": torch.__version__}
