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


def run(seed=0, prompts=200, batch=50, steps=40, size=8, spread=2.0, copies=1, drift=0.01):
    """A simulated log; copies > 1 makes answers of a group agree in bunches."""
    rng = np.random.default_rng(seed)
    odds, order, rows = rng.normal(0, spread, prompts), [], []
    for step in range(steps):
        if len(order) < batch:
            order = list(rng.permutation(prompts))
        for i in [order.pop() for _ in range(batch)]:
            right = copies * rng.binomial(size // copies, 1 / (1 + np.exp(-(odds[i] + drift * step))))
            rows.append((i, right, size, step))
    ids, k, n, step = np.array(rows).T
    return Groups(ids, k, n, step=step)
