"""Averages over groups, k ~ Binomial(G, p): silence, expected gain, fidelity, required G, objective.

Everything here is exact at finite G unless its name says law or limit. The
key rearrangement: since C(G,k) k(G−k)/G² = (1 − 1/G) C(G−2, k−1),

    E[gain] = p(1−p) · W_G(p),   W_G(p) = (1 − 1/G) E[A₊ − A₋ at j+1 | j ~ Binomial(G−2, p)]

so W_G, the weight a dial really puts on dp at group size G, is a plain mean that
is finite at p = 0 and 1, and its integral, the objective, is another such mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import checks
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.expect import binomial_mean
from groupsigma.sigma import contrast_advantage

#: Group sizes beyond this are reported as none.
_FARTHEST = 1e12
#: Out of reach: silent this often even in groups of this size.
_LARGE, _ASLEEP = 64, 0.95


def silent_rate(p: ArrayLike, G: ArrayLike) -> Floats:
    """P(all G answers agree) = p^G + (1−p)^G.

    Args: p solve rate in [0, 1]; G group size, whole, ≥ 1; they broadcast.
    Returns: float64 in (0, 1]; 1 at p ∈ {0, 1} and at G = 1.
    Source: arXiv 2607.00152, eq. 10.

    >>> float(silent_rate(0.5, 8))
    0.0078125
    """
    p_, size = _both("silent_rate", p, G)
    hard = np.minimum(p_, 1 - p_)
    with np.errstate(under="ignore"):
        # The larger power through log1p of the smaller side: exact where 1 − p rounds to 1.
        return np.where(size == 1, 1.0, np.exp(size * np.log1p(-hard)) + hard**size)


def out_of_reach(p: ArrayLike) -> Floats:
    """1 where even groups of 64 answers are silent in 95 % of all draws, or more often; else 0.

    >>> out_of_reach([0.0005, 0.001, 0.5]).tolist()
    [1.0, 0.0, 0.0]
    """
    return np.where(silent_rate(p, _LARGE) >= _ASLEEP, 1.0, 0.0)


def mixed_rate(p: ArrayLike, G: ArrayLike) -> Floats:
    """P(a group holds right and wrong answers) = 1 − p^G − (1−p)^G, accurate where it is tiny.

    >>> float(mixed_rate(1e-17, 8))
    8e-17
    """
    p_, size = _both("mixed_rate", p, G)
    hard = np.minimum(p_, 1 - p_)
    with np.errstate(under="ignore"):
        return np.where(size == 1, 0.0, -np.expm1(size * np.log1p(-hard)) - hard**size)


def expected_gain(p: ArrayLike, G: ArrayLike, dial: Dial = GRPO) -> Floats:
    """E[gain] of a group drawn at solve rate p: Σ_k C(G,k) p^k (1−p)^(G−k) gain(k, G).

    Silent groups count with gain 0; divide by `mixed_rate` for a group that was
    kept (DAPO). GRPO: E[σ]. Dr. GRPO: p(1−p)(1 − 1/G).

    Args: p in [0, 1]; G whole, ≥ 1; they broadcast, G to 10⁵ and beyond.
    Returns: float64, 0 exactly at p ∈ {0, 1} and at G = 1.
    Source: arXiv 2607.00152, Proposition 2, eq. 6 (GRPO); any other table likewise.

    >>> round(float(expected_gain(0.5, 8)), 6)
    0.463914
    """
    p_, size = _both("expected_gain", p, G)
    return p_ * (1 - p_) * _finite_weight(p_, size, dial)


def fidelity(p: ArrayLike, G: ArrayLike, dial: Dial = GRPO) -> Floats:
    """φ(G, p): the share of the large-G gain that groups of G realise; GRPO: E[σ]/√(p(1−p)).

    It measures closeness to the limit objective, not learning per answer.

    Returns: float64; 0 at p ∈ {0, 1}, where nothing is ever realised.
    Source: arXiv 2607.00152, eq. 8.

    >>> round(float(fidelity(0.05, 8)), 6)
    0.538992
    """
    p_, size = _both("fidelity", p, G)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _finite_weight(p_, size, dial) / difficulty_weight(p_, dial)
    return np.where((p_ > 0) & (p_ < 1) & np.isfinite(ratio), ratio, 0.0)


def group_size_law(p: ArrayLike, fidelity: float = 0.95) -> Floats:
    """The paper's asymptotic law G* = 1/(8 ε p(1−p)), ε = 1 − fidelity: a float, and too small.

    It understates the exact requirement (by 1.04 at 99 %, 1.6 at 90 % and
    p = .05); `required_group_size` is exact.

    Returns: float64; inf at p ∈ {0, 1}.
    Source: arXiv 2607.00152, Corollary 2.

    >>> round(float(group_size_law(0.05)), 2)
    52.63
    """
    p_ = checks.probabilities("group_size_law", p)
    target = checks.fraction("group_size_law", "fidelity", fidelity)
    with np.errstate(divide="ignore"):
        return 1 / (8 * (1 - target) * p_ * (1 - p_))


def required_group_size(p: ArrayLike, fidelity: float = 0.95) -> Ints:
    """The smallest G with φ(G, p) ≥ fidelity, exact; −1 where no G is enough (p ∈ {0, 1}) or none below 10¹².

    φ rises with G (σ is concave in the group mean, and means of growing groups
    are a reverse martingale), so a bracket and a secant in 1/G find it.

    Args: p in [0, 1], any shape; fidelity strictly between 0 and 1 − 1e-9, which float64 can tell apart.
    Returns: int64, ≥ 2 inside.
    Source: arXiv 2607.00152, Table 2 (exact entries).

    >>> required_group_size([0.5, 0.05, 0.0]).tolist()
    [11, 69, -1]
    """
    p_ = checks.probabilities("required_group_size", p)
    target = checks.fraction("required_group_size", "fidelity", fidelity)
    if target > 1 - 1e-9:
        raise ArgumentError("required_group_size", "fidelity of at most 1 - 1e-9", f"{target!r}")
    distinct, inverse = np.unique(np.minimum(p_, 1 - p_).ravel(), return_inverse=True)
    out = np.full(len(distinct), -1, dtype=np.int64)
    inside = distinct > 0
    out[inside] = _smallest_group(distinct[inside], target)
    return out[inverse].reshape(p_.shape)


def _smallest_group(p: Floats, target: float) -> Ints:
    """Bracketing search on φ; lo always falls short, hi always suffices; −1 beyond _FARTHEST."""

    def phi(i: Ints, G: Ints) -> Floats:
        return _finite_weight(p[i], G, GRPO) / difficulty_weight(p[i])

    out = np.full(len(p), -1, dtype=np.int64)
    active = np.flatnonzero(group_size_law(p, target) < _FARTHEST)
    lo, miss_lo = np.ones(len(p), dtype=np.int64), np.ones(len(p))
    hi, miss_hi = np.full(len(p), -1, dtype=np.int64), np.zeros(len(p))
    guess = np.full(len(p), 2, dtype=np.int64)
    guess[active] = np.maximum(2, np.ceil(group_size_law(p[active], target))).astype(np.int64)
    short = 1 - target
    while len(active):
        G = guess[active]
        reached = phi(active, G)
        enough = reached >= target
        above, below = active[enough], active[~enough]
        hi[above], miss_hi[above] = G[enough], 1 - reached[enough]
        lo[below], miss_lo[below] = G[~enough], 1 - reached[~enough]
        done = (hi[active] >= 0) & (hi[active] - lo[active] <= 1)
        out[active[done]] = hi[active[done]]
        active = active[~done & (lo[active] < 4 * _FARTHEST)]
        open_, a = hi[active] < 0, active
        # 1 − φ is nearly A/G: extrapolate by the ratio while open, interpolate in 1/G inside,
        # and halve every time that this leaves most of the bracket standing.
        step = np.ceil(lo[a] * np.where(open_, np.maximum(miss_lo[a], short), short) / short) + 1
        x_lo, x_hi = 1 / lo[a], 1 / np.where(open_, 2 * lo[a], hi[a])
        slope_ = (miss_lo[a] - miss_hi[a]) / (x_lo - x_hi)
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = 1 / np.clip(x_hi + (short - miss_hi[a]) / slope_, x_hi, x_lo)
        middle = (lo[a] + np.where(open_, lo[a], hi[a])) // 2
        stuck = ~np.isfinite(inner) | (np.abs(inner - guess[a]) < 1e-3 * (hi[a] - lo[a]))
        inner = np.clip(np.where(stuck, middle, np.ceil(inner)), lo[a] + 1, np.maximum(hi[a] - 1, lo[a] + 1))
        guess[a] = np.where(open_, np.maximum(step, lo[a] + 1), inner).astype(np.int64)
    return out


def difficulty_weight(p: ArrayLike, dial: Dial = GRPO, G: int | None = None) -> Floats:
    """The weight a dial puts on an improvement dp at solve rate p: the objective's derivative.

    G=None, the large-G limit: p^−a (1−p)^−b (GRPO 1/√(p(1−p))). With G, what
    groups of that size really weigh: E[gain]/(p(1−p)), finite at p = 0 and 1.

    Returns: float64; inf where the limit diverges.
    Source: arXiv 2607.00152, eq. 11; finite G: module docstring.

    >>> float(difficulty_weight(0.5)), round(float(difficulty_weight(0.3, Dial(tilt=0.5), G=8)), 4)
    (2.0, 3.0588)
    """
    p_ = checks.probabilities("difficulty_weight", p)
    if G is not None:
        return _finite_weight(p_, _one_size("difficulty_weight", G), dial)
    _refuse_batch("difficulty_weight", dial)
    return _limit_scale(p_, dial)


def objective(p: ArrayLike, dial: Dial = GRPO, G: int | None = None) -> Floats:
    """What the dial ascends: an antiderivative of `difficulty_weight`, as a function of p.

    G=None, the limit: ∫ t^−a (1−t)^−b dt from 0 where that converges; else p^(1−a)/(1−a) for b = 0
    (MaxRL: log p), log p/(1−p) for logit, and from ½ otherwise. GRPO 2 arcsin √p, Dr. GRPO p,
    pass@n (1 − (1−p)ⁿ)/n. With G: from 0, exact, a mean over Binomial(G−1, p).

    Returns: float64; ±inf where the limit diverges.
    Source: arXiv 2607.00152, §6; the plane: docs/dial.md.

    >>> round(float(objective(0.5)), 6), round(float(objective(0.5, Dial(power=0), G=8)), 4)
    (1.570796, 0.4375)
    """
    p_ = checks.probabilities("objective", p)
    if G is not None:
        size = _one_size("objective", G)
        cumulative = np.concatenate(
            [[0.0], np.cumsum(contrast_advantage(np.arange(1.0, int(size)), size.astype(np.float64), dial))]
        )
        return binomial_mean(p_, np.asarray(size - 1), lambda j, _: cumulative[j.astype(np.int64)], _widen(dial)) / size
    _refuse_batch("objective", dial)
    return _limit_objective(p_, dial)


def gradient_share(p: ArrayLike, G: int | None = None, dial: Dial = GRPO, weights: ArrayLike | None = None) -> Floats:
    """The share of the whole update that each entry of p receives; sums to 1.

    Args: p [...]; G None for the large-G limit (GRPO √(p(1−p))) or a group size;
        weights [...] how many problems each p stands for (default 1).
    Returns: float64 of p's shape. All zeros when no entry can teach.
    Source: arXiv 2607.00152, §7. Replacing silent groups (DAPO) rescales all shares alike.

    >>> gradient_share([0.5, 0.1, 0.0], dial=Dial(power=0)).round(4).tolist()
    [0.7353, 0.2647, 0.0]
    """
    p_ = checks.probabilities("gradient_share", p)
    w = np.ones_like(p_) if weights is None else checks.finite("gradient_share", "weights", weights)
    if w.shape != p_.shape or (w < 0).any():
        raise ArgumentError("gradient_share", "weights >= 0 of p's shape", f"shape {w.shape} for p {p_.shape}")
    mass = w * (limit_gain(p_, dial) if G is None else expected_gain(p_, _one_size("gradient_share", G), dial))
    total = mass.sum()
    return mass / total if total > 0 else np.zeros_like(mass)


def limit_gain(p: ArrayLike, dial: Dial = GRPO) -> Floats:
    """lim E[gain] as G → ∞: p^(1−a) (1−p)^(1−b); GRPO √(p(1−p)). 0 at p ∈ {0, 1} by definition.

    >>> float(limit_gain(0.5))
    0.5
    """
    p_ = checks.probabilities("limit_gain", p)
    _refuse_batch("limit_gain", dial)
    a, b = dial.exponents
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = p_ ** (1 - a) * (1 - p_) ** (1 - b) if dial.tilt else (p_ * (1 - p_)) ** (1 - a)
        if dial.eps:
            inside = p_ * (1 - p_) * _limit_scale(p_, dial)
    return np.where((p_ > 0) & (p_ < 1), inside, 0.0)


def draws_per_kept_group(silent: ArrayLike) -> Floats:
    """Groups drawn for each mixed one when silent ones are replaced: 1/(1 − silent), one at a time.

    Trainers refill in whole batches, so this is a lower bound of their cost.

    Args: silent: the silent share over the data, in [0, 1].  Returns: float64 ≥ 1, inf at 1.

    >>> float(draws_per_kept_group(0.75))
    4.0
    """
    share = checks.probabilities("draws_per_kept_group", silent, "silent")
    with np.errstate(divide="ignore"):
        return 1 / (1 - share)


def cap_risk(silent: ArrayLike, batch: int, cap: float) -> Floats:
    """P(filling a batch of kept groups takes more than cap · batch draws): negative binomial.

    Args: silent in [0, 1]; batch: kept groups wanted, ≥ 1; cap: times the batch, ≥ 1.
    Returns: float64 in [0, 1]: the chance that a run with that cap stops or trains on less.

    >>> round(float(cap_risk(0.5, 64, 2.0)), 2)
    0.46
    """
    share = checks.probabilities("cap_risk", silent, "silent")
    wanted = int(checks.whole("cap_risk", "batch", batch, 1))
    factor = checks.finite("cap_risk", "cap", cap)
    if factor.ndim or factor < 1:
        raise ArgumentError("cap_risk", "cap to be a number of at least 1", repr(cap))
    draws = np.asarray(int(float(factor) * wanted * (1 + 1e-12)))
    # More silent groups among all draws than the cap leaves room for; in `share` itself no digit is lost.
    room = int(draws) - wanted
    return np.clip(binomial_mean(share, draws, lambda lost, _: np.where(lost > room, 1.0, 0.0)), 0.0, 1.0)


def checked_rate(p: ArrayLike, false_positive: float = 0.0, false_negative: float = 0.0) -> Floats:
    """The solve rate that a checker which errs reports: p' = f₊ + (1 − f₊ − f₋) p.

    Silence, gain, fidelity and required G in a run with that checker follow from p', not from p.

    Args: p in [0, 1]; false_positive f₊: wrong answers passed, false_negative f₋: right ones refused, in [0, 1].

    >>> checked_rate([0.0, 0.5, 1.0], 0.02, 0.1).round(3).tolist()
    [0.02, 0.46, 0.9]
    """
    p_ = checks.probabilities("checked_rate", p)
    passed = checks.probabilities("checked_rate", false_positive, "false_positive")
    refused = checks.probabilities("checked_rate", false_negative, "false_negative")
    return passed + (1 - passed - refused) * p_


def _finite_weight(p: Floats, G: Ints, dial: Dial) -> Floats:
    """W_G(p) = (1 − 1/G) E[(A₊ − A₋)(j+1)], j ~ Binomial(G−2, p); 0 for G = 1."""
    _refuse_batch("expected gain", dial)
    inner = np.maximum(G, 2) - 2
    mean = binomial_mean(p, inner, lambda j, n: contrast_advantage(j + 1, n + 2, dial), _widen(dial))
    return (1 - 1 / G) * mean


def _widen(dial: Dial) -> float:
    """How far a dial's powers of μ and 1−μ can pull the mass of a sum away from the peak."""
    return max(0.0, *(abs(e) - 1 for e in dial.exponents)) + abs(dial.power) / 2


