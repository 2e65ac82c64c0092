"""Find a secret in everything that a run has written, also encoded or packed."""

from __future__ import annotations

import base64
import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


def spellings(secret: str) -> set[bytes]:
    """The secret as it is, percent-encoded, in hexadecimal, and in base64 at any offset."""
    plain = secret.encode()
    found = {plain, quote(secret, safe="").encode(), plain.hex().encode()}
    for offset in range(3):
        # Characters at the ends also hold bits of what stands beside the secret.
        encoded = base64.b64encode(b"x" * offset + plain)[4 if offset else 0 : -4]
        found |= {encoded, encoded.translate(_URL_SAFE)}
    return found


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def leaks(folder: Path, secret: str) -> list[str]:
    """Files below ``folder`` that hold the secret in any spelling, or are named by it."""
    wanted = spellings(secret)
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if secret in path.name
        or (path.is_file() and any(word in part for part in _contents(path) for word in wanted))
    ]


def _contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what is packed in it."""
    data = path.read_bytes()
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:4] == b"PAR1":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        yield repr(table.to_pydict()).encode("utf-8", "replace")
        yield repr(table.schema.metadata).encode()
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
