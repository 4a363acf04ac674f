"""`reproduce lm` as text: the verdicts, the start, and what each method made of it."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from groupsigma.experiments.lm import verdicts
from groupsigma.presets import spoken
from groupsigma.screen import table_of, verdict_table


def lm_screen(found: dict[str, Any]) -> list[RenderableType]:
    """Everything `lm` found."""
    scale, start = found["scale"], found["start"]
    told = (
        f"a Llama of {start['parameters']:,} parameters, taught sums of 1 to {scale['start']['digits']} digits; "
        f"{scale['steps']} steps of {scale['prompts']} × {scale['G']} answers, one seed, one learning rate for all: "
        "that accuracy rises is shown, which method is best is not"
    )
    parts: list[RenderableType] = [Text("the three methods on a language model", style="bold"), Text(told), Text()]
    return [*parts, verdict_table(verdicts(found)), Text(), _methods(found)]


def _methods(found: dict[str, Any]) -> Table:
    shown = table_of("exact solve rates", "problems", "hardest quarter", "held out", "silent", "foreseen")
    start = found["start"]
    shown.add_row("taught", *_rates(start), f"{start['silent']:.1%}", "")
    for name, run in found["methods"].items():
        both = [(s, p) for s, p in zip(run["silent"], run["silent_predicted"], strict=True) if p is not None]
        silent, foreseen = (sum(column) / len(both) for column in zip(*both, strict=True))
        shown.add_row(spoken(name), *_rates(run), f"{silent:.1%}", f"{foreseen:.1%}")
    return shown


def _rates(run: dict[str, Any]) -> list[str]:
    return [f"{run[key]:.1%}" for key in ("solved", "hardest", "held_out")]
