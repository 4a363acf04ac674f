"""From sources to Groups: files found, their layout told, read as a log or as a table."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from groupsigma.groups import Groups
from groupsigma.readers import files
from groupsigma.readers.columns import Columns
from groupsigma.readers.layouts import UNPACKED, recognise
from groupsigma.readers.reading import Reading
from groupsigma.readers.rollouts import read_rollouts
from groupsigma.readers.scalars import trainers_own
from groupsigma.readers.table import read_table

#: Columns that only a table has: whoever names one has no log.
_TABLE = ("prompt_id", "rate", "correct", "answers", "step", "count")


def read_sources(sources: Sequence[str], columns: Columns, reading: Reading) -> Groups:
    """Groups from one or more files of the same layout; see `load`."""
    shown = ["standard input" if s == "-" else s for s in sources]
    name = ", ".join(shown[:3]) + (", …" if len(shown) > 3 else "")
    with tempfile.TemporaryDirectory(prefix="groupsigma-") as scratch:
        paths = files.find(sources, Path(scratch), also=UNPACKED)
        plain = reading.layout is None and any(getattr(columns, role) is not None for role in _TABLE)
        folders = any(Path(source).is_dir() for source in sources)
        log = None if plain else recognise(paths, reading.layout, folders)
        if log is None:
            return read_table(paths, name, scratch, columns, reading)
        groups = read_rollouts(
            log.layout, log.paths, name, reading,
            reward=columns.reward, right_from=columns.right_from, notes=log.notes,
        )  # fmt: skip
        return _with_claim(groups, [*log.others, *_above(log.paths)])


def _above(paths: Sequence[str]) -> list[str]:
    """Trainer states where TRL keeps them when the log is in a folder of the run's."""
    run = Path(paths[0]).parent.parent
    return [str(path) for path in (*run.glob("trainer_state.json"), *run.glob("checkpoint-*/trainer_state.json"))]


def _with_claim(groups: Groups, beside: Sequence[str]) -> Groups:
    """With the trainer's own silent share by step, where a log of scalars beside the answers has it."""
    own = trainers_own(list(dict.fromkeys(beside)))
    if own is None or groups.intake is None or not (claimed := own.by_step("silent")):
        return groups
    steps = np.unique(groups.step) if groups.step is not None else np.empty(0)
    if len(steps) > 1 and np.diff(steps).min() > 1:
        said = "a mean over steps that are not in this log, so it is not held against the rewards"
        return replace(groups, notes=(*groups.notes, f"{own.names['silent']} in {own.source} is {said}"))
    note = f"the trainer's own silent share: {own.names['silent']} in {own.source}, {len(claimed):,} steps"
    return replace(groups, intake=replace(groups.intake, claimed=claimed), notes=(*groups.notes, note))
