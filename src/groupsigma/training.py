"""A run from the shell: method, model, data and checker become a trainer, and the trainer a trained model."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import torch
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar as disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, ProgressCallback, TrainerCallback
from transformers.utils.logging import disable_progress_bar
from trl import GRPOConfig, ModelConfig, TrlParser, get_peft_config, get_quantization_config
from trl.rewards import get_soft_overlong_punishment

from groupsigma.dial import Dial
from groupsigma.errors import ArgumentError, GroupsigmaError
from groupsigma.groups import Groups
from groupsigma.methods import Method
from groupsigma.plan import plan
from groupsigma.problems import load_problems, turns_of
from groupsigma.referee import Referee
from groupsigma.trainers.checkpoint import last_whole, out_of_space
from groupsigma.trainers.notes import say
from groupsigma.trainers.reward import checked_reward
from groupsigma.trainers.trl import GRPOTrainer

WHO = "train"


@dataclass(frozen=True)
class Order:
    """What the user asked for, beside TRL's own flags.

    Attributes:
        method: the method whole. model: folder, .gguf file or hub id. data: as `load_problems` takes it.
        checker, threshold, timeout: of the Referee. dial: instead of the method's.
        history: counts for the predictions. max_batches: cap of dynamic sampling, None for the method's.
        goal: plan each batch's tries for it, over so many candidates. chat: text prompts become a user's turn.
        resume: go on from the last whole checkpoint. quiet: no lines about steps.
    """

    method: Method
    model: str
    data: str
    checker: str
    split: str = "train"
    prompt: str = "prompt"
    limit: int | None = None
    threshold: float | None = None
    timeout: float = 10.0
    dial: Dial | None = None
    history: Groups | None = None
    max_batches: int | None = None
    goal: str | None = None
    candidates: int | None = None
    chat: bool = False
    resume: bool = False
    quiet: bool = False


def parse(method: Method, flags: Sequence[str]) -> tuple[GRPOConfig, ModelConfig, dict[str, Any]]:
    """TRL's own flags on top of the method's settings: (GRPOConfig, ModelConfig, what the user set).

    Raises: ArgumentError for a flag that TRL does not have, or settings it refuses.
    """
    _quiet()
    parser = _Parser((GRPOConfig, ModelConfig))
    quiet = {"logging_steps": 1, "report_to": "none", "output_dir": "groupsigma-run", "disable_tqdm": not _terminal()}
    given = _given(parser, flags)
    parser.set_defaults(**quiet, **method.grpo_config())
    if not _accelerated():
        parser.set_defaults(dataloader_pin_memory=False)
        if "bf16" not in given and "fp16" not in given:
            parser.set_defaults(bf16=False)
    try:
        args, model, rest = parser.parse_args_into_dataclasses(list(flags), return_remaining_strings=True)
    except (ValueError, TypeError) as error:
        raise ArgumentError(WHO, "settings that TRL takes", str(error), hint=_advice(str(error))) from None
    if rest:
        names = [f"--{field.name}" for kind in (GRPOConfig, ModelConfig) for field in fields(kind)]
        near = get_close_matches(rest[0].replace("-", "_").replace("__", "--", 1), names, 1)
        hint = f"did you mean {near[0]}?" if near else "see `groupsigma train --help`, and TRL's GRPOConfig"
        raise ArgumentError(WHO, "a flag of groupsigma train or of trl.GRPOConfig", rest[0], hint=hint)
    return args, model, given


def train(order: Order, args: GRPOConfig, model_args: ModelConfig) -> int:
    """Train; the exit code: 0, or 130 when it was interrupted (and saved)."""
    folder = Path(args.output_dir)
    whole = last_whole(folder) if folder.is_dir() else None
    if whole is not None and not order.resume:
        hint = "--resume goes on from there; or another --output_dir"
        raise ArgumentError(WHO, "an output folder without checkpoints", f"{whole}", hint=hint)
    if order.resume and whole is None:
        say(f"no checkpoint in {folder} yet: starting anew")
    rows = load_problems(order.data, split=order.split, prompt=order.prompt, limit=order.limit)
    for note in () if order.quiet else getattr(rows, "notes", ()):
        say(note)
    if order.chat:
        rows = [{**row, "prompt": turns_of(row["prompt"])} for row in rows]
    ours = order.method.ours(**({} if order.max_batches is None else {"max_gen_batches": order.max_batches}))
    if not order.quiet:
        for text in order.method.departures(vars(args)):
            say(text)
    with Referee(order.checker, threshold=order.threshold, timeout=order.timeout) as referee:
        rewards: list[Any] = [checked_reward(referee)]
        referee.check([""], rows[:1])  # What is wrong with checker or columns is told before the model is loaded.
        if overlong := order.method.overlong(args.max_completion_length):
            rewards.append(get_soft_overlong_punishment(**overlong))
            args.reward_weights = args.reward_weights or [1.0, ours["overlong_weight"]]

        def planned(ids: list[Any]) -> Any:
            known = trainer.tracker.about(ids)
            return plan(known, budget=args.generation_batch_size, goal=order.goal, dial=rule).tries  # type: ignore[arg-type]

        rule = order.dial or order.method.dial
        with _refused(order.model):
            trainer = GRPOTrainer(
                model=_model(order.model, folder, model_args, args),
                reward_funcs=rewards,
                args=args,
                train_dataset=Dataset.from_list(_even(rows)),
                quantization_config=get_quantization_config(model_args),
                peft_config=get_peft_config(model_args),
                dial=rule,
                judge="correct",
                max_batches=ours["max_gen_batches"],
                tries=None if order.goal is None else planned,
                candidates=order.candidates,
                history=order.history,
            )
        for noisy in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(noisy)
        if not args.disable_tqdm:
            trainer.add_callback(_Bar)
        if not order.quiet:
            trainer.add_callback(_Lines())
        with _stopping() as asked:
            trainer.add_callback(_Stop(asked))
            trainer.train(resume_from_checkpoint=True if whole is not None else None)
        _save(trainer, folder)
    if asked.stop:
        trainer._say(f"stopped after step {trainer.state.global_step}; --resume goes on from there")
        return 130
    return 0


def _quiet() -> None:
    """What the libraries below say of themselves is not for the user: deprecations, bars of files written."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|accelerate)\.")
    if not _terminal():
        disable_progress_bar()
        disable_progress_bars()


