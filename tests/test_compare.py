import json
from itertools import product

import numpy as np
import pytest

from groupsigma import (
    DAPO,
    DIALS,
    DR_GRPO,
    MAXRL,
    ArgumentError,
    Dial,
    Groups,
    Setting,
    audit,
    compare,
    expected_gain,
    load,
    mixture,
    silent_rate,
    silent_rate_unbiased,
)
from groupsigma.compare import SCHEMA, latest
from groupsigma.compare_findings import compare_findings
from groupsigma.measures import measured
from groupsigma.mixture import sensitivity
from groupsigma.resample import Stratum, resampled_totals, strata_of, total

BIG = load("bigmath")


def rng(seed=0):
    return np.random.default_rng(seed)


def moved(p, by):
    """Solve rates shifted by `by` in log-odds."""
    return p / (p + (1 - p) * np.exp(-by))


def drawn(p, n, generator, ids=None):
    return Groups(np.arange(len(p)) if ids is None else ids, generator.binomial(n, p), np.full(len(p), n))


def both(a, b, setting=None, seed=0, **options):
    return compare(a, b, a_setting=setting, b_setting=setting, rng=rng(seed), **options)


def test_a_small_example_by_hand():
    """k = 0, 2, 4 of 4 against 2, 2, 2: silent 2/3 and 0, 3 and 1 groups for a mixed one, σ 1/6 and 1/2."""
    a, b = Groups(["x", "y", "z"], [0, 2, 4], [4] * 3), Groups(["z", "x", "y"], [2, 2, 2], [4] * 3)
    found = both(a, b, price=10.0)
    expected = {
        "silent": (2 / 3, 0), "all_wrong": (1 / 3, 0), "all_right": (1 / 3, 0), "mixed_per_1000": (1000 / 12, 250),
        "answers_per_mixed_group": (12, 4), "cost_per_1000_mixed_groups": (120, 40), "sigma": (1 / 6, 1 / 2),
        "silent_kept": (2 / 3, 0), "answers_per_kept_group": (4, 4), "gradient_.4-.6": (1, 1),
        "gradient_extremes": (0, 0),
    }  # fmt: skip
    for name, (left, right) in expected.items():
        d = found[name]
        assert (d.a.value, d.b.value) == pytest.approx((left, right)), name
        assert d.difference == pytest.approx(right / left if d.unit == "times" else right - left)
    assert found.paired and found.common == 3 and "too few" in found.notes[-2]


def test_the_weights_are_those_of_drawing_prompts_again():
    """All 3³ ways to draw three prompts, enumerated: the same mean and covariance of the sums."""
    columns = rng(1).normal(size=(3, 2))
    ways = np.array([columns[list(way)].sum(0) for way in product(range(3), repeat=3)])
    # The same prompts one by one, and the third and a copy of it as one unit, which brute force cannot tell apart.
    sums = resampled_totals([Stratum(columns, np.ones(3, dtype=np.int64))], 40_000, rng())
    np.testing.assert_allclose(sums.mean(0), ways.mean(0), atol=0.03)
    np.testing.assert_allclose(np.cov(sums.T), np.cov(ways.T, bias=True), rtol=0.05, atol=0.02)
    merged = [Stratum(columns[:2], np.array([1, 2]))]
    ways = np.array([columns[[0, 1, 1]][list(way)].sum(0) for way in product(range(3), repeat=3)])
    sums = resampled_totals(merged, 40_000, rng())
    np.testing.assert_allclose(sums.mean(0), ways.mean(0), atol=0.03)
    np.testing.assert_allclose(np.cov(sums.T), np.cov(ways.T, bias=True), rtol=0.05, atol=0.02)


def test_blocks_change_no_distribution(monkeypatch):
    columns = rng(1).normal(size=(50, 3))
    whole = resampled_totals([Stratum(columns, np.ones(50, dtype=np.int64))], 4000, rng())
    monkeypatch.setattr("groupsigma.resample._CELLS", 7 * 4000)
    parts = resampled_totals([Stratum(columns, np.ones(50, dtype=np.int64))], 4000, rng())
    np.testing.assert_allclose(np.cov(parts.T), np.cov(whole.T), rtol=0.1, atol=2)
    ones = resampled_totals([Stratum(np.ones((50, 1)), np.ones(50, dtype=np.int64))], 100, rng())
    assert (ones == 50).all()


