"""The walk over a data set against the plainest one: a list that is as long as it needs to be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupsigma import ArgumentError
from groupsigma.stream import Stream


def orders(rows):
    """A permutation for each epoch."""
    return lambda epoch: np.random.default_rng((rows, epoch)).permutation(rows).tolist()


def listed(rows, epochs=60):
    return [row for epoch in range(epochs) for row in orders(rows)(epoch)]


@given(st.integers(1, 12), st.lists(st.integers(0, 30), max_size=8))
@settings(deadline=None)
def test_every_row_comes_once_in_each_epoch_in_the_epoch_s_order(rows, counts):
    walk, order = Stream(rows, orders(rows)), listed(rows)
    for count in counts:
        at = walk.position
        taken = walk.take(min(count, rows))
        # Rows met again within one call are passed over, so that a batch has no prompt twice.
        assert taken == list(dict.fromkeys(order[at : walk.position]))
        assert len(taken) == min(count, rows)


@given(st.integers(1, 6), st.integers(1, 5))
@settings(deadline=None)
def test_batches_that_divide_an_epoch_use_it_up_and_pass_nothing_over(batch, batches):
    rows = batch * batches
    walk = Stream(rows, orders(rows))
    for epoch in range(3):
        taken = [row for _ in range(batches) for row in walk.take(batch)]
        assert taken == orders(rows)(epoch) and walk.position == rows * (epoch + 1)


@given(st.data())
@settings(deadline=None)
def test_rows_to_avoid_are_passed_over_and_none_comes_twice(data):
    rows = data.draw(st.integers(1, 9))
    walk, order = Stream(rows, orders(rows)), listed(rows)
    for _ in range(4):
        avoid = data.draw(st.sets(st.integers(0, rows - 1)))
        count = data.draw(st.integers(0, 12))
        start = walk.position
        taken = walk.take(count, avoid)
        assert len(taken) == len(set(taken)) == min(count, rows - len(avoid)) and not avoid & set(taken)
        assert taken == [r for r in dict.fromkeys(order[start : walk.position]) if r not in avoid]
        # It goes no further than it must.
        assert not taken or order[walk.position - 1] == taken[-1]
        if not taken:
            assert walk.position == start


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 9), st.sets(st.integers(0, 8), max_size=3)), max_size=6),
    st.integers(0, 6),
)
@settings(deadline=None)
def test_the_position_is_all_that_must_be_kept(rows, takes, cut):
    takes = [(count, {a for a in avoid if a < rows}) for count, avoid in takes]
    whole = Stream(rows, orders(rows))
    expected = [whole.take(*take) for take in takes]
    first = Stream(rows, orders(rows))
    found = [first.take(*take) for take in takes[:cut]]
    second = Stream(rows, orders(rows))
    second.position = first.position
    assert found + [second.take(*take) for take in takes[cut:]] == expected
    assert second.position == whole.position or not takes[cut:]


def test_an_order_is_asked_for_once_an_epoch():
    asked = []

    def order(epoch):
        asked.append(epoch)
        return [0, 1, 2]

    walk = Stream(3, order)
    for _ in range(7):
        walk.take(1)
    assert asked == [0, 1, 2] and walk.position == 7


def test_rows_are_plain_whole_numbers():
    taken = Stream(3, lambda epoch: np.array([2, 1, 0])).take(3)
    assert taken == [2, 1, 0] and all(type(row) is int for row in taken)


def test_a_data_set_without_rows_is_refused():
    with pytest.raises(ArgumentError, match="a data set with rows, got none"):
        Stream(0, orders(1))


def test_the_order_is_trl_s_own_in_any_epoch():
    pytest.importorskip("trl")
    from trl.trainer.utils import RepeatSampler

    from groupsigma.trainers.order import EpochSampler, order

    stock = RepeatSampler(range(7), 1, 1, 1, True, 5)
    epochs = [list(stock) for _ in range(4)]
    assert [order(7, 5, True, epoch) for epoch in range(4)] == epochs
    assert order(7, 5, False, 3) == list(range(7))
    ours = EpochSampler.like(RepeatSampler(range(7), 1, 1, 1, True, 5))
    for epoch in (2, 0, 3, 3):
        ours.set_epoch(epoch)
        assert list(ours) == epochs[epoch]


def test_the_sampler_keeps_trl_s_repeats_and_leaves_out_what_trl_leaves_out():
    pytest.importorskip("trl")
    from trl.trainer.utils import RepeatSampler

    from groupsigma.trainers.order import EpochSampler

    stock = RepeatSampler(range(7), 2, 3, 4, True, 1)
    ours = EpochSampler.like(RepeatSampler(range(7), 2, 3, 4, True, 1))
    assert len(ours) == len(stock)
    ours.set_epoch(0)
    assert list(ours) == list(stock) and len(list(ours)) == 48
