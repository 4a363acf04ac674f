"""slime's three hooks. Where slime's source is on the path (git 0.3.1; it is not on PyPI) its own Sample, filter,
`load_function`, logger and `_post_process_rewards` are run; elsewhere only the part that needs none of them.
"""

import importlib.util
import math
import random
from argparse import Namespace
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from groupsigma import DIALS, DR_GRPO, MAXRL, ArgumentError, advantages_by_prompt
from groupsigma.conformance.own import source_of
from groupsigma.trainers import slime as hooks
from recorded import GROUPS, SILENT, rows

HERE = importlib.util.find_spec("slime") is not None
needs_slime = pytest.mark.skipif(not HERE, reason="slime is not on the path: PYTHONPATH=<its checkout>")

if HERE:
    from slime.utils.types import Sample
else:

    @dataclass
    class Sample:
        """The fields of slime.utils.types.Sample that the hooks read: formula only."""

        group_index: int | None = None
        index: int | None = None
        rollout_id: int | None = None
        reward: object = None
        remove_sample: bool = False

        def get_reward_value(self, args):
            return self.reward if not args.reward_key else self.reward[args.reward_key]


def args(**given):
    flags = dict(
        advantage_estimator="grpo",
        rewards_normalization=True,
        grpo_std_normalization=True,
        n_samples_per_prompt=4,
        rollout_batch_size=2,
        reward_key=None,
    )
    return Namespace(**{**flags, **given})


def samples(rewards, groups, **each):
    return [
        Sample(group_index=groups[i], index=i, reward=reward, **{name: values[i] for name, values in each.items()})
        for i, reward in enumerate(rewards)
    ]


def stock(given, batch):
    own = source_of("slime", "ray/rollout.py", "_post_process_rewards", {"torch": torch})
    return own(SimpleNamespace(custom_reward_post_process_func=None, args=given), batch)[1]


def group(name):
    return samples(GROUPS[name], [0] * len(GROUPS[name]))


@needs_slime
@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"grpo_std_normalization": False},
        {"advantage_estimator": "gspo"},
        {"advantage_estimator": "reinforce_plus_plus_baseline"},
        {"advantage_estimator": "reinforce_plus_plus"},
        {"rewards_normalization": False},
        {"reward_key": "score"},
    ],
)
def test_equal_mixed_groups_get_slime_s_own_numbers(flags):
    given = args(**flags)
    rng = np.random.default_rng(0)
    rewards = [1.0, 0.0, 0.0, 0.0, *rng.random(4)]
    if given.reward_key:
        rewards = [{"score": r, "length": 3} for r in rewards]
    batch = samples(rewards, [7] * 4 + [8] * 4)
    raw, ours = hooks.advantages(given, batch)
    np.testing.assert_allclose(ours, stock(given, batch), rtol=2e-6, atol=1e-6)
    assert raw == [sample.get_reward_value(given) for sample in batch]


@needs_slime
def test_unequal_groups_where_slime_mixes_prompts():
    """Two unanimous groups of 4 and 3: slime makes one group of them (its issues 1414, 2230), ours teaches nothing."""
    batch = samples([1.0] * 4 + [0.0] * 3, [0] * 4 + [1] * 3)
    np.testing.assert_allclose(stock(args(), batch), [0.801784] * 4 + [-1.069045] * 3, rtol=1e-5)
    assert hooks.advantages(args(), batch)[1] == [0.0] * 7


@needs_slime
def test_a_near_tie_that_slime_divides_by_its_rounding():
    given = args(n_samples_per_prompt=8, rollout_batch_size=1)
    assert max(abs(a) for a in stock(given, group("near tie"))) > 5e-3
    assert hooks.advantages(given, group("near tie"))[1] == [0.0] * 8


def test_ragged_groups_in_any_order_are_advantages_by_prompt():
    rewards, ids = rows("mixed", "all right", "graded", "unscored", "alone", "nothing scored", "near tie")
    order = list(range(len(rewards)))
    random.Random(1).shuffle(order)
    rewards, ids = [rewards[i] for i in order], [ids[i] for i in order]
    for weight in ("equal", "proportional"):
        raw, ours = hooks.advantages(args(groupsigma_weight=weight), samples(rewards, ids))
        np.testing.assert_array_equal(ours, advantages_by_prompt(rewards, ids, DIALS["slime"], weight))
        assert all(a == 0 for a, name in zip(ours, ids, strict=True) if name in SILENT)
        assert [math.isnan(r) for r in raw] == [r is None for r in rewards]
    assert any(ours)


def test_a_rollout_cut_into_samples_is_one_answer():
    """Five samples of three rollouts, nested as slime nests them: what three answers would give."""
    batch = samples([0.0, 1.0, 0.0, 0.0, 0.0], [3] * 5, rollout_id=[0, 0, 1, 1, 2])
    once = advantages_by_prompt([1.0, 0.0, 0.0], [3] * 3, DIALS["slime"]).tolist()
    assert hooks.advantages(args(), [[batch[:2], batch[2:4], batch[4:]]])[1] == [once[0]] * 2 + [once[1]] * 3
    assert hooks.metrics(args(), batch)["group/size_mean"] == 3


