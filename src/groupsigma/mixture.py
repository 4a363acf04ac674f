"""The distribution of solve rates behind the counts: maximum likelihood over all mixing distributions.

k of n answers say little about one problem, but many problems together say how
solve rates are spread. The nonparametric maximum-likelihood mixture (Kiefer and
Wolfowitz 1956) is a convex problem on a grid of p. n answers fix only n moments of
the spread, so for G > n many mixtures fit alike: of those, the flattest is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import checks
from groupsigma.checks import Floats
from groupsigma.dial import GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.law import checked_rate, expected_gain, silent_rate

#: Points of the grid, evenly spaced in arcsin √p, where a binomial has one width everywhere.
_POINTS = 401
#: How many nats of log-likelihood one nat of relative entropy counts. Chosen for the smallest worst error over
#: Big-Math and CRUXEval with 100 to 200,000 problems (docs/log.md); from 1 to 4 little changes.
_FLATNESS = 2.0


def solve_rate_grid(points: int = _POINTS) -> Floats:
    """p = sin²(t), t evenly spaced from 0 to π/2; holds 0 and 1 exactly.

    >>> solve_rate_grid(3).round(3).tolist()
    [0.0, 0.5, 1.0]
    """
    grid = np.sin(np.linspace(0, np.pi / 2, points)) ** 2
    grid[-1] = 1.0
    return grid


#: Rows as combinations of a basis, and the basis.
Span = tuple[Floats, Floats]


def likelihood(k: ArrayLike, n: ArrayLike, p: Floats) -> Floats:
    """p^k (1−p)^(n−k) for each row (k, n) and grid point, each row divided by its largest. float64 [..., J]."""
    right, size = checks.counts("likelihood", k, n, ("k", "n"))
    log = log_likelihood(right, size - right, p)
    return np.exp(log - log.max(-1, keepdims=True))


def probability(k: ArrayLike, n: ArrayLike, p: Floats) -> Floats:
    """P(k of n right) = C(n, k) p^k (1−p)^(n−k) for each row (k, n) and grid point. float64 [..., J].

    >>> probability(1, 2, np.array([0.5, 1.0])).round(12).tolist()
    [0.5, 0.0]
    """
    from scipy.special import gammaln

    right, size = checks.counts("probability", k, n, ("k", "n"))
    choose = gammaln(size + 1) - gammaln(right + 1) - gammaln(size - right + 1)
    return np.exp(log_likelihood(right, size - right, p) + choose[..., None])


def log_likelihood(right: ArrayLike, wrong: ArrayLike, p: Floats) -> Floats:
    """right log p + wrong log(1−p) for each row and grid point, 0 log 0 = 0; fractions count too. float64 [..., J]."""
    k, f = (np.asarray(x, dtype=np.float64)[..., None] for x in (right, wrong))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(k > 0, k * np.log(p), 0.0) + np.where(f > 0, f * np.log1p(-p), 0.0)


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of p for one or more problems: weights over the grid, float64 [..., J]."""

    p: Floats
    weight: Floats

    @property
    def mean(self) -> Floats:
        """E[p | k of n]."""
        return self.weight @ self.p

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """The central interval of p that holds at least `level`."""
        tail = (1 - checks.fraction("interval", "level", level)) / 2
        below = np.cumsum(self.weight, -1)
        low = np.argmax(below >= tail * (1 + 1e-12), -1)
        high = np.argmax(below >= (1 - tail) * (1 - 1e-12), -1)
        return self.p[low], self.p[high]

    def silent_rate(self, G: int) -> Floats:
        """P(a further group of G is silent)."""
        return self.weight @ silent_rate(self.p, G)

    def expected_gain(self, G: int, dial: Dial = GRPO) -> Floats:
        """E[gain] of a further group of G."""
        return self.weight @ expected_gain(self.p, G, dial)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A spread of solve rates.

    Attributes:
        p, weight: float64 [J]; the weights sum to 1.
        gap: how far the mean log-likelihood of a problem can be below the best of all mixtures
            on this grid, in nats; a bound, not an estimate.
        problems: how many problems it was fitted to.
    """

    p: Floats
    weight: Floats
    gap: float
    problems: int

    def silent_rate(self, G: int) -> float:
        """Share of groups of G that are silent, any G; an estimate, see `bounds` for what the data can tell."""
        return float(self.weight @ silent_rate(self.p, G))

    def expected_gain(self, G: int, dial: Dial = GRPO) -> float:
        """E[gain] at group size G, any G."""
        return float(self.weight @ expected_gain(self.p, G, dial))

    def checked(self, false_positive: float = 0.0, false_negative: float = 0.0) -> Mixture:
        """The spread that a checker with these error rates would report, if this one is of an exact checker."""
        p = checked_rate(self.p, false_positive, false_negative)
        return Mixture(p, self.weight, self.gap, self.problems)

    def posterior(self, k: ArrayLike, n: ArrayLike) -> Posterior:
        """What k of n answers leave of it: for n = 8 and k = 0 the plug-in says silent for ever, this does not.

        Args: k of n, whole, 0 ≤ k ≤ n; they broadcast.

        >>> from groupsigma import Groups
        >>> spread = mixture(Groups(range(9), range(9), [8] * 9))
        >>> bool(0 < spread.posterior(0, 8).mean < 0.1)
        True
        """
        joint = likelihood(k, n, self.p) * self.weight
        return Posterior(self.p, joint / joint.sum(-1, keepdims=True))


def mixture(groups: Groups, *, points: int = _POINTS) -> Mixture:
    """The flattest of the mixtures that fit the counts as well as can be.

    Maximises Σ log Σ_j w_j P(k | n, p_j) − 2 KL(w ‖ uniform in arcsin √p) over the simplex, by Newton
    steps. The second term chooses among mixtures that the data cannot tell apart and fades as
    problems are added.

    Args:
        groups: with counts; n may differ between problems, if it does not depend on how they are solved.
        points: size of the grid of p.
    Raises: ArgumentError for rates or graded rewards.
    Source: Kiefer and Wolfowitz 1956; the optimality gap: Lindsay 1983.

    >>> from groupsigma import load
    >>> spread = mixture(load("bigmath"))
    >>> round(spread.silent_rate(8), 3), spread.gap < 1e-3
    (0.431, True)
    """
    if groups.n_correct is None:
        raise ArgumentError("mixture", "counts k of n", "graded rewards" if groups.graded else "rates without n")
    tally = groups.tally()
    p = solve_rate_grid(points)
    assert tally.n_correct is not None
    seen = tally.count > 0
    rows = likelihood(tally.n_correct[seen], tally.n_rollouts[seen], p)
    share = tally.count[seen] / tally.count.sum()
    span = _span(rows, int(tally.n_rollouts[seen].max()), p)
    weight = _flattest(rows, share, _FLATNESS / float(tally.count.sum()), span)
    # No mixture gains more than this, by concavity (Lindsay's gradient at the best single point).
    gap = float((rows.T @ (share / (rows @ weight))).max() - 1)
    return Mixture(p, weight, max(0.0, gap), groups.problems)


def sensitivity(spread: Mixture, tally: Groups, values: Floats) -> Floats:
    """How Σ_j w_j f(p_j) of the fitted spread moves with the share of each (k, n): its first-order refit.

    The derivative of the maximiser that `mixture` finds, through its dual: a resample with the shares s*
    has, to first order, the value Σ w f + Σ_u (s*_u − s_u) sensitivity_u, without another fit.

    Args: tally: as `groups.tally()` of the groups fitted, no row of count 0; values: f on the grid, [J, m].
    Returns: float64 [rows, m], up to a constant for each column.
    """
    assert tally.n_correct is not None
    share = tally.count / tally.count.sum()
    rows = likelihood(tally.n_correct, tally.n_rollouts, spread.p)
    fitted = rows @ spread.weight
    dual, flatness = share / fitted, _FLATNESS / float(tally.count.sum())
    pull = (rows - fitted[:, None]) @ (spread.weight[:, None] * values) / flatness
    span = _span(rows, int(tally.n_rollouts.max()), spread.p)
    return _solve(rows, spread.weight, fitted, share / dual**2, pull, flatness, span) / dual[:, None]


def _span(rows: Floats, n: int, p: Floats) -> Span | None:
    """Rows as combinations A of an orthonormal basis Q, [rows, n+1] and [n+1, J]; None where that is no saving.

    A likelihood of at most n answers is a polynomial of degree n in p, however many rows there are.
    """
    if 2 * (n + 1) > min(rows.shape):
        return None
    _, size, basis = np.linalg.svd(likelihood(np.arange(n + 1), np.full(n + 1, n), p), full_matrices=False)
    basis = basis[size > 1e-14 * size[0]]
    return rows @ basis.T, basis


def _flattest(rows: Floats, share: Floats, flatness: float, span: Span | None = None) -> Floats:
    """argmax_w Σ share log(rows w) − flatness Σ w log w over the simplex, through its dual.

    With y_i standing for share_i / (rows w)_i the maximiser is w ∝ exp(yᵀ rows / flatness), and y
    minimises flatness log Σ_j exp((yᵀ rows)_j / flatness) − Σ share log y: smooth, convex, as many
    unknowns as distinct (k, n), and weights may be as small as they like. Newton steps, from
    very flat to the flatness asked.
    """
    dual = share / rows.mean(1)
    now = 1.0
    while True:
        now = max(now, flatness)
        # On the way a rough answer is a good start for the next; the last is taken to the end.
        weight, dual = _newton(rows, share, dual, now, span, 1e-18 if now <= flatness else 1e-5)
        if now <= flatness:
            return weight
        now /= 10


def _newton(
    rows: Floats, share: Floats, dual: Floats, flatness: float, span: Span | None, enough: float
) -> tuple[Floats, Floats]:
    def at(y: Floats) -> tuple[Floats, float]:
        score = (y @ rows) / flatness
        top = score.max()
        weight = np.exp(score - top)
        total = weight.sum()
        return weight / total, float(flatness * (top + np.log(total)) - share @ np.log(y))

    weight, value = at(dual)
    for _ in range(100):
        fitted = rows @ weight
        slope = fitted - share / dual
        step = -_solve(rows, weight, fitted, share / dual**2, slope, flatness, span)
        promise = -float(slope @ step)
        if promise < enough:
            break
        shrinking = step < 0
        length = min(1.0, 0.9 * float((-dual[shrinking] / step[shrinking]).min(initial=np.inf)))
        while length > 1e-10:
            ahead = at(dual + length * step)
            if ahead[1] <= value - 1e-4 * length * promise:
                break
            length /= 2
        else:
            break
        dual = dual + length * step
        weight, value = ahead
    return weight, dual


def _solve(
    rows: Floats,
    weight: Floats,
    fitted: Floats,
    barrier: Floats,
    slope: Floats,
    flatness: float,
    span: Span | None = None,
) -> Floats:
    """(B Bᵀ / flatness + diag barrier)⁻¹ slope, B Bᵀ the covariance of the rows under the weights; slope [rows, …]."""
    if span is None:
        spread = (rows - fitted[:, None]) * np.sqrt(weight)
    else:
        # B = A R with RᵀR the covariance of the basis: as many columns as it has members, not grid points.
        combined, basis = span
        centred = (basis - (basis @ weight)[:, None]) * np.sqrt(weight)
        spread = combined @ np.asarray(np.linalg.qr(centred.T, mode="r")).T
    m, points = spread.shape
    if m <= points:
        curvature = spread @ spread.T / flatness
        curvature[np.diag_indices(m)] += barrier
        return np.asarray(np.linalg.solve(curvature, slope), dtype=np.float64)
    # More rows than grid points: the same by Woodbury, with a matrix of the grid's size.
    root = np.sqrt(barrier)
    scaled = spread / root[:, None]
    inner = scaled.T @ scaled
    inner[np.diag_indices(points)] += flatness
    right = (slope.T / root).T
    ahead = np.asarray(np.linalg.solve(inner, scaled.T @ right), dtype=np.float64)
    return ((right - scaled @ ahead).T / root).T
