"""Trainers' own code, called on rewards; each function imports its trainer, and fails where that is not installed.

Where a trainer computes advantages inside a method that needs a model, the lines of the installed package that do it
are taken out and run ("own lines"): its text, not ours, so it moves with its version.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch

from groupsigma.conformance.formulas import FORMULAS, Formula

#: Rewards [N] and group ids [N] -> advantages [N].
Own = Callable[[Any, Sequence[str]], Any]


def group_by_group(rule: Formula) -> Own:
    """A rule for one group, used on each of a batch."""

    def every(rewards: Any, ids: Sequence[str]) -> Any:
        out = torch.empty_like(rewards)
        for name in dict.fromkeys(ids):
            rows = torch.tensor([i for i, other in enumerate(ids) if other == name])
            out[rows] = rule(rewards[rows])
        return out

    return every


def restated(*presets: str, inside: str = "float32") -> Mapping[str, Own]:
    """The formulas, in the precision that the trainer computes in: for a trainer that cannot run here."""

    def cast(rule: Formula) -> Formula:
        return lambda r: rule(r.to(getattr(torch, inside))).to(r.dtype)

    return {name: group_by_group(cast(FORMULAS[name])) for name in presets if name in FORMULAS}


def verl() -> Mapping[str, Own]:
    """verl's own `compute_advantage`, estimators grpo and rloo."""
    import numpy as np
    from verl import DataProto
    from verl.trainer.ppo.ray_trainer import compute_advantage

    def through(estimator: str, **given: Any) -> Own:
        def own(rewards: Any, ids: Sequence[str]) -> Any:
            data = DataProto.from_dict(
                tensors={
                    "token_level_rewards": rewards[:, None].clone(),
                    "response_mask": torch.ones(len(rewards), 1, dtype=torch.int64),
                },
                non_tensors={"uid": np.array(ids, dtype=object)},
            )
            return compute_advantage(data, adv_estimator=estimator, config={}, **given).batch["advantages"][:, 0]

        return own

    grpo = through("grpo")
    return {
        "verl": grpo,
        "verl-dr-grpo": through("grpo", norm_adv_by_std_in_grpo=False),
        "verl-rloo": through("rloo"),
        "verl-dapo": grpo,
    }


def trl() -> Mapping[str, Own]:
    """The lines of TRL's GRPOTrainer and RLOOTrainer between rewards and advantages."""
    import_module("trl")
    return {
        "trl": group_by_group(lambda r: trl_lines(r, "group")["advantages"]),
        "trl-none": group_by_group(lambda r: trl_lines(r, "none")["advantages"]),
        "trl-rloo": group_by_group(lambda r: trl_lines(r, "none", "RLOOTrainer")["advantages"]),
    }


def trl_lines(rewards: Any, scale: str, trainer: str = "GRPOTrainer", generations: int | None = None) -> dict[str, Any]:
    """TRL's variables after its lines on these rewards; `advantages` and `is_std_zero` among them."""
    import trl
    from trl.trainer.utils import nanstd

    fake = SimpleNamespace(
        multi_objective_aggregation="sum_then_normalize", scale_rewards=scale, normalize_advantages=False,
        reward_clip_range=None, beta=0.0, reward_weights=torch.ones(1), reward_funcs=[None],
    )  # fmt: skip
    names = dict(
        torch=torch, nanstd=nanstd, self=fake, device=rewards.device,
        rewards_per_func=rewards[:, None], num_generations=generations or len(rewards),
    )  # fmt: skip
    method = getattr(trl, trainer)._generate_and_score_completions
    return run_lines(method, names, first="unscorable_mask", last="advantages = torch.nan_to_num")


def run_lines(method: Any, names: dict[str, Any], first: str, last: str) -> dict[str, Any]:
    """Run the statements of a function's body from the one that begins with `first` to the one with `last`."""
    body = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0].body  # type: ignore[attr-defined]
    begins = [ast.unparse(statement) for statement in body]
    start = next(i for i, text in enumerate(begins) if text.startswith(first))
    end = next(i for i, text in enumerate(begins) if i >= start and text.startswith(last))
    scope = dict(names)
    exec(compile(ast.Module(body[start : end + 1], []), inspect.getfile(method), "exec"), scope)
    return scope
