"""`groupsigma probe`: answer problems n times, check the answers, write the counts."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groupsigma.errors import ArgumentError
from groupsigma.verbs.options import AsJson, RightFrom
from groupsigma.verbs.told import print_json

if TYPE_CHECKING:
    from groupsigma.answerers import Answerer, Sampling
    from groupsigma.probe import Probe
    from groupsigma.problems import Prompt

ENGINES = ("auto", "transformers", "vllm", "endpoint")


def probe(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder, a .gguf file, a hub id, or the name an endpoint serves.")
    ],
    problems: Annotated[
        str,
        typer.Argument(
            metavar="PROBLEMS", help="CSV / JSONL / Parquet, a data set of the hub, or reasoning-gym:TASK?size=…"
        ),
    ],
    n: Annotated[int, typer.Option("-n", "--answers-each", metavar="N", help="Answers to each problem.")] = 8,
    checker: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="exact, math, reasoning_gym or module:function; by default math, for reasoning-gym: its own.",
        ),
    ] = None,
    right_from: RightFrom = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Counts, a JSON line a problem; by default MODEL.PROBLEMS.jsonl."),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also every answer with its reward, a JSON line each.")
    ] = None,
    temperature: Annotated[float, typer.Option(metavar="T", help="Sampling temperature.")] = 1.0,
    top_p: Annotated[float, typer.Option(metavar="P", help="Nucleus of the sampling.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(metavar="N", help="Most tokens of an answer.")] = 512,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the sampling.")] = 0,
    chat: Annotated[
        bool, typer.Option("--chat", help="Text prompts become a user's turn in the chat template.")
    ] = False,
    engine: Annotated[str, typer.Option(metavar="NAME", help="auto, transformers, vllm or endpoint.")] = "auto",
    batch_size: Annotated[int, typer.Option(metavar="N", help="transformers: answers generated at once.")] = 64,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="OpenAI-compatible server, http://HOST:PORT/v1; key: OPENAI_API_KEY."),
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Endpoint: problems asked at once.")] = 16,
    prompt: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the prompt.")] = "prompt",
    split: Annotated[str, typer.Option(metavar="NAME", help="Which part of a data set of the hub.")] = "train",
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first so many problems.")] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="What checking one answer may take.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Answer each problem n times, check the answers, and write the counts that `audit` and `plan` read.

    It can be stopped at any moment: the same command goes on where it was.
    """
    if not sys.stderr.isatty():
        # Read by tqdm when it is imported: no bars of other libraries in a log.
        os.environ.setdefault("TQDM_DISABLE", "1")
    from groupsigma.answerers import Sampling
    from groupsigma.output import check_targets
    from groupsigma.probe import RIGHT_OR_WRONG
    from groupsigma.probe import probe as run
    from groupsigma.problems import GENERATED, load_problems
    from groupsigma.referee import Referee

    sampling = Sampling(n, temperature, top_p, max_tokens, seed)
    chosen = _engine(engine, endpoint, model)
    name = checker or ("reasoning_gym" if problems.startswith(GENERATED) else "math")
    place = out or Path(f"{_short(model)}.{_short(problems)}.jsonl")
    files = {"--out": str(place)} | ({"--answers": str(answers)} if answers is not None else {})
    check_targets(files, {}, [problems])
    rows = load_problems(problems, split=split, prompt=prompt, limit=limit)
    for note in (*getattr(rows, "notes", ()), f"checker = {name}, counts go to {place}"):
        typer.echo(f"note: {note}", err=True)
    settings = {
        "model": model.rstrip("/"),
        "engine": chosen,
        "checker": name,
        "right_from": right_from,
        "chat": chat,
        "n": sampling.n,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
    }
    try:
        with Referee(name, threshold=right_from, timeout=timeout) as referee:
            found = run(
                _answerer(chosen, model, sampling, chat, batch_size, endpoint or "", concurrency, rows[0]["prompt"]),
                rows,
                referee,
                sampling=sampling,
                settings=settings,
                counted=right_from is not None or name in RIGHT_OR_WRONG,
                out=place,
                answers=answers,
                label="probe",
            )
    except KeyboardInterrupt:
        kept = f"problems answered so far are kept in {place}" if place.exists() else "nothing was answered yet"
        typer.echo(f"\n{kept}; the same command goes on", err=True)
        raise typer.Exit(130) from None
    if as_json:
        data = {"schema": "groupsigma.probe/1", **found.to_dict(), "out": str(place), "settings": settings}
        print_json(data)
    else:
        typer.echo("\n".join(_screen(found, f"{model} on {problems}", place, sampling)))
    if found.undone:
        typer.echo(f"failed: {found.undone} problems have no answers yet: {found.why}", err=True)
        typer.echo("hint: the same command asks for them again", err=True)
        raise typer.Exit(1)


