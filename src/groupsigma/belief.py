"""What is believed of every problem's solve rate while the policy moves.

A belief is a row of probabilities over a grid of log-odds; the problems' rows make one matrix.
Everything closed: a visit multiplies a row by p^k (1−p)^(n−k); time blurs it by a random walk and
draws it back towards the population (a change of unknown cause); what all problems share (a
common drift, a published solve rate, any column) shifts rows along the grid, visited or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from groupsigma import arrays, checks
from groupsigma.checks import Floats, Ints
from groupsigma.drift import visits
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.mixture import Mixture, Posterior, log_likelihood, mixture
from groupsigma.odds import POINTS, blur, grid, normalised, points_for, shift, split, start_curve

#: What a step leaves of the contrast pairs that breadth remembers.
_RECENT = 0.8


@dataclass(frozen=True)
class Drift:
    """How beliefs age, per step since the last one.

    Attributes:
        wander: standard deviation of a problem's own random walk, in log-odds: where it starts.
        adapt: how fast `wander` follows surprise: it grows while answers stray further from what was
            believed than they should, and shrinks while they stray less. 0 keeps it.
        forget: chance that a problem is as if drawn anew from the population; 0 to 1.
        common: standard deviation of the walk that all problems share, in log-odds; what a
            batch does to it is inferred and moves the unvisited too. 0 switches it off.
        effects: the same for each column's coefficient.
        learn: share of the population's curve replaced by today's beliefs at an update.
    """

    wander: float = 0.05
    adapt: float = 0.2
    forget: float = 0.005
    common: float = 0.05
    effects: float = 0.05
    learn: float = 0.05

    def __post_init__(self) -> None:
        for name, most in (
            ("wander", np.inf),
            ("adapt", 1),
            ("forget", 1),
            ("common", np.inf),
            ("effects", np.inf),
            ("learn", 1),
        ):
            value = checks.floats("Drift", name, getattr(self, name))
            if value.ndim or not 0 <= value <= most or not np.isfinite(value):
                raise ArgumentError("Drift", f"{name} from 0{' to 1' if most == 1 else ''}", repr(getattr(self, name)))


@dataclass(frozen=True, eq=False, repr=False)
class Beliefs:
    """One row of probabilities for each problem, over `odds`; made by `Beliefs.about` or `Beliefs.of_groups`.

    Attributes:
        prompt_ids: [P] labels.
        weight: float64 [P, J], rows sum to 1.
        spread: float64 [J], the population's curve, towards which rows are drawn.
        seen: [P] answers ever counted for each problem.
        recent: [P] contrast pairs it gave, each step keeping 0.8 of them; what breadth looks at.
        columns: [P, 1 + d] ones, then what is known of the problems; effect, covariance: of their coefficients.
        count: [P] how many problems a row stands for.
        wander: today's `Drift.wander`. drift: how rows age; step: the time they are true for.
    """

    prompt_ids: Any
    weight: Floats
    spread: Floats
    seen: Floats
    recent: Floats
    count: Ints
    columns: Floats
    effect: Floats
    covariance: Floats
    wander: float
    drift: Drift = field(default_factory=Drift)
    step: int = 0

    def __repr__(self) -> str:
        return f"Beliefs({len(self.weight):,} problems, step {self.step}, {int(self.seen.sum()):,} answers)"

    @property
    def p(self) -> Floats:
        """The grid as solve rates, float64 [J]."""
        return grid(self.weight.shape[1])[1]

    @property
    def mean(self) -> Floats:
        """E[p] of each problem."""
        return self.weight @ self.p

    def interval(self, level: float = 0.9) -> tuple[Floats, Floats]:
        """The central interval of p that holds at least `level`; half a spacing wider: p lies between points."""
        odds, p = grid(self.weight.shape[1])
        half = np.exp((odds[1] - odds[0]) / 2)
        low, high = Posterior(p, self.weight).interval(level)
        return low / (low + (1 - low) * half), high / (high + (1 - high) / half)

    @classmethod
    def about(
        cls,
        prompt_ids: ArrayLike,
        *,
        rate: ArrayLike | None = None,
        strength: float = 4.0,
        columns: ArrayLike | None = None,
        spread: Mixture | None = None,
        drift: Drift | None = None,
        points: int = POINTS,
    ) -> Beliefs:
        """Beliefs about problems not yet tried.

        Args:
            prompt_ids: [P] labels, all different.
            rate: [P] a published solve rate or a model's forecast in [0, 1], NaN where there is none;
                it counts like `strength` answers. Learn how far to trust it by giving it as a column too.
            columns: [P, d] anything that may tell hard from easy (numbers; standardise them):
                coefficients are learned from all visits and move the unvisited too.
            spread: the population's curve; by default flat in arcsin √p (Beta(½, ½)).
            drift: how beliefs age.

        >>> Beliefs.about(["a", "b"], rate=[0.1, float("nan")]).mean.round(2).tolist()
        [0.18, 0.5]
        """
        who = "Beliefs.about"
        ids = np.asarray(prompt_ids)
        if ids.ndim != 1 or not len(ids):
            raise ArgumentError(who, "one id for each problem, at least one", f"shape {ids.shape}")
        if not 3 <= int(_number(who, "points", points)) == points:
            raise ArgumentError(who, "at least 3 points, a whole number", repr(points))
        curve = start_curve(spread, points)
        weight = np.tile(curve, (len(ids), 1))
        p = grid(points)[1]
        if rate is not None:
            r = checks.floats(who, "rate", rate)
            if r.shape != ids.shape:
                raise ArgumentError(who, "a rate for each problem", f"{r.size} rates, {len(ids)} problems")
            known = ~np.isnan(r)
            checks.probabilities(who, r[known], "rate")
            n = float(_number(who, "strength", strength))
            weight[known] = normalised(np.log(weight[known]) + log_likelihood(n * r[known], n * (1 - r[known]), p))
        z = np.ones((len(ids), 1))
        if columns is not None:
            given = checks.finite(who, "columns", columns)
            given = given[:, None] if given.ndim == 1 else given
            if given.ndim != 2 or len(given) != len(ids):
                raise ArgumentError(who, "columns [problems, d]", f"shape {given.shape} for {len(ids)} problems")
            z = np.hstack([z, given])
        d = z.shape[1]
        # Coefficients start unknown within a unit of log-odds, the common shift within none: the curve holds it.
        covariance = np.diag(np.r_[0.0, np.full(d - 1, 0.25)])
        made = cls(
            ids, weight, curve, np.zeros(len(ids)), np.zeros(len(ids)), np.ones(len(ids), dtype=np.int64),
            z, np.zeros(d), covariance, (drift or Drift()).wander, drift or Drift(),
        )  # fmt: skip
        if len(made._rows) != len(ids):
            raise ArgumentError(who, "ids that differ", f"{len(ids) - len(made._rows)} repeated")
        return made

    @classmethod
    def known(cls, prompt_ids: ArrayLike, p: ArrayLike, *, drift: Drift | None = None, points: int = POINTS) -> Beliefs:
        """Beliefs that are sure of one solve rate each: an oracle's, or rates taken as exact.

        >>> Beliefs.known(["a"], [0.25]).mean.round(2).tolist()
        [0.25]
        """
        made = cls.about(prompt_ids, drift=drift, points=points)
        odds, at = grid(points)
        rate = np.clip(checks.probabilities("Beliefs.known", p), at[0], at[-1])
        if rate.shape != made.count.shape:
            raise ArgumentError("Beliefs.known", "one p for each problem", f"shape {rate.shape}")
        return replace(made, weight=split(np.log(rate) - np.log1p(-rate), odds))

    @classmethod
    def of_groups(cls, groups: Groups, drift: Drift | None = None) -> Beliefs:
        """Beliefs from logged answers: the fitted spread of solve rates, and each row's posterior.

        Rates without n are taken as exact. Several visits of a prompt are run through in the order
        of their steps. Equal rows need not be merged; `count` is kept.

        Raises: ArgumentError for graded rewards.

        >>> told = Beliefs.of_groups(Groups(["a", "b"], [0, 4], [8, 8]))
        >>> bool(told.mean[0] < told.mean[1])
        True
        """
        rates = groups.solve_rate
        codes, ids = arrays.factorize(groups.prompt_ids)
        if groups.n_correct is None:
            if len(ids) != len(codes):
                raise ArgumentError("Beliefs.of_groups", "one rate for each problem", "repeated ids")
            sure = cls.known(groups.prompt_ids, rates, drift=drift, points=points_for(200))
            return replace(sure, count=groups.count, spread=sure.weight.T @ (groups.count / groups.count.sum()))
        n = groups.n_rollouts
        spread = mixture(groups)
        points = points_for(int(n.max()))
        if len(ids) == len(codes):
            curve = start_curve(spread, points)
            weight = normalised(np.log(curve) + log_likelihood(groups.n_correct, n - groups.n_correct, grid(points)[1]))
            made = cls.about(groups.prompt_ids, drift=drift, points=points)
            step = 0 if groups.step is None else int(groups.step.max())
            return replace(made, weight=weight, spread=curve, seen=n.astype(np.float64), count=groups.count, step=step)
        if (groups.count != 1).any():
            raise ArgumentError("Beliefs.of_groups", "one problem a row where ids repeat", "counts above 1")
        made = cls.about(ids, spread=spread, drift=drift, points=points)

        at = visits(groups) if groups.step is None else groups.step
        made = replace(made, step=int(at.min()))
        for step in np.unique(at):
            here = np.flatnonzero(at == step)
            made = made.advance(int(step)).update(groups.prompt_ids[here], groups.n_correct[here], n[here])
        return made

    def advance(self, step: int) -> Beliefs:
        """The same beliefs as they stand at a later step: blurred by `wander`, drawn to the spread by `forget`."""
        now = _whole("advance", "step", step)
        passed = now - self.step
        if passed < 0:
            raise ArgumentError("advance", f"a step of at least {self.step}", str(step))
        if not passed:
            return self
        d = self.drift
        weight = self.weight
        if self.wander:
            weight = weight @ blur(weight.shape[1], self.wander * np.sqrt(passed))
        keep = (1 - d.forget) ** passed
        if keep < 1:
            weight = keep * weight + (1 - keep) * self.spread
        walk = passed * np.r_[d.common**2, np.full(len(self.effect) - 1, d.effects**2)]
        return replace(
            self,
            weight=weight,
            step=now,
            recent=self.recent * _RECENT**passed,
            covariance=self.covariance + np.diag(walk),
        )

    def update(self, prompt_ids: ArrayLike, n_correct: ArrayLike, n_rollouts: ArrayLike) -> Beliefs:
        """Beliefs after k of n more answers to some problems, at the present step.

        First what the visited problems have in common moves all rows (a step of an extended Kalman
        filter on the columns' coefficients), then each visited row is multiplied by its likelihood.

        Args: prompt_ids [M], any of ours, repeats allowed; k, n [M], 0 ≤ k ≤ n, n ≥ 1.
        Raises: ArgumentError for ids not ours.
        """
        k, n = checks.counts("update", n_correct, n_rollouts, ("n_correct", "n_rollouts"))
        rows = self.rows(prompt_ids)
        if rows.shape != k.shape:
            raise ArgumentError("update", "k and n for each prompt id", f"{rows.size} ids, shapes {k.shape}")
        return self.observe(rows, k, n)

    def observe(self, rows: Ints, k: Ints, n: Ints) -> Beliefs:
        """`update` by row number, unchecked; each row once or more."""
        if len(np.unique(rows)) != len(rows):
            distinct, code = np.unique(rows, return_inverse=True)
            k, n = (np.bincount(code, x, len(distinct)) for x in (k, n))
            rows = distinct
        p = grid(self.weight.shape[1])[1]
        chance = log_likelihood(k, n - k, p)
        told = _Surprise(self.weight[rows], p, np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64))
        moved = self._share(rows, told)
        weight = moved.weight if moved is not self else self.weight.copy()
        with np.errstate(divide="ignore"):
            # Their own answers already moved the visited: what they share is for the others.
            weight[rows] = normalised(np.log(self.weight[rows]) + chance)
        seen, recent = self.seen.copy(), self.recent.copy()
        seen[rows] += n
        recent[rows] += k * (n - k) / np.maximum(n, 1)
        learn = self.drift.learn
        spread = self.spread
        if learn:
            share = self.count / self.count.sum()
            spread = (1 - learn) * spread + learn * (share @ weight)
        return replace(moved, weight=weight, seen=seen, recent=recent, spread=spread, wander=self._adapted(rows, told))

    def _share(self, rows: Ints, told: _Surprise) -> Beliefs:
        """All rows shifted by what the visited ones say about the coefficients of the columns."""
        if not self.covariance.any():
            return self
        z = self.columns[rows]
        gained = (z * (told.slope**2 / told.variance)[:, None]).T @ z
        pull = z.T @ (told.slope * told.off / told.variance)
        # (Σ⁻¹ + Zᵀ H Z)⁻¹ Zᵀ g without inverting a Σ that may hold zeros.
        covariance = np.linalg.solve(np.eye(len(gained)) + self.covariance @ gained, self.covariance)
        move = covariance @ pull
        shifted = shift(self.weight, self.columns @ move)
        return replace(self, weight=shifted, effect=self.effect + move, covariance=(covariance + covariance.T) / 2)

    def _adapted(self, rows: Ints, told: _Surprise) -> float:
        """`wander` after this visit: the mean squared surprise of problems known before should be 1."""
        known = self.seen[rows] > 0
        if not known.any() or not self.drift.adapt or not self.wander:
            return self.wander
        # Pooled, not per problem: near 0 and 1 a single surprise is almost always nothing and rarely huge.
        surprise = float((told.off[known] ** 2).sum() / told.variance[known].sum())
        # A handful of visits says little: the step is in proportion to how many there are, up to 16.
        rate = self.drift.adapt * min(1.0, known.sum() / 16)
        return float(np.clip(self.wander * np.exp(rate * (min(surprise, 4.0) - 1)), 0.01, 1.0))

    def with_columns(self, columns: ArrayLike) -> Beliefs:
        """The same problems with today's columns: rows move by what the coefficients make of the change.

        For signals that follow the policy, such as its own estimate of its chance at each prompt (in log-odds).

        Args: columns [P, d], as many as before.
        """
        given = checks.finite("with_columns", "columns", columns)
        given = given[:, None] if given.ndim == 1 else given
        if given.shape != self.columns[:, 1:].shape:
            needs = f"columns of shape {self.columns[:, 1:].shape}"
            raise ArgumentError("with_columns", needs, f"shape {given.shape}")
        moved = np.hstack([self.columns[:, :1], given])
        return replace(self, weight=shift(self.weight, (moved - self.columns) @ self.effect), columns=moved)

    def among(self, rows: Ints) -> Beliefs:
        """What is believed of some rows alone, to plan among them; what they share is not kept up by it."""
        own = ("prompt_ids", "weight", "seen", "recent", "count", "columns")
        return replace(self, **{name: getattr(self, name)[rows] for name in own})

    def draw(self, rng: np.random.Generator) -> Beliefs:
        """Beliefs that are sure of one solve rate each, drawn from these rows (Thompson sampling)."""
        at = (np.cumsum(self.weight, 1) < rng.random((len(self.weight), 1)) * (1 - 1e-12)).sum(1)
        weight = np.zeros_like(self.weight)
        weight[np.arange(len(at)), np.minimum(at, weight.shape[1] - 1)] = 1.0
        return replace(self, weight=weight)

    def rows(self, prompt_ids: ArrayLike) -> Ints:
        """Row number of each id."""
        try:
            return np.array([self._rows[i] for i in np.asarray(prompt_ids).tolist()], dtype=np.int64)
        except KeyError as error:
            raise ArgumentError("rows", "ids of problems in these beliefs", repr(error.args[0])) from None

    @cached_property
    def _rows(self) -> Mapping[Any, int]:
        return {label: i for i, label in enumerate(self.prompt_ids.tolist())}

    def state(self) -> dict[str, Any]:
        """Everything, as plain arrays and numbers under flat names: what a checkpoint, or np.savez, carries."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "drift"}
        return own | {f"drift_{name}": value for name, value in vars(self.drift).items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Beliefs:
        """Beliefs again, bit for bit, from what `state` gave.

        >>> told = Beliefs.about(["a", "b"]).update(["a"], [1], [4])
        >>> bool((Beliefs.from_state(told.state()).weight == told.weight).all())
        True
        """
        wanted = {f.name for f in fields(cls)} - {"drift"} | {f"drift_{f.name}" for f in fields(Drift)}
        missing = wanted - set(state)
        if missing:
            raise ArgumentError("Beliefs.from_state", "what state() gave", "no " + ", ".join(sorted(missing)))
        drift = Drift(**{f.name: float(state[f"drift_{f.name}"]) for f in fields(Drift)})
        own = {f.name: state[f.name] for f in fields(cls) if f.name != "drift"}
        return cls(**{**own, "wander": float(own["wander"]), "step": int(own["step"])}, drift=drift)


def _number(who: str, name: str, value: ArrayLike) -> Floats:
    """One finite number of at least 0."""
    x = checks.finite(who, name, value)
    if x.ndim or x < 0:
        raise ArgumentError(who, f"{name} to be a number of at least 0", repr(value)[:60])
    return x


def _whole(who: str, name: str, value: ArrayLike) -> int:
    """One whole number of at least 0."""
    x = checks.whole(who, name, value, 0)
    if x.ndim:
        raise ArgumentError(who, f"one {name}", repr(value)[:60])
    return int(x)


class _Surprise:
    """What k of n was expected to be: off = k/n − E[p], its variance under the belief, and dE[p]/d log-odds."""

    def __init__(self, weight: Floats, p: Floats, k: Floats, n: Floats) -> None:
        mean = weight @ p
        self.off = k / n - mean
        self.slope = weight @ (p * (1 - p))
        self.variance = (mean * (1 - mean) + (n - 1) * (weight @ (p * p) - mean**2)) / n
