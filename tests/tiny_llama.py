"""A tiny Llama that writes digits, so that the real TRL takes a step in 20 ms; shared by the tests of the trainer."""

from __future__ import annotations

import gc
import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("trl")

import torch
import trl
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback

import groupsigma
from groupsigma import DAPO, GRPO
from groupsigma.trainers.trl import GRPOTrainer

LETTERS = "0123456789+=us:a\n"
PAD, EOS = 0, 1

#: What transformers 5.23 says of its own old names while TRL 1.16 trains, and TRL of its rollout functions.
QUIET = [
    pytest.mark.filterwarnings(f"ignore:{text}:{kind}")
    for text, kind in (
        (r"`(is_)?gradient_checkpointing(_enable|_disable)?` is deprecated", "FutureWarning"),
        ("You are using '(rollout_func|environment_factory)'", "UserWarning"),
    )
]

# After each training accelerate collects garbage: 0.3 s over all that torch and transformers imported.
gc.collect()
gc.freeze()


def tokenizer(chat=False):
    """One token a character."""
    vocab = {letter: i for i, letter in enumerate(["<pad>", "<eos>", *LETTERS])}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    words.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", padding_side="left")
    if chat:
        made.chat_template = (
            "{% for m in messages %}{{ m['role'][0] + ':' + m['content'] + '\n' }}{% endfor %}"
            "{% if add_generation_prompt %}a:{% endif %}"
        )
    return made


def model(seed=0):
    torch.manual_seed(seed)
    shape = dict(vocab_size=len(LETTERS) + 2, hidden_size=16, intermediate_size=32, num_hidden_layers=1)
    heads = dict(num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64)
    return LlamaForCausalLM(LlamaConfig(**shape, **heads, pad_token_id=PAD, eos_token_id=EOS, bos_token_id=EOS))


def problems(n=64, **columns):
    """n different sums."""
    return Dataset.from_dict({"prompt": [f"{i // 10}+{i % 10}=" for i in range(n)], **columns})


def config(folder, **change):
    """Four groups of four in a batch, one step a batch, every number logged."""
    usual = dict(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=16,
        num_generations=4, max_completion_length=6, max_steps=3, logging_steps=1, save_strategy="no",
        disable_tqdm=True, learning_rate=1e-2, seed=3, activation_checkpointing=False,
    )  # fmt: skip
    return trl.GRPOConfig(**{**usual, **change})


# ---- rewards ------------------------------------------------------------------------------------


def lot(*what):
    """A number in [0, 1) that depends on `what` alone."""
    return zlib.crc32("|".join(map(str, what)).encode()) / 2**32


def text_of(completion):
    """A completion's text, plain or in chat messages."""
    return completion if isinstance(completion, str) else completion[0]["content"]


def starts_with_3(prompt, text):
    return float(text.startswith("3"))


def coin(prompt, text):
    return float(lot(prompt, text) < 0.5)


@dataclass
class Call:
    """What a reward function was asked, and what it said."""

    prompts: list
    completions: list
    rewards: list
    ids: list
    columns: dict


def judge(rule=starts_with_3, name="judge", extra=None):
    """A reward function with a memory: `rule(prompt, text)`; `extra` names a column of texts that it logs."""

    def function(prompts, completions, completion_ids, log_extra, **columns):
        texts = [text_of(c) for c in completions]
        asked = [p if isinstance(p, str) else p[-1]["content"] for p in prompts]
        rewards = [rule(p, t) for p, t in zip(asked, texts, strict=True)]
        function.calls.append(Call(asked, texts, rewards, [list(i) for i in completion_ids], columns))
        if extra:
            log_extra(extra, texts)
        return rewards

    function.__name__ = name
    function.calls = []
    return function


# ---- answers that need no model -----------------------------------------------------------------


class Script:
    """TRL's rollout_func: right ("3…") or wrong ("4…") with a prompt's own chance, and no answer twice in a batch.

    An answer depends on its prompt and on its row in the batch of all processes, and on nothing else; with `rng` on
    chance alone. Lengths differ; some end with EOS.
    """

    def __init__(self, chance=lambda prompt: 0.5, rng=None):
        self.chance = chance
        self.rng = rng

    def __call__(self, prompts, trainer):
        words = trainer.processing_class
        first = trainer.accelerator.process_index * len(prompts)
        asked = [p if isinstance(p, str) else p[-1]["content"] for p in prompts]
        ids = [words(p)["input_ids"] for p in asked]
        out = [words(self.answer(p, first + i))["input_ids"] for i, p in enumerate(asked)]
        out = [
            found + [EOS] * (lot("end", p, first + i) < 0.5)
            for i, (p, found) in enumerate(zip(asked, out, strict=True))
        ]
        return {"prompt_ids": ids, "completion_ids": out, "logprobs": [[-1.0] * len(found) for found in out]}

    def answer(self, prompt, row):
        drawn = lot(prompt, row) if self.rng is None else self.rng.random()
        digits = f"{row:02d}" if lot("length", prompt, row) < 0.5 else f"{row:04d}"
        return ("3" if drawn < self.chance(prompt) else "4") + digits


