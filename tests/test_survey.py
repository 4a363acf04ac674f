import numpy as np
import pytest

from groupsigma import ArgumentError, Groups, audit, borrow, interval_width, load, mixture, problems_needed, silent_rate
from helpers import cut

SPREAD = mixture(load("bigmath"))


@pytest.mark.parametrize(("n", "G"), [(8, 8), (16, 8)])
def test_width_is_what_an_audit_then_gives(n, G):
    rng = np.random.default_rng(0)
    p = rng.choice(SPREAD.p, 3000, p=SPREAD.weight)
    share = audit(Groups(np.arange(3000), rng.binomial(n, p), np.full(3000, n)), group_size=G).best.silent
    assert interval_width(SPREAD, 3000, n, G) == pytest.approx(share.high - share.low, rel=0.05)


def test_missing_answers_are_not_made_up_for_by_problems():
    assert interval_width(SPREAD, 100_000, 4, 32) > 0.2
    assert interval_width(SPREAD, 1000, 32, 32) < 0.06
    assert problems_needed(SPREAD, 0.05, 4, 32, most=100_000) == -1


def test_problems_needed_is_the_smallest():
    need = problems_needed(SPREAD, 0.05, 8, 8)
    assert interval_width(SPREAD, need, 8, 8) <= 0.05 < interval_width(SPREAD, need - 1, 8, 8)


def other_model(noise, seed=0, problems=5000):
    """Their rates and my solve rates, correlated through a common difficulty in log-odds."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 2, problems)
    theirs = rng.binomial(64, 1 / (1 + np.exp(-difficulty)))
    mine = 1 / (1 + np.exp(-(difficulty + 0.7 + noise * rng.normal(size=problems))))
    return Groups(np.arange(problems), theirs, np.full(problems, 64)), mine


def sample(mine, rng, size=150, n=8):
    chosen = rng.choice(len(mine), size, replace=False)
    return Groups(chosen, rng.binomial(n, mine[chosen]), np.full(size, n))


def test_rates_of_a_similar_model_narrow_the_interval_and_it_still_covers():
    theirs, mine = other_model(0.5)
    truth, rng = silent_rate(mine, 8).mean(), np.random.default_rng(1)
    told = [borrow(theirs, sample(mine, rng), 8) for _ in range(300)]
    assert np.mean([t.high - t.low for t in told]) < 0.9 * np.mean([t.alone_high - t.alone_low for t in told])
    assert np.mean([t.low <= truth <= t.high for t in told]) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean([t.value for t in told]) == pytest.approx(truth, abs=0.01)


def test_rates_that_say_nothing_do_no_harm():
    theirs, mine = other_model(0.5)
    shuffled = np.random.default_rng(2).permutation(mine)
    rng = np.random.default_rng(3)
    told = [borrow(theirs, sample(shuffled, rng), 8) for _ in range(200)]
    assert np.mean([t.value for t in told]) == pytest.approx(silent_rate(shuffled, 8).mean(), abs=0.015)


def test_bad_input():
    theirs = other_model(0.5)[0]
    few = Groups([1, 2], [3, 4], [8, 8])
    with pytest.raises(ArgumentError, match="among theirs, got 99999"):
        borrow(theirs, Groups([99999, 1], [1, 1], [8, 8]), 8)
    with pytest.raises(ArgumentError, match="n >= G"):
        borrow(theirs, few, 16)
    with pytest.raises(ArgumentError, match="two problems"):
        borrow(theirs, Groups([1], [3], [8]), 8)
    with pytest.raises(ArgumentError, match="width strictly"):
        problems_needed(SPREAD, 0, 8, 8)
    with pytest.raises(ArgumentError, match="problems to be a whole"):
        interval_width(SPREAD, 1, 8, 8)


def test_a_checker_that_errs():
    exact = audit(load("bigmath"))
    assert exact.checked is None
    errs = audit(load("bigmath"), false_positive=0.02, false_negative=0.1)
    p = load("bigmath").solve_rate
    weight = load("bigmath").count / load("bigmath").count.sum()
    assert errs.checked.silent.value == pytest.approx(float(weight @ silent_rate(0.02 + 0.88 * p, 8)), abs=0.01)
    assert errs.metrics()["silent_checked"] < exact.best.silent.value and errs.best == exact.best
    rates = audit(Groups(["a"], None, [0], rate=[0.0]), false_positive=0.1)
    assert rates.checked.silent.value == pytest.approx(0.9**8 + 0.1**8)
    with pytest.raises(ArgumentError, match="false_positive in"):
        audit(cut(8), false_positive=1.5)
