"""What a running training believes of each prompt's solve rate, so that silence can be foretold.

Beliefs about the prompts met so far; a prompt not met yet is as the population is believed to be today.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from groupsigma import checks
from groupsigma.bands import INTERIOR, banded
from groupsigma.belief import Beliefs, Drift
from groupsigma.checks import Floats, Ints
from groupsigma.dial import Dial
from groupsigma.drift import RECENT
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.law import expected_gain
from groupsigma.metrics import Scored
from groupsigma.mixture import mixture
from groupsigma.odds import grid, start_curve
from groupsigma.sigma import gain

#: A run's own drift: the population is fitted to the last groups, not learned from all beliefs.
DRIFT = Drift(learn=0.0)

#: Finer than a plan needs: shifts along the grid, a little at every step, widen beliefs by its spacing.
POINTS = 97


@dataclass(frozen=True)
class Foresight:
    """What is expected of groups not drawn yet: chances to be all right and all wrong, and where the update goes.

    Attributes: all_right, all_wrong: float64 [M]; share: expected share of gradient by band, in the order of INTERIOR.
    """

    all_right: Floats
    all_wrong: Floats
    share: Floats

    @property
    def silent(self) -> Floats:
        """[M] chance that the group teaches nothing."""
        return self.all_right + self.all_wrong


class Tracker:
    """Beliefs that grow with the prompts met.

    Args: beliefs: what is known before the run, from `Beliefs.of_groups` or `Beliefs.about`; None: nothing.

    >>> tracker = Tracker()
    >>> tracker.observe(["a", "b"], [0, 8], [8, 8], step=1)
    >>> bool(tracker.foresee(["a"], [8]).silent[0] > tracker.foresee(["c"], [8]).silent[0])
    True
    """

    def __init__(self, beliefs: Beliefs | None = None) -> None:
        self.beliefs = beliefs
        #: Called with every batch of groups: prompt ids, what their answers got, the step.
        self.listeners: list[Callable[[Sequence[Any], Scored, int], None]] = []
        self._number: dict[Any, int] = {}
        if beliefs is not None:
            self.beliefs = replace(beliefs, drift=replace(beliefs.drift, learn=0.0))
            self._number = {label: i for i, label in enumerate(beliefs.prompt_ids.tolist())}
        self._recent = np.zeros((2, 0), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._number)

    def about(self, prompt_ids: Sequence[Any]) -> Beliefs:
        """Beliefs about these prompts alone, all different, in their order: what `plan` takes."""
        if self.beliefs is None:
            return Beliefs.about(prompt_ids, drift=DRIFT)
        known, weight = self._look_up(prompt_ids)
        own = self.beliefs
        seen, recent = np.zeros(len(weight)), np.zeros(len(weight))
        met = known >= 0
        seen[met], recent[met] = own.seen[known[met]], own.recent[known[met]]
        fresh = Beliefs.about(prompt_ids, drift=own.drift, points=weight.shape[1])
        return replace(
            fresh, weight=weight, spread=own.spread, seen=seen, recent=recent, wander=own.wander, step=own.step
        )

    def foresee(self, prompt_ids: Sequence[Any], n: Sequence[int] | Ints, dial: Dial | None = None) -> Foresight:
        """What groups of n answers to these prompts will be, before they are drawn.

        Args: prompt_ids [M]; n [M] answers of each; dial: whose update the shares are of, None leaves them 0.
        """
        sizes = checks.whole("foresee", "n", n, 1)
        weight = np.tile(start_curve(None, POINTS), (len(prompt_ids), 1))
        if self.beliefs is not None:
            weight = self._look_up(prompt_ids)[1]
        p = _points(weight)
        every = sizes[:, None]
        right, wrong = (weight * p**every).sum(1), (weight * (1 - p) ** every).sum(1)
        share = np.zeros(len(INTERIOR))
        if dial is not None and dial.spread != "batch":
            mass = np.zeros(len(p))
            for size in np.unique(sizes):
                mass += weight[sizes == size].sum(0) * expected_gain(p, int(size), dial)
            share = banded(mass, p)
        return Foresight(right, wrong, share)

    def observe(self, prompt_ids: Sequence[Any], k: Sequence[int] | Ints, n: Sequence[int] | Ints, step: int) -> None:
        """Count k right of n answers to each prompt, given at this step; a prompt may come twice."""
        right, sizes = checks.counts("observe", k, n, ("k", "n"))
        if len(prompt_ids) != len(sizes):
            raise ArgumentError("observe", "k and n for each prompt id", f"{len(prompt_ids)} ids, {len(sizes)} n")
        if not len(sizes):
            return
        new = [i for i in dict.fromkeys(prompt_ids) if i not in self._number]
        self._recent = np.hstack([self._recent, [right, sizes]])[:, -RECENT:]
        # Fitted with this batch in it, so that even the first prompts start from what the batch is like.
        today = mixture(Groups(np.arange(self._recent.shape[1]), *self._recent).tally())
        if self.beliefs is None:
            self.beliefs = replace(Beliefs.about(new, spread=today, drift=DRIFT, points=POINTS), step=step)
        else:
            aged = self.beliefs.advance(max(step, self.beliefs.step))
            aged = replace(aged, spread=start_curve(today, aged.weight.shape[1]))
            self.beliefs = _joined(aged, new) if new else aged
        self._number.update(zip(new, range(len(self._number), len(self._number) + len(new)), strict=True))
        rows = np.array([self._number[i] for i in prompt_ids], dtype=np.int64)
        self.beliefs = self.beliefs.observe(rows, right, sizes)

    def visit(
        self,
        prompt_ids: Sequence[Any],
        scored: Scored,
        sizes: Sequence[int] | Ints,
        *,
        dial: Dial,
        step: int,
        weight: Floats | None = None,
    ) -> dict[str, float]:
        """Foresee a batch of groups, count what came, and say both: the `group/…` numbers of a trainer's log.

        Args:
            prompt_ids: [M], the groups' prompts. scored: what their answers got. sizes: [M] answers asked for.
            dial: whose update the shares are of. weight: [M] how a group counts in the loss; None: all the same.
        """
        for hear in self.listeners:
            hear(prompt_ids, scored, step)
        told = scored.metrics()
        if scored.right is None:
            return told
        expected = None
        if self.beliefs is not None:  # Before the first batch nothing is known, and nothing foretold.
            expected = self.foresee(prompt_ids, sizes, dial)
            told["group/silent_predicted"] = float(expected.silent.mean())
            told["group/all_right_predicted"] = float(expected.all_right.mean())
            told["group/all_wrong_predicted"] = float(expected.all_wrong.mean())
        some = np.flatnonzero(scored.n)
        met = [prompt_ids[i] for i in some.tolist()]
        self.observe(met, scored.right[some], scored.n[some], step)
        if dial.spread != "batch":
            mass = gain(scored.right[some], scored.n[some], dial) * (1.0 if weight is None else weight[some])
            for at, (name, share) in enumerate(zip(INTERIOR, self.share(met, mass), strict=True)):
                told[f"group/gradient_share/{name}"] = float(share)
                if expected is not None:
                    told[f"group/gradient_share_predicted/{name}"] = float(expected.share[at])
        return told

    def share(self, prompt_ids: Sequence[Any], gain: Floats) -> Floats:
        """Share of the update by difficulty band: each prompt's gain is spread as its solve rate is believed to be.

        Beliefs after the visit are the fair measure: averaged over outcomes they give what was foreseen.
        """
        if self.beliefs is None:
            return np.zeros(len(INTERIOR))
        weight = self._look_up(prompt_ids)[1]
        return banded(gain @ weight, _points(weight))

    def state(self) -> dict[str, Any]:
        """Plain arrays and numbers for a checkpoint; {} before the first answer."""
        if self.beliefs is None:
            return {}
        ids = self.beliefs.prompt_ids.tolist()
        # Labels of one kind need no objects; 1 beside "1" do.
        labels = np.array(ids) if len(set(map(type, ids))) == 1 else self.beliefs.prompt_ids
        return {**self.beliefs.state(), "prompt_ids": labels, "counts": self._recent}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Tracker:
        """The tracker again, bit for bit."""
        tracker = cls(Beliefs.from_state(state) if state else None)
        tracker._recent = np.asarray(state.get("counts", tracker._recent))
        return tracker

    def _look_up(self, prompt_ids: Sequence[Any]) -> tuple[Ints, Floats]:
        """Row number of each prompt, −1 for one not met; and its row of probabilities."""
        assert self.beliefs is not None
        known = np.array([self._number.get(i, -1) for i in prompt_ids], dtype=np.int64)
        return known, np.where(known[:, None] >= 0, self.beliefs.weight[known], self.beliefs.spread)


def _points(weight: Floats) -> Floats:
    return grid(weight.shape[1])[1]


def _joined(beliefs: Beliefs, new: Sequence[Any]) -> Beliefs:
    """The same beliefs with further prompts, each as the population is."""
    m = len(new)
    ids = np.empty(len(beliefs.prompt_ids) + m, dtype=object)
    ids[:] = [*beliefs.prompt_ids.tolist(), *new]
    columns = np.zeros((m, beliefs.columns.shape[1]))
    columns[:, 0] = 1.0
    return replace(
        beliefs,
        prompt_ids=ids,
        weight=np.concatenate([beliefs.weight, np.tile(beliefs.spread, (m, 1))]),
        seen=np.concatenate([beliefs.seen, np.zeros(m)]),
        recent=np.concatenate([beliefs.recent, np.zeros(m)]),
        count=np.concatenate([beliefs.count, np.ones(m, dtype=np.int64)]),
        columns=np.concatenate([beliefs.columns, columns]),
    )
