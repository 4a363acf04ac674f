"""NumPy or torch, whichever the caller uses; torch is never imported here, only recognised."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groupsigma.errors import ArgumentError


def namespace(x: object) -> Any:
    """The module whose functions take x: torch for a tensor, else numpy."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(x, torch.Tensor) else np


@dataclass(frozen=True)
class Fold:
    """How rows are reduced to groups and groups spread back to rows; all that a layout must know."""

    total: Callable[[Any], Any]
    top: Callable[[Any], Any]
    bottom: Callable[[Any], Any]
    rows: Callable[[Any], Any]


def first_axis(xp: Any) -> Fold:
    """Groups of one size, stored [G, groups]."""
    return Fold(lambda x: xp.sum(x, 0), lambda x: xp.amax(x, 0), lambda x: xp.amin(x, 0), lambda x: x)


def by_code(codes: Any, groups: int, xp: Any) -> Fold:
    """Ragged groups: row i belongs to group codes[i], 0 <= codes[i] < groups."""
    if xp is np:

        def best(at: Any, start: float) -> Callable[[Any], Any]:
            def reduce(x: Any) -> Any:
                out = np.full(groups, start)
                at(out, codes, x)
                return out

            return reduce

        return Fold(
            lambda x: np.bincount(codes, x, groups),
            best(np.maximum.at, -np.inf),
            best(np.minimum.at, np.inf),
            lambda x: x[codes],
        )

    def scatter(how: str, start: float) -> Callable[[Any], Any]:
        def reduce(x: Any) -> Any:
            return xp.full((groups,), start, dtype=x.dtype, device=x.device).scatter_reduce(0, codes, x, how)

        return reduce

    return Fold(scatter("sum", 0.0), scatter("amax", -np.inf), scatter("amin", np.inf), lambda x: x[codes])


def factorize(labels: Any) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """(code of each row, label of each code): labels of any hashable kind, any order, not necessarily adjacent."""
    if not isinstance(labels, np.ndarray):
        # Not through np.asarray, which would turn 1 and "1" into one text, and long texts into a wide table.
        rows = labels.tolist() if hasattr(labels, "tolist") else list(labels)
        if not rows or set(map(type, rows)) not in ({int}, {bool}) or max(map(abs, rows)) >= 2**62:
            return _by_dictionary(rows)
        labels = np.array(rows)
    if labels.dtype.kind in "iu" and labels.size:
        low = labels.min()
        span = int(labels.max()) - int(low) + 1
        if span <= 4 * labels.size + 1024:
            # Dense whole numbers need no sorting: number the ones that occur.
            shifted = (labels - low).astype(np.int64)
            seen = np.zeros(span, dtype=bool)
            seen[shifted] = True
            return (np.cumsum(seen) - 1)[shifted], np.flatnonzero(seen).astype(labels.dtype) + low
    if labels.dtype.kind in "biufSM":
        distinct, codes = np.unique(labels, return_inverse=True)
        return codes.ravel(), distinct
    return _by_dictionary(labels.tolist())


def _by_dictionary(rows: list[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Text and objects, walked in C; sorting a million strings is ten times slower."""
    try:
        first = dict.fromkeys(rows)
    except TypeError:
        rows = [tuple(row) if isinstance(row, list) else row for row in rows]
        try:
            first = dict.fromkeys(rows)
        except TypeError:
            raise ArgumentError("prompt ids", "labels that can be compared (text, numbers, tuples)", "others") from None
    number = dict(zip(first, range(len(first)), strict=True))
    codes = np.fromiter(map(number.__getitem__, rows), np.intp, len(rows))
    names = np.empty(len(number), dtype=object)
    names[:] = list(number)
    return codes, names
