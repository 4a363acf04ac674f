"""A language model as a world: exact solve rates, counted answers, the theorem's gradient, and TRL's own steps."""

from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("transformers")

import numpy as np
import torch

from groupsigma import DR_GRPO, GRPO, LOGIT, MAXRL, advantages, gain
from groupsigma.checkers import exact
from groupsigma.experiments import addition as a
from groupsigma.experiments import gradients as g
from groupsigma.experiments import language
from groupsigma.experiments.draw import Answers, draw
from groupsigma.experiments.worlds import Drawn

#: Sums of one digit: taught in a second.
TINY = a.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=120, batch=128, until=0.3, digits=1, problems=60,
    held_out=20,
)  # fmt: skip
TRAIN, HELD_OUT = a.data(TINY)

#: Prompts of other lengths: never taught, so right is what the model says often.
ODD = ("7=", "12+3=", "8+=", "90+4=", "6")
BATCH = 256

#: What transformers 5.23 says of its own old names while TRL 1.16 trains.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:`(is_)?gradient_checkpointing(_enable|_disable)?` is deprecated:FutureWarning"
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with a.one_thread():
        yield


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    # One model for all test files of a session that ask for this setting.
    return a.taught(TINY, tmp_path_factory.getbasetemp() / "taught")


@pytest.fixture(scope="module")
def rows(start):
    """Sums, and beside them prompts of one to five tokens, so that padding is at work wherever there is any."""
    model, words = a.load(start)
    came = draw(model, words(list(ODD))["input_ids"], np.full(len(ODD), 1000), np.random.default_rng(0), most=3)
    found = []
    for i, prompt in enumerate(ODD):
        ended = [(n, ids) for at, n, ids in zip(came.prompt, came.count, came.ids, strict=True) if at == i]
        n, ids = max((n, ids) for n, ids in ended if ids[-1] == 0 and len(ids) > 1)
        assert n > 20
        found.append({"prompt": prompt, "answer": words.decode(ids, skip_special_tokens=True)})
    return [x for pair in zip(found, TRAIN[:5], strict=True) for x in pair] + TRAIN[5:30]


def made(start, rows, *, seed=0, learning_rate=1e-3, batch=BATCH, **more):
    return language.Language(start, rows, HELD_OUT, batch=batch, learning_rate=learning_rate, seed=seed, **more)


@pytest.fixture
def world(start, rows):
    return made(start, rows)


def drawn(i, k, n, dial=GRPO):
    """Groups that count n answers each, as `arms.Passes` makes them."""
    i, k, n = np.asarray(i, dtype=int), np.asarray(k, dtype=float), np.asarray(n, dtype=int)
    push = gain(k, n, dial) * n
    return Drawn(i, k, n - k, push, push, int(n.sum()))


def sampled(world, i, n, dial=GRPO):
    i, n = np.asarray(i), np.broadcast_to(n, len(i))
    return drawn(i, world.sample(i, n), n, dial)


@pytest.fixture
def told(monkeypatch):
    """What `draw` told the world, call by call."""
    found = []

    def listening(*given, **more):
        found.append(draw(*given, **more))
        return found[-1]

    monkeypatch.setattr(language, "draw", listening)
    return found


def group_of(world, i, came, rewards=None):
    """The answers to one prompt of a call of `draw`, one by one."""
    row, answers = world.rows[i], []
    for n, ids in zip(came.count, came.ids, strict=True):
        answers += [list(ids)] * n
    texts = world.tokenizer.batch_decode(answers, skip_special_tokens=True)
    won = np.array([float(exact(text, row)) for text in texts])
    return g.Group(row["prompt"], world.prompts[i], answers, won if rewards is None else rewards)


def groups_of(world, i, came):
    """The group of each problem that one call asked for."""
    parts = [np.flatnonzero(came.prompt == at) for at in range(len(i))]
    return [
        group_of(world, problem, Answers(came.prompt[some], came.count[some], [came.ids[j] for j in some]))
        for problem, some in zip(i, parts, strict=True)
    ]


