"""What an audit's numbers mean, in words: each finding with its evidence, a remedy and what that brings."""

from __future__ import annotations

from dataclasses import dataclass

from groupsigma.audit import Audit, Split
from groupsigma.law import cap_risk

#: A common training batch in prompts, and a common cap, for the refill warning.
_BATCH, _CAP = 128, 3
#: Below this share silent groups are not worth a remedy.
_FEW = 0.02


@dataclass(frozen=True)
class Finding:
    """One thing to know: what was seen, the numbers behind it, what to do and what that brings."""

    title: str
    evidence: str
    remedy: str


def findings(audit: Audit) -> tuple[Finding, ...]:
    """The three things these numbers say, most useful first; one for graded rewards.

    >>> from groupsigma import audit, load
    >>> findings(audit(load("bigmath")))[0].title
    '43.1% of the groups at G = 8 teach nothing'
    """
    if audit.never is None:
        return (_graded(audit),)
    return (_silence(audit), _gradient(audit), _group_size(audit))


def _silence(audit: Audit) -> Finding:
    best, G = audit.best, audit.group_size
    title = f"{best.silent.value:.1%} of the groups at G = {G} teach nothing"
    evidence = f"{best.all_wrong.value:.1%} all wrong, {best.all_right.value:.1%} all right ({_method(best)})"
    if best.silent.value < _FEW:
        return Finding(title, evidence, "little to win here")
    never, always = audit.never or 0.0, audit.always or 0.0
    hopeless = never + always
    steps = []
    if 0 < hopeless < 1:
        rest = (best.silent.value - hopeless) / (1 - hopeless)
        steps.append(f"leave out the {hopeless:.1%} logged as never or always solved: {max(0.0, rest):.1%} stay silent")
    larger = next((s for s in audit.sizes if (s.group_size or 0) >= 2 * G), None)
    if larger is not None and larger.group_size is not None and larger.method == best.method:
        times = larger.group_size / G
        steps.append(f"G = {larger.group_size}: {larger.silent.value:.1%} silent for {times:g} times the answers")
    if audit.draws_per_kept_group is not None:
        risk = float(cap_risk(best.silent.value, _BATCH, _CAP))
        steps.append(
            f"replace silent groups (DAPO): {audit.draws_per_kept_group:.2f} groups drawn for each kept"
            + (f"; a cap of {_CAP} x {_BATCH} draws is hit {risk:.0%} of the time" if risk >= 0.005 else "")
        )
    return Finding(title, evidence, "; ".join(steps) or "no group size helps: other problems do")


def _gradient(audit: Audit) -> Finding:
    ends = [b for b in audit.bands if b.name in ("0-.1", ".9-1")]
    problems = sum(b.problems for b in ends)
    grpo, dr = (sum(b.gradient[rule] for b in ends) for rule in ("grpo", "dr-grpo"))
    middle = next(b for b in audit.bands if b.name == ".4-.6")
    return Finding(
        f"GRPO spends {grpo:.1%} of the update on the extremes, Dr. GRPO {dr:.1%}",
        f"problems solved less than 10% or more than 90% of the time are {problems:.1%} of the data; "
        f"those near one half are {middle.problems:.1%} "
        f"and get {middle.gradient['grpo']:.1%} and {middle.gradient['dr-grpo']:.1%}",
        "divide by sigma (power 1) if the hard tail is the goal, do not (power 0) if mean accuracy is; "
        "dynamic sampling drops silent groups but leaves these shares as they are",
    )


def _group_size(audit: Audit) -> Finding:
    G = audit.group_size
    hard = next(b for b in audit.bands if b.name == "0-.1")
    evidence = f"{hard.fidelity:.1%} on problems solved less than 10% of the time" if hard.problems else "no hard ones"
    if audit.required_group_size is None:
        remedy = "no problem is solved sometimes: no G helps; other problems do"
    elif audit.required_group_size <= G:
        remedy = (
            f"G = {G} is enough: 90% of the problems solved sometimes reach 95% from G = {audit.required_group_size}"
        )
    else:
        remedy = (
            f"G = {audit.required_group_size} brings 90% of the problems solved sometimes to 95% under GRPO; "
            "this is closeness to the limit objective, not learning per answer"
        )
    return Finding(f"Groups of {G} realise {audit.fidelity or 0.0:.1%} of the large-group update", evidence, remedy)


def _graded(audit: Audit) -> Finding:
    best = audit.best
    return Finding(
        f"{best.silent.value:.1%} of the groups as logged teach nothing",
        f"{best.all_wrong.value:.1%} all 0, {best.all_right.value:.1%} all 1, "
        f"{best.equal_partial.value:.1%} equal otherwise",
        "say what counts as right (--right-from) to see solve rates, other group sizes and where the update goes",
    )


def _method(split: Split) -> str:
    if split.method == "unbiased" and split.silent.low is not None and split.silent.high is not None:
        return f"unbiased, 95% interval {split.silent.low:.1%} to {split.silent.high:.1%} silent"
    if split.method == "plug-in":
        return "plug-in: k/n as if exact, reads silence too high"
    return split.method
