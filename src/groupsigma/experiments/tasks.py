"""Families of problems for a small character model: sums, several kinds mixed that are not sums, reasoning-gym's.

Every problem has one right answer, letter by letter. So the solve rate p = π(answer, end | prompt) is one forward
pass whatever the family, and what holds for sums can be looked for elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from groupsigma.checks import Ints
from groupsigma.errors import ArgumentError
from groupsigma.experiments import gym

#: Called with how many, the generator, and the digits of the longest number.
_Draw = Callable[[int, np.random.Generator, int], list[dict[str, Any]]]


@dataclass(frozen=True)
class Task:
    """A family of problems.

    Attributes:
        letters: all that its prompts and answers are made of; a prompt ends with "=".
        draw: (n, rng, digits) → n rows {"prompt", "answer", "digits", …}, not all different.
        many: digits → how many different prompts there are, at least.
    """

    letters: str
    draw: _Draw
    many: Callable[[int], int]


@dataclass(frozen=True)
class Kind:
    """One kind of problem among others.

    Attributes:
        share: of the rows drawn.
        draw: (n, rng, digits) → n pairs of prompt and answer. many: digits → how many different prompts there are.
    """

    share: float
    draw: Callable[[int, np.random.Generator, int], list[tuple[str, str]]]
    many: Callable[[int], int]


def find_task(name: str) -> Task:
    """The task of that name.

    >>> find_task("sums").letters, find_task("sums").many(1)
    ('0123456789+=', 100)
    """
    if name not in TASKS:
        raise ArgumentError("find_task", f"one of {', '.join(TASKS)}", repr(name))
    return TASKS[name]


def _numbers(shape: int | tuple[int, int], rng: np.random.Generator, digits: int) -> Ints:
    """Numbers of 1 to `digits` digits; the length of each is drawn first."""
    length = rng.integers(1, digits + 1, shape)
    return rng.integers(np.where(length == 1, 0, 10 ** (length - 1)), 10**length)


def _sums(n: int, rng: np.random.Generator, digits: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"{a}+{b}=", "answer": str(a + b), "digits": len(str(max(a, b)))}
        for a, b in _numbers((n, 2), rng, digits).tolist()
    ]


def _differences(n: int, rng: np.random.Generator, digits: int) -> list[tuple[str, str]]:
    pairs = np.sort(_numbers((n, 2), rng, digits), axis=1).tolist()
    return [(f"{a}-{b}=", str(a - b)) for b, a in pairs]


def _products(n: int, rng: np.random.Generator, digits: int) -> list[tuple[str, str]]:
    pairs = zip(_numbers(n, rng, digits).tolist(), rng.integers(2, 10, n).tolist(), strict=True)
    return [(f"{a}*{b}=", str(a * b)) for a, b in pairs]


def _remainders(n: int, rng: np.random.Generator, digits: int) -> list[tuple[str, str]]:
    pairs = zip(_numbers(n, rng, digits).tolist(), rng.integers(2, 10, n).tolist(), strict=True)
    return [(f"{a}%{b}=", str(a % b)) for a, b in pairs]


def _sorted(n: int, rng: np.random.Generator, digits: int) -> list[tuple[str, str]]:
    """Strings of 2 to 2·digits digits, which may begin with 0."""
    lengths = rng.integers(2, 2 * digits + 1, n).tolist()
    texts = ["".join(map(str, rng.integers(0, 10, length))) for length in lengths]
    return [(f">{text}=", "".join(sorted(text))) for text in texts]


def _kinds(n: int, rng: np.random.Generator, digits: int) -> list[dict[str, Any]]:
    """Rows of every kind in MIXED, in no order; digits: of the first number, never shorter than the second."""
    counts = rng.multinomial(n, [kind.share for kind in MIXED.values()]).tolist()
    rows = [
        {"prompt": prompt, "answer": answer, "digits": _first_number(prompt), "kind": name}
        for (name, kind), count in zip(MIXED.items(), counts, strict=True)
        for prompt, answer in kind.draw(count, rng, digits)
    ]
    return [rows[i] for i in rng.permutation(n)]


def _first_number(prompt: str) -> int:
    """Its digits.

    >>> [_first_number(prompt) for prompt in ("52-17=", ">05281=")]
    [2, 5]
    """
    text = prompt.lstrip(">")
    return next(i for i, letter in enumerate(text) if not letter.isdigit())


#: Kinds that are not sums. Those that a model learns slowly have the larger shares, so that all are half learned at
#: once: "52-17=" with the larger number first, "37*8=" by one digit, "57%4=" the remainder, ">5281=" sorted upwards.
MIXED: dict[str, Kind] = {
    "difference": Kind(0.34, _differences, lambda digits: 10**digits * (10**digits + 1) // 2),
    "product": Kind(0.48, _products, lambda digits: 8 * 10**digits),
    "remainder": Kind(0.12, _remainders, lambda digits: 8 * 10**digits),
    "sorted": Kind(0.06, _sorted, lambda digits: sum(10**length for length in range(2, 2 * digits + 1))),
}

TASKS: dict[str, Task] = {
    "sums": Task("0123456789+=", _sums, lambda digits: 10 ** (2 * digits)),
    "kinds": Task("0123456789-*%>=", _kinds, lambda digits: sum(kind.many(digits) for kind in MIXED.values())),
    "gym": Task(gym.LETTERS, gym.draw, gym.many),
}
