"""What a checkpoint must carry beside the trainer's own files, and which checkpoint is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: Written last, by rename: a checkpoint that has it is whole.
STATE = "groupsigma.npz"
#: The trainer's own last file.
_TRAINER_STATE = "trainer_state.json"


def save_state(folder: Path, arrays: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """Write arrays and plain numbers into a checkpoint, whole or not at all; labels of mixed kinds as JSON."""
    beside = folder / f".{STATE}.part"
    kept = {name: np.asarray(value) for name, value in arrays.items()}
    labels = {name: value.tolist() for name, value in kept.items() if value.dtype == object}
    plain = {name: value for name, value in kept.items() if name not in labels}
    told = json.dumps({"numbers": dict(numbers), "labels": labels})
    with beside.open("wb") as file:
        np.savez(file, _told=np.array(told), **plain)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / STATE)


def load_state(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(arrays, numbers) of a checkpoint; None where another trainer wrote it."""
    if not (folder / STATE).is_file():
        return None
    with np.load(folder / STATE, allow_pickle=False) as held:
        told = json.loads(str(held["_told"]))
        arrays = {name: held[name] for name in held.files if name != "_told"}
    for name, values in told["labels"].items():
        arrays[name] = np.empty(len(values), dtype=object)
        arrays[name][:] = values
    return arrays, told["numbers"]


def last_whole(output_dir: Path) -> Path | None:
    """The latest checkpoint that was finished; one that a kill cut short is passed over."""
    found = sorted(
        (path for path in output_dir.glob("checkpoint-*") if path.name[11:].isdecimal()),
        key=lambda path: int(path.name[11:]),
    )
    ours = [path for path in found if (path / STATE).is_file()]
    stock = [path for path in found if (path / _TRAINER_STATE).is_file()]
    best = ours or stock
    return best[-1] if best else None


def out_of_space(error: BaseException, folder: Path) -> bool:
    """Whether a write failed for want of room: libraries say so in many ways."""
    text = str(error).lower()
    if "no space left" in text or "quota exceeded" in text or getattr(error, "errno", None) in (28, 122):
        return True
    near = next(path for path in (folder, *folder.parents) if path.exists())
    told = any(words in text for words in ("failed writing", "unexpected pos", "iostream error"))
    return told and shutil.disk_usage(near).free < 1 << 20
