"""Twenty numerical traps of group-relative training, each run: what goes in, what comes of it, what we give instead.

A trap is shown with a trainer's own code where that is installed, else with its formula, and says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from groupsigma.advantages import advantages, advantages_by_prompt
from groupsigma.conformance.filters import FILTERS
from groupsigma.conformance.formulas import FORMULAS
from groupsigma.conformance.own import areal_batch, restated, skyrl_batch, slime_batch, trl_lines
from groupsigma.conformance.suite import FORMULA, code
from groupsigma.conformance.trainers import CODE, LINES, TRAINERS
from groupsigma.dial import DR_GRPO, GRPO, Dial
from groupsigma.errors import ArgumentError
from groupsigma.metrics import group_metrics
from groupsigma.presets import DIALS
from groupsigma.sigma import is_silent
from groupsigma.trainers.draws import Draws
from groupsigma.trainers.tokens import row_advantages


@dataclass(frozen=True)
class Seen:
    """What one trainer makes of a trap. how: its own code, or formula only. falls: whether that is the trap."""

    trainer: str
    how: str
    gives: str
    falls: bool


@dataclass(frozen=True)
class Shown:
    """One trap, run.

    Attributes: number, title: T1…T20. given: the input. seen: by trainer. ours: what groupsigma gives instead.
        holds: whether that is what the contract says.
    """

    number: int
    title: str
    given: str
    seen: list[Seen]
    ours: str
    holds: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def _own(rewards: Sequence[float], falls: Callable[[Any], bool], *presets: str, ids: Any = None) -> list[Seen]:
    """The rules of these presets on float32 rewards, by trainer; all of one group unless ids say so."""
    seen = []
    for name, trainer in TRAINERS.items():
        for preset in presets:
            if preset in trainer.presets:
                rules, how = code(trainer, False)
                if preset not in rules:
                    rules, how = restated(preset, inside="float64"), FORMULA  # TRL's asynchronous trainer: NumPy
                out = rules[preset](torch.tensor(rewards), ["a"] * len(rewards) if ids is None else ids)
                seen.append(Seen(f"{name} {preset}" if name != preset else name, how, _text(out), falls(out)))
    return seen


def _text(x: Any) -> str:
    """Few numbers in few digits; runs of one number counted."""
    values = [f"{float(v):.3g}" for v in np.asarray(x, dtype=float).ravel()]
    runs: list[list[Any]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    return "[" + ", ".join(value if n == 1 else f"{value}×{n}" for value, n in runs) + "]"


def _formula(trainer: str, gives: Any, falls: bool) -> Seen:
    return Seen(trainer, FORMULA, gives if isinstance(gives, str) else _text(gives), falls)


def _own_or_formula(
    trainer: str, how: str, own: Callable[[], tuple[str, bool]], formula: Callable[[], tuple[str, bool]]
) -> Seen:
    """What the installed trainer gives and whether it falls, or else what its formula does."""
    try:
        return Seen(trainer, how, *own())
    except ImportError:
        return Seen(trainer, FORMULA, *formula())


def _filtered(trainer: str, rewards: Sequence[float], formula: Callable[[], tuple[str, bool]]) -> Seen:
    """Whether a trainer's own filter keeps a group that is silent: then it falls."""

    def own() -> tuple[str, bool]:
        kept = FILTERS[trainer](rewards)
        return "kept" if kept else "dropped", kept

    return _own_or_formula(trainer, LINES, own, formula)


def _any(out: Any) -> bool:
    return bool((out != 0).any())


DIVIDING = ("trl", "verl", "openrlhf", "skyrl", "slime", "roll", "areal", "oat-grpo", "ms-swift", "unsloth")
CENTRING = ("prime-rl", "tinker", "oat")


def _t1() -> Shown:
    r = [0.1] * 8
    ours = advantages(np.array(r, np.float32))
    return Shown(
        1, "equal rewards leave a spread in float32", "0.1 eight times, float32",
        _own(r, _any, *DIVIDING), _text(ours), not ours.any(),
    )  # fmt: skip


def _t2() -> Shown:
    r = [0.7] * 6
    std = float(np.std(r))
    formula = f"np.std = {std:.1e}, {'kept' if std else 'dropped'}", std != 0
    seen = [*(_filtered(name, r, lambda: formula) for name in ("verl", "skyrl")), _formula("open-instruct", *formula)]
    return Shown(
        2, "a filter asks np.std == 0 of float64", "0.7 six times, float64", seen, f"is_silent: {is_silent(r)}",
        bool(is_silent(r)),
    )  # fmt: skip


