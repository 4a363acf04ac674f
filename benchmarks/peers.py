"""What we compare with: formulas written here, and other people's packages where they are installed."""

from __future__ import annotations
import __future__

import ast
import math
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def textbook_gain(p: Any, G: int, sigma_first: bool = False) -> Any:
    """E[σ] as it is written down: Σ_k C(G,k) √(k(G−k)) p^k (1−p)^(G−k) / G, all p and k at once in float64.

    Multiplied from the left, C(G,k) √(k(G−k)) overflows from G = 1021 on; `sigma_first`
    divides by G before that and goes on to G = 1029, where C(G,k) itself overflows.
    """
    k = np.arange(G + 1)
    choose = np.array([float(math.comb(G, i)) for i in range(G + 1)])
    x = p[:, None]
    with np.errstate(all="ignore"):
        if sigma_first:
            return (choose * (np.sqrt(k * (G - k)) / G) * x**k * (1 - x) ** (G - k)).sum(1)
        return (choose * np.sqrt(k * (G - k)) * x**k * (1 - x) ** (G - k) / G).sum(1)


def scipy_gain(p: Any, G: int) -> Any:
    """The same through scipy's binomial probabilities, each distinct p once."""
    from scipy.stats import binom

    distinct, inverse = np.unique(p, return_inverse=True)
    k = np.arange(G + 1)
    return (binom.pmf(k, G, distinct[:, None]) @ (np.sqrt(k * (G - k)) / G))[inverse]


def scipy_required_group_size(p: float, fidelity: float) -> int:
    """The smallest G that realises `fidelity` of √(p(1−p)), by trying G = 2, 3, …"""
    from scipy.stats import binom

    limit, G = fidelity * math.sqrt(p * (1 - p)), 2
    while True:
        k = np.arange(G + 1)
        if binom.pmf(k, G, p) @ np.sqrt(k * (G - k)) / G >= limit:
            return G
        G += 1


def verl_function(name: str) -> Any:
    """A function of the installed verl's GRPO advantages, or None.

    Importing verl needs ray and more, so the function and the helpers it calls are
    compiled on their own out of the installed files; nothing of verl is kept here.
    """
    spec = find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        return None
    import torch

    root = Path(spec.submodule_search_locations[0])
    space: dict[str, Any] = {"torch": torch, "np": np, "defaultdict": defaultdict}
    helpers = {"_resolve_device", "_to_1d_numpy_object_array", "as_torch_index", "group_mean_std"}
    for file, wanted in (("utils/groupwise.py", helpers), ("trainer/ppo/core_algos.py", {name})):
        tree = ast.parse((root / file).read_text(encoding="utf-8"))
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
        for node in tree.body:
            node.decorator_list = []
        # Annotations stay text: the types they name are not there.
        exec(compile(tree, file, "exec", flags=__future__.annotations.compiler_flag), space)
    return space.get(name)


def heap_greedy(weight, p, budget, most):
    """The greedy everyone writes: the best first block and then single tries from a heap, one problem at a time."""
    import heapq

    from groupsigma import Goal, group_value

    value = weight @ group_value(p[:, None], np.arange(most + 1)[None, :], Goal())
    first = value[:, 2:] / np.arange(2, most + 1)
    entry = first.argmax(1) + 2
    heap = [(-s, i, e) for i, (s, e) in enumerate(zip(first.max(1).tolist(), entry.tolist(), strict=True))]
    heapq.heapify(heap)
    tries, left, total = np.zeros(len(value), dtype=int), budget, 0.0
    while heap and left > 0:
        slope, i, size = heapq.heappop(heap)
        if size > left:
            continue
        tries[i] += size
        left -= size
        total -= slope * size
        if tries[i] < most:
            heapq.heappush(heap, (value[i, tries[i]] - value[i, tries[i] + 1], i, 1))
    return total