def flat(world):
    return torch.cat([p.detach().ravel() for p in world.model.parameters()]).double().numpy()


def gradient(world):
    return torch.cat([p.grad.ravel() for p in world.model.parameters()]).double().numpy()


def off(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


# ---- the world ----------------------------------------------------------------------------------


def test_solve_rates_are_exact_and_today_s(world):
    for _ in range(2):
        np.testing.assert_array_equal(world.p, a.solve_chances(world.model, world.tokenizer, world.rows))
        assert world.held_out == a.solve_chances(world.model, world.tokenizer, HELD_OUT).mean()
        before = world.p
        world.learn(sampled(world, range(20), 8))
        assert np.abs(world.p - before).max() > 1e-3
    assert world.problems == 35 and world.step == 2


def test_the_answer_s_limit_leaves_room_for_the_longest_and_its_end(start, world):
    assert world.most == 3
    assert made(start, [{"prompt": "1+2=", "answer": "3"}]).most == 2


def test_right_answers_are_those_the_checker_passes(world, told):
    i, n = np.array([3, 30, 0, 7, 34, 1]), np.array([8, 0, 40, 1, 16, 200])
    k = world.sample(i, n)
    (came,) = told
    assert [len(group.answers) for group in groups_of(world, i, came)] == n.tolist()
    assert k.tolist() == [group.rewards.sum() for group in groups_of(world, i, came)] and k.dtype == np.int64
    assert world.answers == n.sum()
    assert world.tokens == sum(len(ids) for group in groups_of(world, i, came) for ids in group.answers)
    assert not (len(came.ids) == world.answers or world.tokens == sum(map(len, came.ids))), "equal answers came"


def test_right_answers_are_as_many_as_the_exact_solve_rates_say(world):
    n = 10**7
    k = world.sample(np.arange(35), np.full(35, n))
    assert (np.abs(k - n * world.p) < 5 * np.sqrt(n * world.p * (1 - world.p))).all()


def test_nothing_sampled(world):
    assert world.sample(np.array([1, 2]), np.array([0, 0])).tolist() == [0, 0]
    assert world.sample(np.zeros(0, dtype=int), np.zeros(0, dtype=int)).tolist() == []
    assert world.answers == world.tokens == 0


def test_equal_seeds_are_equal_worlds(start, rows):
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(found))
        one = made(start, rows, seed=seed)
        for _ in range(2):
            one.learn(sampled(one, range(35), 8))
        found.append(flat(one))
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


# ---- the gradient -------------------------------------------------------------------------------


def expected(world, groups, dial):
    """Σ over groups of the theorem's trainer route, (1/G) Σ A ∇log π, scaled by G/N/most."""
    return sum(g.update(world.model, group, dial) * len(group.answers) for group in groups) / world.batch / world.most


@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL, LOGIT], ids=repr)
@pytest.mark.parametrize("parts", [128, 7])
def test_an_update_is_the_theorem_s_gradient(world, told, dial, parts, monkeypatch):
    """Groups of unlike sizes, prompts of unlike lengths, silent groups among them; in one pass or in many."""
    monkeypatch.setattr(language, "_ROWS", parts)
    i = np.random.default_rng(1).permutation(35)
    one = sampled(world, i, np.tile([2, 4, 8, 16, 24], 7), dial)
    groups = groups_of(world, i, told[0])
    silent = (one.right == 0) | (one.wrong == 0)
    assert 1 < silent.sum() < 20 and len({len(world.prompts[j]) for j in i[~silent]}) == 5
    wanted = expected(world, groups, dial)
    norm = world.learn(one)
    assert norm == pytest.approx(np.linalg.norm(wanted), rel=1e-5)
    # What Adam gets: cut at 1.
    assert off(-gradient(world) * max(norm, 1), wanted) < 1e-5
    # The same advantages with the answers' signs lost, or another dial: far off.
    assert off(expected(world, groups, DR_GRPO if dial == GRPO else GRPO), wanted) > 1e-2


