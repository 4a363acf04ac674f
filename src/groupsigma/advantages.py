"""Rewards (and prompt ids) to advantages: NumPy and torch, ragged groups, on the device.

The contract: silence is decided first, on the raw rewards, by
max − min ≤ 1e-6 · max(1, |reward|); silent groups and groups of one get exact zeros,
unless the dial leaves rewards as they are (no centre, no power, no tilt). Unscorable
answers (NaN, None, ±inf) stay out of μ and σ and get 0. All arithmetic is float64, in
two passes; the result has the dtype and device of the rewards (integers and booleans:
the library's default float).
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np

from groupsigma import arrays, checks
from groupsigma.dial import GRPO, Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.sigma import TOLERANCE, advantage_table

#: Rows of a dense array worked on at a time, so that a block stays in cache.
_BLOCK = 1 << 16
#: Squares of rewards must stay in the range of floats.
_LARGEST = 1e100


def advantages(rewards: Any, dial: Dial = GRPO, *, atol: float = TOLERANCE) -> Any:
    """Advantages of groups of one size, Aᵢ = (Rᵢ − b)(s + ε)^−α (μ/(1−μ))^−τ as the dial says.

    Args:
        rewards: [..., G] array, tensor or nested list; any real numbers, NaN or None
            where an answer could not be scored.
        dial: the rule; tilt ≠ 0 needs rewards in [0, 1].
        atol: silence tolerance, relative to max(1, |reward|).

    Returns: the same shape, dtype and device; zeros in silent groups.
    Raises: ArgumentError for text, ragged lists, no reward in a group.
    Source: arXiv 2607.00152, eq. 2; docs/dial.md.

    >>> advantages([1, 0, 0, 0]).round(4).tolist()
    [1.7321, -0.5774, -0.5774, -0.5774]
    >>> advantages([[0.7] * 6]).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    expect_dial("advantages", dial)
    _tolerance("advantages", atol)
    if isinstance(rewards, np.ma.MaskedArray):
        rewards = checks.floats("advantages", "rewards", rewards)
    xp = arrays.namespace(rewards)
    if xp is np:
        given = rewards if isinstance(rewards, np.ndarray) and rewards.dtype.kind in "fbiu" else None
        array = checks.floats("advantages", "rewards", rewards) if given is None else given
        _shape("advantages", array.shape)
        return _dense_numpy(array, dial, atol)
    _shape("advantages", tuple(rewards.shape))
    tensor = rewards.detach()
    dtype = tensor.dtype if tensor.is_floating_point() else xp.get_default_dtype()
    if tensor.device.type == "cpu":
        # On the CPU a tensor is an array: same code, same bytes.
        known = tensor if tensor.dtype in (xp.float64, xp.float32) or not tensor.is_floating_point() else tensor.float()
        return xp.from_numpy(_dense_numpy(known.contiguous().numpy(), dial, atol)).to(dtype)
    return _dense_torch(tensor, dial, atol, xp).to(dtype)


