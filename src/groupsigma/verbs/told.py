"""What a verb says: JSON on standard output, and why it failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

import typer


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


def fail_if(reasons: Sequence[str]) -> None:
    """Exit 1 with the reasons, if there are any."""
    for reason in reasons:
        typer.echo(f"failed: {reason}", err=True)
    if reasons:
        raise typer.Exit(1)
