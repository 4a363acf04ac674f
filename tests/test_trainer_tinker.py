"""tinker-cookbook 0.6.1: its own data structures, filter and training loop's assembly, without its service."""

import asyncio
import runpy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from asked import trainer
from groupsigma import DAPO, DR_GRPO, GRPO, MAXRL, ArgumentError, Beliefs, Groups, advantages_by_prompt, plan
from recorded import GROUPS, SILENT

train = trainer("tinker_cookbook", "tinker_cookbook.rl.train")

import tinker
from tinker_cookbook.completers import TokensWithLogprobs
from tinker_cookbook.rl import data_processing, metric_util, rollouts
from tinker_cookbook.rl.problem_env import ProblemGroupBuilder
from tinker_cookbook.rl.types import RLDataset, StepResult, Trajectory, TrajectoryGroup, Transition

from groupsigma.trainers import tinker as plug


def trajectory(reward):
    """Two steps, the reward split over them."""
    action = TokensWithLogprobs(tokens=[5, 6], maybe_logprobs=[-0.5, -0.25])
    step = partial(Transition, ac=action)
    first = tinker.ModelInput.from_ints([1, 2])
    second = tinker.ModelInput.from_ints([1, 2, 5, 6, 3])
    steps = [step(ob=first, reward=0.0, episode_done=False), step(ob=second, reward=reward, episode_done=True)]
    return Trajectory(transitions=steps, final_ob=tinker.ModelInput.from_ints([]))


def group(rewards, extra=0.0):
    rewards = [float("nan") if r is None else r for r in rewards]
    return TrajectoryGroup([trajectory(r - extra) for r in rewards], [extra] * len(rewards), [{} for _ in rewards])


def test_the_cookbook_s_own_numbers():
    groups = [group(GROUPS[name]) for name in ("mixed", "graded", "all right")]
    stock = data_processing.compute_advantages(groups)
    for one, other in zip(plug.advantages(groups, weight="proportional"), stock, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    equal = plug.advantages([group([1.0, 0.0]), group([0.0, 1.0])])
    assert [a.tolist() for a in equal] == [[0.5, -0.5], [-0.5, 0.5]]


@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL, DAPO])
def test_any_dial_on_groups_of_any_size(dial):
    names = list(GROUPS)
    given = plug.advantages([group(GROUPS[name]) for name in names], dial)
    flat = [r for name in names for r in GROUPS[name]]
    expected = advantages_by_prompt(flat, [name for name in names for _ in GROUPS[name]], dial)
    np.testing.assert_array_equal(torch.cat(given).numpy(), expected.astype(np.float32))
    for name, one in zip(names, given, strict=True):
        assert len(one) == len(GROUPS[name]) and bool(one.any()) == (name not in SILENT)


def test_what_the_cookbook_gives_for_a_near_tie():
    """Float32's mean of 0.1 is not 0.1; the cookbook does not divide, so it stays small, but it is not 0."""
    tie = [group(GROUPS["near tie"])]
    assert data_processing.compute_advantages(tie)[0].any() and not plug.advantages(tie)[0].any()


def test_its_filter_and_its_metrics_take_our_word_for_silent_inside_the_block():
    near, mixed = group([0.1 + 0.2, 0.3, 0.3]), group(GROUPS["mixed"])
    assert data_processing.remove_constant_reward_groups([near, mixed]) == [near, mixed]
    with plug.dialled():
        assert data_processing.remove_constant_reward_groups([near, mixed]) == [mixed]
        assert metric_util._compute_by_group_metrics([near, mixed])["by_group/frac_mixed"] == 0.5
    assert data_processing.remove_constant_reward_groups([near, mixed]) == [near, mixed]
    assert metric_util._compute_by_group_metrics([near, mixed])["by_group/frac_mixed"] == 1


