"""Beliefs against Bayes by hand, exact integrals, and the rates they were simulated from."""

import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupsigma import ArgumentError, Groups, mixture
from groupsigma.belief import Beliefs, Drift
from groupsigma.mixture import Posterior
from groupsigma.odds import blur, grid, shift

STILL = Drift(wander=0, adapt=0, forget=0, common=0, effects=0, learn=0)


def still(**change):
    return Drift(**{**vars(STILL), **change})


def logit(p):
    return np.log(p) - np.log1p(-np.asarray(p))


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def odds(beliefs):
    return grid(beliefs.weight.shape[1])[0]


def moments(weight, x):
    mean = weight @ x
    return mean, weight @ x**2 - mean**2


def beta(p, a, b):
    """Beta(a, b) over the grid of log-odds, whose own density is p(1−p) dx."""
    log = a * np.log(p) + b * np.log1p(-p)
    weight = np.exp(log - log.max())
    return weight / weight.sum()


# ---- a visit ------------------------------------------------------------------------------------


def test_an_update_is_bayes_on_the_grid():
    before = Beliefs.about(["a", "b", "c"], rate=[0.2, np.nan, 0.9]).advance(7)
    after = before.update(["c", "a"], [3, 0], [4, 10])
    for row, k, n in ((2, 3, 4), (0, 0, 10)):
        by_hand = before.weight[row] * before.p**k * (1 - before.p) ** (n - k)
        np.testing.assert_allclose(after.weight[row], by_hand / by_hand.sum(), rtol=1e-12)
    assert after.seen.tolist() == [10, 0, 4] and after.recent.tolist() == [0, 0, 0.75]
    assert after.step == 7 and before.seen.sum() == 0


