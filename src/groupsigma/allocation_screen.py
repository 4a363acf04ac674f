"""`reproduce allocation` as text: what was to be reached, then the static and the dynamic tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from groupsigma.experiments.allocation import OURS, dynamic_rows, static_rows, verdicts
from groupsigma.experiments.static import ANSWERS, MOST, PROBLEMS
from groupsigma.screen import many, table_of, verdict_table


def allocation_screen(found: dict[str, Any]) -> list[RenderableType]:
    """Everything `allocation` found."""
    parts: list[RenderableType] = [Text("who gets how many tries", style="bold")]
    if found["quick"]:
        parts.append(Text("a quick look: few rules and draws, a third of the answers; its verdicts are no verdicts"))
    parts += [Text(), verdict_table(verdicts(found), ("reached", "not reached")), Text(), Text(_STATIC), Text()]
    for table in found["static"]:
        parts += [_static(table), Text()]
    parts += [Text(_DYNAMIC), Text()]
    for table in found["dynamic"]:
        parts += [Text(described(table), style="bold"), _dynamic(table), Text()]
    return parts


_STATIC = (
    f"static: one step of {ANSWERS:,} answers on {PROBLEMS:,} problems spread as Big-Math's, nothing learns; every "
    f"rule at its best knobs. Ours: plan, at most {MOST} tries, for the goal named; one by one decides after each "
    "answer. oracle: knows every solve rate. dual bound: no rule with these beliefs expects more mixed groups."
)
_DYNAMIC = (
    "dynamic: training until a held-out solve rate is reached; settings are chosen on other draws, for every rule "
    "from the same grid: its knobs, the dial (/sum: every answer counts the same instead of every group; own: the "
    "rule's own weights) and the step size. answers: median over the draws, never where no more than half got there. "
    "× plan: answers for each of the plan's, draw by draw, geometric mean and 95 % interval; > where some "
    "draws never got there and count as twice the budget. saving: of what the oracle saves over GRPO G=8. solved: "
    "mean solve rate over the budget."
)


def _static(table: dict[str, Any]) -> Table:
    shown = table_of("rule and knobs", "mixed / 1,000 answers", "pairs / 1,000", "× GRPO G=8")
    shown.title = f"{many(table['past'], 'past try').replace('trys', 'tries')} of each problem, {table['draws']} draws"
    for name, mixed, error, pairs, ratio in static_rows(table):
        shown.add_row(name, f"{mixed:.1f} ± {error:.1f}", f"{pairs:.1f}" if isfinite(pairs) else "–", f"{ratio:.2f}")
    return shown


def described(table: dict[str, Any]) -> str:
    """The family in words."""
    family, draws = table["what"], len(table["rules"][OURS]["answers"])
    skills = "one skill" if family["skills"] == 1 else f"{family['skills']} skills, known"
    told = [
        f"{family['problems']:,} problems of {skills}, cosine ρ = {family['shared']:g} between two of a skill",
        f"score noise τ = {family['noise']:g} in {family['width']} dimensions" if family["noise"] else "no score noise",
    ]
    if family["hint"] is not None:
        told.append(f"published solve rates known, {family['hint']:g} in log-odds off")
    told.append(f"{family['batch']:,} answers a step, {table['budget']:,} in all")
    told.append(f"target {table['target']:.3g}, {many(draws, 'draw')}")
    return f"{table['family']}: {'; '.join(told)}"


def _dynamic(table: dict[str, Any]) -> Table:
    shown = table_of("rule", "setting", "step", "answers", "× plan", "saving", "solved")
    shown.columns[1].justify = "left"
    shown.columns[1].no_wrap = False
    for name, _, answers, ratio, saving, area in dynamic_rows(table):
        row = table["rules"][name]
        shown.add_row(
            name,
            _setting(row),
            f"{row['step_size']:g}",
            f"{answers:,.0f}" if isfinite(answers) else "never",
            "1" if name == OURS else _times(ratio, any(a is None for a in row["answers"])),
            f"{round(100 * saving)}%" if isfinite(saving) else "–",
            f"{area:.3f}",
        )
    return shown


def _setting(row: dict[str, Any]) -> str:
    knobs = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in row["knobs"].items())
    return "; ".join(x for x in (knobs, row["weight"]) if x)


def _times(ratio: Sequence[float], beyond: bool) -> str:
    value, low, high = ratio
    form = ".2f" if value < 2 else ".1f"
    return f"{'> ' if beyond else ''}{value:{form}} ({low:{form}} to {high:{form}})"
