"""Checks answers in processes of its own: a checker that hangs, crashes or prints costs one answer, never the step.

One JSON line to a worker is one answer to check, one line back its verdict. A worker that is late is killed, with
all that it started, and replaced. The parent has no thread for this, so that forking it stays safe. Workers are no
sandbox: a checker that runs what a model wrote must bring its own.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import isfinite
from numbers import Real
from queue import SimpleQueue
from typing import Any

import numpy as np

from groupsigma import checks
from groupsigma.checkers import COLUMNS, Checker, checker_name, exact, find_checker
from groupsigma.errors import ArgumentError

#: Seconds in which a worker must have imported its checker.
_START = 120.0

#: Seconds in which a worker that has nothing to do must say that it is there.
_PRESENT = 5.0

#: Workers of a call that may fail to start, once one has started, before no more are.
_FAILURES = 3

#: What a worker runs: it finds modules where its parent does.
_PROGRAM = "import sys; sys.path[:] = sys.argv[3:]; from groupsigma.referee import serve; serve(*sys.argv[1:3])"

#: One thread a worker, where nothing else is asked for: eight that each take all cores lose to eight that do not.
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

#: A kind, and the score or what happened.
_Verdict = tuple[str, Any]


@dataclass(frozen=True)
class Verdicts:
    """What came of checking some answers.

    Attributes:
        rewards: one an answer, in their order; None where there is none to give.
        raised: answers on which the checker raised, or ended its process.
        timed_out: on which it took too long. nonsense: for which it returned no finite number.
        declined: for which it returned None.
        example: what happened to the first of these; "" if there are none.
    """

    rewards: list[float | None]
    raised: int = 0
    timed_out: int = 0
    nonsense: int = 0
    declined: int = 0
    example: str = ""

    @property
    def unscorable(self) -> int:
        """Answers without a reward."""
        return self.raised + self.timed_out + self.nonsense + self.declined


class Referee:
    """Checks completions against their rows, many at a time.

    Args:
        checker: a name for `find_checker`, or a function that can be imported by its name.
        threshold: if given, reward = 1 where score >= threshold, else 0; otherwise the score itself.
        timeout: seconds that one answer may take. Starting a worker does not count.
        workers: processes, by default one a core up to 8, never more than there are answers. "exact" needs none.
        patience: seconds, by default 10 · timeout, that each worker may lose in one call to answers that take too
            long or end it; what is then untried counts as timed out. Answers judged in time cost none.

    The first worker starts here: a checker that cannot be imported is refused before any work. Workers stay until
    close(), until the referee is forgotten, or until this process ends, in whatever way. They get rows as JSON:
    tuples and arrays arrive as lists, keys as text, what JSON does not know as its str().

    >>> with Referee("exact") as referee:
    ...     referee.check(["4", "5", "4"], [{"answer": 4}, {"answer": 4}, {"answer": None}])
    Verdicts(rewards=[1.0, 0.0, None], raised=0, timed_out=0, nonsense=0, declined=1, example='answer 2: returned None')
    """

    def __init__(
        self,
        checker: str | Checker,
        *,
        threshold: float | None = None,
        timeout: float = 10.0,
        workers: int | None = None,
        patience: float | None = None,
    ) -> None:
        self.name = checker_name(checker)
        self.threshold = None if threshold is None else _number("threshold", threshold, -np.inf)
        self.timeout = _number("timeout", timeout, 0)
        self.patience = 10 * self.timeout if patience is None else _number("patience", patience, 0)
        cores = min(os.cpu_count() or 1, 8)
        self.workers = cores if workers is None else int(checks.whole("Referee", "workers", workers, 1))
        self._lock = threading.Lock()
        self._pool = _Pool(self.name, self.timeout, self.patience, self.workers)
        weakref.finalize(self, self._pool.end)
        if self.name != "exact":
            if os.name != "posix":
                raise ArgumentError("Referee", "Linux or macOS for checkers other than exact", os.name, hint="try WSL")
            _Call(self._pool, [], []).run()

    def __repr__(self) -> str:
        threshold = "" if self.threshold is None else f", threshold={self.threshold:g}"
        return f"Referee({self.name!r}{threshold}, timeout={self.timeout:g}, workers={self.workers})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process has workers of its own.
        given = {name: getattr(self, name) for name in ("threshold", "timeout", "workers", "patience")}
        return partial(Referee, self.name, **given), ()

    def __enter__(self) -> Referee:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; a later check starts new ones."""
        with self._lock:
            self._pool.end()

    def check(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Verdicts:
        """The reward of each completion by its row; None, and a count, where there is none.

        Raises: ArgumentError, before any work, where there is nothing to judge by: lengths that differ, completions
            that are not text, a column that the checker needs and a row lacks. Never what the checker does.
        """
        self._refuse(completions, rows)
        if self.name == "exact":
            found = [_judged(exact, text, row) for text, row in zip(completions, rows, strict=True)]
        else:
            with self._lock:
                found = _Call(self._pool, completions, rows).run()
        count = Counter(kind for kind, _ in found)
        example = next((f"answer {at}: {said}" for at, (kind, said) in enumerate(found) if kind != "score"), "")
        return Verdicts(
            [self._reward(said) if kind == "score" else None for kind, said in found],
            count["raised"],
            count["timed_out"],
            count["nonsense"],
            count["declined"],
            example,
        )

    def _reward(self, score: float) -> float:
        return score if self.threshold is None else float(score >= self.threshold)

    def _refuse(self, completions: Sequence[Any], rows: Sequence[Any]) -> None:
        who = "Referee.check"
        if len(completions) != len(rows):
            raise ArgumentError(who, "a row for each completion", f"{len(completions)} completions, {len(rows)} rows")
        needed = COLUMNS.get(self.name, ())
        for at, (text, row) in enumerate(zip(completions, rows, strict=True)):
            if not isinstance(text, str):
                hint = "of chat messages, the content of the last" if isinstance(text, list) else ""
                raise ArgumentError(who, "completions as text", type(text).__name__, f"completion {at}", hint)
            if not isinstance(row, Mapping):
                raise ArgumentError(who, "rows as mappings", type(row).__name__, f"row {at}")
            for column in needed:
                if column not in row:
                    has = f"the columns {', '.join(map(str, row))}" if row else "no column"
                    hint = f"rename the column that holds it to {column}"
                    raise ArgumentError(who, f"a column {column} for the checker {self.name}", has, f"row {at}", hint)


class _Call:
    """One call's answers on their way through the workers."""

    def __init__(self, pool: _Pool, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        self.pool, self.completions, self.rows = pool, completions, rows
        self.found: list[_Verdict] = [("", None)] * len(completions)
        self.waiting = deque(range(len(completions)))
        self.most = max(1, min(pool.size, len(completions)))
        # Seconds spent on workers that were lost, workers that did not start, and what was wrong with the last.
        self.lost, self.failures, self.wrong = 0.0, 0, ""

    def run(self) -> list[_Verdict]:
        """A verdict for each answer; the first call of all starts a worker even if there is none to give."""
        self.pool.settle()
        try:
            while True:
                self._hand_out()
                busy = sum(w.at is not None for w in self.pool.workers)
                if not (self.waiting or busy) and self.pool.proven:
                    return self.found
                self._man(min(self.most, max(1, busy + len(self.waiting))))
                if self.pool.workers:
                    self._take()
                else:
                    self._give_up("raised", f"no worker could be started: {self.wrong}")
                if self.lost >= self.pool.patience * self.most:
                    self._give_up("timed_out", f"not tried, {self.lost:.0f} s of this call were lost to others")
        except BaseException:
            # What is under way would come back as the next call's.
            for worker in [w for w in self.pool.workers if w.at is not None]:
                self.pool.drop(worker)
            raise

    def _hand_out(self) -> None:
        for worker in self.pool.workers:
            while self.waiting and worker.ready and worker.at is None:
                at = self.waiting.popleft()
                try:
                    item = json.dumps([self.completions[at], dict(self.rows[at])], default=_plain)
                except Exception as error:
                    self.found[at] = "raised", f"a row that JSON cannot hold: {_said(error)}"
                else:
                    worker.begin(at, item, self.pool.timeout)

    def _man(self, wanted: int) -> None:
        while len(self.pool.workers) < wanted and self.failures < _FAILURES:
            try:
                self.pool.workers.append(_Worker(self.pool.name, self.pool.timeout))
            except OSError as error:
                self._not_started(_said(error))

    def _take(self) -> None:
        for worker, (kind, said) in _news(self.pool.workers):
            spent = time.monotonic() - worker.began
            if kind == "ready":
                worker.ready = self.pool.proven = True
                worker.rest()
                # Starting takes time from a call only where it replaces a worker.
                self.lost += spent if self.lost else 0.0
            elif worker.at is None:
                self.pool.drop(worker)
                if not worker.ready:
                    self._not_started(said)
            elif kind in ("late", "gone"):
                self.pool.drop(worker)
                self.found[worker.at] = "timed_out" if spent >= self.pool.timeout else "raised", said
                self.lost += spent
            else:
                self.found[worker.at] = kind, said
                worker.rest()

    def _not_started(self, said: Any) -> None:
        """Before any worker has started the checker is to blame, later the machine."""
        if not self.pool.proven:
            what = ("Referee", f"the checker {self.pool.name} to start", said) if isinstance(said, str) else said
            raise ArgumentError(*what)
        self.failures, self.wrong = self.failures + 1, said if isinstance(said, str) else said[2]

    def _give_up(self, kind: str, said: str) -> None:
        for at in self.waiting:
            self.found[at] = kind, said
        self.waiting.clear()


class _Pool:
    """The workers of a referee, and of the process that started them."""

    def __init__(self, name: str, timeout: float, patience: float, size: int) -> None:
        self.name, self.timeout, self.patience, self.size = name, timeout, patience, size
        self.workers: list[_Worker] = []
        self.pid, self.proven = os.getpid(), False

    def settle(self) -> None:
        """Leave the workers of the process that this one is a fork of; drop those that no longer say they are there.

        A process dies thread by thread: its link may still be open when it will never read from it again.
        """
        if self.pid != os.getpid():
            for worker in self.workers:
                worker.leave()
            self.pid, self.workers = os.getpid(), []
        asked = {worker for worker in self.workers if worker.ready}
        for worker in asked:
            worker.begin(-1, "", _PRESENT)
        while asked:
            for worker, (kind, _) in _news(list(asked)):
                asked.remove(worker)
                worker.rest() if kind == "here" else self.drop(worker)

    def drop(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.end()

    def end(self) -> None:
        if self.pid == os.getpid():
            for worker in list(self.workers):
                self.drop(worker)


class _Worker:
    """A process that checks, and the socket to it; at answer `at` (-1: none, it is asked whether it is there) since
    `began`, late at `deadline`."""

    def __init__(self, name: str, timeout: float) -> None:
        self.at: int | None = None
        self.ready, self.number, self.unread = False, 0, b""
        self.began = time.monotonic()
        self.deadline = self.began + _START
        self.link, theirs = socket.socketpair()
        try:
            # A session of its own: no Ctrl-C of the terminal's, and what the checker starts dies with it.
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, name, repr(timeout), *sys.path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**dict.fromkeys(_THREADS, "1"), **os.environ},
                start_new_session=True,
            )
        except BaseException:
            self.link.close()
            raise
        finally:
            theirs.close()

    def begin(self, at: int, item: str, timeout: float) -> None:
        self.at, self.number, self.began = at, self.number + 1, time.monotonic()
        self.deadline = self.began + timeout
        self.link.settimeout(timeout)
        # If it has died or does not read, that is seen when its answer is awaited.
        with suppress(OSError):
            self.link.sendall(f"{self.number} {item}\n".encode())

    def rest(self) -> None:
        self.at, self.deadline = None, float("inf")

    def read(self) -> _Verdict | None:
        """The verdict that came, None if only a part of it."""
        try:
            part = self.link.recv(1 << 16)
        except OSError:
            part = b""
        self.unread += part
        *lines, self.unread = self.unread.split(b"\n")
        for line in lines:
            # A checker that forked may answer twice; one that writes to every file it finds is not heard.
            with suppress(ValueError, TypeError):
                number, kind, said = json.loads(line)
                if number == self.number:
                    return kind, said
        if part:
            return None
        self.end()
        code = self.process.returncode or 0
        how = f"by signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"with exit code {code}"
        return "gone", f"the checker's process ended {how}"

    def leave(self) -> None:
        self.link.close()
        # Not ours to wait for.
        self.process.returncode = 0

    def end(self) -> None:
        """Kill it and what it started; of one that has ended already the exit code stays."""
        self.link.close()
        # Once it has been waited for, its number may be another's.
        if self.process.returncode is None:
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)


