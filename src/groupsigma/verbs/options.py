"""Options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from groupsigma.readers.reading import Reading, Split

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Source = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE", help="bigmath, a trainer's log folder, CSV / JSONL / Parquet files, hf://…, s3://…, or -."
    ),
]
PromptId = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the prompt id.")]
Reward = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the reward, one row a completion.")]
Rate = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the solve rate, one row a problem.")]
Correct = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the right answers k.")]
Answers = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the answers n, or a number.")]
Step = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the training step.")]
Count = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of how many problems a row stands for.")]
RightFrom = Annotated[float | None, typer.Option(metavar="X", help="Rewards of at least this are right.")]
Config = Annotated[
    str | None, typer.Option(metavar="TRAINER", help="Print lines for its configuration instead: trl or verl.")
]
Batch = Annotated[int, typer.Option(metavar="B", min=1, help="Prompts of an update, for these lines.")]
DataSet = Annotated[
    str | None, typer.Option("--data", metavar="FILE", help="The data set, a row a problem, if SOURCE is not.")
]
DataId = Annotated[str | None, typer.Option(metavar="COLUMN", help="Its column of prompt ids.")]
Layout = Annotated[
    str | None, typer.Option(metavar="NAME", help="Whose rollout log it is, or table; by default told by its fields.")
]
LogSplit = Annotated[
    str | None,
    typer.Option("--split", metavar="NAME", help="Of a log with both: train, eval or all.  [default: train]"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out and count lines that cannot be read.")]
Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="Write a page to look at there, in one file that needs no network."),
]
Figures = Annotated[
    Path | None, typer.Option("--figures", metavar="DIR", help="Also draw its figures there, SVG and PNG.")
]
NoText = Annotated[bool, typer.Option("--no-text", help="Keep prompts and answers out of every output.")]


def reading(layout: str | None, split: str | None, skip_bad: bool, no_text: bool) -> Reading:
    """How a log is to be read, from these options."""
    return Reading(layout, cast(Split | None, split), skip_bad, no_text)
