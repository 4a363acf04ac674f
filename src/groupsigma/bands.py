"""Difficulty bands: the same cut of solve rates wherever shares by difficulty are shown."""

from __future__ import annotations

import numpy as np

from groupsigma.checks import Floats, Ints

#: Name, lowest, highest solve rate, whether each end belongs to it.
BANDS: tuple[tuple[str, float, float, bool, bool], ...] = (
    ("never", 0.0, 0.0, True, True),
    ("0-.1", 0.0, 0.1, False, False),
    (".1-.4", 0.1, 0.4, True, False),
    (".4-.6", 0.4, 0.6, True, True),
    (".6-.9", 0.6, 0.9, False, True),
    (".9-1", 0.9, 1.0, False, False),
    ("always", 1.0, 1.0, True, True),
)

#: The bands a believed solve rate can be in; never and always are what was logged.
INTERIOR = tuple(name for name, low, high, _, _ in BANDS if low < high)

_EDGES = np.array([low for _, low, high, _, _ in BANDS if low < high][1:])


def logged_band(rate: Floats) -> Ints:
    """Which of BANDS each solve rate as logged is in.

    >>> logged_band(np.array([0.0, 0.05, 0.1, 0.5, 0.9, 0.95, 1.0])).tolist()
    [0, 1, 2, 3, 4, 5, 6]
    """
    inside = [
        ((rate > a) | (at_a & (rate == a))) & ((rate < b) | (at_b & (rate == b))) for _, a, b, at_a, at_b in BANDS
    ]
    return np.argmax(inside, axis=0).astype(np.int64)


def band_of(p: Floats) -> Ints:
    """Which of INTERIOR each believed solve rate is in.

    >>> band_of(np.array([0.05, 0.1, 0.5, 0.99])).tolist()
    [0, 1, 2, 4]
    """
    return np.searchsorted(_EDGES, p, side="right").astype(np.int64)


def banded(mass: Floats, p: Floats) -> Floats:
    """Mass [J] on solve rates p [J] gathered into INTERIOR, as shares that sum to 1; zeros where there is no mass.

    >>> banded(np.array([1.0, 3.0]), np.array([0.05, 0.5])).tolist()
    [0.25, 0.0, 0.75, 0.0, 0.0]
    """
    gathered = np.bincount(band_of(p), mass, len(INTERIOR)).astype(np.float64)
    total = gathered.sum()
    return gathered / total if total > 0 else gathered
