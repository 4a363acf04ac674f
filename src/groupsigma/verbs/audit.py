"""`groupsigma audit`: where a set of problems teaches."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from groupsigma.verbs.options import (
    Answers,
    AsJson,
    Batch,
    Config,
    Correct,
    Count,
    DataId,
    DataSet,
    PromptId,
    Rate,
    Reward,
    RightFrom,
    Source,
    Step,
)
from groupsigma.verbs.told import Test, fail_if, failing, print_json
from groupsigma.verbs.written import check_config, check_data, writing


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
) -> None:
    """Where a set of problems teaches at a group size, and where it cannot."""
    from groupsigma.audit import audit as run
    from groupsigma.findings import findings
    from groupsigma.output import check_targets
    from groupsigma.presets import find_dial
    from groupsigma.readers import load
    from groupsigma.readers.columns import Columns
    from groupsigma.settings import audit_settings

    tests = [Test.of(text) for text in fail_on or ()]
    check_config(config, as_json)
    out, read = check_data(source, data, data_out, {"--data-id": data_id, "--drop-above": drop_above})
    check_targets(out, {}, read)
    rule = find_dial(dial)
    columns = Columns(prompt_id, reward, rate, correct, answers, step, count, right_from)
    options: dict[str, Any] = dict(
        group_size=group_size, dial=rule, dial_name=dial, false_positive=false_positive, false_negative=false_negative
    )
    groups = load(source, columns)
    result = run(groups, **options)
    metrics = result.metrics()
    failed = failing(tests, metrics, "audit")
    said = findings(result)
    choice = None
    if data_out is not None:
        from groupsigma.rewrite import teaching

        limit = 0.95 if drop_above is None else drop_above
        choice = teaching(groups, group_size, limit, false_positive=false_positive, false_negative=false_negative)
    with writing(choice, data, source, data_id or prompt_id, data_out) as rows:
        # Groups of one are audited, but no trainer takes them.
        lines = audit_settings(result, rule, batch, rows) if config or (as_json and group_size > 1) else {}
    if as_json:
        told = {name: found.to_dict() for name, found in lines.items()}
        print_json({**result.to_dict(), "metrics": metrics, "findings": [vars(f) for f in said], "config": told})
    elif config is not None:
        typer.echo(lines[config].text, nl=False)
    else:
        from groupsigma.screen import audit_screen
        from groupsigma.screen import show as print_screen

        print_screen(audit_screen(result, said))
    fail_if(failed)
