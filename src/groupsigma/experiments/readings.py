"""How each number of the paper is computed again, one function a reading.

Where the published series are needed, the environment variable GROUPSIGMA_DATA
names the folder that holds `paper_figures/`; without it `Missing` is raised.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, least_squares, minimize_scalar

from groupsigma.advantages import advantages
from groupsigma.audit import audit
from groupsigma.checks import Floats
from groupsigma.dial import DAPO, DR_GRPO, GRPO
from groupsigma.errors import ArgumentError
from groupsigma.estimate import expected_gain_unbiased, silent_rate_unbiased
from groupsigma.expect import binomial_mean
from groupsigma.experiments.claims import Missing
from groupsigma.groups import Groups
from groupsigma.identity import identity
from groupsigma.law import (
    expected_gain,
    fidelity,
    gradient_share,
    group_size_law,
    silent_rate,
)
from groupsigma.readers.bigmath import read_bigmath
from groupsigma.sigma import gain, sigma

Mask = NDArray[np.bool_]

TABLE_P = (0.5, 0.3, 0.1, 0.05)
TABLE_TARGET = (0.9, 0.95, 0.99)
#: Table 4: silent shares of Big-Math by G in whole per cent, by how they were found.
TABLE_SILENT = {
    "plugin": {4: 59, 8: 44, 16: 32, 32: 23, 64: 17},
    "unbiased": {4: 59, 8: 43, 16: 30},
}
#: DAPO's evaluation draws 32 answers a problem (its Fig. 3b).
DAPO_N = 32


def series(name: str) -> dict[str, Floats]:
    """A published series by file name, column -> numbers."""
    folder = os.environ.get("GROUPSIGMA_DATA")
    if not folder:
        raise Missing("set GROUPSIGMA_DATA to the folder that holds paper_figures/")
    if not Path(folder).is_dir():
        raise ArgumentError("GROUPSIGMA_DATA", "an existing folder", repr(folder))
    path = Path(folder) / "paper_figures" / name
    if not path.is_file():
        raise Missing(f"no {name} under GROUPSIGMA_DATA/paper_figures")
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    return {
        column: np.array([float(row[i]) if row[i] else np.nan for row in rows[1:]]) for i, column in enumerate(rows[0])
    }


@cache
def bigmath() -> Groups:
    """The embedded distribution, read once."""
    return read_bigmath()


def share(rule_power: float, inside: Callable[[Floats], Mask]) -> float:
    """Large-G share of the update on some solve rates: GRPO for power 1, Dr. GRPO for 0."""
    data = bigmath()
    p = data.solve_rate
    dial = GRPO if rule_power else DR_GRPO
    return float(gradient_share(p, dial=dial, weights=data.count)[inside(p)].sum())


def extreme(p: Floats) -> Mask:
    """The paper's extreme band."""
    return (p < 0.1) | (p > 0.9)


def medium(p: Floats) -> Mask:
    """The paper's medium band."""
    return (p >= 0.4) & (p <= 0.6)


def identity_error(graded: bool) -> tuple[float, ...]:
    """Largest relative error of the identity over 5,000 random groups."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(5000):
        G, d = int(rng.integers(2, 20)), int(rng.integers(1, 8))
        right = (np.arange(G) < rng.integers(1, G)) * 1.0
        rewards = rng.normal(size=G) if graded else right
        worst = max(worst, identity(rng.normal(size=(G, d)), rewards).error)
    return (worst,)


def table_of_updates() -> tuple[float, ...]:
    """Largest difference of each method's gain from σ, σ² and 1{mixed} σ over all k of G = 2…64."""
    worst = [0.0, 0.0, 0.0]
    for G in range(2, 65):
        k = np.arange(G + 1)
        s = sigma(k, G)
        expected = (s, s**2, np.where((k > 0) & (k < G), s, 0.0))
        for i, (dial, want) in enumerate(zip((GRPO, DR_GRPO, DAPO), expected, strict=True)):
            worst[i] = max(worst[i], float(np.abs(gain(k, G, dial) - want).max()))
    return tuple(worst)


def shift_error() -> tuple[float, ...]:
    """Largest change of GRPO's advantages when a constant is added to the rewards."""
    rng = np.random.default_rng(1)
    r = (rng.random((2000, 8)) < 0.4) * 1.0
    return (max(float(np.abs(advantages(r + b) - advantages(r)).max()) for b in (0.1, -3.7, 100.3)),)


def rloo_error() -> tuple[float, ...]:
    """Largest |R − mean of the others − G/(G−1) (R − μ)|, the others averaged one by one."""
    rng = np.random.default_rng(2)
    worst = 0.0
    for G in range(2, 33):
        r = rng.normal(size=(200, G))
        others = np.stack([np.delete(r, i, axis=1).mean(1) for i in range(G)], axis=1)
        worst = max(worst, float(np.abs((r - others) - G / (G - 1) * advantages(r, DR_GRPO)).max()))
    return (worst,)


def silent_split(method: str, sizes: tuple[int, ...]) -> tuple[float, ...]:
    """Silent share of Big-Math at each group size, "plugin" or "unbiased"."""
    splits = [getattr(audit(bigmath(), group_size=G), method) for G in sizes]
    return tuple(split.silent.value for split in splits)


def plug_in_bias() -> tuple[float, ...]:
    """At a known p = .1, G = 8, n = 64: true silence, mean of the plug-in, mean of the draws from the pool."""
    p, n, G = np.array(0.1), np.array(64), 8
    plug = binomial_mean(p, n, lambda k, size: silent_rate(k / size, G))
    pool = binomial_mean(p, n, lambda k, size: silent_rate_unbiased(k, np.broadcast_to(size, k.shape), G))
    return float(silent_rate(p, G)), float(plug), float(pool)


