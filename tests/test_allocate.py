"""The allocator against all allocations there are, its own dual, and itself on other paths."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupsigma import allocate as module
from groupsigma.allocate import allocate
from groupsigma.value import Goal, group_value

few = settings(max_examples=120, deadline=None)


def run(v, least, budget, cost=None, count=None, skip=True):
    v = np.asarray(v, dtype=np.float64)
    cost = np.ones(len(v)) if cost is None else np.asarray(cost, dtype=np.float64)
    count = np.ones(len(v), dtype=np.int64) if count is None else np.asarray(count)
    return allocate(lambda rows: v[rows], v.shape[1] - 1, least, budget, cost, count, skip)


def choices(most, least, skip):
    return ([0] if skip else []) + list(range(max(least, 1), most + 1))


def optimum(v, least, budget, cost, skip):
    """The best of all allocations."""
    v, every = np.asarray(v), np.arange(len(v))
    found = [
        float(v[every, list(tries)].sum())
        for tries in product(choices(v.shape[1] - 1, least, skip), repeat=len(v))
        if np.dot(tries, cost) <= budget * (1 + 1e-12)
    ]
    return max(found)


def dual(v, least, budget, cost, skip):
    """min over prices of price · budget + Σ max_G (V − price · cost · G), at every price where it can bend."""
    v, at = np.asarray(v, dtype=np.float64), choices(len(v[0]) - 1, least, skip)
    prices = {0.0}
    for row, c in zip(v, cost, strict=True):
        prices |= {(row[g] - row[h]) / (g - h) / c for g in at for h in at if g > h}
    spent = np.multiply.outer(np.asarray(cost, dtype=np.float64), at)
    return min(x * budget + (v[:, at] - x * spent).max(1).sum() for x in prices if x >= 0)


def accounts(found, v, cost, count, budget, least, skip):
    """Spent, value and limits of an allocation, as they follow from its tries; the budget is kept."""
    v, every = np.asarray(v, dtype=np.float64), np.arange(len(found.tries))
    spent, value = count * cost * found.tries, count * v[every, found.tries]
    some = list(found.tries)
    if found.split is not None:
        row, copies, tries = found.split
        assert 0 < copies < count[row] and tries > found.tries[row]
        some.append(tries)
        spent[row] += copies * cost[row] * (tries - found.tries[row])
        value[row] += copies * (v[row, tries] - v[row, found.tries[row]])
    assert set(some) <= set(choices(v.shape[1] - 1, least, skip))
    assert spent.sum() <= budget * (1 + 1e-9)
    assert found.spent == pytest.approx(spent.sum(), abs=1e-9)
    assert found.value == pytest.approx(value.sum(), abs=1e-9)
    assert found.value <= found.bound and found.price >= 0
    assert found.tries.dtype == np.int64


@st.composite
def problems(draw, rows=4, most=6, whole=False):
    """Arbitrary values (falling, bending, negative), least tries 1 to 3, skip or not, costs, enough budget."""
    R, G, least, skip = (
        draw(st.integers(1, rows)),
        draw(st.integers(3, most)),
        draw(st.integers(1, 3)),
        draw(st.booleans()),
    )
    number = st.integers(-4, 12).map(float) if whole else st.floats(-1, 3, width=32)
    v = [[0.0, *draw(st.lists(number, min_size=G, max_size=G))] for _ in range(R)]
    cost = (
        draw(st.lists(st.sampled_from([1.0, 0.5, 1.7, 3.0]), min_size=R, max_size=R))
        if draw(st.booleans())
        else [1.0] * R
    )
    smallest = 0.0 if skip else least * sum(cost)
    budget = smallest + draw(st.floats(0, 1.2)) * (G * sum(cost) - smallest)
    return v, least, budget, cost, skip


def concave(draw_slopes):
    return np.hstack([np.zeros((len(draw_slopes), 1)), np.cumsum(-np.sort(-np.array(draw_slopes)), axis=1)])


# ---- against brute force ------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["reals", "ties"])
def test_attained_then_optimum_then_bound(whole):
    @few
    @given(problems(whole=whole))
    def check(problem):
        v, least, budget, cost, skip = problem
        found = run(v, least, budget, cost, skip=skip)
        best = optimum(v, least, budget, cost, skip)
        accounts(found, v, np.array(cost), np.ones(len(v)), budget, least, skip)
        assert found.split is None
        assert found.value <= best + 1e-9 <= found.bound + 2e-9
        assert found.bound == pytest.approx(dual(v, least, budget, cost, skip), abs=1e-7)

    check()


@few
@given(problems())
def test_what_is_left_would_not_have_bought_the_next_block(problem):
    """Value within one block of the optimum: at most price × the cost of the largest block is missing."""
    v, least, budget, cost, skip = problem
    found = run(v, least, budget, cost, skip=skip)
    assert found.bound - found.value <= found.price * (len(v[0]) - 1) * max(cost) + 1e-9


@few
@given(st.lists(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), min_size=1, max_size=4), st.integers(0, 22))
def test_concave_values_at_one_price_are_allocated_exactly(slopes, budget):
    v = concave(slopes)
    found = run(v, 1, budget)
    assert found.value == pytest.approx(optimum(v, 1, budget, np.ones(len(v)), True))
    assert found.bound == pytest.approx(found.value) and found.spent == min(budget, 5 * len(v))
    fixed = run(v, 1, budget + len(v), skip=False)
    assert fixed.value == pytest.approx(optimum(v, 1, budget + len(v), np.ones(len(v)), False))


def test_real_values_with_an_entry_block():
    """Our own goals: whatever the budget, what is attained lies within 5 % of the best there is."""
    p = np.array([0.02, 0.3, 0.5, 0.9])
    for name in ("signal", "coverage", "gain"):
        v = group_value(p[:, None], np.arange(9), Goal(name))
        for budget in range(2, 33):
            found, best = run(v, 2, budget), optimum(v, 2, budget, np.ones(4), True)
            assert found.value <= best + 1e-12 <= found.bound + 2e-12
            assert found.value >= 0.95 * best


def test_nothing_worth_buying():
    found = run([[0, -1, -2, -3.0], [0, 0, 0, 0]], 1, 5.0)
    assert found.tries.tolist() == [0, 0] and found.value == found.bound == found.spent == found.price == 0


def test_a_useful_try_after_useless_ones_is_bought_whole():
    """A hull over all: 0 0 0 3 is one block of three."""
    v = [[0, 0, 0, 3.0], [0, 0.9, 1.7, 2.4]]
    assert run(v, 1, 3.0).tries.tolist() == [3, 0]
    found = run(v, 1, 2.0)
    assert found.tries.tolist() == [0, 2] and found.bound == 2.0


def test_no_skipping_starts_at_the_least():
    v = [[0, 5, 1, 1.5, 9.0], [0, 0, 0, 0, 0.1]]
    found = run(v, 2, 4.0, skip=False)
    assert found.tries.tolist() == [2, 2] and found.value == found.bound == 1.0
    assert run(v, 2, 6.0, skip=False).tries.tolist() == [4, 2]


def test_price_is_what_a_little_more_budget_buys():
    v = concave([[0.9, 0.5, 0.4], [0.8, 0.3, 0.1]])
    for budget, price in ((1, 0.8), (2, 0.5), (3, 0.4), (4, 0.3), (5, 0.1), (6, 0.0), (9, 0.0)):
        assert run(v, 1, float(budget)).price == pytest.approx(price)


def test_doubling_all_costs_and_the_budget_changes_nothing():
    rng = np.random.default_rng(3)
    v = np.hstack([np.zeros((6, 1)), np.cumsum(rng.random((6, 7)), 1)])
    one, two = run(v, 2, 20.0), run(v, 2, 40.0, cost=np.full(6, 2.0))
    assert one.tries.tolist() == two.tries.tolist() and one.price == pytest.approx(2 * two.price)


# ---- rows that stand for several problems -------------------------------------------------------


@few
@given(problems(rows=2, most=4, whole=True), st.lists(st.integers(1, 3), min_size=2, max_size=2))
def test_a_row_of_many_is_many_rows(problem, counts):
    v, least, budget, cost, skip = problem
    count = np.array(counts[: len(v)])
    budget *= float(count @ cost) / sum(cost)
    found = run(v, least, budget, cost, count, skip)
    accounts(found, v, np.array(cost), count, budget, least, skip)
    apart, prices = np.repeat(v, count, axis=0), np.repeat(cost, count)
    alone = run(apart, least, budget, prices, skip=skip)
    assert found.bound == pytest.approx(alone.bound, abs=1e-9)
    assert found.value <= optimum(apart, least, budget, prices, skip) + 1e-9


@few
@given(
    st.lists(st.lists(st.integers(1, 999), min_size=4, max_size=4, unique=True), min_size=1, max_size=5),
    st.lists(st.integers(1, 50), min_size=5, max_size=5), st.floats(0, 1.1),
)  # fmt: skip
def test_concave_rows_of_many_lose_nothing(slopes, counts, share):
    """No two slopes of a row alike: equal ones make one block, which a row of many can divide only once."""
    v, count = concave(slopes) / 1000, np.array(counts[: len(slopes)])
    budget = float(int(share * 4 * count.sum()))
    found = run(v, 1, budget, count=count)
    accounts(found, v, np.ones(len(v)), count, budget, 1, True)
    alone = run(np.repeat(v, count, axis=0), 1, budget)
    assert found.value == pytest.approx(alone.value) and found.bound == pytest.approx(alone.bound)
    assert found.spent == alone.spent


def test_a_row_of_many_is_divided_at_the_margin():
    v = [[0, 1.0, 1.5]]
    found = run(v, 1, 130.0, count=[100])
    assert found.tries.tolist() == [1] and found.split == (0, 30, 2) and found.value == 115
    assert found.bound == found.value and found.price == 0.5


def test_rows_that_stand_for_none_cost_nothing():
    v = concave([[0.9, 0.5], [0.8, 0.3]])
    found = run(v, 1, 2.0, count=[0, 1])
    assert found.tries[1] == 2 and found.value == pytest.approx(1.1) and found.spent == 2


# ---- other paths to the same ---------------------------------------------------------------------


def crowd(rows, seed):
    """Values of many problems as a plan has them, some of which bend."""
    rng = np.random.default_rng(seed)
    v = group_value(rng.beta(0.4, 0.6, rows)[:, None], np.arange(13), Goal("signal"))
    bent = rng.choice(rows, rows // 10, replace=False)
    v[bent] = np.hstack([np.zeros((len(bent), 1)), np.cumsum(rng.random((len(bent), 12)) * 0.05, 1)])
    return v


def same(one, two, v):
    assert one.value == pytest.approx(two.value, rel=1e-12) and one.bound == pytest.approx(two.bound, rel=1e-12)
    assert one.price == pytest.approx(two.price, rel=1e-9)
    every = np.arange(len(v))
    assert v[every, one.tries].sum() == pytest.approx(v[every, two.tries].sum(), rel=1e-12)
    assert one.split == two.split


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("budget", [7000.0, 9001.0, 20_000.0, 35_999.0])
def test_the_price_bracketed_by_a_sample_is_the_price(monkeypatch, budget, skip):
    v = crowd(3000, 1)
    short = run(v, 2, budget, skip=skip)
    monkeypatch.setattr(module, "_SAMPLE", 10**9)
    same(short, run(v, 2, budget, skip=skip), v)


def test_the_sample_with_unequal_costs_and_counts(monkeypatch):
    rng = np.random.default_rng(2)
    v, cost, count = crowd(2000, 4), rng.uniform(0.5, 4, 2000), rng.integers(0, 5, 2000)
    for budget in (500.0, 10_000.0, 60_000.0):
        with monkeypatch.context() as patch:
            patch.setattr(module, "_SAMPLE", 10**9)
            exact = run(v, 2, budget, cost, count)
        found = run(v, 2, budget, cost, count)
        accounts(found, v, cost, count, budget, 2, True)
        assert found.bound == pytest.approx(exact.bound, rel=1e-12)
        assert found.price == pytest.approx(exact.price, rel=1e-9)
        # What is left over after the last whole block may buy something else: less than a try is worth.
        assert abs(found.value - exact.value) <= exact.price * cost.max() * 12


def test_a_sample_of_rows_that_stand_for_none():
    v, count = crowd(2000, 6), np.zeros(2000, dtype=np.int64)
    count[7:19:4] = 3
    found = run(v, 2, 40.0, count=count)
    accounts(found, v, np.ones(2000), count, 40.0, 2, True)
    apart = run(np.repeat(v, count, axis=0), 2, 40.0)
    assert found.bound == pytest.approx(apart.bound)


def test_a_budget_that_ends_with_the_bracket(monkeypatch):
    """Pieces down to the lower price cost just what there is: the price lies below, not at 0."""
    v = [[0, 1, 1.9, 2.7], [0, 0.6, 1.1, 1.2]]
    exact = run(v, 1, 4.0)
    monkeypatch.setattr(module, "_bracket", lambda *_: (0.55, np.inf))
    same(run(v, 1, 4.0), exact, np.array(v))


def test_a_sample_that_says_nothing_of_the_rest(monkeypatch):
    """Sampled rows are worthless, all others are not: the bracket is wrong and is widened."""
    monkeypatch.setattr(module, "_SAMPLE", 8)
    rows = np.arange(64)
    v = np.zeros((64, 4))
    good = rows % 8 != 4  # every // 2 is where the sample starts
    v[good] = np.array([0, 1, 1.5, 1.75]) * (1 + rows[good, None] / 1000)
    found = run(v, 1, 30.0)
    monkeypatch.setattr(module, "_SAMPLE", 10**9)
    same(found, run(v, 1, 30.0), v)
    assert found.tries[~good].sum() == 0 and found.spent == 30


@pytest.mark.parametrize("wrong", [(0.0, 1e-9), (0.9, np.inf), (0.9, 0.95), (1e-9, 1e-8), (0.2, 0.4)])
def test_a_wrong_bracket_is_widened(monkeypatch, wrong):
    v = concave(np.random.default_rng(5).random((50, 6)))
    exact = run(v, 1, 60.0)
    monkeypatch.setattr(module, "_bracket", lambda *_: wrong)
    same(run(v, 1, 60.0), exact, v)


def test_blocks_of_rows_meet(monkeypatch):
    v = crowd(300, 7)
    whole = run(v, 2, 1000.0)
    monkeypatch.setattr(module, "_ROWS", 7)
    same(run(v, 2, 1000.0), whole, v)
    monkeypatch.setattr(module, "_SAMPLE", 20)
    same(run(v, 2, 1000.0), whole, v)
