"""`reproduce allocation`: who gets how many tries, static and dynamic, as tables, JSON and pictures.

Resumable: single runs go to runs.jsonl as they finish; a finished results.json is shown, not run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groupsigma.checks import Floats
from groupsigma.errors import SourceError
from groupsigma.experiments.arena import FAMILIES
from groupsigma.experiments.rules import RULES
from groupsigma.experiments.run import Job, run_jobs
from groupsigma.experiments.static import PAST, static_run
from groupsigma.experiments.tournament import Score, Tournament

SCHEMA = "groupsigma.allocation/1"
#: Ours by default, what everything is compared with; the yardsticks of the share of the saving.
OURS, UNIFORM, ORACLE = "plan, in rounds", "GRPO G=8", "oracle plan"
#: Quick: the first family at a third of its answers, few rules and draws.
QUICK_RULES = (UNIFORM, "DAPO", "top-k E[v]", OURS, ORACLE)


def allocation(folder: Path, *, quick: bool = False, workers: int | None = None) -> dict[str, Any]:
    """All results as plain data, computed or taken up in `folder`.

    Args:
        folder: holds runs.jsonl and, once all is done, results.json (quick: results-quick.json).
        quick: within two minutes, for a look.
    """
    finished = folder / ("results-quick.json" if quick else "results.json")
    if finished.is_file():
        try:
            found = json.loads(finished.read_text(encoding="utf-8"))
            if (found["schema"], found["quick"]) == (SCHEMA, quick):
                return found
        except (ValueError, KeyError, TypeError):
            pass
        raise SourceError(
            "reproduce",
            f"results of schema {SCHEMA}",
            "something else",
            str(finished),
            hint="remove it, or name a folder",
        )
    found = {
        "schema": SCHEMA,
        "quick": quick,
        "static": _static(folder, quick, workers),
        "dynamic": _dynamic(folder, quick, workers),
    }
    beside = folder / f".results.{os.getpid()}"
    beside.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    beside.replace(finished)
    return found


def compute_static(job: Job) -> dict[str, Any]:
    """One draw: job = ("static", past tries, seed)."""
    return {name: list(pair) for name, pair in static_run(job[2], job[1]).items()}


def _static(folder: Path, quick: bool, workers: int | None) -> list[dict[str, Any]]:
    draws = 2 if quick else 10
    out = []
    for past in (PAST,) if quick else (0, 4, PAST, 16):
        jobs: list[Job] = [("static", past, seed) for seed in range(draws)]
        found = run_jobs(
            compute_static, jobs, folder / "runs.jsonl", workers=workers, label=f"static, {past} past tries"
        )
        names = list(found[jobs[0]])
        out.append({
            "past": past,
            "draws": draws,
            "rules": {
                n: {w: [_or_none(found[j][n][i]) for j in jobs] for i, w in enumerate(("mixed", "pairs"))}
                for n in names
            },
        })  # fmt: skip
    return out


def _or_none(x: float) -> float | None:
    return None if x != x else x


def _dynamic(folder: Path, quick: bool, workers: int | None) -> list[dict[str, Any]]:
    sizes = dict(shrink=3, tuning=2, scoring=6) if quick else dict(shrink=1, tuning=3, scoring=10)
    contest = Tournament(folder / "runs.jsonl", workers=workers, **sizes)
    families = list(FAMILIES.values())[: 1 if quick else None]
    rules = [RULES[n] for n in QUICK_RULES] if quick else list(RULES.values())
    best = contest.tune(families, rules)
    out = []
    for family in families:
        scores = contest.score(family, [best[family.name, r.name] for r in rules])
        budget = family.budget // contest.shrink
        told = {s.setting.rule: _told(s, budget) for s in scores}
        out.append(
            {"family": family.name, "what": vars(family), "target": family.target, "budget": budget, "rules": told}
        )
    return out


def _told(score: Score, budget: int) -> dict[str, Any]:
    setting = score.setting
    return {
        "knobs": RULES[setting.rule].knobs[setting.knob],
        "weight": setting.weight,
        "step_size": setting.step_size,
        "answers": [x if x < budget * 10 else None for x in map(float, np.round(score.answers))],
        "area": [round(a, 5) for a in score.area],
    }


def answers(row: dict[str, Any], budget: int) -> Floats:
    """Answers to the target on each draw; twice the budget where it was not reached."""
    return np.array([2.0 * budget if a is None else a for a in row["answers"]])


def ratio(row: dict[str, Any], to: dict[str, Any], budget: int) -> tuple[float, float, float]:
    """Answers a rule needs over those of `to`, draw by draw: geometric mean and 95 % bootstrap interval."""
    logs = np.log(answers(row, budget) / answers(to, budget))
    rng = np.random.default_rng(0)
    again = logs[rng.integers(len(logs), size=(4000, len(logs)))].mean(1)
    low, high = np.quantile(again, (0.025, 0.975))
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))


def saving(row: dict[str, Any], rules: dict[str, Any], budget: int) -> float:
    """(1 − a/u)/(1 − o/u) of median answers: the share of the oracle's saving over uniform groups of 8."""
    a, u, o = (float(np.median(answers(r, budget))) for r in (row, rules[UNIFORM], rules[ORACLE]))
    return (1 - a / u) / (1 - o / u) if o < u else float("nan")