def test_a_prompt_with_its_visits_is_one_unit():
    a = Groups(["x", "y", "x"], [1, 2, 3], [4] * 3)
    b = Groups(["y", "w"], [0, 4], [4] * 2)
    codes = (np.array([0, 1, 2]), np.array([0, 1]))
    strata, prompts, common = strata_of(a, b, codes, (np.array([[1.0], [2], [4]]), np.array([[8.0], [16]])))
    assert [s.columns.tolist() for s in strata] == [[[2.0, 8.0]], [[5.0, 0.0]], [[0.0, 16.0]]]
    assert prompts == [2, 2] and common == 1 and total(strata).tolist() == [7.0, 24.0]


def test_equal_prompts_are_one_unit_of_their_number():
    p = rng().beta(0.5, 0.5, 5000)
    a, b = drawn(p, 8, rng(1)), drawn(p, 8, rng(2))
    codes = (a.n_correct, b.n_correct)
    strata, _, _ = strata_of(a, b, codes, (np.arange(9.0)[:, None], np.arange(9.0)[:, None]))
    assert len(strata[0].count) <= 81 and strata[0].prompts == 5000
    assert total(strata).tolist() == [a.n_correct.sum(), b.n_correct.sum()]


def test_the_same_log_twice_differs_in_nothing():
    p = rng().beta(0.5, 0.5, 300)
    groups = drawn(p, 8, rng(1))
    same = drawn(p, 8, rng(1))
    for left, right in ((groups, groups), (groups, same)):
        for setting in (None, Setting(8), Setting(16), Setting(4, solved=(0.1, 0.9))):
            found = both(left, right, setting)
            assert all(d.equal and not d.real for d in found.differences if d.difference is not None)
            assert found.paired and "same" in compare_findings(found)[0].title
    assert both(groups, groups)["silent"].high == 0 < both(groups, same)["silent"].high


def test_the_audits_numbers_side_by_side():
    found = compare(BIG, BIG, a_setting=Setting(8), b_setting=Setting(16, DR_GRPO), rng=rng())
    a, b = audit(BIG, group_size=8), audit(BIG, group_size=16, dial=DR_GRPO)
    for name, metric in (("silent", "silent"), ("all_right", "all_right"), ("fidelity", "fidelity")):
        assert found[name].a.value == pytest.approx(a.metrics()[metric], abs=1e-4)
        assert found[name].b.value == pytest.approx(b.metrics()[metric], abs=1e-4)
    assert found["answers_per_mixed_group"].b.value == pytest.approx(16 * b.draws_per_kept_group, rel=1e-4)
    for band in a.bands:
        assert found[f"gradient_{band.name}"].a.value == pytest.approx(band.gradient["grpo"], abs=2e-4)
    assert found["silent"].real and found.a.method == "unbiased" and not found.quarters


def test_the_keep_rule_is_of_the_groups_trained_on():
    found = compare(BIG, BIG, a_setting=Setting(8), b_setting=Setting(8, DAPO), rng=rng())
    assert found["silent"].difference == 0 and not found["silent"].real
    assert found["silent_kept"].b.value == 0 and found["answers_per_kept_group"].a.value == 8
    kept = found["answers_per_kept_group"].b.value
    assert kept == pytest.approx(found["answers_per_mixed_group"].b.value) == pytest.approx(14.05, abs=0.01)
    assert Setting(8, DAPO).text == "G = 8, DAPO"
    assert (
        Setting(8, Dial(power=0, keep="mixed"), dial_name="dr-grpo").text == "G = 8, Dr. GRPO, silent groups replaced"
    )


