"""Groups: which prompt, how many right, of how many; the one carrier of data between floors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groupsigma import arrays, checks
from groupsigma.checks import Floats, Ints
from groupsigma.errors import ArgumentError
from groupsigma.sigma import TOLERANCE


@dataclass(frozen=True, eq=False)
class RewardSummary:
    """What is kept of graded rewards, per group: mean, population std, lowest, highest. float64 [groups]."""

    mean: Floats
    std: Floats
    low: Floats
    high: Floats

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Unanimous groups: high − low ≤ 1e-6 · max(1, |reward|)."""
        return self.high - self.low <= TOLERANCE * np.maximum(1.0, np.maximum(abs(self.high), abs(self.low)))


@dataclass(frozen=True)
class Intake:
    """What became of every row of a log: scorable + unscorable + refused + repeated + aside = rows, or it is an error.

    layout: whose log it was read as. unscorable: answers without a reward, of the groups kept; refused: lines that
    could not be read; repeated: further rows of an answer counted once; aside: of the split not asked for.
    filter: why such a log may lack its silent groups; "" where nothing is known to remove them. claimed: the silent
    share by step as the trainer logged it, where that was found.
    """

    layout: str
    rows: int
    scorable: int
    unscorable: int
    refused: int = 0
    repeated: int = 0
    aside: int = 0
    filter: str = ""
    claimed: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = self.scorable + self.unscorable + self.refused + self.repeated + self.aside
        if parts != self.rows:
            # A count that is wrong without a word is the one thing a reader must never give.
            raise ArgumentError("Intake", f"an account of {self.rows:,} rows", f"one of {parts:,}")


