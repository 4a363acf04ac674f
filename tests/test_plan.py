"""Plans: what they promise is what their rows add up to, nothing is overspent, and known optima come out."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupsigma import (
    DR_GRPO,
    GRPO,
    LOGIT,
    MAXRL,
    ArgumentError,
    Dial,
    Groups,
    expected_gain,
    fidelity,
    limit_gain,
    mixed_rate,
    silent_rate,
)
from groupsigma.belief import Beliefs, Drift
from groupsigma.plan import plan
from groupsigma.value import Goal, group_value

GOALS = ("signal", "coverage", "contrast", "gain", "variance", "fidelity")
ABC = Beliefs.about(["a", "b", "c"])
LOGS = Groups(np.arange(9), np.arange(9), np.full(9, 8), count=[40, 20, 12, 8, 6, 6, 8, 14, 30])


def sure(*p):
    return Beliefs.known(np.arange(len(p)), p, points=1025)


def value_of(made):
    """Σ count V(tries) from the beliefs, one entry after the other."""
    return sum(
        n * (made.beliefs.weight[i] @ group_value(made.beliefs.p, int(t), made.goal))
        for i, t, n in zip(made.row, made.tries, made.count, strict=True)
        if n
    )


# ---- what holds of every plan --------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_plan_keeps_its_promises(data):
    rows = data.draw(st.integers(1, 8))
    n = data.draw(st.integers(1, 12))
    k = [data.draw(st.integers(0, n)) for _ in range(rows)]
    count = [data.draw(st.integers(1, 5)) for _ in range(rows)]
    beliefs = Beliefs.of_groups(Groups(np.arange(rows), k, np.full(rows, n), count=count))
    goal = data.draw(st.sampled_from(GOALS))
    dial = data.draw(st.sampled_from([GRPO, DR_GRPO, MAXRL, LOGIT]))
    least = data.draw(st.integers(2, 4))
    most = data.draw(st.integers(least, 20))
    cost = np.array([data.draw(st.sampled_from([1.0, 0.5, 2.5])) for _ in range(rows)])
    skip = data.draw(st.sampled_from([None, False]))
    everyone = skip is False or goal in ("variance", "fidelity")
    smallest = least * (beliefs.count @ cost if everyone else cost.min())
    budget = smallest + data.draw(st.floats(0, 1)) * (most * (beliefs.count @ cost) - smallest)
    made = plan(beliefs, budget=budget, goal=goal, dial=dial, cost=cost, min_tries=least, max_tries=most, skip=skip)

    allowed = set(range(least, most + 1)) | (set() if everyone else {0})
    assert set(made.tries.tolist()) <= allowed
    assert (made.count * cost[made.row]) @ made.tries <= budget * (1 + 1e-9)
    assert np.bincount(made.row, made.count, rows).tolist() == count
    assert made.value <= made.bound + 1e-12 and made.gap >= 0 and made.price >= 0
    if goal != "fidelity":
        assert made.value == pytest.approx(value_of(made), rel=1e-9, abs=1e-12)
    planned = made.tries > 0
    if planned.any():
        assert made.weight @ made.count == pytest.approx(made.count[planned].sum())
        assert (made.weight[~planned] == 0).all()


@pytest.mark.parametrize("goal", ["signal", "coverage", "gain"])
def test_totals_are_the_sums_over_rows(goal):
    cost = np.linspace(0.5, 2, 9)
    made = plan(LOGS, budget=700, goal=goal, dial=DR_GRPO, cost=cost)
    total = dict.fromkeys(("problems", "rollouts", "cost", "mixed", "silent_rollouts", "contrast", "gain"), 0.0)
    for i, t, n in zip(made.row, made.tries, made.count, strict=True):
        if t:
            belief, p = made.beliefs.weight[i], made.beliefs.p
            total["problems"] += n
            total["rollouts"] += n * t
            total["cost"] += n * t * cost[i]
            total["mixed"] += n * (belief @ mixed_rate(p, int(t)))
            total["silent_rollouts"] += n * t * (belief @ silent_rate(p, int(t)))
            total["contrast"] += n * (t - 1) * (belief @ (p * (1 - p)))
            total["gain"] += n * (belief @ expected_gain(p, int(t), DR_GRPO))
    assert vars(made.planned) == pytest.approx(total, rel=1e-9)
    assert made.planned.cost <= 700 + 1e-9 and made.planned.problems > 9


def test_the_uniform_run_it_is_compared_with():
    """Groups of 8 on problems drawn at random, for the same cost: shares from the beliefs, one by one."""
    cost = np.linspace(0.5, 2, 9)
    made = plan(LOGS, budget=700, cost=cost, reference_size=8)
    share = LOGS.count / LOGS.count.sum()
    groups = made.planned.cost / (8 * (share @ cost))
    each = share @ made.beliefs.weight
    assert made.uniform.mixed == pytest.approx(groups * (each @ mixed_rate(made.beliefs.p, 8)))
    assert made.uniform.gain == pytest.approx(groups * (each @ expected_gain(made.beliefs.p, 8)))
    assert made.uniform.contrast == pytest.approx(groups * 7 * (each @ (made.beliefs.p * (1 - made.beliefs.p))))
    assert made.uniform.rollouts == round(8 * groups) and made.uniform.cost == made.planned.cost
    assert made.planned.contrast > 1.5 * made.uniform.contrast and made.planned.mixed > made.uniform.mixed


def test_rows_of_many_problems_are_many_problems():
    """Merged rows may be divided at the margin, once: all but the last few tries are the same."""
    apart = Beliefs.known(np.arange(90), np.repeat([0.1, 0.5, 0.9], 30))
    merged = replace(Beliefs.known(np.arange(3), [0.1, 0.5, 0.9]), count=np.full(3, 30))
    for budget in (100, 500, 1111, 2000):
        one, many = plan(merged, budget=budget), plan(apart, budget=budget)
        assert one.bound == pytest.approx(many.bound) and one.value == pytest.approx(many.value, rel=1e-3)
        assert budget - 8 <= one.planned.rollouts <= many.planned.rollouts == budget
    assert len(one.tries) in (3, 4) and one.count.sum() == 90


@pytest.mark.parametrize("goal", ["signal", "coverage", "gain", "contrast"])
def test_small_plans_against_all_plans(goal):
    told = Beliefs.about(["a", "b", "c"]).update(["a", "b"], [1, 4], [8, 8])
    cost = np.array([1.0, 1.5, 0.7])
    table = told.weight @ group_value(told.p[:, None], np.arange(9), Goal(goal))
    for budget in (3.0, 8.0, 14.0, 20.0):
        best = max(
            table[[0, 1, 2], list(tries)].sum()
            for tries in product([0, *range(2, 9)], repeat=3)
            if cost @ tries <= budget
        )
        made = plan(told, budget=budget, goal=goal, cost=cost, max_tries=8)
        assert made.value <= best + 1e-12 <= made.bound + 2e-12
        assert made.value >= 0.85 * best


def test_a_large_plan_is_all_but_optimal():
    rng = np.random.default_rng(0)
    told = Beliefs.about(np.arange(2000))
    told = told.update(np.arange(2000), rng.binomial(8, rng.beta(0.4, 0.6, 2000)), np.full(2000, 8))
    for goal in ("signal", "coverage", "contrast", "gain"):
        assert plan(told, budget=4000, goal=goal).gap < 0.005


# ---- what is worth trying ------------------------------------------------------------------------


def crowd():
    """50 problems silent for 40 answers, 40 at even odds, 10 never seen."""
    told = Beliefs.about(np.arange(100))
    return told.update(np.arange(90), np.repeat([0, 20], [50, 40]), np.full(90, 40))


def test_the_never_seen_are_explored_the_silent_are_not():
    told = crowd()
    made = plan(told, budget=1000)
    assert (made.tries[90:] >= 2).all() and made.tries[:50].sum() == 0
    assert made.why[0] == "too hard now" and made.why[95] == "explore" and made.why[60] == "promote"
    # Nothing known at all: everybody is tried alike.
    fresh = plan(Beliefs.about(np.arange(50)), budget=400)
    assert set(fresh.tries.tolist()) <= {0, *range(2, 33)} and fresh.planned.rollouts == 400
    assert np.ptp(fresh.tries[fresh.tries > 0]) <= 1


def test_the_silent_come_back_once_forgotten():
    told = crowd()
    shares = [plan(told.advance(step), budget=600).tries[:50].sum() / 600 for step in (1, 100, 800)]
    assert shares[0] == shares[1] == 0 and shares[2] > 0.3
    never = replace(told, drift=Drift(forget=0, wander=0), wander=0.0)
    assert plan(never.advance(800), budget=600).tries[:50].sum() == 0


def test_solved_and_dear_problems_are_left():
    told = Beliefs.known(np.arange(3), [0.5, 0.999, 0.5])
    made = plan(told, budget=10, cost=[1, 1, 100])
    assert made.tries.tolist() == [10, 0, 0] and made.why == ["promote", "solved", "below price"]
    assert plan(told, budget=16, max_tries=8, reference_size=16).why[0] == "keep"


def test_cost_counts_per_try():
    """At even odds each further try covers half of what the last did: twice the cost is one try fewer."""
    made = plan(sure(0.5, 0.5, 0.5), budget=39, cost=[1, 2, 4], goal="coverage")
    assert made.tries.tolist() == [7, 6, 5] and made.planned.cost == 39
    assert made.price == pytest.approx(0.5**7, rel=1e-6)


def test_breadth_looks_elsewhere():
    """Six contrast pairs lately drawn halve the worth of a problem where breadth is six."""
    told = replace(sure(0.5, 0.5), recent=np.array([6.0, 0.0]))
    assert plan(told, budget=5).tries.tolist() == [5, 0]
    assert plan(told, budget=5, breadth=6.0).tries.tolist() == [0, 5]
    both = plan(told, budget=16, max_tries=8, breadth=6.0)
    even = float(group_value(0.5, 8, Goal()))
    assert both.value == pytest.approx(even / 2 + even, rel=1e-4)
    assert plan(told, budget=16, max_tries=8, breadth=1e12).value == pytest.approx(2 * even, rel=1e-4)


# ---- the known optima ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("power", "tries"), [(0, [24, 43, 53]), (1, [40, 40, 40]), (2, [60, 33, 27])], ids=["dr-grpo", "grpo", "logit"]
)
def test_least_variance_at_three_rates(power, tries):
    """planning.md §5.0: G − 1 ∝ w √v; for GRPO that is the same for all. Brute force over all splits of 120."""
    dial = Dial(power=power)
    made = plan(sure(0.05, 0.2, 0.5), budget=120, goal="variance", dial=dial, max_tries=118)
    assert made.tries.tolist() == tries and made.gap == pytest.approx(0, abs=1e-9)
    sizes = np.arange(121)
    v = group_value(np.array([[0.05], [0.2], [0.5]]), sizes, Goal("variance", dial))
    best = max((v[0, i] + v[1, j] + v[2, 120 - i - j], i, j) for i in range(2, 117) for j in range(2, 119 - i))
    assert tries == [best[1], best[2], 120 - best[1] - best[2]]


def test_least_variance_follows_the_square_root_of_cost():
    """G − 1 ∝ w √v / √cost."""
    made = plan(sure(0.5, 0.5), budget=1000, goal="variance", cost=[1, 4], max_tries=800)
    assert (made.tries[0] - 1) / (made.tries[1] - 1) == pytest.approx(2, rel=0.02)


def test_no_saturation_piles_on_the_even_large_coverage_spreads():
    told = sure(0.05, 0.2, 0.5)
    assert plan(told, budget=60, goal="contrast", max_tries=60).tries.tolist() == [0, 0, 60]
    spread = plan(told, budget=60, goal="coverage", max_tries=60).tries
    assert spread[0] > spread[1] > spread[2] > 0


def test_fidelity_is_the_same_for_all():
    p = (0.5, 0.2, 0.05)
    made = plan(sure(*p), budget=100, goal="fidelity", max_tries=90)
    reached = [float(fidelity(x, int(g))) for x, g in zip(p, made.tries, strict=True)]
    fewer = [float(fidelity(x, int(g) - 1)) for x, g in zip(p, made.tries, strict=True)]
    assert min(reached) >= made.value - 1e-3 and max(fewer) <= made.value + 1e-3
    assert made.tries[0] < made.tries[1] < made.tries[2]
    # The least of three over all splits: none is better.
    table = [fidelity(x, np.arange(91)[1:]) for x in p]
    level = max(
        min(table[0][i - 1], table[1][j - 1], table[2][100 - i - j - 1])
        for i in range(2, 60) for j in range(2, 60) if 2 <= 100 - i - j <= 90
    )  # fmt: skip
    assert made.value == pytest.approx(level, abs=1e-3)


def test_fidelity_stops_at_the_cap():
    made = plan(sure(0.5, 0.002), budget=60, goal="fidelity", max_tries=32)
    assert made.tries[1] == 32 and made.value == pytest.approx(float(fidelity(0.002, 32)), abs=2e-3)
    cheap = plan(sure(0.5, 0.05), budget=30, goal="fidelity", cost=[3, 1], max_tries=64)
    assert cheap.planned.cost <= 30 and cheap.tries[0] < cheap.tries[1]


# ---- weights -------------------------------------------------------------------------------------


def test_equal_and_proportional_weights():
    made = plan(LOGS, budget=700, weight="proportional")
    planned = made.tries > 0
    ratio = made.weight[planned] / made.tries[planned]
    np.testing.assert_allclose(ratio, ratio[0])
    assert made.weight @ made.count == pytest.approx(made.count[planned].sum())
    equal = plan(LOGS, budget=700)
    assert set(equal.weight.tolist()) <= {0.0, 1.0} and (equal.weight > 0).tolist() == (equal.tries > 0).tolist()


@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL])
def test_dial_weights_make_every_update_the_limit_s(dial):
    """Weight × E[gain at its tries] ∝ the large-G gain, problem by problem."""
    made = plan(LOGS, budget=700, dial=dial, weight="dial")
    ratio = []
    for i, t, w in zip(made.row, made.tries, made.weight, strict=True):
        if t:
            belief, p = made.beliefs.weight[i], made.beliefs.p
            ratio.append(w * (belief @ expected_gain(p, int(t), dial)) / (belief @ limit_gain(p, dial)))
    assert len(ratio) > 3
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    assert made.weight @ made.count == pytest.approx(made.count[made.tries > 0].sum())


# ---- one draw, and what is told ------------------------------------------------------------------


def test_the_same_seed_is_the_same_plan():
    told = crowd()
    one, two, other = (plan(told, budget=300, rng=np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one.tries.tolist() == two.tries.tolist() != other.tries.tolist()
    # Drawn rates decide, but totals are told under the beliefs themselves; and the unseen are explored at any budget.
    mixed = [told.weight[i] @ mixed_rate(told.p, int(t)) for i, t in zip(one.row, one.tries, strict=True) if t]
    assert one.planned.mixed == pytest.approx(sum(mixed))
    assert one.beliefs is told
    assert sum(plan(told, budget=300, rng=np.random.default_rng(s)).tries[90:].sum() for s in range(5)) > 0
    assert plan(told, budget=300).tries[90:].sum() == 0


def test_rows_and_json():
    made = plan(LOGS, budget=700, weight="dial", goal="coverage")
    told = json.loads(json.dumps(made.to_dict()))
    assert told["schema"] == "groupsigma.plan/1" and told["goal"] == "coverage" and told["budget"] == 700
    assert told["certificate"]["gap"] == pytest.approx(1 - made.value / made.bound)
    rows = made.rows()
    assert len(rows) == len(made.tries) and [r["tries"] for r in rows] == made.tries.tolist()
    assert set(rows[0]) == {
        "prompt_id", "tries", "weight", "solve_rate", "low", "high", "silent", "seen", "count", "why",
    }  # fmt: skip
    for row, i in zip(rows, made.row, strict=True):
        belief, p = made.beliefs.weight[i], made.beliefs.p
        assert row["low"] <= row["solve_rate"] <= row["high"] and row["seen"] == 8
        assert row["solve_rate"] == pytest.approx(belief @ p)
        assert row["silent"] == pytest.approx(belief @ silent_rate(p, row["tries"] or 8))
    assert repr(made).startswith("Plan(") and f"{made.planned.rollouts:,} rollouts" in repr(made)


def test_the_smallest_and_the_largest_budget():
    assert plan(ABC, budget=2).tries.sum() == 2
    full = plan(ABC, budget=96)
    assert full.tries.tolist() == [32, 32, 32] and full.gap == 0 and full.price == 0
    assert plan(ABC, budget=6, skip=False).tries.tolist() == [2, 2, 2]
    assert plan(ABC, budget=7.9).tries.sum() == 7


# ---- what is refused -----------------------------------------------------------------------------

NAN = replace(ABC, weight=np.where(np.arange(49) == 3, np.nan, ABC.weight))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(budget=0), "a budget > 0"),
        (dict(budget=-5), "a budget > 0"),
        (dict(budget=np.nan), "budget to be finite"),
        (dict(budget=np.inf), "budget to be finite"),
        (dict(budget=[60]), "a budget > 0"),
        (dict(budget="60"), "budget to be numbers"),
        (dict(budget=1), "at least 2, one group"),
        (dict(budget=5, min_tries=6), "at least 6, one group"),
        (dict(budget=5, skip=False), "at least 6, 2 tries of every problem"),
        (dict(budget=5, goal="variance"), "2 tries of every problem"),
        (dict(budget=5, goal="fidelity"), "2 tries of every problem"),
        (dict(budget=97), "at most 96, 32 tries of every problem(.|\n)*raise max_tries"),
        (dict(source=NAN), "beliefs without NaN"),
        (dict(source=["a"]), "Groups or Beliefs"),
        (dict(source="runs.csv"), r"Groups or Beliefs(.|\n)*load\(path\)"),
        (dict(source=Groups.from_rewards(None, [[0.5, 0.1]])), "right-or-wrong"),
        (dict(goal="speed"), "a known goal"),
        (dict(dial="grpo"), "a Dial"),
        (dict(saturation=-1), "finite saturation"),
        (dict(cost=0), "costs > 0"),
        (dict(cost=[1, 1, -2]), "costs > 0.*cost = -2 at index 2"),
        (dict(cost=[1, 2]), "one cost, or one for each problem"),
        (dict(cost=np.nan), "cost to be finite"),
        (dict(goal="variance", skip=True), "every problem served"),
        (dict(goal="fidelity", skip=True), "every problem served"),
        (dict(goal="variance", min_tries=1), "min_tries of at least 2"),
        (dict(min_tries=0), "min_tries"),
        (dict(min_tries=2.5), "min_tries"),
        (dict(max_tries=1, min_tries=1), "max_tries of at least 2"),
        (dict(min_tries=9, max_tries=8), "max_tries of at least 9"),
        (dict(max_tries=2000), "at most 1,024"),
        (dict(weight="none"), "a known weight(.|\n)*equal, proportional, dial"),
        (dict(breadth=0), "breadth > 0"),
        (dict(breadth=[1, 2]), "breadth > 0"),
        (dict(breadth=-1, goal="fidelity"), "breadth > 0"),
        (dict(reference_size=1), "at least 2"),
        (dict(rng=0), r"numpy.random.Generator(.|\n)*default_rng"),
    ],
)
def test_what_is_refused(given, says):
    with pytest.raises(ArgumentError, match=says):
        plan(given.pop("source", ABC), **{"budget": 30, **given})
