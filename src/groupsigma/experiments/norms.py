"""How large Δs is on a language model, prompt by prompt, and how far each prompt's update helps the others.

The identity says ‖g‖ = σ ‖Δs‖; shares of gradient mass take ‖Δs‖ as equal. With D = E[Δs] = ∇ log(p/(1−p)), which
a model of exact solve rates gives in one backward pass, and groups as they are drawn, both parts are measured:
E‖Δs‖² = ‖D‖² + noise. V = ∇ of the mean solve rate of held-out problems says what a unit of update is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groupsigma.bands import INTERIOR, band_of
from groupsigma.checks import Floats, Ints
from groupsigma.dial import DR_GRPO, GRPO, Dial
from groupsigma.experiments.addition import log_chances, one_thread
from groupsigma.experiments.draw import draw
from groupsigma.experiments.language import Language, Weighted
from groupsigma.law import expected_gain

#: Rules whose expected update is split by band of difficulty.
_DIALS: dict[str, Dial] = {"grpo": GRPO, "dr-grpo": DR_GRPO}


@one_thread()
def norms(
    world: Language, problem: Ints, rng: np.random.Generator, *, sizes: Sequence[int] = (4, 8, 16, 32), groups: int = 2
) -> dict[str, Any]:
    """What prompts push with, as columns over `problem`.

    Args: problem: which of the world's. sizes: G; groups: drawn of each G for each prompt.

    Returns:
        p, prompt, answer: exact solve rate, tokens of the prompt and of the right answer with its end.
        contrast: ‖D‖. worth: ⟨V, D⟩ / ‖V‖. cosine: ⟨V, D⟩ / (‖V‖ ‖D‖).
        drawn: by G, lists over groups: k, and ‖Δs‖ (None where k is 0 or G).
        bands: by dial, for G = 8 and its expected update g = Σ E[gain] D: each band's share of Σ E[gain] ‖D‖, of g
            (its part along g), and of what g is worth to the held-out problems.
    """
    rows = [world.rows[i] for i in problem]
    p = world.chances(rows)
    target = _toward(world)
    length = _length(target)
    contrast, worth = np.zeros(len(problem)), np.zeros(len(problem))
    expected = {name: expected_gain(p, 8, dial) for name, dial in _DIALS.items()}
    band = band_of(p)
    sums = {name: target.new_zeros(len(INTERIOR), len(target)) for name in _DIALS}
    for at, i in enumerate(problem):
        ids = (*world.tokenizer(rows[at]["answer"])["input_ids"], 0)
        # ∇ log p / (1 − p): right answers are one string.
        d = _slope(world, int(i), [ids], np.ones(1)) / max(1 - p[at], 1e-9)
        contrast[at], worth[at] = _length(d), float(d @ target) / length
        for name in _DIALS:
            sums[name][band[at]] += float(expected[name][at]) * d
    return {
        "p": _rounded(p, 6),
        "prompt": [len(world.prompts[i]) for i in problem],
        "answer": [len(row["answer"]) + 1 for row in rows],
        "contrast": _rounded(contrast, 4),
        "worth": _rounded(worth, 5),
        "cosine": _rounded(worth / contrast, 5),
        "drawn": {str(G): _drawn(world, problem, G, groups, rng) for G in sizes},
        "bands": {
            name: {
                "norm": _share(np.bincount(band, expected[name] * contrast, len(INTERIOR))),
                "part": _share((sums[name] @ sums[name].sum(0)).cpu().numpy()),
                "worth": _share((sums[name] @ target).cpu().numpy()),
            }
            for name in _DIALS
        },
    }


def _drawn(world: Language, problem: Ints, G: int, groups: int, rng: np.random.Generator) -> dict[str, Any]:
    """k and ‖Δs‖ of real groups of G."""
    k = np.zeros((groups, len(problem)), dtype=np.int64)
    size = np.full((groups, len(problem)), np.nan)
    prompts = [world.prompts[i] for i in problem]
    for group in range(groups):
        came = draw(world.model, prompts, np.full(len(problem), G), rng, most=world.most)
        right = world.judged(problem[came.prompt], came.ids)
        k[group] = np.bincount(came.prompt, came.count * right, len(problem))
        starts = np.searchsorted(came.prompt, np.arange(len(problem) + 1))
        for at in np.flatnonzero((k[group] > 0) & (k[group] < G)):
            here = slice(starts[at], starts[at + 1])
            won = right[here]
            weight = came.count[here] * np.where(won, 1 / k[group, at], -1 / (G - k[group, at]))
            size[group, at] = _length(_slope(world, int(problem[at]), came.ids[here], weight))
    return {"k": k.tolist(), "size": [[None if x != x else round(x, 4) for x in row] for row in size.tolist()]}


def _slope(world: Language, i: int, ids: Sequence[tuple[int, ...]], weight: Floats) -> Tensor:
    """∇ Σ weight · log π(answer | prompt), over all parameters."""
    logs, _ = world.log_likelihoods(Weighted(np.full(len(ids), i), list(ids), weight))
    return _flat(world, logs.sum(1) @ torch.as_tensor(weight, dtype=logs.dtype, device=logs.device))


def _toward(world: Language) -> Tensor:
    """V: the gradient of the mean solve rate of the held-out problems."""
    return _flat(world, log_chances(world.model, world.tokenizer, world.held_rows).exp().mean())


def _flat(world: Language, value: Tensor) -> Tensor:
    """Its gradient, float64, where the model is: there are several a prompt, and each is as long as the model."""
    found = torch.autograd.grad(value, list(world.model.parameters()))
    return torch.cat([g.flatten() for g in found]).double()


def _length(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x))


def _share(x: Any) -> list[float]:
    return [round(float(v), 5) for v in x / x.sum()]


def _rounded(x: Floats, digits: int) -> list[float]:
    return [round(float(v), digits) for v in x]
