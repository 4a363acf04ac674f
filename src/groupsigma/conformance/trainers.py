"""The trainers: version, what they divide by, what they call silent; their code and our adapter, where there are any.

A trainer is one entry here. `own` says how its code is called (`own.py`), `plug` how our adapter is (`plugs.py`);
without `own` its formula is restated, and labelled so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from groupsigma.conformance import own, plugs

#: A trainer's code as it is, and lines of it that are taken out and run.
CODE, LINES = "own code", "own lines"


@dataclass(frozen=True)
class Trainer:
    """One trainer.

    Attributes:
        name: what it is called. package: its distribution. version: what was read, and tested where it runs.
        presets: the dials that are its rules.
        silent: its own test of a silent group. refill: its dynamic sampling. ragged: what it makes of unequal groups.
        plug_in: our way into it, in words.
        inside: the precision it computes in.
        own: its code, preset -> function; None: it does not run on a CPU, or is not on PyPI. how: what that code is.
        falls: what its first preset gives on recorded traps where ours gives something else; None: NaN.
        rounds: presets whose rounding is worse than 2 ulp on right-or-wrong rewards, and why: held to 2 ulp of the
            group's largest advantage.
        plug: our adapter as it calls it.
    """

    name: str
    package: str
    version: str
    presets: tuple[str, ...]
    silent: str
    refill: str
    ragged: str
    plug_in: str = "presets alone"
    inside: str = "float32"
    own: Callable[[], Mapping[str, own.Own]] | None = None
    how: str = CODE
    falls: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    rounds: Mapping[str, str] = field(default_factory=dict)
    plug: Callable[[], plugs.Plug] | None = None


#: One unscorable answer, and the whole group is NaN.
_NAN: Mapping[str, Sequence[float | None]] = {
    "one scored": [None] * 3, "unscored": [None] * 4, "nothing scored": [None] * 2,
}  # fmt: skip

#: By name, in the order of the page.
TRAINERS: Mapping[str, Trainer] = {
    trainer.name: trainer
    for trainer in (
        Trainer(
            "trl", "trl", "1.16.0", ("trl", "trl-none", "trl-rloo", "trl-async"),
            "metric only: std close to 0 (1e-8)", "none", "no",
            plug_in="`groupsigma.trainers.trl.GRPOTrainer`, a subclass", own=own.trl, how=LINES,
        ),
        Trainer(
            "verl", "verl", "0.9.1", ("verl", "verl-dr-grpo", "verl-rloo", "verl-dapo"),
            "np.std == 0", "refill; its cap is ignored", "by uid",
            plug_in="entry point `verl.plugins`: estimators `groupsigma…`; sampler", own=own.verl, plug=plugs.verl,
            falls={
                "alone": [1 / (1 + 1e-6)], "one scored": [None] * 3,
                "unscored": [None] * 4, "nothing scored": [None] * 2,
            },
            rounds={"verl-rloo": "G/(G−1)·R − G/(G−1)·μ subtracts after scaling"},
        ),
        Trainer(
            "openrlhf", "openrlhf", "0.11.2", ("openrlhf", "openrlhf-dr-grpo", "openrlhf-rloo"),
            "mean at an edge", "filter, one prompt at a time", "no",
        ),
        Trainer(
            "skyrl", "skyrl", "0.4.0", ("skyrl", "skyrl-dr-grpo", "skyrl-rloo", "skyrl-maxrl"),
            "np.std > 0, or max − min ≤ 1e-6", "filter, replace, refill", "by uid",
            plug_in="`trainer.override_entrypoint`: estimators `groupsigma…`", own=own.skyrl, plug=plugs.skyrl,
            falls={"alone": [1 / (1 + 1e-6)], **_NAN},
        ),
        Trainer(
            "prime-rl", "prime-rl", "0.8.1", ("prime-rl", "prime-rl-maxrl"),
            "advantage == 0", "refill; stops after 10 empty batches", "yes",
        ),
        Trainer(
            "slime", "slime", "0.3.1", ("slime", "slime-dr-grpo"),
            "std > 1e-6, NaN dropped", "refill without a cap", "mixed together",
            plug_in="dotted paths: filter, rewards, log", own=own.slime, how=LINES, plug=plugs.slime,
            falls={"alone": [None], **_NAN},
        ),
        Trainer(
            "nemo-rl", "nemo-rl", "7ea279ab", ("nemo-rl", "nemo-rl-rloo", "nemo-rl-dapo"),
            "std of the others ≠ 0, row by row", "refill, at most 10 batches", "by prompt tokens",
        ),
        Trainer(
            "open-instruct", "open-instruct", "e6c3044a", ("open-instruct", "open-instruct-std"),
            "np.std == 0", "refill or filter", "no", inside="float64",
        ),
        Trainer(
            "roll", "roll", "8eb27cc2", ("roll",), "std ≤ threshold, off by default", "refill", "no",
            plug_in="dotted path of its rollout loop: filter", own=own.roll,
            falls={"alone": [None], **_NAN},
        ),
        Trainer(
            "areal", "areal", "1.0.4", ("areal",), "the user's function", "refill without a cap",
            "by stride: a part of a group is R/1e-5",
            plug_in="`dynamic_filter_fn`: filter", own=own.areal, falls=_NAN,
        ),
        Trainer("oat", "oat-llm", "0.2.4", ("oat", "oat-grpo"), "none", "none", "no"),
        Trainer(
            "ms-swift", "ms-swift", "4.6.0", ("ms-swift", "ms-swift-rloo"),
            "std > 0", "whole batches, at most 3 times", "in a second function",
            plug_in="plug-in file: advantages, filter, log", own=own.ms_swift,
            falls={"one scored": [-0.57725, 1.1545, -0.57725], "unscored": [1.4997, *[-0.4999] * 3]},
            rounds={"ms-swift-rloo": "as verl's"},
        ),
        Trainer(
            "tinker", "tinker-cookbook", "0.6.1", ("tinker",), "all equal", "filter", "yes",
            plug_in="`dialled` around its training; `Planned`, group sizes of a plan", own=own.tinker, falls=_NAN,
        ),
        Trainer("unsloth", "unsloth", "2026.10.9", ("unsloth",), "TRL's", "none", "TRL's"),
    )
}  # fmt: skip
