"""What a run's course means, in words: each finding with its evidence, a remedy and what that brings."""

from __future__ import annotations

from groupsigma.course import ENOUGH, LEARNT, Course
from groupsigma.findings import Finding
from groupsigma.removed import Removed

#: Changes and differences below this many points are not worth words.
_POINT = 0.02
#: The closed form does not explain a silent share that is off by more than this, and by more than chance.
_OFF, _CHANCE = 0.03, 4.0


def course_findings(course: Course) -> tuple[Finding, ...]:
    """What the course says, most useful first; those with nothing to say are left out.

    >>> import numpy as np
    >>> from groupsigma import Groups
    >>> from groupsigma.course import course
    >>> groups = Groups(np.arange(40) % 10, [8, 0] * 20, [8] * 40, step=np.arange(40) // 10)
    >>> course_findings(course(groups))[0].title
    '100.0% of the groups are silent from first to last'
    """
    removed = course.removed is not None and course.removed.removed
    said = [_silence(course) if course.removed is None or not removed else removed_finding(course.removed)]
    said += [_claimed(course)] if course.claimed and course.claimed.different else []
    said += [] if removed or course.whole.foretold == 0 else [_closed_form(course)]
    said += [f for f in (None if removed else _spent(course), _unchecked(course)) if f is not None]
    return tuple(said)


def removed_finding(r: Removed) -> Finding:
    """That silent groups are missing, and what the mixed ones say of them."""
    chance = (
        f"{r.silent:,} of {r.groups:,} logged groups are silent; with none removed at least {r.expected:,.0f} would be"
    )
    return Finding(
        "Silent groups are missing from this log",
        f"{chance} (the chance of so few is below {max(r.probability, 1e-6):.0e}); at least {r.low:.1%} of the groups "
        f"drawn were silent (95%; {r.least:.1%} as the counts stand)",
        f"if they were filtered, log before that: at least {r.low / (1 - r.low):.2f} were paid for with each group "
        "logged, and solve rates and shares here are of the kept ones; else the answers of a group are not draws from "
        "one chance: several models, a hint or an expert's answer among them, tries that stop at the first right one",
    )


def _silence(course: Course) -> Finding:
    a, b = course.windows[0], course.windows[-1]
    change = b.silent - a.silent
    if abs(change) < _POINT:
        where = "from first to last" if len(course.windows) > 1 else "throughout"
        title = f"{course.whole.silent:.1%} of the groups are silent {where}"
    else:
        title = f"The silent share {'rose' if change > 0 else 'fell'} from {a.silent:.1%} to {b.silent:.1%}"
    right, wrong = b.all_right - a.all_right, b.all_wrong - a.all_wrong
    evidence = f"all right {a.all_right:.1%} to {b.all_right:.1%}, all wrong {a.all_wrong:.1%} to {b.all_wrong:.1%}"
    partial = b.equal_partial - a.equal_partial
    if course.graded:
        evidence += f", equal otherwise {a.equal_partial:.1%} to {b.equal_partial:.1%}"
    if abs(change) >= _POINT and change > 0:
        most = max(right, wrong, partial)
        why = (
            "getting easy" if most == right else "beyond the model" if most == wrong else "giving equal partial rewards"
        )
        evidence += f": the pool is {why}"
    if b.out_of_reach is not None:
        evidence += f"; {b.out_of_reach:.1%} at the end are silent 95% of the time even at G = 64"
    return Finding(title, evidence, _remedy(course))


def _remedy(course: Course) -> str:
    ahead = course.ahead
    if ahead is None:
        return "say what counts as right (--right-from): what larger groups or other prompts bring needs solve rates"
    (size, now), (twice, then), _ = ahead.sizes
    if now < _POINT:
        return "little to win here"
    steps = [f"by what is known at the end, G {size} → {twice}: silent {now:.0%} → {then:.0%}, tries ×2"]
    if ahead.learnt and ahead.silent_without is not None and now - ahead.silent_without > 0.005:
        steps.insert(
            0,
            f"leave out the {ahead.learnt:,} of {ahead.prompts:,} prompts that were all right at their last {LEARNT} "
            f"visits: silent {now:.0%} → {ahead.silent_without:.0%} at no cost (draw them again now and then)",
        )
    if ahead.draws_per_kept_group is not None:
        steps.append(f"DAPO: {ahead.draws_per_kept_group:.2f} draws a kept group")
    return "; ".join(steps)


