"""The problems of a page: what is known of each, the likeliest and the least likely to be mixed first."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from groupsigma import arrays
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO, Dial
from groupsigma.drift import visits
from groupsigma.groups import Groups
from groupsigma.law import expected_gain, silent_rate
from groupsigma.mixture import Mixture

#: So many problems a page holds, half from either end.
MOST = 2000
#: Letters of an id that are shown, and visits of a problem in its curve.
LETTERS, _VISITS = 200, 32
#: Rows whose posterior is held at a time.
_BLOCK = 4096


def rows(groups: Groups, spread: Mixture | None, G: int, dial: Dial = GRPO) -> dict[str, Any]:
    """One line a problem, all of its visits together; with graded rewards their mean in place of a solve rate.

    Columns: text of the id (its first 200 letters), letters, hash where that is not all, problems it stands for,
    right, answers, solve rate (posterior mean), low and high (95 % of the posterior), silent (chance at G), update (the
    expected update under the dial, that of the mean problem is 1), history (mean reward of its last 32 visits).
    """
    single = bool((groups.count == 1).all())
    codes, labels = (
        arrays.factorize(groups.prompt_ids) if single else (np.arange(len(groups.prompt_ids)), groups.prompt_ids)
    )
    count = np.ones(len(labels), np.int64) if single else groups.count
    found = _known(groups, spread, codes, len(labels), G, dial)
    if "update" in found and (mean := float(count @ found["update"] / count.sum())) > 0:
        found["update"] = found["update"] / mean
    else:
        found.pop("update", None)
    chosen = _ends(found["silent"])
    seen = np.bincount(codes, minlength=len(labels))
    past = _history(groups, codes, chosen) if single and (seen > 1).any() else {}
    lines = []
    for i in chosen.tolist():
        numbers = {name: column[i].item() for name, column in found.items()}
        told = {**named(labels[i]), "count": int(count[i]), **numbers}
        lines.append({**told, "history": past[i]} if i in past else told)
    return {"all": len(labels), "graded": groups.graded, "exact": groups.rate is not None, "rows": lines}


def named(label: Any) -> dict[str, Any]:
    """An id as a line of the page holds it: its first letters, how many there are, and where these are not all a hash.

    >>> named("1 + 1 =")
    {'id': '1 + 1 =', 'letters': 7, 'hash': ''}
    """
    text = str(label)
    cut = hashlib.md5(text.encode("utf-8", "backslashreplace")).hexdigest()[:16] if len(text) > LETTERS else ""
    return {"id": text[:LETTERS], "letters": len(text), "hash": cut}


def _known(groups: Groups, spread: Mixture | None, codes: Ints, many: int, G: int, dial: Dial) -> dict[str, Any]:
    n = np.bincount(codes, groups.n_rollouts, many).astype(np.int64)
    seen = np.maximum(np.bincount(codes, minlength=many), 1)
    if groups.rewards is not None:
        reward = np.bincount(codes, groups.rewards.mean, many) / seen
        return {"answers": n, "rate": reward, "silent": np.bincount(codes, groups.rewards.silent, many) / seen}
    if groups.n_correct is None or spread is None:
        rate = np.bincount(codes, groups.solve_rate, many) / seen
        return {"rate": rate, "silent": silent_rate(rate, G), "update": expected_gain(rate, G, dial)}
    k = np.bincount(codes, groups.n_correct, many).astype(np.int64)
    pairs, at = np.unique(np.stack([k, n]), axis=1, return_inverse=True)
    blocks = [_believed(pairs[:, i : i + _BLOCK], spread, G, dial) for i in range(0, pairs.shape[1], _BLOCK)]
    rate, low, high, silent, update = np.concatenate(blocks, axis=1)[:, at.ravel()]
    return {"right": k, "answers": n, "rate": rate, "low": low, "high": high, "silent": silent, "update": update}


def _believed(pairs: Ints, spread: Mixture, G: int, dial: Dial) -> Floats:
    posterior = spread.posterior(pairs[0], pairs[1])
    update = posterior.expected_gain(G, dial)
    return np.stack([posterior.mean, *posterior.interval(), posterior.silent_rate(G), update])


def _ends(silent: Floats) -> Ints:
    """All rows from the least silent on; of too many, as many from either end, of equals the first in the data."""
    order = np.argsort(silent, kind="stable")
    if len(order) <= MOST:
        return order
    rest = np.sort(order[MOST // 2 :])
    last = rest[np.argsort(-silent[rest], kind="stable")][: MOST // 2]
    return np.concatenate([order[: MOST // 2], last[::-1]])


def _history(groups: Groups, codes: Ints, chosen: Ints) -> dict[int, list[float]]:
    """The mean reward of each visit, in order of step, to two digits."""
    value = groups.rewards.mean if groups.rewards is not None else groups.solve_rate
    wanted = np.zeros(int(codes.max()) + 1, dtype=bool)
    wanted[chosen] = True
    here = np.flatnonzero(wanted[codes])
    order = here[np.lexsort((visits(groups)[here], codes[here]))] if groups.step is not None else here
    past: dict[int, list[float]] = {}
    for i in order.tolist():
        past.setdefault(int(codes[i]), []).append(round(float(value[i]), 2))
    return {code: seen[-_VISITS:] for code, seen in past.items()}
