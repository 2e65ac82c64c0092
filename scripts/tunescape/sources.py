"""Readers of model-card dumps: one raw record a model, in bounded memory, whatever the dump holds.

A dump is split once into bucket files, each sorted by id and with the same bytes for the same
models, so that a new card changes one bucket file. A bucket file is then laid out as one raw JSON
file a model. Readers never fail on a record: what cannot be used is counted with its reason.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import math
import os
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from tunescape.errors import UserError
from tunescape.hub import bucket_names, bucket_of, safe_name
from tunescape.schemas import RAW_SCHEMA_VERSION, validate_raw
from tunescape.tables import PARTIAL, atomic, read_sealed, write_bytes, write_json, write_sealed

LINE_LIMIT = 32 * 2**20
"""Longest line of a JSON Lines dump in bytes; a longer one is counted as unreadable."""

CARD_LIMIT = 4 * 2**20
"""Longest card in characters; of a longer one its size is known and no text."""

SPILL_LIMIT = 16 * 2**20
"""Characters kept in memory while a dump is split, before they go to the buckets' files."""

Entry = dict[str, str]
"""``file``, ``id`` and ``sha256`` of a raw file."""

KEPT = ("raw", "parsed")
"""Folders of what is kept from call to call: a bucket's raw files, and its parsed tables."""

BATCH_ROWS = 512
EXAMPLES = 20
ID_LIMIT = 1000
TAG_LIMIT = 100
"""Longest tag in characters; what is longer is somebody's text in the wrong place."""

_LOG = logging.getLogger("tunescape")
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
_ANEW = "delete the folder and run again: it is made anew"
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_COLUMNS = {
    "id": ("modelId", "id", "model_id"),
    "card": ("card", "readme"),
    "author": ("author",),
    "sha": ("sha",),
    "lastModified": ("last_modified", "lastModified"),
    "downloads": ("downloads",),
    "likes": ("likes",),
    "library_name": ("library_name",),
    "tags": ("tags",),
    "pipeline_tag": ("pipeline_tag",),
    "createdAt": ("createdAt", "created_at"),
}


@dataclass
class SourceReport:
    """What became of the records of a dump.

    Attributes:
        records: lines or rows that were not blank.
        bad: reason -> number of records that could not be used.
        examples: the first of them, as ``{"where": ..., "reason": ...}``.
        duplicates: records set aside because the id came again.
        replaced: records with bytes that are not UTF-8 (replaced by U+FFFD).
        models: distinct ids that remain.
    """

    records: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, str]] = field(default_factory=list)
    duplicates: int = 0
    replaced: int = 0
    models: int = 0

    def refuse(self, where: str, reason: str) -> None:
        """Count a record that cannot be used."""
        self.bad[reason] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append({"where": where, "reason": reason})

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {
            "records": self.records,
            "bad": dict(sorted(self.bad.items())),
            "bad_examples": self.examples,
            "duplicates": self.duplicates,
            "replaced": self.replaced,
            "models": self.models,
        }


class _Unusable(Exception):
    """A record without which the rest of the dump is fine; holds the reason."""


def read_source(kind: str, path: str | Path, report: SourceReport) -> Iterator[dict[str, Any]]:
    """Stream raw records (``schemas/raw.schema.json``) from a dump.

    Args:
        kind: ``cards`` (JSON Lines of ``{id, info, readme}``, plain or gzip, or parquet with
            ``modelId`` and ``card``; a folder of such files is read in order of name),
            ``snapshot`` (JSON Lines of raw records that hold facts and no text) or ``hub`` (the
            same of what a harvest saved).
        path: the dump; its format is found from its first bytes.
        report: counts what is read and what is refused.

    Raises:
        UserError: when the file is missing, cut off, or not of the stated kind.
    """
    if kind in ("snapshot", "hub"):
        yield from _read_snapshot(Path(path), report)
        return
    if kind != "cards":
        raise UserError(
            f"unknown source '{kind}'", where=str(path), expected="cards, snapshot or hub"
        )
    for file in dump_files(path):
        reader = _read_parquet if _starts(file, _PARQUET) else _read_json_lines
        yield from reader(file, report)


