"""Measure solve rates: every problem answered n times and checked, its counts written as `audit` and `plan` read them.

One JSON line a problem, written when its answers are checked. Killed at any moment, at most the batch in
progress is lost, and the same call goes on; what was answered under other settings is never mixed in.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groupsigma.answerers import Answered, Answerer, Sampling
from groupsigma.checkers import COLUMNS
from groupsigma.errors import ArgumentError, SourceError
from groupsigma.problems import fingerprint
from groupsigma.referee import Referee, Verdicts

#: Checkers whose rewards are 0 or 1; others are, too, once a threshold says from where an answer is right.
RIGHT_OR_WRONG = ("exact", "math")

Row = dict[str, Any]


@dataclass(frozen=True)
class Probe:
    """What a file of counts says, and what this run added to it.

    Attributes:
        problems, answers, unscorable: in the file; answers are those that could be scored.
        reward_mean: of the problems' mean rewards: the mean solve rate unless `graded`, some not 0 or 1; NaN of none.
        never, always: problems all of whose rewards are 0, are 1; cut: answers that the limit of tokens ended.
        new: problems this run answered, in so many seconds and tokens; same: those whose answers were all one text.
        undone: problems still without answers; why: the last reason.
        raised, timed_out, nonsense, declined: why this run's unscorable ones are; example: of one.
    """

    problems: int
    answers: int
    unscorable: int
    reward_mean: float
    graded: bool
    never: int
    always: int
    cut: int
    new: int = 0
    seconds: float = 0.0
    tokens: int = 0
    same: int = 0
    undone: int = 0
    why: str = ""
    raised: int = 0
    timed_out: int = 0
    nonsense: int = 0
    declined: int = 0
    example: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def probe(
    answerer: Callable[[], Answerer],
    problems: Sequence[Mapping[str, Any]],
    referee: Referee,
    *,
    sampling: Sampling,
    settings: Mapping[str, Any],
    counted: bool,
    out: Path,
    answers: Path | None = None,
    label: str = "",
) -> Probe:
    """Answer and check what `out` does not have yet; every problem's row ends up there.

    Args:
        answerer: makes the one that answers; not called when nothing is left to do.
        problems: rows of `load_problems`. referee: checks completions against rows.
        settings: what must stay the same when the run is taken up again; goes into each row.
        counted: rows of n_correct of n_rollouts, for rewards of 0 and 1; else of the rewards themselves.
        answers: also every completion with its reward there, one JSON line each.
        label: for the progress on stderr: counted on a terminal, a line when it begins elsewhere; "" is silent.
    Raises: ArgumentError when the file was made with other settings, or not one problem gets an answer.
    """
    _refuse_columns(referee, problems)
    ids = [str(problem["prompt_id"]) for problem in problems]
    prints = [fingerprint(problem) for problem in problems]
    done = _take_up(out, answers, settings, dict(zip(ids, prints, strict=True)), sampling.n)
    wanted = [at for at, name in enumerate(ids) if name not in done]
    tally: Counter[str] = Counter()
    example = why = ""
    begun = time.monotonic()
    if wanted:
        meter = _Meter(label, len(wanted), sampling.n)
        prompts = [problem["prompt"] for problem in problems]
        source = answerer()
        begun = time.monotonic()
        with ExitStack() as files:
            write = _Writer(files, out, answers)
            for batch in source.answers(prompts, wanted):
                why = next((answered.failed for answered in batch if answered.failed), why)
                found = [answered for answered in batch if not answered.failed]
                if not found:
                    continue
                verdicts = _checked(referee, found, problems)
                rows = []
                for answered, rewards in zip(found, _split(verdicts.rewards, sampling.n), strict=True):
                    at = answered.at
                    row = _row(problems[at]["prompt_id"], rewards, answered, counted, prints[at], settings)
                    rows.append((row, answered.completions, rewards))
                    done[ids[at]] = row
                    tally["tokens"] += answered.tokens
                    tally["same"] += len(set(answered.completions)) == 1
                write(rows)
                tally["new"] += len(found)
                for name in ("raised", "timed_out", "nonsense", "declined"):
                    tally[name] += getattr(verdicts, name)
                example = example or verdicts.example
                meter.show(tally["new"], tally["tokens"] / max(time.monotonic() - begun, 1e-9))
        meter.end()
        if not tally["new"]:
            raise ArgumentError(
                "probe", "answers", why or "none", hint="nothing was written; the same command tries again"
            )
    undone = len(problems) - sum(name in done for name in ids)
    return _summed(
        list(done.values()), undone=undone, why=why, example=example, seconds=time.monotonic() - begun, **tally
    )


def _refuse_columns(referee: Referee, problems: Sequence[Mapping[str, Any]]) -> None:
    """Before a model is loaded: what the checker reads must be there."""
    for column in COLUMNS.get(referee.name.replace("-", "_"), ()):
        for at, problem in enumerate(problems, 1):
            if column not in problem:
                hint = f"rename the column that holds it to {column}; --checker names another checker"
                got = "columns " + ", ".join(map(str, problem))[:80]
                raise ArgumentError("probe", f"a column {column!r} for {referee.name}", got, f"problem {at}", hint)


def _checked(referee: Referee, found: Sequence[Answered], problems: Sequence[Mapping[str, Any]]) -> Verdicts:
    pairs = [(text, problems[answered.at]) for answered in found for text in answered.completions]
    return referee.check([text for text, _ in pairs], [row for _, row in pairs])


def _split(rewards: Sequence[float | None], n: int) -> Iterator[Sequence[float | None]]:
    return (rewards[start : start + n] for start in range(0, len(rewards), n))


def _row(
    name: Any,
    rewards: Sequence[float | None],
    answered: Answered,
    counted: bool,
    print_: str,
    settings: Mapping[str, Any],
) -> Row:
    """A problem's line: counts that `audit` reads, or rewards that it reads."""
    scored = [float(reward) for reward in rewards if reward is not None]
    row: Row = {"prompt_id": name}
    if counted:
        if odd := next((reward for reward in scored if reward not in (0.0, 1.0)), None):
            raise ArgumentError(
                "probe", "rewards of 0 or 1 to count", f"{odd:g}", hint="--right-from says what is right"
            )
        row["n_correct"] = int(sum(scored))
    else:
        row["rewards"] = [None if reward is None else float(reward) for reward in rewards]
    row |= {"n_rollouts": len(scored), "n_unscorable": len(rewards) - len(scored)}
    return row | {"n_cut": answered.cut, "tokens": answered.tokens, "fingerprint": print_, "settings": dict(settings)}