def _t3() -> Shown:
    r = torch.full((8,), 0.9)
    metric = _close(r.std()), not bool(torch.isclose(r.std(), torch.zeros(())))
    seen = [_formula("ms-swift", *metric)]
    try:
        quiet = bool(trl_lines(r, "group")["is_std_zero"].all())
        seen.insert(0, Seen("trl", TRAINERS["trl"].how, f"is_std_zero: {quiet}", not quiet))
    except ImportError:
        seen.insert(0, _formula("trl", *metric))
    told = group_metrics(r.numpy(), ["a"] * 8)["group/silent"]
    return Shown(
        3, "silence is counted where std is close to 0 by 1e-8", "0.9 eight times, float32", seen,
        f"group/silent: {told:g}", told == 1,
    )  # fmt: skip


def _close(std: Any) -> str:
    return f"std = {float(std):.1e}, close to 0: {bool(torch.isclose(std, torch.zeros(())))}"


def _t4() -> Shown:
    r = [0.1] * 8
    ours = advantages(np.array(r, np.float32), DR_GRPO)
    return Shown(
        4, "advantages are asked whether they are exactly 0", "0.1 eight times, float32, centred only",
        _own(r, _any, *CENTRING), _text(ours), not ours.any(),
    )  # fmt: skip


def _t5() -> Shown:
    r = torch.tensor([3000.0, 3000.01, 3000.02, 3000.03])
    one_pass = float((r * r).mean() - r.mean() ** 2)
    true = float(r.double().var(correction=0))
    ours = float(advantages(r, GRPO).abs().max())
    right = float((r.double() - r.double().mean()).abs().max() / true**0.5)
    return Shown(
        5, "a variance in one pass, E[R²] − E[R]²", "3000, 3000.01, 3000.02, 3000.03, float32",
        [_formula("nemo-rl", f"variance {one_pass:.3g} where it is {true:.3g}", abs(one_pass / true - 1) > 0.1)],
        f"largest advantage {ours:.4f}, exact {right:.4f}", abs(ours - right) < 1e-4,
    )  # fmt: skip


def _t6() -> Shown:
    r = torch.tensor([1.0] + [0.0] * 7)
    others = torch.stack([torch.cat([r[:i], r[i + 1 :]]).std() for i in range(8)])
    kept = r[others != 0]
    return Shown(
        6, "a filter asks the standard deviation of the others, row by row", "1, then 0 seven times",
        [_formula("nemo-rl", f"keeps {len(kept)} of 8 rows, all {float(kept[0]):g}: silent", bool(is_silent(kept)))],
        f"is_silent: {is_silent(r)}, the group stays whole", not is_silent(r),
    )  # fmt: skip


def _t7() -> Shown:
    r = [1.0] + [0.0] * 7
    seen = _own(r, lambda out: abs(float(out[0]) - 7**0.5) > 0.01, "trl", "verl", "trl-async", "open-instruct-std")
    ours = {preset: float(advantages(r, DIALS[preset])[0]) for preset in ("grpo", "verl")}
    return Shown(
        7, "population or sample standard deviation: a factor √((G−1)/G)", "1, then 0 seven times", seen,
        f"ddof is the dial's: grpo {ours['grpo']:.3f}, verl {ours['verl']:.3f}", ours["grpo"] > ours["verl"],
    )  # fmt: skip


def _t8() -> Shown:
    r = [1e-4] + [0.0] * 7
    seen = _own(r, lambda out: abs(float(out[0]) / 2.4749 - 1) > 0.01, "trl", "verl", "areal")
    ours = float(advantages(r, Dial(ddof=1), atol=1e-9)[0])
    return Shown(
        8, "epsilon is not scale-free", "0.0001, then 0 seven times", seen,
        f"{ours:.3f} without an epsilon", ours > 2.47,
    )  # fmt: skip


def _t9() -> Shown:
    r, ids = [1.0] * 4 + [0.0] * 3, ["a"] * 4 + ["b"] * 3
    alone = torch.tensor([1.0] * 5)

    def slime(whole: Any) -> tuple[str, bool]:
        return _text(whole), _any(whole)

    def areal(rows: Any) -> tuple[str, bool]:
        return f"{_text(rows)} where a fifth 1 is left over", _any(rows)

    strided = torch.tensor([0.0] * 4 + [1.0 / 1e-5])
    ours = advantages_by_prompt(r, ids)
    return Shown(
        9, "groups by position where they are unequal", "prompt a: 1 four times; prompt b: 0 three times",
        [
            _own_or_formula(
                "slime", LINES, lambda: slime(slime_batch(torch.tensor(r), 4, 2)),
                lambda: slime(FORMULAS["slime"](torch.tensor(r))),
            ),
            _own_or_formula("areal", CODE, lambda: areal(areal_batch(alone, 4)), lambda: areal(strided)),
        ],
        _text(ours), not ours.any(),
    )  # fmt: skip


