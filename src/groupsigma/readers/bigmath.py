"""The real solve rates of the 215,608 Big-Math problems, embedded; provenance in data/README.md."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from groupsigma.groups import Groups


def read_bigmath() -> Groups:
    """71 rows of k of n, each standing for `count` problems.

    >>> int(read_bigmath().count[0])
    8661
    """
    with (files("groupsigma") / "data" / "bigmath_solve_rates.csv").open() as file:
        k, n, _, problems = np.loadtxt(file, delimiter=",", skiprows=1, unpack=True)
    return Groups(
        prompt_ids=np.arange(len(k)),
        n_correct=k.astype(np.int64),
        n_rollouts=n.astype(np.int64),
        count=problems.astype(np.int64),
        source="Big-Math, solved by Llama-3.1-8B, 64 answers each (arXiv 2502.17387)",
    )
