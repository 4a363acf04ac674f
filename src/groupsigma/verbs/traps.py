"""`groupsigma traps`: what trainers make of twenty numerical traps, run here."""

from __future__ import annotations

from typing import Annotated

import typer

from groupsigma.errors import TRAIN, ArgumentError
from groupsigma.verbs.options import AsJson
from groupsigma.verbs.told import print_json


def traps(
    trainers: Annotated[list[str] | None, typer.Argument(help="These trainers alone.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Twenty numerical traps: what goes in, what each trainer makes of it, what groupsigma gives instead.

    A trainer that is installed is run with its own code, others by their formula; each line says which.
    """
    import warnings

    try:
        import torch
    except ImportError:
        raise ArgumentError("traps", "torch, in which trainers compute", "none installed", hint=TRAIN) from None
    from groupsigma.conformance.traps import shown

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # trainers' own, on import
        found = list(shown(trainers or ()))
    if as_json:
        print_json({"schema": "groupsigma.traps/1", "torch": torch.__version__, "traps": [t.to_dict() for t in found]})
        return
    for trap in found:
        typer.echo(f"T{trap.number} {trap.title}\n  in    {trap.given}")
        for own in trap.seen:
            typer.echo(f"  {'falls' if own.falls else 'holds'} {own.trainer}: {own.gives} ({own.how})")
        typer.echo(f"  ours  {trap.ours}\n")
    falls = sorted({own.trainer.replace(",", "").split()[0] for trap in found for own in trap.seen if own.falls})
    typer.echo(f"{len(found)} traps, {len(falls)} trainers in one or more of them: {', '.join(falls)}")
