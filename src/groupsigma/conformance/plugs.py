"""Our adapters, called on rewards as their trainers call them; each function imports its adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from groupsigma.dial import Dial

#: Rewards [N], group ids [N], dial, sessions [N] or None, weight -> advantages [N].
Plug = Callable[[Any, Sequence[str], Dial, Sequence[int] | None, str], Any]


def verl() -> Plug:
    """The estimator that verl's registry holds, with what its trainer's step lets it know."""
    import numpy as np

    from groupsigma.trainers.verl import Step, estimator, known

    def plug(rewards: Any, ids: Sequence[str], dial: Dial, sessions: Sequence[int] | None, weight: str) -> Any:
        tokens = torch.zeros(len(rewards), 3, dtype=rewards.dtype, device=rewards.device)
        tokens[:, 1] = rewards
        mask = torch.tensor([[1, 1, 0]], device=rewards.device).expand(len(rewards), 3)
        keys = [f"{ids[i]}_{i if sessions is None else sessions[i]}_{i}" for i in range(len(ids))]
        config = {"groupsigma": {"weight": weight}}
        with known(Step(keys, [False] * len(keys))):
            out, _ = estimator(dial)(
                token_level_rewards=tokens, response_mask=mask, index=np.array(ids, dtype=object), config=config
            )
        if (out[:, 2:] != 0).any() or not torch.equal(out[:, 0], out[:, 1]):
            raise AssertionError("an advantage belongs to the tokens under the mask and to no other")
        return out[:, 0]

    return plug
