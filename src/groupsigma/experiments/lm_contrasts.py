"""How large Δs is and what it is worth, as tables: from the plain data of `norms`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groupsigma.bands import INTERIOR, banded
from groupsigma.checks import Floats
from groupsigma.sigma import gain

Run = Mapping[str, Any]

#: Tenths of solve rate.
_PARTS = 10


def contrasts(told: Run, G: int = 8) -> list[dict[str, float]]:
    """By tenth of solve rate: ‖D‖, root mean square ‖Δs‖ of groups of G, what D is worth, and prompts there.

    Tenths of fewer than two prompts are left out; drawn is NaN where no group was mixed.
    """
    p, size = np.array(told["p"]), _sizes(told, G)
    out = []
    for at in range(_PARTS):
        here = (p >= at / _PARTS) & ((p < (at + 1) / _PARTS) | (at == _PARTS - 1))
        if here.sum() < 2:
            continue
        worth, mixed = np.array(told["worth"])[here], size[:, here][~np.isnan(size[:, here])]
        out.append({
            "p": (at + 0.5) / _PARTS,
            "prompts": int(here.sum()),
            "contrast": float(np.mean(np.array(told["contrast"])[here])),
            "drawn": float(np.sqrt(np.mean(mixed**2))) if len(mixed) else float("nan"),
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


def best_dial(told: Run) -> tuple[float, float]:
    """(power, tilt) whose weights come nearest the best first-order ones, w(p) ∝ worth / (E‖Δs‖² p(1−p)).

    The gain c on a prompt moves the held-out problems by c · worth and costs c² E‖Δs‖² of noise; so c ∝ worth / E‖Δs‖².
    Groups of 8. Least squares in c over prompts: worth may be negative, its mean by difficulty is not.
    """
    return _nearest_dial(*_first_order(told))


def dial_range(told: Run, resamples: int = 200) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % ranges of `best_dial`'s power and tilt over prompts drawn again."""
    p, y = _first_order(told)
    rng = np.random.default_rng(0)
    found = [_nearest_dial(p[again], y[again]) for again in rng.integers(len(p), size=(resamples, len(p)))]
    low, high = np.quantile(np.array(found), (0.025, 0.975), axis=0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _first_order(told: Run) -> tuple[Floats, Floats]:
    """Solve rates, and the best gains there up to a factor; the ends, where odds run away, are left out."""
    p, drawn = np.array(told["p"]), _sizes(told, 8) ** 2
    some = np.isfinite(drawn).sum(0)
    inside = (p > 0.02) & (p < 0.98) & (some > 0)
    y = np.array(told["worth"])[inside] * some[inside] / np.nansum(drawn, axis=0)[inside]
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
