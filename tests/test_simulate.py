"""The controlled run: one step against brute force, bookkeeping, refills, and what it refuses."""

import json

import numpy as np
import pytest
from scipy.stats import binom

from groupsigma import (
    DAPO,
    DIALS,
    DR_GRPO,
    GRPO,
    LOGIT,
    MAXRL,
    ArgumentError,
    Dial,
    expected_gain,
    gain,
    pass_at,
    silent_rate,
    simulate,
)

RATES = np.array([0.02, 0.1, 0.3, 0.5, 0.62, 0.9, 0.98])


def logit(p):
    return np.log(p / (1 - p))


def rng(seed=0):
    return np.random.default_rng(seed)


def one_step(p, n=40_000, G=8, **options):
    """θ's moves of n equal prompts in one step of size 1."""
    run = simulate(np.full(n, p), group_size=G, steps=1, step_size=1.0, rng=rng(int(1e6 * p)), **options)
    return logit(run.final) - logit(p), run


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL, LOGIT, pass_at(4), DIALS["trl"]], ids=repr)
def test_one_step_moves_by_the_expected_gain(p, dial):
    """Mean and mean square of the move against sums over all k, within five standard errors."""
    moves, _ = one_step(p, dial=dial)
    k = np.arange(9)
    chance, gains = binom.pmf(k, 8, p), gain(k, 8, dial)
    for power in (1, 2):
        wanted = chance @ gains**power
        error = np.sqrt((chance @ gains ** (2 * power) - wanted**2) / len(moves))
        assert abs(np.mean(moves**power) - wanted) < 5 * error + 1e-12
    assert chance @ gains == pytest.approx(float(expected_gain(p, 8, dial)), rel=1e-12)


@pytest.mark.parametrize(("p", "G"), [(0.2, 3), (0.5, 5), (0.85, 5), (0.003, 200), (0.5, 1000)])
def test_every_k_comes_as_often_as_the_binomial_says(p, G):
    """The moves tell k apart under a dial whose gain differs for each: the counts, chi square like."""
    tilted = Dial(tilt=0.3)
    moves, run = one_step(p, n=30_000, G=G, dial=tilted)
    gains = gain(np.arange(1, G), G, tilted)
    chance = binom.pmf(np.arange(1, G), G, p)
    came = np.array([np.isclose(moves, g, rtol=1e-9, atol=1e-9).sum() for g in gains])
    often = chance * len(moves) > 20
    assert (np.abs(came - chance * len(moves)) < 5 * np.sqrt(chance * len(moves)) + 1e-9)[often].all()
    assert came.sum() == round((1 - run.silent[0]) * len(moves))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    def bytes_of(seed):
        run = simulate(np.repeat(RATES, 20), dial=DAPO, steps=20, rng=rng(seed))
        return b"".join(np.asarray(v).tobytes() for v in vars(run).values())

    assert bytes_of(1) == bytes_of(1) != bytes_of(2)


def test_what_is_given_is_left_alone():
    start = RATES.copy()
    simulate(start, steps=30, rng=rng())
    np.testing.assert_array_equal(start, RATES)


def test_silent_shares_are_foretold():
    run = simulate(np.repeat(RATES, 3000), steps=25, rng=rng(3))
    assert run.silent_predicted[0] == pytest.approx(silent_rate(RATES, 8).mean(), rel=1e-12)
    error = np.sqrt(run.silent_predicted * (1 - run.silent_predicted) / 21_000)
    assert (np.abs(run.silent - run.silent_predicted) < 5 * error).all()
    np.testing.assert_allclose(run.updated, 1 - run.silent)


def test_standing_still_counts_without_moving():
    run = simulate(RATES, steps=2000, step_size=0.0, rng=rng(4))
    np.testing.assert_array_equal(run.final, RATES)
    tenths = np.minimum((RATES * 10).astype(int), 9)
    wanted = 2000 * np.bincount(tenths, expected_gain(RATES, 8), 10)
    np.testing.assert_allclose(run.mass_predicted, wanted, rtol=1e-10)
    np.testing.assert_allclose(run.mass, wanted, rtol=0.1, atol=1e-9)
    assert run.energy.sum() == 0 and run.groups.tolist() == (2000 * np.bincount(tenths, minlength=10)).tolist()


