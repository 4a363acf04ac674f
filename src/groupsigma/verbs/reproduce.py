"""`groupsigma reproduce`: claims, and the experiments that are not started by default."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from groupsigma.errors import TRAIN, ArgumentError
from groupsigma.verbs.options import AsJson, Html
from groupsigma.verbs.told import fail_if, print_json
from groupsigma.verbs.written import save_figures, write_page

#: Names under `reproduce` that are experiments, not claims.
_EXPERIMENTS = ("allocation", "history", "lm", "lm-allocation")


def reproduce(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Claims by name or first part, else all; or an experiment: allocation, history, lm, lm-allocation.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 when a claim fails, or an experiment misses a target.")
    ] = False,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also draw these claims' figures there, SVG and PNG.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="allocation, lm: a look, within a minute or two.")] = False,
    runs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where an experiment's runs are kept; by default groupsigma-allocation, -history or -lm.",
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="lm: sums, kinds or gym alone; lm-allocation: bigmath or flat alone."),
    ] = None,
    as_json: AsJson = False,
    html: Html = None,
) -> None:
    """The paper's numbers and ours, claim by claim. GROUPSIGMA_DATA names the folder of published series.

    Four experiments are not started by default; they can be stopped at any moment, and the same command goes on.
    allocation: rules that say who gets how many tries compete, about an hour on two cores. lm: a small language
    model is taught, then trained by GRPO, Dr. GRPO, DAPO and more points of the dial, each tuned alike, many seeds;
    silence, gradients and their sizes held against the theory; under two hours on two cores a family. --family gym is
    a larger model on a dozen kinds of reasoning-gym: minutes of a GPU; finished, it is read without one. lm-allocation:
    who gets how many tries on that model, from two starts; two hours on two cores. history: a published GRPO run's
    silent groups foretold visit by visit; seconds.
    """
    from groupsigma.output import check_targets

    check_targets({} if html is None else {"--html": html}, {"--json": "-"} if as_json else {}, [])
    for experiment in _EXPERIMENTS:
        if experiment in (name or ()):
            if set(name or ()) != {experiment}:
                raise ArgumentError(
                    "reproduce", f"{experiment} by itself", "other names beside it", hint="two commands"
                )
            if quick and experiment in ("history", "lm-allocation"):
                raise ArgumentError("--quick", "allocation or lm", experiment, hint="--family flat is the shorter part")
            if family is not None and (quick or experiment in ("allocation", "history")):
                got = "--quick" if quick else experiment
                needs = "lm, all of it, or lm-allocation"
                raise ArgumentError("--family", needs, got, hint="groupsigma reproduce lm --family sums")
            parts = _parts(experiment, quick, family)
            # lm-allocation starts from the model that lm taught.
            folder = runs or Path(f"groupsigma-{experiment.split('-')[0]}")
            _experiment(experiment, parts, folder, figures, as_json, check, html)
            return
    if quick or runs is not None or family is not None:
        option = "--quick" if quick else "--runs" if family is None else "--family"
        hint = f"groupsigma reproduce {'allocation' if family is None else 'lm'} {option}"
        raise ArgumentError(option, "one of the experiments allocation, lm and lm-allocation", "claims", hint=hint)
    from groupsigma.experiments.claims import check as run
    from groupsigma.experiments.claims import choose
    from groupsigma.experiments.paper import CLAIMS

    chosen = choose(CLAIMS, name or (), others=_EXPERIMENTS)
    results = run(chosen)
    if as_json:
        print_json({"schema": "groupsigma.reproduce/1", "claims": [r.to_dict() for r in results]})
    elif html != "-":
        from groupsigma.screen import claims_screen
        from groupsigma.screen import show as print_screen

        print_screen(claims_screen(results))
    if html is not None:
        from groupsigma.experiments.pictures import FIGURES
        from groupsigma.report.reproduce_page import claims_page

        drawn = {claim.name.split("/")[0] for claim in chosen} & set(FIGURES)
        write_page(html, claims_page(results, {part: FIGURES[part]() for part in sorted(drawn)}))
    if figures is not None:
        _draw({claim.name.split("/")[0] for claim in chosen}, figures)
    if check:
        if skipped := sum(r.verdict == "skipped" for r in results):
            typer.echo(f"{skipped} claims skipped: set GROUPSIGMA_DATA to the folder of published series", err=True)
        fail_if([f"{r.name} fails" for r in results if r.verdict == "fails"])


def _experiment(
    name: str,
    parts: tuple[Any, Any, Any, Any],
    folder: Path,
    figures: Path | None,
    as_json: bool,
    check: bool,
    html: str | None,
) -> None:
    """An experiment: computed or taken up, then shown."""
    run, verdicts, screen, charts = parts
    if figures is not None and charts is None:
        raise ArgumentError("--figures", "an experiment that has figures", f"{name} --quick", hint="--json has numbers")
    typer.echo(f"runs are kept in {folder}; finished ones are taken up, not run again", err=True)
    try:
        found = run(folder)
    except KeyboardInterrupt:
        typer.echo(f"\nfinished runs are kept in {folder}; the same command goes on", err=True)
        raise typer.Exit(130) from None
    judged = verdicts(found)
    if as_json:
        told = [{"what": w, "number": x, "wanted": least, "reached": bool(good)} for w, x, least, good in judged]
        print_json({**found, "verdicts": told})
    elif html != "-":
        from groupsigma.screen import show as print_screen

        print_screen(screen(found))
    if html is not None:
        from groupsigma.report.reproduce_page import experiment_page

        write_page(html, experiment_page(name, screen(found), charts(found) if charts is not None else {}))
    if figures is not None:
        save_figures(charts(found), figures)
    if check:
        fail_if([f"{what} = {number:.4g}, wanted {least}" for what, number, least, good in judged if not good])


def _parts(name: str, quick: bool, family: str | None) -> tuple[Any, Any, Any, Any]:
    """What runs an experiment, what judges it, what shows it, and what draws it, if anything does."""
    if name == "allocation":
        from groupsigma.allocation_screen import allocation_screen
        from groupsigma.experiments import allocation
        from groupsigma.experiments.pictures import allocation as chart

        return partial(allocation.allocation, quick=quick), allocation.verdicts, allocation_screen, chart
    if name == "history":
        from groupsigma.experiments import history
        from groupsigma.experiments.history_pictures import history_figures
        from groupsigma.history_screen import history_screen

        return history.history, history.verdicts, history_screen, history_figures
    try:
        if quick:
            from groupsigma.experiments import lm
            from groupsigma.lm_screen import lm_screen

            return lm.lm, lm.verdicts, lm_screen, None
        if name == "lm-allocation":
            from groupsigma.experiments import lm_contest_findings as contest
            from groupsigma.experiments.lm_contest_pictures import lm_contest_figures
            from groupsigma.lm_contest_screen import lm_contest_screen

            run = partial(contest.lm_allocation, start=family)
            return run, contest.verdicts, lm_contest_screen, lm_contest_figures
        from groupsigma.experiments import lm_findings
        from groupsigma.experiments.lm_pictures import lm_figures
        from groupsigma.lm_full_screen import lm_full_screen
    except ImportError as error:
        raise ArgumentError("reproduce lm", "torch", str(error), hint=TRAIN) from None
    return partial(lm_findings.lm, family=family), lm_findings.verdicts, lm_full_screen, lm_figures


def _draw(parts: set[str], folder: Path) -> None:
    """The charts of some parts, saved."""
    from groupsigma.experiments.pictures import FIGURES

    if not parts & set(FIGURES):
        raise ArgumentError("--figures", "claims that have figures", "none", hint="one of " + ", ".join(FIGURES))
    for part in sorted(parts & set(FIGURES)):
        save_figures(FIGURES[part](), folder)
