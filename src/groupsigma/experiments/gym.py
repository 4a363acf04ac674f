"""Twelve kinds of problem of reasoning-gym for a character model: its texts without their words.

Every problem and every answer comes from reasoning-gym's own generator; kept is what varies ("Find the Greatest
Common Divisor of these numbers: 6, 153" is "g6,153="), lower case, without white space. Taken are kinds whose answer
is one short string and whose scorer asks for that string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from groupsigma.errors import TRAIN, ArgumentError

#: An item of reasoning-gym: "question", "answer", "metadata".
Item = Mapping[str, Any]

#: All that prompts and answers are made of; items with other letters are left out.
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz+-*/()<>^#?:,_~="

#: Below it hardly an item fits.
_LEAST = 8


@dataclass(frozen=True)
class Source:
    """A kind: its share of the rows, how its generator is set, and what is kept of an item."""

    share: float
    options: Mapping[str, Any]
    prompt: Callable[[Item], str]
    answer: Callable[[Item], str] = lambda item: item["answer"]


def draw(n: int, rng: np.random.Generator, digits: int) -> list[dict[str, Any]]:
    """n rows {"prompt", "answer", "digits", "kind"} of every kind, in no order, not all different.

    Args: digits: prompts have at most 4 · digits letters with their "=", answers as many as digits; at least 8.
    Returns: digits: of the longest number in the prompt, 0 where there is none.
    Raises: ArgumentError where reasoning-gym is not installed.
    """
    if digits < _LEAST:
        raise ArgumentError("gym", f"digits of at least {_LEAST}", str(digits))
    counts = rng.multinomial(n, [source.share for source in SOURCES.values()]).tolist()
    rows = [
        {"prompt": prompt, "answer": answer, "digits": _longest(prompt), "kind": kind}
        for kind, count in zip(SOURCES, counts, strict=True)
        for prompt, answer in _items(kind, count, rng, digits)
    ]
    return [rows[i] for i in rng.permutation(n)]


def many(digits: int) -> int:
    """How many different prompts there are at least: sums of three numbers alone are more.

    >>> many(8)
    100000000
    """
    return 10**digits


def _items(kind: str, n: int, rng: np.random.Generator, digits: int) -> list[tuple[str, str]]:
    """n pairs of prompt and answer that fit."""
    try:
        from reasoning_gym.factory import create_dataset
    except ImportError:
        hint = f"{TRAIN}, or keep the rows' file beside the results"
        raise ArgumentError("gym", "reasoning-gym", "none installed", hint=hint) from None
    source, found = SOURCES[kind], list[tuple[str, str]]()
    while len(found) < n:
        # Its item i is drawn from the seed plus i.
        items = create_dataset(kind, seed=int(rng.integers(2**31)), size=n, **source.options)
        pairs = ((f"{source.prompt(item)}=", source.answer(item)) for item in items)
        found += [pair for pair in pairs if _fits(*pair, digits)]
    return found[:n]


def _fits(prompt: str, answer: str, digits: int) -> bool:
    return len(prompt) <= 4 * digits and 0 < len(answer) <= digits and set(prompt + answer) <= set(LETTERS)


def _longest(prompt: str) -> int:
    """Digits of its longest number.

    >>> _longest("52-1700="), _longest("<abc=")
    (4, 0)
    """
    return max(map(len, re.findall(r"\d+", prompt)), default=0)


def _of(name: str, before: str = "") -> Callable[[Item], str]:
    """A field of the metadata without its spaces; a list joined by commas."""

    def text(item: Item) -> str:
        value = item["metadata"][name]
        parts = value if isinstance(value, list) else [value]
        return before + ",".join(str(part).replace(" ", "").removesuffix(".0").lower() for part in parts)

    return text


def _base(item: Item) -> str:
    told = item["metadata"]
    return f"{told['source_repr']}:{told['source_base']}>{told['target_base']}"


def _counted(item: Item) -> str:
    told = item["metadata"]
    return f"{told['target_letter']}?{'_'.join(told['span']).lower()}"


def _sorting(item: Item) -> str:
    sign = ">" if item["metadata"]["direction"] == "descending" else "^"
    return _of("original_numbers", sign)(item)


def _legs(item: Item) -> str:
    return ",".join(f"{count}{animal}".replace(" ", "") for animal, count in item["metadata"]["animals"].items())


def _fraction(item: Item) -> str:
    return f"{item['metadata']['numerator']}/{item['metadata']['denominator']}"


def _equation(item: Item) -> str:
    # A prompt has one "=", its last letter.
    return f"{item['metadata']['variable']}:{_of('equation')(item).replace('=', '~')}"


#: By reasoning-gym's name: "57+87-70=", "81*27=", "g6,153=" the divisor, "101:2>4=" from base 2 to base 4, "#6826="
#: bits that are 1, "o?of_the_gross=" how many o, "<mailman=" backward, "^7,31,5=" sorted upwards and ">7,31,5="
#: downwards, "(0x6446+0xb)=" as it stands, "8cow,3snake=" legs, "6/72=" in lowest terms, "n:35*n-48~687=" solved.
#: Kinds that a model learns slowly have the larger shares, so that all are half learned at once.
SOURCES: dict[str, Source] = {
    "chain_sum": Source(0.14, dict(min_terms=2, max_terms=3, min_digits=1, max_digits=2), _of("expression")),
    "products": Source(0.12, dict(min_digits=1, max_digits=2), _of("expression")),
    "gcd": Source(0.08, dict(min_value=1, max_value=300), _of("numbers", "g")),
    "base_conversion": Source(0.07, dict(min_base=2, max_base=5, min_value=1, max_value=1500), _base),
    "count_bits": Source(0.07, dict(max_n=16383), _of("number", "#")),
    "letter_counting": Source(0.06, dict(min_words=2, max_words=6), _counted),
    # Its scorer does not look at case.
    "spell_backward": Source(
        0.04, dict(min_word_len=3, max_word_len=8), _of("word", "<"), lambda item: item["answer"].lower()
    ),
    "number_sorting": Source(
        0.05,
        dict(min_numbers=3, max_numbers=4, max_decimals=0, min_value=0, max_value=99),
        _sorting,
        _of("sorted_numbers"),
    ),
    "bitwise_arithmetic": Source(0.08, dict(difficulty=1), _of("problem")),
    "leg_counting": Source(0.09, dict(min_animals=1, max_animals=2, max_instances=9), _legs),
    "fraction_simplification": Source(0.09, dict(styles=("plain",), max_value=50, max_factor=20), _fraction),
    "simple_equations": Source(0.11, dict(min_terms=2, max_terms=2, max_value=20), _equation),
}
