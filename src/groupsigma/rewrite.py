"""The user's own data set written back: the rows worth having, untouched, in their order.

DuckDB reads, joins by prompt id and writes, so a file may be larger than memory; one row a problem arrives here.
JSON lines stay the letters they were, cells of CSV the text they were, Parquet keeps its types.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from groupsigma import arrays, checks
from groupsigma.checks import Floats, Ints
from groupsigma.errors import ArgumentError, SourceError
from groupsigma.groups import Groups
from groupsigma.law import checked_rate, silent_rate
from groupsigma.mixture import mixture
from groupsigma.plan import Plan
from groupsigma.readers import files
from groupsigma.readers.columns import candidates, listed

_WHO = "--data-out"
_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PACKED = {".gz": "gzip", ".zst": "zstd"}
_LARGE = ", maximum_object_size = 1073741824"
#: Types that DuckDB reads into JSON strings unasked, and whose text would come out another.
_GUESSED = re.compile(r"\b(?:TIMESTAMP(?:_\w+)?(?: WITH TIME ZONE)?|TIME(?: WITH TIME ZONE)?|DATE|UUID|JSON)\b")


@dataclass(frozen=True, eq=False)
class Choice:
    """What is written of each problem.

    Attributes:
        prompt_ids: [M] labels, each once. copies: int64 [M] how often its row is written; 0 leaves it out.
        why: [M] the reason for leaving it out, in a word or two. columns: [M] numbers to add, by column name.
        what: "plan" or "audit", for messages.
    """

    prompt_ids: Any
    copies: Ints
    why: Sequence[str]
    columns: Mapping[str, Any] = field(default_factory=dict)
    what: str = "plan"

    def __post_init__(self) -> None:
        texts = list(map(str, self.prompt_ids))
        if len(set(texts)) < len(texts):
            (several, _), *_ = Counter(texts).most_common(1)
            hint = "--prompt-id names a column that tells the problems apart"
            raise ArgumentError(_WHO, "prompt ids that stand for one problem each", repr(several)[:60], hint=hint)


def planned(plan: Plan, group_size: int | None = None, rollouts: str = "") -> Choice:
    """Every problem with tries, and its `tries` and `weight`; with a group size round(tries/G) times, at least once.

    rollouts: another column that the tries are written to, under the name that a trainer reads.

    >>> from groupsigma.plan import plan
    >>> planned(plan(Groups(["easy", "even"], [8, 4], [8, 8]), budget=16), group_size=4).copies.tolist()
    [0, 4]
    """
    _one_each(plan.beliefs.count)
    copies = np.minimum(plan.tries, 1)
    if group_size is not None:
        # Half a group and more is one; without this the planner's small groups would be the ones to go.
        copies *= np.maximum(1, np.floor(plan.tries / group_size + 0.5)).astype(np.int64)
    ids = np.asarray(plan.beliefs.prompt_ids)[plan.row].tolist()
    named = {rollouts: plan.tries} if rollouts else {}
    return Choice(ids, copies, plan.why, {"tries": plan.tries, "weight": plan.weight, **named})


def teaching(
    groups: Groups,
    group_size: int,
    drop_above: float = 0.95,
    *,
    false_positive: float = 0.0,
    false_negative: float = 0.0,
) -> Choice:
    """The problems whose groups of G are silent with at most that probability, as their own answers tell.

    P(silent) is the mean of p^G + (1−p)^G over the posterior of p; at the rate itself where only a rate is known.
    Visits of one prompt count together. The error rates are of the run's checker, as in `audit`.

    >>> teaching(Groups(["never", "even", "always"], [0, 32, 64], [64, 64, 64]), 8).copies.tolist()
    [0, 1, 0]
    """
    limit = checks.fraction("--drop-above", "the probability", drop_above)
    rates = groups.solve_rate
    _one_each(groups.count)
    codes, ids = arrays.factorize(groups.prompt_ids)

    def silent(p: Floats) -> Floats:
        return silent_rate(checked_rate(p, false_positive, false_negative), group_size)

    if groups.n_correct is None:
        if len(ids) < len(codes):
            raise ArgumentError(_WHO, "one rate for each problem", "repeated ids")
        chance, mean = silent(rates), rates
    else:
        k, n = (np.bincount(codes, x).astype(np.int64) for x in (groups.n_correct, groups.n_rollouts))
        base = n.max() + 1
        pairs, at = np.unique(k * base + n, return_inverse=True)
        posterior = mixture(groups).posterior(*divmod(pairs, base))
        chance, mean = (posterior.weight @ silent(posterior.p))[at], posterior.mean[at]
    why = np.where(mean < 0.5, "too hard", "too easy")
    return Choice(ids.tolist(), (chance <= limit).astype(np.int64), why.tolist(), what="audit")


@dataclass(frozen=True)
class Written:
    """What came of it. rows: read. problems: written. copies: rows written. left_out: rows not written, by reason."""

    path: str
    data: str
    id_column: str
    rows: int
    problems: int
    copies: int
    left_out: Mapping[str, int]

    @property
    def text(self) -> str:
        """One line for the user."""
        times = f", {self.copies:,} with repeats" if self.copies != self.problems else ""
        line = f"wrote {self.path}: {self.problems:,} of {self.rows:,} rows of {self.data}{times}"
        return line + (f"; {self.reasons}" if self.reasons else "")

    @property
    def reasons(self) -> str:
        """How many rows were left out, and why."""
        counted = [f"{n:,} {why}" for why, n in self.left_out.items() if n]
        return f"left out {', '.join(counted)}" if counted else ""


def named_data(data: str | None, sources: Sequence[str]) -> str:
    """The data set to write back: the one named, else the one file that was read."""
    if data is not None:
        return data
    if len(sources) == 1 and os.path.isfile(sources[0]):
        return sources[0]
    what = "standard input" if "-" in sources else ", ".join(sources)
    raise ArgumentError(_WHO, "the data set to filter", what, hint="--data FILE names it, a row a problem")


def check_target(name: str) -> tuple[str, str, str]:
    """(format, compression, delimiter) by a file's ending; ArgumentError for others."""
    path, packed = Path(name), ""
    if path.suffix in _PACKED:
        path, packed = path.with_suffix(""), _PACKED[path.suffix]
    form = _FORMATS.get(path.suffix.lower())
    if form is None or (packed and form == "parquet"):
        needs = "a file that ends in .csv, .tsv, .jsonl or .parquet; .gz or .zst after the first three"
        raise ArgumentError(_WHO, needs, repr(name))
    return form, packed, "\t" if path.suffix.lower() == ".tsv" else ","


