"""What an answer is compared with when something is believed of its problem: then one answer teaches as well.

A group's mean is a baseline that its own answers pay for: of G answers G − 1 are left, and a unanimous group is
silent. The belief's mean, after the *other* answers, costs nothing, and does not depend on the answer itself:

    b₋ᵢ = E[p | belief, R_j, j ≠ i],    A_i = R_i − b₋ᵢ,    E[Σ A_i ∇ log π(y_i)] = G ∇p

so the objective is mean accuracy, whatever is believed; a wrong belief costs variance, not direction. Under
Beta(a, b) it is (a + k₋ᵢ)/(a + b + G − 1): leave one out (RLOO) as a, b → 0, the belief alone as they grow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import checks
from groupsigma.belief import Beliefs
from groupsigma.checks import Floats
from groupsigma.errors import ArgumentError
from groupsigma.mixture import log_likelihood
from groupsigma.odds import normalised


def baseline(
    beliefs: Beliefs, prompt_ids: ArrayLike, n_correct: ArrayLike, n_rollouts: ArrayLike
) -> tuple[Floats, Floats]:
    """What a right and what a wrong answer to each problem is compared with: E[p | belief, its other answers].

    Ask before the same answers enter the beliefs: a baseline that knows the answer it is taken from is biased.

    Args: prompt_ids [M] of ours; k, n [M], 0 ≤ k ≤ n, n ≥ 1: today's answers, one included.
    Returns: (of a right answer, of a wrong one), float64 [M] in (0, 1); where there is none, that of one more answer.
    Raises: ArgumentError for ids not ours.
    Source: the unbiased baseline of REINFORCE (Williams 1992), with Bayes' rule as the baseline.

    >>> told = Beliefs.about(["hard", "even"], rate=[0.05, 0.5], strength=100)
    >>> right, wrong = baseline(told, ["hard", "even"], [1, 0], [1, 1])
    >>> (1 - right).round(2).tolist(), (-wrong).round(2).tolist()
    ([0.95, 0.5], [-0.05, -0.5])
    """
    k, n = checks.counts("baseline", n_correct, n_rollouts, ("n_correct", "n_rollouts"))
    rows = beliefs.rows(prompt_ids)
    if rows.shape != k.shape:
        raise ArgumentError("baseline", "k and n for each prompt id", f"{rows.size} ids, shapes {k.shape}")
    return baseline_of(beliefs.weight[rows], beliefs.p, k, n)


def baseline_of(weight: Floats, p: Floats, k: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    """`baseline` for rows of probabilities [M, J] over solve rates p [J], unchecked."""
    right, size = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    return _mean(weight, p, np.maximum(right - 1, 0), size - 1), _mean(weight, p, np.minimum(right, size - 1), size - 1)


def _mean(weight: Floats, p: Floats, k: Floats, n: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(normalised(np.log(weight) + log_likelihood(k, n - k, p)) @ p)
