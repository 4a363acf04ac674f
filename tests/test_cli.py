"""The command line as a user sees it: whole processes, exit codes, streams."""

import json
import os
import signal
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "groupsigma.cli"]


def run(*args, stdin="", env=None, cwd=None):
    full = {**os.environ, "COLUMNS": "100", **(env or {})}
    return subprocess.run(
        [*COMMAND, *args], input=stdin, capture_output=True, text=True, env=full, cwd=cwd, timeout=120
    )


def test_audit_of_bigmath_is_one_screen_with_the_right_numbers():
    done = run("audit", "bigmath")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) < 60 and max(map(len, lines)) <= 100 and "\x1b" not in done.stdout
    for words in ("215,608 problems", "43.1%", "44.3%", "G = 216", "1.76", "2. GRPO spends 17.3%"):
        assert words in done.stdout


def test_json_is_whole_and_versioned():
    data = json.loads(run("audit", "bigmath", "--json", "-G", "16").stdout)
    assert data["schema"] == "groupsigma.audit/1" and data["group_size"] == 16
    assert data["unbiased"]["silent"]["value"] == pytest.approx(0.301947, abs=1e-6)
    assert len(data["findings"]) == 3 and data["metrics"]["silent"] == data["unbiased"]["silent"]["value"]


@pytest.mark.parametrize(
    ("test", "code"),
    [("silent>0.5", 0), ("silent>0.4", 1), ("silent > 40%", 1), ("fidelity<=.9", 1), ("never<0.01", 0)],
)
def test_fail_on(test, code):
    done = run("audit", "bigmath", "--fail-on", test)
    assert done.returncode == code and ("failed: " in done.stderr) == bool(code) and "43.1%" in done.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["audit", "nowhere.csv"], "error: nowhere.csv: needs an existing file or folder"),
        (["audit", "bigmath", "-G", "0"], "error: audit: needs G to be a whole number"),
        (["audit", "bigmath", "-G", "-3"], "error: audit: needs G to be a whole number"),
        (["audit", "bigmath", "-G", "2.5"], "Invalid value for '-G'"),
        (["audit", "bigmath", "--dial", "gpro"], "did you mean 'grpo'"),
        (["audit", "bigmath", "--rate", "p"], "bigmath alone, without columns"),
        (["show", "1,,0"], "rewards like"),
        (["show", "1e308,0"], "can be squared"),
        (["audit", "bigmath", "--fail-on", "silent"], "needs a test like 'silent>0.5'"),
        (["audit", "bigmath", "--fail-on", "slience>1"], "hint: one of silent"),
        (["audit"], "Missing argument"),
        (["show", "9/8"], "needs 0 <= k <= G, got k = 9 of G = 8"),
        (["show", "3/0"], "G to be a whole number of at least 1"),
        (["show", "2.5/8"], "k to be a whole number"),
        (["show", "lots"], "needs 3/8, or rewards like"),
        (["reproduce", "nonsense"], "hint: one of bigmath"),
        (["sing"], "No such command"),
    ],
)
def test_bad_input_is_told_on_stderr_with_exit_2(args, words, tmp_path):
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""
    assert "Traceback" not in done.stderr and os.listdir(tmp_path) == []


def test_show_a_group():
    done = run("show", "3/8", "--dial", "trl")
    for words in ("σ = 0.484123", "+1.2910", "-0.7746", "+1.2074", "0.2344 Δs"):
        assert words in done.stdout
    data = json.loads(run("show", "3/8", "--json").stdout)
    assert data["sigma"] == pytest.approx(0.484123, abs=1e-6) and data["dials"]["grpo"]["gain"] == pytest.approx(
        data["sigma"]
    )


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("0/8", "silent group"),
        ("1/1", "silent group"),
        ("1,0,0.5", "3 rewards: μ = 0.5"),
        ("true,false,none", "1 unscorable"),
        ("0.7,0.7", "a silent group"),
        ("1,0,0", "1 of 3"),
    ],
)
def test_show_other_groups(group, words):
    done = run("show", group)
    assert done.returncode == 0 and words in done.stdout