@dataclass(frozen=True, eq=False, repr=False)
class Groups:
    """Groups of answers, one row a prompt (and step).

    Three kinds of evidence, in this order of worth: counts (k of n right), rates
    (a solve rate with unknown n), graded rewards (never made 0/1 unasked).

    Attributes:
        prompt_ids: [M] labels.
        n_correct: [M] right answers, 0 ≤ n_correct ≤ n_rollouts; None for rates and graded rewards.
        n_rollouts: [M] scorable answers, ≥ 1; zeros for rates.
        step: [M] training step, or None.
        count: [M] how many problems a row stands for (or one number for all).
        rate: [M] solve rates in [0, 1], for the second kind only.
        rewards: summary of graded rewards, for the third kind only.
        n_unscorable: answers left out because no reward could be given to them.
        n_empty: groups left out because no answer could be scored.
        source, notes: where it was read and what the reader took for granted.
        intake: what became of the rows of a log, where it was one.

    >>> groups = Groups(["a", "b"], [3, 0], [8, 8])
    >>> groups.solve_rate.tolist(), groups.problems, groups.answers
    ([0.375, 0.0], 2, 16)
    """

    prompt_ids: NDArray[Any]
    n_correct: Ints | None
    n_rollouts: Ints
    step: Ints | None = None
    count: Any = 1
    rate: Floats | None = None
    rewards: RewardSummary | None = None
    n_unscorable: int = 0
    n_empty: int = 0
    source: str = ""
    notes: tuple[str, ...] = ()
    intake: Intake | None = None

    def __post_init__(self) -> None:
        who = "Groups"
        ids = np.asarray(self.prompt_ids)
        _set(self, "prompt_ids", ids)
        if self.n_correct is not None:
            k, n = checks.counts(who, self.n_correct, self.n_rollouts, ("n_correct", "n_rollouts"))
            _set(self, "n_correct", k)
        else:
            if (self.rate is None) == (self.rewards is None):
                raise ArgumentError(who, "n_correct, or a rate, or graded rewards", "none or both of the latter")
            n = checks.whole(who, "n_rollouts", self.n_rollouts, 0 if self.rate is not None else 1)
            if self.rate is not None:
                _set(self, "rate", checks.probabilities(who, self.rate, "rate"))
        _set(self, "n_rollouts", n)
        count = checks.whole(who, "count", self.count, 0)
        _set(self, "count", np.broadcast_to(count, ids.shape) if count.ndim == 0 else count)
        if self.step is not None:
            _set(self, "step", checks.whole(who, "step", self.step, 0))
        for name in ("n_correct", "n_rollouts", "count", "rate", "step"):
            value = getattr(self, name)
            if value is not None and (ids.ndim != 1 or value.shape != ids.shape):
                raise ArgumentError(
                    who, f"{name} with one entry for each prompt id", f"shape {value.shape} for ids {ids.shape}"
                )
        if not self.count.any():
            raise ArgumentError(who, "at least one group", "none", hint="every row was empty or unscorable")

    def __repr__(self) -> str:
        kind = "graded rewards" if self.graded else "counts" if self.n_correct is not None else "rates"
        where = f", {self.source}" if self.source else ""
        return f"Groups({self.problems:,} problems, {self.answers:,} answers, {kind}{where})"

    @classmethod
    def from_rewards(cls, prompt_ids: Any, rewards: Any, *, step: Any = None) -> Groups:
        """Groups from single rewards.

        Args:
            prompt_ids: [N] one label for each reward, in any order; or, with rewards as
                rows, one for each row, or None to number the rows.
            rewards: [N], or [P, G], or a list of lists of unequal length; NaN, None and
                ±inf are unscorable: left out and counted. Rewards that are all 0/1 become
                counts; any other reward keeps all of them as graded.
            step: like prompt_ids; the same prompt at another step is another group.

        Raises: ArgumentError for lengths that differ, text, or nothing scorable.

        >>> Groups.from_rewards(None, [[1, 0, None], [1, 1]]).n_rollouts.tolist()
        [2, 2]
        """
        who = "Groups.from_rewards"
        flat, sizes = _flatten(who, rewards)
        if sizes is not None:
            labels = np.arange(len(sizes)) if prompt_ids is None else np.asarray(prompt_ids)
            if len(labels) != len(sizes):
                raise ArgumentError(who, "one prompt id for each row", f"{len(labels)} ids, {len(sizes)} rows")
            if step is not None and len(step) != len(sizes):
                raise ArgumentError(who, "one step for each row", f"{len(step)} steps, {len(sizes)} rows")
            prompt_ids = np.repeat(labels, sizes)
            step = None if step is None else np.repeat(np.asarray(step), sizes)
        if prompt_ids is None or len(prompt_ids) != len(flat):
            got = "no ids" if prompt_ids is None else f"{len(prompt_ids)} ids"
            raise ArgumentError(who, "one prompt id for each reward", f"{got}, {len(flat)} rewards")
        codes, ids = arrays.factorize(prompt_ids)
        steps: Any = None
        if step is not None:
            at = checks.whole(who, "step", step, 0)
            if at.shape != flat.shape:
                raise ArgumentError(who, "one step for each reward", f"{at.size} steps, {len(flat)} rewards")
            pairs, codes = np.unique(np.stack([at, codes]), axis=1, return_inverse=True)
            steps, ids = pairs[0], ids[pairs[1]]
        live = np.isfinite(flat)
        binary = bool(np.isin(flat[live], (0.0, 1.0)).all())
        fold = arrays.by_code(codes[live], len(ids), np)
        r = flat[live]
        n = fold.total(np.ones_like(r)).astype(np.int64)
        full = n > 0
        safe = np.maximum(n, 1)
        mean = fold.total(r) / safe
        kept: dict[str, Any] = dict(
            prompt_ids=ids[full],
            n_rollouts=n[full],
            step=None if steps is None else steps[full],
            n_unscorable=int((~live).sum()),
            n_empty=int((~full).sum()) + (0 if sizes is None else int((sizes == 0).sum())),
        )
        if binary:
            return cls(n_correct=np.rint(mean * n).astype(np.int64)[full], **kept)
        off = r - fold.rows(mean)
        summary = RewardSummary(
            mean[full], np.sqrt(fold.total(off * off) / safe)[full], fold.bottom(r)[full], fold.top(r)[full]
        )
        return cls(n_correct=None, rewards=summary, **kept)

    @property
    def problems(self) -> int:
        """How many problems (prompt × step) the rows stand for."""
        return int(self.count.sum())

    @property
    def prompts(self) -> int | None:
        """How many different prompts come at the steps of a run; None where there are no steps."""
        return None if self.step is None else len(arrays.factorize(self.prompt_ids)[1])

    @property
    def answers(self) -> int:
        """How many scorable answers they hold; 0 when only rates are known."""
        return int((self.count * self.n_rollouts).sum())

    @property
    def graded(self) -> bool:
        """Whether the rewards are other than right or wrong."""
        return self.rewards is not None

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Unanimous groups; at given rates those of problems never or always solved."""
        if self.rewards is not None:
            return self.rewards.silent
        rate = self.solve_rate
        return np.asarray((rate == 0) | (rate == 1))

    @property
    def unseen(self) -> str:
        """Why silent groups may have been drawn although none is here; "" where one is, or nothing removes them."""
        why = self.intake.filter if self.intake is not None else ""
        return "" if not why or self.silent.any() else why

    @property
    def solve_rate(self) -> Floats:
        """k/n, or the given rate; ArgumentError for graded rewards, which have none."""
        if self.n_correct is not None:
            return self.n_correct / self.n_rollouts
        if self.rate is not None:
            return self.rate
        raise ArgumentError(
            "solve_rate",
            "right-or-wrong rewards",
            "graded rewards",
            hint="say what counts as right: Groups.from_rewards(ids, rewards >= 0.5), or --right-from 0.5",
        )

    def only(self, chosen: NDArray[np.bool_]) -> Groups:
        """Some of the rows; what was read and what became of it stays as it was.

        >>> Groups(["a", "b"], [3, 0], [8, 8]).only(np.array([False, True])).prompt_ids.tolist()
        ['b']
        """
        of = {name: getattr(self, name) for name in ("prompt_ids", "n_correct", "n_rollouts", "step", "count", "rate")}
        rows: dict[str, Any] = {name: value if value is None else value[chosen] for name, value in of.items()}
        r = self.rewards
        kept = None if r is None else RewardSummary(*(x[chosen] for x in (r.mean, r.std, r.low, r.high)))
        return replace(self, **rows, rewards=kept)

    def tally(self) -> Groups:
        """The same evidence with equal (k, n) or equal rates merged: as many rows as differ, ids dropped."""
        if self.rewards is not None:
            return self
        n = self.n_rollouts
        key = np.stack([self.n_correct, n] if self.n_correct is not None else [self.solve_rate.view(np.int64), n])
        if (key >= 0).all() and key[0].max() < 2**31 and key[1].max() < 2**31:
            packed, inverse = np.unique(key[0] << 31 | key[1], return_inverse=True)
            rows = np.stack([packed >> 31, packed & (2**31 - 1)])
        else:
            rows, inverse = np.unique(key, axis=1, return_inverse=True)
        count = np.bincount(inverse.ravel(), self.count, rows.shape[1]).astype(np.int64)
        merged: dict[str, Any] = dict(prompt_ids=np.arange(rows.shape[1]), n_rollouts=rows[1], count=count)
        if self.n_correct is not None:
            return Groups(n_correct=rows[0], **merged)
        return Groups(n_correct=None, rate=rows[0].view(np.float64), **merged)


def _flatten(who: str, rewards: Any) -> tuple[Floats, Ints | None]:
    """All rewards in a row, and the length of each group where they came as rows."""
    if isinstance(rewards, list | tuple) and rewards and isinstance(rewards[0], list | tuple | np.ndarray):
        rows = [checks.floats(who, "rewards", row).ravel() for row in rewards]
        return np.concatenate(rows), np.array([len(row) for row in rows])
    if hasattr(rewards, "detach"):
        rewards = rewards.detach().cpu().numpy()
    flat = checks.floats(who, "rewards", rewards)
    if flat.ndim == 2:
        return flat.ravel(), np.full(len(flat), flat.shape[1])
    if flat.ndim != 1:
        raise ArgumentError(who, "rewards [N], [P, G] or a list of lists", f"shape {flat.shape}")
    return flat, None


def _set(self: Groups, name: str, value: Any) -> None:
    object.__setattr__(self, name, value)