def static_rows(table: dict[str, Any]) -> list[tuple[str, float, float, float, float]]:
    """(rule at its best knob for mixed groups, mixed, standard error, pairs, ratio to GRPO G=8), best first."""
    best: dict[str, str] = {}
    for name, row in table["rules"].items():
        family = name.split(" (size")[0].split(" (by")[0].split(" (pilot")[0].split(" (further")[0].split(" (first")[0]
        if family not in best or np.mean(row["mixed"]) > np.mean(table["rules"][best[family]]["mixed"]):
            best[family] = name
    base = float(np.mean(table["rules"][UNIFORM]["mixed"]))
    out = []
    for name in best.values():
        mixed = np.array(table["rules"][name]["mixed"])
        error = float(mixed.std(ddof=1) / np.sqrt(len(mixed)))
        pairs = table["rules"][name]["pairs"]
        mean_pairs = float("nan") if pairs[0] is None else float(np.mean(pairs))
        out.append((name, float(mixed.mean()), error, mean_pairs, float(mixed.mean()) / base))
    return sorted(out, key=lambda row: -row[1])


def dynamic_rows(table: dict[str, Any]) -> list[tuple[str, str, float, tuple[float, float, float], float, float]]:
    """(rule, setting, median answers, ratio to ours with interval, share of the oracle's saving, area), best first.

    The median is inf where no more than half of the draws got there.
    """
    rules, budget = table["rules"], table["budget"]
    out = []
    for name, row in rules.items():
        knobs = ", ".join(f"{k} {v:g}" for k, v in row["knobs"].items())
        setting = "; ".join(x for x in (knobs, row["weight"], f"step {row['step_size']:g}") if x)
        reached = [np.inf if a is None else a for a in row["answers"]]
        out.append((
            name, setting, float(np.median(reached)), ratio(row, rules[OURS], budget),
            saving(row, rules, budget), float(np.mean(row["area"])),
        ))  # fmt: skip
    return sorted(out, key=lambda r: (r[2], -r[5]))


def verdicts(found: dict[str, Any]) -> list[tuple[str, float, str, bool]]:
    """What was to be reached, and what came: (statement, number, wanted, reached)."""
    static = next(t for t in found["static"] if t["past"] == PAST)["rules"]
    mixed = {n: float(np.mean(r["mixed"])) for n, r in static.items()}
    ours = mixed["plan (coverage), one by one"]
    top = max(v for n, v in mixed.items() if n.startswith("top-k"))
    out = []
    for said, over, least in (("over GRPO G=8", mixed[UNIFORM], 2.5), ("over tuned top-k", top, 1.25)):
        out.append((f"static, coverage: mixed groups {said}", ours / over, f"at least {least:g}", ours >= least * over))
    bound = ours / mixed["dual bound"]
    out.append(("static, coverage: of the dual bound", bound, "at least 0.98", bound >= 0.98))
    table = found["dynamic"][0]
    rules, budget = table["rules"], table["budget"]

    def times(name: str) -> float:
        return ratio(rules[name], rules[OURS], budget)[0]

    published = [n for n in rules if RULES[n].source not in ("ours", "bound", "uniform", "tuned rival")]
    nearest = min(published, key=times)
    wanted: Sequence[tuple[str, str, float, bool]] = (
        (UNIFORM, "GRPO G=8", 4.0, True), ("DAPO", "DAPO", 4.0, True),
        (nearest, f"the nearest published rule, {nearest}", 2.0, True), ("top-k E[v]", "tuned top-k", 1.25, True),
    )  # fmt: skip
    for name, said, least, _ in wanted:
        out.append(
            (f"noisy: answers of {said} over the plan's", times(name), f"at least {least:g}", times(name) >= least)
        )
    oracle = 1 / times(ORACLE)
    out.append(("noisy: the plan's answers over the oracle's", oracle, "at most 1.8", oracle <= 1.8))
    return out
