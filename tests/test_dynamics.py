"""The controlled run's claims: how their tolerances are made, and that they can fail."""

import numpy as np
import pytest

from groupsigma import DR_GRPO, expected_gain, simulate
from groupsigma.experiments import controlled as c
from groupsigma.experiments.claims import Claim, check
from groupsigma.experiments.dynamics import CLAIMS
from groupsigma.figures import save

NEEDS_SERIES = {"dynamics/figure-silent", "dynamics/figure-mass", "dynamics/figure-hardest"}


def test_start_is_the_interior_of_bigmath_clipped():
    data = c.bigmath()
    p, n = data.solve_rate, data.count
    inside = (p > 0) & (p < 1)
    start = c.start(3)
    assert len(start) == 6000 and start.min() == 0.02 and start.max() == 0.98
    np.testing.assert_array_equal(start, c.start(3))
    wanted = np.average(np.clip(p[inside], 0.02, 0.98), weights=n[inside])
    assert np.mean([c.start(seed).mean() for seed in range(40)]) == pytest.approx(wanted, abs=0.003)


def test_only_draws_like_the_published_one_are_compared():
    assert len(set(c.seeds())) == c.DRAWS
    for seed in c.seeds():
        start = c.start(seed)
        hard = start <= 6 / 64
        assert np.quantile(start, 0.25) == 6 / 64 and hard.mean() > 0.25
        assert c.run("grpo", seed).hardest_prompts == hard.sum()


def test_every_claim_that_needs_no_series_stands():
    results = check(claim for claim in CLAIMS if claim.name not in NEEDS_SERIES)
    assert [(r.name, r.ours) for r in results if r.verdict in ("fails", "skipped")] == []
    for result in results:
        if result.published:
            assert len(result.within) == len(result.published), "tolerances are computed"


def test_every_series_stands(data_dir):
    results = check(claim for claim in CLAIMS if claim.name in NEEDS_SERIES)
    assert [(r.name, r.verdict) for r in results if r.verdict != "holds"] == []


def test_a_step_size_a_tenth_off_would_be_seen():
    """The tolerances are not so wide that anything passes: other settings fall out of them."""
    wide = c.tolerance(c.hardest)()
    for dial, i in (("grpo", 0), ("dr-grpo", 1), ("dapo", 2)):
        other = np.mean([c.run(dial, seed, 0.45).hardest[-1] for seed in c.seeds(count=c.FEW)])
        assert abs(other - c.mean(c.hardest)()[i]) > wide[i]


def test_a_published_number_outside_the_spread_fails():
    claim = Claim(
        "x/y", "here", "says", (0.86,), c.mean(lambda s: c.hardest(s)[1:2]), c.tolerance(lambda s: c.hardest(s)[1:2])
    )
    assert check([claim])[0].verdict == "fails"


def test_a_tolerance_is_three_deviations_of_one_more_draw():
    def reading(seed):
        return (float(seed),)

    seeds = np.array(c.seeds(), dtype=float)
    wanted = 3 * seeds.std(ddof=1) * np.sqrt(1 + 1 / len(seeds)) + 0.25
    assert c.tolerance(reading, half_unit=0.25)() == pytest.approx((wanted,))


def test_equal_energy_is_equal_by_brute_force():
    """The mean squared first update, measured, is GRPO's."""
    seed = c.seeds()[0]
    step = c.equal_energy(seed)
    runs = [
        simulate(np.repeat(c.start(seed), 20), dial=dial, steps=1, step_size=size, rng=np.random.default_rng(1))
        for dial, size in ((c.METHODS["grpo"], c.STEP_SIZE), (DR_GRPO, step))
    ]
    assert runs[1].energy[0] == pytest.approx(runs[0].energy[0], rel=0.01)


def test_tenths_sum_to_one_and_follow_the_closed_form():
    seed = c.seeds()[0]
    p = c.start(seed)
    for method in ("grpo", "dr-grpo"):
        told = c.tenths_predicted(method, seed)
        by_hand = [expected_gain(p, 8, c.METHODS[method])[(p >= i / 10) & (p < (i + 1) / 10)].sum() for i in range(10)]
        np.testing.assert_allclose(told, np.array(by_hand) / np.sum(by_hand), rtol=1e-12)
        assert np.abs(c.tenths(method, seed) - told).max() < 1e-3


def test_batches_reach_the_budgets_at_which_they_are_read():
    for kind in c.KINDS:
        record = c.batched(kind, c.seeds()[0])
        assert record.answers[-1] >= c.BUDGETS[-1] * c.PROMPTS * c.G and len(record.silent) >= c.LATER


def test_pictures_show_the_published_series_only_where_they_are(monkeypatch, tmp_path):
    from groupsigma.experiments.pictures import FIGURES

    monkeypatch.delenv("GROUPSIGMA_DATA", raising=False)
    charts = FIGURES["dynamics"]()
    assert set(charts) == {"dynamics", "dynamics-fair"}
    text = save(charts["dynamics"], tmp_path / "a.svg").read_text()
    assert "circles" not in text and "20 draws" in text and "DAPO" in text


def test_pictures_with_the_published_series(data_dir, tmp_path):
    from groupsigma.experiments.pictures import FIGURES

    assert "circles: as published" in save(FIGURES["dynamics"]()["dynamics"], tmp_path / "a.svg").read_text()
