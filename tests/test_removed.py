"""Silent groups missing from a log: the bound by hand, and on logs whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupsigma import Groups
from groupsigma.removed import LIKELY, silent_removed


def drawn(seed, N, n, a, b):
    """Groups of n from Beta(a, b) solve rates, and their true silent share."""
    rng = np.random.default_rng(seed)
    p = rng.beta(a, b, N)
    return Groups(np.arange(N), rng.binomial(n, p), np.full(N, n)), float((p**n + (1 - p) ** n).mean())


def kept(groups):
    mixed = (groups.n_correct > 0) & (groups.n_correct < groups.n_rollouts)
    return Groups(groups.prompt_ids[mixed], groups.n_correct[mixed], groups.n_rollouts[mixed])


def test_the_bound_by_hand():
    """n = 4, h = (60, 30, 20): 3/8 · (60²/30 + 20²/30) / 110 = 50/110 silent for each mixed one."""
    told = silent_removed(Groups(np.arange(110), np.repeat([1, 2, 3], [60, 30, 20]), np.full(110, 4)))
    odds = 3 / 8 * (60**2 / 30 + 20**2 / 30) / 110
    assert told.least == pytest.approx(odds / (1 + odds))
    assert told.sizes == (4,) and told.silent == 0 and told.groups == 110 and 0 < told.low < told.least


def test_groups_of_two_are_silent_half_of_the_time_whatever_p():
    told = silent_removed(Groups(np.arange(50), np.ones(50, int), np.full(50, 2)))
    assert told.least == told.low == 0.5 and told.removed


def test_one_rate_alone_reaches_the_bound():
    """No spread: Cauchy–Schwarz is an equality, so the expected counts give the silent share itself."""
    from scipy.stats import binom

    table = np.rint(1e9 * binom.pmf(np.arange(1, 6), 6, 0.3)).astype(int)
    told = silent_removed(Groups(np.arange(5), np.arange(1, 6), np.full(5, 6), count=table))
    assert told.least == pytest.approx(0.3**6 + 0.7**6, rel=1e-5)


def test_sizes_are_combined_by_what_was_drawn_of_each():
    a, b = drawn(0, 4000, 4, 1, 1)[0], drawn(1, 2000, 8, 1, 1)[0]
    ka, kb = kept(a), kept(b)
    both = Groups(
        np.arange(len(ka.n_correct) + len(kb.n_correct)),
        np.r_[ka.n_correct, kb.n_correct],
        np.r_[ka.n_rollouts, kb.n_rollouts],
    )
    told, one, other = silent_removed(both), silent_removed(ka), silent_removed(kb)
    odds = [len(k.n_correct) * t.least / (1 - t.least) for k, t in ((ka, one), (kb, other))]
    assert told.least == pytest.approx(sum(odds) / (sum(odds) + len(both.n_correct)))
    assert told.sizes == (4, 8) and told.removed


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([60, 500, 5000]), st.sampled_from([2, 3, 4, 8, 16]),
    st.sampled_from([0.1, 0.5, 1.0, 5.0, 100.0]), st.sampled_from([0.2, 1.0, 4.0]),
)  # fmt: skip
def test_a_whole_log_is_never_accused(seed, N, n, a, ratio):
    told = silent_removed(drawn(seed, N, n, a, a * ratio)[0])
    assert told is None or not told.removed


def test_the_bound_holds_and_large_logs_without_silence_are_always_found():
    broken = 0
    for seed in range(60):
        n, (a, b) = (3, 4, 8)[seed % 3], ((0.5, 0.5), (1, 2), (3, 1))[seed // 3 % 3]
        groups, true = drawn(seed, 20_000, n, a, b)
        told = silent_removed(kept(groups))
        assert told.removed, (seed, told)
        broken += told.low > true
    assert broken <= 60 * 0.05


def test_far_too_few_silent_groups_are_found_too():
    groups, _ = drawn(5, 20_000, 8, 1, 1)
    silent = (groups.n_correct == 0) | (groups.n_correct == 8)
    some = ~silent | (np.random.default_rng(0).random(len(silent)) < 0.1)
    part = Groups(groups.prompt_ids[some], groups.n_correct[some], groups.n_rollouts[some])
    assert silent_removed(part).removed and 0 < silent_removed(part).silent < silent_removed(part).expected


def test_nothing_is_said_of_few_groups_or_of_what_are_no_counts():
    assert silent_removed(Groups(np.arange(29), np.ones(29, int), np.full(29, 4))) is None
    assert silent_removed(Groups(["a"], None, [0], rate=[0.5])) is None
    assert silent_removed(Groups.from_rewards(None, [[0.5, 0.1]] * 40)) is None


def test_a_writer_known_to_filter_is_believed_sooner():
    """344 mixed groups of Beta(½, ½): chance would hold back all silent ones in less than 1 of 100 such logs."""
    mixed = kept(drawn(0, 600, 8, 0.5, 0.5)[0])
    assert not silent_removed(mixed).removed
    told = silent_removed(mixed, LIKELY)
    assert told.removed and 1e-6 < told.probability < told.sure == 1e-2
    # Overwhelming evidence is told as such, whatever is asked.
    many = kept(drawn(0, 6000, 8, 0.5, 0.5)[0])
    assert silent_removed(many, LIKELY).probability == silent_removed(many).probability < 1e-6


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_and_hardly_ever_accused_wrongly(ratio):
    logs = (drawn(seed, 40 + seed % 400, 8, 1.5, 1.5 * ratio)[0] for seed in range(400))
    assert sum(told.removed for one in logs if (told := silent_removed(one, LIKELY))) <= 4
