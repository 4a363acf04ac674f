"""`groupsigma plan` as a user sees it: screen, JSON, files written whole or not at all, errors in one line."""

import csv
import json
import os
import re
import stat

import pytest

from groupsigma import ArgumentError, Beliefs, Groups, fidelity, load, plan
from groupsigma.output import as_csv, as_jsonl, as_lines, check_targets, write_whole
from groupsigma.plan_screen import plan_screen
from test_cli import run

TABLE = 'id,k,n\n"a, easy",8,8\neven,4,8\nodd,3,8\nsome,2,8\nrare,1,8\nnever,0,8\n'
GRADED = "id,reward\na,0.2\na,0.9\nb,0.4\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "graded.csv").write_text(GRADED)
    return tmp_path


def left(folder):
    return sorted(set(os.listdir(folder)) - {"t.csv", "graded.csv"})


def test_bigmath_is_one_screen_and_the_same_twice():
    done = run("plan", "bigmath", "--budget", "1000000")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) < 60 and max(map(len, lines)) <= 100 and "\x1b" not in done.stdout and "…" not in done.stdout
    for words in ("215,608 problems", "goal signal", "not learning", "uniform G = 8", "promote", "dropped is for now"):
        assert words in done.stdout
    assert run("plan", "bigmath", "--budget", "1M").stdout == done.stdout
    narrow = run("plan", "bigmath", "--budget", "1_000_000", env={"COLUMNS": "60"}).stdout.splitlines()
    assert max(map(len, narrow)) <= 80


def test_an_id_in_brackets_is_shown_as_it_is(tmp_path):
    (tmp_path / "t.csv").write_text("id,k,n\n[/INST] x,1,4\n[b] y,2,4\n")
    done = run("plan", "t.csv", "--budget", "20", cwd=tmp_path)
    assert done.returncode == 0 and "[/INST] x" in done.stdout and "[b] y" in done.stdout


def test_the_screen_says_what_the_plan_says():
    found = plan(load("bigmath"), budget=1e6)
    shown = run("plan", "bigmath", "--budget", "1e6").stdout
    numbers = {line.rsplit(None, 3)[0].strip(): line.split()[-3:-1] for line in shown.splitlines() if "  " in line}
    for name, key in (("groups", "problems"), ("mixed groups", "mixed"), ("effective contrast pairs", "contrast")):
        assert numbers[name] == [f"{getattr(t, key):,.0f}" for t in (found.uniform, found.planned)]
    dropped = int(found.count[found.tries == 0].sum())
    promoted = int(found.count[found.tries > 8].sum())
    assert f"none: {dropped:,} (" in shown and f"more than 8 tries: {promoted:,} problems" in shown
    assert f"bought {found.price:.3g}" in shown and f"value {found.value:,.0f}:" in shown


@pytest.mark.parametrize("goal", ["signal", "coverage", "contrast", "gain", "variance", "fidelity"])
def test_json_totals_are_the_sums_over_its_problems(goal, folder):
    done = run("plan", "t.csv", "--budget", "60", "--goal", goal, "--weight", "dial", "--json", cwd=folder)
    data = json.loads(done.stdout)
    assert data["schema"] == "groupsigma.plan/1" and data["goal"] == goal and len(data["problems"]) == 6
    rows, total = [r for r in data["problems"] if r["tries"]], data["planned"]
    assert total["problems"] == sum(r["count"] for r in rows)
    assert total["rollouts"] == total["cost"] == sum(r["count"] * r["tries"] for r in rows) <= 60
    silent = sum(r["count"] * r["tries"] * r["silent"] for r in rows)
    assert total["silent_rollouts"] == pytest.approx(silent, rel=1e-9)
    assert total["mixed"] == pytest.approx(sum(r["count"] * (1 - r["silent"]) for r in rows), rel=1e-9)
    assert sum(r["weight"] for r in rows) == pytest.approx(len(rows))
    assert data["uniform"]["group_size"] == 8 and 0 <= data["certificate"]["gap"] < 0.05


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ("coverage", "that is mixed groups, not learning"),
        ("variance", "variance of the update, not learning"),
        ("fidelity", "fidelity is for keeping finite groups close"),
        ("gain", "that is the size of the update, not learning"),
    ],
)
def test_each_goal_says_what_it_is_not(goal, words):
    done = run("plan", "bigmath", "--budget", "1e6", "--goal", goal, "--top", "0")
    assert words in " ".join(done.stdout.split()) and "90% interval" not in done.stdout
    assert ("dropped is for now" in done.stdout) == (goal in ("coverage", "gain"))


