"""The family of a GPU on a CPU, in bfloat16 all the same: every stage, the machine on record, reading without one."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch

from groupsigma import ArgumentError
from groupsigma.experiments import addition as a
from groupsigma.experiments import lm_findings, lm_full, lm_scale
from groupsigma.experiments.draw import draw
from groupsigma.experiments.gradients import Group, theorem
from groupsigma.experiments.language import Language, Weighted
from groupsigma.experiments.precision import autocast, settled
from groupsigma.lm_full_screen import lm_full_screen
from groupsigma.screen import show

TINY = a.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=120, batch=32, until=0.3, digits=1, problems=40,
    held_out=10, pool=50, dtype="bfloat16",
)  # fmt: skip
FAMILY = lm_full.Family(
    TINY, ("grpo", "dr-grpo", "dapo"), (4,), budget=640, batch=64, rates=(5e-4, 2e-3), tuning=(100,), scoring=(0, 1),
    updates=(0, 2), measured=40, compared=1, targets=(0.2, 0.3),
)  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lm_full.FAMILIES, "gym", FAMILY)
        for stage in ("start", "gradients", "arms"):
            lm_scale.main([stage, str(folder / "gym")])
        return folder, lm_full.lm_full(folder, family="gym", workers=1)


@pytest.fixture(scope="module")
def world(found):
    rows, held_out = a.data(TINY, found[0] / "gym")
    return Language(a.taught(TINY, found[0] / "gym"), rows, held_out, batch=64, learning_rate=1e-3, seed=0)


def test_every_run_says_what_it_ran_on(found):
    told = found[1]["families"]["gym"]
    for run in [told["start"], *told["norms"], *told["grid"], *told["arms"]]:
        machine = run["machine"]
        assert machine["dtype"] == "bfloat16" and machine["torch"] == torch.__version__ and machine["seconds"] > 0
    clock = [json.loads(line) for line in (found[0] / "gym" / "clock.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in clock] == ["start", "gradients", "arms"]
    assert len(told["grid"]) == 6 and len(told["arms"]) == 8


def test_its_tables_are_its_own(found, capsys):
    told = found[1]["families"]["gym"]
    row = lm_findings.methods(told)[0]
    assert len(row["answers"]) == 2 and len(row["course"]) == 3
    lm_findings.findings(told)
    show(lm_full_screen(found[1]))
    text = " ".join(capsys.readouterr().out.split())
    assert "the dial on a language model: gym" in text and "samples 640 answers, 64 a step" in text and "to 0.2" in text


def test_theorem_1_holds_where_nothing_is_cast(found):
    for what, _, _, good in lm_findings.family_verdicts(found[1]["families"]["gym"]):
        assert good or not what.startswith("Theorem")


def test_what_is_finished_is_read_without_a_gpu_and_nothing_else_is_run(found, monkeypatch):
    monkeypatch.setitem(lm_full.FAMILIES, "gym", replace(FAMILY, gpu=True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert json.loads(json.dumps(lm_full.lm_full(found[0], family="gym"))) == json.loads(json.dumps(found[1]))
    monkeypatch.setitem(lm_full.FAMILIES, "gym", replace(FAMILY, gpu=True, scoring=(0, 1, 2)))
    with pytest.raises(ArgumentError, match="reproduce lm: needs a CUDA device, got none at run"):
        lm_full.lm_full(found[0], family="gym")


def test_a_family_that_ran_out_of_time_is_read_as_far_as_it_got(found, monkeypatch):
    monkeypatch.setitem(lm_full.FAMILIES, "gym", replace(FAMILY, gpu=True, sizes=()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = lm_full.lm_full(found[0], family="gym")
    lm_findings.findings(told["families"]["gym"])
    lm_full_screen(told)


def test_without_a_name_only_families_of_a_cpu_are_run(monkeypatch):
    ran = []
    monkeypatch.setattr(lm_full, "one_family", lambda folder, *_, **__: ran.append(folder.name))
    lm_full.lm_full(lm_scale.Path("x"))
    assert ran == ["sums", "kinds"]


# ---- one policy ---------------------------------------------------------------------------------


def test_answers_are_drawn_from_the_policy_whose_solve_rates_are_known(world):
    assert world.model.config.autocast == "bfloat16"
    p, n = world.chances(world.rows), 10**6
    came = draw(world.model, world.prompts, np.full(40, n), np.random.default_rng(0), most=world.most)
    often = np.bincount(came.prompt, came.count * world.judged(came.prompt, came.ids), 40) / n
    assert np.abs(often - p).max() < 0.003 and abs((often - p).mean()) < 0.001
    exact = Language(
        a.taught(TINY, world_folder(world)), world.rows, world.held_rows, batch=64, learning_rate=0, seed=0
    )
    exact.model.config.autocast = "float32"
    assert 0 < np.abs(exact.chances(world.rows) - p).max() < 0.05


def world_folder(world):
    return lm_scale.Path(world.model.config._name_or_path).parent


def test_weights_logits_and_gradients_stay_float32(world):
    some = Weighted(np.array([0, 1]), [(1, 0), (2, 3, 0)], np.ones(2))
    logs, _ = world.log_likelihoods(some)
    assert logs.dtype == torch.float32 and {p.dtype for p in world.model.parameters()} == {torch.float32}
    assert world.model.lm_head.weight is world.model.model.embed_tokens.weight
    with autocast(world.model), torch.no_grad():
        out = world.model(input_ids=torch.tensor([world.prompts[0]]))
    assert out.logits.dtype == torch.float32
    world.update(some)
    assert {p.grad.dtype for p in world.model.parameters()} == {torch.float32}


def test_theorem_1_is_not_computed_in_bfloat16(world):
    asked = world.prompts[0]
    group = Group(world.rows[0]["prompt"], asked, [[1, 0], [2, 3, 0], [5, 0]], np.array([1.0, 0.0, 0.0]))
    assert max(found.error for found in theorem(world.model, group)) < 1e-12
    assert max(found.error for found in theorem(world.model, group, dtype=torch.float32)) < 1e-5


def test_a_model_of_float32_is_left_alone():
    model = a.new_model(replace(TINY, dtype="float32", pool=0))
    kind = type(model.lm_head)
    assert settled(model) is model and type(model.lm_head) is kind is torch.nn.Linear
    assert not hasattr(model.config, "autocast") and not autocast(model)._enabled


def test_the_smoke_test_passes_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(lm_scale, "SMALL", replace(lm_scale.SMALL, digits=1, steps=80))
    few = replace(TINY, steps=2, task="kinds", pool=40, problems=130, batch=16)
    told = lm_scale.smoke(few, tmp_path)
    assert told["good"] and told["place"] == "cpu" and told["full"]["updating"] > 0
