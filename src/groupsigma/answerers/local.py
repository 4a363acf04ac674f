"""A model on this machine, through transformers: sampled in batches of prompts of like length."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from groupsigma import checks
from groupsigma.answerers import Answered, Sampling, no_model
from groupsigma.errors import ArgumentError
from groupsigma.problems import Prompt, turns_of


class LocalModel:
    """A causal language model by folder, .gguf file or hub id; on a GPU in bfloat16 where there is one.

    Batches depend on the list of prompts and on n alone, and each has a seed of its own, so a run that was stopped
    gives the answers it would have given. Another batch size, list or machine gives others, as good.
    """

    def __init__(self, model: str, sampling: Sampling, *, chat: bool = False, batch_size: int = 64) -> None:
        self.sampling, self.chat = sampling, chat
        self.batch_size = int(checks.whole("probe", "batch_size", batch_size, 1))
        self.tokenizer, self.model = _loaded(model)
        end = self.model.generation_config.eos_token_id
        self.ends = frozenset([] if end is None else end if isinstance(end, list) else [end])

    def answers(self, prompts: Sequence[Prompt], wanted: Collection[int]) -> Iterator[list[Answered]]:
        """Longest prompts first, so that what does not fit in memory shows at once."""
        tokens = [self._tokens(prompt) for prompt in prompts]
        self._check_lengths(tokens)
        order = sorted(range(len(tokens)), key=lambda at: -len(tokens[at]))
        size = max(1, self.batch_size // self.sampling.n)
        asked = set(wanted)
        for number, start in enumerate(range(0, len(order), size)):
            batch = order[start : start + size]
            if asked.intersection(batch):
                found = self._batch(number, batch, [tokens[at] for at in batch])
                yield [answered for answered in found if answered.at in asked]

    def _tokens(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str) and not self.chat:
            return list(self.tokenizer(prompt)["input_ids"])
        turns = turns_of(prompt)
        if not self.tokenizer.chat_template:
            hint = "without --chat text is continued as it is; chats need a model made for them"
            raise ArgumentError("probe", "a model with a chat template", "one without", hint=hint)
        return list(
            self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
        )

    def _check_lengths(self, tokens: Sequence[Sequence[int]]) -> None:
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        longest = max(map(len, tokens))
        if room is not None and longest + self.sampling.max_tokens > room:
            needs = f"prompt and answer within the model's {room} tokens"
            got = f"a prompt of {longest} and max_tokens = {self.sampling.max_tokens}"
            raise ArgumentError("probe", needs, got, hint="a smaller --max-tokens, or shorter problems")

    def _batch(self, number: int, batch: Sequence[int], tokens: Sequence[list[int]]) -> list[Answered]:
        """n answers to each prompt of a batch; more than `batch_size` in several goes."""
        n, most = self.sampling.n, self.batch_size
        goes = [(min(most, n - start), self.sampling.seed_of(number, start)) for start in range(0, n, most)]
        parts = [self._generate(tokens, times, seed) for times, seed in goes]
        found = []
        for row, at in enumerate(batch):
            rows = [ids for part in parts for ids in part[row]]
            ends = [next((i for i, token in enumerate(ids) if token in self.ends), None) for ids in rows]
            kept = [ids if end is None else ids[: end + 1] for ids, end in zip(rows, ends, strict=True)]
            texts = self.tokenizer.batch_decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            found.append(Answered(at, tuple(texts), sum(map(len, kept)), ends.count(None)))
        return found

    def _generate(self, tokens: Sequence[list[int]], times: int, seed: int) -> list[list[list[int]]]:
        """`times` continuations of each prompt: token ids, padded on the right."""
        import torch

        width, pad = max(map(len, tokens)), self.model.generation_config.pad_token_id
        device = self.model.device
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in tokens], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in tokens], device=device)
        how = self.sampling
        drawn: dict[str, Any] = dict(do_sample=False)
        if how.temperature > 0:
            drawn = dict(do_sample=True, temperature=how.temperature, top_p=how.top_p, top_k=0)
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(seed)
            try:
                out = self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=how.max_tokens,
                    num_return_sequences=times,
                    **drawn,
                )
            except torch.OutOfMemoryError:
                got = f"{len(tokens) * times} at once"
                raise ArgumentError(
                    "probe", "memory for a batch of answers", got, hint="a smaller --batch-size"
                ) from None
        rows = out[:, width:].tolist()
        return [rows[at * times : (at + 1) * times] for at in range(len(tokens))]


def _loaded(name: str) -> tuple[Any, Any]:
    """Tokenizer and model, ready to sample; what the model's authors sample with is put aside."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    except ImportError as error:
        hint = "pip install torch transformers; or --endpoint, where a server has the model"
        raise ArgumentError("probe", "the packages torch and transformers", str(error), hint=hint) from None
    path = Path(name)
    where: dict[str, Any] = dict(pretrained_model_name_or_path=name)
    if path.suffix == ".gguf":
        where = dict(pretrained_model_name_or_path=str(path.parent), gguf_file=path.name)
    gpu = torch.cuda.is_available()
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        kind = torch.float32 if not gpu else torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        model = AutoModelForCausalLM.from_pretrained(**where, dtype=kind, device_map="auto" if gpu else None)
    # A folder can be wrong in many ways, each with an error class of its own.
    except Exception as error:
        raise no_model(name, error) from None
    before = model.generation_config
    end = before.eos_token_id if before.eos_token_id is not None else tokenizer.eos_token_id
    first = end[0] if isinstance(end, list) else end
    pads = (before.pad_token_id, tokenizer.pad_token_id, first, 0)
    model.generation_config = GenerationConfig(
        eos_token_id=end, pad_token_id=next(p for p in pads if p is not None), bos_token_id=before.bos_token_id
    )
    return tokenizer, model.eval()
