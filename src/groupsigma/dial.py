"""The dial: a rule that turns a group's rewards into advantages, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Any, Literal, get_args

from groupsigma.errors import ArgumentError

Center = Literal["mean", "loo", "none"]
Spread = Literal["group", "others", "batch"]
Keep = Literal["all", "mixed"]


@dataclass(frozen=True, repr=False)
class Dial:
    """A group-relative rule: Aᵢ = (Rᵢ − b) · (s + eps)^−power · (μ/(1−μ))^−tilt.

    μ is the group's mean reward and k of its G answers are right. With the
    defaults b = μ and s = σ = √(k(G−k))/G, which is GRPO as in arXiv 2607.00152.

    Args:
        power: exponent α of the division by the spread: 0 Dr. GRPO, 1 GRPO, 2 logit. Any real.
        tilt: exponent τ that leans towards hard (> 0) or easy (< 0) prompts; needs
            rewards in [0, 1]. MaxRL, which divides by μ, is power 1, tilt ½.
        center: b: "mean" the group's mean, "loo" the mean of the other answers, "none" 0.
        spread: s: the standard deviation of the "group", of the "others" (each answer
            left out in turn; not divided where that is 0) or of the whole "batch".
        ddof: 0 population, 1 sample (Bessel) standard deviation.
        eps: added to s before dividing; not scale-free.
        keep: "all" groups, or only the "mixed" ones (DAPO: silent groups are replaced).

    Silent groups (all rewards equal) have advantage 0 under every dial that divides or
    centres; only center="none" with power = tilt = 0 leaves rewards as they are.
    Raises ArgumentError on a field out of range.

    >>> Dial()
    Dial: (R − μ) / σ
    >>> Dial(power=0).exponents
    (0.0, 0.0)
    """

    power: float = 1.0
    tilt: float = 0.0
    center: Center = "mean"
    spread: Spread = "group"
    ddof: int = 0
    eps: float = 0.0
    keep: Keep = "all"

    def __post_init__(self) -> None:
        for name, allowed in (("center", Center), ("spread", Spread), ("keep", Keep)):
            value, choices = getattr(self, name), get_args(allowed)
            if value not in choices:
                raise ArgumentError("Dial", f"{name} in {choices}", repr(value))
        for name in ("power", "tilt"):
            if not _is_number(getattr(self, name)):
                raise ArgumentError("Dial", f"{name} to be a finite number", repr(getattr(self, name)))
        if not isinstance(self.ddof, int) or isinstance(self.ddof, bool) or self.ddof not in (0, 1):
            raise ArgumentError("Dial", "ddof 0 or 1", repr(self.ddof))
        if not _is_number(self.eps) or self.eps < 0:
            raise ArgumentError("Dial", "eps >= 0", repr(self.eps))

    @property
    def exponents(self) -> tuple[float, float]:
        """(a, b) of the large-G weight p^−a (1−p)^−b: a = power/2 + tilt, b = power/2 − tilt."""
        return self.power / 2 + self.tilt, self.power / 2 - self.tilt

    @property
    def compares(self) -> bool:
        """Whether a unanimous group is silent: false only where rewards are neither centred nor scaled."""
        return self.center != "none" or self.power != 0 or self.tilt != 0

    @property
    def formula(self) -> str:
        """The rule as it is written: "(R − μ) / σ"."""
        base = {"mean": "R − μ", "loo": "R − μ₋ᵢ", "none": "R"}[self.center]
        std = ("σ", "s")[self.ddof] + {"group": "", "others": "₋ᵢ", "batch": " of the batch"}[self.spread]
        if self.eps:
            std = f"({std} + {self.eps:g})"
        bare = self.center == "none" or not (self.power or self.tilt)
        text = base if bare else f"({base})"
        if self.power == 1:
            text += f" / {std}"
        elif self.power:
            text += f" / {std}^{self.power:g}" if self.power > 0 else f" · {std}^{-self.power:g}"
        if self.tilt:
            text += f" · (μ/(1−μ))^{-self.tilt:g}"
        return text + (", silent groups replaced" if self.keep == "mixed" else "")

    def __repr__(self) -> str:
        return f"Dial: {self.formula}"


def expect_dial(who: str, dial: object) -> None:
    """Refuse what is not a Dial, a name above all."""
    if not isinstance(dial, Dial):
        hint = f"find_dial({dial!r}) looks a name up" if isinstance(dial, str) else ""
        raise ArgumentError(who, "a Dial", repr(dial)[:60], hint=hint)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and isfinite(float(value))


def pass_at(n: Any) -> Dial:
    """The dial whose large-G objective is pass@n, (1 − (1−p)ⁿ)/n: exponents (0, 1−n).

    >>> pass_at(1) == DR_GRPO
    True
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ArgumentError("pass_at", "n to be a whole number of at least 1", repr(n))
    return Dial(power=1.0 - int(n), tilt=(int(n) - 1) / 2)


GRPO = Dial()
DR_GRPO = Dial(power=0.0)
DAPO = Dial(keep="mixed")
RLOO = Dial(power=0.0, center="loo")
MAXRL = Dial(tilt=0.5)
LOGIT = Dial(power=2.0)
