"""What a run's course is said to mean."""

import numpy as np
import pytest

from groupsigma import Groups
from groupsigma.course import course
from groupsigma.course_findings import course_findings
from helpers import run


def titles(found):
    return [f.title for f in found]


def test_a_pool_that_gets_easy_is_named_with_what_helps():
    told = course(run(steps=60, drift=0.06))
    first = course_findings(told)[0]
    assert first.title.startswith("The silent share rose from ") and "the pool is getting easy" in first.evidence
    (size, now), (twice, then), _ = told.ahead.sizes
    assert f"G {size} → {twice}: silent {now:.0%} → {then:.0%}, tries ×2" in first.remedy
    assert f"leave out the {told.ahead.learnt} of {told.ahead.prompts} prompts" in first.remedy
    assert f"→ {told.ahead.silent_without:.0%} at no cost" in first.remedy
    assert f"DAPO: {told.ahead.draws_per_kept_group:.2f} draws a kept group" in first.remedy


def test_a_pool_beyond_the_model_is_another_thing():
    first = course_findings(course(run(steps=60, drift=-0.06)))[0]
    assert "the pool is beyond the model" in first.evidence


def test_what_dropping_learnt_prompts_brings_comes_out():
    """Simulated on: without them the silent share of further groups is as said."""
    rng = np.random.default_rng(0)
    p = np.r_[np.full(60, 0.995), np.full(60, 0.5)]
    rows = [(i, rng.binomial(8, p[i]), 8, step) for step in range(12) for i in range(120)]
    ids, k, n, step = np.array(rows).T
    ahead = course(Groups(ids, k, n, step=step)).ahead
    assert 45 <= ahead.learnt <= 60
    assert ahead.sizes[0][1] == pytest.approx((p**8 + (1 - p) ** 8).mean(), abs=0.03)
    left = np.r_[np.full(60 - ahead.learnt, 0.995), np.full(60, 0.5)]
    assert ahead.silent_without == pytest.approx((left**8 + (1 - left) ** 8).mean(), abs=0.03)


def test_a_log_without_silent_groups_is_said_to_be_filtered_and_no_more_is_made_of_it():
    groups = run(prompts=2000, batch=200, steps=40)
    mixed = (groups.n_correct > 0) & (groups.n_correct < 8)
    found = course_findings(
        course(
            Groups(groups.prompt_ids[mixed], groups.n_correct[mixed], groups.n_rollouts[mixed], step=groups.step[mixed])
        )
    )
    assert found[0].title == "Silent groups are missing from this log"
    assert not any("closed form" in t or "answers went" in t for t in titles(found))


def test_the_trainer_s_zeros_are_explained():
    told = course(run(steps=10), claimed=dict.fromkeys(range(10), 0.0))
    (found,) = [f for f in course_findings(told) if f.title.startswith("The trainer's own")]
    assert "frac_reward_zero_std" in found.remedy and f"difference {told.claimed.largest:.4g}" in found.evidence


def test_what_cannot_be_checked_names_what_is_missing():
    last = course_findings(course(run(steps=10)))[-1]
    assert "no trainer's number" in last.evidence and "--cost-per-1k-rollouts" in last.evidence
    graded = Groups.from_rewards(["a", "b"], [[0.5, 0.5], [0.2, 0.9]], step=[1, 2])
    found = course_findings(course(graded, cost_per_1k=1.0, claimed={1: 1.0, 2: 0.0}))
    assert "graded rewards have no solve rate" in found[-1].evidence and "price" not in found[-1].evidence
    assert "--right-from" in found[0].remedy
    once = course_findings(course(run(steps=10, prompts=500), cost_per_1k=1.0, claimed={0: 0.0}))[-1]
    assert "no prompt came twice" in once.evidence


def test_money_is_said_where_a_price_is():
    told = course(run(steps=10), cost_per_1k=3.0)
    (found,) = [f for f in course_findings(told) if "of the answers went" in f.title]
    assert f"{told.cost:,.2f} of {told.cost_all:,.2f}" in found.title
    assert told.cost == pytest.approx(3 * told.spent / 1000)


def test_a_short_run_is_not_said_to_be_explained():
    """A difference that is neither small nor beyond chance says nothing either way; 512 groups are not there at all."""
    said = [f for seed in range(12) for f in course_findings(course(run(seed, prompts=40, batch=24, steps=6)))]
    unsure = [
        f for f in said if f.title == "The silence does not contradict the closed form, as far as so few groups tell"
    ]
    assert unsure and all("more groups would tell: chance alone may reach" in f.remedy for f in unsure)
    spent = [f for f in said if "went into silent groups" in f.title]
    assert spent and all("a run of 144 groups is too short" in f.evidence for f in spent)