def split_source(
    kind: str,
    path: str | Path,
    out_paths: Mapping[str, str | Path],
    out_report: str | Path | None = None,
    kept: str | Path | None = None,
) -> SourceReport:
    """Split a dump into bucket files in one pass.

    Each bucket file holds one raw record a line as canonical JSON, sorted by id. Of several
    records with one id the one modified last counts; of equals, or undated ones, the one that
    comes last in the dump.

    Args:
        kind, path: as in :func:`read_source`.
        out_paths: bucket -> file, for all of ``hub.bucket_names(len(out_paths))``.
        out_report: JSON file for the counts of :class:`SourceReport`.
        kept: folder of what is kept of buckets; that of buckets of other names is dropped.

    Raises:
        UserError: when the dump cannot be read or holds no model.
    """
    names = bucket_names(len(out_paths))
    if sorted(out_paths) != names:
        raise UserError(
            f"buckets are named {', '.join(sorted(out_paths))}", expected=", ".join(names)
        )
    report = SourceReport()
    home = Path(out_paths[names[0]]).parent
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".split.") as folder:
        spill = _Spill(Path(folder))
        for record in read_source(kind, path, report):
            bucket = bucket_of(record["id"], len(names))
            key = f"{json.dumps(record['id'])}\t{record['last_modified'] or ''}"
            spill.add(bucket, f"{key}\t{raw_line(record)}\n")
        if not spill.records:
            raise _nothing_usable(str(path), report)
        spill.flush()
        for name in names:
            _settle_bucket(spill.path(name), out_paths[name], report)
    if out_report is not None:
        write_json(report.as_dict(), out_report)
    if kept is not None:
        _drop_others(Path(kept), set(names))
    return report


def _drop_others(kept: Path, buckets: set[str]) -> None:
    for path in [path for name in KEPT for path in (kept / name).glob("*")]:
        if path.name.removesuffix(".json") not in buckets:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def raw_line(record: Mapping[str, Any]) -> str:
    """A raw record as one line of canonical JSON (sorted keys, no spaces, UTF-8 as it is)."""
    return _CANONICAL.encode(record)


def read_bucket(path: str | Path) -> Iterator[dict[str, Any]]:
    """Stream the raw records of a bucket file or a snapshot.

    Raises:
        UserError: with file, line and key of the first record that does not fit the schema.
    """
    for where, text in _bucket_lines(path):
        yield _checked(text, where)


def _bucket_lines(path: str | Path) -> Iterator[tuple[str, str]]:
    """Place and text of each line of a bucket file."""
    for number, text, _ in _lines(Path(path)):
        where = f"{path}:{number}"
        if text is None:
            raise UserError(f"line longer than {LINE_LIMIT} bytes", where=where)
        yield where, text


def _checked(text: str, where: str, fix: str | None = None) -> dict[str, Any]:
    """A raw record that fits its schema."""
    try:
        record: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not readable as JSON ({error})", where=where, fix=fix) from None
    validate_raw(record, where)
    return record


def harvest_bucket(
    models_path: str | Path,
    out_dir: str | Path,
    out_index: str | Path,
    kept: str | Path | None = None,
) -> int:
    """Lay out a bucket file as one raw JSON file a model.

    The folder is filled beside its place and put there whole: it never holds half a bucket.

    Args:
        models_path: a bucket file of :func:`split_source`.
        out_dir: the folder; what it held before is replaced.
        out_index: JSON Lines of ``{"file", "id", "sha256"}``, sorted by id, outside ``out_dir``: a
            small file that changes exactly when a raw file does.
        kept: folder beside which the files are kept from call to call, as hard links, so that
            models that did not change are not written again.

    Returns:
        The number of models.

    Raises:
        UserError: when a record does not fit the schema or two ids claim one file.
    """
    target = Path(out_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    known = _KeptFiles(None if kept is None else Path(kept))
    entries: list[Entry] = []
    written: list[str] = []
    claimed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=".harvest.", suffix=PARTIAL
    ) as folder:
        fresh = Path(folder) / "raw"
        fresh.mkdir()
        for where, line in _bucket_lines(models_path):
            data = f"{line}\n".encode()
            entry = known.files.get(digest := hashlib.sha256(data).hexdigest())
            linked = entry is not None and known.link(entry, len(data), fresh)
            if entry is None:
                own = _checked(line, where)["id"]
                entry = {"file": f"{safe_name(own)}.json", "id": own, "sha256": digest}
            other = claimed.setdefault(entry["file"].casefold(), entry["id"])
            if other != entry["id"]:
                raise UserError(
                    f"models '{other}' and '{entry['id']}' claim one file", where=str(models_path)
                )
            if not linked:
                # Paths as objects take longer than the writing itself.
                with open(f"{fresh}/{entry['file']}", "wb", buffering=0) as handle:  # noqa: PTH123
                    handle.write(data)
                written.append(entry["file"])
            entries.append(entry)
        known.renew(fresh, entries, written)
        if target.exists():
            target.rename(Path(folder) / "old")
        fresh.rename(target)
    write_bytes("".join(f"{raw_line(entry)}\n" for entry in entries).encode(), out_index)
    _LOG.info("%d of %d raw files written anew", len(written), len(entries))
    return len(entries)


