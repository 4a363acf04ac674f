"""What published sampling rules weigh (`groupsigma.implied`), as claims: declared, not computed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from groupsigma.checks import Floats
from groupsigma.experiments.claims import Claim
from groupsigma.implied import PUBLISHED, redrawn_weight

#: The paper's DAPO is no table of (k, f): a silent group of eight is drawn again.
REDRAWN = "DAPO, G = 8, drawn again to 4"
#: Every rule by name: F'(p).
WEIGHTS: dict[str, Callable[[Floats], Floats]] = {
    **{name: lambda p, make=make: make().weight(p) for name, make in PUBLISHED.items()},  # type: ignore[misc]
    REDRAWN: lambda p: redrawn_weight(p, 8),
}
#: Solve rates at which an error is looked for.
_GRID = np.linspace(0.001, 0.999, 999)


def relative(name: str, p: Floats) -> Floats:
    """F'(p)/F'(½) of a rule: what a solve rate weighs beside one of a half."""
    return WEIGHTS[name](p) / WEIGHTS[name](np.array([0.5]))


def tries(name: str, p: Floats) -> Floats:
    """Expected answers to a prompt."""
    if name != REDRAWN:
        return PUBLISHED[name]().tries(p)
    silent = p**8 + (1 - p) ** 8
    return 8 * sum((silent**j for j in range(4)), np.zeros_like(p))


def _at(name: str, *p: float) -> Callable[[], tuple[float, ...]]:
    return lambda: tuple(float(x) for x in relative(name, np.array(p)))


def _lean(name: str, p: float) -> float:
    """How much more a solve rate p weighs than 1−p."""
    hard, easy = relative(name, np.array([p, 1 - p]))
    return float(hard / easy)


def undone_error() -> tuple[float, ...]:
    """Largest |F' − 1| over the rules and p, with the weights of `undone`."""
    return (max(float(np.abs(make().undone().weight(_GRID) - 1).max()) for make in PUBLISHED.values()),)


def _between(*limits: tuple[float, float]) -> Callable[[tuple[float, ...]], bool]:
    return lambda ours: all(low < x < high for x, (low, high) in zip(ours, limits, strict=True))


CLAIMS = (
    Claim(
        "objectives/grpo",
        "beyond §6",
        "F'(.05)/F'(.5) at G = 8: GRPO, Dr. GRPO, and without end in G",
        (),
        lambda: (*_at("GRPO, G = 8", 0.05)(), *_at("Dr. GRPO, G = 8", 0.05)(), 0.5 / np.sqrt(0.05 * 0.95), 1.0),
        holds=_between((1.33, 1.34), (0.999999, 1.000001), (2.2, 2.3), (0.9, 1.1)),
        form=".2f",
        verdict="ours",
        comment="a finite group has more than half of GRPO's lean taken out of it",
    ),
    Claim(
        "objectives/dapo",
        "beyond §3",
        "the same where a silent group is drawn again, to 4 groups; refilled from other prompts",
        (),
        lambda: (*_at(REDRAWN, 0.05)(), *_at("GRPO, G = 8", 0.05)()),
        holds=_between((3.1, 3.2), (1.33, 1.34)),
        form=".2f",
        verdict="ours",
        comment="drawing the same prompt again changes what is optimised, moving on to others does not",
    ),
    Claim(
        "objectives/speed",
        "2506.09016",
        "SPEED, 4 + 12: what p = .05 and .95 weigh beside .5",
        (),
        _at("SPEED, 4 + 12", 0.05, 0.95),
        holds=_between((0.43, 0.435), (0.43, 0.435)),
        form=".2f",
        verdict="ours",
        comment="screening by a pilot turns the lean round: away from the hard and the easy",
    ),
    Claim(
        "objectives/pilot-commit",
        "2605.26606",
        "Pilot-Commit, 8 + 24: what p = .05 and .95 weigh beside .5",
        (),
        _at("Pilot-Commit, 8 + 24", 0.05, 0.95),
        holds=_between((0.92, 0.94), (1.18, 1.2)),
        form=".2f",
        verdict="ours",
        comment="the easy outweigh the hard",
    ),
    Claim(
        "objectives/one-right",
        "beyond 2510.04996",
        "sampling until one is right, to 32: how often a problem of p = .05 counts for one of .95",
        (),
        lambda: (_lean("until one is right, to 32", 0.05),),
        holds=_between((6.2, 6.3)),
        form=".2f",
        verdict="ours",
        comment="stopping at the first success leans 6 to 1 to hard problems",
    ),
    Claim(
        "objectives/adaptive",
        "2510.04996, 2602.14338",
        "the same: Reinforce-Ada one right, Reinforce-Ada balanced, AERO, until mixed",
        (),
        lambda: tuple(
            _lean(name, 0.05)
            for name in (
                "Reinforce-Ada, one right",
                "Reinforce-Ada, balanced",
                "AERO, 8 then by 2 to 16",
                "until mixed, to 32",
            )
        ),
        holds=_between((2.5, 2.6), (0.999, 1.001), (3.3, 3.4), (0.999, 1.001)),
        form=".2f",
        verdict="ours",
        comment="a rule that treats right and wrong alike leans to neither side",
    ),
    Claim(
        "objectives/tries",
        "beyond 2510.04996",
        "answers to a prompt of p = .05, .5, .95: Reinforce-Ada balanced, then until one is right",
        (),
        lambda: tuple(
            float(x)
            for name in ("Reinforce-Ada, balanced", "until one is right, to 32")
            for x in tries(name, np.array([0.05, 0.5, 0.95]))
        ),
        holds=_between((27.2, 27.4), (8.5, 8.6), (27.2, 27.4), (16.1, 16.2), (1.9, 2.1), (1.05, 1.06)),
        form=".1f",
        verdict="ours",
    ),
    Claim(
        "objectives/undone",
        "beyond the paper",
        "with the weights of undone() each rule optimises p exactly: largest error of F' = 1",
        (),
        undone_error,
        holds=lambda ours: ours[0] < 1e-12,
        form=".1e",
        verdict="ours",
        comment="whatever the sampling, the objective can be had back without drawing more",
    ),
)
