"""The suite: one trainer's own numbers beside ours, on the recorded groups.

On groups with two live rewards and a spread the preset is the trainer's own rule: 2 ulp of float32 for right-or-wrong
rewards, 16 ulp of the group's largest advantage for graded ones. On the traps it is not, and both numbers are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from groupsigma.advantages import advantages_by_prompt
from groupsigma.conformance.own import Own, restated
from groupsigma.conformance.plugs import Plug
from groupsigma.conformance.recorded import RECORDED, ROUNDED, SILENT, Kind, mixed_up
from groupsigma.conformance.trainers import TRAINERS, Trainer
from groupsigma.errors import ArgumentError
from groupsigma.presets import DIALS

#: Units in the last place of float32 that a preset may be off, by kind of group.
ULP: Mapping[Kind, float] = {"binary": 2.0, "graded": 16.0}

FORMULA = "formula only"


@dataclass
class Outcome:
    """What the suite found of one trainer.

    Attributes:
        version: installed, or read. how: "own code", "own lines" of it, or "formula only".
        groups: compared, over all presets. ulp: the largest difference seen by kind of group.
        traps: group -> the first preset's own advantages, and ours. dials: run through our adapter, 0 without one.
        failures: what did not hold, in words; [] where all did.
    """

    trainer: str
    version: str
    how: str
    groups: int = 0
    ulp: dict[str, float] = field(default_factory=lambda: {"binary": 0.0, "graded": 0.0})
    traps: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    dials: int = 0
    failures: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def conform(name: str, required: bool = False) -> Outcome:
    """Run one trainer through the suite.

    Args: name: of TRAINERS. required: whether its own code, and our adapter in it, must run here.
    Raises: ArgumentError for an unknown name, and for a trainer that is required and missing.
    """
    if name not in TRAINERS:
        raise ArgumentError("conformance", f"one of {', '.join(TRAINERS)}", repr(name))
    trainer = TRAINERS[name]
    own, how = code(trainer, required)
    outcome = Outcome(name, _version(trainer, how), how)
    for preset, rule in own.items():
        _compare(outcome, preset, rule)
    _fall(outcome, *next(iter(own.items())))
    if trainer.plug is not None and how != FORMULA:
        _adapter(outcome, trainer.plug())
    return outcome


def code(trainer: Trainer, required: bool) -> tuple[Mapping[str, Own], str]:
    """The trainer's own code where it runs, else its formulas; and which of the two."""
    formulas = restated(*trainer.presets, inside=trainer.inside)
    if trainer.own is None:
        if required:
            hint = "its own code is not called; only its formula is restated"
            raise ArgumentError("conformance", f"{trainer.name}'s own code", "none that runs here", hint=hint)
        return formulas, FORMULA
    try:
        return trainer.own(), trainer.how
    except ImportError as error:
        if required:
            hint = f".ci/trainers {trainer.name} makes an environment"
            raise ArgumentError("conformance", f"{trainer.package} {trainer.version}", str(error), hint=hint) from error
        return formulas, FORMULA


def _version(trainer: Trainer, how: str) -> str:
    if how != FORMULA:
        try:
            return version(trainer.package)
        except PackageNotFoundError:
            pass
    return trainer.version


def _rows(names: list[str]) -> tuple[Any, list[str]]:
    """Rewards in float32 and group ids of these groups, interleaved."""
    rows = [(name, i) for name, i in mixed_up() if name in names]
    return torch.tensor([RECORDED[name].rewards[i] for name, i in rows]), [name for name, _ in rows]


def _compare(outcome: Outcome, preset: str, rule: Own) -> None:
    """A preset against the trainer's rule, group by group."""
    rounds = preset in TRAINERS[outcome.trainer].rounds and outcome.how != FORMULA
    for kind, allowed in ULP.items():
        names = [name for name, group in RECORDED.items() if group.kind == kind and _within(preset, group.rewards)]
        rewards, ids = _rows(names)
        theirs = rule(rewards.clone(), ids).double().numpy()
        ours = advantages_by_prompt(rewards, ids, DIALS[preset], "proportional").double().numpy()
        for name in names:
            rows = [i for i, other in enumerate(ids) if other == name]
            off = _ulp(theirs[rows], ours[rows], largest=kind == "graded" or rounds)
            outcome.ulp[kind] = max(outcome.ulp[kind], off)
            outcome.groups += 1
            if not off <= allowed:
                outcome.failures.append(f"{preset} on {name}: {off:.3g} ulp, {allowed:g} allowed")