def test_a_filter_is_not_judged_by_the_counts_that_chose():
    """20,000 problems, p ~ Beta(½, ½), the mixed ones of 8 answers chosen: these counts say that fresh groups of 8
    are never silent. They are 18.6 % of the time, and so we say."""
    p = rng().beta(0.5, 0.5, 20_000)
    groups = drawn(p, 8, rng(1))
    chosen = (groups.n_correct > 0) & (groups.n_correct < 8)
    truth = silent_rate(p[chosen], 8).mean()
    naive = silent_rate_unbiased(groups.n_correct[chosen], 8, 8).mean()
    found = compare(groups, groups, a_setting=Setting(8, solved=(0.1, 0.9)), b_setting=Setting(8), rng=rng())
    assert naive == 0 < 0.15 < truth
    assert found["silent"].a.value == pytest.approx(truth, abs=0.015)
    assert found["silent"].a.low < truth < found["silent"].a.high
    gain = expected_gain(p[chosen], 8).mean() / np.sqrt(p * (1 - p))[chosen].mean()
    assert found["fidelity"].a.value == pytest.approx(gain, abs=0.01)
    assert found.a.chosen == pytest.approx(chosen.mean()) and "by posterior" in " ".join(found.notes)


def test_the_refit_to_first_order():
    """One problem moved from one count to another, fitted again: what `sensitivity` said."""
    tally = drawn(rng().beta(0.5, 0.5, 5000), 8, rng(1)).tally()
    spread = mixture(tally)
    values = np.stack([expected_gain(spread.p, 8), silent_rate(spread.p, 16)], axis=1)
    slope = sensitivity(spread, tally, values)
    count = tally.count + np.array([0, 0, 1, -1, 0, 0, 0, 0, 0])
    again = mixture(Groups(tally.prompt_ids, tally.n_correct, tally.n_rollouts, count=count))
    np.testing.assert_allclose((again.weight - spread.weight) @ values, (slope[2] - slope[3]) / 5000, rtol=0.02)


def coverage(setting, problems, paired, pairs, n=8):
    """How often an interval of one difference, and all of them together, hold the truth; and their mean widths."""
    p = rng(999).beta(0.5, 0.5, 400_000)
    truths = dict(
        silent=silent_rate(moved(p, 0.4), 8).mean() - silent_rate(p, 8).mean(),
        fidelity=expected_gain(moved(p, 0.4), 8).mean() / np.sqrt(moved(p, 0.4) * (1 - moved(p, 0.4))).mean()
        - expected_gain(p, 8).mean() / np.sqrt(p * (1 - p)).mean(),
    )
    hits: dict[str, list[bool]] = {name: [] for name in [*truths, "all"]}
    width = []
    for seed in range(pairs):
        generator = rng(seed)
        left = generator.beta(0.5, 0.5, problems)
        right = left if paired else generator.beta(0.5, 0.5, problems)
        ids = np.arange(problems) + (0 if paired else problems)
        found = both(
            drawn(left, n, generator), drawn(moved(right, 0.4), n, generator, ids), setting, seed, resamples=300
        )
        for name, truth in truths.items():
            hits[name].append(found[name].alone_low <= truth <= found[name].alone_high)
        hits["all"].append(all(found[name].low <= truth <= found[name].high for name, truth in truths.items()))
        width.append(found["silent"].alone_high - found["silent"].alone_low)
    return {name: np.mean(h) for name, h in hits.items()}, np.mean(width)


@pytest.mark.parametrize("setting", [None, Setting(8)], ids=["as logged", "at G"])
def test_intervals_cover_and_pairing_narrows_them(setting):
    """200 pairs of 300 prompts each way; 95 % less 3.5 binomial errors."""
    covered, narrow = coverage(setting, 300, True, 200)
    apart, wide = coverage(setting, 300, False, 200)
    for found in (covered, apart):
        assert min(found["silent"], found["fidelity"]) >= 0.95 - 3.5 * np.sqrt(0.95 * 0.05 / 200)
        assert found["all"] >= 0.95
    assert narrow < 0.8 * wide


def test_nothing_is_real_where_nothing_differs():
    """200 pairs of runs of one policy: at most 5 % with any difference called real, plus 3 binomial errors."""
    false = 0
    for seed in range(200):
        generator = rng(seed)
        p = generator.beta(0.5, 0.5, 200)
        found = both(drawn(p, 8, generator), drawn(p, 8, generator), Setting(8), seed, resamples=300)
        false += any(d.real for d in found.differences)
    assert false / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_visits_stray_together():
    """30 prompts seen 20 times: as wide as 30 prompts are, not as 600."""
    p = rng().beta(0.5, 0.5, (2, 30))
    ids = np.tile(np.arange(30), 20)
    a, b = (drawn(np.tile(q, 20), 8, rng(1), ids + 30 * i) for i, q in enumerate(p))
    many = [drawn(np.tile(q, 20), 8, rng(1), np.arange(600) + 600 * i) for i, q in enumerate(p)]
    wide, narrow = (both(*sides)["silent"] for sides in ((a, b), many))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert both(a, b).a.prompts == 30


