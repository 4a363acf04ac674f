"""Where the identity stops: a batch used again, answers of an older policy, KL; how far updates are from Σ σ Δs.

On fresh answers a trainer's update is the mean of σ Δs over groups (Theorem 1). Where an older policy drew them, ratios
r = π/π_old come in, clipped: a token gives min(r A, clip(r, 1 − ε, 1 + ε_high) A), as in TRL 1.16. It is held against
σ Δs of the same answers, their scores at today's parameters. KL adds β (exp(d) − d − 1), d = log π_ref − log π, for
every token of every answer. All that is summed over tokens is divided by N · most (TRL's loss_type dr_grpo).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groupsigma.advantages import advantages
from groupsigma.checks import Floats, Ints
from groupsigma.dial import GRPO
from groupsigma.experiments import addition
from groupsigma.experiments.addition import one_thread
from groupsigma.experiments.arms import Passes
from groupsigma.experiments.language import Language, Weighted
from groupsigma.experiments.worlds import Drawn
from groupsigma.sigma import sigma

#: ε below and above 1: GRPO's, DAPO's, and ratios alone.
CLIPS: Mapping[str, tuple[float, float]] = {"grpo": (0.2, 0.2), "dapo": (0.2, 0.28), "none": (np.inf, np.inf)}
#: TRL's KL term as GRPO published it, and times the ratio: TRL's default, use_bias_correction_kl.
ESTIMATORS: Mapping[str, bool] = {"published": False, "corrected": True}
#: What policies are warmed up with before a batch is drawn: its answers do not depend on the rate that is looked at.
WARM = 2e-4
#: Sequences in one backward pass, as in `Language`; groups of a kind whose norms are taken one by one.
_ROWS, _FEW = 128, 16


@dataclass(frozen=True, eq=False)
class Batch:
    """Different answers to groups of G, and how often each came.

    Attributes:
        problem, count: [A]. ids: A token sequences. right: [A]; k: right ones of an answer's group, [A].
        old: log π of each token under the policy that ratios or KL are held against, [A, most].
        N: answers that the mean is over; those of silent groups count.
    """

    problem: Ints
    count: Floats
    ids: list[tuple[int, ...]]
    right: NDArray[np.bool_]
    k: Ints
    old: Tensor
    G: int
    N: int

    @property
    def advantage(self) -> Floats:
        """A of each answer as a trainer has it: (R − μ)/σ of its group's rewards."""
        table = advantages((np.arange(self.G) < self.k[:, None]).astype(np.float64), GRPO)
        return np.where(self.right, table[:, 0], table[:, -1])

    @property
    def pull(self) -> Floats:
        """What the identity weighs an answer's score with, times G: σ G/k of a right one, −σ G/(G − k) of another."""
        return sigma(self.k, self.G) * self.G / np.where(self.right, self.k, self.k - self.G)

    @property
    def mixed(self) -> NDArray[np.bool_]:
        """Whether an answer's group is, [A]."""
        return (self.k > 0) & (self.k < self.G)

    def part(self, some: Ints, count: Floats | None = None, N: int | None = None) -> Batch:
        """Some of the answers, as often as said."""
        return Batch(
            self.problem[some], self.count[some] if count is None else count, [self.ids[i] for i in some],
            self.right[some], self.k[some], self.old[some], self.G, N or self.N,
        )  # fmt: skip


#: What is summed over tokens, of log π [A, T].
Objective = Callable[[Batch, Tensor], Tensor]


def theorem(part: Batch, logs: Tensor) -> Tensor:
    """Its gradient is Σ σ Δs."""
    return _column(part.pull, logs) * logs


def surrogate(clip: tuple[float, float]) -> Objective:
    """min(r A, clip(r, 1 − ε, 1 + ε_high) A): what TRL's loss is minus the mean of."""

    def value(part: Batch, logs: Tensor) -> Tensor:
        ratio, A = torch.exp(logs - part.old[:, : logs.shape[1]]), _column(part.advantage, logs)
        return torch.minimum(ratio * A, ratio.clamp(1 - clip[0], 1 + clip[1]) * A)

    return value


