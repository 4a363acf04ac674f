"""Addition, taught to a tiny Llama-shaped model within a minute: a language model whose solve rates are known exactly.

A prompt is "12+345=", its one right answer "357" and the end, most significant digit first. So the solve rate at
temperature 1 is p = π(answer, end | prompt), one forward pass, and nothing need be sampled to know the truth.
Teaching stops where the mean solve rate passes a mark: there they are spread over the whole of (0, 1), on any
machine, though no two kinds of machine teach the same bytes. All of it runs on the CPU; a model that computes in
bfloat16 runs on a GPU where there is one, where equal seeds give like results, not equal bytes.
Another family of problems is taught in the same way: a setting names its task, one of `tasks`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from groupsigma import checks
from groupsigma.checkers import exact
from groupsigma.checks import Floats, Ints
from groupsigma.errors import ArgumentError
from groupsigma.experiments.pool import kept
from groupsigma.experiments.precision import FLOAT32, autocast, place, settled
from groupsigma.experiments.tasks import find_task

#: The end is the padding too: a token of its own could be sampled, and vanish from the text.
END = "<eos>"

#: Called with the step and the mean solve rate at it.
Progress = Callable[[int, float], None]
Row = Mapping[str, Any]

#: Steps between two looks at the solve rates; problems looked at; sequences in a forward pass, in a generation.
_LOOK, _PROBE, _ROWS, _DRAWN = 20, 256, 2048, 4096


@dataclass(frozen=True)
class Setting:
    """A model and how it is taught; all that its bytes depend on, on one machine with as many threads.

    Attributes:
        layers, width, heads, inner: of the Llama; inner is the width of its gated layer.
        steps: at most so many, the learning rate falling to 0 by then. batch: problems a step.
        until: mean solve rate at which teaching ends.
        digits: of the longest number. problems, held_out: rows to train on, and rows never taught or trained on.
        task: what is taught, one of `tasks.TASKS`.
        dtype: of the matrix products, float32 or bfloat16; then on a GPU, if there is one.
        pool: rows to teach, drawn once, none of them to train on or held out; 0: new ones at every step.
    """

    layers: int
    width: int
    inner: int
    learning_rate: float
    heads: int = 8
    steps: int = 600
    batch: int = 256
    until: float = 0.46
    digits: int = 4
    problems: int = 4096
    held_out: int = 512
    seed: int = 0
    task: str = "sums"
    dtype: str = FLOAT32
    pool: int = 0


#: What `reproduce lm --quick` and `reproduce lm` start from.
QUICK = Setting(layers=2, width=64, inner=128, learning_rate=0.004)
FULL = Setting(layers=3, width=128, inner=256, learning_rate=0.002)
#: As large as FULL, on what is not a sum.
KINDS = Setting(layers=3, width=128, inner=256, learning_rate=0.002, steps=1500, batch=128, digits=3, task="kinds")
#: 25 million parameters, for a GPU.
GYM = Setting(
    layers=8, width=512, inner=1376, learning_rate=0.001, steps=3000, digits=8, task="gym", dtype="bfloat16",
    pool=100_000,
)  # fmt: skip


@contextmanager
def one_thread() -> Iterator[None]:
    """Two threads wait for one another at every small product where others work too, and their sums differ in bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def problems(n: int, rng: np.random.Generator, *, digits: int = 4, task: str = "sums") -> list[dict[str, Any]]:
    """n different problems, their numbers of 1 to `digits` digits, all lengths alike as far as there are enough.

    Returns: rows {"prompt": "12+345=", "answer": "357", "digits": 3}; digits: of the longer summand. Kinds: and "kind".

    >>> [row["prompt"] + row["answer"] for row in problems(3, np.random.default_rng(0))]
    ['1677+114=1791', '68+9=77', '257+83=340']
    """
    size, most = int(checks.whole("problems", "n", n, 1)), int(checks.whole("problems", "digits", digits, 1))
    family = find_task(task)
    if size > family.many(most):
        raise ArgumentError("problems", f"at most {family.many(most):,} rows of {task} of {most} digits", f"{size:,}")
    found: dict[str, dict[str, Any]] = {}
    while len(found) < size:
        found.update((row["prompt"], row) for row in family.draw(size, rng, most))
    # Short problems run out first and so lie ahead: shuffled, any cut of the rows is as good as any other.
    rows = list(found.values())[:size]
    return [rows[i] for i in rng.permutation(size)]


