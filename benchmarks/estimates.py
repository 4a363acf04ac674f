"""What few answers tell about larger groups: error and coverage of four estimates, on data whose truth is known.

    python benchmarks/estimates.py [--repeats 400]

Big-Math's 64 answers are cut down to n = 4, 8, 16 and CRUXEval's 10 to 4, 5 (the latter needs GROUPSIGMA_DATA). A
repeat draws problems with replacement and n of each one's answers without: the share of problems with k right is then
multinomial with known chances, and the truth at every G that all answers can score is known without bias.
Writes estimates.json and ESTIMATES.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln
from scipy.stats import hypergeom

import groupsigma as gs

HERE = Path(__file__).parent
PROBLEMS = (200_000, 1_000, 100)


def chances(groups: gs.Groups, full: int, n: int) -> Any:
    """P(k of n right) for a random problem with `full` answers, n of them kept."""
    whole = groups.n_rollouts == full
    weight = groups.count[whole] / groups.count[whole].sum()
    return weight @ hypergeom.pmf(np.arange(n + 1), full, groups.n_correct[whole][:, None], n)


def truths(groups: gs.Groups, full: int, sizes: list[int]) -> dict[int, tuple[float, float]]:
    """Unbiased silent share and E[σ] at each G from all answers."""
    whole = groups.n_rollouts == full
    k, weight = groups.n_correct[whole], groups.count[whole] / groups.count[whole].sum()
    return {
        G: (
            float(weight @ gs.silent_rate_unbiased(k, full, G)),
            float(weight @ gs.expected_gain_unbiased(k, full, G)),
        )
        for G in sizes
    }


def beta_binomial(counts: Any, n: int) -> Any:
    """Maximum-likelihood Beta spread, on the mixture's grid of p."""
    k = np.arange(n + 1)

    def loss(x: Any) -> float:
        a, b = np.exp(np.clip(x, -8, 8))
        return -float(counts @ (betaln(a + k, b + n - k) - betaln(a, b))) / counts.sum()

    a, b = np.exp(np.clip(minimize(loss, [0.0, 0.0], method="Nelder-Mead").x, -8, 8))
    t = (np.arange(4000) + 0.5) / 4000
    from scipy.stats import beta

    return beta.ppf(t, a, b)


def one(counts: Any, n: int, sizes: list[int]) -> dict[str, Any]:
    """All estimates of one data set: {method: {G: (silent, gain)}}, and the bounds."""
    groups = gs.Groups(np.arange(n + 1), np.arange(n + 1), np.full(n + 1, n), count=counts)
    weight, rate = counts / counts.sum(), np.arange(n + 1) / n
    spread, where, beta = gs.mixture(groups), gs.region(groups), beta_binomial(counts, n)
    out: dict[str, Any] = {"plug-in": {}, "Beta-binomial": {}, "mixture": {}, "bounds": {}, "strain": where.strain}
    for G in sizes:
        out["plug-in"][G] = (float(weight @ gs.silent_rate(rate, G)), float(weight @ gs.expected_gain(rate, G)))
        out["Beta-binomial"][G] = (float(gs.silent_rate(beta, G).mean()), float(gs.expected_gain(beta, G).mean()))
        out["mixture"][G] = (spread.silent_rate(G), spread.expected_gain(G))
        out["bounds"][G] = (
            where.interval(gs.silent_rate(where.p, G)),
            where.interval(gs.expected_gain(where.p, G)) if n == 8 or 2 * n == G else None,
        )
    return out


def study(name: str, groups: gs.Groups, full: int, cuts: dict[int, list[int]], repeats: int) -> list[dict[str, Any]]:
    rows = []
    for n, sizes in cuts.items():
        chance, truth = chances(groups, full, n), truths(groups, full, sizes)
        for problems in PROBLEMS:
            rng = np.random.default_rng([full, n, problems])
            found = []
            for i in range(repeats):
                found.append(one(rng.multinomial(problems, chance), n, sizes))
                print(f"\r{name} n={n} problems={problems} {i + 1}/{repeats}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            rows += [row(name, n, problems, G, truth[G], found) for G in sizes]
    return rows


def row(name: str, n: int, problems: int, G: int, truth: tuple[float, float], found: list[Any]) -> dict[str, Any]:
    """Mean error (bias), root mean square error, and coverage and width of the bounds, silent share and E[σ]."""
    result: dict[str, Any] = {"data": name, "n": n, "problems": problems, "G": G, "truth": truth, "repeats": len(found)}
    for method in ("plug-in", "Beta-binomial", "mixture"):
        off = np.array([f[method][G] for f in found]) - truth
        result[method] = {"bias": off.mean(0).tolist(), "rmse": np.sqrt((off**2).mean(0)).tolist()}
    for i, what in enumerate(("silent", "gain")):
        ends = [f["bounds"][G][i] for f in found if f["bounds"][G][i] is not None]
        if ends:
            low, high = np.array(ends).T
            inside = (low <= truth[i]) & (truth[i] <= high)
            result[f"bounds_{what}"] = {"coverage": float(inside.mean()), "width": float((high - low).mean())}
    result["strained"] = float(np.mean([f["strain"] > 0 for f in found]))
    return result


def markdown(rows: list[dict[str, Any]], repeats: int) -> str:
    error = 100 * np.sqrt(0.95 * 0.05 / repeats)
    lines = [
        "# What few answers tell about larger groups",
        "",
        "Written by `python benchmarks/estimates.py`; do not edit. Silent share in %, errors in points:",
        f"mean error (root mean square error) over {repeats} data sets. Bounds: 95 % intervals; coverage in %",
        f"(binomial error at 95 %: {error:.1f}), width in points.",
        "",
        "| data | n | problems | G | truth | plug-in | Beta-binomial | mixture | bounds cover | width |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(r, 0, "bounds_silent", 1) for r in rows]
    lines += ["", "E[σ], in units of 0.01:", "", *lines[6:8]]
    lines += [_line(r, 1, "bounds_gain", 2) for r in rows]
    return "\n".join(lines) + "\n"


def _line(r: dict[str, Any], what: int, bounds: str, digits: int) -> str:
    cells = [r["data"], r["n"], f"{r['problems']:,}", r["G"], f"{100 * r['truth'][what]:.{digits}f}"]
    for method in ("plug-in", "Beta-binomial", "mixture"):
        bias, rmse = 100 * r[method]["bias"][what], 100 * r[method]["rmse"][what]
        cells.append(f"{bias:+.{digits}f} ({rmse:.{digits}f})")
    found = r.get(bounds)
    cells += [f"{100 * found['coverage']:.1f}", f"{100 * found['width']:.{digits}f}"] if found else ["", ""]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args().repeats
    cuts = {4: [8, 16, 32, 64], 8: [16, 32, 64], 16: [32, 64]}
    rows = study("Big-Math", gs.load("bigmath"), 64, cuts, repeats)
    if folder := os.environ.get("GROUPSIGMA_DATA"):
        crux = gs.load(Path(folder) / "real" / "cruxeval" / "counts.csv")
        rows += study("CRUXEval", crux, 10, {4: [8, 10], 5: [10]}, repeats)
    (HERE / "estimates.json").write_text(json.dumps({"repeats": repeats, "rows": rows}, indent=1) + "\n")
    (HERE / "ESTIMATES.md").write_text(markdown(rows, repeats))


if __name__ == "__main__":
    main()
