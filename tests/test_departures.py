"""Where the identity stops: ratios, clipping and KL against TRL's own loss, formulas by hand and finite differences."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch

from groupsigma import GRPO, advantages, method_config
from groupsigma.checkers import exact
from groupsigma.experiments import addition as a
from groupsigma.experiments import departures as d
from groupsigma.experiments import gradients as g
from groupsigma.experiments.arms import Passes

#: Sums of one digit: taught in a second.
TINY = a.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=120, batch=128, until=0.3, digits=1, problems=60,
    held_out=20,
)  # fmt: skip
TRAIN, HELD_OUT = a.data(TINY)
SMALL = dict(prompts=20, G=8)
RATES = (1e-4, 5e-4, 2e-3)
EVERY = [d.theorem, d.surrogate(d.CLIPS["none"]), d.surrogate(d.CLIPS["grpo"])]

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


def policy(start, *, double=False, learning_rate=2e-3, seed=0):
    world = d.Steered(start, TRAIN, HELD_OUT, batch=160, learning_rate=learning_rate, seed=seed)
    if double:
        world.model = g._in(torch.float64, world.model)
        world.optimizer = torch.optim.AdamW(world.model.parameters(), lr=learning_rate, weight_decay=0.0)
    return world


@pytest.fixture(scope="module")
def aged(start):
    """A batch, and in double precision the policy that drew it four updates later: some tokens are cut off."""
    world = policy(start, double=True)
    choose = Passes(GRPO, 8)
    batch, drawn = d.fresh(world, choose)
    world.learn(drawn)
    for _ in range(3):
        world.learn(choose(world))
    assert 0.01 < d.clipped(batch, d.against(world, batch).old, d.CLIPS["grpo"]) < 0.5
    return world, batch


def flat(world):
    return torch.cat([p.detach().ravel() for p in world.model.parameters()]).double().numpy()


def off(u, wanted):
    return float(np.linalg.norm(u - wanted) / np.linalg.norm(wanted))


def by_hand(world, batch, weigh):
    """Σ weight · ∇ log π, the weight of each token a number that `weigh` makes of log π, log π_old and A."""
    logs, there = world.log_likelihoods(d.Weighted(batch.problem, batch.ids, batch.count))
    old = batch.old[:, : logs.shape[1]]
    A = torch.as_tensor(batch.advantage)[:, None].expand_as(logs)
    weight = weigh(logs.detach(), old, A) * torch.as_tensor(batch.count)[:, None] * there
    gradients = torch.autograd.grad((weight * logs).sum(), list(world.model.parameters()))
    return torch.cat([x.ravel() for x in gradients]).numpy() / (batch.N * world.most)


# ---- a batch ------------------------------------------------------------------------------------


def test_a_batch_has_every_answer_those_of_silent_groups_too(start):
    world = policy(start)
    batch, drawn = d.fresh(world, Passes(GRPO, 8))
    assert batch.count.sum() == batch.N == 160 and set(batch.problem) == set(drawn.problem) and len(drawn.problem) == 20
    assert 0 < (~batch.mixed).sum() < len(batch.ids)
    for i, k in zip(drawn.problem, drawn.right, strict=True):
        mine = batch.problem == i
        assert batch.count[mine].sum() == 8 and (batch.k[mine] == k).all()
        assert batch.count[mine & batch.right].sum() == k
    texts = world.tokenizer.batch_decode([list(ids) for ids in batch.ids], skip_special_tokens=True)
    assert [bool(exact(text, TRAIN[i])) for text, i in zip(texts, batch.problem, strict=True)] == batch.right.tolist()


def test_the_trainer_s_advantages_and_the_identity_s_weights_come_from_two_places(start, monkeypatch):
    batch, _ = d.fresh(policy(start), Passes(GRPO, 8))
    for i in np.unique(batch.problem):
        (mine,) = np.nonzero(batch.problem == i)
        rewards = np.repeat(batch.right[mine], batch.count[mine].astype(int)).astype(float)
        assert np.repeat(batch.advantage[mine], batch.count[mine].astype(int)) == pytest.approx(advantages(rewards))
    assert batch.pull == pytest.approx(batch.advantage, rel=1e-12)
    assert (batch.pull[~batch.mixed] == 0).all() and (batch.advantage[batch.mixed] != 0).all()
    monkeypatch.setattr(d, "sigma", lambda k, G: 1.01 * np.sqrt(k * (G - k)) / G)
    assert batch.pull[batch.mixed] == pytest.approx(1.01 * batch.advantage[batch.mixed])


def test_log_probabilities_are_kept_token_by_token(start):
    world = policy(start)
    batch, _ = d.fresh(world, Passes(GRPO, 8))
    for at in range(0, len(batch.ids), 7):
        one = batch.part(np.array([at]))
        logs, _ = world.log_likelihoods(d.Weighted(one.problem, one.ids, one.count))
        length = len(one.ids[0])
        assert one.old.shape == (1, 3) and (one.old[0, length:] == 0).all() and (one.old[0, :length] < 0).all()
        assert one.old[0, :length].tolist() == pytest.approx(logs[0].tolist(), abs=1e-5)


# ---- updates ------------------------------------------------------------------------------------


def test_without_a_ratio_all_are_the_gradients_of_theorem_1(start):
    """Against `gradients.update`, group by group: A · score of unrolled answers, no σ in it."""
    world = policy(start, double=True)
    batch, drawn = d.fresh(world, Passes(GRPO, 8))
    wanted = 0.0
    for i in drawn.problem:
        (mine,) = np.nonzero(batch.problem == i)
        row = np.repeat(mine, batch.count[mine].astype(int))
        answers = [list(batch.ids[at]) for at in row]
        wanted += g.update(world.model, g.Group(TRAIN[i]["prompt"], world.prompts[i], answers, batch.right[row] * 1.0))
    for u in d.updates(world, batch, EVERY):
        assert off(u, wanted / (len(drawn.problem) * world.most)) < 1e-10
    # Silent groups have a place in the mean and no pull.
    assert off(d.updates(world, d.pushing(batch), EVERY)[0], wanted / (20 * 3)) < 1e-10


def test_the_clips_and_estimators_are_those_of_the_methods():
    for name in ("grpo", "dapo"):
        low, high = (method_config(name).value(key) for key in ("epsilon", "epsilon_high"))
        assert d.CLIPS[name] == (low, low if high is None else high)
    assert method_config("grpo").value("use_bias_correction_kl") is d.ESTIMATORS["published"]


@pytest.mark.parametrize("clip", [(0.2, 0.2), (0.2, 0.28), (0.05, 0.4), (np.inf, np.inf)])
def test_a_clipped_token_pushes_with_r_a_or_not_at_all(aged, clip):
    world, batch = aged

    def weigh(logs, old, A):
        r = torch.exp(logs - old)
        return torch.where(torch.where(A > 0, r > 1 + clip[1], r < 1 - clip[0]), 0.0, r * A)

    (u,) = d.updates(world, batch, [d.surrogate(clip)])
    assert off(u, by_hand(world, batch, weigh)) < 1e-10
    assert off(u, d.updates(world, batch, [d.theorem])[0]) > 0.01
    now = d.against(world, batch).old
    cut = total = 0.0
    for n, ids, A, new, old in zip(batch.count, batch.ids, batch.advantage, now, batch.old, strict=True):
        for t in range(len(ids)):
            r = float(torch.exp(new[t] - old[t]))
            cut += n * ((A > 0 and r > 1 + clip[1]) or (A < 0 and r < 1 - clip[0]))
            total += n
    assert d.clipped(batch, now, clip) == pytest.approx(cut / total)
    assert (cut > 0) == (clip != (np.inf, np.inf))


@pytest.fixture(scope="module")
def stock(start, tmp_path_factory):
    """TRL's own trainer, asked for its loss alone."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    model, words = a.load(start)
    made = trl.GRPOTrainer(
        model=model, reward_funcs=lambda completions, **_: [0.0] * len(completions), processing_class=words,
        train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in TRAIN]),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")), use_cpu=True, bf16=False, report_to=[], save_strategy="no",
            disable_tqdm=True, activation_checkpointing=False, per_device_train_batch_size=160, num_generations=8,
            max_completion_length=3, loss_type="dr_grpo", beta=0.0, temperature=1.0, top_k=0,
        ),
    )  # fmt: skip
    made.model.eval()
    return made


