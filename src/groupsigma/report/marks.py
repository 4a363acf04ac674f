"""The named points of the plane power × tilt, and the user's trainer among them."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from groupsigma.dial import DR_GRPO, GRPO, LOGIT, MAXRL, RLOO, Dial, pass_at
from groupsigma.figures import COLORS
from groupsigma.presets import name_of, spoken

#: Name, dial, how it is written, what it ascends at large G.
_NAMED: tuple[tuple[str, Dial, str, str], ...] = (
    ("grpo", GRPO, "GRPO", "2 arcsin √p"),
    ("dr-grpo", DR_GRPO, "Dr. GRPO", "p"),
    ("rloo", RLOO, "RLOO", "p"),
    ("maxrl", MAXRL, "MaxRL", "log p"),
    ("logit", LOGIT, "logit", "log p/(1−p)"),
    ("pass@2", pass_at(2), "pass@2", "(1 − (1−p)²)/2"),
    ("pass@4", pass_at(4), "pass@4", "(1 − (1−p)⁴)/4"),
)


def marks(dial: Dial, name: str) -> list[dict[str, Any]]:
    """Name, words, dial and colour of each point; the user's rule first, alone or as the named one that it is.

    Which groups are kept is the page's second control, so it is left out of the points.
    """
    dial, name = replace(dial, keep="all"), "grpo" if name == "dapo" else name
    named = [_mark(key, rule, text, limit) for key, rule, text, limit in _NAMED]
    same = next((m for m, (_, rule, *_) in zip(named, _NAMED, strict=True) if rule == dial), None)
    if same is not None:
        same["yours"] = True
        return [same, *(m for m in named if m is not same)]
    a, b = dial.exponents
    limit = next((text for _, rule, _, text in _NAMED if rule.exponents == (a, b)), "")
    yours = _mark(name or name_of(dial), dial, spoken(name or name_of(dial)), limit)
    return [{**yours, "yours": True}, *named]


def _mark(name: str, dial: Dial, text: str, limit: str) -> dict[str, Any]:
    color = f"var(--{name})" if name in COLORS else None  # the style sheet's, which the theme changes
    told = {**asdict(dial), "formula": dial.formula}
    return {"name": name, "text": text, "dial": told, "limit": limit, "color": color, "yours": False}
