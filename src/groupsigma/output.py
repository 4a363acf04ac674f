"""Files that are written whole or not at all: beside their place first, then renamed."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from groupsigma.errors import ArgumentError


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A header and one line a row; numbers with all their digits.

    >>> as_csv([{"prompt_id": "a,b", "tries": 8}])
    'prompt_id,tries\\n"a,b",8\\n'
    """
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def as_jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def as_lines(who: str, labels: Sequence[Any]) -> str:
    """One label a line, each once, in their order; a label of several lines is refused."""
    texts = list(dict.fromkeys(map(str, labels)))
    if broken := next((text for text in texts if len(text.splitlines()) > 1), None):
        hint = "use --jsonl, or name a column of short ids with --prompt-id"
        raise ArgumentError(who, "prompt ids of one line", repr(broken)[:60], hint=hint)
    return "".join(text + "\n" for text in texts)


def check_targets(targets: Mapping[str, str], others: Mapping[str, str], sources: Sequence[str]) -> None:
    """Refuse what cannot be written to, before anything is computed.

    Args: targets: file name by option, - for standard output; others: what else writes; sources: what is read.
    """
    taken = {name: option for option, name in others.items()}
    read = {os.path.realpath(source) for source in sources if os.path.isfile(source)}
    for option, name in targets.items():
        place = "-" if name == "-" else os.path.realpath(name)
        if place in taken:
            what = "standard output" if name == "-" else name
            raise ArgumentError(option, "a place of its own", f"{what}, where {taken[place]} goes")
        taken[place] = option
        if place in read:
            raise ArgumentError(option, "a file other than those read", name)
        if name != "-" and (not name or os.path.isdir(place) or not os.path.isdir(os.path.dirname(place))):
            raise ArgumentError(option, "a file in an existing folder", repr(name))


def write_whole(texts: Mapping[str, tuple[str, str]]) -> list[str]:
    """Write (file name, text) of each option; when one cannot be written none is. Returns the names of the files."""
    staged: list[tuple[Path, Path]] = []
    now = ("", "")
    try:
        for option, (name, text) in texts.items():
            if name == "-":
                continue
            now = option, name
            # A link stays one, and what it leads to is replaced.
            place = Path(os.path.realpath(name))
            mode = _mode(place)
            special = mode is not None and not stat.S_ISREG(mode)
            beside = place if special else place.with_name(f".groupsigma-{os.getpid()}-{len(staged)}.part")
            if not special:
                staged.append((beside, place))
            with beside.open("wb") as file:
                file.write(text.encode("utf-8", "backslashreplace"))
                file.flush()
                if not special:
                    os.fsync(file.fileno())
            if mode is not None and not special:
                beside.chmod(stat.S_IMODE(mode))
        for beside, place in staged:
            beside.replace(place)
    except OSError as error:
        raise ArgumentError(now[0], "a file that can be written", f"{now[1]}: {error.strerror or error}") from None
    finally:
        for beside, _ in staged:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    for name, text in texts.values():
        if name == "-":
            sys.stdout.flush()
            # Bytes, so that no terminal's encoding changes an id.
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    return [name for name, _ in texts.values() if name != "-"]


def _mode(place: Path) -> int | None:
    """Kind and permissions of what is there; None where nothing is."""
    try:
        return place.stat().st_mode
    except FileNotFoundError:
        return None
