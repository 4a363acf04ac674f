"""A reward that is a sum of columns with weights, as trainers with several reward functions make it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from groupsigma.errors import ArgumentError
from groupsigma.readers.layout import quoted

_TERM = re.compile(r"(?:([-+.\deE]+)\s*\*\s*)?(\S.*)")


def parts(asked: str, columns: Mapping[str, str]) -> dict[str, float]:
    """Weight by column of what --reward says: a column, or 'a + 0.5*b'.

    >>> parts("accuracy + 0.5*format", {})
    {'accuracy': 1.0, 'format': 0.5}
    """
    if asked in columns:
        return {asked: 1.0}
    found = {}
    for term in asked.split("+"):
        match = _TERM.fullmatch(term.strip())
        try:
            assert match is not None
            found[match[2].strip()] = float(match[1] or 1)
        except (AssertionError, ValueError):
            raise ArgumentError("--reward", "a column, or a sum like 'a + 0.5*b'", repr(asked)) from None
    return found


def summed(weights: Mapping[str, float], columns: Mapping[str, str]) -> str:
    """The sum as SQL; a part that is None or NaN is left out, as trainers do, and where all are so is the answer.

    What is no number counts as left out, unless its column is read alone: then it is refused.
    """
    if len(weights) == 1 and next(iter(weights.values())) == 1:
        return quoted(next(iter(weights)))
    terms = []
    for name, weight in weights.items():
        value = f"TRY_CAST({quoted(name)} AS DOUBLE)"
        terms.append(f"CASE WHEN isfinite({value}) THEN {value} * {weight!r} END")
    return f"list_sum([{', '.join(terms)}])"
