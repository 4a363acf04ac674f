"""`groupsigma dials`: the named rules and trainers' presets."""

from __future__ import annotations

from groupsigma.verbs.options import AsJson
from groupsigma.verbs.told import print_json


def dials(as_json: AsJson = False) -> None:
    """The named dials: formula, standard deviation, epsilon, source, and where a trainer departs from it."""
    from dataclasses import asdict

    from groupsigma.presets import PRESETS

    if as_json:
        print_json(
            {
                "schema": "groupsigma.dials/1",
                "dials": {name: {"formula": p.dial.formula, **asdict(p)} for name, p in PRESETS.items()},
            }
        )
        return
    from groupsigma.screen import dials_screen
    from groupsigma.screen import show as print_screen

    print_screen(dials_screen(PRESETS))
