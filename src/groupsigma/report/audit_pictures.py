"""The pictures of an audit and of a run."""

from __future__ import annotations

from groupsigma.audit import Audit
from groupsigma.bounds import Region
from groupsigma.course import Course
from groupsigma.groups import Groups
from groupsigma.mixture import Mixture
from groupsigma.presets import spoken
from groupsigma.report import charts
from groupsigma.report.crowd import Crowd
from groupsigma.report.picture import Picture
from groupsigma.screen import many


def audit_pictures(
    audit: Audit, tally: Groups, spread: Mixture | None, where: Region | None, found: Crowd
) -> tuple[Picture, ...]:
    """Difficulty, fidelity with the data on it, and the group size that a fidelity needs."""
    G = audit.group_size
    known = "Bars: problems by k/n" if spread is not None else "The rates as given"
    fitted = ""
    if spread is not None:
        fitted = "; circles: the fitted spread of p, from which k/n of few answers strays"
        fitted += ", bars on them its 95% interval" if charts.promises(where) else ""
    return (
        Picture(
            "difficulty",
            "Difficulty, as logged and as estimated" if spread is not None else "Difficulty, as given",
            f"{known}, the darker part never or always solved{fitted}.",
            f"never solved {audit.never:.1%}, always solved {audit.always:.1%} of {many(audit.problems, audit.unit)}",
            charts.difficulty(audit, tally, spread, where),
        ),
        Picture(
            "fidelity",
            "Fidelity, and the data on it",
            "GRPO's share of its large-G update, E[σ]/√(p(1−p)), darker is more; lines 80, 90, 95%. "
            f"Strip below: where the {many(audit.problems, audit.unit)} are.",
            "fidelity rises with the group size, fastest for problems solved half of the time",
            charts.fidelity_map(found, G),
        ),
        Picture(
            "required",
            "The group size a fidelity needs",
            "GRPO; solid exact, dashed the asymptotic law, which is too small.",
            "group size by solve rate for a fidelity of 90, 95 and 99%: least at one half, growing as 1/p at the ends",
            charts.required(G),
        ),
    )


def run_pictures(course: Course) -> tuple[Picture, ...]:
    """Silence as it came and as foretold, and where the update went; this one not for graded rewards."""
    first, last = course.windows[0], course.windows[-1]
    silence = Picture(
        "silence",
        "Silent groups, as they came and as foretold",
        "By window of steps. Foretold: p^G + (1−p)^G at the difficulty believed before each group came.",
        f"silent {first.silent:.1%} at first, {last.silent:.1%} at last",
        charts.silence_over_time(course),
    )
    if course.whole.gradient is None:
        return (silence,)
    gradient = Picture(
        "gradient",
        f"Where {spoken(course.dial)}'s update went",
        "Share by difficulty as believed at the time, by window of steps.",
        ", ".join(f"{band} {share:.1%}" for band, share in course.whole.gradient.items()),
        charts.gradient_over_time(course),
    )
    return silence, gradient