def test_files_hold_the_plan_and_can_be_read_again(folder):
    names = ["--csv", "p.csv", "--jsonl", "p.jsonl", "--drop", "d.txt", "--promote", "u.txt"]
    done = run("plan", "t.csv", "--budget", "40", "-G", "12", *names, cwd=folder)
    assert done.returncode == 0 and "90% interval" in done.stdout
    assert done.stderr.splitlines() == [f"wrote {name}" for name in names[1::2]]
    rows = plan(load(folder / "t.csv"), budget=40, reference_size=12).rows()
    with (folder / "p.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [{key: type(row[key])(text[key]) for key in row} for row, text in zip(rows, table, strict=True)] == rows
    assert list(map(json.loads, (folder / "p.jsonl").read_text().splitlines())) == rows
    dropped = [row["prompt_id"] for row in rows if not row["tries"]]
    assert (folder / "d.txt").read_text().splitlines() == dropped and "a, easy" in dropped
    promoted = [row["prompt_id"] for row in rows if row["tries"] > 12]
    assert (folder / "u.txt").read_text().splitlines() == promoted and 0 < len(promoted) < 6 - len(dropped)
    assert left(folder) == ["d.txt", "p.csv", "p.jsonl", "u.txt"]
    again = json.loads(run("audit", "p.csv", "--json", cwd=folder).stdout)
    assert again["problems"] == 6


def test_a_dash_is_standard_output_alone(folder):
    done = run("plan", "t.csv", "--budget", "40", "--drop", "-", cwd=folder, env={"PYTHONIOENCODING": "ascii"})
    assert done.stdout == "a, easy\nrare\nnever\n" and done.stderr == ""
    assert run("plan", "-", "--budget", "40", "--drop", "-", stdin=TABLE).stdout == done.stdout


def test_options_reach_the_plan(folder):
    few = json.loads(run("plan", "t.csv", "--budget", "20", "--max-tries", "5", "-G", "4", "--json", cwd=folder).stdout)
    assert max(r["tries"] for r in few["problems"]) == 5 and few["uniform"]["group_size"] == 4
    args = ["--reward", "reward", "--right-from", "0.5", "--dial", "dr-grpo", "--saturation", "1", "--min-tries", "6"]
    data = json.loads(run("plan", "graded.csv", "--budget", "12", *args, "--json", cwd=folder).stdout)
    assert data["dial"] == "R − μ" and data["saturation"] == 1
    assert all(r["tries"] == 0 or r["tries"] >= 6 for r in data["problems"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["graded.csv", "--budget", "10"], "hint: say what counts as right"),
        (["t.csv", "--budget", "0"], "needs a budget > 0"),
        (["t.csv", "--budget", "-5"], "needs a budget > 0"),
        (["t.csv", "--budget", "nan"], "needs budget to be finite"),
        (["t.csv", "--budget", "1"], "a budget of at least 2"),
        (["t.csv", "--budget", "5", "--goal", "variance"], "2 tries of every problem"),
        (["t.csv", "--budget", "20k"], "a budget of at most 192"),
        (["t.csv", "--budget", "lots"], "--budget: needs a number of answers"),
        (["t.csv", "--budget", "1e6.5"], "--budget: needs a number of answers"),
        (["t.csv"], "Missing option '--budget'"),
        (["t.csv", "--budget", "9", "--goal", "sigal"], "hint: one of signal, coverage"),
        (["t.csv", "--budget", "9", "--weight", "heavy"], "hint: one of equal"),
        (["t.csv", "--budget", "9", "--dial", "gpro"], "did you mean 'grpo'"),
        (["t.csv", "--budget", "9", "--saturation", "nan"], "a finite saturation >= 0"),
        (["t.csv", "--budget", "9", "--min-tries", "9", "--max-tries", "4"], "max_tries of at least 9"),
        (["t.csv", "--budget", "9", "-G", "1"], "needs G to be a whole number of at least 2"),
        (["t.csv", "--budget", "9", "--top", "-1"], "Invalid value for '--top'"),
        (["nowhere.csv", "--budget", "9"], "nowhere.csv: needs an existing file"),
        (["t.csv", "--budget", "9", "--csv", "no/p.csv"], "--csv: needs a file in an existing folder"),
        (["t.csv", "--budget", "9", "--csv", "t.csv"], "a file other than those read"),
        (["t.csv", "--budget", "9", "--csv", "p", "--jsonl", "./p"], "a place of its own, got ./p, where --csv goes"),
        (["t.csv", "--budget", "9", "--csv", "-", "--json"], "standard output, where --json goes"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(args, words, folder):
    done = run("plan", *args, *([] if "--csv" in args else ["--csv", "p.csv", "--drop", "d.txt"]), cwd=folder)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""
    assert "Traceback" not in done.stderr and left(folder) == [] and (folder / "t.csv").read_text() == TABLE


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_when_one_file_cannot_be_written_none_is(folder):
    (folder / "p.csv").write_text("older")
    done = run("plan", "t.csv", "--budget", "40", "--csv", "p.csv", "--drop", "/dev/full", cwd=folder)
    assert done.returncode == 2 and done.stderr.startswith("error: --drop: needs a file that can be written")
    assert left(folder) == ["p.csv"] and (folder / "p.csv").read_text() == "older" and done.stdout == ""


def test_a_name_too_long_leaves_the_others_alone(tmp_path):
    with pytest.raises(ArgumentError, match="--drop: needs a file that can be written"):
        write_whole({"--csv": (f"{tmp_path}/p.csv", "x"), "--drop": (f"{tmp_path}/{'d' * 300}", "y")})
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")
def test_a_file_replaced_keeps_its_mode_and_a_link_stays_one(tmp_path):
    (tmp_path / "real.csv").write_text("older")
    (tmp_path / "real.csv").chmod(0o600)
    os.link(tmp_path / "real.csv", tmp_path / "reader.csv")
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert write_whole({"--csv": (f"{tmp_path}/link.csv", "newer")}) == [f"{tmp_path}/link.csv"]
    assert (tmp_path / "reader.csv").read_text() == "older"  # who has the file open reads it to its end
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "real.csv").read_text() == "newer"
    assert stat.S_IMODE((tmp_path / "real.csv").stat().st_mode) == 0o600


def test_ids_of_several_lines_are_refused_where_a_line_is_an_id(tmp_path):
    (tmp_path / "t.csv").write_text('id,k,n\n"two\nlines",0,8\neven,4,8\n')
    done = run("plan", "t.csv", "--budget", "8", "--drop", "d.txt", "--csv", "p.csv", cwd=tmp_path)
    assert done.returncode == 2 and "prompt ids of one line" in done.stderr and os.listdir(tmp_path) == ["t.csv"]
    shown = run("plan", "t.csv", "--budget", "8", "--csv", "p.csv", cwd=tmp_path)
    assert "two lines" in shown.stdout
    with (tmp_path / "p.csv").open(newline="") as file:
        assert [row["prompt_id"] for row in csv.DictReader(file)] == ["two\nlines", "even"]


def test_rows_divided_at_the_margin_are_dropped_only_when_nothing_is_left(tmp_path):
    (tmp_path / "t.csv").write_text("id,k,n,problems\nhalf,4,8,10\nnever,0,8,10\n")
    args = ["plan", "t.csv", "--budget", "40", "--goal", "contrast"]
    data = json.loads(run(*args, "--json", cwd=tmp_path).stdout)
    held = {(r["prompt_id"], bool(r["tries"])) for r in data["problems"]}
    assert {("half", True), ("half", False)} <= held and sum(r["count"] for r in data["problems"]) == 20
    assert run(*args, "--drop", "-", cwd=tmp_path).stdout == "never\n"
    assert "budget 40 answers" in run(*args, cwd=tmp_path).stdout


def test_texts_of_files():
    rows = [{"prompt_id": 'a"b', "tries": 2, "weight": 0.1 + 0.2}]
    assert as_csv(rows) == 'prompt_id,tries,weight\n"a""b",2,0.30000000000000004\n'
    assert json.loads(as_jsonl(rows)) == rows[0]
    assert as_lines("--drop", ["b", "a", "b", 1]) == "b\na\n1\n"
    check_targets({"--csv": "-", "--drop": "d"}, {}, ["-"])


def screen(found, top=12):
    from rich.console import Console, Group

    console = Console(width=96, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(Group(*plan_screen(found, top, "grpo")))
    return capture.get()


def test_the_screen_in_units_of_cost_and_cut_to_a_few_rows():
    groups = Groups([f"id {i}" for i in range(30)], [i % 9 for i in range(30)], [8] * 30)
    text = screen(plan(groups, budget=200, cost=[2.0] * 30))
    assert "200 units of cost" in text and "the last unit of cost bought" in text and "\ncost " in text
    assert re.search(r"^9 of \d+ rows tried, then 3 of \d+ dropped *$", text, re.M) and len(
        screen(plan(groups, budget=200), top=1)
    ) < len(text)


def test_fidelity_is_that_of_the_problem_served_worst():
    """By the rates: one problem is out of reach at its cap of 32 tries, however far the other is served."""
    rates = Beliefs.about(["any"]).p[[5, 24]]
    found = plan(Beliefs.known(["out", "even"], rates), budget=60, goal="fidelity")
    assert found.tries[0] == 32
    assert f"at least {fidelity(rates[0], 32):.3f} of the dial's" in " ".join(screen(found).split())


def test_long_and_unprintable_ids_stay_on_one_line():
    text = screen(plan(Beliefs.about(["x" * 200, "tab\tand\x1b[31m"], rate=[0.5, 0.4]), budget=20))
    assert "x" * 31 + "…" in text and "x" * 32 not in text and "tab and [31m" in text and "\x1b" not in text
