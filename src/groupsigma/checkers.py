"""Automatic checkers: a completion and its row of the dataset in; right, wrong, a score, or None for no verdict out.

A completion that can be judged and holds no answer is wrong. None is for rows that cannot be judged at all: the
answer column is empty or cannot be read. Checkers have no time limit of their own; `referee.Referee` has.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import fields
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from groupsigma.errors import TRAIN, ArgumentError

#: What judges: (completion, row) → True or False, a score, or None where no verdict is possible.
Checker = Callable[[str, Mapping[str, Any]], float | bool | None]

#: Tasks whose scorer compares boards as tuples, which no table and no JSON keeps.
_BOARDS = ("arc_agi", "rearc")


def exact(completion: str, row: Mapping[str, Any]) -> bool | None:
    """Whether the whole completion is the row's answer, letter by letter.

    White space around both is cut off; nothing else is changed: no case, no comma, no spelling of a number. An
    answer that is a number is compared by its text, so 42 is not "42.0". None where the answer is None or NaN.

    >>> exact(" 42\\n", {"answer": 42}), exact("42.0", {"answer": 42}), exact("42", {"answer": None})
    (True, False, None)
    """
    answer = row["answer"]
    if _is_missing(answer):
        return None
    return completion.strip() == str(answer).strip()


def math(completion: str, row: Mapping[str, Any]) -> bool | None:
    r"""Whether math-verify finds the completion's answer equal to the row's; None where the row's cannot be read.

    The row's answer is read as LaTeX: "42", "\frac12" and "$\frac12$" alike, after the last #### where there is
    one (GSM8K); of words with numbers ("12 dollars") the last number. The completion's is what stands in the last
    <answer>…</answer>, read in the same way; without such tags the last \boxed{}, else $…$ or "the answer is …",
    else the last number. A completion without any of them, or with one that math-verify cannot read or compare,
    is wrong.
    """
    parse, verify, targets = _math_verify()
    gold = None if _is_missing(row["answer"]) else _gold(str(row["answer"]))
    if gold is None:
        return None
    inside = _inside_tags(completion)
    text = completion if inside is None else _as_formula(inside)
    return bool(verify(list(gold), parse(text, targets, parsing_timeout=None), timeout_seconds=None))


def reasoning_gym(completion: str, row: Mapping[str, Any]) -> float:
    """The score that reasoning-gym's own scorer of the task gives, from 0 to 1; a right answer gets 1.

    The scorer is given what stands in the last <answer>…</answer>, without such tags the whole completion, white
    space around it cut off. The row has the entry's answer and metadata (a mapping or its JSON); `procedural` makes
    such rows. Scorers judge as of the task's default options unless metadata["options"] says which it had.
    Beware: those of binary_matrix, n_queens, spiral_matrix and string_insertion evaluate the answer as Python.
    """
    metadata = row["metadata"]
    if isinstance(metadata, str):
        metadata = json.loads(metadata)
    task = metadata.get("source_dataset") if isinstance(metadata, Mapping) else None
    if not isinstance(task, str):
        raise ArgumentError("reasoning_gym", "metadata with its source_dataset", repr(metadata)[:60])
    if task in _BOARDS:
        metadata = {**metadata, "output": tuple(map(tuple, metadata["output"]))}
    inside = _inside_tags(completion)
    entry = {"question": row.get("question", row.get("prompt")), "answer": row["answer"], "metadata": metadata}
    score = _scorer(task, json.dumps(metadata.get("options", {}), sort_keys=True))
    return score(completion.strip() if inside is None else inside, entry)


#: The checkers that come with the package, by name.
CHECKERS: Mapping[str, Checker] = {"exact": exact, "math": math, "reasoning_gym": reasoning_gym}

#: The columns that they read.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "exact": ("answer",),
    "math": ("answer",),
    "reasoning_gym": ("answer", "metadata"),
}

_PACKAGES = {"math": "math_verify", "reasoning_gym": "reasoning_gym"}


def find_checker(name: str) -> Checker:
    """The checker of a name: one of CHECKERS, or "module:function", imported as from the current folder.

    >>> find_checker("exact")("7", {"answer": 7})
    True
    >>> find_checker("maths")
    Traceback (most recent call last):
    groupsigma.errors.ArgumentError: checker: needs exact, math, reasoning_gym or module:function, got 'maths'
    hint: did you mean 'math'?
    """
    plain = checker_name(name)
    if plain in CHECKERS:
        if plain in _PACKAGES:
            _package(_PACKAGES[plain])
        return CHECKERS[plain]
    module, colon, path = name.partition(":")
    if not (colon and module and path):
        if near := get_close_matches(plain, CHECKERS, 1):
            hint = f"did you mean {near[0]!r}?"
        else:
            hint = f"write {name.removesuffix(':')}:FUNCTION" if re.fullmatch(r"[\w.]+:?", name) else ""
        raise ArgumentError("checker", f"{', '.join(CHECKERS)} or module:function", repr(name), hint=hint)
    found: Any = _imported(module)
    for part in path.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, [a for a in dir(found) if not a.startswith("_")], 1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            raise ArgumentError("checker", f"a function {path} in {module}", "none of that name", hint=hint)
        found = getattr(found, part)
    if not callable(found):
        raise ArgumentError("checker", f"a function {name}", type(found).__name__)
    return found


def checker_name(checker: str | Checker) -> str:
    """The name by which another process finds a checker.

    >>> checker_name(exact), checker_name("reasoning-gym"), checker_name("my_checks:strict")
    ('exact', 'reasoning_gym', 'my_checks:strict')
    """
    if isinstance(checker, str):
        plain = checker.replace("-", "_")
        return plain if plain in CHECKERS else checker
    for name, ours in CHECKERS.items():
        if checker is ours:
            return name
    module, path = getattr(checker, "__module__", None), getattr(checker, "__qualname__", "")
    found: Any = sys.modules.get(module) if module else None
    for part in path.split("."):
        found = getattr(found, part, None)
    if module == "__main__" or found is not checker:
        raise ArgumentError(
            "checker",
            "a function that other processes can import",
            f"{checker!r}"[:80],
            hint="put it into a module, say my_checks.py, and give 'my_checks:function'",
        )
    return f"{module}:{path}"


def procedural(source: str) -> list[dict[str, Any]]:
    """Rows made by reasoning-gym: "reasoning-gym:TASK?size=100&seed=0&key=value…" → prompt, answer, metadata.

    size is 500 unless given, seed 0; the other keys are the task's own options, their values JSON or text. metadata
    is JSON text, the task and its options in it: all that the checker reasoning_gym needs. The same source makes
    the same rows.
    """
    task, _, query = source.removeprefix("reasoning-gym:").partition("?")
    tasks = _package("reasoning_gym").factory.DATASETS
    # A composite has no options that text could hold.
    names = sorted(set(tasks) - {"composite"})
    if task not in names:
        hint = _near(task, names) or "reasoning_gym.factory.DATASETS has their names"
        raise ArgumentError(source, f"one of reasoning-gym's {len(names)} tasks", repr(task), hint=hint)
    known = {field.name: field for field in fields(tasks[task][1])}
    options: dict[str, Any] = {"size": 500, "seed": 0}
    for part in filter(None, query.split("&")):
        key, equals, text = part.partition("=")
        if not equals or key not in known:
            hint = _near(key, known) or "it has " + ", ".join(known)
            raise ArgumentError(source, f"options of {task} as key=value", repr(part), hint=hint)
        options[key] = _value(unquote(text))
    for key, least in (("size", 1), ("seed", 0)):
        if type(options[key]) is not int or options[key] < least:
            raise ArgumentError(source, f"{key} to be a whole number of at least {least}", repr(options[key]))
    size, own = options["size"], {k: v for k, v in options.items() if k not in ("size", "seed")}
    rows = []
    try:
        # Some tasks print while they are made; standard output is for data.
        with redirect_stdout(sys.stderr):
            made = _dataset(task, options)
            for at in range(size):
                entry = made[at]
                metadata = {**entry["metadata"], "source_dataset": task, **({"options": own} if own else {})}
                rows.append(
                    {"prompt": entry["question"], "answer": entry["answer"], "metadata": json.dumps(metadata)},
                )
    except Exception as error:
        # Tasks check their options by assertions and by whatever comes of them.
        raise ArgumentError(source, f"options that {task} can use", f"{type(error).__name__}: {error}"[:200]) from None
    return rows


def _is_missing(answer: object) -> bool:
    # NaN is what tables make of an empty cell.
    return answer is None or (isinstance(answer, float) and answer != answer)


def _inside_tags(completion: str) -> str | None:
    """What stands in the last <answer>…</answer>; None without."""
    end = completion.rfind("</answer>")
    begin = completion.rfind("<answer>", 0, max(end, 0))
    return completion[begin + len("<answer>") : end].strip() if begin >= 0 else None


def _as_formula(text: str) -> str:
    r"""An answer that stands alone, marked as a formula: of a bare 2\sqrt3 math-verify reads 2, of \frac12 nothing."""
    text = text.rpartition("####")[2].strip(" \t\r\n*`")
    if re.search(r"\\boxed|\\\(|\\\[|(?<!\\)\$", text):
        return text
    # As formulas, 1e-05 would be Euler's number less 5, and "12 dollars" a product of letters.
    text = re.sub(r"^([-+]?\d+\.?\d*)[eE]([-+]?\d+)$", r"\1 \\cdot 10^{\2}", text)
    prose = "\\" not in text and re.search(r"\d", text) and re.search(r"(?<!\w)[A-Za-z]{4,}(?![\w(^])", text)
    return text if prose else f"${text}$"


@lru_cache(4096)
def _gold(answer: str) -> tuple[Any, ...] | None:
    """What math-verify reads in a row's answer; None where it finds nothing but text that it cannot read."""
    parse, _, targets = _math_verify()
    found = parse(_as_formula(answer), targets, parsing_timeout=None)
    return None if all(isinstance(x, str) for x in found) else tuple(found)


