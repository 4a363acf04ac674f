import importlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groupsigma import DIALS, DR_GRPO, GRPO, ArgumentError, Dial, advantages, contrast, gain, identity, sigma


@given(st.integers(2, 24), st.integers(1, 9), st.integers(0, 2**32 - 1), st.data())
def test_theorem_1(G, d, seed, data):
    """arXiv 2607.00152, Theorem 1: g = σ Δs for any scores, G and k."""
    k = data.draw(st.integers(0, G))
    scores = np.random.default_rng(seed).normal(size=(G, d))
    rewards = (np.arange(G) < k) * 1.0
    result = identity(scores, rewards)
    np.testing.assert_allclose(result.update, sigma(k, G) * contrast(scores, rewards), atol=1e-12)
    assert result.gain == pytest.approx(float(sigma(k, G)), abs=1e-12)


@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.sampled_from([0, 0.5, 1, 1.5, 2]))
def test_graded_rewards(G, seed, power):
    """A = (R−μ)/σ^α gives g = σ^(2−α) β, β the slope of score on reward."""
    rng = np.random.default_rng(seed)
    scores, rewards = rng.normal(size=(G, 3)), rng.normal(size=G)
    result = identity(scores, rewards, Dial(power=power))
    assert result.gain == pytest.approx(rewards.std() ** (2 - power), rel=1e-9)
    np.testing.assert_allclose(result.update, result.gain * result.direction, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n, d in DIALS.items() if d.spread != "batch"])
def test_every_dial_on_binary_rewards(name):
    rng = np.random.default_rng(3)
    for k in range(9):
        result = identity(rng.normal(size=(8, 4)), (np.arange(8) < k) * 1.0, DIALS[name])
        assert result.error < 1e-13
        assert result.gain == pytest.approx(float(gain(k, 8, DIALS[name])), abs=1e-13)


@pytest.mark.parametrize("wrong", [lambda r, d: 3 * advantages(r, d), lambda r, d: advantages(r, DR_GRPO)])
def test_the_check_can_fail(monkeypatch, wrong):
    """Advantages that are not the dial's leave an error, though they are affine in the rewards too."""
    module = importlib.import_module("groupsigma.identity")
    monkeypatch.setattr(module, "advantages", wrong)
    scores = np.random.default_rng(0).normal(size=(8, 3))
    assert identity(scores, [1, 0, 0, 0, 0, 0, 0, 1]).error > 0.1
    assert identity(scores, np.linspace(0, 1, 8)).error > 0.1


def test_what_is_left_over_where_advantages_do_not_sum_to_zero():
    scores = np.random.default_rng(0).normal(size=(8, 4))
    result = identity(scores, [1] + [0] * 7, DIALS["nemo-rl"])
    assert abs(result.remainder).max() > 0.01 and result.error < 1e-13
    assert not identity(scores, [1] + [0] * 7).remainder.any()


def test_baselines_do_not_matter():
    scores, rewards = np.random.default_rng(0).normal(size=(6, 2)), np.array([1, 0, 0, 1, 0, 0.0])
    np.testing.assert_allclose(identity(scores, rewards + 5).update, identity(scores, rewards).update, atol=1e-12)


def test_real_gradients_of_a_softmax_policy():
    """Scores by autograd: ∇ log π of sampled answers under a small network."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4)).double()
    x = torch.randn(3, dtype=torch.float64)
    answers = torch.distributions.Categorical(logits=net(x)).sample((8,))
    scores = []
    for answer in answers:
        net.zero_grad()
        torch.log_softmax(net(x), -1)[answer].backward()
        scores.append(torch.cat([p.grad.ravel() for p in net.parameters()]).numpy().copy())
    rewards = (answers == answers[0]).double().numpy()
    assert 0 < rewards.sum() < 8
    for dial in (GRPO, DR_GRPO):
        assert identity(scores, rewards, dial).error < 1e-13


def test_silent_groups_have_no_update():
    result = identity(np.ones((4, 2)), [0.7] * 4)
    assert not result.update.any() and result.gain == 0 and result.error == 0


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(ArgumentError, match="one group"):
        identity([[1.0], [2.0]], [1, 0], Dial(spread="batch"))
    with pytest.raises(ArgumentError, match="leave-one-out"):
        identity(np.ones((3, 1)), [0.1, 0.2, 0.3], DIALS["nemo-rl"])