def test_a_removed_sample_stays_out_of_its_group():
    batch = samples([1.0, 0.0, 1.0], [0] * 3, remove_sample=[False, False, True])
    expected = advantages_by_prompt([1.0, 0.0], [0, 0], DIALS["slime"]).tolist()
    assert hooks.advantages(args(), batch)[1] == [*expected, 0.0]


@pytest.mark.parametrize(
    ("flags", "dial"),
    [
        ({}, DIALS["slime"]),
        ({"advantage_estimator": "cispo"}, DIALS["slime"]),
        ({"grpo_std_normalization": False}, DR_GRPO),
        ({"advantage_estimator": "reinforce_plus_plus_baseline"}, DR_GRPO),
        ({"advantage_estimator": "ppo"}, None),
        ({"groupsigma_dial": "maxrl", "grpo_std_normalization": False}, MAXRL),
    ],
)
def test_the_dial_is_what_the_flags_say_unless_it_is_named(flags, dial):
    assert hooks.dial_of(args(**flags)) == dial
    if dial is not None:
        expected = advantages_by_prompt(GROUPS["mixed"], [0] * 4, dial).tolist()
        assert hooks.advantages(args(**flags), group("mixed"))[1] == expected


def test_an_unknown_dial_and_samples_without_a_group_are_refused():
    with pytest.raises(ArgumentError, match="did you mean 'maxrl'"):
        hooks.advantages(args(groupsigma_dial="maxlr"), group("mixed"))
    with pytest.raises(ArgumentError, match="needs a group_index on each sample"):
        hooks.advantages(args(), samples([1.0, 0.0], [0, None]))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mixed", None),
        ("graded", None),
        ("unscored", None),
        ("all right", "all_right"),
        ("all wrong", "all_wrong"),
        ("near tie", "equal"),
        ("alone", "all_right"),
        ("nothing scored", "no_reward"),
    ],
)
def test_why_a_group_is_dropped(name, why):
    assert hooks.silence(args(), group(name)) == why
    assert hooks.silence(args(), [group(name)]) == why  # nested, as a rollout of several samples is


@needs_slime
def test_the_filter_by_its_dotted_path_beside_slime_s():
    from slime.rollout.filter_hub.base_types import call_dynamic_filter, should_drop_dynamic_filter_output
    from slime.rollout.filter_hub.dynamic_sampling_filters import check_reward_nonzero_std
    from slime.utils.misc import load_function

    ours = load_function("groupsigma.trainers.slime.keep_mixed")
    for name in ("mixed", "graded", "all right", "all wrong", "near tie"):
        assert call_dynamic_filter(ours, args(), group(name)).keep == check_reward_nonzero_std(args(), group(name)).keep
    # Equal at any scale: an all-wrong group of a reward model in the thousands.
    scaled = samples([-3000.0, -3000.0 + 2e-3] * 2, [0] * 4)
    assert check_reward_nonzero_std(args(), scaled).keep and not ours(args(), scaled).keep
    # One NaN, and its filter drops a group that teaches.
    torn = samples([1.0, math.nan, 0.0], [0] * 3)
    assert not check_reward_nonzero_std(args(), torn).keep and ours(args(), torn).keep
    prefers = load_function("groupsigma.trainers.slime.prefer_mixed")(args(), group("all right"))
    for left, dropped in ((4, True), (2, False)):
        assert should_drop_dynamic_filter_output(prefers, remaining_batch_size=left, target_data_size=2) is dropped
    assert prefers.reason == "all_right"


def test_metrics_count_the_dropped_groups():
    drawn = [group("mixed"), samples([1.0] * 4, [1] * 4), samples([0.0] * 4, [2] * 4)]
    told = hooks.metrics(args(), drawn)
    assert told["group/silent"] == pytest.approx(2 / 3) and told["group/all_right"] == pytest.approx(1 / 3)


@needs_slime
def test_metrics_reach_slime_s_log_at_its_step(monkeypatch):
    pytest.importorskip("wandb", reason="slime's logger imports it")
    from slime.observability import logging_utils
    from slime.rollout.sample_hooks import set_current_rollout_id
    from slime.utils.misc import load_function

    told = []
    monkeypatch.setattr(logging_utils, "log", lambda _, metrics, step_key: told.append((metrics, step_key)))
    set_current_rollout_id(6)
    given = args(wandb_always_use_train_step=True, global_batch_size=4)
    load_function("groupsigma.trainers.slime.log_groups")(given, [group("mixed")], None)
    set_current_rollout_id(None)
    ((metrics, step_key),) = told
    assert step_key == "rollout/step" and metrics["rollout/step"] == 12 and metrics["rollout/group/mixed"] == 1
