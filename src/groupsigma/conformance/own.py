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
from importlib.util import find_spec
from pathlib import Path
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


def skyrl() -> Mapping[str, Own]:
    """SkyRL's own dispatch, estimators grpo and rloo."""
    import_module("skyrl.backends.skyrl_train.utils.ppo_utils")

    def through(estimator: str, **given: Any) -> Own:
        return lambda rewards, ids: skyrl_batch(rewards, ids, estimator, **given)

    return {
        "skyrl": through("grpo"),
        "skyrl-dr-grpo": through("grpo", grpo_norm_by_std=False),
        "skyrl-rloo": through("rloo"),
    }  # its maxrl divides by μ + 1e-6, which no Dial says: tests/test_trainer_skyrl.py


def skyrl_batch(rewards: Any, ids: Sequence[str], estimator: str, **given: Any) -> Any:
    """The same with an estimator by SkyRL's name."""
    import numpy as np
    from skyrl.backends.skyrl_train.utils.ppo_utils import compute_advantages_and_returns

    return compute_advantages_and_returns(
        token_level_rewards=rewards[:, None].clone(),
        response_mask=torch.ones(len(rewards), 1),
        index=np.array(ids, dtype=object),
        adv_estimator=estimator,
        config=None,
        **given,
    )[0][:, 0]


def slime() -> Mapping[str, Own]:
    """slime's reward post-processing, group by group."""
    source_of("slime", *_SLIME, {})

    def through(divides: bool) -> Own:
        return group_by_group(lambda r: slime_batch(r, len(r), 1, divides))

    return {"slime": through(True), "slime-dr-grpo": through(False)}


def slime_batch(rewards: Any, size: int, prompts: int, divides: bool = True) -> Any:
    """The same over a batch that should hold so many prompts of `size` answers; a method of a module of SGLang's."""
    method = source_of("slime", *_SLIME, {"torch": torch})
    flags = SimpleNamespace(
        advantage_estimator="grpo", rewards_normalization=True, grpo_std_normalization=divides,
        n_samples_per_prompt=size, rollout_batch_size=prompts,
    )  # fmt: skip
    samples = [SimpleNamespace(get_reward_value=lambda _, reward=reward: reward) for reward in rewards.tolist()]
    held = SimpleNamespace(custom_reward_post_process_func=None, args=flags)
    return torch.tensor(method(held, samples)[1])


_SLIME = ("ray/rollout.py", "_post_process_rewards")


def tinker() -> Mapping[str, Own]:
    """tinker-cookbook's `compute_advantages`."""
    from tinker_cookbook.rl.data_processing import compute_advantages
    from tinker_cookbook.rl.types import Trajectory, TrajectoryGroup

    def rule(r: Any) -> Any:
        trajectories = [Trajectory([], None) for _ in r]
        return compute_advantages([TrajectoryGroup(trajectories, r.tolist(), [{} for _ in r])])[0]

    return {"tinker": group_by_group(rule)}


def areal() -> Mapping[str, Own]:
    """AReaL's `Normalization` over one group."""
    import_module("areal.utils.data")
    return {"areal": group_by_group(lambda r: areal_batch(r, len(r)))}


def areal_batch(rewards: Any, size: int) -> Any:
    """The same over a batch, `size` answers in a row a group."""
    from areal.api.cli_args import NormConfig
    from areal.utils.data import Normalization

    return Normalization(NormConfig(mean_level="group", std_level="group", group_size=size))(rewards)


def roll() -> Mapping[str, Own]:
    """ROLL's `reward_norm` over one group."""
    from roll.utils.functionals import reward_norm

    def rule(r: Any) -> Any:
        return reward_norm(r, n_sample=len(r), norm_mean_type="group", norm_std_type="group")

    return {"roll": group_by_group(rule)}


def ms_swift() -> Mapping[str, Own]:
    """ms-swift's `compute_advantages` over one group."""
    from swift.rl_core.advantage import compute_advantages

    def through(estimator: str, scale: str) -> Own:
        def rule(r: Any) -> Any:
            return compute_advantages(
                r[:, None], torch.ones(1), len(r), advantage_estimator=estimator, scale_rewards=scale
            )[0]

        return group_by_group(rule)

    return {"ms-swift": through("grpo", "group"), "ms-swift-rloo": through("rloo", "none")}


def source_of(package: str, file: str, name: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """A function of an installed trainer by its source, with the names that it uses; the module around it is not run.

    Raises: ImportError where the trainer is not installed, or its version has the function somewhere else.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"No module named {package!r}", name=package)
    path = Path(next(iter(spec.submodule_search_locations))) / file
    if not path.is_file():
        raise ImportError(f"{package} has no {file}", name=package)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            node.decorator_list, node.returns = [], None
            for argument in node.args.args:
                argument.annotation = None
            scope = dict(names)
            exec(compile(ast.Module([node], []), str(path), "exec"), scope)
            return scope[name]
    raise ImportError(f"{name} is not in {package}'s {file}", name=package)


def run_lines(method: Any, names: dict[str, Any], first: str, last: str) -> dict[str, Any]:
    """Run the statements of a function's body from the one that begins with `first` to the one with `last`."""
    body = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0].body  # type: ignore[attr-defined]
    begins = [ast.unparse(statement) for statement in body]
    start = next(i for i, text in enumerate(begins) if text.startswith(first))
    end = next(i for i, text in enumerate(begins) if i >= start and text.startswith(last))
    scope = dict(names)
    exec(compile(ast.Module(body[start : end + 1], []), inspect.getfile(method), "exec"), scope)
    return scope
