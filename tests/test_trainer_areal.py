"""AReaL 1.0.4: its grouped workflow, its executor and its normalisation, without an inference server."""

import asyncio
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asked import trainer
from groupsigma import DIALS, ArgumentError, advantages
from recorded import GROUPS, SILENT

executor = trainer("areal", "areal.infra.workflow_executor")

from areal.api.cli_args import InferenceEngineConfig, NormConfig
from areal.infra.remote_inf_engine import GroupedRolloutWorkflow
from areal.utils.data import Normalization
from areal.utils.dynamic_import import import_from_string

from groupsigma.trainers import areal as plug


class Answers:
    """A workflow that gives one answer after the other; None: a failed one."""

    def __init__(self, rewards):
        self.rewards = list(rewards)

    async def arun_episode(self, engine, data):
        reward = self.rewards.pop(0)
        if reward is None:
            return None
        size = 2 + len(self.rewards) % 2  # padded by AReaL
        return {
            "input_ids": torch.ones(1, size, dtype=torch.int32),
            "attention_mask": torch.ones(1, size, dtype=torch.bool),
            "rewards": torch.tensor([reward], dtype=torch.float32),
        }


def drawn(rewards, keep):
    """Through AReaL's executor: the accepted group's rewards, or None."""
    group = GroupedRolloutWorkflow(Answers(rewards), len(rewards), logging.getLogger("test"))
    counted = SimpleNamespace(on_rollout_accepted=lambda: None, on_rollout_rejected=lambda: None)
    runs = executor.WorkflowExecutor(InferenceEngineConfig(consumer_batch_size=1), None, counted)
    task = executor._RolloutTaskInput(task_id=0, data={}, workflow=group, should_accept_fn=keep)
    result = asyncio.run(runs._create_workflow_task(task)())
    return None if result is None else result.trajectory["rewards"].tolist()


@pytest.mark.parametrize("name", [name for name in GROUPS if name not in ("unscored", "nothing scored")])
def test_silent_groups_are_refused_by_the_dotted_path(name):
    keep = import_from_string("groupsigma.trainers.areal.keep_mixed")
    accepted = drawn(GROUPS[name], keep)
    assert (accepted is None) == (name in SILENT)
    if accepted is not None:
        np.testing.assert_array_equal(accepted, np.float32(GROUPS[name]))


def test_what_areal_s_documented_filter_lets_through():
    """A graded silent group has a mean between 0 and 1."""
    assert drawn([0.5] * 4, lambda one: 0 < one["rewards"].mean() < 1) == [0.5] * 4
    assert drawn([0.5] * 4, plug.keep_mixed) is None


def test_a_group_that_lost_an_answer():
    assert drawn([1.0, None, 0.0, 0.0], plug.keep_mixed) == [1.0, 0.0, 0.0]
    assert drawn([1.0, None, 0.0, 0.0], plug.keep_whole(4)) is None
    assert drawn([1.0, 0.0, 0.0, 0.0], plug.keep_whole(4)) == [1.0, 0.0, 0.0, 0.0]
    assert drawn([1.0] * 4, plug.keep_whole(4)) is None


def test_an_unscorable_answer_does_not_hide_a_mixed_group():
    assert plug.keep_mixed({"rewards": torch.tensor([1.0, torch.nan, 0.0])})
    assert not plug.keep_mixed({"rewards": torch.tensor([torch.nan, 1.0])})


def test_a_trajectory_without_tensors_is_refused():
    with pytest.raises(ArgumentError, match='a tensor "rewards" in the trajectory, got keys request, response'):
        plug.keep_mixed({"request": [], "response": []})


def test_the_preset_is_areal_s_number_and_a_short_group_is_not():
    own = Normalization(NormConfig(mean_level="group", std_level="group", group_size=4))
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.25, 0.5, 1.0, 0.0]])
    torch.testing.assert_close(own(rewards.reshape(-1)), advantages(rewards, DIALS["areal"]).reshape(-1))
    short = own(torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]))
    assert short[4:].tolist() == pytest.approx([1e5] * 3)
