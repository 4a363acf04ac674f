"""What sampling rules optimise: tables against rules walked by hand, sequences enumerated, scores simulated."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from groupsigma import DR_GRPO, GRPO, LOGIT, MAXRL, ArgumentError, difficulty_weight, gain, objective
from groupsigma.implied import PUBLISHED, balanced_down, by_dial, halves, redrawn_weight, sampling

PLACES = np.array([0.003, 0.05, 0.2, 0.5, 0.77, 0.98])
each_rule = pytest.mark.parametrize("name", PUBLISHED)


# ---- the published rules, walked answer by answer ---------------------------------------------------


def grpo(right, wrong):
    rewards = np.r_[np.ones(right), np.zeros(wrong)]
    return (rewards - rewards.mean()) / (rewards.std() or 1), right


def dr_grpo(right, wrong):
    rewards = np.r_[np.ones(right), np.zeros(wrong)]
    return rewards - rewards.mean(), right


def aero(right, wrong):
    return dr_grpo(right, right if 0 < right < wrong else wrong)


def two_and_two(right, wrong):
    """Four stay, two of each kind where there are; the baseline is the mean of all that were drawn."""
    ones, zeros = [1] * right, [0] * wrong
    kept = ones[:2] + zeros[:2]
    kept = np.array(sorted(kept + (ones[2:] + zeros[2:])[: 4 - len(kept)], reverse=True))
    return kept - right / (right + wrong), kept.sum()


#: name: (answers of each round in turn, whether another round is drawn at k of n, advantages).
BY_HAND = {
    "GRPO, G = 8": ([8], lambda k, n: True, grpo),
    "Dr. GRPO, G = 8": ([8], lambda k, n: True, dr_grpo),
    "SPEED, 4 + 12": ([4, 12], lambda k, n: 0 < k < n, dr_grpo),
    "Pilot-Commit, 8 + 24": ([8, 24], lambda k, n: 1 <= k <= 6, grpo),
    "AERO, 8 then by 2 to 16": ([8, 2, 2, 2, 2], lambda k, n: k == 0, aero),
    "Reinforce-Ada, one right": ([8] * 4, lambda k, n: k == 0, two_and_two),
    "Reinforce-Ada, balanced": ([8] * 4, lambda k, n: k < 2 or n - k < 2, two_and_two),
    "until one is right, to 32": ([1] * 32, lambda k, n: k == 0, dr_grpo),
    "until mixed, to 32": ([1] * 32, lambda k, n: k in (0, n), grpo),
}


def endings(rounds, more, p):
    """(k, n, probability) of every way a group can end, round by round with binomials."""
    from scipy.stats import binom

    alive, out = {(0, 0): 1.0}, []
    for i, size in enumerate(rounds):
        ahead: dict = {}
        for (k, n), chance in alive.items():
            if i and not more(k, n):
                out.append((k, n, chance))
                continue
            for j, share in enumerate(binom.pmf(np.arange(size + 1), size, p)):
                ahead[k + j, n + size] = ahead.get((k + j, n + size), 0.0) + chance * share
        alive = ahead
    return out + [(k, n, chance) for (k, n), chance in alive.items()]


def weight_by_hand(name, p):
    """E[(1/m) Σ Aᵢ sᵢ] along ∇p, with mean scores ∇p/p of right and −∇p/(1−p) of wrong answers."""
    rounds, more, advantages = BY_HAND[name]
    total = 0.0
    for k, n, chance in endings(rounds, more, p):
        a, right = advantages(k, n - k)
        total += chance * (a[:right].sum() / p - a[right:].sum() / (1 - p)) / len(a)
    return total


def test_every_published_rule_is_walked():
    assert set(BY_HAND) == set(PUBLISHED)


@each_rule
def test_weights_of_published_rules(name):
    rule = PUBLISHED[name]()
    np.testing.assert_allclose(rule.weight(PLACES), [weight_by_hand(name, p) for p in PLACES], rtol=1e-10)


@each_rule
def test_tries_and_mixed_rates_of_published_rules(name):
    rule = PUBLISHED[name]()
    for p in PLACES:
        ends = endings(*BY_HAND[name][:2], p)
        assert sum(chance for *_, chance in ends) == pytest.approx(1)
        assert rule.tries(p) == pytest.approx(sum(n * chance for _, n, chance in ends), rel=1e-10)
        assert rule.mixed_rate(p) == pytest.approx(sum(c for k, n, c in ends if 0 < k < n), rel=1e-10)
    k, f = np.nonzero(rule.ways)
    assert (rule.ways[k, f] * 0.3**k * 0.7**f).sum() == pytest.approx(1)


@each_rule
def test_the_objective_is_the_integral_of_the_weight(name):
    rule = PUBLISHED[name]()
    assert rule.objective(0.0) == 0
    for low, high in ((0, 0.1), (0.1, 0.6), (0.6, 1)):
        area = quad(lambda p: float(rule.weight(p)), low, high, epsrel=1e-12, limit=200)[0]
        assert rule.objective(high) - rule.objective(low) == pytest.approx(area, rel=1e-9)


@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL, LOGIT])
@pytest.mark.parametrize("G", [2, 8, 40])
def test_a_fixed_group_is_the_law(dial, G):
    fixed = sampling(lambda k, f: k + f < G, by_dial(dial), most=G)
    p = np.r_[0.0, PLACES, 1.0]
    np.testing.assert_allclose(fixed.weight(p), difficulty_weight(p, dial, G=G), rtol=1e-10)
    np.testing.assert_allclose(fixed.objective(p), objective(p, dial, G=G), rtol=1e-9, atol=1e-12)
    assert fixed.tries(0.3) == pytest.approx(G)


# ---- any rule, every sequence -----------------------------------------------------------------------


@st.composite
def rules(draw, most=7):
    """A table of where to go on, of what right and wrong push, and the number of answers at most."""
    n = draw(st.integers(2, most))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    go = rng.random((n + 1, n + 1)) < draw(st.sampled_from([0.3, 0.6, 0.9]))
    return go, rng.normal(size=(n + 1, n + 1)), rng.normal(size=(n + 1, n + 1)), n


def by_sequences(go, plus, minus, n, p):
    """F' over all 2ⁿ sequences, each followed until the rule stops."""
    total = 0.0
    for answers in product((0, 1), repeat=n):
        k = f = 0
        for r in answers:
            k, f = k + r, f + 1 - r
            if not go[k, f]:
                break
        rest = n - k - f
        # A stopped sequence stands for all that begin with it: each is counted once in 2^rest.
        chance = p**k * (1 - p) ** f / 2**rest
        total += chance * ((plus[k, f] / p if k else 0) + (minus[k, f] / (1 - p) if f else 0))
    return total


