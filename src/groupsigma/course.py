"""A run over time: window by window what its groups were, beside what the closed form said before they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groupsigma import arrays, checks
from groupsigma.checks import Ints
from groupsigma.claimed import Claimed, claimed_silence
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.drift import visits
from groupsigma.errors import ArgumentError
from groupsigma.foretold import Foretold, foretold
from groupsigma.groups import Groups
from groupsigma.law import silent_rate
from groupsigma.presets import name_of
from groupsigma.removed import Removed, silent_removed
from groupsigma.windows import Window, seen_of, split_steps, window_of

#: Bumped when a key of `Course.to_dict()` is renamed or changes its meaning.
SCHEMA = "groupsigma.course/1"
#: A run is at least half silent from where so many groups in a row are, or a sixteenth of all if that is more:
#: one standard deviation of theirs is 2 points at most, and a long run is not called by one lucky stretch.
ENOUGH = 512
#: Visits in a row that must be all right before a prompt counts as learnt.
LEARNT = 3
#: What `Course.metrics` may hold, for whoever sets a limit before there is a run.
LIMITS = (
    "silent_first_window", "silent_last_window", "spent_on_silence", "cost_of_silence", "half_silent_step",
    "silent_off", "claimed_off", "silent_removed",
)  # fmt: skip


@dataclass(frozen=True)
class Ahead:
    """What further groups on the prompts of the last window would bring, by what is believed of them at the end.

    Attributes:
        sizes: (G, silent share), the log's G first; draws_per_kept_group: dynamic sampling's cost, None if endless.
        learnt: prompts all right at their last 3 visits; silent_without: silent share if they were left out.
        prompts: of the window.
    """

    sizes: tuple[tuple[int, float], ...]
    draws_per_kept_group: float | None
    prompts: int
    learnt: int
    silent_without: float | None


@dataclass(frozen=True)
class Course:
    """What `course` found.

    Attributes:
        steps: distinct steps; prompts: distinct prompts; group_size: (least, mean, most).
        whole: the run as one window. windows: in order.
        half_silent_step: first step such that the next 512 groups (or a sixteenth of all, if more) are at least
            half silent; None where there is none.
        spent: answers in silent groups; spent_share: of all; cost: of them, cost_all: of all, at the price given.
        ahead: None for graded rewards. claimed: the trainer's own numbers against ours; removed: whether
            silent groups were left out of the log.
    """

    source: str
    dial: str
    steps: int
    prompts: int
    group_size: tuple[int, float, int]
    graded: bool
    whole: Window
    windows: tuple[Window, ...]
    half_silent_step: int | None
    spent: int
    spent_share: float
    cost: float | None
    cost_all: float | None
    ahead: Ahead | None
    claimed: Claimed | None
    removed: Removed | None
    notes: tuple[str, ...]

    @property
    def off(self) -> float | None:
        """Silent share as it came − as foretold, over the run."""
        w = self.whole
        return None if w.came is None or w.silent_predicted is None else w.came - w.silent_predicted

    def metrics(self) -> dict[str, float]:
        """The numbers that --fail-on can name, all as float; those unknown here are left out, no step is ∞."""
        named: dict[str, float | None] = {
            "silent_first_window": self.windows[0].silent,
            "silent_last_window": self.windows[-1].silent,
            "spent_on_silence": self.spent_share,
            "cost_of_silence": self.cost,
            "half_silent_step": float("inf") if self.half_silent_step is None else self.half_silent_step,
            "silent_off": self.off,
            "claimed_off": self.claimed.largest if self.claimed else None,
            "silent_removed": self.removed.low if self.removed and self.removed.removed else 0.0,
        }
        return {name: float(value) for name, value in named.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the schema's name in front."""
        told = {"schema": SCHEMA, **asdict(self), "off": self.off}
        return {**told, "removed": self.removed.to_dict() if self.removed else None}


