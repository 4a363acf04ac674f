import numpy as np
import pytest

from groupsigma import (
    DR_GRPO,
    ArgumentError,
    Groups,
    audit,
    expected_gain_interval,
    load,
    mixture,
    region,
    silent_rate,
    silent_rate_interval,
)
from helpers import cut, groups_of


@pytest.mark.parametrize(("n", "width"), [(4, 0.035), (8, 0.035), (16, 0.032), (32, 0.03)])
def test_the_truth_lies_inside_and_the_interval_is_narrow_for_many_problems(n, width):
    """theory.md §8: n = 8 → 16 within 28.6 to 31.9 % on Big-Math."""
    low, high = silent_rate_interval(cut(n), 2 * n)
    truth = audit(load("bigmath"), group_size=2 * n).best.silent.value
    assert low < truth < high and high - low < width


def test_far_extrapolation_is_wide():
    low, high = silent_rate_interval(cut(4), 64)
    assert high - low > 0.1 and low < 0.112 < high


@pytest.mark.parametrize(("problems", "at_least"), [(1000, 0.1), (100, 0.3)])
def test_few_problems_are_wide(problems, at_least):
    rng = np.random.default_rng(0)
    whole = cut(8)
    few = groups_of(rng.multinomial(problems, whole.count / whole.count.sum()))
    low, high = silent_rate_interval(few, 16)
    assert high - low > at_least and low < 0.302 < high


def test_the_mixture_lies_inside():
    for n in (8, 16):
        groups = cut(n)
        for G in (n, 2 * n, 4 * n):
            low, high = silent_rate_interval(groups, G)
            assert low <= mixture(groups).silent_rate(G) <= high


def test_gain_and_shares():
    groups = cut(16)
    low, high = expected_gain_interval(groups, 32, DR_GRPO)
    p = load("bigmath").solve_rate
    weight = load("bigmath").count / load("bigmath").count.sum()
    truth = float(weight @ (p * (1 - p))) * (64 / 63) * (1 - 1 / 32)  # unbiased p(1−p) from k of 64
    assert low < truth < high
    where = region(groups)
    whole = where.p * (1 - where.p)
    part = np.where(where.p < 0.1, whole, 0.0)
    low, high = where.share_interval(part, whole)
    assert 0 < low < 0.079 < high < 0.2  # a band with sharp ends is hard to tell from 16 answers


def test_coverage_of_the_region():
    """60 data sets of 2,000 problems from Beta(½, ½), n = 6: at least 95 % less 3 binomial errors."""
    rng = np.random.default_rng(0)
    truth = 2 * np.prod((0.5 + np.arange(12)) / (1 + np.arange(12)))
    hits = 0
    for _ in range(60):
        k = rng.binomial(6, rng.beta(0.5, 0.5, 2000))
        low, high = silent_rate_interval(groups_of(np.bincount(k, minlength=7)), 12)
        hits += low <= truth <= high
    assert hits / 60 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)


def test_counts_that_no_spread_gives_are_strained_not_hidden():
    """Every problem solved exactly 4 of 8 times: no independent draws do that."""
    where = region(groups_of([0, 0, 0, 0, 1000, 0, 0, 0, 0]))
    assert where.strain > 1
    assert region(cut(8)).strain == 0
    assert region(load("bigmath")).strain > 0  # problems never solved were removed from it


def test_several_visits_of_a_prompt_are_one_observation():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 300)
    once = Groups(np.arange(300), rng.binomial(8, p), np.full(300, 8))
    same = Groups(np.tile(np.arange(300), 10), np.tile(once.n_correct, 10), np.full(3000, 8))
    a, b = silent_rate_interval(once, 16), silent_rate_interval(same, 16)
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_rows_that_stand_for_many_problems_count_as_many():
    many = Groups(["a", "a", "b"], [0, 8, 4], [8] * 3, count=[1000, 1, 1])
    low = silent_rate_interval(many, 16)[0]
    assert low > 0.9


def test_unequal_numbers_of_answers():
    rng = np.random.default_rng(0)
    n, p = rng.choice([4, 8], 20_000), rng.beta(0.5, 0.5, 20_000)
    low, high = silent_rate_interval(Groups(np.arange(20_000), rng.binomial(n, p), n), 8)
    truth = 2 * np.prod((0.5 + np.arange(8)) / (1 + np.arange(8)))
    assert low < truth < high and high - low < 0.1


def test_bad_input():
    with pytest.raises(ArgumentError, match="rates without n"):
        region(Groups(["a"], None, [0], rate=[0.5]))
    with pytest.raises(ArgumentError, match="level strictly between"):
        region(cut(4), 1.0)
    assert silent_rate(0.0, 8) == 1