def _fall(outcome: Outcome, preset: str, rule: Own) -> None:
    """A preset on the traps: ours is 0 where nothing can be learned, theirs is what is known of it."""
    falls = TRAINERS[outcome.trainer].falls
    for name in [name for name, group in RECORDED.items() if group.kind == "trap" and group.sessions is None]:
        rewards, ids = _rows([name])
        ours = advantages_by_prompt(rewards, ids, DIALS[preset], "proportional")
        if name in SILENT and ours.any():
            outcome.failures.append(f"{preset} on {name}: ours is not 0")
        if outcome.how == FORMULA and (len(rewards) < 2 or not rewards.isfinite().all()):
            continue  # what a trainer makes of one answer, or of none, its formula does not say
        theirs = rule(rewards.clone(), ids)
        # What rounding leaves of equal rewards is the machine's; the formula leaves the same here.
        known = torch.tensor([torch.nan if a is None else a for a in falls[name]]) if name in falls else ours
        if name in ROUNDED:
            known = restated(preset, inside=TRAINERS[outcome.trainer].inside)[preset](rewards, ids)
        if not torch.allclose(theirs, known, rtol=1e-3, atol=1e-6, equal_nan=True):
            outcome.failures.append(f"{preset} on {name}: {_plain(theirs)}, known as {_plain(known)}")
        outcome.traps[name] = {"own": _plain(theirs), "ours": _plain(ours)}


def _within(preset: str, rewards: Any) -> bool:
    """Whether the preset takes such rewards: one that divides by a mean is the trainer's on 0/1 ones alone."""
    return not DIALS[preset].tilt or set(rewards) <= {0.0, 1.0}


def _ulp(theirs: Any, ours: Any, largest: bool) -> float:
    """Distance in units of float32's last place: of the advantage itself, or of the group's largest."""
    at = np.full_like(ours, np.abs(ours).max()) if largest else np.abs(ours)
    return float((np.abs(theirs - ours) / np.spacing(at.astype(np.float32))).max())


def _adapter(outcome: Outcome, plug: Plug) -> None:
    """Our adapter under every dial: what `advantages_by_prompt` gives, bit for bit, on every recorded group at once."""
    for preset, dial in DIALS.items():
        names = [name for name, group in RECORDED.items() if not dial.tilt or _unit(group.rewards)]
        rows = [(name, i) for name, i in mixed_up() if name in names]
        ids = [name for name, _ in rows]
        sessions = [i if (own := RECORDED[name].sessions) is None else own[i] for name, i in rows]
        last = {(name, session): at for at, (name, session) in enumerate(zip(ids, sessions, strict=True))}
        counted = list(last.values())
        back = [counted.index(last[pair]) for pair in zip(ids, sessions, strict=True)]
        for dtype in (torch.float32, torch.float64):
            rewards = torch.tensor([RECORDED[name].rewards[i] for name, i in rows], dtype=dtype)
            for weight in ("equal", "proportional"):
                given = plug(rewards, ids, dial, sessions, weight)
                told = [ids[i] for i in counted]
                expected = advantages_by_prompt(rewards[counted], told, dial, weight)[back]
                if not torch.equal(given, expected) or given.dtype != dtype or given.device != rewards.device:
                    outcome.failures.append(f"adapter, {preset}, {dtype}, {weight}: not the library's advantages")
                if any(given[i] != 0 for i, name in enumerate(ids) if name in SILENT):
                    outcome.failures.append(f"adapter, {preset}: a silent group is not 0")
        outcome.dials += 1


def _unit(rewards: Any) -> bool:
    return all(not r < 0 and not r > 1 for r in rewards)


def _plain(x: Any) -> list[float | None]:
    """Numbers as JSON has them; null for NaN."""
    return [None if r != r else r for r in x.double().tolist()]
