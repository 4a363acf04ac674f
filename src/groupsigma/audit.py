"""The audit: where a set of problems teaches at a group size, and where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from groupsigma import checks
from groupsigma.checks import Floats, Ints
from groupsigma.dial import DR_GRPO, GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.estimate import expected_gain_unbiased, pass_at_k, pass_hat_k
from groupsigma.groups import Groups
from groupsigma.law import (
    draws_per_kept_group,
    expected_gain,
    limit_gain,
    mixed_rate,
    required_group_size,
)
from groupsigma.presets import name_of

#: Bumped when a key of `Audit.to_dict()` is renamed or changes its meaning.
SCHEMA = "groupsigma.audit/1"

#: Difficulty bands: name, lowest, highest solve rate, whether each end belongs to it.
BANDS: tuple[tuple[str, float, float, bool, bool], ...] = (
    ("never", 0.0, 0.0, True, True),
    ("0-.1", 0.0, 0.1, False, False),
    (".1-.4", 0.1, 0.4, True, False),
    (".4-.6", 0.4, 0.6, True, True),
    (".6-.9", 0.6, 0.9, False, True),
    (".9-1", 0.9, 1.0, False, False),
    ("always", 1.0, 1.0, True, True),
)

#: Group sizes an audit always shows beside the asked one.
SIZES = (4, 8, 16, 32, 64)

#: 97.5 % point of the normal distribution, for intervals over problems.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A share of groups with its 95 % interval over problems; low = high = None where none is known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Split:
    """All groups: all_right + all_wrong + equal_partial + mixed = 1; silent is the first three.

    method: "logged", "unbiased" (draws from the logged answers), "plug-in" (k/n as if exact).
    problems: the share of problems it rests on.
    """

    method: str
    group_size: int | None
    all_right: Share
    all_wrong: Share
    equal_partial: Share
    mixed: Share
    silent: Share
    problems: float = 1.0


@dataclass(frozen=True)
class Band:
    """One band of solve rates as logged.

    problems: its share of the problems; silent: of its groups at G; kept_groups: its share of
    the mixed groups, which is DAPO's batch; fidelity: of its large-G update under the dial;
    gradient: its share of the whole update, by rule.
    """

    name: str
    problems: float
    silent: float
    kept_groups: float
    fidelity: float
    gradient: Mapping[str, float]


@dataclass(frozen=True)
class Audit:
    """What `audit` found; every number that the screen shows, and more.

    Attributes:
        problems, answers: problems and scorable answers read; unscorable: answers left out.
        answers_per_problem: (least, median, most), zeros where only rates are known.
        logged: groups as logged; None for bare rates.
        plugin, unbiased: groups of `group_size`; None where they cannot be had.
        sizes: the best split at each of a few group sizes; empty for graded rewards.
        bands: by solve rate; empty for graded rewards.
        fidelity: Σ E[gain] / Σ limit gain under the dial, over problems solved sometimes.
        required_group_size: smallest G with GRPO fidelity ≥ .95 for 90 % of those problems.
        never, always: shares of problems, as logged.
        draws_per_kept_group: dynamic sampling's cost at this data, if groups are drawn one by one.
    """

    source: str
    group_size: int
    dial: str
    formula: str
    problems: int
    answers: int
    unscorable: int
    unscored_problems: int
    answers_per_problem: tuple[int, int, int]
    logged: Split | None
    plugin: Split | None
    unbiased: Split | None
    sizes: tuple[Split, ...]
    bands: tuple[Band, ...]
    never: float | None
    always: float | None
    fidelity: float | None
    required_group_size: int | None
    draws_per_kept_group: float | None
    mean_reward: float
    notes: tuple[str, ...]

    @property
    def best(self) -> Split:
        """The split to believe at the asked group size: unbiased, else plug-in, else as logged."""
        split = _better(self.unbiased, self.plugin) or self.logged
        assert split is not None
        return split

    def metrics(self) -> dict[str, float]:
        """The numbers that --fail-on can name, all as float; those unknown here are left out."""
        best = self.best
        named: dict[str, float | None] = {
            "silent": best.silent.value,
            "all_right": best.all_right.value,
            "all_wrong": best.all_wrong.value,
            "equal_partial": best.equal_partial.value,
            "mixed": best.mixed.value,
            "silent_plugin": self.plugin.silent.value if self.plugin else None,
            "silent_logged": self.logged.silent.value if self.logged else None,
            "never": self.never,
            "always": self.always,
            "fidelity": self.fidelity,
            "required_group_size": self.required_group_size,
            "draws_per_kept_group": self.draws_per_kept_group,
            "mean_reward": self.mean_reward,
            "unscorable": float(self.unscorable),
            "problems": float(self.problems),
        }
        return {name: float(value) for name, value in named.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the schema's name in front."""
        return {"schema": SCHEMA, **asdict(self)}


