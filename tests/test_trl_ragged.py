"""Unequal groups in the real TRL: tries, and weights under every loss."""

import re
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("trl")

import torch
import trl

import groupsigma
from groupsigma import (
    DIALS,
    DR_GRPO,
    GRPO,
    LOGIT,
    MAXRL,
    RLOO,
    ArgumentError,
    advantages_by_prompt,
)
from groupsigma.metrics import group_metrics
from groupsigma.trainers.given import whole_tries
from tiny_llama import (
    QUIET,
    Script,
    by_units,
    coin,
    judge,
    log_probabilities,
    model,
    problems,
    run,
    seen_by_loss,
    shuffled,
    trainer,
)

pytestmark = QUIET


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


TRIES = [7, 2, 4, 0, 3]  # of five prompts; they fill 16 rows


def ragged(ids):
    assert len(ids) == 5
    return TRIES


@pytest.mark.parametrize("weight", ["equal", "proportional"])
@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL, RLOO, LOGIT, DIALS["trl-batch"]], ids=repr)
def test_ragged_groups_get_the_advantages_of_their_rewards(tmp_path, dial, weight):
    made = run(
        tmp_path,
        judge(coin),
        rollout=Script(),
        dial=dial,
        tries=ragged,
        candidates=5,
        weight=weight,
        change=dict(max_steps=4),
    )
    order = shuffled(64)
    for at, batch in enumerate(made.batches):
        (call,) = batch.calls
        offered = [problems()["prompt"][next(order)] for _ in range(5)]
        assert call.prompts == [p for p, n in zip(offered, TRIES, strict=True) for _ in range(n)]
        expected = advantages_by_prompt(np.array(call.rewards, np.float32), call.prompts, dial, weight)
        assert batch.rows == list(zip(call.prompts, call.completions, strict=True))
        np.testing.assert_allclose(batch.advantages, expected, rtol=1e-6)
        assert seen_by_loss(made, at) == dict(zip(batch.rows, batch.advantages, strict=True))
        told = {k: v for k, v in made.state.log_history[at].items() if k.startswith("group/")}
        assert told.items() >= group_metrics(call.rewards, call.prompts).items()
        assert told["group/size_mean"] == 4.0
    assert max(len(set(batch.advantages)) for batch in made.batches) > 4


def test_tries_see_the_ids_and_may_change_from_batch_to_batch(tmp_path):
    asked = []

    def tries(ids):
        asked.append(ids)
        return [16, 0, 0, 0] if len(asked) % 2 else [0, 4, 4, 8]

    data = problems(20, uid=[f"n{i}" for i in range(20)])
    made = run(tmp_path, rollout=Script(), data=data, tries=tries, prompt_id="uid", change=dict(max_steps=3))
    order = shuffled(20)
    assert asked == [[f"n{next(order)}" for _ in range(4)] for _ in range(3)]
    given = [
        i
        for ids, sizes in zip(asked, ([16, 0, 0, 0], [0, 4, 4, 8], [16, 0, 0, 0]), strict=True)
        for i, n in zip(ids, sizes, strict=True)
        if n
    ]
    assert made.tracker.beliefs.prompt_ids.tolist() == list(dict.fromkeys(given))
    assert int(made.tracker.beliefs.seen.sum()) == 48


def test_the_tracker_can_be_asked_for_a_plan(tmp_path):
    """What `tries` is for: beliefs of the run, handed to `plan`."""
    made = None

    def tries(ids):
        if made is None or not len(made.tracker):
            return [4] * 4
        spent = groupsigma.plan(made.tracker.about(ids), budget=16).tries.tolist()
        assert sum(spent) == 16
        return spent

    made = trainer(tmp_path, rollout=Script(by_units), tries=tries, change=dict(max_steps=4))
    made.train()
    assert len(made.batches) == 4 and len(made.tracker) >= 5


LOSSES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]


def of_loss(loss, **more):
    level = {"luspo": dict(importance_sampling_level="sequence"), "cispo": dict(epsilon_high=5.0)}.get(loss, {})
    return dict(loss_type=loss, max_grad_norm=0.0, beta=0.0, max_steps=1, learning_rate=0.1, **level, **more)


def weights_by_hand(calls):
    """[rows] (R − μ)/σ · mean(n)/n: GRPO where every prompt counts the same, from its definition."""
    (call,) = calls
    sizes = np.array([n for n in TRIES if n])
    rewards = np.split(np.array(call.rewards), np.cumsum(sizes)[:-1])
    rows = zip(call.prompts, call.completions, strict=True)
    by_group = [(r - r.mean()) / (r.std() or 1.0) * sizes.mean() / len(r) for r in rewards]
    return dict(zip(rows, np.concatenate(by_group).tolist(), strict=True))