def test_the_start_is_flat_in_arcsin_and_visits_make_it_a_beta():
    """Beta(½, ½), then Beta(½ + k, ½ + n − k): conjugate."""
    fresh = Beliefs.about(["a"], drift=STILL, points=1025)
    np.testing.assert_allclose(fresh.weight[0], beta(fresh.p, 0.5, 0.5), rtol=1e-9)
    told = fresh.update(["a"], [3], [8])
    np.testing.assert_allclose(told.weight[0], beta(fresh.p, 3.5, 5.5), rtol=1e-9)
    assert told.mean[0] == pytest.approx(3.5 / 9, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_visits_in_any_order_and_any_parts_say_the_same(told):
    """Within a step and with nothing shared: one update with repeats, one at a time, backwards, or summed."""
    ids, k, n = (np.array(x) for x in zip(*[(i, min(k, n), n) for i, k, n in told], strict=True))
    start = Beliefs.about(np.arange(3), drift=STILL)
    at_once = start.update(ids, k, n)
    one_by_one = start
    for j in reversed(range(len(ids))):
        one_by_one = one_by_one.update(ids[j : j + 1], k[j : j + 1], n[j : j + 1])
    np.testing.assert_allclose(at_once.weight, one_by_one.weight, rtol=1e-10)
    assert at_once.seen.tolist() == one_by_one.seen.tolist() == [n[ids == i].sum() for i in range(3)]


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_whatever_happens_rows_stay_probabilities(data):
    drift = Drift(*(data.draw(st.floats(0, 1)) for _ in range(6)))
    columns = data.draw(st.sampled_from([None, np.arange(5.0) - 2]))
    beliefs = Beliefs.about(np.arange(5), columns=columns, drift=drift)
    for _ in range(4):
        beliefs = beliefs.advance(beliefs.step + data.draw(st.integers(0, 400)))
        visited = data.draw(st.lists(st.integers(0, 4), max_size=6))
        n = [data.draw(st.sampled_from([1, 8, 5000])) for _ in visited]
        beliefs = beliefs.update(visited, [data.draw(st.sampled_from([0, size // 2, size])) for size in n], n)
        assert (beliefs.weight >= 0).all() and np.isfinite(beliefs.effect).all()
        np.testing.assert_allclose(beliefs.weight.sum(1), 1, rtol=1e-9)
        assert beliefs.spread.sum() == pytest.approx(1, rel=1e-9) and 0 <= beliefs.wander <= 1
        np.testing.assert_allclose(beliefs.covariance, beliefs.covariance.T)
        assert np.linalg.eigvalsh(beliefs.covariance).min() >= -1e-9


def test_overwhelming_answers_do_not_underflow():
    told = Beliefs.about(["a", "b"], drift=STILL).update(["a", "b"], [0, 10**6], [10**6, 10**6])
    assert told.mean[0] == pytest.approx(told.p[0]) and told.mean[1] == pytest.approx(told.p[-1])


def test_no_visit_changes_nothing():
    before = Beliefs.about(["a", "b"], drift=Drift(learn=0)).advance(3)
    after = before.update([], [], [])
    np.testing.assert_array_equal(after.weight, before.weight)
    assert after.wander == before.wander and after.effect.tolist() == before.effect.tolist()


def test_lately_drawn_contrast_fades():
    told = Beliefs.about(["a"]).update(["a"], [2], [8]).update(["a"], [4], [8])
    assert told.recent[0] == 2 * 6 / 8 + 4 * 4 / 8
    assert told.advance(3).recent[0] == pytest.approx(3.5 * 0.8**3)


# ---- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [49, 257])
@pytest.mark.parametrize("wander", [0.02, 0.1, 0.36, 0.38, 0.5, 1.0])
def test_a_walk_adds_its_variance_and_loses_nothing(wander, points):
    """Below, at and above a grid spacing of .375; the walk is in log-odds and goes neither way."""
    start = Beliefs.known(["a", "end"], [0.5, 1e-9], drift=still(wander=wander), points=points)
    x = odds(start)
    mean, variance = moments(start.weight[0], x)
    for steps in (1, 4):
        walked = start.advance(steps)
        np.testing.assert_allclose(walked.weight.sum(1), 1, rtol=1e-12)
        assert (walked.weight >= 0).all()
        now = moments(walked.weight[0], x)
        assert now[0] == pytest.approx(mean, abs=1e-9)
        assert now[1] - variance == pytest.approx(steps * wander**2, rel=1e-3)


@given(st.floats(0.005, 3))
@settings(deadline=None)
def test_the_width_of_a_walk_is_kept_to_two_digits(width):
    x = grid(49)[0]
    assert x @ (blur(49, width)[24] * x) == pytest.approx(width**2, rel=0.11)


def test_forgetting_draws_to_the_spread_at_its_rate():
    start = Beliefs.known(["a", "b"], [0.1, 0.9], drift=still(forget=0.2))
    for steps in (1, 3, 50):
        kept = 0.8**steps
        np.testing.assert_allclose(
            start.advance(steps).weight, kept * start.weight + (1 - kept) * start.spread, rtol=1e-12, atol=1e-15
        )
    all_at_once = Beliefs.known(["a"], [0.1], drift=still(forget=1)).advance(1)
    np.testing.assert_allclose(all_at_once.weight[0], all_at_once.spread)


def test_a_long_pause_is_many_short_ones():
    drift = Drift(wander=0.1, forget=0.02, adapt=0)
    start = Beliefs.about(["a", "b"], rate=[0.3, 0.8], strength=50, columns=[-1, 1], drift=drift)
    start = start.update(["a"], [3], [8])
    twice, once = start.advance(1).advance(2), start.advance(2)
    assert 0.5 * abs(twice.weight - once.weight).sum(1).max() < 0.002
    np.testing.assert_allclose(twice.covariance, once.covariance, rtol=1e-12)
    np.testing.assert_allclose(twice.recent, once.recent, rtol=1e-12)
    assert twice.step == once.step == 2 and start.advance(0) is start
    no_blur = still(forget=0.3)
    a = Beliefs.known(["a"], [0.2], drift=no_blur)
    np.testing.assert_allclose(a.advance(1).advance(2).weight, a.advance(2).weight, rtol=1e-12)


def test_doubt_about_what_is_shared_grows_with_time():
    start = Beliefs.about(["a", "b"], columns=[0, 1], drift=Drift(common=0.1, effects=0.2))
    grown = start.advance(5).covariance - start.covariance
    np.testing.assert_allclose(grown, np.diag([5 * 0.01, 5 * 0.04]), rtol=1e-12)


@pytest.mark.parametrize("by", [0.0, 0.1, -0.3, 0.375, 1.0, -2.6])
def test_a_shift_moves_every_row_by_as_much(by):
    x, p = grid(49)
    weight = np.stack([beta(p, 30, 60), beta(p, 80, 20), beta(p, 50, 50)])
    mean = weight @ x
    same = shift(weight, np.full(3, by))
    np.testing.assert_allclose(same @ x - mean, by, atol=1e-9)
    own = shift(weight, np.array([by, 0.05, -by]))
    np.testing.assert_allclose(own @ x - mean, [by, 0.05, -by], atol=1e-9)
    for out in (same, own):
        np.testing.assert_allclose(out.sum(1), 1, rtol=1e-12)
        assert (out >= 0).all()
    np.testing.assert_allclose(own[0], same[0], atol=1e-15)
    far = shift(weight, np.full(3, 1e6 * (by or 1)))
    np.testing.assert_allclose(far @ x, np.sign(by or 1) * 9, rtol=1e-12)


# ---- what problems share ------------------------------------------------------------------------


def rising(common=0.3, n=20, right=14):
    """200 problems known to be ½; half of them are visited after a step and come out at right/n."""
    start = Beliefs.known(np.arange(200), np.full(200, 0.5), drift=still(common=common)).advance(1)
    return start, start.update(np.arange(100), np.full(100, right), np.full(100, n))


def test_a_batch_better_than_believed_lifts_the_others():
    start, told = rising()
    assert (told.mean[100:] > start.mean[100:] + 0.1).all() and told.effect[0] > 0
    start, told = rising(right=6)
    assert (told.mean[100:] < start.mean[100:] - 0.1).all() and told.effect[0] < 0
    start, told = rising(common=0)
    np.testing.assert_array_equal(told.weight[100:], start.weight[100:])


def test_the_visited_get_their_own_answers_and_no_more():
    start = Beliefs.about(np.arange(60), drift=Drift(common=0.3)).advance(4)
    told = start.update(np.arange(40), np.full(40, 7), np.full(40, 8))
    by_hand = start.weight[0] * start.p**7 * (1 - start.p)
    np.testing.assert_allclose(told.weight[:40], np.tile(by_hand / by_hand.sum(), (40, 1)), rtol=1e-12)
    assert told.mean[50] > start.mean[50]


@pytest.mark.parametrize(("visited", "right"), [(4, 11), (30, 10), (100, 11)])
def test_the_shared_shift_is_the_exact_posterior(visited, right):
    """Rates known but for a shift drawn from a normal: against the integral over the shift."""
    start = Beliefs.known(np.arange(120), np.full(120, 0.5), drift=still(common=0.2)).advance(1)
    told = start.update(np.arange(visited), np.full(visited, right), np.full(visited, 20))
    shift = np.linspace(-2, 2, 8001)
    log = visited * (right * np.log(sigmoid(shift)) + (20 - right) * np.log(sigmoid(-shift))) - shift**2 / 0.08
    density = np.exp(log - log.max())
    density /= density.sum()
    mean, variance = moments(density, shift)
    assert told.effect[0] == pytest.approx(mean, rel=0.03)
    assert told.covariance[0, 0] == pytest.approx(variance, rel=0.06)
    np.testing.assert_allclose(moments(told.weight[110], odds(told))[0], told.effect[0], atol=1e-9)


def hard_and_easy(columns, visits=3, P=300, seed=1, own=False):
    """Log-odds 1.2 × a column, and with `own` a part from Beta(½, ½) besides; the first half is visited."""
    rng, half = np.random.default_rng(seed), np.arange(P // 2)
    z = rng.normal(size=P)
    p = sigmoid(1.2 * z + (logit(np.clip(rng.beta(0.5, 0.5, P), 2e-4, 1 - 2e-4)) if own else 0))
    beliefs = Beliefs.about(np.arange(P), columns=z if columns else None, drift=Drift(wander=0.02))
    for step in range(visits):
        beliefs = beliefs.advance(step).update(half, rng.binomial(8, p[half]), np.full(len(half), 8))
    return beliefs, z, p


def test_a_column_that_tells_hard_from_easy_moves_the_unvisited():
    told, z, p = hard_and_easy(True)
    blind, _, _ = hard_and_easy(False)
    unvisited = slice(len(p) // 2, None)
    high, low = z[unvisited] > 0.3, z[unvisited] < -0.3
    assert (told.mean[unvisited][high] > 0.5).all() and (told.mean[unvisited][low] < 0.5).all()
    error = [((b.mean[unvisited] - p[unvisited]) ** 2).mean() for b in (told, blind)]
    assert error[0] < error[1] / 3
    assert blind.columns.shape == (300, 1) and told.columns.shape == (300, 2)


def test_a_coefficient_is_found_where_the_rest_is_as_believed():
    """True 1.2; one run errs by about .2, the mean of six by .08."""
    found = [hard_and_easy(True, 2, 600, seed, own=True)[0].effect[1] for seed in range(6)]
    assert np.mean(found) == pytest.approx(1.2, abs=0.25)


def test_columns_that_follow_the_policy():
    """A column that rises by one moves its rows by its coefficient, and nothing else."""
    told, z, _ = hard_and_easy(True, P=40)
    risen = np.where(np.arange(40) % 2, z + 1, z)
    moved = told.with_columns(risen)
    x = odds(told)
    middle = abs(told.weight @ x) < 3
    by = (moved.weight - told.weight)[middle] @ x
    np.testing.assert_allclose(by, np.where(np.arange(40) % 2, told.effect[1], 0)[middle], atol=0.02)
    np.testing.assert_array_equal(moved.columns[:, 1], risen)
    assert (moved.effect == told.effect).all() and (moved.columns[:, 0] == 1).all()
    np.testing.assert_allclose(moved.with_columns(z).mean, told.mean, atol=0.01)


def test_a_column_that_tells_nothing_is_left_alone():
    rng = np.random.default_rng(0)
    z, p = rng.normal(size=400), rng.beta(0.5, 0.5, 400)
    beliefs = Beliefs.about(np.arange(400), columns=z).update(np.arange(300), rng.binomial(8, p[:300]), np.full(300, 8))
    assert abs(beliefs.effect[1]) < 0.3
    assert abs(beliefs.mean[300:] - 0.5).max() < 0.25


def test_the_population_is_learned():
    start = Beliefs.about(np.arange(50), drift=still(learn=0.25))
    told = start.update(np.arange(50), np.zeros(50), np.full(50, 8))
    np.testing.assert_allclose(told.spread, 0.75 * start.spread + 0.25 * told.weight.mean(0), rtol=1e-12)


# ---- how wander adapts, and whether intervals hold ----------------------------------------------


def simulate(P, steps, n, walk, drift, seed=0, points=49):
    """True rates from Beta(½, ½), all visited each step: the beliefs and coverage of 90 % intervals by step."""
    rng = np.random.default_rng(seed)
    beliefs = Beliefs.about(np.arange(P), drift=drift, points=points)
    x = logit(np.clip(rng.beta(0.5, 0.5, P), beliefs.p[0], beliefs.p[-1]))
    held = []
    for step in range(steps):
        beliefs = beliefs.advance(step)
        if step:
            x = np.clip(x + walk * rng.normal(size=P), -9, 9)
        p = sigmoid(x)
        low, high = beliefs.interval(0.9)
        held.append(((low <= p) & (p <= high)).mean())
        beliefs = beliefs.observe(np.arange(P), rng.binomial(n, p), np.full(P, n))
    return beliefs, np.array(held)


def test_wander_grows_when_rates_jump_and_shrinks_when_they_stand():
    jumping, _ = simulate(300, 40, 8, 0.6, Drift(wander=0.05))
    standing, _ = simulate(300, 40, 8, 0.0, Drift(wander=0.3))
    assert jumping.wander > 0.25 and standing.wander < 0.15
    for kept in (Drift(wander=0.05, adapt=0), Drift(wander=0)):
        assert simulate(50, 10, 8, 0.6, kept)[0].wander == kept.wander


@pytest.mark.parametrize("walk", [0.1, 0.3, 0.6])
def test_wander_finds_the_walk(walk):
    """From a start of .05, within a third after 150 steps; 200 problems near 0 and 1 as near ½."""
    found = simulate(200, 150, 8, walk, Drift(wander=0.05, forget=0, common=0, learn=0))[0].wander
    assert found == pytest.approx(walk, rel=0.33)


def test_first_visits_do_not_move_wander():
    start = Beliefs.about(np.arange(64)).advance(1)
    assert start.update(np.arange(64), np.full(64, 8), np.full(64, 8)).wander == start.wander


def test_intervals_hold_where_rates_stand_still():
    """90 % over 1,000 problems and ten steps; one draw of the problems moves it by a point."""
    _, held = simulate(1000, 11, 8, 0.0, STILL, points=201)
    assert abs(held[1:].mean() - 0.9) < 0.03


@pytest.mark.parametrize("n", [4, 32])
def test_a_coarse_grid_never_says_too_much(n):
    """320 answers know p better than 49 points can say: intervals are then too wide, not too narrow."""
    _, held = simulate(1000, 11, n, 0.0, STILL)
    assert 0.89 < held[1:].mean() < 0.97 and held[-1] > 0.89


def test_intervals_hold_under_a_walk_that_is_known():
    for walk in (0.1, 0.4):
        _, held = simulate(500, 30, 8, walk, still(wander=walk))
        assert 0.88 < held[5:].mean() < 0.97


@pytest.mark.parametrize(("walk", "least"), [(0.0, 0.9), (0.1, 0.78), (0.3, 0.82), (0.6, 0.85)])
def test_intervals_still_hold_under_a_walk_that_is_not(walk, least):
    """Default drift, which knows neither the walk nor that nothing is forgotten, once it had time to notice."""
    _, held = simulate(300, 100, 8, walk, Drift())
    assert held[60:].mean() > least


# ---- from what is known -------------------------------------------------------------------------


def test_known_rates_are_sure():
    p = np.array([0, 1e-9, 0.03, 0.4, 0.5, 0.99, 1.0])
    sure = Beliefs.known(np.arange(7), p)
    ends = np.clip(p, sure.p[0], sure.p[-1])
    np.testing.assert_allclose(sure.weight @ odds(sure), logit(ends), atol=1e-9)
    np.testing.assert_allclose(sure.mean, ends, atol=0.005)
    assert ((sure.weight > 0).sum(1) <= 2).all() and (sure.weight >= 0).all()


def test_a_hint_counts_like_answers():
    """A rate .25 at strength 8 is what 2 of 8 right answers would have said; NaN is no hint."""
    hinted = Beliefs.about(["a", "b"], rate=[0.25, np.nan], strength=8)
    told = Beliefs.about(["a", "b"]).update(["a"], [2], [8])
    np.testing.assert_allclose(hinted.weight, told.weight, rtol=1e-10)
    assert hinted.seen.tolist() == [0, 0]
    np.testing.assert_allclose(Beliefs.about(["a"], rate=[0.9], strength=0).weight, Beliefs.about(["a"]).weight)


def test_a_population_s_curve_is_the_start():
    groups = Groups(np.arange(40), np.repeat([0, 2, 8, 8], 10), np.full(40, 8))
    spread = mixture(groups)
    start = Beliefs.about(["new"], spread=spread, points=257)
    assert start.mean[0] == pytest.approx(float(spread.weight @ spread.p), abs=0.01)
    assert (start.weight > 0).all()


@pytest.mark.parametrize("points", [49, 257])
def test_intervals_are_the_posterior_s_and_half_a_spacing(points):
    told = Beliefs.about(["a", "b"], points=points).update(["a"], [1], [8])
    low, high = told.interval(0.8)
    inner = Posterior(told.p, told.weight).interval(0.8)
    spacing = 18 / (points - 1)
    np.testing.assert_allclose(logit(inner[0]) - logit(low), spacing / 2, rtol=1e-9)
    np.testing.assert_allclose(logit(high) - logit(inner[1]), spacing / 2, rtol=1e-9)
    assert (low < told.mean).all() and (told.mean < high).all()


# ---- from logs ----------------------------------------------------------------------------------


def test_logged_counts_become_the_fitted_spread_times_their_likelihood():
    groups = Groups(["a", "b", "c"], [0, 4, 8], [8, 8, 8])
    told = Beliefs.of_groups(groups)
    by_hand = told.spread * told.p**4 * (1 - told.p) ** 4
    np.testing.assert_allclose(told.weight[1], by_hand / by_hand.sum(), rtol=1e-10)
    assert told.mean[0] < told.mean[1] < told.mean[2] and told.seen.tolist() == [8, 8, 8]
    near = mixture(groups).posterior([0, 4, 8], 8).mean
    np.testing.assert_allclose(told.mean, near, atol=0.02)


def test_equal_rows_may_be_merged():
    k = np.repeat([0, 3, 8], [5, 2, 4])
    apart = Beliefs.of_groups(Groups(np.arange(11), k, np.full(11, 8)))
    merged = Beliefs.of_groups(Groups(np.arange(11), k, np.full(11, 8)).tally())
    assert merged.count.tolist() == [5, 2, 4] and apart.count.tolist() == [1] * 11
    np.testing.assert_allclose(merged.weight, apart.weight[[0, 5, 7]], rtol=1e-6, atol=1e-9)


def test_many_answers_get_a_finer_grid():
    told = Beliefs.of_groups(Groups(["a", "b"], [500, 1000], [2000, 2000]))
    assert told.weight.shape[1] > 49 and told.mean == pytest.approx([0.25, 0.5], abs=0.01)


def test_logged_rates_are_taken_as_exact():
    told = Beliefs.of_groups(Groups(["a", "b"], None, [0, 0], rate=[0.25, 0.75], count=[3, 1]))
    np.testing.assert_allclose(told.mean, [0.25, 0.75], atol=0.005)
    assert told.count.tolist() == [3, 1] and told.spread @ told.p == pytest.approx(0.375, abs=0.005)


def test_visits_are_run_through_in_the_order_of_their_steps():
    ids, step, k, n = ["a", "b", "a", "b", "a"], [0, 0, 30, 30, 60], [0, 8, 4, 4, 8], [8] * 5
    told = Beliefs.of_groups(Groups(ids, k, n, step=step))
    shuffled = [3, 4, 0, 2, 1]
    mixed_up = Beliefs.of_groups(
        Groups(*([x[i] for i in shuffled] for x in (ids, k, n)), step=[step[i] for i in shuffled])
    )
    np.testing.assert_allclose(
        mixed_up.weight[mixed_up.rows(["a", "b"])], told.weight[told.rows(["a", "b"])], atol=1e-12
    )
    assert told.step == 60 and told.seen[told.rows(["a", "b"])].tolist() == [24, 16]


def test_the_last_visit_says_most():
    """0 of 8 then 8 of 8, or the other way: the same answers, but not the same today."""
    drift = Drift(wander=0.3, common=0, learn=0)
    up, down = (
        Beliefs.of_groups(Groups(["a", "a", "b"], [*k, 4], [8, 8, 8], step=[0, 9, 9]), drift).mean[0]
        for k in ((0, 8), (8, 0))
    )
    assert up > 0.6 > 0.4 > down


def test_visits_without_steps_come_as_they_stand():
    plain = Beliefs.of_groups(Groups(["a", "b", "a"], [0, 8, 4], [8, 8, 8]))
    stepped = Beliefs.of_groups(Groups(["a", "b", "a"], [0, 8, 4], [8, 8, 8], step=[0, 0, 1]))
    np.testing.assert_allclose(plain.weight, stepped.weight, rtol=1e-12)


# ---- Thompson -----------------------------------------------------------------------------------


def test_draws_have_the_row_s_distribution():
    rng = np.random.default_rng(0)
    told = Beliefs.about(np.arange(20_000)).update(np.arange(20_000), np.full(20_000, 1), np.full(20_000, 4))
    drawn = told.draw(rng)
    assert ((drawn.weight == 0) | (drawn.weight == 1)).all() and (drawn.weight.sum(1) == 1).all()
    expected = 20_000 * told.weight[0]
    big = expected > 20
    found = drawn.weight.sum(0)
    chi2 = ((found - expected)[big] ** 2 / expected[big]).sum()
    assert abs(chi2 - big.sum()) < 5 * np.sqrt(2 * big.sum())
    assert found[~big].sum() == pytest.approx(expected[~big].sum(), abs=5 * np.sqrt(expected[~big].sum()) + 1)


def test_draws_repeat_with_their_seed_and_respect_zeros():
    sure = Beliefs.known(np.arange(2000), np.full(2000, 0.4))
    drawn = sure.draw(np.random.default_rng(1))
    assert set(drawn.weight.argmax(1)) == set(np.flatnonzero(sure.weight[0]))
    np.testing.assert_array_equal(drawn.weight, sure.draw(np.random.default_rng(1)).weight)
    assert (drawn.weight != sure.draw(np.random.default_rng(2)).weight).any()


# ---- a checkpoint -------------------------------------------------------------------------------


def through_npz(state):
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    return dict(np.load(file))


def through_torch(state):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "through", [dict, lambda s: pickle.loads(pickle.dumps(s)), through_npz, through_torch],
    ids=["as it is", "pickle", "npz", "torch"],
)  # fmt: skip
@pytest.mark.parametrize("ids", [[3, 1, 2], ["x", "longer", "z"]], ids=["numbers", "texts"])
def test_a_checkpoint_brings_the_same_beliefs_back(through, ids):
    drift = Drift(0.1, 0.2, 0.01, 0.07, 0.03, 0.06)
    told = Beliefs.about(ids, rate=[0.1, 0.5, np.nan], columns=[[1, 0], [0, 1], [2, 2]], drift=drift)
    told = told.advance(3).update(ids[:2], [1, 3], [4, 4]).advance(5)
    back = Beliefs.from_state(through(told.state()))
    for name, value in told.state().items():
        again = back.state()[name]
        assert type(again) is type(value), name
        if isinstance(value, np.ndarray):
            assert value.dtype == again.dtype and (value == again).all(), name
        else:
            assert value == again, name
    assert back.drift == told.drift
    ahead, again = (b.advance(9).update(ids[1:], [0, 2], [2, 2]) for b in (told, back))
    assert (
        (ahead.weight == again.weight).all()
        and ahead.wander == again.wander
        and ahead.spread.tobytes() == again.spread.tobytes()
    )


def test_beliefs_pickle_whole():
    told = Beliefs.about(["a", "b"]).update(["b"], [1], [2])
    again = pickle.loads(pickle.dumps(told))
    assert (again.weight == told.weight).all() and again.rows(["b"]).tolist() == [1]


def test_beliefs_say_what_they_are():
    assert (
        repr(Beliefs.about(["a", "b"]).update(["b"], [1], [2]).advance(7)) == "Beliefs(2 problems, step 7, 2 answers)"
    )


# ---- what is refused ----------------------------------------------------------------------------

AB = Beliefs.about(["a", "b"]).advance(3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Drift(wander=-0.1), "wander from 0"),
        (lambda: Drift(wander=np.inf), "wander from 0"),
        (lambda: Drift(adapt=1.1), "adapt from 0 to 1"),
        (lambda: Drift(forget=-0.1), "forget from 0 to 1"),
        (lambda: Drift(common=np.nan), "common from 0"),
        (lambda: Drift(effects=[1, 2]), "effects from 0"),
        (lambda: Drift(learn=2), "learn from 0 to 1"),
        (lambda: Drift(wander="x"), "wander to be numbers"),
        (lambda: Beliefs.about([]), "at least one"),
        (lambda: Beliefs.about([["a"], ["b"]]), "one id for each problem"),
        (lambda: Beliefs.about(["a", "a", "b", "a"]), "ids that differ.*2 repeated"),
        (lambda: Beliefs.about(["a", "b"], rate=[0.1]), "1 rates, 2 problems"),
        (lambda: Beliefs.about(["a", "b"], rate=[0.1, 1.2]), r"rate in \[0, 1\]"),
        (lambda: Beliefs.about(["a"], rate=[0.1], strength=np.nan), "strength to be finite"),
        (lambda: Beliefs.about(["a"], rate=[0.1], strength=-1), "strength"),
        (lambda: Beliefs.about(["a"], rate=[0.1], strength=[1, 2]), "strength"),
        (lambda: Beliefs.about(["a"], points=1), "points"),
        (lambda: Beliefs.about(["a"], points=9.5), "points"),
        (lambda: Beliefs.about(["a", "b"], columns=[1, 2, 3]), "columns"),
        (lambda: Beliefs.about(["a", "b"], columns=[1, np.nan]), "columns to be finite"),
        (lambda: Beliefs.about(["a", "b"], columns=np.zeros((2, 1, 1))), "columns"),
        (lambda: AB.with_columns([1, 2]), "columns of shape"),
        (lambda: Beliefs.about(["a", "b"], columns=[1, 2]).with_columns([1, 2, 3]), "columns of shape"),
        (lambda: Beliefs.about(["a", "b"], columns=[1, 2]).with_columns([1, np.nan]), "columns to be finite"),
        (lambda: Beliefs.known(["a"], [1.5]), r"p in \[0, 1\]"),
        (lambda: Beliefs.known(["a", "b"], [0.5]), "one p for each problem"),
        (lambda: Beliefs.of_groups(Groups.from_rewards(None, [[0.5, 0.1]])), "right-or-wrong"),
        (lambda: Beliefs.of_groups(Groups(["a", "a"], None, [0, 0], rate=[0.1, 0.2])), "repeated ids"),
        (lambda: Beliefs.of_groups(Groups(["a", "a"], [1, 2], [4, 4], count=[1, 7])), "one problem a row"),
        (lambda: AB.advance(2), "a step of at least 3"),
        (lambda: AB.advance(3.5), "step"),
        (lambda: AB.advance(-1), "step"),
        (lambda: AB.advance([4, 5]), "step"),
        (lambda: AB.update(["c"], [1], [2]), "ids of problems in these beliefs.*'c'"),
        (lambda: AB.update(["a"], [3], [2]), "0 <= n_correct <= n_rollouts"),
        (lambda: AB.update(["a"], [0], [0]), "at least 1"),
        (lambda: AB.update(["a"], [0.5], [2]), "whole number"),
        (lambda: AB.update(["a", "b"], [1], [2]), "for each prompt id"),
        (lambda: AB.interval(1.0), "level strictly between"),
        (lambda: Beliefs.from_state({"weight": 1}), "state"),
    ],
)
def test_what_is_refused(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()
