"""Which column of a table holds what: guessed from the field's names, always overridable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Literal

from groupsigma.errors import ArgumentError, SourceError

Kind = Literal["counts", "rates", "rewards"]

#: Names seen in data sets and logs, most telling first; compared in lower case.
NAMES: Mapping[str, tuple[str, ...]] = {
    "rate": ("llama8b_solve_rate", "solve_rate", "pass_rate", "success_rate", "mean_reward", "avg_reward", "p"),
    "correct": ("n_correct", "num_correct", "correct_count", "n_right", "successes", "numerator", "c", "k", "correct"),
    "answers": (
        "n_rollouts", "n_samples", "num_samples", "n_answers", "num_generations", "denominator",
        "trials", "attempts", "total", "n",
    ),
    "reward": ("reward", "rewards", "score", "scores", "correct", "is_correct", "passed", "success", "accuracy", "acc"),
    "prompt_id": (
        "prompt_id", "problem_id", "question_id", "example_id", "task_id", "doc_id", "uid", "id",
        "prompt", "problem", "question", "input", "input_prompt",
    ),
    "step": ("global_step", "training_step", "step"),
    # Not "count": beside a rate it is as often the number of answers, and would multiply the problems.
    "count": ("problems", "multiplicity"),
}  # fmt: skip

#: The roles that each kind of table uses, the one it stands on first.
ROLES: Mapping[Kind, tuple[str, ...]] = {
    "counts": ("correct", "answers", "prompt_id", "step", "count"),
    "rates": ("rate", "answers", "prompt_id", "step", "count"),
    "rewards": ("reward", "prompt_id", "step"),
}

_HOW = "name them: --rate, --correct with --answers, or --prompt-id with --reward"


@dataclass(frozen=True)
class Columns:
    """Column names by role; None is guessed. `answers` may be a number: every row has that many.

    `right_from`: rewards of at least this are right, all others wrong; None keeps rewards as they are.
    """

    prompt_id: str | None = None
    reward: str | None = None
    rate: str | None = None
    correct: str | None = None
    answers: str | int | None = None
    step: str | None = None
    count: str | None = None
    right_from: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.answers, int):
            object.__setattr__(self, "answers", str(self.answers))
        if self.fixed_answers == 0:
            raise ArgumentError("answers", "a column, or a number of at least 1", "0")
        if self.right_from is not None and not isfinite(self.right_from):
            raise ArgumentError("right_from", "a finite number", f"{self.right_from}")

    @property
    def fixed_answers(self) -> int | None:
        """The number of answers when `answers` is a number."""
        return int(self.answers) if self.answers is not None and str(self.answers).isdecimal() else None

    def names(self) -> dict[str, str]:
        """The columns named, by role; a number of answers is none."""
        found = {role: getattr(self, role) for role in NAMES}
        return {r: c for r, c in found.items() if c is not None and not (r == "answers" and self.fixed_answers)}

    def resolve(
        self, found: Mapping[str, str], where: str, repeats: Callable[[str | None], bool]
    ) -> tuple[Kind, Columns]:
        """The kind of table, and the columns filled in from the names found (name -> type).

        `repeats` tells whether a column holds some value twice; asked only where the names leave two kinds open.
        """
        for role, name in self.names().items():
            if name not in found:
                needs = f"the column {name!r} that --{role.replace('_', '-')} names"
                raise SourceError(where, needs, f"columns {listed(found)}", hint="names are case-sensitive")
        every: dict[str, str | None] = {
            role: getattr(self, role) or next(iter(candidates(role, found)), None) for role in NAMES
        }
        named: list[Kind] = [kind for kind, roles in ROLES.items() if getattr(self, roles[0]) is not None]
        if len(named) > 1:
            raise SourceError(where, "one of --reward, --rate and --correct", " and ".join(named))
        asked = named[0] if named else None
        grouped = every["prompt_id"] or "[]" in found.get(every["reward"] or "", "")
        ready: dict[Kind, bool] = {
            "counts": bool(every["correct"] and every["answers"]),
            "rates": bool(every["rate"]),
            "rewards": bool(every["reward"] and grouped),
        }
        kinds = [asked] if asked else [kind for kind, ok in ready.items() if ok]
        if not kinds or not ready[kinds[0]]:
            needs = "a solve rate, or right answers and answers, or a prompt id and a reward"
            raise SourceError(where, needs, f"columns {listed(found)}", hint=_HOW)
        kind = kinds[0]
        # One row a completion often carries its problem's rate along: ids that repeat tell.
        if kind == "rates" and not asked and ready["rewards"] and repeats(every["prompt_id"]):
            kind = "rewards"
        if kind == "rewards" and self.answers is not None:
            raise SourceError(where, "a rate or counts for --answers", f"single rewards in {every['reward']!r}")
        if self.right_from is not None and kind != "rewards":
            raise SourceError(where, "single rewards for --right-from", f"{kind} in {every[ROLES[kind][0]]!r}")
        return kind, replace(self, **{role: every[role] if role in ROLES[kind] else None for role in NAMES})  # type: ignore[arg-type]

    def spoken(self) -> str:
        """The roles that are set, as one phrase for the reader of the output."""
        pairs = [(f.name.replace("_", " "), getattr(self, f.name)) for f in fields(self)]
        return ", ".join(f"{role} = {name}" for role, name in pairs if name is not None)


def candidates(role: str, found: Mapping[str, str]) -> list[str]:
    """The columns that could play a role, most telling first."""
    lower = {name.lower(): name for name in reversed(list(found))}
    named = [lower[name] for name in NAMES[role] if name in lower]
    ending = {"rate": "solve_rate", "reward": "_reward"}.get(role)
    if ending:
        named += [name for name in found if name.lower().endswith(ending) and name not in named]
    return named


def listed(found: Iterable[str]) -> str:
    """Column names for a message."""
    names = list(found)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
