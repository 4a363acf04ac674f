"""Who answers problems: a model here, or one behind an endpoint. Each gives n answers to a whole problem at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

import numpy as np

from groupsigma import checks
from groupsigma.errors import ArgumentError
from groupsigma.problems import Prompt


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn: n of each problem, nothing but temperature and top-p between them and the model.

    >>> Sampling(n=4).seed_of(0) != Sampling(n=4, seed=1).seed_of(0)
    True
    """

    n: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n", 1), ("max_tokens", 1), ("seed", 0)):
            object.__setattr__(self, name, int(checks.whole("probe", name, getattr(self, name), least)))
        if not (isfinite(self.temperature) and self.temperature >= 0):
            raise ArgumentError("probe", "temperature >= 0", f"{self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ArgumentError("probe", "0 < top_p <= 1", f"{self.top_p}")
        if self.temperature == 0 and self.n > 1:
            hint = "-n 1, or a temperature above 0"
            raise ArgumentError("probe", "one answer at temperature 0", f"n = {self.n} equal ones", hint=hint)

    def seed_of(self, *place: int) -> int:
        """A seed below 2³¹ for one place (a batch, a request); any two places or seeds are unrelated."""
        return int(np.random.SeedSequence((self.seed, *place)).generate_state(1)[0] >> 1)


@dataclass(frozen=True)
class Answered:
    """The n answers to a problem, or why there are none.

    Attributes: at: the problem's place in the list; tokens: generated, all answers; cut: answers that the limit of
        tokens ended; failed: what went wrong, "" when nothing did.
    """

    at: int
    completions: tuple[str, ...] = ()
    tokens: int = 0
    cut: int = 0
    failed: str = ""


class Answerer(Protocol):
    """One that answers; `answers` gives problems as they are finished, in batches."""

    def answers(self, prompts: Sequence[Prompt], wanted: Collection[int]) -> Iterator[list[Answered]]:
        """The answers to prompts[i] for each i in `wanted`; the same whichever others are wanted."""


def no_model(name: str, error: Exception) -> ArgumentError:
    """What a library says of a model that it cannot load, in one line."""
    told = " ".join(str(error).split())[:160] or type(error).__name__
    needs = "a causal language model: a folder, a .gguf file or a hub id"
    return ArgumentError("MODEL", needs, f"{name!r} ({told})", hint="is the path relative to this folder?")