def of_trl(stock, world, batch, *, A, clip=(0.2, 0.2), beta=0.0, corrected=False):
    """−∇ of TRL's loss over all answers, each as often as it came, in the parameters of a policy."""
    stock.model.load_state_dict({name: x.float() for name, x in world.model.state_dict().items()})
    stock.epsilon_low, stock.epsilon_high = clip
    stock.beta, stock.args.use_bias_correction_kl = beta, corrected
    row = np.repeat(np.arange(len(batch.ids)), batch.count.astype(int))
    asked = [world.prompts[i] for i in batch.problem[row]]
    width = max(map(len, asked))
    ids = [batch.ids[i] for i in row]
    old = batch.old[row].float()
    given = {
        "prompt_ids": torch.tensor([[0] * (width - len(q)) + q for q in asked]),
        "prompt_mask": torch.tensor([[0] * (width - len(q)) + [1] * len(q) for q in asked]),
        "completion_ids": torch.tensor([list(x) + [0] * (3 - len(x)) for x in ids]),
        "completion_mask": torch.tensor([[1] * len(x) + [0] * (3 - len(x)) for x in ids]),
        "advantages": torch.as_tensor(A[row]).float(),
        "old_per_token_logps": old,
    }
    if beta:
        # A first pass: no ratio, and a reference in place of the older policy.
        given |= {"ref_per_token_logps": old}
        del given["old_per_token_logps"]
    stock.model.zero_grad()
    stock._compute_loss(stock.model, given).backward()
    return -torch.cat([p.grad.ravel() for p in stock.model.parameters()]).double().numpy()


