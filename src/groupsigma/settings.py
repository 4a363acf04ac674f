"""From an audit or a plan to the lines that go into TRL's and verl's configurations."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from groupsigma import checks
from groupsigma.audit import Audit
from groupsigma.dial import Dial
from groupsigma.errors import ArgumentError
from groupsigma.law import cap_risk, draws_per_kept_group, silent_rate
from groupsigma.methods import METHODS
from groupsigma.plan import Plan
from groupsigma.presets import DIALS, spoken
from groupsigma.sigma import gain
from groupsigma.trainers.named import estimator_name
from groupsigma.value import value_table

Trainer = Literal["trl", "verl"]

#: The versions these names were read in.
_VERSIONS = {"trl": "TRL 1.16", "verl": "verl 0.9"}
#: How often a run may meet its cap on draws.
_RISK = 0.01
#: Standard deviations that a normal exceeds as often.
_SURE = 2.33
#: Caps beyond this are no caps.
_MOST_BATCHES = 1000
#: What verl calls TRL's losses.
_LOSS = {"grpo": "seq-mean-token-mean", "dr_grpo": "seq-mean-token-sum-norm", "dapo": "token-mean"}
#: The column in which verl's trainer (0.9.1) looks for a row's own number of answers.
ROLLOUTS = "__rollout_n__"
#: Letters that neither a shell nor Hydra reads anything into.
_PLAIN = re.compile(r"[\w./:@+-]+", re.ASCII)

_TRIES = '''\
plan = dict(zip(train_dataset[{column}], train_dataset["tries"]))


def tries(prompt_ids):
    """The plan's tries, two at least, stretched so that they fill the batch."""
    more = [max(plan[i] - 2, 1e-9) for i in prompt_ids]
    scale = {each} * len(more) / sum(more)
    ends = [round(n * scale) for n in accumulate(more)]
    return [2 + end - start for start, end in zip([0, *ends], ends)]


