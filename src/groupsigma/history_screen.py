"""`reproduce history` as text: what was to be reached, every rule's scores, the shares by visit, calibration."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from groupsigma.experiments.history import BATCH, DISCOUNTED, LAST_VISIT, OURS, RECALIBRATED, SHARP, verdicts
from groupsigma.screen import table_of, verdict_table

_RULES = (
    f"error: mean over visits of |foretold − came| of the silent share, in points. {OURS}: beliefs that walk, each "
    f"prompt at its own pace; recalibrated: moved by one number, learned from the visits before. {LAST_VISIT}: its k/n "
    f"as if it were p. {BATCH}: of the visit before, as if all prompts were alike. {DISCOUNTED}: × 0.9 a visit from a "
    f"fitted Beta; {SHARP.split(', ')[1]}: × 0.7 from Beta(.3, .3), both numbers chosen with the run in sight."
)


def history_screen(found: dict[str, Any]) -> list[RenderableType]:
    """Everything `history` found."""
    head = (
        f"{found['groups']:,} groups of {found['group_size']} on {found['prompts']:,} prompts in order of visit, "
        f"{found['foretold']:,} foretold; chance alone is off by {100 * found['noise']:.2f} points a visit"
    )
    parts: list[RenderableType] = [Text("silence in a real GRPO run, foretold", style="bold"), Text(head), Text()]
    parts += [verdict_table(verdicts(found), ("reached", "not reached")), Text()]
    parts += [_rules(found), Text(_RULES, style="dim"), Text(), _visits(found), Text(), _calibration(found)]
    return parts


def _rules(found: dict[str, Any]) -> Table:
    table = table_of("rule", "error", "foretold", "came", "Brier", "log loss")
    for name, row in found["rules"].items():
        shares = (f"{100 * row['error']:.2f}", f"{row['predicted']:.1%}", f"{row['came']:.1%}")
        table.add_row(name, *shares, f"{row['brier']:.4f}", f"{row['log_loss']:.4f}")
    return table


def _visits(found: dict[str, Any]) -> Table:
    names = (OURS, RECALIBRATED, LAST_VISIT, DISCOUNTED, BATCH)
    table = table_of("visit", "came", *names)
    table.title = "silent share"
    for visit in (1, 5, *range(9, found["visits"], 8)):
        told = (found["foretold_by_visit"][name][visit] for name in names)
        table.add_row(str(visit), f"{found['came'][visit]:.1%}", *(f"{x:.1%}" for x in told))
    return table


def _calibration(found: dict[str, Any]) -> Table:
    table = table_of("chance foretold", "groups", "foretold", "came", "recalibrated: foretold", "came")
    again = {row["low"]: row for row in found["calibration"][RECALIBRATED]}
    for row in found["calibration"][OURS]:
        other = again.get(row["low"])
        more = ("", "") if other is None else (f"{other['predicted']:.1%}", f"{other['came']:.1%}")
        low = row["low"]
        table.add_row(
            f"{low:.1f} to {low + 0.1:.1f}",
            f"{row['groups']:,}",
            f"{row['predicted']:.1%}",
            f"{row['came']:.1%}",
            *more,
        )
    return table