@pytest.mark.parametrize("name", d.CLIPS)
def test_a_clipped_update_is_trl_s(stock, aged, name):
    world, batch = aged
    (u,) = d.updates(world, batch, [d.surrogate(d.CLIPS[name])])
    assert off(u, of_trl(stock, world, batch, A=batch.advantage, clip=d.CLIPS[name])) < 1e-4
    logged = stock._metrics["eval"]["clip_ratio/region_mean"][-1]
    assert logged == pytest.approx(d.clipped(batch, d.against(world, batch).old, d.CLIPS[name]), abs=1e-6)


@pytest.mark.parametrize("name", d.ESTIMATORS)
def test_an_update_with_kl_is_trl_s(stock, aged, name):
    world, batch = aged
    corrected = d.ESTIMATORS[name]
    trl = pytest.importorskip("trl")
    assert trl.GRPOConfig.__dataclass_fields__["use_bias_correction_kl"].default is d.ESTIMATORS["corrected"]
    pull, h = d.updates(world, batch, [d.theorem, d.penalty(corrected)])
    found = of_trl(stock, world, batch, A=batch.advantage, beta=0.7, corrected=corrected)
    assert off(pull - 0.7 * h, found) < 1e-4 < 1e-2 < off(pull, found)
    alone = of_trl(stock, world, batch, A=0 * batch.advantage, beta=0.7, corrected=corrected)
    assert off(-0.7 * h, alone) < 1e-4


# ---- several updates from one batch -------------------------------------------------------------


@pytest.fixture(scope="module")
def curves(start):
    found = {}
    for clip in d.CLIPS:
        for rate in RATES:
            found[clip, rate] = d.passes(start, TINY, rate, clip, 0, K=3, warm=2, **SMALL)
    return found


def test_the_first_pass_is_the_identity_and_later_ones_are_not(curves):
    for found in curves.values():
        first, *later = found["updates"]
        for what in ("today", "start", "ratio", "whole"):
            assert first[what]["distance"] < 1e-4 and first[what]["cosine"] > 1 - 1e-6
        assert first["cut"] == first["clipped"] == first["moved"] == 0
        assert all(x["today"]["distance"] > 1e-3 and x["moved"] > 1e-3 for x in later) and len(later) == 2
    assert json.loads(json.dumps(curves["grpo", 5e-4])) == curves["grpo", 5e-4]


def test_the_distance_grows_with_the_learning_rate_and_the_passes(curves):
    for clip in d.CLIPS:
        second = [curves[clip, rate]["updates"][1]["today"]["distance"] for rate in RATES]
        assert second[0] < second[1] < second[2] and second[0] < 0.5 * second[2]
    free = [x["today"]["distance"] for x in curves["none", RATES[0]]["updates"]]
    assert free[0] < free[1] < free[2]


