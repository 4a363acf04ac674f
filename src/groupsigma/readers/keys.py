"""The names in a file's first rows, by which its layout is known."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from groupsigma.readers import files
from groupsigma.readers.layout import Keys, quoted
from groupsigma.readers.lines import each, parsed

#: Lines looked at: one may be damaged.
_TRIED = 5
#: A larger .json document is not opened to see what it is.
_DOCUMENT = 1 << 28


def first_keys(path: str) -> Keys:
    """Names in a file's first rows, with the values of the first that has them; {} where none can be read."""
    try:
        form = files.format_of(path)
        if form == "parquet":
            with duckdb.connect() as db:
                scan = f"read_parquet({_sql(path)}, hive_partitioning = false)"
                return dict.fromkeys(str(row[0]) for row in db.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall())
        if files.is_document([path]) and Path(path).stat().st_size <= _DOCUMENT:
            return _document(path)
        return _first_line(path) if form == "json" else {}
    except (OSError, EOFError, duckdb.Error):
        return {}


def _first_line(path: str) -> Keys:
    if path.endswith(".zst"):
        with duckdb.connect() as db:
            scan = f"read_json_objects({_sql(path)}, format = 'newline_delimited')"
            lines = [str(row[0]).encode() for row in db.execute(f"SELECT json FROM {scan} LIMIT {_TRIED}").fetchall()]
    else:
        lines = [line for _, line in islice(each(path), _TRIED)]
    found: dict[str, Any] = {}
    for line in lines:
        with suppress(ValueError):
            found = {**parsed(line), **found}
    return found


def _sql(path: str) -> str:
    return quoted(files.escaped(path), "'")


def _document(path: str) -> dict[str, Any]:
    """The keys of a .json file: of the object it is, or of its first line."""
    try:
        found = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError):
        return dict(_first_line(path))
    if isinstance(found, list):
        found = found[0] if found else {}
    return found if isinstance(found, dict) else {}
