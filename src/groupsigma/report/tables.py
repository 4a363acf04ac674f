"""The tables of the screen as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

#: Columns of words; all others hold numbers.
_WORDS = ("formula", "why", "where", "what it says", "")


def tabled(table: Table) -> str:
    """A table of the screen, cell by cell; its title becomes the caption.

    >>> from groupsigma.screen import table_of
    >>> table = table_of("who", "how much")
    >>> table.add_row("<b>", "1")
    >>> tabled(table)[-71:]
    '<tr><th scope="row">&lt;b&gt;</th><td>1</td></tr></tbody></table></div>'
    """
    columns = [[escape(str(cell)) for cell in column.cells] for column in table.columns]
    heads = "".join(f'<th scope="col">{escape(str(column.header))}</th>' for column in table.columns)
    left = [str(column.header) in _WORDS for column in table.columns]
    lines = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(
            f"<td{' class=words' if words else ''}>{cell}</td>" for cell, words in zip(row[1:], left[1:], strict=True)
        )
        + "</tr>"
        for row in zip(*columns, strict=True)
    )
    caption = f"<caption>{escape(str(table.title))}</caption>" if table.title else ""
    head = "" if not any(column.header for column in table.columns) else f"<thead><tr>{heads}</tr></thead>"
    return f'<div class="scroll"><table>{caption}{head}<tbody>{lines}</tbody></table></div>'


def screened(parts: Sequence[RenderableType]) -> str:
    """Lines and tables of a screen, in their order; other parts have no place on a page and are left to the screen."""
    out = []
    for part in parts:
        inner = part.renderable if isinstance(part, Padding) else part
        if isinstance(inner, Table):
            out.append(tabled(inner))
        elif isinstance(inner, Text) and inner.plain.strip():
            out.append(f"<p>{escape(inner.plain)}</p>")
    return "".join(out)