def pool_bias() -> tuple[float, ...]:
    """Largest |mean of the draws from a pool − truth| over a grid of p, G and n: silence, E[σ]."""
    p = np.linspace(0.01, 0.99, 25)
    worst = [0.0, 0.0]
    for n in (8, 16, 64):
        for G in (2, 4, 8):
            size = np.array(n)
            silent = binomial_mean(p, size, partial(_drawn, silent_rate_unbiased, G))
            gains = binomial_mean(p, size, partial(_drawn, expected_gain_unbiased, G))
            worst[0] = max(worst[0], float(np.abs(silent - silent_rate(p, G)).max()))
            worst[1] = max(worst[1], float(np.abs(gains - expected_gain(p, G)).max()))
    return tuple(worst)


def _drawn(estimate: Callable[[Floats, Floats, int], Floats], G: int, k: Floats, n: Floats) -> Floats:
    return estimate(k, n, G)


def law_as_budget() -> tuple[float, ...]:
    """Fidelity really reached by the law's G, rounded up, for 90 %, at each p of Table 2."""
    sizes = np.ceil(group_size_law(TABLE_P, 0.9)).astype(int)
    return tuple(float(x) for x in fidelity(np.array(TABLE_P), sizes))


def ends() -> tuple[float, ...]:
    """Never solved, always solved and their sum, in per cent."""
    p, weight = bigmath().solve_rate, bigmath().count / bigmath().count.sum()
    never, always = float(weight[p == 0].sum()), float(weight[p == 1].sum())
    return 100 * never, 100 * always, 100 * (never + always)


def moments() -> tuple[float, ...]:
    """E[p] and E[p³²] over Big-Math."""
    p, weight = bigmath().solve_rate, bigmath().count / bigmath().count.sum()
    return float(weight @ p), float(weight @ p**DAPO_N)


def all_right_along(published: dict[str, Floats]) -> Floats:
    """E[p^(32/T)] at each published T."""
    p, weight = bigmath().solve_rate, bigmath().count / bigmath().count.sum()
    return np.array([weight @ p ** (DAPO_N / T) for T in published["T"]])


@dataclass(frozen=True)
class Fit:
    """DAPO's log by step and two curves through it; tau: the time scale of the closed form, in steps."""

    step: Floats
    logged: Floats
    closed: Floats
    generic: Floats
    tau: float

    @property
    def r2(self) -> tuple[float, float]:
        """R² of the closed form and of the generic curve."""
        spread = ((self.logged - self.logged.mean()) ** 2).sum()
        return tuple(float(1 - ((curve - self.logged) ** 2).sum() / spread) for curve in (self.closed, self.generic))  # type: ignore[return-value]


def dapo_fit() -> Fit:
    """E[p^32] moved along Big-Math by one time scale, and a generic curve, fitted to DAPO's log.

    The move: p → p^(1/T), T = 1 + c (T_end − 1), c = 1 − exp(−(step − first)/τ)
    stretched to end at 1; T_end is where E[p^32] meets the mean of the last 8 points.
    """
    logged = series("dapo_fig3b_accuracy1_fraction.csv")
    step, share = logged["step"], logged["allcorrect_fraction"]
    data = bigmath()
    p, weight = data.solve_rate, data.count / data.count.sum()

    def all_right(T: float) -> float:
        return float(weight @ p ** (DAPO_N / T))

    plateau = float(share[-8:].mean())
    end = float(brentq(lambda T: all_right(T) - plateau, 1.0, 2000.0))
    elapsed = step - step.min()

    def moved(log_tau: float) -> Floats:
        c = 1 - np.exp(-elapsed / np.exp(log_tau))
        return np.array([all_right(1 + x * (end - 1)) for x in c / c.max()])

    fit = minimize_scalar(
        lambda t: float(((moved(t) - share) ** 2).sum()), bounds=(np.log(200), np.log(40000)), method="bounded"
    )
    curve = least_squares(
        lambda v: v[0] * (1 - np.exp(-elapsed / v[1])) - share, [0.5, 2000.0], bounds=([0, 100], [1, 1e5])
    )
    return Fit(step, share, moved(fit.x), share + curve.fun, float(np.exp(fit.x)))


def off_series(name: str, ours: Callable[[dict[str, Floats]], Floats], column: str) -> Callable[[], tuple[float, ...]]:
    """A reading: the largest difference of ours from a column of a published series."""

    def compute() -> tuple[float, ...]:
        published = series(name)
        return (float(np.nanmax(np.abs(ours(published) - published[column]))),)

    return compute


def bars(published: dict[str, Floats]) -> Floats:
    """Problems in each published bar; the last holds 63/64 and 1."""
    data = bigmath()
    edges = np.append(published["bin_left"], 1.0 + 1e-9)
    return np.histogram(data.solve_rate, edges, weights=data.count)[0].astype(float)


def bins(power: float) -> Callable[[dict[str, Floats]], Floats]:
    """Large-G shares of the update by tenth of solve rate."""

    def compute(published: dict[str, Floats]) -> Floats:
        data = bigmath()
        shares = gradient_share(data.solve_rate, dial=GRPO if power else DR_GRPO, weights=data.count)
        return np.histogram(data.solve_rate, np.linspace(0, 1, 11), weights=shares)[0]

    return compute
