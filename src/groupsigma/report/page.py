"""The parts of a page put together: one HTML text that needs nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from groupsigma.findings import Finding

#: In the order they use each other.
_SCRIPTS = ("words.js", "law.js", "theme.js", "plot.js", "plane.js", "views.js", "dial.js", "table.js")


def page(
    title: str,
    lead: Sequence[str],
    findings: Mapping[str, Sequence[Finding]],
    sections: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    made_by: str = "groupsigma",
) -> str:
    """A whole page: title and lead, the findings under their headings, then sections that are HTML already.

    Args: data: what the scripts read, by the id of its element. Everything but `sections` is taken as text.

    >>> "&lt;b&gt;" in page("<b>", [], {})
    True
    """
    said = "".join(_findings(head, found) for head, found in findings.items())
    stores = "".join(
        f'<script type="application/json" id="{name}">{as_data(d)}</script>\n' for name, d in (data or {}).items()
    )
    scripts = (
        "".join(f"<script>\n{part(name)}</script>\n" for name in _SCRIPTS)
        if data
        else f"<script>\n{part('theme.js')}</script>\n"
    )
    noted = "".join(f"<li>{escape(note)}</li>" for note in notes)
    parts = {
        "title": escape(title),
        "style": part("style.css"),
        "lead": "".join(f"<p>{escape(line)}</p>" for line in lead),
        "findings": said,
        "sections": "\n".join(sections),
        "notes": f'<section><h2>Notes</h2><ul class="notes">{noted}</ul></section>' if noted else "",
        "made": escape(made_by),
        "data": stores,
        "scripts": scripts,
    }
    text = part("page.html")
    # One pass over the template, so that nothing put in is taken for a place.
    pieces = text.split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))


def part(name: str) -> str:
    """The text of one of the files beside this one."""
    return (files("groupsigma.report") / name).read_text(encoding="utf-8")


def as_data(data: Any) -> str:
    """JSON that can stand in a script element: no text in it ends the element or opens another.

    >>> as_data(["</script>"])
    '["\\\\u003c/script>"]'
    """
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def section(title: str, *parts: str, kind: str = "") -> str:
    """A part of the page under its heading; parts: HTML."""
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def _findings(head: str, found: Sequence[Finding]) -> str:
    items = "".join(
        f'<li><h3>{escape(f.title)}</h3><p class="evidence">{escape(f.evidence)}</p>'
        f'<p class="remedy"><span class="arrow" aria-label="what to do">→</span> {escape(f.remedy)}</p></li>'
        for f in found
    )
    return f'<section class="findings"><h2>{escape(head)}</h2><ol>{items}</ol></section>' if items else ""
