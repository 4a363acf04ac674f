"""What a comparison says, in words: silence, the price of a mixed group, where the update goes."""

from __future__ import annotations

import numpy as np

from groupsigma.compare import Comparison
from groupsigma.differences import Difference
from groupsigma.findings import Finding
from groupsigma.presets import spoken
from groupsigma.splits import Share


def compare_findings(found: Comparison) -> tuple[Finding, ...]:
    """Two or three things to know, each with its evidence and what would tell more.

    >>> import numpy as np
    >>> from groupsigma import load
    >>> from groupsigma.compare import Setting, compare
    >>> big, rng = load("bigmath"), np.random.default_rng(0)
    >>> said = compare_findings(compare(big, big, a_setting=Setting(8), b_setting=Setting(16), rng=rng))
    >>> said[0].title
    'B has 12.9 points fewer silent groups than A'
    """
    said = [_silence(found), _price(found), _update(found)]
    return tuple(finding for finding in said if finding is not None)


def written(d: Difference, value: Share | None) -> str:
    """A value of this quantity, shares in percent; – where there is none."""
    if value is None:
        return "–"
    if d.unit == "share":
        return f"{100 * value.value:.1f}%"
    return f"{value.value:,.{_digits(d)}f}"


def difference(d: Difference, value: float | None) -> str:
    """A difference of this quantity or an end of its interval: points, a number, or a factor "×0.50"."""
    if value is None:
        return "–"
    if d.unit == "times":
        return f"×{value:.2f}"
    # Rounded first, so that nothing is written as -0.0.
    digits = 1 if d.unit == "share" else _digits(d)
    return f"{round((100 if d.unit == 'share' else 1) * value, digits) + 0.0:+,.{digits}f}"


def interval(d: Difference) -> str:
    """The simultaneous interval: "-3.0 to +0.6"."""
    return "–" if d.low is None else f"{difference(d, d.low)} to {difference(d, d.high)}"


def _digits(d: Difference) -> int:
    size = max((abs(s.value) for s in (d.a, d.b) if s is not None), default=1.0)
    return 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3


def _silence(found: Comparison) -> Finding | None:
    d, wrong, right = (found[name] for name in ("silent", "all_wrong", "all_right"))
    if d.difference is None:
        return None
    sides = (("A", d.a, wrong.a, right.a), ("B", d.b, wrong.b, right.b))
    evidence = "; ".join(
        f"{side} {written(d, silent)} ({written(d, w)} all wrong, {written(d, r)} all right)"
        for side, silent, w, r in sides
    )
    if d.equal:
        return Finding("Both have the same silent share", evidence, "nothing here tells the two apart")
    cause = " and ".join(f"{n} {_stated(x)}" for n, x in (("all wrong", wrong), ("all right", right)) if x.real)
    if not d.real:
        evidence += f"; told apart are {cause}" if cause else ""
        return Finding(f"Silent shares are not told apart: {_stated(d)}", evidence, _more(d, found))
    title = f"B has {abs(100 * d.difference):.1f} points {'fewer' if d.difference < 0 else 'more'} silent groups than A"
    evidence += f"; {_stated(d)}"
    if found.silent_bounds is not None:
        low, high = (100 * x for x in found.silent_bounds)
        doubt = ", so even the sign is the fit's" if low <= 0 <= high else ""
        evidence += f"; of all spreads that fit the counts, from {low:+.1f} to {high:+.1f} points{doubt}"
    return Finding(title, evidence, cause or "neither all wrong nor all right alone is told apart")


def _price(found: Comparison) -> Finding | None:
    d = found["answers_per_mixed_group"]
    if d.a is None or d.b is None:
        none = [side for side, value in (("A", d.a), ("B", d.b)) if value is None]
        silent = "all of its groups are silent" if len(none) == 1 else "all groups are silent"
        return Finding(f"No mixed group in {' and '.join(none)}", silent, "other problems, or larger groups")
    both = f"{written(d, d.a)} answers in A, {written(d, d.b)} in B"
    bill = "mixed groups are what teaches; how much more a larger one teaches is not counted here"
    for cost in found.differences:
        if cost.name == "cost_per_1000_mixed_groups":
            bill = f"1,000 mixed groups cost {written(cost, cost.a)} in A, {written(cost, cost.b)} in B"
    if not d.real:
        same = "the same on both sides" if d.equal else "not told apart"
        return Finding(f"What a mixed group costs is {same}: {both}", f"B / A = {_stated(d)}", bill)
    return Finding(
        f"A mixed group is cheaper in {'B' if d.b.value < d.a.value else 'A'}: {both}", f"B / A = {_stated(d)}", bill
    )


def _update(found: Comparison) -> Finding | None:
    bands = {d.name: d for d in found.differences if d.name.startswith("gradient_") and d.difference is not None}
    close = found["fidelity"] if any(d.name == "fidelity" for d in found.differences) else None
    if not bands or close is None:
        return None
    told = bands.pop("gradient_extremes")
    where = "solved less than 10% or more than 90% of the time"
    if not (told.a and told.a.value) and not (told.b and told.b.value):
        # So few answers a problem that no k/n is near an end: the band that differs most, in its own interval.
        told = max(bands.values(), key=lambda d: abs(d.difference or 0) / ((d.high or 0) - (d.low or 0) or np.inf))
        where = f"solved {told.name.removeprefix('gradient_')}"
    assert told.difference is not None
    evidence = f"A {written(told, told.a)}, B {written(told, told.b)} of it on problems {where}; {_stated(told)}"
    rules = [spoken(side.setting.dial_name) for side in (found.a, found.b)]
    whose = f"{rules[0]}'s" if rules[0] == rules[1] else "each rule's own"
    other = f"of {whose} large-group update A realises {written(close, close.a)}, B {written(close, close.b)}"
    if close.difference is not None:
        other += f"; {_stated(close)}" + ("" if close.real or close.equal else ", not told apart")
    if not told.real:
        same = "is the same" if told.equal else "is not told apart"
        return Finding(f"Where the update goes {same}", evidence, other)
    more = f"{abs(100 * told.difference):.1f} points {'more' if told.difference > 0 else 'less'}"
    return Finding(f"B spends {more} of its update on problems {where}", evidence, other)


def _stated(d: Difference) -> str:
    """-1.2 points [-3.0, +0.6]."""
    unit = " points" if d.unit == "share" else ""
    inside = "no interval" if d.low is None else f"{difference(d, d.low)}, {difference(d, d.high)}"
    return f"{difference(d, d.difference)}{unit} [{inside}]"


def _more(d: Difference, found: Comparison) -> str:
    prompts = min(found.a.prompts, found.b.prompts)
    if d.least_seen is None:
        return "more prompts"
    seen = f"{100 * d.least_seen:.1f} points"
    return f"{prompts:,} prompts would show {seen} four times in five; four times the prompts, half of that"
