"""Tables of solve rates, of k and n, or of single rewards: CSV, JSONL and Parquet through DuckDB.

DuckDB reads, groups and spills to disk, so a file may be larger than memory;
only one row for each prompt arrives here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from groupsigma.errors import SourceError
from groupsigma.groups import Groups, Intake, RewardSummary
from groupsigma.readers import files, grid
from groupsigma.readers.columns import ROLES, Columns, Kind, candidates, listed
from groupsigma.readers.layout import quoted
from groupsigma.readers.lines import cleaned, unfinished
from groupsigma.readers.reading import Reading
from groupsigma.readers.sums import NONE, summed_up

_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "BOOLEAN",
    "U",
    "BIGNUM",
)
#: Types of labels that are taken as they are.
_LABELS = (
    "VARCHAR", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT",
)  # fmt: skip
#: A flag of the rows with a value that is no number.
_BAD = "no number in this row"
#: Where the table goes in a query; no column can be called this.
_HERE = "\0table\0"
#: For lines of many megabytes.
_LARGE = ", maximum_object_size = 1073741824"
#: Up to this many files are each asked for their columns.
_ASKED = 200


def read_table(paths: Sequence[str], name: str, scratch: str, columns: Columns, reading: Reading) -> Groups:
    """Groups from one or more tables of the same layout; see `load`. scratch: a folder that DuckDB may spill into."""
    form = files.common_format(paths)
    with files.connection(scratch) as db, files.explained(paths, form, name, scratch, reading.no_text):

        def read(found: Sequence[str], options: str = "", typed: bool = False, left_out: int = 0) -> Groups:
            return _read(_Table(db, list(found), form, name, options, typed, reading, left_out), columns)

        lines = form == "json" and not files.is_document(paths)
        cut = []
        if lines:
            files.one_by_one(db, paths)
            cut = unfinished([path for path in paths if "://" not in path])
        try:
            if cut:
                raise duckdb.Error("a file that ends within a line")
            return read(paths, typed=form == "json")
        except duckdb.Error as error:
            if (reading.skip_bad or reading.growing) and lines:
                whole = Path(scratch) / "clean.jsonl"
                bad = cleaned(paths, None, whole, reading.growing)
                if bad and not reading.skip_bad:
                    raise
                return read([str(whole)], _LARGE, left_out=len(bad))
            if cut:
                raise
            # Lines of many megabytes need buffers that would slow every other file down. Anything
            # else may be a value of another kind further down: as text it is read, or named.
            return read(paths, _LARGE if "maximum_object_size" in str(error) else "")


class _Table:
    """An opened source: its column types, and queries over them."""

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        paths: list[str],
        form: str,
        name: str,
        options: str,
        typed: bool,
        reading: Reading,
        left_out: int,
    ) -> None:
        self.db, self.paths, self.form, self.name, self.options, self.typed = db, paths, form, name, options, typed
        self.reading, self.left_out = reading, left_out
        self.types = self._describe(paths)
        if form == "json" and list(self.types) == ["json"]:
            got = "something else" if self._first_row(self._scan(paths)) else "an empty file"
            raise SourceError(name, "one JSON object a line", got, hint="other layouts: CSV or Parquet")

    def _describe(self, paths: Sequence[str]) -> dict[str, str]:
        described = self.db.execute(f"DESCRIBE SELECT * FROM {self._scan(paths)}").fetchall()
        return {str(row[0]): str(row[1]) for row in described}

    def _first_row(self, scan: str) -> bool:
        return bool(self.db.execute(f"SELECT 1 FROM {scan} LIMIT 1").fetchall())

    def _scan(self, paths: Sequence[str], numbers: Sequence[str] = (), labels: Sequence[str] = ()) -> str:
        """The table function. Columns in use are read as text: types are sniffed from the first 20,480 rows,
        and a reward of 0.5 that comes later would be rounded, an id 1.10 be taken for 1.1."""
        found = "[" + ", ".join(quoted(files.escaped(f), "'") for f in paths) + "]"
        if self.form == "parquet":
            return f"read_parquet({found}, union_by_name = true, hive_partitioning = false)"
        types = {c: self._as(self.types[c]) for c in numbers}
        types |= dict.fromkeys(labels, "VARCHAR")
        typed = ", ".join(f"{quoted(c, chr(39))}: '{kind}'" for c, kind in types.items())
        if self.form == "csv":
            extra = f", types = {{{typed}}}" if typed else ""
            return f"read_csv({found}, union_by_name = true, hive_partitioning = false{extra})"
        # Only the columns asked for are parsed: texts of many kilobytes are skipped over.
        extra = f", columns = {{{typed}}}" if typed else ", union_by_name = true, sample_size = 4096"
        layout = "auto" if files.is_document(self.paths) else "newline_delimited"
        return f"read_json({found}, format = '{layout}', hive_partitioning = false{self.options}{extra})"

    def _as(self, sniffed: str) -> str:
        """What a column of numbers is read as: text, or float64 where the first rows of a JSON file are numbers."""
        kind, rows = sniffed.removesuffix("[]"), "[]" if sniffed.endswith("[]") else ""
        return ("DOUBLE" if self.typed and kind in ("BIGINT", "DOUBLE") else "VARCHAR") + rows

    def _is_number(self, column: str) -> bool:
        """Whether values come as float64, so that nothing is left to cast or to find broken."""
        kind = self.types[column]
        return kind.startswith("DOUBLE") if self.form == "parquet" else self._as(kind).startswith("DOUBLE")

    def number(self, value: str, column: str = "") -> str:
        """An expression as DOUBLE; NULL where it marks an unscorable answer or is no number."""
        if column and self._is_number(column):
            return value
        number = f"TRY_CAST({value} AS DOUBLE)"
        if self.form == "parquet":
            return number
        # The words are only looked at where the cast fails.
        return f"coalesce({number}, CASE lower(CAST({value} AS VARCHAR)) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"

    def broken(self, value: str, number: str = "", column: str = "") -> str:
        """Whether a value is there, marks nothing and is no number."""
        if column and self._is_number(column):
            return "false"
        text = f"lower(trim(CAST({value} AS VARCHAR)))"
        missing = f"{number or self.number(value)} IS NULL AND {value} IS NOT NULL"
        # A pattern, not a list: NOT IN becomes a join, which loses the order of the rows of a large file.
        return f"CASE WHEN {missing} THEN NOT regexp_full_match({text}, '{NONE}') ELSE false END"

    def repeats(self, column: str | None) -> bool:
        """Whether some value of a column occurs twice."""
        if column is None:
            return False
        c = quoted(column)
        sql = f"SELECT count({c}) > count(DISTINCT {c}) FROM {self._scan(self.paths, labels=[column])}"
        return bool((self.db.execute(sql).fetchone() or (False,))[0])

    def fits(self, column: str, condition: str) -> bool:
        """Whether all values of a column are numbers n for which the condition holds."""
        values = f"SELECT {self.number(quoted(column))} AS n FROM {self._scan(self.paths, [column])}"
        sql = f"SELECT bool_and(coalesce({condition}, false)) FROM ({values})"
        return bool((self.db.execute(sql).fetchone() or (False,))[0])

    def require_in_every_file(self, needed: Sequence[str]) -> None:
        """Files are joined by column name, so a file without one would lose all its rows without a word."""
        if 1 < len(self.paths) <= _ASKED:
            for path in self.paths:
                own = self._describe([path])
                if missing := [c for c in needed if c not in own]:
                    hint = f"the others have {listed(self.types)}; read files of another layout on their own"
                    raise SourceError(path, f"the column {missing[0]!r}", f"columns {listed(own)}", hint=hint)

    def query(self, sql: str, numbers: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        """Run sql over the table at _HERE; columns come back as arrays, missing floats as NaN."""
        for column in numbers:
            kind = self.types[column].removesuffix("[]")
            if not kind.startswith(_NUMBERS) and kind.strip('"') not in ("VARCHAR", "JSON", "NULL"):
                raise SourceError(self.name, f"numbers in column {column!r}", kind.split("(")[0].lower())
        scan = self._scan(self.paths, numbers, labels)
        result = files.fetch(self.db, sql.replace(_HERE, scan), self.name)
        if not len(next(iter(result.values()))):
            raise SourceError(self.name, "rows of data", "none", hint="a header alone is no data")
        return {name: np.ma.filled(a, np.nan) if a.dtype.kind == "f" else a for name, a in result.items()}

    def refuse_broken(self, column: str) -> None:
        """Raise for the first value of a column that is no number."""
        c = quoted(column)
        value = f"unnest({c})" if self.types[column].endswith("[]") else c
        rows = f"SELECT row_number() OVER () AS row, {c} FROM {self._scan(self.paths, [column])}"
        sql = f"SELECT row, CAST(v AS VARCHAR) FROM (SELECT row, {value} AS v FROM ({rows}))"
        found = self.db.execute(f"{sql} WHERE {self.broken('v')} LIMIT 1").fetchone()
        if found:
            hint = "a decimal point, not a comma; null, NaN or an empty cell marks what could not be scored"
            got = "text" if self.reading.no_text else repr(found[1])[:60]
            raise SourceError(self.name, f"a number in column {column!r}", got, _row(found[0]), hint)

    def label(self, column: str) -> str:
        """The expression for a label: text, or whole numbers as they are stored in Parquet; or a hash of it."""
        if self.reading.no_text:
            return f"left(md5(CAST({quoted(column)} AS VARCHAR)), 16)"
        plain = self.form != "parquet" or self.types[column] in _LABELS
        return quoted(column) if plain else f"CAST({quoted(column)} AS VARCHAR)"

    def labelled(self, data: dict[str, Any], key: str, column: str) -> Any:
        """A label column of a result; every row of the file must have one."""
        if np.ma.getmaskarray(data[key]).any():
            scan = self._scan(self.paths, labels=[column])
            rows = f"SELECT row_number() OVER () AS row, {quoted(column)} AS v FROM {scan}"
            row = self.db.execute(f"SELECT row FROM ({rows}) WHERE v IS NULL LIMIT 1").fetchone()
            where = _row(row[0]) if row else ""
            raise SourceError(self.name, f"a value in every row of {column!r}", "none", where, "drop these rows")
        return np.asarray(data[key])


def _read(table: _Table, columns: Columns) -> Groups:
    kind, filled = columns.resolve(table.types, table.name, table.repeats)
    filled, dropped = _fitting(table, kind, columns, filled)
    table.require_in_every_file(list(filled.names().values()))
    notes = [*_notes(table, kind, columns, filled), *dropped]
    if kind == "rewards":
        return _read_rewards(table, filled, notes, sure=columns.reward is not None)
    return (_read_counts if kind == "counts" else _read_rates)(table, filled, notes)


def _fitting(table: _Table, kind: Kind, asked: Columns, filled: Columns) -> tuple[Columns, list[str]]:
    """Guessed columns of the second rank that do not hold what their name says are left out, and that is said."""
    conditions = {"step": "n >= 0 AND n = floor(n)", "count": "n >= 0 AND n = floor(n)"}
    if kind == "rates":
        conditions["answers"] = "n >= 0 AND n = floor(n)"
    dropped = []
    for role, condition in conditions.items():
        column = getattr(filled, role)
        if column is not None and getattr(asked, role) is None and not table.fits(column, condition):
            filled = replace(filled, **{role: None})
            dropped.append(f"{column!r} holds no {'steps' if role == 'step' else 'whole numbers'} and was left out")
    return filled, dropped


def _notes(table: _Table, kind: Kind, asked: Columns, filled: Columns) -> list[str]:
    """What was taken for granted about the columns."""
    notes = [f"columns: {filled.spoken()}"]
    main = ROLES[kind][0]
    others = [c for c in candidates(main, table.types) if c != getattr(filled, main)]
    if others and getattr(asked, main) is None:
        notes.append(f"{main} could also be {', '.join(others)}: --{main} says which")
    return notes


def _read_counts(table: _Table, columns: Columns, notes: list[str]) -> Groups:
    fixed = columns.fixed_answers
    numbers = [str(c) for c in (columns.correct, None if fixed else columns.answers) if c]
    data = _per_prompt(table, columns, numbers)
    k = data[numbers[0]]
    n = np.full(len(k), float(fixed)) if fixed else data[numbers[1]]
    both = np.isfinite(k) & np.isfinite(n)
    _check(table, both & ((k != np.floor(k)) | (n != np.floor(n))), "whole numbers of answers", k, n)
    _check(table, both & ((k < 0) | (k > n)), f"0 <= {columns.correct} <= {columns.answers}", k, n, "columns swapped?")
    return _counted(table, columns, data, both & (n > 0), k, n, notes)


def _read_rates(table: _Table, columns: Columns, notes: list[str]) -> Groups:
    assert columns.rate is not None
    fixed = columns.fixed_answers
    numbers = [columns.rate] + ([str(columns.answers)] if columns.answers and not fixed else [])
    data = _per_prompt(table, columns, numbers)
    rate = data[columns.rate]
    known = np.isfinite(rate)
    out = known & ((rate < 0) | (rate > 1))
    if out.any():
        percent = rate[known].max() > 1 and rate[known].max() <= 100 and rate[known].min() >= 0
        hint = "percentages? divide them by 100" if percent else ""
        at = int(np.argmax(out))
        raise SourceError(table.name, f"solve rates in [0, 1] in {columns.rate!r}", f"{rate[at]!r}", _row(at + 1), hint)
    if not known.any():
        raise SourceError(table.name, "at least one row with a number", "none")
    if len(numbers) == 2:
        n = data[numbers[1]]
        both = known & np.isfinite(n) & (n > 0)
        k = np.rint(rate * n)
        off = both & ((n != np.floor(n)) | (np.abs(k / np.maximum(n, 1) - rate) > grid.rounding(rate)))
        _check(table, off, f"{columns.rate} to be k/{numbers[1]}", rate, n)
        return _counted(table, columns, data, both, k, n, notes)
    values, inverse, weight = np.unique(rate[known], return_inverse=True, return_counts=True)
    size = fixed or grid.guess(values, weight)
    if size is None:
        notes.append(
            "rates lie on no convincing k/n grid: taken as exact, so no unbiased numbers (--answers N if known)"
        )
        return _groups(
            table, columns, data, known, notes, n_correct=None, rate=rate[known], n_rollouts=np.zeros(known.sum())
        )
    k, n = grid.counts(values, size, table.name)
    how = "as stated" if fixed else "guessed from the grid of the rates, --answers N overrides"
    notes.append(f"{size} answers a problem, {how}")
    if off := int(weight[n != size].sum()):
        others = ", ".join(f"/{d}" for d in sorted({int(d) for d in n[n != size]}))
        notes.append(f"{_plural(off, 'problem')} off the /{size} grid, read as {others}")
    return _groups(table, columns, data, known, notes, n_correct=k[inverse], n_rollouts=n[inverse])


def _read_rewards(table: _Table, columns: Columns, notes: list[str], sure: bool = False) -> Groups:
    assert columns.reward is not None
    name, reward, labels = columns.reward, quoted(columns.reward), [c for c in (columns.prompt_id, columns.step) if c]
    rows = table.types[columns.reward].endswith("[]")
    id_ = table.label(columns.prompt_id) if columns.prompt_id else "row_number() OVER ()"
    step = table.number(quoted(columns.step)) if columns.step else "NULL"
    # A prompt with an empty list stays, with no answer that counts.
    value = f"unnest(CASE WHEN len({reward}) > 0 THEN {reward} ELSE [NULL] END)" if rows else reward
    right = f"CAST(r >= {float(columns.right_from)!r} AS DOUBLE)" if columns.right_from is not None else "r"
    rewards = f"""
        SELECT id, step, bad, CASE WHEN isfinite(r) THEN {right} END AS r
        FROM (SELECT id, step, r, {table.broken("v", "r", columns.reward)} AS bad
              FROM (SELECT id, step, v, {table.number("v", columns.reward)} AS r
                    FROM (SELECT {id_} AS id, {step} AS step, {value} AS v FROM {_HERE})))"""
    # A constant among the keys, or among what is summed, would cost like another column.
    keys, constant = ("step, id", "") if columns.step else ("id", ", NULL AS step")
    data = summed_up(
        lambda sums: table.query(
            f"SELECT *{constant} FROM (SELECT {keys}, {sums} FROM ({rewards}) GROUP BY {keys}) ORDER BY {keys}",
            [name],
            labels,
        )
    )
    if np.sum(data["bad"]) and not table.reading.skip_bad:
        table.refuse_broken(columns.reward)
    n = np.asarray(data["n"], dtype=np.int64)
    full = n > 0
    if not full.any():
        raise SourceError(table.name, f"a number in {columns.reward!r}", "no scorable reward at all")
    graded = not bool(data["binary"].all())
    if len(n) > 1 and not rows and int(np.sum(data["rows"])) == len(n):
        if graded and not sure:
            needs, hint = (
                "several rewards for a prompt",
                f"--rate {columns.reward} if it is a solve rate; --prompt-id otherwise",
            )
            raise SourceError(table.name, needs, f"fractions in {columns.reward!r}, one for each id", hint=hint)
        other = [c for c in candidates("prompt_id", table.types) if c != columns.prompt_id]
        hint = f", --prompt-id {other[0]}?" if other else ""
        notes.append(
            f"every {columns.prompt_id!r} occurs once: if it is not the prompt's id, --prompt-id says which is{hint}"
        )
    if columns.step and len(np.unique(np.asarray(data["id"]).astype(str))) < len(n):
        notes.append(f"a prompt counts once for each {columns.step}")
    total_rows, bad = int(np.sum(data["rows"])), int(np.sum(data["bad"]))
    refused = bad + table.left_out
    if refused:
        notes.append(f"{_plural(refused, 'line')} could not be read and left out")
    intake = Intake(
        layout="table",
        rows=total_rows + table.left_out,
        scorable=int(n.sum()),
        unscorable=total_rows - bad - int(n.sum()),
        refused=refused,
    )
    common: dict[str, Any] = dict(
        prompt_ids=table.labelled(data, "id", columns.prompt_id or columns.reward)[full],
        n_rollouts=n[full],
        step=np.asarray(data["step"])[full] if columns.step else None,
        n_unscorable=intake.unscorable,
        intake=intake,
        n_empty=int((~full).sum()),
        source=table.name,
        notes=tuple(notes),
    )
    total = np.asarray(data["total"], dtype=np.float64)[full]
    if not graded:
        return Groups(n_correct=np.rint(total).astype(np.int64), **common)
    low, high, variance = (np.asarray(data[c], dtype=np.float64)[full] for c in ("low", "high", "variance"))
    return Groups(n_correct=None, rewards=RewardSummary(total / n[full], np.sqrt(variance), low, high), **common)


def _per_prompt(table: _Table, columns: Columns, numbers: Sequence[str]) -> dict[str, Any]:
    """The columns of a table that has one row a prompt, in the file's order."""
    labels = [columns.prompt_id] if columns.prompt_id else []
    numbers = [*numbers, *(c for c in (columns.count, columns.step) if c)]
    chosen = [f"{table.number(quoted(c))} AS {quoted(c)}" for c in numbers]
    chosen += [f"{table.label(c)} AS {quoted('id of ' + c)}" for c in labels]
    bad = " OR ".join(table.broken(quoted(c)) for c in numbers)
    data = table.query(f"SELECT {', '.join(chosen)}, {bad} AS {quoted(_BAD)} FROM {_HERE}", numbers, labels)
    if np.any(data[_BAD]):
        for column in numbers:
            table.refuse_broken(column)
    return data