def test_dials_and_reproduce():
    assert "A = (R − μ) / (s + 0.0001)" in run("dials").stdout
    assert json.loads(run("dials", "--json").stdout)["dials"]["nemo-rl"]["dial"]["spread"] == "others"
    done = run("reproduce", "group-size/exact", "bigmath/mass", "--check")
    assert done.returncode == 0 and "24.705" in done.stdout and "2 holds" in done.stdout
    data = json.loads(run("reproduce", "silent", "--json").stdout)
    assert {c["verdict"] for c in data["claims"]} == {"holds", "filled in", "misworded", "ours"}


def test_a_table_from_standard_input():
    done = run("audit", "-", "--json", stdin="id,k,n\na,4,8\nb,0,8\n")
    assert json.loads(done.stdout)["problems"] == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["audit", "t.csv", "--answers", "0"], "a number of at least 1"),
        (["audit", "t.csv", "--rate", "k", "--correct", "k"], "one of --reward, --rate and --correct"),
        (["show", "3/99999999999"], "at most 100,000"),
        (["audit", "bigmath", "-G", "100000000000"], "at most 1,000,000"),
        (["show", "3/8", "--dial", "pass@²"], "a known name"),
    ],
)
def test_more_bad_input(args, words, tmp_path):
    (tmp_path / "t.csv").write_text("id,k,n\na,1,4\n")
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_an_odd_width_is_the_usual_one():
    assert run("show", "3/8", env={"COLUMNS": "wide"}).returncode == 0


def test_columns_by_option(tmp_path):
    (tmp_path / "t.csv").write_text("who,points\na,0.2\na,0.9\n")
    done = run(
        "audit",
        "t.csv",
        "--prompt-id",
        "who",
        "--reward",
        "points",
        "--right-from",
        "0.5",
        "-G",
        "2",
        "--json",
        cwd=tmp_path,
    )
    assert json.loads(done.stdout)["mean_reward"] == 0.5
    assert "graded" in run("audit", "t.csv", "--prompt-id", "who", "--reward", "points", cwd=tmp_path).stdout


def test_help_names_every_command_and_version_is_printed():
    done = run("--help")
    assert all(verb in done.stdout for verb in ("show", "audit", "plan", "dials", "reproduce"))
    assert run("--version").stdout.startswith("groupsigma ")


@pytest.mark.skipif(os.name == "nt", reason="pipes of a POSIX shell")
def test_a_reader_that_leaves_early_is_no_failed_test():
    """As every other tool under pipefail: ended by SIGPIPE (141), not the 1 of a failed --check."""
    command = f"set -o pipefail; '{sys.executable}' -m groupsigma.cli dials --json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.strip() == "{" and done.stderr == "" and done.returncode in (0, 141)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "audit", "bigmath"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (
        done.returncode == 2 and done.stderr.startswith("error: writing needs room") and "Traceback" not in done.stderr
    )


def test_letters_that_an_encoding_lacks_are_replaced():
    done = run("show", "3/8", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and "0.4841" in done.stdout


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_no_number_is_cut_at_any_width(width):
    for args in (("audit", "bigmath"), ("show", "3/8", "--dial", "nemo-rl"), ("show", "1,0,.5,.2,.1")):
        assert "…" not in run(*args, env={"COLUMNS": width}).stdout


def test_what_never_ends_fails_a_test_of_its_size(tmp_path):
    (tmp_path / "t.csv").write_text("id,k,n\na,8,8\nb,0,8\n")
    done = run("audit", "t.csv", "--fail-on", "draws_per_kept_group>5", "--json", cwd=tmp_path)
    assert done.returncode == 1 and json.loads(done.stdout)["draws_per_kept_group"] is None


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_ends_without_a_traceback(tmp_path):
    fifo = tmp_path / "endless.csv"
    os.mkfifo(fifo)
    process = subprocess.Popen([*COMMAND, "audit", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.stdin.write("id,k,n\n")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in err