def read_index(path: str | Path) -> list[Entry]:
    """The entries of an index that :func:`harvest_bucket` wrote.

    Raises:
        UserError: when it is not there or not what was written.
    """
    try:
        entries = [json.loads(line) for line in Path(path).read_bytes().splitlines()]
        return [{key: str(entry[key]) for key in ("file", "id", "sha256")} for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"not readable as an index ({error})", where=str(path), fix=_ANEW) from None


def read_raw(raw_dir: str | Path, entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    """Stream raw records of a folder.

    Args:
        raw_dir: a folder of :func:`harvest_bucket`.
        entries: which of its files, from its index.

    Raises:
        UserError: with the file that is missing, is not what was laid out, or does not fit the
            schema.
    """
    for entry in entries:
        file = f"{raw_dir}/{entry['file']}"
        try:
            with open(file, "rb", buffering=0) as handle:  # noqa: PTH123 (faster)
                data = handle.read()
        except OSError as error:
            raise UserError(f"not readable ({error.strerror})", where=file, fix=_ANEW) from None
        record = _checked(data.decode("utf-8", "replace"), file, _ANEW)
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise UserError("not what its index says", where=file, fix=_ANEW)
        yield record


def card_record(model_id: object, info: Mapping[str, Any], card: object) -> dict[str, Any]:
    """A raw record from a model's id, its Hub metadata and its card.

    Whatever in ``info`` is not of the type that the Hub gives is taken as missing.

    Args:
        model_id: ``owner/name`` or an early id without an owner.
        info: as the Hub's API has it (``sha``, ``lastModified``, ``tags``, ``config``, ...).
        card: the text of README.md, or ``None``.

    Raises:
        ValueError: when the id cannot be one (the message says why).
    """
    if not isinstance(model_id, str) or not model_id.strip():
        raise ValueError("no model id")
    if len(model_id) > ID_LIMIT:
        raise ValueError("model id too long")
    if not model_id.isprintable():
        raise ValueError("model id with control characters")
    config = info.get("config")
    status = "ok" if isinstance(card, str) and card.strip() else "no card"
    if isinstance(card, str) and len(card) > CARD_LIMIT:
        card, status = None, "card too large"
    return {
        "schema": RAW_SCHEMA_VERSION,
        "id": model_id,
        "revision": _text(info.get("sha")),
        "last_modified": _timestamp(info.get("lastModified") or info.get("last_modified")),
        "downloads": _count(info.get("downloads")),
        "likes": _count(info.get("likes")),
        "tags": [tag for tag in _texts(info.get("tags")) if len(tag) <= TAG_LIMIT],
        "pipeline_tag": _text(info.get("pipeline_tag")),
        "library": _text(info.get("library_name") or info.get("library")),
        "config": _config(config if isinstance(config, Mapping) else {}),
        "card_text": _text(card, keep_blank=True),
        "facts": None,
        "source": "cards",
        "fetched_at": None,
        "status": status,
    }


# --- formats ------------------------------------------------------------------------------------


def _read_json_lines(path: Path, report: SourceReport) -> Iterator[dict[str, Any]]:
    for number, text, replaced in _lines(path):
        where = f"{path.name}:{number}"
        report.records += 1
        report.replaced += replaced
        try:
            yield _record_of_line(text)
        except _Unusable as error:
            report.refuse(where, str(error))


def _record_of_line(text: str | None) -> dict[str, Any]:
    if text is None:
        raise _Unusable("line too long")
    try:
        row = json.loads(text)
    except RecursionError:
        raise _Unusable("JSON nested too deeply") from None
    except ValueError:
        raise _Unusable("not JSON") from None
    if not isinstance(row, dict):
        raise _Unusable("not a JSON object")
    info = row.get("info")
    info = info if isinstance(info, dict) else {}
    model_id = row.get("id") or row.get("modelId") or info.get("modelId") or info.get("id")
    card = row.get("readme", row.get("card"))
    if card is not None and not isinstance(card, str):
        raise _Unusable("card is not text")
    try:
        return card_record(model_id, info or row, card)
    except ValueError as error:
        raise _Unusable(str(error)) from None


def _read_parquet(path: Path, report: SourceReport) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"not readable as parquet ({error})", where=str(path)) from None
    names = set(file.schema_arrow.names)
    chosen = {
        key: next((name for name in options if name in names), None)
        for key, options in _COLUMNS.items()
    }
    missing = [_COLUMNS[key][0] for key in ("id", "card") if chosen[key] is None]
    if missing:
        raise UserError(
            f"no column {' and no column '.join(missing)}",
            where=str(path),
            expected="the columns of the public model-card dumps (modelId, card, ...)",
        )
    columns = {key: name for key, name in chosen.items() if name is not None}
    number = 0
    with file:
        batches = file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns.values()))
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (pa.ArrowException, OSError) as error:
                raise UserError(
                    f"damaged after row {number} ({error})",
                    where=str(path),
                    fix="get the file again",
                ) from None
            cells = {key: _cells(batch.column(name)) for key, name in columns.items()}
            for place in range(batch.num_rows):
                number += 1
                report.records += 1
                row = {key: values[place] for key, values in cells.items()}
                try:
                    yield _record_of_row(row, report)
                except ValueError as error:
                    report.refuse(f"{path.name}: row {number}", str(error))


