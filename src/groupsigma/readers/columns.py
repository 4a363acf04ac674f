"""Which column of a table holds what: guessed from the field's names, always overridable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

from groupsigma.errors import SourceError

Kind = Literal["counts", "rates", "rewards"]

#: Names seen in data sets and logs, most telling first; compared in lower case.
NAMES: Mapping[str, tuple[str, ...]] = {
    "rate": ("llama8b_solve_rate", "solve_rate", "pass_rate", "success_rate", "pass@1", "avg_reward"),
    "correct": ("n_correct", "num_correct", "correct_count", "n_right", "successes", "numerator", "k", "c"),
    "answers": ("n_rollouts", "n_samples", "num_samples", "n_answers", "num_generations", "denominator", "trials", "n"),
    "reward": ("reward", "rewards", "score", "scores", "correct", "is_correct", "passed", "success", "accuracy", "acc"),
    "prompt_id": (
        "prompt_id", "problem_id", "question_id", "example_id", "task_id", "doc_id", "uid", "id",
        "prompt", "problem", "question", "input",
    ),
    "step": ("global_step", "training_step", "step"),
    "count": ("problems", "multiplicity", "count"),
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Column names by role; None is guessed. `answers` may be a number: every row has that many.

    `right_from`: rewards of at least this are right, all others wrong; None keeps rewards as they are.
    """

    prompt_id: str | None = None
    reward: str | None = None
    rate: str | None = None
    correct: str | None = None
    answers: str | None = None
    step: str | None = None
    count: str | None = None
    right_from: float | None = None

    @property
    def fixed_answers(self) -> int | None:
        """The number of answers when `answers` is a number."""
        return int(self.answers) if self.answers is not None and self.answers.isdigit() else None

    def resolve(self, found: Mapping[str, str], where: str) -> tuple[Kind, Columns]:
        """The kind of table, and the columns filled in from the names found (name -> type)."""
        lower = {name.lower(): name for name in reversed(list(found))}
        for role in fields(self):
            name = getattr(self, role.name)
            stated = isinstance(name, str) and not (role.name == "answers" and name.isdigit())
            if stated and name not in found:
                raise SourceError("table", f"a column {name!r}", f"columns {_listed(found)}", where)

        def guess(role: str) -> str | None:
            given = getattr(self, role)
            if given is not None:
                return str(given)
            return next((lower[name] for name in NAMES[role] if name in lower), None)

        asked: Kind | None = "rewards" if self.reward else "rates" if self.rate else "counts" if self.correct else None
        every = {role: guess(role) for role in NAMES}
        every["rate"] = every["rate"] or next((n for n in found if n.lower().endswith("solve_rate")), None)
        ready: dict[Kind, bool] = {
            "counts": bool(every["correct"] and every["answers"]),
            "rates": bool(every["rate"]),
            "rewards": bool(every["reward"] and (every["prompt_id"] or "[]" in found.get(every["reward"] or "", ""))),
        }
        kinds = [asked] if asked else [kind for kind, ok in ready.items() if ok]
        if not kinds or not ready[kinds[0]]:
            raise SourceError(
                "table",
                "a solve rate, or right answers and answers, or a prompt id and a reward",
                f"columns {_listed(found)}",
                where,
                "name them: --rate, --correct with --answers, or --prompt-id with --reward",
            )
        kind = kinds[0]
        used = {
            "counts": ("correct", "answers", "prompt_id", "step", "count"),
            "rates": ("rate", "answers", "prompt_id", "step", "count"),
            "rewards": ("reward", "prompt_id", "step"),
        }[kind]
        filled = {role: every[role] if role in used else None for role in NAMES}
        if kind == "rates" and self.answers is None and filled["answers"] == filled["count"]:
            filled["answers"] = None
        return kind, replace(self, **filled)  # type: ignore[arg-type]

    def spoken(self) -> str:
        """The roles that are set, as one phrase for the reader of the output."""
        pairs = [(f.name.replace("_", " "), getattr(self, f.name)) for f in fields(self)]
        return ", ".join(f"{role} = {name}" for role, name in pairs if name is not None)


def _listed(found: Mapping[str, str]) -> str:
    names = list(found)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