@given(rules(), st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_any_rule_against_all_its_sequences(rule, p):
    go, plus, minus, n = rule
    made = sampling(lambda k, f: go, lambda k, f: (plus, minus), most=n)
    assert made.weight(p) == pytest.approx(by_sequences(go, plus, minus, n, p), abs=1e-10)


@given(rules(most=12))
@settings(max_examples=80, deadline=None)
def test_any_rule_can_be_undone(rule):
    """Weight 1 everywhere, the ends too, however it stops: the objective is p."""
    go, _, _, n = rule
    assume(go[1, 0] or go[0, 1])
    made = sampling(lambda k, f: go, by_dial(), most=n).undone()
    p = np.r_[0.0, PLACES, 1.0]
    np.testing.assert_allclose(made.weight(p), 1, rtol=1e-12)
    np.testing.assert_allclose(made.objective(p), p, rtol=1e-12)
    k, f = np.nonzero(made.ways)
    c = made.plus[k, f]
    assert (c >= 0).all() and (c <= 1).all() and (c[(k == 0) | (f == 0)] == 0).all()


@each_rule
def test_published_rules_undone(name):
    made = PUBLISHED[name]().undone()
    p = np.r_[0.0, PLACES, 1.0]
    np.testing.assert_allclose(made.weight(p), 1, rtol=1e-12)
    assert (made.on == PUBLISHED[name]().on).all()
    np.testing.assert_allclose(made.tries(p), PUBLISHED[name]().tries(p))


def test_undone_with_many_answers():
    p = np.r_[0.0, PLACES, 1.0]
    for go in (lambda k, f: k + f < 512, lambda k, f: (k == 0) | (f == 0)):
        np.testing.assert_allclose(sampling(go, by_dial(), most=512).undone().weight(p), 1, rtol=1e-9)


@pytest.mark.parametrize("G", [2, 5, 16])
def test_undone_for_a_fixed_group_is_the_unbiased_variance(G):
    k = np.arange(G + 1)
    made = sampling(lambda k, f: k + f < G, by_dial(), most=G).undone()
    np.testing.assert_allclose(made.plus[k, G - k], k * (G - k) / (G * (G - 1)), rtol=1e-13)
    np.testing.assert_allclose(made.minus[k, G - k], made.plus[k, G - k])


# ---- scores in three dimensions ---------------------------------------------------------------------

CONTRAST = np.array([1.0, -0.5, 0.25])


def simulate(rule, p, groups, seed):
    """(update, contrast, k, n) of each group: scores are drawn for every answer, the rule sees rewards alone."""
    rng, most = np.random.default_rng(seed), len(rule.on) - 1
    rewards = rng.random((groups, most)) < p
    k = np.zeros((groups, most + 1), dtype=int)
    k[:, 1:] = np.cumsum(rewards, 1)
    n = np.arange(most + 1)
    stops = ~rule.on[k, n - k]
    size = stops.argmax(1)
    drawn = np.arange(most) < size[:, None]
    right = np.take_along_axis(k, size[:, None], 1)[:, 0]
    wrong = size - right
    # E[score] = 0: p μ₊ + (1−p) μ₋ = 0. Wrong answers are noisier, and skewed.
    scores = np.where(
        rewards[..., None],
        (1 - p) * CONTRAST + rng.normal(size=(groups, most, 3)),
        -p * CONTRAST + 2 * (rng.exponential(size=(groups, most, 3)) - 1),
    )
    up = (scores * (rewards & drawn)[..., None]).sum(1) / np.maximum(right, 1)[:, None]
    down = (scores * (~rewards & drawn)[..., None]).sum(1) / np.maximum(wrong, 1)[:, None]
    update = rule.plus[right, wrong][:, None] * up - rule.minus[right, wrong][:, None] * down
    return update, up - down, right, size


def close(sample, truth, errors=4.5):
    """Within so many standard errors, each component."""
    return abs(sample.mean(0) - truth) < errors * sample.std(0) / np.sqrt(len(sample)) + 1e-12


@each_rule
def test_optional_stopping_leaves_the_direction_alone(name):
    """Mean contrast of mixed groups is the true one, whatever stopped them; the update is F'(p) ∇p."""
    rule, p = PUBLISHED[name](), 0.2
    update, contrast, k, n = simulate(rule, p, 12_000, seed=4)
    mixed = (k > 0) & (k < n)
    assert close(contrast[mixed], CONTRAST).all()
    assert close(update, float(rule.weight(p)) * p * (1 - p) * CONTRAST).all()
    assert close(n, float(rule.tries(p)))


def test_the_check_of_the_direction_can_fail():
    """A rule that looks at scores is not free: stopping at the first high score tilts the contrast."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20_000, 8, 3))
    lucky = scores[np.arange(20_000), (scores[:, :, 0] > 1).argmax(1)]
    assert not close(lucky, 0.0).all()


def test_the_mean_of_a_group_is_not_left_alone():
    """Until one is right: E[k/n] is .402 where p = .2 (−p ln p/(1−p)), .254 among the mixed."""
    rule = PUBLISHED["until one is right, to 32"]()
    k, f = np.nonzero(rule.ways)
    chance = rule.ways[k, f] * 0.2**k * 0.8**f
    assert chance @ (k / (k + f)) == pytest.approx(-0.2 * np.log(0.2) / 0.8, abs=1e-4)
    mixed = (k > 0) & (f > 0)
    assert chance[mixed] @ (k / (k + f))[mixed] / chance[mixed].sum() == pytest.approx(0.254, abs=1e-3)


def test_until_mixed_is_nearly_the_log_odds():
    """planning.md §4: weight one on a group of two, drawn until mixed: F' = 1/v up to the cap."""
    one = sampling(lambda k, f: ~((k > 0) & (f > 0)), lambda k, f: (((k > 0) & (f > 0)) * 1.0,) * 2, most=256)
    np.testing.assert_allclose(one.weight(PLACES[1:]), 1 / (PLACES * (1 - PLACES))[1:], rtol=1e-2)


# ---- what is kept of a group ------------------------------------------------------------------------


def test_halves_keep_two_of_each_where_they_can():
    k, f = np.array([0, 1, 2, 5, 7, 8]), np.array([8, 7, 6, 3, 1, 0])
    plus, minus = halves(4)(k, f)
    kept = np.array([0, 1, 2, 2, 3, 4])
    np.testing.assert_allclose(plus, kept / 4 * (1 - k / 8))
    np.testing.assert_allclose(minus, (4 - kept) / 4 * k / 8)
    own = halves(4, global_mean=False)(k, f)
    np.testing.assert_allclose(own[0], kept * (4 - kept) / 16)
    np.testing.assert_allclose(own[0], own[1])


def test_balanced_down_is_dr_grpo_on_what_stays():
    plus, minus = balanced_down(np.array([0, 2, 4, 6]), np.array([8, 6, 4, 2]))
    np.testing.assert_allclose(plus, [0, gain(2, 4, DR_GRPO), gain(4, 8, DR_GRPO), gain(6, 8, DR_GRPO)])
    np.testing.assert_allclose(plus, minus)


# ---- drawing a silent group again -------------------------------------------------------------------


@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL])
def test_drawing_again_against_all_outcomes(dial):
    """theory.md §10: E[gain | mixed] (1 − silent^c)/v; here over all rewards of up to three groups of three."""
    for p in (0.1, 0.5, 0.8):
        for draws in (1, 2, 3):
            total = 0.0
            for rewards in product((0, 1), repeat=3 * draws):
                chance = p ** sum(rewards) * (1 - p) ** (3 * draws - sum(rewards))
                for at in range(0, 3 * draws, 3):
                    k = sum(rewards[at : at + 3])
                    if 0 < k < 3:
                        total += chance * float(gain(k, 3, dial))
                        break
            assert redrawn_weight(p, 3, dial, draws) == pytest.approx(total / (p * (1 - p)), rel=1e-12)


