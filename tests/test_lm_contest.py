"""The contest on a language model: its numbers on runs whose answer is known; halves; the walk; the screen."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("transformers")

from groupsigma.cli import app
from groupsigma.experiments import addition
from groupsigma.experiments import lm_contest as c
from groupsigma.experiments import lm_contest_findings as f
from groupsigma.experiments.halves import contrast_halves
from groupsigma.experiments.language import Language, Weighted
from groupsigma.experiments.lm_contest_pictures import lm_contest_figures
from groupsigma.experiments.spend import Lone, Plain
from groupsigma.experiments.worlds import Drawn
from groupsigma.figures import save
from groupsigma.lm_contest_screen import lm_contest_screen
from groupsigma.screen import show

TINY = addition.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=60, batch=64, until=0.3, digits=1, problems=64,
    held_out=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("contest")
    addition.taught(TINY, place)
    return place


def world(folder, batch=32, seed=0):
    rows, held_out = addition.data(TINY)
    return Language(addition.taught(TINY, folder), rows, held_out, batch=batch, learning_rate=1e-3, seed=seed)


def run(speed, seed=0, **about):
    """Held-out accuracy .4 + .1 · speed · share of the budget, a step's worth of noise that averages out."""
    share = np.linspace(0, 1, 21)
    wave = 0.001 * np.sin(np.pi * np.arange(21) + seed)
    looks = [
        {
            "answers": round(c.BUDGET * s), "tokens": round(5 * c.BUDGET * s),
            "held_out": float(0.4 + 0.1 * speed * s + w + 0.0003 * seed % 0.001),
            "held_out quarters": [0.1, 0.2, 0.3, 0.4],
        }
        for s, w in zip(share, wave, strict=True)
    ]  # fmt: skip
    return {"looks": looks, "steps": {"silent": [1, 2], "groups": [4, 4]}, "choosing": 0.5, "seed": seed, **about}


@pytest.fixture
def found():
    speeds = {"grpo": 1.0, "lone": 2.0, "oracle": 4.0, "dapo": 1.0, "top-k": 0.5}
    at = {
        name: {"start": "bigmath", "rule": name, "knobs": "{}", "batch": 64, "learning_rate": 1e-4, "budget": c.BUDGET,
               "seed": 100}
        for name in speeds
    }  # fmt: skip
    return {
        "best": at,
        "map": [run(speeds[n], **{**at[n], "seed": s}) for n in c.MAPPED for s in (100, 101)],
        "tuned": [run(speeds[n], **at[n]) for n in ("dapo", "top-k")],
        "scored": [run(v, name=n, **{**at[n], "seed": s}) for n, v in speeds.items() for s in range(3)],
        "parts": [run(1.5, name="slower", **{**at["lone"], "seed": s}) for s in (0, 1)],
    }


def test_answers_saved_are_those_of_the_curves(found):
    for share in f.SHARES:
        ratio = f.fewer(found, "lone", "grpo", share)
        assert ratio.times == pytest.approx(2.0, rel=0.03)
        assert ratio.low <= ratio.times <= ratio.high and ratio.high < 2.2
        assert f.fewer(found, "lone", "dapo", share).times == pytest.approx(2.0, rel=0.03)
        assert f.saving(found, share) == pytest.approx((1 - 1 / 2) / (1 - 1 / 4), rel=0.04)
    assert f.fewer(found, "lone", "grpo", 1.0, "tokens").times == pytest.approx(2.0, rel=0.03)
    never = f.fewer(found, "lone", "top-k", 1.0)
    assert never.beyond and never.times == pytest.approx(2.0, rel=0.03)
    assert f.fewer(found, "top-k", "grpo", 1.0).times == 0.0
    assert f.reached(found, "top-k", 1.0) == np.inf


def test_where_nobody_gets_there_nothing_is_saved(found):
    slow = {**found, "scored": [run(0.2, **{**r, "looks": None}) | {"looks": run(0.2)["looks"]} if r["name"] == "oracle"
                                else r for r in found["scored"]]}  # fmt: skip
    assert np.isnan(f.saving(slow, 1.0))
    assert not any(good for what, _, _, good in f.verdicts({"starts": {"x": slow}}) if "share of the oracle" in what)


