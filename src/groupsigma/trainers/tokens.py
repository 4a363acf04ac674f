"""What every adapter shares: a trainer's rows or tokens in, advantages of the dial out.

A row is an answer, or one turn of a session that has several rows. No arithmetic here: rewards of tokens are
summed, `advantages_by_prompt` does the rest, and the result goes to the tokens under the mask.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from groupsigma import arrays, checks
from groupsigma.advantages import advantages_by_prompt
from groupsigma.checks import Ints
from groupsigma.dial import GRPO, Dial
from groupsigma.errors import ArgumentError

Weight = Literal["equal", "proportional"]


def token_advantages(
    token_level_rewards: Any,
    response_mask: Any,
    index: Any,
    *,
    dial: Dial = GRPO,
    sessions: Any = None,
    turns: Any = None,
    weight: Weight = "equal",
) -> tuple[Any, Any]:
    """Advantages and returns of tokens, as verl and SkyRL ask for them.

    Args:
        token_level_rewards, response_mask: [N, T] tensors, as for `answer_rewards`.
        index, dial, sessions, turns, weight: as for `row_advantages`.

    Returns: twice the same [N, T], 0 outside of the mask; dtype and device of the rewards.

    >>> import torch
    >>> rewards, mask = torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([[1, 1], [1, 0]])
    >>> token_advantages(rewards, mask, ["a", "a"])[0].tolist()
    [[1.0, 1.0], [-1.0, -0.0]]
    """
    rewards = answer_rewards(token_level_rewards, response_mask)
    advantages = row_advantages(rewards, index, dial, sessions=sessions, turns=turns, weight=weight)
    spread = to_tokens(advantages, response_mask)
    return spread, spread


def answer_rewards(token_level_rewards: Any, response_mask: Any) -> Any:
    """[N] rewards of answers: the sums of their tokens'; NaN, unscorable, where no token is trained on.

    Args: token_level_rewards: [N, T] tensor. response_mask: [N, T], what is trained on.
    """
    if token_level_rewards.ndim != 2 or token_level_rewards.shape != response_mask.shape:
        got = f"{tuple(token_level_rewards.shape)} and {tuple(response_mask.shape)}"
        raise ArgumentError("token_advantages", "rewards and mask [N, T]", got)
    rewards = 1.0 * token_level_rewards.detach().sum(-1)
    # Only rows that do not begin with a trained token are read further: the mask is as large as the batch.
    doubtful = (response_mask[:, :1] == 0).all(-1).nonzero()[:, 0]
    rewards[doubtful[~(response_mask[doubtful] != 0).any(-1)]] = float("nan")
    return rewards


def to_tokens(advantages: Any, response_mask: Any) -> Any:
    """[N, T]: each answer's advantage at its tokens under the mask, 0 elsewhere."""
    return (advantages[:, None] * response_mask).to(advantages.dtype)


def row_advantages(
    scores: Any,
    index: Any,
    dial: Dial = GRPO,
    *,
    sessions: Any = None,
    turns: Any = None,
    weight: Weight = "equal",
) -> Any:
    """Advantages of rows: `advantages_by_prompt`, with a session of several rows counted once.

    Args:
        scores: [N] rewards; NaN, None: unscorable.
        index: [N] group ids of any hashable kind. weight: as for `advantages_by_prompt`.
        sessions: [N] ids within a group, or None. The last row of a session counts and its advantage goes to all
            of its rows; a row whose session is None or NaN stands for itself.
        turns: [N] numbers of the rows in their sessions; None: they come in order.

    Returns: [N], kind, dtype and device of the scores.

    >>> row_advantages([0.0, 1.0, 0.0], ["a"] * 3, sessions=["s", "s", None]).tolist()
    [1.0, 1.0, -1.0]
    """
    if sessions is None:
        return advantages_by_prompt(scores, index, dial, weight)
    if arrays.namespace(scores) is np:
        scores = checks.floats("row_advantages", "scores", scores)
    rows, back = last_rows(index, sessions, turns)
    if len(back) != len(scores):
        raise ArgumentError("row_advantages", "a group and a session for each row", f"{len(back)} for {len(scores)}")
    codes, _ = arrays.factorize(index)
    return advantages_by_prompt(_at(scores, rows), codes[rows], dial, weight)[_like(back, scores)]


def last_rows(index: Any, sessions: Any, turns: Any = None) -> tuple[Ints, Ints]:
    """(last row of each session [M], the session of each row [N], a number below M).

    >>> rows, back = last_rows(["a", "a", "b"], [1, 1, 1])
    >>> rows.tolist(), back.tolist()
    ([1, 2], [0, 0, 1])
    """
    groups, _ = arrays.factorize(index)
    labels = sessions.tolist() if hasattr(sessions, "tolist") else list(sessions)
    if len(labels) != len(groups):
        raise ArgumentError("sessions", "one for each row", f"{len(labels)} for {len(groups)} rows")
    # NaN is what a table makes of None; a tuple, so that no label of the trainer's is taken for a row's own.
    own = [("", i) if s is None or s != s else (s,) for i, s in enumerate(labels)]
    codes, _ = arrays.factorize(own)
    distinct, back = np.unique(groups.astype(np.int64) * (len(labels) + 1) + codes, return_inverse=True)
    order = np.arange(len(back)) if turns is None else np.argsort(np.asarray(turns), kind="stable")
    rows = np.zeros(len(distinct), dtype=np.int64)
    rows[back[order]] = order  # of several rows the last one stays
    return rows, back


def _at(x: Any, rows: Ints) -> Any:
    return x[_like(rows, x)]


def _like(rows: Ints, x: Any) -> Any:
    """Row numbers, where x is."""
    xp = arrays.namespace(x)
    return rows if xp is np else xp.from_numpy(np.asarray(rows, dtype=np.int64)).to(x.device)
