"""A dial as a trainer's config names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from groupsigma.dial import Dial
from groupsigma.errors import ArgumentError
from groupsigma.presets import find_dial
from groupsigma.trainers.tokens import Weight

FIELDS = tuple(field.name for field in fields(Dial))


def estimator_name(dial: str) -> str:
    """What a registry of estimators calls a named dial.

    >>> estimator_name("dr-grpo"), estimator_name("pass@4")
    ('groupsigma_dr_grpo', 'groupsigma_pass_4')
    """
    return "groupsigma_" + re.sub(r"\W", "_", dial)


def asked(
    given: Mapping[str, Any] | None, *, otherwise: str, who: str, where: str, named: Dial | None = None
) -> tuple[Dial, Weight]:
    """The dial and the weight that a config asks for.

    Args:
        given: `dial` (a name), the fields of a Dial, and `weight`; None as a value: not given.
        otherwise: the name of the dial where none is given.
        named: the dial of an estimator that has one in its name; only `weight` is read then.
        who, where: the adapter and the place of the config, for messages.

    Raises: ArgumentError for other keys, an unknown name, and a dial given twice.

    >>> asked({"dial": "grpo", "power": 0.5, "tilt": None}, otherwise="trl", who="us", where="config")
    (Dial: (R − μ) / σ^0.5, 'equal')
    """
    wanted = {name: value for name, value in (given or {}).items() if value is not None}
    weight = wanted.pop("weight", "equal")
    if weight not in ("equal", "proportional"):
        raise ArgumentError(who, "weight equal or proportional", repr(weight), where)
    if named is not None:
        if wanted:
            hint = "the estimator groupsigma takes a dial from the config"
            raise ArgumentError(who, "weight alone beside a named estimator", ", ".join(wanted), where, hint)
        return named, weight
    if unknown := [name for name in wanted if name not in ("dial", *FIELDS)]:
        raise ArgumentError(who, "known keys", ", ".join(unknown), where, f"one of dial, weight, {', '.join(FIELDS)}")
    return replace(find_dial(wanted.pop("dial", otherwise)), **wanted), weight
