"""Whatever a checker does costs its own answer and nothing else; and no process is left behind."""

import datetime
import gc
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from decimal import Decimal

import numpy as np
import pytest

from groupsigma import ArgumentError, referee
from groupsigma.checkers import exact
from groupsigma.referee import Referee, Verdicts

#: What the checker does is what the completion says.
ODD = r"""
import ctypes, datetime, faulthandler, os, re, signal, subprocess, sys, time
import numpy as np

class Angry(Exception):
    def __str__(self): raise RuntimeError

class Stop(BaseException): pass

class Shy:
    def __repr__(self): raise RuntimeError

RETURNS = {
    "yes": "yes", "nan": float("nan"), "inf": float("-inf"), "none": None, "true": True, "text": "1.0", "list": [1.0],
    "bytes": b"1", "decimal": __import__("decimal").Decimal(1), "huge": 10**400, "complex": 1j, "shy": Shy(),
    "float32": np.float32(0.25), "int": 3, "bool_": np.bool_(True), "scalar": np.array(0.5), "array": np.array([1.0]),
    "fraction": __import__("fractions").Fraction(1, 4), "nan32": np.float32("nan"), "pair": (1.0, "right"),
}

def odd(completion, row):
    word, _, rest = completion.partition(" ")
    if word in RETURNS: return RETURNS[word]
    if word == "spin":
        while True: pass
    if word == "sleep": time.sleep(float(rest or 1000)); return 1.0
    if word == "regex": return re.match(r"(a+)+$", "a" * 40 + "b")
    if word == "raise": raise ValueError(rest)
    if word == "angry": raise Angry
    if word == "stop": raise Stop("no")
    if word == "system-exit": sys.exit(1)
    if word == "interrupt": raise KeyboardInterrupt
    if word == "recursion": return odd(completion, row)
    if word == "exit": os._exit(int(rest))
    if word == "segfault": faulthandler.disable(); os.kill(os.getpid(), signal.SIGSEGV)
    if word == "close": os.closerange(3, 256); return 1.0
    if word == "print":
        print("by print")
        os.write(1, b"by write\n")
        subprocess.run(["echo", "by echo"])
        return 1.0
    if word == "input": return float(input() or 1)
    if word == "read": return float(len(sys.stdin.read()) + 1)
    if word == "fork":
        if not os.fork(): raise ValueError("from the child")
        time.sleep(0.3); return 1.0
    if word == "orphan":
        child = subprocess.Popen(["sleep", "300"], start_new_session=rest == "apart")
        open(row["file"], "w").write(str(child.pid))
        time.sleep(1000)
    if word == "forked-orphan":
        child = os.fork()
        if not child:
            if rest == "apart": os.setsid()
            time.sleep(8); os._exit(0)
        open(row["file"], "w").write(str(child))
        time.sleep(1000)
    if word == "length": return len(completion)
    if word == "last": return ord(completion[-1])
    if word == "pid": return os.getpid()
    if word == "ignores": return float(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    if word == "threads": return float(os.environ["OMP_NUM_THREADS"])
    if word == "row": return float(eval(rest, {"row": row}))
    return float(word)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Modules that workers find because this process does."""
    place = tmp_path_factory.mktemp("modules")
    (place / "odd_checks.py").write_text(ODD)
    sys.path.insert(0, str(place))
    yield place
    sys.path.remove(str(place))
    sys.modules.pop("odd_checks", None)


@pytest.fixture(scope="module")
def shared(folder):
    with Referee("odd_checks:odd", timeout=20, workers=1) as made:
        yield made


@pytest.fixture
def hasty(folder):
    """Half a second an answer, two workers."""
    with Referee("odd_checks:odd", timeout=0.5, workers=2) as made:
        yield made


def on(made, *completions, row=None):
    return made.check(completions, [row or {}] * len(completions))