@pytest.mark.parametrize(("batch", "cut"), [(8, True), (4096, False)])
def test_a_gradient_longer_than_1_is_cut_to_1(start, rows, told, batch, cut):
    world = made(start, rows, batch=batch)
    one = sampled(world, range(35), 8)
    wanted = expected(world, groups_of(world, range(35), told[0]), GRPO)
    norm = world.learn(one)
    assert (norm > 1) == cut and norm == pytest.approx(np.linalg.norm(wanted), rel=1e-5)
    assert np.linalg.norm(gradient(world)) == pytest.approx(min(norm, 1), rel=1e-4)
    assert off(-gradient(world) * max(norm, 1), wanted) < 1e-5


def test_the_first_step_is_adam_s(world):
    """Every parameter with a gradient moves by the learning rate, against the gradient's sign; no decay."""
    before = flat(world)
    world.learn(sampled(world, range(35), 8))
    moved, grad = flat(world) - before, gradient(world)
    clear = np.abs(grad) > 1e-5
    assert clear.mean() > 0.5
    np.testing.assert_allclose(moved[clear], -1e-3 * np.sign(grad[clear]), rtol=2e-2)
    assert (moved[grad == 0] == 0).all()


def test_lengths_mean_shares_an_answer_s_push_among_its_tokens(start, rows, told):
    world = made(start, rows, lengths="mean")
    i = np.arange(35)
    one = sampled(world, i, 8)
    wanted, summed = 0.0, 0.0
    for group in groups_of(world, i, told[0]):
        lengths = np.array([len(ids) for ids in group.answers])
        pushes = advantages(group.rewards, GRPO)
        scores = g.scores(world.model, group)
        wanted = wanted + (pushes / lengths) @ scores / world.batch
        summed = summed + pushes @ scores / world.batch / world.most
    norm = world.learn(one)
    assert off(-gradient(world) * max(norm, 1), wanted) < 1e-5
    assert off(summed, wanted) > 0.05 and off(summed * np.linalg.norm(wanted) / np.linalg.norm(summed), wanted) > 0.05


def test_a_problem_s_answers_of_two_calls_are_one_group(world, told):
    first, second = np.array([0, 3, 8]), np.array([8, 12, 3])
    k = np.zeros(35)
    k[first] += world.sample(first, np.array([8, 4, 6]))
    k[second] += world.sample(second, np.array([8, 8, 12]))
    every, n = np.array([0, 3, 8, 12]), np.array([8, 16, 14, 8])
    assert ((k[every] > 0) & (k[every] < n)).any() and world.answers == n.sum()
    groups = []
    for i in every:
        halves = [
            group for at, call in zip((first, second), told, strict=True)
            for j, group in zip(at, groups_of(world, at, call), strict=True) if j == i
        ]  # fmt: skip
        joined = replace(
            halves[0],
            answers=[ids for half in halves for ids in half.answers],
            rewards=np.concatenate([half.rewards for half in halves]),
        )
        groups.append(joined)
    assert [len(group.answers) for group in groups] == n.tolist()
    wanted = expected(world, groups, GRPO)
    norm = world.learn(drawn(every, k[every], n))
    assert off(-gradient(world) * max(norm, 1), wanted) < 1e-5


