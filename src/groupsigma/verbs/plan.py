"""`groupsigma plan`: who gets how many tries under a budget."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from groupsigma.errors import ArgumentError
from groupsigma.verbs.options import (
    Answers,
    AsJson,
    Batch,
    Config,
    Correct,
    Count,
    DataId,
    DataSet,
    Figures,
    Html,
    Layout,
    LogSplit,
    NoText,
    PromptId,
    Rate,
    Reward,
    RightFrom,
    SkipBad,
    Source,
    Step,
    reading,
)
from groupsigma.verbs.told import print_json
from groupsigma.verbs.written import check_config, check_data, show_looks, writing


def plan(
    source: Source,
    budget: Annotated[str, typer.Option(metavar="N", help="Answers to spend: 1000000, 1e6, 1M or 20k.")],
    goal: Annotated[
        str, typer.Option(metavar="GOAL", help="signal, coverage, contrast, gain, variance or fidelity.")
    ] = "signal",
    dial: Annotated[str, typer.Option(metavar="NAME", help="Whose objective counts; see `groupsigma dials`.")] = "grpo",
    saturation: Annotated[
        float | None,
        typer.Option(metavar="N0", help="Goal signal: contrast pairs that have half of what a group can give."),
    ] = None,
    min_tries: Annotated[int, typer.Option(metavar="N", help="Least tries of a problem that is tried.")] = 2,
    max_tries: Annotated[int, typer.Option(metavar="N", help="Most tries of a problem.")] = 32,
    weight: Annotated[
        str, typer.Option(metavar="HOW", help="How a group counts in the loss: equal, proportional (to tries) or dial.")
    ] = "equal",
    group_size: Annotated[
        int, typer.Option("-G", "--group-size", metavar="G", help="Answers a group of the uniform run compared with.")
    ] = 8,
    as_json: AsJson = False,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write the plan there as CSV; - is stdout.")] = None,
    jsonl: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the plan there as JSON lines; - is stdout.")
    ] = None,
    drop: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the ids without tries there, one a line.")
    ] = None,
    promote: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the ids with more than G tries there, one a line.")
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=0, help="Rows of the table on the screen.")] = 12,
    prompt_id: PromptId = None,
    reward: Reward = None,
    rate: Rate = None,
    correct: Correct = None,
    answers: Answers = None,
    step: Step = None,
    count: Count = None,
    right_from: RightFrom = None,
    layout: Layout = None,
    split: LogSplit = None,
    skip_bad: SkipBad = False,
    no_text: NoText = False,
    config: Config = None,
    batch: Batch = 64,
    data: DataSet = None,
    data_id: DataId = None,
    data_out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the data set's rows with tries there, with their weight.")
    ] = None,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Each of them once for every G tries, for trainers with one G.")
    ] = False,
    html: Html = None,
    figures: Figures = None,
) -> None:
    """How many tries each problem gets under a budget of answers, with what weight, and how good that is."""
    from groupsigma.output import as_csv, as_jsonl, as_lines, check_targets, write_whole
    from groupsigma.plan import plan as run
    from groupsigma.presets import find_dial
    from groupsigma.readers import load
    from groupsigma.readers.columns import Columns
    from groupsigma.settings import ROLLOUTS, plan_settings
    from groupsigma.value import SATURATION, Goal

    money = _parse_budget(budget)
    files = {"--csv": csv, "--jsonl": jsonl, "--drop": drop, "--promote": promote}
    targets = {option: name for option, name in files.items() if name is not None}
    screen = check_config(config, as_json)
    out, read = check_data(source, data, data_out, {"--data-id": data_id, "--repeat": repeat})
    check_targets(targets | out | ({} if html is None else {"--html": html}), screen, read)
    # A goal or dial that does not exist is told before a large file is read.
    aim = Goal(goal, find_dial(dial), SATURATION if saturation is None else saturation)  # type: ignore[arg-type]
    columns = Columns(prompt_id, reward, rate, correct, answers, step, count, right_from)
    found = run(
        load(source, columns, reading(layout, split, skip_bad, no_text)),
        budget=money,
        goal=aim.name,
        dial=aim.dial,
        saturation=aim.saturation,
        min_tries=min_tries,
        max_tries=max_tries,
        weight=weight,  # type: ignore[arg-type]
        reference_size=group_size,
    )
    entries = found.rows() if targets else []
    tried = {row["prompt_id"] for row in entries if row["tries"]}
    texts = {
        "--csv": lambda: as_csv(entries),
        "--jsonl": lambda: as_jsonl(entries),
        "--drop": lambda: as_lines("--drop", [r["prompt_id"] for r in entries if r["prompt_id"] not in tried]),
        "--promote": lambda: as_lines("--promote", [r["prompt_id"] for r in entries if r["tries"] > group_size]),
    }

    def looks() -> Any:
        from groupsigma.report.plan_page import plan_page

        return plan_page(found, dial)

    choice = None
    # A trainer that replaces silent groups, or has rows repeated, counts on groups of one size.
    ragged = config == "verl" and not repeat and aim.dial.keep == "all"
    rollouts = ROLLOUTS if ragged else ""
    if data_out is not None:
        from groupsigma.rewrite import planned

        choice = planned(found, group_size if repeat else None, rollouts)
    with writing(choice, data, source, data_id or prompt_id, data_out, repeat, rollouts) as rows:
        wanted = config or (as_json and found.planned.problems)
        lines = plan_settings(found, batch, rows, group_size if repeat else None) if wanted else {}
        show_looks(html, figures, looks)
        wrote = write_whole({option: (name, texts[option]()) for option, name in targets.items()})
    if as_json:
        print_json({**found.to_dict(), "config": {name: told.to_dict() for name, told in lines.items()}})
    elif config is not None:
        typer.echo(lines[config].text, nl=False)
    elif "-" not in (*targets.values(), html):
        from groupsigma.plan_screen import plan_screen
        from groupsigma.screen import show as print_screen

        print_screen(plan_screen(found, top, dial))
    for path in wrote:
        typer.echo(f"wrote {path}", err=True)


def _parse_budget(text: str) -> float:
    """A number of answers; k, M and G stand for thousands, millions and billions."""
    match = re.fullmatch(r"\s*([-+\d_.,]+(?:e[-+]?\d+)?|nan|[-+]?inf)\s*([kmg]?)\s*", text.lower())
    try:
        assert match is not None
        digits = match[1].replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+", match[1]) else match[1]
        return float(digits) * {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}[match[2]]
    except (AssertionError, ValueError):
        needs = "a number of answers, like 1000000, 1e6, 1M or 20k"
        raise ArgumentError("--budget", needs, repr(text)) from None
