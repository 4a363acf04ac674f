"""What one batch of scored answers says: how many groups are silent, and which way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from groupsigma import arrays, checks
from groupsigma.checks import Floats, Ints
from groupsigma.errors import ArgumentError
from groupsigma.sigma import TOLERANCE


@dataclass(frozen=True)
class Scored:
    """Groups of a batch by their rewards; all arrays [M], float64 unless said.

    Attributes:
        n: scorable answers of each group, int64; 0 where none is.
        mean, std: of their rewards, population std; 0 where there is none.
        low, high: lowest and highest reward.
        right: int64 right answers, or None where rewards are graded. Right is 1; wrong is 0 or −1.
        unscorable: answers without a reward, over all groups.
    """

    n: Ints
    mean: Floats
    std: Floats
    low: Floats
    high: Floats
    right: Ints | None
    unscorable: int

    @classmethod
    def of(cls, rewards: Any, codes: Ints, groups: int) -> Scored:
        """Groups of rewards [N], row i in group codes[i] < groups; NaN and ±inf are unscorable."""
        r = checks.floats("Scored.of", "rewards", rewards)
        if r.ndim != 1 or r.shape != np.shape(codes):
            raise ArgumentError("Scored.of", "a group for each reward", f"{np.shape(codes)} for {r.shape}")
        live = np.isfinite(r)
        fold = arrays.by_code(np.asarray(codes)[live], groups, np)
        kept = r[live]
        n = fold.total(np.ones_like(kept)).astype(np.int64)
        mean = fold.total(kept) / np.maximum(n, 1)
        off = kept - fold.rows(mean)
        std = np.sqrt(fold.total(off * off) / np.maximum(n, 1))
        some = n > 0
        low, high = (np.where(some, edge, 0.0) for edge in (fold.bottom(kept), fold.top(kept)))
        values = set(np.unique(kept).tolist())
        binary = values <= {0.0, 1.0} or values <= {-1.0, 1.0}
        right = fold.total(1.0 * (kept > 0)).astype(np.int64) if binary else None
        return cls(n, mean, std, low, high, right, int((~live).sum()))

    @property
    def silent(self) -> Any:
        """bool [M]: fewer than two answers, or max − min ≤ 1e-6 · max(1, |reward|)."""
        scale = np.maximum(1.0, np.maximum(abs(self.low), abs(self.high)))
        return (self.n < 2) | (self.high - self.low <= TOLERANCE * scale)

    def metrics(self) -> dict[str, float]:
        """The `group/…` numbers of a trainer's log: shares of groups, mean σ, mean size, answers left out."""
        silent = self.silent
        right = silent & (self.n > 0) & (self.low >= 1 - TOLERANCE)
        wrong = silent & (self.n > 0) & (self.high <= TOLERANCE)
        return {
            "group/silent": float(silent.mean()),
            "group/all_right": float(right.mean()),
            "group/all_wrong": float(wrong.mean()),
            "group/mixed": float((~silent).mean()),
            "group/sigma_mean": float(self.std.mean()),
            "group/reward_mean": float(self.mean[self.n > 0].mean()) if (self.n > 0).any() else 0.0,
            "group/size_mean": float(self.n.mean()),
            "group/unscorable": float(self.unscorable),
        }


def group_metrics(rewards: Any, prompt_ids: Any) -> dict[str, float]:
    """What a batch of answers says about its groups, under the keys that trainers log.

    Args:
        rewards: [N] of the function that judges right or wrong; NaN, None: unscorable, left out and counted.
        prompt_ids: [N] labels; rows of one label are one group, in any order.

    Returns: `group/silent` = `group/all_right` + `group/all_wrong` (+ groups equal in between, or with fewer
        than two scorable answers), `group/mixed`, `group/sigma_mean`, `group/reward_mean`, `group/size_mean`,
        and `group/unscorable`, a count.
    Raises: ArgumentError for lengths that differ or no answer at all.

    >>> found = group_metrics([1, 1, 0, 1], ["a", "a", "b", "b"])
    >>> found["group/silent"], found["group/all_right"], found["group/sigma_mean"]
    (0.5, 0.5, 0.25)
    """
    r = checks.floats("group_metrics", "rewards", rewards)
    if r.ndim != 1 or len(r) != len(prompt_ids) or not len(r):
        got = f"{r.shape} rewards, {len(prompt_ids)} ids"
        raise ArgumentError("group_metrics", "one prompt id for each reward, at least one", got)
    codes, names = arrays.factorize(prompt_ids)
    return Scored.of(r, codes, len(names)).metrics()
