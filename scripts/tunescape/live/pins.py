"""The pinned list of models: which revision of which model a study is about."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tunescape.errors import UserError
from tunescape.hub import is_hub_id
from tunescape.tables import guarded, unguarded, write_text

_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Pin:
    """One row of the list.

    Attributes:
        id: ``owner/name``.
        revision: commit hash.
        last_modified: ISO 8601, UTC; empty when unknown.
        gated: ``no``, ``auto`` or ``manual``.
        downloads, likes: when listed.
        base_model: the base model that it was found by.
        relation: ``finetune``, ``adapter``, ``quantized`` or ``merge``.
        found_by: ``tree`` (the Hub's tag) or ``name`` (a search, confirmed from the card).
    """

    id: str
    revision: str
    last_modified: str = ""
    gated: str = "no"
    downloads: int | None = None
    likes: int | None = None
    base_model: str = ""
    relation: str = ""
    found_by: str = ""


def write_pins(pins: Iterable[Pin], path: str | Path) -> None:
    """Write a list, sorted by id."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow([field.name for field in fields(Pin)])
    for pin in sorted(pins, key=lambda pin: pin.id):
        cells = ["" if value is None else str(value) for value in asdict(pin).values()]
        writer.writerow(map(guarded, cells))
    write_text(text.getvalue(), path)


def read_pins(path: str | Path) -> list[Pin]:
    """Read a list; columns that are not there are empty, others are left alone.

    Raises:
        UserError: with file and line when there is none, or an id or a revision cannot be one.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(
            "no list of models", where=str(path), fix="`snakemake discover` makes one"
        ) from None
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text", where=str(path)) from None
    rows = csv.DictReader(lines, delimiter="\t")
    missing = [name for name in ("id", "revision") if name not in (rows.fieldnames or ())]
    if missing:
        raise UserError(
            f"no column {' and no column '.join(missing)}",
            where=str(path),
            expected="tab-separated columns " + ", ".join(field.name for field in fields(Pin)),
        )
    pins: dict[str, Pin] = {}
    try:
        for row in rows:
            pin = _pin(row, f"{path}:{rows.line_num}")
            if pin.id in pins:
                raise UserError(f"model '{pin.id}' comes again", where=f"{path}:{rows.line_num}")
            pins[pin.id] = pin
    except csv.Error as error:
        raise UserError(f"not readable ({error})", where=f"{path}:{rows.line_num}") from None
    if not pins:
        raise UserError("holds no model", where=str(path))
    return [pins[key] for key in sorted(pins)]


def sample_pins(pins: Sequence[Pin], most: int | None, seed: int) -> list[Pin]:
    """Take a pilot sample, stratified by downloads, the same one whatever the order.

    Strata are the orders of magnitude of the downloads; each gives its share (largest remainders
    first). Within a stratum models are ranked by a hash of seed and id, so that a longer list
    changes few of the models taken.

    Args:
        pins: all models.
        most: how many to take; all when ``None`` or at least as many as there are.
        seed: changes which are taken.

    Returns:
        The models taken, in the order of ``pins``.
    """
    if most is None or most >= len(pins):
        return list(pins)
    strata: dict[int, list[Pin]] = {}
    for pin in pins:
        strata.setdefault(len(str(pin.downloads)) if pin.downloads else 0, []).append(pin)
    shares = {key: most * len(members) / len(pins) for key, members in strata.items()}
    quota = {key: int(share) for key, share in shares.items()}
    rest = sorted(shares, key=lambda key: (quota[key] - shares[key], key))
    for key in rest[: most - sum(quota.values())]:
        quota[key] += 1
    taken: set[str] = set()
    for key, members in strata.items():
        ranked = sorted(members, key=lambda pin: _rank(seed, pin.id))
        taken.update(pin.id for pin in ranked[: quota[key]])
    return [pin for pin in pins if pin.id in taken]


def _rank(seed: int, model_id: str) -> bytes:
    return hashlib.sha256(f"{seed}:{model_id}".encode()).digest()


def _pin(row: Mapping[str, str | None], where: str) -> Pin:
    cells = {
        key: unguarded((value or "").strip()) for key, value in row.items() if isinstance(key, str)
    }
    if not is_hub_id(cells["id"]):
        raise UserError(f"'{cells['id'][:100]}' is no model id", where=where)
    if not _SHA.fullmatch(cells["revision"]):
        raise UserError(
            f"revision of '{cells['id']}' is '{cells['revision'][:60]}'",
            where=where,
            expected="a commit hash (40 hexadecimal digits)",
        )
    return Pin(
        id=cells["id"],
        revision=cells["revision"],
        last_modified=cells.get("last_modified", ""),
        gated=cells.get("gated", ""),
        downloads=_count(cells.get("downloads", ""), "downloads", where),
        likes=_count(cells.get("likes", ""), "likes", where),
        base_model=cells.get("base_model", ""),
        relation=cells.get("relation", ""),
        found_by=cells.get("found_by", ""),
    )


def _count(text: str, name: str, where: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise UserError(f"{name} is '{text[:60]}'", where=where, expected="a whole number")
    return int(text)
