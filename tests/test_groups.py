import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groupsigma import ArgumentError, Groups


@pytest.mark.parametrize(
    "rewards",
    [
        [[1, 0, 1], [0, 0, 0]],
        np.array([[1, 0, 1], [0, 0, 0]], dtype=bool),
        torch.tensor([[1.0, 0, 1], [0, 0, 0]]),
        ([1, 0, 1], (0, 0, 0)),
    ],
)
def test_from_rows(rewards):
    groups = Groups.from_rewards(None, rewards)
    assert groups.n_correct.tolist() == [2, 0] and groups.n_rollouts.tolist() == [3, 3]
    assert Groups.from_rewards(["x", "y"], rewards).prompt_ids.tolist() == ["x", "y"]


def test_from_rows_of_unequal_length():
    groups = Groups.from_rewards(["a", "b"], [[1, 0, None], [1]], step=[3, 4])
    assert groups.n_rollouts.tolist() == [2, 1] and groups.n_unscorable == 1 and groups.step.tolist() == [3, 4]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 1.0, None])), min_size=1, max_size=60))
def test_counting_is_counting(rows):
    ids, rewards = zip(*rows, strict=True)
    live = [(i, r) for i, r in rows if r is not None]
    if not live:
        with pytest.raises(ArgumentError, match="at least one group"):
            Groups.from_rewards(list(ids), list(rewards))
        return
    groups = Groups.from_rewards(list(ids), list(rewards))
    assert groups.n_unscorable == len(rows) - len(live) and groups.answers == len(live)
    for prompt, k, n in zip(groups.prompt_ids, groups.n_correct, groups.n_rollouts, strict=True):
        own = [r for i, r in live if i == prompt]
        assert (k, n) == (sum(own), len(own))
    assert groups.n_empty == len(set(ids)) - len({i for i, _ in live})


def test_graded_rewards_are_kept_and_never_binarised():
    groups = Groups.from_rewards(["a"] * 3 + ["b"] * 2, [0.2, 0.9, 1.0, 1.0, 1.0])
    assert groups.graded and groups.n_correct is None
    np.testing.assert_allclose(groups.rewards.mean, [0.7, 1.0])
    np.testing.assert_allclose(groups.rewards.std, [np.std([0.2, 0.9, 1.0]), 0])
    assert groups.rewards.silent.tolist() == [False, True]
    with pytest.raises(ArgumentError, match="hint: say what counts as right"):
        _ = groups.solve_rate


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), min_size=1, max_size=30))
def test_tally_merges_equal_rows_and_loses_nothing(rows):
    k, count = np.array(rows).T
    groups = Groups(np.arange(len(k)), k, np.full(len(k), 9), count=count)
    tally = groups.tally()
    assert tally.problems == groups.problems and tally.answers == groups.answers
    assert len(tally.n_correct) == len(set(k.tolist()))
    assert (tally.count * tally.n_correct).sum() == (count * k).sum()


def test_tally_of_rates():
    groups = Groups(np.arange(3), None, np.zeros(3), rate=np.array([0.123, 0.9, 0.123]))
    tally = groups.tally()
    assert tally.rate.tolist() == [0.123, 0.9] and tally.count.tolist() == [2, 1] and tally.answers == 0


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Groups(["a"], [9], [8]), "n_correct = 9 of n_rollouts = 8"),
        (lambda: Groups(["a"], [-1], [8]), "n_correct to be a whole number"),
        (lambda: Groups(["a", "b"], [1], [8]), "one entry for each prompt id"),
        (lambda: Groups([], [], []), "at least one group"),
        (lambda: Groups(["a"], None, [8]), "n_correct, or a rate"),
        (lambda: Groups(["a"], None, [0], rate=[1.5]), "rate in"),
        (lambda: Groups(["a"], [1], [8], count=-1), "count to be a whole"),
        (lambda: Groups.from_rewards(["a"], [1, 0]), "one prompt id for each reward"),
        (lambda: Groups.from_rewards(None, [1, 0]), "no ids, 2 rewards"),
        (lambda: Groups.from_rewards(["a", "b"], [[1, 0]]), "one prompt id for each row"),
        (lambda: Groups.from_rewards(["a", "a"], [1, 0], step=[1]), "one step for each reward"),
        (lambda: Groups.from_rewards(["a"], ["x"]), "rewards to be numbers"),
        (lambda: Groups.from_rewards(None, np.zeros((2, 2, 2))), "a list of lists"),
        (lambda: Groups.from_rewards([], []), "at least one group"),
        (lambda: Groups.from_rewards(["a"], [None]), "at least one group"),
    ],
)
def test_bad_input_is_one_clear_error(build, words):
    with pytest.raises(ArgumentError, match=words):
        build()


def test_a_million_prompts_with_one_answer_each():
    rng = np.random.default_rng(0)
    groups = Groups.from_rewards(np.arange(10**6), rng.integers(0, 2, 10**6))
    assert groups.problems == groups.answers == 10**6 and len(groups.tally().n_correct) == 2
