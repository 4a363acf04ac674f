"""The averages against 50 digits, brute force, the reference values of the theory, and their own laws."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom, nbinom

from groupsigma import (
    DIALS,
    DR_GRPO,
    GRPO,
    LOGIT,
    MAXRL,
    ArgumentError,
    Dial,
    cap_risk,
    difficulty_weight,
    draws_per_kept_group,
    expected_gain,
    fidelity,
    gain,
    gradient_share,
    group_size_law,
    limit_gain,
    mixed_rate,
    objective,
    pass_at,
    required_group_size,
    silent_rate,
)

NAMED = {"grpo": GRPO, "dr-grpo": DR_GRPO, "maxrl": MAXRL, "logit": LOGIT, "pass@4": pass_at(4), "pass@64": pass_at(64)}
PLACES = (1e-17, 1e-9, 1e-4, 0.003, 0.05, 0.3, 0.5, 0.9, 0.999, 1 - 1e-9)
probability = st.floats(0, 1)


def exact_gain(p, G, dial):
    """Σ_k C(G,k) p^k (1−p)^(G−k) μ^(1−a) (1−μ)^(1−b) in 50 digits."""
    with mp.workdps(50):
        power, tilt = mp.mpf(dial.power), mp.mpf(dial.tilt)
        a, b = 1 - power / 2 - tilt, 1 - power / 2 + tilt
        x = mp.mpf(float(p))
        weight, total, odds = (1 - x) ** G, mp.mpf(0), x / (1 - x)
        for k in range(1, G):
            weight *= odds * (G - k + 1) / k
            total += weight * mp.power(mp.mpf(k) / G, a) * mp.power(mp.mpf(G - k) / G, b)
        return total


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("G", [2, 3, 8, 64, 999, 1003])
def test_expected_gain_to_1e_12(name, G):
    for p in PLACES:
        exact = exact_gain(p, G, NAMED[name])
        assert abs(expected_gain(p, G, NAMED[name]) / exact - 1) < 1e-12


@pytest.mark.parametrize("name", ["grpo", "pass@64"])
def test_expected_gain_at_4096_to_1e_12(name):
    for p in (1e-9, 0.003, 0.5, 0.9):
        exact = exact_gain(p, 4096, NAMED[name])
        assert abs(expected_gain(p, 4096, NAMED[name]) / exact - 1) < 1e-12


def test_expected_gain_at_100_000_to_1e_10():
    """Closed forms: Dr. GRPO p(1−p)(1−1/G), logit the mixed rate, MaxRL (1−p)(1−(1−p)^(G−1)); GRPO by 50 digits."""
    G, p = 100_000, np.array(PLACES)
    with mp.workdps(50):
        x = [mp.mpf(float(v)) for v in p]
        closed = {
            "dr-grpo": [v * (1 - v) * (1 - mp.mpf(1) / G) for v in x],
            "logit": [1 - v**G - (1 - v) ** G for v in x],
            "maxrl": [(1 - v) * (1 - (1 - v) ** (G - 1)) for v in x],
        }
    for name, exact in closed.items():
        assert max(abs(a / b - 1) for a, b in zip(expected_gain(p, G, NAMED[name]), exact, strict=True)) < 1e-10
    for place in (1e-5, 0.4):
        assert abs(expected_gain(place, G) / exact_gain(place, G, GRPO) - 1) < 1e-10


@pytest.mark.parametrize("name", [n for n, d in DIALS.items() if d.spread != "batch"])
def test_every_preset_is_its_own_sum(name):
    """Brute force: Σ pmf(k) gain(k) with scipy's pmf."""
    p = np.array([0.0, 0.02, 0.3, 0.5, 0.97, 1.0])
    for G in (1, 2, 5, 8):
        k = np.arange(G + 1)
        expected = [(binom.pmf(k, G, x) * gain(k, G, DIALS[name])).sum() for x in p]
        np.testing.assert_allclose(expected_gain(p, G, DIALS[name]), expected, rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("G", [1, 2, 8, 5000])
def test_ends_are_exact(G):
    for name in NAMED.values():
        assert expected_gain([0, 1], G, name).tolist() == [0, 0]
    assert silent_rate([0, 1], G).tolist() == [1, 1] and mixed_rate([0, 1], G).tolist() == [0, 0]
    assert fidelity([0, 1], G).tolist() == [0, 0] and limit_gain([0, 1]).tolist() == [0, 0]


def test_reference_values():
    """theory.md §2: φ(8,.5), φ(8,.05), silent(.5,8), silent(.05,8), 8e-17."""
    np.testing.assert_allclose(fidelity([0.5, 0.05], 8), [0.927828, 0.538992], atol=5e-7)
    assert silent_rate(0.5, 8) == 0.0078125
    assert silent_rate(0.05, 8) == pytest.approx(0.66342, abs=5e-6)
    assert mixed_rate(1e-17, 8) == pytest.approx(8e-17, rel=1e-15)


def test_one_answer_teaches_nothing():
    p = np.linspace(0, 1, 11)
    assert (silent_rate(p, 1) == 1).all() and not mixed_rate(p, 1).any() and not expected_gain(p, 1).any()


@given(probability, st.integers(1, 5000))
def test_silent_and_mixed_make_one(p, G):
    assert silent_rate(p, G) + mixed_rate(p, G) == pytest.approx(1, abs=1e-12)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(2, 300))
