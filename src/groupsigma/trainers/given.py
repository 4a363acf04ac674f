"""What the user gave the trainer, held to what it can be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groupsigma.errors import ArgumentError


def judge_column(who: str, name: str | None, functions: Sequence[str]) -> int | None:
    """Column of the reward function that decides on silence; None for their weighted sum.

    >>> judge_column("trainer", "accuracy", ["accuracy", "length"])
    0
    """
    if name == "sum":
        return None
    if name is None and len(functions) == 1:
        return 0
    if name is not None and list(functions).count(name) == 1:
        return list(functions).index(name)
    got = "none named" if name is None else repr(name)
    hint = f"one of {', '.join(functions)}; or judge='sum' to decide on the weighted sum"
    raise ArgumentError(who, "judge=: which reward function says right or wrong", got, hint=hint)


def whole_tries(given: Any, prompts: int, rows: int) -> list[int]:
    """The tries of a batch as whole numbers, that fill it exactly.

    >>> whole_tries([4, 0, 2], 3, 6)
    [4, 0, 2]
    """
    try:
        numbers = np.asarray(given)
    except ValueError:
        numbers = np.empty(0)
    whole = numbers.shape == (prompts,) and numbers.dtype.kind in "iuf" and np.isfinite(numbers).all()
    if not whole or (numbers != np.floor(numbers)).any():
        raise ArgumentError("tries", f"a whole number for each of {prompts} prompts", repr(given)[:80])
    tries = [int(n) for n in numbers]
    if any(n < 0 or n == 1 for n in tries):
        hint = "one answer alone is silent"
        raise ArgumentError(
            "tries", "0, or at least 2 answers of a prompt", str(next(n for n in tries if n < 2 and n)), hint=hint
        )
    if sum(tries) != rows:
        hint = "they share out the generation batch: per_device_train_batch_size × steps_per_generation × processes"
        raise ArgumentError("tries", f"answers that add up to {rows}", str(sum(tries)), hint=hint)
    return tries


def label(row: Mapping[str, Any], column: str) -> Any:
    """The id of a row; where it has none, a short digest of its prompt.

    >>> label({"prompt": "1+1=", "uid": "a"}, "uid"), label({"prompt": "1+1="}, "uid")
    ('a', '5b7b49d310812390')
    """
    if column in row:
        value = row[column]
        return value.item() if hasattr(value, "item") else value
    text = json.dumps(row["prompt"], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
