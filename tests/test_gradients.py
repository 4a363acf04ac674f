"""Theorem 1 on a small Llama's own gradients: exact in float64, and seen to fail where anything is off."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch

from groupsigma import DIALS, DR_GRPO, GRPO, LOGIT, MAXRL, advantages, gain, sigma
from groupsigma.experiments import addition as a
from groupsigma.experiments import gradients as g

TINY = a.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=60, batch=128, digits=1, problems=60, held_out=20
)
EVERY = (GRPO, DR_GRPO, MAXRL, LOGIT)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with a.one_thread():
        yield


@pytest.fixture(scope="module")
def model():
    made = a.new_model(TINY)
    a.teach(made, a.new_tokenizer(), TINY)
    return made


@pytest.fixture(scope="module")
def groups(model):
    found = g.groups(model, a.new_tokenizer(), a.data(TINY)[0], 8, torch.Generator().manual_seed(0))
    assert len({group.rewards.sum() for group in found}) >= 3 and len(found) >= 10
    return found


def silent(group):
    return replace(group, rewards=np.ones(8))


def graded(group):
    return replace(group, rewards=np.linspace(0.1, 0.9, 8)[::-1] ** 2)


# ---- groups -------------------------------------------------------------------------------------


def test_groups_are_mixed_and_their_rewards_are_true(groups):
    words = a.new_tokenizer()
    answers = {row["prompt"]: row["answer"] for row in a.data(TINY)[0]}
    for group in groups:
        assert 0 < group.rewards.sum() < 8 == len(group.answers)
        assert words.decode(group.prompt_ids) == group.prompt
        texts = words.batch_decode(group.answers, skip_special_tokens=True)
        assert group.rewards.tolist() == [float(text == answers[group.prompt]) for text in texts]
        assert all(answer[-1] == 0 for answer, right in zip(group.answers, group.rewards, strict=True) if right)


def test_the_first_groups_of_the_rows(model, groups):
    few = g.groups(model, a.new_tokenizer(), a.data(TINY)[0], 8, torch.Generator().manual_seed(0), most=4)
    assert [x.answers for x in few] == [x.answers for x in groups[:4]]
    prompts = [row["prompt"] for row in a.data(TINY)[0]]
    assert [prompts.index(x.prompt) for x in groups] == sorted(prompts.index(x.prompt) for x in groups)


# ---- both routes --------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_theorem_1_over_all_parameters(model, groups, dtype, within):
    for group in groups[:8]:
        for told, dial in zip(g.theorem(model, group, dtype=dtype), EVERY, strict=True):
            k = group.rewards.sum()
            assert told.dial == dial and told.error < within
            assert told.gain == pytest.approx(float(gain(k, 8, dial)), rel=1e-12)
            assert (
                told.update_norm == pytest.approx(told.gain * told.direction_norm, rel=10 * within)
                and told.update_norm > 0.1
            )
            assert told.parameters == sum(p.numel() for p in model.parameters())


def test_float32_is_computed_in_float32(model, groups):
    """Its error is that of single precision, and not double's: the routes are as different as they say."""
    single = [told.error for group in groups[:4] for told in g.theorem(model, group, dtype=torch.float32)]
    double = [told.error for group in groups[:4] for told in g.theorem(model, group)]
    assert min(single) > 1e-8 > 1e-13 > max(double)


def test_graded_rewards_take_the_slope(model, groups):
    group = graded(groups[0])
    d = group.rewards - group.rewards.mean()
    scores = g.scores(g._in(torch.float64, model), group)
    slope = (d[:, None] * scores).sum(0) / (d**2).sum()
    for told, power in zip(g.theorem(model, group, (GRPO, DR_GRPO, LOGIT)), (1, 0, 2), strict=True):
        assert told.error < 1e-10
        assert told.gain == pytest.approx(group.rewards.std() ** (2 - power), rel=1e-12)
        assert told.direction_norm == pytest.approx(np.linalg.norm(slope), rel=1e-9)


def test_a_rule_whose_advantages_do_not_sum_to_zero(model, groups):
    lone = min(groups, key=lambda group: group.rewards.sum())
    (told,) = g.theorem(model, lone, (DIALS["nemo-rl"],))
    assert told.error < 1e-10
    assert abs(told.update_norm - told.gain * told.direction_norm) > 1e-3 * told.update_norm


def test_silent_groups_have_no_update(model, groups):
    for told in g.theorem(model, silent(groups[0])):
        assert (told.gain, told.update_norm, told.direction_norm, told.error) == (0, 0, 0, 0)


def test_the_model_is_left_as_it_is(model, groups):
    before = [p.detach().clone() for p in model.parameters()]
    model.train()
    g.theorem(model, groups[0])
    assert model.training and model.dtype == torch.float32 and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert all("forward" not in vars(layer) for layer in model.modules())
    model.eval()


