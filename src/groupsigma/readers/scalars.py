"""Logs of one number a step: what a trainer said of its groups, where it did not keep their answers.

TRL's trainer_state.json, metrics as JSON lines (prime-rl's metrics.jsonl, verl's file logger, W&B history), and the CSV
that W&B and TensorBoard export.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from groupsigma.checks import Floats, Ints
from groupsigma.errors import SourceError
from groupsigma.readers import columns, files
from groupsigma.readers.layout import quoted
from groupsigma.readers.lines import each, parsed

#: What a series says, by the end of its name; the first that is there counts.
NAMES: Mapping[str, tuple[str, ...]] = {
    "silent": ("group/silent", "frac_reward_zero_std", "zero_std_fraction"),
    "all_right": ("group/all_right", "solved_all", "solve_all"),
    "all_wrong": ("group/all_wrong", "solved_none", "solve_none"),
    "reward": (
        "group/reward_mean", "critic/score/mean", "critic/rewards/mean", "rollout/reward_mean", "reward", "reward/mean",
    ),
}  # fmt: skip
_STEP = ("step", "_step", "global_step", "trainer/global_step", "train/global_step")
#: Columns of tables: a row that names a problem is no row of scalars.
_LABELS = {name for role in ("prompt_id", "correct", "answers", "rate", "count") for name in columns.NAMES[role]} - {
    "p"
}
#: A larger document is no log of scalars.
_LARGEST = 1 << 28


@dataclass(frozen=True, eq=False)
class Scalars:
    """A trainer's own numbers by step; float64 [steps], NaN where a step has none.

    Attributes: step: [steps], growing. series: role of NAMES -> values. names: role -> what the log calls it.
    """

    source: str
    step: Ints
    series: Mapping[str, Floats]
    names: Mapping[str, str]

    def by_step(self, role: str) -> dict[int, float]:
        """One role's numbers, where there are any."""
        values = self.series.get(role, np.full(len(self.step), np.nan))
        return {int(s): float(v) for s, v in zip(self.step, values, strict=True) if np.isfinite(v)}


def read_scalars(path: str) -> Scalars | None:
    """The numbers a file holds, None where it is no log of scalars: a table of answers or of problems is none.

    Raises: SourceError for a trainer's state that has none of the series in NAMES.
    """
    sure = Path(path).name == "trainer_state.json"
    rows = _rows(Path(path))
    if rows is None:
        return None
    found_columns = list(dict.fromkeys(name for _, row in rows for name in row))
    if not sure and len({step for step, _ in rows}) < 0.7 * len(rows):
        return None
    names = {role: found for role, ends in NAMES.items() if (found := _ending(found_columns, ends)) is not None}
    if not names and sure:
        needs = f"one of {', '.join(end for ends in NAMES.values() for end in ends)}"
        shown = ", ".join(found_columns[:8]) + (", …" if len(found_columns) > 8 else "")
        raise SourceError(Path(path).name, needs, shown or "no numbers", hint="rollout logs say more than scalars")
    if not sure and set(names) <= {"reward"} and not any(" - " in name or "/" in name for name in names.values()):
        return None
    # After a resume a step may be there twice: the later row is of the run that went on.
    last = {step: row for step, row in rows if any(name in row for name in names.values())}
    steps = sorted(last)
    series = {
        role: np.array([last[step].get(name, np.nan) for step in steps], dtype=np.float64)
        for role, name in names.items()
    }
    return Scalars(Path(path).name, np.array(steps, dtype=np.int64), series, names)


def trainers_own(paths: Sequence[str]) -> Scalars | None:
    """Of the trainer states and metrics found beside a rollout log the one that goes furthest."""
    found = []
    for path in paths:
        if Path(path).name in ("trainer_state.json", "metrics.jsonl"):
            try:
                scalars = read_scalars(path)
            except SourceError:
                continue
            if scalars is not None and len(scalars.step):
                found.append(scalars)
    return max(found, key=lambda one: (int(one.step[-1]), len(one.step)), default=None)


def _ending(names: Sequence[str], ends: Iterable[str]) -> str | None:
    """The first column that is one of these names, or ends in one after a slash, a dash or a space."""
    for end in ends:
        for name in names:
            # rewards/NAME/mean is of one reward function among several.
            if re.search(rf"(^|[/\s-]){re.escape(end)}$", name) and not re.search(r"(^|/)rewards/.+/", name):
                return name
    return None


def _rows(path: Path) -> list[tuple[int, dict[str, float]]] | None:
    """Step and numbers of each row; None for another kind of file."""
    try:
        if path.name == "trainer_state.json":
            return _kept(_history(path))
        form = files.format_of(str(path))
        if form == "csv":
            return _kept(_table(path))
        if form == "json" and path.suffix != ".json":
            return _kept(_lines(path))
    except (OSError, ValueError, RecursionError, duckdb.Error):
        return None
    return None


def _kept(rows: Iterable[Mapping[str, Any]]) -> list[tuple[int, dict[str, float]]] | None:
    kept = []
    for row in rows:
        if _LABELS & {name.lower() for name in row}:
            return None
        step = next((row[name] for name in _STEP if isinstance(row.get(name), int | float)), None)
        if step is None or not 0 <= step < 2**53:
            return None
        numbers = {n: float(v) for n, v in row.items() if isinstance(v, int | float) and n not in _STEP}
        kept.append((int(step), numbers))
    return kept or None


def _history(path: Path) -> list[Mapping[str, Any]]:
    if path.stat().st_size > _LARGEST:
        raise ValueError("too large")
    found = json.loads(path.read_bytes())
    history = found.get("log_history") if isinstance(found, dict) else None
    return [row for row in history if isinstance(row, dict)] if isinstance(history, list) else []


def _lines(path: Path) -> Iterable[Mapping[str, Any]]:
    """verl keeps the numbers under "data". A row with texts or lists is no row of scalars."""
    for _, line in each(str(path)):
        row = parsed(line)
        inner = row.get("data")
        row = {**row, **inner} if isinstance(inner, dict) else row
        if any(isinstance(value, list | str) and len(value) > 200 for value in row.values()):
            raise ValueError("texts")
        yield row


def _table(path: Path) -> list[Mapping[str, Any]]:
    """W&B names a series "run - name" and adds its range as __MIN and __MAX; TensorBoard names one series by file."""
    with duckdb.connect() as db:
        scan = f"read_csv({quoted(files.escaped(str(path)), chr(39))}, hive_partitioning = false)"
        result = db.execute(f"SELECT * FROM {scan}")
        names = [str(column[0]) for column in result.description or ()]
        rows = result.fetchall()
    if "Step" not in names:
        raise ValueError("no Step")
    tag = path.stem.rpartition("tag-")[2].replace("_", "/", 1) if "Value" in names else ""
    called = {name: "step" if name == "Step" else tag if name == "Value" else name for name in names}
    wanted = [name for name in names if not name.endswith(("__MIN", "__MAX")) and name != "Wall time"]
    return [{called[n]: value for n, value in zip(names, row, strict=True) if n in wanted} for row in rows]
