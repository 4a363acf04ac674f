"""The files behind a source, their format, and DuckDB's complaints in our words."""

from __future__ import annotations

import glob
import gzip
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from groupsigma.errors import ArgumentError, SourceError

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_WHOLE = "is it complete, encoded as UTF-8, and in the format its name says?"
_REMOTE = "hf:// and s3:// need DuckDB's httpfs extension, which it downloads once"


def resolve(sources: Sequence[str], scratch: Path) -> tuple[list[str], str]:
    """The files behind the sources and their common format."""
    found = find(sources, scratch)
    return found, common_format(found)


def find(sources: Sequence[str], scratch: Path, also: Sequence[str] = ()) -> list[str]:
    """The files behind the sources, each once. also: endings of files to take from a folder beside tables."""
    found: list[str] = []
    for source in sources:
        found += _behind(source, scratch, also)
    twice = [path for path, times in Counter(os.path.realpath(p) for p in found if "://" not in p).items() if times > 1]
    if twice:
        raise SourceError(twice[0], "each file once", "the same file twice", hint="its answers would count double")
    return found


def matching(sources: Sequence[str]) -> list[Path]:
    """The files behind sources on the disk as they are now; none where there is nothing yet."""
    found: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            found += [inner for inner in path.rglob("*") if inner.is_file()]
        else:
            found += [Path(name) for name in glob.glob(source, recursive=True)] or [path]
    return found


def common_format(found: Sequence[str]) -> str:
    """The format of all of these files: csv, json or parquet."""
    formats = {format_of(path) or _sniffed(path) for path in found}
    if len(formats) > 1:
        got = " and ".join(sorted(formats))
        shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        raise SourceError(shown, "files of one format", got, hint="read each format on its own")
    return formats.pop()


def _behind(source: str, scratch: Path, also: Sequence[str]) -> list[str]:
    if source == "-":
        return [str(_standard_input(scratch))]
    if "://" in source:
        return [source]
    path = Path(source)
    if path.is_dir():
        inside = sorted(str(p) for p in path.rglob("*") if p.is_file() and (format_of(str(p)) or p.suffix in also))
        if not inside:
            raise SourceError(source, "a CSV, JSONL or Parquet file in the folder", "none", hint="a glob finds others")
        return inside
    if not path.exists():
        matching = sorted(glob.glob(source, recursive=True))
        if matching:
            return matching
        if any(c in source for c in "*?["):
            raise SourceError(source, "a file matching the pattern", "none", hint="quote the pattern for ** to work")
        hint = "'bigmath' is the one data set by name" if not path.suffix else "is the path relative to this folder?"
        raise SourceError(source, "an existing file or folder", "nothing there", hint=hint)
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(source, "rows of data", "an empty file", hint="was it written completely?")
    return [source]


def escaped(path: str) -> str:
    """A path that DuckDB takes as it is, not as a pattern."""
    return path if "://" in path else re.sub(r"([*?\[])", r"[\1]", path)


def is_document(paths: Sequence[str]) -> bool:
    """Whether these are .json files, which may hold one array of objects rather than one object a line."""
    return all(Path(path).suffix == ".json" for path in paths)


def format_of(name: str) -> str | None:
    """The format that a name tells, packed or not."""
    path = Path(name)
    if path.suffix in (".gz", ".zst"):
        path = path.with_suffix("")
    return _FORMATS.get(path.suffix.lower())


def _sniffed(name: str) -> str:
    if "://" in name:
        raise SourceError(name, "an address that ends in .csv, .jsonl or .parquet", "another ending", hint=_REMOTE)
    try:
        with gzip.open(name) if name.endswith(".gz") else open(name, "rb") as file:
            head = file.read(64).lstrip()
    except (EOFError, OSError) as error:
        raise SourceError(Path(name).name, "a readable file", str(error), hint=_WHOLE) from None
    return "parquet" if head.startswith(b"PAR1") else "json" if head[:1] in (b"{", b"[") else "csv"


def _standard_input(scratch: Path) -> Path:
    head = sys.stdin.buffer.read(4)
    packed = {b"\x1f\x8b": ".gz", b"\x28\xb5": ".zst"}.get(head[:2], "")
    target = scratch / f"standard input{packed}"
    with target.open("wb") as out:
        out.write(head)
        shutil.copyfileobj(sys.stdin.buffer, out)
    if not head:
        raise SourceError("standard input", "rows of data", "nothing", hint="'-' reads what is piped in")
    return target


@contextmanager
def connection(scratch: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of our own that spills into `scratch`."""
    # Without a directory of its own DuckDB spills into the working directory.
    db = duckdb.connect(config={"temp_directory": scratch})
    try:
        yield db
    finally:
        db.close()


def one_by_one(db: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Read several packed files of lines on one thread: see `lines.unfinished`, which cannot look at their ends."""
    if len(paths) > 1 and any(path.endswith((".gz", ".zst")) or "://" in path for path in paths):
        db.execute("SET threads = 1")


def fetch(db: duckdb.DuckDBPyConnection, sql: str, name: str) -> dict[str, Any]:
    """The columns of a query's result; on a terminal with a progress bar on standard error."""
    if not sys.stderr.isatty():
        return db.execute(sql).fetchnumpy()
    from rich.console import Console
    from rich.progress import Progress

    with ThreadPoolExecutor(1) as pool, Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {name}", total=100)
        result = pool.submit(lambda: db.execute(sql).fetchnumpy())
        try:
            while not result.done():
                bar.update(task, completed=max(0.0, db.query_progress()))
                wait([result], 0.1)
        except KeyboardInterrupt:
            db.interrupt()
            raise
        return result.result()


@contextmanager
def explained(paths: Sequence[str], form: str, name: str, scratch: str, no_text: bool = False) -> Iterator[None]:
    """DuckDB's errors and ours about values, as one line with file and row; no_text: that quotes nothing."""
    try:
        yield
    except ArgumentError as error:
        raise SourceError(name, error.needs, error.got, error.where, error.hint) from None
    except (EOFError, OSError) as error:
        raise SourceError(name, "a readable file", str(error), hint=_WHOLE) from None
    except duckdb.Error as error:
        text = str(error).replace(f"{scratch}/", "")
        if form == "json" and not is_document(paths) and (bad := _broken_line(paths, no_text)):
            raise bad from None
        line = re.search(r"CSV Error on Line: (\d+)", text)
        file = re.search(r"file = (.+)", text)
        who = file[1].strip() if file else name
        where = f"line {line[1]}" if line else ""
        first = (
            "something else"
            if no_text
            else re.sub(r"^\w[\w ]* Error: ", "", text.splitlines()[0]).rstrip(" .:")
            if text
            else type(error).__name__
        )
        hint = _REMOTE if "://" in name else _WHOLE
        raise SourceError(who, f"a readable {form} file", first, where, hint) from None


def _broken_line(paths: Sequence[str], no_text: bool) -> SourceError | None:
    """The first line that is not a JSON object: DuckDB's own count is one off after a break inside a string."""
    for name in paths:
        if "://" in name or name.endswith(".zst"):
            continue
        with gzip.open(name) if name.endswith(".gz") else open(name, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    good = not line.strip() or isinstance(json.loads(line), dict)
                except ValueError:
                    good = False
                if not good:
                    shown = "another line" if no_text else repr(line[:40].decode(errors="replace").rstrip())
                    hint = "an interrupted write? --skip-bad leaves such lines out and counts them"
                    return SourceError(Path(name).name, "one JSON object a line", shown, f"line {number}", hint)
    return None