def _engine(asked: str, endpoint: str | None, model: str) -> str:
    """The engine meant: an endpoint where one is named; vLLM where it is installed; else transformers."""
    if asked not in ENGINES:
        raise ArgumentError("--engine", "one of " + ", ".join(ENGINES), repr(asked))
    if (asked == "endpoint") != (endpoint is not None) and (asked == "endpoint" or asked != "auto"):
        needs = "--endpoint URL" if asked == "endpoint" else "no --endpoint"
        raise ArgumentError(f"--engine {asked}", needs, endpoint or "none")
    if asked != "auto":
        return asked
    if endpoint is not None:
        return "endpoint"
    return "vllm" if find_spec("vllm") is not None and not model.endswith(".gguf") else "transformers"


def _answerer(
    engine: str, model: str, sampling: Sampling, chat: bool, batch_size: int, url: str, concurrency: int, first: Prompt
) -> Callable[[], Answerer]:
    """What makes the engine, when there is something to answer."""

    def make() -> Answerer:
        if engine == "endpoint":
            from groupsigma.answerers.endpoint import Endpoint

            return Endpoint(model, sampling, url=url, chat=chat, concurrency=concurrency)
        typer.echo(f"loading {model}", err=True)
        if engine == "vllm":
            from groupsigma.answerers.vllm import VllmModel

            return VllmModel(model, sampling, chat=chat)
        from groupsigma.answerers.local import LocalModel

        local = LocalModel(model, sampling, chat=chat, batch_size=batch_size)
        if local.tokenizer.chat_template and isinstance(first, str) and not chat:
            typer.echo("note: the model is made for chats, the prompts are continued as text; see --chat", err=True)
        return local

    return make


def _short(name: str) -> str:
    """A model's or source's name as part of a file's.

    >>> _short("Qwen/Qwen3-0.6B/"), _short("reasoning-gym:chain_sum?size=20"), _short("data/sums.jsonl")
    ('Qwen3-0.6B', 'chain_sum', 'sums')
    """
    last = Path(re.sub(r"^reasoning-gym:|\?.*", "", name)).name
    stem = re.sub(r"\.(csv|tsv|jsonl|ndjson|json|parquet|pq|gguf)(\.gz|\.zst)?$", "", last)
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "problems"


def _screen(found: Probe, title: str, place: Path, how: Sampling) -> Iterator[str]:
    """The summary, line by line."""
    total = found.answers + found.unscorable
    yield f"{title}: {found.problems:,} problems, {how.n} answers each"
    if found.answers:
        rate = (
            f"{'mean reward':16}{found.reward_mean:.3g}"
            if found.graded
            else f"{'solve rate':16}{found.reward_mean:.1%}"
        )
        yield f"  {rate}"
    for words, number in (("never right", found.never), ("always right", found.always)):
        yield f"  {words:16}{number:,} problems, {number / found.problems:.1%}"
    yield f"  {'unscorable':16}{found.unscorable:,} answers{_reasons(found)}"
    if found.cut:
        yield f"  {'cut off':16}{found.cut:,} answers, {found.cut / total:.1%}, at {how.max_tokens} tokens"
    if found.new:
        speed = f"{found.tokens / found.seconds:,.0f} tokens/s, {found.new * how.n / found.seconds:,.1f} answers/s"
        yield f"  {'this run':16}{found.new:,} problems in {found.seconds:,.1f} s: {speed}"
    if found.same >= 5 and found.same == found.new and how.n > 1:
        yield f"  note: each of these problems got one and the same answer {how.n} times; is the model sampled at all?"
    yield f"next: groupsigma audit {shlex.quote(str(place))}"


def _reasons(found: Probe) -> str:
    """Why this run's unscorable answers are."""
    named: list[tuple[str, Any]] = [
        ("raised", found.raised),
        ("timed out", found.timed_out),
        ("no number", found.nonsense),
        ("declined", found.declined),
    ]
    told = ", ".join(f"{number:,} {words}" for words, number in named if number)
    return (f": {told}" if told else "") + (f" ({found.example})" if found.example else "")
