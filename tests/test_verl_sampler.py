"""The replay buffer against the released verl and a real TransferQueue on Ray: what is drawn, kept and told."""

import pytest

from asked import trainer

trainer("verl", "verl.trainer.ppo.ray_trainer")
buffers = trainer("verl", "transfer_queue", "verl.trainer.ppo.v1.replay_buffer")

import ray
import torch
import transfer_queue as tq
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from groupsigma import ArgumentError
from groupsigma.trainers.verl_sampler import AsyncSampler, Sampler, sampler

pytestmark = pytest.mark.filterwarnings("ignore")

MIXED, RIGHT, WRONG = (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)


@pytest.fixture(scope="module")
def queue():
    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False)
    tq.init()
    yield
    tq.close()
    ray.shutdown()


class Prompts:
    """A trainer's side: prompts whose groups come out as planned, finished as soon as they are drawn."""

    def __init__(self, groups, metric=None, early=None, name="u"):
        self.groups, self.drawn, self.rounds, self.name = list(groups), 0, [], name
        self.metric, self.early = metric, early

    def refill(self, n):
        self.rounds.append(n)
        for _ in range(n):
            self.put(f"{self.name}{self.drawn}", self.groups[self.drawn % len(self.groups)])
            self.drawn += 1
        return n

    def put(self, uid, rewards, step=1):
        status = "failure" if rewards is None else "finished"
        tag = {"is_prompt": True, "status": status, "global_steps": step}
        tq.kv_batch_put(keys=[uid], partition_id="train", tags=[tag])
        if rewards is None:
            return
        rows, keys = [], []
        for i, reward in enumerate(rewards):
            for turn in range(2 if i == 0 else 1):  # the first session has two rows
                keys.append(f"{uid}_{i}_{turn}")
                last = turn == (1 if i == 0 else 0)
                tokens = torch.zeros(2 + turn)
                tokens[-1] = reward if last or self.early is None else self.early
                rows.append({"rm_scores": tokens, "extra_fields": {"reward_extra_info": {"acc": self.metric}}})
        tq.kv_batch_put(
            keys=keys,
            partition_id="train",
            fields=list_of_dict_to_tensordict(rows),
            tags=[{"global_steps": step}] * len(keys),
        )


@pytest.fixture
def prompts(queue):
    yield lambda *groups, **given: Prompts(groups, **given)
    keys = list(tq.kv_list().get("train", {}))
    if keys:
        tq.kv_clear(keys=keys, partition_id="train")


def built(prompts, mode="sync", **switches):
    return sampler(
        trainer_mode=mode, trainer_config={}, max_off_policy_threshold=8, max_off_policy_strategy="drop",
        sampler_kwargs=switches, refill_fn=prompts.refill, poll_interval=0.01,
    )  # fmt: skip


def uids(batch):
    return sorted({key.split("_")[0] for key in batch.keys})


def left():
    return sorted(key for key, tag in tq.kv_list().get("train", {}).items() if tag.get("is_prompt"))


def test_silent_groups_are_replaced_by_as_many_as_are_missing(prompts):
    source = prompts(MIXED, RIGHT, WRONG, MIXED, RIGHT, MIXED, MIXED, MIXED)
    buffer = built(source)
    source.refill(4)
    batch, told = buffer.sample(1, "train", 4)
    assert uids(batch) == ["u0", "u3", "u5", "u6"], "4 drawn, 2 kept; 2 more, 1 kept; 1 more"
    assert source.rounds == [4, 2, 1] and left() == []
    assert told["group/draws"] == 7 and told["group/draws_per_kept"] == 7 / 4 and told["group/short"] == 0
    assert told["group/silent"] == 3 / 7 and told["group/all_right"] == 2 / 7 and told["group/size_mean"] == 2
    assert len(batch.keys) == 4 * 3, "all rows of all sessions are handed on"


def test_the_cap_holds_and_the_batch_is_filled_with_silent_groups(prompts, capsys):
    source = prompts(MIXED, WRONG, WRONG, WRONG)
    buffer = built(source, max_num_gen_batches=2)
    source.refill(4)
    batch, told = buffer.sample(1, "train", 4)
    assert source.drawn == 8 and told["group/draws"] == 8 and told["group/short"] == 0.5
    assert {"u0", "u4"} <= set(uids(batch)) and len(uids(batch)) == 4 and left() == []
    assert "the cap of 2 batches gave 2 mixed groups of 4 in 8 draws" in capsys.readouterr().err


def test_a_run_of_only_silent_groups_ends_too(prompts):
    source = prompts(WRONG)
    batch, told = built(source, max_num_gen_batches=3).sample(1, "train", 2)
    assert source.drawn == 6 and len(uids(batch)) == 2 and told["group/all_wrong"] == 1


def test_verl_s_own_buffer_has_no_cap(prompts):
    """The trap: the same prompts, verl's filter with its max_num_gen_batches, which the trainer does not pass on."""
    source = prompts(WRONG)

    class Enough(Exception):
        pass

    def refill(n):
        if source.drawn >= 200:
            raise Enough
        return source.refill(n)

    buffer = buffers.ReplayBuffer(
        trainer_mode="sync", trainer_config={}, max_off_policy_threshold=8, max_off_policy_strategy="drop",
        sampler_kwargs={}, refill_fn=refill, poll_interval=0.01, filter_groups_metric="reward",
        train_batch_size=2, gen_batch_size=1,
    )  # fmt: skip
    source.refill(2)
    with pytest.raises(Enough):
        buffer.sample(1, "train", 2)