def by_units(prompt):
    """Never, seldom, often, always: a prompt's chance from its second number."""
    return (0.0, 0.3, 0.6, 1.0)[int(prompt[2]) % 4]


# ---- a trainer that is watched ------------------------------------------------------------------


@dataclass
class Batch:
    """One generation batch of this process: the rows as the trainer keeps them, and what was drawn for it."""

    step: int
    calls: list
    prompts: list
    completions: list
    advantages: list
    output: dict

    @property
    def rows(self):
        return list(zip(self.prompts, self.completions, strict=True))


def watched(cls=GRPOTrainer):
    """The class, remembering its batches, what its loss was given and its gradients."""

    class Watched(cls):
        def __init__(self, *args, **kwargs):
            self.batches, self.given, self.gradients, self.weights = [], [], [], []
            super().__init__(*args, **kwargs)
            self.add_callback(_Gradients(self))

        def _generate_and_score_completions(self, inputs):
            calls = getattr(self.reward_funcs[0], "calls", [])
            before = len(calls)
            output = super()._generate_and_score_completions(inputs)
            if self.model.training:
                texts = [self._texts(output[f"{part}_ids"]) for part in ("prompt", "completion")]
                kept = {name: x.clone() for name, x in output.items()}
                self.batches.append(
                    Batch(self.state.global_step, calls[before:], *texts, output["advantages"].tolist(), kept)
                )
            return output

        def _compute_loss(self, model, inputs):
            if model.training:
                self.given.append({name: x.clone() for name, x in inputs.items()})
                self.weights.append([p.detach().clone() for p in model.parameters()])
            return super()._compute_loss(model, inputs)

        def _texts(self, ids):
            return self.processing_class.batch_decode(ids, skip_special_tokens=True)

        @property
        def seen(self):
            """(prompt, completion, advantage) of each row of each micro-batch, as the loss saw it."""
            return [
                list(
                    zip(
                        self._texts(x["prompt_ids"]),
                        self._texts(x["completion_ids"]),
                        x["advantages"].tolist(),
                        strict=True,
                    )
                )
                for x in self.given
            ]

    return Watched


class _Gradients(TrainerCallback):
    def __init__(self, trainer):
        self.trainer = trainer

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.trainer.gradients.append([p.grad.clone() for p in model.parameters()])


def trainer(folder, reward=None, *, cls=None, data=None, rollout=None, chat=False, change=None, **ours):
    """A watched trainer, not yet run; `change`: of the configuration; `ours`: arguments of the trainer."""
    more = {} if rollout is None else {"rollout_func": rollout}
    return (cls or watched())(
        model=model(),
        reward_funcs=judge() if reward is None else reward,
        args=config(folder, **(change or {})),
        train_dataset=problems() if data is None else data,
        processing_class=tokenizer(chat),
        **more,
        **ours,
    )


def run(folder, reward=None, **given):
    """The trainer after its training."""
    made = trainer(folder, reward, **given)
    made.train()
    return made


def logged(made, key):
    """A metric of every step that has it."""
    return [entry[key] for entry in made.state.log_history if key in entry]


def parameters(made):
    return torch.cat([p.detach().ravel() for p in made.model.parameters()])


def groups(calls, size):
    """(prompt, completions, rewards) of each group of these calls of a reward function."""
    return [
        (call.prompts[i], call.completions[i : i + size], call.rewards[i : i + size])
        for call in calls
        for i in range(0, len(call.prompts), size)
    ]


def table(found):
    """Rewards [groups, G] of what `groups` gave, as TRL holds them."""
    return np.array([[np.nan if r is None else r for r in rewards] for _, _, rewards in found], dtype=np.float32)


def wanted(batch, dial, size=4):
    """(prompt, completion) -> advantage of a batch of equal groups, from what the reward function said."""
    found = groups(batch.calls, size)
    return by_row(found, groupsigma.advantages(table(found), dial))


def by_row(found, advantages):
    rows = [(p, c) for p, completions, _ in found for c in completions]
    assert len(set(rows)) == len(rows), "answers that can be told apart"
    return dict(zip(rows, np.ravel(advantages).tolist(), strict=True))


def seen_by_loss(made, batch=0, passes=1):
    """(prompt, completion) -> advantage of all micro-batches of one generation batch."""
    per = made.args.steps_per_generation * passes
    rows = [row for part in made.seen[batch * per : (batch + 1) * per] for row in part]
    told = {(p, c): a for p, c, a in rows}
    assert Counter((p, c) for p, c, _ in rows) == Counter(dict.fromkeys(told, passes))
    return told


#: The trainer's three ways to a batch.
WAYS = dict(dial=dict(dial=GRPO), mixed=dict(dial=DAPO), tries=dict(tries=lambda ids: [2, 8, 0, 6], dial=GRPO))


def graded(prompt, text):
    return lot(text)


def shuffled(rows, seed=3):
    """The data's order: one permutation after the other from one generator, as TRL draws them."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(rows, generator=generator).tolist()


def log_probabilities(net, ids, mask, last):
    """Of the last tokens, straight from the network."""
    logits = net(input_ids=ids, attention_mask=mask).logits[:, -last - 1 : -1]
    return torch.log_softmax(logits, -1).gather(2, ids[:, -last:, None])[..., 0]