@pytest.mark.parametrize("options", [{}, {"dial": DAPO}, {"dial": DAPO, "refill": "others", "batch": 500}], ids=str)
def test_mass_along_a_run_is_the_closed_form(options):
    run = simulate(np.repeat(RATES, 700), steps=60, rng=rng(5), **options)
    np.testing.assert_allclose(run.mass, run.mass_predicted, rtol=0.06)
    assert run.mass.sum() == pytest.approx(run.mass_predicted.sum(), rel=0.01)
    assert run.groups.sum() * 8 == run.answers[-1]


def test_mass_is_what_moved_theta():
    run = simulate(np.repeat(RATES, 50), steps=40, step_size=0.3, rng=rng(6))
    assert 0.3 * run.mass.sum() == pytest.approx((logit(run.final) - logit(np.repeat(RATES, 50))).sum(), rel=1e-9)


def test_energy_is_the_mean_squared_update():
    moves, run = one_step(0.3)
    assert run.energy[0] == pytest.approx(np.mean(moves**2), rel=1e-9)
    small = simulate(np.full(40_000, 0.3), steps=1, step_size=0.1, rng=rng(300000))
    assert small.energy[0] == pytest.approx(run.energy[0] / 100, rel=1e-9)


@pytest.mark.parametrize("draws", [1, 2, 4])
@pytest.mark.parametrize("p", [0.05, 0.4, 0.97])
def test_drawing_the_same_prompt_again(p, draws):
    """E[σ | mixed] (1 − silent^draws) for the update, (1 − silent^draws)/(1 − silent) groups."""
    moves, run = one_step(p, dial=DAPO, draws=draws)
    silent = float(silent_rate(p, 8))
    kept = 1 - silent**draws
    wanted = float(expected_gain(p, 8)) / (1 - silent) * kept
    assert moves.mean() == pytest.approx(wanted, abs=5 * moves.std() / 200)
    assert run.updated[0] == pytest.approx(kept, abs=0.013)
    assert run.answers[-1] / 8 / 40_000 == pytest.approx(kept / (1 - silent), rel=0.03)
    assert run.mass_predicted.sum() == pytest.approx(40_000 * wanted, rel=1e-9)


def test_one_draw_is_grpo():
    for options in ({}, {"batch": 30}, {"batch": 30, "refill": "others"}):
        ours = simulate(np.repeat(RATES, 20), dial=DAPO, draws=1, steps=15, rng=rng(7), **options)
        grpo = simulate(np.repeat(RATES, 20), dial=GRPO, steps=15, rng=rng(7), **options)
        np.testing.assert_array_equal(ours.final, grpo.final)


def test_moving_on_fills_the_batch_with_mixed_groups():
    """Until the batch is full: (batch)/(1 − silent) groups; each prompt once a step at most."""
    p = np.full(4000, 0.1)
    run = simulate(p, dial=DAPO, refill="others", batch=500, steps=1, step_size=1.0, rng=rng(8))
    assert (run.final != p).sum() == 500
    assert run.answers[-1] / 8 == pytest.approx(500 / (1 - float(silent_rate(0.1, 8))), rel=0.1)
    assert run.updated[0] == pytest.approx(1 - run.silent[0]) == pytest.approx(500 / (run.answers[-1] / 8))


@pytest.mark.parametrize(("draws", "groups"), [(2, 1000), (4, 2000), (9, 3000)])
def test_moving_on_ends_at_the_cap_or_with_the_prompts(draws, groups):
    run = simulate(np.full(3000, 1e-6), dial=DAPO, refill="others", batch=500, draws=draws, steps=3, rng=rng(9))
    assert (np.diff(run.answers) == 8 * groups).all()


