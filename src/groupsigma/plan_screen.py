"""A plan as text: what it is worth, what it changes, where the tries go, and the problems at both ends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from groupsigma.bands import INTERIOR, band_of
from groupsigma.checks import Floats, Ints
from groupsigma.law import expected_gain, limit_gain
from groupsigma.plan import Plan
from groupsigma.presets import spoken
from groupsigma.screen import many, table_of
from groupsigma.value import MEANING

#: An id is cut to this many letters.
_ID = 32
#: What the value counts, for the sentence that says what it is not.
_COUNTS = {
    "signal": "contrast per answer",
    "contrast": "contrast per answer",
    "coverage": "mixed groups",
    "gain": "the size of the update",
}
_WEIGHTS = {
    "equal": "equal, every group counts the same in the loss",
    "proportional": "proportional, every answer counts the same in the loss",
    "dial": "dial, every group counts so that its expected update is the large-G one",
}
_LATER = (
    "dropped is for now: keep the beliefs, let them age back towards the population as the policy moves "
    "(Beliefs.advance), and plan again"
)


def plan_screen(plan: Plan, top: int, dial: str) -> list[RenderableType]:
    """The plan in one screen; `top` rows of the table, `dial` as it was asked for."""
    about = plan.beliefs
    seen = float(about.seen @ about.count)
    head = many(int(about.count.sum()), "problem") + (f", {int(seen):,} answers seen" if seen else ", solve rates only")
    left = plan.budget - plan.planned.cost
    spare = f", {_number(left)} of them left over" if left > 1e-9 * plan.budget else ""
    aim = f" (half is had at {plan.goal.saturation:g} pairs)" if plan.goal.name == "signal" else ""
    parts: list[RenderableType] = [
        Text(plan.source or "beliefs", style="bold"),
        Text(f"{head}; budget {_number(plan.budget)} {_unit(plan)}{spare}"),
        Text(f"goal {plan.goal.name}: {MEANING[plan.goal.name]}{aim}; dial {spoken(dial)}"),
        Text(),
        Text(certificate(plan)),
        Text(),
        totals_table(plan),
        Text(),
        bands_table(plan),
        Text(),
    ]
    if top:
        parts += [_rows_table(plan, top), Text()]
    parts += [Text(line) for line in sayings(plan)]
    parts += [Text(f"note: {note}", style="dim") for note in plan.notes]
    return parts


def certificate(plan: Plan) -> str:
    """What the plan is worth, and how far that is from the best."""
    goal, gap = plan.goal.name, plan.gap
    among = f"any plan of this budget can {'have' if goal == 'variance' else 'reach'} under these beliefs"
    if goal == "variance":
        more = "the least" if gap < 1e-9 else f"at most {math.ceil(gap * 1e4) / 1e4:.2%} above the least"
        return f"variance {more} that {among}; that is variance of the update, not learning"
    if goal == "fidelity":
        return (
            f"at least {_least_fidelity(plan):.3f} of the dial's large-G update on every problem; "
            "closeness to that objective, not learning per answer"
        )
    if gap < 1e-9:
        text = f"value {_number(plan.value)}: no plan of this budget is worth more under these beliefs"
    else:
        share = f"{math.floor((1 - gap) * 1e4) / 1e4:.2%}"
        text = f"value {_number(plan.value)}: {share} of what {among}, at most {_number(plan.bound)}"
    text += f"; that is {_COUNTS[goal]}, not learning"
    if plan.price > 0 and plan.planned.cost:
        each = plan.value / plan.planned.cost
        unit = "answer" if _unit(plan) == "answers" else "unit of cost"
        text += f"\nthe last {unit} bought {plan.price:.3g}, the average one {each:.3g}"
    return text


def _least_fidelity(plan: Plan) -> float:
    """The smallest share of its large-G update that a problem gets, with the caps."""
    about, dial = plan.beliefs, plan.goal.dial
    sizes, at = np.unique(plan.tries, return_inverse=True)
    table = np.stack([expected_gain(about.p, int(G), dial) if G else np.zeros_like(about.p) for G in sizes])
    weight = about.weight[plan.row]
    reached = (weight * table[at]).sum(1) / np.maximum(weight @ limit_gain(about.p, dial), 1e-300)
    return float(reached[plan.count > 0].min())


def totals_table(plan: Plan) -> Table:
    """What it brings beside a uniform run of the same cost."""
    before, after = plan.uniform, plan.planned
    table = table_of("expected, for the same cost", f"uniform G = {plan.reference_size}", "plan", "ratio")
    rows: list[tuple[str, float, float]] = [
        ("groups", before.problems, after.problems),
        ("rollouts", before.rollouts, after.rollouts),
        ("mixed groups", before.mixed, after.mixed),
        ("mixed groups per 1,000 rollouts", _per(before.mixed, before.rollouts), _per(after.mixed, after.rollouts)),
        ("silent rollouts", before.silent_rollouts, after.silent_rollouts),
        ("effective contrast pairs", before.contrast, after.contrast),
        ("gain, summed over groups", before.gain, after.gain),
    ]
    if _unit(plan) != "answers":
        rows.append(("cost", before.cost, after.cost))
    for name, old, new in rows:
        table.add_row(name, _number(old), _number(new), f"{new / old:.2f}" if old > 0 else "–")
        if name == "silent rollouts":
            shares = [t.silent_rollouts / t.rollouts if t.rollouts else 0.0 for t in (before, after)]
            table.add_row("silent share of rollouts", *(f"{s:.1%}" for s in shares), "")
    return table


def bands_table(plan: Plan) -> Table:
    """Where the tries go, by believed difficulty."""
    table = table_of("solved, as believed", "problems", "tried", "tries each", "of the budget", "of a uniform one")
    band = band_of(plan.solve_rate)
    spent = plan.count * plan.tries * plan.cost[plan.row]
    even = plan.count * plan.cost[plan.row]
    for number, name in enumerate(INTERIOR):
        here = band == number
        n, tried = int(plan.count[here].sum()), here & (plan.tries > 0) & (plan.count > 0)
        low, high = (int(plan.tries[tried].min()), int(plan.tries[tried].max())) if tried.any() else (0, 0)
        each = "–" if not high else str(low) if low == high else f"{low} to {high}"
        shares = (_share(spent, here), _share(even, here))
        table.add_row(name, f"{n:,}", f"{int(plan.count[tried].sum()):,}", each, *(f"{s:.1%}" for s in shares))
    return table


def _rows_table(plan: Plan, top: int) -> Table:
    """Most tries first, then dropped problems, the likeliest to split first; a quarter of the rows is theirs.

    Where rows stand for many problems neighbours are alike: they are taken evenly from both lists.
    """
    several = bool((plan.count > 1).any())
    tried, idle = (np.flatnonzero((plan.count > 0) & held) for held in (plan.tries > 0, plan.tries == 0))
    tried = tried[np.lexsort((tried, plan.silent[tried], -plan.tries[tried]))]
    idle = idle[np.lexsort((idle, plan.silent[idle]))]
    few = min(len(idle), max(top // 4, top - len(tried)))
    shown, after = (_some(rows, n, several) for rows, n in ((tried, min(len(tried), top - few)), (idle, few)))
    chosen = np.concatenate([shown, after])
    low, high = plan.interval
    several = bool((plan.count > 1).any())
    table = table_of(
        "problems" if several else "problem", "solve rate", "90% interval", "tries", "weight", "silent", "why"
    )
    table.columns[-1].justify = "left"
    ids = np.asarray(plan.beliefs.prompt_ids)[plan.row[chosen]].tolist()
    why = plan.why
    for i, label in zip(chosen, ids, strict=True):
        table.add_row(
            f"{plan.count[i]:,}" if several else _label(label),
            f"{plan.solve_rate[i]:.3f}",
            f"{low[i]:.3f} to {high[i]:.3f}",
            str(plan.tries[i]),
            f"{plan.weight[i]:.2f}" if plan.tries[i] else "",
            f"{plan.silent[i]:.1%}",
            why[i],
        )
    if len(chosen) < len(tried) + len(idle):
        ends = f", then {len(after):,} of {len(idle):,} dropped" if len(after) else ""
        evenly = ", taken evenly" if several else ""
        table.title = f"{len(shown):,} of {len(tried):,} rows tried{ends}{evenly}"
    return table


def _some(rows: Ints, n: int, evenly: bool) -> Ints:
    """n of the rows: the first, or evenly from first to last."""
    return rows[np.linspace(0, len(rows) - 1, n).round().astype(int)] if evenly and n else rows[:n]


def sayings(plan: Plan) -> list[str]:
    """How many are dropped and why, how many promoted, what the columns mean, and what the goal is good for."""
    G, why = plan.reference_size, np.array(plan.why)
    dropped = plan.tries == 0
    lines = [
        f"more than {G} tries: {many(int(plan.count[plan.tries > G].sum()), 'problem')}; "
        f"{G} or fewer: {int(plan.count[~dropped & (plan.tries <= G)].sum()):,}; "
        f"none: {int(plan.count[dropped].sum()):,}"
    ]
    if plan.count[dropped].any():
        each = {word: int(plan.count[dropped & (why == word)].sum()) for word in dict.fromkeys(why[dropped].tolist())}
        reasons = [f"{n:,} {word}" for word, n in each.items() if n]
        lines[0] += f" ({', '.join(reasons)})"
        lines.append(_LATER)
    lines.append(f"silent: chance that the group teaches nothing; of dropped problems, that of a group of {G}")
    lines.append(f"weight: {_WEIGHTS[plan.weighting]}")
    if plan.goal.name == "fidelity":
        spent = plan.count * plan.tries * plan.cost[plan.row]
        ends = _share(spent, abs(plan.solve_rate - 0.5) > 0.4)
        lines.append(
            "fidelity is for keeping finite groups close to the large-G objective, not for learning per answer: "
            f"problems solved less than 10% or more than 90% of the time get {ends:.1%} of this budget"
        )
    return lines


def _unit(plan: Plan) -> str:
    return "answers" if bool((plan.cost == 1).all()) else "units of cost"


def _share(part: Floats, here: NDArray[np.bool_]) -> float:
    return float(part[here].sum() / part.sum()) if part.any() else 0.0


def _per(part: float, whole: float) -> float:
    return 1000 * part / whole if whole else 0.0


def _number(x: float) -> str:
    """Whole where it is a count or large, four digits otherwise."""
    return f"{x:,.0f}" if abs(x) >= 1000 or float(x).is_integer() else f"{x:.4g}"


def _label(value: Any) -> str:
    """An id on one short line: a prompt's text may be the id."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text if len(text) <= _ID else text[: _ID - 1] + "…"
