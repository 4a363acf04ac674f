"""Many runs, each done once: results line by line in a file that a stopped session takes up again.

A job has a key and is computed by a function of it; its result is appended as one JSON line and flushed.
Killed at any moment, at most a half last line is lost, and is computed again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

from groupsigma.errors import SourceError

#: One job: plain data that JSON holds; the function that computes it gets it back.
Job = tuple[Any, ...]


def run_jobs(
    compute: Callable[[Job], Any], jobs: Iterable[Job], path: Path, *, workers: int | None = None, label: str = ""
) -> dict[Job, Any]:
    """Results of all jobs by job; those in the file already are not computed again.

    Args:
        compute: a module-level function, run in worker processes of one thread each.
        jobs: keys, tuples of strings and numbers. path: JSON lines, made if absent.
        workers: processes, by default one a core; 1 computes here.
        label: for the progress on stderr: counted on a terminal, a line when it begins elsewhere; "" is silent.
    """
    wanted = list(dict.fromkeys(jobs))
    done = _read(path)
    missing = [job for job in wanted if job not in done]
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        counted = bool(label) and sys.stderr.isatty()
        if label and not counted:
            print(f"{label}: {len(missing)} runs", file=sys.stderr, flush=True)
        with path.open("a", encoding="utf-8") as file:
            for at, (job, result) in enumerate(_computed(compute, missing, workers or os.cpu_count() or 1), 1):
                file.write(json.dumps([list(job), result]) + "\n")
                file.flush()
                done[job] = result
                if counted:
                    print(f"\r{label}: {at} of {len(missing)}", end="", file=sys.stderr, flush=True)
        if counted:
            print(file=sys.stderr)
    return {job: done[job] for job in wanted}


def _computed(compute: Callable[[Job], Any], jobs: list[Job], workers: int) -> Iterable[tuple[Job, Any]]:
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            yield job, compute(job)
        return
    # One thread a worker: two cores that share a matrix product lose to two that do not.
    threads = {name: os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(threads, "1"))
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_die_with_parent) as pool:
            others = set(active_children())
            try:
                with _deaf():
                    running = {pool.submit(compute, job): job for job in jobs}
                for future in as_completed(running):
                    yield running[future], future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for child in set(active_children()) - others:
                    child.terminate()
                raise
    finally:
        for name, value in threads.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _die_with_parent() -> None:
    """A worker whose parent was killed ends at once: what it computes would be lost."""
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started here never hear an interrupt: it is ours, and we end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _read(path: Path) -> dict[Job, Any]:
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").split("\n")
    done: dict[Job, Any] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            job, result = json.loads(line)
        except ValueError:
            if number == len(lines):
                # Killed while writing: cut off, so that the next line stands alone.
                path.write_text("\n".join([*lines[:-1], ""]), encoding="utf-8")
                continue
            raise SourceError(
                "run", "JSON lines of finished jobs", "a broken line", f"{path}, line {number}", hint="remove the line"
            ) from None
        done[tuple(job)] = result
    return done
