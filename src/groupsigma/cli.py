"""The command line: parse, call one function, print. Everything heavy is imported by the verb that needs it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from groupsigma.errors import ArgumentError, GroupsigmaError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


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
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE", help="bigmath, or CSV / JSONL / Parquet files, a folder, hf://…, s3://…, or -."
        ),
    ],
    group_size: Annotated[int, typer.Option("-G", "--group-size", metavar="G", help="Answers a group.")] = 8,
    dial: Annotated[
        str, typer.Option(metavar="NAME", help="Whose update is measured; see `groupsigma dials`.")
    ] = "grpo",
    as_json: AsJson = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="TEST", help="Exit 1 when this holds, e.g. 'silent>0.5'; may be repeated."),
    ] = None,
    prompt_id: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the prompt id.")] = None,
    reward: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the reward, one row a completion.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the solve rate, one row a problem.")
    ] = None,
    correct: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the right answers k.")] = None,
    answers: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the answers n, or a number.")] = None,
    step: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the training step.")] = None,
    count: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of how many problems a row stands for.")
    ] = None,
    false_positive: Annotated[
        float, typer.Option(metavar="F", help="Your checker passes this share of wrong answers; the data's is exact.")
    ] = 0.0,
    false_negative: Annotated[
        float, typer.Option(metavar="F", help="Your checker refuses this share of right answers.")
    ] = 0.0,
    right_from: Annotated[float | None, typer.Option(metavar="X", help="Rewards of at least this are right.")] = None,
) -> None:
    """Where a set of problems teaches at a group size, and where it cannot."""
    from groupsigma.audit import audit as run
    from groupsigma.findings import findings
    from groupsigma.presets import find_dial
    from groupsigma.readers import load
    from groupsigma.readers.columns import Columns

    tests = [_parse_test(text) for text in fail_on or ()]
    rule = find_dial(dial)
    columns = Columns(prompt_id, reward, rate, correct, answers, step, count, right_from)
    options: dict[str, Any] = dict(
        group_size=group_size, dial=rule, dial_name=dial, false_positive=false_positive, false_negative=false_negative
    )
    result = run(load(source, columns), **options)
    metrics = result.metrics()
    for name, _, _ in tests:
        if name not in metrics:
            raise ArgumentError("--fail-on", "a number this audit has", repr(name), hint="one of " + ", ".join(metrics))
    said = findings(result)
    if as_json:
        _print_json({**result.to_dict(), "metrics": metrics, "findings": [vars(f) for f in said]})
    else:
        from groupsigma.screen import audit_screen
        from groupsigma.screen import show as print_screen

        print_screen(audit_screen(result, said))
    _fail_if([f"{n} = {metrics[n]:.6g} {op} {limit:g}" for n, op, limit in tests if _holds(metrics[n], op, limit)])


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


@app.command(short_help="The paper's numbers, claim by claim.")
def reproduce(
    name: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Claims by name or by first part; default all.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a claim fails.")] = False,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also draw these claims' figures there, SVG and PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The paper's numbers and ours, claim by claim. GROUPSIGMA_DATA names the folder of published series."""
    from groupsigma.experiments.claims import check as run
    from groupsigma.experiments.claims import choose
    from groupsigma.experiments.paper import CLAIMS

    chosen = choose(CLAIMS, name or ())
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


def _draw(parts: set[str], folder: Path) -> None:
    """The charts of some parts as SVG and PNG, named on standard error."""
    from groupsigma.experiments.pictures import FIGURES
    from groupsigma.figures import save

    if not parts & set(FIGURES):
        raise ArgumentError("--figures", "claims that have figures", "none", hint="one of " + ", ".join(FIGURES))
    folder.mkdir(parents=True, exist_ok=True)
    for part in sorted(parts & set(FIGURES)):
        for name, chart in FIGURES[part]().items():
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
