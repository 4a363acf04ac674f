"""`groupsigma compare`: two runs, or one log under two settings, side by side."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groupsigma.errors import ArgumentError
from groupsigma.limits import Limit, met
from groupsigma.verbs.options import (
    Answers,
    AsJson,
    Correct,
    Count,
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
    Step,
    reading,
)
from groupsigma.verbs.told import fail_if, print_json
from groupsigma.verbs.written import show_looks

if TYPE_CHECKING:
    from groupsigma.measures import Setting

_SETTING = "a setting like 'G=8 dial=dr-grpo keep=mixed solved=.1-.9'"


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="A [B]", help="bigmath, a file, a folder or a quoted glob, as for audit; one or two."),
    ],
    a: Annotated[
        str, typer.Option("--a", metavar="SETTING", help="How A is looked at: G=8 dial=NAME keep=mixed solved=.1-.9.")
    ] = "",
    b: Annotated[str, typer.Option("--b", metavar="SETTING", help="How B is looked at.")] = "",
    group_size: Annotated[
        int | None,
        typer.Option("-G", "--group-size", metavar="G", help="Fresh groups of G on both sides.  [default: as logged]"),
    ] = None,
    dial: Annotated[
        str, typer.Option(metavar="NAME", help="Whose update is measured; see `groupsigma dials`.")
    ] = "grpo",
    last: Annotated[
        float, typer.Option(metavar="SHARE", help="Only the last share of each run's steps, e.g. .25.")
    ] = 1.0,
    price: Annotated[
        float | None, typer.Option("--cost-per-1k-rollouts", metavar="X", help="Adds what mixed groups cost.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the resampling.")] = 0,
    resamples: Annotated[int, typer.Option(metavar="N", help="Of the prompts.")] = 1000,
    as_json: AsJson = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="TEST", help="Exit 1 when this holds, e.g. 'silent_difference>0.05'; may be repeated."),
    ] = None,
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
    html: Html = None,
    figures: Figures = None,
) -> None:
    """Two runs side by side, or one log under two settings: which differences are real."""
    import numpy as np

    from groupsigma.compare import compare as run
    from groupsigma.compare import latest
    from groupsigma.compare_findings import compare_findings
    from groupsigma.output import check_targets
    from groupsigma.readers import load
    from groupsigma.readers.columns import Columns

    tests = [Limit.of(text) for text in fail_on or ()]
    settings = [_setting(option, text, group_size, dial) for option, text in (("--a", a), ("--b", b))]
    if not 1 <= len(sources) <= 2:
        hint = "quote a glob, or name a folder: each side is one source"
        raise ArgumentError("compare", "one or two sources", f"{len(sources)} of them", hint=hint)
    if len(set(sources)) == 1 and settings[0] == settings[1]:
        raise ArgumentError("compare", "two sources, or one under two settings", "one setting", hint="--a G=8 --b G=16")
    check_targets({} if html is None else {"--html": html}, {"--json": "-"} if as_json else {}, sources)
    if sources == ["-", "-"]:
        raise ArgumentError("compare", "standard input once", "- and -")
    columns = Columns(prompt_id, reward, rate, correct, answers, step, count, right_from)
    # One source named twice is one log: it is read once and paired row by row.
    how = reading(layout, split, skip_bad, no_text)
    loaded = {name: load(name, columns, how) for name in dict.fromkeys(sources)}
    if last != 1:
        loaded = {name: latest(groups, last) for name, groups in loaded.items()}
    result = run(
        loaded[sources[0]],
        loaded[sources[-1]],
        a_setting=settings[0],
        b_setting=settings[1],
        rng=np.random.default_rng(seed),
        resamples=resamples,
        price=price,
    )
    metrics = result.metrics()
    failed = met(tests, metrics, "comparison")
    said = compare_findings(result)

    def looks() -> Any:
        from groupsigma.report.compare_page import compare_page

        return compare_page(result, said, loaded[sources[0]], loaded[sources[-1]])

    show_looks(html, figures, looks)
    if as_json:
        print_json({**result.to_dict(), "metrics": metrics, "findings": [vars(f) for f in said]})
    elif html != "-":
        from groupsigma.compare_screen import compare_screen
        from groupsigma.screen import show as print_screen

        print_screen(compare_screen(result, said))
    fail_if(failed)


def _setting(option: str, text: str, group_size: int | None, dial: str) -> Setting:
    """'G=8 dial=grpo keep=mixed solved=.1-.9', in any order; what is not said is as on both sides."""
    from dataclasses import replace

    from groupsigma.measures import Setting
    from groupsigma.presets import find_dial

    said: dict[str, str] = {}
    for part in text.replace(",", " ").split():
        key, _, value = part.partition("=")
        if key not in ("G", "dial", "keep", "solved") or not value or key in said:
            raise ArgumentError(option, _SETTING, repr(part))
        said[key] = value
    name = said.get("dial", dial)
    rule = find_dial(name)
    if "keep" in said and said["keep"] != rule.keep:
        # A known name no longer says it whole, unless another one does.
        rule, name = replace(rule, keep=said["keep"]), {"grpo": "dapo", "dapo": "grpo"}.get(name, name)  # type: ignore[arg-type]
    if "G" in said and not said["G"].isdecimal():
        raise ArgumentError(option, "G as a whole number", repr(said["G"]))
    solved = None
    if "solved" in said:
        ends = re.fullmatch(r"(\d*\.?\d+)-(\d*\.?\d+)", said["solved"])
        if ends is None:
            raise ArgumentError(option, "solved as low-high, like .1-.9", repr(said["solved"]))
        solved = (float(ends[1]), float(ends[2]))
    return Setting(int(said["G"]) if "G" in said else group_size, rule, solved, name)