def test_verl_s_own_buffer_throws_mixed_groups_away_and_ours_does_not(prompts):
    source = prompts(WRONG, WRONG, MIXED, MIXED, MIXED, MIXED)
    own = buffers.ReplayBuffer(
        trainer_mode="sync", trainer_config={}, max_off_policy_threshold=8, max_off_policy_strategy="drop",
        sampler_kwargs={}, refill_fn=source.refill, poll_interval=0.01, filter_groups_metric="reward",
        train_batch_size=2, gen_batch_size=1, max_inflight_gen_batches=2,
    )  # fmt: skip
    source.refill(2)
    _, told = own.sample(1, "train", 2)
    assert told["training/filter_groups/discarded_surplus_samples"] == 2 and source.drawn == 6
    ours = prompts(WRONG, WRONG, MIXED, MIXED, MIXED, MIXED, name="v")
    ours.refill(2)
    _, told = built(ours).sample(1, "train", 2)
    assert ours.drawn == 4 and told["group/draws_per_kept"] == 2


def test_silence_is_decided_with_a_tolerance_and_on_a_session_s_last_row(prompts):
    """0.1 + 0.2 beside 0.3, six times 0.7: np.std is not 0. An earlier row of the first session says 0.5."""
    source = prompts((0.1 + 0.2, 0.3), (0.7,) * 6, MIXED, MIXED, early=0.5)
    batch, told = built(source).sample(1, "train", 2)
    assert uids(batch) == ["u2", "u3"] and told["group/draws"] == 4


def test_another_reward_may_judge(prompts):
    """Rewards shaped by length differ, the judge's does not: nothing to learn."""
    source = prompts(MIXED, metric=0.0)
    batch, told = built(source, metric="acc", max_num_gen_batches=1).sample(1, "train", 2)
    assert told["group/all_wrong"] == 1 and len(uids(batch)) == 2
    with pytest.raises(ArgumentError, match="the reward 'f1' of every answer"):
        built(prompts(MIXED), metric="f1").sample(1, "train", 2)


def test_failed_groups_are_replaced_and_a_batch_of_nothing_else_is_refused(prompts):
    source = prompts(None, MIXED, MIXED)
    batch, told = built(source).sample(1, "train", 2)
    assert uids(batch) == ["u1", "u2"] and told["group/draws"] == 3
    with pytest.raises(ArgumentError, match="rollouts that all failed"):
        built(prompts(None, name="v"), max_num_gen_batches=2).sample(1, "train", 2)


def test_what_is_more_than_a_batch_stays_for_the_next(prompts):
    """parameter_sync_step: the trainer draws for several batches at once."""
    source = prompts(MIXED, MIXED, WRONG, MIXED)
    buffer = built(source)
    source.refill(4)
    first, _ = buffer.sample(1, "train", 2)
    assert len(uids(first)) == 2 and len(left()) == 1 and source.drawn == 4
    second, told = buffer.sample(1, "train", 2)
    assert not set(uids(first)) & set(uids(second)) and source.drawn == 5 and told["group/short"] == 0


def test_prompts_that_come_one_by_one_are_named(prompts):
    source = prompts(WRONG)

    def refill(n):
        raise ValueError("num_prompts (1) must be a positive multiple of gen_batch_size (8)")

    source.refill(2)
    buffer = built(source)
    buffer.refill_fn = refill
    with pytest.raises(ArgumentError, match=r"filter_groups\.enable=True"):
        buffer.sample(1, "train", 2)


def test_the_mode_decides_and_switches_are_checked(prompts):
    source = prompts(MIXED)
    assert type(built(source)) is Sampler and type(built(source, mode="separate_async")) is AsyncSampler
    with pytest.raises(ArgumentError, match="max_num_gen_batches of at least 1"):
        built(source, max_num_gen_batches=-1)


def test_validation_is_verl_s_own(prompts):
    source = prompts(WRONG)
    tag = {"is_prompt": True, "status": "finished", "global_steps": 1}
    tq.kv_batch_put(keys=["v0"], partition_id="val", tags=[tag])
    try:
        batch, told = built(source).sample(1, "val", 1)
    finally:
        if tq.kv_list().get("val"):
            tq.kv_clear(keys=list(tq.kv_list()["val"]), partition_id="val")
    assert batch.keys == [] and told == {} and source.drawn == 0


def test_asynchronous_refill_has_the_cap_and_keeps_what_is_over(prompts):
    source = prompts(WRONG, MIXED, WRONG, MIXED, MIXED, MIXED)
    buffer = built(source, mode="separate_async", max_num_gen_batches=4)
    source.refill(4)
    batch, told = buffer.sample(1, "train", 2)
    assert uids(batch) == ["u1", "u3"] or set(uids(batch)) <= {"u1", "u3", "u4", "u5"}
    assert len(left()) == 2, "mixed groups beyond the batch stay"
    assert told["group/short"] == 0 and told["training/filter_groups/evicted_samples"] == 2
    assert buffer.get_sampleable_count(1, "train") == 2


def test_asynchronous_refill_of_only_silent_groups_ends(prompts):
    source = prompts(WRONG)
    source.refill(2)
    batch, told = built(source, mode="separate_async", max_num_gen_batches=3).sample(1, "train", 2)
    assert len(uids(batch)) == 2 and source.drawn == 6 and told["group/short"] == 1
