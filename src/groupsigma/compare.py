"""Two runs, or one log under two settings, side by side: which differences are more than the draw of the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import Any

import numpy as np

from groupsigma import checks
from groupsigma.checks import Floats, Ints
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups, RewardSummary
from groupsigma.measures import QUARTERS, RATIOS, Measured, Ratio, Setting, measured
from groupsigma.resample import resampled_totals, strata_of, total
from groupsigma.splits import Method, Share

#: Bumped when a key of `Comparison.to_dict()` is renamed or changes its meaning.
SCHEMA = "groupsigma.compare/1"

#: 80 % point of the normal distribution: with this power a difference of `least_seen` is told apart.
_POWER = 0.8416212335729143
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
class Difference:
    """One quantity on both sides.

    Attributes:
        name, unit: of the quantity; "share" or "number".
        a, b: its values with their own intervals; value None where it has none (nothing was mixed).
        difference: B − A; low, high: its simultaneous interval: all differences of a comparison lie in
            theirs together with the stated confidence; None where resampling finds none.
        alone_low, alone_high: the interval of this one difference taken by itself.
        real: whether the simultaneous interval excludes 0.
        least_seen: the difference that these prompts would have told apart 80 % of the time.
    """

    name: str
    unit: str
    a: Share | None
    b: Share | None
    difference: float | None
    low: float | None
    high: float | None
    alone_low: float | None
    alone_high: float | None
    real: bool
    least_seen: float | None


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        common: prompts on both sides, resampled together; paired: whether they are all.
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
        """The numbers that --fail-on can name: <quantity>_a, _b, _difference, _low, _high and _real (0 or 1)."""
        named: dict[str, float | None] = {}
        for d in (*self.differences, *self.quarters):
            if "-" in d.name:
                continue  # a band: read it from the JSON
            parts = dict(a=d.a and d.a.value, b=d.b and d.b.value, difference=d.difference, low=d.low, high=d.high)
            named |= {f"{d.name}_{part}": value for part, value in parts.items()}
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
    two share cancels. Real means: 0 is outside an interval that holds for all quantities at once
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
    for side in (a, b):
        if not isinstance(side, Groups):
            hint = "load(path) or Groups.from_rewards(ids, rewards)"
            raise ArgumentError("compare", "Groups", repr(side)[:60], hint=hint)
    if not isinstance(rng, np.random.Generator):
        raise ArgumentError("compare", "a numpy.random.Generator as rng", repr(rng)[:60])
    draws, inside = int(checks.whole("compare", "resamples", resamples, 100)), checks.fraction("compare", "level", level)
    if price is not None and not (isfinite(price) and price > 0):
        raise ArgumentError("compare", "a price above 0", repr(price))
    # Bands of k/n compare like with like only on equally many answers.
    n = min(int(np.bincount(side.n_rollouts, side.count).argmax()) for side in (a, b))
    found = [measured(side, setting, max(n, 1)) for side, setting in zip((a, b), settings, strict=True)]
    ratios = [r for r in RATIOS if all(r.top in f.sums and r.bottom in f.sums for f in found)]
    if price is not None:
        ratios.insert(5, Ratio("cost_per_1000_mixed_groups", "answers", "mixed", price, "number"))
    timed = a is not b and a.step is not None and b.step is not None and not any(s.solved for s in settings)
    quarters = list(QUARTERS) if timed else []
    names = sorted({part for r in ratios for part in (r.top, r.bottom)} | {"groups"})
    sides = [_columns(side, f, names, timed) for side, f in zip((a, b), found, strict=True)]
    strata, prompts, common = strata_of(a, b, (sides[0][0], sides[1][0]), (sides[0][1], sides[1][1]))
    names += [part for r in quarters for part in (r.top, r.bottom)]
    every = [*ratios, *quarters]
    now = _values(total(strata)[None], names, every)
    drawn = _values(resampled_totals(strata, draws, rng), names, every)
    # One log under one dial or two: what is equal there is equal in every draw of it.
    worth = _worth(total(strata), names, every, prompts) if a is not b else np.zeros((2, len(every)))
    few = np.sqrt(min(prompts) / (min(prompts) - 1)) if min(prompts) > 1 else np.inf
    critical, differences = _told_apart(every, now[:, 0], drawn, worth, few, inside)
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
    here = groups.step > last - part * (last - first + 1)
    rows = groups.prompt_ids.shape

    def cut(value: Any) -> Any:
        if isinstance(value, RewardSummary):
            return RewardSummary(**{f.name: getattr(value, f.name)[here] for f in fields(value)})
        return value[here] if isinstance(value, np.ndarray) and value.shape == rows else value

    return replace(groups, **{f.name: cut(getattr(groups, f.name)) for f in fields(groups)})


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


def _values(totals: Floats, names: Sequence[str], ratios: Sequence[Ratio]) -> Floats:
    """Every quantity of both sides, [2, resamples, quantities]; NaN or inf where its denominator is nothing."""
    at = {name: i for i, name in enumerate(names)}
    sides = np.stack(np.split(totals, 2, axis=1))
    top, bottom = sides[..., [at[r.top] for r in ratios]], sides[..., [at[r.bottom] for r in ratios]]
    nothing = bottom <= 1e-12 * np.maximum(sides[..., [at["groups"]]], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nothing, np.nan, top / bottom * [r.factor for r in ratios])


def _worth(totals: Floats, names: Sequence[str], ratios: Sequence[Ratio], prompts: Sequence[int]) -> Floats:
    """By how much one prompt's groups, all of them silent or mixed instead, move each quantity; [2, quantities]."""
    at = {name: i for i, name in enumerate(names)}
    out = np.zeros((2, len(ratios)))
    for side, sums in enumerate(np.split(totals, 2)):
        for i, r in enumerate(ratios):
            whole = sums[at["groups"]] if not r.bottom.startswith("groups_") else sums[at[r.bottom]]
            one, bottom = whole / prompts[side], sums[at[r.bottom]]
            if bottom > 0 and (r.bottom.startswith("groups") or r.bottom == "answers") and r.top != "sigma":
                out[side, i] = r.factor * one / bottom
            elif bottom > 0 and r.top == "answers":
                out[side, i] = r.factor * sums[at[r.top]] / bottom * one / bottom * (r.bottom == "mixed")
    return out


