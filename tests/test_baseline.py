"""What an answer is compared with under a belief: Bayes' rule, unbiased whatever is believed, RLOO as a limit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupsigma import Beliefs, baseline
from groupsigma.baseline import baseline_of
from groupsigma.errors import ArgumentError
from groupsigma.expect import binomial_mean


def test_of_a_beta_belief_it_is_a_fraction():
    # Beta(a, b): (a + k₋ᵢ)/(a + b + n − 1), module docstring; the default belief is Beta(½, ½), cut off at p = 1.2e-4.
    told = Beliefs.about(["x"], points=2049)
    for k, n in ((0, 1), (1, 1), (1, 4), (3, 4), (5, 8)):
        right, wrong = baseline(told, ["x"], [k], [n])
        if k:
            assert right[0] == pytest.approx((0.5 + k - 1) / n, abs=4e-3)
        if k < n:
            assert wrong[0] == pytest.approx((0.5 + k) / n, abs=4e-3)


def test_one_answer_is_compared_with_the_belief_alone():
    told = Beliefs.about(["a", "b"], rate=[0.1, 0.8])
    right, wrong = baseline(told, ["b", "a"], [1, 0], [1, 1])
    assert np.allclose(right, told.mean[::-1], atol=1e-12) and np.allclose(wrong, told.mean[::-1], atol=1e-12)


def test_leave_one_out_is_the_limit_of_no_belief():
    # Beta(a, a) for a → 0: almost all of the weight at the ends, so that other answers decide alone.
    p = 1 / (1 + np.exp(-np.linspace(-30, 30, 6001)))
    weight = (p * (1 - p)) ** 1e-3
    k, n = np.array([2.0, 3.0, 5.0]), np.array([4.0, 8.0, 8.0])
    right, wrong = baseline_of(np.tile(weight / weight.sum(), (3, 1)), p, k, n)
    assert np.allclose(right, (k - 1) / (n - 1), atol=2e-3) and np.allclose(wrong, k / (n - 1), atol=2e-3)


@given(
    st.floats(0.01, 0.99),
    st.integers(1, 9),
    st.lists(st.floats(0.001, 1), min_size=3, max_size=6),
)
def test_the_update_is_n_times_the_gradient_whatever_is_believed(p, n, weights):
    # Of a Bernoulli answer ∇ log π = R − p in log-odds, and E Σ (R − b)(R − p) = n p(1 − p) for any b of the others.
    grid = np.linspace(0.05, 0.95, len(weights))
    belief = np.array(weights) / np.sum(weights)

    def update(k, size):
        right, wrong = baseline_of(np.tile(belief, (k.size, 1)), grid, k.ravel(), np.full(k.size, n))
        return (k.ravel() * (1 - right) * (1 - p) + (n - k.ravel()) * wrong * p).reshape(k.shape)

    assert float(binomial_mean(p, n, update)) == pytest.approx(n * p * (1 - p), rel=1e-9)


def test_a_baseline_that_has_seen_the_answer_would_be_biased():
    # What the docstring warns of: asked after the update, an answer of a coin is worth less than p(1 − p).
    told, p = Beliefs.about(["x"]), 0.5
    late = {}
    for k in (0, 1):
        seen = told.update(["x"], [k], [1])
        right, wrong = baseline(seen, ["x"], [k], [1])
        late[k] = (1 - right[0]) * (1 - p) if k else wrong[0] * p
    assert p * late[1] + (1 - p) * late[0] < 0.8 * p * (1 - p)


def test_refusals():
    told = Beliefs.about(["a", "b"])
    with pytest.raises(ArgumentError, match="ids of problems in these beliefs"):
        baseline(told, ["c"], [1], [1])
    with pytest.raises(ArgumentError, match="k and n for each prompt id"):
        baseline(told, ["a", "b"], [1], [1])
    with pytest.raises(ArgumentError):
        baseline(told, ["a"], [0], [0])


def test_beliefs_among_some_are_theirs():
    told = Beliefs.about(["a", "b", "c"], rate=[0.1, 0.5, 0.9], columns=[[1.0], [0.0], [2.0]])
    some = told.among(np.array([2, 0]))
    assert some.prompt_ids.tolist() == ["c", "a"] and np.allclose(some.mean, told.mean[[2, 0]])
    assert some.update(["a"], [4], [4]).mean[1] > some.mean[1]
