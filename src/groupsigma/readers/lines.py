"""JSON lines one by one: the slow way, where DuckDB finds one that it cannot read, to name it or leave it out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from groupsigma.readers.layout import Field, fitted

#: A longer line is no answer, and would not fit beside others.
LONGEST = 1 << 28
#: What JSON takes for blank; other control characters are damage.
BLANK = b" \t\r\n"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bad:
    """A line that is no answer: where it is, why, and how it begins."""

    file: str
    line: int
    why: str
    shown: str


def each(path: str) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not blank; one beyond LONGEST comes cut."""
    with open_bytes(path) as file:
        number = 0
        while line := file.readline(LONGEST):
            number += 1
            if len(line) == LONGEST:
                while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                    pass
            if line.strip(BLANK):
                yield number, line


def open_bytes(path: str) -> IO[bytes]:
    """A file, unpacked if it is gzipped."""
    return cast(IO[bytes], gzip.open(path)) if path.endswith(".gz") else open(path, "rb")


def parsed(line: bytes) -> dict[str, Any]:
    """A line as a JSON object.

    Raises: ValueError saying what it is instead.

    >>> parsed(b'{"a": 1}')
    {'a': 1}
    """
    if len(line) >= LONGEST:
        raise ValueError(f"a line of more than {LONGEST:,} bytes")
    try:
        value = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("a line that is not UTF-8") from None
    except RecursionError:
        raise ValueError("a line nested too deeply") from None
    except ValueError:
        raise ValueError("a line that is no JSON") from None
    if not isinstance(value, dict):
        raise ValueError("a line that is no JSON object")
    return value


def cleaned(paths: Sequence[str], fields: Mapping[str, Field] | None, target: Path, growing: bool = False) -> list[Bad]:
    """The fields of all good lines, with `filename` and `line`, written to target; the bad lines.

    Args: fields: None for all; growing: an unfinished last line is not there yet.
    Read by DuckDB, what is written gives what the files would give without their bad lines.
    """
    bad = []
    with target.open("wb") as out:
        for path in paths:
            for number, line in each(path):
                try:
                    found = parsed(line)
                    row = found if fields is None else {**fitted(found, fields), "filename": path, "line": number}
                except (ValueError, TypeError, RecursionError) as error:
                    if growing and not line.endswith(b"\n"):
                        continue
                    why = f"a field that is not {error}" if isinstance(error, TypeError) else str(error)
                    bad.append(Bad(Path(path).name, number, why, line[:40].decode(errors="replace").rstrip()))
                    continue
                out.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    return bad


def unfinished(paths: Sequence[str]) -> list[str]:
    """Files that end within a line: what an interrupted write leaves.

    DuckDB 2.0 reads several files at once, and of such a line it sometimes says nothing: it is not there, and no
    error. (Never of other lines, and never with one thread.)
    """
    return [path for path in paths if not path.endswith((".gz", ".zst")) and not _ends_whole(path)]


def _ends_whole(path: str) -> bool:
    """Whether the last line is ended, or is a whole object all the same."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        tail = b""
        while size and b"\n" not in tail and len(tail) < LONGEST:
            step = min(size, _CHUNK)
            size -= step
            file.seek(size)
            tail = file.read(step) + tail
            if tail.endswith(b"\n"):
                return True
    last = tail.rpartition(b"\n")[2]
    if not last.strip(BLANK):
        return True
    try:
        # Half a pair of surrogates is JSON to Python, and none to DuckDB.
        json.dumps(parsed(last), ensure_ascii=False).encode()
    except ValueError:
        return False
    return True
