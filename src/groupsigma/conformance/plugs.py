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


def skyrl() -> Plug:
    """The estimator that SkyRL's registry holds, through the trainer's method for step-wise trajectories."""
    from types import SimpleNamespace

    from skyrl.backends.skyrl_train.training_batch import TrainingInputBatch
    from skyrl.train.trainer import RayPPOTrainer

    from groupsigma.presets import name_of
    from groupsigma.trainers.named import estimator_name
    from groupsigma.trainers.skyrl import Config

    def plug(rewards: Any, ids: Sequence[str], dial: Dial, sessions: Sequence[int] | None, weight: str) -> Any:
        own = range(len(ids)) if sessions is None else sessions
        order = sorted(range(len(ids)), key=lambda i: (ids[i], own[i], i))  # SkyRL's: a trajectory's steps in a row
        pairs = [(ids[i], own[i]) for i in order]
        last = [i + 1 == len(pairs) or pairs[i] != pairs[i + 1] for i in range(len(pairs))]
        tokens = torch.zeros(len(rewards), 3, dtype=rewards.dtype)
        tokens[:, 1] = rewards[order]
        mask = torch.tensor([[1, 1, 0]]).expand(len(rewards), 3).contiguous()
        batch = TrainingInputBatch({"rewards": tokens, "response_mask": mask, "values": None})
        batch.metadata = {"uids": [ids[i] for i in order], "is_last_step": last, "avg_response_length": 2.0}
        config = Config.from_cli_overrides(
            [
                f"trainer.algorithm.advantage_estimator={estimator_name(name_of(dial))}",
                f"trainer.algorithm.groupsigma.weight={weight}",
                "generator.step_wise_trajectories=true",
            ]
        )
        held = SimpleNamespace(cfg=config, all_metrics={})
        out = RayPPOTrainer.compute_advantages_and_returns(held, batch)["advantages"]
        if (out[:, 2:] != 0).any() or not torch.equal(out[:, 0], out[:, 1]):
            raise AssertionError("an advantage belongs to the tokens under the mask and to no other")
        back = torch.empty_like(rewards)
        back[order] = out[:, 0]
        return back

    return plug


def slime() -> Plug:
    """The function of slime's --custom-reward-post-process-path, on its samples."""
    from argparse import Namespace

    from slime.utils.types import Sample

    from groupsigma.presets import name_of
    from groupsigma.trainers.slime import advantages

    def plug(rewards: Any, ids: Sequence[str], dial: Dial, sessions: Sequence[int] | None, weight: str) -> Any:
        own = range(len(ids)) if sessions is None else sessions
        samples = [
            Sample(group_index=group, reward=reward, rollout_id=session)
            for group, reward, session in zip(ids, rewards.tolist(), own, strict=True)
        ]
        flags = Namespace(reward_key=None, groupsigma_dial=name_of(dial), groupsigma_weight=weight)
        return torch.tensor(advantages(flags, samples)[1], dtype=rewards.dtype)

    return plug
