"""The dial in ms-swift, by a plug-in file of two lines; written against and tested with ms-swift 4.6.0.

    # plugin.py, for swift rlhf --rlhf_type grpo … --external_plugins plugin.py
    from groupsigma.trainers import ms_swift
    ms_swift.use()                      # or use(find_dial("maxrl"))

ms-swift has no registry for the advantage. Its backends call `compute_advantages` by its name in their module, so that
name is what `use` replaces. With it come one word for silent in --dynamic_sample, and group/silent and the like in the
log of its trainer. What no Dial says (gdpo; reinforce_plus_plus over the batch) stays ms-swift's own.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from swift.rl_core import advantage
from swift.rlhf_trainers import grpo_trainer

from groupsigma import arrays
from groupsigma.dial import DR_GRPO, RLOO, Dial, expect_dial
from groupsigma.metrics import Scored
from groupsigma.presets import DIALS
from groupsigma.trainers import versions
from groupsigma.trainers.tokens import Weight, last_rows, row_advantages

#: The version this adapter was tested with.
TESTED = "4.6.0"

#: (--advantage_estimator, --scale_rewards) -> the dial they say, on groups of one size.
SAID = {
    ("grpo", "group"): DIALS["ms-swift"],
    ("grpo", "none"): DR_GRPO,
    ("grpo", "batch"): Dial(spread="batch", ddof=1, eps=1e-4),
    ("rloo", "group"): Dial(center="loo", ddof=1, eps=1e-4),
    ("rloo", "none"): RLOO,
    ("rloo", "batch"): Dial(center="loo", spread="batch", ddof=1, eps=1e-4),
    ("reinforce_plus_plus", "group"): DIALS["ms-swift"],
    ("reinforce_plus_plus", "none"): DR_GRPO,
}

_Trainer = grpo_trainer.GRPOTrainer
_FUNCTIONS = {name: getattr(advantage, name) for name in ("compute_advantages", "compute_advantages_dynamic")}
_STD, _ADVANTAGES = _Trainer.compute_std, _Trainer._compute_advantages


def use(dial: Dial | None = None, *, weight: Weight = "equal") -> None:
    """Let ms-swift compute its advantages under a dial; again to change it.

    Args: dial: None: what --advantage_estimator and --scale_rewards say. weight: as for `advantages_by_prompt`.
    """
    versions.tested("ms-swift", TESTED)
    if dial is not None:
        expect_dial("ms_swift.use", dial)
    backends = ("swift.megatron.trainers.grpo_trainer", "swift.ray.megatron.grpo_trainer")
    modules = [advantage, grpo_trainer, *(sys.modules[name] for name in backends if name in sys.modules)]
    for name, own in _FUNCTIONS.items():
        for module in modules:
            if hasattr(module, name):
                setattr(module, name, _under(own, dial, weight))
    _Trainer.compute_std, _Trainer._compute_advantages = _spread, _told


def _under(own: Callable[..., Any], dial: Dial | None, weight: Weight) -> Callable[..., Any]:
    """One of ms-swift's two functions under a dial: (advantages [N], rewards [N])."""
    signature = inspect.signature(own)

    @functools.wraps(own)
    def compute(*args: Any, **given: Any) -> tuple[Any, Any]:
        bound = signature.bind(*args, **given)
        bound.apply_defaults()
        asked = bound.arguments
        stock, rewards = own(*args, **given)
        rule = dial or SAID.get((asked["advantage_estimator"], asked["scale_rewards"]))
        if rule is None:
            return stock, rewards
        sessions = asked.get("request_ids")
        index = np.arange(len(rewards)) // asked["num_generations"] if sessions is None else asked["prompt_ids"]
        scores = _scores(rewards, asked["rewards_per_func"])
        return row_advantages(scores, index, rule, sessions=sessions, weight=weight), rewards

    return compute


def _spread(self: Any, samples: Any, rewards_per_func: Any) -> Any:
    """ms-swift's `compute_std` [N], which --dynamic_sample holds against 0: 0 in silent groups."""
    scored, back = _scored(self, samples, rewards_per_func)
    std = _STD(self, samples, rewards_per_func)
    return std * std.new_tensor(~scored.silent[back])


def _told(self: Any, samples: Any, rewards_per_func: Any, batches: Any) -> Any:
    """ms-swift's `_compute_advantages`, which also logs the groups."""
    scored, _ = _scored(self, samples, rewards_per_func)
    mode = "train" if self.model.training else "eval"
    for name, value in scored.metrics().items():
        self._metrics[mode][name].append(value)
    return _ADVANTAGES(self, samples, rewards_per_func, batches)


def _scored(self: Any, samples: Any, rewards_per_func: Any) -> tuple[Scored, Any]:
    """(the groups of all processes, the group of each row); a request of several rows is one answer."""
    weighted = (rewards_per_func * self.reward_weights.unsqueeze(0)).nansum(dim=1)
    rewards = _scores(weighted, rewards_per_func).float().cpu().numpy()
    if self.dynamic_num_samples:
        codes, prompts = arrays.factorize(gather_object([sample.prompt_id for sample in samples]))
        rows, _ = last_rows(codes, gather_object([sample.request_id for sample in samples]))
        return Scored.of(rewards[rows], codes[rows], len(prompts)), codes
    size = self.num_generations if self.model.training else self.num_generations_eval
    codes = np.arange(len(rewards)) // size
    return Scored.of(rewards, codes, int(codes[-1]) + 1), codes


def _scores(rewards: Any, rewards_per_func: Any) -> Any:
    """NaN where no function scored an answer; ms-swift makes 0 of it."""
    return rewards.masked_fill(rewards_per_func.isnan().all(dim=1), float("nan"))
