"""The pages of `reproduce`: every claim beside what came out here; an experiment with its verdicts; figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rich.console import RenderableType

from groupsigma import __version__
from groupsigma.experiments.claims import MEANING, Result
from groupsigma.report.page import page, section
from groupsigma.report.picture import inlined
from groupsigma.report.tables import screened, tabled
from groupsigma.screen import many, table_of

_MADE = f"groupsigma {__version__}, reproduce"


def claims_page(results: Sequence[Result], charts: Mapping[str, Mapping[str, Any]]) -> str:
    """Claims by part, the published numbers beside ours, under their figures; charts: by part and name."""
    tally = {verdict: sum(r.verdict == verdict for r in results) for verdict in MEANING}
    lead = [f"{n:,} {verdict}: {MEANING[verdict]}." for verdict, n in tally.items() if n]
    parts = dict.fromkeys(r.name.split("/")[0] for r in results)
    sections = [
        section(
            part,
            _figures(charts.get(part, {})),
            _claims([r for r in results if r.name.split("/")[0] == part]),
            kind="claims",
        )
        for part in parts
    ]
    title = f"{many(len(results), 'claim')}, computed here"
    return page(title, lead, {}, sections, made_by=_MADE)


def experiment_page(name: str, parts: Sequence[RenderableType], charts: Mapping[str, Any]) -> str:
    """An experiment: its figures, and its verdicts and tables as the screen has them."""
    pictures = [section("In pictures", _figures(charts))] if charts else []
    return page(f"reproduce {name}", [], {}, [*pictures, section("In numbers", screened(parts))], made_by=_MADE)


def _claims(results: Sequence[Result]) -> str:
    table = table_of("claim", "", "what it says", "where", "paper", "ours")
    for r in results:
        paper, ours = ("  ".join(format(x, r.form) for x in numbers) for numbers in (r.published, r.ours))
        within = "  ±" + "  ".join(format(x, r.form) for x in r.within) if r.within else ""
        says = f"{r.says} ({r.comment})" if r.comment else r.says
        table.add_row(r.name.split("/", 1)[-1], r.verdict, says, r.where, paper + within, ours)
    return tabled(table)


def _figures(charts: Mapping[str, Any]) -> str:
    return "".join(
        f'<figure class="wide"><div class="scroll"><div class="chart broad" role="img" aria-label="{escape(name)}">'
        f"{inlined(name, chart)}</div></div></figure>"
        for name, chart in charts.items()
    )
