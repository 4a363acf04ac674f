"""What a log shows under a setting, as sums over its groups: every quantity compared is a ratio of two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from groupsigma import checks
from groupsigma.bands import BANDS, logged_band
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.estimate import expected_gain_unbiased, pass_hat_k
from groupsigma.expect import hypergeometric_mean
from groupsigma.groups import Groups
from groupsigma.law import expected_gain, limit_gain, mixed_rate
from groupsigma.mixture import likelihood, mixture, sensitivity
from groupsigma.presets import name_of, spoken
from groupsigma.sigma import gain, sigma
from groupsigma.splits import Method


@dataclass(frozen=True)
class Setting:
    """How a log is looked at: which groups, which rule, which problems.

    Attributes:
        group_size: fresh groups of G on the same problems; None: the groups that were drawn, as logged.
        dial: whose update is measured; keep="mixed" replaces silent groups.
        solved: (low, high): only problems with low ≤ k/n ≤ high, ends included. The problems that look solvable in
            n answers are partly luck, so what they bring is taken from each one's posterior, never from the
            counts that chose them. It needs a group_size: as logged, the groups chosen are the ones that chose.
        dial_name: what to call the dial; by default its first name in DIALS, else its formula.
    """

    group_size: int | None = None
    dial: Dial = GRPO
    solved: tuple[float, float] | None = None
    dial_name: str = ""

    def __post_init__(self) -> None:
        expect_dial("Setting", self.dial)
        if self.group_size is not None:
            size = checks.group_sizes("Setting", self.group_size)
            if size.ndim or not 1 <= size <= 1_000_000:
                raise ArgumentError("Setting", "one group size of at most 1,000,000", f"{self.group_size!r}"[:60])
            object.__setattr__(self, "group_size", int(size))
        if self.solved is not None:
            ends = checks.probabilities("Setting", self.solved, "solved")
            if ends.shape != (2,) or ends[0] > ends[1]:
                raise ArgumentError("Setting", "solved as (low, high), low <= high", f"{self.solved!r}"[:60])
            object.__setattr__(self, "solved", (float(ends[0]), float(ends[1])))
            if self.group_size is None:
                hint = "G says which fresh groups on the chosen problems to compare"
                raise ArgumentError("Setting", "a group size beside solved", "groups as logged", hint=hint)
        if not self.dial_name:
            object.__setattr__(self, "dial_name", name_of(self.dial))

    @property
    def text(self) -> str:
        """The setting in one phrase: "G = 8, GRPO, solved .1 to .9"."""
        parts = ["as logged" if self.group_size is None else f"G = {self.group_size}", spoken(self.dial_name)]
        if self.dial.keep == "mixed" and self.dial_name != "dapo":
            parts.append("silent groups replaced")
        return ", ".join(parts + ([] if self.solved is None else ["solved {:g} to {:g}".format(*self.solved)]))


class Ratio(NamedTuple):
    """One quantity: its name, the sums above and below, the factor, and its unit.

    unit: "share" or "number", compared as B − A; "times", what is paid for or got for a price, as B / A: then a
    quantity and its inverse are told apart or not together.
    """

    name: str
    top: str
    bottom: str
    factor: float = 1.0
    unit: str = "share"


#: What is compared; quarters of the run follow where both have steps.
RATIOS = (
    Ratio("silent", "silent", "groups"),
    Ratio("all_wrong", "wrong", "groups"),
    Ratio("all_right", "right", "groups"),
    Ratio("mixed_per_1000", "mixed", "answers", 1000.0, "times"),
    Ratio("answers_per_mixed_group", "answers", "mixed", 1.0, "times"),
    Ratio("silent_kept", "silent_kept", "kept"),
    Ratio("answers_per_kept_group", "answers", "kept", 1.0, "times"),
    Ratio("sigma", "sigma", "groups", 1.0, "number"),
    Ratio("fidelity", "gain", "limit"),
    Ratio("gradient_extremes", "mass_extremes", "mass"),
    *(Ratio(f"gradient_{name}", f"mass_{name}", "mass") for name, *_ in BANDS),
)
#: Quarters of a run's steps, as logged.
QUARTERS = tuple(Ratio(f"silent_quarter_{q}", f"silent_quarter_{q}", f"groups_quarter_{q}") for q in (1, 2, 3, 4))


@dataclass(frozen=True, eq=False)
class Measured:
    """Sums by name, each [cells]; code: the cell of each row; method: how groups of G are known."""

    sums: Mapping[str, Floats]
    code: Ints
    method: Method
    chosen: float
    notes: tuple[str, ...] = ()


def measured(groups: Groups, setting: Setting, band_answers: int = 1_000_000) -> Measured:
    """Each row's share in every sum, under a setting.

    As logged: the row's own group. At G: without bias from all draws of G of its n answers where at least half
    of the problems have n ≥ G, else, and under a filter, from the fitted spread of solve rates; fidelity and
    where fresh groups' update goes are always by posterior. Bare rates are put into the formulas as they are;
    graded rewards have groups as logged and σ, nothing else.

    Args: band_answers: a problem's band is that of k/n on so many of its answers at most, drawn in all ways: one
        with 64 answers is in the band "never" as often as it would be with 8.
    """
    if groups.rewards is not None:
        return _graded(groups, setting)
    cells, code = _cells(groups)
    if groups.n_correct is None:
        return _at_rates(cells, code, setting)
    chosen, notes = _chosen(cells, setting)
    fitted = _Fitted(cells, chosen)
    G, k, n = setting.group_size, cells.n_correct, cells.n_rollouts
    assert k is not None
    share = cells.count / cells.count.sum()
    method: Method
    weight: Floats
    if G is None:
        method, weight, size = "logged", np.ones(len(k)), n.astype(np.float64)
        right, wrong, spread = np.where(k == n, 1.0, 0.0), np.where(k == 0, 1.0, 0.0), sigma(k, n)
    elif setting.solved is None and (reach := float(share[n >= G].sum())) >= 0.5:
        enough = n >= G
        method, weight, size = "unbiased", enough.astype(np.float64), np.full(len(k), float(G))
        at, of = np.where(enough, k, 0), np.where(enough, n, G)
        right, wrong = enough * pass_hat_k(at, of, G), enough * pass_hat_k(of - at, of, G)
        spread = expected_gain_unbiased(at, of, G)
        if reach < 0.9995:
            notes.append(
                f"{1 - reach:.1%} of the groups have fewer than G = {G} answers and are left out of its shares"
            )
    else:
        method, weight, size = "estimated", chosen, np.full(len(k), float(G))
        p = fitted.p
        right, wrong, spread = fitted.totals(np.stack([p**G, (1 - p) ** G, expected_gain(p, G)], 1)).T
        if (n < G).any() and setting.solved is None:
            notes.append(
                f"G = {G} is beyond the answers of most problems: of the flattest spread of solve rates that fits; "
                "intervals are of its sampling, `audit` shows all spreads that fit"
            )
    # All groups of one are silent, exactly.
    mixed = np.zeros_like(weight) if G == 1 else weight - right - wrong
    sums = _groups_of(weight, right, wrong, mixed, size * weight, spread, setting)
    return Measured(
        {**sums, **_update(fitted, setting, _memberships(k, n, band_answers))},
        code,
        method,
        float(share @ chosen),
        tuple(notes),
    )


def _groups_of(
    weight: Floats, right: Floats, wrong: Floats, mixed: Floats, answers: Floats, spread: Floats, setting: Setting
) -> dict[str, Floats]:
    """The sums about silence, and about the groups trained on: all of them, or the mixed ones."""
    replaced = setting.dial.keep == "mixed"
    silent = weight - mixed
    return dict(
        groups=weight, right=right, wrong=wrong, silent=silent, mixed=mixed, answers=answers, sigma=spread,
        kept=mixed if replaced else weight, silent_kept=np.zeros_like(weight) if replaced else silent,
    )  # fmt: skip


def _update(fitted: _Fitted, setting: Setting, band: Floats) -> dict[str, Floats]:
    """Where the update goes, by band as logged; what is realised; the large-G limit."""
    p, dial, G = fitted.p, setting.dial, setting.group_size
    limit = limit_gain(p, dial)[:, None]
    if G is None:
        k, n = fitted.k, fitted.n
        realised = np.where(n > 1, gain(k, n, dial), 0.0)
        return _named(realised[:, None] * band, realised, fitted.totals(limit)[:, 0])
    at_g = np.repeat(expected_gain(p, G, dial)[:, None], band.shape[1], axis=1)
    found = fitted.totals(np.hstack([at_g, limit]), np.hstack([band, np.ones((len(band), 1))]))
    return _named(found[:, :-1], found[:, :-1].sum(1), found[:, -1])


def _memberships(k: Ints, n: Ints, answers: int) -> Floats:
    """How often k/n on `answers` of the n answers is in each of BANDS, [cells, bands]."""
    out = np.eye(len(BANDS))[logged_band(k / n)]
    more = n > answers
    for number in range(len(BANDS)) if more.any() else ():
        out[more, number] = hypergeometric_mean(
            k[more],
            n[more],
            answers,
            lambda j, m, b=number: (logged_band(j / m) == b) * 1.0,  # type: ignore[misc]
        )
    return out


def _named(mass: Floats, realised: Floats, limit: Floats) -> dict[str, Floats]:
    by_band = {f"mass_{name}": column for (name, *_), column in zip(BANDS, mass.T, strict=True)}
    ends = mass[:, [0, 1, -2, -1]].sum(1)
    return dict(gain=realised, limit=limit, mass=mass.sum(1), mass_extremes=ends, **by_band)


class _Fitted:
    """The fitted spread of solve rates, and sums over posteriors that know how the fit moves with the data."""

    def __init__(self, cells: Groups, chosen: Floats) -> None:
        assert cells.n_correct is not None
        self.cells, self.chosen, self.k, self.n = cells, chosen, cells.n_correct, cells.n_rollouts
        self.spread = mixture(cells)
        self.p = self.spread.p
        self.share = cells.count / cells.count.sum()
        self.rows = likelihood(cells.n_correct, cells.n_rollouts, self.p)
        self.evidence = self.rows @ self.spread.weight

    def totals(self, values: Floats, weight: Floats | None = None) -> Floats:
        """[cells, m] whose share-weighted sum is Σ_u share_u weight_u E[f(p) | k_u of n_u], and moves as it would.

        A resample changes the shares directly and, through the fit, the posteriors: the second part is
        `sensitivity`, centred so that it adds nothing to the data as they are.

        Args: values: f on the grid, [J, m]; weight: [cells, m], by default 1; chosen problems alone count.
        """
        each = self.chosen[:, None] * (np.ones(values.shape[1]) if weight is None else weight)
        believed = (self.rows * self.spread.weight) @ values / self.evidence[:, None]
        scaled = (self.share / self.evidence)[:, None] * each
        slope = values * (self.rows.T @ scaled) - self.rows.T @ (scaled * believed)
        moved = sensitivity(self.spread, self.cells, slope)
        return each * believed + moved - self.share @ moved


def _cells(groups: Groups) -> tuple[Groups, Ints]:
    """The tally without empty rows, and the cell of each row of the groups; rows of count 0 get any."""
    tally = groups.tally()
    if groups.n_correct is not None and tally.n_correct is not None:
        span = int(groups.n_rollouts.max()) + 1
        known, asked = tally.n_correct * span + tally.n_rollouts, groups.n_correct * span + groups.n_rollouts
    else:
        known, asked = tally.solve_rate.view(np.int64), groups.solve_rate.view(np.int64)
    seen = np.flatnonzero(tally.count > 0)
    order = seen[np.argsort(known[seen], kind="stable")]
    code = np.minimum(np.searchsorted(known[order], asked), len(order) - 1)
    picked = dict(prompt_ids=np.arange(len(order)), n_rollouts=tally.n_rollouts[order], count=tally.count[order])
    if tally.n_correct is not None:
        return Groups(n_correct=tally.n_correct[order], **picked), code
    return Groups(n_correct=None, rate=tally.solve_rate[order], **picked), code


def _chosen(cells: Groups, setting: Setting) -> tuple[Floats, list[str]]:
    if setting.solved is None:
        return np.ones(len(cells.prompt_ids)), []
    low, high = setting.solved
    rate = cells.solve_rate
    inside = (rate >= low - 1e-12) & (rate <= high + 1e-12)
    if not inside.any():
        span = f"solve rates from {rate.min():.3g} to {rate.max():.3g}"
        raise ArgumentError("compare", f"some problems solved {low:g} to {high:g}", span)
    kept = float(cells.count[inside].sum() / cells.count.sum())
    how = "by posterior: fresh groups, not the answers that chose them"
    if cells.n_correct is None:
        how = "at the rates given: if these are k/n, the numbers are too good"
    return inside.astype(np.float64), [
        f"solved {low:g} to {high:g} keeps {kept:.1%} of the groups; what they bring is {how}"
    ]


def _at_rates(cells: Groups, code: Ints, setting: Setting) -> Measured:
    G, dial, p = setting.group_size, setting.dial, cells.solve_rate
    if G is None:
        raise ArgumentError("compare", "a group size for solve rates without n", "groups as logged", hint="-G 8")
    chosen, notes = _chosen(cells, setting)
    right, wrong = chosen * p**G, chosen * (1 - p) ** G
    mixed = chosen * mixed_rate(p, G)
    sums = _groups_of(chosen, right, wrong, mixed, chosen * G, chosen * expected_gain(p, G), setting)
    at_g = chosen * expected_gain(p, G, dial)
    mass = at_g[:, None] * np.eye(len(BANDS))[logged_band(p)]
    share = float(cells.count @ chosen / cells.count.sum())
    notes.append("solve rates without n are taken as exact: intervals are over problems only")
    return Measured({**sums, **_named(mass, at_g, chosen * limit_gain(p, dial))}, code, "plug-in", share, tuple(notes))


def _graded(groups: Groups, setting: Setting) -> Measured:
    if setting.group_size is not None:
        hint = "say what counts as right: --right-from 0.5, or compare them as logged"
        raise ArgumentError(
            "compare", f"right-or-wrong rewards for G = {setting.group_size}", "graded rewards", hint=hint
        )
    found = groups.rewards
    assert found is not None
    silent = found.silent
    right, wrong = (np.where(silent & (found.high == x), 1.0, 0.0) for x in (1, 0))
    answers, spread = groups.n_rollouts.astype(np.float64), np.where(silent, 0.0, found.std)
    sums = _groups_of(np.ones(len(silent)), right, wrong, np.where(silent, 0.0, 1.0), answers, spread, setting)
    note = "rewards are graded: groups as logged only; --right-from X says what counts as right"
    return Measured(sums, np.arange(len(silent)), "logged", 1.0, (note,))
