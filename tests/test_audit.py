import json

import numpy as np
import pytest

from groupsigma import (
    DIALS,
    DR_GRPO,
    GRPO,
    MAXRL,
    ArgumentError,
    Dial,
    Groups,
    audit,
    expected_gain,
    findings,
    gradient_share,
    load,
    required_group_size,
)
from groupsigma.audit import BANDS, SCHEMA
from helpers import cut

BIG = load("bigmath")


def drawn(problems=4000, n=16, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 0.5, problems)
    return p, Groups(np.arange(problems), rng.binomial(n, p), np.full(problems, n))


def test_bigmath_numbers():
    """theory.md §3: plug-in and unbiased silent shares at 4, 8, 16, 32, 64; the ends; the fold of the bands."""
    plugin, unbiased = (59.27, 44.28, 32.24, 23.01, 16.53), (58.59, 43.07, 30.19, 19.64, 11.18)
    for G, a, b in zip((4, 8, 16, 32, 64), plugin, unbiased, strict=True):
        result = audit(BIG, group_size=G)
        assert 100 * result.plugin.silent.value == pytest.approx(a, abs=0.006)
        assert 100 * result.unbiased.silent.value == pytest.approx(b, abs=0.006)
        assert result.best is result.unbiased
    assert result.never == pytest.approx(8661 / 215608) and result.always == pytest.approx(15446 / 215608)


@pytest.mark.parametrize("G", [1, 2, 8, 9, 64, 100])
def test_shares_sum_to_one(G):
    result = audit(BIG, group_size=G)
    for split in (result.logged, result.plugin, result.unbiased, result.estimated, *result.sizes):
        if split is not None:
            parts = (split.all_right, split.all_wrong, split.equal_partial, split.mixed)
            assert sum(s.value for s in parts) == pytest.approx(1, abs=1e-12)
            assert split.silent.value == pytest.approx(1 - split.mixed.value, abs=1e-12)
    assert sum(b.problems for b in result.bands) == pytest.approx(1)
    if G > 1:
        assert sum(b.kept_groups for b in result.bands) == pytest.approx(1)
        for rule in result.bands[0].gradient:
            assert sum(b.gradient[rule] for b in result.bands) == pytest.approx(1)


def test_plugin_bands_are_the_laws_own_shares():
    """Rates with unknown n: the bands are gradient_share at finite G."""
    p = np.array([0.05, 0.3, 0.5, 0.5, 0.95, 0.0, 1.0])
    groups = Groups(np.arange(7), None, np.zeros(7), rate=p)
    result = audit(groups, group_size=8, dial=MAXRL)
    for rule, dial in (("grpo", GRPO), ("dr-grpo", DR_GRPO), ("maxrl", MAXRL)):
        share = gradient_share(p, 8, dial)
        by_band = [b.gradient[rule] for b in result.bands]
        np.testing.assert_allclose(by_band, [0, share[0], share[1], share[2] + share[3], 0, share[4], 0], atol=1e-12)
    assert result.unbiased is None and result.logged is None and result.best.method == "plug-in"


def test_bands_cover_every_solve_rate_once():
    p = np.array([0, 1e-9, 0.0999, 0.1, 0.3999, 0.4, 0.6, 0.6001, 0.9, 0.9001, 1 - 1e-9, 1])
    result = audit(Groups(np.arange(12), None, np.zeros(12), rate=p))
    assert [round(12 * b.problems) for b in result.bands] == [1, 2, 2, 2, 2, 2, 1]
    assert [b.name for b in result.bands] == [b[0] for b in BANDS]


def test_the_interval_covers_the_truth():
    """400 data sets of 500 problems, p ~ Beta(½, ½), 16 answers: at least 95 % less 3 binomial errors."""
    truth = 2 * np.prod((0.5 + np.arange(8)) / (1 + np.arange(8)))  # E[p^8 + (1−p)^8]
    shares = [audit(drawn(500, 16, seed)[1]).unbiased.silent for seed in range(400)]
    covered = np.mean([share.low <= truth <= share.high for share in shares])
    assert abs(covered - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / 400) + 0.01
    assert np.mean([share.value for share in shares]) == pytest.approx(truth, abs=0.003)


def test_visits_of_a_prompt_stray_together():
    """30 prompts seen 20 times at fixed solve rates: the interval is over prompts, not over 600 visits."""
    truth = 2 * np.prod((0.5 + np.arange(8)) / (1 + np.arange(8)))
    hits, width = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        p = rng.beta(0.5, 0.5, 30)
        share = audit(Groups(np.tile(np.arange(30), 20), rng.binomial(8, np.tile(p, 20)), [8] * 600)).unbiased.silent
        hits.append(share.low <= truth <= share.high)
        width.append(share.high - share.low)
    assert np.mean(hits) > 0.88 and np.mean(width) > 0.2


