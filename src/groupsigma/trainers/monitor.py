"""Group metrics for people who can't change their trainer: a reward function that also tells TRL's log.

Needs no subclass and no import of TRL: TRL hands `log_metric` to every reward function (1.16; older versions that
do not are served without metrics).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from groupsigma import arrays, checks
from groupsigma.belief import Beliefs
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.metrics import Scored
from groupsigma.tracker import Tracker
from groupsigma.watch import Watch


def monitor(
    reward: Callable[..., Any],
    *,
    dial: Dial = GRPO,
    prompt_id: str = "prompt_id",
    history: Groups | Beliefs | None = None,
    watch: Watch | None = None,
) -> Callable[..., Any]:
    """The same reward function, which also logs the `group/…` metrics of what it judged.

    Groups are the rows of one prompt (one `prompt_id` where the data has that column) in this process's batch; with
    several processes a group that straddles two is seen as two smaller ones, and the shares are averaged.

    Args:
        reward: a TRL reward function, called with keywords; not a coroutine.
        dial: the rule whose gradient shares are logged. prompt_id, history, watch: as for `GRPOTrainer`.

    >>> judge = monitor(lambda prompts, completions, **_: [1.0, 0.0, 1.0, 1.0])
    >>> told = {}
    >>> judge(prompts=["a", "a", "b", "b"], completions=[""] * 4, log_metric=told.__setitem__)
    [1.0, 0.0, 1.0, 1.0]
    >>> told["group/silent"], told["group/all_right"]
    (0.5, 0.5)
    """
    expect_dial("monitor", dial)
    if not callable(reward) or inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(_call(reward)):
        raise ArgumentError("monitor", "a reward function that is not a coroutine", repr(reward)[:60])
    tracker = Tracker(Beliefs.of_groups(history) if isinstance(history, Groups) else history)
    if watch is not None:
        tracker.listeners.append(watch.see)

    def judged(*args: Any, **given: Any) -> Any:
        rewards = reward(*args, **given)
        log = given.get("log_metric")
        if log is not None and len(rewards):
            labels = given.get(prompt_id) or [_hashable(prompt) for prompt in given["prompts"]]
            codes, ids = arrays.factorize(labels)
            scored = Scored.of(checks.floats("monitor", "rewards", rewards), codes, len(ids))
            if _evaluates(log):
                told = scored.metrics()
            else:
                known = tracker.beliefs.step if tracker.beliefs else 0
                step = int(getattr(given.get("trainer_state"), "global_step", known))
                sizes = np.bincount(codes, minlength=len(ids))
                told = tracker.visit(ids.tolist(), scored, sizes, dial=dial, step=step)
            for name, value in told.items():
                log(name, value)
        return rewards

    functools.update_wrapper(judged, reward)
    return judged


def _call(reward: Any) -> Any:
    """What runs when an object is called."""
    return type(reward).__dict__.get("__call__")


def _evaluates(log: Any) -> bool:
    """Whether TRL asks in an evaluation, which teaches nothing about training: `log` is a method of its trainer."""
    model = getattr(getattr(log, "__self__", None), "model", None)
    return model is not None and not model.training


def _hashable(prompt: Any) -> Any:
    """Chat messages as one text."""
    return prompt if isinstance(prompt, str) else repr(prompt)
