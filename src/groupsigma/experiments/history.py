"""A real GRPO run, visit by visit: its silent share foretold from each problem's own earlier visits.

One-Shot-RLVR's run on 1,209 problems (Qwen2.5-Math-1.5B, verl, 8 answers each), 64,000 groups in order of visit. Every
rule sees earlier visits only; the first visit is foretold by none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, expit, logit

from groupsigma import arrays
from groupsigma.checks import Floats, Ints
from groupsigma.drift import forecast, visits
from groupsigma.errors import ArgumentError, SourceError
from groupsigma.groups import Groups
from groupsigma.law import silent_rate
from groupsigma.readers import load

#: Bumped when a key of the results is renamed or changes its meaning.
SCHEMA = "groupsigma.history/1"
DATA = Path("real") / "one_shot_rlvr" / "history.csv"
#: From here on problems drop out, as the run ends.
LAST = 50
OURS, RECALIBRATED = "walks", "walks, recalibrated"
LAST_VISIT, BATCH, DISCOUNTED = "last visit", "batch mean", "discounted Beta"
SHARP = "discounted Beta, sharper"


def history(folder: Path) -> dict[str, Any]:
    """The results, from results.json in the folder or computed and kept there; a few seconds.

    Raises: ArgumentError where there are none and GROUPSIGMA_DATA does not hold real/one_shot_rlvr/history.csv.
    """
    path = folder / "results.json"
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["schema"] == SCHEMA:
                return dict(found)
        except (ValueError, KeyError, TypeError):
            pass
        needs = f"results of schema {SCHEMA}"
        raise SourceError("reproduce", needs, "something else", str(path), hint="remove it, or name a folder")
    data = os.environ.get("GROUPSIGMA_DATA")
    if not data or not (Path(data) / DATA).is_file():
        got = f"no {DATA.as_posix()} in it" if data else "no GROUPSIGMA_DATA"
        hint = f"GROUPSIGMA_DATA=FOLDER that holds {DATA.as_posix()}, from github.com/ypwang61/One-Shot-RLVR; or --runs"
        raise ArgumentError("reproduce history", "the run's counts, or finished results", got, hint=hint)
    found = compared(load(Path(data) / DATA))
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def compared(groups: Groups) -> dict[str, Any]:
    """Every rule's predictions against what came: scores, the shares visit by visit, calibration.

    Args: groups: counts of one size, several visits a prompt.
    """
    assert groups.n_correct is not None
    visit, k, n = visits(groups), groups.n_correct, groups.n_rollouts
    came = ((k == 0) | (k == n)).astype(np.float64)
    told = foretold_by(groups)
    known = visit > 0
    last = min(LAST, int(visit.max()) + 1)
    shares = {name: _by_visit(q, visit, last) for name, q in told.items()}
    real = _by_visit(came, visit, last)
    # The mean |normal| of each visit's own spread: what is left when every prediction is right.
    spread = [np.sqrt((q * (1 - q)).sum()) / len(q) for q in (told[OURS][visit == v] for v in range(1, last))]
    return {
        "schema": SCHEMA,
        "groups": len(k),
        "foretold": int(known.sum()),
        "prompts": len(arrays.factorize(groups.prompt_ids)[1]),
        "group_size": int(n.max()),
        "visits": last,
        "noise": float(np.mean(spread) * np.sqrt(2 / np.pi)),
        "came": real,
        "foretold_by_visit": {name: shares[name] for name in (OURS, RECALIBRATED, LAST_VISIT, BATCH, DISCOUNTED)},
        "rules": {name: _score(q, came, known, shares[name], real) for name, q in told.items()},
        "calibration": {name: _calibration(told[name][known], came[known]) for name in (OURS, RECALIBRATED)},
    }


def foretold_by(groups: Groups) -> dict[str, Floats]:
    """P(silent) of every group by every rule, from its prompt's earlier visits; NaN on first visits."""
    assert groups.n_correct is not None
    visit, G = visits(groups), int(groups.n_rollouts.max())
    k, n = groups.n_correct, groups.n_rollouts
    ours = np.clip(forecast(groups).silent, 0.0, 1.0)
    out = {OURS: ours, RECALIBRATED: recalibrated(ours, (k == 0) | (k == n), visit)}
    first = visit == 0
    fitted = _fitted_beta(k[first], n[first])
    prompts, ids = arrays.factorize(groups.prompt_ids)
    out[LAST_VISIT] = _faded(prompts, len(ids), visit, k, n, 0.0, lambda r, t: silent_rate(r / t, G))
    mean = np.array([(k[visit == v].sum() / n[visit == v].sum()) for v in range(int(visit.max()) + 1)])
    out[BATCH] = np.where(first, np.nan, silent_rate(mean, G)[visit - 1])
    out["all visits, plug-in"] = _faded(prompts, len(ids), visit, k, n, 1.0, lambda r, t: silent_rate(r / t, G))
    out["all visits, Beta"] = _faded(prompts, len(ids), visit, k, n, 1.0, _beta(fitted, G))
    out[DISCOUNTED] = _faded(prompts, len(ids), visit, k, n, 0.9, _beta(fitted, G))
    # Its two numbers were chosen after the run was seen.
    out[SHARP] = _faded(prompts, len(ids), visit, k, n, 0.7, _beta((0.3, 0.3), G))
    return out


