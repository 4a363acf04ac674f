"""A checker as a reward function of TRL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from groupsigma.referee import Referee

#: What TRL hands to a reward function beside the data's columns.
_NOT_COLUMNS = {"trainer_state", "log_extra", "log_metric", "environments", "completion_ids"}


def checked_reward(referee: Referee, name: str = "correct") -> Callable[..., list[float | None]]:
    """A reward function that asks the referee; an answer it could not score gets None, which leaves it out.

    How many there were goes to TRL's log as checker/raised, checker/timed_out, checker/nonsense, checker/declined,
    per batch of answers of a process.

    >>> reward = checked_reward(Referee("exact"))
    >>> reward(prompts=["1+1="] * 2, completions=["2", "3"], answer=["2", "2"])
    [1.0, 0.0]
    """

    def reward(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        log_metric: Callable[[str, float], None] | None = None,
        **given: Any,
    ) -> list[float | None]:
        columns = {column: values for column, values in given.items() if column not in _NOT_COLUMNS}
        rows = [{"prompt": prompt, **_row(columns, i)} for i, prompt in enumerate(prompts)]
        verdicts = referee.check([said(completion) for completion in completions], rows)
        if log_metric is not None:
            for what in ("raised", "timed_out", "nonsense", "declined"):
                log_metric(f"checker/{what}", float(getattr(verdicts, what)))
        return list(verdicts.rewards)

    reward.__name__ = name
    return reward


def said(completion: Any) -> str:
    """The text of an answer: as it is, or the last turn of a chat.

    >>> said([{"role": "assistant", "content": "42"}])
    '42'
    """
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    return content or ""


def _row(columns: Mapping[str, Any], i: int) -> dict[str, Any]:
    return {name: values[i] for name, values in columns.items()}
