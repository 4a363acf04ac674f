"""`reproduce allocation` on made-up results: what it says, draws, refuses and keeps."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from groupsigma.errors import SourceError
from groupsigma.experiments import allocation as a
from groupsigma.experiments.arena import FAMILIES
from groupsigma.experiments.pictures import allocation as chart
from groupsigma.experiments.rules import RULES
from groupsigma.experiments.run import run_jobs
from groupsigma.experiments.static import contenders
from groupsigma.figures import save

COMMAND = [sys.executable, "-m", "groupsigma.cli", "reproduce"]
MIXED = {"plan (coverage), one by one": 400.0, "dual bound": 404.0, "GRPO G=8": 100.0}
ANSWERS = {"plan, in rounds": 10_000.0, "oracle plan": 8_000.0, "DAPO": 45_000.0, "top-k E[v]": 15_000.0}


def made(mixed=MIXED, answers=ANSWERS, quick=False, families=None, draws=4):
    """Results as `allocation` has them: 200 mixed groups and 50,000 answers where nothing else is said."""
    wobble = np.linspace(-1, 1, draws)
    names = [*contenders(), "dual bound"]
    static = []
    for past in (8,) if quick else (0, 4, 8, 16):
        rules = {n: {"mixed": list(mixed.get(n, 200.0) + wobble), "pairs": [80.0] * draws} for n in names}
        rules["dual bound"]["pairs"] = [None] * draws
        static.append({"past": past, "draws": draws, "rules": rules})
    dynamic = []
    for family in families or FAMILIES.values():
        rules = {}
        for i, (name, rule) in enumerate(RULES.items()):
            there = answers.get(name, 50_000.0 + i) * (1 + 0.01 * wobble)
            rules[name] = {
                "knobs": rule.knobs[-1], "weight": rule.weights[-1], "step_size": 4.0,
                "answers": [float(x) if x < family.budget else None for x in there], "area": [0.7] * draws,
            }  # fmt: skip
        dynamic.append(
            {"family": family.name, "what": vars(family), "target": 0.9, "budget": family.budget, "rules": rules}
        )
    return {"schema": a.SCHEMA, "quick": quick, "static": static, "dynamic": dynamic}


def kept(folder, found):
    folder.mkdir(exist_ok=True)
    (folder / ("results-quick.json" if found["quick"] else "results.json")).write_text(json.dumps(found))
    return folder


def run(*args, cwd=None):
    env = {**os.environ, "COLUMNS": "100"}
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, env=env, cwd=cwd, timeout=120)


def test_all_targets_reached(tmp_path):
    done = run("allocation", "--runs", str(kept(tmp_path / "r", made())), "--check")
    assert done.returncode == 0 and "failed" not in done.stderr and "finished ones are taken up" in done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100 and "…" not in done.stdout
    assert [line.split()[0] for line in lines[2:10] if line[0] != " "] == ["reached"] * 8
    for family in FAMILIES:
        assert any(line.startswith(f"{family}: ") for line in lines), family
    for words in ("ρ = 0.1", "τ = 5 in", "no score noise", "8 skills", "target 0.9, 4 draws", "top-k E[v]"):
        assert words in done.stdout, words


def test_a_missed_target_is_named_and_ends_with_1(tmp_path):
    runs = kept(tmp_path / "r", made(answers={**ANSWERS, "DAPO": 20_000.0}))
    done = run("allocation", "--runs", str(runs), "--check")
    assert (
        done.returncode == 1 and "failed: noisy: answers of DAPO over the plan's = 2, wanted at least 4" in done.stderr
    )
    assert "static" not in done.stderr.split("failed", 1)[1] and "not reached  2" in done.stdout
    assert run("allocation", "--runs", str(runs)).returncode == 0


def test_numbers_by_hand(tmp_path):
    found = made()
    rows = {row[0]: row[1:] for row in a.static_rows(found["static"][2])}
    mixed, error, pairs, ratio = rows["plan (coverage), one by one"]
    spread = np.std(np.linspace(-1, 1, 4), ddof=1) / 2
    assert (mixed, error, pairs, ratio) == pytest.approx((400, spread, 80, 4))
    assert len([name for name in rows if name.startswith("DAPO")]) == 1, "a rule is shown at its best knobs"
    first, *_ = a.dynamic_rows(found["dynamic"][0])
    assert first[0] == "oracle plan" and first[3][0] == pytest.approx(0.8) and first[4] == pytest.approx(1)
    table = found["dynamic"][0]
    u = np.median(table["rules"]["GRPO G=8"]["answers"])
    wanted = (1 - 10_000 / u) / (1 - 8_000 / u)
    assert a.saving(table["rules"]["plan, in rounds"], table["rules"], table["budget"]) == pytest.approx(wanted)


def test_never_is_said_and_counts_as_twice_the_budget(tmp_path):
    found = made(answers={**ANSWERS, "GVM": 1e6, "SPEED": 153_600.0})
    rows = {row[0]: row for row in a.dynamic_rows(found["dynamic"][0])}
    assert rows["GVM"][2] == np.inf and rows["GVM"][3][0] == pytest.approx(2 * 153_600 / 10_000, rel=1e-3)
    assert rows["SPEED"][2] == np.inf, "half of the draws are not enough for a median"
    text = run("allocation", "--runs", str(kept(tmp_path / "r", found))).stdout
    noisy = text.split("noisy: 1,500")[1].split("quiet: 1,500")[0]
    (line,) = (line for line in noisy.splitlines() if line.startswith("GVM"))
    assert "never" in line and "> 30.7" in line


def test_json_has_the_results_and_the_verdicts(tmp_path):
    found = made()
    data = json.loads(run("allocation", "--runs", str(kept(tmp_path / "r", found)), "--json").stdout)
    judged = data.pop("verdicts")
    assert data == json.loads(json.dumps(found)) and len(judged) == 8 and all(v["reached"] for v in judged)


def test_the_picture_shows_the_numbers(tmp_path):
    runs = kept(tmp_path / "r", made(answers={**ANSWERS, "GVM": 1e6}))
    done = run("allocation", "--runs", str(runs), "--figures", str(tmp_path / "f"), "--json")
    assert done.returncode == 0 and sorted(os.listdir(tmp_path / "f")) == ["allocation.png", "allocation.svg"]
    text = (tmp_path / "f" / "allocation.svg").read_text()
    for words in (
        "Reinforce-Ada +",
        "top-k E[v]",
        ">404<",
        "mixed groups per 1,000 answers",
        "log scale",
        "4 draws",
        "> 30.7",
    ):
        assert words.replace("> 3", "&gt; 3") in text, words
    assert "NaN" not in text and "quick" not in text


def test_the_quick_picture_says_so(tmp_path):
    found = made(quick=True, families=[FAMILIES["noisy"]])
    assert "quick look" in save(chart(found)["allocation"], tmp_path / "a.svg").read_text()


def test_quick_and_full_results_do_not_take_each_other_s_place(tmp_path):
    full, quick = made(), made(quick=True, families=[FAMILIES["noisy"]])
    kept(kept(tmp_path / "r", full), quick)
    assert a.allocation(tmp_path / "r") == json.loads(json.dumps(full))
    assert a.allocation(tmp_path / "r", quick=True)["quick"] is True


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"schema": "other/1", "quick": false}'])
def test_another_s_file_is_refused_and_left(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(SourceError, match=r"needs results of schema groupsigma\.allocation/1"):
        a.allocation(tmp_path)
    assert (tmp_path / "results.json").read_text() == text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["allocation", "bigmath"], "allocation by itself"),
        (["bigmath", "--quick"], "--quick: needs one of the experiments allocation, lm and lm-allocation"),
        (["--runs", "x"], "--runs: needs one of the experiments allocation, lm and lm-allocation"),
        (["allocations"], "silent, allocation"),
    ],
)
def test_what_does_not_go_together(args, words, tmp_path):
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("everyone", [True, False], ids=["as a terminal sends it", "to the parent alone"])
def test_an_interrupt_keeps_what_is_finished(tmp_path, everyone):
    process = subprocess.Popen(
        [*COMMAND, "allocation"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    runs = tmp_path / "groupsigma-allocation" / "runs.jsonl"
    try:
        end = time.monotonic() + 90
        while not (runs.is_file() and runs.read_text().count("\n")) and time.monotonic() < end:
            time.sleep(0.1)
        if everyone:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in err
    assert err.splitlines()[-1] == "finished runs are kept in groupsigma-allocation; the same command goes on"
    with pytest.raises(ProcessLookupError):
        # No worker is left behind.
        for _ in range(50):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
    done = [json.loads(line) for line in runs.read_text().splitlines()]
    assert done and all(job[0] == "static" for job, _ in done)


def doubled(job):
    return 2 * job[1]


def test_progress_is_told_once_a_stage_where_there_is_no_terminal(tmp_path, capsys):
    jobs, path = [("x", i) for i in range(3)], tmp_path / "runs.jsonl"
    run_jobs(doubled, jobs[:2], path, workers=1, label="first")
    assert capsys.readouterr().err == "first: 2 runs\n"
    run_jobs(doubled, jobs[:2], path, workers=1, label="again")
    run_jobs(doubled, jobs, path, workers=1)
    assert capsys.readouterr().err == ""