class _Writer:
    """Both files, opened with the first batch: where nothing is answered nothing is left behind."""

    def __init__(self, files: ExitStack, out: Path, answers: Path | None) -> None:
        self.files, self.paths = files, [path for path in (answers, out) if path is not None]
        self.opened: list[Any] = []

    def __call__(self, rows: Iterable[tuple[Row, Sequence[str], Sequence[float | None]]]) -> None:
        rows = list(rows)
        if not self.opened:
            self.opened = [self.files.enter_context(path.open("ab")) for path in self.paths]
        # Counts first: answers without counts are then never ours, and are not thrown away for a stopped run's.
        _append(self.opened[-1], [row for row, _, _ in rows])
        if len(self.opened) > 1:
            pairs = ((row, pair) for row, texts, rewards in rows for pair in zip(texts, rewards, strict=True))
            _append(
                self.opened[0],
                [
                    {"prompt_id": row["prompt_id"], "completion": text, "reward": reward}
                    for row, (text, reward) in pairs
                ],
            )


def _append(file: Any, rows: Iterable[Row]) -> None:
    # A lone surrogate, which a tokenizer can produce, is escaped in ASCII and survives.
    file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    file.flush()


class _Meter:
    """Progress on standard error."""

    def __init__(self, label: str, problems: int, n: int) -> None:
        self.label, self.problems = label, problems
        self.live = bool(label) and sys.stderr.isatty()
        if label and not self.live:
            print(f"{label}: {problems} problems, {n} answers each", file=sys.stderr, flush=True)

    def show(self, done: int, speed: float) -> None:
        """So many problems done."""
        if self.live:
            text = f"\r{self.label}: {done} of {self.problems} problems, {speed:.0f} tokens/s"
            print(text, end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """The line is left."""
        if self.live:
            print(file=sys.stderr)


def _take_up(
    out: Path, answers: Path | None, settings: Mapping[str, Any], prints: Mapping[str, str], n: int
) -> dict[str, Row]:
    """The rows that are done, by id; files are cut back to them where a stopped run left more."""
    rows: dict[str, Row] = {}
    for number, line in enumerate(_lines(out), 1):
        row = _read_row(line, f"{out}, line {number}")
        name = str(row["prompt_id"])
        _refuse_other(out, row, settings)
        if prints.get(name, row["fingerprint"]) != row["fingerprint"]:
            needs, hint = f"the same problem {name!r} as in {out}", "another --out for other problems"
            raise ArgumentError("probe", needs, "another prompt or answer", hint=hint)
        if name in rows:
            raise SourceError(str(out), "each problem once", f"{name!r} again", f"line {number}", "remove the line")
        rows[name] = row
    done = rows if answers is None else _answered(rows, out, answers, n)
    _keep(out, lambda name: name in done)
    if answers is not None:
        _keep(answers, lambda name: name in done)
    return done


def _answered(rows: Mapping[str, Row], out: Path, answers: Path, n: int) -> dict[str, Row]:
    """The rows whose n answers are all in the other file."""
    if rows and not answers.exists():
        hint = "without --answers, or with another --out to begin afresh"
        raise ArgumentError("probe", f"the answers that {out} counts", f"no file {answers}", hint=hint)
    have = Counter(_owner(line) for line in _lines(answers))
    if foreign := next((name for name in have if name not in rows), None):
        needs, hint = f"the answers that {out} counts", "another --answers, or the --out they belong to"
        raise ArgumentError("probe", needs, f"some to {foreign!r} in {answers}", hint=hint)
    return {name: row for name, row in rows.items() if have[name] == n}


def _owner(line: bytes) -> str:
    try:
        return str(json.loads(line)["prompt_id"])
    except (ValueError, TypeError, KeyError):
        return ""


def _lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, not the half one that a killed run leaves; none where there is no file."""
    if path.is_file():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def _keep(path: Path, wanted: Callable[[str], bool]) -> None:
    """Cut a file back to the whole lines of these ids; one that has nothing else is not touched."""
    kept = [wanted(_owner(line)) for line in _lines(path)]
    if not path.is_file() or (all(kept) and sum(map(len, _lines(path))) == path.stat().st_size):
        return
    beside = path.with_name(f"{path.name}.part")
    with beside.open("wb") as file:
        file.writelines(line for line, keep in zip(_lines(path), kept, strict=True) if keep)
    beside.replace(path)


def _read_row(line: bytes, where: str) -> Row:
    try:
        row = json.loads(line)
        if not row.keys() >= {"prompt_id", "fingerprint", "settings"}:
            raise ValueError
    except (ValueError, AttributeError):
        needs, hint = "lines that probe wrote", "another --out; this file is left as it is"
        raise SourceError(where, needs, repr(line[:40].decode(errors="replace")), hint=hint) from None
    return dict(row)


def _refuse_other(out: Path, row: Row, settings: Mapping[str, Any]) -> None:
    """Other settings than a file was begun with: the first that differs is named."""
    before = row["settings"]
    for name in {**before, **settings}:
        if before.get(name) != settings.get(name):
            needs = f"the settings {out} was begun with: {name} = {before.get(name)!r}"
            hint = "the same options go on with it; another --out begins afresh"
            raise ArgumentError("probe", needs, repr(settings.get(name)), hint=hint)


def _summed(rows: Sequence[Row], **run: Any) -> Probe:
    """The summary of all rows of a file."""
    means, graded, never, always = [], False, 0, 0
    for row in rows:
        scored = [reward for reward in row.get("rewards", ()) if reward is not None]
        n = row["n_rollouts"]
        total = float(row["n_correct"]) if "n_correct" in row else sum(scored)
        if n:
            means.append(total / n)
            never += total == 0 and not any(scored)
            always += total == n and all(reward == 1 for reward in scored)
            graded = graded or not set(scored) <= {0, 1}
    return Probe(
        problems=len(rows),
        answers=sum(row["n_rollouts"] for row in rows),
        unscorable=sum(row["n_unscorable"] for row in rows),
        reward_mean=sum(means) / len(means) if means else float("nan"),
        graded=graded,
        never=never,
        always=always,
        cut=sum(row["n_cut"] for row in rows),
        **run,
    )
