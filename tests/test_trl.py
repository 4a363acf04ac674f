"""The trainer against the real TRL 1.16: advantages, replaced groups, ragged groups, and all that TRL logs."""

import json
import re
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("trl")

import pandas as pd
import torch
import trl
from datasets import Dataset
from scipy import stats

import groupsigma
from groupsigma import (
    DAPO,
    DIALS,
    DR_GRPO,
    GRPO,
    LOGIT,
    MAXRL,
    RLOO,
    ArgumentError,
    Dial,
    Groups,
    advantages_by_prompt,
)
from groupsigma.metrics import group_metrics
from groupsigma.trainers.given import judge_column, whole_tries
from tiny_llama import (
    EOS,
    QUIET,
    Script,
    by_units,
    coin,
    groups,
    judge,
    logged,
    lot,
    model,
    parameters,
    problems,
    run,
    starts_with_3,
    table,
    trainer,
    watched,
)

pytestmark = QUIET

STOCK = watched(trl.GRPOTrainer)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def wanted(batch, dial, size=4):
    """(prompt, completion) -> advantage of a batch of equal groups, from what the reward function said."""
    found = groups(batch.calls, size)
    return by_row(found, groupsigma.advantages(table(found), dial))


def by_row(found, advantages):
    rows = [(p, c) for p, completions, _ in found for c in completions]
    assert len(set(rows)) == len(rows), "answers that can be told apart"
    return dict(zip(rows, np.ravel(advantages).tolist(), strict=True))


def seen_by_loss(made, batch=0, passes=1):
    """(prompt, completion) -> advantage of all micro-batches of one generation batch."""
    per = made.args.steps_per_generation * passes
    rows = [row for part in made.seen[batch * per : (batch + 1) * per] for row in part]
    told = {(p, c): a for p, c, a in rows}
    assert Counter((p, c) for p, c, _ in rows) == Counter(dict.fromkeys(told, passes))
    return told


# ---- nothing given but the import ----------------------------------------------------------------


def both(folder, reward, **given):
    return [run(folder / name, reward, cls=cls, **given) for name, cls in (("stock", STOCK), ("ours", watched()))]


def graded(prompt, text):
    return lot(text)


@pytest.mark.parametrize("scale", ["group", "none", "batch"])
@pytest.mark.parametrize(("size", "rule"), [(4, coin), (4, graded), (8, coin), (5, graded)])
def test_without_a_dial_it_trains_as_trl_does(tmp_path, scale, size, rule):
    """Up to the rounding of an advantage: TRL computes in float32, we in float64."""
    change = dict(scale_rewards=scale, num_generations=size, per_device_train_batch_size=4 * size, max_steps=4)
    stock, ours = both(tmp_path, judge(rule), change=change)
    for a, b in zip(stock.batches, ours.batches, strict=True):
        assert a.rows == b.rows
        np.testing.assert_allclose(a.advantages, b.advantages, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logged(stock, "loss"), logged(ours, "loss"), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(parameters(stock), parameters(ours), atol=1e-4)
    assert (parameters(stock) - torch.cat([p.detach().ravel() for p in model().parameters()])).abs().max() > 1e-2


@pytest.mark.parametrize("scale", ["group", "none", "batch"])
@pytest.mark.parametrize("size", [4, 5, 8])
def test_without_a_dial_and_silent_groups_every_bit_is_trl_s(tmp_path, scale, size):
    change = dict(scale_rewards=scale, num_generations=size, per_device_train_batch_size=4 * size, max_steps=4)
    stock, ours = both(tmp_path, judge(graded), change=change)
    assert logged(ours, "group/silent") == [0.0] * 4
    assert logged(stock, "loss") == logged(ours, "loss")
    assert torch.equal(parameters(stock), parameters(ours))


def test_without_a_dial_trl_s_metrics_keep_their_names_and_numbers(tmp_path):
    """All of TRL's own keys; ours come on top."""
    stock, ours = both(tmp_path, judge(coin), rollout=Script(), change=dict(scale_rewards="none"))
    for a, b in zip(stock.state.log_history, ours.state.log_history, strict=True):
        for key in set(a) - {"step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second"}:
            assert b[key] == pytest.approx(a[key], rel=1e-5, abs=1e-7), key
        assert all(key.startswith("group/") for key in set(b) - set(a))
    assert torch.equal(parameters(stock), parameters(ours))


def test_the_data_is_walked_as_trl_walks_it_epoch_after_epoch(tmp_path):
    """11 prompts, 4 a batch: 2 batches an epoch, and the rest of the epoch is left out, as TRL does."""
    change = dict(max_steps=7, scale_rewards="none")
    stock, ours = both(tmp_path, judge(coin), data=problems(11), rollout=Script(), change=change)
    asked = [[batch.prompts for batch in made.batches] for made in (stock, ours)]
    assert asked[0] == asked[1] and len(asked[0]) == 7
    assert len({tuple(prompts) for prompts in asked[0]}) == 7  # The order does change.


@pytest.mark.parametrize("scale", ["group", "none", "batch"])
def test_silent_groups_get_exact_zeros_where_trl_leaves_residues(tmp_path, scale):
    """Eight rewards of 0.1 have a standard deviation in float32; beside them one group that is mixed."""

    def rule(prompt, text):
        return 0.1 if prompt < "3" else lot(text)

    change = dict(num_generations=8, per_device_train_batch_size=64, max_steps=1, scale_rewards=scale)
    stock, ours = both(tmp_path, judge(rule), change=change, rollout=Script())
    silent = np.array([prompt < "3" for prompt in stock.batches[0].prompts])
    assert 8 <= silent.sum() < 64 and stock.batches[0].rows == ours.batches[0].rows
    assert np.any(np.array(stock.batches[0].advantages)[silent] != 0.0)
    np.testing.assert_array_equal(np.array(ours.batches[0].advantages)[silent], 0.0)
    assert np.all(np.array(ours.batches[0].advantages)[~silent] != 0.0)
    assert logged(ours, "frac_reward_zero_std") == [pytest.approx(silent.mean())] == logged(ours, "group/silent")


# ---- every dial ----------------------------------------------------------------------------------

KEPT = {name: dial for name, dial in DIALS.items() if dial.keep == "all"}
MIXED = {name: dial for name, dial in DIALS.items() if dial.keep == "mixed"}


@pytest.mark.parametrize("name", [*KEPT, "reinforce"])
def test_the_loss_sees_the_dial_s_advantages(tmp_path, name):
    """Of silent, mixed and one-sided groups, for binary rewards."""
    dial = KEPT.get(name, Dial(power=0.0, center="none"))
    made = run(
        tmp_path,
        rollout=Script(by_units),
        dial=dial,
        change=dict(max_steps=2, num_generations=8, per_device_train_batch_size=64),
    )
    for at, batch in enumerate(made.batches):
        expected = wanted(batch, dial, 8)
        assert seen_by_loss(made, at) == pytest.approx(expected, rel=1e-6)
        assert {-1.0, 0.0, 1.0} & {np.sign(a) for a in expected.values()} == {np.sign(a) for a in expected.values()}
    assert len({round(a, 4) for batch in made.batches for a in batch.advantages}) > (1 if name == "reinforce" else 2)


@pytest.mark.parametrize("name", MIXED)
def test_the_loss_sees_the_dial_s_advantages_of_kept_groups(tmp_path, name):
    dial = MIXED[name]
    made = run(tmp_path, rollout=Script(by_units), dial=dial, change=dict(max_steps=2))
    for at, batch in enumerate(made.batches):
        kept = [g for g in groups(batch.calls, 4) if len(set(g[2])) > 1]
        expected = by_row(kept, groupsigma.advantages(table(kept), dial))
        assert seen_by_loss(made, at) == pytest.approx(expected, rel=1e-6)
        assert 0.0 not in expected.values()


@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL, LOGIT, RLOO, DIALS["nemo-rl"], DIALS["trl-batch"]], ids=repr)
def test_graded_rewards_too(tmp_path, dial):
    made = run(tmp_path, judge(graded), rollout=Script(), dial=dial)
    for at, batch in enumerate(made.batches):
        assert seen_by_loss(made, at) == pytest.approx(wanted(batch, dial), rel=1e-5)
    assert not any("predicted" in key or "gradient_share" in key for entry in made.state.log_history for key in entry)
    assert logged(made, "group/silent") == [0.0] * 3


