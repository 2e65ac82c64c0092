"""Raw records to parsed tables: each card read by itself, so that no card can spoil another."""

from __future__ import annotations

import logging
import math
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.cards import (
    HYPERPARAMETERS,
    METRICS,
    CardFacts,
    CardRecord,
    Extracted,
    HistoryRow,
    interpret,
    read_card,
)
from tunescape.digests import file_digest
from tunescape.hub import owner_of
from tunescape.schemas import PROVENANCE_COLUMNS, SEPARATOR
from tunescape.sources import read_index, read_raw
from tunescape.tables import atomic, read_sealed, read_table, write_sealed, write_table

if TYPE_CHECKING:
    import pandas as pd

_KEPT = ("parsed.parquet", "provenance.parquet")
_LOG = logging.getLogger("tunescape")
_WORDS = ("optimizer", "lr_scheduler_type", "mixed_precision", "distributed_type")
_IDENTITY: dict[str, str] = {
    "id": "str",
    "owner": "str",
    "revision": "str",
    "last_modified": "str",
    "downloads": "Int64",
    "likes": "Int64",
    "library": "str",
    "pipeline_tag": "str",
    "tags": "str",
    "architectures": "str",
    "model_type": "str",
    "n_labels": "Int64",
    "status": "str",
    "problems": "str",
    "card_kind": "str",
    "task": "str",
    "base_model": "str",
    "config_base_model": "str",
    "datasets": "str",
    "dataset_name": "str",
    "dataset_type": "str",
    "dataset_config": "str",
    "dataset_split": "str",
    "metric_names": "str",
    "flags": "str",
}
_STEPS: dict[str, str] = {
    "steps_low": "float64",
    "steps_high": "float64",
    "table_line": "Int64",
    "table_start": "Int64",
    "table_end": "Int64",
}

PARSED_COLUMNS: dict[str, str] = {
    **_IDENTITY,
    **{name: "str" if name in _WORDS else "float64" for name in (*HYPERPARAMETERS, *METRICS)},
    **_STEPS,
}
"""Columns of a parsed bucket: what the card and the Hub state, before any judgement."""

EPOCH_ROUNDING = 0.005
"""Half a unit of the last digit of an epoch in a results table (two decimals)."""


def parse_bucket(
    raw_dir: str | Path,
    index_path: str | Path,
    out_parquet: str | Path,
    out_provenance: str | Path,
    kept: str | Path | None = None,
    parser: str = "",
) -> dict[str, int]:
    """Parse every raw record of a folder, or what of them was not parsed before.

    Args:
        raw_dir, index_path: of ``sources.harvest_bucket``.
        out_parquet: one row a model (:data:`PARSED_COLUMNS`), sorted by id.
        out_provenance: one row a value (``schemas.PROVENANCE_COLUMNS``), sorted by id and field.
        kept: folder in which the tables are kept from call to call.
        parser: digest of the code that parses; rows of another parser do not count.

    Returns:
        Models by status: ``ok``, ``no card``, ``failed: <reason>``, ...

    Raises:
        UserError: when a raw file does not fit its index or schema (a card never raises).
    """
    import pandas as pd

    entries = read_index(index_path)
    digests = {entry["id"]: entry["sha256"] for entry in entries}
    known = _KeptTables(kept, parser)
    same = known.among(digests)
    rows: list[dict[str, Any]] = []
    provenance: list[tuple[Any, ...]] = []
    for raw in read_raw(raw_dir, [entry for entry in entries if entry["id"] not in same]):
        row, places = parse_record(raw)
        rows.append(row)
        provenance.extend(places)
    table = _frame(
        {name: [row.get(name) for row in rows] for name in PARSED_COLUMNS}, PARSED_COLUMNS
    )
    cells = list(zip(*provenance, strict=True)) or [()] * len(PROVENANCE_COLUMNS)
    sources = _frame(dict(zip(PROVENANCE_COLUMNS, cells, strict=True)), PROVENANCE_COLUMNS)
    if same:
        old, old_sources = known.rows(same)
        table = pd.concat([table, old], ignore_index=True)
        sources = pd.concat([sources, old_sources], ignore_index=True)
    write_table(table, out_parquet, PARSED_COLUMNS, sort_by=["id"])
    write_table(sources, out_provenance, PROVENANCE_COLUMNS, sort_by=["id", "field"])
    failed = table["status"].str.startswith("failed")
    known.renew(out_parquet, out_provenance, digests, set(table["id"][failed]))
    _LOG.info("%d of %d cards parsed anew", len(rows), len(entries))
    return dict(Counter(table["status"]))


class _KeptTables:
    """The tables of a bucket as they were written last, and the raw records that they are of.

    They count when they are what was written, by the same parser under the same Python. Rows of
    cards that failed do not: what failed once, of memory perhaps, is tried again.
    """

    def __init__(self, folder: str | Path | None, parser: str) -> None:
        import yaml

        self.folder = None if folder is None else Path(folder)
        self.maker = [parser, platform.python_version(), yaml.__version__]
        self.models: dict[str, str] = {}
        if self.folder is None:
            return
        seal = read_sealed(self.folder / "seal.json")
        if seal is not None and seal["maker"] == self.maker and self._tables() == seal["tables"]:
            self.models = seal["models"]

    def among(self, digests: Mapping[str, str]) -> set[str]:
        """Models whose raw record is the one that a kept row is of."""
        return {own for own, digest in digests.items() if self.models.get(own) == digest}

    def rows(self, models: set[str]) -> list[pd.DataFrame]:
        """Parsed rows and provenance of some models."""
        assert self.folder is not None
        tables = [read_table(self.folder / name) for name in _KEPT]
        return [table[table["id"].isin(models)] for table in tables]

    def renew(
        self,
        parsed: str | Path,
        provenance: str | Path,
        digests: Mapping[str, str],
        failed: set[str],
    ) -> None:
        """Keep these tables from now on."""
        if self.folder is None:
            return
        for source, name in zip((parsed, provenance), _KEPT, strict=True):
            with atomic(self.folder / name) as temporary:
                shutil.copyfile(source, temporary)
        models = {own: digest for own, digest in digests.items() if own not in failed}
        seal = {"maker": self.maker, "tables": self._tables(), "models": models}
        write_sealed(seal, self.folder / "seal.json")

    def _tables(self) -> list[str] | None:
        """Digests of the tables; none where one is missing."""
        assert self.folder is not None
        try:
            return [file_digest(self.folder / name) for name in _KEPT]
        except OSError:
            return None


