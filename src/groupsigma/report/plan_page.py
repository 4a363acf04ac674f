"""The page of a plan: what it is worth, where the tries go, and the problems with theirs."""

from __future__ import annotations

from typing import Any

import numpy as np

from groupsigma import __version__
from groupsigma.bands import INTERIOR, band_of
from groupsigma.figures import COLORS, INK, Axes
from groupsigma.findings import Finding
from groupsigma.plan import Plan
from groupsigma.plan_screen import bands_table, certificate, sayings, totals_table
from groupsigma.presets import spoken
from groupsigma.report.charts import nice
from groupsigma.report.page import page, part, section
from groupsigma.report.picture import Picture, gallery, layered
from groupsigma.report.rows import MOST, named
from groupsigma.report.tables import tabled
from groupsigma.screen import many


def plan_page(plan: Plan, dial: str) -> tuple[str, list[Picture]]:
    """A plan as one self-contained HTML text, and the pictures in it; `dial` as it was asked for."""
    problems = int(plan.beliefs.count.sum())
    told = _rows(plan)
    data = {"all": len(plan.row), "graded": False, "exact": False, "rows": told}
    rule = f"All {len(plan.row):,} lines, most tries first."
    if len(plan.row) > MOST:
        rule = f"Of {len(plan.row):,} lines the {MOST // 2:,} first and last, by tries, then by silence; --csv has all."
    lead = f"{many(problems, 'problem')}; budget {plan.budget:,.0f}; goal {plan.goal.name}; dial {spoken(dial)}."
    pictures = [
        Picture(
            "spending",
            "Where the tries go",
            "Share of the budget by believed solve rate; pale: of a uniform run.",
            "the table beside has the numbers",
            _spending(plan),
        ),
        Picture(
            "tries",
            "Tries by solve rate",
            f"{plan.caps[0]} to {plan.caps[1]} tries are allowed, 0 for those left out; n = {problems:,} problems.",
            "tries of a problem against its believed solve rate",
            _tries(plan),
        ),
    ]
    text = page(
        f"A plan for {plan.source or 'these problems'}",
        [lead],
        {"What it brings": _findings(plan)},
        [
            section(
                "What it changes",
                tabled(totals_table(plan)),
                gallery(pictures),
                tabled(bands_table(plan)),
            ),
            part("table.html"),
        ],
        {"problems-data": {**data, "rule": rule, "level": 90, "silent": "silent"}},
        [*sayings(plan), *plan.notes],
        f"groupsigma {__version__}, plan",
    )
    return text, pictures


def _findings(plan: Plan) -> list[Finding]:
    before, after = plan.uniform, plan.planned
    silent = [t.silent_rollouts / t.rollouts if t.rollouts else 0.0 for t in (before, after)]
    pairs = after.contrast / before.contrast if before.contrast else float("inf")
    said = [
        Finding(
            f"Answers in silent groups go from {silent[0]:.1%} to {silent[1]:.1%}, for the same cost",
            f"against a uniform G = {plan.reference_size}: {pairs:.2f} times the effective contrast pairs, "
            f"{after.mixed:,.0f} mixed groups for {before.mixed:,.0f}",
            certificate(plan).replace("\n", "; "),
        )
    ]
    dropped = int(plan.count[plan.tries == 0].sum())
    if dropped:
        counts, *later = sayings(plan)
        said.append(Finding(f"{many(dropped, 'problem')} get no tries for now", counts, later[0]))
    return said


def _spending(plan: Plan) -> Any:
    band = band_of(plan.solve_rate)
    spent, even = (x / x.sum() for x in (
        np.bincount(band, plan.count * plan.tries * plan.cost[plan.row], len(INTERIOR)),
        np.bincount(band, plan.count * plan.cost[plan.row], len(INTERIOR)),
    ))  # fmt: skip
    top = nice(float(max(spent.max(), even.max())))
    axes = Axes(
        "solve rate as believed",
        "share of the budget",
        (0, 0.1, 0.4, 0.6, 0.9, 1),
        tuple(top * i / 4 for i in range(5)),
        True,
    )
    low, high, zero = np.array([0, 0.1, 0.4, 0.6, 0.9]), np.array([0.1, 0.4, 0.6, 0.9, 1]), np.zeros(5)
    strong = np.full(5, 0.3)
    layers = [axes.cells(low + 0.004, high - 0.004, zero, even, strong, "#8a8a8a")]
    layers.append(axes.cells(low + 0.02, high - 0.02, zero, spent, 2.5 * strong, COLORS["plan"]))
    layers += [
        axes.label(float(m), float(s) + 0.03 * top, f"{s:.1%}", INK, "center")
        for m, s in zip((low + high) / 2, spent, strict=True)
    ]
    return layered(*layers)


def _tries(plan: Plan) -> Any:
    most = 4.0 * np.ceil(max(plan.tries.max(), 1) / 4)
    axes = Axes("solve rate as believed", "tries", (0, 0.2, 0.4, 0.6, 0.8, 1), tuple(most * i / 4 for i in range(5)))
    # As many marks as can be told apart.
    places = np.unique(np.stack([plan.solve_rate.round(2), plan.tries]), axis=1)
    return layered(axes.points(places[0], places[1], COLORS["plan"], size=26))


def _rows(plan: Plan) -> list[dict[str, Any]]:
    order = np.lexsort((plan.silent, -plan.tries))
    if len(order) > MOST:
        order = np.concatenate([order[: MOST // 2], order[-(MOST // 2) :]])
    ids = np.asarray(plan.beliefs.prompt_ids)[plan.row[order]].tolist()
    low, high = plan.interval
    why = plan.why
    out = []
    for i, label in zip(order.tolist(), ids, strict=True):
        numbers = dict(rate=plan.solve_rate[i], low=low[i], high=high[i], silent=plan.silent[i], weight=plan.weight[i])
        out.append(
            {**named(label), "count": int(plan.count[i])}
            | {name: float(value) for name, value in numbers.items()}
            | {"tries": int(plan.tries[i]), "answers": int(plan.seen[i]), "why": why[i]}
        )  # fmt: skip
    return out
