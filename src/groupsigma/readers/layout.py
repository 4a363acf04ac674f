"""What a trainer's rollout log is like, as data: the fields read, and the expressions that make answers of its rows.

A layout is one `Layout` in a short file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

#: A field read as text, whatever stands there: numbers keep all digits, true, NaN and lists their spelling.
TEXT = "VARCHAR"
#: TEXT, a list [x], an object {"name": x}, or one with any names {"*": x}.
Field = Any

Keys = Mapping[str, Any]


def nothing_left_out(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """All files, no notes."""
    return list(paths), []


@dataclass(frozen=True)
class Layout:
    """How one tool writes rollouts. Expressions are SQL over the rows of the files, one row an answer.

    Attributes:
        name: as --layout says it. writer: what writes it, for the reader of the output.
        form: "json" (one object a line), "parquet", or a kind of file that `unpack` makes lines of.
        fields: those read, by name; the others are skipped over. A name may be absent from a file.
        recognise: whether a row with these keys, in a file of this path, is of this layout.
        prompt: what names the problem. reward: a number, or text that is one. text: what was answered.
        group: the group's own id; step: the training step; split: 'train' or 'eval'; NULL where the log does not say.
        own_groups: whether `group` is the writer's id of a group, not merely something its prompts differ in.
        answer: id of a trajectory that may have several rows; part: their order, the last one counts.
        dead: whether an answer is unscorable whatever its reward says.
        rows: where the expressions stand over, if not the lines of the {log} themselves.
        named: the expression of the reward that --reward names; by default the field of that name.
        scorers: the names that --reward may say, as a list in SQL, where files name them; and what is read without it.
        rewards: of the columns found, with their types, those that may hold rewards, each function's its own.
        choose: of the files found those to read, and what to say about the others.
        adapt: the layout as a file's first row makes it, where fields are named by the data.
        unpack: where a file is no rows: its answers written as JSON lines, into the path given.
        between: what is known of the steps that are not in the log, where every so many are.
        filter: why silent groups may be missing, for the day that they are.
        verify: a SELECT over {log} that gives the share of groups which speak against {reward}, and what to say then.
        notes: what must be known to read such a log right.
    """

    name: str
    writer: str
    form: Literal["json", "parquet", "inspect", "torch"]
    fields: Mapping[str, Field]
    recognise: Callable[[Path, Keys], bool]
    prompt: str
    reward: str = "reward"
    text: str = "NULL"
    group: str = "NULL"
    own_groups: bool = True
    step: str = "NULL"
    split: str = "NULL"
    answer: str = ""
    part: str = "0"
    dead: str = "false"
    rows: str = "{log}"
    named: Callable[[str], str] | None = None
    scorers: tuple[str, str] | None = None
    rewards: Callable[[Mapping[str, str]], list[str]] | None = None
    choose: Callable[[Sequence[str]], tuple[list[str], list[str]]] = nothing_left_out
    adapt: Callable[[Path, Keys], Layout] | None = None
    unpack: Callable[[Path, Path], None] | None = None
    between: str = "the steps between are not in the log"
    filter: str = ""
    verify: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()

    def select(self, log: str, at: str, reward: str) -> str:
        """One row an answer, from the rows of `log`; at: which file and line, as SQL."""
        return (
            f"SELECT {at}, {self.prompt} AS prompt, {self.group} AS grp, {self.step} AS step, {self.split} AS split, "
            f"{self.answer or 'NULL'} AS answer, {self.part} AS part, {self.dead} AS dead, {reward} AS v, "
            f"{self.text} AS text FROM {self.rows.replace('{log}', log)}"
        )


def sql_type(field: Field) -> str:
    """The DuckDB type of a field.

    >>> sql_type([{"id": TEXT, "scores": {"*": TEXT}}])
    'STRUCT("id" VARCHAR, "scores" MAP(VARCHAR, VARCHAR))[]'
    """
    if isinstance(field, str):
        return field
    if isinstance(field, list):
        return f"{sql_type(field[0])}[]"
    if set(field) == {"*"}:
        return f"MAP(VARCHAR, {sql_type(field['*'])})"
    inner = ", ".join(f'"{name}" {sql_type(inner)}' for name, inner in field.items())
    return f"STRUCT({inner})"


def fitted(value: Any, field: Field) -> Any:
    """The part of a JSON value that a field reads.

    Raises: TypeError where the value has another shape.

    >>> fitted({"id": 1, "text": "…", "scores": None}, {"id": TEXT, "scores": {"*": TEXT}})
    {'id': 1, 'scores': None}
    """
    if value is None or isinstance(field, str):
        return value
    if isinstance(field, list):
        if not isinstance(value, list):
            raise TypeError("a list")
        return [fitted(item, field[0]) for item in value]
    if not isinstance(value, dict):
        raise TypeError("an object")
    if set(field) == {"*"}:
        return {name: fitted(item, field["*"]) for name, item in value.items()}
    return {name: fitted(value.get(name), inner) for name, inner in field.items()}


def has(*names: str) -> Callable[[Path, Keys], bool]:
    """Recognises rows that have all these keys."""
    return lambda path, keys: all(name in keys for name in names)


def quoted(name: str, mark: str = '"') -> str:
    """A name, or with mark "'" a text, as SQL has it."""
    return mark + name.replace(mark, mark * 2) + mark
