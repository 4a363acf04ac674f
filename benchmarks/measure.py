"""Time, peak memory and the row they end up in. Imports nothing heavy: see `peak`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent


@dataclass
class Row:
    """One comparison. `ours` and `alternative` are the measurements, in `unit`.

    at_most: target for our median; at_least: target for ratio = alternative / ours, of the medians.
    What is not installed has no measurements.
    """

    name: str
    ours: Sequence[float]
    unit: str = "s"
    against: str = ""
    alternative: Sequence[float] = ()
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        ours, alternative = _spread(self.ours), _spread(self.alternative)
        ratio = alternative["median"] / ours["median"] if ours and alternative and ours["median"] else None
        met: bool | None = None
        if self.at_most is not None and ours:
            met = ours["median"] <= self.at_most
        elif self.at_least is not None and ratio is not None:
            met = ratio >= self.at_least
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": ours or "not installed",
            "against": self.against or "–",
            "alternative": alternative or ("not installed" if self.against else "–"),
            "ratio": ratio,
            "at_most": self.at_most,
            "ratio_at_least": self.at_least,
            "met": met,
            "note": self.note,
        }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"min": min(values), "median": median(values), "max": max(values), "repeats": len(values)}


@dataclass
class Timed:
    """Seconds of each repeat, and what the last call returned."""

    seconds: list[float]
    result: Any = None


def compare(*calls: Callable[[], Any] | None, repeats: int | Sequence[int] = 7) -> list[Timed]:
    """Time the calls in turn, A B A B …, so that a slow spell of the machine falls on all; None is not timed."""
    wanted = [repeats] * len(calls) if isinstance(repeats, int) else repeats
    timed = [Timed([]) for _ in calls]
    for turn in range(max(wanted)):
        for call, into, times in zip(calls, timed, wanted, strict=True):
            if call is not None and turn < times:
                start = time.perf_counter()
                into.result = call()
                into.seconds.append(time.perf_counter() - start)
    return timed


def peak(statement: str, repeats: int = 3) -> list[float]:
    """Peak memory of a fresh process that runs `statement`, in MB above one that only imports.

    A child's ru_maxrss starts at the size of the process that started it, so call this
    only from a process that holds no more than the imports themselves.
    """
    base = min(_maxrss("pass") for _ in range(repeats))
    return [_maxrss(statement) - base for _ in range(repeats)]


def _maxrss(statement: str) -> float:
    code = (
        f"import resource\nfrom cases import *\n{statement}\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True).stdout
    return int(out) * (1 if sys.platform == "darwin" else 1024) / 1e6


def process(command: Sequence[str]) -> tuple[float, int]:
    """Seconds and peak memory in bytes of a process of its own, its output thrown away; it must succeed."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)[:200]} failed")
    return time.perf_counter() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def others_cpu() -> float | None:
    """CPU seconds used so far by everything but this process and its finished children; None where not known."""
    try:
        ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return None
    idle = ticks[3] + ticks[4]
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK") - sum(u.ru_utime + u.ru_stime for u in usages)
