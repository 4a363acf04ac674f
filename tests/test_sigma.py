import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupsigma import (
    DIALS,
    DR_GRPO,
    GRPO,
    ArgumentError,
    Dial,
    advantage_pair,
    advantage_table,
    contrast,
    gain,
    is_silent,
    mean_advantage,
    sigma,
    slope,
)


def test_sigma_is_the_population_standard_deviation():
    for G in (1, 2, 7, 64):
        for k in range(G + 1):
            assert sigma(k, G) == pytest.approx(np.std([1.0] * k + [0.0] * (G - k)), abs=1e-15)


def test_sigma_of_large_groups():
    assert sigma(50_000, 100_000) == 0.5 and sigma(1, 10**9) == pytest.approx(10**-4.5, rel=1e-9)


@pytest.mark.parametrize("name", [n for n, d in DIALS.items() if d.spread != "batch"])
def test_silent_columns_are_exact_zeros(name):
    for G in (1, 2, 8):
        table = advantage_table(G, DIALS[name])
        assert table.shape == (2, G + 1) and not table[:, [0, G]].any()
        assert np.isfinite(table).all()


def test_rewards_left_alone_are_not_silent():
    table = advantage_table(3, Dial(power=0, center="none"))
    assert table.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("name", [n for n, d in DIALS.items() if d.spread != "batch"])
def test_gain_is_the_coefficient_of_the_contrast(name):
    """g = gain Δs + Ā s̄ on random scores, summed answer by answer."""
    rng = np.random.default_rng(0)
    for G in (2, 5, 8):
        for k in range(G + 1):
            rewards = (np.arange(G) < k) * 1.0
            scores = rng.normal(size=(G, 3))
            plus, minus = advantage_pair(k, G, DIALS[name])
            update = (np.where(rewards == 1, plus, minus)[:, None] * scores).mean(0)
            other = gain(k, G, DIALS[name]) * contrast(scores, rewards)
            other = other + mean_advantage(k, G, DIALS[name]) * scores.mean(0)
            np.testing.assert_allclose(update, other, atol=1e-14)


def test_gains_of_the_three_methods():
    k = np.arange(9)
    np.testing.assert_allclose(gain(k, 8, GRPO), sigma(k, 8), atol=1e-16)
    np.testing.assert_allclose(gain(k, 8, DR_GRPO), sigma(k, 8) ** 2, atol=1e-16)


def test_broadcasting_and_scalars():
    assert gain([[1], [2]], [4, 8]).shape == (2, 2) and np.ndim(gain(1, 4)) == 0


def test_batch_wide_scales_have_no_table():
    with pytest.raises(ArgumentError, match="looks at one group"):
        advantage_table(8, Dial(spread="batch"))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12), st.floats(-1e3, 1e3))
def test_a_constant_group_is_silent_however_it_is_shifted(pattern, value):
    assert is_silent([value] * len(pattern))


@pytest.mark.parametrize(
    ("rewards", "silent"),
    [
        ([0.7] * 6, True),
        ([0.1 + 0.2, 0.3], True),
        ([1, 1, 1, 0], False),
        ([1e6, 1e6 + 0.5], True),
        ([1e6, 1e6 + 2.0], False),
        ([0, 2e-6], False),
        ([np.nan, 1, 1], True),
        ([None, 1, 0], False),
        ([np.nan, np.nan], True),
        ([1], True),
        ([np.inf, 1, 0], False),
    ],
)
def test_silence_by_equality_with_the_stated_tolerance(rewards, silent):
    assert is_silent(rewards) == silent


def test_silence_of_many_groups_at_once():
    assert is_silent([[1, 1], [1, 0]]).tolist() == [True, False]
    with pytest.raises(ArgumentError, match="at least one reward"):
        is_silent([])


def test_contrast_is_a_difference_of_means():
    scores = np.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(contrast(scores, [1, 0, 1, 0]), scores[[0, 2]].mean(0) - scores[[1, 3]].mean(0))
    assert not contrast(scores, [1, 1, 1, 1]).any()


@given(st.integers(2, 10), st.data())
def test_slope_is_the_contrast_on_binary_rewards_and_least_squares_on_others(G, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    scores = rng.normal(size=(G, 2))
    k = data.draw(st.integers(1, G - 1))
    rewards = (np.arange(G) < k) * 1.0
    np.testing.assert_allclose(slope(scores, rewards), contrast(scores, rewards), atol=1e-12)
    graded = rng.normal(size=G)
    fitted = np.polyfit(graded, scores, 1)[0]
    np.testing.assert_allclose(slope(scores, graded), fitted, rtol=1e-6, atol=1e-8)


def test_scores_and_rewards_that_do_not_match():
    for bad in (([[1.0]], [1, 0]), ([[1.0], [2.0]], [[1], [0]]), (np.zeros((0, 2)), [])):
        with pytest.raises(ArgumentError, match="one group"):
            slope(*bad)
    with pytest.raises(ArgumentError, match="hint: slope"):
        contrast([[1.0], [2.0]], [0.5, 1])
    with pytest.raises(ArgumentError, match="finite"):
        slope([[np.nan], [1.0]], [1, 0])
