"""Problems to answer: a table, a data set of the hub, or generated tasks, as rows with a prompt and an id."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from groupsigma import checks
from groupsigma.checkers import procedural
from groupsigma.errors import SourceError
from groupsigma.readers import files

#: Text to go on from, or the turns of a chat: {"role": …, "content": …} each.
Prompt = str | list[dict[str, Any]]

#: What a generated source begins with.
GENERATED = "reasoning-gym:"
#: Taken as the prompt where no column has the name asked for, and as the id where there is no "prompt_id".
_PROMPTS = ("question", "problem")
_IDS = ("id", "uid")
#: Endings that no data set of the hub is taken to have.
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".gz", ".zst")


class Problems(list[dict[str, Any]]):
    """Rows, each with "prompt" and "prompt_id"; `notes` say what was taken for granted in reading them."""

    notes: tuple[str, ...] = ()


def load_problems(
    source: str, *, split: str = "train", prompt: str = "prompt", limit: int | None = None
) -> list[dict[str, Any]]:
    """The problems of a source: every column as it is there, and a "prompt" and a "prompt_id" in each row.

    Args:
        source: CSV, JSONL or Parquet (a file, a folder, a glob, -), a data set of the hub ("owner/name" or
            "owner/name:configuration"), or "reasoning-gym:TASK?size=500&seed=0&key=value" (`checkers.procedural`).
        split: of a data set of the hub. limit: only the first so many.
        prompt: the column of the prompt, text or chat messages; "question" and "problem" stand in for an absent
            "prompt".
    Returns: a `Problems`, a list whose `notes` say which columns were taken. The id is the column "prompt_id", else
        "id" or "uid" where these are different in each row, else the row's number, from 0.
    Raises: SourceError naming the source, the row and what was expected.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "sums.csv").write_text("question,answer\\n1+1=,02\\n")
    ...     load_problems(f"{folder}/sums.csv")
    [{'question': '1+1=', 'answer': '02', 'prompt': '1+1=', 'prompt_id': 0}]
    """
    most = None if limit is None else int(checks.whole("load_problems", "limit", limit, 1))
    if source.startswith(GENERATED):
        rows = procedural(source)[:most]
    elif _is_table(source):
        rows = _table(source, most)
    else:
        rows = _from_hub(source, split, most)
    if not rows:
        raise SourceError(source or "problems", "rows of problems", "none")
    return _prompted(rows, prompt, source)


def turns_of(prompt: Prompt) -> list[dict[str, Any]]:
    """A prompt as the turns of a chat: text is a user's turn.

    >>> turns_of("1+1=")
    [{'role': 'user', 'content': '1+1='}]
    """
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def fingerprint(row: Mapping[str, Any]) -> str:
    """Eight letters that change when a problem's prompt or answer does; other columns do not count.

    >>> fingerprint({"prompt": "1+1=", "answer": "2", "source": "a"})
    '8e3139bd'
    """
    told = json.dumps([row["prompt"], row.get("answer")], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=4).hexdigest()


def _is_table(source: str) -> bool:
    """Whether a source is to be looked for on the disk or at an address; name and owner/name are the hub's."""
    if source == "-" or Path(source).exists() or Path(source).suffix.lower() in _TABLES:
        return True
    return not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", source)


