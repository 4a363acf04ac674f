"""Charts: one look for all of them, drawn offline to SVG and PNG.

Every method has one colour everywhere (Okabe and Ito's palette, then Tol's muted one, told apart without
seeing red or green), every line its name beside it, every axis its unit; our own is wine. A chart is built
from layers that share `Axes`, or is a `ranking`; it holds the numbers it shows.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from groupsigma.errors import ArgumentError

#: Method -> colour; INK is for what belongs to none.
COLORS = {
    "grpo": "#0072B2",
    "dr-grpo": "#D55E00",
    "dapo": "#009E73",
    "rloo": "#CC79A7",
    "maxrl": "#E69F00",
    "logit": "#56B4E9",
    "speed": "#332288",
    "pilot-commit": "#999933",
    "aero": "#44AA99",
    "reinforce-ada": "#AA4499",
    "plan": "#882255",
}
INK, PALE = "#333333", "#8a8a8a"
#: For README width: three panels in a row.
WIDTH, HEIGHT = 228, 190
FONT = "Helvetica, Arial, sans-serif"
#: Pixels of a PNG for each of the SVG.
_SCALE = 2


@dataclass(frozen=True)
class Axes:
    """What the layers of a panel share: titles with units, and the ticks of both axes, which end where those end.

    >>> axes = Axes("training step", "solve rate", (0, 75, 150), (0, 0.5, 1))
    >>> axes.line([0, 150], [0.1, 0.9], COLORS["grpo"]).to_dict()["mark"]["type"]
    'line'
    """

    x: str
    y: str
    across: tuple[float, ...]
    up: tuple[float, ...] = (0, 0.2, 0.4, 0.6, 0.8, 1)
    percent: bool = False
    factors: bool = False  # up the axis equal factors are equal lengths
    form: str = "~f"  # of the ticks across
    end: float | None = None  # across, where it is not the last tick: room for words
    doubling: bool = False  # across equal factors are equal lengths

    def _encode(self, **channels: str) -> dict[str, Any]:
        form = ".0%" if self.percent else "~f"
        return {
            "x": alt.X("x:Q", title=self.x, **_ticks(self.across, self.form, self.doubling, self.end)),
            "y": alt.Y("y:Q", title=self.y, **_ticks(self.up, form, self.factors)),
            **channels,
        }

    def line(self, x: ArrayLike, y: ArrayLike, color: str, *, dash: Sequence[int] = (), width: float = 2) -> alt.Chart:
        """A line through (x, y)."""
        mark: dict[str, Any] = dict(color=color, strokeWidth=width, strokeDash=list(dash), clip=True)
        return alt.Chart(_rows(x=x, y=y)).mark_line(**mark).encode(**self._encode())

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str) -> alt.Chart:
        """The range between low and high."""
        chart = alt.Chart(_rows(x=x, y=low, top=high)).mark_area(color=color, opacity=0.22, clip=True)
        return chart.encode(**self._encode(y2="top:Q"))

    def bars(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str) -> alt.Chart:
        """Upright strokes from low to high."""
        chart = alt.Chart(_rows(x=x, y=low, top=high)).mark_rule(color=color, opacity=0.35, strokeWidth=6)
        return chart.encode(**self._encode(y2="top:Q"))

    def cells(
        self, x: ArrayLike, x2: ArrayLike, y: ArrayLike, y2: ArrayLike, strength: ArrayLike, color: str
    ) -> alt.Chart:
        """Rectangles from (x, y) to (x2, y2), each as strong, 0 to 1, as its number."""
        chart = alt.Chart(_rows(x=x, x2=x2, y=y, y2=y2, strength=strength)).mark_rect(color=color, clip=True)
        strength_ = alt.Opacity("strength:Q", scale=None)
        return chart.encode(**self._encode(x2="x2:Q", y2="y2:Q"), opacity=strength_)

    def points(self, x: ArrayLike, y: ArrayLike, color: str, *, shape: str = "circle", size: float = 22) -> alt.Chart:
        """Hollow marks."""
        mark: dict[str, Any] = dict(color=color, filled=False, shape=shape, size=size, strokeWidth=1.2, opacity=1)
        return alt.Chart(_rows(x=x, y=y)).mark_point(**mark).encode(**self._encode())

    def label(self, x: float, y: float, text: str, color: str = INK, align: str = "left") -> alt.Chart:
        """Words at a place, in the colour of what they name; \\n breaks the line."""
        mark: dict[str, Any] = dict(
            text=text.split("\n"), color=color, align=align, baseline="middle", fontSize=11, lineHeight=13
        )
        return alt.Chart(_rows(x=[x], y=[y])).mark_text(**mark).encode(**self._encode())


@dataclass(frozen=True)
class Dot:
    """One line of a ranking: a value with its interval, and how it is drawn.

    Attributes: text: beside the dot. beyond: the value is a least one, drawn as an arrow head.
    """

    name: str
    value: float
    low: float
    high: float
    text: str
    color: str = INK
    hollow: bool = False
    beyond: bool = False


def ranking(
    title: str,
    x: str,
    across: tuple[float, ...],
    dots: Sequence[Dot],
    *,
    factors: bool = False,
    at: float | None = None,
) -> Any:
    """Names down the side in the order given, each with a dot, its interval and its number.

    >>> dots = [Dot("plan", 3, 2.5, 3.6, "3.0"), Dot("GRPO", 1, 0.9, 1.1, "1.0", COLORS["grpo"])]
    >>> ranking("a  Rules", "groups", (0, 2, 4), dots).to_dict()["height"]
    30
    """
    rows = [{**vars(d), "at": i, "kind": _kind(d)} for i, d in enumerate(dots)]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("value:Q", title=x, **_ticks(across, "~f", factors)),
        y=alt.Y("at:Q", axis=None, scale=alt.Scale(domain=[len(dots) - 0.5, -0.5], nice=False, zero=False)),
        color=alt.Color("color:N", scale=None),
    )
    words: dict[str, Any] = dict(baseline="middle", fontSize=11)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=list(_SHAPES), range=list(_SHAPES.values())), legend=None)
    fill = alt.condition("datum.hollow", alt.value("white"), alt.Color("color:N", scale=None))
    return alt.layer(
        base.mark_rule(strokeWidth=2, opacity=0.55, clip=True).encode(alt.X("low:Q"), x2="high:Q"),
        base.mark_point(size=44, strokeWidth=1.4, opacity=1, filled=True).encode(
            shape=shape, fill=fill, stroke=alt.Color("color:N", scale=None)
        ),
        base.mark_text(align="right", **words).encode(x=alt.value(-8), text="name:N"),
        base.mark_text(align="left", dx=8, **words).encode(x="high:Q", text="text:N"),
        title=title,
    ).properties(width=WIDTH, height=_LINE * len(dots))  # fmt: skip


_SHAPES = {"dot": "circle", "beyond": "triangle-right"}
#: Height of a line of a ranking.
_LINE = 15


def _kind(dot: Dot) -> str:
    return "beyond" if dot.beyond else "dot"


def _ticks(values: tuple[float, ...], form: str, factors: bool = False, end: float | None = None) -> dict[str, Any]:
    kind: dict[str, Any] = dict(type="log") if factors else dict(zero=False)
    scale = alt.Scale(domain=[values[0], values[-1] if end is None else end], nice=False, **kind)
    return {"scale": scale, "axis": alt.Axis(values=list(values), format=form)}


def panel(title: str, *layers: alt.Chart, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Any:
    """Layers over each other under a title."""
    return alt.layer(*layers, title=title).properties(width=size[0], height=size[1])


def row(title: str, caption: str | Sequence[str], *panels: Any) -> alt.HConcatChart:
    """Panels side by side under a title and a line of small print: what was run, n, what the marks are."""
    head = alt.TitleParams(
        title, subtitle=caption, anchor="start", offset=14, fontSize=15, subtitleFontSize=11.5, subtitleColor=INK
    )  # fmt: skip
    return styled(alt.hconcat(*panels, spacing=22, title=head))


def styled(chart: Any, background: str = "white") -> Any:
    """A chart with the look of all."""
    return chart.configure(font=FONT, background=background).configure_view(stroke=None).configure_axis(
        grid=True, gridColor="#eeeeee", domainColor=PALE, tickColor=PALE, tickSize=4,
        labelColor=INK, titleColor=INK, labelFontSize=11, titleFontSize=11, titleFontWeight="normal", titlePadding=6,
    ).configure_title(fontSize=12.5, color=INK, anchor="start", frame="group", fontWeight="bold", offset=8)  # fmt: skip


def save(chart: Any, path: str | os.PathLike[str]) -> Path:
    """Write a chart as .svg or .png, whole or not at all: beside its place first, then moved there.

    Args: chart: any Altair chart; path: its folder must be there, the ending says the format.
    Returns: the path. Raises: ArgumentError for another ending; OSError where it cannot be written.

    >>> import tempfile
    >>> line = Axes("step", "share", (0, 1)).line([0, 1], [0, 1], INK)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(row("A line", "2 points", panel("a", line)), Path(folder) / "a.svg").name
    'a.svg'
    """
    target = Path(path)
    kind = target.suffix.lower().lstrip(".")
    if kind not in ("svg", "png"):
        raise ArgumentError("save", "a path that ends in .svg or .png", repr(str(path)))
    if kind == "svg":
        data = svg(chart).encode()
    else:
        image = io.BytesIO()
        chart.save(image, format="png", scale_factor=_SCALE)
        data = image.getvalue()
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return target


def svg(chart: Any) -> str:
    """A chart as the text of an SVG image."""
    text = io.StringIO()
    chart.save(text, format="svg")
    return _numbered(text.getvalue())


def _numbered(svg: str) -> str:
    """Names of clip paths counted from 0: the renderer goes on counting from chart to chart."""
    names = dict.fromkeys(re.findall(r"\bclip\d+\b", svg))
    fresh = {name: f"clip{i}" for i, name in enumerate(names)}
    return re.sub(r"\bclip\d+\b", lambda match: fresh[match[0]], svg)


def _rows(**columns: ArrayLike) -> alt.InlineData:
    arrays = [np.asarray(values, dtype=np.float64).tolist() for values in columns.values()]
    return alt.InlineData(values=[dict(zip(columns, cells, strict=True)) for cells in zip(*arrays, strict=True)])
