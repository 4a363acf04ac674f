"""An opened rollout log: its layout's rows through DuckDB, each with its number, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from groupsigma.errors import SourceError
from groupsigma.readers import files
from groupsigma.readers.columns import listed
from groupsigma.readers.keys import first_keys
from groupsigma.readers.layout import TEXT, Field, Layout, quoted, sql_type
from groupsigma.readers.lines import Bad, cleaned, unfinished
from groupsigma.readers.reading import Reading
from groupsigma.readers.repeats import known
from groupsigma.readers.rewards import parts, summed
from groupsigma.readers.sums import NONE, Table, summed_up

#: What names a group without an id of its own.
_KEYS = ("split", "step", "prompt", "grp")
#: Groups that may speak against a reward: a prompt drawn twice in a step is two, looked at as one.
_FEW = 0.1
#: What to do about a line that cannot be read.
HINT = "--skip-bad leaves such lines out and counts them"


@dataclass
class Log:
    """An opened log. `bad` is None while DuckDB reads the files itself, and the lines left out once it could not."""

    db: duckdb.DuckDBPyConnection
    layout: Layout
    paths: list[str]
    scratch: Path
    name: str
    reading: Reading
    reward: str | None
    right_from: float | None
    bad: list[Bad] | None = None
    fields: dict[str, Field] = field(default_factory=dict)
    unpacked: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fields = dict(self.layout.fields)
        if self.layout.unpack is not None:
            self.paths = [self._unpacked(number, Path(path)) for number, path in enumerate(self.paths)]
        if self.reward is not None and self.layout.named is None:
            self.fields[self.reward] = TEXT

    def _unpacked(self, number: int, path: Path) -> str:
        assert self.layout.unpack is not None
        target = self.scratch / str(number) / f"{path.stem}.jsonl"
        target.parent.mkdir()
        self.layout.unpack(path, target)
        self.unpacked[str(target)] = path.name
        return str(target)

    def table(self) -> Table:
        """A row a group: split, step, prompt, grp, and what its answers sum up to."""
        with self.explained():
            if self.layout.form == "json":
                files.one_by_one(self.db, self.paths)
                if unfinished([path for path in self.paths if "://" not in path]):
                    self._clean()
            try:
                found = self._grouped()
            except duckdb.Error:
                if self.layout.form == "parquet":
                    raise
                self._clean()
                found = self._grouped()
            if found["bad"].sum():
                if self.bad is None and self.layout.form != "parquet":
                    self._clean()
                    found = self._grouped()
                if not self.reading.skip_bad:
                    raise self._first_bad()
            return found

    @contextmanager
    def explained(self) -> Iterator[None]:
        """DuckDB's complaints as one line of ours."""
        try:
            yield
        except duckdb.Error as error:
            said = str(error).replace(f"{self.scratch}/", "").splitlines()[0]
            said = type(error).__name__ if self.reading.no_text else said
            hint = "is it complete, and written by the tool that --layout names?"
            raise SourceError(self.name, f"a readable {self.layout.writer} log", said[:160], hint=hint) from None
        except (EOFError, OSError) as error:
            raise SourceError(self.name, "a readable file", str(error), hint="is it complete?") from None

    def _clean(self) -> None:
        """From now on the good lines alone are read; without skip_bad the first bad one is an error."""
        unreadable = [path for path in self.paths if path.endswith(".zst") or "://" in path]
        if unreadable:
            raise SourceError(unreadable[0], "whole JSON lines", "a line that is none", hint="unpack it to see which")
        target = self.scratch / "clean.jsonl"
        self.bad = cleaned(self.paths, self.fields, target, self.reading.growing)
        if self.bad and not self.reading.skip_bad:
            raise self._refused(self.bad[0])

    def _refused(self, bad: Bad) -> SourceError:
        got = bad.why if self.reading.no_text else f"{bad.why}: {bad.shown!r}"
        return SourceError(bad.file, "one JSON object a line", got, f"line {bad.line}", HINT)

    def _scan(self) -> str:
        if self.layout.form == "parquet":
            sources = ", ".join(quoted(files.escaped(path), "'") for path in self.paths)
            options = "union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true"
            return f"read_parquet([{sources}], {options})"
        fields: dict[str, Field] = dict(self.fields)
        paths, options = self.paths, "filename = true"
        if self.bad is not None:
            fields |= {"filename": TEXT, "line": "BIGINT"}
            paths, options = [str(self.scratch / "clean.jsonl")], "maximum_object_size = 1073741824"
        sources = ", ".join(quoted(files.escaped(path), "'") for path in paths)
        typed = ", ".join(
            f"{quoted(name, chr(39))}: {quoted(sql_type(kind), chr(39))}" for name, kind in fields.items()
        )
        return (
            f"read_json([{sources}], format = 'newline_delimited', hive_partitioning = false, {options}, "
            f"columns = {{{typed}}})"
        )

    def answers(self) -> str:
        """The layout's SELECT over the files: one row an answer, with its number r, whether it is live, or bad."""
        at = "filename AS file, line" if self.bad is not None else "filename AS file, NULL AS line"
        if self.layout.form == "parquet":
            at = "filename AS file, file_row_number + 1 AS line"
        select = self.layout.select(self._scan(), at, self._reward())
        once = _last_part(select) if self.layout.answer else f"SELECT *, 1 AS parts FROM ({select})"
        text = "lower(trim(CAST(v AS VARCHAR)))"
        step = "TRY_CAST(step AS DOUBLE)"
        right = f"CAST(r >= {float(self.right_from)!r} AS DOUBLE)" if self.right_from is not None else "r"
        prompt = "left(md5(prompt), 16)" if self.reading.no_text else "prompt"
        # CASE, not OR: what follows a condition is looked at only where it is met.
        return f"""
            SELECT file, line, {prompt} AS prompt, grp, split, text, v, parts, {step} AS step, step AS said, bad,
                   CASE WHEN NOT bad AND NOT dead AND isfinite(r) THEN {right} END AS r
            FROM (SELECT *, CASE WHEN prompt IS NULL THEN true
                                 WHEN step IS NOT NULL AND NOT coalesce({step} >= 0 AND {step} = floor({step})
                                      AND {step} < 9007199254740992, false) THEN true
                                 WHEN r IS NULL AND v IS NOT NULL AND NOT dead
                                 THEN NOT regexp_full_match({text}, '{NONE}') ELSE false END AS bad
                  FROM (SELECT *, CASE WHEN number IS NULL AND v IS NOT NULL
                                       THEN CASE {text} WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 END
                                       ELSE number END AS r
                        FROM (SELECT *, TRY_CAST(v AS DOUBLE) AS number FROM ({once}))))"""

    def _reward(self) -> str:
        if self.layout.rewards is not None:
            return summed(self.weights, self.columns)
        if self.reward is not None:
            return self.layout.named(self.reward) if self.layout.named else quoted(self.reward)
        return self.layout.reward

    @cached_property
    def columns(self) -> dict[str, str]:
        """The columns of a Parquet log, and their types."""
        described = self.db.execute(f"DESCRIBE SELECT * FROM {self._scan()}").fetchall()
        return {str(row[0]): str(row[1]) for row in described if row[0] not in ("filename", "file_row_number")}

    @cached_property
    def weights(self) -> dict[str, float]:
        """Which reward columns are summed, and their weights."""
        assert self.layout.rewards is not None
        if self.reward is not None:
            weights = parts(self.reward, self.columns)
        else:
            weights = dict.fromkeys(self._speaking(self.layout.rewards(self.columns)), 1.0)
        missing = [name for name in weights if name not in self.columns]
        if missing or not weights:
            needs = f"the reward column {missing[0]!r}" if missing else f"a reward column of {self.layout.writer}"
            raise SourceError(self.name, needs, f"columns {listed(self.columns)}", hint="--reward 'NAME + 0.5*NAME'")
        return weights

    def _speaking(self, candidates: list[str]) -> list[str]:
        """The most of the candidates, from the first on, whose sum the log does not speak against; else all of them.

        Rewards stand first, and beside them may stand numbers of other kinds.
        """
        for many in range(len(candidates), 0, -1):
            if len(candidates) > 1 and (self._against(dict.fromkeys(candidates[:many], 1.0)) or 0) <= _FEW:
                return candidates[:many]
        return candidates

    def _against(self, weights: Mapping[str, float]) -> float | None:
        """The share of groups that speak against these rewards; None where none can."""
        if self.layout.verify is None:
            return None
        sql = self.layout.verify[0].replace("{reward}", f"({summed(weights, self.columns)})")
        share = self.db.execute(sql.replace("{log}", self._scan())).fetchall()[0][0]
        return None if share is None else float(share)

    def doubts(self) -> list[str]:
        """What the log itself says against the rewards read from it, and which others it has."""
        if self.layout.rewards is None:
            return self._other_scores()
        told = " + ".join(name if weight == 1 else f"{weight:g}*{name}" for name, weight in self.weights.items())
        beside = [name for name in self.layout.rewards(self.columns) if name not in self.weights]
        said = [f"reward = {told}: --reward says otherwise"] if len(self.weights) > 1 or beside else []
        if beside and self.reward is None:
            said.append(f"{', '.join(beside)} left out: the logged advantages speak against it")
        share = self._against(self.weights)
        if self.layout.verify is not None and share is not None and share > _FEW:
            said.append(self.layout.verify[1].format(share=share))
        return said

    def named_here(self) -> list[str]:
        """What --reward can name: the scores that the answers have, or the fields of the first rows."""
        if self.layout.scorers is None:
            return list(first_keys(self.paths[0]))
        rows = self.layout.rows.replace("{log}", self._scan())
        found = self.db.execute(f"SELECT DISTINCT unnest({self.layout.scorers[0]}) FROM {rows} LIMIT 12").fetchall()
        return sorted(str(row[0]) for row in found)

    def _other_scores(self) -> list[str]:
        if self.layout.scorers is None or self.reward is not None:
            return []
        names = self.named_here()
        said = f"scores here: {', '.join(names)}; read is {self.layout.scorers[1]}, --reward NAME reads one"
        return [said] if len(names) > 1 else []

    def check_one_run(self) -> None:
        """Refuse a step that several folders have: of two runs, their answers to a prompt would make one group."""
        if self.layout.step == "NULL" or self.layout.unpack or len({Path(path).parent for path in self.paths}) == 1:
            return
        sql = f"""
            SELECT step, min(folder), max(folder)
            FROM (SELECT step, split, parse_dirpath(file) AS folder FROM ({self.answers()}) WHERE NOT bad)
            GROUP BY step, split HAVING min(folder) <> max(folder) ORDER BY step LIMIT 1"""
        for step, one, other in self.db.execute(sql).fetchall():
            got = f"step {step:g} in {Path(one).name} and in {Path(other).name}"
            raise SourceError(self.name, "one run", got, hint="name one of the folders; compare takes two")

    def _grouped(self) -> Table:
        told = {"split": self.layout.split, "step": self.layout.step, "prompt": "", "grp": self.layout.group}
        # A constant among the keys, or among what is summed, would cost like another column.
        constant = {name: value for name, value in told.items() if value == "NULL" or value.startswith("'")}
        keys = ", ".join(name for name in told if name not in constant)
        more = "".join(f", {value} AS {name}" for name, value in constant.items())
        parts = "sum(parts)" if self.layout.answer else "count(*)"
        return summed_up(
            lambda sums: files.fetch(
                self.db,
                f"SELECT *{more} FROM (SELECT {keys}, {sums}, {parts} AS parts FROM ({self.answers()}) "
                f"GROUP BY {keys}) ORDER BY {keys}",
                self.name,
            )
        )

    def again(self, found: Table, groups: NDArray[np.int64]) -> Table:
        """Every answer of some groups, in the order of the files."""
        keys = {name: _objects(found[name][groups]) for name in _KEYS}
        self.db.register("wanted", {"of": np.arange(len(groups)), **keys})
        sql = f"""
            SELECT wanted.of AS of, hash(text) AS text, r
            FROM (SELECT *, row_number() OVER () AS place FROM ({self.answers()})) AS a
            JOIN wanted ON a.prompt = wanted.prompt AND a.step = wanted.step
                       AND CAST(a.split AS VARCHAR) IS NOT DISTINCT FROM CAST(wanted.split AS VARCHAR)
                       AND CAST(a.grp AS VARCHAR) IS NOT DISTINCT FROM CAST(wanted.grp AS VARCHAR)
            WHERE NOT bad ORDER BY of, place"""
        return files.fetch(self.db, sql, self.name)

    def _first_bad(self) -> SourceError:
        sql = f"SELECT file, line, prompt, v, step, said FROM ({self.answers()}) WHERE bad ORDER BY file, line LIMIT 1"
        file, line, prompt, v, step, said = self.db.execute(sql).fetchall()[0]
        if prompt is None:
            needs, got = "a prompt", "none"
        elif said is not None and (step is None or not (0 <= step < 2**53 and step == int(step))):
            needs, got = "a step that is a whole number", self._shown(said)
        else:
            needs, got = "a reward that is a number", self._shown(v)
        # Lines of a file that was unpacked are nobody's lines.
        name, where = self.unpacked.get(file, Path(file).name), f"line {line}"
        return SourceError(name, needs, got, "" if line is None or file in self.unpacked else where, HINT)

    def _shown(self, value: object) -> str:
        return "text" if self.reading.no_text else repr(value)[:60]


def _last_part(select: str) -> str:
    """Of the rows of one trajectory the last; rows without a trajectory's id stand for themselves."""
    kept = ", ".join(f"arg_max({name}, coalesce(part, 0)) AS {name}" for name in ("file", "line", "text", "dead"))
    return f"""
        SELECT {kept}, count(*) AS parts, any_value(prompt) AS prompt, any_value(grp) AS grp, any_value(step) AS step,
               any_value(split) AS split, arg_max_null(v, coalesce(part, 0)) AS v
        FROM (SELECT *, coalesce(answer, 'row ' || row_number() OVER ()) AS one FROM ({select}))
        GROUP BY step, split, grp, prompt, one"""


def _objects(column: NDArray[Any]) -> NDArray[Any]:
    """A result's column with None for what is missing."""
    values = np.ma.getdata(column).astype(object)
    values[~known(column)] = None
    return values
