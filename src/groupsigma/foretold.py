"""What could be said of each group of a run before it came: from its prompt's earlier groups, or the run so far."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from groupsigma import arrays
from groupsigma.bands import INTERIOR, band_of
from groupsigma.checks import Floats, Ints
from groupsigma.dial import Dial
from groupsigma.drift import MOVES, RECENT, Walks
from groupsigma.groups import Groups
from groupsigma.law import expected_gain, out_of_reach
from groupsigma.mixture import mixture, probability
from groupsigma.sigma import gain

#: (most prompts that come again, their steps, points of the grid): what memory of 270 MB and a minute allow.
_MEANS = ((15_000, MOVES, 101), (300_000, ((0.2, 0.0),), 101), (800_000, ((0.2, 0.0),), 41))


@dataclass(frozen=True, eq=False)
class Foretold:
    """For each row, before it came: NaN where nothing was known (the first step).

    Attributes:
        all_right, all_wrong, out_of_reach: predicted chances, float64 [rows].
        met: [rows] whether the prompt had come at an earlier step.
        gradient, gradient_predicted: gain by band of INTERIOR, realised and expected, float64 [rows, bands].
        p, after: the grid [J]; what is believed of the prompts of the rows asked for once all is seen, [rows, J].
        note: what was done more cheaply, "" for nothing.
    """

    all_right: Floats
    all_wrong: Floats
    out_of_reach: Floats
    met: NDArray[np.bool_]
    gradient: Floats
    gradient_predicted: Floats
    p: Floats
    after: Floats
    note: str = ""

    @property
    def silent(self) -> Floats:
        """[rows] predicted chance of a silent group."""
        return self.all_right + self.all_wrong


def foretold(groups: Groups, dial: Dial, ahead: Ints) -> Foretold:
    """Every step of a log foreseen from the steps before it.

    A prompt that came before: its own belief, `drift.Walks`. Another: the spread of solve rates fitted to the last
    1,024 groups before the step. Beliefs after a group spread its gain over the bands of difficulty: averaged
    over outcomes that gives what was foreseen. Groups of one step see nothing of each other.

    Args: groups: counts with steps, one group a row; ahead: rows of whose prompts `after` is wanted.
    """
    assert groups.n_correct is not None and groups.step is not None
    k, n, step = groups.n_correct, groups.n_rollouts, groups.step
    codes, ids = arrays.factorize(groups.prompt_ids)
    first = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(first, codes, step)
    met = step > first[codes]
    again = np.zeros(len(ids), dtype=bool)
    again[codes[met]] = True
    own = met
    means = next((m for m in _MEANS if again.sum() <= m[0]), None)
    note = "" if means is _MEANS[0] else _cheaper(int(again.sum()), means)
    if means is None:
        again[:], own, means = False, np.zeros_like(met), (0, MOVES[:1], 101)
    _, moves, points = means
    walks, row = Walks(int(again.sum()), moves, points), np.cumsum(again) - 1
    laws, rows = _Laws(walks.p, dial), len(k)
    out = {name: np.full(rows, np.nan) for name in ("all_right", "all_wrong", "out_of_reach")}
    mass, expected = np.zeros((rows, len(INTERIOR))), np.full((rows, len(INTERIOR)), np.nan)
    curve = None
    order = np.argsort(step, kind="stable")
    edges = np.flatnonzero(np.r_[True, np.diff(step[order]) > 0, True])
    for low, high in pairwise(edges):
        here = order[low:high]
        new, walking = here[~own[here]], again[codes[here]]
        if curve is not None and len(new):
            laws.foresee(new, np.broadcast_to(curve, (len(new), points)), n, out, expected)
        if len(new):
            recent = order[max(0, high - RECENT) : high]
            # With this step in it: even the first prompts start from what their batch is like.
            fit = mixture(Groups(recent, k[recent], n[recent]).tally(), points=points).weight
            curve = np.maximum(fit, 1e-12)
            fresh = np.unique(row[codes[new[again[codes[new]]]]])
            walks.meet(fresh, curve)
        if walking.any():
            mine = here[walking]
            distinct, which = np.unique(row[codes[mine]], return_inverse=True)
            right, size = (np.bincount(which, x[mine], len(distinct)).astype(np.int64) for x in (k, n))
            seen = walks.visit(distinct, right, size)
            known = own[mine]
            laws.foresee(mine[known], seen.before[which[known]], n, out, expected)
            mass[mine] = laws.spread(k[mine], n[mine], seen.after[which])
        if not walking.all():
            once = here[~walking]
            assert curve is not None
            mass[once] = laws.spread(k[once], n[once], laws.posterior(curve, k[once], n[once]))
    after = np.empty((len(ahead), points))
    walking = again[codes[ahead]]
    after[walking] = walks.now(row[codes[ahead[walking]]])
    if curve is not None:
        after[~walking] = laws.posterior(curve, k[ahead[~walking]], n[ahead[~walking]])
    return Foretold(**out, met=met, gradient=mass, gradient_predicted=expected, p=walks.p, after=after, note=note)


class _Laws:
    """The closed forms on one grid, each group size computed once."""

    def __init__(self, p: Floats, dial: Dial) -> None:
        self.p, self.dial = p, dial
        self.asleep = out_of_reach(p)
        self.bands = np.eye(len(INTERIOR))[band_of(p)]
        self.whole = dial.spread != "batch"
        self._gain: dict[int, Floats] = {}

    def foresee(self, rows: Ints, belief: Floats, n: Ints, out: dict[str, Floats], expected: Floats) -> None:
        """Enter what rows with these beliefs [rows, J] will be."""
        out["out_of_reach"][rows] = belief @ self.asleep
        for size in np.unique(n[rows]).tolist():
            same = n[rows] == size
            at = rows[same]
            out["all_right"][at] = belief[same] @ self.p**size
            # A group of one is silent; it is counted right or wrong once.
            out["all_wrong"][at] = belief[same] @ (1 - self.p) ** size
            if self.whole:
                if size not in self._gain:
                    self._gain[size] = expected_gain(self.p, size, self.dial)
                expected[at] = (belief[same] * self._gain[size]) @ self.bands

    def spread(self, k: Ints, n: Ints, belief: Floats) -> Floats:
        """Realised gain over bands, as these beliefs after the group have it, [rows, bands]."""
        if not self.whole:
            return np.zeros((len(k), len(INTERIOR)))
        return np.asarray(gain(k, n, self.dial)[:, None] * (belief @ self.bands))

    def posterior(self, curve: Floats, k: Ints, n: Ints) -> Floats:
        """The population's curve after k of n, [rows, J]."""
        if not len(k):
            return np.zeros((0, len(self.p)))
        pairs, which = np.unique(np.stack([k, n]), axis=1, return_inverse=True)
        joint = curve * probability(pairs[0], pairs[1], self.p)
        return np.asarray((joint / joint.sum(1, keepdims=True))[which])


def _cheaper(prompts: int, means: tuple[object, object, object] | None) -> str:
    if means is None:
        return (
            f"{prompts:,} prompts come again, too many to keep a belief of each: all predictions are the population's"
        )
    return f"{prompts:,} prompts come again: beliefs are kept with one step for all, not a pace for each"