def test_a_dial_is_a_dial(tmp_path):
    with pytest.raises(ArgumentError, match=r"find_dial\('grpo'\)"):
        trainer(tmp_path, dial="grpo")


# ---- what is logged --------------------------------------------------------------------------------


def parquet(folder, step):
    return pd.read_parquet(folder / "completions" / f"completions_{step:05d}.parquet")


@pytest.mark.parametrize("way", ["dial", "mixed", "tries"])
def test_logged_completions_show_our_advantages_and_extra_columns_stay_with_their_rows(tmp_path, way, capsys):
    ours = dict(dial=dict(dial=MAXRL), mixed=dict(dial=DAPO), tries=dict(tries=lambda ids: [2, 8, 0, 6]))[way]
    change = dict(
        log_completions=True, steps_per_generation=2, gradient_accumulation_steps=2, per_device_train_batch_size=8
    )
    made = run(tmp_path, judge(extra="echo"), rollout=Script(by_units), change=change, **ours)
    capsys.readouterr()
    assert len(made.batches) == 3
    for step, batch in enumerate(made.batches, 1):
        told = parquet(tmp_path, step)
        assert list(zip(told.prompt, told.completion, strict=True)) == batch.rows
        assert told.advantage.tolist() == batch.advantages
        assert told.echo.tolist() == told.completion.tolist()
        assert told.judge.tolist() == [starts_with_3(None, text) for text in told.completion]
        assert told.step.unique().tolist() == [step]
    assert any(len(batch.calls) > 1 for batch in made.batches) == (way == "mixed")


def test_group_metrics_are_those_of_the_recorded_rewards(tmp_path):
    made = run(tmp_path, rollout=Script(by_units), dial=DR_GRPO)
    for batch, entry in zip(made.batches, made.state.log_history, strict=False):
        (call,) = batch.calls
        assert {k: entry[k] for k in group_metrics(call.rewards, call.prompts)} == group_metrics(
            call.rewards, call.prompts
        )
        assert entry["frac_reward_zero_std"] == entry["group/silent"]
        shares = {k: v for k, v in entry.items() if k.startswith("group/gradient_share/")}
        assert len(shares) == 5 and sum(shares.values()) == pytest.approx(float(entry["group/mixed"] > 0))
    # Nothing is foretold before the first batch.
    assert len(logged(made, "group/silent_predicted")) == 2
    for entry in made.state.log_history[1:3]:
        parts = entry["group/all_right_predicted"] + entry["group/all_wrong_predicted"]
        assert entry["group/silent_predicted"] == pytest.approx(parts)
        foreseen = [v for k, v in entry.items() if k.startswith("group/gradient_share_predicted/")]
        assert len(foreseen) == 5 and sum(foreseen) == pytest.approx(1)


def test_with_batch_scaling_no_share_by_difficulty_is_claimed(tmp_path):
    made = run(tmp_path, rollout=Script(by_units), dial=DIALS["trl-batch"])
    assert not [k for entry in made.state.log_history for k in entry if "gradient_share" in k]
    assert len(logged(made, "group/silent")) == 3


def test_a_history_foretells_the_first_batch(tmp_path):
    """Prompts known to be hopeless or certain: nearly every group is expected to be silent, and is."""
    history = Groups(np.arange(64), [64 * (i % 2) for i in range(64)], np.full(64, 64))
    data = problems(64)
    chance = {prompt: i % 2 for i, prompt in enumerate(data["prompt"])}
    made = run(tmp_path, rollout=Script(chance.__getitem__), data=data, history=history, change=dict(max_steps=1))
    assert logged(made, "group/silent") == [1.0]
    assert logged(made, "group/silent_predicted")[0] > 0.9
    # The right ones are told from the wrong ones by their ids, not by the mean.
    ids = [data["prompt"].index(p) for p in dict.fromkeys(made.batches[0].prompts)]
    assert logged(made, "group/all_right_predicted")[0] == pytest.approx(np.mean([i % 2 for i in ids]), abs=0.1)


# ---- silent groups replaced ------------------------------------------------------------------------