def _news(workers: Sequence[_Worker]) -> list[tuple[_Worker, _Verdict]]:
    """What workers have said; waits for it, at most until one of them is late."""
    poll = select.poll()
    by_link = {worker.link.fileno(): worker for worker in workers}
    for link in by_link:
        poll.register(link, select.POLLIN)
    wait = max(0.0, min(worker.deadline for worker in workers) - time.monotonic())
    heard = poll.poll(None if wait == float("inf") else 1000 * wait)
    news = {worker: said for worker in (by_link[link] for link, _ in heard) if (said := worker.read())}
    now = time.monotonic()
    for worker in workers:
        if worker.deadline <= now and worker not in news:
            news[worker] = "late", f"nothing after {now - worker.began:.3g} s"
    return list(news.items())


def serve(name: str, timeout: str) -> None:
    """What a worker does: import the checker, say so, then a verdict for each line, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = socket.socket(fileno=os.dup(0))
    # The checker reads nothing from the parent and prints to stderr, whatever it prints with.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    with suppress(OSError):
        os.dup2(2, 1)
    sys.stdout = sys.stderr
    items: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(link, items), daemon=True).start()

    def say(number: int, kind: str, said: Any = None) -> None:
        link.sendall(json.dumps([number, kind, said]).encode() + b"\n")

    try:
        checker = find_checker(name)
    except ArgumentError as error:
        say(0, "refused", error.args)
        return
    say(0, "ready")
    with open(os.devnull, "w") as quiet:
        while True:
            number, _, item = items.get().rstrip().partition(b" ")
            if not item:
                say(int(number), "here")
                continue
            # Should the parent die while C code, a regular expression say, holds the interpreter, only this ends it.
            faulthandler.dump_traceback_later(1.5 * float(timeout) + 1, exit=True, file=quiet)
            try:
                verdict = _judged(checker, *json.loads(item))
            except BaseException as error:
                verdict = "raised", _said(error)
            say(int(number), *verdict)
            faulthandler.cancel_dump_traceback_later()


def _listen(link: socket.socket, items: SimpleQueue[bytes]) -> None:
    """Pass lines on; when there is no parent any more end at once, whatever the checker is at."""
    with suppress(OSError), link.makefile("rb") as lines:
        for line in lines:
            items.put(line)
    with suppress(OSError):
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _judged(checker: Checker, completion: str, row: Mapping[str, Any]) -> _Verdict:
    """What a checker says of an answer, sorted into a score or one of the ways of having none."""
    try:
        value: Any = checker(completion, row)
        if value is None:
            return "declined", "returned None"
        # A NumPy or torch scalar.
        number = value.item() if getattr(value, "ndim", None) == 0 else value
        if isinstance(number, Real) and isfinite(number):
            return "score", float(number)
        return "nonsense", f"returned {repr(value)[:80]}"
    except Exception as error:
        return "raised", _said(error)


def _said(error: BaseException) -> str:
    """An exception in one line, and where it came from."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    frames = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    text = text if len(text) <= 300 else text[:297] + "..."
    return f"{text} ({frames[-1].rpartition('/')[2]})" if frames else text


def _plain(value: Any) -> Any:
    """What JSON does not know: NumPy and torch by their numbers, anything else by its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _number(name: str, value: float, above: float) -> float:
    x = checks.finite("Referee", name, value)
    if x.ndim or not x > above:
        raise ArgumentError("Referee", f"{name} to be one number" + (" > 0" if above == 0 else ""), repr(value)[:60])
    return float(x)