def audit(groups: Groups, *, group_size: int = 8, dial: Dial = GRPO) -> Audit:
    """Where these problems teach at G = group_size under a dial, and where they cannot.

    Counts k of n ≥ G give unbiased numbers with an interval over problems; plug-in
    numbers (k/n as if exact) stand beside them, labelled. Graded rewards are
    reported as logged only: a solve rate needs right or wrong.

    Args:
        groups: any kind of evidence; equal rows are computed once.
        group_size: G, whole, ≥ 1.
        dial: whose expected gain and fidelity are reported; spread="batch" is refused.

    >>> from groupsigma.readers import load
    >>> round(audit(load("bigmath"), group_size=8).best.silent.value, 4)
    0.4307
    """
    size = checks.group_sizes("audit", group_size)
    if size.ndim:
        raise ArgumentError("audit", "one group size", f"{size.size} of them")
    G = int(size)
    tally = groups.tally()
    weight = tally.count / tally.count.sum()
    n = tally.n_rollouts
    common: dict[str, Any] = dict(
        source=groups.source,
        group_size=G,
        dial=name_of(dial),
        formula=repr(dial),
        problems=groups.problems,
        answers=groups.answers,
        unscorable=groups.n_unscorable,
        unscored_problems=groups.n_empty,
        answers_per_problem=(int(n.min()), _weighted_median(n, weight), int(n.max())),
    )
    if groups.rewards is not None:
        return _graded(groups, common)
    p = tally.solve_rate
    notes = list(groups.notes)
    if tally.n_correct is not None and (few := float(weight[n < G].sum())):
        notes.append(
            f"{few:.1%} of the problems have fewer than G = {G} answers: "
            + ("left out of the unbiased numbers" if few < 1 else "plug-in numbers only, which read silence too high")
        )
    unbiased = _unbiased(tally, G)
    plugin = _plugin(tally, G)
    best = _better(unbiased, plugin) or plugin
    inside = (p > 0) & (p < 1)
    limit = float((weight * limit_gain(p, dial)).sum())
    return Audit(
        **common,
        logged=_logged(tally),
        plugin=plugin,
        unbiased=unbiased,
        sizes=tuple(_better(_unbiased(tally, g), _plugin(tally, g)) or plugin for g in sorted({*SIZES, G})),
        bands=_bands(tally, G, dial),
        never=float(weight[p == 0].sum()),
        always=float(weight[p == 1].sum()),
        fidelity=_ratio(float((weight * _gains(tally, G, dial)).sum()), limit),
        required_group_size=_required(p[inside], tally.count[inside]),
        draws_per_kept_group=_finite_or_none(float(draws_per_kept_group(min(1.0, best.silent.value)))),
        mean_reward=float((weight * p).sum()),
        notes=tuple(notes),
    )


def _gains(tally: Groups, G: int, dial: Dial) -> Floats:
    """E[gain] of each row: without bias where it has G answers, else plugged in."""
    out = expected_gain(tally.solve_rate, G, dial)
    if tally.n_correct is not None and (enough := tally.n_rollouts >= G).any():
        out = np.array(out)
        out[enough] = expected_gain_unbiased(tally.n_correct[enough], tally.n_rollouts[enough], G, dial)
    return out


def _bands(tally: Groups, G: int, dial: Dial) -> tuple[Band, ...]:
    p = tally.solve_rate
    weight = tally.count / tally.count.sum()
    rules = {"grpo": GRPO, "dr-grpo": DR_GRPO}
    if dial not in (*rules.values(), Dial(keep="mixed")):
        rules[name_of(dial)] = dial
    mass = {name: weight * _gains(tally, G, rule) for name, rule in rules.items()}
    realised, limit = weight * _gains(tally, G, dial), weight * limit_gain(p, dial)
    mixed = weight * mixed_rate(p, G)
    if tally.n_correct is not None and (enough := tally.n_rollouts >= G).any():
        k, n = tally.n_correct[enough], tally.n_rollouts[enough]
        mixed[enough] = weight[enough] * (pass_at_k(k, n, G) - pass_hat_k(k, n, G))
    bands = []
    for name, low, high, with_low, with_high in BANDS:
        here = ((p > low) | (with_low & (p == low))) & ((p < high) | (with_high & (p == high)))
        share = float(weight[here].sum())
        gradient = {rule: _ratio(m[here].sum(), m.sum()) for rule, m in mass.items()}
        gradient["dapo"] = gradient["grpo"]
        silent = 1 - _ratio(mixed[here].sum(), share) if share else 0.0
        kept = _ratio(mixed[here].sum(), mixed.sum())
        bands.append(Band(name, share, silent, kept, _ratio(realised[here].sum(), limit[here].sum()), gradient))
    return tuple(bands)


