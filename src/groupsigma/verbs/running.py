"""What audit says of a run: its course, a trainer's own numbers, and a log that is still being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from groupsigma.errors import ArgumentError, SourceError
from groupsigma.limits import Limit, met
from groupsigma.verbs.told import fail_if, print_json
from groupsigma.verbs.written import show_looks, write_page

#: A file that cannot be read is being written; when it has not changed for so many looks it is broken.
_PATIENCE = 3


def over_time(groups: Any, window: int | None, cost_per_1k: float | None, dial: Any, dial_name: str) -> Any:
    """The course of a log that has several steps; None for another, which the options of a run do not fit."""
    from groupsigma.course import course

    steps = groups.step
    if steps is not None and groups.rate is None and (groups.count == 1).all() and (steps != steps[0]).any():
        return course(groups, window=window, dial=dial, dial_name=dial_name, cost_per_1k=cost_per_1k)
    for option, value in {"--window": window, "--cost-per-1k-rollouts": cost_per_1k}.items():
        if value is not None:
            raise ArgumentError(option, "a log with several steps", "none", hint="name their column with --step")
    return None


def described(course: Any, findings: Any) -> dict[str, Any]:
    """A course as JSON has it."""
    return {**course.to_dict(), "findings": [vars(f) for f in findings]}


def filtered(
    groups: Any, as_json: bool, limits: Sequence[Limit], html: str | None = None, figures: Path | None = None
) -> bool:
    """Says that a log which may be filtered lacks its silent groups, in place of wrong shares; whether it did."""
    if groups.intake is None or not groups.intake.filter:
        return False
    from groupsigma.removed import LIKELY, silent_removed

    removed = silent_removed(groups, LIKELY)
    if removed is None or not removed.removed:
        return False
    from groupsigma.course_findings import removed_finding

    finding = removed_finding(removed)
    metrics = {"silent_removed": removed.low}
    failed = met(limits, metrics, "log without its silent groups")
    if html is not None:
        from groupsigma.report.removed_page import removed_page

        write_page(html, removed_page(groups, finding))
    if figures is not None:
        typer.echo("no figures: without its silent groups a log has no shares to draw", err=True)
    if as_json:
        told = {"silent": None, "removed": removed.to_dict(), "findings": [vars(finding)], "notes": list(groups.notes)}
        print_json({"schema": "groupsigma.removed/1", "source": groups.source, **told, "metrics": metrics})
    elif html != "-":
        from groupsigma.course_screen import removed_screen
        from groupsigma.screen import show

        show(removed_screen(groups, removed, [finding]))
    fail_if(failed)
    return True


def own_numbers(
    sources: Sequence[str],
    as_json: bool,
    limits: Sequence[Limit],
    html: str | None = None,
    figures: Path | None = None,
) -> bool:
    """Says what a trainer's own numbers tell, where the source is a log of them; whether it was."""
    from groupsigma.readers.scalars import read_scalars

    if len(sources) != 1 or not Path(sources[0]).is_file():
        return False
    scalars = read_scalars(sources[0])
    if scalars is None:
        return False
    from groupsigma.scalar_course import scalar_course

    found = scalar_course(scalars)
    metrics = found.metrics()
    failed = met(limits, metrics, "log of scalars")

    def looks() -> Any:
        from groupsigma.report.scalar_page import scalar_page

        return scalar_page(found)

    show_looks(html, figures, looks)
    if as_json:
        print_json({**found.to_dict(), "metrics": metrics})
    elif html != "-":
        from groupsigma.scalar_screen import scalar_screen
        from groupsigma.screen import show

        show(scalar_screen(found))
    fail_if(failed)
    return True


def missing(groups: Any) -> list[Any]:
    """The finding that silent groups are missing, where they are."""
    from groupsigma.course_findings import removed_finding
    from groupsigma.removed import silent_removed

    removed = silent_removed(groups)
    return [removed_finding(removed)] if removed is not None and removed.removed else []


def follow(
    sources: Sequence[str],
    read: Callable[[], Any],
    tell: Callable[[Any], Sequence[str]],
    every: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Reads a log again whenever it has grown, says what is new of it, and ends with exit 1 when a limit is met.

    Args: read: gives Groups; tell: prints what is new, gives the limits that are met, in words.
    """
    seen: tuple[Any, ...] | None = None
    tried = 0
    while True:
        now = signature(sources)
        if not now and seen is None:
            typer.echo(f"waiting for {', '.join(sources)}: nothing there yet", err=True)
        elif now and (now != seen or 0 < tried < _PATIENCE):
            try:
                fail_if(tell(read()))
                tried = 0
            except SourceError as error:
                tried = tried + 1 if now == seen else 1
                if tried == _PATIENCE:
                    raise
                typer.echo(f"waiting: {str(error).splitlines()[0]}", err=True)
        seen = now
        sleep(every)


def signature(sources: Sequence[str]) -> tuple[Any, ...]:
    """What changes when files of these sources do: their names, sizes and times."""
    from groupsigma.readers.files import matching

    found = []
    for path in matching(sources):
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path), state.st_size, state.st_mtime_ns))
    return tuple(sorted(found))


class Teller:
    """Says of a growing log one line when it has grown, and each finding when it is new."""

    def __init__(self, limits: Sequence[Limit], options: dict[str, Any]) -> None:
        from groupsigma.watch import Said

        self.options, self.said = options, Said(limits, "--fail-on")

    def __call__(self, groups: Any) -> list[str]:
        """The limits that are met."""
        from groupsigma.course import course

        if groups.step is None:
            raise ArgumentError("--follow", "a log with steps", "none", hint="name their column with --step")
        groups = finished(groups)
        if groups is None:
            typer.echo("one step so far: nothing to compare it with yet")
            return []
        texts, reasons = self.said.of(course(groups, **self.options))
        for text in texts:
            typer.echo(text.replace("\n", "\n  "))
        return reasons


def finished(groups: Any) -> Any:
    """The groups without their last step while that has fewer answers than the one before it; None for one step."""
    steps, which = np.unique(groups.step, return_inverse=True)
    answers = np.bincount(which, groups.n_rollouts)
    last = len(steps) - (len(steps) > 1 and answers[-1] < answers[-2])
    return groups.only(which < last) if last > 1 else None
