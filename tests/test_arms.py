"""One arm of the test on a language model: its groups, and a record that says what was and what was to be expected."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("transformers")

import numpy as np
import torch
from scipy import stats

from groupsigma import DAPO, DR_GRPO, GRPO, MAXRL, advantages, gain
from groupsigma.bands import INTERIOR, band_of
from groupsigma.experiments import addition as a
from groupsigma.experiments import arms
from groupsigma.experiments.arms import WAYS, Arm, Passes, run_arm
from groupsigma.experiments.language import Language
from groupsigma.tracker import Tracker

#: Sums of one digit: taught in a second.
TINY = a.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=120, batch=128, until=0.3, digits=1, problems=60,
    held_out=20,
)  # fmt: skip
TRAIN, HELD_OUT = a.data(TINY)
G, BATCH, STEPS = 4, 64, 50

#: Two arms whose every step is watched: groups as they come, and silent ones replaced.
GRPO_ARM = Arm("grpo", G, BATCH, 1e-3, STEPS * BATCH, 0)
DAPO_ARM = replace(GRPO_ARM, way="dapo", seed=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with a.one_thread():
        yield


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    # One model for all test files of a session that ask for this setting.
    return a.taught(TINY, tmp_path_factory.getbasetemp() / "taught")


def made(start, batch=BATCH, seed=0, **more):
    return Language(start, TRAIN, HELD_OUT, batch=batch, learning_rate=5e-4, seed=seed, **more)


def chance(world, i):
    """π(answer, end | prompt) of one problem, letter by letter."""
    row, p = world.rows[i], 1.0
    ids = list(world.prompts[i])
    for letter in [*world.tokenizer(row["answer"])["input_ids"], 0]:
        with torch.no_grad():
            p *= float(torch.softmax(world.model(input_ids=torch.tensor([ids])).logits[0, -1].double(), -1)[letter])
        ids.append(letter)
    return p


class Watched:
    """What every step of a run was, seen from outside: groups, exact solve rates, and what was recorded."""

    def __init__(self, start, arm):
        self.drawn, self.p = [], []
        step = arms._step

        def listening(world, drawn, *rest):
            self.drawn.append(drawn)
            today = {i: chance(world, i) for i in set(drawn.problem.tolist())}
            self.p.append(np.array([today[i] for i in drawn.problem]))
            return step(world, drawn, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(arms, "_step", listening)
            self.record = run_arm(start, TINY, arm)
        self.steps = self.record["steps"]


@pytest.fixture(scope="module")
def grpo(start):
    return Watched(start, GRPO_ARM)


@pytest.fixture(scope="module")
def dapo(start):
    return Watched(start, DAPO_ARM)


@pytest.fixture(params=["grpo", "dapo"])
def run(request):
    return request.getfixturevalue(request.param)


# ---- groups -------------------------------------------------------------------------------------


def test_a_pass_visits_every_problem_once(start):
    world, choose = made(start), Passes(GRPO, G)
    visited = np.concatenate([choose(world).problem for _ in range(12)])
    passes = visited[:180].reshape(3, 60)
    assert len(visited) == 192 and (np.sort(passes) == np.arange(60)).all()
    assert len({tuple(one) for one in passes}) == 3 and list(passes[0]) != sorted(passes[0])
    # No problem has two groups in a step, though steps do not end where passes do.
    assert all(len(set(step)) == 16 for step in visited.reshape(12, 16).tolist())


def test_a_step_may_be_longer_than_the_data(start):
    world, choose = made(start, batch=150 * G), Passes(GRPO, G)
    one, two = choose(world), choose(world)
    assert len(one.problem) == len(two.problem) == 150 and one.answers == 600 == world.answers - two.answers
    assert (np.bincount(np.append(one.problem, two.problem), minlength=60) == 5).all()


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.dial.keep == "all"])
def test_groups_push_with_the_dial_s_advantages(start, name):
    world, dial = made(start), WAYS[name].dial
    drawn = Passes(dial, 8)(world)
    assert len(drawn.problem) == BATCH // 8 and drawn.answers == world.answers == BATCH
    assert ((drawn.right > 0) & (drawn.wrong > 0)).sum() > 3
    for k, wrong, plus, minus in zip(drawn.right, drawn.wrong, drawn.plus, drawn.minus, strict=True):
        each = advantages(np.arange(8) < k, dial)
        assert k + wrong == 8
        assert plus == pytest.approx(each[: int(k)].sum()) and minus == pytest.approx(-each[int(k) :].sum())


def test_silent_groups_are_replaced_until_the_batch_is_full(start):
    world, choose, silent = made(start), Passes(DAPO, G), 0
    for step in range(1, 13):
        before = world.answers
        drawn = choose(world)
        mixed = (drawn.right > 0) & (drawn.wrong > 0)
        assert mixed.sum() == BATCH // G and (drawn.plus[mixed] > 0).all() and (drawn.plus[~mixed] == 0).all()
        assert drawn.answers == world.answers - before == G * len(drawn.problem)
        # No more is drawn than is missing: the last group is one that was wanted. And no problem comes twice.
        assert mixed[-1] and len(set(drawn.problem.tolist())) == len(drawn.problem)
        silent += (~mixed).sum()
        world.learn(drawn)
        assert world.step == step
    assert silent > 10


def test_problems_drawn_for_silent_ones_are_the_next_of_the_pass(start):
    world, choose, visited = made(start), Passes(DAPO, 2), []
    while len(visited) < 60:
        visited += choose(world).problem.tolist()
    assert sorted(visited[:60]) == list(range(60))


# ---- the record ---------------------------------------------------------------------------------


def test_the_budget_is_kept(run):
    spent = np.cumsum([G * groups for groups in run.steps["groups"]])
    assert spent[-2] < GRPO_ARM.budget <= spent[-1] == run.record["looks"][-1]["answers"]
    assert {len(column) for column in run.steps.values()} == {run.record["looks"][-1]["updates"]} == {len(run.drawn)}


def test_uniform_groups_spend_the_budget_to_the_answer(grpo, dapo):
    assert grpo.record["looks"][-1]["answers"] == GRPO_ARM.budget and len(grpo.drawn) == STEPS
    assert len(dapo.drawn) < STEPS


def test_looks_are_spread_over_the_budget(run):
    looks, mark = run.record["looks"], GRPO_ARM.budget / arms.LOOKS
    answers, tokens, updates = (np.array([look[name] for look in looks]) for name in ("answers", "tokens", "updates"))
    spent = np.cumsum([0, *(G * groups for groups in run.steps["groups"])])
    # Each at the end of the step that passes its mark; where a step passes two marks, the later look is a step late.
    late = answers - mark * np.arange(arms.LOOKS + 1)
    assert late[0] == 0 <= late.min() and late.max() < 2 * np.diff(spent).max()
    assert updates.tolist() == [int(np.flatnonzero(spent == n)[0]) for n in answers]
    assert (np.diff(answers) > 0).all() and (np.diff(tokens) > 0).all()
    assert (answers <= tokens).all() and (tokens <= 3 * answers).all() and (tokens > answers)[1:].all()


def test_uniform_looks_are_at_the_first_step_after_each_twentieth(grpo):
    answers = [look["answers"] for look in grpo.record["looks"]]
    assert answers == [BATCH * int(np.ceil(STEPS * part / 20)) for part in range(21)]


def test_a_short_run_is_looked_at_after_every_step(start):
    record = run_arm(start, TINY, replace(GRPO_ARM, budget=2 * BATCH + 1))
    assert [look["answers"] for look in record["looks"]] == [0, BATCH, 2 * BATCH, 3 * BATCH]


def test_the_first_look_is_at_the_start(start, run):
    look, model = run.record["looks"][0], a.load(start)
    for name, rows in (("seen", TRAIN), ("held_out", HELD_OUT)):
        p = np.sort(a.solve_chances(*model, rows))
        assert look[name] == pytest.approx(p.mean(), abs=1e-5)
        quarters = [part.mean() for part in np.array_split(p, 4)]
        assert look[f"{name} quarters"] == pytest.approx(quarters, abs=1e-5) and quarters == sorted(quarters)
    assert (look["answers"], look["tokens"], look["updates"]) == (0, 0, 0)


def test_quarters_are_those_of_the_start(start):
    """Also where another quarter has become the hardest."""
    world = made(start)
    watch, before = arms._Watch(world), made(start)
    order = np.argsort(before.chances(TRAIN), kind="stable")
    for _ in range(5):
        world.learn(Passes(MAXRL, G)(world))
    p, look = world.chances(TRAIN), watch.look()
    assert look["seen quarters"] == pytest.approx([p[part].mean() for part in np.array_split(order, 4)], abs=1e-5)
    assert look["seen"] == pytest.approx(p.mean(), abs=1e-5) and look["updates"] == 5
    assert look["held_out"] == pytest.approx(world.held_out, abs=1e-5)


def test_training_teaches(run):
    first, last = run.record["looks"][0], run.record["looks"][-1]
    assert last["seen"] > first["seen"] + 0.03


def test_a_step_s_groups_are_as_they_came(run):
    for at, drawn in enumerate(run.drawn):
        told = {name: column[at] for name, column in run.steps.items()}
        assert told["groups"] == len(drawn.right)
        assert told["silent"] == sum(k in (0, G) for k in drawn.right)
        assert told["all_right"] == sum(k == G for k in drawn.right)
        assert told["reward"] == pytest.approx(drawn.right.mean() / G, abs=1e-4)
    assert 0 < sum(run.steps["all_right"]) < sum(run.steps["silent"])


def test_expected_silence_is_that_of_the_exact_solve_rates(run):
    for at, p in enumerate(run.p):
        quiet = stats.binom.pmf([[0], [G]], G, p).sum(0)
        assert run.steps["expected"][at] == pytest.approx(quiet.sum(), abs=2e-4)
        assert run.steps["variance"][at] == pytest.approx((quiet * (1 - quiet)).sum(), abs=2e-4)


def test_silence_comes_as_it_was_expected(run):
    """A standard normal over all groups of the run, though each step's solve rates depend on the steps before."""
    silent, due, variance = (np.array(run.steps[name]) for name in ("silent", "expected", "variance"))
    z = (silent - due).sum() / np.sqrt(variance.sum())
    assert sum(run.steps["groups"]) >= 700 and silent.sum() > 80
    assert abs(z) < 4
    # Step by step too: neither wider nor narrower than chance.
    each = ((silent - due) ** 2 / variance).sum()
    assert 1e-4 < stats.chi2.cdf(each, len(silent)) < 1 - 1e-4
    # Silence expected once and for all would be off: the policy moves.
    assert np.ptp(due / run.steps["groups"]) > 0.05


