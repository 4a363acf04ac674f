"""Values of groups against enumeration of all outcomes, quadrature, and their closed forms."""

from itertools import product
from math import comb, inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import beta as beta_function
from scipy.special import betaln

from groupsigma import DIALS, DR_GRPO, GRPO, LOGIT, MAXRL, ArgumentError, Dial, expected_gain, gain, pass_at
from groupsigma.value import MEANING, SATURATION, Goal, beta_value, group_value, value_table

SUMS = ("signal", "coverage", "contrast", "gain", "variance")
NAMED = {"grpo": GRPO, "dr-grpo": DR_GRPO, "maxrl": MAXRL, "logit": LOGIT, "pass@4": pass_at(4), "odd": Dial(0.7, 0.2)}


def outcome_worth(rewards, name, dial, n0):
    """u of one list of rewards, from the rewards themselves: n is Σ (R − mean)²."""
    right, size = sum(rewards), len(rewards)
    if name == "coverage":
        return float(len(set(rewards)) > 1)
    if name == "gain":
        return float(gain(right, size, dial))
    if name == "variance":
        return -1 / (size - 1)
    pairs = sum((r - right / size) ** 2 for r in rewards)
    if name == "contrast":
        return pairs
    return pairs / (pairs + n0) if 0 < right < size else 0.0


def by_enumeration(p, G, name, dial, n0):
    """Σ over all 2^G lists of rewards, tilted by the dial's weight w = p^−a (1−p)^−b as Goal's table says."""
    mean = 0.0
    for rewards in product((0, 1), repeat=G):
        k = sum(rewards)
        mean += p**k * (1 - p) ** (G - k) * outcome_worth(rewards, name, dial, n0)
    a, b = dial.exponents
    w, v = p**-a * (1 - p) ** -b, p * (1 - p)
    return mean * {"signal": (w * v) ** 2, "contrast": (w * v) ** 2, "variance": w**2 * v}.get(name, 1.0)


@pytest.mark.parametrize("dial", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("name", SUMS)
def test_group_value_is_the_sum_over_all_outcomes(name, dial):
    for G in (2, 3, 7):
        for n0 in (0.0, 0.5, 8.0):
            p = np.array([0.01, 0.3, 0.5, 0.96])
            exact = [by_enumeration(x, G, name, dial, n0) for x in p]
            np.testing.assert_allclose(group_value(p, G, Goal(name, dial, n0)), exact, rtol=1e-12)


@given(
    st.floats(1e-4, 1 - 1e-4), st.integers(2, 9), st.sampled_from(SUMS),
    st.floats(-1, 3), st.floats(-1, 1), st.floats(0, 50),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_group_value_under_any_dial(p, G, name, power, tilt, n0):
    dial = Dial(power, tilt)
    assert group_value(p, G, Goal(name, dial, n0)) == pytest.approx(by_enumeration(p, G, name, dial, n0), rel=1e-9)


def test_coverage_in_closed_form():
    p = np.linspace(0, 1, 11)
    for G in (2, 8, 33):
        np.testing.assert_allclose(group_value(p, G, Goal("coverage")), 1 - p**G - (1 - p) ** G, atol=1e-15)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(1, 200), st.floats(-0.5, 3), st.floats(-1, 1))
@settings(deadline=None)
def test_contrast_in_closed_form(p, G, power, tilt):
    a, b = Dial(power, tilt).exponents
    wv = p ** (1 - a) * (1 - p) ** (1 - b)
    assert group_value(p, G, Goal("contrast", Dial(power, tilt))) == pytest.approx((G - 1) * p * (1 - p) * wv**2)


@pytest.mark.parametrize("name", [n for n, d in DIALS.items() if d.spread != "batch"])
def test_gain_is_the_expected_gain(name):
    p = np.array([0.0, 0.02, 0.4, 0.999, 1.0])
    for G in (1, 2, 16):
        ours = group_value(p, G, Goal("gain", DIALS[name]))
        np.testing.assert_allclose(ours, expected_gain(p, G, DIALS[name]), rtol=1e-11, atol=1e-300)


def test_variance_is_what_the_paper_of_neyman_minimises():
    """Σ of w² v/(G−1): Dr. GRPO v/(G−1), GRPO the same for every p."""
    p = np.array([0.1, 0.5])
    np.testing.assert_allclose(group_value(p, 5, Goal("variance", DR_GRPO)), -p * (1 - p) / 4)
    np.testing.assert_allclose(group_value(p, 5, Goal("variance", GRPO)), [-0.25, -0.25])


def test_saturation_runs_from_coverage_to_contrast():
    p, G = np.linspace(0.05, 0.95, 7), 6
    tilt = p * (1 - p)
    np.testing.assert_allclose(group_value(p, G, Goal(saturation=0)), tilt * group_value(p, G, Goal("coverage")))
    far = 1e9 * group_value(p, G, Goal(saturation=1e9))
    np.testing.assert_allclose(far, group_value(p, G, Goal("contrast")), rtol=1e-8)


@pytest.mark.parametrize("name", SUMS)
def test_ends_and_no_group(name):
    goal = Goal(name)
    ends = group_value([0.0, 1.0], [[2], [8]], goal)
    assert (ends == 0).all()
    nothing = -inf if name == "variance" else 0.0
    assert (group_value([0.0, 0.3, 1.0], [[0], [1]], goal) == nothing).all()
    assert beta_value(1, 2, 0, goal) == beta_value(1, 2, 1, goal) == nothing


def test_arguments_broadcast_and_defaults_hold():
    p, G = np.array([[0.1], [0.5]]), np.array([2, 3, 9])
    assert group_value(p, G).shape == (2, 3)
    assert group_value(p, G)[1, 2] == group_value(0.5, 9, Goal("signal", GRPO, SATURATION))
    assert beta_value([1, 2], [[1.0], [3.0], [4.0]], 8).shape == (3, 2)
    assert beta_value(2, 3, 8) == beta_value([2], [3], 8)[0]
    assert set(MEANING) == {*SUMS, "fidelity"}


# ---- under a Beta belief ------------------------------------------------------------------------


def by_quadrature(a, b, G, goal):
    def inside(p):
        return float(group_value(p, G, goal)) * p ** (a - 1) * (1 - p) ** (b - 1) / beta_function(a, b)

    return quad(inside, 0, 0.5, epsabs=0, epsrel=1e-10, limit=200)[0] + quad(inside, 0.5, 1, epsrel=1e-10, limit=200)[0]


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (1.5, 9.0), (12.0, 1.25), (30.0, 50.0)])
@pytest.mark.parametrize("name", SUMS)
def test_beta_value_is_the_integral(name, a, b):
    for dial in (GRPO, DR_GRPO, MAXRL):
        for n0 in (0.0, 4.0) if name == "signal" else (4.0,):
            goal = Goal(name, dial, n0)
            if min(a + goal.tilt[0], b + goal.tilt[1]) > 0.3:
                assert beta_value(a, b, 5, goal) == pytest.approx(by_quadrature(a, b, 5, goal), rel=1e-8)


