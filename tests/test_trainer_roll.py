"""ROLL (git 8eb27cc2, not on PyPI): its rollout loop and its data, over a stand-in for its scheduler and engine."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import torch

from asked import trainer
from groupsigma import DIALS, advantages
from recorded import GROUPS, SILENT

loops = trainer("roll", "roll.distributed.scheduler.user_defined_rollout_loop")

from roll.distributed.scheduler.protocol import DataProto
from roll.utils.functionals import reward_norm
from roll.utils.import_utils import safe_import_class

Loop = safe_import_class("groupsigma.trainers.roll.MixedGroups")


class Context:
    """What the loop asks its scheduler for; generation is one answer a request."""

    def __init__(self, rewards, filtered="no_filter", is_val=False):
        self.rewards, self.is_val, self.prompt_id = list(rewards), is_val, 0
        self.meta_info = {"generation_config": {"num_return_sequences": len(rewards)}}
        self.is_num_return_sequences_expand, self.sequence_length, self.prompt_length = True, 8, 4
        kind = SimpleNamespace(type=filtered, filter_args={"std_threshold": 0})
        self.pipeline_config = SimpleNamespace(rewards={"math": SimpleNamespace(query_filter_config=kind)})

    def get_request_data(self, meta_info):
        tokens = torch.ones(1, 4, dtype=torch.long)
        batch = {"input_ids": tokens, "attention_mask": tokens, "position_ids": tokens}
        return DataProto.from_dict(batch, meta_info=meta_info), "math"

    @asynccontextmanager
    async def do_generate_and_reward(self, max_concurrency):
        yield


class Told:
    """The loop with answers that are given instead of generated."""

    async def _generate_and_reward(self, context, req, domain):
        rewards = {"response_level_rewards": torch.tensor([context.rewards.pop(0)])}
        return [DataProto.from_dict(rewards, non_tensors={"domain": [domain]})]


def drawn(loop, rewards, **given):
    kept = type("Given", (Told, loop), {})()
    told = [float("nan") if r is None else r for r in rewards]
    return asyncio.run(kept.process_new_prompt(Context(told, **given)))


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "alone"])
def test_silent_groups_are_filtered_and_mixed_ones_handed_on(name):
    answers = drawn(Loop, GROUPS[name])
    assert (answers is None) == (name in SILENT)
    assert answers is None or len(answers) == len(GROUPS[name])


def test_what_roll_s_std_filter_keeps():
    stock = loops.UserDefinedRolloutLoop
    assert drawn(stock, GROUPS["all right"], filtered="std_filter") is None
    for name in ("near tie", "nothing scored"):
        assert len(drawn(stock, GROUPS[name], filtered="std_filter")) == len(GROUPS[name])
        assert drawn(Loop, GROUPS[name], filtered="std_filter") is None


def test_roll_s_own_filter_stays_in_force():
    assert drawn(Loop, GROUPS["all right"], filtered="std_filter") is None
    assert drawn(Loop, GROUPS["mixed"], filtered="std_filter") is not None


def test_validation_and_single_answers_are_not_filtered():
    assert len(drawn(Loop, GROUPS["all right"], is_val=True)) == 4
    assert len(drawn(Loop, GROUPS["alone"])) == 1


def test_the_preset_is_roll_s_number():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.25, 0.5, 1.0, 0.0]])
    own = reward_norm(rewards.reshape(-1), n_sample=4, running_ctrl={}, norm_mean_type="group", norm_std_type="group")
    torch.testing.assert_close(own, advantages(rewards, DIALS["roll"]).reshape(-1), rtol=1e-5, atol=1e-6)