def recalibrated(silent: Floats, came: NDArray[np.bool_], visit: Ints) -> Floats:
    """Predictions moved in log-odds by one number: the one that would have served best on the visits before."""
    moves = np.linspace(-1, 1, 81)
    lost, out = np.zeros(len(moves)), np.full(len(silent), np.nan)
    for now in range(1, int(visit.max()) + 1):
        here = visit == now
        odds = logit(np.clip(silent[here], 1e-6, 1 - 1e-6))
        chance = expit(odds[:, None] + moves)
        # A prior of a hundredth of a unit of log-odds, squared, keeps the first visits where they were.
        out[here] = chance[:, int(np.argmin(lost + 50 * moves**2))]
        lost -= np.log(np.where(came[here][:, None], chance, 1 - chance)).sum(0)
    return out


def _faded(prompts: Ints, many: int, visit: Ints, k: Ints, n: Ints, keep: float, rule: Any) -> Floats:
    """A rule of counts that fade by a factor a visit."""
    right, total, out = np.zeros(many), np.zeros(many), np.full(len(k), np.nan)
    for now in range(int(visit.max()) + 1):
        here = visit == now
        who = prompts[here]
        if now:
            out[here] = rule(right[who], total[who])
        right[who] = keep * right[who] + k[here]
        total[who] = keep * total[who] + n[here]
    return out


def _beta(prior: tuple[float, float], G: int) -> Any:
    """P(a group of G is silent) for p ~ Beta, after r right of t."""

    def rule(r: Floats, t: Floats) -> Floats:
        a, b = prior[0] + r, prior[1] + t - r
        return np.asarray(np.exp(betaln(a + G, b) - betaln(a, b)) + np.exp(betaln(a, b + G) - betaln(a, b)))

    return rule


def _fitted_beta(k: Ints, n: Ints) -> tuple[float, float]:
    from scipy.optimize import minimize

    def loss(x: Floats) -> float:
        a, b = np.exp(x)
        return -float(np.sum(betaln(a + k, b + n - k) - betaln(a, b)))

    a, b = np.exp(minimize(loss, [0.0, 0.0], method="Nelder-Mead").x)
    return float(a), float(b)


def _by_visit(x: Floats, visit: Ints, last: int) -> list[float | None]:
    means = [float(x[visit == v].mean()) for v in range(last)]
    return [None if np.isnan(m) else round(m, 6) for m in means]


def _score(q: Floats, came: Floats, known: Any, shares: list[Any], real: list[Any]) -> dict[str, float]:
    p, y = np.clip(q[known], 1e-6, 1 - 1e-6), came[known]
    off = [abs(a - b) for a, b in zip(shares[1:], real[1:], strict=True)]
    return {
        "brier": float(np.mean((q[known] - y) ** 2)),
        "log_loss": -float(np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))),
        "predicted": float(q[known].mean()),
        "came": float(y.mean()),
        "error": float(np.mean(off)),
    }


def _calibration(q: Floats, came: Floats) -> list[dict[str, float]]:
    """Ten bins of the predicted chance."""
    bin_ = np.minimum((q * 10).astype(np.int64), 9)
    out = []
    for at in np.unique(bin_).tolist():
        here = bin_ == at
        means = {"predicted": float(q[here].mean()), "came": float(came[here].mean())}
        out.append({"low": at / 10, "groups": int(here.sum()), **means})
    return out


def verdicts(found: dict[str, Any]) -> list[tuple[str, float, str, bool]]:
    """What was to be reached, and what came: (statement, number, wanted, reached)."""
    rules = found["rules"]
    ours, noise = rules[OURS], found["noise"]
    best = min(r["brier"] for name, r in rules.items() if name not in (OURS, RECALIBRATED))
    worst = max(abs(b["came"] - b["predicted"]) for b in found["calibration"][OURS])
    return [
        ("error by visit, points", 100 * ours["error"], "at most 2", ours["error"] <= 0.02),
        ("error by visit over chance's own", ours["error"] / noise, "at most 1.25", ours["error"] <= 1.25 * noise),
        ("recalibrated, the same", rules[RECALIBRATED]["error"] / noise, "at most 1.25",
         rules[RECALIBRATED]["error"] <= 1.25 * noise),
        ("last visit's error over ours", rules[LAST_VISIT]["error"] / ours["error"], "at least 4",
         rules[LAST_VISIT]["error"] >= 4 * ours["error"]),
        ("Brier score over the best simpler rule's", ours["brier"] / best, "below 1", ours["brier"] < best),
        ("largest miss of a tenth of chances, points", 100 * worst, "at most 3", worst <= 0.03),
    ]  # fmt: skip
