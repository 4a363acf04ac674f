"""The audit: where a set of problems teaches at a group size, and where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from groupsigma import checks, splits
from groupsigma.bands import BANDS, logged_band
from groupsigma.bounds import Region, region
from groupsigma.checks import Floats
from groupsigma.dial import DAPO, DR_GRPO, GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.law import (
    checked_rate,
    draws_per_kept_group,
    expected_gain,
    limit_gain,
    out_of_reach,
    required_group_size,
    silent_rate,
)
from groupsigma.mixture import Mixture, mixture
from groupsigma.presets import name_of
from groupsigma.splits import Share, Split

#: Bumped when a key of `Audit.to_dict()` is renamed or changes its meaning.
SCHEMA = "groupsigma.audit/1"

#: Group sizes an audit always shows beside the asked one.
SIZES = (4, 8, 16, 32, 64)

#: Larger groups than this nobody draws, and the sums over k would take minutes.
_MOST = 1_000_000


@dataclass(frozen=True)
class Band:
    """The problems of one band of solve rates, as logged, and what fresh groups of G on them would bring.

    problems: their share of all; silent: of their groups; kept_groups: their share of the mixed
    groups, which is DAPO's batch; fidelity: of their large-G update under the dial;
    gradient: their share of the whole update, by rule. None where the band is empty.
    """

    name: str
    problems: float
    silent: float | None
    kept_groups: float
    fidelity: float | None
    gradient: Mapping[str, float]


@dataclass(frozen=True)
class Audit:
    """What `audit` found; every number that the screen shows, and more.

    Attributes:
        prompts: how many different prompts these are, where one may come at several steps; else None.
        problems, answers: problems and scorable answers read; unscorable: answers left out;
            unscored_problems: problems without any scorable answer.
        answers_per_problem: (least, mean, most), zeros where only rates are known.
        logged, unbiased, estimated, plugin: how groups divide, four ways to know; None where one cannot.
        checked: with a checker that errs as stated; None for an exact one.
        sizes: the best of them at a few group sizes; empty for graded rewards.
        bands: by k/n as logged; what fresh groups bring is by each problem's posterior.
        fidelity: the expected update at G over its large-G limit under the dial, all problems.
        required_group_size: smallest G with GRPO fidelity ≥ .95 for 90 % of the problems solved sometimes as
            logged; required_is_least: it is that of the hardest rate n answers can show, so at least this.
        never, always: shares of problems as logged; not statements about p.
        silent_of_the_rest: silent share at G among the problems logged as solved sometimes.
        out_of_reach: estimated share of problems whose groups of 64 are silent at least 95 % of the time: no
            group size in reach wakes them; by the fitted spread, not by k = 0.
        draws_per_kept_group: dynamic sampling's cost, groups drawn one by one; None if it never ends.
        unseen: why silent groups may have been drawn although none is logged; "" where nothing says so.
        strain: of the region behind an estimated interval (see `Region`); None where there is none.
    """

    source: str
    group_size: int
    dial: str
    formula: str
    problems: int
    prompts: int | None
    answers: int
    unscorable: int
    unscored_problems: int
    answers_per_problem: tuple[int, float, int]
    logged: Split | None
    unbiased: Split | None
    estimated: Split | None
    plugin: Split | None
    checked: Split | None
    sizes: tuple[Split, ...]
    bands: tuple[Band, ...]
    never: float | None
    always: float | None
    silent_of_the_rest: float | None
    out_of_reach: Share | None
    fidelity: float | None
    required_group_size: int | None
    required_is_least: bool
    draws_per_kept_group: float | None
    mean_reward: float
    unseen: str
    strain: float | None
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """What is counted: a group where prompts come several times, else a problem."""
        return "problem" if self.prompts is None or self.prompts == self.problems else "group"

    @property
    def best(self) -> Split:
        """The split to believe at G: unbiased from at least half of the problems, else estimated, else plug-in."""
        for split in (self.unbiased if splits.speaks_for_all(self.unbiased) else None, self.estimated, self.plugin):
            if split is not None:
                return split
        assert self.logged is not None
        return self.logged

    def metrics(self) -> dict[str, float]:
        """The numbers that --fail-on can name, all as float; those unknown here are left out."""
        best = self.best
        draws = float("inf") if self.draws_per_kept_group is None else self.draws_per_kept_group
        named: dict[str, float | None] = {
            "silent": best.silent.value,
            "all_right": best.all_right.value,
            "all_wrong": best.all_wrong.value,
            "equal_partial": best.equal_partial.value,
            "mixed": best.mixed.value,
            "silent_low": best.silent.low,
            "silent_high": best.silent.high,
            "silent_checked": self.checked.silent.value if self.checked else None,
            "silent_plugin": self.plugin.silent.value if self.plugin else None,
            "silent_logged": self.logged.silent.value if self.logged else None,
            "never": self.never,
            "always": self.always,
            "out_of_reach": self.out_of_reach.value if self.out_of_reach else None,
            "fidelity": self.fidelity,
            "required_group_size": self.required_group_size,
            "draws_per_kept_group": draws,
            "mean_reward": self.mean_reward,
            "unscorable": float(self.unscorable),
            "problems": float(self.problems),
        }
        return {name: float(value) for name, value in named.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the schema's name in front."""
        return {"schema": SCHEMA, **asdict(self)}