@given(st.floats(0.2, 40), st.floats(0.2, 40), st.integers(2, 32))
@settings(deadline=None)
def test_beta_coverage_in_closed_form(a, b, G):
    """planning.md §5.0: silent [B(a+G, b) + B(a, b+G)]/B(a, b)."""
    silent = np.exp(betaln(a + G, b) - betaln(a, b)) + np.exp(betaln(a, b + G) - betaln(a, b))
    assert beta_value(a, b, G, Goal("coverage")) == pytest.approx(1 - silent, rel=1e-9, abs=1e-12)


@given(st.floats(0.2, 40), st.floats(0.2, 40), st.integers(2, 32))
@settings(deadline=None)
def test_beta_contrast_in_closed_form(a, b, G):
    """(G−1) E[v], E[v] = ab/((a+b)(a+b+1)), where the dial's tilt is none; E[v³] (G−1) for Dr. GRPO."""
    mean = a * b / ((a + b) * (a + b + 1))
    assert beta_value(a, b, G, Goal("contrast", LOGIT)) == pytest.approx((G - 1) * mean, rel=1e-9)
    cubed = np.exp(betaln(a + 3, b + 3) - betaln(a, b))
    assert beta_value(a, b, G, Goal("contrast", DR_GRPO)) == pytest.approx((G - 1) * cubed, rel=1e-9)


def test_a_sharp_belief_is_a_known_rate():
    for name in SUMS:
        sharp = beta_value(3e5, 7e5, 8, Goal(name))
        assert sharp == pytest.approx(float(group_value(0.3, 8, Goal(name))), rel=1e-4)


# ---- shape in G ---------------------------------------------------------------------------------


@given(st.floats(0.2, 40), st.floats(0.2, 40), st.sampled_from([0.0, 0.25, 1.0, 4.0, 16.0, 64.0]))
@settings(max_examples=40, deadline=None)
def test_no_group_after_the_first_two_is_worth_more_than_the_one_before(a, b, n0):
    """Concave for G ≥ 1; the entry 0 → 1 → 2 is the only bend."""
    v = np.array([float(beta_value(a, b, G, Goal(saturation=n0))) for G in range(1, 41)])
    second = np.diff(v, 2)
    assert second.max() <= 1e-12 * v.max()
    assert v[0] == 0 < v[1] and (np.diff(v) > 0).all()


