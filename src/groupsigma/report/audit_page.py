"""The page of an audit: findings, the dial on these problems, where they are, the run over time, the problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groupsigma import __version__
from groupsigma.audit import Audit
from groupsigma.bounds import region
from groupsigma.course import Course
from groupsigma.dial import Dial
from groupsigma.errors import ArgumentError
from groupsigma.findings import Finding
from groupsigma.groups import Groups
from groupsigma.mixture import mixture
from groupsigma.presets import spoken
from groupsigma.report.audit_pictures import audit_pictures, run_pictures
from groupsigma.report.crowd import crowd
from groupsigma.report.dial_pictures import dial_pictures
from groupsigma.report.marks import marks
from groupsigma.report.page import page, part, section
from groupsigma.report.picture import Picture, gallery
from groupsigma.report.rows import MOST, rows
from groupsigma.report.sizes import sizes
from groupsigma.report.tables import tabled
from groupsigma.screen import counted, groups_table, many

#: Beyond it a browser would compute for seconds at every turn.
_LARGEST = 1000


def check_size(group_size: int, option: str = "--html") -> None:
    """Refuse a group size that the page cannot compute."""
    if group_size > _LARGEST:
        raise ArgumentError(option, f"a group size of at most {_LARGEST:,}", f"{group_size:,}")


def audit_page(
    audit: Audit,
    findings: Sequence[Finding],
    groups: Groups,
    dial: Dial,
    *,
    course: Course | None = None,
    course_findings: Sequence[Finding] = (),
    batch: int = 64,
    price: float | None = None,
    at_rest: bool = False,
) -> tuple[str, list[Picture]]:
    """An audit as one self-contained HTML text, and the pictures in it, with at_rest more for files.

    Args: findings, course_findings: as `findings` and `course_findings` give them; batch: prompts of an update;
        price: of 1,000 rollouts; at_rest: also pictures of what moves on it.
    """
    tally = groups.tally()
    spread = mixture(tally) if tally.n_correct is not None else None
    data: dict[str, Any] = {}
    sections = [section("How groups divide", tabled(groups_table(audit)))]
    notes = [*audit.notes, *(course.notes if course is not None else ())]
    pictures: list[Picture] = []
    if audit.never is not None and audit.group_size > 1:
        found = crowd(tally, spread)
        where = None if spread is None else region(groups)
        told_by_size, points = sizes(audit, groups, tally, spread, where), marks(dial, audit.dial)
        data["dial-data"] = {
            "group_size": audit.group_size,
            "counted": many(audit.problems, audit.unit),
            "keep": dial.keep,
            "batch": batch,
            "price": price,
            "marks": points,
            "sizes": told_by_size,
            "crowd": found.to_dict(),
        }
        pictures += audit_pictures(audit, tally, spread, where, found)
        sections += [part("dial.html"), section("Where the problems are", gallery(pictures))]
        if at_rest:
            pictures += dial_pictures(audit, dial, found, told_by_size, points)
        if found.gathered:
            notes.append(f"{len(found.p):,} bins of solve rates stand for the {tally.problems:,} rates given")
    if course is not None:
        over_time = run_pictures(course)
        pictures += over_time
        sections.append(section("The run, step by step", gallery(over_time)))
    silent = "silent visits" if groups.graded else f"silent at G = {audit.group_size}"
    told = rows(groups, spread, audit.group_size, dial)
    data["problems-data"] = {
        **told,
        "rule": _rule(told, audit.group_size),
        "level": 95,
        "silent": silent,
        "update": f"update under {spoken(audit.dial)}",
    }
    sections.append(part("table.html"))
    text = page(
        audit.source or "groups",
        [counted(audit) + "."],
        {"What to know": findings, "The run over time": course_findings},
        sections,
        data,
        notes,
        f"groupsigma {__version__}, audit at G = {audit.group_size}, dial {spoken(audit.dial)}: {audit.formula}",
    )
    return text, pictures


def _rule(told: dict[str, Any], G: int) -> str:
    together = "; all visits of a problem together, so a rate that moved is a mean over the run" if any(
        "history" in row for row in told["rows"]
    ) else ""  # fmt: skip
    if any("update" in row for row in told["rows"]):
        together += "; updates are relative to the mean problem's"
    if told["all"] <= MOST:
        return f"All {told['all']:,}, the likeliest to be mixed first{together}."
    return (
        f"Of {told['all']:,} lines the {MOST // 2:,} likeliest to be mixed at G = {G} and the {MOST // 2:,} likeliest "
        f"to be silent; of equals, the first in the data{together}."
    )
