"""Options that several verbs take."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Source = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE", help="bigmath, or CSV / JSONL / Parquet files, a folder, hf://…, s3://…, or -."),
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