def advantages_by_prompt(
    rewards: Any,
    prompt_ids: Any,
    dial: Dial = GRPO,
    weight: Literal["equal", "proportional"] = "equal",
    *,
    atol: float = TOLERANCE,
) -> Any:
    """Advantages of ragged groups: row i belongs to the group of prompt_ids[i], in any order.

    Args:
        rewards: [N] array, tensor or list, as in `advantages`.
        prompt_ids: [N] labels of any hashable kind (uids, texts, numbers; a tensor of integers).
        weight: what a prompt counts in a loss that averages over rows. "proportional":
            as its number of scorable answers, the trainers' behaviour. "equal": every
            prompt the same, A scaled by mean(G)/G. They agree when all groups are of one size.
        dial, atol: as in `advantages`.

    Returns: [N], dtype and device of the rewards; 0 in silent groups, for groups
        with one scorable answer and for unscorable rows.
    Raises: ArgumentError for lengths that differ, text rewards, an unknown weight.

    >>> advantages_by_prompt([1, 0, 1, 1, 0], ["a", "a", "b", "b", "b"], weight="proportional").round(3).tolist()
    [1.0, -1.0, 0.707, 0.707, -1.414]
    """
    who = "advantages_by_prompt"
    expect_dial(who, dial)
    _tolerance(who, atol)
    if weight not in ("equal", "proportional"):
        raise ArgumentError(who, "weight 'equal' or 'proportional'", repr(weight))
    xp = arrays.namespace(rewards)
    if xp is np:
        given = rewards if isinstance(rewards, np.ndarray) and rewards.dtype.kind == "f" else None
        r = checks.floats(who, "rewards", rewards)
        kind = given.dtype if given is not None else r.dtype
    else:
        kind = rewards.dtype if rewards.is_floating_point() else xp.get_default_dtype()
        r = rewards.detach().to(xp.float64)
    if r.ndim != 1 or len(r) != len(prompt_ids):
        raise ArgumentError(who, "one prompt id for each reward", f"{tuple(r.shape)} rewards, {len(prompt_ids)} ids")
    if xp is np:
        codes, distinct = arrays.factorize(prompt_ids)
        fold = arrays.by_code(codes, len(distinct), np)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return _ragged(r, dial, fold, weight, atol, np).astype(kind)
    if arrays.namespace(prompt_ids) is xp:
        distinct, codes = xp.unique(prompt_ids.to(r.device), return_inverse=True)
    else:
        numbers, distinct = arrays.factorize(prompt_ids)
        codes = xp.from_numpy(numbers.astype(np.int64)).to(r.device)
    return _ragged(r, dial, arrays.by_code(codes, len(distinct), xp), weight, atol, xp).to(kind)


