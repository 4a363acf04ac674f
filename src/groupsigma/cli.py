"""The command line: a verb a file in `verbs/`; what each needs is imported when it runs."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Annotated

import typer

from groupsigma.errors import GroupsigmaError
from groupsigma.verbs.audit import audit
from groupsigma.verbs.compare import compare
from groupsigma.verbs.dials import dials
from groupsigma.verbs.plan import plan
from groupsigma.verbs.probe import probe
from groupsigma.verbs.reproduce import reproduce
from groupsigma.verbs.show import show
from groupsigma.verbs.train import TRL_FLAGS, train
from groupsigma.verbs.traps import traps

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def groupsigma(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """The group standard deviation of RLVR, exact: GRPO, Dr. GRPO and DAPO as one dial."""
    if version:
        from groupsigma import __version__

        typer.echo(f"groupsigma {__version__}")
        raise typer.Exit


app.command(short_help="One group: sigma, advantages, update.")(show)
app.command(short_help="Where a set of problems teaches.")(audit)
app.command(short_help="Two runs or settings side by side.")(compare)
app.command(short_help="Tries for each problem under a budget.")(plan)
app.command(short_help="The named rules and trainers' presets.")(dials)
app.command(short_help="Numerical traps, each trainer's own.")(traps)
app.command(short_help="The paper's numbers, claim by claim.")(reproduce)
app.command(short_help="Train through TRL: GRPO, Dr. GRPO or DAPO whole.", context_settings=TRL_FLAGS)(train)
app.command(short_help="Answer problems n times and write the counts.")(probe)


def main() -> None:
    """Entry point: exit 0 fine, 1 when a --fail-on or --check fails, 2 for bad input; no tracebacks for the last."""
    if hasattr(signal, "SIGPIPE"):
        # `| head` ends us as it ends every other tool, not as a failed test.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except GroupsigmaError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        typer.echo(f"error: writing needs room and permission, got {error.strerror}", err=True)
        # What could not be written must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)


if __name__ == "__main__":
    main()
