"""What moves on the page, at rest: the audited dial and group size as charts for papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from groupsigma.audit import Audit
from groupsigma.bands import BANDS, INTERIOR
from groupsigma.checks import Floats
from groupsigma.dial import DR_GRPO, GRPO, MAXRL, Dial
from groupsigma.figures import COLORS, INK, PALE, Axes
from groupsigma.law import difficulty_weight, expected_gain, objective
from groupsigma.presets import spoken
from groupsigma.report.charts import nice
from groupsigma.report.crowd import Crowd
from groupsigma.report.picture import Picture, layered
from groupsigma.screen import many

_RATES = (0, 0.2, 0.4, 0.6, 0.8, 1)
_EDGES = np.array([0.0, 0.1, 0.4, 0.6, 0.9, 1.0])
#: Rules that every chart holds the audited one against.
_OTHERS: Mapping[str, Dial] = {"grpo": GRPO, "dr-grpo": DR_GRPO, "maxrl": MAXRL}
#: The plane that is shaded, as far as no dial is farther out: power across, tilt up.
_POWER, _TILT = (-4.0, 3.0), (-1.0, 2.0)


def dial_pictures(
    audit: Audit,
    dial: Dial,
    found: Crowd,
    sizes: Sequence[Mapping[str, Any]],
    marks: Sequence[Mapping[str, Any]],
) -> tuple[Picture, ...]:
    """Where the update goes, silence against G, what is ascended, and the plane; found, sizes, marks: as the page."""
    G, name = audit.group_size, spoken(audit.dial)
    rules = _rules(replace(dial, keep="all"), audit.dial)
    shares = {key: band_shares(found, G, rule) for key, (rule, _) in rules.items()}
    told = ", ".join(f"{band} {share:.1%}" for band, share in zip(INTERIOR, shares[audit.dial], strict=True))
    powers, tilts = (np.linspace(*_held(ends, x), 25) for ends, x in ((_POWER, dial.power), (_TILT, dial.tilt)))
    hard = hardest_share(found, G, powers, tilts)
    worth = [difficulty for rule, _ in rules.values() for difficulty in _weight(np.linspace(0.05, 0.95, 19), G, rule)]
    n = many(audit.problems, audit.unit)
    return (
        Picture(
            "shares",
            f"Where the update goes at G = {G}",
            f"Share of the update by solve rate as logged; never and always solved are with their neighbours. Grey: "
            f"share of the {n}.",
            f"{name}: {told}",
            _shares(found, shares, rules),
        ),
        Picture(
            "silence-by-size",
            "Silent groups by group size",
            f"By the best of the ways to know at each G, with its 95% interval where it is known; {n}.",
            f"silent {audit.best.silent.value:.1%} at G = {G}",
            _silence(sizes, G),
        ),
        Picture(
            "weight",
            f"What an improvement is worth at G = {G}",
            "F'(p), exact, over its mean: the weight that a rule puts on an improvement dp; cut at the upper edge.",
            f"the weight of {name} by solve rate beside those of other rules",
            _curve(rules, G, "weight of dp, mean 1", _upright(max(worth)), _weight, (0.36, 0.96)),
        ),
        Picture(
            "objective",
            f"What is ascended at G = {G}",
            "F(p), exact, scaled to run from 0 to 1.",
            f"the objective of {name} by solve rate beside those of other rules",
            _curve(rules, G, "objective, 0 to 1", _RATES, _risen, (0.64, 0.34)),
        ),
        Picture(
            "plane",
            f"The dial at G = {G}",
            f"Shading: share of the update on problems solved less than 40% of the time as logged, {hard.min():.0%} to "
            f"{hard.max():.0%}.",
            "power across and tilt up, with the named rules on it",
            _plane(hard, powers, tilts, marks),
        ),
    )


def band_shares(found: Crowd, G: int, dial: Dial) -> Floats:
    """[5]: share of the update by band from hard to easy, never and always solved with their neighbours."""
    return _five(found.mass @ expected_gain(found.p, G, dial))


def hardest_share(found: Crowd, G: int, powers: Floats, tilts: Floats) -> Floats:
    """[tilts, powers]: what each rule of the plane gives to problems solved less than 40 % of the time as logged."""
    return np.array([[band_shares(found, G, Dial(power=a, tilt=t))[:2].sum() for a in powers] for t in tilts])


def _held(ends: tuple[float, float], value: float) -> tuple[float, float]:
    """The ends, moved out to whole numbers that hold the value with some room."""
    low, high = ends
    return min(low, float(np.floor(value - 0.4))), max(high, float(np.ceil(value + 0.4)))


def _upright(top: float) -> tuple[float, ...]:
    """Ticks to a round number that holds `top`, or to 16."""
    end = next((end for end in (2, 4, 8, 12) if end >= top), 16)
    return tuple(end * i / 4 for i in range(5))


def _five(by_band: Floats) -> Floats:
    """Seven bands as five, as shares of the whole."""
    assert len(by_band) == len(BANDS)
    five = by_band[1:-1].copy()
    five[0] += by_band[0]
    five[-1] += by_band[-1]
    return np.asarray(five / five.sum()) if five.sum() > 0 else five


def _rules(dial: Dial, name: str) -> dict[str, tuple[Dial, str]]:
    """The audited rule first, then the others, each with its colour."""
    same = next((key for key, rule in _OTHERS.items() if rule == dial), None)
    mine = {name: (dial, COLORS.get(name, COLORS[same] if same else INK))}
    return mine | {key: (rule, COLORS[key]) for key, rule in _OTHERS.items() if rule != dial}


def _shares(found: Crowd, shares: Mapping[str, Floats], rules: Mapping[str, tuple[Dial, str]]) -> Any:
    problems = _five(found.mass.sum(axis=1))
    top = nice(1.25 * float(max(problems.max(), *(s.max() for s in shares.values()))))
    up = tuple(top * i / 4 for i in range(5))
    axes = Axes("solve rate as logged", "share", tuple(_EDGES.tolist()), up, percent=True)
    low, width = _EDGES[:-1], np.diff(_EDGES)
    layers = [axes.cells(low + 0.004, low + width - 0.004, np.zeros(5), problems, np.full(5, 0.28), PALE)]
    for i, (key, share) in enumerate(shares.items()):
        start = low + width * (0.1 + 0.8 * i / len(shares))
        end = start + 0.74 * width / len(shares)
        layers.append(axes.cells(start, end, np.zeros(5), share, np.full(5, 0.85), rules[key][1]))
        layers.append(axes.label(0.62, top * (0.95 - 0.075 * i), spoken(key), rules[key][1]))
    return layered(*layers)


def _silence(sizes: Sequence[Mapping[str, Any]], G: int) -> Any:
    at = np.array([s["G"] for s in sizes], dtype=np.float64)
    silent = np.array([s["silent"] for s in sizes])
    last = 2 ** int(np.ceil(np.log2(max(at.max(), 4))))
    across = tuple(2.0**k for k in range(1, int(np.log2(last)) + 1))
    axes = Axes("group size G", "silent share of groups", across, (0, 0.25, 0.5, 0.75, 1), percent=True, doubling=True)
    layers: list[Any] = []
    for run in _runs(sizes):
        x, low, high = (np.array([s[key] for s in run], dtype=np.float64) for key in ("G", "low", "high"))
        layers.append((axes.band if len(run) > 1 else axes.bars)(x, low, high, COLORS["grpo"]))
    here = float(silent[at == G][0])
    layers += [
        axes.line(at, silent, COLORS["grpo"]),
        axes.points([G], [here], INK, size=60),
        axes.label(G * 1.12, min(here + 0.06, 0.96), f"G = {G}: {here:.1%}"),
    ]
    return layered(*layers)


def _runs(sizes: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Stretches of sizes that have an interval; it is not drawn over those between that have none."""
    runs: list[list[Mapping[str, Any]]] = [[]]
    for size in sizes:
        if size["low"] is not None and size["high"] is not None:
            runs[-1].append(size)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _curve(
    rules: Mapping[str, tuple[Dial, str]], G: int, what: str, up: tuple[float, ...], of: Any, names: tuple[float, float]
) -> Any:
    axes = Axes("solve rate p", what, _RATES, up)
    p = np.sin(np.linspace(0, np.pi / 2, 121)) ** 2
    layers: list[Any] = []
    # The audited rule last, on top.
    for at, (dial, color) in reversed(list(enumerate(rules.values()))):
        layers.append(axes.line(p, of(p, G, dial), color, width=1.4 if at else 2.6))
    for i, (key, (_, color)) in enumerate(rules.items()):
        layers.append(axes.label(names[0], up[-1] * (names[1] - 0.075 * i), spoken(key), color))
    return layered(*layers)


