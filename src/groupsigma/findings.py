"""What an audit's numbers mean, in words: each finding with its evidence, a remedy and what that brings."""

from __future__ import annotations

from dataclasses import dataclass

from groupsigma.audit import Audit
from groupsigma.law import cap_risk
from groupsigma.presets import spoken
from groupsigma.splits import Split

#: A common training batch in prompts, and a common cap in batches, for the refill warning.
_BATCH, _CAP = 128, 3
#: Below this share silent groups are not worth a remedy.
_FEW = 0.02
#: An interval wider than this says more about the data than about the problems.
_WIDE = 0.2


@dataclass(frozen=True)
class Finding:
    """One thing to know: what was seen, the numbers behind it, what to do and what that brings."""

    title: str
    evidence: str
    remedy: str


def findings(audit: Audit) -> tuple[Finding, ...]:
    """What these numbers say, most useful first; those with nothing to say are left out.

    >>> from groupsigma import audit, load
    >>> findings(audit(load("bigmath")))[0].title
    '43.1% of the groups at G = 8 teach nothing'
    """
    if audit.never is None:
        return (_graded(audit),)
    said = [_silence(audit)]
    if audit.best.silent.value < 1:
        said += [f for f in (_gradient(audit), _group_size(audit)) if f is not None]
    return tuple(said)


def little(unseen: str) -> str:
    """The remedy where few groups are silent; unseen: why they may be missing from the log."""
    return f"little to win here, if these are all groups drawn: {unseen}" if unseen else "little to win here"


def _silence(audit: Audit) -> Finding:
    best, G = audit.best, audit.group_size
    low, high = best.silent.low, best.silent.high
    if G == 1:
        return Finding("Groups of one teach nothing", "there is no other answer to compare with", "G of at least 2")
    title = f"{best.silent.value:.1%} of the groups at G = {G} teach nothing"
    if best.method == "estimated" and low is not None and high is not None and high - low > _WIDE:
        title = f"Between {low:.1%} and {high:.1%} of the groups at G = {G} teach nothing; these data tell no more"
        few = f"{audit.answers_per_problem[1]:.3g} answers a {audit.unit} on {audit.problems:,} {audit.unit}s"
        return Finding(title, few, f"more answers a {audit.unit}, or more {audit.unit}s")
    evidence = f"{best.all_wrong.value:.1%} all wrong, {best.all_right.value:.1%} all right ({_how(best)})"
    if best.silent.value < _FEW:
        return Finding(title, evidence, little(audit.unseen))
    if best.silent.value >= 1:
        return Finding(title, evidence, "no group size helps: other problems do, or another model")
    steps = []
    hopeless = (audit.never or 0.0) + (audit.always or 0.0)
    if 0 < hopeless < 1 and audit.silent_of_the_rest is not None:
        steps.append(
            f"without the {hopeless:.1%} of {audit.unit}s logged as never or always solved "
            f"{audit.silent_of_the_rest:.1%} stay silent (some of them would be mixed later: keep a few in)"
        )
    larger = next((s for s in audit.sizes if (s.group_size or 0) >= 2 * G), None)
    if larger is not None and larger.group_size is not None:
        times = larger.group_size / G
        steps.append(f"G = {larger.group_size}: {larger.silent.value:.1%} silent for {times:g} times the answers")
    if audit.draws_per_kept_group is not None:
        risk = float(cap_risk(best.silent.value, _BATCH, _CAP))
        steps.append(
            f"replace silent groups (DAPO): {audit.draws_per_kept_group:.2f} groups drawn for each kept"
            + (f"; a trainer that stops after {_CAP} batches' worth of draws for {_BATCH} prompts runs out {risk:.0%} "
               "of the time" if risk >= 0.005 else "")
        )  # fmt: skip
    return Finding(title, evidence, "; ".join(steps))


def _gradient(audit: Audit) -> Finding | None:
    ends = [b for b in audit.bands if b.name in ("0-.1", ".9-1")]
    problems = sum(b.problems for b in ends)
    if not problems:
        return None
    shares = {rule: sum(b.gradient[rule] for b in ends) for rule in ends[0].gradient}
    other = next((rule for rule in shares if rule not in ("grpo", "dr-grpo", "dapo")), None)
    middle = next(b for b in audit.bands if b.name == ".4-.6")
    title = f"GRPO spends {shares['grpo']:.1%} of the update on the extremes, Dr. GRPO {shares['dr-grpo']:.1%}"
    return Finding(
        title + (f", {spoken(other)} {shares[other]:.1%}" if other else ""),
        f"problems solved less than 10% or more than 90% of the time are {problems:.1%} of the data; "
        f"those near one half are {middle.problems:.1%} "
        f"and get {middle.gradient['grpo']:.1%} and {middle.gradient['dr-grpo']:.1%}",
        "divide by sigma (power 1) if the hard tail is the goal, do not (power 0) if mean accuracy is; "
        "dynamic sampling drops silent groups but leaves these shares as they are",
    )


def _group_size(audit: Audit) -> Finding | None:
    G, need = audit.group_size, audit.required_group_size
    if audit.fidelity is None or G == 1:
        return None
    hard = next(b for b in audit.bands if b.name == "0-.1")
    on_hard = f"{hard.fidelity:.1%} on problems solved less than 10% of the time" if hard.fidelity is not None else ""
    title = f"Groups of {G} realise {audit.fidelity:.1%} of {spoken(audit.dial)}'s large-group update"
    evidence = on_hard or "no problem was solved sometimes, but less than 10% of the time"
    if need is None:
        remedy = "no problem was solved sometimes as logged: more answers a problem would tell which can be"
    elif need <= G and not audit.required_is_least:
        remedy = f"enough: from G = {need} on, 90% of the problems solved sometimes reach 95% under GRPO"
    else:
        least = f"{need} or more" if audit.required_is_least else str(need)
        remedy = (
            f"from G = {least} on, 90% of the problems solved sometimes reach 95% under GRPO; "
            "this is closeness to the limit objective, not learning per answer"
        )
    return Finding(title, evidence, remedy)


def _graded(audit: Audit) -> Finding:
    best = audit.best
    return Finding(
        f"{best.silent.value:.1%} of the groups as logged teach nothing",
        f"{best.all_wrong.value:.1%} all wrong (0), {best.all_right.value:.1%} all right (1), "
        f"{best.equal_partial.value:.1%} equal otherwise",
        "say what counts as right (--right-from) to see solve rates, other group sizes and where the update goes",
    )


def _how(split: Split) -> str:
    if split.method == "plug-in":
        return "at the rates given"
    if split.silent.low is None or split.silent.high is None:
        return split.method
    return f"{split.method}, 95% interval {split.silent.low:.1%} to {split.silent.high:.1%} silent"