'''


@dataclass(frozen=True)
class Data:
    """The rows to train on as they were written: file, column of ids, whether rows are repeated.

    rollouts: the column, if any, from which the trainer itself takes a row's number of answers.
    """

    path: str
    id_column: str
    repeated: bool = False
    rollouts: str = ""


@dataclass(frozen=True)
class Settings:
    """What one trainer is told. options: by its own names; notes: what they cannot say; text: ready to paste."""

    trainer: Trainer
    options: Mapping[str, Any]
    notes: tuple[str, ...]
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"options": dict(self.options), "notes": list(self.notes), "text": self.text}


@dataclass(frozen=True)
class _Run:
    """What both trainers are to do: groups of G answers, B prompts a batch, a dial, a cap, data, a plan's tries.

    mean: answers a prompt; most: what a batch's stay below, all but 1 in 100 times.
    """

    G: int
    batch: int
    dial: Dial
    cap: int | None
    data: Data | None
    notes: tuple[str, ...]
    ragged: bool = False
    proportional: bool = False
    most: int = 0
    mean: float = 0.0


def audit_settings(audit: Audit, dial: Dial, batch: int = 64, data: Data | None = None) -> dict[str, Settings]:
    """The audited run as each trainer's settings: G, the dial, and the cap on draws where silent groups are replaced.

    Args: audit, dial: as audited; batch: prompts of an update, B; data: the rows written back, if any.
    Raises: ArgumentError for groups of one.

    >>> from groupsigma import DR_GRPO, Groups, audit
    >>> found = audit(Groups(["a", "b"], [3, 0], [8, 8]), dial=DR_GRPO)
    >>> audit_settings(found, DR_GRPO)["trl"].options["scale_rewards"]
    'none'
    """
    B = _batch(batch)
    if audit.group_size < 2:
        raise ArgumentError("--config", "groups of at least 2", f"G = {audit.group_size}")
    cap, said = _cap(dial, audit.best.silent.value, B)
    said = (*said, *_too_few(audit.problems, B))
    about = f"{audit.source or 'groups'}, audited at G = {audit.group_size} under {spoken(audit.dial)}"
    return _both(_Run(audit.group_size, B, dial, cap, data, (about, *said)))


def plan_settings(
    plan: Plan, batch: int = 64, data: Data | None = None, group_size: int | None = None
) -> dict[str, Settings]:
    """A plan as each trainer's settings: the rows that have tries, and one G nearest the mean of the tries.

    TRL's own G is one number; with the data written back our trainer for it gives each prompt its tries, and so does
    verl where the data have its column `ROLLOUTS`.

    Args: batch: prompts of an update; data: the rows written back, if any; group_size: G, by default the mean tries.

    >>> from groupsigma import Groups, plan
    >>> plan_settings(plan(Groups(["easy", "even"], [8, 4], [8, 8]), budget=16))["verl"].options
    {'data.train_batch_size': 64, 'actor_rollout_ref.actor.ppo_mini_batch_size': 64, \
'actor_rollout_ref.rollout.n': 16, 'algorithm.adv_estimator': 'grpo', 'algorithm.norm_adv_by_std_in_grpo': True, \
'actor_rollout_ref.actor.loss_agg_mode': 'seq-mean-token-mean'}
    """
    B, dial = _batch(batch), plan.goal.dial
    each = plan.tries[(plan.tries > 0) & (plan.count > 0)]
    if not each.size:
        raise ArgumentError("--config", "a plan with tries", "none")
    least, most, total = int(each.min()), int(each.max()), plan.planned
    G = max(2, int(total.rollouts / total.problems + 0.5)) if group_size is None else group_size
    cap, said = _cap(dial, _silent(plan, G), B)
    notes = [f"{plan.source or 'beliefs'}, planned: {total.problems:,} problems, {least} to {most} tries each", *said]
    repeated = data is not None and data.repeated
    notes += () if repeated else _too_few(total.problems, B)
    if repeated:
        notes.append(f"a problem with more tries than {G} has several rows, each a group of {G}")
    elif least < most and not (data is not None and data.rollouts) and (worth := _worth(plan, G)) is not None:
        cost = G * total.problems / total.rollouts
        notes.append(f"{G} answers for each have {worth:.1%} of the plan's value for {cost:.1%} of its answers")
    if data is None:
        notes.append("--data-out FILE writes the rows that have tries")
    ragged = data is not None and not repeated and least < most and dial.keep == "all"
    if plan.weighting == "dial":
        notes.append("no trainer weighs prompts by the column weight; that is for a loss of your own")
    proportional = plan.weighting == "proportional"
    mean = total.rollouts / total.problems
    return _both(_Run(G, B, dial, cap, data, tuple(notes), ragged, proportional, _most(plan, B), mean))


def refill_cap(silent: float, batch: int, risk: float = _RISK) -> int | None:
    """The fewest batches of draws that fill a batch of mixed groups all but `risk` of the time; None beyond 1,000.

    >>> refill_cap(0.43, 64), refill_cap(0.9, 64), refill_cap(1.0, 64)
    (3, 13, None)
    """
    if float(cap_risk(silent, batch, _MOST_BATCHES)) > risk:
        return None
    low, high = 0, _MOST_BATCHES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if float(cap_risk(silent, batch, middle)) <= risk else (middle, high)
    return high


def _batch(batch: int) -> int:
    return int(checks.whole("--batch", "B", batch, 1))


def _both(run: _Run) -> dict[str, Settings]:
    return {"trl": _trl(run), "verl": _verl(run)}


def _too_few(problems: int, batch: int) -> tuple[str, ...]:
    """That a batch is more than all problems: trainers leave a batch out that they cannot fill."""
    if problems >= batch:
        return ()
    return (f"{problems:,} problems do not fill a batch of {batch:,}, and trainers drop what does not: --batch B",)


def _cap(dial: Dial, silent: float, batch: int) -> tuple[int | None, tuple[str, ...]]:
    """The cap for a dial that replaces silent groups, and what to expect of it."""
    if dial.keep != "mixed":
        return None, ()
    found, share = refill_cap(silent, batch), f"{silent:.1%} of the groups are silent"
    if found is None:
        return None, (f"{share}: no cap fills a batch; other problems first",)
    risk, draws = float(cap_risk(silent, batch, found)), float(draws_per_kept_group(silent))
    told = f"{share}: {draws:.2f} draws for each kept; {found} batches of draws fail to fill one {risk:.1g} of the time"
    return found, (told,)


def _silent(plan: Plan, G: int) -> float:
    """Share of groups of G expected silent on the planned problems."""
    held = plan.count * (plan.tries > 0)
    chance = plan.beliefs.weight @ silent_rate(plan.beliefs.p, G)
    return min(1.0, float(held @ chance[plan.row] / held.sum()))


def _most(plan: Plan, batch: int) -> int:
    """Answers a prompt that B prompts drawn at random stay below 99 times in 100."""
    held = plan.count * (plan.tries > 0)
    mean = held @ plan.tries / held.sum()
    spread = np.sqrt(held @ (plan.tries - mean) ** 2 / held.sum() / batch)
    return int(np.ceil(min(mean + _SURE * spread, plan.tries.max())))


def _worth(plan: Plan, G: int) -> float | None:
    """The value of G tries for each planned problem over the plan's; None for goals that are no sum of values."""
    if plan.goal.name in ("variance", "fidelity") or plan.value <= 0:
        return None
    held = plan.count * (plan.tries > 0)
    each = plan.beliefs.weight @ value_table(plan.beliefs.p, np.array([G]), plan.goal)[:, 0]
    return float(held @ each[plan.row]) / plan.value


def _trl(run: _Run) -> Settings:
    several = "divide gradient_accumulation_steps by the number of processes"
    notes = [f"{run.batch:,} prompts of {run.G} answers for each update; {several}"]
    options: dict[str, Any] = {
        "num_generations": run.G,
        "per_device_train_batch_size": run.G,
        "gradient_accumulation_steps": run.batch,
    }
    stock, scale = _stock(run.dial, run.G)
    own = stock is None or run.dial.keep == "mixed" or run.ragged
    if not own:
        options["scale_rewards"] = stock
        notes += _scaled("TRL", scale, run.G)
    if loss := _loss(run.dial):
        options["loss_type"] = loss
    imports = ["from trl import GRPOConfig"]
    body = ""
    if run.data is not None:
        imports.insert(0, "from datasets import load_dataset")
        body += f"train_dataset = {_loaded(run.data.path)}\n"
    body += "args = GRPOConfig(\n" + "".join(f"    {k}={_quoted(v)},\n" for k, v in options.items()) + ")\n"
    if own:
        named = "DIALS" if run.dial in DIALS.values() else "Dial"
        more = [f"dial={_constructor(run.dial)}"]
        if run.cap is not None:
            more.append(f"max_batches={run.cap}")
        imports += ["", f"from groupsigma import {named}", "from groupsigma.trainers.trl import GRPOTrainer"]
        if run.ragged and run.data is not None:
            imports = ["from itertools import accumulate", "", *imports]
            body += _TRIES.format(column=_quoted(run.data.id_column), each=run.G - 2)
            more.append("tries=tries")
            if run.proportional:
                more.append('weight="proportional"')
        if run.data is not None and run.data.id_column != "prompt_id":
            more.append(f"prompt_id={_quoted(run.data.id_column)}")
        given = ["model=model", "reward_funcs=reward_funcs", "args=args", "train_dataset=train_dataset"]
        body += f"trainer = GRPOTrainer(\n    {', '.join(given)},\n    {', '.join(more)},\n)\n"
    return _made("trl", options, (*run.notes, *notes), "\n".join(imports) + "\n\n" + body)


def _verl(run: _Run) -> Settings:
    notes: list[str] = []
    options: dict[str, Any] = {}
    if run.data is not None:
        options["data.train_files"] = run.data.path
        if not run.data.path.endswith((".parquet", ".json", ".jsonl")):
            notes.append(f"verl reads .parquet and .jsonl files only, not {Path(run.data.path).name}")
    options["data.train_batch_size"] = run.batch
    options["actor_rollout_ref.actor.ppo_mini_batch_size"] = run.batch
    options["actor_rollout_ref.rollout.n"] = run.G
    stock, scale = _stock(run.dial, run.G)
    own = run.ragged and run.data is not None and run.data.rollouts
    if own:
        options["actor_rollout_ref.rollout.n"] = run.most
        notes.append(
            f"each prompt gets the answers that its column {own} says; with n = {run.most} a batch of them is one "
            "update, filled up with padding, in all but 1 of 100 steps"
        )
    if own:
        options |= _dialled(run.dial, run.proportional)
        notes.append("the estimator is groupsigma's: python -m groupsigma.trainers.verl looks for it")
    elif stock == "none" and run.dial.center == "loo":
        options["algorithm.adv_estimator"] = "rloo"
    elif stock in ("group", "none"):
        options["algorithm.adv_estimator"] = "grpo"
        options["algorithm.norm_adv_by_std_in_grpo"] = stock == "group"
        notes += _scaled("verl", scale, run.G)
    else:
        notes.append(f"no estimator of verl's own is A = {run.dial.formula}; adv_estimator is left to you")
    if loss := _loss(run.dial):
        options["actor_rollout_ref.actor.loss_agg_mode"] = _LOSS[loss]
        if own and _LOSS[loss].startswith("seq-mean"):
            part = run.mean / run.most
            notes.append(
                f"verl's loss divides by a full batch's rows, padding too: updates are {part:.2f} times as large"
            )
    if run.dial.keep == "mixed":
        options["algorithm.filter_groups.enable"] = True
        options["algorithm.filter_groups.metric"] = "acc"
        notes.append("a reward function that returns a dict must have the key acc: right or wrong, without shaping")
        if run.cap is not None:
            options["algorithm.filter_groups.max_num_gen_batches"] = run.cap
            notes.append("verl 0.9 ignores max_num_gen_batches, with a warning, and refills without end")
    lines = "".join(f"{_override(name, value)}\n" for name, value in options.items())
    return _made("verl", options, (*run.notes, *notes), lines)


def _dialled(dial: Dial, proportional: bool) -> dict[str, Any]:
    """Our estimator in verl for this dial: by name, or by its fields; proportional: prompts count by their answers."""
    weight = {"+algorithm.groupsigma.weight": "proportional"} if proportional else {}
    name = next((name for name, known in DIALS.items() if known == dial), None)
    if name is not None:
        return {"algorithm.adv_estimator": estimator_name(name)} | weight
    given = {f.name: getattr(dial, f.name) for f in fields(dial) if getattr(dial, f.name) != f.default}
    first = {"algorithm.adv_estimator": "groupsigma", "+algorithm.groupsigma.dial": "grpo"}
    return first | {f"+algorithm.groupsigma.{field}": value for field, value in given.items()} | weight


def _made(trainer: Trainer, options: Mapping[str, Any], notes: tuple[str, ...], body: str) -> Settings:
    said = (f"{_VERSIONS[trainer]}: {notes[0]}", *notes[1:])
    # A note may hold a file's name, and that a line break.
    head = "".join(f"# {' '.join(note.split())}\n" for note in said)
    return Settings(trainer, options, notes, head + body)


def _stock(dial: Dial, G: int) -> tuple[str | None, float]:
    """TRL's `scale_rewards` that is the dial up to a factor on right-or-wrong groups of G, and that factor."""
    if dial.tilt or dial.center == "none":
        return None, 1.0
    if dial.spread == "batch" and dial.power == 1 and dial.center == "mean":
        return "batch", 1.0
    if dial.power == 0:
        return "none", 1.0 if dial.center == "mean" else (G - 1) / G
    if dial.power != 1 or dial.spread != "group" or dial.center != "mean":
        return None, 1.0
    k = np.arange(1, G)
    ratio = gain(k, G, DIALS["trl"]) / gain(k, G, dial)
    return ("group", float(ratio.mean())) if np.ptp(ratio) < 0.01 * ratio.mean() else (None, 1.0)


def _scaled(trainer: str, scale: float, G: int) -> list[str]:
    if abs(scale - 1) < 1e-3:
        return []
    return [f"{trainer}'s rule is {scale:.3f} times this dial's in every mixed group of {G}: the same direction"]


def _loss(dial: Dial) -> str | None:
    """The loss that belongs to a method; other dials leave it as the trainer has it."""
    return next((str(m.value("loss_type")) for m in METHODS.values() if m.dial == dial), None)


def _loaded(path: str) -> str:
    kind = re.search(r"\.(csv|tsv|jsonl|ndjson|parquet|pq)(\.\w+)?$", path.lower())
    form = {"csv": "csv", "tsv": "csv", "parquet": "parquet", "pq": "parquet"}.get(kind[1] if kind else "", "json")
    extra = ', delimiter="\\t"' if kind and kind[1] == "tsv" else ""
    return f'load_dataset("{form}", data_files={_quoted(path)}, split="train"{extra})'


def _constructor(dial: Dial) -> str:
    """Python that makes the dial."""
    if name := next((name for name, known in DIALS.items() if known == dial), None):
        return f"DIALS[{_quoted(name)}]"
    given = ((f.name, getattr(dial, f.name)) for f in fields(dial) if getattr(dial, f.name) != f.default)
    return f"Dial({', '.join(f'{name}={_quoted(value)}' for name, value in given)})"


def _quoted(value: Any) -> str:
    """A Python literal, strings in double quotes where that is as plain."""
    text = repr(value)
    return f'"{value}"' if isinstance(value, str) and text == f"'{value}'" and '"' not in value else text


def _override(name: str, value: Any) -> str:
    """One Hydra override, as an argument of a shell command."""
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"{name}={text}"
    # Hydra takes a backslash for itself unless a quote follows.
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ("\\" + found[2] if found[2] else ""), text)
    return shlex.quote(f'{name}="{escaped}"')
