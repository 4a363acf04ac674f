"""The dial and a plan in tinker-cookbook; written against and tested with tinker-cookbook 0.6.1.

    from groupsigma.trainers.tinker import Planned, dialled

    with dialled(find_dial("maxrl")):        # around its own training
        asyncio.run(tinker_cookbook.rl.train.main(config))

The cookbook has no registry: `train` calls `compute_advantages` by its name in the module, so that name is what is
replaced, for as long as the block lasts. In a loop of your own (`recipes/rl_loop.py`) call `advantages` instead.
How many answers a prompt gets is native: an `EnvGroupBuilder` makes the environments of its group. `Planned` is a data
set whose groups have the sizes of a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from tinker_cookbook.rl import data_processing, metric_util, rollouts, train
from tinker_cookbook.rl.types import RLDataset

from groupsigma.dial import DR_GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.metrics import group_metrics
from groupsigma.sigma import is_silent
from groupsigma.trainers import versions
from groupsigma.trainers.tokens import Weight, row_advantages

#: The version this adapter was tested with.
TESTED = "0.6.1"
versions.tested("tinker-cookbook", TESTED)


def advantages(groups: Sequence[Any], dial: Dial = DR_GRPO, *, weight: Weight = "equal") -> list[torch.Tensor]:
    """`compute_advantages` under a dial: a float32 tensor [G] for each trajectory group; G may differ.

    The cookbook's own rule is `DR_GRPO` with weight="proportional". Its losses are sums over tokens: under "equal"
    a prompt with more answers than the others does not count more.
    """
    rewards, owner = _rows(groups)
    told = row_advantages(torch.tensor(rewards, dtype=torch.float64), owner, dial, weight=weight).float()
    return list(torch.split(told, [len(group.trajectories_G) for group in groups]))


def metrics(groups: Sequence[Any]) -> dict[str, float]:
    """`group_metrics` of trajectory groups: what to hand to ml_logger.log_metrics."""
    return group_metrics(*_rows(groups))


@contextmanager
def dialled(dial: Dial = DR_GRPO, *, weight: Weight = "equal") -> Iterator[None]:
    """Within the block the cookbook's training uses the dial, and one word for silent in its filter and its metrics.

    Its `all_same` compares floats for equality, which 0.1 + 0.2 and 0.3 are not; here it is `is_silent`.
    """
    expect_dial("dialled", dial)

    def compute_advantages(trajectory_groups_P: list[Any]) -> list[torch.Tensor]:
        return advantages(trajectory_groups_P, dial, weight=weight)

    def all_same(rewards: list[float]) -> bool:
        return not len(rewards) or bool(is_silent(rewards))

    places: list[tuple[Any, str, Callable[..., Any]]] = [(train, "compute_advantages", compute_advantages)]
    places += [(module, "all_same", all_same) for module in (train, rollouts, data_processing, metric_util)]
    before = [(module, name, getattr(module, name)) for module, name, _ in places]
    try:
        for module, name, function in places:
            setattr(module, name, function)
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


@dataclass
class Planned(RLDataset):
    """A data set of the cookbook whose groups have the sizes of a plan; prompts without tries are left out.

    Args:
        dataset: the cookbook's. tries: prompt ids → whole numbers, as for TRL's trainer: 0, or at least 2.
        prompt_id: the id of a builder.
        size: the field of a builder that is its group's size, as `ProblemGroupBuilder` has it.

    Raises: ArgumentError for other tries, and for builders without that field.
    """

    dataset: RLDataset
    tries: Callable[[list[Any]], Any]
    prompt_id: Callable[[Any], Any]
    size: str = "num_envs"

    def get_batch(self, index: int) -> list[Any]:
        """The builders of a batch, each with its size; called by the cookbook."""
        builders = list(self.dataset.get_batch(index))
        tries = _whole(self.tries([self.prompt_id(builder) for builder in builders]), len(builders))
        return [_sized(one, self.size, n) for one, n in zip(builders, tries, strict=True) if n]

    def __len__(self) -> int:
        return len(self.dataset)


def _rows(groups: Sequence[Any]) -> tuple[list[float], list[int]]:
    rewards = [group.get_total_rewards() for group in groups]
    return [r for one in rewards for r in one], [i for i, one in enumerate(rewards) for _ in one]


def _whole(given: Any, prompts: int) -> list[int]:
    tries = np.asarray(given)
    good = tries.shape == (prompts,) and tries.dtype.kind in "iuf" and (tries == np.floor(tries)).all()
    if not good or (tries < 0).any() or (tries == 1).any():
        hint = "one answer alone is silent"
        raise ArgumentError(
            "Planned", f"0 or at least 2 answers for each of {prompts} prompts", repr(given)[:80], hint=hint
        )
    return [int(n) for n in tries]


def _sized(builder: Any, size: str, n: int) -> Any:
    if not is_dataclass(builder) or size not in {field.name for field in fields(builder)}:
        hint = "size= names it; a builder without one decides in its make_envs"
        raise ArgumentError("Planned", f"builders with a field {size!r}", type(builder).__name__, hint=hint)
    return replace(builder, **{size: n})  # type: ignore[type-var]
