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

groups                        A      B  B − A, B / A  95%, all together
───────────────────────────────────────────────────────────────────────────────────────
silent groups             62.5%  25.0%         -37.5     -59.7 to -15.3            real
  all wrong               37.5%  12.5%         -25.0      -45.0 to -5.0            real
  all right               25.0%  12.5%         -12.5      -27.7 to +2.7  not told apart
mixed per 1,000 rollouts   93.8  187.5         ×2.00     ×1.16 to ×3.46            real
answers per mixed group   10.67   5.33         ×0.50     ×0.29 to ×0.86            real
cost of 1,000 mixed       21.33  10.67         ×0.50     ×0.29 to ×0.86            real
mean σ                    0.171  0.350        +0.179   +0.073 to +0.285            real
fidelity                  61.0%  79.4%         +18.5      +3.6 to +33.4            real

share of the update, solved      A      B  B − A  95%, all together
───────────────────────────────────────────────────────────────────────────────────
.1-.4                        31.7%  30.9%   -0.8     -25.5 to +24.0  not told apart
.4-.6                        36.6%  53.6%  +17.0     -10.0 to +44.0  not told apart
.6-.9                        31.7%  15.5%  -16.2      -36.7 to +4.3  not told apart

1. B has 37.5 points fewer silent groups than A
   A 62.5% (37.5% all wrong, 25.0% all right); B 25.0% (12.5% all wrong, 12.5% all right); -37.5
   points [-59.7, -15.3]
   → all wrong -25.0 points [-45.0, -5.0]
2. A mixed group is cheaper in B: 10.67 answers in A, 5.33 in B
   B / A = ×0.50 [×0.29, ×0.86]
   → 1,000 mixed groups cost 21.33 in A, 10.67 in B
3. Where the update goes is not told apart
   A 31.7%, B 15.5% of it on problems solved .6-.9; -16.2 points [-36.7, +4.3]
   → of GRPO's large-group update A realises 61.0%, B 79.4%; +18.5 points [+3.6, +33.4]

note: paired: the same 40 prompts on both sides, resampled together
note: 95% intervals hold for all differences together (max-t, 1,000 resamples of prompts); real: 0,
or ×1, is outside; shares differ in points
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
    ("test", "code"),
    [("silent_difference<-.2", 1), ("silent_difference > 5%", 0), ("silent_real>=1", 1), ("silent_b>.5", 0)],
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
        (["a.csv", "b.csv", "--a", "H=8"], "--a: needs a setting like 'G=8 dial=dr-grpo keep=mixed solved"),
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
    data = json.loads(
        run("compare", "a.csv", "--a", "G=2 dial=dapo keep=all", "--b", "G=3", "--json", cwd=folder).stdout
    )
    assert data["a"]["text"] == "G = 2, GRPO"