def test_out_of_reach_is_by_the_spread_not_by_never():
    """Beta(½, ½): few are silent 95 % of the time at G = 64; in 8 answers 39 % look never or always solved."""
    p, groups = drawn(20_000, 8, 2)
    result = audit(groups, group_size=16)
    truth = np.mean(p**64 + (1 - p) ** 64 >= 0.95)
    assert result.out_of_reach.low <= truth <= result.out_of_reach.high
    assert result.never + result.always > 0.35 > result.out_of_reach.high
    assert audit(groups, group_size=4).out_of_reach.low is None


def test_a_requirement_at_the_limit_of_the_log_is_a_least():
    result = audit(drawn(5000, 8, 0)[1])
    assert result.required_is_least and result.required_group_size == required_group_size(1 / 8)
    assert "or more" in findings(result)[-1].remedy
    assert not audit(Groups(np.arange(4), [32] * 4, [64] * 4)).required_is_least


def test_a_solve_rate_of_a_rounding_error_does_not_hang():
    result = audit(Groups(["a", "b"], None, [0, 0], rate=[0.3, 1.1e-16]))
    assert result.required_group_size is None or result.required_group_size > 0


def test_fidelity_and_required_size():
    p = np.array([0.5, 0.05])
    result = audit(Groups(np.arange(2), None, np.zeros(2), rate=p), group_size=8)
    limit = np.sqrt(p * (1 - p))
    assert result.fidelity == pytest.approx(expected_gain(p, 8).sum() / limit.sum())
    assert result.required_group_size == required_group_size(0.05) == 69


