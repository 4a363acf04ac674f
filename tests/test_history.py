"""A real run's silence foretold: rules by hand, what the finished results say, and that they come out again."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import beta

from groupsigma import ArgumentError, Groups, load
from groupsigma.drift import visits
from groupsigma.errors import SourceError
from groupsigma.experiments import history as h
from groupsigma.experiments.history_pictures import history_figures
from groupsigma.history_screen import history_screen
from groupsigma.screen import show

FINISHED = Path(__file__).parent.parent / "docs" / "results" / "history"


@pytest.fixture
def small():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 60)
    return Groups(np.tile(np.arange(60), 5), rng.binomial(4, np.tile(p, 5)), np.full(300, 4))


def test_simple_rules_by_hand():
    told = h.foretold_by(Groups(["a", "b", "a", "b", "a"], [1, 4, 3, 2, 0], [4] * 5))
    assert told[h.LAST_VISIT][2:] == pytest.approx([0.25**4 + 0.75**4, 1.0, 0.75**4 + 0.25**4])
    assert told["all visits, plug-in"][4] == pytest.approx(0.5**3)
    assert told[h.BATCH][2:] == pytest.approx([(5 / 8) ** 4 + (3 / 8) ** 4] * 3)
    a, b = 0.3 + 0.7 * 1 + 3, 0.3 + 0.7 * 3 + 1
    assert told[h.SHARP][4] == pytest.approx((beta(a + 4, b) + beta(a, b + 4)) / beta(a, b))
    assert all(np.isnan(q[:2]).all() for q in told.values())


def test_every_rule_sees_earlier_visits_only(small):
    k = small.n_correct.copy()
    last = visits(small) == 4
    k[last] = 4 - k[last]
    a, b = h.foretold_by(small), h.foretold_by(Groups(small.prompt_ids, k, small.n_rollouts))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_recalibration_learns_from_the_visits_before():
    """Predictions that are always too low are raised, and not on the first visit foretold."""
    rng = np.random.default_rng(1)
    visit = np.repeat(np.arange(20), 400)
    said = np.where(visit == 0, np.nan, 0.4)
    told = h.recalibrated(said, rng.random(8000) < 0.5, visit)
    assert told[visit == 1] == pytest.approx(0.4) and told[visit == 19] == pytest.approx(0.5, abs=0.02)


def test_without_the_data_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("GROUPSIGMA_DATA", raising=False)
    with pytest.raises(ArgumentError, match="GROUPSIGMA_DATA"):
        h.history(tmp_path)
    monkeypatch.setenv("GROUPSIGMA_DATA", str(tmp_path))
    with pytest.raises(ArgumentError, match=r"no real/one_shot_rlvr/history\.csv"):
        h.history(tmp_path)


def test_results_of_something_else_are_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"schema": "groupsigma.allocation/1"}')
    with pytest.raises(SourceError, match="results of schema groupsigma"):
        h.history(tmp_path)


def test_finished_results_are_read_shown_and_drawn(capsys, monkeypatch):
    monkeypatch.delenv("GROUPSIGMA_DATA", raising=False)
    found = h.history(FINISHED)
    show(history_screen(found))
    said = capsys.readouterr().out
    assert f"{h.OURS}  " in said and "chance alone is off by" in said
    (chart,) = history_figures(found).values()
    assert len(chart.to_dict()["hconcat"]) == 3


def test_the_closed_form_foretells_the_real_run():
    """From the finished results: within 1.2 points a visit by beliefs alone, chance's own .8 with one more number."""
    found = h.history(FINISHED)
    rules = found["rules"]
    assert rules[h.OURS]["error"] < 0.012 and rules[h.RECALIBRATED]["error"] < 1.05 * found["noise"]
    assert rules[h.LAST_VISIT]["error"] > 0.08 and rules[h.BATCH]["error"] > 0.4
    assert min(rules, key=lambda name: rules[name]["brier"]) == h.RECALIBRATED


def test_the_finished_results_come_out_again(data_dir):
    found = json.loads(json.dumps(h.compared(load(data_dir / h.DATA))))
    kept = h.history(FINISHED)
    assert found.keys() == kept.keys() and found["came"] == kept["came"]
    for name, row in kept["rules"].items():
        assert found["rules"][name] == pytest.approx(row, rel=1e-4), name
