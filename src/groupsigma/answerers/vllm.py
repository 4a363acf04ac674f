"""A model on this machine's GPUs, through vLLM, which batches by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from groupsigma.answerers import Answered, Sampling, no_model
from groupsigma.errors import ArgumentError
from groupsigma.problems import Prompt, turns_of

#: Problems handed over at a time: enough to fill a GPU, few enough to lose.
CHUNK = 256


class VllmModel:
    """A model that vLLM can load; each problem has a seed of its own, its n answers that one, the next, and so on."""

    def __init__(self, model: str, sampling: Sampling, *, chat: bool = False) -> None:
        try:
            from vllm import LLM, SamplingParams  # type: ignore[import-not-found]
        except ImportError as error:
            raise ArgumentError("--engine vllm", "the package vllm", str(error), hint="pip install vllm") from None
        self.sampling, self.chat, self.params = sampling, chat, SamplingParams
        try:
            self.model = LLM(model=model)
        # vLLM starts processes of its own, and what goes wrong in them has many names.
        except Exception as error:
            raise no_model(model, error) from None

    def answers(self, prompts: Sequence[Prompt], wanted: Collection[int]) -> Iterator[list[Answered]]:
        """In the order of the prompts, `CHUNK` at a time."""
        places = sorted(wanted)
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            found = self._ask([prompts[at] for at in chunk], [self._drawn(at) for at in chunk])
            yield [_answered(at, output.outputs) for at, output in zip(chunk, found, strict=True)]

    def _drawn(self, at: int) -> Any:
        how = self.sampling
        return self.params(
            n=how.n, temperature=how.temperature, top_p=how.top_p, max_tokens=how.max_tokens, seed=how.seed_of(at)
        )

    def _ask(self, prompts: list[Prompt], params: list[Any]) -> Any:
        if not self.chat and isinstance(prompts[0], str):
            return self.model.generate(prompts, params, use_tqdm=False)
        turns = [turns_of(prompt) for prompt in prompts]
        return self.model.chat(turns, params, use_tqdm=False)


def _answered(at: int, outputs: Sequence[Any]) -> Answered:
    texts = tuple(output.text for output in outputs)
    cut = sum(output.finish_reason == "length" for output in outputs)
    return Answered(at, texts, sum(len(output.token_ids) for output in outputs), cut)