def test_what_is_not_clipped_is_ratio_alone(curves):
    for rate in RATES:
        for x in curves["none", rate]["updates"]:
            assert x["clipped"] == x["cut"] == 0 and x["today"] == x["ratio"]
        later = curves["grpo", rate]["updates"][1]
        assert later["ratio"] == curves["none", rate]["updates"][1]["ratio"]
        assert later["today"]["distance"] <= later["ratio"]["distance"] + later["cut"] + 1e-5
    assert curves["grpo", 2e-3]["updates"][1]["clipped"] >= curves["dapo", 2e-3]["updates"][1]["clipped"] > 0
    assert curves["grpo", 2e-3]["updates"][1]["cut"] > 0.01


def warmed(start, learning_rate):
    world, choose = policy(start, learning_rate=2e-4), Passes(GRPO, 8)
    for _ in range(2):
        world.learn(choose(world))
    world.optimizer.param_groups[0]["lr"] = learning_rate
    return world, choose


def test_every_learning_rate_is_looked_at_on_the_same_batch(curves):
    for what in ("held_out", "pushing"):
        assert len({found[what] for found in curves.values()}) == 1
    assert len({found["updates"][0]["norm"] for found in curves.values()}) == 1


def test_a_step_is_the_one_that_training_takes(start, curves):
    """The first pass over a batch is an update by GRPO; and so are those of fresh batches."""
    world, choose = warmed(start, 5e-4)
    found = curves["grpo", 5e-4]
    assert found["held_out"] == pytest.approx(world.held_out, rel=1e-5)
    batch, drawn = d.fresh(world, choose)
    assert found["pushing"] == pytest.approx(d._tokens(d.pushing(batch)) / d._tokens(batch), rel=1e-5)
    norm = world.learn(drawn)
    assert found["updates"][0]["norm"] == pytest.approx(norm, rel=1e-4)
    assert found["updates"][0]["held_out"] == pytest.approx(world.held_out, rel=1e-4)
    assert found["updates"][0]["fresh"] != found["updates"][0]["held_out"]
    assert found["updates"][0]["fresh"] == curves["none", 5e-4]["updates"][0]["fresh"]


def test_a_second_pass_step_by_step(start, curves):
    """What is recorded of it, and where it leads, against the same made by hand."""
    world, choose = warmed(start, 2e-3)
    batch, _ = d.fresh(world, choose)
    (first,) = d.updates(world, batch, [d.theorem])
    d.take(world, first)
    g, free, u = d.updates(world, batch, EVERY)
    told = curves["grpo", 2e-3]["updates"][1]
    for what, one, other in (("today", u, g), ("start", u, first), ("ratio", free, g)):
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert told[what]["distance"] == pytest.approx(off(one, other), rel=1e-3)
        assert told[what]["cosine"] == pytest.approx(cosine, rel=1e-3)
        assert told[what]["length"] == pytest.approx(np.linalg.norm(one) / np.linalg.norm(other), rel=1e-3)
    assert told["cut"] == pytest.approx(np.linalg.norm(u - free) / np.linalg.norm(g), rel=1e-3)
    assert told["moved"] == pytest.approx(off(g, first), rel=1e-3)
    before = world.held_out
    d.take(world, u)
    assert told["held_out"] == pytest.approx(world.held_out, rel=1e-3) != pytest.approx(before, rel=1e-3)
    assert curves["none", 2e-3]["updates"][1]["held_out"] != pytest.approx(world.held_out, rel=1e-3)


