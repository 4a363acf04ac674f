"""What the contest on a language model says, from `lm_contest`'s plain data alone: answers saved, the map, the parts.

Levels are uniform groups' own: the held-out accuracy they have after half and after all of their answers. How many
answers another rule needs to it is read off the mean curve of its seeds, made monotone by isotonic regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from groupsigma.checks import Floats
from groupsigma.experiments.lm_contest import ENTRIES, ORACLE, OURS, UNIFORM, area, lm_contest
from groupsigma.experiments.lm_findings import difference, interval

Run = Mapping[str, Any]

#: Shares of a uniform run at which its levels are taken; points a curve is read at; resamples of the seeds.
SHARES, _POINTS, _AGAIN = (0.5, 1.0), 121, 2000


@dataclass(frozen=True)
class Ratio:
    """Another rule's answers over those of a rule, to the same level, with a 95 % bootstrap range over seeds.

    The range takes each rule's seeds again by itself; with five seeds it is rather narrow.

    Attributes: times, low, high: 0 where the rule itself never gets there. beyond: the other never does; at least.
    """

    times: float
    low: float
    high: float
    beyond: bool


def lm_allocation(folder: Path, *, start: str | None = None) -> dict[str, Any]:
    """`lm_contest`, and what it says: `findings` of each start."""
    found = lm_contest(folder, start=start)
    return {**found, "findings": {name: findings(one) for name, one in found["starts"].items()}}


def findings(found: Run) -> dict[str, Any]:
    """Every table of a start, by name."""
    return {"scores": scores(found), "map": mapped(found), "tuned": tuned(found), "parts": parts(found)}


def of(found: Run, name: str) -> list[Run]:
    """The scored runs of a listed rule."""
    return [run for run in found["scored"] if run["name"] == name]


def curves(runs: Sequence[Run], what: str = "answers") -> tuple[Floats, Floats]:
    """Held-out accuracy of each run, [runs, points], at the same places: answers, or tokens, from 0 to the budget."""
    most = float(np.mean([run["looks"][-1][what] for run in runs]))
    x = np.linspace(0, most, _POINTS)
    return x, np.array([
        np.interp(x, [look[what] for look in run["looks"]], [look["held_out"] for look in run["looks"]]) for run in runs
    ])  # fmt: skip


def risen(y: Floats) -> Floats:
    """The nearest curve that never falls."""
    return np.asarray(isotonic_regression(y).x)


def reaches(x: Floats, y: Floats, level: float) -> float:
    """Where a curve that never falls first has a level; inf if it never has."""
    if y[-1] < level:
        return float("inf")
    i = int(np.argmax(y >= level))
    if i == 0:
        return float(x[0])
    return float(np.interp(level, y[i - 1 : i + 1], x[i - 1 : i + 1]))


def reached(found: Run, name: str, share: float, what: str = "answers") -> float:
    """Answers, or tokens, until a rule's mean curve has the level of uniform groups at `share` of theirs; or inf."""
    (x, mine), (_, base) = (curves(of(found, rule), what) for rule in (name, UNIFORM))
    return reaches(x, risen(mine.mean(0)), _level(base.mean(0), share))


def _level(base: Floats, share: float) -> float:
    return float(np.interp(share, np.linspace(0, 1, _POINTS), risen(base)))


def fewer(found: Run, name: str, to: str, share: float, what: str = "answers") -> Ratio:
    """Answers of the rule `to` over those of `name`, to the level that uniform groups have at `share` of theirs.

    Args: what: "answers", or "tokens".
    """
    names = list(dict.fromkeys((name, to, UNIFORM)))
    sets = {rule: curves(of(found, rule), what) for rule in names}
    rng = np.random.default_rng(0)

    def once(picked: Mapping[str, Any]) -> tuple[float, float]:
        means = {rule: ys[picked[rule]].mean(0) for rule, (_, ys) in sets.items()}
        level = _level(means[UNIFORM], share)
        mine, theirs = (reaches(sets[rule][0], risen(means[rule]), level) for rule in (name, to))
        return mine, theirs

    def times(mine: float, theirs: float) -> float:
        return min(theirs, float(sets[to][0][-1])) / mine

    mine, theirs = once({rule: slice(None) for rule in names})
    again = [
        times(*once({rule: rng.integers(len(ys), size=len(ys)) for rule, (_, ys) in sets.items()}))
        for _ in range(_AGAIN)
    ]
    low, high = np.quantile(again, (0.025, 0.975))
    return Ratio(times(mine, theirs), float(low), float(high), bool(np.isinf(theirs)))


def saving(found: Run, share: float) -> float:
    """(1 − a/u)/(1 − o/u): ours' share of what its oracle saves over uniform groups; NaN where that is nothing."""
    u, a, o = (reached(found, name, share) for name in (UNIFORM, OURS, ORACLE))
    return (1 - a / u) / (1 - o / u) if max(u, a) < np.inf and o < u else float("nan")