def test_a_batch_visits_that_many_prompts_a_step():
    run = simulate(np.full(1000, 0.5), batch=100, steps=1, step_size=1.0, rng=rng(10))
    assert run.answers[-1] == 800 and 90 < (run.final != 0.5).sum() <= 100
    long = simulate(np.full(1000, 0.5), batch=100, steps=50, rng=rng(10))
    assert (long.final != 0.5).mean() > 0.98


def test_answer_for_answer_moving_on_is_grpo():
    """With four fifths silent, DAPO's batches learn as fast as GRPO's per answer, not faster."""
    p = np.full(5000, 0.03)
    dapo = simulate(p, dial=DAPO, refill="others", batch=100, draws=40, steps=300, rng=rng(11))
    grpo = simulate(p, batch=500, steps=400, rng=rng(12))
    at = np.linspace(0, min(dapo.answers[-1], grpo.answers[-1]), 9)
    ours, theirs = (np.interp(at, r.answers, r.solve_rate) for r in (dapo, grpo))
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    assert theirs[-1] > 0.06


def test_the_hardest_quartile_holds_its_ties():
    run = simulate([0.1, 0.1, 0.1, 0.9], steps=0, rng=rng())
    assert run.hardest_prompts == 3 and run.hardest.tolist() == pytest.approx([0.1])


def test_nothing_breaks_at_the_edges():
    assert simulate([0.5], steps=0, rng=rng()).answers.tolist() == [0]
    alone = simulate([0.5, 0.2], group_size=1, steps=5, rng=rng())
    assert alone.silent.tolist() == [1] * 5 and alone.final.tolist() == [0.5, 0.2]
    far = simulate([1e-310, 1 - 1e-16, 0.5], step_size=1e6, steps=10, rng=rng())
    assert np.isfinite(far.final).all() and far.final[2] == 1


def test_records_are_plain_data_and_say_what_happened():
    run = simulate(RATES, steps=3, rng=rng())
    data = json.loads(json.dumps(run.to_dict(), allow_nan=False))
    assert len(data["solve_rate"]) == len(data["answers"]) == 4 and len(data["silent"]) == 3
    assert set(data) == set(vars(run))
    assert "7 prompts, 3 steps, 168 answers" in repr(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p0": [0.5, 0.0]}, "strictly between 0 and 1, got p0 = 0 at index 1\nhint"),
        ({"p0": [0.5, 1.5]}, "p0 in \\[0, 1\\]"),
        ({"p0": 0.5}, "one row of solve rates"),
        ({"p0": []}, "one row of solve rates"),
        ({"group_size": 0}, "group_size to be a whole number of at least 1"),
        ({"group_size": 2.5}, "whole number"),
        ({"group_size": 2000}, "at most 1000"),
        ({"group_size": [8, 8]}, "one group_size"),
        ({"steps": -1}, "steps to be a whole number of at least 0"),
        ({"draws": 0}, "draws to be a whole number of at least 1"),
        ({"step_size": -0.1}, "step_size"),
        ({"step_size": float("nan")}, "step_size to be finite"),
        ({"rng": 3}, "hint: np.random.default_rng"),
        ({"rng": np.random}, "numpy Generator"),
        ({"dial": "grpo"}, "hint: find_dial"),
        ({"dial": DIALS["nemo-rl"]}, "advantages sum to 0"),
        ({"dial": Dial(power=0, center="none")}, "advantages sum to 0"),
        ({"dial": Dial(spread="batch")}, "looks at one group"),
        ({"refill": "nobody"}, "refill in"),
        ({"dial": DAPO, "refill": "others"}, "a batch with refill='others'"),
        ({"batch": 0}, "batch to be a whole number of at least 1"),
        ({"batch": 3}, "at most the 2 prompts"),
    ],
)
def test_refused_in_one_line(change, message):
    options = {"p0": [0.5, 0.2], "rng": rng(), **change}
    with pytest.raises(ArgumentError, match=message):
        simulate(options.pop("p0"), **options)