@pytest.mark.parametrize("way", ["given", "its own"])
def test_a_steered_policy_goes_where_it_is_told_once(start, way):
    plain, steered = policy(start), policy(start)
    (one, told), (_, same) = (d.fresh(world, Passes(GRPO, 8)) for world in (plain, steered))
    before, norm = flat(plain), plain.learn(told)
    if way == "given":
        steered.way = d.updates(steered, one, [d.theorem])[0]
    assert steered.learn(same) == pytest.approx(norm, rel=1e-4) and steered.way is None
    assert off(flat(steered) - before, flat(plain) - before) < 1e-2
    other = policy(start)
    other.way = -d.updates(other, one, [d.theorem])[0]
    d.fresh(other, Passes(GRPO, 8))
    other.learn(told)
    assert off(flat(other) - before, before - flat(plain)) < 1e-2


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("M", [1, 2, 4])
def test_mini_batches_are_the_batch_in_parts(start, M, torn):
    world = policy(start, double=True)
    batch, _ = d.fresh(world, Passes(GRPO, 8))
    parts = d.minis(batch, M, torn, np.random.default_rng(0))
    assert [part.N for part in parts] == [160 // M] * M
    count = np.zeros(len(batch.ids))
    number = {(i, ids): at for at, (i, ids) in enumerate(zip(batch.problem.tolist(), batch.ids, strict=True))}
    for part in parts:
        for i, ids, n in zip(part.problem.tolist(), part.ids, part.count, strict=True):
            count[number[i, ids]] += n
    assert (count == batch.count * batch.mixed).all()
    sizes = [np.bincount(part.problem, part.count) for part in parts]
    assert all(set(size[size > 0]) == {8} for size in sizes) == (not torn or M == 1)
    whole = d.updates(world, batch, [d.theorem])[0]
    assert off(np.mean([d.updates(world, part, [d.theorem])[0] for part in parts], 0), whole) < 1e-10
    # Whole groups split evenly: 20 prompts in M parts; single answers too, those of silent groups among them.
    every = d.minis(replace(batch, k=np.full_like(batch.k, 4)), M, torn, np.random.default_rng(0))
    assert [part.count.sum() for part in every] == [160 // M] * M


def test_a_mini_batch_is_as_many_updates_old_as_there_were_before_it(start):
    for torn in (False, True):
        found = d.passes(start, TINY, 1e-3, "grpo", 0, K=1, M=4, torn=torn, warm=1, **SMALL)["updates"]
        assert len(found) == 4 and found[0]["today"]["distance"] < 1e-4 and found[0]["moved"] == 0
        assert all(x["today"]["distance"] > 1e-2 and x["moved"] > 1e-2 for x in found[1:])
        # A quarter of the prompts does not tell what all of them do.
        assert all(x["whole"]["distance"] > 0.1 for x in found)


def test_a_wrong_sigma_is_seen_at_the_first_pass(start, monkeypatch):
    monkeypatch.setattr(d, "sigma", lambda k, G: 1.25 * np.sqrt(k * (G - k)) / G)
    first = d.passes(start, TINY, 1e-3, "grpo", 0, K=1, warm=0, **SMALL)["updates"][0]
    assert first["today"] == {"distance": pytest.approx(0.2, abs=1e-4), "cosine": 1.0, "length": pytest.approx(0.8)}


# ---- answers of an older policy -----------------------------------------------------------------


def test_the_older_the_answers_the_farther_the_update(start):
    found = d.stale(start, TINY, 0, learning_rate=2e-4, ages=(0, 1, 8), groups=8, warm=2, **SMALL)
    assert [row["age"] for row in found] == [0, 1, 8] and json.loads(json.dumps(found)) == found
    assert all(row["k"] == found[0]["k"] for row in found) and all(0 < k < 8 for k in found[0]["k"])
    fresh, one, eight = found
    for name in d.CLIPS:
        assert len(fresh[name]["distance"]) == len(fresh["k"]) == 8
        assert max(fresh[name]["distance"]) < 1e-4 and fresh[name]["all"]["distance"] < 1e-4
        assert set(fresh[name]["clipped"]) == {0}
        for what in (lambda row: np.median(row["distance"]), lambda row: row["all"]["distance"]):
            assert 1e-3 < what(one[name]) < what(eight[name])
    assert set(eight["none"]["clipped"]) == {0} < set(eight["grpo"]["clipped"])
    assert sum(eight["grpo"]["clipped"]) >= sum(eight["dapo"]["clipped"]) > 0


def test_the_policy_learns_nothing_from_the_answers_that_are_looked_at(start, monkeypatch):
    """The same updates whatever is looked at, and when: on other problems than those."""
    steps, looked = [], []
    update, alone = d.Steered.update, d._aged

    def noting(world, told):
        steps.append(set(told.prompt.tolist()))
        return update(world, told)

    def looking(world, groups):
        looked.append({int(i) for one in groups for i in one.problem})
        return alone(world, groups)

    monkeypatch.setattr(d.Steered, "update", noting)
    monkeypatch.setattr(d, "_aged", looking)
    d.stale(start, TINY, 0, ages=(0, 2), groups=20, warm=0, **SMALL)
    assert len(steps) == 2 and len(looked) == 2 and not looked[0] & (steps[0] | steps[1])


# ---- KL -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("corrected", d.ESTIMATORS.values(), ids=d.ESTIMATORS)
def test_at_the_reference_kl_has_no_gradient(start, corrected):
    world = policy(start, double=True)
    batch, _ = d.fresh(world, Passes(GRPO, 8))
    pull, h = d.updates(world, batch, [d.theorem, d.penalty(corrected)])
    assert np.linalg.norm(h) < 1e-12 < 1e-2 < np.linalg.norm(pull)


def test_kl_s_gradient_is_its_slope(aged):
    """The published one: the estimator at answers that stay as they are, by differences along a random line."""
    world, batch = aged
    (h,) = d.updates(world, batch, [d.penalty(False)])
    line = np.random.default_rng(0).normal(size=len(h))
    here, seen = flat(world), []
    try:
        for step in (1e-6, -1e-6):
            torch.nn.utils.vector_to_parameters(torch.from_numpy(here + step * line), world.model.parameters())
            e = batch.old - d.against(world, batch).old
            seen.append(float(batch.count @ (torch.exp(e) - e - 1).sum(1).numpy()) / (batch.N * world.most))
    finally:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(here), world.model.parameters())
    assert (seen[0] - seen[1]) / 2e-6 == pytest.approx(h @ line, rel=1e-5)


def test_kl_weighs_scores_by_hand(aged):
    """Published 1 − π_ref/π; corrected log π/π_ref, the gradient of the KL divergence itself."""
    world, batch = aged
    weights = {False: lambda logs, old, _: 1 - torch.exp(old - logs), True: lambda logs, old, _: logs - old}
    for corrected, weigh in weights.items():
        (h,) = d.updates(world, batch, [d.penalty(corrected)])
        assert off(h, by_hand(world, batch, weigh)) < 1e-10 and np.linalg.norm(h) > 1e-3


@pytest.mark.parametrize(("kind", "right"), [("all_right", True), ("all_wrong", False)])
def test_with_kl_a_silent_group_is_no_longer_silent(aged, kind, right):
    """Half of the groups as if the judge had said one thing of all their answers."""
    world, batch = aged
    half = batch.problem % 2 == 0
    batch = replace(batch, right=np.where(half, right, batch.right), k=np.where(half, 8 * right, batch.k))
    assert (d._KINDS[kind](batch) >= half).all()
    silent = batch.part(np.flatnonzero(d._KINDS[kind](batch)))
    pull, h = d.updates(world, silent, [d.theorem, d.penalty(False)])
    assert (pull == 0).all() and np.linalg.norm(h) > 1e-4
    assert off(d.updates(world, batch, [d.penalty(False, d._KINDS[kind])])[0], h) < 1e-10
    parts = d.updates(world, batch, [d.penalty(False, chosen) for chosen in d._KINDS.values()])
    assert off(parts.sum(0), d.updates(world, batch, [d.penalty(False)])[0]) < 1e-12


def test_kl_pulls_more_the_farther_the_policy_has_gone(start):
    found = d.kl(start, TINY, 0, learning_rate=2e-4, looks=(0, 1, 12), **SMALL)
    assert [row["updates"] for row in found] == [0, 1, 12] and json.loads(json.dumps(found)) == found
    none, some, more = found
    assert none["kl"] < 1e-12 < some["kl"] < more["kl"]
    for name in d.ESTIMATORS:
        assert none[name]["size"] < 1e-5 < 1e-3 < some[name]["size"] < more[name]["size"]
        for row in (some, more):
            told = row[name]
            assert sum(told["share"].values()) == pytest.approx(1, abs=1e-4) and abs(told["cosine"]) < 1
            assert told["apiece"]["all_wrong"] > 0 and told["apiece"]["mixed"] > 0
        assert more[name]["apiece"]["identity"] == more["published"]["apiece"]["identity"] > 0.1
    assert more["published"]["size"] != pytest.approx(more["corrected"]["size"], rel=1e-3)
    for row in found:
        assert sum(row["groups"].values()) == pytest.approx(1)


def test_a_strong_pull_holds_the_policy_at_its_reference(start):
    free, held = (d.kl(start, TINY, 0, beta=beta, learning_rate=1e-3, looks=(6,), **SMALL)[0] for beta in (0, 5.0))
    assert held["kl"] < 0.5 * free["kl"]
