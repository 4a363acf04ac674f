"""What sampling rules weigh: the claims stand, the table and the picture show them."""

import numpy as np
import pytest

from groupsigma import implied
from groupsigma.experiments.claims import check
from groupsigma.experiments.objectives import CLAIMS, REDRAWN, WEIGHTS, relative, tries, undone_error
from groupsigma.figures import save


def test_every_claim_stands():
    assert [(r.name, r.ours) for r in check(CLAIMS) if r.verdict != "ours"] == []


def test_a_claim_can_fail(monkeypatch):
    monkeypatch.setitem(WEIGHTS, "SPEED, 4 + 12", WEIGHTS["GRPO, G = 8"])
    assert [r.name for r in check(CLAIMS) if r.verdict == "fails"] == ["objectives/speed"]


def test_undone_can_fail(monkeypatch):
    monkeypatch.setattr(implied.Sampling, "undone", lambda self: self)
    assert undone_error()[0] > 0.1


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_a_half_weighs_one(name):
    assert relative(name, np.array([0.5])) == pytest.approx([1.0])


def test_tries_of_groups_drawn_again_by_drawing():
    rng = np.random.default_rng(5)
    for p in (0.05, 0.5):
        k = rng.binomial(8, p, (40_000, 4))
        silent = (k == 0) | (k == 8)
        drawn = 8 * (1 + np.cumprod(silent, 1)[:, :3].sum(1))
        assert tries(REDRAWN, np.array([p])) == pytest.approx([drawn.mean()], rel=0.02)


def test_the_picture_names_every_rule(tmp_path):
    from groupsigma.experiments.pictures import FIGURES

    (chart,) = FIGURES["objectives"]().values()
    text = save(chart, tmp_path / "a.svg").read_text()
    for words in (
        "SPEED, 4 + 12",
        "AERO",
        "one right",
        "balanced",
        "DAPO, same",
        "Pilot-Commit",
        "Dr. GRPO",
        "solve rate p",
    ):
        assert words in text, words
    shown = {curve[0] for curves in _shown().values() for curve in curves}
    assert shown == set(WEIGHTS)


def _shown():
    from groupsigma.experiments.pictures import _OBJECTIVES

    return _OBJECTIVES
