"""The page of an audit: findings, the dial on these problems, where they are, the run over time, the problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groupsigma import __version__
from groupsigma.audit import Audit
from groupsigma.bounds import Region, region
from groupsigma.course import Course
from groupsigma.dial import Dial
from groupsigma.errors import ArgumentError
from groupsigma.findings import Finding
from groupsigma.groups import Groups
from groupsigma.mixture import Mixture, mixture
from groupsigma.presets import spoken
from groupsigma.report import charts
from groupsigma.report.crowd import Crowd, crowd
from groupsigma.report.marks import marks
from groupsigma.report.page import figure, page, part, section
from groupsigma.report.rows import MOST, rows
from groupsigma.report.sizes import sizes
from groupsigma.report.tables import tabled
from groupsigma.screen import counted, groups_table

#: Beyond it a browser would compute for seconds at every turn.
_LARGEST = 1000


def check_size(group_size: int) -> None:
    """Refuse a group size that the page cannot compute."""
    if group_size > _LARGEST:
        raise ArgumentError("--html", f"a group size of at most {_LARGEST:,}", f"{group_size:,}")


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
) -> str:
    """An audit as one self-contained HTML text.

    Args: findings, course_findings: as `findings` and `course_findings` give them; batch: prompts of an update;
        price: of 1,000 rollouts.
    """
    tally = groups.tally()
    spread = mixture(tally) if tally.n_correct is not None else None
    data: dict[str, Any] = {}
    sections = [section("How groups divide", tabled(groups_table(audit)))]
    if audit.never is not None and audit.group_size > 1:
        found = crowd(tally, spread)
        where = None if spread is None else region(groups)
        data["dial-data"] = {
            "group_size": audit.group_size,
            "problems": audit.problems,
            "keep": dial.keep,
            "batch": batch,
            "price": price,
            "marks": marks(dial, audit.dial),
            "sizes": sizes(audit, groups, tally, spread, where),
            "crowd": found.to_dict(),
        }
        sections += [part("dial.html"), _where(audit, tally, spread, where, found)]
    if course is not None:
        sections.append(_over_time(course))
    silent = "silent visits" if groups.graded else f"silent at G = {audit.group_size}"
    told = rows(groups, spread, audit.group_size)
    data["problems-data"] = {**told, "rule": _rule(told, audit.group_size), "level": 95, "silent": silent}
    sections.append(part("table.html"))
    notes = [*audit.notes, *(course.notes if course is not None else ())]
    if audit.never is not None and data["dial-data"]["crowd"]["gathered"]:
        notes.append(f"{len(found.p):,} bins of solve rates stand for the {tally.problems:,} rates given")
    return page(
        audit.source or "groups",
        [counted(audit) + "."],
        {"What to know": findings, "The run over time": course_findings},
        sections,
        data,
        notes,
        f"groupsigma {__version__}, audit at G = {audit.group_size}, dial {spoken(audit.dial)}: {audit.formula}",
    )


def _where(audit: Audit, tally: Groups, spread: Mixture | None, where: Region | None, found: Crowd) -> str:
    G = audit.group_size
    known = "Bars: problems by k/n" if spread is not None else "The rates as given"
    fitted = ""
    if spread is not None:
        fitted = "; circles: the fitted spread of p, from which k/n of few answers strays"
        fitted += ", bars on them its 95% interval" if charts.promises(where) else ""
    return section(
        "Where the problems are",
        '<div class="pair">',
        figure(
            "Difficulty, as logged and as estimated",
            f"{known}, the darker part never or always solved{fitted}.",
            charts.difficulty(audit, tally, spread, where),
            f"never solved {audit.never:.1%}, always solved {audit.always:.1%} of {audit.problems:,} problems",
        ),
        figure(
            "Fidelity, and the data on it",
            f"GRPO's share of its large-G update, E[σ]/√(p(1−p)), darker is more; lines 80, 90, 95%. "
            f"Strip below: where the {audit.problems:,} problems are.",
            charts.fidelity_map(found, G),
            "fidelity rises with the group size, fastest for problems solved half of the time",
        ),
        figure(
            "The group size a fidelity needs",
            "GRPO; solid exact, dashed the asymptotic law, which is too small.",
            charts.required(G),
            "group size by solve rate for a fidelity of 90, 95 and 99%: least at one half, growing as 1/p at the ends",
        ),
        "</div>",
    )


def _over_time(course: Course) -> str:
    first, last = course.windows[0], course.windows[-1]
    figures = [
        figure(
            "Silent groups, as they came and as foretold",
            "By window of steps. Foretold: p^G + (1−p)^G at the difficulty believed before each group came.",
            charts.silence_over_time(course),
            f"silent {first.silent:.1%} at first, {last.silent:.1%} at last",
        )
    ]
    if course.whole.gradient is not None:
        figures.append(
            figure(
                f"Where {spoken(course.dial)}'s update went",
                "Share by difficulty as believed at the time, by window of steps.",
                charts.gradient_over_time(course),
                ", ".join(f"{band} {share:.1%}" for band, share in course.whole.gradient.items()),
            )
        )
    return section("The run, step by step", '<div class="pair">', *figures, "</div>")


def _rule(told: dict[str, Any], G: int) -> str:
    together = "; all visits of a problem together, so a rate that moved is a mean over the run" if any(
        "history" in row for row in told["rows"]
    ) else ""  # fmt: skip
    if told["all"] <= MOST:
        return f"All {told['all']:,}, the likeliest to be mixed first{together}."
    return (
        f"Of {told['all']:,} lines the {MOST // 2:,} likeliest to be mixed at G = {G} and the {MOST // 2:,} likeliest "
        f"to be silent; of equals, the first in the data{together}."
    )
