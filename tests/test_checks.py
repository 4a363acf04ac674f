import numpy as np
import pytest

from groupsigma import ArgumentError, checks, expected_gain, pass_at_k, required_group_size, sigma, silent_rate


@pytest.mark.parametrize("p", [1.2, -0.1, np.nan, np.inf, [0.5, 1.5]])
def test_p_outside_its_range_is_refused(p):
    for function in (silent_rate, expected_gain):
        with pytest.raises(ArgumentError, match=r"needs p in \[0, 1\], got p = "):
            function(p, 8)
    with pytest.raises(ArgumentError, match="required_group_size"):
        required_group_size(p)


@pytest.mark.parametrize("G", [0, -3, 2.5, np.nan, [8, 0], True, 2.0**60])
def test_group_sizes_are_whole_and_positive(G):
    with pytest.raises(ArgumentError, match="G to be a whole number"):
        silent_rate(0.5, G)


def test_the_place_of_a_bad_value_is_named():
    with pytest.raises(ArgumentError, match=r"got p = 1.5 at index \(1, 0\)"):
        silent_rate([[0.1, 0.2], [1.5, 0.3]], 8)


@pytest.mark.parametrize(("k", "G"), [(9, 8), (-1, 8), (2.5, 8), (1, 0), ([0, 9], [8, 8])])
def test_counts_lie_between_none_and_all(k, G):
    with pytest.raises(ArgumentError, match="sigma: needs"):
        sigma(k, G)


def test_shapes_that_do_not_broadcast():
    with pytest.raises(ArgumentError, match="broadcast"):
        sigma([1, 2], [8, 8, 8])


def test_text_is_refused_and_ragged_lists_get_a_hint():
    with pytest.raises(ArgumentError, match="p to be numbers"):
        silent_rate("half", 8)
    with pytest.raises(ArgumentError, match="hint: rows of unequal length"):
        checks.floats("advantages", "rewards", [[1, 0], [1]])


def test_drawing_more_than_was_logged_is_refused_with_the_reason():
    with pytest.raises(ArgumentError, match=r"n >= k, got n = 4, k = 8.*\nhint: n answers determine"):
        pass_at_k(1, 4, 8)


def test_whole_floats_are_taken():
    assert sigma(4.0, 8.0) == 0.5


@pytest.mark.parametrize("value", [0, 1, -0.5, 2, np.nan, [0.5, 0.6]])
def test_fractions_lie_strictly_inside(value):
    with pytest.raises(ArgumentError, match="strictly between 0 and 1"):
        checks.fraction("f", "fidelity", value)