def test_required_size_is_that_of_nine_in_ten():
    """Against all sizes, sorted; they grow with the distance from one half."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rate, count = rng.beta(0.4, 0.7, 37), rng.integers(1, 50, 37)
        result = audit(Groups(np.arange(37), None, np.zeros(37), rate=rate, count=count))
        each = np.repeat(required_group_size(rate), count)
        assert result.required_group_size == np.sort(each)[int(np.ceil(0.9 * len(each) * (1 - 1e-12))) - 1]
    far = required_group_size(np.concatenate([np.logspace(-7, -2, 1000), np.linspace(0.01, 0.5, 1000)]))
    assert (np.diff(far) <= 0).all()


def test_graded_rewards_are_reported_as_logged_only():
    groups = Groups.from_rewards(None, [[0.5, 0.5], [1, 1], [0, 0], [0.2, 0.7]])
    result = audit(groups)
    assert [
        round(4 * s.value)
        for s in (result.best.all_right, result.best.all_wrong, result.best.equal_partial, result.best.mixed)
    ] == [1, 1, 1, 1]
    assert result.never is None and result.fidelity is None and result.bands == ()
    assert "graded" in result.notes[-1] and len(findings(result)) == 1
    json.dumps(result.to_dict())


@pytest.mark.parametrize(
    "groups",
    [
        Groups(["a", "b"], [0, 4], [4, 4]),
        Groups(["a"], [0], [1]),
        Groups(["a"], [1], [2]),
        Groups(["a"], None, [0], rate=[0.0]),
        Groups.from_rewards(np.arange(1000), np.ones(1000)),
        Groups(np.arange(50), [8] * 50, [8] * 50),
    ],
)
@pytest.mark.parametrize("G", [1, 2, 8])
def test_odd_but_valid_data(groups, G):
    result = audit(groups, group_size=G)
    silent = result.best.silent
    assert 0 <= silent.value <= 1 and (silent.low is None or silent.low <= silent.value <= silent.high)
    assert 1 <= len(findings(result)) <= 3
    json.loads(json.dumps(result.to_dict(), allow_nan=False))


def test_one_answer_a_problem_bounds_and_claims_nothing():
    result = audit(Groups.from_rewards(np.arange(1000), np.arange(1000) % 2))
    assert result.best.method == "estimated" and result.best.silent.low < 0.02 and result.best.silent.high > 0.98
    assert "Between" in findings(result)[0].title and "can only be bounded" in result.notes[-1]


def test_beyond_the_answers_logged_the_spread_is_fitted_and_bounded():
    """theory.md §8: n = 8, G = 16 on Big-Math: plug-in 45.9 %, truth 30.2 %."""
    result = audit(cut(8), group_size=16)
    assert 100 * result.plugin.silent.value == pytest.approx(45.9, abs=0.1)
    assert 100 * result.best.silent.value == pytest.approx(30.2, abs=0.5)
    assert result.best.silent.low < 0.302 < result.best.silent.high < result.best.silent.low + 0.04
    assert result.unbiased is None and result.strain == 0


def test_filtered_counts_are_reported_as_strained():
    """Problems never solved were taken out of Big-Math: no spread of solve rates gives its 64-answer counts."""
    result = audit(BIG, group_size=128)
    assert result.strain > 0 and "no promise" in " ".join(result.notes)
    assert audit(BIG, group_size=8).strain is None


def test_fresh_groups_not_the_logged_ones_again():
    """20,000 problems, n = G = 8: fidelity and silence of the rest are those of new draws, not of the data reused."""
    p, groups = drawn(20_000, 8, 1)
    result = audit(groups, group_size=8)
    q = np.random.default_rng(0).beta(0.5, 0.5, 10**6)
    truth = expected_gain(q, 8).mean() / np.sqrt(q * (1 - q)).mean()
    assert result.fidelity == pytest.approx(truth, abs=0.03)
    sometimes = (groups.n_correct > 0) & (groups.n_correct < 8)
    fresh = (p**8 + (1 - p) ** 8)[sometimes].mean()
    assert result.silent_of_the_rest == pytest.approx(fresh, abs=0.01) and fresh > 0.1


def test_too_few_answers_are_said():
    result = audit(Groups(["a", "b"], [3, 1], [16, 4]), group_size=8)
    assert result.unbiased.problems == 0.5 and "left out of the unbiased row" in result.notes[-1]
    result = audit(Groups(["a"], [1], [4]), group_size=8)
    assert result.unbiased is None and "estimated from the fitted spread" in result.notes[-1]


def test_a_few_problems_with_many_answers_do_not_speak_for_the_rest():
    result = audit(Groups(["a", "b", "c"], [3, 1, 2], [16, 4, 4]), group_size=8)
    assert result.unbiased.problems == pytest.approx(1 / 3) and result.best is result.estimated


def test_what_is_no_data_or_no_dial_is_refused():
    with pytest.raises(ArgumentError, match="hint: load"):
        audit("kn.csv")
    with pytest.raises(ArgumentError, match="hint: find_dial"):
        audit(BIG, dial="trl")


def test_counts_are_merged_before_anything_is_computed():
    _, groups = drawn()
    spread = audit(groups)
    merged = audit(groups.tally())
    assert spread.to_dict() | {"source": ""} == merged.to_dict()


def test_schema_is_versioned_and_metrics_are_flat():
    result = audit(BIG)
    assert result.to_dict()["schema"] == SCHEMA == "groupsigma.audit/1"
    assert all(isinstance(v, float) for v in result.metrics().values())
    assert {"silent", "mixed", "never", "always", "fidelity", "draws_per_kept_group"} <= set(result.metrics())


def test_dial_is_named():
    assert audit(BIG, dial=DIALS["trl"]).dial == "trl"
    with pytest.raises(ArgumentError, match="one group"):
        audit(BIG, dial=Dial(spread="batch"))
    assert audit(BIG, dial=DIALS["slime"], dial_name="slime").dial == "slime"
    for bad in (0, 2.5, [4, 8], 10**9):
        with pytest.raises(ArgumentError):
            audit(BIG, group_size=bad)


def test_findings_say_what_the_numbers_say():
    result = audit(BIG)
    silence, gradient, size = findings(result)
    assert silence.title.startswith("43.1%") and "G = 16: 30.2% silent" in silence.remedy
    assert "1.76 groups drawn" in silence.remedy and "37.2% stay silent" in silence.remedy
    assert "14.8%" in gradient.title and "37.0% of the data" in gradient.evidence
    assert f"G = {result.required_group_size}" in size.remedy


def test_silence_beyond_the_answers_is_never_more_than_at_them():
    """It falls with G, so an interval at G = 16 ends where the one at n = 8 does; and still holds the truth."""
    held = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        p = rng.beta(0.4, 0.6, 60)
        groups = Groups(np.arange(60), rng.binomial(8, p), np.full(60, 8))
        logged, further = (audit(groups, group_size=G).best for G in (8, 16))
        assert further.method == "estimated" and further.silent.value <= further.silent.high
        assert further.silent.high <= max(logged.silent.high, further.silent.value)
        held += further.silent.low <= (p**16 + (1 - p) ** 16).mean() <= further.silent.high
    assert held >= 0.95 * 120
