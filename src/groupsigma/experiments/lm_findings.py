"""What the runs on a language model say: tables with intervals over seeds, from `lm_full`'s plain data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from groupsigma.bands import INTERIOR
from groupsigma.experiments import lm_contrasts, lm_stops
from groupsigma.experiments.gradients import EXACT
from groupsigma.experiments.lm_full import last, lm_full
from groupsigma.presets import spoken

Run = Mapping[str, Any]


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and its t interval over seeds.

    >>> interval([1.0, 2.0, 3.0])[0]
    2.0
    """
    x = np.asarray(values, dtype=np.float64)
    half = stats.t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean()), float(x.mean() - half), float(x.mean() + half)


def difference(mine: ArrayLike, theirs: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of mine − theirs and Welch's interval: arms of one seed part ways at the first update."""
    a, b = np.asarray(mine, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    found = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
    return float(a.mean() - b.mean()), float(found.low), float(found.high)


def answers_to(run: Run, target: float) -> float:
    """Answers until held-out accuracy is `target` for good: below it never again; inf if never."""
    level = np.array([look["held_out"] for look in run["looks"]])
    spent = np.array([look["answers"] for look in run["looks"]], dtype=np.float64)
    below = np.flatnonzero(level < target)
    if not len(below):
        return 0.0
    i = int(below[-1])
    if i == len(level) - 1:
        return float("inf")
    return float(np.interp(target, level[i : i + 2], spent[i : i + 2]))


def lm(folder: Path, *, family: str | None = None) -> dict[str, Any]:
    """`lm_full`, and what it says: `findings` of each family."""
    found = lm_full(folder, family=family)
    return {**found, "findings": {name: findings(one) for name, one in found["families"].items()}}


def findings(found: Run) -> dict[str, Any]:
    """Every table of a family, by name."""
    return {
        "silence": silence(found),
        "mass": mass(found),
        "methods": methods(found),
        "sizes": by_size(found),
        "grid": grid(found),
        "draws": draws(found),
        "contrasts": [lm_contrasts.contrasts(row) for row in found["norms"]],
        "shares": [lm_contrasts.shares(row) for row in found["norms"]],
        "passes": lm_stops.reused(found),
        "parts": lm_stops.split(found),
        "stale": {clip: lm_stops.aged(found, clip) for clip in ("grpo", "dapo", "none")},
        "kl": lm_stops.pulled(found),
    }


def named(way: str) -> str:
    """A way as it is shown.

    >>> named("grpo"), named("grpo, token mean"), named("power 0.5")
    ('GRPO', 'GRPO, token mean', 'power 0.5')
    """
    first, comma, rest = way.partition(",")
    return (first if " " in first else spoken(first)) + comma + rest


def written(rate: float) -> str:
    """A learning rate as papers write it.

    >>> written(0.0002), written(0.000025)
    ('2e-4', '2.5e-5')
    """
    digits, power = f"{rate:.3e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def verdicts(found: Run) -> list[tuple[str, float, str, bool]]:
    """What the theory says must come out, over all families: `family_verdicts`, each named."""
    return [
        (f"{name}: {what}", number, wanted, good)
        for name, one in found["families"].items()
        for what, number, wanted, good in family_verdicts(one)
    ]


def family_verdicts(found: Run) -> list[tuple[str, float, str, bool]]:
    """(what, the number, what is wanted, whether it is so)."""
    out = []
    for kind, by_precision in found["theorem"].items():
        for name, most in EXACT.items():
            worst = max(row["error"] for row in by_precision[name])
            what = f"Theorem 1 on {name} gradients, {kind} rewards, largest relative error"
            out.append((what, worst, f"≤ {most:g}", worst <= most))
    for row in silence(found):
        what = f"G = {row['G']}: silent groups seen, in sd of what was expected"
        out.append((what, row["off"], "-4 to 4", abs(row["off"]) <= 4))
    every = [run["steps"] for run in [*found["grid"], *found["arms"]]]
    came, due, spread = (sum(sum(run[name]) for run in every) for name in ("silent", "expected", "variance"))
    off = (came - due) / np.sqrt(spread)
    what = f"all {len(every)} runs: {came:,} groups silent, {due:,.0f} expected, in sd"
    out.append((what, off, "-4 to 4", abs(off) <= 4))
    dapo = draws(found)
    what = (
        f"DAPO: {dapo['drawn']:,} groups for {dapo['kept']:,} kept, {dapo['measured']:.4f} each, "
        f"{dapo['expected']:.4f} expected; silent ones in sd"
    )
    out.append((what, dapo["off"], "-4 to 4", abs(dapo["off"]) <= 4))
    worst = max(abs(came - due) for way in mass(found).values() for came, due in way.values())
    out.append(("share of gains in any band, largest distance from its expectation", worst, "≤ 0.01", worst <= 0.01))
    return out


def of(found: Run, way: str, G: int = 8) -> list[Run]:
    """The scored runs of a way."""
    return [arm for arm in found["arms"] if arm["way"] == way and arm["G"] == G]


def methods(found: Run) -> list[dict[str, Any]]:
    """Of each way at its best rate: `ends` of its scored runs and, against GRPO's, differences with p after Holm."""
    base = of(found, "grpo")
    out = [{"way": way, "rate": rate, **ends(found, of(found, way))} for way, rate in found["rates"].items()]
    tests = []
    for row in out:
        for what in ("held_out", "hardest") if row["way"] != "grpo" else ():
            mine, theirs = _each(of(found, row["way"]), what), _each(base, what)
            row[f"{what} less"] = difference(mine, theirs)
            tests.append((float(stats.ttest_ind(mine, theirs, equal_var=False).pvalue), row, what))
    worst = 0.0
    for at, (p, row, what) in enumerate(sorted(tests, key=lambda test: test[0])):
        worst = max(worst, min(1.0, p * (len(tests) - at)))
        row[f"{what} p"] = worst
    return out


def by_size(found: Run) -> list[dict[str, Any]]:
    """Of GRPO at each G, all at the rate best for G = 8: `ends`, and differences from G = 8."""
    base, out = of(found, "grpo"), []
    for G in sorted({arm["G"] for arm in found["arms"] if arm["way"] == "grpo"}):
        runs = of(found, "grpo", G)
        row = {"G": G, **ends(found, runs)}
        for what in ("held_out", "hardest") if G != 8 else ():
            row[f"{what} less"] = difference(_each(runs, what), _each(base, what))
        out.append(row)
    return out


def ends(found: Run, runs: Sequence[Run]) -> dict[str, Any]:
    """Final accuracy, its quarters from the hardest on, that on problems trained on; updates; share of steps cut.

    course: held-out accuracy after a quarter, half and three quarters of the budget.
    answers: until held-out accuracy has passed each of the family's targets for good, medians; inf where most runs
        never do.
    """
    return {
        "seeds": len(runs),
        "updates": float(np.mean([run["looks"][-1]["updates"] for run in runs])),
        "held_out": interval(_each(runs, "held_out")),
        "hardest": interval(_each(runs, "hardest")),
        "quarters": np.mean([last(run, "held_out quarters") for run in runs], axis=0).tolist(),
        "seen": float(np.mean([last(run, "seen") for run in runs])),
        "cut": float(np.mean([np.mean(np.array(run["steps"]["norm"]) > 1) for run in runs])),
        "course": [float(np.mean([_at(run, found["budget"] * part) for run in runs])) for part in (0.25, 0.5, 0.75)],
        "answers": [float(np.median([answers_to(run, target) for run in runs])) for target in found["targets"]],
    }


def _at(run: Run, answers: float) -> float:
    looks = run["looks"]
    return float(np.interp(answers, [look["answers"] for look in looks], [look["held_out"] for look in looks]))


def _each(runs: Sequence[Run], what: str) -> list[float]:
    if what == "hardest":
        return [float(last(run, "held_out quarters")[0]) for run in runs]
    return [float(last(run, what)) for run in runs]


def grid(found: Run) -> dict[str, dict[float, tuple[float, float]]]:
    """Final accuracy of each way at each rate, of all and of the hardest quarter: means of the tuning seeds."""
    out: dict[str, dict[float, tuple[float, float]]] = {}
    for way in found["rates"]:
        runs = [arm for arm in found["grid"] if arm["way"] == way]
        for rate in sorted({arm["learning_rate"] for arm in runs}):
            here = [arm for arm in runs if arm["learning_rate"] == rate]
            both = (float(np.mean(_each(here, what))) for what in ("held_out", "hardest"))
            out.setdefault(way, {})[rate] = next(both), next(both)
    return out


def silence(found: Run) -> list[dict[str, Any]]:
    """By G: silent share of GRPO's groups, measured and expected from exact solve rates, and how far apart.

    off: (measured − expected) in standard deviations, over all groups. first, last: share in 10 steps.
    tracked, bias: means of |foreseen − expected| and of foreseen − expected, by a Tracker, first quarter left out.
    """
    out = []
    for G in sorted({arm["G"] for arm in found["arms"] if arm["way"] == "grpo"}):
        runs = of(found, "grpo", G)
        silent, groups, expected, variance = (
            np.array([run["steps"][name] for run in runs], dtype=np.float64)
            for name in ("silent", "groups", "expected", "variance")
        )
        foreseen = np.array([[np.nan if x is None else x for x in run["steps"]["foreseen"]] for run in runs])
        seen = slice(silent.shape[1] // 4, None)
        out.append({
            "G": G,
            "seeds": len(runs),
            "measured": interval(silent.sum(1) / groups.sum(1)),
            "expected": float(expected.sum() / groups.sum()),
            "off": float((silent - expected).sum() / np.sqrt(variance.sum())),
            "first": float(silent[:, :10].sum() / groups[:, :10].sum()),
            "last": float(silent[:, -10:].sum() / groups[:, -10:].sum()),
            "bias": float((foreseen - expected / groups)[:, seen].mean()),
            "tracked": float(np.abs(foreseen - expected / groups)[:, seen].mean()),
        })  # fmt: skip
    return out


def mass(found: Run) -> dict[str, dict[str, tuple[float, float]]]:
    """By way and band of exact solve rate: share of the gains, measured and expected, over the scored runs."""
    out = {}
    for way in found["rates"]:
        came, due = np.sum([run["mass"] for run in of(found, way)], axis=0)
        pairs = zip((came / came.sum()).tolist(), (due / due.sum()).tolist(), strict=True)
        out[way] = dict(zip(INTERIOR, pairs, strict=True))
    return out


def draws(found: Run) -> dict[str, float]:
    """DAPO: groups drawn for each kept, measured and expected from exact solve rates; off in standard deviations."""
    runs = of(found, "dapo")
    total = {
        name: sum(sum(run["steps"][name]) for run in runs) for name in ("groups", "silent", "expected", "variance")
    }
    drawn = total["groups"]
    return {
        "kept": drawn - total["silent"],
        "measured": drawn / (drawn - total["silent"]),
        "expected": drawn / (drawn - total["expected"]),
        "off": (total["silent"] - total["expected"]) / np.sqrt(total["variance"]),
        "drawn": drawn,
    }
