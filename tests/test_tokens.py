"""What the adapters share: tokens and sessions in, advantages out, nothing computed twice."""

from importlib import metadata

import numpy as np
import pytest
import torch

from groupsigma import DIALS, DR_GRPO, ArgumentError, advantages_by_prompt
from groupsigma.trainers import versions
from groupsigma.trainers.tokens import last_rows, row_advantages, token_advantages

IDS = np.array(["a", "a", "b", "b", "b", "c"], dtype=object)
SCORES = torch.tensor([1.0, 0.0, 0.5, 0.25, 1.0, 1.0])


def tokens(scores, width=4, mask=None):
    rewards = torch.zeros(len(scores), width, dtype=scores.dtype)
    rewards[:, -1] = scores
    return rewards, torch.ones(len(scores), width, dtype=torch.int64) if mask is None else mask


@pytest.mark.parametrize("weight", ["equal", "proportional"])
def test_every_token_under_the_mask_has_its_row_s_advantage(weight):
    mask = torch.tensor([[1, 1, 1, 0]] * 5 + [[1, 0, 1, 0]])
    given, returns = token_advantages(*tokens(SCORES, mask=mask), IDS, dial=DIALS["verl"], weight=weight)
    expected = advantages_by_prompt(SCORES, IDS, DIALS["verl"], weight)
    assert torch.equal(given, expected[:, None] * mask) and torch.equal(given, returns)
    assert given[:5].any() and not given[5].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_the_dtype_is_kept_and_whole_numbers_become_floats(dtype):
    given, _ = token_advantages(*tokens(torch.tensor([1, 0]).to(dtype)), ["a", "a"])
    assert given.dtype == (torch.float32 if dtype == torch.int64 else dtype) and given[0, 0] == 1


def test_a_row_that_is_not_trained_on_stays_out_of_its_group():
    mask = torch.ones(6, 4, dtype=torch.bool)
    mask[4] = False
    mask[3, 0] = False  # masked at the start alone: it counts
    given, _ = token_advantages(*tokens(SCORES, mask=mask), IDS, dial=DR_GRPO, weight="proportional")
    assert given[2, 0] == 0.125 and given[3].tolist() == [0, -0.125, -0.125, -0.125] and not given[4].any()


def test_an_unscorable_answer_gets_zeros_and_no_nan_spreads():
    given, _ = token_advantages(*tokens(torch.tensor([1.0, 0.0, torch.nan])), ["a"] * 3, weight="proportional")
    assert given[:, 0].tolist() == [1, -1, 0]


def test_gradients_do_not_flow_through_rewards():
    rewards, mask = tokens(SCORES)
    assert not token_advantages(rewards.requires_grad_(), mask, IDS)[0].requires_grad


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_a_session_counts_once_with_its_last_row(kind):
    """Four rows of two sessions and one alone: what three answers would give."""
    scores, sessions = kind([9.0, 1.0, 7.0, 0.0, 0.0]), ["s", "s", "t", "t", None]
    given = row_advantages(scores, ["a"] * 5, sessions=sessions)
    once = advantages_by_prompt(kind([1.0, 0.0, 0.0]), ["a"] * 3)
    np.testing.assert_array_equal(np.asarray(given), np.asarray(once)[[0, 0, 1, 1, 2]])
    assert type(given) is type(once)


def test_sessions_of_one_name_in_two_groups_are_two_and_missing_ones_are_each_their_own():
    rows, back = last_rows(["a", "b", "a", "b", "b"], np.array([1, 1, 1, np.nan, np.nan], dtype=object))
    assert sorted(rows.tolist()) == [1, 2, 3, 4] and back[0] == back[2] and len(set(back.tolist())) == 4


def test_the_last_turn_is_told_by_its_number_where_rows_are_shuffled():
    scores, sessions, turns = [1.0, 9.0, 0.0, 7.0], ["s", "s", "t", "t"], [1, 0, 1, 0]
    assert row_advantages(scores, ["a"] * 4, sessions=sessions, turns=turns).tolist() == [1, 1, -1, -1]
    assert last_rows(["a"] * 4, sessions, turns)[0].tolist() == [0, 2]


@pytest.mark.parametrize("index", [["a", "a", "b"], np.array([7, 7, 9]), torch.tensor([0, 0, 1])])
def test_groups_are_labels_of_any_kind(index):
    plain = row_advantages(torch.tensor([1.0, 0, 1]), index)
    assert plain.tolist() == pytest.approx([0.75, -0.75, 0])
    assert torch.equal(row_advantages(torch.tensor([1.0, 0, 1]), index, sessions=[1, 2, 3]), plain)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ArgumentError, match=r"rewards and mask \[N, T\]"):
        token_advantages(torch.zeros(2, 3), torch.ones(2, 4), ["a", "a"])
    with pytest.raises(ArgumentError, match="sessions: needs one for each row"):
        row_advantages([1.0, 0.0], ["a", "a"], sessions=["s"])
    with pytest.raises(ArgumentError, match="a group and a session for each row"):
        row_advantages([1.0, 0.0, 1.0], ["a", "a"], sessions=["s", "t"])


def test_another_version_is_named_and_does_not_crash():
    with pytest.warns(UserWarning, match=r"tested with torch 0\.1, found " + torch.__version__.split("+")[0]):
        assert versions.tested("torch", "0.1") == metadata.version("torch")
    assert versions.tested("torch", metadata.version("torch")) == metadata.version("torch")
    with pytest.warns(UserWarning, match=r"slime 0\.3\.1, found 0\.4"):
        versions.tested("slime", "0.3.1", found="0.4")