class _Parser(TrlParser):  # type: ignore[misc]
    """TRL's parser, which tells a mistake in one line instead of all its flags."""

    def error(self, message: str) -> NoReturn:
        raise ArgumentError(WHO, "flags that TRL takes", message, hint="see trl.GRPOConfig")


def _given(parser: _Parser, flags: Sequence[str]) -> dict[str, Any]:
    """What the flags set, defaults left out."""
    names = [action.dest for action in parser._actions]
    unset = object()
    found, _ = parser.parse_known_args(list(flags), Namespace(**dict.fromkeys(names, unset)))
    return {name: value for name, value in vars(found).items() if value is not unset}


def _advice(message: str) -> str:
    if "divisible by num_generations" in message or "must be divisible" in message:
        return "per_device_train_batch_size × gradient_accumulation_steps × processes: a multiple of num_generations"
    if "at least 2 generations" in message:
        return "--num_generations 8; a group of one is always silent"
    return ""


def _accelerated() -> bool:
    return torch.cuda.is_available() or (torch.backends.mps.is_available() and torch.backends.mps.is_built())


def _terminal() -> bool:
    return sys.stderr.isatty()


def _even(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same columns in every row, which a data set needs."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _model(name: str, folder: Path, model_args: ModelConfig, args: GRPOConfig) -> str:
    """A folder or hub id that TRL loads; a .gguf file is converted once, beside the run."""
    init = {"revision": model_args.model_revision, "attn_implementation": model_args.attn_implementation}
    init |= {"dtype": model_args.dtype} | (args.model_init_kwargs or {})
    args.model_init_kwargs = {key: value for key, value in init.items() if value is not None}
    if not name.endswith(".gguf"):
        if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
            raise ArgumentError("--model", "a folder with a model (config.json)", f"{name} without one")
        return name
    source = Path(name)
    if not source.is_file():
        raise ArgumentError("--model", "a folder, a .gguf file or a hub id", f"{name}, which is not there")
    converted = folder / "from-gguf"
    if not (converted / "config.json").is_file():
        say(f"converting {source.name} once, into {converted}")
        beside = folder / "from-gguf.part"
        shutil.rmtree(beside, ignore_errors=True)
        where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
        with _refused(name):
            model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
            # The weights are whole numbers times scales no longer: saved as the floats they now are.
            model.hf_quantizer = None
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.save_pretrained(beside)
            AutoTokenizer.from_pretrained(**where).save_pretrained(beside)
        beside.rename(converted)
    return str(converted)


@contextlib.contextmanager
def _refused(model: str) -> Iterator[None]:
    """What TRL and transformers refuse, in one line."""
    try:
        yield
    except GroupsigmaError:
        raise
    except (ValueError, OSError, ImportError) as error:
        got = f"{model}: {(str(error).strip() or repr(error)).splitlines()[0]}"
        raise ArgumentError(WHO, "a model and settings that TRL can load", got) from error


def _save(trainer: GRPOTrainer, folder: Path) -> None:
    try:
        trainer.save_model(str(folder))
        trainer.save_state()
    except Exception as error:
        if not out_of_space(error, folder):
            raise
        hint = "make room, then the same command with --resume; checkpoints are kept"
        raise ArgumentError(WHO, f"room in {folder} for the trained model", str(error), hint=hint) from None


class _Asked:
    stop = False


@contextlib.contextmanager
def _stopping() -> Iterator[_Asked]:
    """The first Ctrl-C asks to stop after the step; the second ends at once."""
    asked = _Asked()

    def heard(*_: Any) -> None:
        if asked.stop:
            raise KeyboardInterrupt
        asked.stop = True
        say("stopping after this step, with a checkpoint; Ctrl-C again ends at once")

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


class _Stop(TrainerCallback):  # type: ignore[misc]
    """Ends the run, with a checkpoint, at a step after which answers would be sampled anew."""

    def __init__(self, asked: _Asked) -> None:
        self.asked = asked

    def on_step_end(self, args: GRPOConfig, state: Any, control: Any, **_: Any) -> None:
        accumulated = args.gradient_accumulation_steps
        every = max(1, (args.steps_per_generation * args.num_iterations) // accumulated)
        if self.asked.stop and state.global_step % every == 0:
            control.should_save = control.should_training_stop = True


class _Bar(ProgressCallback):  # type: ignore[misc]
    """The bar alone: what is logged has lines of its own."""

    def on_log(self, *_: Any, **__: Any) -> None:
        pass


class _Lines(TrainerCallback):  # type: ignore[misc]
    """One line a step on standard error; everything is in the trainer's log."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not state.is_world_process_zero or not logs or "group/silent" not in logs:
            return
        say(line(state.global_step, logs))


def line(step: int, logs: dict[str, Any]) -> str:
    """A step in words: what was solved, what was silent beside what was foreseen.

    >>> line(3, {"group/reward_mean": 0.5, "group/silent": 0.25, "group/silent_predicted": 0.31, "loss": 0.01})
    'step 3  solved 50.0%  silent 25.0% (31.0% foreseen)  loss 0.01'
    """
    parts = [f"step {step}", f"solved {logs['group/reward_mean']:.1%}"]
    foreseen = logs.get("group/silent_predicted")
    parts.append(f"silent {logs['group/silent']:.1%}" + (f" ({foreseen:.1%} foreseen)" if foreseen is not None else ""))
    if "group/draws_per_kept" in logs:
        expected = logs.get("group/draws_predicted")
        beside = f" ({expected:.2f} foreseen)" if expected is not None else ""
        parts.append(f"draws {logs['group/draws_per_kept']:.2f}{beside}")
    if logs.get("group/unscorable"):
        parts.append(f"unscorable {logs['group/unscorable']:.0f}")
    if "completions/mean_length" in logs:
        parts.append(f"length {logs['completions/mean_length']:.0f}")
    if "loss" in logs:
        parts.append(f"loss {logs['loss']:.3g}")
    return "  ".join(parts)