def test_drawing_again_at_the_ends_and_without_end():
    assert redrawn_weight(0.3, 8, draws=1) == pytest.approx(float(difficulty_weight(0.3, GRPO, 8)))
    np.testing.assert_allclose(redrawn_weight([0.0, 1.0], 8, draws=4), 4 * np.sqrt(7))
    silent = 0.05**8 + 0.95**8
    forever = float(difficulty_weight(0.05, GRPO, 8)) / (1 - silent)
    assert redrawn_weight(0.05, 8, draws=200) == pytest.approx(forever)


# ---- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sampling(lambda k, f: k < 9, by_dial(), most=0), "most"),
        (lambda: sampling(lambda k, f: k < 9, by_dial(), most=513), "most up to 512"),
        (lambda: sampling(lambda k, f: k < 9, by_dial(), most=10, round_size=4), "a multiple of round_size"),
        (lambda: sampling(lambda k, f: k < 9, by_dial(), most=10, round_size=0), "round_size"),
        (lambda: sampling(lambda k, f: k < 9, by_dial(), most=2.5), "most"),
        (lambda: sampling(lambda k, f: k < 9, by_dial("grpo"), most=4), "a Dial"),  # type: ignore[arg-type]
        (lambda: sampling(lambda k, f: k < 0, by_dial(), most=8).undone(), "at least two answers"),
        (lambda: sampling(lambda k, f: k < 9, by_dial(), most=1).undone(), "at least two answers"),
        (lambda: PUBLISHED["GRPO, G = 8"]().weight(1.2), r"p in \[0, 1\]"),
        (lambda: PUBLISHED["GRPO, G = 8"]().objective(-0.1), r"p in \[0, 1\]"),
        (lambda: PUBLISHED["GRPO, G = 8"]().tries(np.nan), r"p in \[0, 1\]"),
        (lambda: redrawn_weight(1.2, 8), r"p in \[0, 1\]"),
        (lambda: redrawn_weight(0.5, 8, draws=0), "draws"),
        (lambda: redrawn_weight(0.5, [4, 8]), "one G"),
        (lambda: redrawn_weight(0.5, 8, "grpo"), "a Dial"),
    ],
)
def test_what_is_refused(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()
