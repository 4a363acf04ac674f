"""ms-swift 4.6.0: its two functions, its trainer's methods and its loader of plug-ins."""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asked import trainer
from groupsigma import DIALS, MAXRL, ArgumentError, advantages_by_prompt
from recorded import GROUPS, SILENT, rows

grpo = trainer("swift", "swift.rlhf_trainers.grpo_trainer")

from swift.rl_core import advantage

from groupsigma.trainers import ms_swift as plug

STOCK = dict(plug._FUNCTIONS)


@pytest.fixture(autouse=True)
def put_back():
    yield
    for module in (advantage, grpo):
        for name, function in STOCK.items():
            setattr(module, name, function)
    grpo.GRPOTrainer.compute_std, grpo.GRPOTrainer._compute_advantages = plug._STD, plug._ADVANTAGES


def column(rewards):
    return torch.tensor([[float("nan") if r is None else r] for r in rewards])


def asked(rewards, size=4, **given):
    given = {"advantage_estimator": "grpo", "scale_rewards": "group", **given}
    return dict(rewards_per_func=column(rewards), reward_weights=torch.ones(1), num_generations=size, **given)


def dynamic(rewards, prompts, requests=None, **given):
    given = {"advantage_estimator": "grpo", "scale_rewards": "group", **given}
    requests = requests or [f"r{i}" for i in range(len(rewards))]
    return dict(
        rewards_per_func=column(rewards),
        reward_weights=torch.ones(1),
        prompt_ids=prompts,
        request_ids=requests,
        **given,
    )


@pytest.mark.parametrize("scale", ["group", "none", "batch", "gdpo"])
@pytest.mark.parametrize("estimator", ["grpo", "rloo", "reinforce_plus_plus"])
def test_ms_swift_s_own_numbers_on_groups_of_one_size(estimator, scale):
    rng = np.random.default_rng(0)
    given = asked([1.0, 0.0, 0.0, 1.0, *rng.random(4)], advantage_estimator=estimator, scale_rewards=scale)
    plug.use()
    assert grpo.compute_advantages is not STOCK["compute_advantages"]
    ours, rewards = grpo.compute_advantages(**given)
    stock, expected = STOCK["compute_advantages"](**given)
    torch.testing.assert_close(ours, stock, rtol=2e-5, atol=2e-6)
    assert torch.equal(rewards, expected)


def test_what_ms_swift_gives_an_answer_that_nobody_scored():
    """It makes 0 of it, which pulls the others: seen [.5, .5, .5, −1.5]; here it is out."""
    given = asked([1.0, 1.0, 1.0, None])
    np.testing.assert_allclose(STOCK["compute_advantages"](**given)[0], [0.5, 0.5, 0.5, -1.5], atol=1e-3)
    plug.use()
    assert not grpo.compute_advantages(**given)[0].any()


def test_a_near_tie():
    given = asked(GROUPS["near tie"], size=8)
    assert STOCK["compute_advantages"](**given)[0].any()
    plug.use()
    assert not grpo.compute_advantages(**given)[0].any()


def test_ragged_groups_in_any_order_and_a_request_of_several_rows():
    rewards, prompts = rows("mixed", "graded", "all right", "alone", "unscored")
    order = np.random.default_rng(1).permutation(len(rewards))
    rewards, prompts = [rewards[i] for i in order], [prompts[i] for i in order]
    plug.use(weight="proportional")
    given = grpo.compute_advantages_dynamic(**dynamic(rewards, prompts))[0]
    scores = column(rewards)[:, 0]
    assert torch.equal(given, advantages_by_prompt(scores, prompts, DIALS["ms-swift"], "proportional"))
    assert not given[[name in SILENT for name in prompts]].any()
    turns = dynamic([1.0, 1.0, 0.0, 0.0, 0.0], ["a"] * 5, ["x", "x", "y", "y", "z"])
    torch.testing.assert_close(
        grpo.compute_advantages_dynamic(**turns)[0], STOCK["compute_advantages_dynamic"](**turns)[0]
    )


def test_a_dial_of_one_s_own_whatever_the_flags_say_and_again():
    rewards = GROUPS["mixed"]
    for dial in (MAXRL, DIALS["dr-grpo"]):
        plug.use(dial)
        given = grpo.compute_advantages(**asked(rewards, scale_rewards="none"))[0]
        assert torch.equal(given, advantages_by_prompt(column(rewards)[:, 0], [0] * 4, dial))
    with pytest.raises(ArgumentError, match="find_dial"):
        plug.use("maxrl")


def running(**given):
    """The attributes of ms-swift's trainer that its methods read."""
    flags = dict(
        accelerator=SimpleNamespace(device="cpu"),
        reward_weights=torch.ones(1),
        model=SimpleNamespace(training=True),
        num_generations=4,
        dynamic_num_samples=False,
        kl_in_reward=False,
        beta=0.0,
        advantage_estimator="grpo",
        scale_rewards="group",
        reward_func_names=["correct"],
        _metrics={"train": defaultdict(list)},
        _logs={"rewards": defaultdict(list)},
        _get_last_indices=lambda ids: torch.tensor([len(ids) - 1 - ids[::-1].index(r) for r in dict.fromkeys(ids)]),
    )
    return SimpleNamespace(**{**flags, **given})


def test_its_dynamic_sampling_sees_every_silent_group():
    """A mixed group; one that is right wherever it was scored; one whose two functions add up to 0.7 in two ways."""
    none = [float("nan")] * 2
    rewards = torch.tensor([*[[1, 0], [0, 0]] * 2, *[[1, 0]] * 3, none, *[[0.7, 0], [0.1, 0.6]] * 2])
    kept = running(reward_weights=torch.ones(2))
    assert (grpo.GRPOTrainer.compute_std(kept, None, rewards) > 0).all()
    plug.use()
    assert (grpo.GRPOTrainer.compute_std(kept, None, rewards) > 0).tolist() == [True] * 4 + [False] * 8


def test_its_dynamic_sampling_of_requests():
    samples = [SimpleNamespace(prompt_id=p, request_id=r) for p, r in zip("aaabb", "xxyzw", strict=True)]
    plug.use()
    std = grpo.GRPOTrainer.compute_std(running(dynamic_num_samples=True), samples, column([1.0, 1.0, 0.0, 0.5, 0.5]))
    assert (std > 0).tolist() == [True] * 3 + [False] * 2


def test_its_trainer_logs_the_groups_and_computes_under_the_dial():
    told = running()
    plug.use(MAXRL)
    rewards = [*GROUPS["mixed"], *GROUPS["all right"]]
    given = grpo.GRPOTrainer._compute_advantages(told, None, column(rewards), [])
    assert torch.equal(given, advantages_by_prompt(torch.tensor(rewards), [0] * 4 + [1] * 4, MAXRL))
    assert told._metrics["train"]["group/silent"] == [0.5] and told._metrics["train"]["group/all_right"] == [0.5]
    assert told._metrics["train"]["reward"] == [0.75]  # its own, as before


def test_the_example_is_loaded_as_ms_swift_loads_plug_ins():
    from swift.utils import import_external_file

    import_external_file(str(Path(__file__).parent.parent / "examples" / "ms_swift" / "plugin.py"))
    given = grpo.compute_advantages(**asked(GROUPS["mixed"]))[0]
    assert torch.equal(given, advantages_by_prompt(torch.tensor(GROUPS["mixed"]), [0] * 4, MAXRL))
