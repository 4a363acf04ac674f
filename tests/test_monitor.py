"""The monitor: a reward function that also logs what its groups say, inside TRL's own trainer and without it."""

import functools

import numpy as np
import pytest

from groupsigma import DR_GRPO, ArgumentError, Groups
from groupsigma.belief import Beliefs
from groupsigma.metrics import group_metrics
from groupsigma.trainers.monitor import monitor


def plain(prompts, completions, **_):
    """One for each right answer."""
    return [float(c.startswith("3")) for c in completions]


def batch(size=4, prompts=("a", "b", "c"), right=(0, 2, 4), **more):
    asked = [p for p in prompts for _ in range(size)]
    completions = ["3" if i < k else "4" for k in right for i in range(size)]
    return dict(prompts=asked, completions=completions, **more)


def told_by(function, **given):
    log = {}
    rewards = function(log_metric=log.__setitem__, **given)
    return rewards, log


# ---- by itself --------------------------------------------------------------------------------------------


def test_it_logs_what_group_metrics_says_and_hands_the_rewards_on():
    given = batch()
    rewards, log = told_by(monitor(plain), **given)
    assert rewards == plain(**given)
    assert log.items() >= group_metrics(rewards, given["prompts"]).items()
    assert log["group/silent"] == pytest.approx(2 / 3) and log["group/all_right"] == pytest.approx(1 / 3)
    assert sum(value for key, value in log.items() if key.startswith("group/gradient_share/")) == pytest.approx(1)
    assert not [key for key in log if "predicted" in key]


def test_rewards_are_the_very_object_that_was_returned():
    own = [1.0, None, 0.0, 1.0]
    rewards, log = told_by(monitor(lambda **_: own), prompts=["a"] * 4, completions=[""] * 4)
    assert rewards is own and log["group/unscorable"] == 1.0 and log["group/size_mean"] == 3.0


def test_the_second_batch_is_foretold():
    judge = monitor(plain)
    told_by(judge, **batch())
    _, log = told_by(judge, **batch())
    assert 0.3 < log["group/silent_predicted"] < 0.95
    assert log["group/all_right_predicted"] + log["group/all_wrong_predicted"] == pytest.approx(
        log["group/silent_predicted"]
    )


@pytest.mark.parametrize("kind", [Groups, Beliefs])
def test_a_history_foretells_the_first(kind):
    history = Groups(["a", "b"], [64, 0], [64, 64])
    judge = monitor(plain, history=history if kind is Groups else Beliefs.of_groups(history))
    _, log = told_by(judge, **batch(prompts=("a", "b"), right=(4, 0)))
    assert log["group/all_right_predicted"] == pytest.approx(0.5, abs=0.05)


def test_shares_are_of_the_dial_that_is_named():
    shares = []
    for dial in (None, DR_GRPO):
        judge = monitor(
            plain, **({} if dial is None else {"dial": dial}), history=Beliefs.known(["a", "b"], [0.05, 0.5])
        )
        _, log = told_by(judge, **batch(prompts=("a", "b"), right=(1, 2)))
        shares.append(log["group/gradient_share/.4-.6"])
    assert shares[0] < shares[1]


def test_ids_come_from_their_column_where_there_is_one():
    """Two wordings of one problem are one group; without the column two."""
    given = batch(prompts=("a", "b"), right=(4, 0))
    assert told_by(monitor(plain), **given)[1]["group/silent"] == 1.0
    assert told_by(monitor(plain), prompt_id=[7] * 8, **given)[1]["group/mixed"] == 1.0
    assert told_by(monitor(plain, prompt_id="uid"), uid=["x"] * 8, **given)[1]["group/mixed"] == 1.0
    assert told_by(monitor(plain, prompt_id="uid"), prompt_id=[7] * 8, **given)[1]["group/silent"] == 1.0


def test_chat_messages_are_told_apart():
    chats = [[{"role": "user", "content": x}] for x in "aabb"]
    log = told_by(monitor(lambda **_: [1, 0, 1, 1]), prompts=chats, completions=[[]] * 4)[1]
    assert log["group/size_mean"] == 2.0 and log["group/mixed"] == 0.5


def test_arrays_and_tensors_are_taken():
    for rewards in (np.array([1.0, 0.0]), (1, 0)):
        assert (
            told_by(monitor(lambda r=rewards, **_: r), prompts=["a"] * 2, completions=[""] * 2)[1]["group/mixed"] == 1.0
        )
    torch = pytest.importorskip("torch")
    log = told_by(monitor(lambda **_: torch.tensor([1.0, 0.0])), prompts=["a"] * 2, completions=[""] * 2)[1]
    assert log["group/mixed"] == 1.0


def test_graded_rewards_have_no_shares():
    log = told_by(monitor(lambda **_: [0.5, 0.25]), prompts=["a"] * 2, completions=[""] * 2)[1]
    assert log["group/mixed"] == 1.0 and not [key for key in log if "share" in key]


def test_without_a_log_it_is_the_function_alone():
    """Older versions of TRL hand out none."""
    assert monitor(plain)(prompts=["a"], completions=["3"]) == [1.0]
    assert monitor(plain)(["a"], ["3"]) == [1.0]
    assert told_by(monitor(plain), prompts=[], completions=[]) == ([], {})