def course(
    groups: Groups,
    *,
    windows: int = 8,
    window: int | None = None,
    dial: Dial = GRPO,
    dial_name: str = "",
    cost_per_1k: float | None = None,
    claimed: Mapping[int, float] | None = None,
) -> Course:
    """A log with steps, window by window: what came, and what p^G + (1−p)^G said before it came.

    The p of a group's time is never its own k/n. For a prompt met at an earlier step it is the belief that its earlier
    groups leave (`drift.Walks`: a random walk at the prompt's own pace); for another, the spread of solve rates fitted
    to the last 1,024 groups before the step. Groups of the first step are foretold by nothing.

    Args:
        groups: counts or graded rewards, with at least two steps, one group a row; sizes may differ.
        windows: how many, of equally many steps each; window: steps a window, in its place.
        dial: whose update the shares by difficulty are of.
        cost_per_1k: price of 1,000 rollouts. claimed: the trainer's own silent share, by step; by default the log's.

    Raises: ArgumentError without steps, for rates, and for rows that stand for several problems.

    >>> told = course(Groups(["a", "b"] * 3, [4, 0, 4, 1, 3, 2], [4] * 6, step=[1, 1, 2, 2, 3, 3]), windows=3)
    >>> [w.silent for w in told.windows], told.spent
    ([1.0, 0.5, 0.0], 12)
    """
    step = _checked(groups)
    if claimed is None and groups.intake is not None:
        claimed = groups.intake.claimed
    expect_dial("course", dial)
    at = split_steps(step, windows, window)
    price = None if cost_per_1k is None else float(checks.floats("course", "cost_per_1k", cost_per_1k))
    if price is not None and not 0 <= price < np.inf:
        raise ArgumentError("course", "a price of at least 0", repr(cost_per_1k))
    seen = seen_of(groups)
    last = np.flatnonzero(at == at.max())
    told = None if groups.graded else foretold(groups, dial, last)
    n = groups.n_rollouts
    spent, answers = int(n[seen.silent].sum()), int(n.sum())
    return Course(
        source=groups.source,
        dial=dial_name or name_of(dial),
        steps=len(np.unique(step)),
        prompts=len(arrays.factorize(groups.prompt_ids)[1]),
        group_size=(int(n.min()), float(n.mean()), int(n.max())),
        graded=groups.graded,
        whole=window_of(np.arange(len(step)), step, n, seen, told),
        windows=tuple(window_of(np.flatnonzero(at == w), step, n, seen, told) for w in range(int(at.max()) + 1)),
        half_silent_step=half_silent_step(step, seen.silent, max(ENOUGH, len(step) // 16)),
        spent=spent,
        spent_share=spent / answers,
        cost=None if price is None else price * spent / 1000,
        cost_all=None if price is None else price * answers / 1000,
        ahead=None if told is None else _ahead(groups, told, last),
        claimed=claimed_silence(step, seen.silent, claimed) if claimed else None,
        removed=silent_removed(groups),
        notes=(told.note,) if told is not None and told.note else (),
    )


def half_silent_step(step: Ints, silent: NDArray[np.bool_], enough: int = ENOUGH) -> int | None:
    """The first step such that the steps from it on that hold the next `enough` groups are at least half silent.

    >>> half_silent_step(np.repeat([10, 20, 30, 40], 2), np.repeat([False, True, False, True], 2), enough=4)
    10
    """
    steps, which = np.unique(step, return_inverse=True)
    groups = np.r_[0, np.cumsum(np.bincount(which))]
    still = np.r_[0, np.cumsum(np.bincount(which, silent))]
    end = np.searchsorted(groups, groups[:-1] + enough)
    whole = np.flatnonzero(end < len(groups))
    share = (still[end[whole]] - still[whole]) / (groups[end[whole]] - groups[whole])
    found = whole[share >= 0.5]
    return int(steps[found[0]]) if len(found) else None


def _ahead(groups: Groups, told: Foretold, last: Ints) -> Ahead:
    """Silence of a further group on each group's prompt, and without the prompts that are learnt."""
    assert groups.n_correct is not None
    codes, ids = arrays.factorize(groups.prompt_ids)
    size = int(np.median(groups.n_rollouts[last]))
    sizes = tuple((G, float((told.after @ silent_rate(told.p, G)).mean())) for G in (size, 2 * size, 4 * size))
    visit = visits(groups)
    late = visit >= (np.bincount(codes) - LEARNT)[codes]
    right = np.bincount(codes[late], (groups.n_correct == groups.n_rollouts)[late], len(ids))
    learnt = right >= LEARNT
    rest = ~learnt[codes[last]]
    without = told.after[rest] @ silent_rate(told.p, size)
    kept = 1 - sizes[0][1]
    return Ahead(
        sizes=sizes,
        draws_per_kept_group=1 / kept if kept > 1e-9 else None,
        prompts=len(np.unique(codes[last])),
        learnt=len(np.unique(codes[last][~rest])),
        silent_without=float(without.mean()) if len(without) else None,
    )


def _checked(groups: Groups) -> Ints:
    if groups.step is None or (groups.step == groups.step[0]).all():
        got = "no steps" if groups.step is None else "one step"
        raise ArgumentError("course", "groups of at least two steps", got, hint="name their column with --step")
    if groups.rate is not None:
        raise ArgumentError("course", "counts k of n, or rewards", "rates without n")
    if (groups.count != 1).any():
        raise ArgumentError("course", "one group a row", "rows that stand for several")
    return groups.step
