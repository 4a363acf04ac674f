import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groupsigma import (
    DAPO,
    DIALS,
    DR_GRPO,
    GRPO,
    LOGIT,
    MAXRL,
    RLOO,
    ArgumentError,
    Dial,
    advantages,
    advantages_by_prompt,
    pass_at,
)
from groupsigma.advantages import _dense_torch

TABLED = [name for name, dial in DIALS.items() if dial.spread != "batch"]


def plainly(r, dial):
    """A group's advantages, one answer at a time, straight from the definition."""
    r = np.asarray(r, dtype=float)
    live = np.isfinite(r)
    x, n = r[live], int(live.sum())
    out = np.zeros(len(r))
    if n < 2 or x.max() - x.min() <= 1e-6 * max(1, abs(x).max()):
        return out
    mu, values = x.mean(), []
    for i in range(n):
        others = np.delete(x, i)
        base = {"mean": mu, "loo": others.mean(), "none": 0.0}[dial.center]
        a = x[i] - base
        if dial.power and dial.spread == "group":
            a /= (x.std(ddof=dial.ddof) + dial.eps) ** dial.power
        elif dial.power and others.max() - others.min() > 0:
            a /= (others.std(ddof=dial.ddof) + dial.eps) ** dial.power
        values.append(a * (mu / (1 - mu)) ** -dial.tilt)
    out[live] = values
    return out


@pytest.mark.parametrize("name", TABLED)
def test_every_dial_is_its_definition(name):
    rng = np.random.default_rng(0)
    dial = DIALS[name]
    for rewards in (
        rng.random((40, 6)),
        (rng.random((40, 6)) < 0.3) * 1.0,
        np.where(rng.random((40, 5)) < 0.3, np.nan, rng.random((40, 5))),
    ):
        expected = np.array([plainly(r, dial) for r in rewards])
        np.testing.assert_allclose(advantages(rewards, dial), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", TABLED)
def test_ragged_dense_and_device_bodies_agree(name):
    rng = np.random.default_rng(1)
    dial = DIALS[name]
    r = np.where(rng.random((50, 7)) < 0.1, np.nan, rng.integers(0, 3, (50, 7)) / 2)
    dense = advantages(r, dial)
    order = rng.permutation(r.size)
    ids = np.repeat(np.arange(50), 7)[order]
    ragged = advantages_by_prompt(r.ravel()[order], ids, dial, weight="proportional")
    np.testing.assert_allclose(ragged, dense.ravel()[order], rtol=1e-12, atol=1e-14)
    device = _dense_torch(torch.from_numpy(r), dial, 1e-6, torch).numpy()
    np.testing.assert_allclose(device, dense, rtol=1e-12, atol=1e-14)
    tensors = advantages_by_prompt(
        torch.from_numpy(r.ravel()[order]), torch.from_numpy(ids), dial, weight="proportional"
    )
    np.testing.assert_allclose(tensors.numpy(), ragged, rtol=1e-12, atol=1e-14)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9), st.randoms(), st.floats(-50, 50), st.floats(0.5, 20))
def test_permutation_shift_and_scale(rewards, random, shift, scale):
    r = np.array(rewards)
    if 0 < r.max() - r.min() < 1e-3:
        r = np.round(r, 1)
    base = advantages(r)
    order = list(range(len(r)))
    random.shuffle(order)
    np.testing.assert_allclose(advantages(r[order]), base[order], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(advantages(r + shift), base, rtol=1e-6, atol=1e-6)
    if r.max() - r.min() > 1e-2:
        np.testing.assert_allclose(advantages(scale * r), base, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(advantages(scale * r, DR_GRPO), scale * advantages(r, DR_GRPO), rtol=1e-6, atol=1e-9)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=10))
def test_rloo_is_dr_grpo_rescaled(rewards):
    """arXiv 2607.00152, Proposition 1."""
    r, G = np.array(rewards), len(rewards)
    np.testing.assert_allclose(advantages(r, RLOO), G / (G - 1) * advantages(r, DR_GRPO), rtol=1e-12, atol=1e-12)