def _better(unbiased: Split | None, plugin: Split | None) -> Split | None:
    """Unbiased where it rests on at least half of the problems: those with many answers need not be like the rest."""
    return unbiased if unbiased is not None and unbiased.problems >= 0.5 else plugin or unbiased


def _logged(tally: Groups) -> Split | None:
    if tally.n_correct is None:
        return None
    k, n = tally.n_correct, tally.n_rollouts
    return _split("logged", None, (k == n) * 1.0, (k == 0) * 1.0, tally.count)


def _plugin(tally: Groups, G: int) -> Split:
    p = tally.solve_rate
    # A group of one is all right or all wrong and never mixed.
    return _split("plug-in", G, p**G, (1 - p) ** G, tally.count, interval=False)


def _unbiased(tally: Groups, G: int) -> Split | None:
    """From the problems with at least G answers; None where there is none."""
    enough = tally.n_rollouts >= G
    if tally.n_correct is None or not enough.any():
        return None
    k, n, count = tally.n_correct[enough], tally.n_rollouts[enough], tally.count[enough]
    coverage = float(count.sum() / tally.count.sum())
    return _split("unbiased", G, pass_hat_k(k, n, G), pass_hat_k(n - k, n, G), count, coverage=coverage)


def _split(
    method: str,
    G: int | None,
    right: Floats,
    wrong: Floats,
    count: Ints,
    partial: Floats | float = 0.0,
    *,
    interval: bool = True,
    coverage: float = 1.0,
) -> Split:
    """Average the three kinds of silence over problems, each row standing for `count` of them."""
    problems = int(count.sum())
    weight = count / problems

    def share(x: Floats) -> Share:
        value = float((weight * x).sum())
        if not interval or problems < 2:
            return Share(value)
        error = _Z * float(np.sqrt((weight * (x - value) ** 2).sum() / (problems - 1)))
        return Share(value, max(0.0, value - error), min(1.0, value + error))

    partial = partial + np.zeros(len(count))
    silent = right + wrong + partial
    return Split(method, G, share(right), share(wrong), share(partial), share(1 - silent), share(silent), coverage)


def _graded(groups: Groups, common: dict[str, Any]) -> Audit:
    assert groups.rewards is not None
    weight = groups.count / groups.count.sum()
    silent, high = groups.rewards.silent, groups.rewards.high
    right, wrong = silent & (high == 1), silent & (high == 0)
    partial = silent & ~right & ~wrong
    logged = _split("logged", None, right * 1.0, wrong * 1.0, groups.count, partial * 1.0)
    return Audit(
        **common,
        logged=logged,
        plugin=None,
        unbiased=None,
        sizes=(),
        bands=(),
        never=None,
        always=None,
        fidelity=None,
        required_group_size=None,
        draws_per_kept_group=_finite_or_none(float(draws_per_kept_group(min(1.0, logged.silent.value)))),
        mean_reward=float((weight * groups.rewards.mean).sum()),
        notes=(*groups.notes, "rewards are graded: groups as logged only; --right-from X says what counts as right"),
    )


def _required(p: Floats, count: Any, share: float = 0.9) -> int | None:
    """The G with which `share` of the problems solved sometimes reach fidelity .95."""
    if not len(p):
        return None
    sizes = required_group_size(p)
    order = np.argsort(sizes)
    reached = np.cumsum(count[order]) >= share * count.sum() * (1 - 1e-12)
    return int(sizes[order][np.argmax(reached)])


def _weighted_median(x: Any, weight: Floats) -> int:
    order = np.argsort(x)
    return int(x[order][np.searchsorted(np.cumsum(weight[order]), 0.5)])


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0


def _finite_or_none(x: float) -> float | None:
    return x if np.isfinite(x) else None
