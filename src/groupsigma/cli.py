"""The command line: parse, call one function, print. Everything heavy is imported by the verb that needs it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from groupsigma.errors import ArgumentError, GroupsigmaError
from groupsigma.verbs.probe import probe
from groupsigma.verbs.train import TRL_FLAGS, train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


@app.callback(invoke_without_command=True)
def groupsigma(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """The group standard deviation of RLVR, exact: GRPO, Dr. GRPO and DAPO as one dial."""
    if version:
        from groupsigma import __version__

        typer.echo(f"groupsigma {__version__}")
        raise typer.Exit


@app.command(short_help="One group: sigma, advantages, update.")
def show(
    group: Annotated[
        str, typer.Argument(metavar="GROUP", help="One group: 3/8 (right of all), or its rewards: 1,0,0.5,1.")
    ],
    dial: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Further dials, by name; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One group: its standard deviation, its advantages and its update under each method."""
    from groupsigma.advantages import advantages
    from groupsigma.presets import find_dial
    from groupsigma.sigma import advantage_pair, gain, mean_advantage, sigma

    rewards, k = _parse_group(group)
    dials = {name: find_dial(name) for name in ("grpo", "dr-grpo", "dapo", *(dial or ()))}
    G = len(rewards)
    if as_json:
        rows: dict[str, Any] = {}
        for name, rule in dials.items():
            rows[name] = {"formula": rule.formula, "advantages": advantages(rewards, rule).tolist()}
            if k is not None:
                plus, minus = advantage_pair(k, G, rule)
                rows[name] |= {
                    "right": float(plus),
                    "wrong": float(minus),
                    "gain": float(gain(k, G, rule)),
                    "mean_advantage": float(mean_advantage(k, G, rule)),
                }
        found = None if k is None else float(sigma(k, G))
        _print_json({"schema": "groupsigma.show/1", "k": k, "G": G, "sigma": found, "dials": rows})
        return
    from groupsigma.screen import group_screen
    from groupsigma.screen import show as print_screen

    print_screen(group_screen(rewards, k, G, dials))


@app.command(short_help="Where a set of problems teaches.")
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

    tests = [_parse_test(text) for text in fail_on or ()]
    _check_config(config, as_json)
    out, read = _check_data(source, data, data_out, {"--data-id": data_id, "--drop-above": drop_above})
    check_targets(out, {}, read)
    rule = find_dial(dial)
    columns = Columns(prompt_id, reward, rate, correct, answers, step, count, right_from)
    options: dict[str, Any] = dict(
        group_size=group_size, dial=rule, dial_name=dial, false_positive=false_positive, false_negative=false_negative
    )
    groups = load(source, columns)
    result = run(groups, **options)
    metrics = result.metrics()
    for name, _, _ in tests:
        if name not in metrics:
            raise ArgumentError("--fail-on", "a number this audit has", repr(name), hint="one of " + ", ".join(metrics))
    said = findings(result)
    choice = None
    if data_out is not None:
        from groupsigma.rewrite import teaching

        limit = 0.95 if drop_above is None else drop_above
        choice = teaching(groups, group_size, limit, false_positive=false_positive, false_negative=false_negative)
    with _writing(choice, data, source, data_id or prompt_id, data_out) as rows:
        # Groups of one are audited, but no trainer takes them.
        lines = audit_settings(result, rule, batch, rows) if config or (as_json and group_size > 1) else {}
    if as_json:
        told = {name: found.to_dict() for name, found in lines.items()}
        _print_json({**result.to_dict(), "metrics": metrics, "findings": [vars(f) for f in said], "config": told})
    elif config is not None:
        typer.echo(lines[config].text, nl=False)
    else:
        from groupsigma.screen import audit_screen
        from groupsigma.screen import show as print_screen

        print_screen(audit_screen(result, said))
    _fail_if([f"{n} = {metrics[n]:.6g} {op} {limit:g}" for n, op, limit in tests if _holds(metrics[n], op, limit)])


