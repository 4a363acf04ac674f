import numpy as np
import pytest

from groupsigma import ArgumentError, Groups, forecast, load, mixture
from groupsigma.drift import visits


def history(prompts=300, rounds=8, drift=0.0, seed=0):
    """Solve rates that move by `drift` logits a visit, groups of 8."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, prompts)
    rows = []
    for _ in range(rounds):
        rows.append(rng.binomial(8, 1 / (1 + np.exp(-logit))))
        logit = logit + drift * rng.normal(size=prompts)
    return Groups(np.tile(np.arange(prompts), rounds), np.concatenate(rows), np.full(prompts * rounds, 8))


def silent(groups):
    return ((groups.n_correct == 0) | (groups.n_correct == groups.n_rollouts)).astype(float)


def test_visits_are_counted_by_step():
    groups = Groups(["a", "b", "a", "a"], [1, 1, 1, 1], [2, 2, 2, 2], step=[30, 1, 10, 20])
    assert visits(groups).tolist() == [2, 0, 0, 1]


def test_steady_rates_ask_for_small_steps_and_moving_ones_for_large_ones():
    """From .35, the mean of the moves on offer."""
    still, moving = (forecast(history(drift=d)).spread[-300:].mean() for d in (0.0, 0.8))
    assert still < 0.28 and moving > 0.5


def test_prompts_of_one_run_walk_at_paces_of_their_own():
    """Half of the prompts stand still, half jump: after 20 visits most of them are told apart."""
    rng = np.random.default_rng(3)
    logit, jumps = rng.normal(0, 1.5, 300), np.arange(300) % 2
    rows = []
    for _ in range(20):
        rows.append(rng.binomial(16, 1 / (1 + np.exp(-logit))))
        logit = logit + jumps * 0.8 * rng.normal(size=300)
    told = forecast(Groups(np.tile(np.arange(300), 20), np.concatenate(rows), np.full(6000, 16)))
    last = told.spread[-300:]
    assert last[jumps == 1].mean() > 2 * last[jumps == 0].mean()


def test_a_filter_that_stands_still_is_the_mixtures_posterior():
    groups = history(200, 3)
    told = forecast(groups, moves=[(0.0, 0.0)])
    first = groups.n_correct[:200]
    spread = mixture(Groups(np.arange(200), first, np.full(200, 8)), points=201)
    expected = spread.posterior(first, 8).silent_rate(8)
    np.testing.assert_allclose(told.silent[200:400], expected, atol=1e-8)


def test_forecasts_are_calibrated_and_beat_the_last_visit():
    groups = history(1000, 8, 0.5)
    told, came = forecast(groups), silent(groups)
    known = np.isfinite(told.silent)
    assert known.sum() == 7000 and np.isnan(told.silent[:1000]).all()
    assert told.silent[known].mean() == pytest.approx(came[known].mean(), abs=0.02)
    last = groups.n_correct / 8
    last = np.concatenate([np.full(1000, np.nan), (last**8 + (1 - last) ** 8)[:-1000]])
    assert np.mean((told.silent - came)[known] ** 2) < np.mean((last - came)[known] ** 2) - 0.01


def test_nothing_is_told_from_the_visit_itself():
    """Changing the last visits changes no forecast of them."""
    groups = history(50, 4)
    k = groups.n_correct.copy()
    k[-50:] = 8 - k[-50:]
    other = Groups(groups.prompt_ids, k, groups.n_rollouts)
    a, b = forecast(groups), forecast(other)
    np.testing.assert_array_equal(a.silent, b.silent)
    assert not np.array_equal(a.log_likelihood[-50:], b.log_likelihood[-50:])


def test_unequal_groups_and_prompts_that_come_late():
    groups = Groups(["a", "b", "a", "c", "b", "a"], [1, 0, 4, 2, 3, 2], [4, 2, 8, 8, 3, 4])
    told = forecast(groups)
    assert np.isfinite(told.silent).tolist() == [False, False, True, False, True, True]


def test_one_visit_each_or_no_counts_are_refused():
    with pytest.raises(ArgumentError, match="hint: a --step column"):
        forecast(Groups(["a", "b"], [1, 1], [4, 4]))
    with pytest.raises(ArgumentError, match="graded"):
        forecast(Groups.from_rewards(None, [[0.5, 0.1]]))
    for moves in ([], [(-1.0, 0.0)], [0.2], [(0.1, np.nan)]):
        with pytest.raises(ArgumentError, match="moves"):
            forecast(history(5, 2), moves=moves)


def test_on_a_real_run(data_dir):
    """One-Shot-RLVR's GRPO run: Brier score below the plug-in of all visits (.132) and the last visit (.192)."""
    groups = load(data_dir / "real" / "one_shot_rlvr" / "history.csv")
    told, came = forecast(groups, moves=[(0.2, 0.0)]), silent(groups)
    known = np.isfinite(told.silent)
    assert np.mean((told.silent - came)[known] ** 2) < 0.124