def _record_of_row(row: Mapping[str, Any], report: SourceReport) -> dict[str, Any]:
    card = row["card"]
    if isinstance(card, str) and "\ufffd" in card:
        report.replaced += 1
    return card_record(row["id"], row, card)


def _cells(column: Any) -> list[Any]:
    """Values of an Arrow column; text is decoded leniently, for dumps hold broken bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        large = pa.types.is_large_string(kind)
        column = column.cast(pa.large_binary() if large else pa.binary())
        # What is cut is too large for a card however many bytes a character has.
        column = pc.binary_slice(column, 0, 4 * CARD_LIMIT + 4)
    elif pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        column = column.cast(pa.list_(pa.binary()))
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz))
    return [_decoded(value) for value in column.to_pylist()]


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


def _read_snapshot(path: Path, report: SourceReport) -> Iterator[dict[str, Any]]:
    for record in read_bucket(path):
        report.records += 1
        yield record


# --- lines and files ----------------------------------------------------------------------------


def dump_files(path: str | Path) -> list[Path]:
    """The files of a dump: itself, or those that its folder holds, by name.

    Raises:
        UserError: when the folder holds none.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = sorted(
        file
        for file in path.iterdir()
        if file.name.endswith((".jsonl", ".jsonl.gz", ".parquet")) and file.is_file()
    )
    if not found:
        raise UserError("no dump in this folder", where=str(path), expected=".jsonl[.gz], .parquet")
    return found


def _starts(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(len(magic)) == magic
    except FileNotFoundError:
        raise UserError(
            "no such file", where=str(path), fix="give the dump's path as hub.path"
        ) from None
    except OSError as error:
        raise UserError(f"not readable ({error.strerror})", where=str(path)) from None


def _lines(path: Path) -> Iterator[tuple[int, str | None, bool]]:
    """Number, text (``None`` when too long) and "bytes were replaced" of each line not blank."""
    zipped = _starts(path, _GZIP)
    number = 0
    with gzip.open(path, "rb") if zipped else path.open("rb") as handle:
        while True:
            try:
                line, whole = _next_line(handle)
            except (EOFError, OSError, zlib.error) as error:
                raise UserError(
                    f"damaged or cut off after line {number} ({error})",
                    where=str(path),
                    fix="get the file again",
                ) from None
            if not line:
                return
            number += 1
            if not whole:
                yield number, None, False
                continue
            try:
                text, replaced = line.decode("utf-8"), False
            except UnicodeDecodeError:
                text, replaced = line.decode("utf-8", "replace"), True
            text = text.strip("\ufeff \t\r\n\0")
            if text:
                yield number, text, replaced


def _next_line(handle: IO[bytes] | gzip.GzipFile) -> tuple[bytes, bool]:
    """The next line and whether it is within the limit; the rest of a longer one is skipped."""
    line = handle.readline(LINE_LIMIT + 1)
    whole = len(line) <= LINE_LIMIT
    rest = line
    while len(rest) > LINE_LIMIT and not rest.endswith(b"\n"):
        rest = handle.readline(LINE_LIMIT + 1)
    return line, whole


# --- values -------------------------------------------------------------------------------------


def _text(value: object, keep_blank: bool = False) -> str | None:
    if not isinstance(value, str) or not (keep_blank or value.strip()):
        return None
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, (list, tuple)):
        return []
    return [text for text in map(_text, value) if text is not None]


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        return None
    return int(value) if 0 <= value < 2**63 else None


