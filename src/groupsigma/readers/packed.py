"""Entries of a zip archive, deflated or Zstandard, without trusting what the archive says of their size."""

from __future__ import annotations

import struct
import tempfile
import zipfile
from pathlib import Path

import duckdb

#: Larger entries hold no summaries of answers.
LARGEST = 1 << 28
_ZSTANDARD = 93
_HEADER = 30


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of an entry; at most LARGEST.

    Raises: ValueError where it is damaged, too large, or packed in another way.
    """
    info = archive.getinfo(name)
    if info.compress_type == _ZSTANDARD:
        return _zstandard(archive, info)
    try:
        with archive.open(info) as file:
            found = file.read(LARGEST + 1)
    except Exception as error:  # The unpackers raise BadZipFile, zlib.error, RuntimeError and more.
        raise ValueError(f"an entry that does not unpack: {error}") from None
    if len(found) > LARGEST:
        raise ValueError(f"an entry of more than {LARGEST:,} bytes")
    return found


def _zstandard(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Through DuckDB: Python has Zstandard from 3.14 on."""
    file = archive.fp
    if file is None:
        raise ValueError("an archive that is closed")
    file.seek(info.header_offset)
    head = file.read(_HEADER)
    if len(head) < _HEADER:
        raise ValueError("an entry that ends early")
    name, extra = struct.unpack("<HH", head[26:])
    file.seek(name + extra, 1)
    packed = file.read(min(info.compress_size, LARGEST))
    with tempfile.TemporaryDirectory(prefix="groupsigma-") as scratch:
        path = Path(scratch) / "entry.zst"
        path.write_bytes(packed)
        scan = f"read_json_objects('{path}', format = 'unstructured', compression = 'zstd'"
        with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": scratch}) as db:
            try:
                rows = db.execute(f"SELECT json FROM {scan}, maximum_object_size = {LARGEST})").fetchall()
            except duckdb.Error as error:
                raise ValueError(f"an entry that does not unpack: {str(error).splitlines()[0]}") from None
    if len(rows) != 1:
        raise ValueError("an entry that is no JSON document")
    return str(rows[0][0]).encode()