def test_mass_by_band_is_the_gain_of_the_groups_and_its_expectation(run):
    dial = GRPO
    table = gain(np.arange(G + 1), np.full(G + 1, G), dial)
    came, due, variance = np.zeros((3, len(INTERIOR)))
    for drawn, p in zip(run.drawn, run.p, strict=True):
        band, chances = band_of(p), stats.binom.pmf(np.arange(G + 1), G, p[:, None])
        mean = chances @ table
        np.add.at(came, band, table[drawn.right.astype(int)])
        np.add.at(due, band, mean)
        np.add.at(variance, band, chances @ table**2 - mean**2)
    np.testing.assert_allclose(run.record["mass"][0], came, atol=2e-3)
    np.testing.assert_allclose(run.record["mass"][1], due, atol=2e-3)
    assert (due > 1).sum() >= 3
    assert (np.abs(came - due)[due > 1] < 4 * np.sqrt(variance[due > 1])).all()
    assert abs(came.sum() - due.sum()) < 4 * np.sqrt(variance.sum())


def test_silence_is_foreseen_from_the_run_s_own_answers_alone(run):
    tracker, wanted = Tracker(), []
    for at, drawn in enumerate(run.drawn):
        labels, sizes = drawn.problem.tolist(), np.full(len(drawn.problem), G)
        wanted.append(float(tracker.foresee(labels, sizes).silent.mean()) if at else None)
        tracker.observe(labels, drawn.right.astype(int), sizes, at)
    assert run.steps["foreseen"][0] is None and wanted[0] is None
    assert run.steps["foreseen"][1:] == pytest.approx(wanted[1:], abs=1e-4)
    share = np.array(run.steps["expected"]) / run.steps["groups"]
    assert np.abs(np.array(wanted[1:]) - share[1:]).mean() < 0.1


