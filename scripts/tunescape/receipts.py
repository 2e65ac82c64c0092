"""What each job read and wrote, by content: so that a damaged file is not taken for a result.

Snakemake goes by modification times. They do not tell a file that an interrupted copy cut off, nor
an input that was changed while the clock was wrong. Each finished job leaves a receipt beside its
log, and the next call compares.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunescape.digests import digest, file_digest
from tunescape.tables import write_json, write_text

LOGS = Path("results/logs")
STAMPS = Path("work/stamps.json")
"""Content of files by size and time of change, so that it is not read again."""
SUFFIX = ".receipt.json"
SEAL = ".seal"


UNFINISHED = ["", ""]


@dataclass(frozen=True)
class Doubts:
    """Outputs that are not what their jobs make of their inputs.

    Attributes:
        outputs: all outputs of the jobs that must run again.
        damaged: finished outputs whose content has changed.
        known: outputs of all jobs that have a receipt.
    """

    outputs: tuple[str, ...]
    damaged: tuple[str, ...]
    known: tuple[str, ...]

    def tell(self, most: int = 10) -> str:
        """What to tell a user: a line a damaged file, up to some."""
        lines = [f"tunescape: {p}: not as it was written; it is made again" for p in self.damaged]
        if len(lines) > most:
            lines[most:] = [f"tunescape: and {len(lines) - most} more files"]
        return "".join(f"{line}\n" for line in lines)


def receipt_path(log_path: str | Path) -> Path:
    """Where the receipt of a job with this log lies."""
    return Path(log_path).with_suffix(SUFFIX)


def contents(paths: Iterable[str]) -> dict[str, list[str]]:
    """Digest and stamp of each file or folder that is there."""
    there = [path for path in paths if Path(path).exists()]
    return {path: [_content(Path(path)), _stamp(Path(path))] for path in there}


def open_receipt(log_path: str | Path, outputs: Iterable[str]) -> None:
    """Note that a job has begun to write; cut off here, it runs again."""
    _write(log_path, {}, dict.fromkeys(outputs, UNFINISHED))


def close_receipt(
    log_path: str | Path, inputs: Mapping[str, list[str]], outputs: Iterable[str]
) -> None:
    """Note what a job has read (see :func:`contents`, before it began) and written."""
    _write(log_path, inputs, contents(outputs))


def _write(
    log_path: str | Path, inputs: Mapping[str, list[str]], outputs: Mapping[str, list[str]]
) -> None:
    write_json({"inputs": dict(inputs), "outputs": dict(outputs)}, receipt_path(log_path))


def seal(folder: Path) -> None:
    """Note the content of a folder of a cache in the folder itself."""
    write_text(_content(folder), folder / SEAL)


def is_whole(folder: Path) -> bool:
    """Whether a folder has the content that it was sealed with."""
    try:
        return (folder / SEAL).read_text(encoding="utf-8") == _content(folder)
    except (OSError, ValueError):
        return False


def find_doubts(folder: str | Path) -> Doubts:
    """Compare files with the receipts of the jobs that wrote or read them.

    An input that is newer than the outputs is left to Snakemake. Files dated in the future, which
    Snakemake takes for a reason to fail, are dated now.

    Args:
        folder: the project's; paths in receipts are relative to it.
    """
    root = Path(folder)
    receipts = list(_read_receipts(root / LOGS))
    _redate({path for receipt in receipts for part in receipt.values() for path in part}, root)
    stamps = _Stamps(root)
    again: set[str] = set()
    damaged: set[str] = set()
    # A renamed rule leaves the receipts of its old name behind.
    latest = {path: receipt for receipt in receipts for path in receipt["outputs"]}
    for receipt in receipts:
        written, read = receipt["outputs"], receipt["inputs"]
        if any(latest[path] is not receipt for path in written):
            continue
        there = [path for path in written if (root / path).exists()]
        wrong = {path for path in there if stamps.content(path, written[path]) != written[path][0]}
        damaged |= {path for path in wrong if written[path] != UNFINISHED}
        if wrong or len(there) < len(written):
            again.update(written)
            continue
        oldest = min((_time(root / path) for path in there), default=0.0)
        older = [p for p in read if (root / p).exists() and _time(root / p) <= oldest]
        if any(stamps.content(path, read[path]) != read[path][0] for path in older):
            again.update(written)
    stamps.save()
    return Doubts(tuple(sorted(again)), tuple(sorted(damaged)), tuple(sorted(latest)))


class _Stamps:
    """Contents by stamp: a file of the same size and time is not read again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, list[str]] = {}
        with contextlib.suppress(OSError, ValueError):
            self._known = json.loads((root / STAMPS).read_text(encoding="utf-8"))
        self._now: dict[str, list[str]] = {}

    def content(self, path: str, noted: list[str]) -> str:
        """Digest of a file or folder that a receipt mentions."""
        if path not in self._now:
            stamp = _stamp(self._root / path)
            known = next((k for k in (noted, self._known.get(path)) if k and k[1] == stamp), None)
            self._now[path] = [known[0] if known else _content(self._root / path), stamp]
        return self._now[path][0]

    def save(self) -> None:
        if self._now != self._known:
            with contextlib.suppress(OSError):
                write_json(self._now, self._root / STAMPS)


def _read_receipts(folder: Path) -> Iterator[dict[str, Any]]:
    """Receipts that can be read, the oldest first."""
    dated = [(path.stat().st_mtime_ns, path) for path in folder.rglob(f"*{SUFFIX}")]
    for _, path in sorted(dated):
        with contextlib.suppress(OSError, ValueError):
            receipt = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(receipt, dict) and receipt.keys() == {"inputs", "outputs"}:
                yield receipt


def _members(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Files of a folder, without those that Snakemake keeps there, in no order."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _members(entry.path)
        elif not entry.name.startswith("."):
            yield entry.path, entry.stat()


def _content(path: Path) -> str:
    if not path.is_dir():
        return file_digest(path)
    members = sorted(_members(str(path)))
    # A folder with an index beside it may hold a million files, which who reads it checks by that.
    if path.with_name(f"{path.name}.index.jsonl").exists():
        seen = [[os.path.relpath(file, path), s.st_size, s.st_mtime_ns] for file, s in members]
    else:
        seen = [[os.path.relpath(file, path), file_digest(file)] for file, _ in members]
    return digest(seen, 64)


def _stamp(path: Path) -> str:
    """Sizes and times of change: no program can set these back."""
    members = _members(str(path)) if path.is_dir() else [(str(path), path.stat())]
    lines = sorted(f"{Path(f).name} {s.st_size} {s.st_ctime_ns}\n" for f, s in members)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _time(path: Path) -> float:
    """When a file, or a folder as Snakemake dates it, was last changed."""
    mark = path / ".snakemake_timestamp"
    return (mark if mark.exists() else path).stat().st_mtime


def _redate(paths: Iterable[str], root: Path) -> None:
    now = time.time()
    for path in paths:
        for file in (root / path, root / path / ".snakemake_timestamp"):
            with contextlib.suppress(OSError):
                if file.stat().st_mtime > now:
                    os.utime(file, (now, now))