def test_a_curve_is_read_where_it_first_has_a_level():
    x = np.array([0.0, 10.0, 20.0])
    assert f.reaches(x, np.array([0.1, 0.3, 0.5]), 0.4) == pytest.approx(15)
    assert f.reaches(x, np.array([0.1, 0.3, 0.3]), 0.4) == np.inf
    assert f.reaches(x, np.array([0.5, 0.6, 0.7]), 0.4) == 0
    assert f.risen(np.array([0.1, 0.3, 0.2, 0.4])).tolist() == pytest.approx([0.1, 0.25, 0.25, 0.4])


def test_tables_and_verdicts(found):
    (cell,) = f.mapped(found)
    assert cell["lone"]["area"] - cell["grpo"]["area"] == pytest.approx(0.05, abs=1e-3) and cell["grpo"]["seeds"] == 2
    (part,) = f.parts(found)
    assert part["area"] == pytest.approx(-0.025, abs=1e-3)
    assert [row["name"] for row in f.scores(found)][:2] == ["oracle", "lone"]
    told = {what: good for what, _, _, good in f.verdicts({"starts": {"bigmath": found}})}
    assert sum("share of the oracle" in what for what in told) == 2
    assert told["bigmath: least gain in area over uniform groups on the map"]
    assert not any(good for what, good in told.items() if "share of the oracle" in what)


def test_the_screen_says_it(found, capsys):
    show(lm_contest_screen({"starts": {"bigmath": found}, "findings": {"bigmath": f.findings(found)}}))
    told = capsys.readouterr().out
    assert "GRPO" in told and "tuned" in told and "slower" in told and "2.0" in told


def test_the_best_setting_has_the_largest_area_over_its_seeds():
    low, high = (c.cell("bigmath", "grpo", {}, 64, rate, 100) for rate in (1e-4, 2e-4))
    came = {low: run(1.0), high: run(1.5), c.reseeded(low, 101): run(3.0), c.reseeded(high, 101): run(1.5)}
    assert c.chosen("grpo", came) == low
    assert json.loads(c.taken_apart(low, {"most": 2}, 7).knobs) == {"most": 2}


def test_one_try_each_and_the_whole_walk_before_the_next(folder):
    here = world(folder, batch=32)
    rule = Lone(over=1.0)
    seen = [rule(here) for _ in range(2)]
    for drawn in seen:
        assert drawn.answers == 32 and len(drawn.problem) == 32
        assert ((drawn.plus > 0) == (drawn.right > 0)).all() and ((drawn.minus > 0) == (drawn.wrong > 0)).all()
    assert len({*seen[0].problem.tolist(), *seen[1].problem.tolist()}) == 64


def test_an_oracle_compares_with_the_truth(folder):
    here = world(folder, batch=32)
    p = here.rates(np.arange(64))
    drawn = Lone(over=1.0, oracle=True)(here)
    won = drawn.right > 0
    assert np.allclose(drawn.plus[won], 1 - p[drawn.problem[won]], atol=0.01)
    assert np.allclose(drawn.minus[~won], p[drawn.problem[~won]], atol=0.01)


def test_halves_measure_the_contrast(folder):
    # ⟨Δs₁, Δs₂⟩ is ‖D‖² on average, D = ∇ log(p/(1 − p)): one exact backward pass.
    import torch

    here = world(folder, batch=64)
    p = here.rates(np.arange(64))
    i = int(np.argmin(abs(p - 0.4)))
    odds = addition.log_chances(here.model, here.tokenizer, [here.rows[i]])
    found = torch.autograd.grad((odds - torch.log1p(-odds.exp())).sum(), list(here.model.parameters()))
    size = float(sum((g.double() ** 2).sum() for g in found))
    sums = []
    for _ in range(60):
        here.sample(np.array([i]), np.array([32]))
        sums.append(contrast_halves(here, np.array([i])))
        k, n = 1.0, 32.0
        here.learn(Drawn(np.array([i]), np.array([k]), np.array([n - k]), np.zeros(1), np.zeros(1), 32))
    inner, noise = np.array(sums).T
    assert abs(inner.mean() - size) < 4 * inner.std(ddof=1) / np.sqrt(len(inner))
    assert len(noise) == 60


