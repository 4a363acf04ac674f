"""`groupsigma compare` as a user sees it: screen, JSON, exit codes, errors in one line."""

import json
import os

import pytest

from test_cli import run

A = "id,k,n\n" + "".join(f"{i},{k},4\n" for i, k in enumerate([0, 0, 0, 1, 2, 3, 4, 4] * 5))
B = "id,k,n\n" + "".join(f"{i},{k},4\n" for i, k in enumerate([1, 2, 0, 1, 2, 3, 4, 2] * 5))
GRADED = "id,reward\na,0.2\na,0.9\nb,0.4\n"

WHOLE = """\
A: a.csv
   as logged, GRPO; 40 prompts, 40 groups, 160 answers
B: b.csv
   as logged, GRPO; 40 prompts, 40 groups, 160 answers
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("a.csv", A), ("b.csv", B), ("graded.csv", GRADED)):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_bigmath_under_two_settings_is_one_screen_and_the_same_twice():
    args = ("compare", "bigmath", "--a", "G=8", "--b", "G=16 dial=dr-grpo keep=mixed solved=.1-.9")
    done = run(*args)
    assert done.returncode == 0 and done.stderr == "" and run(*args).stdout == done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) < 60 and max(map(len, lines)) <= 100 and "\x1b" not in done.stdout and "…" not in done.stdout
    for words in ("43.1%", "Dr. GRPO, silent groups replaced, solved 0.1 to 0.9", "one log under two settings", "real"):
        assert words in done.stdout
    assert max(map(len, run(*args, env={"COLUMNS": "60"}).stdout.splitlines())) <= 80


def test_two_files_whole_output(folder):
    assert run("compare", "a.csv", "b.csv", "--cost-per-1k-rollouts", "2", cwd=folder).stdout == WHOLE


def test_json_has_all_and_more(folder):
    data = json.loads(run("compare", "a.csv", "b.csv", "--json", "-G", "2", "--dial", "trl", cwd=folder).stdout)
    assert data["schema"] == "groupsigma.compare/1" and data["paired"] and data["common"] == 40
    assert data["a"]["setting"]["group_size"] == 2 and data["b"]["setting"]["dial_name"] == "trl"
    silent = next(d for d in data["differences"] if d["name"] == "silent")
    assert silent["difference"] == data["metrics"]["silent_difference"] < 0
    assert silent["low"] < silent["alone_low"] < silent["difference"] < silent["alone_high"] < silent["high"]
    keys = "name unit a b difference low high alone_low alone_high real least_seen"
    assert list(silent) == keys.split() and len(data["findings"]) == 3


@pytest.mark.parametrize(
    ("test", "code"), [("silent_difference<-.2", 1), ("silent_difference > 5%", 0), ("silent_real>=1", 1), ("silent_b>.5", 0)]
)
def test_fail_on(folder, test, code):
    done = run("compare", "a.csv", "b.csv", "--fail-on", test, cwd=folder)
    assert done.returncode == code and ("failed: " in done.stderr) == bool(code) and done.stdout.startswith("A: a.csv")


def test_only_the_end_of_a_run_and_its_quarters(folder):
    for name, k in (("early", 1), ("late", 4)):
        rows = "".join(f"{i % 10},{k if i >= 40 else 2},4,{i // 10}\n" for i in range(80))
        (folder / f"{name}.csv").write_text("id,k,n,step\n" + rows)
    done = run("compare", "early.csv", "late.csv", cwd=folder)
    assert "silent, quarter of the run" in done.stdout
    data = json.loads(run("compare", "early.csv", "late.csv", "--last", ".5", "--json", cwd=folder).stdout)
    assert data["metrics"]["silent_difference"] == 1 and data["a"]["problems"] == 40


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["bigmath"], "hint: --a G=8 --b G=16"),
        (["a.csv", "b.csv", "a.csv"], "one or two sources, got 3 of them"),
        (["a.csv", "nowhere.csv"], "error: nowhere.csv: needs an existing file or folder"),
        (["a.csv", "b.csv", "--a", "H=8"], "--a: needs a setting like 'G=8 dial=dr-grpo keep=mixed solved=.1-.9', got 'H=8'"),
        (["a.csv", "b.csv", "--b", "G=8 G=4"], "got 'G=4'"),
        (["a.csv", "b.csv", "--b", "G=2.5"], "G as a whole number, got '2.5'"),
        (["a.csv", "b.csv", "--b", "G=8 dial=gpro"], "did you mean 'grpo'"),
        (["a.csv", "b.csv", "--b", "G=8 keep=some"], "keep in ('all', 'mixed')"),
        (["a.csv", "b.csv", "--b", "G=8 solved=.1"], "solved as low-high, like .1-.9"),
        (["a.csv", "b.csv", "--b", "solved=.1-.9"], "a group size beside solved"),
        (["a.csv", "b.csv", "--last", ".5"], "hint: name its column with --step"),
        (["a.csv", "b.csv", "--last", "2"], "share strictly between 0 and 1"),
        (["a.csv", "graded.csv", "-G", "4"], "right-or-wrong rewards for G = 4"),
        (["a.csv", "b.csv", "--fail-on", "slience>1"], "a number this comparison has, got 'slience'"),
        (["a.csv", "b.csv", "--resamples", "3"], "resamples to be a whole number of at least 100"),
        (["-", "-", "--a", "G=8"], "standard input once"),
    ],
)  # fmt: skip
def test_bad_input_is_told_on_stderr_with_exit_2(folder, args, words):
    before = sorted(os.listdir(folder))
    done = run("compare", *args, cwd=folder)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""
    assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr and sorted(os.listdir(folder)) == before


def test_keep_names_the_rule_it_makes(folder):
    data = json.loads(run("compare", "a.csv", "--a", "G=2", "--b", "G=2 keep=mixed", "--json", cwd=folder).stdout)
    assert data["b"]["text"] == "G = 2, DAPO" and data["metrics"]["silent_kept_b"] == 0
    data = json.loads(run("compare", "a.csv", "--a", "G=2 dial=dapo keep=all", "--b", "G=3", "--json", cwd=folder).stdout)
    assert data["a"]["text"] == "G = 2, GRPO"
