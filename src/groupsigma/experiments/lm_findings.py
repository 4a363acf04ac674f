"""What the runs on a language model say: tables with intervals over seeds, from `lm_full`'s plain data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from groupsigma.bands import INTERIOR, banded
from groupsigma.checks import Floats
from groupsigma.experiments.gradients import EXACT
from groupsigma.experiments.lm_full import last
from groupsigma.sigma import gain

Run = Mapping[str, Any]

#: Held-out accuracies to which answers are counted.
TARGETS = (0.58, 0.6, 0.62)


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


def answers_to(run: Run, target: float, by: str = "answers") -> float:
    """Answers (or tokens, updates) until held-out accuracy is `target` for good: below it never again; inf if never."""
    level = np.array([look["held_out"] for look in run["looks"]])
    spent = np.array([look[by] for look in run["looks"]], dtype=np.float64)
    below = np.flatnonzero(level < target)
    if not len(below):
        return 0.0
    i = int(below[-1])
    if i == len(level) - 1:
        return float("inf")
    return float(np.interp(target, level[i : i + 2], spent[i : i + 2]))


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
    off = draws(found)["off"]
    out.append(("DAPO: silent groups drawn, in sd of what was expected", off, "-4 to 4", abs(off) <= 4))
    worst = max(abs(came - due) for way in mass(found).values() for came, due in way.values())
    out.append(("share of gains in any band, largest distance from its expectation", worst, "≤ 0.01", worst <= 0.01))
    return out


def of(found: Run, way: str, G: int = 8) -> list[Run]:
    """The scored runs of a way."""
    return [arm for arm in found["arms"] if arm["way"] == way and arm["G"] == G]


def methods(found: Run) -> list[dict[str, Any]]:
    """Of each way at its best rate: `ends` of its scored runs and, against GRPO's, differences with p after Holm."""
    base = of(found, "grpo")
    out = [{"way": way, "rate": rate, **ends(of(found, way))} for way, rate in found["rates"].items()]
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
        row = {"G": G, **ends(runs)}
        for what in ("held_out", "hardest") if G != 8 else ():
            row[f"{what} less"] = difference(_each(runs, what), _each(base, what))
        out.append(row)
    return out


def ends(runs: Sequence[Run]) -> dict[str, Any]:
    """Final accuracy, its quarters from the hardest on, that on problems trained on; updates; share of steps cut.

    answers: until held-out accuracy has passed .58, .6 and .62 for good, medians; inf where most runs never do.
    """
    return {
        "seeds": len(runs),
        "updates": float(np.mean([run["looks"][-1]["updates"] for run in runs])),
        "held_out": interval(_each(runs, "held_out")),
        "hardest": interval(_each(runs, "hardest")),
        "quarters": np.mean([last(run, "held_out quarters") for run in runs], axis=0).tolist(),
        "seen": float(np.mean([last(run, "seen") for run in runs])),
        "cut": float(np.mean([np.mean(np.array(run["steps"]["norm"]) > 1) for run in runs])),
        "answers": [float(np.median([answers_to(run, target) for run in runs])) for target in TARGETS],
    }


def _each(runs: Sequence[Run], what: str) -> list[float]:
    if what == "hardest":
        return [float(last(run, "held_out quarters")[0]) for run in runs]
    return [float(last(run, what)) for run in runs]


def grid(found: Run) -> dict[str, dict[float, tuple[float, float]]]:
    """Final accuracy of each way at each learning rate: mean over the tuning seeds, and their range."""
    out: dict[str, dict[float, tuple[float, float]]] = {}
    for way in found["rates"]:
        rates = sorted({arm["learning_rate"] for arm in found["grid"] if arm["way"] == way})
        for rate in rates:
            ends = [
                float(last(arm, "held_out"))
                for arm in found["grid"]
                if arm["way"] == way and arm["learning_rate"] == rate
            ]
            out.setdefault(way, {})[rate] = float(np.mean(ends)), float(np.ptp(ends))
    return out