def parse_record(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """One parsed row and the provenance rows of one raw record.

    A card that the parser cannot take gives a row without values whose status says why.
    """
    row = _identity(raw)
    try:
        facts = card_facts(raw)
        record = interpret(facts, raw)
        _fill(row, raw["tags"], facts, record)
        places = [_place(row["id"], name, value) for name, value in record.fields.items()]
    except Exception as error:  # a defect met in one card must not stop thousands of others
        row = _identity(raw)
        row["status"] = f"failed: {type(error).__name__}: {str(error)[:200]}"
        places = []
    return row, places


def card_facts(raw: Mapping[str, Any]) -> CardFacts:
    """The facts of a raw record: as a snapshot holds them, else read from the card's text."""
    if raw["facts"] is not None:
        return CardFacts.from_json(raw["facts"])
    return read_card(raw["card_text"] or "")


def steps_per_epoch(history: Iterable[HistoryRow]) -> tuple[float, float] | None:
    """Bounds of the optimiser steps in one epoch, from the results table's epochs and steps.

    Every row bounds them, as its epoch is rounded to two decimals. Rows of whole epochs that all
    give one whole number are exact.

    Returns:
        Lower and upper bound; ``None`` when no row has both, or when rows do not agree.
    """
    pairs = [
        (row.epoch, row.step)
        for row in history
        if row.epoch is not None and row.step is not None and row.epoch >= 0.02 and row.step >= 1
    ]
    if not pairs:
        return None
    ratios = {step / epoch for epoch, step in pairs if epoch.is_integer()}
    if len(ratios) == 1 and all(epoch.is_integer() for epoch, _ in pairs):
        (ratio,) = ratios
        if ratio.is_integer():
            return ratio, ratio
    low = max(step / (epoch + EPOCH_ROUNDING) for epoch, step in pairs)
    high = min(step / (epoch - EPOCH_ROUNDING) for epoch, step in pairs)
    return (low, high) if low <= high else None


def _identity(raw: Mapping[str, Any]) -> dict[str, Any]:
    config = raw["config"]
    labels = config.get("num_labels")
    row: dict[str, Any] = {
        "id": raw["id"],
        "owner": owner_of(raw["id"]),
        "tags": _join(raw["tags"]),
        "architectures": _join(config.get("architectures") or ()),
        "model_type": config.get("model_type"),
        "n_labels": labels if isinstance(labels, int) else None,
        "config_base_model": config.get("base_model"),
    }
    for key in ("revision", "last_modified", "downloads", "likes", "library", "pipeline_tag"):
        row[key] = raw[key]
    row["status"] = raw["status"]
    return row


def _fill(
    row: dict[str, Any], raw_tags: Sequence[str], facts: CardFacts, record: CardRecord
) -> None:
    dataset = record.dataset
    if any(tag not in raw_tags for tag in facts.front.get("tags", ())):
        row["tags"] = _join((*raw_tags, *facts.front["tags"]))
    row |= {
        "problems": _join(record.problems),
        "card_kind": record.card_kind,
        "task": _join(result.task for result in facts.results) or record.task or None,
        "base_model": record.value("base_model"),
        "datasets": _join(_names(record.value("datasets"))),
        "dataset_name": dataset.name,
        "dataset_type": dataset.type,
        "dataset_config": dataset.config or dataset.args,
        "dataset_split": dataset.split,
        "metric_names": _join(
            (*record.metric_names, *(facts.table.columns if facts.table else ()))
        ),
        "flags": _join(record.flags),
    }
    for name, extracted in record.fields.items():
        value = extracted.value
        if name in _WORDS:
            row[name] = value if isinstance(value, str) else None
        elif isinstance(value, (int, float)) and math.isfinite(value):
            row[name] = float(value)
    bounds = steps_per_epoch(record.history)
    if bounds is not None and facts.table is not None:
        row["steps_low"], row["steps_high"] = bounds
        row["table_line"] = facts.table.line
        row["table_start"], row["table_end"] = facts.table.start, facts.table.end


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()


def _join(values: Iterable[str]) -> str | None:
    """Distinct texts in one cell; a separator inside one becomes a slash."""
    clean = dict.fromkeys([value.replace(SEPARATOR, "/").strip() for value in values])
    clean.pop("", None)
    return SEPARATOR.join(clean) or None


def _place(model_id: str, name: str, extracted: Extracted) -> tuple[Any, ...]:
    value = extracted.value
    if isinstance(value, float):
        text: str | None = repr(value)
    else:
        text = _join(_names(value))
    return (
        model_id,
        name,
        text,
        extracted.kind,
        extracted.line,
        extracted.start,
        extracted.end,
        extracted.confidence,
        extracted.flag or None,
    )


def _frame(cells: Mapping[str, Sequence[Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            name: pd.Series(
                [value or None for value in cells[name]] if dtype == "str" else cells[name],
                dtype=dtype,
            )
            for name, dtype in columns.items()
        }
    )