def _closed_form(course: Course) -> Finding:
    w, off = course.whole, course.off
    assert off is not None and w.silent_predicted is not None and w.noise is not None and w.came is not None
    evidence = (
        f"foretold {w.silent_predicted:.1%}, came {w.came:.1%}, over {w.foretold:,} groups: difference "
        f"{100 * off:+.1f} points, chance alone ±{100 * w.noise:.1f}"
    )
    if _OFF < abs(off) <= _CHANCE * w.noise:
        title = "The silence does not contradict the closed form, as far as so few groups tell"
        return Finding(
            title, evidence, f"more groups would tell: chance alone may reach {100 * _CHANCE * w.noise:.1f} points"
        )
    if abs(off) <= _OFF:
        title = f"The closed form explains the silence to within {max(100 * abs(off), 0.1):.1f} points"
        if abs(off) > _CHANCE * w.noise:
            evidence += ": more than chance, as beliefs about moving prompts lag, and too little to matter"
        return Finding(title, evidence, "nothing to do: silence here is difficulty, p^G + (1−p)^G, no fault of the run")
    title = "The closed form does not explain the silence"
    if off > 0:
        return Finding(
            title,
            evidence,
            "answers within a group agree more than independent ones would: look for one seed for the whole group, "
            "cached or repeated sampling, a very low temperature, or copies of one answer in the log",
        )
    return Finding(
        title,
        evidence,
        "answers within a group differ more than independent ones would, or silent groups are missing: look for "
        "filtering before the log, or groups put together from several policies",
    )


def _claimed(course: Course) -> Finding:
    c = course.claimed
    assert c is not None and c.ours is not None and c.theirs is not None
    title = f"The trainer's own silent share differs from its rewards' at {c.different:,} of {c.steps:,} steps"
    evidence = f"most at step {c.step}: {c.theirs:.4g} logged, {c.ours:.4g} by the rewards (difference {c.largest:.4g})"
    if course.graded or c.all_zero:
        return Finding(
            title,
            evidence,
            "its test is a std within 1e-8 of 0, and the float32 std of equal rewards is not (TRL's "
            "frac_reward_zero_std reads 0 on groups that are all 1.2): decide silence by max − min of the rewards",
        )
    return Finding(
        title, evidence, "believe the rewards; if they are of another step or process, gather all processes' rows"
    )


def _spent(course: Course) -> Finding | None:
    if course.spent_share < _POINT:
        return None
    money = f", {course.cost:,.2f} of {course.cost_all:,.2f}" if course.cost is not None else ""
    title = f"{course.spent_share:.1%} of the answers went into silent groups: {course.spent:,}{money}"
    many = max(ENOUGH, course.whole.groups // 16)
    if course.whole.groups < many:
        evidence = f"a run of {course.whole.groups:,} groups is too short to say from which step on half are silent"
    elif course.half_silent_step is None:
        evidence = f"no {many:,} groups in a row are half silent"
    else:
        evidence = f"from step {course.half_silent_step} on the next {many:,} groups are at least half silent"
    return Finding(title, evidence, "a plan spends them where groups are mixed: groupsigma plan on this log")


def _unchecked(course: Course) -> Finding | None:
    missing = []
    if course.graded:
        missing.append("graded rewards have no solve rate, so nothing was foretold (--right-from X)")
    elif course.whole.foretold < 0.5 * course.whole.groups:
        missing.append("most groups are of the first step, which nothing foretells (more steps)")
    elif course.whole.met == 0:
        missing.append("no prompt came twice, so all was foretold from the population (prompt ids that stay the same?)")
    if course.claimed is None:
        missing.append("no trainer's number to compare with (frac_reward_zero_std or the like, by step)")
    if course.cost is None:
        missing.append("no price (--cost-per-1k-rollouts)")
    return Finding("What could not be checked", "; ".join(missing), "give what is named") if missing else None
