"""Rows drawn once and kept beside the results: for problems that are slow to draw, or whose source is not everywhere.

A gzipped file of JSON lines. The first says what the rows are, the others are rows; equal rows are equal bytes.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from groupsigma.errors import ArgumentError, SourceError

#: Its name in the folder of the results.
FILE = "rows.jsonl.gz"


def kept(
    folder: Path, told: Mapping[str, Any], draw: Callable[[], list[dict[str, Any]]], most: int | None = None
) -> list[dict[str, Any]]:
    """The first `most` rows kept in a folder, or all; drawn and written, whole or not at all, if there are none.

    Args: told: what the rows are, as plain data; a file of others is refused.
    Raises: SourceError for a file of other rows or a broken one; ArgumentError for a folder that cannot be written.
    """
    path = folder / FILE
    if not path.is_file():
        _write(path, [told, *draw()])
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found = json.loads(next(lines))
            if found != dict(told):
                raise SourceError("rows", json.dumps(told), json.dumps(found), str(path), hint="another folder")
            return [json.loads(line) for line in islice(lines, most)]
    except (OSError, EOFError, ValueError, StopIteration) as error:
        raise SourceError("rows", "gzipped JSON lines", str(error) or "an empty file", str(path)) from None


def _write(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".groupsigma-", dir=path.parent) as beside:
            made = Path(beside) / path.name
            # No time and no name in it: equal rows, equal bytes.
            made.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
            made.replace(path)
    except OSError as error:
        raise ArgumentError("rows", "a folder that can be written", f"{path.parent}: {error.strerror}") from None