def test_prompts_on_one_side_only_are_said():
    p = rng().beta(0.5, 0.5, 60)
    a, b = drawn(p[:40], 8, rng(1)), drawn(p[20:], 8, rng(2), np.arange(20, 60))
    found = both(a, b)
    assert found.common == 20 and not found.paired and "20 are only in A and 20 only in B" in found.notes[0]
    other = drawn(p[20:], 8, rng(2), np.array([f"id {i}" for i in range(40)]))
    assert both(a, other).common == 0 and "no id is on both sides" in both(a, other).notes[0]
    assert "rows stand for several" in both(a, BIG, Setting(8)).notes[0]


def test_where_all_prompts_agree_one_prompts_worth_is_left():
    """30 all wrong against 30 all right: resampling sees no spread; an interval of no width would be a lie."""
    a, b = Groups(np.arange(30), [0] * 30, [8] * 30), Groups(np.arange(30), [8] * 30, [8] * 30)
    found = both(a, b)
    assert (
        found["all_right"].real
        and found["all_right"].high == found["all_right"].difference == 1 > found["all_right"].low
    )
    assert found["silent"].difference == 0 and found["silent"].low < 0 < found["silent"].high
    assert found["answers_per_mixed_group"].difference is None and found["gradient_never"].a is None
    assert "No mixed group in A and B" in [f.title for f in compare_findings(found)]
    json.dumps(found.to_dict(), default=str, allow_nan=False)


def test_beyond_the_answers_it_is_estimated_and_bounded():
    p = rng().beta(0.5, 0.5, 3000)
    a, b = drawn(p, 8, rng(1)), drawn(moved(p, 0.8), 8, rng(2))
    found = both(a, b, Setting(16))
    truth = silent_rate(moved(p, 0.8), 16).mean() - silent_rate(p, 16).mean()
    assert found.a.method == "estimated" and found["silent"].low < truth < found["silent"].high
    assert found.silent_bounds[0] < truth < found.silent_bounds[1] and "flattest" in " ".join(found.notes)
    one = compare(a, a, a_setting=Setting(8), b_setting=Setting(16), rng=rng())
    assert one.silent_bounds[1] < 0 and one["silent"].real and both(a, b, Setting(8)).silent_bounds is None


def test_bands_are_on_equally_many_answers():
    """The same problems with 8 and with 64 answers: no band differs, though k of 64 can be .05 and k of 8 cannot."""
    p = rng().beta(0.5, 0.5, 20_000)
    found = both(drawn(p, 8, rng(1)), drawn(p, 64, rng(2)), Setting(8))
    for d in found.differences:
        assert not d.real, d
    assert found["gradient_0-.1"].b.value == 0


def test_rates_and_graded_rewards():
    rates = Groups(np.arange(4), None, [0] * 4, rate=[0.0, 0.1, 0.5, 1.0])
    found = compare(rates, rates, a_setting=Setting(4), b_setting=Setting(8, MAXRL), rng=rng())
    assert found["silent"].a.value == pytest.approx(silent_rate([0.0, 0.1, 0.5, 1.0], 4).mean())
    assert found.a.method == "plug-in" and "over problems only" in " ".join(found.notes)
    graded = Groups.from_rewards(None, [[0.5, 0.5], [1, 1], [0, 0], [0.2, 0.7]])
    mixed = both(graded, Groups(np.arange(4), [0, 1, 1, 2], [2] * 4))
    assert (mixed["silent"].a.value, mixed["silent"].b.value) == (0.75, 0.5)
    assert mixed["all_right"].a.value == 0.25 and mixed["sigma"].a.value == pytest.approx(0.0625)
    assert all("gradient" not in d.name for d in mixed.differences) and "graded" in " ".join(mixed.notes)


