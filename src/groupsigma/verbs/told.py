"""What a verb says: JSON on standard output, and why it failed."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import typer

from groupsigma.errors import ArgumentError

_COMPARE = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def print_json(data: Any) -> None:
    """Data as JSON, with null where it has no number."""
    typer.echo(json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(data: Any) -> Any:
    """Infinities and NaN as null, which JSON has."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not isfinite(data) else data


class Test(NamedTuple):
    """A condition of --fail-on: a number's name, <, >, <= or >=, a limit."""

    name: str
    sign: str
    limit: float

    @classmethod
    def of(cls, text: str) -> Test:
        """'silent>0.5' or 'silent > 50%'."""
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+.\deE]+)(%?)\s*", text)
        try:
            assert match is not None
            return cls(match[1], match[2], float(match[3]) / (100 if match[4] else 1))
        except (AssertionError, ValueError):
            raise ArgumentError("--fail-on", "a test like 'silent>0.5'", repr(text)) from None


def failing(tests: Sequence[Test], metrics: Mapping[str, float], what: str) -> list[str]:
    """Which tests hold, in words; ArgumentError for a number that is not among the metrics."""
    for test in tests:
        if test.name not in metrics:
            hint = "one of " + ", ".join(metrics)
            raise ArgumentError("--fail-on", f"a number this {what} has", repr(test.name), hint=hint)
    held = [t for t in tests if _COMPARE[t.sign](metrics[t.name], t.limit)]
    return [f"{t.name} = {metrics[t.name]:.6g} {t.sign} {t.limit:g}" for t in held]


def fail_if(reasons: Sequence[str]) -> None:
    """Exit 1 with the reasons, if there are any."""
    for reason in reasons:
        typer.echo(f"failed: {reason}", err=True)
    if reasons:
        raise typer.Exit(1)
