"""What every numeric function asks of its arguments, said once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groupsigma.errors import ArgumentError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def floats(who: str, name: str, value: ArrayLike) -> Floats:
    """`value` as float64; None becomes NaN, text is refused."""
    try:
        given = value.filled(np.nan) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
        if given.dtype.kind in "cSUmM":
            raise TypeError
        return given.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        hint = "rows of unequal length? see advantages_by_prompt" if _is_ragged(value) else ""
        raise ArgumentError(who, f"{name} to be numbers in a rectangular array", _brief(value), hint=hint) from None


def finite(who: str, name: str, value: ArrayLike) -> Floats:
    """`value` as finite float64."""
    x = floats(who, name, value)
    _refuse(who, f"{name} to be finite", x, ~np.isfinite(x), name)
    return x


def probabilities(who: str, value: ArrayLike, name: str = "p") -> Floats:
    """`value` as float64 within [0, 1]; NaN is refused, nothing is clipped."""
    p = floats(who, name, value)
    _refuse(who, f"{name} in [0, 1]", p, ~((p >= 0) & (p <= 1)), name)
    return p


def whole(who: str, name: str, value: ArrayLike, least: int) -> Ints:
    """`value` as int64 of at least `least`; 2.5 and True are refused, 8.0 is taken as 8."""
    if np.asarray(value).dtype == bool:
        raise ArgumentError(who, f"{name} to be a whole number", "a boolean")
    x = floats(who, name, value)
    # 2**53: beyond it float64 no longer holds every whole number.
    bad = ~((x >= least) & (x <= 2.0**53) & (x == np.floor(x)))
    _refuse(who, f"{name} to be a whole number of at least {least}", x, bad, name)
    return x.astype(np.int64)


def group_sizes(who: str, value: ArrayLike, least: int = 1) -> Ints:
    """Group sizes: whole numbers >= 1."""
    return whole(who, "G", value, least)


def counts(who: str, k: ArrayLike, n: ArrayLike, names: tuple[str, str] = ("k", "G")) -> tuple[Ints, Ints]:
    """Right answers and answers, broadcast: 0 <= k <= n and n >= 1."""
    size = whole(who, names[1], n, 1)
    right = whole(who, names[0], k, 0)
    try:
        right, size = np.broadcast_arrays(right, size)
    except ValueError:
        raise ArgumentError(
            who, f"{names[0]} and {names[1]} that broadcast", f"shapes {right.shape} and {size.shape}"
        ) from None
    over = right > size
    if over.any():
        at = np.unravel_index(int(np.argmax(over)), over.shape)
        raise ArgumentError(
            who,
            f"0 <= {names[0]} <= {names[1]}",
            f"{names[0]} = {right[at]} of {names[1]} = {size[at]}",
            where=f"index {_index(at)}" if right.ndim else "",
        )
    return right, size


def together(who: str, p: Floats, G: Ints) -> None:
    """Refuse p and G that do not broadcast."""
    try:
        np.broadcast_shapes(p.shape, G.shape)
    except ValueError:
        raise ArgumentError(who, "p and G that broadcast", f"shapes {p.shape} and {G.shape}") from None


def fraction(who: str, name: str, value: float) -> float:
    """A number strictly between 0 and 1."""
    x = floats(who, name, value)
    if x.ndim or not 0 < x < 1:
        raise ArgumentError(who, f"{name} strictly between 0 and 1", _brief(value))
    return float(x)


def _refuse(who: str, needs: str, x: Floats, bad: NDArray[np.bool_], name: str) -> None:
    if bad.any():
        at = np.unravel_index(int(np.argmax(bad)), bad.shape)
        raise ArgumentError(who, needs, f"{name} = {x[at]:g}", where=f"index {_index(at)}" if x.ndim else "")


def _index(at: tuple[Any, ...]) -> str:
    return str(at[0]) if len(at) == 1 else str(tuple(int(i) for i in at))


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_ragged(value: object) -> bool:
    return isinstance(value, list | tuple) and len({len(row) for row in value if isinstance(row, list | tuple)}) > 1