def _t10() -> Shown:
    seen = []
    for name, trainer in TRAINERS.items():
        if trainer.own is not None and (found := code(trainer, False))[1] != FORMULA:
            preset, rule = next(iter(found[0].items()))
            out = rule(torch.tensor([1.0]), ["a"])
            seen.append(Seen(f"{name} {preset}", found[1], _text(out), not bool((out == 0).all())))
    given = torch.tensor([1.0])
    if not any(one.trainer.startswith("skyrl") for one in seen):
        seen.append(_formula("skyrl", given, True))
    seen.append(_formula("oat oat-grpo", FORMULAS["oat-grpo"](given), True))
    ours = advantages(given)
    return Shown(10, "a group of one", "1", seen, _text(ours), not ours.any())


def _t11() -> Shown:
    r = [1.0, 1.0, 1.0, float("nan")]
    seen = _own(r, lambda out: not bool((out == 0).all()), "trl", "verl")
    swift = FORMULAS["ms-swift"](torch.nan_to_num(torch.tensor(r)))
    ours = advantages(r)
    return Shown(
        11, "an answer that nobody scored", "1, 1, 1, none", [*seen, _formula("ms-swift", swift, True)], _text(ours),
        not ours.any(),
    )  # fmt: skip


def _t12() -> Shown:
    r, sessions = [1.0, 1.0, 1.0, 0.0, 0.0], [0, 0, 0, 1, 2]
    every = FORMULAS["verl"](torch.tensor(r))
    ours = row_advantages(r, ["a"] * 5, DIALS["verl"], sessions=sessions)
    once = advantages_by_prompt([1.0, 0.0, 0.0], ["a"] * 3, DIALS["verl"])
    return Shown(
        12, "a session of several rows is counted several times", "1 in three rows of one session; 0; 0",
        [_formula("verl, an estimator of one's own", every, True)], _text(ours), bool((ours[2:] == once).all()),
    )  # fmt: skip


def _t13() -> Shown:
    r = [1.0, 1.0, 0.0, 0.0]
    merged = FORMULAS["nemo-rl-dapo"](torch.tensor(r))
    ours = advantages_by_prompt(r, ["q at step 1"] * 2 + ["q at step 2"] * 2)
    return Shown(
        13, "groups by the text of the prompt", "one text drawn twice: 1, 1 and then 0, 0",
        [_formula("nemo-rl", merged, _any(merged))], f"{_text(ours)} by id", not ours.any(),
    )  # fmt: skip


def _t14() -> Shown:
    right, shaped = [0.0] * 4, [-0.1, -0.3, 0.0, -0.2]
    kept = float(np.std(shaped)) != 0
    return Shown(
        14, "a filter looks at the shaped reward", "four wrong answers, less a length penalty: −.1, −.3, 0, −.2",
        [_formula("nemo-rl", "kept" if kept else "dropped", kept)],
        f"is_silent of what judges: {is_silent(right)}", bool(is_silent(right)),
    )  # fmt: skip


def _t15() -> Shown:
    r = torch.tensor([1.0, 0.0, 1.0, 1.0])
    a = torch.cat([FORMULAS["trl"](r[:2]), FORMULAS["trl"](r[2:])])
    diluted, alone = float(a.abs().mean()), float(a[:2].abs().mean())
    ours = group_metrics(r.numpy(), ["a", "a", "b", "b"])["group/silent"]
    return Shown(
        15, "a silent group is not harmless: it stays in the loss's denominator", "one mixed group of two, one silent",
        [_formula("trl", f"step of {diluted:.3f} where the mixed group alone gives {alone:.3f}", diluted < alone)],
        f"group/silent: {ours:g}; a dial with keep='mixed' replaces it", ours == 0.5,
    )  # fmt: skip