def alive(pid):
    """Whether a process runs: neither gone nor waiting to be waited for."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(pid, within=10.0):
    end = time.monotonic() + within
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


def pids(made):
    return [worker.process.pid for worker in made._pool.workers]


# ---- rewards -------------------------------------------------------------------------------------


def test_rewards_come_in_order(folder):
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=300).round(6).tolist()
    with Referee("odd_checks:odd", workers=3) as made:
        assert on(made, *map(str, scores)) == Verdicts(scores)
        # Answers that take longer do not let later ones pass.
        slow = ["sleep 0.3", "0.5", "sleep 0.1", "0.25", "0.125"]
        assert on(made, *slow).rewards == [1.0, 0.5, 1.0, 0.25, 0.125]


@pytest.mark.parametrize(
    ("word", "score"),
    [
        ("true", 1.0),
        ("int", 3.0),
        ("float32", 0.25),
        ("bool_", 1.0),
        ("scalar", 0.5),
        ("fraction", 0.25),
        ("-2.5", -2.5),
    ],
)
def test_numbers_of_all_sorts(shared, word, score):
    (reward,) = on(shared, word).rewards
    assert reward == score and type(reward) is float


def test_a_score_becomes_right_or_wrong_only_at_a_threshold(shared):
    assert on(shared, "0.1", "0.5", "0.9").rewards == [0.1, 0.5, 0.9]
    with Referee("odd_checks:odd", threshold=0.5, workers=1) as made:
        assert on(made, "0.49999", "0.5", "0.9", "nan", "none", "-1").rewards == [0, 1, 1, None, None, 0]
    with Referee("exact", threshold=0) as made:
        assert made.check(["1"], [{"answer": 2}]).rewards == [1.0]


def test_exact_needs_no_process(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with Referee("exact") as made:
        rows = [{"answer": 4}, {"answer": "x"}, {"answer": None}]
        assert made.check(["4 ", "y", "z"], rows) == Verdicts(
            [1, 0, None], declined=1, example="answer 2: returned None"
        )
        assert made.check([], []) == Verdicts([])
    assert Referee(exact).name == "exact"


@pytest.mark.parametrize("name", ["math", "reasoning-gym"])
def test_the_package_s_checkers(name, capfd):
    pytest.importorskip({"math": "math_verify"}.get(name, "reasoning_gym"))
    with Referee(name, workers=2) as made:
        if name == "math":
            rows = [{"answer": "\\frac12"}, {"answer": 2}, {"answer": ""}]
        else:
            from groupsigma.checkers import procedural

            rows = procedural("reasoning-gym:prime_factorization?size=2")
            rows[0]["answer"], rows[1]["answer"] = "2", "3"
            rows.append(rows[0])
        found = made.check(["\\boxed{0.5}" if name == "math" else "2", "7", "word"], rows)
        assert capfd.readouterr() == ("", "")
        if name == "math":
            assert found == Verdicts([1, 0, None], declined=1, example="answer 2: returned None")
        else:
            # Its scorer raises on what is no product.
            assert found.rewards == [1, 0.01, None] and found.raised == 1
            assert found.example.startswith("answer 2: ValueError: ") and "prime_factorization.py" in found.example


# ---- what costs an answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "kind", "says"),
    [
        ("raise with a reason", "raised", r"ValueError: with a reason \(odd_checks.py:\d+\)$"),
        ("raise " + "x" * 10_000, "raised", r"xxx\.\.\. \(odd_checks"),
        ("raise \ud800", "raised", "ValueError: \ud800"),
        ("angry", "raised", "Angry "),
        ("stop", "raised", "Stop: no"),
        ("system-exit", "raised", "SystemExit: 1"),
        ("interrupt", "raised", "KeyboardInterrupt"),
        ("recursion", "raised", "RecursionError"),
        ("exit 3", "raised", "the checker's process ended with exit code 3"),
        ("exit 0", "raised", "the checker's process ended with exit code 0"),
        ("segfault", "raised", "the checker's process ended by signal 11, Segmentation fault"),
        ("close", "raised", ""),
        ("input", "raised", "EOFError"),
        ("yes", "nonsense", "returned 'yes'$"),
        ("text", "nonsense", "returned '1.0'"),
        ("nan", "nonsense", "returned nan"),
        ("nan32", "nonsense", "returned .*nan"),
        ("inf", "nonsense", "returned -inf"),
        ("list", "nonsense", r"returned \[1.0\]"),
        ("array", "nonsense", r"returned array\(\[1"),
        ("pair", "nonsense", r"returned \(1.0, 'right'\)"),
        ("bytes", "nonsense", "returned b'1'"),
        ("decimal", "nonsense", "Decimal"),
        ("complex", "nonsense", "1j"),
        ("none", "declined", "returned None"),
        ("huge", "raised", "OverflowError"),
        ("shy", "raised", "RuntimeError"),
    ],
)
def test_it_costs_one_answer(shared, word, kind, says):
    found = on(shared, "0.25", word, "0.5")
    assert found.rewards == [0.25, None, 0.5] and found.unscorable == 1
    assert {name: getattr(found, name) for name in ("raised", "timed_out", "nonsense", "declined")}[kind] == 1
    assert re.match(f"answer 1: .*{says}", found.example, re.DOTALL) and len(found.example) < 500


@pytest.mark.parametrize(
    "word", ["spin", "sleep", "regex", "orphan", "orphan apart", "forked-orphan", "forked-orphan apart"]
)
def test_a_hang_costs_one_answer(hasty, tmp_path, word):
    began = time.monotonic()
    row = {"file": str(tmp_path / "pid")}
    found = on(hasty, "0.25", word, "0.5", "0.75", row=row)
    assert time.monotonic() - began < 8
    assert found.rewards == [0.25, None, 0.5, 0.75] and found.timed_out == found.unscorable == 1
    assert found.example.startswith("answer 1: nothing after 0.5")
    assert on(hasty, *["0.5"] * 8).rewards == [0.5] * 8
    if "orphan" in word:
        pid = int((tmp_path / "pid").read_text())
        if "apart" in word:
            os.kill(pid, signal.SIGKILL)
        # What the checker started dies with it.
        assert gone(pid)


def test_everything_at_once_is_counted(hasty):
    words = ["1", "raise a", "spin", "yes", "none", "exit 1", "nan", "0", "sleep", "none", "none", "0.5"]
    found = on(hasty, *words)
    assert found.rewards == [1, None, None, None, None, None, None, 0, None, None, None, 0.5]
    assert (found.raised, found.timed_out, found.nonsense, found.declined) == (2, 2, 2, 3)
    assert found.unscorable == 9 and found.example.startswith("answer 1: ValueError: a")


def test_workers_hang_side_by_side(folder):
    with Referee("odd_checks:odd", timeout=1.0, workers=8) as made:
        began = time.monotonic()
        found = on(made, *["sleep"] * 8)
        # One after another would be 8 s.
        assert found.timed_out == 8 and time.monotonic() - began < 6


def test_time_to_start_is_not_the_answer_s(folder):
    """Nor does it use up patience: the second worker starts while the first checks."""
    lines = "import time; time.sleep(1.0)", "def f(completion, row):", "    time.sleep(0.1)", "    return 1.0"
    (folder / "slow_checks.py").write_text("\n".join(lines))
    with Referee("slow_checks:f", timeout=0.5, workers=2, patience=0.5) as made:
        assert on(made, *["x"] * 40).rewards == [1.0] * 40


# ---- patience ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["spin", "exit 1"])
def test_a_checker_that_never_answers_does_not_hang_the_step(folder, word):
    with Referee("odd_checks:odd", timeout=0.3, workers=2, patience=0.6) as made:
        began = time.monotonic()
        found = on(made, *[word] * 1000)
        assert time.monotonic() - began < 10
        assert found.rewards == [None] * 1000 and found.unscorable == 1000
        assert found.timed_out > 900 and (found.raised > 0) == (word == "exit 1")
        # The next call has its patience again.
        assert on(made, "0.5", word, "0.25").rewards == [0.5, None, 0.25]


def test_what_was_not_tried_is_said_and_what_was_judged_is_kept(folder):
    with Referee("odd_checks:odd", timeout=0.5, workers=1, patience=2) as made:
        words = ["1", "sleep", "0.5", *["sleep"] * 20, *["0.25"] * 100]
        verdicts = referee._Call(made._pool, words, [{}] * len(words)).run()
        assert verdicts[0] == ("score", 1.0) and verdicts[2] == ("score", 0.5)
        assert [kind for kind, _ in verdicts].count("timed_out") == len(words) - 2
        assert verdicts[1][1].startswith("nothing after 0.5") and verdicts[3][1].startswith("nothing after 0.5")
        assert re.match(r"not tried, [23] s of this call were lost", verdicts[8][1]) and verdicts[8] == verdicts[-1]


def test_slow_answers_cost_no_patience(folder):
    with Referee("odd_checks:odd", timeout=5, workers=1, patience=0.2) as made:
        assert on(made, *["sleep 0.1"] * 8).rewards == [1.0] * 8


# ---- what goes through -------------------------------------------------------------------------------


def test_prints_do_not_reach_standard_output(folder, capfd, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with Referee("odd_checks:odd", workers=1) as made:
        assert on(made, "0.5", "print", "0.25").rewards == [0.5, 1.0, 0.25]
    out, err = capfd.readouterr()
    assert out == "" and all(f"by {how}" in err for how in ("print", "write", "echo"))


def test_the_checker_reads_nothing_of_ours(shared):
    assert on(shared, "read", "0.5", "read").rewards == [1.0, 0.5, 1.0]


def test_answers_of_all_sizes_and_letters(shared):
    big = "length " + "é" * 1_000_000
    assert on(shared, big, "length \n", "length \x00", big).rewards == [1_000_007, 8, 8, 1_000_007]
    for last in "é", "\ud800", "\U0001f600", "\n", "\u2028", "\x85", "\r":
        assert on(shared, "last " + last).rewards == [ord(last)]


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ("text", "== 'text'"),
        ([1, {"a": None}], "== [1, {'a': None}]"),
        ((1, 2), "== [1, 2]"),
        (np.int64(3), "== 3"),
        (np.array([[0.5], [2]]), "== [[0.5], [2.0]]"),
        (datetime.date(2026, 1, 2), "== '2026-01-02'"),
        (Decimal("0.10"), "== '0.10'"),
        (b"x", "== \"b'x'\""),
        ({1: 2}, "== {'1': 2}"),
        (float("inf"), "== float('inf')"),
        ("\ud800", "== '\\ud800'"),
    ],
)
def test_rows_as_they_arrive(shared, value, arrives):
    assert on(shared, f"row row['value'] {arrives}", row={"value": value}).rewards == [1.0]


def test_rows_that_json_cannot_hold_cost_their_answer(shared):
    circular: dict = {}
    circular["self"] = circular
    deep: list = []
    for _ in range(100_000):
        deep = [deep]

    class Odd:
        def __str__(self):
            raise RuntimeError("no text")

    for value in circular, {(1, 2): 3}, deep, Odd(), 10**5000:
        found = shared.check(["0.5", "0.5", "1"], [{}, {"value": value}, {}])
        assert found.rewards == [0.5, None, 1.0] and found.raised == 1
        assert found.example.startswith("answer 1: a row that JSON cannot hold: ")


def test_a_checker_that_forks_answers_once(shared):
    """The child's answer comes first or second; either way later answers get their own."""
    found = on(shared, "fork", *["0.25", "0.5"] * 5)
    assert found.rewards[1:] == [0.25, 0.5] * 5 and found.unscorable <= 1