def scores(found: Run) -> list[dict[str, Any]]:
    """Of each scored rule at its best setting: accuracy at the end, area, and ours' ratios; largest area first."""
    out = []
    for name, at in found["best"].items():
        if not ENTRIES[name].scored:
            continue
        runs = of(found, name)
        row: dict[str, Any] = {
            "name": name,
            **{key: at[key] for key in ("knobs", "batch", "learning_rate")},
            "seeds": len(runs),
            "area": interval([area(run) for run in runs]),
            "behind": difference([area(run) for run in of(found, OURS)], [area(run) for run in runs]),
            "end": interval([ended(run) for run in runs]),
            "quarters": np.mean([_last(run, "held_out quarters") for run in runs], axis=0).tolist(),
            "silent": float(np.mean([sum(run["steps"]["silent"]) / sum(run["steps"]["groups"]) for run in runs])),
            "choosing": float(np.mean([run["choosing"] for run in runs])),
            "tokens": float(np.mean([run["looks"][-1]["tokens"] for run in runs])),
        }
        for what in ("answers", "tokens"):
            row[what] = [vars(fewer(found, OURS, name, share, what)) for share in SHARES] if name != OURS else []
        row["reached"] = [reached(found, name, share) for share in SHARES]
        out.append(row)
    return sorted(out, key=lambda row: -row["area"][0])


def ended(run: Run) -> float:
    """Held-out accuracy over the last quarter of the looks."""
    return float(_last(run, "held_out"))


def _last(run: Run, what: str) -> Any:
    looks = run["looks"]
    return np.mean([look[what] for look in looks[-(len(looks) // 4) :]], axis=0)


def mapped(found: Run) -> list[dict[str, Any]]:
    """By batch and rate: mean area and end of uniform groups, ours and the oracle, and how many seeds."""
    cells = sorted({(run["batch"], run["learning_rate"]) for run in found["map"]})
    out = []
    for batch, rate in cells:
        row: dict[str, Any] = {"batch": batch, "rate": rate}
        for name in (UNIFORM, OURS, ORACLE):
            runs = [r for r in found["map"] if (r["batch"], r["learning_rate"], r["rule"]) == (batch, rate, name)]
            row[name] = {"area": _mean(map(area, runs)), "end": _mean(map(ended, runs)), "seeds": len(runs)}
        out.append(row)
    return out


def tuned(found: Run) -> list[dict[str, Any]]:
    """Every rule's best setting, and its area and end on the tuning seed; those that are not scored too."""
    runs = {_key(run): run for run in [*found["map"], *found["tuned"]]}
    return [
        {"name": name, **at, "area": area(runs[_key(at)]), "end": ended(runs[_key(at)])}
        for name, at in found["best"].items()
    ]


def _key(at: Run) -> tuple[Any, ...]:
    return tuple(at[name] for name in ("start", "rule", "knobs", "batch", "learning_rate", "budget", "seed"))


def parts(found: Run) -> list[dict[str, Any]]:
    """Ours with one thing changed, less ours on the same seeds: area and end, means; n₀ where it was measured."""
    ours = {run["seed"]: run for run in of(found, OURS)}
    out = []
    for name in dict.fromkeys(run["name"] for run in found["parts"]):
        runs = [run for run in found["parts"] if run["name"] == name]
        measured = [run["steps"]["saturation"] for run in runs if "saturation" in run["steps"]]
        out.append({
            "name": name,
            "seeds": len(runs),
            "area": _mean(area(run) - area(ours[run["seed"]]) for run in runs),
            "end": _mean(ended(run) - ended(ours[run["seed"]]) for run in runs),
            "saturation": [float(np.median(row)) for row in measured],
        })  # fmt: skip
    return out


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def verdicts(found: Run) -> list[tuple[str, float, str, bool]]:
    """What was to be reached, over all starts: (what, the number, what is wanted, whether it is so)."""
    out = []
    for start, one in found["starts"].items():
        scored = {run["name"] for run in one["scored"]}
        for share, said in zip(SHARES, ("half of", "all"), strict=True):
            level = f"to the level of GRPO, G = 8, after {said} its answers"
            for name, words, least in (
                (UNIFORM, "GRPO's", 1.7), ("dapo", "DAPO's", 1.7), ("top-k", "tuned top-k's", 1.25),
            ):  # fmt: skip
                if name in scored:
                    times = fewer(one, OURS, name, share).times
                    out.append((f"{start}: {words} answers over ours, {level}", times, f"≥ {least}", times >= least))
            part = saving(one, share)
            out.append((f"{start}: share of the oracle's saving, {level}", part, "≥ 0.75", part >= 0.75))
        worst = min(row[OURS]["area"] - row[UNIFORM]["area"] for row in mapped(one))
        out.append((f"{start}: least gain in area over uniform groups on the map", worst, "≥ 0", worst >= 0))
    return out
