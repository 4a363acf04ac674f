"""Group metrics against counting by hand."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupsigma import ArgumentError, is_silent
from groupsigma.metrics import Scored, group_metrics

KEYS = {"silent", "all_right", "all_wrong", "mixed", "sigma_mean", "reward_mean", "size_mean", "unscorable"}


def by_hand(groups):
    """Every number from its definition; groups are lists of rewards, None where there is none."""
    live = [[r for r in group if r is not None] for group in groups]
    silent = [len(g) < 2 or max(g) - min(g) <= 1e-6 * max(1, *map(abs, g)) for g in live]
    full = [bool(g) for g in live]
    return {
        "group/silent": np.mean(silent),
        "group/all_right": np.mean(
            [s and f and min(g) >= 1 - 1e-6 for s, f, g in zip(silent, full, live, strict=True)]
        ),
        "group/all_wrong": np.mean([s and f and max(g) <= 1e-6 for s, f, g in zip(silent, full, live, strict=True)]),
        "group/mixed": 1 - np.mean(silent),
        "group/sigma_mean": np.mean([np.std(g) if g else 0.0 for g in live]),
        "group/reward_mean": np.mean([np.mean(g) for g in live if g]) if any(full) else 0.0,
        "group/size_mean": np.mean([len(g) for g in live]),
        "group/unscorable": sum(r is None for g in groups for r in g),
    }


def rows(groups):
    return [r for g in groups for r in g], [i for i, g in enumerate(groups) for _ in g]


reward = st.sampled_from([0, 1, 0.0, 1.0, -1.0, 0.5, 0.1, 1 - 1e-7, 1e-7, None, 3.0])


@given(st.lists(st.lists(reward, min_size=1, max_size=5), min_size=1, max_size=6), st.randoms())
@settings(deadline=None)
def test_every_number_is_what_counting_gives_in_any_order_of_rows(groups, random):
    rewards, ids = rows(groups)
    order = list(range(len(ids)))
    random.shuffle(order)
    found = group_metrics([rewards[i] for i in order], [f"p{ids[i]}" for i in order])
    assert set(found) == {f"group/{k}" for k in KEYS} and all(type(v) is float for v in found.values())
    assert found == pytest.approx(by_hand(groups), abs=1e-12)
    assert found["group/silent"] + found["group/mixed"] == pytest.approx(1)
    assert found["group/silent"] >= found["group/all_right"] + found["group/all_wrong"] - 1e-12


def test_all_binary_groups_of_three_and_a_few_of_their_averages():
    groups = list(product([0, 1], repeat=3))
    rewards, ids = rows(groups)
    found = group_metrics(rewards, ids)
    assert found["group/silent"] == 0.25 and found["group/all_right"] == found["group/all_wrong"] == 0.125
    assert found["group/sigma_mean"] == pytest.approx(0.75 * np.sqrt(2) / 3)
    assert found["group/reward_mean"] == 0.5 and found["group/size_mean"] == 3.0


@pytest.mark.parametrize(
    ("group", "right", "wrong", "silent"),
    [
        ([1, 1, 1], 1, 0, 1),
        ([0, 0], 0, 1, 1),
        ([-1, -1], 0, 1, 1),
        ([0.5, 0.5], 0, 0, 1),  # Equal in between: silent, neither right nor wrong.
        ([0.1] * 8, 0, 0, 1),
        ([1], 1, 0, 1),  # Alone: silent, but right.
        ([1, None], 1, 0, 1),
        ([None, None], 0, 0, 1),
        ([float("nan"), float("inf"), 0, 0], 0, 1, 1),
        ([0, 1], 0, 0, 0),
        ([5, 5 + 1e-5], 0, 0, 0),
        ([5, 5 + 1e-6], 1, 0, 1),
        ([1e9, 1e9 + 10], 1, 0, 1),
    ],
)
def test_kinds_of_silence(group, right, wrong, silent):
    found = group_metrics(group, ["a"] * len(group))
    assert [found[f"group/{k}"] for k in ("all_right", "all_wrong", "silent")] == [right, wrong, silent]
    live = [r for r in group if r is not None and np.isfinite(r)]
    assert not live or bool(is_silent(live)) == bool(silent)


@pytest.mark.parametrize(
    ("rewards", "right"),
    [
        ([0, 1, 1, None], [2]),
        ([-1, 1, 1, -1], [2]),
        ([True, False, True, True], [3]),
        ([1, 1, 1, 1], [4]),
        ([-1, -1, -1, -1], [0]),
        ([None, None, None, None], [0]),
        ([-1, 0, 1, 1], None),  # Three values: graded.
        ([0, 1, 0.5, 1], None),
        ([0, 2, 0, 2], None),
    ],
)
def test_right_answers_are_counted_where_rewards_say_right_or_wrong(rewards, right):
    found = Scored.of(rewards, np.zeros(4, int), 1)
    assert (None if found.right is None else found.right.tolist()) == right


def test_groups_without_a_row_and_their_edges():
    """A group of which nothing came: n 0, mean, σ and edges 0, silent."""
    found = Scored.of([1.0, 3.0], np.array([2, 2]), 4)
    assert (
        found.n.tolist() == [0, 0, 2, 0] and found.mean.tolist() == [0, 0, 2, 0] and found.std.tolist() == [0, 0, 1, 0]
    )
    assert found.low.tolist() == [0, 0, 1, 0] and found.high.tolist() == [0, 0, 3, 0]
    assert found.silent.tolist() == [True, True, False, True]
    assert found.metrics()["group/reward_mean"] == 2.0 and found.metrics()["group/size_mean"] == 0.5


def test_tensors_are_taken():
    torch = pytest.importorskip("torch")
    found = group_metrics(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([4, 4, 9]))
    assert found["group/mixed"] == 0.5 and found["group/all_right"] == 0.5


@pytest.mark.parametrize(
    ("rewards", "ids"),
    [([], []), ([1, 0], ["a"]), ([[1, 0]], ["a"]), (["x"], ["a"]), (1.0, ["a"]), ([1], [])],
)
def test_what_cannot_be_grouped_is_refused(rewards, ids):
    with pytest.raises(ArgumentError):
        group_metrics(rewards, ids)


def test_a_group_for_each_reward():
    with pytest.raises(ArgumentError, match="a group for each reward"):
        Scored.of([1, 0], np.array([0]), 1)