def _risen(p: Floats, G: int, dial: Dial) -> Floats:
    value = objective(p, dial, G)
    return np.asarray((value - value[0]) / (value[-1] - value[0]))


def _weight(p: Floats, G: int, dial: Dial) -> Floats:
    ends = objective(np.array([0.0, 1.0]), dial, G)
    return np.asarray(difficulty_weight(p, dial, G) / (ends[1] - ends[0]))


def _plane(hard: Floats, powers: Floats, tilts: Floats, marks: Sequence[Mapping[str, Any]]) -> Any:
    across, up = (_stops(float(x[0]), float(x[-1])) for x in (powers, tilts))
    axes = Axes("power: how far to divide by σ", "tilt: towards hard problems", across, up)
    spread = float(hard.max() - hard.min()) or 1.0
    a, t = (x.ravel() for x in np.meshgrid(powers, tilts))
    half = np.array([powers[1] - powers[0], tilts[1] - tilts[0]]) / 2
    strength = 0.04 + 0.5 * (hard.ravel() - hard.min()) / spread
    layers = [axes.cells(a - half[0], a + half[0], t - half[1], t + half[1], strength, COLORS["plan"])]
    places: dict[tuple[float, float], list[Mapping[str, Any]]] = {}
    for mark in marks:
        places.setdefault((mark["dial"]["power"], mark["dial"]["tilt"]), []).append(mark)
    for (power, tilt), here in places.items():
        color = next((COLORS[mark["name"]] for mark in here if mark["name"] in COLORS), INK)
        layers.append(axes.points([power], [tilt], color, size=90 if any(mark["yours"] for mark in here) else 36))
        layers.append(
            axes.label(
                power, tilt + 0.055 * (up[-1] - up[0]) * len(here), "\n".join(m["text"] for m in here), INK, "center"
            )
        )
    return layered(*layers)


def _stops(low: float, high: float) -> tuple[float, ...]:
    """Ticks from end to end, about seven of them."""
    step = next(step for step in (0.5, 1.0, 2.0, 4.0, 8.0, 1e9) if (high - low) / step <= 8)
    inner = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return tuple(dict.fromkeys([low, *inner.tolist(), high]))