# ---- processes ---------------------------------------------------------------------------------------


def test_as_many_workers_as_answers_and_they_stay(folder):
    with Referee("odd_checks:odd", workers=3) as made:
        first = pids(made)
        assert len(first) == 1
        assert on(made, "pid").rewards == first == pids(made)
        on(made, "sleep 0.1", "sleep 0.1")
        assert len(pids(made)) == 2
        on(made, *["sleep 0.02"] * 100)
        before = pids(made)
        assert len(before) == 3 and before[0] == first[0]
        assert set(on(made, *["pid"] * 50).rewards) <= set(before) and pids(made) == before
    assert all(gone(pid) for pid in before)


def test_a_worker_that_died_meanwhile_costs_nothing(hasty):
    on(hasty, "sleep 0.1", "sleep 0.1")
    for pid in pids(hasty):
        os.kill(pid, signal.SIGKILL)
    assert all(gone(pid) for pid in pids(hasty))
    assert on(hasty, "0.5", "0.25", "1").rewards == [0.5, 0.25, 1.0]


def test_a_worker_that_dies_as_it_is_asked(folder):
    with Referee("odd_checks:odd", workers=1) as made:
        (worker,) = made._pool.workers
        os.kill(worker.process.pid, signal.SIGKILL)
        assert gone(worker.process.pid)
        worker.begin(0, "[]" * 1_000_000, 1.0)
        assert worker.read() == ("gone", "the checker's process ended by signal 9, Killed")


