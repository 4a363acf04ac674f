"""TRL's GRPOTrainer with the dial: change one import.

    from groupsigma.trainers.trl import GRPOTrainer    # was: from trl import GRPOTrainer

TRL generates, scores and optimises as before. Its advantages are replaced by the dial's, exact and by prompt;
with a dial that keeps mixed groups, silent ones are replaced from the data before TRL sees the batch, so that
log-probabilities are computed, and completions logged, for what is trained on. Written against TRL 1.16.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import trl
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer import rotate_checkpoints
from trl.trainer.utils import RepeatSampler

from groupsigma.advantages import advantages_by_prompt
from groupsigma.belief import Beliefs
from groupsigma.dial import Dial, expect_dial
from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.metrics import Scored
from groupsigma.presets import DIALS
from groupsigma.stream import Stream
from groupsigma.tracker import Tracker
from groupsigma.trainers.checkpoint import last_whole, load_state, out_of_space, save_state
from groupsigma.trainers.draws import Draws
from groupsigma.trainers.given import judge_column, label, whole_tries
from groupsigma.trainers.notes import say
from groupsigma.trainers.order import EpochSampler, order
from groupsigma.trainers.rollouts import Filled, Group, answers, filled, lengths, share, whole
from groupsigma.trainers.watch import WatchCallback
from groupsigma.watch import Watch

WHO = "GRPOTrainer"

#: Tries of each prompt, for prompt ids: what a plan is to a trainer.
Tries = Callable[[list[Any]], Sequence[int]]

#: What `scale_rewards` of TRL says, as a dial; silent groups get exact zeros.
STOCK = {"group": DIALS["trl"], "none": DIALS["trl-none"], "batch": DIALS["trl-batch"]}


class GRPOTrainer(trl.GRPOTrainer):
    """TRL's GRPOTrainer whose advantages, silence and group metrics are groupsigma's.

    Args:
        *args, **kwargs: TRL's own.
        dial: the rule. None: what `scale_rewards` says, so that only the import changes. A dial that keeps mixed
            groups (DAPO) replaces silent ones by further prompts of the data until the batch is full.
        judge: name of the reward function that says right or wrong, on which silence is decided; needed with
            several reward functions. "sum" decides on their weighted sum.
        max_batches: cap of that search, in batches drawn; then the step trains on what it has and says so.
        tries: prompt ids -> answers for each (0, or at least 2), summing to the generation batch's rows.
        candidates: how many prompts are offered to `tries`; by default generation_batch_size / num_generations.
        weight: with `tries`, how a prompt counts: "equal" to every other, or "proportional" to its tries.
            Right for every loss type of TRL: each is linear in an answer's advantage once its sign is known.
        prompt_id: column of ids; where the data has none, the row's number, under that name.
        history: what is known of the prompts before the run (`load(...)`, `Beliefs`), for the predictions.
        watch: says what is new of the run every so many steps, and ends it when a limit is met.

    Attributes: tracker: beliefs about every prompt met. draws: the account of groups drawn and kept.

    Metrics, through TRL's own logging: group/silent, all_right, all_wrong, mixed, sigma_mean, reward_mean, size_mean,
    unscorable over all groups drawn; silent_predicted (from earlier visits), gradient_share/<band> and its
    prediction; when silent groups are replaced also draws_per_kept, draws_predicted, cap_risk, short.
    An answer that the judge could not score stays out of its group and has advantage 0.

    Raises: ArgumentError for what cannot be combined, by name.
    """

    train_dataset: Any

    def __init__(
        self,
        *args: Any,
        dial: Dial | None = None,
        judge: str | None = None,
        max_batches: float = 10.0,
        tries: Tries | None = None,
        candidates: int | None = None,
        weight: Literal["equal", "proportional"] = "equal",
        prompt_id: str = "prompt_id",
        history: Groups | Beliefs | None = None,
        watch: Watch | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.dial = STOCK[self.scale_rewards] if dial is None else dial
        self._stock = dial is None and tries is None
        expect_dial(WHO, self.dial)
        if self.multi_objective_aggregation != "sum_then_normalize":
            needs = "multi_objective_aggregation='sum_then_normalize'"
            raise ArgumentError(WHO, needs, "'normalize_then_sum'", hint="weigh the rewards with reward_weights")
        if weight not in ("equal", "proportional"):
            raise ArgumentError(WHO, "weight 'equal' or 'proportional'", repr(weight))
        self.judge = judge_column(WHO, judge, self.reward_func_names)
        if not 1 <= max_batches < float("inf"):
            hint = "10 is the authors' cap; more, where most groups are silent"
            raise ArgumentError(WHO, "a finite max_batches of at least 1", repr(max_batches), hint=hint)
        self.weight = weight
        self.prompt_id = prompt_id
        self.tracker = Tracker(Beliefs.of_groups(history) if isinstance(history, Groups) else history)
        self._batch: Filled | None = None
        self._rewards: Tensor = torch.zeros(0, len(self.reward_func_names))
        self._tries = tries
        self._sampler: Any = None
        self._walk: Stream | None = None
        self._numbered = isinstance(self.train_dataset, Dataset) and prompt_id not in self.train_dataset.column_names
        if self._numbered:
            self.train_dataset = self.train_dataset.add_column(prompt_id, np.arange(len(self.train_dataset)))
        if tries is not None or self.dial.keep == "mixed":
            self._walk = self._own_walk()
        prompts = self.args.generation_batch_size // self.num_generations
        self.draws = Draws(prompts, max_batches, self._say)
        self._candidates = prompts if candidates is None else candidates
        if self._walk is not None and max(prompts, self._candidates) > self._walk.rows:
            needs = f"a data set of at least {max(prompts, self._candidates)} prompts"
            raise ArgumentError(WHO, needs, f"{self._walk.rows} rows", hint="a smaller generation batch")
        self.add_callback(_Told(self))
        self._watch = watch
        if watch is not None:
            self.tracker.listeners.append(watch.see)
            self.add_callback(WatchCallback(watch))

    # ---- one generation batch -------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        training = self.model.training
        if training and self._walk is not None:
            self._batch = self._planned() if self._tries is not None else self._refilled()
        try:
            given = inputs if self._batch is None else self._batch.inputs
            output = super()._generate_and_score_completions(given)
            self._dial_in(output, given, training)
        finally:
            self._batch = None
        return output

    def _generate(self, prompts: list[Any]) -> Any:
        return super()._generate(prompts) if self._batch is None else self._batch.generated

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, fields: Any, num_generations: int, *more: Any, **named: Any
    ) -> Any:
        # Where groups are not of one size, vLLM must not take every num_generations-th prompt for all of a group.
        alone = self._walk is not None and self.model.training
        return super()._generate_single_turn(
            prompt_ids, images, fields, 1 if alone else num_generations, *more, **named
        )

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        if self._batch is None:
            self._rewards = super()._calculate_rewards(self._given(inputs), prompts, completions, completion_ids_list)
        else:
            self._rewards = self._batch.rewards
            for column, values in self._batch.extra.items():
                self._log_completion_extra(column, values)
        return self._rewards

    def _given(self, rows: Sequence[dict[str, Any]]) -> Any:
        """Rows as the user's reward functions know them: without the numbers that we added."""
        if not self._numbered:
            return rows
        return [{name: value for name, value in row.items() if name != self.prompt_id} for row in rows]

    def _dial_in(self, output: dict[str, Any], inputs: list[dict[str, Any]], training: bool) -> None:
        """Replace TRL's advantages, in the batch and in its logs, and log what the groups say."""
        mode = "train" if training else "eval"
        rows = len(self._rewards)
        sizes = self._sizes(rows, training)
        codes = np.repeat(np.arange(len(sizes)), sizes)
        judged, total = self._judged(self._rewards)
        scored = Scored.of(judged.cpu().numpy(), codes, len(sizes))
        places = torch.from_numpy(codes).to(total.device)
        # Groups of one size that lost an answer count as they do in TRL.
        weight = self.weight if self._tries is not None else "proportional"
        advantages = advantages_by_prompt(total, places, self.dial, weight)
        if self._stock and torch.equal(torch.isnan(total), torch.isnan(self._rewards).all(1)):
            # Without a dial, TRL's own to the last bit, which float64 inside would not give.
            advantages = self.accelerator.gather(output["advantages"])
        silent = torch.from_numpy(scored.silent).to(total.device)[places]
        if self.dial.compares or self.dial.keep == "mixed":
            # A length penalty tells the answers of an all-wrong group apart; it does not make it teach.
            advantages = torch.where(silent, 0.0, advantages)
        own = slice(self.accelerator.process_index * len(inputs), (self.accelerator.process_index + 1) * len(inputs))
        output["advantages"] = advantages[own]
        logged = self._logs["advantages"]
        for _ in range(min(rows, len(logged))):
            logged.pop()
        logged.extend(advantages.tolist())
        self._metrics[mode]["frac_reward_zero_std"][-1] = float(silent.float().mean())
        if training and self._batch is None:
            ids = self._prompt_ids(inputs, sizes)
            self._note(self.tracker.visit(ids, scored, sizes, dial=self.dial, step=self.state.global_step))
        elif not training:
            self._note(scored.metrics(), mode)

    def _sizes(self, rows: int, training: bool) -> list[int]:
        if self._batch is not None:
            return self._batch.sizes
        size = self.num_generations if training else self.num_generations_eval
        return [size] * (rows // size)

    def _judged(self, rewards: Tensor) -> tuple[Tensor, Tensor]:
        """(judge's reward, reward that is trained on), NaN where the judge could not score the answer."""
        total = (rewards * self.reward_weights.to(rewards.device)).nansum(1)
        total[torch.isnan(rewards).all(1)] = torch.nan
        judged = total if self.judge is None else rewards[:, self.judge]
        return judged, torch.where(torch.isfinite(judged), total, torch.nan)

    def _prompt_ids(self, inputs: Sequence[dict[str, Any]], sizes: list[int]) -> list[Any]:
        """Id of each group, of all processes."""
        labels = gather_object([label(row, self.prompt_id) for row in inputs])
        first = np.cumsum([0, *sizes[:-1]])
        for at, size in zip(first, sizes, strict=True):
            if len(set(labels[at : at + size])) > 1:
                hint = "a sampler of your own must repeat each prompt num_generations times"
                raise ArgumentError(WHO, "rows of one prompt side by side", "mixed prompts in a group", hint=hint)
        return [labels[at] for at in first]

    def _note(self, numbers: dict[str, float], mode: str = "train") -> None:
        for name, value in numbers.items():
            self._metrics[mode][name].append(value)

    # ---- prompts from the data, beyond TRL's own batch ------------------------------------------------------------

    def _own_walk(self) -> Stream:
        what = "a dial that replaces silent groups" if self._tries is None else "tries="
        if self._tries is not None and self.dial.keep == "mixed":
            hint = "a plan passes silent prompts over already; use the same dial with keep='all'"
            raise ArgumentError(WHO, "tries, or a dial that replaces silent groups", "both", hint=hint)
        for name, given in (
            ("tools", bool(self.tools)),
            ("environment_factory", self.environment_factories is not None),
            ("images in the data", self._has_images()),
            ("an iterable data set", not isinstance(self.train_dataset, Dataset)),
        ):
            if given:
                raise ArgumentError(WHO, f"{what} without {name}", name, hint="a dial with keep='all' works with it")
        rows = len(self.train_dataset)
        return Stream(rows, lambda epoch: order(rows, self.args.seed, self.shuffle_dataset, epoch))

    def _has_images(self) -> bool:
        return bool({"image", "images"} & set(getattr(self.train_dataset, "column_names", None) or ()))

    def _planned(self) -> Filled:
        """A batch with as many answers to each prompt as `tries` says."""
        assert self._walk is not None and self._tries is not None
        data = self._data(self._walk.take(self._candidates))
        ids = [label(row, self.prompt_id) for row in data]
        sizes = whole_tries(self._tries(ids), len(ids), self.args.generation_batch_size)
        groups = self._sample([row for row, n in zip(data, sizes, strict=True) if n], [n for n in sizes if n])
        self._note(self._visit(groups))
        return filled(groups, self.accelerator.process_index, self.accelerator.num_processes)

    def _refilled(self) -> Filled:
        """A batch of mixed groups: no more is drawn than is missing, so no mixed group is ever too many."""
        assert self._walk is not None
        draws = self.draws
        started = {name: len(values) for name, values in self._metrics["train"].items()}
        seen: set[int] = set()
        drawn: list[Group] = []
        kept: list[Group] = []
        silent: list[Group] = []
        foreseen: float | None = None
        while len(kept) < draws.wanted:
            rows = self._walk.take(min(draws.wanted - len(kept), draws.most - len(drawn)), seen)
            if not rows:
                break
            data = self._data(rows)
            if not drawn and len(self.tracker):
                foreseen = self._foresee(data)
                draws.announce(foreseen, "what is known of these prompts")
            groups = self._sample(data, [self.num_generations] * len(data))
            seen.update(rows)
            drawn += groups
            for group, quiet in zip(groups, self._scored(groups).silent, strict=True):
                (silent if quiet else kept).append(group)
        told = self._visit(drawn)
        draws.announce(told["group/silent"], f"the first {len(drawn)} groups")
        told |= draws.count(len(drawn), len(kept), foreseen, self.state.global_step)
        self._note(told)
        self._one_entry(started, drawn)
        short = draws.wanted - len(kept)
        # Missing groups are silent ones: their advantage is 0, and the others weigh what they weigh in a full batch.
        groups = kept + silent[len(silent) - short :] if short else kept
        return filled(groups, self.accelerator.process_index, self.accelerator.num_processes)

    def _sample(self, data: list[dict[str, Any]], sizes: list[int]) -> list[Group]:
        """Groups of so many answers to these rows of the data, generated and scored on all processes."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        every = [row for row, size in zip(data, sizes, strict=True) for _ in range(size)]
        own = [dict(row) for row in share(every, rank, world)]
        prompts = [row["prompt"] for row in own]
        generated = super()._generate(prompts)
        _, ids, _, completions, _, fields, *_ = generated
        for name, values in fields.items():
            for i, row in enumerate(own):
                row[name] = values[i] if isinstance(values, list) else values
        rewards = super()._calculate_rewards(self._given(own), prompts, completions, ids)[: len(every)]
        extra = {name: list(values) for name, values in self._pending_extra_logs.items()}
        self._pending_extra_logs.clear()
        found = whole(answers(own, generated, extra), len(every))
        ends = np.cumsum(sizes)
        return [
            Group(label(row, self.prompt_id), found[end - size : end], rewards[end - size : end])
            for row, size, end in zip(data, sizes, ends, strict=True)
        ]

    def _data(self, rows: list[int]) -> list[dict[str, Any]]:
        """These rows of the data set, fetched at once."""
        columns = self.train_dataset[rows]
        if self.args.remove_unused_columns:
            columns = {name: columns[name] for name in columns if name in ("prompt", self.prompt_id)}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _scored(self, groups: list[Group]) -> Scored:
        judged, _ = self._judged(torch.cat([group.rewards for group in groups]))
        codes = np.repeat(np.arange(len(groups)), [len(group.answers) for group in groups])
        return Scored.of(judged.cpu().numpy(), codes, len(groups))

    def _visit(self, groups: list[Group]) -> dict[str, float]:
        sizes = np.array([len(group.answers) for group in groups])
        counts = None if self.weight == "equal" else sizes / sizes.mean()
        ids = [group.prompt_id for group in groups]
        step = self.state.global_step
        return self.tracker.visit(ids, self._scored(groups), sizes, dial=self.dial, step=step, weight=counts)

    def _one_entry(self, started: dict[str, int], drawn: list[Group]) -> None:
        """TRL's lengths, logged once a round, as those of all answers drawn for the batch."""
        for name, value in lengths(drawn, [*self.eos_token_ids, self._tokenizer.pad_token_id]).items():
            values = self._metrics["train"][name]
            values[started.get(name, 0) :] = [value]

    # ---- what is said ---------------------------------------------------------------------------------------------

    def _foresee(self, data: list[dict[str, Any]]) -> float:
        """Share of groups of these rows expected to be silent."""
        ids = [label(row, self.prompt_id) for row in data]
        return float(self.tracker.foresee(ids, [self.num_generations] * len(ids)).silent.mean())

    def _say(self, text: str) -> None:
        if self.accelerator.is_main_process:
            say(text)

    # ---- order of the data, checkpoints ---------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        stock = super()._get_train_sampler(dataset)
        self._sampler = EpochSampler.like(stock) if type(stock) is RepeatSampler and stock.shuffle else stock
        return self._sampler

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """TRL's; `resume_from_checkpoint=True` takes the last checkpoint that is whole."""
        if resume_from_checkpoint is True:
            found = last_whole(Path(self.args.output_dir))
            if found is None:
                hint = "leave resume_from_checkpoint out to start anew"
                raise ArgumentError(
                    WHO, "a whole checkpoint to resume from", f"none in {self.args.output_dir}", hint=hint
                )
            resume_from_checkpoint = str(found)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(self._get_output_dir(trial=trial))
        folder = run / f"checkpoint-{self.state.global_step}"
        # Older checkpoints go when this one is whole, on all processes, and not before.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            save = super()._save_checkpoint
            fits = self._fits(folder, lambda: save(model, trial))
        finally:
            self.args.save_total_limit = limit
        fits = all(gather_object([fits]))
        if not self.args.should_save:
            return
        position = 0 if self._walk is None else self._walk.position
        numbers = {"draws": self.draws.state(), "position": position}
        if fits and self._fits(folder, lambda: save_state(folder, self.tracker.state(), numbers)):
            best = self.state.best_model_checkpoint
            rotate_checkpoints(output_dir=str(run), save_total_limit=limit, best_model_checkpoint=best, use_mtime=True)
            return
        shutil.rmtree(folder, ignore_errors=True)
        self._say(
            f"no room for {folder}: this checkpoint was not kept, earlier ones are untouched, training goes on; "
            "make room, or set save_total_limit"
        )

    @staticmethod
    def _fits(folder: Path, write: Callable[[], None]) -> bool:
        """Write; False where there is no room."""
        try:
            write()
        except Exception as error:
            if not out_of_space(error, folder):
                raise
            return False
        return True

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        held = load_state(Path(checkpoint))
        if held is None:
            self._say(
                f"{checkpoint} was written by another trainer: predictions start anew, as does the refill's order"
            )
            return
        arrays, numbers = held
        self.tracker = Tracker.from_state(arrays)
        if self._watch is not None:
            self.tracker.listeners.append(self._watch.see)
        self.draws.restore(numbers["draws"])
        if self._walk is not None:
            self._walk.position = numbers["position"]


class _Told(TrainerCallback):
    """Tells the sampler the epoch, and the user at the end how many draws were expected and came."""

    def __init__(self, trainer: GRPOTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Where batches are skipped on several processes, accelerate does not reach the sampler.
        if isinstance(self.trainer._sampler, EpochSampler):
            self.trainer._sampler.set_epoch(int((state.epoch or 0) + 1e-6))

    def on_train_end(self, *_: Any, **__: Any) -> None:
        if text := self.trainer.draws.summary():
            self.trainer._say(text)


_MISSING = [
    name
    for name in ("_generate_and_score_completions", "_generate", "_generate_single_turn", "_calculate_rewards")
    if not inspect.isfunction(getattr(trl.GRPOTrainer, name, None))
]
if _MISSING:
    raise ArgumentError(
        WHO, "TRL 1.16", f"{trl.__version__} without {', '.join(_MISSING)}", hint="pip install 'trl==1.16.0'"
    )