def test_symmetric_rules_do_not_know_right_from_wrong(p, G):
    for dial in (GRPO, DR_GRPO, LOGIT):
        assert expected_gain(p, G, dial) == pytest.approx(float(expected_gain(1 - p, G, dial)), rel=1e-9)


@given(st.floats(0.001, 0.999), st.integers(2, 200))
def test_fidelity_rises_with_the_group_and_stays_below_one(p, G):
    assert 0 < fidelity(p, G) < fidelity(p, G + 1) < 1 + 1e-12


def test_large_groups_reach_the_limit():
    p = np.linspace(0.05, 0.95, 19)
    for dial in NAMED.values():
        np.testing.assert_allclose(expected_gain(p, 10**7, dial), limit_gain(p, dial), rtol=5e-3)


def test_required_group_size_reproduces_table_2():
    """arXiv 2607.00152, Table 2, and the far tail of theory.md §2."""
    p = [0.5, 0.3, 0.1, 0.05]
    assert required_group_size(p, 0.90).tolist() == [7, 9, 22, 42]
    assert required_group_size(p, 0.95).tolist() == [11, 14, 36, 69]
    assert required_group_size(p, 0.99).tolist() == [51, 61, 144, 273]
    assert np.rint(group_size_law(p, 0.95)).tolist() == [10, 12, 28, 53]
    assert required_group_size([0.01, 0.001], 0.99).tolist() == [1310, 12988]
    assert required_group_size(0.001, 0.95) == 3347