def test_only_what_has_work_to_do_is_replaced(hasty):
    on(hasty, "sleep 0.1", "sleep 0.1")
    before = pids(hasty)
    assert on(hasty, "exit 1", "sleep 0.3").raised == 1
    assert len(pids(hasty)) == 1 and set(pids(hasty)) < set(before)


def test_close_ends_the_workers_and_a_later_check_starts_anew(folder):
    made = Referee("odd_checks:odd", workers=1)
    (pid,) = pids(made)
    made.close()
    made.close()
    assert gone(pid, 0) and pids(made) == []
    assert on(made, "0.5").rewards == [0.5] and pids(made) != [pid]
    made.close()


def test_a_referee_that_is_forgotten_ends_its_workers(folder):
    made = Referee("odd_checks:odd", workers=2)
    on(made, "0.5", "0.5")
    before = pids(made)
    del made
    gc.collect()
    assert before and all(gone(pid, 0) for pid in before)


@contextmanager
def started(code, folder, **kwargs):
    """Another Python that runs code with the modules at hand."""
    text = f"import sys; sys.path.insert(0, {str(folder)!r})\nfrom groupsigma.referee import Referee\n"
    command = [sys.executable, "-c", text + textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs) as parent:
        try:
            yield parent
        finally:
            parent.kill()


