"""From k of n to what another G would show, without bias, for G ≤ n.

Putting k/n into a formula reads silence too high and E[σ] too low: a problem
solved 0 times in 8 is not unsolvable. Averaging over all ways to draw G of
the n logged answers is unbiased whatever the true solve rates are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import arrays, checks
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.expect import hypergeometric_mean
from groupsigma.groups import Groups
from groupsigma.sigma import contrast_advantage


def pass_at_k(n_correct: ArrayLike, n: ArrayLike, k: int) -> Floats:
    """Unbiased pass@k, P(some of k answers is right) = 1 − C(n−c, k)/C(n, k).

    Args: n_correct 0 ≤ c ≤ n; n answers logged, ≥ k; k ≥ 1. The first two broadcast.
    Returns: float64 in [0, 1].
    Raises: ArgumentError where n < k: no unbiased estimate exists.
    Source: Chen et al. 2021, arXiv 2107.03374, eq. 1.

    >>> round(float(pass_at_k(1, 4, 2)), 6)
    0.5
    """
    c, size, drawn = _inputs("pass_at_k", n_correct, n, k, "k")
    return 1 - _all_of(size - c, size, drawn)


def pass_hat_k(n_correct: ArrayLike, n: ArrayLike, k: int) -> Floats:
    """Unbiased pass^k, P(all of k answers are right) = C(c, k)/C(n, k).

    Args, returns, raises: as `pass_at_k`.
    Source: Yao et al. 2024, arXiv 2406.12045 (τ-bench).

    >>> round(float(pass_hat_k(3, 4, 2)), 6)
    0.5
    """
    c, size, drawn = _inputs("pass_hat_k", n_correct, n, k, "k")
    return _all_of(c, size, drawn)


def silent_rate_unbiased(n_correct: ArrayLike, n: ArrayLike, G: int) -> Floats:
    """Unbiased P(a group of G is silent) = 1 − pass@G + pass^G, for each problem.

    Args: n_correct of n, n ≥ G.  Returns: float64 in [0, 1]; average over problems.

    >>> round(float(silent_rate_unbiased(1, 4, 2)), 6)
    0.5
    """
    c, size, drawn = _inputs("silent_rate_unbiased", n_correct, n, G, "G")
    return _all_of(c, size, drawn) + _all_of(size - c, size, drawn)


def expected_gain_unbiased(n_correct: ArrayLike, n: ArrayLike, G: int, dial: Dial = GRPO) -> Floats:
    """Unbiased E[gain] at group size G: the mean gain over all ways to draw G of the n answers.

    Args: n_correct of n, n ≥ G; dial: any that looks at one group.
    Returns: float64, 0 where all logged answers agree.

    >>> round(float(expected_gain_unbiased(4, 8, 2)), 6)
    0.285714
    """
    c, size, drawn = _inputs("expected_gain_unbiased", n_correct, n, G, "G")
    mixed = (c > 0) & (c < size) & (drawn > 1)
    # As for the binomial: the k(G−k) of the gain cancels against the weights.
    inner = hypergeometric_mean(
        np.where(mixed, c - 1, 0),
        np.where(mixed, size - 2, max(drawn, 2)),
        max(drawn, 2) - 2,
        lambda j, g: contrast_advantage(j + 1, np.broadcast_to(g + 2, j.shape), dial),
    )
    pair = c * (size - c) / np.maximum(size * (size - 1.0), 1)
    return np.where(mixed, pair * (1 - 1 / drawn) * inner, 0.0)


def mean_over_prompts(values: ArrayLike, groups: Groups) -> tuple[float, float]:
    """The mean of one number for each row over all problems, and its standard error over prompts.

    Rows with the same id are visits of one prompt: they stray together, so their deviations are added
    up before they are squared. Rows that stand for several problems (count > 1) are independent.

    Args: values [rows], e.g. `expected_gain_unbiased(groups.n_correct, groups.n_rollouts, G, dial)`.
    Returns: (mean, standard error); the error is NaN for a single prompt.

    >>> groups = Groups(["a", "b", "a"], [1, 3, 2], [4, 4, 4])
    >>> mean, error = mean_over_prompts(silent_rate_unbiased(groups.n_correct, groups.n_rollouts, 2), groups)
    >>> round(mean, 3), round(error, 3)
    (0.444, 0.037)
    """
    x = checks.finite("mean_over_prompts", "values", values)
    if x.shape != groups.count.shape:
        raise ArgumentError("mean_over_prompts", "one value for each row", f"{x.size} for {groups.count.size} rows")
    weight = groups.count / groups.count.sum()
    mean = float(weight @ x)
    if (groups.count == 1).all():
        codes, labels = arrays.factorize(groups.prompt_ids)
        strayed, prompts = np.bincount(codes, weight * (x - mean)), len(labels)
        variance = float(strayed @ strayed) * prompts / max(prompts - 1, 1)
    else:
        prompts = groups.problems
        variance = float(weight @ (x - mean) ** 2) / max(prompts - 1, 1)
    return mean, float(np.sqrt(variance)) if prompts > 1 else float("nan")


def _all_of(c: Ints, n: Ints, k: int) -> Floats:
    """C(c, k)/C(n, k) as the shorter of two products: k factors, or n − c of them."""
    shape = c.shape
    pairs, inverse = np.unique(np.stack([c.ravel(), n.ravel()]), axis=1, return_inverse=True)
    right, size = pairs.astype(np.float64)
    wrong = size - right
    direct = wrong >= k
    out = np.ones(len(right))
    top, steps = np.where(direct, right, size - k), np.where(direct, k, wrong)
    for i in range(int(steps.max(initial=0))):
        out *= np.where(i < steps, np.maximum(top - i, 0.0) / np.maximum(size - i, 1.0), 1.0)
    return out[inverse].reshape(shape)


def _inputs(who: str, n_correct: ArrayLike, n: ArrayLike, drawn: int, name: str) -> tuple[Ints, Ints, int]:
    c, size = checks.counts(who, n_correct, n, ("n_correct", "n"))
    k = checks.whole(who, name, drawn, 1)
    if k.ndim:
        raise ArgumentError(who, f"one {name}", f"{k.size} of them")
    if (size < k).any():
        raise ArgumentError(
            who,
            f"n >= {name}",
            f"n = {size.min()}, {name} = {int(k)}",
            hint="n answers determine only the first n moments of p: no unbiased estimate exists beyond",
        )
    return c, size, int(k)
