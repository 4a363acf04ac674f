"""What the answers of a group sum up to, in one pass; a second one only where rewards are not all right or wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = dict[str, NDArray[Any]]

#: Texts that mark what could not be scored.
NONE = "|na|n/a|none|null|nan"

#: Over rows with a reward r, NULL where there is none, and a flag bad. r·r = r holds for 0 and 1 alone.
FIRST = """count(*) AS rows, count(CASE WHEN bad THEN 1 END) AS bad, count(r) AS n, sum(r) AS total,
           count(CASE WHEN r * r <> r THEN 1 END) AS odd"""
#: For graded rewards, which are rare, and cost more.
SECOND = """, min(r) AS low, max(r) AS high, var_pop(r) AS variance, coalesce(bool_and(r IN (-1, 1)), true) AS signed"""


def summed_up(fetch: Callable[[str], Table]) -> Table:
    """Groups with n, total, low, high, variance, and whether all rewards are 0 and 1 (binary), or −1 and 1 (signed).

    Args: fetch: runs the grouping query with these aggregates in it.
    """
    found = fetch(FIRST)
    graded = bool(found["odd"].sum())
    if graded:
        found = fetch(FIRST + SECOND)
    found = {name: np.ma.filled(a, np.nan) if a.dtype.kind == "f" else a for name, a in found.items()}
    binary = np.asarray(found.pop("odd")) == 0
    if not graded:
        n, total = found["n"], found["total"]
        p = total / np.maximum(n, 1)
        found |= {"low": 1.0 * (total == n), "high": 1.0 * (total > 0), "variance": p * (1 - p)}
        # Rewards that are all 1 are of either kind.
        found["signed"] = np.asarray(total == n)
    return {**found, "binary": binary}