def test_halves_of_known_answers(folder, monkeypatch):
    # 4 right, 4 wrong of one string: no noise, ‖Δs‖². Of two strings: none, or ‖s_a − s_b‖²/(1/1 + 1/1).
    import torch

    here = world(folder)
    answers = [(*here.tokenizer(text)["input_ids"], 0) for text in ("7", "8", "9")]

    def slope(weight):
        logs, _ = here.log_likelihoods(Weighted(np.zeros(3, dtype=np.int64), answers, np.array(weight)))
        found = torch.autograd.grad(logs.sum(1) @ torch.tensor(weight), list(here.model.parameters()))
        return torch.cat([g.flatten() for g in found]).double()

    def halved(counts):
        told = np.zeros(3, dtype=np.int64), np.array(counts), np.array([True, False, False]), answers
        monkeypatch.setattr(here, "answered", lambda: told)
        return contrast_halves(here, np.array([0]))

    inner, noise = halved([4, 4, 0])
    assert noise == pytest.approx(0, abs=1e-6 * inner)
    assert inner == pytest.approx(float((slope([1.0, -1.0, 0.0]) ** 2).sum()), rel=1e-5)
    apart = float((slope([0.0, 1.0, -1.0]) ** 2).sum()) / 2
    came = {round(halved([4, 2, 2])[1] / apart, 3) for _ in range(40)}
    assert came == {0.0, 1.0}
    assert halved([1, 7, 0]).tolist() == [0, 0]


def test_a_measured_saturation_is_kept_and_costs_no_more_answers(folder):
    here = world(folder, batch=64)
    rule = Lone(most=4, saturation=None)
    for _ in range(11):
        drawn = rule(here)
        assert drawn.answers == 64
        here.learn(drawn)
    assert 0.05 < rule.saturation < 20 and rule.saturation != 1.0


def test_plain_compares_with_the_others_of_the_step(folder):
    here = world(folder, batch=32)
    drawn = Plain()(here)
    k = drawn.right
    assert len(set(drawn.problem.tolist())) == 32 and set(k.tolist()) == {0.0, 1.0}
    others = [np.delete(k, at).mean() for at in range(32)]
    assert np.allclose(drawn.plus, np.where(k == 1, 1 - np.array(others), 0))
    assert np.allclose(drawn.minus, np.where(k == 0, others, 0))


def test_advantages_reach_the_answers(folder):
    # Two tries of one problem: its right answers share plus, its wrong ones minus.
    here = world(folder, batch=64)
    drawn = Lone(most=2, over=0.75, saturation=1e6)(here)
    assert drawn.answers == 64 and (drawn.right + drawn.wrong).max() == 2
    told = here.weighted(drawn)
    push = np.bincount(told.prompt, told.push, 64)[drawn.problem]
    assert np.allclose(push, drawn.plus - drawn.minus)


def test_the_whole_of_a_start_and_its_picture(folder, monkeypatch, tmp_path):
    plan = c.Plan({32: (1e-3,)}, (100,), ("plain", "plan, whole pool"), {32: (1e-3,)}, True, (0, 1))
    monkeypatch.setattr(c, "STARTS", {"flat": plan})
    monkeypatch.setattr(c, "BUDGET", 640)
    monkeypatch.setattr(addition, "FULL", TINY)
    told = c.one_start(folder, "flat", workers=1)
    assert {run["name"] for run in told["scored"]} == {*c.MAPPED, "plain"} and len(told["parts"]) == 2 * len(c.PARTS)
    assert c.one_start(folder, "flat", workers=1) == told
    (chart,) = lm_contest_figures({"starts": {"flat": told}}).values()
    assert save(chart, tmp_path / "a.svg").stat().st_size > 1000
    f.findings(told)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--quick"], "--quick"),
        (["--family", "sums"], "a start of bigmath, flat"),
        (["--quick", "--family", "flat"], "--quick"),
    ],
)  # fmt: skip
def test_the_command_refuses(options, said, tmp_path):
    done = CliRunner().invoke(app, ["reproduce", "lm-allocation", *options, "--runs", str(tmp_path)])
    assert done.exit_code != 0 and said in (str(done.exception) + done.output)