def penalty(corrected: bool, chosen: Callable[[Batch], NDArray[np.bool_]] | None = None) -> Objective:
    """exp(d) − d − 1, d = log π_ref − log π, of some answers; corrected: times r, here 1, whose gradient counts."""

    def value(part: Batch, logs: Tensor) -> Tensor:
        d = part.old[:, : logs.shape[1]] - logs
        k3 = torch.exp(d) - d - 1
        if corrected:
            k3 = k3 * torch.exp(logs - logs.detach())
        return k3 if chosen is None else k3 * _column(chosen(part), logs)

    return value


@one_thread()
def updates(world: Language, batch: Batch, objectives: Sequence[Objective]) -> Floats:
    """∇ of each objective's sum / (N · most), all from one forward pass, float64 [objectives, parameters]."""
    parameters = list(world.model.parameters())
    total = np.zeros((len(objectives), sum(p.numel() for p in parameters)))
    for some in _cuts(world, batch):
        part = batch.part(some)
        logs = _logs(world, part)
        for row, objective in zip(total, objectives, strict=True):
            value = (_column(part.count, logs) * objective(part, logs)).sum()
            gradients = torch.autograd.grad(value, parameters, retain_graph=True)
            row += torch.cat([g.flatten() for g in gradients]).numpy()
    return total / (batch.N * world.most)


class Steered(Language):
    """A policy that `learn` moves along `way` where one is given, and by GRPO where none is."""

    way: Floats | None = None

    def update(self, told: Weighted) -> float:
        """The optimiser's step along `way`, which is then used up."""
        if self.way is None:
            return super().update(told)
        way, self.way = self.way, None
        return take(self, way)


def take(world: Language, update: Floats) -> float:
    """The optimiser's step along an update, cut to norm 1 as in `Language.update`; returns the norm before."""
    parameters = list(world.model.parameters())
    pieces = np.split(-update, np.cumsum([p.numel() for p in parameters])[:-1])
    for p, piece in zip(parameters, pieces, strict=True):
        p.grad = torch.as_tensor(piece, dtype=p.dtype).view_as(p)
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    world.optimizer.step()
    return float(norm)


def fresh(world: Language, choose: Passes) -> tuple[Batch, Drawn]:
    """A step's answers, drawn now; `world.learn` has still to be told of them."""
    drawn = choose(world)
    # Right ones push with +1, wrong ones with −1: so that silent groups' answers are told as well.
    every = world.weighted(replace(drawn, plus=drawn.right, minus=drawn.wrong))
    k = np.zeros(world.problems, dtype=np.int64)
    k[drawn.problem] = drawn.right
    batch = Batch(
        every.prompt, np.abs(every.push), every.ids, every.push > 0, k[every.prompt], torch.zeros(0), choose.G,
        drawn.answers,
    )  # fmt: skip
    return against(world, batch), drawn


@one_thread()
def against(world: Language, batch: Batch) -> Batch:
    """The batch with log π of a policy as it is now."""
    old = torch.zeros(len(batch.ids), world.most, dtype=world.model.dtype)
    bare = replace(batch, old=old)
    with torch.no_grad():
        for some in _cuts(world, bare):
            logs = _logs(world, bare.part(some))
            old[some, : logs.shape[1]] = logs
    return bare


def clipped(batch: Batch, now: Tensor, clip: tuple[float, float]) -> float:
    """Share of a batch's tokens that the clip leaves no gradient: r > 1 + ε_high and A > 0, or r < 1 − ε and A < 0.

    Args: now: log π of today, as `batch.old`.
    """
    ratio, A = torch.exp(now - batch.old).numpy(), batch.advantage[:, None]
    cut = ((ratio > 1 + clip[1]) & (A > 0)) | ((ratio < 1 - clip[0]) & (A < 0))
    return float(batch.count @ cut.sum(1)) / _tokens(batch)