@pytest.mark.parametrize("word", ["spin", "sleep", "regex", "0.5"])
def test_workers_end_with_a_parent_that_is_killed(folder, word):
    """Killed outright while its checker hangs, in Python or in C that keeps the interpreter."""
    code = f"""
    made = Referee("odd_checks:odd", timeout=1.0 if "{word}" == "regex" else 1000, workers=2)
    made.check(["sleep 0.1", "sleep 0.1"], [{{}}, {{}}])
    print(*[w.process.pid for w in made._pool.workers], flush=True)
    if "{word}" != "0.5":
        made.check(["{word}"] * 2, [{{}}] * 2)
    import time; time.sleep(1000)
    """
    with started(code, folder) as parent:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        time.sleep(0.3)
        assert len(workers) == 2 and all(map(alive, workers))
        parent.kill()
    assert all(gone(pid) for pid in workers)


def test_workers_end_with_a_parent_that_ends(folder):
    code = """
    made = Referee("odd_checks:odd", workers=1)
    print(made._pool.workers[0].process.pid, flush=True)
    """
    with started(code, folder) as parent:
        out, err = parent.communicate()
    assert parent.returncode == 0 and err == "" and gone(int(out))


def test_an_interrupt_of_the_terminal_is_the_parent_s(folder):
    """Ctrl-C goes to the whole group: the parent raises, workers neither print nor stay."""
    code = """
    made = Referee("odd_checks:odd", timeout=1000, workers=1)
    print(made._pool.workers[0].process.pid, made.check(["ignores"], [{}]).rewards, flush=True)
    try:
        made.check(["sleep"], [{}])
    except KeyboardInterrupt:
        print("interrupted", made.check(["0.5"], [{}]).rewards, flush=True)
    """
    with started(code, folder, start_new_session=True) as parent:
        pid, ignores = parent.stdout.readline().split()
        time.sleep(0.3)
        os.killpg(parent.pid, signal.SIGINT)
        out, err = parent.communicate(timeout=30)
    assert (ignores, out, err) == ("[1.0]", "interrupted [0.5]\n", "") and gone(int(pid))


def test_a_call_that_is_interrupted_leaves_no_answer_to_the_next(hasty):
    on(hasty, "0.5", "0.5")

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        with pytest.raises(KeyboardInterrupt):
            on(hasty, *["0.5"] * 8, *["sleep 0.4"] * 2)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert on(hasty, "0.25", "0.5", "0.75").rewards == [0.25, 0.5, 0.75]