def _table(source: str, most: int | None) -> list[dict[str, Any]]:
    """Rows of CSV (every value a text: 007 stays 007), of JSON lines, or of Parquet."""
    if not source:
        raise SourceError("problems", "a file, a data set or reasoning-gym:TASK", "an empty name")
    with tempfile.TemporaryDirectory(prefix="groupsigma-") as scratch:
        paths, form = files.resolve([source], Path(scratch))
        found = "[" + ", ".join("'" + files.escaped(path).replace("'", "''") + "'" for path in paths) + "]"
        layout = "auto" if files.is_document(paths) else "newline_delimited"
        scan = {
            "csv": f"read_csv({found}, union_by_name = true, hive_partitioning = false, all_varchar = true)",
            # Objects as they are written: no text is taken for a date, as it would be in columns.
            "json": f"read_json_objects({found}, format = '{layout}', maximum_object_size = 268435456)",
            "parquet": f"read_parquet({found}, union_by_name = true, hive_partitioning = false)",
        }[form]
        name = "standard input" if source == "-" else source
        with files.connection(scratch) as db, files.explained(paths, form, name, scratch):
            result = db.execute(f"SELECT * FROM {scan}" + (f" LIMIT {most}" if most else ""))
            columns = [column[0] for column in result.description or ()]
            values = result.fetchall()
    if form != "json":
        return [_plain(dict(zip(columns, row, strict=True))) for row in values]
    rows = [json.loads(row[0]) for row in values]
    if bad := next((at for at, row in enumerate(rows, 1) if not isinstance(row, dict)), None):
        raise SourceError(name, "one JSON object a row", type(rows[bad - 1]).__name__, f"data row {bad}")
    return rows


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Dates and decimals as text, so that a row can be handed to a checker in another process."""
    try:
        json.dumps(row)
        return row
    except TypeError:
        return cast(dict[str, Any], json.loads(json.dumps(row, default=str)))


def _from_hub(source: str, split: str, most: int | None) -> list[dict[str, Any]]:
    """Rows of a data set, through the library `datasets`."""
    name, _, configuration = source.partition(":")
    try:
        import datasets
    except ImportError:
        hint = "is the path relative to this folder? for a data set of the hub: pip install datasets"
        raise SourceError(source, "an existing file, or the package datasets", "neither", hint=hint) from None
    try:
        data = datasets.load_dataset(name, configuration or None, split=split)
    # Whatever is wrong with a data set somebody else made, in somebody else's words.
    except Exception as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        hint = f"--split says which part; a configuration goes after a colon: {name}:main"
        raise SourceError(source, "a file here, or a data set of the hub", told, hint=hint) from None
    rows = data if most is None else data.select(range(min(most, len(data))))
    return [_plain(dict(row)) for row in rows]


def _prompted(rows: Sequence[Mapping[str, Any]], prompt: str, source: str) -> Problems:
    """The rows with prompt and id in front, and the notes."""
    columns = list(dict.fromkeys(name for row in rows[:1000] for name in row))
    others = _PROMPTS if prompt == "prompt" else ()
    taken = next((name for name in (prompt, *others) if name in columns), None)
    if taken is None:
        got = "columns " + ", ".join(columns[:12])
        raise SourceError(source, f"a column {prompt!r} with the prompts", got, hint="--prompt COLUMN names it")
    prompts = [row.get(taken) for row in rows]
    for at, value in enumerate(prompts, 1):
        if told := _unfit(value, prompts[0]):
            needs = f"text or chat messages in {taken!r}"
            raise SourceError(source, needs, told, f"data row {at}", hint="the same kind in every row")
    ids, kept = _ids(rows, columns, source)
    notes = [f"prompt = {taken}"] if taken != "prompt" else []
    found = Problems(
        {**row, "prompt": text, "prompt_id": name} for row, text, name in zip(rows, prompts, ids, strict=True)
    )
    found.notes = (*notes, *kept)
    return found


def _unfit(value: Any, first: Any) -> str:
    """What is wrong with a prompt; "" where nothing is."""
    if isinstance(value, list):
        turns = value and all(
            isinstance(turn, dict) and isinstance(turn.get("role"), str) and turn.get("content") is not None
            for turn in value
        )
        told = "" if turns else f"the list {value!r:.40}"
    else:
        told = "" if isinstance(value, str) and value.strip() else f"{value!r:.40}"
    return told or ("text beside chats" if isinstance(value, list) != isinstance(first, list) else "")


def _ids(rows: Sequence[Mapping[str, Any]], columns: Iterable[str], source: str) -> tuple[list[str | int], list[str]]:
    """The id of each row, and what was taken for granted."""
    notes: list[str] = []
    for name in ("prompt_id", *_IDS):
        if name not in columns:
            continue
        values = [row.get(name) for row in rows]
        odd = next((at for at, value in enumerate(values, 1) if type(value) not in (str, int)), None)
        # As text: that is how the tables these ids go to are read.
        repeats = odd is None and len(set(map(str, values))) < len(values)
        if odd is None and not repeats:
            return cast(list[str | int], values), notes if name == "prompt_id" else [*notes, f"prompt_id = {name}"]
        if name == "prompt_id":
            at = odd or _repeated(values)
            got = f"{values[at - 1]!r:.40}" + (" a second time" if repeats else "")
            raise SourceError(source, "a text or whole number of its own in every 'prompt_id'", got, f"data row {at}")
        notes.append(f"{name!r} is not a different text or number in each row, and was left out")
    return list(range(len(rows))), [*notes, "prompt_id = number of the row, from 0"]


def _repeated(values: Sequence[Any]) -> int:
    """The first row whose id an earlier one has, from 1."""
    seen: set[str] = set()
    return next(at for at, value in enumerate(map(str, values), 1) if value in seen or seen.add(value))  # type: ignore[func-returns-value]