@contextmanager
def rewriting(data: str, target: str, choice: Choice, *, id_column: str | None = None) -> Iterator[Written]:
    """Write the chosen rows of `data` beside `target`, and put them in its place when the block ends well.

    Args: data: a file, or what `load` takes; target: by its ending CSV, JSON lines or Parquet; id_column: by
        default the first of `data` that is called like one. Ids are compared as text.
    Raises: SourceError where an id of the choice is not in the data, or a column to add is there already.
    """
    check_target(target)
    place = Path(os.path.realpath(target))
    if place.exists() and not place.is_file():
        raise ArgumentError(_WHO, "a regular file", repr(target))
    beside = place.with_name(f".groupsigma-{os.getpid()}-data.part")
    try:
        with tempfile.TemporaryDirectory(prefix="groupsigma-") as scratch, _writable(target, beside):
            told = _written(data, target, beside, choice, id_column, scratch)
        yield told
        with _writable(target, beside):
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            if place.exists():
                beside.chmod(stat.S_IMODE(place.stat().st_mode))
            beside.replace(place)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@contextmanager
def _writable(target: str, beside: Path) -> Iterator[None]:
    """What cannot be written is said of the target; DuckDB words it as it words what cannot be read."""
    try:
        yield
    except OSError as error:
        raise ArgumentError(_WHO, "a file that can be written", f"{target}: {error.strerror or error}") from None
    except SourceError as error:
        if beside.name not in error.got:
            raise
        reason = re.search(r'": ([A-Z][\w ]+)', error.got)
        what = f"{target}: {reason[1]}" if reason else target
        raise ArgumentError(_WHO, "a file that can be written", what) from None


