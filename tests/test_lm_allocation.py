"""Rules that spend answers, on a language model: what they see, what they are paid for, and the pools they get."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

from groupsigma.experiments import addition
from groupsigma.experiments import lm_allocation as a
from groupsigma.experiments.arena import start_spread

TINY = addition.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=60, batch=64, until=0.3, digits=1, problems=64,
    held_out=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("allocation")
    addition.taught(TINY, place)
    return place


def test_each_wanted_rate_gets_the_nearest_problem_that_is_left():
    assert a.nearest(np.array([0.0, 1.0, 2.0, 10.0]), np.array([1.2, 1.1, 9.0])) == [1, 2, 3]
    rng = np.random.default_rng(0)
    have = rng.normal(size=200)
    found = a.nearest(have, rng.normal(size=200))
    assert sorted(found) == list(range(200))


def test_columns_are_what_anyone_can_see():
    rows, _ = addition.data(replace(addition.KINDS, problems=300))
    x = a.columns(rows)
    assert x.shape == (300, 3 + 3) and np.allclose(x.mean(0), 0, atol=1e-12) and np.allclose(x.std(0), 1)
    assert a.columns(addition.data(TINY)[0]).shape == (64, 3)


def test_a_pool_after_big_math(folder, monkeypatch):
    monkeypatch.setattr(a, "CANDIDATES", 100)
    rows, held_out = a.pool.__wrapped__(TINY, folder, "bigmath")
    prompts = [row["prompt"] for row in [*rows, *held_out]]
    assert (len(rows), len(held_out), len(set(prompts))) == (64, 16, 80)
    model, tokenizer = addition.load(addition.taught(TINY, folder))
    p = addition.solve_chances(model, tokenizer, rows)
    flat = addition.solve_chances(model, tokenizer, addition.data(TINY)[0])
    spread = start_spread()
    wanted = np.sort(np.random.default_rng(1).choice(spread.p, 64, p=spread.weight))
    assert abs(np.sort(p) - wanted).mean() < abs(np.sort(flat) - wanted).mean()
    assert a.pool(TINY, folder, "flat")[0] == addition.data(TINY)[0]


@pytest.mark.parametrize("rule", list(a.RULES))
def test_every_rule_runs_and_pays_for_what_it_samples(folder, rule):
    cell = a.Cell("flat", rule, "{}", 64, 1e-3, 256, 0)
    found = a.run_cell(TINY, folder, cell)
    steps, looks = found["steps"], found["looks"]
    assert sum(steps["answers"]) == looks[-1]["answers"] >= 256
    assert looks[0]["answers"] == 0 and looks[-1]["held_out"] != looks[0]["held_out"]
    assert found["choosing"] >= 0 and all(s <= g for s, g in zip(steps["silent"], steps["groups"], strict=True))
    again = a.run_cell(TINY, folder, cell)
    assert json.dumps({**again, "choosing": 0}) == json.dumps({**found, "choosing": 0})
