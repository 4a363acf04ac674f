"""The files behind a source, their format, and DuckDB's complaints in our words."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
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


def resolve(sources: Sequence[str], scratch: Path) -> tuple[list[str], str]:
    """The files behind the sources and their common format."""
    found: list[str] = []
    for source in sources:
        if source == "-":
            found.append(str(_standard_input(scratch)))
        elif "://" in source:
            found.append(source)
        elif Path(source).is_dir():
            inside = sorted(str(p) for p in Path(source).rglob("*") if p.is_file() and _format(str(p)))
            if not inside:
                raise SourceError("table", "a CSV, JSONL or Parquet file in the folder", "none", source)
            found += inside
        elif any(c in source for c in "*?[") and not Path(source).exists():
            inside = (
                sorted(str(p) for p in Path().glob(source))
                if not source.startswith("/")
                else sorted(str(p) for p in Path("/").glob(source[1:]))
            )
            if not inside:
                raise SourceError("table", "a file matching the pattern", "none", source)
            found += inside
        elif not Path(source).exists():
            hint = "'bigmath' is the one data set by name" if "." not in Path(source).name else ""
            raise SourceError("table", "an existing file or folder", "nothing there", source, hint)
        elif Path(source).stat().st_size == 0:
            raise SourceError("table", "rows of data", "an empty file", source)
        else:
            found.append(source)
    formats = {_format(f) or _sniffed(f) for f in found}
    if len(formats) > 1:
        raise SourceError("table", "files of one format", " and ".join(sorted(formats)), ", ".join(sources))
    return found, formats.pop()


def is_document(paths: Sequence[str]) -> bool:
    """Whether these are .json files, which may hold one array of objects rather than one object a line."""
    return all(Path(path).suffix == ".json" for path in paths)


def _format(name: str) -> str | None:
    path = Path(name)
    if path.suffix in (".gz", ".zst"):
        path = path.with_suffix("")
    return _FORMATS.get(path.suffix.lower())


def _sniffed(name: str) -> str:
    if "://" in name:
        raise SourceError("table", "an address that ends in .csv, .jsonl or .parquet", "another ending", name)
    with open(name, "rb") as file:
        head = file.read(64).lstrip()
    return "parquet" if head.startswith(b"PAR1") else "json" if head[:1] in (b"{", b"[") else "csv"


def _standard_input(scratch: Path) -> Path:
    target = scratch / "stdin"
    with target.open("wb") as out:
        shutil.copyfileobj(sys.stdin.buffer, out)
    if target.stat().st_size == 0:
        raise SourceError("table", "rows of data", "nothing", "standard input")
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
def explained(files: Sequence[str], kind: str, name: str) -> Iterator[None]:
    """DuckDB's errors and ours about values, as one line with file and row."""
    try:
        yield
    except ArgumentError as error:
        raise SourceError("table", error.needs, error.got, f"{name}, {error.where}" if error.where else name) from None
    except duckdb.Error as error:
        text = str(error)
        if kind == "json" and not is_document(files) and (bad := _broken_line(files)):
            raise bad from None
        line = re.search(r"CSV Error on Line: (\d+)", text)
        value = re.search(r'Error when converting column "(.*?)"\. Could not convert string "(.*?)"', text)
        where = f"{_named_file(text) or name}, line {line[1]}" if line else name
        if value:
            raise SourceError("table", f"a number in column {value[1]!r}", repr(value[2]), where) from None
        first = re.sub(r"^\w[\w ]* Error: ", "", text.splitlines()[0]) if text else type(error).__name__
        hint = (
            "DuckDB could not load the extension it reads this address with"
            if "://" in name and "extension" in text
            else ""
        )
        raise SourceError("table", f"a readable {kind} file", first, where, hint) from None


def _named_file(text: str) -> str | None:
    found = re.search(r"file = (.+)", text)
    return found[1].strip() if found else None


def _broken_line(files: Sequence[str]) -> SourceError | None:
    """The first line that is not a JSON object: DuckDB's own count is one off after a break inside a string."""
    for name in files:
        if "://" in name or name.endswith(".zst"):
            continue
        with gzip.open(name) if name.endswith(".gz") else open(name, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    good = not line.strip() or isinstance(json.loads(line), dict)
                except ValueError:
                    good = False
                if not good:
                    shown = repr(line[:40].decode(errors="replace").rstrip())
                    return SourceError("table", "one JSON object a line", shown, f"{name}, line {number}")
    return None
