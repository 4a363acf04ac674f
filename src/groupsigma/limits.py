"""Limits on named numbers: what --fail-on says, and what a live run is stopped for."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from groupsigma.errors import ArgumentError

_SIGNS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


class Limit(NamedTuple):
    """A condition: a number's name, <, >, <= or >=, a limit."""

    name: str
    sign: str
    limit: float

    @classmethod
    def of(cls, text: str, who: str = "--fail-on") -> Limit:
        """'silent>0.5' or 'silent > 50%'.

        >>> Limit.of("silent > 50%")
        Limit(name='silent', sign='>', limit=0.5)
        """
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+.\deE]+)(%?)\s*", text)
        try:
            assert match is not None
            return cls(match[1], match[2], float(match[3]) / (100 if match[4] else 1))
        except (AssertionError, ValueError):
            raise ArgumentError(who, "a test like 'silent>0.5'", repr(text)) from None


def met(limits: Sequence[Limit], numbers: Mapping[str, float], what: str, who: str = "--fail-on") -> list[str]:
    """Which limits are met, in words; ArgumentError for a number that is not there.

    >>> met([Limit.of("silent>0.5")], {"silent": 0.6}, "audit")
    ['silent = 0.6 > 0.5']
    """
    for limit in limits:
        if limit.name not in numbers:
            hint = "one of " + ", ".join(numbers)
            raise ArgumentError(who, f"a number this {what} has", repr(limit.name), hint=hint)
    held = [one for one in limits if _SIGNS[one.sign](numbers[one.name], one.limit)]
    return [f"{one.name} = {numbers[one.name]:.6g} {one.sign} {one.limit:g}" for one in held]
