"""The trainer against the real TRL 1.16: advantages, replaced groups, ragged groups, and all that TRL logs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl")

import pandas as pd
import torch
import trl
from datasets import Dataset

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
from tiny_llama import (
    QUIET,
    WAYS,
    Script,
    by_row,
    by_units,
    coin,
    config,
    graded,
    groups,
    judge,
    logged,
    lot,
    model,
    parameters,
    problems,
    run,
    seen_by_loss,
    starts_with_3,
    table,
    tokenizer,
    trainer,
    wanted,
    watched,
)

pytestmark = QUIET

STOCK = watched(trl.GRPOTrainer)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


# ---- nothing given but the import ----------------------------------------------------------------


def both(folder, reward, **given):
    return [run(folder / name, reward, cls=cls, **given) for name, cls in (("stock", STOCK), ("ours", watched()))]


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


# ---- TRL's ways of stepping ---------------------------------------------------------------------------------


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


def test_the_lines_of_the_readme_train(tmp_path):
    """The block between its other two, as it stands, with what a user brings."""
    page = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    _, lines, _ = re.findall(r"```python\n(.*?)```", page, re.S)
    for part in (model(), tokenizer()):
        part.save_pretrained(tmp_path / "model")
    brought = dict(model=str(tmp_path / "model"), correct=judge(coin), problems=problems())
    names = brought | {"config": config(tmp_path / "run", max_steps=2)}
    exec(lines, names)
    names["trainer"].train()
    assert [entry["frac_reward_zero_std"] for entry in names["trainer"].state.log_history[:-1]] == [0.0, 0.0]
