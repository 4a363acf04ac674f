"""A run over time: small logs by hand, runs where the closed form holds, one where it must not."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from groupsigma import DR_GRPO, GRPO, ArgumentError, Groups, gain, sigma
from groupsigma.bands import INTERIOR
from groupsigma.claimed import claimed_silence
from groupsigma.cli import app
from groupsigma.course import LIMITS, SCHEMA, course, half_silent_step
from groupsigma.course_findings import course_findings
from groupsigma.course_screen import course_screen
from groupsigma.drift import MOVES, Walks
from groupsigma.foretold import foretold
from groupsigma.mixture import mixture, probability
from groupsigma.screen import show
from helpers import run

#: Two prompts, three steps: every number below is counted by hand.
TINY = Groups(["a", "b", "a", "b", "a", "c"], [4, 0, 4, 1, 3, 2], [4, 4, 4, 4, 4, 8], step=[1, 1, 2, 2, 3, 3])


def test_what_came_is_counted_by_hand():
    told = course(TINY, windows=3)
    a, b, c = told.windows
    assert [(w.first, w.last, w.groups, w.answers) for w in told.windows] == [(1, 1, 2, 8), (2, 2, 2, 8), (3, 3, 2, 12)]
    assert (a.all_right, a.all_wrong, a.silent) == (0.5, 0.5, 1.0) and (b.all_right, b.all_wrong) == (0.5, 0.0)
    assert [w.met for w in told.windows] == [0.0, 1.0, 0.5] and [w.foretold for w in told.windows] == [0, 2, 2]
    assert c.mean_reward == pytest.approx((0.75 + 0.25) / 2) and c.sigma == pytest.approx(
        float(sigma([3, 2], [4, 8]).mean())
    )
    assert (told.spent, told.spent_share) == (12, 12 / 28)
    assert (told.steps, told.prompts, told.group_size) == (3, 3, (4, pytest.approx(28 / 6), 8))
    assert a.silent_predicted is None and a.noise is None and a.gradient is None
    assert told.half_silent_step is None and told.metrics()["half_silent_step"] == np.inf


def test_what_was_foretold_is_bayes_by_hand():
    """A prompt met before is foretold by its one earlier group, walked on; another by the first step's fit."""
    groups = Groups(["a", "b", "a", "c"], [1, 3, 4, 0], [4, 4, 4, 6], step=[5, 5, 9, 9])
    told = foretold(groups, GRPO, np.array([2, 3]))
    p = told.p
    curve = np.maximum(mixture(Groups(["a", "b"], [1, 3], [4, 4]), points=len(p)).weight, 1e-12)
    seen = curve * probability(1, 4, p)
    seen /= seen.sum()
    walked = np.mean([seen @ step for step in Walks(1, MOVES, len(p)).steps], 0)
    assert np.isnan(told.all_right[:2]).all() and told.met.tolist() == [False, False, True, False]
    assert told.all_right[2] == pytest.approx(walked @ p**4) and told.all_wrong[2] == pytest.approx(
        walked @ (1 - p) ** 4
    )
    assert told.all_right[3] == pytest.approx(curve @ p**6) and told.all_wrong[3] == pytest.approx(curve @ (1 - p) ** 6)
    np.testing.assert_allclose(told.gradient.sum(1), gain(groups.n_correct, groups.n_rollouts, GRPO), rtol=1e-12)


def test_nothing_is_told_from_the_same_step():
    groups = run(steps=6)
    k = groups.n_correct.copy()
    last = groups.step == 5
    k[last] = 8 - k[last]
    a, b = (
        foretold(Groups(groups.prompt_ids, x, groups.n_rollouts, step=groups.step), GRPO, np.array([0]))
        for x in (groups.n_correct, k)
    )
    np.testing.assert_array_equal(a.silent, b.silent)
    np.testing.assert_array_equal(a.gradient_predicted, b.gradient_predicted)


def test_the_order_of_rows_does_not_matter():
    groups = run(steps=8)
    order = np.random.default_rng(1).permutation(len(groups.step))
    mixed = Groups(groups.prompt_ids[order], groups.n_correct[order], groups.n_rollouts[order], step=groups.step[order])
    np.testing.assert_allclose(
        foretold(groups, GRPO, order[:3]).silent[order], foretold(mixed, GRPO, order[:3]).silent, atol=1e-9
    )