def compared(u: Floats, g: Floats) -> dict[str, float]:
    """‖u − g‖/‖g‖, their cosine, and ‖u‖/‖g‖."""
    size, other = np.linalg.norm(g), np.linalg.norm(u)
    return {
        "distance": _short(np.linalg.norm(u - g) / size),
        "cosine": _short(u @ g / (size * other)) if other else 0.0,
        "length": _short(other / size),
    }


# ---- several updates from one batch -------------------------------------------------------------


def passes(
    start: Path,
    setting: addition.Setting,
    learning_rate: float,
    clip: str,
    seed: int,
    *,
    prompts: int = 128,
    G: int = 8,
    K: int = 8,
    M: int = 1,
    torn: bool = False,
    warm: int = 20,
) -> dict[str, Any]:
    """K passes over one batch in M mini-batches: how far each update is from Σ σ Δs, and what it brought.

    Args: clip: by name in CLIPS. torn: mini-batches of single answers, as TRL shuffles them, not of whole groups.
        warm: updates before at the rate WARM, each by a fresh batch: Adam's first is as long as a dozen later ones.

    Returns: `updates`, each with the trainer's update u against Σ σ Δs of the same answers `today`, and as it was
        at the `start`; without clipping (`ratio`); ‖what clipping takes‖/‖Σ σ Δs‖ (`cut`); the share of `clipped`
        tokens; how far today's Σ σ Δs itself has `moved` since the start; u against that of the `whole` batch;
        and `held_out` accuracy after it, beside that after as many updates by `fresh` batches. Before all:
        `held_out`, and `pushing`, the share of tokens that are in mixed groups.
        Of torn groups it is Σ A s of the answers at hand: the identity holds for whole groups only.
    """
    world, choose = _warmed(start, setting, prompts * G, learning_rate, seed, G, warm)
    other = _copy(world)
    batch, _ = fresh(world, choose)
    whole, parts = pushing(batch), minis(batch, M, torn, world.rng)
    first = [updates(world, part, [theorem])[0] for part in parts]
    found: dict[str, Any] = {"held_out": _short(world.held_out), "pushing": _short(_tokens(whole) / _tokens(batch))}
    told = found["updates"] = []
    bare, shut = surrogate(CLIPS["none"]), surrogate(CLIPS[clip])
    for _ in range(K):
        for part, before in zip(parts, first, strict=True):
            g, free, u = updates(world, part, [theorem, bare, shut])
            every = updates(world, whole, [theorem])[0] if M > 1 else g
            told.append(
                {
                    "today": compared(u, g),
                    "start": compared(u, before),
                    "ratio": compared(free, g),
                    "cut": _short(np.linalg.norm(u - free) / np.linalg.norm(g)),
                    "clipped": _short(clipped(part, against(world, part).old, CLIPS[clip])),
                    "moved": compared(g, before)["distance"],
                    "whole": compared(u, every),
                    "norm": _short(np.linalg.norm(u)),
                }
            )
            take(world, u)
            other.learn(choose(other))
            told[-1] |= {"held_out": _short(world.held_out), "fresh": _short(other.held_out)}
    return found


