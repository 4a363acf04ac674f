"""How groups of a size divide into all right, all wrong, equal and mixed: four ways to know, each labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from groupsigma import arrays
from groupsigma.bounds import Region
from groupsigma.checks import Floats
from groupsigma.estimate import mean_over_prompts, pass_hat_k
from groupsigma.groups import Groups
from groupsigma.law import silent_rate
from groupsigma.mixture import Mixture

#: 97.5 % point of the normal distribution, for intervals over problems.
_Z = 1.959963984540054

Method = Literal["logged", "unbiased", "estimated", "plug-in"]


@dataclass(frozen=True)
class Share:
    """A share of groups with its 95 % interval; low = high = None where none is given."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Split:
    """All groups: all_right + all_wrong + equal_partial + mixed = 1; silent is the first three.

    method: "logged" (each problem's own answers as one group), "unbiased" (all draws of G of the
    logged answers; interval over problems), "estimated" (the fitted spread of solve rates; the interval
    holds every spread that fits, up to the `ceiling`), "plug-in" (k/n as if it were p: reads silence too high).
    problems: the share of problems it rests on.
    """

    method: Method
    group_size: int | None
    all_right: Share
    all_wrong: Share
    equal_partial: Share
    mixed: Share
    silent: Share
    problems: float = 1.0


def has_visits(groups: Groups) -> bool:
    """Whether prompts occur in several rows, each row one visit."""
    if groups.rewards is not None or (groups.count != 1).any():
        return False
    return len(set(groups.prompt_ids.tolist())) < len(groups.prompt_ids)


def logged(groups: Groups) -> Split | None:
    """Each problem's answers as one group; None for bare rates."""
    if groups.rewards is not None:
        silent, high = groups.rewards.silent, groups.rewards.high
        right, wrong = silent & (high == 1), silent & (high == 0)
        return _over_problems("logged", None, right, wrong, silent & ~right & ~wrong, groups)
    if groups.n_correct is None:
        return None
    k, n = groups.n_correct, groups.n_rollouts
    return _over_problems("logged", None, k == n, k == 0, np.zeros(len(k)), groups)


def plug_in(tally: Groups, G: int) -> Split:
    """The formula at the solve rates as they stand."""
    p = tally.solve_rate
    weight = tally.count / tally.count.sum()
    return _exact("plug-in", G, float(weight @ p**G), float(weight @ (1 - p) ** G))


def unbiased(groups: Groups, G: int) -> Split | None:
    """From the problems with at least G answers; None where there is none."""
    enough = groups.n_rollouts >= G
    if groups.n_correct is None or not enough.any():
        return None
    kept = groups.only(enough)
    assert kept.n_correct is not None
    k, n = kept.n_correct, kept.n_rollouts
    right, wrong = pass_hat_k(k, n, G), pass_hat_k(n - k, n, G)
    coverage = kept.problems / groups.problems
    return _over_problems("unbiased", G, right, wrong, np.zeros(len(k)), kept, coverage)


def ceiling(groups: Groups) -> float:
    """What silence at more answers than the least logged is at most: it falls with G.

    The upper end of the unbiased share at that least n, which has its own 95 %; 1 where groups of one or bare rates
    say nothing.
    """
    least = int(groups.n_rollouts.min())
    found = unbiased(groups, least) if least > 1 else None
    return 1.0 if found is None or found.silent.high is None else found.silent.high


def estimated(spread: Mixture, G: int, where: Region | None = None, most: float = 1.0) -> Split:
    """From the fitted spread, any G; with a region the silent share gets the interval that it allows, up to `most`."""
    right, wrong = float(spread.weight @ spread.p**G), float(spread.weight @ (1 - spread.p) ** G)
    split = _exact("estimated", G, right, wrong)
    if where is None:
        return split
    low, high = where.interval(silent_rate(where.p, G))
    high = max(min(high, most), split.silent.value)
    silent = Share(split.silent.value, max(0.0, min(low, split.silent.value)), min(1.0, high))
    mixed = Share(split.mixed.value, 1 - (silent.high or 0.0), 1 - (silent.low or 0.0))
    return Split("estimated", G, split.all_right, split.all_wrong, split.equal_partial, mixed, silent)


def speaks_for_all(split: Split | None) -> bool:
    """Whether an unbiased split rests on at least half of the problems: those with many answers can differ."""
    return split is not None and split.problems >= 0.5


def _exact(method: Method, G: int, right: float, wrong: float) -> Split:
    silent = min(1.0, right + wrong) if G > 1 else 1.0
    return Split(method, G, Share(right), Share(wrong), Share(0.0), Share(1 - silent), Share(silent))


def _over_problems(
    method: Method, G: int | None, right: Floats, wrong: Floats, partial: Floats, groups: Groups, coverage: float = 1.0
) -> Split:
    """Averages over problems with intervals over prompts."""

    def share(x: Floats) -> Share:
        value, error = mean_over_prompts(x, groups)
        if np.isnan(error):
            return Share(value)
        prompts = groups.problems if (groups.count != 1).any() else len(arrays.factorize(groups.prompt_ids)[1])
        if prompts * value * (1 - value) >= 10:
            return Share(value, max(0.0, value - _Z * error), min(1.0, value + _Z * error))
        # Near 0 or 1 the normal interval collapses; Wilson's for a yes-or-no of the same mean does not.
        middle = (value + _Z**2 / (2 * prompts)) / (1 + _Z**2 / prompts)
        half = _Z * float(np.sqrt(value * (1 - value) / prompts + _Z**2 / (4 * prompts**2))) / (1 + _Z**2 / prompts)
        return Share(value, max(0.0, middle - half), min(1.0, middle + half))

    right, wrong, partial = right * 1.0, wrong * 1.0, partial * 1.0
    silent = right + wrong + partial
    return Split(method, G, share(right), share(wrong), share(partial), share(1 - silent), share(silent), coverage)
