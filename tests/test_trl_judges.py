"""Several reward functions, and answers that none can score, in the real TRL."""

import numpy as np
import pytest

pytest.importorskip("trl")

import torch

import groupsigma
from groupsigma import (
    DAPO,
    DIALS,
    DR_GRPO,
    GRPO,
    ArgumentError,
)
from groupsigma.trainers.given import judge_column
from tiny_llama import (
    QUIET,
    Script,
    by_row,
    by_units,
    groups,
    judge,
    logged,
    lot,
    run,
    starts_with_3,
    table,
    trainer,
    wanted,
)

pytestmark = QUIET


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


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