def test_a_fork_has_workers_of_its_own(folder):
    code = """
    import os
    made = Referee("odd_checks:odd", workers=1)
    ours = made._pool.workers[0].process.pid
    if not (child := os.fork()):
        # Ends in good order, which ends what it has.
        sys.exit()
    os.waitpid(child, 0)
    if not (child := os.fork()):
        mine = made.check(["pid"], [{}]).rewards[0]
        print(mine != ours, flush=True)
        sys.exit()
    os.waitpid(child, 0)
    print(made.check(["pid"], [{}]).rewards == [ours], flush=True)
    """
    with started(code, folder) as parent:
        out, err = parent.communicate(timeout=60)
    assert (out, err) == ("True\nTrue\n", "")


def test_a_copy_in_another_process(folder):
    with Referee("odd_checks:odd", threshold=0.5, timeout=3, workers=1, patience=7) as made:
        copy = pickle.loads(pickle.dumps(made))
        with copy:
            assert repr(copy) == repr(made) == "Referee('odd_checks:odd', threshold=0.5, timeout=3, workers=1)"
            assert copy.patience == 7 and pids(copy) != pids(made)
            assert on(copy, "0.75", "0.25").rewards == [1, 0]


def test_threads_take_turns(hasty):
    found = {}

    def ask(score):
        found[score] = on(hasty, *[str(score)] * 20).rewards

    threads = [threading.Thread(target=ask, args=(score,)) for score in (0.0, 1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {score: [score] * 20 for score in (0.0, 1.0, 2.0, 3.0)}


def test_nothing_is_open_and_no_thread_runs_after_it(folder):
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        with Referee("odd_checks:odd", timeout=0.3, workers=2) as made:
            on(made, "0.5", "spin", "exit 1", "raise x")
            assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == files
    assert multiprocessing.active_children() == []


def test_one_thread_a_worker_unless_asked(folder, monkeypatch):
    for given, threads in ((None, 1), ("3", 3)):
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        else:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        with Referee("odd_checks:odd", workers=1) as made:
            assert on(made, "threads").rewards == [threads]


def test_a_thousand_answers_cost_little(folder):
    with Referee("odd_checks:odd", workers=2) as made:
        on(made, *["0.5"] * 64)
        took = []
        for _ in range(3):
            began = time.perf_counter()
            on(made, *["0.5"] * 1024)
            took.append(time.perf_counter() - began)
    # Measured: 0.08 s on a busy machine.
    assert min(took) < 0.5


# ---- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "says"),
    [
        (None, "no_such_checks:f", "a module no_such_checks that can be imported"),
        ("def f(completion, row): return 1", "new_checks:g", "a function g in new_checks"),
        ("import no_such_package", "new_checks:f", "No module named 'no_such_package'"),
        ("1/0", "new_checks:f", "ZeroDivisionError"),
        (
            "import os; os._exit(3)",
            "new_checks:f",
            "new_checks:f to start, got the checker's process ended with exit code 3",
        ),
        ("import time; time.sleep(100)", "new_checks:f", "new_checks:f to start, got nothing after 2"),
        (None, "maths", "hint: did you mean 'math'"),
    ],
)
def test_a_checker_that_does_not_start_is_refused_at_once(tmp_path, monkeypatch, module, name, says):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(referee, "_START", 2.0 if module and "sleep" in module else 60.0)
    if module:
        (tmp_path / "new_checks.py").write_text(module)
    began = time.monotonic()
    with pytest.raises(ArgumentError, match=says):
        Referee(name)
    assert time.monotonic() - began < 20


def test_a_package_that_is_missing_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "math_verify.py").write_text("raise ModuleNotFoundError(\"No module named 'math_verify'\")")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ArgumentError) as error:
        Referee("math")
    assert str(error.value) == (
        "checker: needs the package math-verify, got No module named 'math_verify'\nhint: pip install '.[train]'"
    )