@given(st.lists(st.sampled_from([0.0, 1.0, 0.5, np.nan]), min_size=1, max_size=10))
def test_centred_rules_sum_to_zero(rewards):
    for dial in (GRPO, DR_GRPO, LOGIT, MAXRL, DAPO, Dial(ddof=1, eps=1e-4)):
        assert abs(advantages(rewards, dial).sum()) < 1e-9


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, bool])
def test_numpy_dtypes(dtype):
    r = np.array([[1, 0, 0, 1], [1, 1, 1, 1]]).astype(dtype)
    out = advantages(r)
    assert out.dtype == (dtype if np.dtype(dtype).kind == "f" else np.float64) and out.shape == r.shape
    np.testing.assert_allclose(out, [[1, -1, -1, 1], [0, 0, 0, 0]], atol=1e-3)
    by = advantages_by_prompt(r.ravel(), [0] * 4 + [1] * 4)
    assert by.dtype == out.dtype and (by == out.ravel()).all()


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.uint8, torch.bool]
)
def test_torch_dtypes(dtype):
    r = torch.tensor([[1, 0, 0, 1], [1, 1, 1, 1]]).to(dtype)
    kind = dtype if dtype.is_floating_point else torch.get_default_dtype()
    for out in (advantages(r), advantages_by_prompt(r.ravel(), torch.tensor([0] * 4 + [1] * 4)).reshape(2, 4)):
        assert out.dtype == kind and out.device == r.device and out.shape == r.shape
        np.testing.assert_allclose(out.double().numpy(), [[1, -1, -1, 1], [0, 0, 0, 0]], atol=1e-2)


def test_tensors_stay_on_their_device():
    """The meta device computes nothing, but refuses any copy to the host."""
    out = advantages(torch.zeros(4, 8, device="meta"))
    assert out.device.type == "meta" and out.shape == (4, 8)


def test_gradients_are_not_followed_and_views_are_taken():
    r = torch.rand(6, 4, requires_grad=True)
    assert not advantages(r).requires_grad
    np.testing.assert_allclose(advantages(r.detach().T.contiguous().T).numpy(), advantages(r).numpy())
    wide = np.arange(24.0).reshape(4, 6)
    np.testing.assert_allclose(advantages(wide[:, ::2]), advantages(wide[:, ::2].copy()))


def test_shapes_are_kept():
    r = np.random.default_rng(0).random((2, 3, 4))
    assert advantages(r).shape == (2, 3, 4)
    np.testing.assert_array_equal(advantages(r)[1, 2], advantages(r[1, 2]))
    assert advantages(np.zeros((0, 8))).shape == (0, 8)
    assert advantages_by_prompt([], []).shape == (0,)


def test_the_table_and_the_general_rule_agree():
    """0/1 rewards take the table; the same rewards beside a graded block do not."""
    rng = np.random.default_rng(0)
    for name in TABLED:
        dial = DIALS[name]
        binary = (rng.random((30, 9)) < 0.4) * 1.0
        general = np.array([plainly(r, dial) for r in binary])
        np.testing.assert_allclose(advantages(binary, dial), general, rtol=1e-12, atol=1e-15, err_msg=name)


def test_large_groups():
    r = (np.arange(100_000) < 30_000) * 1.0
    out = advantages(r)
    assert out[0] == pytest.approx(np.sqrt(7 / 3)) and abs(out.sum()) < 1e-6
    assert advantages(np.arange(300) < 100)[0] == pytest.approx(np.sqrt(2))


def test_numbers_that_are_almost_binary_are_not_binarised():
    out = advantages([256.0, 0.0, 0.0, 0.0], DR_GRPO)
    assert out[0] == 192 and advantages(np.array([-1, 1, 1, 1]), DR_GRPO)[0] == -1.5
    assert advantages([0.5, 0.0], DR_GRPO).tolist() == [0.25, -0.25]


