"""Tables of solve rates, of k and n, or of single rewards: CSV, JSONL and Parquet through DuckDB.

DuckDB reads, groups and spills to disk, so a file may be larger than memory;
only one row for each prompt arrives here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from groupsigma.errors import SourceError
from groupsigma.groups import Groups, RewardSummary
from groupsigma.readers import files, grid
from groupsigma.readers.columns import ROLES, Columns, Kind, candidates, listed

_NULLS = "['', 'NA', 'N/A', 'None', 'none', 'null', 'NULL', 'nan', 'NaN']"
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
#: Up to this many files are each asked for their columns.
_ASKED = 200


def read_table(sources: Sequence[str], columns: Columns) -> Groups:
    """Groups from one or more tables of the same layout; see `load`."""
    with tempfile.TemporaryDirectory(prefix="groupsigma-") as scratch:
        paths, form = files.resolve(sources, Path(scratch))
        shown = ["standard input" if s == "-" else s for s in sources]
        name = ", ".join(shown[:3]) + (", …" if len(shown) > 3 else "")
        with files.connection(scratch) as db, files.explained(paths, form, name, scratch):
            try:
                return _read(_Table(db, paths, form, name), columns)
            except duckdb.Error as error:
                if "maximum_object_size" not in str(error):
                    raise
                # Lines of many megabytes need buffers that would slow every other file down.
                return _read(_Table(db, paths, form, name, ", maximum_object_size = 1073741824"), columns)


class _Table:
    """An opened source: its column types, and queries over them."""

    def __init__(
        self, db: duckdb.DuckDBPyConnection, paths: list[str], form: str, name: str, options: str = ""
    ) -> None:
        self.db, self.paths, self.form, self.name, self.options = db, paths, form, name, options
        self.types = self._describe(paths)
        if form == "json" and list(self.types) == ["json"]:
            got = "something else" if self._first_row(self._scan(paths, {})) else "an empty file"
            raise SourceError(name, "one JSON object a line", got, hint="other layouts: CSV or Parquet")

    def _describe(self, paths: Sequence[str]) -> dict[str, str]:
        described = self.db.execute(f"DESCRIBE SELECT * FROM {self._scan(paths, {})}").fetchall()
        return {str(row[0]): str(row[1]) for row in described}

    def _first_row(self, scan: str) -> bool:
        return bool(self.db.execute(f"SELECT 1 FROM {scan} LIMIT 1").fetchall())

    def _scan(self, paths: Sequence[str], types: Mapping[str, str]) -> str:
        found = "[" + ", ".join(_quote(f, "'") for f in paths) + "]"
        typed = ", ".join(f"{_quote(c, chr(39))}: '{t}'" for c, t in types.items())
        if self.form == "parquet":
            return f"read_parquet({found}, union_by_name = true)"
        if self.form == "csv":
            extra = f", types = {{{typed}}}" if types else ""
            return f"read_csv({found}, union_by_name = true, nullstr = {_NULLS}{extra})"
        # Only the columns asked for are parsed: texts of many kilobytes are skipped over.
        extra = f", columns = {{{typed}}}" if types else ", union_by_name = true"
        layout = "auto" if files.is_document(self.paths) else "newline_delimited"
        return f"read_json({found}, format = '{layout}'{self.options}{extra})"

    def require_in_every_file(self, needed: Sequence[str]) -> None:
        """Files are joined by column name, so a file without one would lose all its rows without a word."""
        if 1 < len(self.paths) <= _ASKED:
            for path in self.paths:
                own = self._describe([path])
                if missing := [c for c in needed if c not in own]:
                    hint = f"the others have {listed(self.types)}; read files of another layout on their own"
                    raise SourceError(path, f"the column {missing[0]!r}", f"columns {listed(own)}", hint=hint)

    def query(self, sql: str, numbers: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        """Run sql, where {t} is the table; columns come back as arrays, missing floats as NaN."""
        for column in numbers:
            kind = self.types[column].removesuffix("[]")
            if not kind.startswith(_NUMBERS) and kind.strip('"') not in ("VARCHAR", "JSON", "NULL"):
                raise SourceError(self.name, f"numbers in column {column!r}", kind.split("(")[0].lower())
        types: dict[str, str] = {}
        if self.form == "csv":
            types = {c: "DOUBLE" for c in numbers if self.types[c] == "VARCHAR"}
        elif self.form == "json":
            types = {c: self.types[c] for c in (*numbers, *labels)}
        scan = self._scan(self.paths, types)
        if self.form != "csv":
            for column in numbers:
                if self.types[column] in ("VARCHAR", "JSON"):
                    self._refuse(
                        scan,
                        column,
                        f"CAST({_quote(column)} AS VARCHAR)",
                        "TRY_CAST(v AS DOUBLE) IS NULL AND v <> 'null'",
                    )
        result = files.fetch(self.db, sql.replace("{t}", scan), self.name)
        if not len(next(iter(result.values()))):
            raise SourceError(self.name, "rows of data", "none", hint="a header alone is no data")
        return {name: np.ma.filled(a, np.nan) if a.dtype.kind == "f" else a for name, a in result.items()}

    def _refuse(self, scan: str, column: str, value: str, bad: str) -> None:
        """Raise for the first row whose value is there and bad."""
        row = self.db.execute(
            f"SELECT row, v FROM (SELECT row_number() OVER () AS row, {value} AS v FROM {scan}) "
            f"WHERE v IS NOT NULL AND {bad} LIMIT 1"
        ).fetchone()
        if row:
            hint = "null, NaN or an empty cell marks an answer that could not be scored"
            raise SourceError(self.name, f"a number in column {column!r}", repr(row[1])[:60], _row(row[0]), hint)

    def label(self, column: str) -> str:
        """The expression for a label: numbers and text as they are, anything nested as text."""
        plain = self.types[column] in ("VARCHAR", "BIGINT", "INTEGER", "UBIGINT", "HUGEINT", "UUID")
        return _quote(column) if plain else f"CAST({_quote(column)} AS VARCHAR)"

    def labelled(self, data: dict[str, Any], key: str, column: str) -> Any:
        """A label column of a result; every row of the file must have one."""
        if np.ma.getmaskarray(data[key]).any():
            sql = (
                f"SELECT row FROM (SELECT row_number() OVER () AS row, {_quote(column)} AS v FROM {{}}) WHERE v IS NULL"
            )
            row = self.db.execute(sql.format(self._scan(self.paths, {})) + " LIMIT 1").fetchone()
            where = _row(row[0]) if row else ""
            raise SourceError(self.name, f"a value in every row of {column!r}", "none", where, "drop these rows")
        return np.asarray(data[key])


def _read(table: _Table, columns: Columns) -> Groups:
    kind, filled = columns.resolve(table.types, table.name)
    table.require_in_every_file(list(filled.names().values()))
    read = {"counts": _read_counts, "rates": _read_rates, "rewards": _read_rewards}[kind]
    return read(table, filled, _notes(table, kind, columns, filled))


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
    numbers = [c for c in (columns.correct, None if fixed else columns.answers) if c]
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
    numbers = [columns.rate] + ([columns.answers] if columns.answers and not fixed else [])
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


def _read_rewards(table: _Table, columns: Columns, notes: list[str]) -> Groups:
    assert columns.reward is not None
    reward, labels = _quote(columns.reward), [c for c in (columns.prompt_id, columns.step) if c]
    rows = table.types[columns.reward].endswith("[]")
    id_, step = (table.label(c) if c else "NULL" for c in (columns.prompt_id, columns.step))
    if columns.prompt_id is None:
        id_ = "row_number() OVER ()"
    value = f"unnest({reward})" if rows else reward
    right = f"CAST(r >= {float(columns.right_from)!r} AS DOUBLE)" if columns.right_from is not None else "r"
    sql = f"""
        SELECT id, step, count(*) FILTER (live) AS n, count(*) AS rows,
               sum(r) FILTER (live) AS total, min(r) FILTER (live) AS low, max(r) FILTER (live) AS high,
               var_pop(r) FILTER (live) AS variance,
               coalesce(bool_and(r IN (0, 1)) FILTER (live), true) AS two_valued
        FROM (SELECT id, step, CASE WHEN live THEN {right} END AS r, live
              FROM (SELECT id, step, r, coalesce(isfinite(r), false) AS live
                    FROM (SELECT {id_} AS id, {step} AS step, CAST({value} AS DOUBLE) AS r FROM {{t}})))
        GROUP BY id, step ORDER BY step, id"""
    data = table.query(sql, [columns.reward], labels)
    n = np.asarray(data["n"], dtype=np.int64)
    full = n > 0
    if not full.any():
        raise SourceError(table.name, f"a number in {columns.reward!r}", "no scorable reward at all")
    if len(n) > 1 and not rows and int(np.sum(data["rows"])) == len(n):
        other = [c for c in candidates("prompt_id", table.types) if c != columns.prompt_id]
        hint = f", --prompt-id {other[0]}?" if other else ""
        notes.append(
            f"every {columns.prompt_id!r} occurs once: if it is not the prompt's id, --prompt-id says which is{hint}"
        )
    if columns.step and len(np.unique(np.asarray(data["id"]).astype(str))) < len(n):
        notes.append(f"a prompt counts once for each {columns.step}")
    common: dict[str, Any] = dict(
        prompt_ids=table.labelled(data, "id", columns.prompt_id or columns.reward)[full],
        n_rollouts=n[full],
        step=table.labelled(data, "step", columns.step)[full] if columns.step else None,
        n_unscorable=int(np.sum(data["rows"]) - n.sum()),
        n_empty=int((~full).sum()),
        source=table.name,
        notes=tuple(notes),
    )
    total = np.asarray(data["total"], dtype=np.float64)[full]
    if bool(np.asarray(data["two_valued"]).all()):
        return Groups(n_correct=np.rint(total).astype(np.int64), **common)
    low, high, variance = (np.asarray(data[c], dtype=np.float64)[full] for c in ("low", "high", "variance"))
    return Groups(n_correct=None, rewards=RewardSummary(total / n[full], np.sqrt(variance), low, high), **common)


def _per_prompt(table: _Table, columns: Columns, numbers: Sequence[str]) -> dict[str, Any]:
    """The columns of a table that has one row a prompt, in the file's order."""
    labels = [c for c in (columns.prompt_id, columns.step) if c]
    numbers = [*numbers, *([columns.count] if columns.count else [])]
    chosen = [f"CAST({_quote(c)} AS DOUBLE) AS {_quote(c)}" for c in numbers]
    chosen += [f"{table.label(c)} AS {_quote(c)}" for c in labels]
    return table.query(f"SELECT {', '.join(chosen)} FROM {{t}}", numbers, labels)


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
    ids = table.labelled(data, columns.prompt_id, columns.prompt_id) if columns.prompt_id else np.arange(len(known))
    if columns.prompt_id and len(set(ids.tolist())) < len(ids):
        notes.append(f"some {columns.prompt_id!r} occur in several rows: each row counts as a problem")
    return Groups(
        prompt_ids=ids[known],
        step=table.labelled(data, columns.step, columns.step)[known] if columns.step else None,
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


def _quote(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, mark * 2) + mark