def test_its_training_makes_its_data_under_the_dial():
    """Through train.prepare_minibatch: what would go to the service."""
    groups = [group(GROUPS["mixed"], extra=0.25), group(GROUPS["all right"])]

    def made():
        data, _ = asyncio.run(
            train.prepare_minibatch(
                [_Tagged()] * 2, groups, _Tokenizer(), "some-model", kl_penalty_coef=0.0, kl_discount_factor=0.0
            )
        )[:2]
        return [np.asarray(datum.loss_fn_inputs["advantages"].data) for datum in data]

    stock = made()
    with plug.dialled(GRPO):
        ours = made()
    assert [set(one.tolist()) for one in stock[:2]] == [{0.0, 0.5}, {0.0, -0.5}]
    assert [set(one.tolist()) for one in ours[:2]] == [{0.0, 1.0}, {0.0, -1.0}]
    assert not any(one.any() for one in ours[4:]) and [len(a) for a in ours] == [len(a) for a in stock]
    np.testing.assert_array_equal(np.concatenate(made()), np.concatenate(stock))


def test_names_are_put_back_when_training_fails():
    before = train.compute_advantages, rollouts.all_same
    with pytest.raises(RuntimeError), plug.dialled(MAXRL):
        assert train.compute_advantages is not before[0]
        raise RuntimeError
    assert (train.compute_advantages, rollouts.all_same) == before


def test_metrics():
    told = plug.metrics([group(GROUPS[name]) for name in ("mixed", "all right", "all wrong", "near tie")])
    assert told["group/silent"] == 0.75 and told["group/all_right"] == 0.25 and told["group/size_mean"] == 4.75


class _Tokenizer:
    def decode(self, tokens, **_):
        return " ".join(map(str, tokens))


class _Tagged:
    def logging_tags(self):
        return []


@dataclass(frozen=True)
class Named(ProblemGroupBuilder):
    """The cookbook's builder with a name."""

    name: str = ""


class Problems(RLDataset):
    def get_batch(self, index):
        return [Named(env_thunk=_Coin, num_envs=4, name=name) for name in ("easy", "hard", "known")]

    def __len__(self):
        return 5


class _Coin:
    """An environment of one step: right if the answer is token 1."""

    async def initial_observation(self):
        return tinker.ModelInput.from_ints([0]), []

    async def step(self, action, *, extra=None):
        end = tinker.ModelInput.from_ints([])
        return StepResult(float(action[0] == 1), True, end, [])


async def _always(model_input, stop, *_, **__):
    return TokensWithLogprobs(tokens=[1], maybe_logprobs=[0.0])


def test_groups_have_the_sizes_of_a_plan_through_the_cookbook_s_rollouts():
    counts = Groups(["easy", "hard", "known"], [7, 1, 8], [8, 8, 8])
    spent = plan(Beliefs.of_groups(counts), budget=24)
    tries = {row["prompt_id"]: row["tries"] for row in spent.rows()}
    data = plug.Planned(Problems(), lambda ids: [tries[name] for name in ids], lambda builder: builder.name)
    builders = data.get_batch(0)
    assert len(data) == 5 and {b.name: b.num_envs for b in builders} == {k: n for k, n in tries.items() if n}
    assert len({b.num_envs for b in builders}) > 1
    drawn = [asyncio.run(rollouts.do_group_rollout(builder, _always)) for builder in builders]
    assert [len(one.trajectories_G) for one in drawn] == [b.num_envs for b in builders]
    assert plug.metrics(drawn)["group/all_right"] == 1


@pytest.mark.parametrize("tries", [[4, 4], [4, 1, 3], [4, -2, 0], [2.5, 4, 4], "many"])
def test_tries_that_are_no_plan_are_refused(tries):
    with pytest.raises(ArgumentError, match="Planned: needs 0 or at least 2 answers for each of 3 prompts"):
        plug.Planned(Problems(), lambda ids: tries, lambda builder: builder.name).get_batch(0)


def test_builders_without_a_size_are_refused():
    data = plug.Planned(Problems(), lambda ids: [2, 2, 2], lambda builder: builder.name, size="copies")
    with pytest.raises(ArgumentError, match="builders with a field 'copies', got Named"):
        data.get_batch(0)


def test_the_example_plans_a_data_set():
    path = Path(__file__).parent.parent / "examples" / "tinker" / "train.py"
    planned = runpy.run_path(str(path), run_name="example")["planned"]
    counts = Groups(["easy", "hard"], [7, 1], [8, 8])
    builders = planned(Problems(), counts, 16, lambda builder: builder.name).get_batch(0)
    assert {b.name: b.num_envs for b in builders}["known"] == 4
    assert sum(b.num_envs for b in builders if b.name != "known") == 16