@lru_cache(1)
def _math_verify() -> tuple[Any, Any, Any]:
    package = _package("math_verify")
    # Its own time limits count what takes long as wrong, and work in a main thread only; it warns when they are off.
    for module in ("parser", "grader"):
        logging.getLogger(f"math_verify.{module}").setLevel(logging.ERROR)
    targets = (package.LatexExtractionConfig(boxed_match_priority=0), package.ExprExtractionConfig())
    return package.parse, package.verify, targets


@lru_cache(128)
def _scorer(task: str, options: str) -> Callable[[str, Mapping[str, Any]], float]:
    _package("reasoning_gym")
    return _dataset(task, json.loads(options)).score_answer


def _dataset(task: str, options: Mapping[str, Any]) -> Any:
    factory = importlib.import_module("reasoning_gym.factory")
    if task not in factory.DATASETS:
        raise ArgumentError("reasoning_gym", "a task of reasoning-gym", repr(task))
    return factory.create_dataset(task, **options)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _near(name: str, names: Any) -> str:
    near = get_close_matches(name.replace("-", "_"), names, 3)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ArgumentError("checker", f"the package {name.replace('_', '-')}", str(error), hint=TRAIN) from None


def _imported(module: str) -> Any:
    """A module of the user's, the current folder first in the search."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        hint = ""
        if module.endswith(".py") or "/" in module:
            hint = "the name of a module, as after import: no path, no .py"
        elif isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            hint = f"is {module.replace('.', '/')}.py in this folder, or installed?"
        said = f"{type(error).__name__}: {error}"[:200]
        raise ArgumentError("checker", f"a module {module} that can be imported", said, hint=hint) from None