@given(st.floats(0.01, 0.99), st.sampled_from(["coverage", "contrast", "variance"]))
@settings(deadline=None)
def test_the_other_goals_are_concave_past_the_entry_too(p, name):
    assert (np.diff(group_value(p, np.arange(2, 60), Goal(name)), 2) <= 1e-12).all()


@given(st.floats(0.03, 0.97), st.floats(0, 64))
@settings(max_examples=60, deadline=None)
def test_the_best_first_block_is_near_one_plus_root_n0_over_v(p, n0):
    """planning.md, correction 2: a lower bound but for rounding, and at most two tries or a tenth too small."""
    sizes = np.arange(2, 200)
    near = 1 + np.sqrt(n0 / (p * (1 - p)))
    assume(near < 150)
    best = sizes[np.argmax(group_value(p, sizes, Goal(saturation=n0)) / sizes)]
    assert near - 1 < best <= 1.1 * near + 2


def test_the_numbers_of_the_first_block():
    """planning.md §5.0: 4 (or 3), 5, 9, 17 at p = ½ for n0 = 1, 4, 16, 64; 11, 20, 38 at p = .05 for 4, 16, 64."""
    sizes = np.arange(2, 200)

    def block(p, n0):
        return int(sizes[np.argmax(group_value(p, sizes, Goal(saturation=n0)) / sizes)])

    assert block(0.5, 1) in (3, 4) and [block(0.5, n0) for n0 in (4, 16, 64)] == [5, 9, 17]
    assert [block(0.05, n0) for n0 in (4, 16, 64)] == [11, 20, 38]


# ---- the table, and what is refused -------------------------------------------------------------


def test_the_table_is_kept_for_equal_grids_only():
    p, sizes = np.array([0.1, 0.6]), np.arange(5)
    table = value_table(p, sizes, Goal())
    np.testing.assert_array_equal(table, group_value(p[:, None], sizes, Goal()))
    assert value_table(p.copy(), sizes.copy(), Goal()) is table
    assert (value_table(p, sizes, Goal(saturation=1.0)) != table).any()
    assert (value_table(p + 0.1, sizes, Goal()) != table).any()
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1.0


def test_many_tables_do_not_pile_up():
    for n0 in range(40):
        value_table(np.array([0.5]), np.arange(3), Goal(saturation=float(n0)))
    from groupsigma.value import _TABLES

    assert len(_TABLES) <= 17


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Goal("speed"), "known goal.*speed(.|\n)*one of signal, coverage"),
        (lambda: Goal(saturation=-1), "finite saturation >= 0"),
        (lambda: Goal(saturation=inf), "finite saturation(.|\n)*contrast is its limit"),
        (lambda: Goal(saturation=float("nan")), "finite saturation"),
        (lambda: Goal(saturation=[1, 2]), "finite saturation"),
        (lambda: Goal(dial="grpo"), "a Dial"),
        (lambda: Goal("signal", Dial(spread="batch")), "looks at one group(.|\n)*power=0"),
        (lambda: Goal("fidelity").reward(1, 2), "sums over problems"),
        (lambda: group_value(0.5, 4, Goal("fidelity")), "sums over problems"),
        (lambda: beta_value(1, 1, 4, Goal("fidelity")), "sums over problems"),
        (lambda: group_value(1.5, 4), r"p in \[0, 1\]"),
        (lambda: group_value(float("nan"), 4), r"p in \[0, 1\]"),
        (lambda: group_value(0.5, 2.5), "whole number"),
        (lambda: group_value(0.5, -1), "at least 0"),
        (lambda: group_value([0.1, 0.2], [2, 3, 4]), "broadcast"),
        (lambda: beta_value(0, 1, 4), "a > 0, b > 0"),
        (lambda: beta_value(1, -2, 4), "a > 0, b > 0"),
        (lambda: beta_value(0.5, 3, 4, Goal("contrast", Dial(power=3))), "finite mean of the tilt"),
        (lambda: beta_value(1, inf, 4), "b to be finite"),
        (lambda: beta_value(1, 1, 3.5), "whole number"),
    ],
)
def test_what_is_refused(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()


def test_enumeration_agrees_with_the_binomial_itself():
    """The check of the check: 2^G outcomes with k right are C(G, k)."""
    exact = sum(comb(4, k) * 0.3**k * 0.7 ** (4 - k) for k in (1, 2, 3))
    assert by_enumeration(0.3, 4, "coverage", GRPO, 0) == pytest.approx(exact)