def test_batch_wide_scale():
    r = np.array([[1.0, 0, 0, 0], [1, 1, 1, 1], [0.5, 0.5, 0, 1]])
    out = advantages(r, Dial(spread="batch", ddof=1))
    np.testing.assert_allclose(
        out, np.where([[True], [False], [True]], (r - r.mean(1, keepdims=True)) / r.std(ddof=1), 0)
    )
    ids = np.repeat([0, 1, 2], 4)
    np.testing.assert_allclose(advantages_by_prompt(r.ravel(), ids, Dial(spread="batch", ddof=1)), out.ravel())


def test_equal_weight_makes_prompts_count_the_same():
    """Mean over rows of A s = mean over prompts of their own means."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 9, 60)
    r, s = rng.random(60), rng.normal(size=60)
    own = advantages_by_prompt(r, ids, weight="proportional")
    want = np.mean([(own * s)[ids == i].mean() for i in np.unique(ids)])
    assert (advantages_by_prompt(r, ids) * s).mean() == pytest.approx(want, rel=1e-12)
    np.testing.assert_allclose(
        advantages_by_prompt(r[:8], [0, 1] * 4), advantages_by_prompt(r[:8], [0, 1] * 4, weight="proportional")
    )


def test_ids_of_any_kind_in_any_order():
    r = [1, 0, 0, 1, 1, 0]
    for ids in (["a", "b"] * 3, [7, -2] * 3, [("p", 1), ("p", 2)] * 3, np.array([b"x", b"y"] * 3)):
        np.testing.assert_allclose(
            advantages_by_prompt(r, ids), np.ravel([advantages(r[0::2]), advantages(r[1::2])], "F")
        )
    mixed = advantages_by_prompt(torch.tensor(r).float(), ["a", "b"] * 3)
    assert isinstance(mixed, torch.Tensor)


def test_no_numpy_warning_escapes_and_no_state_changes():
    before = np.geterr()
    r = np.array([[np.nan, np.inf, 1.0], [np.nan] * 3])
    kept = r.copy()
    advantages(r)
    advantages_by_prompt(r.ravel(), [0, 0, 0, 1, 1, 1])
    assert np.geterr() == before
    np.testing.assert_array_equal(r, kept)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: advantages([[1, 0], [1]]), "rows of unequal length"),
        (lambda: advantages("text"), "rewards to be numbers"),
        (lambda: advantages(1.0), "G >= 1"),
        (lambda: advantages(np.zeros((3, 0))), "G >= 1"),
        (lambda: advantages_by_prompt([1, 0], ["a"]), "one prompt id for each reward"),
        (lambda: advantages_by_prompt([[1, 0]], ["a"]), "one prompt id for each reward"),
        (lambda: advantages_by_prompt([1], ["a"], weight="both"), "weight 'equal' or"),
        (lambda: advantages([2.0, 0.0], MAXRL), "rewards in"),
    ],
)
def test_bad_input_is_one_clear_error(call, words):
    with pytest.raises(ArgumentError, match=words):
        call()


def test_a_wide_tolerance_makes_zero_and_one_the_same_reward():
    assert advantages([[1, 0]], atol=1.0).tolist() == [[0, 0]] and advantages([[1, 0]], atol=0.5).any()
    for bad in (-1, float("nan"), "x"):
        with pytest.raises(ArgumentError, match="atol >= 0"):
            advantages([[1, 0]], atol=bad)


def test_masked_entries_are_unscorable():
    r = np.ma.array([1.0, 0.0, 1.0], mask=[False, False, True])
    np.testing.assert_allclose(advantages(r), [1, -1, 0])
    np.testing.assert_allclose(advantages_by_prompt(r, ["a"] * 3, weight="proportional"), [1, -1, 0])


def test_rewards_whose_squares_overflow_are_refused():
    for call in (lambda: advantages([1e200, 0.0]), lambda: advantages_by_prompt([1e200, 0.0], ["a", "a"])):
        with pytest.raises(ArgumentError, match=r"at most 1e\+100"):
            call()


def test_steep_dials_stay_in_range():
    r = (np.arange(600) < 200) * 1.0
    for n in (64, 256, 512):
        out = advantages(r, pass_at(n))
        assert np.isfinite(out).all() and out[0] >= 0
        np.testing.assert_allclose(out[0], (2 / 3) * (2 / 3) ** (n - 1), rtol=1e-9)
