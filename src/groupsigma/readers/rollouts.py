"""A trainer's rollout log to Groups, every row of it accounted for."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groupsigma.errors import SourceError
from groupsigma.groups import Groups, Intake, RewardSummary
from groupsigma.readers import files
from groupsigma.readers.columns import listed
from groupsigma.readers.layout import Layout
from groupsigma.readers.log import HINT, Log
from groupsigma.readers.reading import Reading
from groupsigma.readers.repeats import known, untangled
from groupsigma.readers.sums import Table


def read_rollouts(
    layout: Layout,
    paths: Sequence[str],
    name: str,
    reading: Reading,
    *,
    reward: str | None = None,
    right_from: float | None = None,
    notes: Sequence[str] = (),
) -> Groups:
    """Groups from files of one layout.

    Args: reward: the column, function or scorer, by name; right_from: rewards of at least this are right.
    Raises: SourceError naming file and line of the first that cannot be read, unless reading.skip_bad.
    """
    chosen, said = layout.choose(paths)
    with tempfile.TemporaryDirectory(prefix="groupsigma-") as scratch, files.connection(scratch) as db:
        log = Log(db, layout, chosen, Path(scratch), name, reading, reward, right_from)
        found = log.table()
        with log.explained():
            log.check_one_run()
            groups = _groups(log, found, [*notes, *said, *log.doubts()])
    if groups.unseen:
        return replace(groups, notes=(*groups.notes, f"no silent group is in this log; {groups.unseen}"))
    return groups


def _groups(log: Log, found: Table, notes: list[str]) -> Groups:
    """The table as Groups: one split of it, as the groups were drawn, with an account of every row."""
    lost = len(log.bad or ())
    rows = int(found["parts"].sum()) + lost
    bad = int(found["bad"].sum())
    notes = [*notes, *log.layout.notes]
    found = _rows(found, found["rows"] > found["bad"])
    steps = known(found["step"])
    if steps.any() and not steps.all():
        missing = int(found["parts"][~steps].sum())
        if not log.reading.skip_bad:
            raise SourceError(log.name, "a step in every row, or in none", f"{missing:,} rows without", hint=HINT)
        lost += missing
        found = _rows(found, steps)
    if lost + bad:
        notes.append(f"{lost + bad:,} lines could not be read and were left out")
    found, aside, said = _of_split(found, log.reading.split)
    notes += said
    if log.layout.split == "'eval'":
        notes.append("answers of an evaluation")
    folded = int(found["parts"].sum() - found["rows"].sum())
    if folded:
        notes.append(f"{folded:,} rows were further parts of an answer, or the same one again: counted once")
    repeated = 0
    if log.layout.group == "NULL" or not log.layout.own_groups:
        found, repeated, said = untangled(found, lambda groups: log.again(found, groups))
        notes += said
    notes += _gaps(found, log.layout.between)
    n = found["n"].astype(np.int64)
    full = n > 0
    if not full.any():
        hint = f"--reward names one of {listed(log.named_here())}" if log.reward is not None else ""
        raise SourceError(log.name, "at least one answer with a reward", f"{rows:,} rows without", hint=hint)
    sizes = np.unique(n[full])
    if len(sizes) > 1:
        notes.append(f"groups of {sizes[0]} to {sizes[-1]} scorable answers")
    good = int((found["rows"] - found["bad"]).sum())
    intake = Intake(
        layout=log.layout.name,
        rows=rows,
        scorable=int(n.sum()),
        unscorable=good - int(n.sum()),
        refused=lost + bad,
        repeated=folded + repeated,
        aside=aside,
        filter=log.layout.filter,
    )
    common: dict[str, Any] = dict(
        prompt_ids=np.asarray(found["prompt"], dtype=object)[full],
        n_rollouts=n[full],
        step=np.asarray(found["step"]).astype(np.int64)[full] if known(found["step"]).any() else None,
        n_unscorable=intake.unscorable,
        n_empty=int((~full).sum()),
        source=log.name,
        intake=intake,
    )
    total = np.asarray(found["total"], dtype=np.float64)[full]
    if found["binary"].all():
        return Groups(n_correct=np.rint(total).astype(np.int64), notes=tuple(notes), **common)
    if found["signed"].all():
        notes.append("rewards are 1 and -1: right and wrong")
        return Groups(n_correct=np.rint((total + n[full]) / 2).astype(np.int64), notes=tuple(notes), **common)
    low, high, variance = (np.asarray(found[c], dtype=np.float64)[full] for c in ("low", "high", "variance"))
    summary = RewardSummary(total / n[full], np.sqrt(variance), low, high)
    return Groups(n_correct=None, rewards=summary, notes=tuple(notes), **common)


def _of_split(found: Table, asked: str | None) -> tuple[Table, int, list[str]]:
    """The groups of one split, how many rows are of others, and what to say; "all" keeps them apart as groups."""
    names = np.where(known(found["split"]), np.ma.filled(found["split"], "").astype(str), "")
    rows = found["parts"] - found["bad"]
    counts = {name: int(rows[names == name].sum()) for name in np.unique(names).tolist()}
    if asked == "all" or (asked is None and len(counts) == 1):
        return found, 0, []
    wanted = asked or next((name for name in ("train", "eval") if name in counts), "train")
    if wanted not in counts:
        told = ", ".join(f"{name or 'unnamed'}: {count:,}" for name, count in counts.items())
        raise SourceError("--split", f"answers of {wanted}", told, hint="--split all takes what there is")
    keep = names == wanted
    aside = sum(counts.values()) - counts[wanted]
    others = ", ".join(f"{count:,} of {name or 'an unnamed split'}" for name, count in counts.items() if name != wanted)
    said = [f"answers of {wanted}; {others} left aside: --split says which"] if aside else []
    return _rows(found, keep), aside, said


def _gaps(found: Table, between: str) -> list[str]:
    """Where every so many steps are in the log: which, and what of the others."""
    steps = np.unique(found["step"][known(found["step"])])
    gaps = np.diff(steps)
    if len(steps) < 3 or gaps.min() < 2 or gaps.max() != gaps.min():
        return []
    return [f"steps {steps[0]:g}, {steps[1]:g}, … {steps[-1]:g}: {between}"]


def _rows(found: Table, keep: NDArray[np.bool_]) -> Table:
    return {name: column[keep] for name, column in found.items()}