def shuffled(rows, seed=3):
    """The data's order: one permutation after the other from one generator, as TRL draws them."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(rows, generator=generator).tolist()


@pytest.mark.parametrize(("rows", "size", "steps"), [(64, 4, 6), (13, 4, 12), (40, 2, 8), (30, 8, 5)])
def test_every_trained_group_is_mixed_and_no_mixed_group_is_thrown_away(tmp_path, rows, size, steps):
    data = problems(rows)
    change = dict(num_generations=size, per_device_train_batch_size=4 * size, max_steps=steps)
    made = run(tmp_path, rollout=Script(by_units), data=data, dial=DAPO, change=change)
    order = shuffled(rows)
    later = []
    for at, batch in enumerate(made.batches):
        drawn = groups(batch.calls, size)
        mixed = [g for g in drawn if len(set(g[2])) > 1]
        rows_of = [(p, c) for p, completions, _ in mixed for c in completions]
        if len(mixed) == 4:
            assert batch.rows == rows_of
            assert all(len(set(g[2])) > 1 for g in groups(batch.calls[-1:], size))
        assert set(batch.rows) >= set(rows_of)
        assert set(seen_by_loss(made, at)) == set(batch.rows)
        # No more than was missing is asked for at a time.
        have = 0
        for call in batch.calls:
            asked = groups([call], size)
            assert len(asked) <= 4 - have
            have += sum(len(set(g[2])) > 1 for g in asked)
        prompts = [p for p, _, _ in drawn]
        assert len(set(prompts)) == len(prompts) <= 40
        # The order of the data; within a batch a prompt of the next epoch that was drawn already is passed over.
        expected = []
        while len(expected) < len(prompts):
            row = later.pop(0) if later else next(order)
            if data["prompt"][row] not in expected:
                expected.append(data["prompt"][row])
        assert prompts == expected
    assert logged(made, "group/draws") == [len(groups(batch.calls, size)) for batch in made.batches]
    assert sum(len(batch.calls) > 1 for batch in made.batches) >= steps // 2


def test_the_first_prompts_drawn_are_those_trl_would_have_drawn(tmp_path):
    stock = run(tmp_path / "stock", cls=STOCK, rollout=Script(by_units), change=dict(max_steps=1))
    ours = run(tmp_path / "ours", rollout=Script(by_units), dial=DAPO, change=dict(max_steps=1))
    assert ours.batches[0].calls[0].prompts == stock.batches[0].calls[0].prompts


def test_with_no_silent_group_replacing_changes_nothing(tmp_path):
    """GRPO and DAPO are then one and the same, generation and all."""
    change = dict(max_steps=4)
    plain, dapo = (run(tmp_path, judge(graded), dial=dial, change=change) for dial in (GRPO, DAPO))
    assert logged(plain, "group/silent") == [0.0] * 4
    assert [b.rows for b in plain.batches] == [b.rows for b in dapo.batches]
    assert torch.equal(parameters(plain), parameters(dapo))


def test_without_shuffling_the_data_comes_as_it_lies(tmp_path):
    made = run(tmp_path, rollout=Script(by_units), dial=DAPO, change=dict(shuffle_dataset=False, max_steps=4))
    prompts = [p for batch in made.batches for p, _, _ in groups(batch.calls, 4)]
    assert prompts == problems(64)["prompt"][: len(prompts)] and len(prompts) > 16


P, SIZE, WANTED, MANY = 0.25, 4, 4, 250
CHANCE = 1 - P**SIZE - (1 - P) ** SIZE


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """250 batches of four mixed groups; every answer is right with chance ¼, whatever its prompt."""
    folder = tmp_path_factory.mktemp("long")
    script = Script(lambda prompt: P, np.random.default_rng(7))
    return run(folder, rollout=script, data=problems(100), dial=DAPO, change=dict(max_steps=MANY))


def test_draws_follow_the_negative_binomial(long_run):
    """Each group is mixed with chance q: the fourth mixed one comes at draw n, on average 4/q."""
    draws = np.array(logged(long_run, "group/draws"))
    assert len(draws) == MANY and logged(long_run, "group/short") == [0.0] * MANY
    error = np.sqrt(WANTED * (1 - CHANCE)) / CHANCE / np.sqrt(MANY)
    assert abs(draws.mean() - WANTED / CHANCE) < 4 * error < 0.5
    # Not the mean alone: the whole law, in cells of at least 5 expected.
    law = stats.nbinom(WANTED, CHANCE)
    cells = np.arange(4, 10)
    seen = np.array([(draws == n).sum() for n in cells] + [(draws >= 10).sum()])
    expected = MANY * np.append(law.pmf(cells - 4), law.sf(5))
    assert expected.min() > 5
    assert stats.chisquare(seen, expected * seen.sum() / expected.sum()).pvalue > 1e-4
    assert np.mean(logged(long_run, "group/draws_per_kept")) == pytest.approx(draws.mean() / WANTED)


def test_the_account_adds_up(long_run):
    draws, foreseen = (np.array(logged(long_run, f"group/{name}")) for name in ("draws", "draws_predicted"))
    account = long_run.draws
    assert (account.drawn, account.kept, account.short) == (draws.sum(), WANTED * MANY, 0)
    assert len(foreseen) == MANY - 1 and account.came == draws[1:].sum()
    assert account.expected == pytest.approx(foreseen.sum() * WANTED)
    assert foreseen[20:].mean() == pytest.approx(1 / CHANCE, rel=0.2)


def test_draws_are_foreseen_to_five_per_cent_once_prompts_have_been_met_a_few_times(long_run):
    assert np.mean(logged(long_run, "group/draws_predicted")[-60:]) == pytest.approx(1 / CHANCE, rel=0.05)


def test_what_the_search_costs_is_said_before_and_after(tmp_path, capsys):
    made = run(tmp_path, rollout=Script(by_units), dial=DAPO, change=dict(max_steps=4))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("groupsigma: ")]
    first, last = said
    drawn = groups(made.batches[0].calls, 4)
    share = np.mean([len(set(g[2])) == 1 for g in drawn])
    assert f"the first {len(drawn)} groups {share:.1%} are silent" in first
    assert f"{1 / (1 - share):.2f} draws for each kept group" in first
    total = sum(len(groups(b.calls, 4)) for b in made.batches)
    assert f"{total / 16:.2f} draws for each kept group ({total} drawn, 16 kept)" in last
    later = sum(len(groups(b.calls, 4)) for b in made.batches[1:])
    assert f"{later} came and {made.draws.expected:.0f} were expected" in last


@pytest.mark.parametrize("dial", [DAPO, Dial(power=0.0, keep="mixed")], ids=repr)
def test_at_the_cap_it_trains_on_what_it_has_and_says_so(tmp_path, capsys, dial):
    """One prompt in eight is mixed; two batches may be drawn for each."""

    def chance(prompt):
        return 0.5 if prompt[2] == "7" else 0.0

    made = run(tmp_path, rollout=Script(chance), dial=dial, max_batches=2, change=dict(max_steps=5))
    said = capsys.readouterr().err
    some = 0
    for at, batch in enumerate(made.batches):
        drawn = groups(batch.calls, 4)
        mixed = [g for g in drawn if len(set(g[2])) > 1]
        some += len(mixed)
        assert len(drawn) == 8 and len(mixed) < 4
        expected = by_row(mixed, groupsigma.advantages(table(mixed), dial)) if mixed else {}
        seen = seen_by_loss(made, at)
        assert len(seen) == 16 and set(expected) <= set(seen)
        assert seen == pytest.approx({row: expected.get(row, 0.0) for row in seen})
        # The rest is silent groups of this very batch.
        assert set(seen) <= {(p, c) for p, completions, _ in drawn for c in completions}
        short = f"step {at}: the cap of 2 batches gave {len(mixed)} mixed groups of 4 in 8 draws"
        assert (short in said) == (at < 3)
    assert some and said.count("; not said again") == 1 and "5 batches were not filled" in said
    kept = [sum(len(set(g[2])) > 1 for g in groups(b.calls, 4)) for b in made.batches]
    assert logged(made, "group/short") == [1 - k / 4 for k in kept]
    assert logged(made, "frac_reward_zero_std") == [1 - k / 4 for k in kept]


def test_groups_that_fill_up_a_batch_teach_nothing_under_any_dial(tmp_path):
    """Certain prompts beside a few mixed ones, under (R) with silent groups replaced."""
    dial = Dial(power=0.0, center="none", keep="mixed")
    made = run(
        tmp_path,
        rollout=Script(lambda p: 0.5 if p[2] == "7" else 1.0),
        dial=dial,
        max_batches=1,
        change=dict(max_steps=3),
    )
    for batch in made.batches:
        silent = {
            (p, c) for p, completions, rewards in groups(batch.calls, 4) if len(set(rewards)) == 1 for c in completions
        }
        assert silent
        assert {a for row, a in zip(batch.rows, batch.advantages, strict=True) if row in silent} == {0.0}


@pytest.mark.parametrize(("rows", "most"), [(64, 12), (6, 6)])
def test_all_silent_data_neither_loops_nor_trains(tmp_path, capsys, rows, most):
    """The cap of 3 batches, or every prompt of the data once."""
    made = run(
        tmp_path, rollout=Script(lambda p: 0.0), data=problems(rows), dial=DAPO, max_batches=3, change=dict(max_steps=2)
    )
    assert [len(groups(b.calls, 4)) for b in made.batches] == [most, most]
    assert all(set(b.advantages) == {0.0} for b in made.batches)
    assert torch.equal(parameters(made), torch.cat([p.detach().ravel() for p in model().parameters()]))
    said = capsys.readouterr().err
    assert ("the cap of 3 batches gave 0 mixed" if rows == 64 else "the whole data set gave 0 mixed") in said
    assert "group/draws_per_kept" not in made.state.log_history[0] and logged(made, "group/short") == [1.0, 1.0]


def test_a_cap_without_end_is_refused_or_works(tmp_path):
    try:
        made = trainer(tmp_path, rollout=Script(by_units), dial=DAPO, max_batches=float("inf"))
    except ArgumentError:
        return
    made.train()


def test_lengths_are_those_of_all_answers_drawn(tmp_path):
    """One entry a batch, not one a round: mean, lowest, highest, share cut off; several batches to one log entry."""
    made = run(tmp_path, rollout=Script(by_units), dial=DAPO, change=dict(max_steps=6, logging_steps=2))
    for at in range(3):
        entry = made.state.log_history[at]
        batches = [[ids for call in b.calls for ids in call.ids] for b in made.batches[2 * at : 2 * at + 2]]
        lengths = [[len(ids) for ids in found] for found in batches]
        for name, of in (("mean", np.mean), ("min", min), ("max", max)):
            assert entry[f"completions/{name}_length"] == pytest.approx(np.mean([of(x) for x in lengths])), name
        cut = [np.mean([ids[-1] != EOS for ids in found]) for found in batches]
        assert entry["completions/clipped_ratio"] == pytest.approx(np.mean(cut))
        assert entry["num_tokens"] == sum(
            len(i) + 4 for b in made.batches[: 2 * at + 2] for call in b.calls for i in call.ids
        )
    assert any(len(b.calls) > 1 for b in made.batches)


def test_lengths_of_finished_answers_are_those_of_all_drawn(tmp_path):
    made = run(tmp_path, rollout=Script(by_units), dial=DAPO, change=dict(max_steps=6))
    for batch, entry in zip(made.batches, made.state.log_history, strict=False):
        ended = [len(ids) for call in batch.calls for ids in call.ids if ids[-1] == EOS]
        for name, of in (("mean", np.mean), ("min", min), ("max", max)):
            assert entry[f"completions/{name}_terminated_length"] == pytest.approx(of(ended)), name


def test_log_probabilities_are_computed_for_the_kept_groups_only(tmp_path):
    """With more generation steps than accumulation TRL computes them before training: once, for 16 rows."""
    asked = []

    class Counted(watched()):
        def _get_per_token_logps_and_entropies(self, model, ids, *args, **kwargs):
            asked.append(len(ids))
            return super()._get_per_token_logps_and_entropies(model, ids, *args, **kwargs)

    change = dict(per_device_train_batch_size=8, steps_per_generation=2, gradient_accumulation_steps=1, max_steps=2)
    made = run(tmp_path, cls=Counted, rollout=Script(by_units), dial=DAPO, change=change)
    (batch,) = made.batches
    assert len(batch.calls) > 1 and asked == [16, 8, 8]
    told = batch.output["old_per_token_logps"]
    fresh = model()
    ids = torch.cat([batch.output["prompt_ids"], batch.output["completion_ids"]], 1)
    mask = torch.cat([batch.output["prompt_mask"], batch.output["completion_mask"]], 1)
    np.testing.assert_allclose(
        (told * batch.output["completion_mask"]).numpy(),
        (log_probabilities(fresh, ids, mask, told.shape[1]).detach() * batch.output["completion_mask"]).numpy(),
        atol=1e-5,
    )


def log_probabilities(net, ids, mask, last):
    """Of the last tokens, straight from the network."""
    logits = net(input_ids=ids, attention_mask=mask).logits[:, -last - 1 : -1]
    return torch.log_softmax(logits, -1).gather(2, ids[:, -last:, None])[..., 0]


@pytest.mark.parametrize("way", ["dial", "mixed", "tries"])
def test_a_backend_that_samples_whole_groups_is_asked_for_them_only_where_there_are_any(tmp_path, way, monkeypatch):
    """vLLM takes every num_generations-th prompt for all of a group: rounds and ragged groups ask answer by answer."""
    asked = []
    real = trl.GRPOTrainer._generate_single_turn

    def single_turn(self, prompt_ids, images, fields, num_generations, *more):
        asked.append((self.model.training, num_generations))
        return real(self, prompt_ids, images, fields, num_generations, *more)

    monkeypatch.setattr(trl.GRPOTrainer, "_generate_single_turn", single_turn)
    change = dict(eval_strategy="steps", eval_steps=3, per_device_eval_batch_size=8, num_generations_eval=2)
    run(tmp_path, judge(coin), change=change, eval_dataset=problems(4), **WAYS[way])
    assert set(asked) == {(True, 4 if way == "dial" else 1), (False, 2)}


# ---- unequal groups ----------------------------------------------------------------------------------

TRIES = [7, 2, 4, 0, 3]  # of five prompts; they fill 16 rows


def ragged(ids):
    assert len(ids) == 5
    return TRIES


@pytest.mark.parametrize("weight", ["equal", "proportional"])
@pytest.mark.parametrize("dial", [GRPO, DR_GRPO, MAXRL, RLOO, LOGIT, DIALS["trl-batch"]], ids=repr)
def test_ragged_groups_get_the_advantages_of_their_rewards(tmp_path, dial, weight):
    made = run(
        tmp_path,
        judge(coin),
        rollout=Script(),
        dial=dial,
        tries=ragged,
        candidates=5,
        weight=weight,
        change=dict(max_steps=4),
    )
    order = shuffled(64)
    for at, batch in enumerate(made.batches):
        (call,) = batch.calls
        offered = [problems()["prompt"][next(order)] for _ in range(5)]
        assert call.prompts == [p for p, n in zip(offered, TRIES, strict=True) for _ in range(n)]
        expected = advantages_by_prompt(np.array(call.rewards, np.float32), call.prompts, dial, weight)
        assert batch.rows == list(zip(call.prompts, call.completions, strict=True))
        np.testing.assert_allclose(batch.advantages, expected, rtol=1e-6)
        assert seen_by_loss(made, at) == dict(zip(batch.rows, batch.advantages, strict=True))
        told = {k: v for k, v in made.state.log_history[at].items() if k.startswith("group/")}
        assert told.items() >= group_metrics(call.rewards, call.prompts).items()
        assert told["group/size_mean"] == 4.0
    assert max(len(set(batch.advantages)) for batch in made.batches) > 4


def test_tries_see_the_ids_and_may_change_from_batch_to_batch(tmp_path):
    asked = []

    def tries(ids):
        asked.append(ids)
        return [16, 0, 0, 0] if len(asked) % 2 else [0, 4, 4, 8]

    data = problems(20, uid=[f"n{i}" for i in range(20)])
    made = run(tmp_path, rollout=Script(), data=data, tries=tries, prompt_id="uid", change=dict(max_steps=3))
    order = shuffled(20)
    assert asked == [[f"n{next(order)}" for _ in range(4)] for _ in range(3)]
    given = [
        i
        for ids, sizes in zip(asked, ([16, 0, 0, 0], [0, 4, 4, 8], [16, 0, 0, 0]), strict=True)
        for i, n in zip(ids, sizes, strict=True)
        if n
    ]
    assert made.tracker.beliefs.prompt_ids.tolist() == list(dict.fromkeys(given))
    assert int(made.tracker.beliefs.seen.sum()) == 48


def test_the_tracker_can_be_asked_for_a_plan(tmp_path):
    """What `tries` is for: beliefs of the run, handed to `plan`."""
    made = None

    def tries(ids):
        if made is None or not len(made.tracker):
            return [4] * 4
        spent = groupsigma.plan(made.tracker.about(ids), budget=16).tries.tolist()
        assert sum(spent) == 16
        return spent

    made = trainer(tmp_path, rollout=Script(by_units), tries=tries, change=dict(max_steps=4))
    made.train()
    assert len(made.batches) == 4 and len(made.tracker) >= 5


LOSSES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]


def of_loss(loss, **more):
    level = {"luspo": dict(importance_sampling_level="sequence"), "cispo": dict(epsilon_high=5.0)}.get(loss, {})
    return dict(loss_type=loss, max_grad_norm=0.0, beta=0.0, max_steps=1, learning_rate=0.1, **level, **more)


def weights_by_hand(calls):
    """[rows] (R − μ)/σ · mean(n)/n: GRPO where every prompt counts the same, from its definition."""
    (call,) = calls
    sizes = np.array([n for n in TRIES if n])
    rewards = np.split(np.array(call.rewards), np.cumsum(sizes)[:-1])
    rows = zip(call.prompts, call.completions, strict=True)
    by_group = [(r - r.mean()) / (r.std() or 1.0) * sizes.mean() / len(r) for r in rewards]
    return dict(zip(rows, np.concatenate(by_group).tolist(), strict=True))


def per_token(loss, mask, items, parts):
    """What an answer's log-probabilities weigh for each unit of advantage, at ratio 1; [rows, tokens].

    φ of vespo is 1 at ratio 1, sapo's gate has slope 1 there, and nothing is clipped.
    """
    rows, longest = len(mask), 6
    length = mask.sum(1, keepdim=True)
    return (
        mask
        * {
            "grpo": 1 / (rows * length) / parts,
            "sapo": 1 / (rows * length) / parts,
            "bnpo": torch.ones_like(length) / mask.sum() / parts,
            "dr_grpo": torch.ones_like(length) / (rows * longest) / parts,
            "dapo": torch.ones_like(length) / items,
            "cispo": torch.ones_like(length) / items,
            "vespo": torch.ones_like(length) / items,
            "luspo": torch.ones_like(length) / rows / parts,
        }[loss]
    )


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("loss", LOSSES)
def test_equal_weight_is_the_objective_in_which_prompts_count_the_same(tmp_path, loss, parts):
    """The parameters' gradient after a real step against autograd through a fresh network, nothing of TRL's in it."""
    change = of_loss(loss, per_device_train_batch_size=16 // parts, gradient_accumulation_steps=parts)
    made = run(tmp_path, judge(coin), rollout=Script(), dial=GRPO, tries=ragged, candidates=5, change=change)
    hand = weights_by_hand(made.batches[0].calls)
    items = made.batches[0].output["completion_mask"].sum().item()
    net = model()
    assert len(made.given) == parts
    for given, rows in zip(made.given, made.seen, strict=True):
        mask = given["completion_mask"].float()
        ids = torch.cat([given["prompt_ids"], given["completion_ids"]], 1)
        attention = torch.cat([given["prompt_mask"], given["completion_mask"]], 1)
        log_p = log_probabilities(net, ids, attention, mask.shape[1])
        a = torch.tensor([hand[p, c] for p, c, _ in rows], dtype=torch.float32)[:, None]
        (-(a * per_token(loss, mask, items, parts) * log_p).sum()).backward()
    (found,) = made.gradients
    expected = [p.grad for p in net.parameters()]
    assert max(g.abs().max() for g in expected) > 1e-3
    for ours, by_hand in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, by_hand, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_off_policy_too_a_prompt_s_gradient_is_scaled_and_nothing_else(tmp_path, loss):
    """On the second pass, where ratios are clipped: g = Σ (mean n / nᵢ) · g(prompt i alone in the same batch)."""
    change = of_loss(loss, num_iterations=2) | dict(max_steps=2)
    made = run(tmp_path, judge(coin), rollout=Script(), dial=GRPO, tries=ragged, candidates=5, change=change)
    plain = run(
        tmp_path,
        judge(coin),
        rollout=Script(),
        dial=GRPO,
        tries=ragged,
        candidates=5,
        weight="proportional",
        change=change,
    )
    given, net = made.given[1], made.model
    own = dict(zip(plain.batches[0].rows, plain.batches[0].advantages, strict=True))
    rows = [row[:2] for row in made.seen[1]]
    with torch.no_grad():
        for p, then in zip(net.parameters(), made.weights[1], strict=True):
            p.copy_(then)
    net.train()
    made.current_gradient_accumulation_steps = 1
    total = [torch.zeros_like(p) for p in net.parameters()]
    sizes = Counter(p for p, _ in rows)
    for prompt, n in sizes.items():
        net.zero_grad()
        alone = torch.tensor([own[row] if row[0] == prompt else 0.0 for row in rows])
        trl.GRPOTrainer._compute_loss(made, net, {**given, "advantages": alone}).backward()
        for g, p in zip(total, net.parameters(), strict=True):
            g += np.mean(list(sizes.values())) / n * p.grad
    assert max(g.abs().max() for g in total) > 1e-3
    ratio = (
        log_probabilities(
            net,
            torch.cat([given["prompt_ids"], given["completion_ids"]], 1),
            torch.cat([given["prompt_mask"], given["completion_mask"]], 1),
            given["completion_ids"].shape[1],
        ).exp()
        / given["old_per_token_logps"].exp()
    )
    assert (abs(ratio[given["completion_mask"].bool()] - 1) > 0.2).any()
    for ours, expected in zip(made.gradients[1], total, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([4, 4, 4, 3], "answers that add up to 16, got 15"),
        ([4, 4, 4, 5], "answers that add up to 16, got 17"),
        ([0, 0, 0, 0], "add up to 16, got 0"),
        ([1, 5, 5, 5], "one answer alone is silent"),
        ([-4, 8, 8, 4], "got -4"),
        ([4.5, 3.5, 4, 4], "a whole number for each of 4 prompts"),
        ([4, 4, 8], "a whole number for each of 4 prompts"),
        ([4, 4, 4, 2, 2], "a whole number for each of 4 prompts"),
        ([[4], [4], [4], [4]], "a whole number for each of 4 prompts"),
        (["4", "4", "4", "4"], "a whole number for each of 4 prompts"),
        ([4, 4, 4, float("nan")], "a whole number for each of 4 prompts"),
        (None, "a whole number for each of 4 prompts"),
    ],
)
def test_tries_that_cannot_be_used_are_refused_before_any_answer(tmp_path, given, says):
    reward = judge()
    with pytest.raises(ArgumentError, match=re.escape(says)) as told:
        run(tmp_path, reward, tries=lambda ids: given)
    assert told.value.who == "tries" and not reward.calls


@pytest.mark.parametrize("given", [[4, 4, 4, float("inf")], [4, 4, [4], 4]])
def test_tries_that_are_no_numbers_are_refused_in_our_words(given):
    with pytest.raises(ValueError) as told:
        whole_tries(given, 4, 16)
    assert isinstance(told.value, ArgumentError)


def test_tries_of_any_whole_kind_are_taken():
    for given in ([4, 0, 2], (4.0, 0.0, 2.0), np.array([4, 0, 2], np.uint8), torch.tensor([4, 0, 2])):
        assert whole_tries(given, 3, 6) == [4, 0, 2]


# ---- several reward functions ----------------------------------------------------------------------------


def shorter(prompt, text):
    return -len(text) / 10


def test_with_several_functions_one_must_be_named_the_judge(tmp_path):
    two = [judge(name="right"), judge(shorter, "short")]
    with pytest.raises(ArgumentError, match=r"judge=.*none named") as told:
        trainer(tmp_path, two)
    assert "one of right, short; or judge='sum'" in told.value.hint
    with pytest.raises(ArgumentError, match="'wrong'"):
        trainer(tmp_path, two, judge="wrong")
    with pytest.raises(ArgumentError, match="'right'"):
        judge_column("trainer", "right", ["right", "right"])
    assert judge_column("trainer", None, ["only"]) == 0 and judge_column("trainer", "sum", ["only"]) is None
    assert trainer(tmp_path, two, judge="short").judge == 1


@pytest.mark.parametrize("weights", [None, [1.0, 0.5]])
def test_a_length_penalty_does_not_make_an_all_wrong_group_teach(tmp_path, weights):
    """It is silent to the judge: advantage 0, though answers differ in length; mixed groups learn from both."""
    two = [judge(name="right"), judge(shorter, "short")]
    made = run(
        tmp_path,
        two,
        rollout=Script(by_units),
        judge="right",
        dial=DR_GRPO,
        change=dict(reward_weights=weights, max_steps=4),
    )
    loud = 0
    for batch, again in zip(made.batches, np.split(np.arange(len(two[1].calls)), 4), strict=True):
        found, second = groups(batch.calls, 4), groups([two[1].calls[i] for i in again], 4)
        total = table(found) + (weights or [1, 1])[1] * table(second)
        expected = groupsigma.advantages(total, DR_GRPO)
        silent = np.ptp(table(found), 1) == 0
        loud += (np.ptp(total, 1) > 0)[silent].sum()
        expected[silent] = 0.0
        assert by_row(found, expected) == pytest.approx(dict(zip(batch.rows, batch.advantages, strict=True)), abs=1e-6)
    assert loud > 3
    assert logged(made, "group/silent") == logged(made, "frac_reward_zero_std")
    assert max(logged(made, "group/all_wrong")) > 0 and set(logged(made, "group/unscorable")) == {0.0}


def test_an_all_wrong_group_is_replaced_whatever_its_lengths(tmp_path):
    two = [judge(name="right"), judge(shorter, "short")]
    made = run(tmp_path, two, rollout=Script(by_units), judge="right", dial=DAPO)
    for batch in made.batches:
        kept = [g for g in groups(batch.calls, 4) if len(set(g[2])) > 1]
        assert batch.rows == [(p, c) for p, completions, _ in kept for c in completions]
        total = table(kept) + np.array([[shorter(p, c) for c in cs] for p, cs, _ in kept], np.float32)
        np.testing.assert_allclose(batch.advantages, groupsigma.advantages(total, GRPO).ravel(), rtol=1e-5)
    assert max(logged(made, "group/draws")) > 4


def test_judged_on_the_sum_a_difference_in_length_is_enough(tmp_path):
    two = [judge(name="right"), judge(shorter, "short")]
    made = run(tmp_path, two, rollout=Script(lambda p: 0.0), judge="sum", dial=DAPO)
    assert set(logged(made, "reward")) and set(logged(made, "rewards/right/mean")) == {0.0}
    for batch in made.batches:
        found = groups(batch.calls, 4)
        total = np.array([[shorter(p, c) for c in completions] for p, completions, _ in found], np.float32)
        kept = [g for g, spread in zip(found, np.ptp(total, 1), strict=True) if spread > 0]
        assert batch.rows == [(p, c) for p, completions, _ in kept for c in completions]
        assert 0.0 not in batch.advantages


def unsure(prompt, text):
    """Every fourth answer or so cannot be scored."""
    return None if lot(text, prompt, "unsure") < 0.25 else starts_with_3(prompt, text)


@pytest.mark.parametrize("way", ["alone", "judge"])
def test_answers_the_judge_cannot_score_stay_out_and_are_counted(tmp_path, way):
    """Also where the other function did score them."""
    functions = [judge(unsure, "right")] + ([judge(lambda p, t: 0.5, "style")] if way == "judge" else [])
    made = run(
        tmp_path,
        functions,
        rollout=Script(),
        dial=DR_GRPO,
        change=dict(max_steps=4),
        **({"judge": "right"} if way == "judge" else {}),
    )
    unscored = 0
    for batch, entry in zip(made.batches, made.state.log_history, strict=False):
        found = groups(batch.calls, 4)
        none = {(p, c) for p, cs, rs in found for c, r in zip(cs, rs, strict=True) if r is None}
        unscored += len(none)
        assert entry["group/unscorable"] == len(none)
        told = dict(zip(batch.rows, batch.advantages, strict=True))
        assert all(told[row] == 0.0 for row in none)
        # The rest of the group: as if the answer had not been drawn, up to one factor for the group.
        for p, cs, rs in found:
            live = [i for i, r in enumerate(rs) if r is not None]
            ours = np.array([told[p, cs[i]] for i in live])
            alone = groupsigma.advantages([rs[i] for i in live], DR_GRPO) if len(live) > 1 else np.zeros(len(live))
            assert np.sign(ours).tolist() == np.sign(alone).tolist()
            if np.ptp(alone):
                assert np.ptp(ours / alone) == pytest.approx(0, abs=1e-6)
    assert unscored > 8


@pytest.mark.parametrize("stock", [False, True])
def test_without_tries_an_unscorable_answer_does_not_change_its_group_s_weight(tmp_path, stock):
    """groupsigma.advantages of the recorded rewards, which is also what TRL does."""
    made = run(tmp_path, judge(unsure), rollout=Script(), dial=None if stock else GRPO)
    dial = DIALS["trl"] if stock else GRPO
    for batch in made.batches:
        assert dict(zip(batch.rows, batch.advantages, strict=True)) == pytest.approx(wanted(batch, dial), rel=1e-5)


def test_a_judge_that_scores_nothing_stops_nothing(tmp_path):
    for ours in (dict(dial=GRPO), dict(dial=DAPO, max_batches=2), dict(tries=lambda ids: [4, 2, 2, 8])):
        made = run(tmp_path, judge(lambda p, t: None), rollout=Script(), **ours)
        assert all(set(b.advantages) == {0.0} for b in made.batches) and len(made.batches) == 3
        assert set(logged(made, "group/silent")) == {1.0}
        assert set(logged(made, "group/all_right") + logged(made, "group/all_wrong")) == {0.0}
        assert logged(made, "group/unscorable") == [32.0 if "max_batches" in ours else 16.0] * 3


def test_what_another_function_leaves_open_counts_as_nothing(tmp_path):
    """None of a style function: the judge's reward alone is trained on."""
    two = [judge(name="right"), judge(lambda p, t: None if lot(t) < 0.5 else 0.25, "style")]
    made = run(tmp_path, two, rollout=Script(), judge="right", dial=DR_GRPO)
    for batch in made.batches:
        found = groups(batch.calls, 4)
        style = np.array([[0.0 if lot(c) < 0.5 else 0.25 for c in cs] for _, cs, _ in found])
        expected = groupsigma.advantages(table(found) + style, DR_GRPO)
        expected[np.ptp(table(found), 1) == 0] = 0
        assert by_row(found, expected) == pytest.approx(dict(zip(batch.rows, batch.advantages, strict=True)), abs=1e-6)
    assert set(logged(made, "group/unscorable")) == {0.0}


