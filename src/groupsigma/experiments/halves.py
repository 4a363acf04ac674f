"""How noisy a contrast is, measured on a step's own answers: the halves of a group, over all parameters.

Of two halves of one problem's answers ⟨Δs₁, Δs₂⟩ is ‖D‖² on average, D = E Δs, and ‖Δs₁ − Δs₂‖² is noise alone,
τ²(1/n₁ + 1/n₂) with n = k f/(k + f) contrast pairs in a half of k right and f wrong. n₀ = τ²/‖D‖².
"""

from __future__ import annotations

import numpy as np
import torch

from groupsigma.checks import Floats, Ints
from groupsigma.experiments.addition import one_thread
from groupsigma.experiments.language import Language, Weighted


@one_thread()
def contrast_halves(world: Language, problem: Ints) -> Floats:
    """Sums of ⟨Δs₁, Δs₂⟩ and of ‖Δs₁ − Δs₂‖²/(1/n₁ + 1/n₂) over those that can be halved, float64 [2].

    Args: problem: of this step's; those with two right and two wrong answers or more are halved at random.
    """
    prompt, count, right, ids = world.answered()
    sums = np.zeros(2)
    for i in problem:
        here = np.flatnonzero(prompt == i)
        each = [world.rng.permutation(np.repeat(here, count[here] * mine)) for mine in (right[here], ~right[here])]
        if min(map(len, each)) < 2:
            continue
        parts, pairs = [], []
        for half in (0, 1):
            won, lost = (side[half::2] for side in each)
            weight = np.zeros(len(prompt))
            np.add.at(weight, won, 1 / len(won))
            np.add.at(weight, lost, -1 / len(lost))
            used = np.flatnonzero(weight)
            told = Weighted(np.full(len(used), i), [ids[a] for a in used], weight[used])
            logs, _ = world.log_likelihoods(told)
            value = logs.sum(1) @ torch.as_tensor(told.push, dtype=logs.dtype, device=logs.device)
            found = torch.autograd.grad(value, list(world.model.parameters()))
            parts.append(torch.cat([g.flatten() for g in found]).double())
            pairs.append(len(won) * len(lost) / (len(won) + len(lost)))
        noise = ((parts[0] - parts[1]) ** 2).sum() / (1 / pairs[0] + 1 / pairs[1])
        sums += [float(parts[0] @ parts[1]), float(noise)]
    return sums
