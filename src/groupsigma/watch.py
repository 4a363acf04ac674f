"""A live run looked at as `audit` looks at its log: the same findings while it trains, and a reason to stop it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from groupsigma import arrays, checks
from groupsigma.course import LIMITS, Course, course
from groupsigma.course_findings import course_findings
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.findings import Finding
from groupsigma.groups import Groups, RewardSummary
from groupsigma.limits import Limit, met
from groupsigma.metrics import Scored

#: A finding whose numbers alone moved is not said again.
_DIGITS = str.maketrans("", "", "0123456789.,%+−-")


def spoken(finding: Finding) -> str:
    """A finding as three lines."""
    return f"{finding.title}\n  {finding.evidence}\n  → {finding.remedy}"


class Said:
    """What was said of a run so far: a finding is given once, and limits are looked at every time.

    Raises: ArgumentError for a limit that no run can meet: now, not when it has its second step.
    """

    def __init__(self, limits: Sequence[Limit] = (), who: str = "--fail-on") -> None:
        met(limits, dict.fromkeys(LIMITS, float("nan")), "run", who)
        self.limits, self.who = limits, who
        self._titles: set[str] = set()

    def of(self, found: Course) -> tuple[list[str], list[str]]:
        """Texts of what is new, and the limits that are met, in words."""
        numbers = found.metrics()
        reasons = met([one for one in self.limits if one.name in numbers], numbers, "run", self.who)
        return [summary(found), *map(spoken, self.new(course_findings(found)))], reasons

    def new(self, findings: Sequence[Finding]) -> list[Finding]:
        """Those whose words, numbers aside, were not said before."""
        fresh = [f for f in findings if f.title.translate(_DIGITS) not in self._titles]
        self._titles |= {f.title.translate(_DIGITS) for f in findings}
        return fresh


def summary(course: Course) -> str:
    """A run so far in one line."""
    last = course.windows[-1]
    where = "at this step" if last.first == last.last else f"from step {last.first} on"
    return (
        f"step {last.last}: {course.whole.groups:,} groups so far; {where} {last.silent:.1%} silent "
        f"({last.all_right:.1%} all right, {last.all_wrong:.1%} all wrong); {course.spent:,} answers "
        f"({course.spent_share:.1%}) on silence"
    )


class Watch:
    """Collects a run's groups; every so many steps says what is new of them, and whether a limit is met.

    Args:
        every: steps between two looks. limits: as --fail-on has them, "silent_last_window>0.8", of `Course.metrics`.
        dial: whose update the shares by difficulty are of. cost_per_1k: price of 1,000 answers.
        tell: takes the text. In TRL: `monitor(reward, watch=watch)` or `GRPOTrainer(…)`, and `WatchCallback(watch)`.

    >>> told = []
    >>> watch = Watch(every=2, limits=["silent_last_window>0.9"], tell=told.append)
    >>> for step in range(4):
    ...     watch.add(["a", "a", "b", "b"], [1, 1, 0, 0], step)
    ...     _ = watch.look(step)
    >>> watch.reasons, told[0].splitlines()[1]
    (['silent_last_window = 1 > 0.9'], '100.0% of the groups are silent from first to last')
    """

    def __init__(
        self,
        *,
        every: int = 25,
        limits: Sequence[str] = (),
        dial: Dial = GRPO,
        cost_per_1k: float | None = None,
        tell: Callable[[str], Any] = print,
    ) -> None:
        expect_dial("Watch", dial)
        self.every = int(checks.whole("Watch", "every", every, 1))
        self.dial, self.cost_per_1k, self.tell = dial, cost_per_1k, tell
        self.reasons: list[str] = []
        self._said = Said([Limit.of(text, "limits") for text in limits], "limits")
        self._ids: list[Any] = []
        self._parts: list[tuple[Scored, int]] = []
        self._next = self.every

    def add(self, prompt_ids: Any, rewards: Any, step: int) -> None:
        """Answers of a step: one id and one reward for each; NaN, None: unscorable."""
        r = checks.floats("Watch.add", "rewards", rewards)
        if r.ndim != 1 or len(r) != len(prompt_ids):
            raise ArgumentError(
                "Watch.add", "one prompt id for each reward", f"{len(prompt_ids)} ids, {r.size} rewards"
            )
        codes, names = arrays.factorize(prompt_ids)
        self.see(names.tolist(), Scored.of(r, codes, len(names)), step)

    def see(self, prompt_ids: Sequence[Any], scored: Scored, step: int) -> None:
        """Groups of a step that were scored already, one id each."""
        self._ids += list(prompt_ids)
        self._parts.append((scored, int(step)))

    def look(self, step: int) -> bool:
        """Whether a limit is met; says what is new when `every` steps have passed since the last look."""
        if step + 1 < self._next or len({at for _, at in self._parts}) < 2:
            return bool(self.reasons)
        self._next = step + 1 + self.every
        lines, self.reasons = self._said.of(course(self.groups, dial=self.dial, cost_per_1k=self.cost_per_1k))
        self.tell("\n".join([*lines, *(f"limit met: {reason}" for reason in self.reasons)]))
        return bool(self.reasons)

    @property
    def groups(self) -> Groups:
        """All groups with an answer that could be scored; graded as a whole where any reward is."""

        def joined(name: str) -> Any:
            return np.concatenate([getattr(scored, name) for scored, _ in self._parts])

        n = joined("n")
        full = n > 0
        ids = np.empty(len(self._ids), dtype=object)
        ids[:] = self._ids
        step = np.concatenate([np.full(len(scored.n), at) for scored, at in self._parts])
        common: dict[str, Any] = dict(
            prompt_ids=ids[full],
            n_rollouts=n[full],
            step=step[full],
            n_unscorable=sum(scored.unscorable for scored, _ in self._parts),
            n_empty=int((~full).sum()),
            source="the run so far",
        )
        if all(scored.right is not None for scored, _ in self._parts):
            return Groups(n_correct=joined("right")[full], **common)
        summary = RewardSummary(*(joined(name)[full] for name in ("mean", "std", "low", "high")))
        return Groups(n_correct=None, rewards=summary, **common)
