"""Dynamic sampling in the real TRL: silent groups replaced, the cap, the draws."""

import numpy as np
import pytest

pytest.importorskip("trl")

import torch
import trl
from scipy import stats

import groupsigma
from groupsigma import (
    DAPO,
    GRPO,
    ArgumentError,
    Dial,
)
from tiny_llama import (
    EOS,
    QUIET,
    WAYS,
    Script,
    by_row,
    by_units,
    coin,
    graded,
    groups,
    judge,
    log_probabilities,
    logged,
    model,
    parameters,
    problems,
    run,
    seen_by_loss,
    shuffled,
    table,
    trainer,
    watched,
)

pytestmark = QUIET

STOCK = watched(trl.GRPOTrainer)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


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
