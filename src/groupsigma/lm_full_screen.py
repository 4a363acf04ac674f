"""`reproduce lm` as text: what held, then a table for each question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from groupsigma.experiments import lm_contrasts, lm_stops
from groupsigma.experiments import lm_findings as told
from groupsigma.experiments.lm_findings import named, written
from groupsigma.screen import table_of, verdict_table

_METHODS = (
    "the methods, each at its own best learning rate: last quarter of the looks; cut: share of steps whose gradient's "
    "norm is above 1; quarters of the held-out problems by solve rate at the start"
)


def lm_full_screen(found: Mapping[str, Any]) -> list[RenderableType]:
    """Everything `lm_full` found, family by family."""
    parts: list[RenderableType] = []
    for name, family in found["families"].items():
        parts += [Text(f"the dial on a language model: {name}", style="bold"), *_family(family), Text()]
    return parts[:-1]


def _family(found: Mapping[str, Any]) -> list[RenderableType]:
    start = found["start"]
    head = (
        f"a Llama of {start['parameters']:,} parameters, taught until it solves {start['solved']:.1%} of its problems; "
        f"each run samples {found['budget']:,} answers, {found['batch']:,} a step. Learning rates are chosen on the "
        "same grid for all, on other seeds; ± and brackets are 95 % intervals over seeds."
    )
    parts: list[RenderableType] = [Text(head), Text(), verdict_table(told.family_verdicts(found)), Text()]
    for title, table in (
        ("silent groups under GRPO: expected from exact solve rates, and seen", _silence(found)),
        ("where the update goes: share of gains by exact solve rate, seen (expected)", _mass(found)),
        (
            "how large the contrast is, by solve rate, at the start; here ± is two standard errors over prompts",
            _contrasts(found),
        ),
        ("from the hardest tenth to the easiest, by checkpoint; cosine: E Δs with held-out ∇, mean", _falls(found)),
        ("GRPO's gradient mass in groups of 8: Σ σ‖Δs‖ (Σ σ of the same groups)", _shares(found)),
        ("‖E Δs‖ ∝ p^a (1−p)^b e^(l · tokens), and the dial of the best first-order weights", _fits(found)),
        *_stops(found),
        (_METHODS, _methods(found)),
        ("less GRPO's, in points, p after Holm", _against(found)),
        ("held-out accuracy on the way, by share of the answers; and answers until it stays above", _course(found)),
        ("GRPO at other G, all at the rate that was best for G = 8", _by_size(found)),
        (
            "held out / hardest quarter by learning rate, on the tuning seeds; *: what the rule was scored at",
            _grid(found),
        ),
    ):
        parts += [Text(title, style="bold"), table, Text()]
    return parts[:-1]


#: ε below and above, by the names of CLIPS.
_CLIPS = {"grpo": ".2", "dapo": ".2/.28", "none": "none"}


def _stops(found: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """Where the identity stops; nothing where that was not measured."""
    if not found["departures"]:
        return []
    return [
        (
            "a batch used again, in ‖g‖: u − g, g = Σ σ Δs of today; on the first pass 0. Points of accuracy gained",
            _again(found),
        ),
        ("mini-batches, one pass at 2e-4, ε = .2: the same by age in updates", _parts(found)),
        ("stale answers: the same, learning rate 2e-4", _old(found)),
        ("KL to the start: h its gradient, so that β ‖h‖/‖g‖ is the distance", _drift(found)),
    ]


def _again(found: Mapping[str, Any]) -> Table:
    shown = table_of("rate, ε", "pass", "u − g", "cosine", "along", "ratios", "clip", "tokens", "gained", "fresh")
    for row in lm_stops.reused(found):
        if row["pass"] in (2, 4):
            shown.add_row(
                f"{written(row['rate'])}, {_CLIPS[row['clip']]}", str(row["pass"]), f"{row['distance']:.2f}",
                f"{row['cosine']:+.2f}", f"{row['along']:+.2f}", f"{row['ratio']:.2f}", f"{row['cut']:.2f}",
                f"{row['clipped']:.1%}", _apart((row["gained"], row["least"], row["most"])),
                f"{100 * row['fresh']:+.1f}",
            )  # fmt: skip
    return shown


def _parts(found: Mapping[str, Any]) -> Table:
    shown = table_of("one batch in M parts", *map(str, range(8)), "first, from all")
    for row in lm_stops.split(found):
        ages = [f"{x:.2f}" for x in row["ages"]]
        name = f"{row['M']}, {'torn' if row['torn'] else 'whole'} groups"
        shown.add_row(name, *ages, *[""] * (8 - len(ages)), f"{row['whole']:.2f}")
    return shown


def _old(found: Mapping[str, Any]) -> Table:
    shown = table_of("answers so many updates old", *(str(row["age"]) for row in lm_stops.aged(found, "grpo")))
    for clip, name in _CLIPS.items():
        for what, whose in (("all", "all groups"), ("group", "median group")):
            shown.add_row(f"{whose}, ε {name}", *(f"{row[what]:.2f}" for row in lm_stops.aged(found, clip)))
    return shown


def _drift(found: Mapping[str, Any]) -> Table:
    shown = table_of("trained with β", "updates", "seed", "KL a token", "‖h‖/‖g‖", "TRL's", "cosine", "silent groups")
    for row in lm_stops.pulled(found):
        shown.add_row(
            f"{row['beta']:g}", str(row["updates"]), str(row["seed"]), f"{row['kl']:.3f}", f"{row['size']:.2f}",
            f"{row['corrected']:.2f}", f"{row['cosine']:+.2f}", f"{row['silent']:.1%}",
        )  # fmt: skip
    return shown


def _silence(found: Mapping[str, Any]) -> Table:
    shown = table_of(
        "G", "seeds", "seen", "expected", "off, in sd", "first 10 steps", "last 10", "forecast off", "mean"
    )
    for row in told.silence(found):
        shown.add_row(
            str(row["G"]), str(row["seeds"]), _percent(row["measured"]), f"{row['expected']:.1%}", f"{row['off']:+.1f}",
            f"{row['first']:.1%}", f"{row['last']:.1%}", f"{row['tracked']:.1%}", f"{row['bias']:+.1%}",
        )  # fmt: skip
    return shown


def _mass(found: Mapping[str, Any]) -> Table:
    shares = told.mass(found)
    shown = table_of("", *next(iter(shares.values())))
    for way, bands in shares.items():
        shown.add_row(named(way), *(f"{came:.1%} ({due:.1%})" for came, due in bands.values()))
    return shown


def _contrasts(found: Mapping[str, Any]) -> Table:
    shown = table_of("solve rate", "prompts", "‖E Δs‖", "‖Δs‖, G = 4", "G = 8", "G = 32", "worth to held-out")
    first = found["norms"][0]
    by_size = [lm_contrasts.contrasts(first, G) for G in (4, 8, 32)]
    for four, eight, most in zip(*by_size, strict=True):
        shown.add_row(
            f"{eight['p'] - 0.05:.1f}–{eight['p'] + 0.05:.1f}", str(eight["prompts"]), f"{eight['contrast']:.0f}",
            *(f"{row['drawn']:.0f}" for row in (four, eight, most)), f"{eight['worth']:.1f} ± {2 * eight['error']:.1f}",
        )  # fmt: skip
    return shown


def _falls(found: Mapping[str, Any]) -> Table:
    shown = table_of(
        "updates, seed", "‖E Δs‖", "factor", "‖Δs‖, G = 8", "factor", "worth to held-out", "factor", "cosine"
    )
    for row in found["norms"]:
        rows = lm_contrasts.contrasts(row)
        ends = [(rows[0][what], rows[-1][what]) for what in ("contrast", "drawn", "worth")]
        cells = [(f"{hard:.0f} → {easy:.0f}", f"{hard / easy:.1f}") for hard, easy in ends]
        shown.add_row(_when(row), *(cell for pair in cells for cell in pair), f"{_mean(row['cosine']):.3f}")
    return shown


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _shares(found: Mapping[str, Any]) -> Table:
    shown = table_of("updates, seed", *lm_contrasts.shares(found["norms"][0]))
    for row in found["norms"]:
        shown.add_row(_when(row), *(f"{came:.1%} ({due:.1%})" for due, came in lm_contrasts.shares(row).values()))
    return shown


#: A power whose 95 % range is wider than the dial itself is not told.
_DETERMINED = 10


def _fits(found: Mapping[str, Any]) -> Table:
    shown = table_of("updates, seed", "a", "b", "l", "R²", "power", "95 %", "tilt", "95 %")
    for row in found["norms"]:
        fit, (power, tilt) = lm_contrasts.by_length(row), lm_contrasts.best_dial(row)
        (low, high), tilts = lm_contrasts.dial_range(row)
        fits = [f"{fit[name]:+.2f}" for name in ("a", "b", "l", "r2")]
        dial = ["not determined", "", "", ""]
        if high - low < _DETERMINED:
            dial = [f"{power:.1f}", f"{low:+.1f} to {high:+.1f}", f"{tilt:+.1f}", "{:+.1f} to {:+.1f}".format(*tilts)]
        shown.add_row(_when(row), *fits, *dial)
    return shown


def _when(row: Mapping[str, Any]) -> str:
    return f"{row['updates']}, {row['seed']}"


def _methods(found: Mapping[str, Any]) -> Table:
    shown = table_of("", "updates", "cut", "held out", "hardest", "second", "third", "easiest", "trained on")
    for row in told.methods(found):
        others = [f"{x:.1%}" for x in (*row["quarters"][1:], row["seen"])]
        ends = [_percent(row["held_out"]), _percent(row["hardest"]), *others]
        shown.add_row(named(row["way"]), f"{row['updates']:.0f}", f"{row['cut']:.0%}", *ends)
    return shown


def _against(found: Mapping[str, Any]) -> Table:
    shown = table_of("", "held out", "p", "hardest quarter", "p")
    for row in told.methods(found):
        apart = [x for what in ("held_out", "hardest") for x in (_apart(row.get(f"{what} less")), _chance(row, what))]
        shown.add_row(named(row["way"]), *apart)
    return shown


def _course(found: Mapping[str, Any]) -> Table:
    shown = table_of("", "at ¼", "at ½", "at ¾", *(f"to {target:g}" for target in found["targets"]))
    for row in told.methods(found):
        shown.add_row(named(row["way"]), *(f"{x:.1%}" for x in row["course"]), *map(_thousands, row["answers"]))
    return shown


def _by_size(found: Mapping[str, Any]) -> Table:
    shown = table_of("G", "cut", "held out", "less G = 8", "hardest", "less G = 8", "trained on")
    for row in told.by_size(found):
        shown.add_row(
            str(row["G"]), f"{row['cut']:.0%}", _percent(row["held_out"]), _apart(row.get("held_out less")),
            _percent(row["hardest"]), _apart(row.get("hardest less")), f"{row['seen']:.1%}",
        )  # fmt: skip
    return shown


def _chance(row: Mapping[str, Any], what: str) -> str:
    return f"{row[f'{what} p']:.1g}" if f"{what} p" in row else ""


def _thousands(answers: float) -> str:
    return f"{answers / 1000:.0f}k" if isfinite(answers) else "never"


def _grid(found: Mapping[str, Any]) -> Table:
    table = told.grid(found)
    rates = sorted({rate for row in table.values() for rate in row})
    shown = table_of("", *map(written, rates))
    for way, row in table.items():
        best = found["rates"][way]
        shown.add_row(named(way), *(f"{_both(row[rate])}{' *' if rate == best else '  '}" for rate in rates))
    return shown


def _both(found: Sequence[float]) -> str:
    return " / ".join(f"{x:.1%}" for x in found)


def _percent(found: Sequence[float]) -> str:
    mean, low, high = found
    return f"{mean:.1%} ± {(high - low) / 2:.1%}"


def _apart(found: Sequence[float] | None) -> str:
    return "" if found is None else f"{100 * found[0]:+.1f} [{100 * found[1]:+.1f}, {100 * found[2]:+.1f}]"