def test_the_function_keeps_its_name_and_words():
    judge = monitor(plain)
    assert judge.__name__ == "plain" and judge.__doc__ == "One for each right answer." and judge.__wrapped__ is plain


@pytest.mark.parametrize("wrong", [None, "accuracy", 3])
def test_what_is_no_function_is_refused(wrong):
    with pytest.raises(ArgumentError, match="a reward function that is not a coroutine"):
        monitor(wrong)


def test_a_coroutine_is_refused():
    async def later(**_):
        return [1.0]

    with pytest.raises(ArgumentError, match="not a coroutine"):
        monitor(later)
    with pytest.raises(ArgumentError, match="not a coroutine"):
        monitor(functools.partial(later, a=1))
    with pytest.raises(ArgumentError, match="a Dial"):
        monitor(plain, dial="grpo")


class Later:
    """An object that TRL would await."""

    async def __call__(self, **_):
        return [1.0]


def test_an_object_that_is_a_coroutine_is_refused_too():
    with pytest.raises(ArgumentError, match="not a coroutine"):
        monitor(Later())


# ---- inside TRL's own trainer --------------------------------------------------------------------------------


@pytest.fixture
def tiny():
    pytest.importorskip("trl")
    import tiny_llama

    return tiny_llama


def quiet(test):
    """TRL's and transformers' own warnings, which `tiny_llama` lists where TRL is installed."""
    for text, kind in (
        ("`(is_)?gradient_checkpointing", "FutureWarning"),
        ("You are using 'rollout_func'", "UserWarning"),
    ):
        test = pytest.mark.filterwarnings(f"ignore:{text}:{kind}")(test)
    return test


@quiet
def test_stock_trl_logs_its_metrics(tiny, tmp_path):
    import trl

    reward = tiny.judge()
    made = tiny.run(tmp_path, monitor(reward), cls=trl.GRPOTrainer, rollout=tiny.Script(tiny.by_units))
    assert made.reward_func_names == ["judge"]
    for call, entry in zip(reward.calls, made.state.log_history, strict=False):
        expected = group_metrics(call.rewards, call.prompts)
        assert {key: entry[key] for key in expected} == pytest.approx(expected, abs=1e-7)
        assert entry["rewards/judge/mean"] == pytest.approx(np.mean(call.rewards))
        # Where TRL's own count of silent groups is right, it is ours.
        assert entry["frac_reward_zero_std"] == entry["group/silent"]
    assert len(tiny.logged(made, "group/silent")) == 3 and len(tiny.logged(made, "group/silent_predicted")) == 2


@quiet
def test_it_says_what_our_trainer_says(tiny, tmp_path):
    """With row numbers as ids on both sides: predictions and shares too."""
    import trl

    data = tiny.problems(16, prompt_id=list(range(16)))
    change = dict(max_steps=6)
    watching = tiny.run(
        tmp_path / "a",
        monitor(tiny.judge()),
        cls=trl.GRPOTrainer,
        data=data,
        rollout=tiny.Script(tiny.by_units),
        change=change,
    )
    from groupsigma import GRPO

    ours = tiny.run(tmp_path / "b", data=data, rollout=tiny.Script(tiny.by_units), dial=GRPO, change=change)
    for a, b in zip(watching.state.log_history, ours.state.log_history, strict=True):
        keys = {key for key in b if key.startswith("group/")}
        assert keys == {key for key in a if key.startswith("group/")}
        assert {key: a[key] for key in keys} == pytest.approx({key: b[key] for key in keys}, abs=1e-6)


@quiet
def test_an_evaluation_has_its_own_entries(tiny, tmp_path):
    import trl

    change = dict(eval_strategy="steps", eval_steps=1, per_device_eval_batch_size=8)
    made = tiny.run(
        tmp_path,
        monitor(tiny.judge()),
        cls=trl.GRPOTrainer,
        rollout=tiny.Script(tiny.by_units),
        change=change,
        eval_dataset=tiny.problems(4),
    )
    assert len(tiny.logged(made, "eval_group/silent")) == 3 == len(tiny.logged(made, "group/silent"))


@quiet
def test_an_evaluation_does_not_move_the_predictions_of_the_training(tiny, tmp_path):
    """Certain prompts to train on, hopeless ones to evaluate on."""
    import trl

    def chance(prompt):
        return float(prompt < "3")

    data = tiny.problems(64)
    change = dict(eval_strategy="steps", eval_steps=1, per_device_eval_batch_size=16)
    seen = []
    for name, more in (("with", dict(eval_dataset=data.select(range(32, 40)))), ("without", {})):
        given = change if more else {}
        made = tiny.run(
            tmp_path / name,
            monitor(tiny.judge()),
            cls=trl.GRPOTrainer,
            data=data.select(range(16)),
            rollout=tiny.Script(chance),
            change=given,
            **more,
        )
        seen.append(tiny.logged(made, "group/silent_predicted"))
    assert len(seen[0]) == len(seen[1]) == 2 and seen[0] == pytest.approx(seen[1])