def _written(data: str, target: str, beside: Path, choice: Choice, id_column: str | None, scratch: str) -> Written:
    paths, form = files.resolve([data], Path(scratch))
    with files.connection(scratch) as db, files.explained(paths, form, data, scratch):
        try:
            return _Rewrite(db, paths, form, data, choice, id_column).write(beside, target)
        except duckdb.Error as error:
            if "maximum_object_size" not in str(error):
                raise
            # Lines of many megabytes need buffers that would slow every other file down.
            return _Rewrite(db, paths, form, data, choice, id_column, _LARGE).write(beside, target)


class _Rewrite:
    """A data set that is opened, matched with a choice, and written."""

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        paths: Sequence[str],
        form: str,
        name: str,
        choice: Choice,
        id_column: str | None,
        options: str = "",
    ) -> None:
        self.db, self.form, self.name, self.choice, self.options = db, form, name, choice, options
        self.found = "[" + ", ".join(_text(files.escaped(path)) for path in paths) + "]"
        self.layout = "auto" if files.is_document(paths) else "newline_delimited"
        self.types = self._describe()
        self.id_column = self._id_column(id_column)

    def write(self, beside: Path, target: str) -> Written:
        """The rows into the file `beside`, in their order, in the format of `target`."""
        form, packed, delimiter = check_target(target)
        told = self._matched(target)
        options = f"COMPRESSION {packed}, " if packed else ""
        if form == "json" and self.form == "json":
            # No letter of a JSON line is this delimiter, and none is quoted: the line is what it was, and longer.
            sql, options = self._longer_lines(), options + "FORMAT csv, HEADER false, QUOTE '', DELIMITER '\x1f'"
        else:
            sql = self._cells(form)
            options += f"FORMAT csv, HEADER true, DELIMITER '{delimiter}'" if form == "csv" else f"FORMAT {form}"
        self.db.execute(f"COPY ({sql}) TO {_text(str(beside))} ({options})")
        return told

    def _describe(self, options: str = "sample_size = 4096") -> dict[str, str]:
        described = self.db.execute(f"DESCRIBE SELECT * FROM {self._scan(options)}").fetchall()
        return {str(row[0]): str(row[1]) for row in described}

    def _scan(self, options: str = "sample_size = 4096") -> str:
        """The table function; `options` are of JSON alone."""
        if self.form == "parquet":
            return f"read_parquet({self.found}, union_by_name = true, hive_partitioning = false)"
        if self.form == "csv":
            # An empty cell is NULL and "" is not, so that each is written as it was.
            whole = "all_varchar = true, header = true, allow_quoted_nulls = false"
            return f"read_csv({self.found}, {whole}, union_by_name = true, hive_partitioning = false)"
        options += self.options
        return f"read_json({self.found}, format = '{self.layout}', hive_partitioning = false, {options})"

    def _lines(self) -> str:
        """JSON as text, an object a row."""
        return f"read_json_objects({self.found}, format = '{self.layout}'{self.options})"

    def _id_column(self, named: str | None) -> str:
        column = named or next(iter(candidates("prompt_id", self.types)), None)
        if column is None or column not in self.types:
            needs = "a column of prompt ids" if column is None else f"the column {column!r} of prompt ids"
            raise SourceError(self.name, needs, f"columns {listed(self.types)}", hint="--data-id COLUMN names it")
        return column

    def _matched(self, path: str) -> Written:
        """The table `place`, a row for each row that is written; and what is left out."""
        choice = self.choice
        copies = np.asarray(choice.copies, dtype=np.int64)
        given = {
            "id": np.array(list(map(str, choice.prompt_ids)), dtype=object),
            "nth": np.arange(len(copies)),
            "copies": copies,
            "why": np.array(list(choice.why), dtype=object),
        }
        added = {f"added {name}": np.asarray(values) for name, values in choice.columns.items()}
        self.db.register("given", given | added)
        label, scan = f"CAST({_name(self.id_column)} AS VARCHAR)", self._scan()
        taken = [name for name in self.types if name.lower() in choice.columns]
        there = "false"
        if self.form == "json":
            label, scan = f"json ->> {_pointer(self.id_column)}", self._lines()
            # The first rows need not have every field.
            there = " OR ".join(f"json_exists(json, {_pointer(name)})" for name in choice.columns) or there
        every = f"SELECT row_number() OVER () AS number, {label} AS id, {there} AS taken FROM {scan}"
        self.db.execute(f"CREATE OR REPLACE TEMP TABLE ids AS {every}")
        (rows, more) = self._one("SELECT count(*), coalesce(bool_or(taken), false) FROM ids")
        if taken or more:
            needs = f"a data set without {' and '.join(map(repr, choice.columns))}, which are to be added"
            got = f"{taken[0]!r} among its columns" if taken else "them in later rows"
            raise SourceError(self.name, needs, got, hint="rename or drop what is there")
        self._refuse_lost()
        kept = "SELECT * FROM ids JOIN given USING (id) WHERE copies > 0"
        self.db.execute(f"CREATE OR REPLACE TEMP TABLE place AS {kept}")
        (problems, times) = self._one("SELECT count(*), coalesce(sum(copies), 0) FROM place")
        out = "SELECT why, count(*) FROM ids JOIN given USING (id) WHERE copies = 0 GROUP BY why ORDER BY min(nth)"
        left = {str(why): int(n) for why, n in self.db.execute(out).fetchall()}
        (strange,) = self._one("SELECT count(*) FROM ids ANTI JOIN given USING (id)")
        left[f"not in the {choice.what}"] = int(strange)
        told = Written(path, self.name, self.id_column, int(rows), int(problems), int(times), left)
        if not problems:
            raise SourceError(self.name, "at least one row to write", "none", hint=told.reasons)
        return told

    def _refuse_lost(self) -> None:
        """Every id must be there, in one row: else the rows written are not what was chosen."""
        lost, first = self._one("SELECT count(*), min_by(id, nth) FROM given ANTI JOIN ids USING (id)")
        if lost:
            needs = f"all {len(self.choice.copies):,} prompt ids of the {self.choice.what} in column {self.id_column!r}"
            hint = "--data names the data set, --data-id its column of ids; they are compared as text"
            raise SourceError(self.name, needs, f"{lost:,} missing, the first {str(first)[:60]!r}", hint=hint)
        twice = "SELECT id, count(*) FROM ids SEMI JOIN given USING (id) GROUP BY id HAVING count(*) > 1"
        if found := self.db.execute(f"{twice} ORDER BY min(number) LIMIT 1").fetchone():
            got = f"{found[1]:,} rows for {str(found[0])[:60]!r}"
            hint = "a log of answers? --data FILE names the data set behind it"
            raise SourceError(self.name, "one row a problem", got, hint=hint)

    def _longer_lines(self) -> str:
        added = "".join(
            f" || {_text(f', {json.dumps(name)}: ')} || CAST({_name('added ' + name)} AS VARCHAR)"
            for name in self.choice.columns
        )
        # A break between the parts of an object is no more than a blank; inside a string JSON has none.
        flat = "replace(replace(CAST(json AS VARCHAR), chr(10), ' '), chr(13), ' ')"
        lines = f"SELECT row_number() OVER () AS number, left({flat}, -1) AS start FROM {self._lines()}"
        return self._in_order(f"start{added} || '}}' AS line", lines)

    def _cells(self, form: str) -> str:
        """All columns and the new ones; nested values as JSON where a cell can only hold text."""
        if self.form == "json":
            # Every row is asked for its types: a field may come late.
            self.types = self._typed()
        self._refuse_renamed()
        chosen = []
        for name, kind in self.types.items():
            bare, column = re.sub(r'"(?:[^"]|"")*"', "", kind), f"data.{_name(name)}"
            if "BLOB" in bare and form != "parquet":
                hint = "a name that ends in .parquet"
                raise SourceError(self.name, "text and numbers", f"bytes in {name!r}", hint=hint)
            nested = form == "csv" and re.search(r"\]$|^(STRUCT|MAP|UNION)\b", bare)
            chosen.append(f"CAST(to_json({column}) AS VARCHAR) AS {_name(name)}" if nested else column)
        chosen += [f"place.{_name('added ' + name)} AS {_name(name)}" for name in self.choice.columns]
        typed = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in self.types.items())
        number = "number"
        while number in {name.lower() for name in self.types}:
            number += " "
        rows = f"SELECT row_number() OVER () AS {_name(number)}, * FROM {self._scan(f'columns = {{{typed}}}')}"
        return self._in_order(", ".join(chosen), rows, number)

    def _typed(self) -> dict[str, str]:
        """Types of JSON fields, with what only looks like a date or a number left as the text it is."""
        split = {name: re.split(r'("(?:[^"]|"")*")', kind) for name, kind in self._describe("sample_size = -1").items()}
        return {
            name: "".join(part if part.startswith('"') else _GUESSED.sub("VARCHAR", part) for part in parts)
            for name, parts in split.items()
        }

    def _in_order(self, chosen: str, rows: str, number: str = "number") -> str:
        """A join may shuffle, so the order is asked for."""
        each = "" if (np.asarray(self.choice.copies) <= 1).all() else ", unnest(range(place.copies))"
        return (
            f"SELECT {chosen} FROM ({rows}) AS data JOIN place ON data.{_name(number)} = place.number{each} "
            f"ORDER BY place.number"
        )

    def _refuse_renamed(self) -> None:
        """DuckDB tells names apart by more than letter case, and calls the second one a_1."""
        lower = [name.lower() for name in self.types]
        for name in self.types:
            base = re.fullmatch(r"(.*)_\d+", name, re.DOTALL)
            if base and base[1].lower() in lower and not self._has(name):
                needs = "column names that differ in more than letter case"
                raise SourceError(self.name, needs, f"{base[1]!r} twice", hint="rename one of them")

    def _has(self, column: str) -> bool:
        if self.form == "parquet":
            sql = f"SELECT 1 FROM parquet_schema({self.found}) WHERE name = {_text(column)} LIMIT 1"
        elif self.form == "json":
            sql = f"SELECT 1 FROM {self._lines()} WHERE list_contains(json_keys(json), {_text(column)}) LIMIT 1"
        else:
            scan = self._scan().replace("header = true", "header = false")
            return column in (self.db.execute(f"SELECT * FROM {scan} LIMIT 1").fetchone() or ())
        return self.db.execute(sql).fetchone() is not None

    def _one(self, sql: str) -> tuple[Any, ...]:
        found = self.db.execute(sql).fetchone()
        assert found is not None
        return found


def _one_each(count: Ints) -> None:
    if (np.asarray(count) != 1).any():
        raise ArgumentError(_WHO, "prompt ids that stand for one problem each", f"{int(np.max(count)):,} behind one id")


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _pointer(name: str) -> str:
    """A field of a JSON object, whatever it is called."""
    return _text("/" + name.replace("~", "~0").replace("/", "~1"))
