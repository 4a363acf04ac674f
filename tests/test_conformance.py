"""The suite over every trainer: own code where it is installed, formulas elsewhere; and that the suite can fail.

GROUPSIGMA_TRAINERS=verl,trl makes these required: missing, they fail.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from groupsigma import DIALS, ArgumentError, Dial, advantages_by_prompt, is_silent
from groupsigma.conformance import own, suite, trainers
from groupsigma.conformance.__main__ import main
from groupsigma.conformance.recorded import RECORDED, SILENT
from groupsigma.conformance.suite import FORMULA, conform
from groupsigma.conformance.trainers import TRAINERS
from groupsigma.presets import PRESETS

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "trainers.json"
ASKED = [name for name in os.environ.get("GROUPSIGMA_TRAINERS", "").split(",") if name]

pytestmark = pytest.mark.filterwarnings("ignore")  # trainers' own, on import


@pytest.mark.parametrize("name", TRAINERS)
def test_the_preset_is_the_trainer_s_rule_and_ours_keeps_the_contract(name):
    outcome = conform(name, required=name in ASKED)
    assert outcome.failures == []
    assert outcome.groups >= 25 and outcome.ulp["binary"] <= 2 and outcome.ulp["graded"] <= 16
    assert outcome.how != FORMULA or name not in ASKED
    assert {"tie", "all right"} <= set(outcome.traps)


def test_recorded_groups_are_what_they_are_said_to_be():
    for name, group in RECORDED.items():
        live = [r for r in group.rewards if np.isfinite(r)]
        if group.kind != "trap":
            assert len(live) == len(group.rewards) >= 2 and np.ptp(live) >= 0.05, name
        assert is_silent(group.rewards) == (name in SILENT), name
        assert group.kind != "binary" or set(live) in ({0.0, 1.0}, {-1.0, 1.0}), name
    assert {"mixed", "silent"} == {("silent" if name in SILENT else "mixed") for name in RECORDED}
    assert len({len(group.rewards) for group in RECORDED.values()}) > 5, "ragged"


def test_every_preset_of_a_trainer_belongs_to_one_and_no_other():
    of_trainers = [preset for trainer in TRAINERS.values() for preset in trainer.presets]
    rules = {"grpo", "dr-grpo", "dapo", "rloo", "maxrl", "logit", "pass@4", "trl-batch"}
    assert sorted(of_trainers) == sorted(set(PRESETS) - rules)


def changed(monkeypatch, name, **change):
    monkeypatch.setattr(suite, "TRAINERS", {**TRAINERS, name: replace(TRAINERS[name], **change)})


def test_a_wrong_rule_fails(monkeypatch):
    changed(monkeypatch, "oat", own=lambda: {"oat": own.group_by_group(lambda r: (r - r.mean()) * 1.000001)})
    failures = conform("oat").failures
    assert len(failures) > 20 and "8 of 16" in " ".join(failures)


def test_a_trap_that_is_mended_or_worse_fails(monkeypatch):
    changed(monkeypatch, "oat", own=lambda: {"oat": own.group_by_group(lambda r: torch.nan_to_num(r - r.mean()))})
    assert any("unscored" in failure for failure in conform("oat").failures)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a: a.flip(0),
        lambda a: a * (1 + 2e-7),
        lambda a: a.double(),
        lambda a: a + 1e-9,
    ],
)
def test_an_adapter_that_loses_order_bits_dtype_or_zeros_fails(monkeypatch, wrong):
    def plug():
        def given(rewards, ids, dial, sessions, weight):
            from groupsigma.trainers.tokens import row_advantages

            return wrong(row_advantages(rewards, ids, dial, sessions=sessions, weight=weight))

        return given

    changed(monkeypatch, "oat", own=lambda: own.restated("oat"), plug=plug)
    assert any("adapter" in failure for failure in conform("oat").failures)


def test_the_shared_body_itself_is_an_adapter_that_holds(monkeypatch):
    def plug():
        from groupsigma.trainers.tokens import row_advantages

        return lambda rewards, ids, dial, sessions, weight: row_advantages(
            rewards, ids, dial, sessions=sessions, weight=weight
        )

    changed(monkeypatch, "tinker", own=lambda: own.restated("tinker"), plug=plug)
    outcome = conform("tinker")
    assert outcome.dials == len(DIALS) and not [f for f in outcome.failures if "adapter" in f]


def test_a_trainer_that_is_required_and_missing_is_an_error(monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'verl'")

    changed(monkeypatch, "verl", own=missing)
    assert conform("verl").how == FORMULA
    with pytest.raises(ArgumentError, match=r"verl 0\.9\.1, got No module named 'verl'"):
        conform("verl", required=True)
    with pytest.raises(ArgumentError, match="openrlhf's own code, got none that runs here"):
        conform("openrlhf", required=True)
    with pytest.raises(ArgumentError, match="one of trl, verl"):
        conform("vrel")


def test_the_runner_says_and_writes_what_it_found(monkeypatch, tmp_path, capsys):
    file = tmp_path / "trainers.json"
    held = {"schema": "groupsigma.trainers/1", "trainers": {"open-instruct": {"how": "own code", "version": "9"}}}
    file.write_text(json.dumps(held))
    monkeypatch.setattr("sys.argv", ["", "oat", "open-instruct", "--write", str(file)])
    assert main() == 0 and "oat 0.2.4, formula only: 70 groups" in capsys.readouterr().out
    found = json.loads(file.read_text())["trainers"]
    assert found["oat"]["how"] == FORMULA and found["open-instruct"]["version"] == "9", "a formula replaces no real run"
    monkeypatch.setattr("sys.argv", ["", "openrlhf", "--required"])
    assert main() == 2 and "hint:" in capsys.readouterr().err
    changed(monkeypatch, "oat", own=lambda: {"oat": own.group_by_group(lambda r: r)})
    monkeypatch.setattr("sys.argv", ["", "oat"])
    assert main() == 1


def test_committed_results_are_whole_and_hold():
    found = json.loads(RESULTS.read_text())
    assert found["schema"] == "groupsigma.trainers/1" and list(found["trainers"]) == list(TRAINERS)
    for name, outcome in found["trainers"].items():
        assert outcome["failures"] == [] and outcome["version"] == TRAINERS[name].version
        assert outcome["how"] == (TRAINERS[name].how if TRAINERS[name].own else FORMULA), "run where it is installed"
        assert bool(outcome["dials"]) == (TRAINERS[name].plug is not None)
    verl = found["trainers"]["verl"]
    assert verl["traps"]["alone"] == {"own": [pytest.approx(1, rel=1e-5)], "ours": [0.0]}
    assert verl["traps"]["unscored"]["own"] == [None] * 4 and max(verl["traps"]["tie"]["own"]) != 0


def test_our_trl_trainer_under_every_dial_on_the_recorded_groups(tmp_path):
    """The adapter as TRL calls it: a step of the real trainer, ragged groups, rewards as recorded."""
    if "trl" not in ASKED:
        pytest.importorskip("trl")
    from tiny_llama import problems, trainer

    names = [name for name, group in RECORDED.items() if len(group.rewards) > 1 and group.sessions is None]
    sizes = [len(RECORDED[name].rewards) for name in names]
    data = problems(len(names), prompt_id=names)

    def recorded(prompts, prompt_id, **_):
        met = {}
        out = []
        for name in prompt_id:
            row = met[name] = met.get(name, -1) + 1
            reward = RECORDED[name].rewards[row]
            out.append(None if reward != reward else reward)
        return out

    order = {}

    def tries(ids):
        order["ids"] = ids
        return [len(RECORDED[name].rewards) for name in ids]

    change = dict(
        max_steps=1, max_completion_length=1, per_device_train_batch_size=sum(sizes), num_generations=sum(sizes)
    )
    made = trainer(tmp_path, recorded, data=data, tries=tries, candidates=len(names), dial=Dial(), change=change)
    made.train()
    for dial in DIALS.values():
        if dial.tilt:
            continue  # some of these rewards are not in [0, 1]
        made.dial = dial
        made.state.global_step = 0
        made._walk.position = 0
        output = made._generate_and_score_completions([{}] * sum(sizes))
        rewards = torch.tensor([r for name in order["ids"] for r in RECORDED[name].rewards])
        ids = [name for name in order["ids"] for _ in RECORDED[name].rewards]
        assert torch.equal(output["advantages"], advantages_by_prompt(rewards, ids, dial)), dial
    assert trainers.TRAINERS["trl"].plug is None, "TRL's trainer is run here, not in the package"
