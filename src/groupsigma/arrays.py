"""NumPy or torch, whichever the caller uses; torch is never imported here, only recognised."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
    array = np.asarray(labels)
    if array.dtype.kind in "biu" and array.size:
        low = int(array.min())
        span = int(array.max()) - low + 1
        if span <= 4 * array.size + 1024:
            # Dense whole numbers need no sorting: number the ones that occur.
            shifted = array.astype(np.int64) - low
            seen = np.zeros(span, dtype=bool)
            seen[shifted] = True
            return (np.cumsum(seen) - 1)[shifted], (np.flatnonzero(seen) + low).astype(array.dtype)
    if array.dtype.kind in "biufSM":
        distinct, codes = np.unique(array, return_inverse=True)
        return codes.ravel(), distinct
    # Text and objects: a dictionary, walked in C; sorting a million strings is ten times slower.
    rows = array.tolist() if array.ndim == 1 else list(map(tuple, array.tolist()))
    first = dict(zip(dict.fromkeys(rows), range(len(rows)), strict=False))
    codes = np.fromiter(map(first.__getitem__, rows), np.intp, len(rows))
    names = np.empty(len(first), dtype=object)
    names[:] = list(first)
    return codes, names.astype(str) if set(map(isinstance, first, repeat(str))) == {True} else names