def test_normalising_each_function_by_itself_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="got 'normalize_then_sum'"):
        trainer(tmp_path, change=dict(multi_objective_aggregation="normalize_then_sum"))


# ---- TRL's ways of stepping ---------------------------------------------------------------------------------

WAYS = dict(dial=dict(dial=GRPO), mixed=dict(dial=DAPO), tries=dict(tries=lambda ids: [2, 8, 0, 6], dial=GRPO))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("per_device", "accumulate", "per_generation", "passes"),
    [(4, 4, 4, 1), (4, 2, 4, 1), (8, 1, 2, 2), (4, 1, 4, 2), (8, 2, 2, 3)],
)
def test_advantages_reach_the_loss_however_a_batch_is_cut(
    tmp_path, way, per_device, accumulate, per_generation, passes
):
    """Accumulation, more micro-batches than one step takes, several passes: every row as often as there are passes."""
    change = dict(
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=accumulate,
        steps_per_generation=per_generation,
        num_iterations=passes,
        max_steps=2 * passes * per_generation // accumulate,
    )
    made = run(tmp_path, judge(), rollout=Script(by_units), change=change, **WAYS[way])
    assert len(made.batches) == 2 and len(made.given) == 2 * per_generation * passes
    for at, batch in enumerate(made.batches):
        seen = seen_by_loss(made, at, passes)
        assert seen == dict(zip(batch.rows, batch.advantages, strict=True))
        calls = [batch.calls[-1]] if way == "dial" else batch.calls
        kept = [i for call in calls for i in range(len(call.prompts))]
        told = {(c.prompts[i], c.completions[i]): c.rewards[i] for c in calls for i in range(len(c.prompts))}
        assert set(seen) <= set(told) and len(kept) >= 16
        rows = list(seen)
        expected = advantages_by_prompt(np.array([told[r] for r in rows], np.float32), [p for p, _ in rows], GRPO)
        np.testing.assert_allclose([seen[r] for r in rows], expected, rtol=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("evaluated", [4, 2, 1])
def test_evaluation_has_its_own_numbers_and_leaves_the_tracker_alone(tmp_path, way, evaluated):
    change = dict(eval_strategy="steps", eval_steps=1, per_device_eval_batch_size=8, num_generations_eval=evaluated)
    data = problems(40).select(range(30, 40))
    reward = judge()
    made = trainer(tmp_path / "with", reward, rollout=Script(by_units), change=change, eval_dataset=data, **WAYS[way])
    made.train()
    alone = run(tmp_path / "without", rollout=Script(by_units), **WAYS[way])
    for name, value in alone.tracker.state().items():
        np.testing.assert_array_equal(made.tracker.state()[name], value)
    assert made.draws.state() == alone.draws.state()
    mine = {id(call) for batch in made.batches for call in batch.calls}
    calls = [call for call in reward.calls if id(call) not in mine]
    entries = [entry for entry in made.state.log_history if "eval_group/silent" in entry]
    assert len(entries) == 3
    per = len(calls) // 3
    for at, entry in enumerate(entries):
        told = [group_metrics(c.rewards, c.prompts) for c in calls[at * per : (at + 1) * per]]
        for name in told[0]:
            assert entry[f"eval_{name}"] == pytest.approx(np.mean([x[name] for x in told])), name
        assert entry["eval_frac_reward_zero_std"] == entry["eval_group/silent"]
        assert not [key for key in entry if "predicted" in key or "draws" in key]
    assert sum(len(c.prompts) for c in calls) == 3 * 10 * evaluated


def test_logged_completions_of_an_evaluation_are_ours_too(tmp_path, capsys):
    change = dict(eval_strategy="steps", eval_steps=3, per_device_eval_batch_size=8, log_completions=True)
    reward = judge()
    made = run(tmp_path, reward, rollout=Script(by_units), dial=LOGIT, change=change, eval_dataset=problems(2))
    capsys.readouterr()
    told = parquet(tmp_path, 3)
    found = groups(reward.calls[-1:], 4)
    expected = by_row(found, groupsigma.advantages(table(found), LOGIT))
    last = told.tail(8)
    assert dict(zip(zip(last.prompt, last.completion, strict=True), last.advantage, strict=True)) == pytest.approx(
        expected
    )
    before = told.head(8)
    trained = dict(zip(made.batches[-1].rows, made.batches[-1].advantages, strict=True))
    assert all(trained[p, c] == a for p, c, a in zip(before.prompt, before.completion, before.advantage, strict=True))


# ---- kinds of data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("unused", [False, True])
def test_columns_reach_the_reward_function_as_with_trl(tmp_path, way, unused):
    reward = judge()
    data = problems(64, answer=[str(i) for i in range(64)], prompt_id=[f"id{i}" for i in range(64)])
    made = run(
        tmp_path, reward, data=data, rollout=Script(by_units), change=dict(remove_unused_columns=unused), **WAYS[way]
    )
    number = {p: str(i) for i, p in enumerate(data["prompt"])}
    for call in reward.calls:
        assert ("answer" in call.columns) == (not unused)
        if not unused:
            assert call.columns["answer"] == [number[p] for p in call.prompts]
            assert call.columns["prompt_id"] == ["id" + number[p] for p in call.prompts]
    if not unused:
        met = [p for batch in made.batches for call in batch.calls for p in dict.fromkeys(call.prompts)]
        assert made.tracker.beliefs.prompt_ids.tolist() == ["id" + number[p] for p in dict.fromkeys(met)]


@pytest.mark.parametrize("way", WAYS)
def test_without_a_column_of_ids_rows_are_told_apart_by_their_number(tmp_path, way):
    """Two rows with one prompt are two problems."""
    data = problems(8)
    twice = Dataset.from_dict({"prompt": list(data["prompt"]) * 2})
    made = run(tmp_path, data=twice, rollout=Script(lambda p: 0.5), change=dict(max_steps=4), **WAYS[way])
    ids = made.tracker.beliefs.prompt_ids.tolist()
    assert set(ids) <= set(range(16)) and len(ids) == len(set(ids)) > 8


@pytest.mark.parametrize("way", ["dial", "mixed"])
def test_a_prompt_id_may_come_twice_in_a_batch(tmp_path, way):
    """Two wordings of each problem under one id; rows of both in the first batch, before anything is known."""
    data = problems(8, prompt_id=[i // 4 for i in range(8)])
    made = run(tmp_path, data=data, rollout=Script(lambda p: 0.5), **WAYS[way])
    assert made.tracker.beliefs.prompt_ids.tolist() in ([0, 1], [1, 0])
    assert int(made.tracker.beliefs.seen.sum()) == sum(len(c.prompts) for b in made.batches for c in b.calls)


@pytest.mark.parametrize("way", ["dial", "mixed"])
def test_data_formatted_for_torch_works_as_with_trl(tmp_path, way):
    data = problems(16).with_format("torch")
    stock = run(tmp_path / "stock", cls=STOCK, data=data, rollout=Script(by_units))
    assert len(stock.batches) == 3
    made = run(tmp_path / "ours", data=data, rollout=Script(by_units), change=dict(max_steps=8), **WAYS[way])
    assert len(made.tracker) <= 16


@pytest.mark.parametrize("way", WAYS)
def test_chat_messages(tmp_path, way, capsys):
    sums = problems(64)["prompt"]
    data = Dataset.from_dict({"prompt": [[{"role": "user", "content": p}] for p in sums]})
    made = run(
        tmp_path, judge(coin, extra="echo"), data=data, chat=True, change=dict(log_completions=True), **WAYS[way]
    )
    capsys.readouterr()
    for step, batch in enumerate(made.batches, 1):
        told = parquet(tmp_path, step)
        assert [c[0]["content"] for c in told.completion] == told.echo.tolist()
        assert told.advantage.tolist() == batch.advantages
        assert all(text.startswith("u:") and text.endswith("a:") for text in batch.prompts)
        assert [f"u:{p[0]['content']}\na:" for p in told.prompt] == [t.replace("\\n", "\n") for t in batch.prompts]
        rewards = [coin(p[0]["content"], t) for p, t in zip(told.prompt, told.echo, strict=True)]
        assert told.judge.tolist() == rewards
    assert all(isinstance(i, int) for i in made.tracker.beliefs.prompt_ids.tolist())


def test_an_iterable_data_set_takes_any_dial_that_keeps_all(tmp_path):
    """Ids are digests of the prompts, and are recognised in the next epoch."""
    data = problems(8).to_iterable_dataset()
    made = run(tmp_path, data=data, rollout=Script(by_units), dial=MAXRL, change=dict(max_steps=4))
    for at, batch in enumerate(made.batches):
        assert seen_by_loss(made, at) == pytest.approx(wanted(batch, MAXRL), rel=1e-6)
    assert len(made.tracker) == 8 and made.tracker.beliefs.seen.tolist() == [8.0] * 8
    assert all(isinstance(i, str) and len(i) == 16 for i in made.tracker.beliefs.prompt_ids.tolist())


class Empty:
    """An environment that does nothing."""

    def reset(self, **_):
        return None


@pytest.mark.parametrize("way", ["mixed", "tries"])
@pytest.mark.parametrize("what", ["an iterable data set", "images in the data", "tools", "environment_factory"])
def test_what_cannot_be_replaced_is_refused_by_name(tmp_path, way, what, monkeypatch):
    given = {}
    if what == "an iterable data set":
        given["data"] = problems(64).to_iterable_dataset()
    elif what == "images in the data":
        given["data"] = problems(8, images=[[] for _ in range(8)])
    else:
        monkeypatch.setattr("trl.trainer.grpo_trainer.supports_tool_calling", lambda _: True)
        monkeypatch.setattr("trl.trainer.grpo_trainer.get_training_chat_template", lambda *a, **k: None, raising=False)
        monkeypatch.setattr("trl.trainer.grpo_trainer.add_response_schema", lambda x, *a: x, raising=False)
        given[what] = [with_a_tool] if what == "tools" else Empty
        given["chat"] = True
    with pytest.raises(ArgumentError) as told:
        trainer(tmp_path, **given, **WAYS[way])
    assert told.value.got == what and told.value.hint == "a dial with keep='all' works with it"
    trainer(tmp_path, **given)  # Without them the trainer is made.


def with_a_tool(x: int) -> int:
    """Give it back.

    Args:
        x: a number
    """
    return x


def test_tries_and_replacing_are_two_ways_of_one_thing(tmp_path):
    with pytest.raises(ArgumentError, match="got both"):
        trainer(tmp_path, tries=lambda ids: [4] * 4, dial=DAPO)


@pytest.mark.parametrize(
    ("rows", "ours", "least"),
    [(3, dict(dial=DAPO), 4), (3, dict(tries=lambda i: i), 4), (6, dict(tries=lambda i: i, candidates=7), 7)],
)
def test_data_smaller_than_a_batch_is_refused(tmp_path, rows, ours, least):
    with pytest.raises(ArgumentError, match=f"at least {least} prompts, got {rows} rows"):
        trainer(tmp_path, data=problems(rows), **ours)
    trainer(tmp_path, data=problems(least), **ours)


def test_a_dial_alone_does_with_small_data_what_trl_does(tmp_path):
    """Nothing: there is no whole batch."""
    done = [
        run(tmp_path, cls=cls, data=problems(3), rollout=Script(), change=dict(max_steps=2))
        for cls in (STOCK, watched())
    ]
    assert [len(made.batches) for made in done] == [0, 0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(weight="mean"), "weight 'equal' or 'proportional', got 'mean'"),
        (dict(max_batches=0.5), "max_batches of at least 1, got 0.5"),
        (dict(max_batches=float("nan")), "max_batches of at least 1, got nan"),
    ],
)
def test_arguments_out_of_range(tmp_path, given, says):
    with pytest.raises(ArgumentError, match=re.escape(says)):
        trainer(tmp_path, **given)


def test_a_reward_function_without_room_for_more_columns_works_as_with_trl(tmp_path):
    """TRL calls with its own keywords and the data's columns, and with nothing else."""

    def strict(prompts, completions, completion_ids, trainer_state, log_extra, log_metric):
        return [starts_with_3(None, c) for c in completions]

    assert run(tmp_path, strict, cls=STOCK, rollout=Script()).state.global_step == 3
    assert run(tmp_path, strict, rollout=Script()).state.global_step == 3


def test_extra_fields_of_a_rollout_reach_the_reward_function(tmp_path):
    """As TRL hands them on: lists row by row, other values whole."""

    class Fielded(Script):
        def __call__(self, prompts, trainer):
            told = super().__call__(prompts, trainer)
            return {**told, "row": [f"{p}{i}" for i, p in enumerate(prompts)], "engine": "none"}

    for ours in WAYS.values():
        reward = judge()
        made = run(tmp_path, reward, rollout=Fielded(by_units), **ours)
        for call in (call for batch in made.batches for call in batch.calls):
            assert call.columns["row"] == [f"{p}{i}" for i, p in enumerate(call.prompts)]
            assert call.columns["engine"] == ["none"] * len(call.prompts)


def test_masks_of_a_rollout_stay_with_their_rows(tmp_path):
    """env_mask: tokens of an environment are not trained on, in kept groups too."""

    class Masked(Script):
        def __call__(self, prompts, trainer):
            told = super().__call__(prompts, trainer)
            return {**told, "env_mask": [[1, *[t % 2 for t in ids[1:]]] for ids in told["completion_ids"]]}

    for ours in WAYS.values():
        made = run(tmp_path, rollout=Masked(by_units), **ours)
        for batch in made.batches:
            ids, mask = batch.output["completion_ids"], batch.output["completion_mask"].bool()
            expected = ids % 2
            expected[:, 0] = 1
            assert torch.equal(batch.output["tool_mask"][mask], expected[mask])


def test_metrics_of_a_reward_function_are_averaged_over_a_batch(tmp_path):
    def strict(prompts, completions, log_metric, **_):
        log_metric("rows", float(len(prompts)))
        return [starts_with_3(None, c) for c in completions]

    made = run(tmp_path, strict, rollout=Script(by_units), dial=DAPO)
    assert len(logged(made, "rows")) == 3 and logged(made, "rows")[0] < 16


def test_the_run_s_files_hold_no_surprises(tmp_path):
    """A checkpoint is TRL's and one file of ours; plain arrays, no pickle."""
    run(tmp_path, rollout=Script(by_units), dial=DAPO, change=dict(save_strategy="steps", save_steps=3))
    folder = tmp_path / "checkpoint-3"
    assert [p.name for p in folder.iterdir() if "groupsigma" in p.name] == ["groupsigma.npz"]
    with np.load(folder / "groupsigma.npz", allow_pickle=False) as held:
        numbers = json.loads(str(held["_told"]))["numbers"]
        assert {"draws", "position"} <= set(numbers) and numbers["position"] == numbers["draws"]["drawn"] > 12
        assert all(held[name].dtype != object for name in held.files)


def test_an_older_trl_is_refused_by_name(monkeypatch):
    """The methods that are overridden must be there."""
    import importlib

    import groupsigma.trainers.trl as module

    monkeypatch.delattr(trl.GRPOTrainer, "_generate_single_turn")
    with pytest.raises(ArgumentError, match="without _generate_single_turn"):
        importlib.reload(module)
    monkeypatch.undo()
    assert module.GRPOTrainer.__mro__[1] is trl.GRPOTrainer
