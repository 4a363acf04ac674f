"""Tables of solve rates, of k and n, or of single rewards: CSV, JSONL and Parquet through DuckDB.

DuckDB reads, groups and spills to disk, so a file may be larger than memory;
only one row for each prompt arrives here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from groupsigma.checks import Floats, Ints
from groupsigma.errors import SourceError
from groupsigma.groups import Groups, RewardSummary
from groupsigma.readers import files
from groupsigma.readers.columns import Columns

_NULLS = "['', 'NA', 'N/A', 'None', 'none', 'null', 'NULL', 'nan', 'NaN']"
#: Denominators tried when the number of answers behind a rate is not given.
_GRIDS = (*range(1, 129), 256, 512, 1024)
#: How far rate · n may be from whole when the rate was printed with few digits.
_ROUNDING = 0.04


def read_table(sources: Sequence[str], columns: Columns) -> Groups:
    """Groups from one or more tables of the same layout; see `load`."""
    with tempfile.TemporaryDirectory(prefix="groupsigma-") as scratch:
        paths, kind_of_file = files.resolve(sources, Path(scratch))
        name = ", ".join(sources[:3]) + (", …" if len(sources) > 3 else "")
        with files.connection(scratch) as db, files.explained(paths, kind_of_file, name):
            try:
                return _read(_Table(db, paths, kind_of_file, name), columns)
            except duckdb.Error as error:
                if "maximum_object_size" not in str(error):
                    raise
                # Lines of many megabytes need buffers that would slow every other file down.
                return _read(_Table(db, paths, kind_of_file, name, ", maximum_object_size = 1073741824"), columns)


def _read(table: _Table, columns: Columns) -> Groups:
    kind, columns = columns.resolve(table.types, table.name)
    read = {"counts": _read_counts, "rates": _read_rates, "rewards": _read_rewards}[kind]
    return read(table, columns)


class _Table:
    """An opened source: its column types, and queries over them with typed, named expressions."""

    def __init__(
        self, db: duckdb.DuckDBPyConnection, paths: list[str], kind: str, name: str, options: str = ""
    ) -> None:
        self.db, self.paths, self.kind, self.name, self.options = db, paths, kind, name, options
        self.types: dict[str, str] = {
            str(row[0]): str(row[1]) for row in db.execute(f"DESCRIBE SELECT * FROM {self._scan({})}").fetchall()
        }
        if kind == "json" and list(self.types) == ["json"]:
            got = "something else" if self._any_row() else "an empty file"
            raise SourceError("table", "one JSON object a line", got, name)

    def _any_row(self) -> bool:
        return bool(self.db.execute(f"SELECT 1 FROM {self._scan({})} LIMIT 1").fetchall())

    def _scan(self, types: dict[str, str]) -> str:
        listed = "[" + ", ".join(_quote(f, "'") for f in self.paths) + "]"
        typed = ", ".join(f"{_quote(c, chr(39))}: '{t}'" for c, t in types.items())
        if self.kind == "parquet":
            return f"read_parquet({listed}, union_by_name = true)"
        if self.kind == "csv":
            extra = f", types = {{{typed}}}" if types else ""
            return f"read_csv({listed}, union_by_name = true, nullstr = {_NULLS}{extra})"
        # Only the columns asked for are parsed: texts of many kilobytes are skipped over.
        extra = f", columns = {{{typed}}}" if types else ", union_by_name = true"
        layout = "auto" if files.is_document(self.paths) else "newline_delimited"
        return f"read_json({listed}, format = '{layout}'{self.options}{extra})"

    def query(self, sql: str, numbers: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        """Run sql, where {t} is the table with `numbers` as DOUBLE; columns come back as arrays."""
        types = {}
        for column in numbers:
            if self.kind == "csv" and self.types[column] == "VARCHAR":
                types[column] = "DOUBLE"
            elif self.kind == "json":
                types[column] = self.types[column]
        if self.kind == "json":
            types.update({column: self.types[column] for column in labels})
        scan = self._scan(types)
        for column in numbers:
            if self.kind != "csv" and self.types[column] in ("VARCHAR", "JSON"):
                self._refuse_text(scan, column)
        result = files.fetch(self.db, sql.replace("{t}", scan), self.name)
        if not len(next(iter(result.values()))):
            raise SourceError("table", "rows of data", "none", self.name)
        return {name: np.ma.filled(a, np.nan) if a.dtype.kind == "f" else a for name, a in result.items()}

    def label(self, column: str) -> str:
        """The expression for a label: numbers and text as they are, anything nested as text."""
        plain = self.types[column] in ("VARCHAR", "BIGINT", "INTEGER", "UBIGINT", "HUGEINT", "UUID")
        return _quote(column) if plain else f"CAST({_quote(column)} AS VARCHAR)"

    def labelled(self, data: dict[str, Any], name: str, column: str) -> Any:
        """A label column of a result; every row must have one."""
        missing = np.ma.getmaskarray(data[name])
        if missing.any():
            at = int(np.argmax(missing)) + 1
            raise SourceError(
                "table", f"a value in every row of {column!r}", "none", f"{self.name}, row {at} of the result"
            )
        return np.asarray(data[name])

    def _refuse_text(self, scan: str, column: str) -> None:
        c = _quote(column)
        bad = self.db.execute(
            f"SELECT row, v FROM (SELECT row_number() OVER () AS row, CAST({c} AS VARCHAR) AS v FROM {scan}) "
            "WHERE v IS NOT NULL AND v <> 'null' AND TRY_CAST(v AS DOUBLE) IS NULL LIMIT 1"
        ).fetchone()
        if bad:
            raise SourceError("table", f"numbers in column {column!r}", repr(bad[1])[:60], f"{self.name}, row {bad[0]}")


def _read_counts(table: _Table, columns: Columns) -> Groups:
    fixed = columns.fixed_answers
    numbers = [c for c in (columns.correct, None if fixed else columns.answers) if c]
    data = _per_prompt(table, columns, numbers)
    k = data[numbers[0]]
    n = np.full(len(k), float(fixed)) if fixed else data[numbers[1]]
    known = np.isfinite(k) & np.isfinite(n) & (n > 0)
    for what, bad in (
        (f"whole numbers in {numbers}", known & ((k != np.floor(k)) | (n != np.floor(n)))),
        (f"0 <= {columns.correct} <= {columns.answers}", (np.isfinite(k) & np.isfinite(n)) & ((k < 0) | (k > n))),
    ):
        if bad.any():
            at = int(np.argmax(bad))
            raise SourceError("table", what, f"{k[at]:g} of {n[at]:g}", f"{table.name}, row {at + 1}")
    return _groups(
        table, columns, data, known, n_correct=k[known].astype(np.int64), n_rollouts=n[known].astype(np.int64)
    )


def _read_rates(table: _Table, columns: Columns) -> Groups:
    assert columns.rate is not None
    fixed = columns.fixed_answers
    numbers = [columns.rate] + ([columns.answers] if columns.answers and not fixed else [])
    data = _per_prompt(table, columns, numbers)
    rate = data[columns.rate]
    known = np.isfinite(rate)
    out = known & ((rate < 0) | (rate > 1))
    if out.any():
        at = int(np.argmax(out))
        hint = "percentages? divide them by 100" if 1 < rate[known].max() <= 100 and rate[known].min() >= 0 else ""
        raise SourceError(
            "table", f"solve rates in [0, 1] in {columns.rate!r}", f"{rate[at]:g}", f"{table.name}, row {at + 1}", hint
        )
    rate = rate[known]
    if len(numbers) == 2:
        return _read_rates_of(table, columns, data, numbers[1])
    if not len(rate):
        raise SourceError("table", "at least one row with a number", "none", table.name)
    values, inverse, weight = np.unique(rate, return_inverse=True, return_counts=True)
    grid = fixed or _grid(values, weight)
    if grid is None:
        note = "rates lie on no k/n grid: taken as exact, so no unbiased numbers (--answers N if you know it)"
        return _groups(
            table,
            columns,
            data,
            known,
            n_correct=None,
            rate=rate,
            n_rollouts=np.zeros(len(rate), np.int64),
            notes=(note,),
        )
    k, n = _on_grid(values, grid, table.name)
    notes = [
        f"{grid} answers a problem, "
        + ("as stated" if fixed else "read off the grid of the rates (--answers N overrides)")
    ]
    if off := int(weight[n != grid].sum()):
        others = ", ".join(f"/{d}" for d in sorted({int(d) for d in n[n != grid]}))
        notes.append(f"{off} problems lie off the /{grid} grid and were read as {others}")
    return _groups(table, columns, data, known, n_correct=k[inverse], n_rollouts=n[inverse], notes=tuple(notes))


def _read_rates_of(table: _Table, columns: Columns, data: dict[str, Any], answers: str) -> Groups:
    """Rates with their own n: k = rate · n must be whole, up to the rounding of a printed rate."""
    rate, n = data[columns.rate or ""], data[answers]
    known = np.isfinite(rate) & np.isfinite(n) & (n > 0)
    k = np.rint(rate * n)
    off = known & ((n != np.floor(n)) | (np.abs(rate * n - k) > _ROUNDING))
    if off.any():
        at = int(np.argmax(off))
        raise SourceError(
            "table", f"{columns.rate} to be k/{answers}", f"{rate[at]:g} of {n[at]:g}", f"{table.name}, row {at + 1}"
        )
    return _groups(
        table, columns, data, known, n_correct=k[known].astype(np.int64), n_rollouts=n[known].astype(np.int64)
    )


def _read_rewards(table: _Table, columns: Columns) -> Groups:
    assert columns.reward is not None
    reward, labels = _quote(columns.reward), [c for c in (columns.prompt_id, columns.step) if c]
    listed = table.types[columns.reward].endswith("[]")
    id_, step = (table.label(c) if c else "NULL" for c in (columns.prompt_id, columns.step))
    if listed and columns.prompt_id is None:
        id_ = "row_number() OVER ()"
    value = f"unnest({reward})" if listed else reward
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
    common: dict[str, Any] = dict(
        prompt_ids=table.labelled(data, "id", columns.prompt_id or columns.reward)[full],
        n_rollouts=n[full],
        step=table.labelled(data, "step", columns.step)[full] if columns.step else None,
        n_unscorable=int(np.sum(data["rows"]) - n.sum()),
        n_empty=int((~full).sum()),
        source=table.name,
        notes=(f"columns: {columns.spoken()}",),
    )
    if not full.any():
        raise SourceError("table", f"a number in {columns.reward!r}", "no scorable reward at all", table.name)
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


def _groups(table: _Table, columns: Columns, data: dict[str, Any], known: Any, **evidence: Any) -> Groups:
    if not known.any():
        raise SourceError("table", "at least one row with a number", "none", table.name)
    ids = table.labelled(data, columns.prompt_id, columns.prompt_id) if columns.prompt_id else np.arange(len(known))
    extra = evidence.pop("notes", ())
    return Groups(
        prompt_ids=ids[known],
        step=table.labelled(data, columns.step, columns.step)[known] if columns.step else None,
        count=data[columns.count][known] if columns.count else 1,
        n_empty=int((~known).sum()),
        source=table.name,
        notes=(f"columns: {columns.spoken()}", *extra),
        **evidence,
    )


def _grid(values: Floats, weight: Ints) -> int | None:
    """The smallest n for which nearly all rates are k/n."""
    for n in _GRIDS:
        on = np.abs(values * n - np.rint(values * n)) <= 1e-9 * n
        if weight[on].sum() >= 0.995 * weight.sum():
            return n
    return None


def _on_grid(values: Floats, grid: int, name: str) -> tuple[Ints, Ints]:
    """k and n of each rate: on the grid where rounding allows, else the simplest fraction below it."""
    k, n = np.rint(values * grid).astype(np.int64), np.full(len(values), grid)
    for i in np.flatnonzero(np.abs(values * grid - k) > _ROUNDING):
        simple = Fraction(float(values[i])).limit_denominator(grid)
        if abs(float(simple) - values[i]) > 1e-6:
            raise SourceError(
                "table",
                f"solve rates k/n with n <= {grid}",
                f"{values[i]:g}",
                name,
                "another --answers N, or leave it out",
            )
        k[i], n[i] = simple.numerator, simple.denominator
    return k, n


def _quote(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, mark * 2) + mark
