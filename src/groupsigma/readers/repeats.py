"""Logs without a group's id: answers written twice after a resume, and a prompt drawn twice in one step.

Both show as groups of m times the usual size. Where the same answers stand there m times they are counted once; else
the rows are cut into groups of the usual size in the order of the file, which is how most trainers write them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groupsigma.readers.sums import Table

#: More rows than this are not looked at one by one.
MOST = 5_000_000


def usual_size(rows: NDArray[np.int64]) -> int:
    """The most frequent size of a group; the smallest of them.

    >>> usual_size(np.array([8, 8, 16]))
    8
    """
    sizes, times = np.unique(rows, return_counts=True)
    return int(sizes[np.argmax(times)])


def suspects(found: Table) -> NDArray[np.int64]:
    """Which groups are m ≥ 2 times as large as usual, in a log that has steps."""
    nameless = known(found["step"])
    rows = found["rows"]
    if not nameless.any():
        return np.empty(0, dtype=np.int64)
    usual = usual_size(rows[nameless])
    return np.flatnonzero(nameless & (usual > 1) & (rows > usual) & (rows % usual == 0))


def known(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Which entries of a result's column are there."""
    missing = np.ma.getmaskarray(column)
    if column.dtype.kind == "f":
        return ~missing & ~np.isnan(np.ma.getdata(column))
    return np.asarray(~missing)


def untangled(found: Table, again: Callable[[NDArray[np.int64]], Table]) -> tuple[Table, int, list[str]]:
    """The groups as they were drawn, how many rows were written before, and what to say.

    Args: found: of a log without group ids. again: of the groups asked for, every answer in the order of the file:
        `of` (which of them), `text` (a hash),
        `r`, NULL for one without a reward.
    """
    doubtful = suspects(found)
    if not len(doubtful):
        return found, 0, []
    usual = usual_size(found["rows"][known(found["step"])])
    if found["rows"][doubtful].sum() > MOST:
        return found, 0, [f"{len(doubtful):,} groups are several times the usual {usual} answers, left as they are"]
    answers = again(doubtful)
    parts, repeated, cut, steps = [], 0, 0, set()
    of = np.argsort(answers["of"], kind="stable")
    rows = np.split(of, np.searchsorted(answers["of"][of], np.arange(1, len(doubtful))))
    resumed = {
        _place(found, group) for group, mine in zip(doubtful, rows, strict=True) if _certain(answers, mine, usual)
    }
    for group, mine in zip(doubtful, rows, strict=True):
        times = len(mine) // usual
        if _place(found, group) in resumed and _multiples(answers, mine, times):
            mine = mine[_firsts(answers, mine, times)]
            repeated += len(mine) * (times - 1)
            steps.add(found["step"][group])
        else:
            cut += 1
        parts += [_group(found, group, answers, chunk) for chunk in np.split(mine, range(usual, len(mine), usual))]
    said = []
    if repeated:
        where = f"step {min(steps):g}" if len(steps) == 1 else f"{len(steps):,} steps"
        said.append(f"{repeated:,} answers of {where} were written again, as after a resume: counted once")
    if cut:
        said.append(
            f"{cut:,} prompts occur twice or more in a step: cut in the order of rows into groups of {usual}, "
            "a guess where the trainer reorders them"
        )
    rest = np.setdiff1d(np.arange(len(found["rows"])), doubtful)
    joined = {name: _appended(column[rest], [part[name] for part in parts]) for name, column in found.items()}
    return joined, repeated, said


def _place(found: Table, group: int) -> tuple[Any, Any]:
    return found["step"][group], str(found["split"][group])


def _certain(answers: Table, mine: NDArray[np.int64], usual: int) -> bool:
    """Whether a group's answers are all there m times, and are too many different ones for that to be chance."""
    distinct = len(set(_marks(answers, mine)))
    return _multiples(answers, mine, len(mine) // usual) and 2 * distinct >= usual and distinct > 1


def _marks(answers: Table, mine: NDArray[np.int64]) -> list[tuple[int, float]]:
    """What tells answers apart: the text, and the reward."""
    r = np.ma.filled(answers["r"], -np.inf)[mine].tolist()
    return list(zip(answers["text"][mine].tolist(), r, strict=True))


def _multiples(answers: Table, mine: NDArray[np.int64], times: int) -> bool:
    return all(count % times == 0 for count in Counter(_marks(answers, mine)).values())


def _firsts(answers: Table, mine: NDArray[np.int64], times: int) -> NDArray[np.int64]:
    """One of every `times` equal answers, in order."""
    seen: Counter[Any] = Counter()
    kept = []
    for at, mark in enumerate(_marks(answers, mine)):
        if seen[mark] % times == 0:
            kept.append(at)
        seen[mark] += 1
    return np.array(kept, dtype=np.int64)


def _group(found: Table, group: int, answers: Table, chunk: NDArray[np.int64]) -> dict[str, Any]:
    """One row of the table from single answers."""
    r = np.ma.filled(answers["r"], np.nan)[chunk]
    r = r[np.isfinite(r)]
    some = len(r) > 0
    own = {
        "rows": len(chunk),
        "parts": len(chunk),
        "n": len(r),
        "total": r.sum() if some else np.nan,
        "low": r.min() if some else np.nan,
        "high": r.max() if some else np.nan,
        "variance": r.var() if some else np.nan,
        "binary": bool(np.isin(r, (0, 1)).all()),
        "signed": bool(np.isin(r, (-1, 1)).all()),
        "bad": 0,
    }
    return {name: own[name] if name in own else column[group] for name, column in found.items()}


def _appended(column: NDArray[Any], values: list[Any]) -> NDArray[Any]:
    more = np.ma.masked_array(
        [None if value is np.ma.masked else value for value in values],
        mask=[value is np.ma.masked for value in values],
        dtype=column.dtype,
    )
    if not np.ma.isMaskedArray(column):
        return np.concatenate([column, more.data])
    joined: NDArray[Any] = np.ma.concatenate([column, more])  # type: ignore[no-untyped-call]
    return joined
