"""`groupsigma show`: one group under each method."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from groupsigma.errors import ArgumentError
from groupsigma.verbs.options import AsJson
from groupsigma.verbs.told import print_json


def show(
    group: Annotated[
        str, typer.Argument(metavar="GROUP", help="One group: 3/8 (right of all), or its rewards: 1,0,0.5,1.")
    ],
    dial: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Further dials, by name; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One group: its standard deviation, its advantages and its update under each method."""
    from groupsigma.advantages import advantages
    from groupsigma.presets import find_dial
    from groupsigma.sigma import advantage_pair, gain, mean_advantage, sigma

    rewards, k = _parse_group(group)
    dials = {name: find_dial(name) for name in ("grpo", "dr-grpo", "dapo", *(dial or ()))}
    G = len(rewards)
    if as_json:
        rows: dict[str, Any] = {}
        for name, rule in dials.items():
            rows[name] = {"formula": rule.formula, "advantages": advantages(rewards, rule).tolist()}
            if k is not None:
                plus, minus = advantage_pair(k, G, rule)
                rows[name] |= {
                    "right": float(plus),
                    "wrong": float(minus),
                    "gain": float(gain(k, G, rule)),
                    "mean_advantage": float(mean_advantage(k, G, rule)),
                }
        found = None if k is None else float(sigma(k, G))
        print_json({"schema": "groupsigma.show/1", "k": k, "G": G, "sigma": found, "dials": rows})
        return
    from groupsigma.screen import group_screen
    from groupsigma.screen import show as print_screen

    print_screen(group_screen(rewards, k, G, dials))


def _parse_group(text: str) -> tuple[list[float], int | None]:
    """Rewards, and k where all of them are 0 or 1."""
    from groupsigma import checks

    if match := re.fullmatch(r"\s*(-?[\d.]+)\s*/\s*(-?[\d.]+)\s*", text):
        right, size = checks.counts("show", _number(match[1]), _number(match[2]))
        if size > 100_000:
            raise ArgumentError("show", "a group of at most 100,000", f"{size}")
        k, G = int(right), int(size)
        return [1.0] * k + [0.0] * (G - k), k
    words = {"true": 1.0, "false": 0.0, "none": float("nan"), "null": float("nan")}
    parts = re.split(r"\s*,\s*|\s+", text.strip("[] ").lower())
    rewards = [words[part] if part in words else _number(part) for part in parts]
    if any(abs(r) > 1e100 for r in rewards):
        raise ArgumentError("show", "rewards of a size that can be squared", repr(text))
    return rewards, int(sum(rewards)) if all(r in (0.0, 1.0) for r in rewards) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentError("show", "3/8, or rewards like 1,0,0.5", repr(text)) from None
