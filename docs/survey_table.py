"""Print how wide an interval on the silent share gets, for docs/estimators.md."""

import groupsigma as gs

spread = gs.mixture(gs.load("bigmath"))
sizes = (100, 1_000, 10_000, 100_000)
print("width in points of the 95% interval on the silent share, solve rates spread as Big-Math's")
print(f"{'answers n':>9} {'G':>4}" + "".join(f"{problems:>10,}" for problems in sizes) + "  problems")
for n in (4, 8, 16, 32):
    for G in (8, 16, 32):
        widths = [100 * gs.interval_width(spread, problems, n, G) for problems in sizes]
        print(f"{n:>9} {G:>4}" + "".join(f"{width:>10.1f}" for width in widths))