# ---- ways and seeds -----------------------------------------------------------------------------


def test_equal_seeds_leave_equal_bytes(start, grpo):
    told = json.dumps(grpo.record)
    torch.manual_seed(99)
    assert json.dumps(run_arm(start, TINY, GRPO_ARM)) == told
    other = run_arm(start, TINY, replace(GRPO_ARM, seed=1, budget=2 * BATCH))
    short = run_arm(start, TINY, replace(GRPO_ARM, budget=2 * BATCH))
    assert other["steps"] != short["steps"] and other["looks"][0] == short["looks"][0]
    assert [column[:2] for column in grpo.steps.values()] == list(short["steps"].values())
    assert json.loads(told) == grpo.record


@pytest.mark.parametrize("name", WAYS)
def test_an_arm_is_trained_by_its_way(start, name):
    """Its dial and its lengths reach the update: the gradient's norm is that of a step by hand."""
    arm = Arm(name, G, BATCH, 1e-2, BATCH, 3)
    record = run_arm(start, TINY, arm)
    world = made(start, seed=3, lengths="mean" if name == "grpo, token mean" else "sum")
    norm = world.learn(Passes(WAYS[name].dial, G)(world))
    assert record["steps"]["norm"] == [round(norm, 4)]
    assert len(record["looks"]) == 2 and record["looks"][1]["held_out"] != record["looks"][0]["held_out"]


def test_no_two_ways_are_one(start):
    norms = [run_arm(start, TINY, Arm(name, G, BATCH, 1e-2, BATCH, 3))["steps"]["norm"][0] for name in WAYS]
    assert len(set(norms)) == len(WAYS) == len({(way.dial, way.lengths) for way in WAYS.values()})
    assert [WAYS[name].dial for name in ("grpo", "dr-grpo", "dapo", "maxrl")] == [GRPO, DR_GRPO, DAPO, MAXRL]


def test_the_learning_rate_is_the_arm_s(start):
    held = [
        run_arm(start, TINY, Arm("grpo", 8, BATCH, rate, BATCH, 3))["looks"][1]["seen"] for rate in (0.0, 1e-3, 1e-2)
    ]
    first = run_arm(start, TINY, Arm("grpo", 8, BATCH, 0.0, BATCH, 3))["looks"][0]["seen"]
    assert held[0] == first and abs(held[2] - first) > 2 * abs(held[1] - first) > 0
