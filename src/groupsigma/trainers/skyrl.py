"""The dial in SkyRL: its own command with one argument more; written against and tested with SkyRL 0.4.0.

    python -m skyrl.train.entrypoints.main_base trainer.override_entrypoint=groupsigma.trainers.skyrl \\
        trainer.algorithm.advantage_estimator=groupsigma_dr_grpo …   # any name of `groupsigma dials`, - and @ as _
        trainer.algorithm.advantage_estimator=groupsigma trainer.algorithm.groupsigma.power=0.5

A main of your own: `import groupsigma.trainers.skyrl` before Ray starts, and `Config` in the place of SkyRLTrainConfig
where the dial comes from the config. Groups are SkyRL's uids; of a step-wise trajectory SkyRL hands over the last step.
"""

# No postponed annotations: SkyRL reads the types of its config's fields.
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import ray
from skyrl.backends.skyrl_train.utils.ppo_utils import AdvantageEstimatorRegistry
from skyrl.train.config import AlgorithmConfig, make_config

from groupsigma.dial import Dial
from groupsigma.presets import DIALS
from groupsigma.trainers import versions
from groupsigma.trainers.named import asked, estimator_name
from groupsigma.trainers.tokens import token_advantages

#: The version this adapter was tested with.
TESTED = "0.4.0"


@dataclass
class DialConfig:
    """`trainer.algorithm.groupsigma`: the name of a dial, any of its fields, and what a prompt weighs."""

    dial: str | None = None
    power: float | None = None
    tilt: float | None = None
    center: str | None = None
    spread: str | None = None
    ddof: int | None = None
    eps: float | None = None
    keep: str | None = None
    weight: str | None = None


@dataclass
class Algorithm(AlgorithmConfig):
    """SkyRL's `trainer.algorithm` with a dial."""

    groupsigma: DialConfig = field(default_factory=DialConfig)


#: SkyRL's config with a dial.
Config = make_config(algorithm_cls=Algorithm)


def estimate(
    token_level_rewards: Any,
    response_mask: Any,
    index: Any,
    grpo_norm_by_std: bool = True,
    config: Any = None,
    *,
    named: Dial | None = None,
    **_: Any,
) -> tuple[Any, Any]:
    """An advantage estimator as SkyRL calls it: twice the same [N, T].

    Without a dial it is SkyRL's own grpo, as `grpo_norm_by_std` says, with silent groups and groups of one at 0.
    """
    dial, weight = asked(
        asdict(config.groupsigma) if hasattr(config, "groupsigma") else None,
        otherwise="skyrl" if grpo_norm_by_std else "skyrl-dr-grpo",
        who="groupsigma in SkyRL",
        where="trainer.algorithm.groupsigma",
        named=named,
    )
    return token_advantages(token_level_rewards, response_mask, index, dial=dial, weight=weight)


def register() -> None:
    """Make `groupsigma` and one estimator a dial known to SkyRL; again is no harm."""
    versions.tested("skyrl", TESTED)
    estimators: dict[str, Callable[..., Any]] = {"groupsigma": estimate}
    estimators.update({estimator_name(name): partial(estimate, named=dial) for name, dial in DIALS.items()})
    known = set(AdvantageEstimatorRegistry.list_available())
    for name, function in estimators.items():
        if name not in known:
            AdvantageEstimatorRegistry.register(name, function)


register()


def main() -> None:
    """SkyRL's main with `Config`; what trainer.override_entrypoint calls."""
    from skyrl.train.entrypoints.main_base import skyrl_entrypoint, validate_cfg
    from skyrl.train.utils import initialize_ray

    config = Config.from_cli_overrides([a for a in sys.argv[1:] if not a.startswith("trainer.override_entrypoint=")])
    validate_cfg(config)
    initialize_ray(config)
    ray.get(skyrl_entrypoint.remote(config))
