"""`reproduce lm`, small: every part is real, and what is finished is not done again."""

import json

import pytest

pytest.importorskip("trl")

from groupsigma.experiments import addition, lm
from groupsigma.lm_screen import lm_screen
from groupsigma.screen import show
from tiny_llama import QUIET

pytestmark = QUIET

START = addition.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=60, batch=64, until=0.3, digits=1, problems=64,
    held_out=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    before = lm.QUICK
    lm.QUICK = lm.Scale(START, steps=3, prompts=8, G=4, learning_rate=1e-3, compared=3)
    try:
        yield folder, lm.lm(folder)
    finally:
        lm.QUICK = before


def test_theorem_1_holds_on_every_group_and_dial(found):
    _, told = found
    assert set(told["theorem"]) == {"float64", "float32"}
    for kind, most in lm.EXACT.items():
        rows = told["theorem"][kind]
        assert len(rows) == 3 * 4 and {row["dial"] for row in rows} == {"grpo", "dr-grpo", "maxrl", "logit"}
        assert all(row["parameters"] == told["start"]["parameters"] for row in rows)
        assert max(row["error"] for row in rows) <= most
    # In half the digits the error is real, and larger.
    assert max(r["error"] for r in told["theorem"]["float32"]) > 100 * max(
        r["error"] for r in told["theorem"]["float64"]
    )


def test_each_method_was_trained_and_its_log_kept(found):
    _, told = found
    for name, run in told["methods"].items():
        assert len(run["silent"]) == len(run["silent_predicted"]) == 3, name
        assert run["silent_predicted"][0] is None and all(0 <= x <= 1 for x in run["silent_predicted"][1:])
        assert run["held_out"] != told["start"]["held_out"]
    drawn = told["methods"]["dapo"]["draws"]
    assert drawn["came"] >= 2 * 8 and drawn["sd"] > 0


def test_a_verdict_fails_where_the_number_is_off(found):
    _, told = found
    good = {what: well for what, _, _, well in lm.verdicts(told)}
    assert good["Theorem 1 on float64 gradients, largest relative error"]
    worse = json.loads(json.dumps(told))
    worse["theorem"]["float64"][0]["error"] = 1e-9
    worse["methods"]["grpo"]["held_out"] = told["start"]["held_out"] - 0.01
    worse["methods"]["dapo"]["draws"]["off"] = 4.5
    assert sum(not well for _, _, _, well in lm.verdicts(worse)) >= 3


def test_finished_parts_are_taken_up(found, monkeypatch):
    folder, told = found
    monkeypatch.setattr(lm, "_part", lambda *_: pytest.fail("computed again"))
    assert lm.lm(folder) == json.loads(json.dumps(told))


def test_the_screen_says_what_is_not_shown(found, capsys):
    show(lm_screen(found[1]))
    text = capsys.readouterr().out
    assert "which method is best is not" in " ".join(text.split())
    assert "Dr. GRPO" in text and "foreseen" in text


def test_draws_are_held_against_a_negative_binomial():
    steps = [{"group/draws": 20.0, "group/draws_predicted": 2.0}, {"group/draws": 9.0}]
    told = lm._draws(steps, wanted=8)
    # 8 kept at one half each: 16 draws, variance 8 · ½ / ¼.
    assert told == {"came": 20.0, "expected": 16.0, "sd": 4.0, "off": 1.0}