def test_a_checker_that_stops_starting_costs_answers_only(tmp_path, monkeypatch):
    """Edited during the run: what was imported goes on; what must be started anew cannot."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "edited_checks.py"
    module.write_text("import os\ndef f(completion, row): return 1.0 if completion else os._exit(1)\n")
    with Referee("edited_checks:f", workers=2) as made:
        module.write_text("def f(:\n")
        found = on(made, "x", "x", "", "x", "x")
        assert found.rewards[:2] == [1.0, 1.0] and found.raised == found.unscorable == 3
        assert on(made, "x", "x").example.startswith("answer 0: no worker could be started: SyntaxError: ")
        module.write_text("def f(completion, row): return 0.5\n# of another length, so that no cache is taken for it\n")
        assert on(made, "x", "x").rewards == [0.5, 0.5]


def test_no_process_to_be_had(folder, monkeypatch):
    with Referee("odd_checks:odd", workers=2) as made:

        def refuse(*args, **kwargs):
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(subprocess, "Popen", refuse)
        # The one that runs does the work.
        assert on(made, "0.5", "0.25", "1").rewards == [0.5, 0.25, 1.0]
        found = on(made, "0.5", "exit 1", "1")
        assert found.rewards == [0.5, None, None] and "process ended" in found.example
        with pytest.raises(ArgumentError, match="Resource temporarily unavailable"):
            Referee("odd_checks:odd")


def test_a_function_instead_of_a_name(folder):
    import odd_checks

    with Referee(odd_checks.odd, workers=1) as made:
        assert made.name == "odd_checks:odd" and on(made, "0.5").rewards == [0.5]
    with pytest.raises(ArgumentError, match=r"other processes can import, got .*\nhint: put it into a module"):
        Referee(lambda completion, row: 1.0)
    code = "def mine(completion, row): return 1.0\nRefused = Referee(mine)"
    with started(code, folder) as parent:
        _, err = parent.communicate()
    assert "other processes can import" in err


def test_a_column_that_is_missing_is_one_error_before_any_work(monkeypatch):
    with Referee("exact") as made, pytest.raises(ArgumentError) as error:
        made.check(["1", "2"], [{"answer": 1}, {"prompt": "?", "solution": 2}])
    assert str(error.value) == (
        "Referee.check: needs a column answer for the checker exact, got the columns prompt, solution at row 1\n"
        "hint: rename the column that holds it to answer"
    )
    pytest.importorskip("reasoning_gym")
    with Referee("reasoning-gym", workers=1) as made:
        monkeypatch.setattr(referee, "_Call", None)
        with pytest.raises(ArgumentError, match="a column metadata for the checker reasoning_gym"):
            made.check(["1"], [{"answer": 1}])


@pytest.mark.parametrize(
    ("completions", "rows", "says"),
    [
        (["1"], [], "a row for each completion, got 1 completions, 0 rows"),
        (["1", None], [{"answer": 1}] * 2, "completions as text, got NoneType at completion 1"),
        ([[{"content": "1"}]], [{"answer": 1}], "got list at completion 0\nhint: of chat messages"),
        (["1"], ["answer"], "rows as mappings, got str at row 0"),
        (["1"], [{}], "got no column at row 0"),
    ],
)
def test_input_that_does_not_fit(completions, rows, says):
    with Referee("exact") as made, pytest.raises(ArgumentError, match=says):
        made.check(completions, rows)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": "0.5"}, "threshold"),
        ({"threshold": [0.5]}, "threshold to be one number"),
        ({"timeout": 0}, "timeout to be one number > 0, got 0"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("inf")}, "timeout to be finite"),
        ({"timeout": None}, "timeout"),
        ({"patience": 0}, "patience to be one number > 0"),
        ({"workers": 0}, "workers to be a whole number of at least 1"),
        ({"workers": 1.5}, "workers"),
        ({"workers": True}, "workers"),
    ],
)
def test_settings_that_make_no_sense(settings, says):
    with pytest.raises(ArgumentError, match=says):
        Referee("exact", **settings)


def test_defaults():
    made = Referee("exact")
    assert (made.timeout, made.patience, made.threshold) == (10, 100, None)
    assert made.workers == min(os.cpu_count(), 8) and Referee("exact", timeout=2).patience == 20
