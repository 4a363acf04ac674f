"""The claims of arXiv 2607.00152 that need no language model, and what we add: declared, not computed.

Table, equation and section numbers are those of the arXiv source.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from groupsigma.dial import DR_GRPO
from groupsigma.experiments import dynamics, objectives
from groupsigma.experiments import readings as r
from groupsigma.experiments.claims import Claim
from groupsigma.law import (
    difficulty_weight,
    fidelity,
    group_size_law,
    objective,
    required_group_size,
)
from groupsigma.sigma import advantage_pair, sigma


def below(limit: float) -> Callable[[tuple[float, ...]], bool]:
    """Every number at most `limit`."""
    return lambda ours: all(x <= limit for x in ours)


def floats(values: object) -> tuple[float, ...]:
    """An array as plain numbers."""
    return tuple(float(x) for x in np.atleast_1d(np.asarray(values)).ravel())


IDENTITY = (
    Claim(
        "identity/binary",
        "Theorem 1",
        "g = σ Δs on 5,000 random groups of random score vectors: largest relative error",
        (),
        lambda: r.identity_error(graded=False),
        holds=below(1e-12),
        form=".1e",
        comment="the paper's script reports 6.7e-16, absolute",
    ),
    Claim(
        "identity/graded",
        "Limitations",
        "g = σ β with the slope β for graded rewards: largest relative error",
        (),
        lambda: r.identity_error(graded=True),
        holds=below(1e-12),
        form=".1e",
        verdict="ours",
        comment="the paper sets non-binary rewards aside; the identity is exact for them too",
    ),
    Claim(
        "identity/shift",
        "Theorem 1",
        "a constant added to the rewards changes nothing: largest difference",
        (),
        r.shift_error,
        holds=below(1e-12),
        form=".1e",
    ),
    Claim(
        "identity/three-operations",
        "Table 1",
        "gain is σ for GRPO, σ² for Dr. GRPO, 1{mixed} σ for DAPO, G = 2…64: largest differences",
        (),
        r.table_of_updates,
        holds=below(1e-14),
        form=".1e",
    ),
    Claim(
        "identity/advantages",
        "Theorem 1, proof",
        "A₊ = √((G−k)/k), A₋ = −√(k/(G−k)) at k = 1, G = 4",
        (3**0.5, -(3**-0.5)),
        lambda: floats(advantage_pair(1, 4)),
        within=1e-15,
    ),
    Claim(
        "identity/rloo",
        "Proposition 1",
        "R − leave-one-out mean = G/(G−1) · (R − μ), G = 2…32: largest difference",
        (),
        r.rloo_error,
        holds=below(1e-13),
        form=".1e",
    ),
    Claim(
        "identity/figure-left",
        "Fig. 3, left",
        "σ(k) at G = 8 against the nine drawn points: largest difference",
        (),
        r.off_series("identity_left_g_of_k_G8.csv", lambda s: sigma(s["k"], 8), "closed_form"),
        holds=below(5e-9),
        form=".1e",
    ),
)

GROUP_SIZE = (
    Claim(
        "group-size/exact",
        "Table 2",
        "exact G for 90, 95, 99 % fidelity at p = .5, .3, .1, .05",
        (7, 9, 22, 42, 11, 14, 36, 69, 51, 61, 144, 273),
        lambda: floats([required_group_size(r.TABLE_P, t) for t in r.TABLE_TARGET]),
        form=".0f",
    ),
    Claim(
        "group-size/law",
        "Table 2, in brackets",
        "the law 1/(8 ε p(1−p)) at the same places, rounded",
        (5, 6, 14, 26, 10, 12, 28, 53, 50, 60, 139, 263),
        lambda: floats([group_size_law(r.TABLE_P, t) for t in r.TABLE_TARGET]),
        within=0.5,
        form=".1f",
    ),
    Claim(
        "group-size/law-is-not-a-budget",
        "Corollary 2; cheat sheet: “G to reach 90 %”",
        "fidelity reached by the law's G for 90 % at p = .5, .3, .1, .05",
        (),
        r.law_as_budget,
        holds=lambda ours: all(0.8 < x < 0.9 for x in ours),
        form=".3f",
        verdict="misworded",
        comment="none reaches .9: the law is asymptotic and understates G by 1.4 to 1.6 here; use required_group_size",
    ),
    Claim(
        "group-size/penalty",
        "Corollary 2",
        "difficulty penalty 1/(4p(1−p)) at p = .5, .1, .05",
        (1, 2.8, 5.3),
        lambda: floats([difficulty_weight(p) ** 2 / 4 for p in (0.5, 0.1, 0.05)]),
        within=0.05,
    ),
    Claim(
        "group-size/far-tail",
        "beyond Table 2",
        "exact G at p = .01 for 99 %, p = .001 for 95 % and 99 %",
        (),
        lambda: floats(
            [required_group_size(0.01, 0.99), required_group_size(0.001, 0.95), required_group_size(0.001, 0.99)]
        ),
        holds=lambda ours: ours == (1310, 3347, 12988),
        form=".0f",
        verdict="filled in",
    ),
    Claim(
        "fidelity/readings",
        "§3, §4",
        "φ at G = 8 for p = .5 and .05",
        (0.93, 0.54),
        lambda: floats(fidelity([0.5, 0.05], 8)),
        within=0.005,
        form=".6f",
    ),
    Claim(
        "fidelity/expansion",
        "Corollary 1",
        "the expansion 1 − 1/(8Gp(1−p)) there",
        (0.9375, 0.67),
        lambda: floats(1 - group_size_law([0.5, 0.05], 0.5) * 0.5 / 8),
        within=0.005,
        comment="asymptotic: off by .13 at p = .05, as the paper says",
    ),
    Claim(
        "fidelity/figure",
        "Fig. 4, left",
        "φ against 165 drawn points: largest difference",
        (),
        r.off_series("groupsize_left_fidelity.csv", lambda s: fidelity(s["p"], s["G"]), "fidelity_exact"),
        holds=below(5e-9),
        form=".1e",
    ),
    Claim(
        "group-size/figure-95",
        "Fig. 4, right",
        "exact G against 140 drawn points at 95 and 99 %: largest difference",
        (),
        r.off_series(
            "groupsize_right_required_G.csv",
            lambda s: np.where(
                s["target_fidelity"] < 0.97, required_group_size(s["p"], 0.95), required_group_size(s["p"], 0.99)
            ).astype(float),
            "G_exact",
        ),
        holds=below(0),
        form=".0f",
    ),
    Claim(
        "fidelity/monte-carlo",
        "Fig. 3, right",
        "φ against 24 simulated markers of 80,000 groups: largest difference",
        (),
        r.off_series("identity_right_attenuation.csv", lambda s: fidelity(s["p"], s["G"]), "monte_carlo_marker_80000"),
        holds=below(2e-3),
        form=".1e",
        comment="their sampling error is about 6e-4",
    ),
)

OBJECTIVE = (
    Claim(
        "objective/limits",
        "§6",
        "the objectives' values at p = .5: GRPO 2 arcsin √p, Dr. GRPO p",
        (np.pi / 2, 0.5),
        lambda: floats([objective(0.5), objective(0.5, DR_GRPO)]),
        within=1e-12,
    ),
    Claim(
        "objective/weight",
        "eq. 11",
        "GRPO's weight 1/√(p(1−p)) at p = .5, .05, .95",
        (2, 4.6, 4.6),
        lambda: floats(difficulty_weight([0.5, 0.05, 0.95])),
        within=0.05,
    ),
    Claim(
        "objective/finite",
        "beyond §6",
        "the weight at p = .05 that groups of 8 and 64 really carry under GRPO",
        (),
        lambda: floats([difficulty_weight(0.05, G=8), difficulty_weight(0.05, G=64)]),
        holds=lambda ours: 2 < ours[0] < ours[1] < 4.6,
        verdict="ours",
        comment="the limit says 4.6; at p → 0 it is finite: √(G−1)",
    ),
)

BIGMATH = (
    Claim(
        "bigmath/ends",
        "§7",
        "never solved, always solved, silent at every G (%)",
        (4.0, 7.2, 11.2),
        r.ends,
        within=0.05,
        form=".2f",
    ),
    Claim(
        "bigmath/mass",
        "Table 3",
        "share of the update on extremes: Dr. GRPO, GRPO; on the middle: Dr. GRPO, GRPO (%)",
        (13.9, 24.7, 22.8, 17.5),
        lambda: tuple(100 * r.share(rule, band) for band in (r.extreme, r.medium) for rule in (0, 1)),
        within=0.05,
        form=".3f",
    ),
    Claim(
        "bigmath/ratio",
        "§7",
        "GRPO's share on extremes over Dr. GRPO's",
        (1.78,),
        lambda: (r.share(1, r.extreme) / r.share(0, r.extreme),),
        within=0.005,
        form=".4f",
    ),
    Claim(
        "bigmath/figure-bars",
        "Fig. 9, left",
        "64 bars of the histogram: largest difference in problems",
        (),
        r.off_series("realdata_left_histogram_bars.csv", r.bars, "integer_count"),
        holds=below(0),
        form=".0f",
    ),
    Claim(
        "bigmath/figure-shares",
        "Fig. 9, right",
        "20 shares by tenth of solve rate: largest difference, Dr. GRPO and GRPO",
        (),
        lambda: (
            *r.off_series("realdata_right_gradient_share.csv", r.bins(0), "share_drgrpo_p(1-p)")(),
            *r.off_series("realdata_right_gradient_share.csv", r.bins(1), "share_grpo_sqrt")(),
        ),
        holds=below(1e-9),
        form=".1e",
    ),
    Claim(
        "silent/closed-form",
        "Table 4, first row",
        "silent share with k/n plugged in, G = 4, 8, 16, 32, 64 (%)",
        tuple(r.TABLE_SILENT["plugin"].values()),
        lambda: tuple(100 * x for x in r.silent_split("plugin", tuple(r.TABLE_SILENT["plugin"]))),
        within=0.5,
        form=".2f",
        comment="biased up as an estimate of what a run would see: k/64 is not p",
    ),
    Claim(
        "silent/subsampled",
        "Table 4, second row",
        "silent share of G of the 64 logged answers, G = 4, 8, 16 (%)",
        tuple(r.TABLE_SILENT["unbiased"].values()),
        lambda: tuple(100 * x for x in r.silent_split("unbiased", tuple(r.TABLE_SILENT["unbiased"]))),
        within=0.5,
        form=".2f",
        comment="exact (1 − pass@G + pass^G), not sampled",
    ),
    Claim(
        "silent/subsampled-open",
        "Table 4, the two dashes",
        "the same at G = 32 and 64 (%)",
        (),
        lambda: tuple(100 * x for x in r.silent_split("unbiased", (32, 64))),
        holds=lambda ours: abs(ours[0] - 19.64) < 0.005 and abs(ours[1] - 11.18) < 0.005,
        form=".2f",
        verdict="filled in",
    ),
    Claim(
        "silent/plug-in-bias",
        "§7: “the small gap being the finite-pool correction”",
        "p = .1, G = 8, n = 64: true silence, mean of the plug-in, mean of the draws from the pool",
        (),
        r.plug_in_bias,
        holds=lambda ours: ours[1] - ours[0] > 0.02 and abs(ours[2] - ours[0]) < 1e-12,
        form=".4f",
        verdict="misworded",
        comment="drawing from the pool is unbiased and needs no correction; the closed form at k/n is off",
    ),
    Claim(
        "silent/unbiased",
        "beyond §7",
        "drawing from the pool has no bias at any p, G, n: largest error for silence and E[σ]",
        (),
        r.pool_bias,
        holds=below(1e-12),
        form=".1e",
        verdict="ours",
    ),
)

DAPO_LOG = (
    Claim(
        "dapo/anchor",
        "Fig. 6, right",
        "E[p] and E[p³²] on Big-Math",
        (0.484457898, 0.118567509),
        r.moments,
        within=2e-9,
        form=".9f",
    ),
    Claim(
        "dapo/curve",
        "Fig. 6, right",
        "E[p^(32/T)] against 80 drawn points: largest difference",
        (),
        r.off_series("dapo_right_allcorrect_vs_competence.csv", r.all_right_along, "all_correct_mass_p32"),
        holds=below(5e-9),
        form=".1e",
    ),
    Claim(
        "dapo/fit",
        "§5",
        "R² of E[p³²] with one free time scale against DAPO's log, and of a generic saturating curve",
        (0.92, 0.98),
        lambda: r.dapo_fit().r2,
        within=0.005,
        form=".4f",
        comment="a consistency check, not evidence for the law: a curve that knows nothing of it fits better",
    ),
)

CLAIMS: tuple[Claim, ...] = (
    *IDENTITY,
    *GROUP_SIZE,
    *OBJECTIVE,
    *BIGMATH,
    *DAPO_LOG,
    *dynamics.CLAIMS,
    *objectives.CLAIMS,
)