@given(st.floats(1e-4, 1 - 1e-4), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_required_group_size_is_the_smallest(p, target):
    G = int(required_group_size(p, target))
    assert fidelity(p, G) >= target - 1e-13
    assert G == 2 or fidelity(p, G - 1) < target + 1e-13


def test_required_group_size_of_arrays_ends_and_the_far_tail():
    got = required_group_size(np.array([[0.0, 1.0], [0.5, 1e-4]]))
    assert got.tolist() == [[-1, -1], [11, 33449]]
    assert required_group_size([]).shape == (0,)
    with pytest.raises(ArgumentError, match="fidelity strictly between"):
        required_group_size(0.5, 1.0)


def test_required_group_size_ends_everywhere():
    assert required_group_size([1e-15, 1e-16, 1e-300, 5e-324], 0.99).tolist() == [-1] * 4
    assert required_group_size(1e-9, 0.95) == pytest.approx(3.3447e9, rel=1e-4)
    high = int(required_group_size(0.5, 1 - 1e-6))
    assert fidelity(0.5, high) >= 1 - 1e-6 > fidelity(0.5, high - 1)
    with pytest.raises(ArgumentError, match="at most 1 - 1e-9"):
        required_group_size(0.5, 1 - 1e-13)


@given(st.floats(1e-3, 0.999), st.integers(2, 400))
def test_a_fidelity_that_a_group_has_needs_just_that_group(p, G):
    assert required_group_size(p, float(fidelity(p, G))) == G


def test_steep_dials_stay_in_range():
    with mp.workdps(50):
        exact = exact_gain(0.3, 1200, pass_at(512))
    assert abs(expected_gain(0.3, 1200, pass_at(512)) / exact - 1) < 1e-9
    # The mass of this sum lies far from the peak of the binomial: without widening it is 9e-10 off.
    assert abs(expected_gain(0.9, 2000, pass_at(200)) / exact_gain(0.9, 2000, pass_at(200)) - 1) < 1e-12
    assert np.isfinite(expected_gain([0, 0.01, 0.3], 1024, pass_at(256))).all()
    assert np.isfinite(gradient_share([0.1, 0.5, 1 - 1e-16], 8, pass_at(64))).all()
    assert np.isfinite(fidelity(1 - 1e-16, 8, pass_at(64)))


def test_the_law_is_asymptotic_and_too_small():
    for target in (0.9, 0.95, 0.99):
        assert (
            group_size_law([0.5, 0.3, 0.1, 0.05], target) < required_group_size([0.5, 0.3, 0.1, 0.05], target)
        ).all()
    assert group_size_law(0.0) == np.inf


def test_weights_of_the_plane():
    p = np.linspace(0.05, 0.95, 7)
    np.testing.assert_allclose(difficulty_weight(p), 1 / np.sqrt(p * (1 - p)))
    np.testing.assert_allclose(difficulty_weight(p, MAXRL), 1 / p)
    np.testing.assert_allclose(difficulty_weight(p, pass_at(4)), (1 - p) ** 3)
    np.testing.assert_allclose(difficulty_weight(p, DR_GRPO), 1)
    assert difficulty_weight([0, 1], MAXRL).tolist() == [np.inf, 1]


def test_finite_group_weights_are_not_the_limit():
    """theory.md §6: MaxRL (1 − (1−p)^(G−1))/p; plugged-in pass@4 .273 for .343 at G = 8, p = .3."""
    p = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(difficulty_weight(p, MAXRL, G=8), (1 - (1 - p) ** 7) / p, rtol=1e-13)
    assert difficulty_weight(0.3, pass_at(4), G=8) == pytest.approx(0.273, abs=5e-4)
    assert difficulty_weight(0.3, pass_at(4)) == pytest.approx(0.343, abs=5e-4)
    np.testing.assert_allclose(difficulty_weight([0, 1], GRPO, G=8), np.sqrt(7), rtol=1e-14)
    with pytest.raises(ArgumentError, match="one G"):
        difficulty_weight(0.5, GRPO, G=[2, 4])  # type: ignore[arg-type]


def test_objectives_in_closed_form():
    p = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(objective(p), 2 * np.arcsin(np.sqrt(p)), rtol=1e-12)
    np.testing.assert_allclose(objective(p, DR_GRPO), p, rtol=1e-12)
    np.testing.assert_allclose(objective(p, MAXRL), np.log(p), rtol=1e-12)
    np.testing.assert_allclose(objective(p, LOGIT), np.log(p / (1 - p)), rtol=1e-12)
    np.testing.assert_allclose(objective(p, pass_at(4)), (1 - (1 - p) ** 4) / 4, rtol=1e-12)
    assert objective(0.0, MAXRL) == -np.inf and objective(0.0) == 0


@pytest.mark.parametrize(
    "dial",
    [*NAMED.values(), Dial(power=3), Dial(power=0.7, tilt=0.9), Dial(ddof=1, eps=0.01), Dial(power=1.6, tilt=-0.3)],
)
def test_objective_integrates_the_weight(dial):
    for low, high in ((0.1, 0.4), (0.3, 0.95)):
        area = quad(lambda t: float(difficulty_weight(t, dial)), low, high, epsabs=0, epsrel=1e-11)[0]
        assert objective(high, dial) - objective(low, dial) == pytest.approx(area, rel=1e-8)
        finite = quad(lambda t: float(difficulty_weight(t, dial, G=8)), low, high, epsabs=0, epsrel=1e-11)[0]
        assert objective(high, dial, G=8) - objective(low, dial, G=8) == pytest.approx(finite, rel=1e-10)


def test_finite_objective_of_dr_grpo_and_of_a_single_answer():
    p = np.linspace(0, 1, 5)
    np.testing.assert_allclose(objective(p, DR_GRPO, G=8), 7 / 8 * p, atol=1e-15)
    assert not objective(p, GRPO, G=1).any()


def test_gradient_shares():
    p, weights = [0.5, 0.1, 0.0], [1, 2, 5]
    limit = np.array([0.5, 2 * 0.3, 0])
    np.testing.assert_allclose(gradient_share(p, weights=weights), limit / limit.sum())
    finite = np.array([1, 2, 5]) * expected_gain(p, 8)
    np.testing.assert_allclose(gradient_share(p, 8, weights=weights), finite / finite.sum())
    assert gradient_share([0, 1]).tolist() == [0, 0]
    for bad in ([1, 1], [1, -1, 1], [np.nan, 1, 1]):
        with pytest.raises(ArgumentError, match="weights"):
            gradient_share(p, weights=bad)


def test_batch_wide_scales_are_refused_with_a_hint():
    for function in (expected_gain, fidelity):
        with pytest.raises(ArgumentError, match="as power=0"):
            function(0.5, 8, Dial(spread="batch"))


def test_draws_and_the_risk_of_a_cap():
    assert draws_per_kept_group([0, 0.5, 1]).tolist() == [1, 2, np.inf]
    for silent, batch, cap in ((0.43, 16, 2.0), (0.7, 128, 3.0), (0.9, 4, 10), (0.5, 100, 2.3)):
        failures = round(cap * batch) - batch
        assert cap_risk(silent, batch, cap) == pytest.approx(nbinom.sf(failures, batch, 1 - silent), rel=1e-9)
    tiny = 1e-12
    assert cap_risk(tiny, 1, 1) == pytest.approx(tiny, rel=1e-14)
    assert cap_risk(0.5, 1000, 1.001) <= 1 and cap_risk(0, 8, 1) == 0 and cap_risk(1, 8, 5) == 1
    with pytest.raises(ArgumentError, match="cap"):
        cap_risk(0.5, 8, 0.5)
