"""The stopping rule against every policy there is, the exact Beta programme, simulation, and its own bound."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from groupsigma import DR_GRPO, GRPO, MAXRL, ArgumentError, Dial, Groups
from groupsigma.belief import Beliefs
from groupsigma.plan import plan
from groupsigma.stopping import should_continue, stopping
from groupsigma.value import Goal

COVERAGE = Goal("coverage")


def beta_rows(a, b, points=129):
    """Beliefs p ~ Beta(a, b), row by row, on a fine grid."""
    start = Beliefs.about(np.arange(len(a)), points=points)
    p = start.p
    log = np.multiply.outer(a, np.log(p)) + np.multiply.outer(b, np.log1p(-p))
    weight = np.exp(log - log.max(1, keepdims=True))
    return replace(start, weight=weight / weight.sum(1, keepdims=True))


def some_beliefs(rng, rows=3):
    start = Beliefs.about(np.arange(rows))
    return replace(start, weight=rng.dirichlet(np.full(49, 0.2), rows))


# ---- every policy, every sequence -----------------------------------------------------------------


def by_all_policies(weight, p, goal, most, size, fee):
    """(net value, expected tries) of the best of all 2^states policies; each answer sequence walked by itself."""
    states = [(k, n - k) for n in range(0, most, size) for k in range(n + 1)]
    s, t = goal.tilt
    chance, pay = {}, {}
    for n in range(0, most + 1, size):
        for k in range(n + 1):
            chance[k, n - k] = float(weight @ (p**k * (1 - p) ** (n - k)))
            tilted = float(weight @ (p ** (k + s) * (1 - p) ** (n - k + t)))
            pay[k, n - k] = tilted * float(goal.reward(k, n)) if n else 0.0
    best = (-np.inf, 0.0)
    for decision in product((False, True), repeat=len(states)):
        on = dict(zip(states, decision, strict=True))
        net = tries = 0.0
        # Sequences that agree on the state are one branch: (state, number of sequences that lead there).
        front = {(0, 0): 1}
        while front:
            ahead: dict = {}
            for (k, f), ways in front.items():
                if on.get((k, f), False):
                    tries += ways * chance[k, f] * size
                    net -= ways * chance[k, f] * size * fee
                    for rewards in product((0, 1), repeat=size):
                        to = (k + sum(rewards), f + size - sum(rewards))
                        ahead[to] = ahead.get(to, 0) + ways
                else:
                    net += ways * pay[k, f]
            front = ahead
        best = max(best, (net, tries))
    return best


@pytest.mark.parametrize(("most", "size"), [(3, 1), (4, 2), (6, 3)])
@pytest.mark.parametrize("name", ["coverage", "signal", "gain"])
def test_the_programme_is_the_best_of_all_policies(name, most, size):
    rng = np.random.default_rng(most)
    for dial in (GRPO, DR_GRPO, MAXRL):
        goal = Goal(name, dial, saturation=1.5)
        told = some_beliefs(rng)
        cost = rng.uniform(0.5, 2, 3)
        pays = [by_all_policies(w, told.p, goal, most, size, 0.0)[0] for w in told.weight]
        price = float(rng.uniform(0.05, 0.7) * np.mean(pays) / most)
        found = stopping(told, price=price, goal=goal, max_tries=most, round_size=size, cost=cost)
        for i in range(3):
            net, tries = by_all_policies(told.weight[i], told.p, goal, most, size, price * cost[i])
            assert found.worth[i] == pytest.approx(net, abs=1e-12)
            assert found.tries[i] == pytest.approx(tries, rel=1e-9)


def test_most_tries_are_cut_to_whole_rounds():
    found = stopping(
        some_beliefs(np.random.default_rng(0)), price=1e-9, goal=Goal("contrast"), max_tries=16, round_size=5
    )
    assert found.go.shape == (3, 16, 16) and found.tries == pytest.approx([15, 15, 15])
    assert found.round == 5 and not found.go[:, [1, 0, 2, 15], [0, 1, 2, 0]].any()


# ---- the rule in one line --------------------------------------------------------------------------


def exact_programme(a, b, price, most):
    """Coverage under Beta(a, b), state by state: whether to go on after f wrong alone and after k right alone."""

    def line(hit, miss):
        """After 1 … most − 1 answers of one kind: the chance of the other kind is hit/(a+b+n)."""
        worth, on = 0.0, {}
        for n in range(most - 1, 0, -1):
            split = hit / (a + b + n)
            ahead = -price + split + (1 - split) * worth
            on[n], worth = ahead > 0, max(0.0, ahead)
        return on, worth

    wrong, after_wrong = line(a, b)
    right, after_right = line(b, a)
    start = -price + (a * after_right + b * after_wrong) / (a + b) > 0
    return wrong, right, start


@given(st.floats(0.1, 6), st.floats(0.1, 6), st.floats(0.01, 0.9))
@settings(max_examples=150, deadline=None)
def test_one_step_ahead_is_optimal_for_coverage(a, b, price):
    wrong, right, start = exact_programme(a, b, price, 700)
    n = np.arange(1, 650)
    assume(min(abs(a / (a + b + n) - price).min(), abs(b / (a + b + n) - price).min()) > 1e-9)
    assert should_continue(0, n, price=price, a=a, b=b).tolist() == [wrong[m] for m in n]
    assert should_continue(n, 0, price=price, a=a, b=b).tolist() == [right[m] for m in n]
    assert not should_continue(n, 1, price=price, a=a, b=b).any()
    assert bool(should_continue(0, 0, price=price, a=a, b=b)) == start


def test_where_to_give_up():
    """planning.md §5.0: the last f with a try after it is below f* = a/λ − a − b."""
    f = np.arange(200)
    for a, b, price in ((0.5, 0.5, 0.05), (2.0, 5.0, 0.03), (1.0, 1.0, 0.1)):
        on = should_continue(0, f[1:], price=price, a=a, b=b)
        assert f[1:][on].max() == int(np.ceil(a / price - a - b)) - 1
    assert should_continue([0, 1, 2], [[3], [0]], price=0.01).shape == (2, 3)


def test_a_start_must_pay_for_its_first_try_too():
    """A first answer never splits: at a chance of one half for the second, two tries buy ½."""
    sharp = dict(a=1e6, b=1e6)
    assert should_continue(0, 0, price=0.33, **sharp) and not should_continue(0, 0, price=0.34, **sharp)
    assert should_continue(1, 0, price=0.34, **sharp)
    assert should_continue(0, 0, price=1e-15) and should_continue(0, 10**9, price=1e-12)


def test_the_programme_on_the_grid_gives_the_same_rule():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(1.2, 6, 25), rng.uniform(1.2, 6, 25)
    rows = beta_rows(a, b)
    differ = 0
    for price in (0.04, 0.1, 0.25):
        go = stopping(rows, price=price, goal=COVERAGE, max_tries=60).go
        for i in range(25):
            n = np.arange(1, 60)
            for on, hit, ours in ((go[i, 0, 1:60], a[i], (0, n)), (go[i, 1:60, 0], b[i], (n, 0))):
                clear = abs(hit / (a[i] + b[i] + n) - price) > 1e-4
                differ += (on != should_continue(*ours, price=price, a=a[i], b=b[i]))[clear].sum()
            assert bool(go[i, 0, 0]) == bool(should_continue(0, 0, price=price, a=a[i], b=b[i]))
            assert not go[i, 1:40, 1:40].any()
    assert differ == 0


@pytest.mark.parametrize(("q", "agree"), [(0, 1.0), (1, 1.0), (2, 0.985)])
def test_one_step_ahead_with_a_weight(q, agree):
    """planning.md, correction 1: after f wrong, P(right) E[v^q | then] > λ; exact for q = 0 and 1, nearly for 2."""
    rng = np.random.default_rng(q)
    a, b = rng.uniform(1.2, 5, 40), rng.uniform(1.2, 5, 40)
    rows = beta_rows(a, b)
    goal = Goal("signal", Dial(power=2 - q), saturation=0)
    assert goal.tilt == (q, q)
    f = np.arange(1, 31)
    same = total = 0
    for price in 0.25**q * np.array([0.02, 0.06, 0.15]):
        go = stopping(rows, price=float(price), goal=goal, max_tries=60).go
        for i in range(40):
            split = np.exp(betaln(a[i] + 1 + q, b[i] + f + q) - betaln(a[i], b[i] + f))
            clear = abs(split - price) > 1e-3 * price
            same += (go[i, 0, 1:31] == (split > price))[clear].sum()
            total += clear.sum()
    assert total > 3000 and same >= agree * total


# ---- what it attains, what bounds it ---------------------------------------------------------------


def crowd(P=400, seed=0):
    rng = np.random.default_rng(seed)
    told = Beliefs.about(np.arange(P))
    return told.update(np.arange(P), rng.binomial(8, rng.beta(0.5, 0.7, P)), np.full(P, 8))


def simulated(rule, told, goal, runs=40, seed=1):
    """(value, spent) of each of some runs of the rule, rates drawn from the beliefs; goal at the true rate."""
    rng, out = np.random.default_rng(seed), []
    s, t = goal.tilt
    for _ in range(runs):
        p = told.p[told.draw(rng).weight.argmax(1)]
        rows, k, n = rule.follow(lambda rows, more, p=p: rng.binomial(more, p[rows]))
        out.append(((p[rows] ** s * (1 - p[rows]) ** t * goal.reward(k, n)).sum(), n.sum()))
    return np.array(out)


@pytest.mark.parametrize(
    ("goal", "size"), [(COVERAGE, 1), (COVERAGE, 2), (Goal(), 1), (Goal("signal", DR_GRPO, 2.0), 4), (Goal("gain"), 1)]
)
def test_what_it_promises_is_what_it_attains(goal, size):
    """Simulated value and spending within four standard errors of the stated; value below the bound."""
    told = crowd()
    rule = stopping(told, budget=1000, goal=goal, round_size=size)
    runs = simulated(rule, told, goal)
    error = runs.std(0, ddof=1) / np.sqrt(len(runs))
    assert abs(runs[:, 0].mean() - rule.value) < 4 * error[0]
    assert abs(runs[:, 1].mean() - rule.spent) < 4 * error[1]
    assert runs[:, 0].mean() - 4 * error[0] < rule.bound and rule.value <= rule.bound * (1 + 1e-9)
    assert rule.spent <= 1000 * (1 + 1e-9)


def test_at_coverage_the_bound_is_all_but_attained():
    told = crowd()
    for budget in (300, 1000, 3000):
        rule = stopping(told, budget=budget, goal=COVERAGE)
        assert rule.value >= 0.98 * rule.bound and 0.97 * budget < rule.spent <= budget * (1 + 1e-9)


@pytest.mark.parametrize("goal", ["coverage", "signal"])
def test_no_plan_is_above_the_bound_and_stopping_beats_planning(goal):
    told = crowd()
    for budget in (400, 1500):
        rule = stopping(told, budget=budget, goal=Goal(goal))
        made = plan(told, budget=budget, goal=goal, max_tries=16)
        assert made.bound <= rule.bound * (1 + 1e-6)
        assert rule.value > (1.1 if goal == "coverage" else 0.999) * made.value
    # Another adaptive rule of the same spending: until mixed, at most 16, problems in their order.
    until = stopping(told, price=1e-6, goal=COVERAGE)
    few = int(np.searchsorted(np.cumsum(until.tries), 1500))
    assert until.worth[:few].sum() < stopping(told, budget=1500, goal=COVERAGE).bound


def test_the_bound_holds_at_any_price():
    """λB + Σ W(λ) is convex in λ and least at the price that spends B."""
    told = crowd(60)
    best = stopping(told, budget=200, goal=COVERAGE)
    assert best.bound == pytest.approx(best.price * 200 + best.worth.sum(), rel=1e-12) and best.spent < 200
    for price in np.geomspace(best.price / 5, best.price * 5, 12):
        other = stopping(told, price=float(price), goal=COVERAGE)
        assert price * 200 + other.worth.sum() >= best.bound * (1 - 1e-4)


def test_a_price_alone():
    told = crowd(50)
    spent = []
    for price in (0.02, 0.1, 0.3):
        rule = stopping(told, price=price, goal=COVERAGE, cost=2.0)
        assert rule.price == price and rule.value == pytest.approx(rule.bound)
        assert rule.begin.tolist() == rule.go[:, 0, 0].astype(int).tolist() and (rule.worth >= 0).all()
        assert rule.spent == pytest.approx(2 * rule.tries[rule.begin > 0].sum())
        assert rule.value == pytest.approx(rule.worth.sum() + price * rule.spent)
        spent.append(rule.spent)
    assert spent[0] > spent[1] > spent[2]
    nothing = stopping(told, price=0.9, goal=COVERAGE)
    assert nothing.value == nothing.spent == nothing.bound == 0 and not nothing.begin.any()


def test_twice_the_cost_is_half_the_budget():
    told = crowd(50)
    one, two = stopping(told, budget=150, goal=COVERAGE), stopping(told, budget=300, goal=COVERAGE, cost=2.0)
    assert two.value == pytest.approx(one.value, rel=1e-3) and 2 * two.price == pytest.approx(one.price, rel=1e-3)


def test_cheap_problems_come_first():
    told = replace(crowd(2), weight=np.tile(crowd(2).weight[:1], (2, 1)))
    rule = stopping(told, price=0.1, goal=COVERAGE, cost=[0.5, 2.0])
    assert rule.tries[0] > rule.tries[1] and rule.worth[0] > rule.worth[1]


def test_equal_problems_begin_as_many_as_the_budget_pays():
    told = Beliefs.about(np.arange(100))
    rule = stopping(told, budget=100, goal=COVERAGE)
    each = rule.tries[0]
    assert rule.begin.sum() == int(100 / each) and rule.spent == pytest.approx(rule.begin.sum() * each)
    assert 100 - each < rule.spent <= 100 and rule.value >= 0.95 * rule.bound
    merged = replace(Beliefs.about(["one"]), count=np.array([100]))
    same = stopping(merged, budget=100, goal=COVERAGE)
    assert same.begin.tolist() == [rule.begin.sum()] and same.value == pytest.approx(rule.value)
    assert same.bound == pytest.approx(rule.bound)


def test_rows_of_many_problems():
    k, count = [0, 2, 4, 8], np.array([30, 20, 10, 40])
    merged = Beliefs.of_groups(Groups(np.arange(4), k, np.full(4, 8), count=count))
    apart = replace(Beliefs.about(np.arange(100)), weight=np.repeat(merged.weight, count, axis=0))
    one, many = (stopping(told, budget=120, goal=COVERAGE) for told in (merged, apart))
    assert one.bound == pytest.approx(many.bound, rel=1e-6) and one.value == pytest.approx(many.value, rel=1e-6)
    assert one.spent == pytest.approx(many.spent, rel=1e-6) and (one.begin <= count).all()


def test_more_budget_than_there_is_use_for():
    told = Beliefs.about(["a", "b"])
    rule = stopping(told, budget=1000, goal=Goal("contrast"))
    assert rule.tries == pytest.approx([16, 16]) and rule.spent == pytest.approx(32)
    assert rule.value <= rule.bound and rule.bound == pytest.approx(rule.value, rel=1e-6)
    none = stopping(told, budget=0.5, goal=COVERAGE)
    assert none.begin.sum() == 0 and none.spent == none.value == 0 < none.bound


@pytest.mark.parametrize("size", [1, 4])
def test_following_the_rule(size):
    told = crowd(80)
    rule = stopping(told, budget=250, goal=COVERAGE, round_size=size)
    rng, asked = np.random.default_rng(0), []

    def draw(rows, n):
        assert (n == size).all() and len(np.unique(rows)) == len(rows)
        asked.append(len(rows))
        return rng.binomial(n, 0.3)

    rows, k, n = rule.follow(draw)
    assert rows.tolist() == np.flatnonzero(rule.begin).tolist()
    assert asked[0] == rule.begin.sum() and (np.diff(asked) <= 0).all() and sum(asked) * size == n.sum()
    assert (n <= 16).all() and (n % size == 0).all() and ((k >= 0) & (k <= n)).all()
    ended = n < 16
    assert not rule.should_continue(rows[ended], k[ended], (n - k)[ended]).any()
    assert not rule.go[:, 16, 0].any() and not rule.go[:, 0, 16].any()


def test_many_problems_of_one_row_are_followed_apart():
    merged = replace(Beliefs.about(["one"]), count=np.array([7]))
    rule = stopping(merged, price=0.05, goal=COVERAGE)
    rows, k, n = rule.follow(lambda rows, n: np.arange(len(rows)) % 2)
    assert rows.tolist() == [0] * 7 and len(k) == len(n) == 7


def test_the_default_goal_is_signal():
    told = crowd(20)
    assert stopping(told, price=0.003).value == stopping(told, price=0.003, goal=Goal()).value > 0


# ---- what is refused -------------------------------------------------------------------------------

AB = Beliefs.about(["a", "b"])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: stopping(AB), "a price or a budget, got neither"),
        (lambda: stopping(AB, price=0.1, budget=10), "a price or a budget, got both"),
        (lambda: stopping(AB, price=0), "a price > 0"),
        (lambda: stopping(AB, price=-1), "a price > 0"),
        (lambda: stopping(AB, price=np.nan), "price to be finite"),
        (lambda: stopping(AB, price=[0.1, 0.2]), "price"),
        (lambda: stopping(AB, budget=0), "a budget > 0"),
        (lambda: stopping(AB, budget=np.inf), "budget to be finite"),
        (lambda: stopping(AB, budget=[1, 2]), "budget"),
        (lambda: stopping(AB, price=0.1, goal=Goal("variance")), "leave problems untried, got variance"),
        (lambda: stopping(AB, price=0.1, goal=Goal("fidelity")), "leave problems untried, got fidelity"),
        (lambda: stopping(AB, price=0.1, max_tries=1), "max_tries"),
        (lambda: stopping(AB, price=0.1, max_tries=129), "<= 128"),
        (lambda: stopping(AB, price=0.1, round_size=0), "round_size"),
        (lambda: stopping(AB, price=0.1, round_size=17), "round_size <= max_tries"),
        (lambda: stopping(AB, price=0.1, cost=0), "costs > 0"),
        (lambda: stopping(AB, price=0.1, cost=[1, -1]), "costs > 0"),
        (lambda: stopping(AB, price=0.1, cost=[1, 2, 3]), "cost"),
        (lambda: stopping(AB, price=0.1, cost=np.nan), "cost to be finite"),
        (lambda: should_continue(0, 1, price=0), "price strictly between 0 and 1"),
        (lambda: should_continue(0, 1, price=1), "price strictly between 0 and 1"),
        (lambda: should_continue(-1, 1, price=0.1), "k to be a whole number"),
        (lambda: should_continue(0, 1.5, price=0.1), "f to be a whole number"),
        (lambda: should_continue(0, 1, price=0.1, a=0), "a > 0"),
        (lambda: should_continue(0, 1, price=0.1, b=-1), "b > 0"),
        (lambda: should_continue(0, 1, price=0.1, a=[1, 2]), "a > 0"),
    ],
)
def test_what_is_refused(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()
