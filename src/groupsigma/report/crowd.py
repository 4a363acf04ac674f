"""Where the problems are: belief about solve rates by band, all that the dial of a page needs to be exact.

What fresh groups bring is linear in the belief: Σ_problems E[f(p)] = Σ_j mass_j f(p_j). So the mass on the grid of
solve rates, one row a band, stands for any number of problems, and every dial and group size is a fold over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from groupsigma.bands import BANDS, logged_band
from groupsigma.checks import Floats
from groupsigma.groups import Groups
from groupsigma.mixture import Mixture

#: More distinct solve rates than this are gathered into so many bins; a bin's spread of 1e-4 moves no digit shown.
_MOST = 4000


@dataclass(frozen=True, eq=False)
class Crowd:
    """mass [bands, J] on solve rates p [J]; all of it sums to 1. gathered: whether rates were put into bins."""

    p: Floats
    mass: Floats
    gathered: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        names = [name for name, *_ in BANDS]
        return {"bands": names, "p": self.p.tolist(), "mass": self.mass.tolist(), "gathered": self.gathered}


def crowd(tally: Groups, spread: Mixture | None) -> Crowd:
    """The crowd behind a tally: each problem by its posterior, or at its rate where that is all we have.

    Args: tally: as `groups.tally()`, counts or rates; spread: fitted to it, or None for rates.

    >>> found = crowd(Groups(["a", "b"], None, [0, 0], rate=[0.25, 1.0]).tally(), None)
    >>> found.p.tolist(), found.mass[[2, 6]].tolist()
    ([0.25, 1.0], [[0.5, 0.0], [0.0, 0.5]])
    """
    weight = tally.count / tally.count.sum()
    band = logged_band(tally.solve_rate)
    here = np.zeros((len(BANDS), len(band)))
    here[band, np.arange(len(band))] = weight
    if spread is not None:
        posterior = spread.posterior(tally.n_correct, tally.n_rollouts)  # type: ignore[arg-type]
        return Crowd(posterior.p, here @ posterior.weight, False)
    p, gathered = tally.solve_rate, len(band) > _MOST
    if gathered:
        # A bin is one band's, evenly wide in arcsin √p, and stands at the mean of what it holds.
        place = np.floor(np.arcsin(np.sqrt(p)) / (np.pi / 2) * _MOST).astype(np.int64) * len(BANDS) + band
        _, at = np.unique(place, return_inverse=True)
        held = np.bincount(at, weight)
        p, members = np.bincount(at, weight * p) / held, band
        here = np.zeros((len(BANDS), len(p)))
        np.add.at(here, (members, at), weight)
    return Crowd(p, here, gathered)
