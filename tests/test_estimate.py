from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupsigma import (
    DIALS,
    GRPO,
    ArgumentError,
    Groups,
    expected_gain,
    expected_gain_unbiased,
    gain,
    mean_over_prompts,
    mixed_rate,
    pass_at_k,
    pass_hat_k,
    silent_rate,
    silent_rate_unbiased,
)
from groupsigma.expect import binomial_mean


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_all_draws_of_the_logged_answers(n):
    """Brute force over every subset of the n answers."""
    for c in range(n + 1):
        answers = [1] * c + [0] * (n - c)
        for G in range(1, n + 1):
            draws = [sum(d) for d in combinations(answers, G)]
            assert pass_at_k(c, n, G) == pytest.approx(np.mean([d > 0 for d in draws]), abs=1e-14)
            assert pass_hat_k(c, n, G) == pytest.approx(np.mean([d == G for d in draws]), abs=1e-14)
            assert silent_rate_unbiased(c, n, G) == pytest.approx(np.mean([d in (0, G) for d in draws]), abs=1e-14)
            for name in ("grpo", "maxrl", "nemo-rl", "trl", "pass@4"):
                mean = np.mean([gain(d, G, DIALS[name]) for d in draws])
                assert expected_gain_unbiased(c, n, G, DIALS[name]) == pytest.approx(mean, abs=1e-13)


@given(st.floats(0, 1), st.integers(2, 40), st.data())
def test_no_bias_at_any_solve_rate(p, n, data):
    G = data.draw(st.integers(1, n))
    at = np.array(p), np.array(n)
    silent = binomial_mean(*at, lambda k, m: silent_rate_unbiased(k, m, G))
    assert silent == pytest.approx(float(silent_rate(p, G)), abs=1e-12)
    gains = binomial_mean(*at, lambda k, m: expected_gain_unbiased(k, m, G, GRPO))
    assert gains == pytest.approx(float(expected_gain(p, G)), abs=1e-12)


@given(st.integers(1, 60), st.data())
def test_silence_is_one_minus_pass_at_plus_pass_hat(n, data):
    c, G = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert silent_rate_unbiased(c, n, G) == pytest.approx(1 - pass_at_k(c, n, G) + pass_hat_k(c, n, G), abs=1e-12)


def test_plugging_in_reads_silence_too_high():
    """theory.md §8: true .4305, mean of the plug-in .4511 at p = .1, G = 8, n = 64."""
    plug = binomial_mean(np.array(0.1), np.array(64), lambda k, n: silent_rate(k / n, 8))
    assert silent_rate(0.1, 8) == pytest.approx(0.4305, abs=5e-5) and plug == pytest.approx(0.4511, abs=5e-5)
    assert mixed_rate(0.1, 8) > 1 - plug


def test_large_counts_keep_their_digits():
    exact = float(comb(990, 500) / comb(1000, 500))
    assert pass_hat_k(990, 1000, 500) == pytest.approx(exact, rel=1e-13)
    assert pass_hat_k(99_990, 100_000, 50_000) == pytest.approx(2.0**-10, rel=1e-3)
    assert expected_gain_unbiased(50_000, 100_000, 8) == pytest.approx(float(expected_gain(0.5, 8)), rel=1e-4)


def test_unequal_pools_broadcast():
    got = silent_rate_unbiased([0, 3, 8], [8, 16, 8], 4)
    assert got[0] == got[2] == 1 and got[1] == pytest.approx((comb(13, 4) + 0) / comb(16, 4))


def test_means_and_their_errors_over_prompts():
    rng = np.random.default_rng(0)
    k = rng.binomial(8, rng.beta(0.5, 0.5, 500))
    once = Groups(np.arange(500), k, np.full(500, 8))
    values = expected_gain_unbiased(k, 8, 4)
    mean, error = mean_over_prompts(values, once)
    assert mean == pytest.approx(values.mean()) and error == pytest.approx(values.std(ddof=1) / np.sqrt(500))
    tripled = Groups(np.tile(np.arange(500), 3), np.tile(k, 3), np.full(1500, 8))
    assert mean_over_prompts(np.tile(values, 3), tripled) == pytest.approx((mean, error))
    merged = once.tally()
    assert mean_over_prompts(expected_gain_unbiased(merged.n_correct, 8, 4), merged) == pytest.approx((mean, error))
    assert np.isnan(mean_over_prompts([0.5], Groups(["a"], [1], [2]))[1])
    with pytest.raises(ArgumentError, match="one value for each row"):
        mean_over_prompts([1.0], once)
