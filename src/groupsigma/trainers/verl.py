"""The dial in verl: installed beside verl ≥ 0.9 it is there, no user code.

    algorithm.adv_estimator=groupsigma_dr_grpo                    # any name of `groupsigma dials`, - and @ as _
    algorithm.adv_estimator=groupsigma +algorithm.groupsigma.power=0.5

verl loads this module through its entry point group `verl.plugins`, in each of its processes. Groups are those of
verl's uid, a session of several rows counts once, and the `group/…` metrics go to verl's logger with the rest of the
step. `python -m groupsigma.trainers.verl` says whether verl sees it. Written against verl 0.9.1.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from groupsigma.dial import Dial
from groupsigma.errors import ArgumentError
from groupsigma.metrics import group_metrics
from groupsigma.presets import DIALS
from groupsigma.trainers import versions
from groupsigma.trainers.late import when_imported
from groupsigma.trainers.named import asked as named_dial
from groupsigma.trainers.named import estimator_name
from groupsigma.trainers.tokens import Weight, answer_rewards, last_rows, row_advantages, to_tokens

try:
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, register_adv_est
except ImportError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f"verl is not here, or does not import: {error}")

#: The version this adapter was tested with.
TESTED = "0.9.1"
WHO = "groupsigma in verl"


def asked(config: Mapping[str, Any] | None, named: Dial | None = None) -> tuple[Dial, Weight]:
    """The dial and the weight that verl's `algorithm` config asks for.

    Args:
        config: verl's; its `groupsigma` holds `dial` (a name), the fields of a Dial, and `weight`. Without a name
            the dial is verl's own grpo, as `norm_adv_by_std_in_grpo` says, with silent groups at 0.
        named: the dial of an estimator that has one in its name; only `weight` is read then.

    Raises: ArgumentError for other keys, and for a dial given twice.

    >>> asked({"groupsigma": {"dial": "grpo", "power": 0.5}})
    (Dial: (R − μ) / σ^0.5, 'equal')
    """
    divides = config is None or config.get("norm_adv_by_std_in_grpo", True)
    return named_dial(
        config.get("groupsigma") if config is not None else None,
        otherwise="verl" if divides else "verl-dr-grpo",
        who=WHO,
        where="algorithm.groupsigma",
        named=named,
    )


@dataclass
class Step:
    """What the trainer knows of a batch and an estimator is not told, and what the estimator found.

    Attributes: keys: verl's, `{uid}_{session}_{turn}`, a row each. padding: rows that only fill the batch up.
    """

    keys: Sequence[str]
    padding: Sequence[bool]
    found: dict[str, float] = field(default_factory=dict)

    def sessions(self) -> tuple[list[str], list[int]] | tuple[None, None]:
        """(session, turn) of each row; (None, None) where no session has two rows."""
        split = [key.rsplit("_", 1) for key in self.keys]
        names = [session for session, _ in split]
        if len(set(names)) == len(names):
            return None, None
        return names, [int(turn) for _, turn in split]


_STEP: ContextVar[Step | None] = ContextVar("step", default=None)


@contextmanager
def known(step: Step) -> Iterator[Step]:
    """While verl computes the advantages of a batch, its estimator knows of the step."""
    token = _STEP.set(step)
    try:
        yield step
    finally:
        _STEP.reset(token)


def estimator(named: Dial | None = None) -> Callable[..., Any]:
    """An advantage estimator as verl calls it; `named` is its dial, None: the config's."""

    def estimate(
        token_level_rewards: Any, response_mask: Any, index: Any = None, config: Any = None, **_: Any
    ) -> tuple[Any, Any]:
        dial, weight = asked(config, named)
        if index is None:
            raise ArgumentError(WHO, "the uid of each answer", "a batch without", hint="verl's dataset makes them")
        step = _STEP.get()
        sessions, turns = (None, None) if step is None else step.sessions()
        rewards = answer_rewards(token_level_rewards, response_mask)
        advantages = row_advantages(rewards, index, dial, sessions=sessions, turns=turns, weight=weight)
        if step is not None:
            step.found.update(_metrics(rewards, index, step, sessions, turns))
        spread = to_tokens(advantages, response_mask)
        return spread, spread

    return estimate


def _metrics(rewards: Any, index: Any, step: Step, sessions: Any, turns: Any) -> dict[str, float]:
    rows = np.arange(len(rewards)) if sessions is None else last_rows(index, sessions, turns)[0]
    rows = rows[~np.asarray(step.padding, dtype=bool)[rows]]
    return group_metrics(rewards.float().cpu().numpy()[rows], np.asarray(index, dtype=object)[rows])


def told(trainers: ModuleType) -> None:
    """Give the estimator what verl's trainer knows of sessions, and the trainer's log what the estimator found."""
    own = trainers.PPOTrainer._compute_advantage

    @functools.wraps(own)
    def compute(self: Any, batch: Any, metrics: dict[str, Any]) -> Any:
        with known(Step(batch.keys, [tag.get("is_padding", False) for tag in batch.tags])) as step:
            batch = own(self, batch, metrics)
        for name, value in step.found.items():
            metrics.setdefault(name, value)  # the sampler has seen the silent groups too
        return batch

    trainers.PPOTrainer._compute_advantage = compute


def register() -> None:
    """Make the estimators known to verl."""
    versions.tested("verl", TESTED)
    register_adv_est("groupsigma")(estimator())
    for name, dial in DIALS.items():
        register_adv_est(estimator_name(name))(estimator(dial))
    when_imported("verl.trainer.ppo.v1.trainer_base", told)


def report() -> int:
    """Print whether verl sees the plug-in, and why not; 0 if it does."""
    import verl

    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto")
    names = [name for name in ADV_ESTIMATOR_REGISTRY if name.startswith("groupsigma")]
    print(f"verl {verl.__version__}, tested with {TESTED}")
    if names:
        print(f"verl sees groupsigma: {len(names)} estimators\n  {', '.join(names)}")
        return 0
    print("verl does not see groupsigma")
    if policy != "auto" and "groupsigma" not in policy.split(","):
        print(f"hint: VERL_USE_EXTERNAL_PLUGINS is {policy!r}; unset it, or add groupsigma")
        return 1
    try:
        import_module("groupsigma.trainers.verl")  # what verl tried, whose error it keeps to itself
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print("hint: verl before 0.9 has no plug-ins; set VERL_USE_EXTERNAL_MODULES=groupsigma.trainers.verl")
    return 1


if __name__ == "__main__":
    sys.exit(report())
register()
