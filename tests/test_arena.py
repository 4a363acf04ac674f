"""The arena: its physics, its curves, and the tournament on a toy family."""

from dataclasses import replace

import numpy as np
import pytest

from groupsigma.dial import GRPO
from groupsigma.experiments import tournament
from groupsigma.experiments.arena import FAMILIES, Arena, Curve, run
from groupsigma.experiments.rules import RULES
from groupsigma.experiments.static import Pool, believed, contenders, measured, remembers
from groupsigma.experiments.worlds import Drawn
from groupsigma.sigma import gain

TINY = replace(FAMILIES["noisy"], problems=200, batch=128, budget=1280)


def test_an_update_moves_theta_by_gain_times_contrast_on_average():
    """E[Δθ] = size Σ push x, and its variance per coordinate is size² τ² Σ push² (1/k + 1/f)."""
    world = Arena(TINY, 0)
    i, k, n = np.array([3, 7]), np.array([2, 5]), np.array([8, 8])
    push = gain(k, n, GRPO) * n
    drawn = Drawn(i, k.astype(float), (n - k).astype(float), push, push, 16)
    moved = []
    for _ in range(4000):
        world.theta = np.zeros(TINY.width)
        world.learn(drawn, 0.1)
        moved.append(world.theta)
    expected = 0.1 * push @ world.x[i]
    deviation = 0.1 * TINY.noise * np.sqrt((push**2 * (1 / k + 1 / (n - k))).sum())
    assert abs(np.std(moved, axis=0).mean() / deviation - 1) < 0.02
    assert abs((np.mean(moved, axis=0) - expected) / (deviation / np.sqrt(4000))).max() < 5


def test_directions_are_unit_and_shared_as_said():
    world = Arena(replace(TINY, shared=0.3, skills=2), 1)
    same = world.skill[:, None] == world.skill[None, :]
    cosine = world.x @ world.x.T
    off = ~np.eye(len(cosine), dtype=bool)
    assert abs(cosine[same & off].mean() - 0.3) < 0.02 and abs(cosine[~same].mean()) < 0.06
    assert world.columns.shape == (200, 2)


def test_a_target_must_be_held():
    spike = Curve((0, 10, 20, 30, 40, 50, 60, 70), (0.4, 0.95, 0.4, 0.5, 0.6, 0.92, 0.93, 0.95))
    assert 40 < spike.reaches(0.9) < 50 and spike.reaches(0.99) == float("inf")
    assert Curve((0, 10), (0.5, 0.97)).reaches(0.9) == pytest.approx(10 * 0.4 / 0.47)
    assert Curve((0, 10), (0.5, 0.7)).area(20) == pytest.approx((0.6 * 10 + 0.7 * 10) / 20)


def test_the_same_seed_is_the_same_run_and_another_is_another():
    rule = RULES["plan"]
    curves = [run(TINY, seed, lambda: rule.make("grpo/sum"), 4.0) for seed in (0, 0, 1)]
    assert curves[0] == curves[1] != curves[2]
    assert curves[0].answers[-1] >= TINY.budget


def test_static_yields_count_what_came_out():
    drawn = Drawn(np.arange(3), np.array([4.0, 0, 1]), np.array([4.0, 8, 7]), np.zeros(3), np.zeros(3), 24)
    result = measured(drawn)
    assert result.mixed == pytest.approx(1000 * 2 / 24) and result.pairs == pytest.approx(1000 * (2 + 7 / 8) / 24)


def test_static_beliefs_are_the_posteriors_of_the_past():
    """Calibrated: of problems believed near .8, about .8 of fresh answers are right."""
    pool = Pool(0)
    mean = believed(pool).mean
    for low, high in ((0.1, 0.3), (0.4, 0.6), (0.7, 0.9)):
        here = (mean > low) & (mean < high)
        assert abs(pool.p[here].mean() - mean[here].mean()) < 4 * pool.p[here].std() / np.sqrt(here.sum())
    uniform = measured(remembers(contenders()["GRPO G=8"](), pool)(pool)).mixed
    ours = measured(remembers(contenders()["plan (coverage), one by one"](), Pool(0))(Pool(0))).mixed
    assert ours > 2 * uniform


def test_tuning_takes_the_best_of_the_grid_and_scoring_other_draws(tmp_path, monkeypatch):
    monkeypatch.setitem(tournament.FAMILIES, "noisy", TINY)
    contest = tournament.Tournament(tmp_path / "runs.jsonl", tuning=1, scoring=2, workers=1)
    rules = [
        replace(RULES["GRPO G=8"], steps=(1e-6, 8.0), weights=("grpo",)),
        replace(RULES["plan"], weights=("grpo",)),
    ]
    best = contest.tune([TINY], rules)
    assert best["noisy", "GRPO G=8"].step_size >= 4.0, "a step that does not move loses"
    scores = contest.score(TINY, list(best.values()))
    assert all(len(s.answers) == 2 for s in scores)
    assert set(tournament.TUNING).isdisjoint(tournament.SCORING)