def test_a_prompt_twice_in_a_step_is_foretold_from_before_both_times():
    groups = Groups(["a", "b", "a", "a", "a"], [1, 3, 4, 0, 2], [4] * 5, step=[1, 1, 2, 2, 3])
    told = foretold(groups, GRPO, np.array([4]))
    assert told.silent[2] == told.silent[3] != told.silent[4]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_answers_are_independent_the_closed_form_explains_the_silence(seed):
    told = course(run(seed, spread=1.5))
    assert abs(told.off) < max(3 * told.whole.noise, 0.015)
    # Dealt to bands by beliefs, realised and foretold shares of the update agree too.
    shares = [[w[b] for b in INTERIOR] for w in (told.whole.gradient, told.whole.gradient_predicted)]
    assert np.abs(np.subtract(*shares)).max() < 0.03 and sum(shares[0]) == pytest.approx(1)
    assert any("explains" in f.title for f in course_findings(told))


@pytest.mark.parametrize("copies", [2, 4])
def test_where_answers_come_in_copies_it_does_not(copies):
    told = course(run(3, spread=1.0, copies=copies, steps=60))
    assert told.off > 0.03 and told.off > 4 * told.whole.noise
    assert any(f.title == "The closed form does not explain the silence" for f in course_findings(told))


def test_prompts_that_come_once_are_foretold_from_the_population():
    groups = run(steps=20, prompts=1000)
    told = course(groups)
    assert told.whole.met == 0 and told.whole.foretold == 950
    assert abs(told.off) < 4 * told.whole.noise


def test_many_prompts_are_kept_more_cheaply_and_it_is_said(monkeypatch):
    groups = run(steps=12)
    full = course(groups)
    monkeypatch.setattr("groupsigma.foretold._MEANS", ((10, MOVES, 101), (300, ((0.2, 0.0),), 41)))
    cheap = course(groups)
    assert "one step for all" in cheap.notes[0] and full.notes == ()
    assert cheap.whole.silent_predicted == pytest.approx(full.whole.silent_predicted, abs=0.02)
    monkeypatch.setattr("groupsigma.foretold._MEANS", ((10, MOVES, 101), (20, MOVES, 41)))
    least = course(groups)
    assert "the population's" in least.notes[0] and least.whole.met == full.whole.met
    assert least.whole.foretold == full.whole.foretold


def test_another_dial_moves_the_shares_only():
    groups = run(steps=10)
    a, b = course(groups), course(groups, dial=DR_GRPO)
    assert a.whole.silent_predicted == b.whole.silent_predicted and b.dial == "dr-grpo"
    assert a.whole.gradient["0-.1"] > b.whole.gradient["0-.1"]


def test_windows_hold_equally_many_steps_or_steps_of_a_width():
    groups = Groups(np.arange(6), [1] * 6, [2] * 6, step=[0, 1, 2, 10, 11, 30])
    assert [(w.first, w.last) for w in course(groups, windows=2).windows] == [(0, 2), (10, 30)]
    assert [(w.first, w.last) for w in course(groups, window=10).windows] == [(0, 2), (10, 11), (30, 30)]
    assert len(course(groups).windows) == 6


def test_half_silent_needs_enough_groups_in_a_row():
    step = np.repeat(np.arange(6), 4)
    silent = np.repeat([1, 0, 0, 0.5, 0.5, 0.5], 4) * np.tile([1, 1, 0, 0], 6) > 0
    silent[:4] = True
    assert half_silent_step(step, silent, enough=4) == 0
    assert half_silent_step(step, silent, enough=12) == 3
    assert half_silent_step(step, np.zeros(24, bool), enough=4) is None and half_silent_step(step, silent, 25) is None


def test_what_lies_ahead_is_by_the_last_beliefs():
    rows = [("easy", 8, 8), ("even", 4, 8), ("hard", 0, 8)]
    ids, k, n = zip(*(rows * 6), strict=True)
    ahead = course(Groups(ids, k, n, step=np.repeat(np.arange(6), 3))).ahead
    assert ahead.learnt == 1 and ahead.prompts == 3
    silent = [s for _, s in ahead.sizes]
    assert [g for g, _ in ahead.sizes] == [8, 16, 32] and silent[0] > silent[1] > silent[2]
    assert ahead.silent_without < silent[0] and ahead.draws_per_kept_group == pytest.approx(1 / (1 - silent[0]))


def test_graded_rewards_are_counted_and_nothing_is_foretold():
    rewards = [[0.5, 0.5], [1.0, 1.0], [0.0, 0.0], [0.2, 0.8]]
    told = course(Groups.from_rewards(["a", "b", "c", "d"], rewards, step=[1, 1, 2, 2]), windows=2)
    a, b = told.windows
    assert (a.equal_partial, a.all_right, b.all_wrong, b.silent) == (0.5, 0.5, 0.5, 0.5)
    assert b.sigma == pytest.approx(0.15) and told.whole.mean_reward == pytest.approx(0.5)
    assert told.ahead is told.removed is a.gradient is told.off is None and told.whole.foretold == 0