def minis(batch: Batch, M: int, torn: bool, rng: np.random.Generator) -> list[Batch]:
    """What pushes of a batch, in M mini-batches of N/M answers: whole groups, or answers shuffled one by one."""
    row = np.repeat(np.arange(len(batch.ids)), batch.count.astype(np.int64))
    unit = np.arange(len(row)) if torn else np.unique(batch.problem[row], return_inverse=True)[1]
    units = int(unit.max()) + 1
    mini = rng.permutation(units)[unit] * M // units
    came = [np.unique(row[mini == m], return_counts=True) for m in range(M)]
    return [pushing(batch.part(some, count.astype(np.float64), batch.N // M)) for some, count in came]


def pushing(batch: Batch) -> Batch:
    """The answers of mixed groups; the mean stays over all."""
    return batch.part(np.flatnonzero(batch.mixed))


# ---- answers of an older policy -----------------------------------------------------------------


def stale(
    start: Path,
    setting: addition.Setting,
    seed: int,
    *,
    learning_rate: float = 2e-4,
    ages: Sequence[int] = (0, 1, 2, 4, 8, 16),
    groups: int = 32,
    prompts: int = 128,
    G: int = 8,
    warm: int = 20,
) -> list[dict[str, Any]]:
    """Mixed groups drawn so many updates ago, the updates made on other answers: each group's update against its σ Δs.

    Returns: for each age, by name in CLIPS, `distance`, `cosine`, `length` and `clipped` of each group, as lists in the
        order of `k`, and of `all` of them in one update.
    """
    world, choose = _warmed(start, setting, prompts * G, learning_rate, seed, G, warm)
    # Drawn by a copy: the policy itself goes on without these answers.
    batch, drawn = fresh(_copy(world), choose)
    alone = _groups(batch, drawn.problem[(drawn.right > 0) & (drawn.wrong > 0)][:groups])
    found = []
    for age in range(max(ages) + 1):
        if age:
            world.learn(choose(world))
        if age in ages:
            found.append({"age": age, "k": [int(one.k[0]) for one in alone], **_aged(world, alone)})
    return found


def _aged(world: Language, alone: Sequence[Batch]) -> dict[str, Any]:
    objectives = [theorem, *(surrogate(clip) for clip in CLIPS.values())]
    total = np.zeros(0)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in CLIPS}
    for one in alone:
        g, *us = came = updates(world, one, objectives)
        now, total = against(world, one).old, total + came if len(total) else came
        for (name, clip), u in zip(CLIPS.items(), us, strict=True):
            rows[name].append(compared(u, g) | {"clipped": _short(clipped(one, now, clip))})
    return {
        name: {key: [row[key] for row in rows[name]] for key in rows[name][0]} | {"all": compared(u, total[0])}
        for name, u in zip(CLIPS, total[1:], strict=True)
    }


# ---- KL -----------------------------------------------------------------------------------------

_KINDS: Mapping[str, Callable[[Batch], NDArray[np.bool_]]] = {
    "all_right": lambda part: part.k == part.G,
    "all_wrong": lambda part: part.k == 0,
    "mixed": lambda part: part.mixed,
}


def kl(
    start: Path,
    setting: addition.Setting,
    seed: int,
    *,
    beta: float = 0.0,
    learning_rate: float = 2e-4,
    looks: Sequence[int] = (0, 25, 50, 100),
    prompts: int = 128,
    G: int = 8,
) -> list[dict[str, Any]]:
    """Trained from the start, its reference, by g − β h: g the mean of σ Δs, h the KL term's gradient over all answers.

    Returns: after so many updates, of a fresh batch: held-out accuracy; `kl` a token, as TRL logs it; the share of
        `groups` of each kind; and by name in ESTIMATORS `size` ‖h‖/‖g‖ (times β is how far the update is from Σ σ Δs),
        the `cosine` of g and h, `share` of each kind of group in ‖h‖² (h·h_kind/‖h‖²), and `apiece` median norms
        of one group: of h by kind, and of σ Δs (`identity`). Without drift h = 0: None.
    """
    world = _language(start, setting, prompts * G, learning_rate, seed)
    reference = _language(start, setting, prompts * G, learning_rate, seed)
    choose, found = Passes(GRPO, G), []
    for step in range(max(looks) + 1):
        if not beta and step not in looks:
            world.learn(choose(world))
            continue
        batch, drawn = fresh(world, choose)
        batch = against(reference, batch)
        if step in looks:
            found.append({"updates": step, **_pulled(world, batch, drawn)})
        if beta:
            g, h = updates(world, batch, [theorem, penalty(False)])
            world.way = g - beta * h
        world.learn(drawn)
    return found


def _pulled(world: Language, batch: Batch, drawn: Drawn) -> dict[str, Any]:
    now = against(world, batch).old
    k3 = torch.exp(batch.old - now) - (batch.old - now) - 1
    penalties = [penalty(corrected, chosen) for corrected in ESTIMATORS.values() for chosen in _KINDS.values()]
    g, *parts = updates(world, batch, [theorem, *penalties])
    kinds = {"all_right": drawn.wrong == 0, "all_wrong": drawn.right == 0}
    kinds["mixed"] = ~(kinds["all_right"] | kinds["all_wrong"])
    every = [theorem, *map(penalty, ESTIMATORS.values())]
    # Norms of g and of each h, a row a group.
    alone = {
        kind: np.array([np.linalg.norm(updates(world, one, every), axis=1) for one in _groups(batch, drawn.problem[x])])
        for kind, x in ((kind, np.flatnonzero(some)[:_FEW]) for kind, some in kinds.items())
    }
    told: dict[str, Any] = {
        "held_out": _short(world.held_out),
        "kl": _short(float(batch.count @ k3.sum(1).numpy()) / _tokens(batch)),
        "groups": {kind: _short(np.mean(some)) for kind, some in kinds.items()},
    }
    for column, name in enumerate(ESTIMATORS, 1):
        by_kind = dict(zip(_KINDS, parts[(column - 1) * len(_KINDS) :], strict=False))
        h = np.sum(list(by_kind.values()), 0)
        square, seen = h @ h, compared(h, g)
        apiece = {kind: _short(np.median(rows[:, column])) if len(rows) else None for kind, rows in alone.items()}
        told[name] = {
            "size": seen["length"],
            "cosine": seen["cosine"] if square else None,
            "share": {kind: _short(h @ part / square) if square else None for kind, part in by_kind.items()},
            "apiece": apiece | {"identity": _short(np.median(alone["mixed"][:, 0]))},
        }
    return told


# ---- what all of them use -----------------------------------------------------------------------


def _language(start: Path, setting: addition.Setting, batch: int, learning_rate: float, seed: int) -> Steered:
    return Steered(start, *addition.data(setting), batch=batch, learning_rate=learning_rate, seed=seed)


def _warmed(
    start: Path, setting: addition.Setting, batch: int, learning_rate: float, seed: int, G: int, updates: int
) -> tuple[Steered, Passes]:
    """A policy after so many updates by GRPO, its problems to come, and its learning rate from now on."""
    world, choose = _language(start, setting, batch, WARM, seed), Passes(GRPO, G)
    for _ in range(updates):
        world.learn(choose(world))
    for group in world.optimizer.param_groups:
        group["lr"] = learning_rate
    return world, choose


def _copy(world: Steered) -> Steered:
    """The same policy and optimiser, with a chance of its own."""
    made = deepcopy(world)
    (made.rng,) = world.rng.spawn(1)
    return made


def _groups(batch: Batch, problem: Ints) -> list[Batch]:
    """The groups of some problems, each for itself."""
    return [batch.part(np.flatnonzero(batch.problem == i), N=batch.G) for i in problem]


def _cuts(world: Language, batch: Batch) -> list[Ints]:
    """Answers to prompts of like length together, as in `Language`."""
    order = np.argsort([len(world.prompts[i]) for i in batch.problem], kind="stable")
    return [order[start : start + _ROWS] for start in range(0, len(order), _ROWS)]


def _logs(world: Language, part: Batch) -> Tensor:
    return world.log_likelihoods(Weighted(part.problem, part.ids, part.count))[0]


def _column(values: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype)[:, None]


def _tokens(batch: Batch) -> float:
    return float(batch.count @ np.array([len(ids) for ids in batch.ids]))


def _short(x: Any) -> float:
    """Six digits are enough for a curve."""
    return float(f"{x:.6g}")
