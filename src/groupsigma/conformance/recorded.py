"""Groups as they come out of trainers, recorded: what every adapter and every trainer's own code is run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

NAN = float("nan")

Kind = Literal["binary", "graded", "trap"]


@dataclass(frozen=True)
class Group:
    """Rewards of one group, and what is to be expected of it.

    Attributes:
        rewards: of its rows, in order; NaN: an answer that nobody scored.
        kind: "binary" and "graded" have two live rewards and a spread above the tolerance, and every row is an
            answer: trainer and preset agree. On a "trap" they differ, by contract.
        sessions: of the rows, where an answer has several.
    """

    rewards: Sequence[float]
    kind: Kind
    sessions: Sequence[int] | None = None


def _binary(right: int, size: int) -> Group:
    return Group([1.0] * right + [0.0] * (size - right), "binary")


#: By name; sizes differ, so that together they are ragged.
RECORDED: Mapping[str, Group] = {
    **{f"{k} of {G}": _binary(k, G) for G in (2, 3, 5, 8, 16) for k in range(1, G)},
    "tests passed": Group([0.0, 0.125, 0.25, 1.0, 0.5, 0.875], "graded"),
    "thirds": Group([1 / 3, 2 / 3, 1.0, 0.0], "graded"),
    "partial credit": Group([0.1, 0.2, 0.1, 0.7, 0.3, 0.9, 0.1, 1.0], "graded"),
    "format and answer": Group([1.1, 0.1, 0.1, 1.0, 0.0, 1.1, 0.1, 0.0], "graded"),
    "reward model": Group([-1.7, 0.42, 2.31, -0.08, 0.95, -3.2, 0.66, 1.04, -0.51, 0.2, 1.9, -2.4], "graded"),
    "minus one": Group([-1.0, 1.0, -1.0, -1.0, 1.0], "binary"),
    "all right": Group([1.0] * 4, "trap"),
    "all wrong": Group([0.0] * 3, "trap"),
    "tie": Group([0.1] * 8, "trap"),  # its standard deviation in float32 is not 0
    "noise": Group([0.3, 0.1 + 0.2, 0.3, 0.30000001, 0.3, 0.3], "trap"),
    "near tie": Group([0.7, 0.7000001, 0.7, 0.6999999, 0.7], "trap"),
    "alone": Group([1.0], "trap"),
    "one scored": Group([NAN, 1.0, NAN], "trap"),
    "unscored": Group([1.0, NAN, 0.0, 0.0], "trap"),
    "nothing scored": Group([NAN, NAN], "trap"),
    "sessions": Group([1.0, 1.0, 1.0, 0.0, 0.0], "trap", [0, 0, 0, 1, 2]),
}

#: Groups that teach nothing: zeros, whatever the dial.
SILENT = ("all right", "all wrong", "tie", "noise", "near tie", "alone", "one scored", "nothing scored")

#: Those of them whose spread in float32 is rounding.
ROUNDED = ("tie", "noise", "near tie")


def mixed_up() -> list[tuple[str, int]]:
    """(group, row) of all rows, groups interleaved as a trainer that works on many machines gets them back.

    >>> len(mixed_up()) == sum(len(group.rewards) for group in RECORDED.values())
    True
    """
    rows = [(name, i) for name, group in RECORDED.items() for i in range(len(group.rewards))]
    return sorted(rows, key=lambda row: (row[1], row[0][::-1]))
