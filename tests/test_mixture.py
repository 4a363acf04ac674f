import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binom

from groupsigma import ArgumentError, Groups, audit, load, mixture, silent_rate
from groupsigma.estimate import expected_gain_unbiased, silent_rate_unbiased
from groupsigma.mixture import likelihood, probability, solve_rate_grid
from helpers import cut, groups_of


def test_the_grid_holds_both_ends():
    grid = solve_rate_grid()
    assert grid[0] == 0 and grid[-1] == 1 and (np.diff(grid) > 0).all()


def test_probability_is_the_binomials():
    p = solve_rate_grid(21)
    for k, n in ((0, 8), (3, 8), (64, 64), (500, 1000)):
        np.testing.assert_allclose(probability(k, n, p), binom.pmf(k, n, p), rtol=1e-10, atol=1e-300)


def test_likelihood_is_the_binomials_up_to_a_factor():
    p = solve_rate_grid(21)
    rows = likelihood([0, 3, 8], [8, 8, 8], p)
    for k, row in zip((0, 3, 8), rows, strict=True):
        exact = binom.pmf(k, 8, p)
        np.testing.assert_allclose(row, exact / exact.max(), rtol=1e-12, atol=1e-300)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=3, max_size=12).filter(lambda c: sum(c) > 0))
def test_gap_bounds_the_distance_to_the_best_fit(counts):
    """The mean log-likelihood is within `gap` of what a general optimiser finds over the simplex."""
    groups = groups_of(counts)
    fitted = mixture(groups)
    assert fitted.weight.sum() == pytest.approx(1) and (fitted.weight >= 0).all()
    share = np.array(counts) / sum(counts)
    rows = likelihood(np.arange(len(counts)), np.full(len(counts), len(counts) - 1), fitted.p)[share > 0]
    share = share[share > 0]
    ours = share @ np.log(rows @ fitted.weight)
    w = fitted.weight
    for _ in range(3000):  # EM climbs towards the unpenalised optimum
        w = w * (rows.T @ (share / (rows @ w)))
    best = share @ np.log(rows @ w)
    assert -1e-12 <= best - ours <= fitted.gap + 1e-12 or best <= ours


def test_the_fit_is_the_optimum_of_what_it_says():
    """Against scipy's general optimiser on a small grid: same objective value."""
    from groupsigma.mixture import _flattest

    p = solve_rate_grid(9)
    rows = likelihood(np.arange(5), np.full(5, 4), p)
    share = np.array([0.3, 0.1, 0.2, 0.1, 0.3])

    def loss(x, flatness=0.05):
        w = np.exp(x - x.max())
        w /= w.sum()
        return -(share @ np.log(rows @ w) - flatness * (w @ np.log(w)))

    w = _flattest(rows, share, 0.05)
    found = min((minimize(loss, np.random.default_rng(i).normal(size=9)) for i in range(3)), key=lambda r: r.fun)
    assert loss(np.log(w)) <= found.fun + 1e-9


def test_within_n_the_mixture_agrees_with_the_unbiased_numbers():
    groups = cut(16)
    spread, weight = mixture(groups), groups.count / groups.count.sum()
    for G in (2, 4, 8, 16):
        unbiased = weight @ silent_rate_unbiased(groups.n_correct, groups.n_rollouts, G)
        assert spread.silent_rate(G) == pytest.approx(unbiased, abs=1e-3)
        gain = weight @ expected_gain_unbiased(groups.n_correct, groups.n_rollouts, G)
        assert spread.expected_gain(G) == pytest.approx(gain, abs=5e-4)


@pytest.mark.parametrize("n", [4, 8, 16, 32])
def test_beyond_n_within_a_point_on_bigmath(n):
    """theory.md §8: 43.1, 30.2, 19.6, 11.2 % at G = 2n, where the plug-in says 61.6, 45.9, 32.6 %."""
    groups = cut(n)
    truth = audit(load("bigmath"), group_size=2 * n).best.silent.value
    assert mixture(groups).silent_rate(2 * n) == pytest.approx(truth, abs=0.01)
    plug = (groups.count / groups.count.sum()) @ silent_rate(groups.n_correct / n, 2 * n)
    assert plug - truth > 0.05


def test_a_single_solve_rate_is_found():
    rng = np.random.default_rng(0)
    k = rng.binomial(16, 0.3, 20_000)
    spread = mixture(Groups(np.arange(20_000), k, np.full(20_000, 16)))
    near = (spread.p > 0.2) & (spread.p < 0.4)
    assert spread.weight[near].sum() > 0.97


def test_unequal_numbers_of_answers():
    rng = np.random.default_rng(0)
    n, p = rng.integers(1, 33, 100_000), rng.beta(0.5, 0.5, 100_000)
    spread = mixture(Groups(np.arange(100_000), rng.binomial(n, p), n))
    truth = 2 * np.prod((0.5 + np.arange(8)) / (1 + np.arange(8)))
    assert spread.silent_rate(8) == pytest.approx(truth, abs=0.004)


def test_posterior_of_a_problem_never_solved():
    """The plug-in calls k = 0 of 8 silent for ever; the posterior does not."""
    spread = mixture(cut(8))
    never = spread.posterior(0, 8)
    low, high = never.interval()
    assert 0 <= low < never.mean < high < 0.5 and 0.3 < never.silent_rate(8) < 0.95
    assert never.expected_gain(8) > 0
    many = spread.posterior([0, 4, 8], 8)
    assert many.mean.shape == (3,) and (np.diff(many.mean) > 0).all()
    assert many.silent_rate(8)[1] < 0.2


def test_posterior_intervals_hold_what_they_say():
    """Solve rates drawn from the spread itself: 95 % intervals cover 95 % (binomial error 0.2 points)."""
    spread = mixture(cut(16))
    rng = np.random.default_rng(0)
    p = rng.choice(spread.p, 10_000, p=spread.weight)
    k = rng.binomial(16, p)
    low, high = spread.posterior(k, 16).interval()
    assert np.mean((low <= p) & (p <= high)) >= 0.95 - 3 * 0.0022


def test_only_counts_have_a_mixture():
    with pytest.raises(ArgumentError, match="rates without n"):
        mixture(Groups(["a"], None, [0], rate=[0.5]))
    with pytest.raises(ArgumentError, match="graded rewards"):
        mixture(Groups.from_rewards(None, [[0.5, 0.1]]))


def test_few_problems_are_smoothed_not_refused():
    spread = mixture(Groups(["a"], [3], [8]))
    assert 0 < spread.silent_rate(8) < 1 and np.isfinite(spread.gap)