def _t16() -> Shown:
    r = torch.tensor([1.0, 1, 1, 1, 1, 0, 0, 0])
    try:
        told = float(trl_lines(r, "batch", generations=4)["is_std_zero"].float().mean())
        seen = Seen("trl", TRAINERS["trl"].how, f"frac_reward_zero_std {told:g}", told != 0.5)
    except ImportError:
        told = float(r.std() == 0)
        seen = _formula("trl", f"frac_reward_zero_std {told:g}", told != 0.5)
    ours = group_metrics(r.numpy(), ["a"] * 4 + ["b"] * 4)["group/silent"]
    return Shown(
        16, "the share of silent groups changes with the scale chosen", 'two groups, one silent; scale_rewards="batch"',
        [seen], f"group/silent: {ours:g}", ours == 0.5,
    )  # fmt: skip


def _t17() -> Shown:
    r = torch.tensor([0.3])
    std = ((r - r.mean()).square().sum() / (len(r) - 1)).sqrt()
    kept = bool(std > 1e-6)

    def said(kept: bool) -> str:
        return f"std {float(std)}, {'kept' if kept else 'dropped'}, whatever it is"

    def dropped() -> tuple[str, bool]:
        kept = FILTERS["slime"]([0.3])
        return said(kept), not kept

    return Shown(
        17, "NaN > 1e-6 is false", "a group of one, 0.3",
        [_own_or_formula("slime", LINES, dropped, lambda: (said(kept), not kept))],
        f"is_silent: {is_silent([0.3])}, advantage {_text(advantages([0.3]))}", bool(is_silent([0.3])),
    )  # fmt: skip


def _t18() -> Shown:
    drawn = 8
    while drawn < 10_000:  # verl 0.9 draws two for each silent group, until there are enough mixed ones
        drawn += 2 * 8
    draws = Draws(8, 10, lambda text: None)
    return Shown(
        18, "a search for mixed groups without a cap", "a batch of 8; every group is silent",
        [_formula("verl, max_num_gen_batches=10", f"{drawn:,} groups drawn, and on", drawn > draws.most)],
        f"{draws.most} groups drawn, then the step is taken", draws.most == 80,
    )  # fmt: skip


def _t19() -> Shown:
    once, twice = torch.tensor([1.0, 0, 0, 0]), torch.tensor([1.0, 0, 0, 0] * 2)

    def told(rule: Callable[[Any], Any]) -> tuple[str, bool]:
        a, b = (float(rule(r)[0]) for r in (once, twice))
        return f"{a:.3f} and {b:.3f}", abs(a - b) > 0.01

    ours = [float(advantages(r)[0]) for r in (once, twice)]
    return Shown(
        19, "rows that were copied change a sample standard deviation", "1, 0, 0, 0 once and twice",
        [_own_or_formula(
            "skyrl, replace", CODE, lambda: told(lambda r: skyrl_batch(r, ["a"] * len(r), "grpo")),
            lambda: told(FORMULAS["skyrl"]),
        )],
        f"{ours[0]:.3f} and {ours[1]:.3f}", ours[0] == ours[1],
    )  # fmt: skip


def _t20() -> Shown:
    r = [-1.0, 0.5, -0.5]

    def told(flipped: Any) -> tuple[str, bool]:
        return _text(flipped), float(flipped[1]) < 0

    try:
        gives, holds = _text(advantages(r, DIALS["maxrl"])), False
    except ArgumentError as error:
        gives, holds = str(error).split("\n")[0], True
    return Shown(
        20, "dividing by a mean that is negative flips every sign", "−1, 0.5, −0.5",
        [_own_or_formula(
            "skyrl maxrl", CODE, lambda: told(skyrl_batch(torch.tensor(r), ["a"] * 3, "maxrl")),
            lambda: told(FORMULAS["skyrl-maxrl"](torch.tensor(r))),
        )], gives, holds,
    )  # fmt: skip


TRAPS: tuple[Callable[[], Shown], ...] = (
    _t1, _t2, _t3, _t4, _t5, _t6, _t7, _t8, _t9, _t10, _t11, _t12, _t13, _t14, _t15, _t16, _t17, _t18, _t19, _t20,
)  # fmt: skip


def shown(trainers: Sequence[str] = ()) -> Iterator[Shown]:
    """Every trap, run; of these trainers alone where some are named.

    >>> next(shown()).ours
    '[0×8]'
    """
    for name in trainers:
        if name not in TRAINERS:
            raise ArgumentError("traps", f"trainers among {', '.join(TRAINERS)}", repr(name))
    for trap in TRAPS:
        found = trap()
        seen = [own for own in found.seen if not trainers or own.trainer.replace(",", "").split()[0] in trainers]
        if seen:
            yield Shown(found.number, found.title, found.given, seen, found.ours, found.holds)
