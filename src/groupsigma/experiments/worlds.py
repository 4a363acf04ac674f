"""What a way to spend answers sees of the world it competes in, and what it hands back after a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from groupsigma.checks import Floats, Ints
from groupsigma.mixture import Mixture


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a step brought: problem, right and wrong answers that count, and what they push with.

    plus, minus: k A₊ and −(n−k) A₋ of each group; equal wherever advantages sum to zero, and then the
    group's gain times its size. answers: all that were sampled, counted or not.
    """

    problem: Ints
    right: Floats
    wrong: Floats
    plus: Floats
    minus: Floats
    answers: int


class World(Protocol):
    """Problems, and a policy that answers them.

    Attributes:
        rng: all that is random. step: updates made.
        spread: how solve rates are spread before the first answer, if that is known.
    """

    rng: np.random.Generator
    step: int
    spread: Mixture | None

    @property
    def problems(self) -> int:
        """How many there are to train on."""

    @property
    def batch(self) -> int:
        """Answers a step."""

    @property
    def columns(self) -> Floats | None:
        """[P, d] what is known of the problems; None: nothing."""

    @property
    def p(self) -> Floats:
        """[P] today's solve rates; a chooser that is no oracle must not look."""

    def sample(self, problem: Ints, n: Ints) -> Ints:
        """Right ones of n more answers to each problem."""


class Chooser(Protocol):
    """A way to spend one step's answers."""

    def __call__(self, world: World) -> Drawn:
        """Sample, and say what counts."""
