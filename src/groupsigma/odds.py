"""A grid of log-odds, and what moves probabilities on it: blurs, shifts, splits of the mass between neighbours."""

from __future__ import annotations

import numpy as np

from groupsigma.checks import Floats
from groupsigma.mixture import Mixture

#: The grid reaches p = 1.2e-4 and its mirror: below, no group in reach is ever mixed.
REACH = 9.0
POINTS = 49

_GRIDS: dict[int, tuple[Floats, Floats]] = {}
_BLURS: dict[tuple[int, float], Floats] = {}


def grid(points: int) -> tuple[Floats, Floats]:
    """(log-odds, solve rates) of a grid of so many points, float64 [J] each; made once."""
    if points not in _GRIDS:
        odds = np.linspace(-REACH, REACH, points)
        _GRIDS[points] = odds, 1 / (1 + np.exp(-odds))
    return _GRIDS[points]


def points_for(n: int) -> int:
    """Enough points that n answers' posterior, of width 2/√n in log-odds, spans more than one."""
    return int(min(2049, max(POINTS, 2 * (int(REACH * np.sqrt(n)) // 2) + 1)))


def start_curve(spread: Mixture | None, points: int) -> Floats:
    """A fitted spread on the grid, or Beta(½, ½) where there is none. float64 [J], sums to 1, nowhere 0."""
    odds, p = grid(points)
    if spread is None:
        curve = np.sqrt(p * (1 - p))
        return curve / curve.sum()
    with np.errstate(divide="ignore"):
        curve = spread.weight @ split(np.log(spread.p) - np.log1p(-spread.p), odds)
    # No solve rate is ruled out for good: a part in 10⁶ everywhere.
    return (curve + 1e-6 / points) / (curve.sum() + 1e-6)


def split(at: Floats, odds: Floats) -> Floats:
    """Unit masses at log-odds `at`, each split between its two grid neighbours, [len(at), J]."""
    place = np.clip((np.clip(at, odds[0], odds[-1]) - odds[0]) / (odds[1] - odds[0]), 0, len(odds) - 1)
    low = np.minimum(place.astype(np.int64), len(odds) - 2)
    out = np.zeros((len(place), len(odds)))
    every = np.arange(len(place))
    out[every, low] = 1 - (place - low)
    out[every, low + 1] = place - low
    return out


def normalised(log: Floats) -> Floats:
    """Rows of probabilities from their logarithms up to a constant."""
    out = np.exp(log - log.max(-1, keepdims=True))
    return out / out.sum(-1, keepdims=True)


def blur(points: int, width: float) -> Floats:
    """P(next | now) of a step of a random walk in log-odds with this standard deviation; mass stays on the grid."""
    width = float(f"{width:.2g}")
    if (points, width) not in _BLURS:
        odds, _ = grid(points)
        h = odds[1] - odds[0]
        # Below a spacing a normal kernel would lose its variance between the points: three of them carry it.
        if width < h:
            out = np.eye(points)
            side = width**2 / (2 * h**2)
            for i in range(points):
                for j in (i - 1, i + 1):
                    if 0 <= j < points:
                        out[i, j] += side
                        out[i, i] -= side
        else:
            out = np.exp(-0.5 * ((odds - odds[:, None]) / width) ** 2)
            out /= out.sum(1, keepdims=True)
        if len(_BLURS) > 256:
            _BLURS.clear()
        _BLURS[points, width] = out
    return _BLURS[points, width]


def shift(weight: Floats, by: Floats) -> Floats:
    """Each row moved by its own log-odds: to whole spacings exactly, between them by splitting the mass in two."""
    points = weight.shape[1]
    h = 2 * REACH / (points - 1)
    place = np.clip(by / h, -points, points)
    if (abs(place) < 1).all():
        up, down = np.maximum(place, 0)[:, None], np.maximum(-place, 0)[:, None]
        out = (1 - up - down) * weight
        out[:, 1:] += up * weight[:, :-1]
        out[:, -1:] += up * weight[:, -1:]
        out[:, :-1] += down * weight[:, 1:]
        out[:, :1] += down * weight[:, :1]
        return out
    low = np.floor(place).astype(np.int64)
    part = (place - low)[:, None]
    out = np.zeros_like(weight)
    target = np.arange(points) + low[:, None]
    every = np.arange(len(weight))[:, None]
    np.add.at(out, (every, np.clip(target, 0, points - 1)), (1 - part) * weight)
    np.add.at(out, (every, np.clip(target + 1, 0, points - 1)), part * weight)
    return out