def test_two_groups_of_a_problem_in_a_step_add_up(world, told):
    """Where a pass through the data ends and the next begins. Like answers push alike, whichever group they are in."""
    i, k = np.array([2, 4, 2, 4]), world.sample(np.array([2, 4, 2, 4]), np.full(4, 8))
    # Problem 2 with two different mixed groups, problem 4 with a silent one and a mixed one.
    while {0, 8} & {*k[::2]} or k[0] == k[2] or len({0, 8} & {*k[1::2]}) != 1 or k[1] + k[3] == 8:
        world.learn(drawn([], [], []))
        told.clear()
        k = world.sample(i, np.full(4, 8))
    came = told[0]
    weighted = world.weighted(drawn(i, k, np.full(4, 8)))
    for problem, at in ((2, (0, 2)), (4, (1, 3))):
        plus = sum(8 * float(gain(k[j], 8)) for j in at)
        right, wrong = sum(k[j] for j in at), sum(8 - k[j] for j in at)
        counts = {}
        for j, n, ids in zip(came.prompt, came.count, came.ids, strict=True):
            counts[ids] = counts.get(ids, 0) + (n if j in at else 0)
        pushes = dict.fromkeys(counts, 0.0)
        for j, ids, push in zip(weighted.prompt, weighted.ids, weighted.push, strict=True):
            pushes[ids] += push if j == problem else 0
        for ids, n in counts.items():
            won = exact(world.tokenizer.decode(ids, skip_special_tokens=True), world.rows[problem])
            assert pushes[ids] == pytest.approx(n * (plus / right if won else -plus / wrong))
        assert sum(pushes.values()) == pytest.approx(0, abs=1e-12)


def test_silent_groups_cost_and_push_nothing(world, told, monkeypatch):
    i = np.arange(35)
    one = sampled(world, i, 4)
    silent = (one.right == 0) | (one.wrong == 0)
    assert 0 < silent.sum() < 35
    weighted = world.weighted(one)
    assert set(weighted.prompt.tolist()) == set(i[~silent].tolist()) and (weighted.push != 0).all()
    # What was sampled and not said to count pushes with nothing either.
    few = drawn(i[~silent][:2], one.right[~silent][:2], np.full(2, 4))
    assert set(world.weighted(few).prompt.tolist()) == set(i[~silent][:2].tolist())


def test_answers_are_forgotten_after_their_step(world, told):
    world.learn(sampled(world, range(10), 8))
    one = sampled(world, range(20, 30), 8)
    wanted = expected(world, groups_of(world, range(20, 30), told[1]), GRPO)
    norm = world.learn(one)
    assert off(-gradient(world) * max(norm, 1), wanted) < 1e-5


def test_likelihoods_are_those_of_each_answer_by_itself(world):
    """In one batch of prompts and answers of unlike lengths, as without padding."""
    told = language.Weighted(np.array([0, 2, 8, 1, 4]), [(4, 0), (3, 5, 0), (0,), (12, 12, 12), (6, 1, 0)], np.ones(5))
    logs, counts = world.log_likelihoods(told)
    assert logs.shape == counts.shape == (5, 3) and counts.sum(1).tolist() == [2, 3, 1, 3, 3]
    assert (logs[~counts] == 0).all()
    for row, (i, answer) in enumerate(zip(told.prompt, told.ids, strict=True)):
        with torch.no_grad():
            out = world.model(input_ids=torch.tensor([[*world.prompts[i], *answer]])).logits[0]
        wanted = torch.log_softmax(out.double(), -1)[-len(answer) - 1 : -1].gather(-1, torch.tensor(answer)[:, None])
        np.testing.assert_allclose(logs[row][counts[row]].detach(), wanted[:, 0], atol=1e-5)


# ---- TRL ----------------------------------------------------------------------------------------

#: Optimiser steps; the one without a mixed group; groups of a step, and their size.
STEPS, SILENT, GROUPS, SIZE = 5, 3, 16, 8


