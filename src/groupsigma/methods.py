"""GRPO, Dr. GRPO and DAPO whole: every setting that makes a run the method, with its reason and its source.

Names are those of trl.GRPOConfig; the four in OURS our trainer reads. What the papers' runs used but
depends on their scale (group size, batch, learning rate, length) is `reported`: shown, never set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from textwrap import wrap
from types import MappingProxyType
from typing import Any

from groupsigma import checks
from groupsigma.dial import DAPO, DR_GRPO, GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.presets import spoken

#: What TRL has no field for -> what it means.
OURS: Mapping[str, str] = MappingProxyType(
    {
        "dynamic_sampling": "replace silent groups before the update",
        "max_gen_batches": "batches drawn at most to fill one",
        "overlong_share": "the last share of max_completion_length in which length is punished; 0 is never",
        "overlong_weight": "the largest punishment, as a share of the gap between right and wrong",
    }
)

_REPORTED = "reported by the authors, not set"


@dataclass(frozen=True)
class Setting:
    """One setting of a method.

    Attributes:
        name: as in trl.GRPOConfig or in OURS; for what is only reported, a plain word too.
        value: what the method has. why: what it does. source: where that is written.
        stated: whether the source gives the value; where none does, the best default is taken and
            another value is no departure.
    """

    name: str
    value: Any
    why: str
    source: str
    stated: bool = True


@dataclass(frozen=True)
class Method:
    """A method whole; made by `method_config`.

    Attributes:
        name: "grpo", "dr-grpo" or "dapo". dial: how rewards become advantages; why, source: of the dial.
        settings: what makes a run the method. reported: what its authors' runs used; not set.
    """

    name: str
    dial: Dial
    why: str
    source: str
    settings: tuple[Setting, ...]
    reported: tuple[Setting, ...]

    def value(self, name: str) -> Any:
        """What the method has for a setting.

        >>> method_config("dapo").value("epsilon_high")
        0.28
        """
        known = {setting.name: setting.value for setting in self.settings}
        if name not in known:
            raise ArgumentError("Method.value", "a known setting", repr(name), hint="one of " + ", ".join(known))
        return known[name]

    def grpo_config(self, **yours: Any) -> dict[str, Any]:
        """Keyword arguments for trl.GRPOConfig: the method's, then yours, which win. OURS are left out.

        >>> method_config("dr-grpo").grpo_config(output_dir="run", epsilon=0.1)["epsilon"]
        0.1
        """
        both = {setting.name: setting.value for setting in self.settings} | yours
        return {name: value for name, value in both.items() if name not in OURS}

    def ours(self, **yours: Any) -> dict[str, Any]:
        """The settings of OURS, yours first; anything else in `yours` is left out. ArgumentError out of range.

        >>> method_config("dapo").ours(max_gen_batches=3)["max_gen_batches"]
        3
        """
        who = "Method.ours"
        found = {name: yours.get(name, self.value(name)) for name in OURS}
        if not isinstance(found["dynamic_sampling"], bool):
            raise ArgumentError(who, "dynamic_sampling True or False", repr(found["dynamic_sampling"])[:60])
        found["max_gen_batches"] = int(checks.whole(who, "max_gen_batches", found["max_gen_batches"], 1))
        for name, most in (("overlong_share", 1.0), ("overlong_weight", float("inf"))):
            number = checks.finite(who, name, found[name])
            if number.ndim or not 0 <= number <= most:
                raise ArgumentError(who, f"{name} from 0{' to 1' if most == 1 else ''}", repr(found[name])[:60])
            found[name] = float(number)
        return found

    def overlong(self, max_completion_length: int | None, **yours: Any) -> dict[str, int] | None:
        """Keyword arguments of trl.rewards.get_soft_overlong_punishment (DAPO eq. 13); None if length is not punished.

        >>> method_config("dapo").overlong(20480)
        {'max_completion_len': 20480, 'soft_punish_cache': 4096}
        """
        share = self.ours(**yours)["overlong_share"]
        if not share:
            return None
        if max_completion_length is None:
            raise ArgumentError("Method.overlong", "a max_completion_length", "None", hint="or overlong_share=0")
        most = int(checks.whole("Method.overlong", "max_completion_length", max_completion_length, 1))
        return {"max_completion_len": most, "soft_punish_cache": max(1, round(share * most))}

    def departures(self, given: Mapping[str, Any]) -> list[str]:
        """Where a run with these values is not the method of the paper, a line each, for the trainer to print.

        Args: given: the user's own values, or all of a GRPOConfig. Values no source states are not compared.

        >>> method_config("grpo").departures({"loss_type": "dapo", "epsilon": 10})
        ['loss_type = dapo, where GRPO has grpo (arXiv 2402.03300, eq. 3)']
        """
        lines = []
        epsilon = given.get("epsilon", self.value("epsilon"))
        for setting in self.settings:
            if setting.name not in given or not setting.stated:
                continue
            mine, theirs = (_as_read(setting.name, v, epsilon) for v in (setting.value, given[setting.name]))
            if mine != theirs:
                now = f"{setting.name} = {_written(theirs)}"
                lines.append(f"{now}, where {spoken(self.name)} has {_written(mine)} ({setting.source})")
        updates = next(setting for setting in self.reported if setting.name == "updates_per_generation")
        if updates.value > 1 and _is_on_policy(given):
            steps = updates.value * (given.get("gradient_accumulation_steps") or 1)
            lines.append(
                f"nothing is ever clipped: one update for each batch of answers, where {spoken(self.name)} made "
                f"{updates.value} ({updates.source}); steps_per_generation = {steps} makes as many"
            )
        return lines

    def table(self, **yours: Any) -> list[dict[str, str]]:
        """Rows of text, for docs and screens: kind (advantage, TRL, ours, reported), setting, value, why, source.

        >>> method_config("dapo").table(beta=0.01)[7]["value"]
        '0.01 (yours; DAPO has 0)'
        """
        rows = [("advantage", Setting("advantage", self.dial.formula, self.why, self.source))]
        rows += [("ours" if setting.name in OURS else "TRL", setting) for setting in self.settings]
        rows += [("reported", setting) for setting in self.reported]
        epsilon = yours.get("epsilon", self.value("epsilon"))
        table = []
        for kind, setting in rows:
            name, value = setting.name, _written(setting.value)
            if name in yours and _as_read(name, yours[name], epsilon) != _as_read(name, setting.value, epsilon):
                value = f"{_written(yours[name])} (yours; {spoken(self.name)} has {value})"
            table.append({"kind": kind, "setting": name, "value": value, "why": setting.why, "source": setting.source})
        return table

    def text(self, width: int = 100, **yours: Any) -> str:
        """The table for a terminal: each setting and its value, under it the reason and the source."""
        lines = []
        for row in self.table(**yours):
            if row["kind"] == "reported" and _REPORTED not in lines:
                lines += ["", _REPORTED]
            lines.append(f"{row['setting']:<29}{row['value']}")
            reason = f"{row['why']} [{row['source']}]"
            lines += wrap(reason, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
        return "\n".join(lines)


def side_by_side() -> str:
    """The values of the three methods in columns; "all" where all three have one, – where none is reported.

    >>> print(side_by_side().splitlines()[2])
    loss_type                    grpo         dr_grpo     dapo
    """
    tables = [method.table() for method in METHODS.values()]
    values = [{row["setting"]: row["value"] for row in table} for table in tables]
    kinds = {row["setting"]: row["kind"] for table in tables for row in table}
    lines = [_line("", *map(spoken, METHODS))]
    for name in sorted(kinds, key=lambda name: kinds[name] == "reported"):
        if kinds[name] == "reported" and _REPORTED not in lines:
            lines += ["", _REPORTED]
        cells = [column.get(name, "–") for column in values]
        lines.append(_line(name, *cells) if len(set(cells)) > 1 else _line(name, f"{cells[0]}, all"))
    return "\n".join(lines)


def method_config(name: str) -> Method:
    """A method by its name: "grpo", "dr-grpo" or "dapo"; case, points, spaces and dashes do not matter.

    >>> method_config("Dr. GRPO").name, method_config("dapo").dial
    ('dr-grpo', Dial: (R − μ) / σ, silent groups replaced)
    """
    if not isinstance(name, str):
        raise ArgumentError("method_config", "a method's name", repr(name)[:60], hint="one of " + ", ".join(METHODS))
    if found := next((method for known, method in METHODS.items() if _letters(known) == _letters(name)), None):
        return found
    near = get_close_matches(name.lower(), METHODS, 1)
    hint = (f"did you mean {near[0]!r}? " if near else "") + "one of " + ", ".join(METHODS)
    raise ArgumentError("method_config", "a known method", repr(name)[:60], hint=hint)


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _line(name: str, first: str, second: str = "", third: str = "") -> str:
    return f"{name:<29}{first:<13}{second:<12}{third}".rstrip()


def _written(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "as epsilon" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _as_read(name: str, value: Any, epsilon: Any) -> Any:
    """A value as GRPOConfig and GRPOTrainer read it."""
    if name == "scale_rewards" and isinstance(value, bool):
        return "group" if value else "none"
    return epsilon if name == "epsilon_high" and value is None else value


def _is_on_policy(given: Mapping[str, Any]) -> bool:
    """Whether TRL makes one update at most for each batch of answers: the ratio is then 1 and nothing is clipped."""
    accumulated = given.get("gradient_accumulation_steps") or 1
    steps = given.get("steps_per_generation")
    if steps is None and given.get("generation_batch_size") is not None:
        return False  # How many steps that is depends on the number of processes.
    return accumulated % ((steps or accumulated) * (given.get("num_iterations") or 1)) == 0


_GRPO, _DR, _DAPO = "arXiv 2402.03300", "arXiv 2503.20783", "arXiv 2503.14476"
_R1 = "arXiv 2501.12948v2, §3.2.1"
_SCRIPT = "verl-recipe dapo/run_dapo_qwen2.5_32b.sh"
_ZERO = "understand-r1-zero train_zero_math.py"
_SEVEN_B = "understand-r1-zero examples/qwen2.5-math-7b.sh"
_STD = "population σ (ddof 0), no ε; TRL's own divides by s + 0.0001 (ddof 1)"
_NO_KL = "without a KL term it does nothing"
_WITH_SAMPLING = "counts only with dynamic sampling"
_WITH_OVERLONG = "counts only where length is punished"

#: Name -> method, in the order they were published.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "grpo": Method(
            "grpo",
            GRPO,
            f"{_STD}; which standard deviation is not stated",
            f"{_GRPO}, §4.1.2; 2607.00152, eq. 1",
            (
                Setting(
                    "loss_type", "grpo",
                    "the mean over an answer's tokens, then over answers: a token of a long answer weighs less; "
                    "TRL's default is dapo's", f"{_GRPO}, eq. 3",
                ),
                Setting("scale_rewards", "group", "advantages are divided by the group's spread", f"{_GRPO}, §4.1.2"),
                Setting(
                    "epsilon", 0.2,
                    "how far the ratio may move before a token stops counting; with one update for each batch of "
                    "answers the ratio is 1 and it never acts; DeepSeek-R1 took 10",
                    f"not stated; PPO's 0.2 (arXiv 1707.06347, §3); R1: {_R1}", stated=False,
                ),
                Setting("epsilon_high", None, "one ε for both sides", f"{_GRPO}, eq. 3"),
                Setting("importance_sampling_level", "token", "a ratio for each token", f"{_GRPO}, eq. 3"),
                Setting("num_iterations", 1, "each answer is used once", f"{_GRPO}, §4.2"),
                Setting(
                    "beta", 0.04,
                    "KL to the starting model, in the loss; that model is kept in memory; TRL's default is 0; "
                    "DeepSeek-R1 took 0.001 and a new reference every 400 steps", f"{_GRPO}, §4.2, eq. 3; R1: {_R1}",
                ),
                Setting(
                    "use_bias_correction_kl", False,
                    "the estimator π_ref/π − log(π_ref/π) − 1 as it is, with gradient β(π_ref/π − 1); TRL's default "
                    "multiplies it by the ratio", f"{_GRPO}, eq. 4 and 20",
                ),
                Setting(
                    "mask_truncated_completions", False, "answers cut at the limit stay in the loss",
                    "not stated; TRL's default", stated=False,
                ),
                Setting(
                    "multi_objective_aggregation", "sum_then_normalize",
                    "several rewards are added before σ; DeepSeek-R1 adds its two",
                    "not stated; R1: arXiv 2501.12948v2, eq. 4", stated=False,
                ),
                Setting("dynamic_sampling", False, "silent groups stay in the batch", f"{_GRPO}, Algorithm 1"),
                Setting("max_gen_batches", 10, _WITH_SAMPLING, "not stated; DAPO's", stated=False),
                Setting("overlong_share", 0.0, "length has no part in the reward", f"{_GRPO}, §4.1.2"),
                Setting("overlong_weight", 0.5, _WITH_OVERLONG, "not stated; DAPO's", stated=False),
            ),
            (
                Setting("reward", "learned", "the score of a reward model, not a checker's 0 or 1", f"{_GRPO}, §4.2"),
                Setting("num_generations", 64, "answers to a prompt: G", f"{_GRPO}, §4.2"),
                Setting("training_batch", 1024, "answers or questions: not stated", f"{_GRPO}, §4.2"),
                Setting("updates_per_generation", 1, "a single update after each sampling", f"{_GRPO}, §4.2"),
                Setting("max_completion_length", 1024, "with or without the prompt: not stated", f"{_GRPO}, §4.2"),
                Setting("learning_rate", 1e-6, "of the policy", f"{_GRPO}, §4.2"),
            ),
        ),
        "dr-grpo": Method(
            "dr-grpo",
            DR_GRPO,
            "centred, not divided: dividing by σ leans towards prompts solved nearly always or nearly never",
            f"{_DR}, §3.2",
            (
                Setting(
                    "loss_type", "dr_grpo",
                    "the sum over tokens / (answers × max_completion_length): a token weighs the same in any answer; "
                    "a longer limit makes a smaller gradient", f"{_DR}, §3.2, Listing 1",
                ),
                Setting(
                    "scale_rewards", "none",
                    "not divided by the spread; TRL's loss_type alone does not switch that off", f"{_DR}, §3.2",
                ),
                Setting("epsilon", 0.2, "how far the ratio may move before a token stops counting", f"{_DR}, Table 6"),
                Setting("epsilon_high", None, "one ε for both sides", f"{_DR}, eq. 2 and 3"),
                Setting("importance_sampling_level", "token", "a ratio for each token", f"{_DR}, eq. 2 and 3"),
                Setting("num_iterations", 1, "each answer is used once", f"{_DR}, Table 6"),
                Setting("beta", 0.0, "no KL term, and no reference model in memory", f"{_DR}, §3, Table 6"),
                Setting("use_bias_correction_kl", False, _NO_KL, "not stated", stated=False),
                Setting(
                    "mask_truncated_completions", False,
                    "answers cut at the limit stay in the loss; in the authors' code their reward is 0",
                    f"{_ZERO}; oat ignore_no_eos",
                ),
                Setting(
                    "multi_objective_aggregation", "sum_then_normalize",
                    "several rewards are added before the mean is taken off", "not stated; one reward",
                    stated=False,
                ),
                Setting("dynamic_sampling", False, "silent groups stay in the batch", f"{_DR}, §3.2; {_ZERO}"),
                Setting("max_gen_batches", 10, _WITH_SAMPLING, "not stated; DAPO's", stated=False),
                Setting("overlong_share", 0.0, "length has no part in the reward", f"{_DR}, §3.2"),
                Setting("overlong_weight", 0.5, _WITH_OVERLONG, "not stated; DAPO's", stated=False),
            ),
            (
                Setting("reward", "1 or 0", "1 if the answer is right; by Math-Verify", f"{_DR}, §3.2"),
                Setting("num_generations", 8, "answers to a prompt: G", f"{_DR}, Table 6"),
                Setting("training_batch", 128, "answers in an update", _SEVEN_B),
                Setting(
                    "updates_per_generation", 8, "128 prompts × 8 answers, 128 at a time", _SEVEN_B,
                ),
                Setting("max_completion_length", 3000, "tokens; also the constant of the loss", f"{_DR}, Table 6"),
                Setting("learning_rate", 1e-6, "AdamW, β 0.9 and 0.95", f"{_DR}, Table 6"),
                Setting("lr_scheduler_type", "constant", "TRL's default falls to 0", f"{_DR}, Table 6"),
                Setting("weight_decay", 0.0, "none", f"{_DR}, Table 6"),
                Setting("max_grad_norm", 1.0, "clipping of the gradient", f"{_DR}, Table 6"),
                Setting("temperature", 1.0, "of sampling, top-p 1", f"{_DR}, Table 6"),
            ),
        ),
        "dapo": Method(
            "dapo",
            DAPO,
            f"{_STD}; which standard deviation is not stated",
            f"{_DAPO}, eq. 9 and 11",
            (
                Setting(
                    "loss_type", "dapo",
                    "the sum over tokens / tokens of all answers in the update: so in the authors' code and in TRL; "
                    "eq. 12 writes it for the group of one prompt",
                    f"{_DAPO}, §3.3, eq. 12; {_SCRIPT} (token-mean)",
                ),
                Setting("scale_rewards", "group", "advantages are divided by the group's spread", f"{_DAPO}, eq. 9"),
                Setting("epsilon", 0.2, "ε_low: how far a ratio may fall", f"{_DAPO}, §4.1, eq. 10"),
                Setting(
                    "epsilon_high", 0.28,
                    "clip-higher: more room for unlikely tokens to grow, against the collapse of entropy",
                    f"{_DAPO}, §3.1, eq. 10; §4.1",
                ),
                Setting("importance_sampling_level", "token", "a ratio for each token", f"{_DAPO}, eq. 9"),
                Setting(
                    "num_iterations", 1, "each answer is used once: 512 × 16 answers make the 16 updates of 512",
                    f"{_DAPO}, §4.1",
                ),
                Setting("beta", 0.0, "no KL term, and no reference model in memory", f"{_DAPO}, §2.3, eq. 8"),
                Setting("use_bias_correction_kl", False, _NO_KL, "not stated", stated=False),
                Setting(
                    "mask_truncated_completions", False,
                    "answers cut at the limit stay in the loss: the paper tries leaving them out (Table 1: overlong "
                    "filtering), its authors' best run does not", f"verl docs/algo/dapo.md, FAQ; {_DAPO}, §3.4",
                ),
                Setting(
                    "multi_objective_aggregation", "sum_then_normalize",
                    "the punishment of length is added to correctness before σ", f"{_DAPO}, §3.4",
                ),
                Setting(
                    "dynamic_sampling", True,
                    "groups all right or all wrong are replaced until the batch is full; correctness alone is the "
                    "judge, not the punishment of length", f"{_DAPO}, §3.2, eq. 11; {_SCRIPT} (metric acc)",
                ),
                Setting(
                    "max_gen_batches", 10,
                    "batches drawn at most to fill one; theirs hold three times the prompts of an update batch; the "
                    "paper has no cap", _SCRIPT,
                ),
                Setting(
                    "overlong_share", 0.2, "4,096 of 20,480 tokens: there the punishment grows from 0 to −1",
                    f"{_DAPO}, §3.4, eq. 13; §4.1",
                ),
                Setting(
                    "overlong_weight", 0.5,
                    "right and wrong are 1 and −1 in the paper, 2 apart, and the punishment reaches 1; with rewards 1 "
                    "and 0 it is weighed by a half", f"{_DAPO}, eq. 7 and 13",
                ),
            ),
            (
                Setting("reward", "1 or −1", "by rule, plus the punishment of length", f"{_DAPO}, eq. 7"),
                Setting("num_generations", 16, "answers to a prompt: G", f"{_DAPO}, §4.1"),
                Setting("training_batch", 512, "answers in an update: 32 prompts × 16", f"{_DAPO}, §4.1; {_SCRIPT}"),
                Setting("updates_per_generation", 16, "512 prompts × 16 answers, 512 at a time", f"{_DAPO}, §4.1"),
                Setting("max_completion_length", 20480, "tokens: 16,384 and 4,096 more, punished", f"{_DAPO}, §4.1"),
                Setting("learning_rate", 1e-6, "AdamW", f"{_DAPO}, §4.1"),
                Setting(
                    "lr_scheduler_type", "constant_with_warmup",
                    "linear over 20 rollout steps (10 in the script); TRL's default falls to 0", f"{_DAPO}, §4.1",
                ),
                Setting("weight_decay", 0.1, "not in the paper", _SCRIPT),
                Setting("max_grad_norm", 1.0, "not in the paper", _SCRIPT),
                Setting("temperature", 1.0, "of sampling, top-p 1; the paper has only that of evaluation", _SCRIPT),
            ),
        ),
    }
)  # fmt: skip
