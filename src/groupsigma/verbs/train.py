"""`groupsigma train`: a real run through TRL, every method-specific piece set right."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from groupsigma.errors import TRAIN, ArgumentError

#: TRL's own flags are handed on.
TRL_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}


def train(
    context: typer.Context,
    method: Annotated[str, typer.Option(metavar="NAME", help="grpo, dr-grpo or dapo.")] = "grpo",
    model: Annotated[str | None, typer.Option(metavar="MODEL", help="Folder, .gguf file or hub id.")] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="CSV / JSONL / Parquet, a hub id, or reasoning-gym:TASK?size=500&seed=0."),
    ] = None,
    checker: Annotated[
        str | None, typer.Option(metavar="NAME", help="exact, math, reasoning_gym, or module:function.")
    ] = None,
    right_from: Annotated[
        float | None, typer.Option(metavar="X", help="Scores of at least this are right; default: scores as they are.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds the checker has for an answer.")] = 10.0,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of a data set of the hub.")] = "train",
    prompt: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the prompt.")] = "prompt",
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N problems.")] = None,
    dial: Annotated[str | None, typer.Option(metavar="NAME", help="Another dial than the method's.")] = None,
    history: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Counts of earlier answers, from `groupsigma probe`."),
    ] = None,
    max_batches: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="dapo: batches drawn at most to fill one.")
    ] = None,
    goal: Annotated[
        str | None,
        typer.Option("--plan", metavar="GOAL", help="Plan each batch's tries for signal, coverage, …; not with dapo."),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="--plan: prompts it chooses from; default: a batch's own.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Text prompts become a user's turn in the chat template.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last whole checkpoint.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the method's settings and sources.")] = False,
) -> None:
    """Train a language model with GRPO, Dr. GRPO or DAPO through TRL, each with all of its own settings.

    Every flag of trl.GRPOConfig and trl.ModelConfig is taken too and wins over the method's: --num_generations 8
    --per_device_train_batch_size 64 --max_completion_length 512 --max_steps 200 --learning_rate 1e-6 --output_dir run.
    """
    from groupsigma.methods import method_config

    whole = method_config(method)
    if show:
        typer.echo(whole.text(**(_training().parse(whole, context.args)[2] if context.args else {})))
        return
    for option, value, hint in (
        ("--model", model, "a folder, a .gguf file or a hub id"),
        ("--data", data, "a table with prompts, or reasoning-gym:chain_sum"),
        ("--checker", checker, "exact, math, reasoning_gym or module:function"),
    ):
        if not value:
            raise ArgumentError("train", option, "nothing", hint=hint)
    assert model and data and checker
    from groupsigma.presets import find_dial
    from groupsigma.readers import load

    rule = None if dial is None else find_dial(dial)
    known = None if history is None else load(history)
    training = _training()
    args, model_args, _ = training.parse(whole, context.args)
    order = training.Order(
        method=whole,
        model=model,
        data=data,
        checker=checker,
        split=split,
        prompt=prompt,
        limit=limit,
        threshold=right_from,
        timeout=timeout,
        dial=rule,
        history=known,
        max_batches=max_batches,
        goal=goal,
        candidates=candidates,
        chat=chat,
        resume=resume,
    )
    if code := training.train(order, args, model_args):
        raise typer.Exit(code)
    typer.echo(f"trained model in {args.output_dir}")


def _training() -> Any:
    try:
        from groupsigma import training
    except ImportError as error:
        raise ArgumentError("train", "TRL", str(error), hint=TRAIN) from None
    return training