def audit(
    groups: Groups,
    *,
    group_size: int = 8,
    dial: Dial = GRPO,
    dial_name: str = "",
    false_positive: float = 0.0,
    false_negative: float = 0.0,
) -> Audit:
    """Where these problems teach at G = group_size under a dial, and where they cannot.

    Counts k of n ≥ G give unbiased numbers with an interval over problems. For larger G the spread of
    solve rates is fitted and the interval holds every spread that fits. Plug-in numbers
    (k/n as if exact) stand beside them, labelled. Graded rewards are reported as
    logged only: a solve rate needs right or wrong.

    Args:
        groups: any kind of evidence; equal rows are computed once.
        group_size: G, whole, ≥ 1.
        dial: whose expected gain and fidelity are reported; spread="batch" is refused.
        dial_name: what to call it; by default its first name in DIALS, else its formula.
        false_positive, false_negative: error rates of the checker the run will use, if these data are
            of an exact one; reported as a split of its own (`checked`).

    >>> from groupsigma.readers import load
    >>> round(audit(load("bigmath"), group_size=8).best.silent.value, 4)
    0.4307
    """
    if not isinstance(groups, Groups):
        raise ArgumentError(
            "audit", "Groups", repr(groups)[:60], hint="load(path) or Groups.from_rewards(ids, rewards)"
        )
    expect_dial("audit", dial)
    size = checks.group_sizes("audit", group_size)
    if size.ndim:
        raise ArgumentError("audit", "one group size", f"{size.size} of them")
    G = int(size)
    if G > _MOST:
        raise ArgumentError("audit", f"a group size of at most {_MOST:,}", f"{G:,}")
    tally = groups.tally()
    weight = tally.count / tally.count.sum()
    n = tally.n_rollouts
    # Visits of one prompt stray together, which only the rows with their ids can tell.
    rows = groups if splits.has_visits(groups) else tally
    common: dict[str, Any] = dict(
        source=groups.source,
        group_size=G,
        dial=dial_name or name_of(dial),
        formula=dial.formula,
        problems=groups.problems,
        prompts=groups.prompts,
        answers=groups.answers,
        unscorable=groups.n_unscorable,
        unscored_problems=groups.n_empty,
        answers_per_problem=(int(n.min()), float(weight @ n), int(n.max())),
        logged=splits.logged(rows),
        unseen=groups.unseen,
    )
    if groups.rewards is not None:
        return _graded(groups, common)
    spread = mixture(tally) if tally.n_correct is not None else None
    unbiased = splits.unbiased(rows, G)
    # The interval costs three linear programmes, so it is computed where it is the one shown.
    where = region(groups) if spread is not None and not splits.speaks_for_all(unbiased) else None
    # Without a region there is no interval to bound.
    estimated = None if spread is None else splits.estimated(spread, G, where, splits.ceiling(rows) if where else 1.0)
    p = tally.solve_rate
    belief = _Belief(tally, spread)
    inside = (p > 0) & (p < 1)
    silent = belief.of(silent_rate, G)
    limit = float(weight @ belief.of(limit_gain, dial))
    need = _required(p[inside], tally.count[inside])
    found = Audit(
        **common,
        unbiased=unbiased,
        estimated=estimated,
        plugin=splits.plug_in(tally, G),
        checked=_checked(tally, spread, G, false_positive, false_negative),
        sizes=tuple(best_at(tally, spread, g) for g in sorted({*SIZES, G})),
        bands=_bands(tally, belief, G, dial, dial_name or name_of(dial)),
        never=float(weight[p == 0].sum()),
        always=float(weight[p == 1].sum()),
        silent_of_the_rest=_ratio(float((weight * silent)[inside].sum()), float(weight[inside].sum())),
        out_of_reach=_out_of_reach(spread, where),
        fidelity=_ratio(float(weight @ belief.of(expected_gain, G, dial)), limit),
        required_group_size=need,
        required_is_least=bool(need and tally.n_correct is not None and need >= required_group_size(1 / n.max())),
        draws_per_kept_group=None,
        mean_reward=float(weight @ p),
        strain=where.strain if where is not None else None,
        notes=(*groups.notes, *_notes(tally, weight, G, where)),
    )
    return _with_draws(found)


class _Belief:
    """What fresh groups on each row's problems bring: by its posterior, or at its rate where that is all we have."""

    def __init__(self, tally: Groups, spread: Mixture | None) -> None:
        if spread is None:
            self.p, self.weight = tally.solve_rate, None
        else:
            posterior = spread.posterior(tally.n_correct, tally.n_rollouts)  # type: ignore[arg-type]
            self.p, self.weight = posterior.p, posterior.weight

    def of(self, function: Any, *arguments: Any) -> Floats:
        """E[function(p, …)] for each row."""
        values: Floats = function(self.p, *arguments)
        return values if self.weight is None else self.weight @ values


