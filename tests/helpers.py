"""Data sets that several test files use."""

import numpy as np
from scipy.stats import hypergeom

from groupsigma import Groups, load


def groups_of(counts):
    n = len(counts) - 1
    return Groups(np.arange(n + 1), np.arange(n + 1), np.full(n + 1, n), count=np.asarray(counts))


def cut(n):
    """Big-Math's 64 answers cut down to n, in expectation, rounded to whole problems."""
    big = load("bigmath")
    whole = big.n_rollouts == 64
    shares = hypergeom.pmf(np.arange(n + 1), 64, big.n_correct[whole][:, None], n)
    return groups_of(np.rint(big.count[whole] @ shares).astype(int))
