"""Windows of a run's steps: what their groups were, beside what was foretold of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groupsigma import arrays, checks
from groupsigma.bands import INTERIOR
from groupsigma.checks import Floats, Ints
from groupsigma.foretold import Foretold
from groupsigma.groups import Groups
from groupsigma.sigma import sigma


@dataclass(frozen=True)
class Window:
    """Some steps of a run.

    Attributes:
        first, last: its steps; groups, answers: in it.
        mean_reward: mean over groups, the solve rate where rewards are right or wrong.
        all_right, all_wrong, equal_partial: shares of its groups, as they came; silent: their sum.
        sigma: mean population σ of its groups.
        met: share of its groups whose prompt had come at an earlier step.
        foretold: how many of its groups could be foretold; 0 leaves what follows None.
        came: silent share of those; silent_predicted, all_right_predicted, all_wrong_predicted: what was said of them.
        noise: standard deviation of came − silent_predicted if the predictions hold.
        out_of_reach: share of these whose prompt was believed silent ≥ 95 % of the time even at G = 64.
        gradient, gradient_predicted: their share of the update by band of difficulty, realised and foretold.
    """

    first: int
    last: int
    groups: int
    answers: int
    mean_reward: float
    all_right: float
    all_wrong: float
    equal_partial: float
    silent: float
    sigma: float
    met: float
    foretold: int
    came: float | None
    silent_predicted: float | None
    all_right_predicted: float | None
    all_wrong_predicted: float | None
    noise: float | None
    out_of_reach: float | None
    gradient: Mapping[str, float] | None
    gradient_predicted: Mapping[str, float] | None


def split_steps(step: Ints, windows: int, window: int | None) -> Ints:
    """Which window each row is in, 0 to the last, none empty."""
    if window is not None:
        width = int(checks.whole("course", "window", window, 1))
        at = (step - step.min()) // width
    else:
        steps, which = np.unique(step, return_inverse=True)
        many = min(int(checks.whole("course", "windows", windows, 1)), len(steps))
        # A few steps are cut into windows of one width; many into windows that differ by one step.
        at = which // -(-len(steps) // many) if len(steps) < 4 * many else which * many // len(steps)
    return np.unique(at, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, eq=False)
class Seen:
    """Each group as it came."""

    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    sigma: Floats
    reward: Floats
    met: NDArray[np.bool_]


def seen_of(groups: Groups) -> Seen:
    """Every group of counts or graded rewards as it came."""
    met = _met(groups)
    if groups.rewards is not None:
        r = groups.rewards
        return Seen(r.silent & (r.high == 1), r.silent & (r.high == 0), r.silent, r.std, r.mean, met)
    k, n = groups.n_correct, groups.n_rollouts
    assert k is not None
    right = k == n
    return Seen(right, k == 0, right | (k == 0), sigma(k, n), k / n, met)


def _met(groups: Groups) -> NDArray[np.bool_]:
    assert groups.step is not None
    codes, ids = arrays.factorize(groups.prompt_ids)
    first = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(first, codes, groups.step)
    return np.asarray(groups.step > first[codes])


def window_of(rows: Ints, step: Ints, n: Ints, seen: Seen, told: Foretold | None) -> Window:
    """Some rows as a window."""
    right, wrong, silent = (float(x[rows].mean()) for x in (seen.right, seen.wrong, seen.silent))
    said: dict[str, Any] = dict.fromkeys((
        "came", "silent_predicted", "all_right_predicted", "all_wrong_predicted", "noise", "out_of_reach",
        "gradient", "gradient_predicted",
    ))  # fmt: skip
    known = rows[:0] if told is None else rows[np.isfinite(told.all_right[rows])]
    if told is not None:
        said["gradient"] = _shares(told.gradient[known if len(known) else rows])
    if told is not None and len(known):
        chance = np.clip(told.silent[known], 0.0, 1.0)
        said |= {
            "came": float(seen.silent[known].mean()),
            "silent_predicted": float(chance.mean()),
            "all_right_predicted": float(told.all_right[known].mean()),
            "all_wrong_predicted": float(told.all_wrong[known].mean()),
            "noise": float(np.sqrt((chance * (1 - chance)).sum())) / len(known),
            "out_of_reach": float(told.out_of_reach[known].mean()),
            "gradient_predicted": _shares(told.gradient_predicted[known]),
        }
    return Window(
        first=int(step[rows].min()),
        last=int(step[rows].max()),
        groups=len(rows),
        answers=int(n[rows].sum()),
        mean_reward=float(seen.reward[rows].mean()),
        all_right=right,
        all_wrong=wrong,
        equal_partial=float((seen.silent & ~seen.right & ~seen.wrong)[rows].mean()),
        silent=silent,
        sigma=float(seen.sigma[rows].mean()),
        met=float(seen.met[rows].mean()),
        foretold=len(known),
        **said,
    )


def _shares(mass: Floats) -> dict[str, float] | None:
    whole = np.nansum(mass, 0)
    total = float(whole.sum())
    return dict(zip(INTERIOR, (whole / total).tolist(), strict=True)) if total > 0 else None
