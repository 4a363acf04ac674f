from math import comb

import numpy as np
import pytest

from groupsigma import expect


def square(k, G):
    return (k + 1.0) ** 2 + 0 * G


@pytest.mark.parametrize("G", [0, 1, 2, 7, 40])
def test_binomial_mean_is_the_sum(G):
    p = np.array([0.0, 1e-12, 0.03, 0.5, 0.77, 1.0])
    expected = [sum(comb(G, k) * x**k * (1 - x) ** (G - k) * (k + 1) ** 2 for k in range(G + 1)) for x in p]
    np.testing.assert_allclose(expect.binomial_mean(p, np.array(G), square), expected, rtol=1e-13)


def test_the_two_ways_of_summing_agree():
    p = np.linspace(0, 1, 101)
    for G in (3, 64, 700, 1000):
        table = square(np.arange(G + 1.0), G)
        fast = expect._polynomial(p, G, table)
        slow = expect._window(p, np.full(101, float(G)), square, 0.0)
        np.testing.assert_allclose(fast, slow, rtol=2e-13)


def test_pairs_of_p_and_group_size_broadcast():
    p, G = np.linspace(0, 1, 7)[:, None], np.array([1, 5, 2000, 5, 64])
    whole = expect.binomial_mean(p, G, square)
    assert whole.shape == (7, 5)
    for i in range(7):
        for j in range(5):
            alone = expect.binomial_mean(p[i], G[j], square)
            np.testing.assert_allclose(whole[i, j], alone[0], rtol=1e-12)


def test_equal_p_are_computed_once():
    seen = []

    def counting(k, G):
        seen.append(np.broadcast(k, G).size)
        return square(k, G)

    p = np.random.default_rng(0).integers(0, 65, 100_000) / 64
    expect.binomial_mean(p, np.array(2000), counting)
    assert sum(seen) < 70 * 2 * 2001


def test_nothing_to_average():
    assert expect.binomial_mean(np.zeros(0), np.array(8), square).shape == (0,)


@pytest.mark.parametrize("n", [1, 2, 6, 9])
def test_hypergeometric_mean_is_the_sum(n):
    for G in range(n + 1):
        k = np.arange(n + 1)
        expected = [sum(comb(c, j) * comb(n - c, G - j) * (j + 1) ** 2 for j in range(G + 1)) / comb(n, G) for c in k]
        got = expect.hypergeometric_mean(k, np.full(n + 1, n), G, square)
        np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_hypergeometric_mean_of_large_pools():
    got = expect.hypergeometric_mean(np.array([30_000]), np.array([100_000]), 50_000, lambda j, G: j / G)
    np.testing.assert_allclose(got, 0.3, rtol=1e-12)