def _timestamp(value: object) -> str | None:
    """ISO 8601 in UTC to the second, from what the Hub's API and dumps give."""
    if isinstance(value, str):
        if not _DATE.fullmatch(value.strip()):
            return None
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the analysis uses of a model's config.json."""
    kept: dict[str, Any] = {}
    if architectures := _texts(config.get("architectures")):
        kept["architectures"] = architectures
    if model_type := _text(config.get("model_type")):
        kept["model_type"] = model_type
    labels = config.get("id2label")
    n_labels = len(labels) if isinstance(labels, Mapping) else _count(config.get("num_labels"))
    if n_labels:
        kept["num_labels"] = n_labels
    for section, key in (
        ("peft", "base_model_name_or_path"),
        ("adapter_transformers", "model_name"),
    ):
        part = config.get(section)
        if isinstance(part, Mapping) and (base := _text(part.get(key))):
            kept["base_model"] = base
    return kept


# --- buckets ------------------------------------------------------------------------------------


class _KeptFiles:
    """The raw files of a bucket as they were laid out last, where no job's start deletes them.

    A file counts only when it has its line's length and was not written to since the list was.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.files: dict[str, Entry] = {}
        if folder is not None:
            self.list = folder.with_name(f"{folder.name}.json")
            for entry in read_sealed(self.list) or ():
                self.files[entry["sha256"]] = entry
            self.since = self.list.stat().st_mtime_ns if self.files else 0

    def link(self, entry: Entry, size: int, target: Path) -> bool:
        """Put a kept file into a folder; false where there is none to trust."""
        source = f"{self.folder}/{entry['file']}"
        try:
            found = os.stat(source)  # noqa: PTH116 (faster)
            if found.st_size != size or found.st_mtime_ns > self.since:
                return False
            os.link(source, f"{target}/{entry['file']}")
        except OSError:
            return False
        return True

    def renew(self, fresh: Path, entries: Sequence[Entry], written: Sequence[str]) -> None:
        """Keep the files of ``fresh`` from now on, of which some were written, and no others."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.list.unlink(missing_ok=True)
            there = {file.name for file in os.scandir(self.folder)}
            stale = there - {entry["file"] for entry in entries}
            for name in (*stale, *written):
                (self.folder / name).unlink(missing_ok=True)
            for name in written:
                os.link(fresh / name, self.folder / name)
            write_sealed(entries, self.list)
        except OSError as error:
            _LOG.info("raw files are not kept for the next call (%s)", error)


class _Spill:
    """Appends lines to one file a bucket, holding little in memory and no file open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: dict[str, list[str]] = {}
        self.size = 0
        self.records = 0

    def path(self, bucket: str) -> Path:
        return self.folder / bucket

    def add(self, bucket: str, line: str) -> None:
        self.lines.setdefault(bucket, []).append(line)
        self.records += 1
        self.size += len(line)
        if self.size > SPILL_LIMIT:
            self.flush()

    def flush(self) -> None:
        for bucket, lines in self.lines.items():
            with self.path(bucket).open("a", encoding="utf-8", newline="\n") as handle:
                handle.writelines(lines)
        self.lines.clear()
        self.size = 0


def _spilled(handle: IO[bytes]) -> Iterator[tuple[str, str, int, int]]:
    """Id, date, place and length of the record on each line of a bucket's spill file."""
    place = 0
    for line in handle:
        key, date, record = line.split(b"\t", 2)
        place += len(line)
        yield json.loads(key), date.decode(), place - len(record), len(record)


def _settle_bucket(path: Path, out_path: str | Path, report: SourceReport) -> None:
    """Write the latest record of each id, sorted by id; records stay on disk until then."""
    latest: dict[str, tuple[str, int, int]] = {}
    total = 0
    path.touch()
    with path.open("rb") as handle, atomic(out_path) as temporary, temporary.open("wb") as out:
        for model_id, date, place, length in _spilled(handle):
            total += 1
            if model_id not in latest or date >= latest[model_id][0]:
                latest[model_id] = date, place, length
        for _, place, length in (latest[key] for key in sorted(latest)):
            handle.seek(place)
            out.write(handle.read(length))
    report.models += len(latest)
    report.duplicates += total - len(latest)


def _nothing_usable(path: str, report: SourceReport) -> UserError:
    reasons = "; ".join(f"{reason}: {count}" for reason, count in report.bad.most_common(3))
    return UserError(
        f"no model in {report.records} records" + (f" ({reasons})" if reasons else ""),
        where=path,
        expected="JSON Lines of {id, info, readme}, or parquet with modelId and card",
    )
