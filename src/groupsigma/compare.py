"""Two runs, or one log under two settings, side by side: which differences are more than the draw of the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from groupsigma import checks
from groupsigma.bounds import region, silent_rate_interval
from groupsigma.checks import Floats, Ints
from groupsigma.differences import Difference, told_apart, values_of, worth_of
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.law import silent_rate
from groupsigma.measures import QUARTERS, RATIOS, Measured, Ratio, Setting, measured
from groupsigma.resample import resampled_totals, strata_of, total
from groupsigma.splits import Method

#: Bumped when a key of `Comparison.to_dict()` is renamed or changes its meaning.
SCHEMA = "groupsigma.compare/1"

#: Fewer prompts than this, and an interval over prompts is a guess.
_FEW = 20


@dataclass(frozen=True)
class Side:
    """One of the two: source, setting in words, how groups are known, what was read; chosen: share of groups kept by
    the filter on solve rates."""

    source: str
    setting: Setting
    text: str
    method: Method
    prompts: int
    problems: int
    answers: int
    chosen: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        common: prompts on both sides, resampled together; paired: whether they are all.
        silent_bounds: for a G beyond the answers, least and largest silent_B − silent_A over all spreads of solve
            rates that fit the counts; None where nothing is estimated so.
        differences: every quantity; quarters: silent share by quarter of both runs' steps, empty without steps.
        level, resamples: of the intervals; critical: standard errors that make a simultaneous one.
    """

    a: Side
    b: Side
    paired: bool
    common: int
    level: float
    resamples: int
    critical: float
    silent_bounds: tuple[float, float] | None
    differences: tuple[Difference, ...]
    quarters: tuple[Difference, ...]
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> Difference:
        """The difference of one quantity, by name."""
        for found in (*self.differences, *self.quarters):
            if found.name == name:
                return found
        raise KeyError(name)

    def metrics(self) -> dict[str, float]:
        """What --fail-on can name: <quantity>_a, _b, _difference (_ratio for "times"), _low, _high, _real (0 or 1)."""
        named: dict[str, float | None] = {}
        for d in (*self.differences, *self.quarters):
            if "-" in d.name:
                continue  # a band: read it from the JSON
            sides = {f"{d.name}_{x}": share.value for x, share in (("a", d.a), ("b", d.b)) if share is not None}
            between = "ratio" if d.unit == "times" else "difference"
            named |= {**sides, f"{d.name}_{between}": d.difference, f"{d.name}_low": d.low, f"{d.name}_high": d.high}
            named[f"{d.name}_real"] = float(d.real)
        return {name: float(value) for name, value in named.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the schema's name in front."""
        return {"schema": SCHEMA, **asdict(self)}


def compare(
    a: Groups,
    b: Groups,
    *,
    a_setting: Setting | None = None,
    b_setting: Setting | None = None,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
    price: float | None = None,
) -> Comparison:
    """Two runs side by side, or one log under two settings (pass it twice): B − A, and which differences are real.

    Prompts are resampled, each with all its visits; those on both sides together (paired), so what the
    two share cancels. Real means: no difference is outside an interval that holds for all quantities at once
    (max-|t| over the resamples), so with no difference anywhere something is called real at most
    1 − level of the time. The fitted spread behind estimated numbers is refitted in every resample, to
    first order; no standard error of a share is taken below one prompt's worth, since resampling sees nothing
    where all prompts agree.

    Args:
        a, b: any kind of evidence; the same object twice is one log, paired row by row.
        a_setting, b_setting: see `Setting`; default: groups as logged, GRPO.
        rng: the only randomness. resamples: ≥ 100. level: in (0, 1).
        price: cost of 1,000 rollouts, for the cost of 1,000 mixed groups.
    Raises: ArgumentError for what is no Groups, G on graded rewards, rates without G, or a filter that keeps nothing.
    Source: max-|t|: Romano and Wolf 2005; resampling clusters: Davison and Hinkley 1997.

    >>> from groupsigma.readers import load
    >>> big, rng = load("bigmath"), np.random.default_rng(0)
    >>> found = compare(big, big, a_setting=Setting(8), b_setting=Setting(16), rng=rng)["silent"]
    >>> round(found.difference, 3), found.real
    (-0.129, True)
    """
    settings = (a_setting or Setting(), b_setting or Setting())
    for value, kind in ((a, Groups), (b, Groups), (rng, np.random.Generator)):
        if not isinstance(value, kind):
            hint = (
                "load(path) or Groups.from_rewards(ids, rewards)" if kind is Groups else "numpy.random.default_rng(0)"
            )
            raise ArgumentError("compare", f"a {kind.__name__} there", repr(value)[:60], hint=hint)
    draws, inside = (
        int(checks.whole("compare", "resamples", resamples, 100)),
        checks.fraction("compare", "level", level),
    )
    if price is not None and not (isfinite(price) and price > 0):
        raise ArgumentError("compare", "a price above 0", repr(price))
    # Bands of k/n compare like with like only on equally many answers.
    n = min(int(np.bincount(side.n_rollouts, side.count).argmax()) for side in (a, b))
    found = [measured(side, setting, max(n, 1)) for side, setting in zip((a, b), settings, strict=True)]
    ratios = [r for r in RATIOS if all(r.top in f.sums and r.bottom in f.sums for f in found)]
    if price is not None:
        ratios.insert(5, Ratio("cost_per_1000_mixed_groups", "answers", "mixed", price, "times"))
    timed = a is not b and a.step is not None and b.step is not None and not any(s.solved for s in settings)
    quarters = list(QUARTERS) if timed else []
    names = sorted({part for r in ratios for part in (r.top, r.bottom)} | {"groups"})
    sides = [_columns(side, f, names, timed) for side, f in zip((a, b), found, strict=True)]
    strata, prompts, common = strata_of(a, b, (sides[0][0], sides[1][0]), (sides[0][1], sides[1][1]))
    names += [part for r in quarters for part in (r.top, r.bottom)]
    every = [*ratios, *quarters]
    now = values_of(total(strata)[None], names, every)
    drawn = values_of(resampled_totals(strata, draws, rng), names, every)
    # One log under one dial or two: what is equal there is equal in every draw of it.
    worth = worth_of(total(strata), names, every, prompts) if a is not b else np.zeros((2, len(every)))
    few = np.sqrt(min(prompts) / (min(prompts) - 1)) if min(prompts) > 1 else np.inf
    critical, differences = told_apart(every, now[:, 0], drawn, worth, few, inside)
    notes = list(dict.fromkeys([*_pairing(a, b, common, prompts), *found[0].notes, *found[1].notes]))
    if min(prompts) < _FEW:
        notes.append(f"{min(prompts)} prompts: too few for intervals over prompts to be trusted")
    if any(d.low is None and d.difference is not None for d in differences):
        notes.append("no interval where some resamples had no mixed group, or where there is one prompt")
    described = [
        Side(g.source, s, s.text, f.method, n, g.problems, g.answers, f.chosen)
        for g, s, f, n in zip((a, b), settings, found, prompts, strict=True)
    ]
    return Comparison(
        a=described[0],
        b=described[1],
        paired=common == max(prompts),
        common=common,
        level=inside,
        resamples=draws,
        critical=critical,
        silent_bounds=_silent_bounds((a, b), settings, found, differences[0]),
        differences=tuple(differences[: len(ratios)]),
        quarters=tuple(differences[len(ratios) :]),
        notes=tuple(notes),
    )


def latest(groups: Groups, share: float) -> Groups:
    """The groups of the last share of a run's steps.

    >>> latest(Groups(["a", "a", "b"], [1, 2, 3], [4, 4, 4], step=[1, 2, 3]), 0.4).step.tolist()
    [3]
    """
    part = checks.fraction("latest", "share", share) if share != 1 else 1.0
    if groups.step is None:
        hint = "name its column with --step"
        raise ArgumentError("latest", "groups with steps", groups.source or "groups without", hint=hint)
    first, last = int(groups.step.min()), int(groups.step.max())
    # At least the last step.
    here = groups.step - first >= min((1 - part) * (last - first + 1) - 1e-9, last - first)
    return groups.only(here)


def _columns(groups: Groups, found: Measured, names: Sequence[str], timed: bool) -> tuple[Ints, Floats]:
    """The cell of each row and the sums of each cell, split by quarter of the steps where these are compared."""
    columns = np.stack([found.sums[name] for name in names], axis=1)
    if not timed:
        return found.code, columns
    assert groups.step is not None
    first, last = int(groups.step.min()), int(groups.step.max())
    quarter = 4 * (groups.step - first) // (last - first + 1)
    silent = measured(groups, Setting()).sums["silent"] if groups.n_correct is not None else found.sums["silent"]
    by_quarter = np.zeros((len(columns), 4, 4, 2))
    for q in range(4):
        by_quarter[:, q, q] = np.stack([silent, np.ones(len(silent))], axis=1)
    wide = np.concatenate([np.repeat(columns[:, None], 4, axis=1), by_quarter.reshape(len(columns), 4, 8)], axis=2)
    return 4 * found.code + quarter, wide.reshape(4 * len(columns), -1)


def _silent_bounds(
    sides: Sequence[Groups], settings: Sequence[Setting], found: Sequence[Measured], silent: Difference
) -> tuple[float, float] | None:
    """silent_B − silent_A over all spreads that fit, where a side rests on one of them."""
    fitted = [f.method == "estimated" and s.solved is None for f, s in zip(found, settings, strict=True)]
    if not any(fitted) or silent.a is None or silent.b is None:
        return None
    sizes = [s.group_size for s in settings]
    if sides[0] is sides[1] and not any(s.solved for s in settings) and all(sizes):
        # One spread behind both, whichever it is.
        where = region(sides[0])
        p = where.p
        return where.interval(silent_rate(p, sizes[1] or 1) - silent_rate(p, sizes[0] or 1))
    ends = [
        silent_rate_interval(side, size or 1) if fit else (own.low or own.value, own.high or own.value)
        for side, size, fit, own in zip(sides, sizes, fitted, (silent.a, silent.b), strict=True)
    ]
    return ends[1][0] - ends[0][1], ends[1][1] - ends[0][0]


def _pairing(a: Groups, b: Groups, common: int, prompts: Sequence[int]) -> list[str]:
    """How the prompts of the two sides belong together."""
    if a is b:
        return ["one log under two settings: what differs is the setting, on the same prompts"]
    if common == max(prompts):
        return [f"paired: the same {common:,} prompts on both sides, resampled together"]
    if common:
        return [
            f"{common:,} prompts are on both sides and resampled together; {prompts[0] - common:,} are only in A and "
            f"{prompts[1] - common:,} only in B, so part of a difference can be that of the prompts"
        ]
    why = (
        "rows stand for several problems" if (a.count != 1).any() or (b.count != 1).any() else "no id is on both sides"
    )
    return [f"unpaired ({why}): a difference can be that of the prompts"]