@app.command(short_help="Tries for each problem under a budget.")
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
) -> None:
    """How many tries each problem gets under a budget of answers, with what weight, and how good that is."""
    from groupsigma.output import as_csv, as_jsonl, as_lines, check_targets, write_whole
    from groupsigma.plan import plan as run
    from groupsigma.presets import find_dial
    from groupsigma.readers import load
    from groupsigma.readers.columns import Columns
    from groupsigma.settings import plan_settings
    from groupsigma.value import SATURATION, Goal

    money = _parse_budget(budget)
    files = {"--csv": csv, "--jsonl": jsonl, "--drop": drop, "--promote": promote}
    targets = {option: name for option, name in files.items() if name is not None}
    screen = _check_config(config, as_json)
    out, read = _check_data(source, data, data_out, {"--data-id": data_id, "--repeat": repeat})
    check_targets(targets | out, screen, read)
    # A goal or dial that does not exist is told before a large file is read.
    aim = Goal(goal, find_dial(dial), SATURATION if saturation is None else saturation)  # type: ignore[arg-type]
    columns = Columns(prompt_id, reward, rate, correct, answers, step, count, right_from)
    found = run(
        load(source, columns),
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
    choice = None
    if data_out is not None:
        from groupsigma.rewrite import planned

        choice = planned(found, group_size if repeat else None)
    with _writing(choice, data, source, data_id or prompt_id, data_out, repeat) as rows:
        wanted = config or (as_json and found.planned.problems)
        lines = plan_settings(found, batch, rows, group_size if repeat else None) if wanted else {}
        wrote = write_whole({option: (name, texts[option]()) for option, name in targets.items()})
    if as_json:
        _print_json({**found.to_dict(), "config": {name: told.to_dict() for name, told in lines.items()}})
    elif config is not None:
        typer.echo(lines[config].text, nl=False)
    elif "-" not in targets.values():
        from groupsigma.plan_screen import plan_screen
        from groupsigma.screen import show as print_screen

        print_screen(plan_screen(found, top, dial))
    for path in wrote:
        typer.echo(f"wrote {path}", err=True)


def _check_config(config: str | None, as_json: bool) -> dict[str, str]:
    """The option that takes standard output in place of the screen, if any; a trainer that is none is refused."""
    if config is not None and config not in ("trl", "verl"):
        raise ArgumentError("--config", "trl or verl", repr(config))
    if config is not None and as_json:
        raise ArgumentError("--config", "standard output for itself", "--json beside it", hint="--json holds both")
    return {"--json": "-"} if as_json else {"--config": "-"} if config is not None else {}


def _check_data(
    sources: Sequence[str], data: str | None, data_out: str | None, others: dict[str, Any]
) -> tuple[dict[str, str], list[str]]:
    """What --data-out writes, by option, and the files read; refused where it cannot be."""
    if data_out is None:
        for option, value in {"--data": data, **others}.items():
            if value is not None and value is not False:
                raise ArgumentError(option, "--data-out FILE", "nothing to write")
        return {}, list(sources)
    from groupsigma.rewrite import check_target, named_data

    check_target(data_out)
    return {"--data-out": data_out}, [*sources, named_data(data, sources)]


@contextmanager
def _writing(
    choice: Any,
    data: str | None,
    sources: Sequence[str],
    id_column: str | None,
    target: str | None,
    repeated: bool = False,
) -> Iterator[Any]:
    """The data set's chosen rows, in their place and told of when the block ends well; None without a target."""
    if target is None:
        yield None
        return
    from groupsigma.rewrite import named_data, rewriting
    from groupsigma.settings import Data

    with rewriting(named_data(data, sources), target, choice, id_column=id_column) as written:
        yield Data(target, written.id_column, repeated)
    typer.echo(written.text, err=True)


@app.command(short_help="The named rules and trainers' presets.")
def dials(as_json: AsJson = False) -> None:
    """The named dials: formula, standard deviation, epsilon, source, and where a trainer departs from it."""
    from dataclasses import asdict

    from groupsigma.presets import PRESETS

    if as_json:
        _print_json(
            {
                "schema": "groupsigma.dials/1",
                "dials": {name: {"formula": p.dial.formula, **asdict(p)} for name, p in PRESETS.items()},
            }
        )
        return
    from groupsigma.screen import dials_screen
    from groupsigma.screen import show as print_screen

    print_screen(dials_screen(PRESETS))


#: Names under `reproduce` that are experiments, not claims.
_EXPERIMENTS = ("allocation", "lm")


@app.command(short_help="The paper's numbers, claim by claim.")
def reproduce(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Claims by name or first part; default all. Or allocation or lm, alone."),
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
        typer.Option(metavar="DIR", help="allocation, lm: where runs are kept; by default groupsigma-NAME."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The paper's numbers and ours, claim by claim. GROUPSIGMA_DATA names the folder of published series.

    Two experiments are not started by default; they can be stopped at any moment, and the same command goes on.
    allocation: rules that say who gets how many tries compete, about an hour on two cores. lm: a small language
    model is taught and then trained by GRPO, Dr. GRPO and DAPO, Theorem 1 checked on its gradients.
    """
    for experiment in _EXPERIMENTS:
        if experiment in (name or ()):
            if set(name or ()) != {experiment}:
                raise ArgumentError(
                    "reproduce", f"{experiment} by itself", "other names beside it", hint="two commands"
                )
            _experiment(experiment, quick, runs or Path(f"groupsigma-{experiment}"), figures, as_json, check)
            return
    if quick or runs is not None:
        option = "--quick" if quick else "--runs"
        hint = f"groupsigma reproduce allocation {option}"
        raise ArgumentError(option, "one of the experiments allocation and lm", "claims", hint=hint)
    from groupsigma.experiments.claims import check as run
    from groupsigma.experiments.claims import choose
    from groupsigma.experiments.paper import CLAIMS

    chosen = choose(CLAIMS, name or (), others=_EXPERIMENTS)
    results = run(chosen)
    if as_json:
        _print_json({"schema": "groupsigma.reproduce/1", "claims": [r.to_dict() for r in results]})
    else:
        from groupsigma.screen import claims_screen
        from groupsigma.screen import show as print_screen

        print_screen(claims_screen(results))
    if figures is not None:
        _draw({claim.name.split("/")[0] for claim in chosen}, figures)
    if check:
        if skipped := sum(r.verdict == "skipped" for r in results):
            typer.echo(f"{skipped} claims skipped: set GROUPSIGMA_DATA to the folder of published series", err=True)
        _fail_if([f"{r.name} fails" for r in results if r.verdict == "fails"])


def _experiment(name: str, quick: bool, folder: Path, figures: Path | None, as_json: bool, check: bool) -> None:
    """The experiment of that name: computed or taken up, then shown."""
    if figures is not None and name != "allocation":
        raise ArgumentError("--figures", "an experiment that has figures", name, hint="--json has its numbers")
    run, verdicts, screen = _parts(name)
    typer.echo(f"runs are kept in {folder}; finished ones are taken up, not run again", err=True)
    try:
        found = run(folder, quick=quick)
    except KeyboardInterrupt:
        typer.echo(f"\nfinished runs are kept in {folder}; the same command goes on", err=True)
        raise typer.Exit(130) from None
    judged = verdicts(found)
    if as_json:
        told = [{"what": w, "number": x, "wanted": least, "reached": bool(good)} for w, x, least, good in judged]
        _print_json({**found, "verdicts": told})
    else:
        from groupsigma.screen import show as print_screen

        print_screen(screen(found))
    if figures is not None:
        from groupsigma.experiments.pictures import allocation as chart

        _save(chart(found), figures)
    if check:
        _fail_if([f"{what} = {number:.4g}, wanted {least}" for what, number, least, good in judged if not good])


def _parts(name: str) -> tuple[Any, Any, Any]:
    """What runs an experiment, what judges it, and what shows it."""
    if name == "allocation":
        from groupsigma.allocation_screen import allocation_screen
        from groupsigma.experiments import allocation

        return allocation.allocation, allocation.verdicts, allocation_screen
    try:
        from groupsigma.experiments import lm
        from groupsigma.lm_screen import lm_screen
    except ImportError as error:
        raise ArgumentError("reproduce lm", "torch", str(error), hint="pip install 'groupsigma[train]'") from None
    return lm.lm, lm.verdicts, lm_screen


def _draw(parts: set[str], folder: Path) -> None:
    """The charts of some parts, saved."""
    from groupsigma.experiments.pictures import FIGURES

    if not parts & set(FIGURES):
        raise ArgumentError("--figures", "claims that have figures", "none", hint="one of " + ", ".join(FIGURES))
    for part in sorted(parts & set(FIGURES)):
        _save(FIGURES[part](), folder)


def _save(charts: dict[str, Any], folder: Path) -> None:
    """Charts as SVG and PNG, named on standard error."""
    from groupsigma.figures import save

    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in charts.items():
        for kind in ("svg", "png"):
            typer.echo(f"wrote {save(chart, folder / f'{name}.{kind}')}", err=True)


def _parse_group(text: str) -> tuple[list[float], int | None]:
    """Rewards, and k where all of them are 0 or 1."""
    from groupsigma import checks

    if match := re.fullmatch(r"\s*(-?[\d.]+)\s*/\s*(-?[\d.]+)\s*", text):
        right, size = checks.counts("show", _number(match[1]), _number(match[2]))
        if size > 100_000:
            raise ArgumentError("show", "a group of at most 100,000", f"{size}")
        k, G = int(right), int(size)
        return [1.0] * k + [0.0] * (G - k), k
    words = {"true": 1.0, "false": 0.0, "none": float("nan"), "null": float("nan")}
    parts = re.split(r"\s*,\s*|\s+", text.strip("[] ").lower())
    rewards = [words[part] if part in words else _number(part) for part in parts]
    if any(abs(r) > 1e100 for r in rewards):
        raise ArgumentError("show", "rewards of a size that can be squared", repr(text))
    return rewards, int(sum(rewards)) if all(r in (0.0, 1.0) for r in rewards) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentError("show", "3/8, or rewards like 1,0,0.5", repr(text)) from None


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


def _parse_test(text: str) -> tuple[str, str, float]:
    match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+.\deE]+)(%?)\s*", text)
    try:
        assert match is not None
        return match[1], match[2], float(match[3]) / (100 if match[4] else 1)
    except (AssertionError, ValueError):
        raise ArgumentError("--fail-on", "a test like 'silent>0.5'", repr(text)) from None


def _holds(value: float, op: str, limit: float) -> bool:
    return {"<": value < limit, ">": value > limit, "<=": value <= limit, ">=": value >= limit}[op]


def _fail_if(reasons: Sequence[str]) -> None:
    for reason in reasons:
        typer.echo(f"failed: {reason}", err=True)
    if reasons:
        raise typer.Exit(1)


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(data: Any) -> Any:
    """Infinities and NaN as null, which JSON has."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not isfinite(data) else data


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