def _limit_scale(p: Floats, dial: Dial) -> Floats:
    a, b = dial.exponents
    with np.errstate(divide="ignore"):
        if dial.eps == 0:
            return p**-a * (1 - p) ** -b if dial.tilt else (p * (1 - p)) ** (-dial.power / 2)
        return (np.sqrt(p * (1 - p)) + dial.eps) ** -dial.power * p**-dial.tilt * (1 - p) ** dial.tilt


def _limit_objective(p: Floats, dial: Dial) -> Floats:
    a, b = dial.exponents
    with np.errstate(divide="ignore", invalid="ignore"):
        if dial.eps == 0 and a == 0 and b != 1:
            return -np.expm1((1 - b) * np.log1p(-p)) / (1 - b)
        if dial.eps == 0 and b == 0:
            return np.log(p) if a == 1 else p ** (1 - a) / (1 - a)
        if dial.eps == 0 and a == b == 1:
            return np.log(p) - np.log1p(-p)
    if dial.eps == 0 and a < 1 and b < 1:
        from scipy.special import beta, betainc

        return betainc(1 - a, 1 - b, p) * beta(1 - a, 1 - b)
    from scipy.integrate import tanhsinh

    start = 0.0 if (a if dial.eps == 0 else dial.tilt) < 1 else 0.5
    return tanhsinh(lambda t: _limit_scale(t, dial), np.full_like(p, start), p, rtol=1e-12).integral


def _refuse_batch(who: str, dial: Dial) -> None:
    expect_dial(who, dial)
    if dial.spread == "batch":
        raise ArgumentError(
            who, "a rule that looks at one group", "spread='batch'", hint="one scale for all prompts: as power=0"
        )


def _both(who: str, p: ArrayLike, G: ArrayLike) -> tuple[Floats, Ints]:
    p_, size = checks.probabilities(who, p), checks.group_sizes(who, G)
    checks.together(who, p_, size)
    return p_, size


def _one_size(who: str, G: int) -> Ints:
    size = checks.group_sizes(who, G)
    if size.ndim:
        raise ArgumentError(who, "one G", f"{size.size} of them")
    return size
