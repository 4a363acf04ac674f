"""Run the suite here: `python -m groupsigma.conformance [TRAINER…] [--required] [--write FILE]`.

Without a name every trainer is run: its own code where it is installed, else its formula. `--write` puts what was found
into a file that holds other trainers' results too; a formula never replaces what a trainer's own code gave.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

from groupsigma.conformance.suite import FORMULA, conform
from groupsigma.conformance.trainers import TRAINERS
from groupsigma.errors import GroupsigmaError

SCHEMA = "groupsigma.trainers/1"


def main() -> int:
    """0 where all held, 1 where not, 2 for a trainer that is unknown, or required and missing."""
    parser = argparse.ArgumentParser(
        prog="python -m groupsigma.conformance", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("trainers", nargs="*", default=list(TRAINERS))
    parser.add_argument("--required", action="store_true", help="a trainer that is missing fails")
    parser.add_argument("--write", type=Path, help="the file of results")
    given = parser.parse_args()
    known = json.loads(given.write.read_text())["trainers"] if given.write and given.write.exists() else {}
    failed = False
    for name in given.trainers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a trainer's own, on its import
                outcome = conform(name, given.required)
        except GroupsigmaError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        failed |= bool(outcome.failures)
        dials = f", {outcome.dials} dials through the adapter" if outcome.dials else ""
        worst = f"{outcome.ulp['binary']:.2g} and {outcome.ulp['graded']:.2g} ulp"
        print(f"{name} {outcome.version}, {outcome.how}: {outcome.groups} groups, {worst}{dials}")
        for failure in outcome.failures:
            print(f"  {failure}")
        if outcome.how != FORMULA or known.get(name, {}).get("how", FORMULA) == FORMULA:
            known[name] = outcome.to_dict()
    if given.write:
        ordered = {name: known[name] for name in TRAINERS if name in known}
        given.write.write_text(json.dumps({"schema": SCHEMA, "trainers": ordered}, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