def _dense_numpy(rewards: Any, dial: Dial, atol: float) -> Any:
    G = rewards.shape[-1]
    rows = rewards.reshape(-1, G)
    out = np.empty(rows.shape, rewards.dtype if rewards.dtype.kind == "f" else np.float64)
    batch = _batch_spread(rows.astype(np.float64), dial, np) if dial.spread == "batch" else None
    fold = arrays.first_axis(np)
    # The table knows 0 and 1 as different rewards, so the tolerance must too.
    told = dial.spread != "batch" and atol < 1
    table = advantage_table(G, dial).T.astype(out.dtype).ravel() if told else None
    step = max(1, _BLOCK // G)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for at in range(0, len(rows), step):
            block = rows[at : at + step]
            if table is not None and _look_up(block, table, out[at : at + step]):
                continue
            r = np.array(block.T, dtype=np.float64, order="C")
            out[at : at + step] = _rule(r, dial, fold, atol, np, batch).T
    return out.reshape(rewards.shape)


def _look_up(block: Any, table: Any, out: Any) -> bool:
    """Fill `out` from the table [k, reward] if the block is all 0 and 1; else leave it and say so."""
    narrow = np.uint8 if len(table) <= 256 else np.int32
    with np.errstate(invalid="ignore"):
        marks = block.astype(narrow)
    if not (marks == block).all() or marks.max(initial=0) > 1 or marks.min(initial=0) < 0:
        return False
    floats = block if block.dtype in (np.float32, np.float64) else marks.astype(np.float32)
    k = (floats @ np.ones(block.shape[1], floats.dtype)).astype(narrow)
    marks += 2 * k[:, None]
    np.take(table, marks, out=out, mode="clip")
    return True


def _dense_torch(rewards: Any, dial: Dial, atol: float, xp: Any) -> Any:
    """The general rule in one pass on the device, without waiting for it (unless a tilt must check its range)."""
    G = rewards.shape[-1]
    r = rewards.to(xp.float64).reshape(-1, G).T
    batch = _batch_spread(r, dial, xp) if dial.spread == "batch" else None
    return _rule(r, dial, arrays.first_axis(xp), atol, xp, batch).T.reshape(rewards.shape)


def _ragged(r: Any, dial: Dial, fold: arrays.Fold, weight: str, atol: float, xp: Any) -> Any:
    if len(r) == 0:
        return r
    batch = _batch_spread(r, dial, xp) if dial.spread == "batch" else None
    out = _rule(r, dial, fold, atol, xp, batch)
    if weight == "equal":
        n = fold.total(xp.isfinite(r) * xp.ones_like(r))
        mean_size = xp.sum(n) / xp.clip(xp.sum(n > 0), 1, None)
        out = out * fold.rows(mean_size / xp.where(n > 0, n, 1.0))
    return out


def _rule(r: Any, dial: Dial, fold: arrays.Fold, atol: float, xp: Any, batch: Any) -> Any:
    """The one body for every layout and library; r float64, unscorable entries not finite."""
    live = xp.isfinite(r)
    if xp is np and live.all():
        # Nothing to keep out: half of the passes fall away. Not asked on a device, where it would wait.
        n = fold.total(np.ones_like(r))
        top, bottom = fold.top(r), fold.bottom(r)
        mean = fold.total(r) / n
        off = r - fold.rows(mean)
    else:
        n = fold.total(live * xp.ones_like(r))
        top, bottom = fold.top(xp.where(live, r, -np.inf)), fold.bottom(xp.where(live, r, np.inf))
        r = xp.where(live, r, 0.0)
        mean = fold.total(r) / xp.clip(n, 1, None)
        off = xp.where(live, r - fold.rows(mean), 0.0)
    scale = xp.where(top >= bottom, xp.maximum(abs(top), abs(bottom)), 0.0)
    if xp is np and (scale > _LARGEST).any():
        hint = "scale them: GRPO does not mind"
        raise ArgumentError("advantages", f"rewards of at most {_LARGEST:g}", "a larger one", hint=hint)
    mixed = top - bottom > atol * xp.clip(scale, 1.0, None)
    if dial.tilt and bool(((top > 1) | (bottom < 0)).any()):
        raise ArgumentError(
            "advantages",
            "rewards in [0, 1] for a dial with tilt",
            "a reward outside",
            hint="dividing by a mean that can be negative would flip signs; use power alone",
        )
    squares = fold.total(off * off)
    peers = xp.clip(n - 1, 1, None)
    centred = {"mean": lambda: off, "loo": lambda: off * fold.rows(n / peers), "none": lambda: r}[dial.center]()
    if dial.power and dial.spread == "others":
        centred = centred * _others(off, fold.rows(n), fold.rows(squares), dial, xp)
    if (dial.power and dial.spread != "others") or dial.tilt:
        std = xp.sqrt(squares / xp.clip(n - dial.ddof, 1, None)) if batch is None else batch
        power = 0.0 if dial.spread == "others" else -dial.power
        if dial.tilt:
            # Both powers at once: for pass@n each alone leaves the range of floats.
            safe = xp.where(mixed, mean, 0.5)
            lean = xp.log(safe / (1 - safe))
            factor = xp.exp(power * xp.log(xp.where(mixed, std + dial.eps, 1.0)) - dial.tilt * lean)
        else:
            factor = xp.where(mixed, std + dial.eps, 1.0) ** power
        centred = centred * fold.rows(factor)
    taught = live & fold.rows(mixed) if dial.compares else live
    return xp.where(taught, centred, 0.0)


def _others(off: Any, n: Any, squares: Any, dial: Dial, xp: Any) -> Any:
    """(s + ε)^−α with s over the other answers; 1 where they all agree.

    Removing one answer leaves squares − off² n/(n−1). What remains of a group
    whose other answers agree is rounding, so it counts as 0 below the square of
    the silence tolerance (NeMo-RL #4161 divided by such a residue).
    """
    m = xp.clip(n - 1, 1, None)
    left = squares - off * off * n / m
    agree = left <= TOLERANCE**2 * squares
    std = xp.sqrt(xp.where(agree, 1.0, left) / xp.clip(m - dial.ddof, 1, None))
    return xp.where(agree, 1.0, (std + dial.eps) ** -dial.power)


def _batch_spread(r: Any, dial: Dial, xp: Any) -> Any:
    """Standard deviation over all scorable rewards of the call, two passes."""
    live = xp.isfinite(r)
    n = xp.sum(live * xp.ones_like(r))
    mean = xp.sum(xp.where(live, r, 0.0)) / xp.clip(n, 1, None)
    off = xp.where(live, r - mean, 0.0)
    return xp.sqrt(xp.sum(off * off) / xp.clip(n - dial.ddof, 1, None))


def _tolerance(who: str, atol: Any) -> None:
    if not isinstance(atol, Real) or not 0 <= float(atol) < np.inf:
        raise ArgumentError(who, "atol >= 0", repr(atol))


def _shape(who: str, shape: tuple[int, ...]) -> None:
    if not shape or shape[-1] == 0:
        raise ArgumentError(who, "rewards [..., G] with G >= 1", f"shape {shape}")
