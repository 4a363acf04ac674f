"""The trainer's own silent share, step by step, against the one its rewards give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groupsigma import checks
from groupsigma.checks import Ints
from groupsigma.errors import ArgumentError

#: Closer than this is the same number.
SAME = 1e-6


@dataclass(frozen=True)
class Claimed:
    """How a trainer's number differs from ours.

    Attributes:
        steps: compared; unmatched: of the log's steps without a number; different: how many differ.
        rounding: half a unit of the last digit its numbers carry, if they carry three or more; it is forgiven.
        largest, step, ours, theirs: the largest difference and where; step None without any.
        all_zero: whether every number it gave is 0 though groups were silent.
    """

    steps: int
    unmatched: int
    different: int
    rounding: float
    largest: float
    step: int | None
    ours: float | None
    theirs: float | None
    all_zero: bool


def claimed_silence(step: Ints, silent: NDArray[np.bool_], claimed: Mapping[int, float]) -> Claimed:
    """Compare a share claimed for each step (TRL's `frac_reward_zero_std`) with the groups of that step.

    >>> claimed_silence(np.array([1, 1, 2, 2]), np.array([True, False, True, True]), {1: 0.5, 2: 0.0}).different
    1
    """
    for at, share in claimed.items():
        if not 0 <= checks.floats("course", "claimed", share) <= 1:
            raise ArgumentError("course", "claimed shares from 0 to 1", f"{share} at step {at}")
    steps, which = np.unique(step, return_inverse=True)
    ours = np.bincount(which, silent) / np.bincount(which)
    both = [(s, o, float(claimed[s])) for s, o in zip(steps.tolist(), ours.tolist(), strict=True) if s in claimed]
    digits = max((_decimals(theirs) for _, _, theirs in both), default=0)
    # 0, .5 or .25 are exact; thousandths may have been rounded.
    rounding = 0.5 * 10.0**-digits if digits > 2 else 0.0
    allowed = max(SAME, rounding * (1 + 1e-9))
    off = [abs(o - theirs) for _, o, theirs in both]
    worst = int(np.argmax(off)) if off and max(off) > allowed else None
    return Claimed(
        steps=len(both),
        unmatched=len(steps) - len(both),
        different=sum(x > allowed for x in off),
        rounding=rounding,
        largest=off[worst] if worst is not None else 0.0,
        step=None if worst is None else both[worst][0],
        ours=None if worst is None else both[worst][1],
        theirs=None if worst is None else both[worst][2],
        all_zero=bool(both) and all(theirs == 0 for _, _, theirs in both) and any(o > 0 for _, o, _ in both),
    )


def _decimals(x: float) -> int:
    """Digits after the point, as printed."""
    text = f"{x:.12f}".rstrip("0")
    return len(text) - text.index(".") - 1
