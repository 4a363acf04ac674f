"""`groupsigma audit`: where a set of problems teaches."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from groupsigma.errors import ArgumentError
from groupsigma.limits import Limit, met
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
from groupsigma.verbs.running import Teller, described, filtered, follow, missing, over_time, own_numbers
from groupsigma.verbs.told import fail_if, print_json
from groupsigma.verbs.written import check_config, check_data, show_looks, writing


def audit(
    source: Source,
    group_size: Annotated[int, typer.Option("-G", "--group-size", metavar="G", help="Answers a group.")] = 8,
    dial: Annotated[
        str, typer.Option(metavar="NAME", help="Whose update is measured; see `groupsigma dials`.")
    ] = "grpo",
    as_json: AsJson = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="TEST", help="Exit 1 when this holds, e.g. 'silent>0.5'; may be repeated."),
    ] = None,
    prompt_id: PromptId = None,
    reward: Reward = None,
    rate: Rate = None,
    correct: Correct = None,
    answers: Answers = None,
    step: Step = None,
    count: Count = None,
    false_positive: Annotated[
        float, typer.Option(metavar="F", help="Your checker passes this share of wrong answers; the data's is exact.")
    ] = 0.0,
    false_negative: Annotated[
        float, typer.Option(metavar="F", help="Your checker refuses this share of right answers.")
    ] = 0.0,
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
        str | None, typer.Option(metavar="FILE", help="Write the data set's rows that can teach at G there.")
    ] = None,
    drop_above: Annotated[
        float | None, typer.Option(metavar="P", help="Those are silent with at most this chance.  [default: 0.95]")
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(metavar="STEPS", min=1, help="Steps a window of a run.  [default: an eighth of them]"),
    ] = None,
    cost_per_1k: Annotated[
        float | None, typer.Option("--cost-per-1k-rollouts", metavar="X", min=0.0, help="Price of 1,000 answers.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--follow", help="Of a log that grows: say what is new, until --fail-on holds or Ctrl-C.")
    ] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="Between two looks, with --follow.")] = 30.0,
    html: Html = None,
    figures: Figures = None,
) -> None:
    """Where a set of problems teaches at a group size, and where it cannot; a log with steps also over time."""
    from groupsigma.audit import audit as run
    from groupsigma.course_findings import course_findings
    from groupsigma.findings import findings
    from groupsigma.output import check_targets
    from groupsigma.presets import find_dial
    from groupsigma.readers import load
    from groupsigma.readers.columns import Columns
    from groupsigma.settings import audit_settings

    tests = [Limit.of(text) for text in fail_on or ()]
    out, read = check_data(source, data, data_out, {"--data-id": data_id, "--drop-above": drop_above})
    page = {} if html is None else {"--html": html}
    check_targets(out | page, check_config(config, as_json), read)
    rule = find_dial(dial)
    if html is not None or figures is not None:
        from groupsigma.report.audit_page import check_size

        check_size(group_size, "--html" if html is not None else "--figures")
    columns = Columns(prompt_id, reward, rate, correct, answers, step, count, right_from)
    options: dict[str, Any] = dict(
        group_size=group_size, dial=rule, dial_name=dial, false_positive=false_positive, false_negative=false_negative
    )
    how = reading(layout, split, skip_bad, no_text)
    if live:
        if as_json or config or data_out or html or figures:
            raise ArgumentError("--follow", "the screen for itself", "--json, --html or what else is written beside it")
        growing = replace(how, growing=True)
        teller = Teller(tests, dict(window=window, cost_per_1k=cost_per_1k, dial=rule, dial_name=dial))
        follow(source, lambda: load(source, columns, growing), teller, every)
    if columns == Columns() and layout is None and own_numbers(source, as_json, tests, html, figures):
        return
    groups = load(source, columns, how)
    if config is None and data_out is None and filtered(groups, as_json, tests, html, figures):
        return
    result = run(groups, **options)
    run_over_time = over_time(groups, window, cost_per_1k, rule, dial)
    metrics = result.metrics() | (run_over_time.metrics() if run_over_time else {})
    failed = met(tests, metrics, "audit")
    said = findings(result)
    if run_over_time is None:
        said = (*said, *missing(groups))
    told_over_time = course_findings(run_over_time) if run_over_time else ()
    choice = None
    if data_out is not None:
        from groupsigma.rewrite import teaching

        limit = 0.95 if drop_above is None else drop_above
        choice = teaching(groups, group_size, limit, false_positive=false_positive, false_negative=false_negative)

    def looks() -> Any:
        from groupsigma.report.audit_page import audit_page

        return audit_page(
            result,
            said,
            groups,
            rule,
            course=run_over_time,
            course_findings=told_over_time,
            batch=batch,
            price=cost_per_1k,
            at_rest=figures is not None,
        )

    with writing(choice, data, source, data_id or prompt_id, data_out) as rows:
        # Groups of one are audited, but no trainer takes them.
        lines = audit_settings(result, rule, batch, rows) if config or (as_json and group_size > 1) else {}
        show_looks(html, figures, looks)
    if as_json:
        told = {name: found.to_dict() for name, found in lines.items()}
        course = {"course": described(run_over_time, told_over_time)} if run_over_time else {}
        found = {**result.to_dict(), "metrics": metrics, "findings": [vars(f) for f in said], "config": told}
        print_json(found | course)
    elif config is not None:
        typer.echo(lines[config].text, nl=False)
    elif html != "-":
        from rich.text import Text

        from groupsigma.course_screen import course_screen
        from groupsigma.screen import audit_screen
        from groupsigma.screen import show as print_screen

        more = [Text(), *course_screen(run_over_time, told_over_time)] if run_over_time else []
        print_screen([*audit_screen(result, said), *more])
    fail_if(failed)
