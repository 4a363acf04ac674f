"""What a trainer's own numbers by step can tell of a run, and what they cannot."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from groupsigma.checks import Floats, Ints
from groupsigma.readers.scalars import Scalars

#: Bumped when a key of `ScalarCourse.to_dict()` is renamed or changes its meaning.
SCHEMA = "groupsigma.scalars/1"
_MISSING = (
    ("all_right", "how silence divides into all right and all wrong (if rewards are 0 and 1, their mean bounds it)"),
    ("", "silent groups by the rewards themselves: a trainer's test of std near 0 misses equal rewards such as 1.2"),
    ("", "difficulty of the prompts, so neither what silence was to be expected nor where the update goes"),
    ("", "what another G, other prompts or replacing silent groups would bring"),
)
_REMEDY = "log the answers: TRL log_completions=True, verl trainer.rollout_data_dir, prime-rl's rollouts"


@dataclass(frozen=True)
class Stretch:
    """Some steps of a run: means over its steps, None where the log has none.

    all_right_low, all_right_high: what the silent share and the mean of 0/1 rewards leave for groups all right:
    r − (1 − s) ≤ a ≤ min(s, r).
    """

    first: int
    last: int
    steps: int
    silent: float | None
    reward: float | None
    all_right: float | None
    all_wrong: float | None
    all_right_low: float | None
    all_right_high: float | None


@dataclass(frozen=True)
class ScalarCourse:
    """A run by its trainer's own numbers: stretches of equally many steps, the whole last; what is missing, by name."""

    source: str
    names: dict[str, str]
    stretches: tuple[Stretch, ...]
    missing: tuple[str, ...]
    remedy: str = _REMEDY

    def metrics(self) -> dict[str, float]:
        """The numbers that --fail-on can name."""
        whole, last = self.stretches[-1], self.stretches[max(0, len(self.stretches) - 2)]
        named = {"silent": whole.silent, "silent_last_window": last.silent, "mean_reward": whole.reward}
        return {name: value for name, value in named.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the schema's name in front."""
        return {"schema": SCHEMA, **asdict(self)}


def scalar_course(scalars: Scalars, windows: int = 8) -> ScalarCourse:
    """A trainer's own numbers, averaged over stretches of its steps; silent = all right + all wrong where it has both.

    >>> own = Scalars("log", np.array([1, 2]), {"silent": np.array([0.5, 0.7]), "reward": np.array([0.5, 0.6])}, {})
    >>> [round(s.all_right_low, 2) for s in scalar_course(own, windows=2).stretches]
    [0.0, 0.3, 0.15]
    """
    right, wrong = (scalars.series.get(name) for name in ("all_right", "all_wrong"))
    silent = scalars.series.get("silent")
    if silent is None and right is not None and wrong is not None:
        silent = right + wrong
    parts = np.array_split(np.arange(len(scalars.step)), min(windows, len(scalars.step)))
    every = np.arange(len(scalars.step))
    cut = [_stretch(scalars, silent, rows) for rows in ([*parts, every] if len(parts) > 1 else [every])]
    missing = [what for role, what in _MISSING if not role or role not in scalars.series]
    if silent is None:
        missing.insert(0, "the silent share: " + ", ".join(scalars.names.values()) + " say nothing of it")
    return ScalarCourse(scalars.source, dict(scalars.names), tuple(cut), tuple(missing))


def _stretch(scalars: Scalars, silent: Floats | None, rows: Ints) -> Stretch:
    reward, right, wrong = (scalars.series.get(role) for role in ("reward", "all_right", "all_wrong"))
    s, r = _mean(silent, rows), _mean(reward, rows)
    low = high = None
    if right is None and s is not None and r is not None and 0 <= r <= 1:
        low, high = max(0.0, r - (1 - s)), min(s, r)
    first, last = int(scalars.step[rows[0]]), int(scalars.step[rows[-1]])
    return Stretch(first, last, len(rows), s, r, _mean(right, rows), _mean(wrong, rows), low, high)


def _mean(values: Floats | None, rows: Ints) -> float | None:
    if values is None or not np.isfinite(values[rows]).any():
        return None
    return float(np.nanmean(values[rows]))