def test_quarters_of_both_runs():
    steps = np.repeat(np.arange(8), 50)
    ids = np.tile(np.arange(50), 8)
    k = np.where(steps < 4, 2, 4)
    a, b = (Groups(ids, x, [4] * 400, step=s) for x, s in ((k, steps), (np.full(400, 2), 10 * steps)))
    found = both(a, b)
    assert [d.a.value for d in found.quarters] == [0, 0, 1, 1] and [d.b.value for d in found.quarters] == [0] * 4
    assert [d.real for d in found.quarters] == [False, False, True, True]
    assert both(latest(a, 0.5), b)["silent"].a.value == 1 and not compare(a, a, rng=rng()).quarters


def test_equal_seeds_give_equal_numbers():
    p = rng().beta(0.5, 0.5, 100)
    a, b = drawn(p, 8, rng(1)), drawn(p, 8, rng(2))
    assert both(a, b).to_dict() == both(a, b).to_dict() != both(a, b, seed=1).to_dict()
    assert both(a, b).to_dict()["schema"] == SCHEMA == "groupsigma.compare/1"
    assert all(isinstance(x, float) for x in both(a, b).metrics().values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: both("runs.csv", BIG), "a Groups there.*hint: load"),
        (lambda: compare(BIG, BIG, rng=0), "default_rng"),
        (lambda: both(BIG, BIG, resamples=10), "at least 100"),
        (lambda: both(BIG, BIG, level=1.0), "level strictly between"),
        (lambda: both(BIG, BIG, price=-1.0), "a price above 0"),
        (lambda: both(BIG, BIG, Setting(8, solved=(0.501, 0.502))), "some problems solved 0.501 to 0.502"),
        (lambda: both(BIG, BIG, Setting(8, DIALS["trl-batch"])), "looks at one group"),
        (lambda: both(*[Groups(["a"], None, [0], rate=[0.5])] * 2), "hint: -G 8"),
        (lambda: both(*[Groups.from_rewards(None, [[0.5, 0.1]])] * 2, Setting(8)), "hint: say what counts as right"),
        (lambda: Setting(0), "at least 1"),
        (lambda: Setting([4, 8]), "one group size"),
        (lambda: Setting(8, "grpo"), "hint: find_dial"),
        (lambda: Setting(8, solved=(0.9, 0.1)), "low <= high"),
        (lambda: Setting(solved=(0.1, 0.9)), "a group size beside solved"),
        (lambda: latest(BIG, 0.5), "hint: name its column with --step"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_message(call, words):
    with pytest.raises(ArgumentError, match=f"(?s){words}"):
        call()


def test_a_row_of_no_problem_counts_nothing():
    a = Groups([0, 1, 2], [0, 2, 4], [4] * 3, count=[5, 0, 5])
    assert both(a, a)["silent"].a.value == 1 and measured(a, Setting()).code.tolist() == [0, 1, 1]


def test_a_real_run_early_and_late(data_dir):
    """One-Shot-RLVR: silent share .439 at visit 0, .514 at visit 50 (README of the data); the same prompts."""
    rows = np.loadtxt(data_dir / "real" / "one_shot_rlvr" / "history.csv", delimiter=",", skiprows=1, dtype=int)
    early, late = (Groups(x[:, 0], x[:, 2], x[:, 3]) for x in (rows[rows[:, 1] == 0], rows[rows[:, 1] == 40]))
    found = both(early, late)
    assert found["silent"].a.value == pytest.approx(0.439, abs=5e-4) and found["silent"].real and found.paired
    assert found["all_right"].real and found["all_right"].difference > 0 > found["all_wrong"].difference


def test_sides_that_shift_are_told_where_their_silence_does_not():
    """As many silent groups, but all right in one run and all wrong in the other."""
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 1.2, 600)
    hard, easy = (Groups(np.arange(600), rng.binomial(8, x), np.full(600, 8)) for x in (p, 1 - p))
    found = compare(hard, easy, rng=np.random.default_rng(1), resamples=200)
    assert not found["silent"].real and found["all_right"].real
    first = compare_findings(found)[0]
    assert first.title.startswith("Silent shares are not told apart") and "told apart are all wrong -" in first.evidence