def test_a_trainer_that_disagrees_is_told_where():
    step, silent = np.repeat([1, 2, 3], 4), np.tile([True, False, False, False], 3)
    told = claimed_silence(step, silent, {1: 0.25, 2: 0.0, 9: 1.0})
    assert (told.steps, told.unmatched, told.different, told.step) == (2, 1, 1, 2)
    assert (told.ours, told.theirs, told.largest, told.all_zero) == (0.25, 0.0, 0.25, False)
    assert claimed_silence(step, silent, {1: 0.0}).all_zero
    third = np.repeat([1], 3)
    assert claimed_silence(third, np.array([True, False, False]), {1: 0.3333}).different == 0
    assert claimed_silence(third, np.array([True, False, False]), {1: 0.335}).different == 1
    with pytest.raises(ArgumentError, match="at step 1"):
        claimed_silence(step, silent, {1: 1.5})


def test_what_is_no_run_is_refused():
    for groups, what in (
        (Groups(["a"], [1], [2]), "no steps"),
        (Groups(["a", "b"], [1, 1], [2, 2], step=[4, 4]), "one step"),
        (Groups(["a", "b"], None, [0, 0], rate=[0.1, 0.2], step=[1, 2]), "rates"),
        (Groups(["a", "b"], [1, 1], [2, 2], step=[1, 2], count=[2, 1]), "several"),
    ):
        with pytest.raises(ArgumentError, match=what):
            course(groups)
    with pytest.raises(ArgumentError, match="price"):
        course(TINY, cost_per_1k=-1.0)
    with pytest.raises(ArgumentError, match="windows"):
        course(TINY, windows=0)


# ---- as text and from the shell --------------------------------------------------------------------------------

SCREEN = """\
the run over time
3 steps, 6 groups of 3 prompts, G = 4.667 (4 to 8); 12 answers (42.9%) in silent groups, 0.60 of
1.40

steps  groups  solved  all wrong  all right  silent  mean σ   met
─────────────────────────────────────────────────────────────────
1           2   50.0%      50.0%      50.0%  100.0%   0.000    0%
2           2   62.5%       0.0%      50.0%   50.0%   0.217  100%
3           2   50.0%       0.0%       0.0%    0.0%   0.433   50%
all         6   54.2%      16.7%      33.3%   50.0%   0.217   50%
"""


def test_the_screen_whole(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    told = course(TINY, windows=3, cost_per_1k=50)
    show(course_screen(told, course_findings(told)))
    said = capsys.readouterr().out
    assert said.startswith(SCREEN)
    assert max(map(len, said.splitlines())) <= 96
    foretold_row = next(line for line in said.splitlines() if line.startswith("1        "))
    assert foretold_row.split() == ["1", "2", "50.0%", "50.0%", "50.0%", "100.0%", "0.000", "0%"]
    assert "1             0          –" in said and "1. " in said and "note:" not in said


@pytest.fixture
def log(tmp_path):
    groups = run(steps=12)
    path = tmp_path / "log.csv"
    rows = zip(groups.prompt_ids, groups.step, groups.n_correct, groups.n_rollouts, strict=True)
    path.write_text("prompt_id,step,n_correct,n_samples\n" + "".join(f"{','.join(map(str, r))}\n" for r in rows))
    return path


def test_audit_prints_the_run_of_a_log_with_steps(log):
    done = CliRunner().invoke(app, ["audit", str(log), "--window", "4", "--cost-per-1k-rollouts", "2"])
    assert done.exit_code == 0 and "the run over time" in done.output and "8–11" in done.output
    told = json.loads(CliRunner().invoke(app, ["audit", str(log), "--json"]).output)
    assert told["course"]["schema"] == SCHEMA and len(told["course"]["windows"]) == 6
    assert told["course"]["findings"] and "spent_on_silence" in told["metrics"]
    failed = CliRunner().invoke(app, ["audit", str(log), "--fail-on", "silent_last_window>0.01"])
    assert failed.exit_code == 1
    fine = CliRunner().invoke(app, ["audit", str(log), "--fail-on", "half_silent_step<1"])
    assert fine.exit_code == 0


def test_options_of_a_run_want_a_run():
    for option in (["--window", "4"], ["--cost-per-1k-rollouts", "2"]):
        with pytest.raises(ArgumentError, match="several steps"):
            CliRunner().invoke(app, ["audit", "bigmath", *option], catch_exceptions=False, standalone_mode=False)


def test_limits_are_the_numbers_of_a_course():
    whole = course(run(steps=10, prompts=500), cost_per_1k=1.0, claimed={0: 0.0})
    assert tuple(whole.metrics()) == LIMITS