@pytest.fixture
def trained(start, rows, tmp_path):
    """Train by our trainer on the real TRL: parameters at the end, every answer seen, norms of the gradients."""
    pytest.importorskip("trl")
    import trl
    from datasets import Dataset

    from groupsigma.trainers.trl import GRPOTrainer

    def run(dial, loss_type):
        model, words = a.load(start)
        answers = {row["prompt"]: row for row in rows}
        steps = []

        def judge(prompts, completions, completion_ids, **_):
            won = [float(exact(text, answers[p])) for p, text in zip(prompts, completions, strict=True)]
            if len(steps) == SILENT:
                won = [1.0] * len(won)
            steps.append((prompts, completion_ids, won))
            return won

        # TRL's dr_grpo is Σ over tokens / (rows · max_completion_length). With the limit that Language has, the
        # gradient's length is the same too, and so is what of it is cut.
        args = trl.GRPOConfig(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], save_strategy="no", seed=3,
            disable_tqdm=True, activation_checkpointing=False, logging_steps=1, max_steps=STEPS,
            per_device_train_batch_size=GROUPS * SIZE, num_generations=SIZE, max_completion_length=3,
            loss_type=loss_type, beta=0.0, temperature=1.0, top_k=0, max_grad_norm=1.0,
            learning_rate=1e-3, lr_scheduler_type="constant", weight_decay=0.0,
        )  # fmt: skip
        data = Dataset.from_list([{"prompt": row["prompt"]} for row in rows])
        made = GRPOTrainer(
            model=model, reward_funcs=judge, args=args, train_dataset=data, processing_class=words, dial=dial
        )
        made.train()
        norms = [entry["grad_norm"] for entry in made.state.log_history if "grad_norm" in entry]
        return torch.cat([p.detach().ravel() for p in made.model.parameters()]).double().numpy(), steps, norms

    return run


def replayed(world, steps, dial):
    """The lean loop on the answers of other steps: parameters at the end, norms of the gradients."""
    number, norms = {row["prompt"]: i for i, row in enumerate(world.rows)}, []
    for prompts, ids, won in steps:
        came = Counter(zip((number[p] for p in prompts), map(tuple, ids), map(bool, won), strict=True))
        i, answers, right = zip(*came, strict=True)
        count, right = np.array(list(came.values())), np.array(right)
        world._drawn = [(Answers(np.array(i), count, list(answers)), right)]
        groups = np.unique(i)
        assert len(groups) == GROUPS
        norms.append(world.learn(drawn(groups, np.bincount(i, count * right)[groups], np.full(GROUPS, SIZE), dial)))
    return flat(world), norms


@pytest.mark.parametrize(
    ("dial", "loss_type", "lengths"), [(GRPO, "dr_grpo", "sum"), (DR_GRPO, "dr_grpo", "sum"), (GRPO, "grpo", "mean")]
)
def test_the_lean_loop_takes_trl_s_steps(start, rows, trained, dial, loss_type, lengths):
    """On the very answers of a real run, to float32's precision; one of its steps is of silent groups alone."""
    theirs, steps, norms = trained(dial, loss_type)
    assert len(steps) == STEPS and {len(prompts) for prompts, _, _ in steps} == {GROUPS * SIZE}
    assert len({len(ids) for _, found, _ in steps for ids in found}) == 3

    def lean(steps, dial, lengths):
        return replayed(made(start, rows, batch=GROUPS * SIZE, lengths=lengths), steps, dial)

    def off(parameters):
        return np.linalg.norm(parameters - theirs) / moved

    moved = np.linalg.norm(theirs - flat(made(start, rows)))
    ours, mine = lean(steps, dial, lengths)
    assert off(ours) < 2e-4
    np.testing.assert_allclose(mine, norms, rtol=1e-4, atol=1e-9)
    assert norms[SILENT] == 0 < min(norms[:SILENT])
    # Anything else is another training: another dial, other lengths, a step less, be it the silent one.
    others = {
        "dial": (steps, DR_GRPO if dial == GRPO else GRPO, lengths),
        "lengths": (steps, dial, "mean" if lengths == "sum" else "sum"),
        **{f"without {at}": (steps[:at] + steps[at + 1 :], dial, lengths) for at in range(STEPS)},
    }
    assert {name: off(lean(*given)[0]) > 0.05 for name, given in others.items()} == dict.fromkeys(others, True)
