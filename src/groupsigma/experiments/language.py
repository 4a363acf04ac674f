"""A language model as a world in which ways to spend answers compete: real answers, real gradients, exact solve rates.

What a TRL trainer does in a step, lean: answers are drawn by `draw`, each different one counts as often as it came,
and silent groups, whose gradient is 0, cost no backward pass. The update is TRL's: Adam, the gradient's norm cut
at 1, the loss −Σ A log π(y|x) over the step's answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groupsigma.checkers import exact
from groupsigma.checks import Floats, Ints
from groupsigma.experiments import addition
from groupsigma.experiments.addition import Row, one_thread
from groupsigma.experiments.draw import Answers, draw
from groupsigma.experiments.precision import autocast, place
from groupsigma.experiments.worlds import Drawn
from groupsigma.mixture import Mixture

#: Sequences in one backward pass: few on a CPU, so that its numbers stay in cache; more on a GPU, to fill it.
_ROWS, _WIDE = 128, 256

#: How an answer's tokens add up in the loss: all of them, as in the paper, or their mean, as in GRPO.
Lengths = Literal["sum", "mean"]


@dataclass(frozen=True, eq=False)
class Weighted:
    """Different answers with what each pushes with: count · A, float64 [A]; of G answers or of more."""

    prompt: Ints
    ids: list[tuple[int, ...]]
    push: Floats


class Language:
    """A policy, its optimiser and its problems.

    Attributes:
        model, tokenizer: the policy. rows: the problems. batch: answers a step.
        rng: all that is random. step, answers, tokens: so far; sampling: seconds that took.
        columns, spread: what is known of the problems before the first answer, if anything.
    """

    def __init__(
        self,
        start: Path,
        rows: Sequence[Row],
        held_out: Sequence[Row],
        *,
        batch: int,
        learning_rate: float,
        seed: int,
        lengths: Lengths = "sum",
        columns: Floats | None = None,
        spread: Mixture | None = None,
    ) -> None:
        self.model, self.tokenizer = addition.load(start)
        self.rows, self.held_rows, self.batch, self.lengths = rows, held_out, batch, lengths
        self.prompts: list[list[int]] = self.tokenizer([row["prompt"] for row in rows])["input_ids"]
        self.most = max(len(row["answer"]) for row in rows) + 1
        self.rng = np.random.default_rng([seed, 2607])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=learning_rate, weight_decay=0.0)
        self.step = self.answers = self.tokens = 0
        self.sampling = 0.0
        self._drawn: list[tuple[Answers, NDArray[np.bool_]]] = []
        self.columns, self.spread = columns, spread
        self._chances, self._looked = np.zeros(0), -1

    @property
    def problems(self) -> int:
        """How many there are to train on."""
        return len(self.rows)

    @property
    def p(self) -> Floats:
        """Today's solve rates, exact; a chooser that is no oracle must not look."""
        if self.step != self._looked:
            self._chances, self._looked = self.chances(self.rows), self.step
        return self._chances

    @property
    def held_out(self) -> float:
        """Mean solve rate of problems never trained on."""
        return float(self.chances(self.held_rows).mean())

    def rates(self, problem: Ints) -> Floats:
        """Today's exact solve rates of some problems; a chooser that is no oracle must not look."""
        return self.chances([self.rows[i] for i in problem])

    def chances(self, rows: Sequence[Row]) -> Floats:
        """Today's exact solve rates of some rows."""
        return addition.solve_chances(self.model, self.tokenizer, rows)

    @one_thread()
    def sample(self, problem: Ints, n: Ints) -> Ints:
        """Right ones of n more answers to each problem; they are kept until `learn`."""
        began = time.perf_counter()
        came = draw(self.model, [self.prompts[i] for i in problem], n, self.rng, most=self.most)
        right = self.judged(problem[came.prompt], came.ids)
        self.answers += int(came.count.sum())
        self.tokens += int(came.count @ np.array([len(ids) for ids in came.ids]))
        self._drawn.append((Answers(problem[came.prompt], came.count, came.ids), right))
        self.sampling += time.perf_counter() - began
        return np.bincount(came.prompt, came.count * right, len(problem)).astype(np.int64)

    def judged(self, problem: Ints, ids: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
        """Whether each answer, as token ids, is right."""
        # Decoding no answer gives one, an empty one.
        texts = self.tokenizer.batch_decode([list(answer) for answer in ids], skip_special_tokens=True) if ids else []
        return np.array([bool(exact(text, self.rows[i])) for text, i in zip(texts, problem, strict=True)], dtype=bool)

    def learn(self, drawn: Drawn) -> float:
        """One update by what counts of the step's answers; returns the norm of its gradient before the cut."""
        norm = self.update(self.weighted(drawn))
        self._drawn, self.step = [], self.step + 1
        return norm

    def answered(self) -> tuple[Ints, Ints, NDArray[np.bool_], list[tuple[int, ...]]]:
        """The step's different answers: problem, how often it came, whether it is right, token ids."""
        prompt = np.concatenate([a.prompt for a, _ in self._drawn])
        count = np.concatenate([a.count for a, _ in self._drawn])
        right = np.concatenate([r for _, r in self._drawn])
        return prompt, count, right, [ids for a, _ in self._drawn for ids in a.ids]

    def weighted(self, drawn: Drawn) -> Weighted:
        """The step's different answers, each with what it pushes with.

        A problem's right answers share its `plus` alike, its wrong ones its `minus`, whatever calls they came from.
        """
        prompt, count, right, ids = self.answered()
        # A problem may have several groups, where one pass through the data ends and the next begins: they add up.
        won, lost = (np.maximum(np.bincount(prompt, count * x, self.problems), 1) for x in (right, ~right))
        plus = np.bincount(drawn.problem, drawn.plus, self.problems) / won
        minus = np.bincount(drawn.problem, drawn.minus, self.problems) / lost
        push = count * np.where(right, plus[prompt], -minus[prompt])
        some = np.flatnonzero(push)
        return Weighted(prompt[some], [ids[i] for i in some], push[some].astype(np.float64))

    @one_thread()
    def update(self, told: Weighted) -> float:
        """−∇ of −(1/N) Σ push · log π, N answers a step, a token's share 1/most, or 1/|y|; then Adam's step."""
        for parameter in self.model.parameters():
            # 0 and not none: after a step of silent groups alone Adam goes on by its momentum, as it does in a trainer.
            parameter.grad = torch.zeros_like(parameter)
        for part in self._parts(told):
            logs, counts = self.log_likelihoods(part)
            each = logs.sum(1) / (counts.sum(1) if self.lengths == "mean" else self.most)
            push = torch.as_tensor(part.push / self.batch, dtype=each.dtype, device=each.device)
            torch.autograd.backward(-(push * each).sum())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(norm)

    def _parts(self, told: Weighted) -> list[Weighted]:
        """Answers to prompts of like length together: little padding."""
        size = _ROWS if place(self.model).type == "cpu" else _WIDE
        order = np.argsort([len(self.prompts[i]) for i in told.prompt], kind="stable")
        cuts = [order[start : start + size] for start in range(0, len(order), size)]
        return [Weighted(told.prompt[some], [told.ids[i] for i in some], told.push[some]) for some in cuts]

    def log_likelihoods(self, part: Weighted) -> tuple[Tensor, Tensor]:
        """log π of each token of each answer, 0 where there is none, [A, T]; and where there is one."""
        asked = [self.prompts[i] for i in part.prompt]
        # Every prompt ends at the same place: answers line up behind it, and only their logits are computed.
        before, width, device = max(map(len, asked)), max(map(len, part.ids)), place(self.model)
        ids = torch.tensor(
            [
                [0] * (before - len(q)) + q + list(a) + [0] * (width - len(a))
                for q, a in zip(asked, part.ids, strict=True)
            ]
        )
        lengths = torch.tensor([before - len(q) for q in asked])
        counts = torch.arange(width) < torch.tensor([len(a) for a in part.ids])[:, None]
        mask = (torch.arange(before + width) >= lengths[:, None]).long()
        at = (mask.cumsum(1) - 1).clamp(min=0)
        ids, mask, at, counts = (x.to(device) for x in (ids, mask, at, counts))
        with autocast(self.model):
            out = self.model(
                input_ids=ids[:, :-1], attention_mask=mask[:, :-1], position_ids=at[:, :-1], logits_to_keep=width
            )
        logs = torch.log_softmax(out.logits, -1).gather(-1, ids[:, before:, None])[..., 0]
        return logs * counts, counts