def best_at(tally: Groups, spread: Mixture | None, G: int, where: Region | None = None, most: float = 1.0) -> Split:
    """The split to believe at another G: unbiased if enough problems have G answers, else estimated, else plug-in.

    where, most: of an estimated one, see `splits.estimated`.
    """
    unbiased = splits.unbiased(tally, G)
    if unbiased is not None and splits.speaks_for_all(unbiased):
        return unbiased
    return splits.plug_in(tally, G) if spread is None else splits.estimated(spread, G, where, most)


def _out_of_reach(spread: Mixture | None, where: Region | None) -> Share | None:
    if spread is None:
        return None
    value = float(spread.weight @ out_of_reach(spread.p))
    if where is None:
        return Share(value)
    low, high = where.interval(out_of_reach(where.p))
    return Share(value, max(0.0, min(low, value)), min(1.0, max(high, value)))


def _checked(tally: Groups, spread: Mixture | None, G: int, passed: float, refused: float) -> Split | None:
    if not passed and not refused:
        return None
    if spread is not None:
        return splits.estimated(spread.checked(passed, refused), G)
    seen = Groups(
        tally.prompt_ids,
        None,
        tally.n_rollouts,
        count=tally.count,
        rate=checked_rate(tally.solve_rate, passed, refused),
    )
    return splits.plug_in(seen, G)


def _bands(tally: Groups, belief: _Belief, G: int, dial: Dial, dial_name: str) -> tuple[Band, ...]:
    p = tally.solve_rate
    weight = tally.count / tally.count.sum()
    rules = {"grpo": GRPO, "dr-grpo": DR_GRPO}
    if dial not in (*rules.values(), DAPO):
        rules[dial_name] = dial
    mass = {name: weight * belief.of(expected_gain, G, rule) for name, rule in rules.items()}
    realised, limit = weight * belief.of(expected_gain, G, dial), weight * belief.of(limit_gain, dial)
    silent = weight * belief.of(silent_rate, G)
    mixed = weight - silent
    bands = []
    band = logged_band(p)
    for number, (name, *_) in enumerate(BANDS):
        here = band == number
        gradient = {rule: _ratio(m[here].sum(), m.sum()) or 0.0 for rule, m in mass.items()}
        gradient["dapo"] = gradient["grpo"]
        share = float(weight[here].sum())
        bands.append(
            Band(
                name=name,
                problems=share,
                silent=_ratio(silent[here].sum(), share),
                kept_groups=_ratio(mixed[here].sum(), mixed.sum()) or 0.0,
                fidelity=_ratio(realised[here].sum(), limit[here].sum()),
                gradient=gradient,
            )
        )
    return tuple(bands)


def _graded(groups: Groups, common: dict[str, Any]) -> Audit:
    assert groups.rewards is not None
    unknown = "unbiased estimated plugin checked never always silent_of_the_rest out_of_reach fidelity"
    nothing: dict[str, Any] = dict.fromkeys([*unknown.split(), "required_group_size", "strain"])
    common["logged"] = splits.logged(groups)
    found = Audit(
        **common,
        **nothing,
        required_is_least=False,
        sizes=(),
        bands=(),
        draws_per_kept_group=None,
        mean_reward=float(groups.count @ groups.rewards.mean / groups.count.sum()),
        notes=(*groups.notes, "rewards are graded: groups as logged only; --right-from X says what counts as right"),
    )
    return _with_draws(found)


def _with_draws(found: Audit) -> Audit:
    draws = float(draws_per_kept_group(min(1.0, found.best.silent.value)))
    return Audit(**{**vars(found), "draws_per_kept_group": draws if isfinite(draws) else None})


def _notes(tally: Groups, weight: Floats, G: int, where: Region | None) -> list[str]:
    """How far the answers reach, and whether they are what the estimate takes them for."""
    if where is not None and where.strain:
        strained = (
            "the counts fit no spread of solve rates, so the interval is no promise: "
            "problems were filtered by these counts, or answers depend on each other"
        )
        return [strained, *_notes(tally, weight, G, None)]
    if tally.n_correct is None:
        return []
    few = float(weight[tally.n_rollouts < G].sum())
    if int(tally.n_rollouts.max()) == 1:
        return ["one answer a problem: what groups do can only be bounded"]
    if few == 1:
        return [f"no problem has G = {G} answers: estimated from the fitted spread of solve rates"]
    if few > 0.5:
        return [f"only {1 - few:.1%} of the problems have G = {G} answers: too few to speak for all, so estimated"]
    return (
        [f"{few:.1%} of the problems have fewer than G = {G} answers and are left out of the unbiased row"]
        if few
        else []
    )


def _required(p: Floats, count: Any, share: float = 0.9) -> int | None:
    """The G with which `share` of the problems solved sometimes reach fidelity .95."""
    if not len(p):
        return None
    # The farther from ½, the larger the G: one rate decides, however many there are.
    hard = np.minimum(p, 1 - p)
    order = np.argsort(-hard)
    reached = np.cumsum(count[order]) >= share * count.sum() * (1 - 1e-12)
    found = int(required_group_size(hard[order][np.argmax(reached)]))
    return found if found >= 0 else None


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
