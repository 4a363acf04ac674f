"""`reproduce lm`, shrunk: every stage is real, tables say what the runs hold, finished jobs are not done again."""

import json

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("transformers")

from groupsigma.experiments import addition, lm_contrasts, lm_findings, lm_full, lm_stops
from groupsigma.experiments.lm_pictures import lm_figures
from groupsigma.figures import save
from groupsigma.lm_full_screen import lm_full_screen
from groupsigma.screen import show

TINY = addition.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=60, batch=64, until=0.3, digits=1, problems=64,
    held_out=16,
)  # fmt: skip
SMALL = dict(
    budget=1280, batch=64, rates=(5e-4, 2e-3), tuning=(100,), scoring=(0, 1), compared=2, updates=(0, 2), measured=48,
)  # fmt: skip


STOPS = [("passes", 2e-4, clip, seed) for clip in ("grpo", "none") for seed in (0, 1)]
STOPS += [("minis", 2, torn, 0) for torn in (0, 1)]
STOPS += [("stale", 0), ("stale", 1), ("kl", 0.0, 0)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:
        family = lm_full.Family(TINY, ("grpo", "dr-grpo", "dapo", "power 0.5"), (4, 16, 32), departs=True, **SMALL)
        patch.setattr(lm_full, "departures_wanted", lambda: list(STOPS))
        patch.setattr(lm_full, "FAMILIES", {"sums": family})
        yield folder, lm_full.lm_full(folder, workers=1)


def test_theorem_1_holds_for_right_or_wrong_and_for_graded_rewards(found):
    for kind, by_precision in found[1]["families"]["sums"]["theorem"].items():
        rewards = [row["rewards"] for row in by_precision["float64"]]
        assert len(rewards) == 2 * 4
        assert all(set(r) <= {0.0, 1.0} for r in rewards) == (kind == "0/1")
    told = [good for what, _, _, good in lm_findings.verdicts(found[1]) if what.startswith("sums: Theorem")]
    assert told == [True] * 4


def test_each_way_is_scored_at_the_rate_that_was_best_on_other_seeds(found):
    told = found[1]["families"]["sums"]
    for way, rate in told["rates"].items():
        ends = {
            arm["learning_rate"]: lm_full.reached(arm)
            for arm in told["grid"]
            if arm["way"] == way and arm["seed"] == 100
        }
        assert rate == max(ends, key=ends.get)
        assert {arm["learning_rate"] for arm in lm_findings.of(told, way)} == {rate}
        assert [arm["seed"] for arm in lm_findings.of(told, way)] == [0, 1]


def test_the_tables_say_what_the_runs_hold(found):
    told = found[1]["families"]["sums"]
    rows = {row["G"]: row for row in lm_findings.silence(told)}
    assert set(rows) == {4, 8, 16, 32}
    runs = lm_findings.of(told, "grpo", 4)
    silent = [sum(run["steps"]["silent"]) / sum(run["steps"]["groups"]) for run in runs]
    assert rows[4]["measured"][0] == pytest.approx(np.mean(silent))
    assert rows[4]["expected"] > rows[16]["expected"]
    kept = lm_findings.draws(told)
    dapo = lm_findings.of(told, "dapo")
    groups = sum(sum(run["steps"]["groups"]) for run in dapo)
    assert kept["measured"] == pytest.approx(groups / (8 * sum(len(run["steps"]["groups"]) for run in dapo)))
    for way in told["rates"]:
        shares = lm_findings.mass(told)[way].values()
        assert sum(s for s, _ in shares) == pytest.approx(1) and sum(s for _, s in shares) == pytest.approx(1)


def test_a_batch_used_again_and_stale_answers(found):
    told = found[1]["families"]["sums"]
    rows = {(row["clip"], row["pass"]): row for row in lm_stops.reused(told)}
    assert set(rows) == {(clip, at) for clip in ("grpo", "none") for at in (1, 2, 3, 4)}
    assert rows["grpo", 1]["distance"] < 1e-4 < rows["grpo", 2]["distance"]
    runs = [row["found"] for row in told["departures"] if row["job"][:3] == ["passes", 2e-4, "grpo"]]
    second = [run["updates"][1]["today"]["distance"] for run in runs]
    assert (
        rows["grpo", 2]["distance"] == pytest.approx(np.mean(second))
        and rows["grpo", 2]["least"] <= rows["grpo", 2]["most"]
    )
    whole, torn = lm_stops.split(told)
    assert (whole["M"], whole["torn"], torn["torn"]) == (2, False, True) and len(whole["ages"]) == 2
    assert whole["ages"][0] < 1e-4 < whole["ages"][1] and whole["whole"] > 0.1
    ages = {row["age"]: row for row in lm_stops.aged(told, "grpo")}
    assert ages[0]["all"] < 1e-4 < ages[16]["all"]
    assert [row["updates"] for row in lm_stops.pulled(told)] == [25, 50, 100]
    assert all(row["silent"] > 0 for row in lm_stops.pulled(told))


def test_finished_jobs_are_taken_up(found, monkeypatch):
    folder, told = found
    monkeypatch.setattr(lm_full, "departures_wanted", lambda: list(STOPS))
    for name in ("compute", "part", "departure"):
        monkeypatch.setattr(lm_full, name, lambda *_: pytest.fail("computed again"))
    assert json.loads(json.dumps(lm_full.lm_full(folder, workers=1))) == json.loads(json.dumps(told))


def test_the_screen_and_the_pictures(found, capsys, tmp_path):
    show(lm_full_screen(found[1]))
    text = " ".join(capsys.readouterr().out.split())
    assert "Theorem 1 on float64 gradients, graded rewards" in text and "Dr. GRPO" in text and "power 0.5" in text
    for name, chart in lm_figures(found[1]).items():
        assert save(chart, tmp_path / f"{name}.png").stat().st_size > 20_000


def test_chances_are_holm_s_over_all_comparisons(found):
    told = found[1]["families"]["sums"]
    rows = lm_findings.methods(told)
    base = [float(lm_full.last(run, "held_out")) for run in lm_findings.of(told, "grpo")]
    raw = {}
    for row in rows[1:]:
        for what, name, at in (("held_out", "held_out", None), ("hardest", "held_out quarters", 0)):
            mine, theirs = (
                [float(np.atleast_1d(lm_full.last(run, name))[at or 0]) for run in lm_findings.of(told, way)]
                for way in (row["way"], "grpo")
            )
            raw[row["way"], what] = stats.ttest_ind(mine, theirs, equal_var=False).pvalue
    assert len(raw) == 6 and "held_out p" not in rows[0]
    least = min(raw, key=raw.get)
    shown = {(row["way"], what): row[f"{what} p"] for row in rows[1:] for what in ("held_out", "hardest")}
    assert shown[least] == pytest.approx(min(1, 6 * raw[least])) == min(shown.values())
    order = sorted(raw, key=raw.get)
    assert [shown[key] for key in order] == sorted(shown.values()) and all(shown[k] >= raw[k] for k in raw)
    assert rows[0]["held_out"][0] == pytest.approx(np.mean(base))
    sizes = {row["G"]: row for row in lm_findings.by_size(told)}
    assert set(sizes) == {4, 8, 16, 32} and "held_out less" not in sizes[8]
    assert sizes[8]["held_out"] == rows[0]["held_out"]


# ---- the parts of the tables --------------------------------------------------------------------


def test_answers_to_a_target_count_only_what_is_kept():
    run = {"looks": [{"held_out": y, "answers": 100 * i} for i, y in enumerate((0.2, 0.5, 0.3, 0.5, 0.7))]}
    assert lm_findings.answers_to(run, 0.4) == pytest.approx(250)
    assert lm_findings.answers_to(run, 0.1) == 0
    assert lm_findings.answers_to(run, 0.8) == float("inf")


def test_intervals_are_those_of_student_and_welch():
    mean, low, high = lm_findings.interval([1.0, 2.0, 3.0, 4.0])
    assert (mean, high - mean) == (2.5, pytest.approx(3.182446 * np.sqrt(5 / 3) / 2, rel=1e-6)) and low < mean
    apart, low, high = lm_findings.difference([2.0, 4.0, 6.0], [1.0, 1.5, 2.0])
    assert apart == 2.5 and low < 0 < high


@pytest.mark.parametrize(("power", "tilt"), [(0.0, 0.0), (1.0, 0.0), (2.0, 0.25), (1.0, 0.5)])
def test_the_best_dial_is_found_where_worth_follows_one(power, tilt):
    rng = np.random.default_rng(0)
    p = rng.uniform(0.03, 0.97, 4000)
    size = rng.gamma(8, 10, p.shape)
    a, b = power / 2 + tilt, power / 2 - tilt
    weight = p ** (1 - a) * (1 - p) ** (1 - b)
    told = {
        "p": p.tolist(),
        "worth": (size**2 * weight * rng.normal(1, 0.5, p.shape)).tolist(),
        "drawn": {"8": {"size": [size.tolist()]}},
    }
    assert lm_contrasts.best_dial(told) == pytest.approx((power, tilt), abs=0.12)
    for (low, high), true in zip(lm_contrasts.dial_range(told, 40), (power, tilt), strict=True):
        assert low - 0.1 < true < high + 0.1 and 0 < high - low < 0.6