def _check(table: _Table, bad: Any, needs: str, a: Any, b: Any, hint: str = "") -> None:
    if bad.any():
        at = int(np.argmax(bad))
        raise SourceError(table.name, needs, f"{a[at]:g} of {b[at]:g}", _row(at + 1), hint)


def _counted(
    table: _Table, columns: Columns, data: dict[str, Any], known: Any, k: Any, n: Any, notes: list[str]
) -> Groups:
    right, size = k[known].astype(np.int64), n[known].astype(np.int64)
    return _groups(table, columns, data, known, notes, n_correct=right, n_rollouts=size)


def _groups(
    table: _Table, columns: Columns, data: dict[str, Any], known: Any, notes: list[str], **evidence: Any
) -> Groups:
    if not known.any():
        raise SourceError(table.name, "at least one row with a number", "none")
    ids = np.arange(len(known))
    if columns.prompt_id:
        ids = table.labelled(data, f"id of {columns.prompt_id}", columns.prompt_id)
    if columns.prompt_id and len(set(ids.tolist())) < len(ids):
        notes.append(f"some {columns.prompt_id!r} occur in several rows: each row counts as a problem")
    return Groups(
        prompt_ids=ids[known],
        step=data[columns.step][known] if columns.step else None,
        count=data[columns.count][known] if columns.count else 1,
        n_empty=int((~known).sum()),
        source=table.name,
        notes=tuple(notes),
        **evidence,
    )


def _row(number: int) -> str:
    return f"data row {number}"


def _plural(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