def silence(found: Run) -> list[dict[str, Any]]:
    """By G: silent share of GRPO's groups, measured and expected from exact solve rates, and how far apart.

    bias: mean of foreseen − expected.
    off: (measured − expected) in standard deviations, over all groups. step: root mean square over steps of the same.
    foreseen: mean of what a Tracker foretold; tracked: mean of |foreseen − expected|, first quarter left out.
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
            "step": float(np.sqrt(np.mean((silent - expected) ** 2 / variance))),
            "first": float(silent[:, :10].sum() / groups[:, :10].sum()),
            "last": float(silent[:, -10:].sum() / groups[:, -10:].sum()),
            "foreseen": float(foreseen[:, seen].mean()),
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
        "measured": drawn / (drawn - total["silent"]),
        "expected": drawn / (drawn - total["expected"]),
        "off": (total["silent"] - total["expected"]) / np.sqrt(total["variance"]),
        "drawn": drawn,
    }


def _jobs(found: Run, kind: str) -> list[tuple[list[Any], Any]]:
    return [(row["job"][1:], row["found"]) for row in found["departures"] if row["job"][0] == kind]


def reused(found: Run) -> list[dict[str, Any]]:
    """By learning rate, clip and pass over one batch: how far the update is from today's Σ σ Δs, mean of seeds.

    distance, cosine: of the two; along: the part of u along g, in ‖g‖; ratio, cut: what importance ratios alone and
    the clip do; gained: held-out accuracy since before the batch, and by as many fresh batches.
    """
    by: dict[tuple[float, str, int], list[dict[str, float]]] = {}
    for (rate, clip, _), came in _jobs(found, "passes"):
        for at, row in enumerate(came["updates"], 1):
            by.setdefault((rate, clip, at), []).append({
                "distance": row["today"]["distance"], "cosine": row["today"]["cosine"],
                "ratio": row["ratio"]["distance"], "cut": row["cut"], "clipped": row["clipped"],
                "along": row["today"]["cosine"] * row["today"]["length"],
                "gained": row["held_out"] - came["held_out"], "fresh": row["fresh"] - came["held_out"],
            })  # fmt: skip
    return [
        {"rate": rate, "clip": clip, "pass": at, **{name: float(np.mean([r[name] for r in rows])) for name in rows[0]},
         "low": min(r["distance"] for r in rows), "high": max(r["distance"] for r in rows)}
        for (rate, clip, at), rows in by.items()
    ]  # fmt: skip


def split(found: Run) -> list[dict[str, Any]]:
    """One pass over a batch in M mini-batches, of whole groups or torn: how far each update is from its Σ σ Δs.

    whole: how far the first is from the whole batch's. Means of seeds.
    """
    by: dict[tuple[int, int], list[tuple[list[float], float]]] = {}
    for (M, torn, _), came in _jobs(found, "minis"):
        ages = [row["today"]["distance"] for row in came["updates"]]
        by.setdefault((M, torn), []).append((ages, came["updates"][0]["whole"]["distance"]))
    return [
        {"M": M, "torn": bool(torn), "ages": np.mean([a for a, _ in rows], 0).tolist(),
         "whole": float(np.mean([w for _, w in rows]))}
        for (M, torn), rows in by.items()
    ]  # fmt: skip


def aged(found: Run, clip: str) -> list[dict[str, float]]:
    """By age in updates: the distance of all groups' update as one, with its range, and the median group's."""
    ages: dict[int, list[dict[str, float]]] = {}
    for _, came in _jobs(found, "stale"):
        for row in came:
            told = row[clip]
            ages.setdefault(row["age"], []).append(
                {"all": told["all"]["distance"], "group": float(np.median(told["distance"]))}
            )
    return [
        {"age": age, **{name: float(np.mean([r[name] for r in rows])) for name in rows[0]},
         "low": min(r["all"] for r in rows), "high": max(r["all"] for r in rows)}
        for age, rows in ages.items()
    ]  # fmt: skip


def pulled(found: Run) -> list[dict[str, float]]:
    """By updates since the reference: ‖h‖/‖Σ σ Δs‖, h the gradient of KL, silent groups' share of ‖h‖²; medians."""
    out: dict[int, list[dict[str, float]]] = {}
    for (beta, _), came in _jobs(found, "kl"):
        for row in came:
            if not beta and row["updates"]:
                told = row["published"]
                silent = told["share"]["all_right"] + told["share"]["all_wrong"]
                out.setdefault(row["updates"], []).append(
                    {"kl": row["kl"], "size": told["size"], "cosine": told["cosine"], "silent": silent}
                )
    # The median: where a batch is almost silent, g is small and the ratio large.
    return [{"updates": at, **{n: float(np.median([r[n] for r in rows])) for n in rows[0]}} for at, rows in out.items()]