def _told_apart(
    ratios: Sequence[Ratio], now: Floats, drawn: Floats, worth: Floats, few: float, level: float
) -> tuple[float, list[Difference]]:
    """Intervals of each side, of each difference, and of all differences together; now [2, q], drawn [2, r, q]."""
    difference, moved = now[1] - now[0], drawn[1] - drawn[0]
    with np.errstate(invalid="ignore"):
        error = np.maximum(moved.std(0) * few, np.hypot(*worth))
        off = np.abs(moved - difference)
        live = np.isfinite(error) & (error > 1e-12 * np.maximum(1, np.abs(difference)))
        t = off[:, live] / error[live] * few
    z = _normal(level)
    critical = max(z, float(np.quantile(t.max(1), level))) if live.any() else z
    tail = (1 - level) / 2
    out = []
    for i, r in enumerate(ratios):
        sides = [_own(now[s, i], drawn[s, :, i], z * worth[s, i], tail, r.unit) for s in (0, 1)]
        d = float(difference[i])
        known, half = isfinite(d), float(error[i])
        held = known and isfinite(half)
        half = half if held and live[i] else 0.0
        out.append(
            Difference(
                name=r.name,
                unit=r.unit,
                a=sides[0],
                b=sides[1],
                difference=d if known else None,
                low=d - critical * half if held else None,
                high=d + critical * half if held else None,
                alone_low=d - z * half if held else None,
                alone_high=d + z * half if held else None,
                real=held and abs(d) > critical * half and abs(d) > 1e-12,
                least_seen=(critical + _POWER) * half if held else None,
            )
        )
    return critical, out


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def _own(value: float, drawn: Floats, least: float, tail: float, unit: str) -> Share | None:
    """A side's own value with the middle of its resamples, at least one prompt's worth wide."""
    if not isfinite(value):
        return None
    if not np.isfinite(drawn).all():
        return Share(float(value))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    low, high = max(0.0, min(low, value - least)), max(high, value + least)
    return Share(float(value), float(low), float(min(1.0, high) if unit == "share" else high))


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
    why = "rows stand for several problems" if (a.count != 1).any() or (b.count != 1).any() else "no id is on both sides"
    return [f"unpaired ({why}): a difference can be that of the prompts"]
