"""Print the table of trainers for docs/trainers.md, from what the suite found (docs/results/trainers.json)."""

import json
import sys
from pathlib import Path

from groupsigma.conformance.recorded import RECORDED
from groupsigma.conformance.trainers import TRAINERS
from groupsigma.presets import DIALS

FOUND = json.loads((Path(__file__).parent / "results" / "trainers.json").read_text())["trainers"]


def largest(numbers):
    """The largest advantage of a group, as text; NaN where one is."""
    if None in numbers:
        return "NaN"
    return f"{max(map(abs, numbers)):.2g}"


def main():
    """`trainers`: what each is and how it was tested; `traps`: the same groups, own and ours."""
    if sys.argv[1:] == ["traps"]:
        names = ("alone", "tie", "noise", "near tie", "unscored")
        print("largest |advantage|; the first four groups teach nothing, and ours is 0")
        print(f"{'trainer':<15}{'rule':<17}" + "".join(f"{name:>10}" for name in names) + "  tested")
        for name, found in FOUND.items():
            own = {group: numbers["own"] for group, numbers in found["traps"].items()}
            cells = "".join(f"{largest(own[group]) if group in own else '':>10}" for group in names)
            print(f"{name:<15}{TRAINERS[name].presets[0]:<17}{cells}  {found['how']}")
        return
    kinds = [group.kind for group in RECORDED.values()]
    print(f"{len(kinds)} recorded groups: {', '.join(f'{kinds.count(kind)} {kind}' for kind in dict.fromkeys(kinds))}")
    for name, found in FOUND.items():
        trainer = TRAINERS[name]
        print(f"{name} {found['version']}")
        for preset in trainer.presets:
            print(f"  {preset:<19}{DIALS[preset].formula}")
        print(f"  silent: {trainer.silent} · dynamic sampling: {trainer.refill} · unequal groups: {trainer.ragged}")
        print(f"  ours: {trainer.plug_in.replace('`', '')}")
        dials = f", {found['dials']} dials through the adapter" if found["dials"] else ""
        ulp = f"{found['ulp']['binary']:.0f} and {found['ulp']['graded']:.0f} ulp"
        print(f"  tested: {found['how']}, {found['groups']} groups, {ulp} on right-or-wrong and graded rewards{dials}")


main()
