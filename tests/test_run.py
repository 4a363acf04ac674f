"""Runs are done once, resumed, and never lost."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from groupsigma.errors import SourceError
from groupsigma.experiments.run import run_jobs

CALLS = []


def double(job):
    CALLS.append(job)
    return 2 * job[1]


def slow(job):
    time.sleep(0.05)
    return [job[0], os.getpid()]


def test_finished_jobs_are_not_done_again(tmp_path):
    path = tmp_path / "deep" / "runs.jsonl"
    CALLS.clear()
    assert run_jobs(double, [("a", 1), ("a", 2), ("a", 1)], path, workers=1) == {("a", 1): 2, ("a", 2): 4}
    assert run_jobs(double, [("a", 2), ("a", 3)], path, workers=1) == {("a", 2): 4, ("a", 3): 6}
    assert CALLS == [("a", 1), ("a", 2), ("a", 3)]


def test_a_half_last_line_is_cut_off_and_done_again(tmp_path):
    path = tmp_path / "runs.jsonl"
    run_jobs(double, [("a", 1), ("a", 2)], path, workers=1)
    path.write_text(path.read_text()[:-4])
    assert run_jobs(double, [("a", 1), ("a", 2)], path, workers=1) == {("a", 1): 2, ("a", 2): 4}
    assert [json.loads(line) for line in path.read_text().splitlines()] == [[["a", 1], 2], [["a", 2], 4]]


def test_a_broken_line_in_the_middle_is_said_with_its_number(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text('[["a", 1], 2]\nnonsense\n[["a", 2], 4]\n')
    with pytest.raises(SourceError, match="line 2"):
        run_jobs(double, [("a", 3)], path, workers=1)


def test_workers_do_what_one_does(tmp_path):
    found = run_jobs(slow, [(i,) for i in range(4)], tmp_path / "runs.jsonl", workers=2)
    assert sorted(r[0] for r in found.values()) == [0, 1, 2, 3]
    assert os.getpid() not in {r[1] for r in found.values()}
    assert "OPENBLAS_NUM_THREADS" not in os.environ or os.environ["OPENBLAS_NUM_THREADS"] != "1"


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_taken_up_again(tmp_path, blow):
    """A run of 200 slow jobs is killed in the middle; the same call goes on where it was."""
    path = tmp_path / "runs.jsonl"
    code = (
        "import sys, time; from pathlib import Path; from groupsigma.experiments.run import run_jobs\n"
        "def job(j):\n    time.sleep(0.01)\n    return j[0]\n"
        "run_jobs(job, [(i,) for i in range(200)], Path(sys.argv[1]), workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.DEVNULL)
    for _ in range(2000):
        if path.is_file() and path.read_text().count("\n") >= 5:
            break
        time.sleep(0.01)
    process.send_signal(blow)
    process.wait(timeout=20)
    done = path.read_text().count("\n")
    assert 5 <= done < 200
    CALLS.clear()
    run_jobs(lambda j: CALLS.append(j) or j[0], [(i,) for i in range(200)], path, workers=1)
    assert len(CALLS) in (200 - done, 201 - done) and path.read_text().count("\n") == 200


def test_workers_die_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "hold.py").write_text(
        "import os, sys, time\nfrom pathlib import Path\nfrom groupsigma.experiments.run import run_jobs\n"
        "def hold(job):\n    Path(sys.path[0], f'{os.getpid()}.pid').touch()\n    time.sleep(300)\n"
        "if __name__ == '__main__':\n    run_jobs(hold, [(0,), (1,)], Path(sys.path[0], 'runs.jsonl'), workers=2)\n"
    )
    process = subprocess.Popen([sys.executable, str(tmp_path / "hold.py")], stderr=subprocess.DEVNULL)
    pids = []
    for _ in range(2000):
        pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
        if len(pids) == 2:
            break
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=20)
    assert len(pids) == 2
    for _ in range(1000):
        if not any(_alive(pid) for pid in pids):
            return
        time.sleep(0.01)
    pytest.fail("a worker outlived its parent")


def _alive(pid):
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
