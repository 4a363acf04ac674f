"""`reproduce history` as a picture: silence by visit, the errors of the rules, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from groupsigma.experiments.history import BATCH, DISCOUNTED, LAST_VISIT, OURS, RECALIBRATED
from groupsigma.figures import COLORS, INK, PALE, Axes, Dot, panel, ranking, row


def history_figures(found: dict[str, Any]) -> dict[str, Any]:
    """The chart by file name, from the results of `history`."""
    visit, wine = np.arange(1, found["visits"]), COLORS["plan"]
    told = {name: np.array(x[1:], dtype=np.float64) for name, x in found["foretold_by_visit"].items()}
    a = Axes(
        "visit to the same problem", "silent share of groups", (0, 10, 20, 30, 40, 50), (0.4, 0.5, 0.6), percent=True
    )
    silence = [
        a.line(visit, told[LAST_VISIT], COLORS["dr-grpo"], width=1.5),
        a.line(visit, told[DISCOUNTED], PALE, width=1.5, dash=(4, 3)),
        a.line(visit, told[OURS], wine, width=1.5, dash=(5, 3)),
        a.line(visit, told[RECALIBRATED], wine),
        a.points(visit, found["came"][1:], INK),
        a.label(24, 0.552, "last visit as if p", COLORS["dr-grpo"]),
        a.label(22, 0.452, "our beliefs, recali-\nbrated (dashed: not)", wine),
        a.label(22, 0.42, "discounted Beta, dashed", PALE),
        a.label(1.5, 0.512, "circles: came", INK),
    ]
    tenths = (0, 0.2, 0.4, 0.6, 0.8, 1)
    b = Axes("chance of silence foretold", "came silent", tenths, percent=True)
    bins = found["calibration"][OURS]
    calibration = [
        b.line([0, 1], [0, 1], PALE, width=1),
        b.points([r["predicted"] for r in bins], [r["came"] for r in bins], wine, size=40),
        b.label(0.04, 0.93, "our beliefs,\nten bins", wine),
    ]
    dots = [
        Dot(name, x := 100 * rule["error"], x, x, f"{x:.1f}", wine if name in (OURS, RECALIBRATED) else INK)
        for name, rule in sorted(found["rules"].items(), key=lambda item: item[1]["error"])
        if name != BATCH
    ]
    chance = 100 * found["noise"]
    dots.insert(0, Dot("chance alone", chance, chance, chance, f"{chance:.1f}", PALE, hollow=True))
    off = 100 * found["rules"][BATCH]["error"]
    caption = (
        f"{found['groups']:,} groups of {found['group_size']} on {found['prompts']:,} problems; each is foretold from "
        f"its problem’s earlier visits only; the batch mean as p, not shown, is off by {off:.0f} points"
    )
    return {
        "history": row(
            "Silence in a real GRPO run, foretold",
            caption,
            panel("a  Visit by visit", *silence),
            panel("b  Are chances what they say?", *calibration),
            ranking("c  Mean error of a visit’s share", "points", (0, 2, 4, 6, 8, 10), dots),
        )
    }