def contrasts(told: Run, G: int = 8, parts: int = 10) -> list[dict[str, float]]:
    """By tenth of solve rate: ‖D‖, root mean square ‖Δs‖ of groups of G, what D is worth, and prompts there."""
    p, size = np.array(told["p"]), _sizes(told, G)
    out = []
    for at in range(parts):
        here = (p >= at / parts) & ((p < (at + 1) / parts) | (at == parts - 1))
        if not here.any():
            continue
        worth = np.array(told["worth"])[here]
        out.append({
            "p": (at + 0.5) / parts,
            "prompts": int(here.sum()),
            "contrast": float(np.mean(np.array(told["contrast"])[here])),
            "drawn": float(np.sqrt(np.nanmean(size[:, here] ** 2))),
            "worth": float(worth.mean()),
            "error": float(worth.std(ddof=1) / np.sqrt(len(worth))),
        })  # fmt: skip
    return out


def shares(told: Run, G: int = 8) -> dict[str, tuple[float, float]]:
    """GRPO's gradient mass by band in the groups drawn: Σ σ, which takes ‖Δs‖ as equal, and Σ σ ‖Δs‖."""
    p, size = np.array(told["p"]), _sizes(told, G)
    sigma = gain(np.array(told["drawn"][str(G)]["k"]), G)
    seen = np.where(np.isnan(size), 0.0, sigma * np.nan_to_num(size)).sum(0)
    pairs = zip(banded(sigma.sum(0), p).tolist(), banded(seen, p).tolist(), strict=True)
    return dict(zip(INTERIOR, pairs, strict=True))


def _sizes(told: Run, G: int) -> Floats:
    rows = told["drawn"][str(G)]["size"]
    return np.array([[np.nan if x is None else x for x in row] for row in rows])


def by_length(told: Run) -> dict[str, float]:
    """log ‖D‖ = c + a log p + b log(1−p) + l · tokens of the answer: least squares, with R²."""
    p = np.clip(np.array(told["p"]), 1e-4, 1 - 1e-4)
    x = np.column_stack([np.ones(len(p)), np.log(p), np.log1p(-p), told["answer"]])
    y = np.log(told["contrast"])
    fit, *_ = np.linalg.lstsq(x, y, rcond=None)
    left = y - x @ fit
    return dict(zip(("c", "a", "b", "l"), fit.tolist(), strict=True)) | {"r2": float(1 - left.var() / y.var())}


def best_dial(told: Run, G: int = 8, *, noise: bool = True) -> tuple[float, float]:
    """(power, tilt) whose weights come nearest the best first-order ones, w(p) ∝ worth / (E‖Δs‖² p(1−p)).

    The gain c on a prompt moves the held-out problems by c · worth and costs c² E‖Δs‖² of noise; so c ∝ worth / E‖Δs‖².
    Without noise c ∝ worth. Least squares in c over prompts: worth may be negative, its mean by difficulty is not.
    """
    p, y = _first_order(told, G, noise)
    return _nearest_dial(p, y)


def dial_range(told: Run, resamples: int = 200) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % ranges of `best_dial`'s power and tilt over prompts drawn again."""
    p, y = _first_order(told, 8, True)
    rng = np.random.default_rng(0)
    found = [_nearest_dial(p[again], y[again]) for again in rng.integers(len(p), size=(resamples, len(p)))]
    low, high = np.quantile(np.array(found), (0.025, 0.975), axis=0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _first_order(told: Run, G: int, noise: bool) -> tuple[Floats, Floats]:
    """Solve rates, and the best gains there up to a factor; the ends, where odds run away, are left out."""
    p, worth = np.array(told["p"]), np.array(told["worth"])
    inside = (p > 0.02) & (p < 0.98)
    size = np.ones(len(p))
    if noise:
        drawn = _sizes(told, G) ** 2
        some = np.isfinite(drawn).sum(0)
        size, inside = np.where(some > 0, np.nansum(drawn, axis=0) / np.maximum(some, 1), 1.0), inside & (some > 0)
    y = (worth / size)[inside]
    return p[inside], y / np.abs(y).mean()


def _nearest_dial(p: Floats, y: Floats) -> tuple[float, float]:
    """By Gauss and Newton's method: min Σ (e^c p^(1−a) (1−p)^(1−b) − y)²; power a + b, tilt (a − b)/2."""
    x = np.column_stack([np.ones(len(p)), -np.log(p), -np.log1p(-p)])
    v = p * (1 - p)
    theta = np.array([np.log(max(y.mean(), 1e-3)), 0.5, 0.5])
    for _ in range(200):
        c = np.exp(x @ theta) * v
        step = np.clip(np.linalg.lstsq(x * c[:, None], y - c, rcond=None)[0], -0.5, 0.5)
        theta = theta + step
        if np.abs(step).max() < 1e-6:
            break
    a, b = theta[1:]
    return float(a + b), float((a - b) / 2)