def data(setting: Setting, folder: Path | None = None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A setting's rows to train on and its held-out rows; no prompt is in both.

    Args: folder: where the rows of a setting with a pool are kept; None: they are drawn, and not kept.
    """
    rows = _rows(setting, folder, setting.problems + setting.held_out)
    return rows[: setting.problems], rows[setting.problems :]


def _rows(setting: Setting, folder: Path | None, most: int | None = None) -> list[dict[str, Any]]:
    """To train on, held out, then the pool; all different."""
    size = setting.problems + setting.held_out + setting.pool

    def drawn() -> list[dict[str, Any]]:
        rng = np.random.default_rng([setting.seed, 0])
        return problems(size, rng, digits=setting.digits, task=setting.task)

    if folder is None or not setting.pool:
        return drawn()[:most]
    told = {"task": setting.task, "digits": setting.digits, "rows": size, "seed": setting.seed}
    return kept(folder, told, drawn, most)


def new_tokenizer(task: str = "sums") -> Any:
    """A `PreTrainedTokenizerFast`, one token a letter; a letter that its task does not have is an error."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate([END, *find_task(task).letters])}))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    words.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token=END,
        pad_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def new_model(setting: Setting) -> Any:
    """An untaught `LlamaForCausalLM` of that size, its weights float32, input and output embeddings tied."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    # A model of float32 says nothing of it, as before there was another.
    more = {} if setting.dtype == FLOAT32 else {"autocast": setting.dtype}
    shape = LlamaConfig(
        vocab_size=1 + len(find_task(setting.task).letters),
        hidden_size=setting.width,
        intermediate_size=setting.inner,
        num_hidden_layers=setting.layers,
        num_attention_heads=setting.heads,
        num_key_value_heads=setting.heads,
        max_position_embeddings=8 * setting.digits,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
        **more,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        model = LlamaForCausalLM(shape)
    # Plain sampling: what is trained on is what the model says, not its 50 likeliest tokens.
    model.generation_config = GenerationConfig(do_sample=True, top_k=0, eos_token_id=0, pad_token_id=0)
    return settled(model.eval())


@one_thread()
def teach(
    model: Any, tokenizer: Any, setting: Setting, progress: Progress | None = None, folder: Path | None = None
) -> list[float]:
    """Supervised steps in place, loss on the answer and the end alone, until the mean solve rate is `setting.until`.

    Problems are drawn anew at every step, those held out left out; or are a pool's, in shuffled passes.

    Args: folder: where the rows of a setting with a pool are kept.
    Returns: the mean solve rate over 256 problems after every 20 steps.
    """
    rng = np.random.default_rng([setting.seed, 1])
    rows = _rows(setting, folder)
    batches, seen, device = _batches(setting, rows, rng), rows[: min(_PROBE, setting.problems)], place(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.0)
    solved: list[float] = []
    for step in range(1, setting.steps + 1):
        rise, fall = 10 * step / setting.steps, 1 - (step - 1) / setting.steps
        optimizer.param_groups[0]["lr"] = setting.learning_rate * min(1.0, rise, fall)
        ids, answers = (x.to(device) for x in _encoded(tokenizer, next(batches)))
        with autocast(model):
            logits = model(input_ids=ids).logits[:, :-1]
        loss = cross_entropy(logits.flatten(0, 1), answers[:, 1:].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % _LOOK == 0:
            solved.append(float(solve_chances(model, tokenizer, seen).mean()))
            if progress:
                progress(step, solved[-1])
            if solved[-1] >= setting.until:
                break
    optimizer.zero_grad()
    return solved


def taught(setting: Setting, folder: str | Path, progress: Progress | None = None) -> Path:
    """The folder, inside `folder`, of the model taught by a setting; taught now unless it is there.

    It is written whole or not at all, in the standard format: `from_pretrained` and TRL take it as a model's path.
    """
    there = Path(folder) / _name(setting)
    if there.is_dir():
        return there
    tokenizer, model = new_tokenizer(setting.task), new_model(setting)
    solved = teach(model, tokenizer, setting, progress, Path(folder))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".groupsigma-", dir=folder) as beside:
            made = save(model, tokenizer, Path(beside) / there.name)
            told = json.dumps({"setting": asdict(setting), "solved": solved}, indent=1)
            (made / "setting.json").write_text(told + "\n", encoding="utf-8")
            try:
                made.rename(there)
            except OSError:
                # Another process was faster; what it wrote is whole.
                if not there.is_dir():
                    raise
    except OSError as error:
        raise ArgumentError("taught", "a folder that can be written", f"{folder}: {error.strerror or error}") from None
    return there


def save(model: Any, tokenizer: Any, folder: str | Path) -> Path:
    """Write model, generation settings and tokenizer to a folder; returns it."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def load(folder: str | Path) -> tuple[Any, Any]:
    """Model and tokenizer of a folder that `save` or a trainer wrote, the model where it computes."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    return settled(LlamaForCausalLM.from_pretrained(folder).eval()), AutoTokenizer.from_pretrained(folder)


@one_thread()
def solve_chances(model: Any, tokenizer: Any, rows: Sequence[Row]) -> Floats:
    """The exact solve rate of each row at temperature 1, p = π(answer, end | prompt), float64 [P]."""
    parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    with torch.no_grad():
        return np.concatenate([log_chances(model, tokenizer, part).exp().cpu().numpy() for part in parts])


def log_chances(model: Any, tokenizer: Any, rows: Sequence[Row]) -> Tensor:
    """log p of each row, float64 [P], with its gradient."""
    ids, answers = (x.to(place(model)) for x in _encoded(tokenizer, rows))
    with autocast(model):
        logits = model(input_ids=ids).logits[:, :-1].double()
    return -cross_entropy(logits.transpose(1, 2), answers[:, 1:], reduction="none").sum(1)


def solve_rates(model: Any, tokenizer: Any, rows: Sequence[Row], tries: int, generator: torch.Generator) -> Ints:
    """Right ones of `tries` answers sampled to each row at temperature 1, int64 [P]; `checkers.exact` decides."""
    drawn = sample(model, tokenizer, rows, tries, generator)
    return np.array([int(rewards(tokenizer, row, answers).sum()) for row, answers in zip(rows, drawn, strict=True)])


@one_thread()
def sample(
    model: Any, tokenizer: Any, rows: Sequence[Row], tries: int, generator: torch.Generator
) -> list[list[list[int]]]:
    """Answers to each row by `model.generate`: token ids with the end, cut off one letter after the longest answer."""
    times = int(checks.whole("sample", "tries", tries, 1))
    most = max(len(row["answer"]) for row in rows) + 1
    size = max(1, _DRAWN // times)
    found: list[list[list[int]]] = []
    device = place(model)
    # model.generate knows the global generator alone: lent a seed, and given back as it was.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad(), autocast(model):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        for start in range(0, len(rows), size):
            prompts = [row["prompt"] for row in rows[start : start + size]]
            asked = tokenizer(prompts, return_tensors="pt", padding=True).to(device)
            out = model.generate(**asked, max_new_tokens=most, num_return_sequences=times)
            answers = [
                _until_end(ids, tokenizer.eos_token_id) for ids in out[:, asked["input_ids"].shape[1] :].tolist()
            ]
            found += [answers[at : at + times] for at in range(0, len(answers), times)]
    return found


def rewards(tokenizer: Any, row: Row, answers: Sequence[Sequence[int]]) -> Floats:
    """1 for each right answer, 0 for each other, float64 [G]."""
    texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
    return np.array([float(bool(exact(text, row))) for text in texts])


def _until_end(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids


def _name(setting: Setting) -> str:
    """Of the folder: what is taught, and a hash of the setting."""
    told, kind = asdict(setting), "addition" if setting.task == "sums" else setting.task
    for field in fields(setting):
        # Models were taught, and their folders named, before there were these.
        if field.name in ("task", "dtype", "pool") and told[field.name] == field.default:
            del told[field.name]
    return f"{kind}-{blake2b(json.dumps(told).encode(), digest_size=4).hexdigest()}"


def _batches(setting: Setting, rows: list[dict[str, Any]], rng: np.random.Generator) -> Iterator[list[dict[str, Any]]]:
    """Of a pool, each pass through it in another order, or of new rows without those held out."""
    pool, apart = rows[setting.problems + setting.held_out :], {row["prompt"] for row in rows[setting.problems :]}
    while pool:
        order = rng.permutation(len(pool))
        # What is less than a batch at the end of a pass is left out.
        for start in range(0, max(1, len(pool) - setting.batch + 1), setting.batch):
            yield [pool[i] for i in order[start : start + setting.batch]]
    while True:
        yield _fresh(setting, rng, apart)


def _fresh(setting: Setting, rng: np.random.Generator, apart: Container[str]) -> list[dict[str, Any]]:
    drawn = find_task(setting.task).draw(setting.batch, rng, setting.digits)
    return [row for row in drawn if row["prompt"] not in apart]


def _encoded(tokenizer: Any, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Token ids [B, T] of prompt, answer and end, and the same with -100 wherever there is no answer.

    Padded on the right: a causal model never sees it from the left, so no mask is needed.
    """
    ids = tokenizer([f"{row['prompt']}{row['answer']}{END}" for row in rows])["input_ids"]
    width = max(map(len, ids))
    # A prompt has a token a letter.
    starts = [len(row["prompt"]) for row in rows]
    padded = [row + [tokenizer.eos_token_id] * (width - len(row)) for row in ids]
    targets = [
        [-100] * start + row[start:] + [-100] * (width - len(row)) for row, start in zip(ids, starts, strict=True)
    ]
    return torch.tensor(padded), torch.tensor(targets)
