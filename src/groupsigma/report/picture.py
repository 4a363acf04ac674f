"""A chart with its title and its words: as a figure of a page, and as a file of its own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from groupsigma.figures import panel, row, styled, svg

#: Of a chart on a page, in pixels of its own; letters of a line of small print over a file.
_SIZE, _LINE = (390, 236), 78


@dataclass(frozen=True)
class Picture:
    """One chart. title, caption: over and under it; told: what it shows, for those who do not see it."""

    name: str
    title: str
    caption: str
    told: str
    chart: Any

    def on_page(self) -> str:
        """A figure, as HTML."""
        image = f'<div class="chart" role="img" aria-label="{escape(self.told)}">{inlined(self.name, self.chart)}</div>'
        return f"<figure><h3>{escape(self.title)}</h3>{image}<figcaption>{escape(self.caption)}</figcaption></figure>"

    def alone(self) -> Any:
        """A chart with its words, for a file."""
        return row(self.title, textwrap.wrap(self.caption, _LINE), self.chart)


def gallery(pictures: Sequence[Picture]) -> str:
    """Pictures side by side, as HTML."""
    return f'<div class="pair">{"".join(picture.on_page() for picture in pictures)}</div>'


def layered(*layers: Any) -> Any:
    """Layers over each other, in the size of a page's charts."""
    return panel("", *layers, size=_SIZE)


def inlined(name: str, chart: Any) -> str:
    """A chart as SVG to stand in a page: no background, clip paths under its own name, as wide as its place."""
    text = svg(styled(chart, background="transparent"))
    text = re.sub(r"\bclip(\d+)\b", rf"{name}-clip\1", text[text.index("<svg") :])
    return re.sub(r'(<svg[^>]*?) width="[\d.]+" height="[\d.]+"', r'\1 aria-hidden="true"', text, count=1)