def test_a_comparison_is_plain_data(model, groups):
    told = g.theorem(model, groups[0], (GRPO,))[0].to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["dial"] == "grpo" and told["rewards"] == groups[0].rewards.tolist()
    assert set(told) == {"dial", "rewards", "gain", "parameters", "update_norm", "direction_norm", "error"}


# ---- each route by itself -----------------------------------------------------------------------


def test_scores_are_gradients(model, groups):
    """A step of 1e-6 along a random direction changes log π(y|x) by as much as the score says."""
    net, group = g._in(torch.float64, model), groups[0]
    scores = g.scores(net, group)
    assert scores.shape == (8, sum(p.numel() for p in model.parameters())) and scores.dtype == np.float64
    along = np.random.default_rng(0).normal(size=scores.shape[1])
    change = []
    for step in (1e-6, -1e-6):
        moved = g._in(torch.float64, model)
        vector = torch.nn.utils.parameters_to_vector(net.parameters()) + step * torch.from_numpy(along)
        torch.nn.utils.vector_to_parameters(vector.detach(), moved.parameters())
        change.append(g._log_likelihoods(moved, group, range(8)).detach().numpy())
    np.testing.assert_allclose((change[0] - change[1]) / 2e-6, scores @ along, rtol=1e-5)


def test_a_likelihood_is_that_of_every_letter_and_the_end(model, groups):
    group = next(x for x in groups if len({len(answer) for answer in x.answers}) > 1)
    found = g._log_likelihoods(model, group, range(8)).detach()
    for answer, value in zip(group.answers, found.tolist(), strict=True):
        ids, total = list(group.prompt_ids), 0.0
        for letter in answer:
            with torch.no_grad():
                total += float(torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0, -1], -1)[letter])
            ids.append(letter)
        assert value == pytest.approx(total, abs=1e-4)
    solved = [row for row in a.data(TINY)[0] if row["prompt"] == group.prompt]
    chance = a.solve_chances(model, a.new_tokenizer(), solved)[0]
    assert np.exp(found.numpy())[group.rewards == 1] == pytest.approx(chance, rel=1e-4)


def test_the_copy_computes_the_same_function(model, groups):
    ids = torch.tensor([groups[0].prompt_ids])
    exact = g._in(torch.float64, model)(input_ids=ids).logits
    assert exact.dtype == torch.float64
    np.testing.assert_allclose(exact.detach(), model(input_ids=ids).logits.detach(), rtol=1e-4, atol=1e-4)


def test_transformers_own_root_mean_square_would_not_do(model, groups):
    """It rounds to float32 inside a float64 model: the reason for the copy's."""
    plain = a.new_model(TINY).double()
    plain.load_state_dict(model.state_dict())
    scores = g.scores(plain, groups[0])
    k = groups[0].rewards.sum()
    wanted = sigma(k, 8) * (scores[groups[0].rewards == 1].mean(0) - scores[groups[0].rewards == 0].mean(0))
    off = np.linalg.norm(g.update(plain, groups[0]) - wanted) / np.linalg.norm(wanted)
    assert 1e-10 < off < 1e-5


# ---- the check can fail -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda r, dial: 1.01 * advantages(r, dial),
        lambda r, dial: advantages(r, LOGIT if dial != LOGIT else GRPO),
        lambda r, dial: advantages(r, dial) + 0.01,
        lambda r, dial: advantages(r, dial) + 0.01 * (np.arange(8) == 3),
        lambda r, dial: -advantages(r, dial),
    ],
    ids=["scaled", "another dial", "uncentred", "one answer", "sign"],
)
def test_other_advantages_leave_an_error(model, groups, monkeypatch, wrong):
    monkeypatch.setattr(g, "advantages", wrong)
    assert all(told.error > 1e-3 for told in g.theorem(model, groups[0]))


def test_a_wrong_sigma_leaves_an_error(model, groups, monkeypatch):
    """ddof 1 in the closed form, ddof 0 in the trainer: √(8/7)."""
    identity = g.identity
    monkeypatch.setattr(g, "identity", lambda s, r, dial: replace(identity(s, r), gain=float(r.std(ddof=1))))
    (told,) = g.theorem(model, groups[0], (GRPO,))
    assert told.error == pytest.approx(np.sqrt(8 / 7) - 1, rel=1e-6)


@pytest.mark.parametrize("lost", ["the end", "a letter of the prompt"])
def test_other_tokens_leave_an_error(model, groups, monkeypatch, lost):
    """The trainer's route on tokens that are not those of the scores."""
    group = groups[0]
    cut = [answer[:-1] if len(answer) > 1 else answer for answer in group.answers]
    other = replace(group, answers=cut) if lost == "the end" else replace(group, prompt_ids=group.prompt_ids[1:])
    scores = g.scores
    monkeypatch.setattr(g, "scores", lambda net, _: scores(net, other))
    assert all(told.error > 1e-3 for told in g.theorem(model, group))
