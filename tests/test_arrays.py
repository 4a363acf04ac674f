import numpy as np
import pytest
import torch

from groupsigma import ArgumentError, arrays


@pytest.mark.parametrize(
    "labels",
    [
        [3, 1, 3, 2],
        np.array([10**12, 5, 10**12]),
        np.array([True, False, True]),
        np.array([-4, -4, 7]),
        ["b", "a", "b"],
        np.array(["u-1", "u-2", "u-1"], dtype=object),
        [("q", 1), ("q", 2), ("q", 1)],
        np.array([0.5, 0.25, 0.5]),
        [1, "1", 1],
        [],
    ],
)
def test_factorize_gives_back_the_labels(labels):
    codes, distinct = arrays.factorize(labels)
    given = labels.tolist() if isinstance(labels, np.ndarray) else labels
    assert [distinct.tolist()[c] if not isinstance(distinct[c], tuple) else distinct[c] for c in codes] == given
    assert len(distinct) == len(set(given))


def test_labels_that_only_look_alike_stay_apart():
    for labels in ([1, "1", 1], [("p", 1), ("p", "1")], ["a", "a\0"], [2**53, 2**53 + 1, 0.5], [2**63, 2**64 - 1, 1]):
        codes, distinct = arrays.factorize(labels)
        assert len(distinct) == len(set(map(repr, labels))) and [distinct.tolist()[c] for c in codes] == labels
    whole = np.array([2**64 - 1, 2**64 - 2, 2**64 - 1], dtype=np.uint64)
    assert arrays.factorize(whole)[1].tolist() == [2**64 - 2, 2**64 - 1]


def test_one_long_label_does_not_widen_all():
    codes, distinct = arrays.factorize(["x" * 100_000] + [str(i) for i in range(50_000)])
    assert len(distinct) == 50_001 and distinct.dtype == object and codes[0] == 0


def test_labels_that_cannot_be_compared_are_refused():
    with pytest.raises(ArgumentError, match="labels that can be compared"):
        arrays.factorize([{"a": 1}])


def test_namespace_recognises_tensors():
    assert arrays.namespace(torch.zeros(1)) is torch
    assert arrays.namespace([1]) is np and arrays.namespace(np.zeros(1)) is np


def test_the_folds_agree():
    rng = np.random.default_rng(0)
    x = rng.normal(size=12)
    codes = np.tile(np.arange(3), 4)
    dense, ragged = arrays.first_axis(np), arrays.by_code(codes, 3, np)
    device = arrays.by_code(torch.from_numpy(codes), 3, torch)
    for how in ("total", "top", "bottom"):
        expected = getattr(dense, how)(x.reshape(4, 3))
        np.testing.assert_allclose(getattr(ragged, how)(x), expected, rtol=1e-15)
        np.testing.assert_allclose(getattr(device, how)(torch.from_numpy(x)).numpy(), expected, rtol=1e-15)
    assert ragged.rows(np.array([7.0, 8.0, 9.0]))[:4].tolist() == [7, 8, 9, 7]
