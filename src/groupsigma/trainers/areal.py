"""AReaL's dynamic filter by its dotted path; written against and tested with AReaL 1.0.4.

    trainer.train(workflow=…, dynamic_filter_fn="groupsigma.trainers.areal.keep_mixed")

AReaL calls it once a prompt, with the trajectories of its group padded to one dict of tensors, and draws anew what it
refuses. There is no registry for the advantage: AReaL's own rule is the preset "areal".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from groupsigma.errors import ArgumentError
from groupsigma.sigma import is_silent
from groupsigma.trainers import versions

#: The version this adapter was tested with.
TESTED = "1.0.4"
versions.tested("areal", TESTED)


def keep_mixed(trajectory: dict[str, Any]) -> bool:
    """Whether a group teaches: not `is_silent` on its "rewards" [G].

    >>> import torch
    >>> keep_mixed({"rewards": torch.tensor([1.0, 0.0])}), keep_mixed({"rewards": torch.tensor([0.1] * 8)})
    (True, False)
    """
    return not is_silent(_rewards(trajectory))


def keep_whole(size: int) -> Callable[[dict[str, Any]], bool]:
    """A filter that also refuses a group which lost answers: `dynamic_filter_fn=keep_whole(config.gconfig.n_samples)`.

    AReaL 1.0.4 finds groups by position, so one short group shifts all that come after it, and a last one gets
    reward/eps (its issue 1419).
    """

    def keep(trajectory: dict[str, Any]) -> bool:
        return len(_rewards(trajectory)) == size and keep_mixed(trajectory)

    return keep


def _rewards(trajectory: dict[str, Any]) -> Any:
    rewards = trajectory.get("rewards")
    if rewards is None or not hasattr(rewards, "detach"):
        got = f"keys {', '.join(sorted(trajectory))}"
        raise ArgumentError("groupsigma in AReaL", 'a tensor "rewards" in the trajectory', got)
    return rewards.detach().float().cpu().numpy().reshape(-1)
