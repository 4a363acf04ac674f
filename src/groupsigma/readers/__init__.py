"""From what people have on disk to Groups: one short file a layout."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from groupsigma.errors import ArgumentError
from groupsigma.groups import Groups
from groupsigma.readers.columns import Columns
from groupsigma.readers.reading import Reading

#: Data sets that come with the package, by name.
EMBEDDED = ("bigmath",)


def load(
    source: str | PathLike[str] | Sequence[str | PathLike[str]],
    columns: Columns | None = None,
    reading: Reading | None = None,
) -> Groups:
    """Groups from "bigmath", from a trainer's rollout logs, or from tables of solve rates, of k and n, or of rewards.

    Args:
        source: a name in EMBEDDED, a CSV, JSONL or Parquet file, a folder or a glob of
            them, an hf:// or s3:// address, "-" for standard input, or a list of these;
            the folder that a trainer or an evaluation wrote, in one of the LAYOUTS.
        columns: which column holds what, where guessing by name is not enough.
        reading: which layout, which split, what to do with lines that cannot be read.

    Raises: SourceError naming the file, the row and what was expected.

    >>> load("bigmath").problems
    215608
    """
    if columns is not None and not isinstance(columns, Columns):
        raise ArgumentError("load", "Columns(rate=…, prompt_id=…)", repr(columns)[:60])
    if not isinstance(source, str | PathLike | list | tuple):
        raise ArgumentError("load", "a path, an address, or a list of them", repr(source)[:60])
    names = [str(s) for s in ([source] if isinstance(source, str | PathLike) else source)]
    if not names:
        raise ArgumentError("load", "at least one source", "an empty list")
    if "bigmath" in names:
        if names != ["bigmath"] or columns not in (None, Columns()):
            raise ArgumentError("load", "bigmath alone, without columns", ", ".join(names))
        from groupsigma.readers.bigmath import read_bigmath

        return read_bigmath()
    from groupsigma.readers.sources import read_sources

    return read_sources(names, columns or Columns(), reading or Reading())