def per_token(loss, mask, items, parts):
    """What an answer's log-probabilities weigh for each unit of advantage, at ratio 1; [rows, tokens].

    φ of vespo is 1 at ratio 1, sapo's gate has slope 1 there, and nothing is clipped.
    """
    rows, longest = len(mask), 6
    length = mask.sum(1, keepdim=True)
    return (
        mask
        * {
            "grpo": 1 / (rows * length) / parts,
            "sapo": 1 / (rows * length) / parts,
            "bnpo": torch.ones_like(length) / mask.sum() / parts,
            "dr_grpo": torch.ones_like(length) / (rows * longest) / parts,
            "dapo": torch.ones_like(length) / items,
            "cispo": torch.ones_like(length) / items,
            "vespo": torch.ones_like(length) / items,
            "luspo": torch.ones_like(length) / rows / parts,
        }[loss]
    )


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("loss", LOSSES)
def test_equal_weight_is_the_objective_in_which_prompts_count_the_same(tmp_path, loss, parts):
    """The parameters' gradient after a real step against autograd through a fresh network, nothing of TRL's in it."""
    change = of_loss(loss, per_device_train_batch_size=16 // parts, gradient_accumulation_steps=parts)
    made = run(tmp_path, judge(coin), rollout=Script(), dial=GRPO, tries=ragged, candidates=5, change=change)
    hand = weights_by_hand(made.batches[0].calls)
    items = made.batches[0].output["completion_mask"].sum().item()
    net = model()
    assert len(made.given) == parts
    for given, rows in zip(made.given, made.seen, strict=True):
        mask = given["completion_mask"].float()
        ids = torch.cat([given["prompt_ids"], given["completion_ids"]], 1)
        attention = torch.cat([given["prompt_mask"], given["completion_mask"]], 1)
        log_p = log_probabilities(net, ids, attention, mask.shape[1])
        a = torch.tensor([hand[p, c] for p, c, _ in rows], dtype=torch.float32)[:, None]
        (-(a * per_token(loss, mask, items, parts) * log_p).sum()).backward()
    (found,) = made.gradients
    expected = [p.grad for p in net.parameters()]
    assert max(g.abs().max() for g in expected) > 1e-3
    for ours, by_hand in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, by_hand, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_off_policy_too_a_prompt_s_gradient_is_scaled_and_nothing_else(tmp_path, loss):
    """On the second pass, where ratios are clipped: g = Σ (mean n / nᵢ) · g(prompt i alone in the same batch)."""
    change = of_loss(loss, num_iterations=2) | dict(max_steps=2)
    made = run(tmp_path, judge(coin), rollout=Script(), dial=GRPO, tries=ragged, candidates=5, change=change)
    plain = run(
        tmp_path,
        judge(coin),
        rollout=Script(),
        dial=GRPO,
        tries=ragged,
        candidates=5,
        weight="proportional",
        change=change,
    )
    given, net = made.given[1], made.model
    own = dict(zip(plain.batches[0].rows, plain.batches[0].advantages, strict=True))
    rows = [row[:2] for row in made.seen[1]]
    with torch.no_grad():
        for p, then in zip(net.parameters(), made.weights[1], strict=True):
            p.copy_(then)
    net.train()
    made.current_gradient_accumulation_steps = 1
    total = [torch.zeros_like(p) for p in net.parameters()]
    sizes = Counter(p for p, _ in rows)
    for prompt, n in sizes.items():
        net.zero_grad()
        alone = torch.tensor([own[row] if row[0] == prompt else 0.0 for row in rows])
        trl.GRPOTrainer._compute_loss(made, net, {**given, "advantages": alone}).backward()
        for g, p in zip(total, net.parameters(), strict=True):
            g += np.mean(list(sizes.values())) / n * p.grad
    assert max(g.abs().max() for g in total) > 1e-3
    ratio = (
        log_probabilities(
            net,
            torch.cat([given["prompt_ids"], given["completion_ids"]], 1),
            torch.cat([given["prompt_mask"], given["completion_mask"]], 1),
            given["completion_ids"].shape[1],
        ).exp()
        / given["old_per_token_logps"].exp()
    )
    assert (abs(ratio[given["completion_mask"].bool()] - 1) > 0.2).any()
    for ours, expected in zip(made.gradients[1], total, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([4, 4, 4, 3], "answers that add up to 16, got 15"),
        ([4, 4, 4, 5], "answers that add up to 16, got 17"),
        ([0, 0, 0, 0], "add up to 16, got 0"),
        ([1, 5, 5, 5], "one answer alone is silent"),
        ([-4, 8, 8, 4], "got -4"),
        ([4.5, 3.5, 4, 4], "a whole number for each of 4 prompts"),
        ([4, 4, 8], "a whole number for each of 4 prompts"),
        ([4, 4, 4, 2, 2], "a whole number for each of 4 prompts"),
        ([[4], [4], [4], [4]], "a whole number for each of 4 prompts"),
        (["4", "4", "4", "4"], "a whole number for each of 4 prompts"),
        ([4, 4, 4, float("nan")], "a whole number for each of 4 prompts"),
        (None, "a whole number for each of 4 prompts"),
    ],
)
def test_tries_that_cannot_be_used_are_refused_before_any_answer(tmp_path, given, says):
    reward = judge()
    with pytest.raises(ArgumentError, match=re.escape(says)) as told:
        run(tmp_path, reward, tries=lambda ids: given)
    assert told.value.who == "tries" and not reward.calls


@pytest.mark.parametrize("given", [[4, 4, 4, float("inf")], [4, 4, [4], 4]])
def test_tries_that_are_no_numbers_are_refused_in_our_words(given):
    with pytest.raises(ValueError) as told:
        whole_tries(given, 4, 16)
    assert isinstance(told.value, ArgumentError)


def test_tries_of_any_whole_kind_are_taken():
    for given in ([4, 0, 2], (4.0, 0.0, 2.0), np.array([4, 0, 2], np.uint8), torch.tensor([4, 0, 2])):
        assert whole_tries(given, 3, 6) == [4, 0, 2]
