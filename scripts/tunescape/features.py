"""Parsed cards to the features table: one identity each, repaired where stated, flagged where not.

Nothing is dropped here. A number that cannot be stays in its column with the flag
``impossible_value:<column>``; which models a study uses is decided in ``populations``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError
from tunescape.hub import name_of
from tunescape.identity import (
    TEXT_CLASSIFICATION,
    EvalSizes,
    Evidence,
    canonical_dataset,
    canonical_model,
    find_task,
    possible_with,
    read_eval_sizes,
    suite_member_in_name,
)
from tunescape.parsing import PARSED_COLUMNS
from tunescape.schemas import (
    FEATURE_COLUMNS,
    FEATURES,
    HYPERPARAMETERS,
    METRICS,
    PROVENANCE_COLUMNS,
    SEPARATOR,
    out_of_bounds,
    validate_features,
)
from tunescape.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

EARLY_OWNER = "huggingface"
"""Owner of the models that were published before the Hub had accounts."""

SIZE_TOLERANCE = 0.25
"""Widest relative interval of a training-set size whose midpoint is taken."""

RESULT_DIGITS = 6
"""Significant digits of results that two models must share to count as the same run."""

_CHAIN_LIMIT = 10
_NUMERIC = [name for name, column in HYPERPARAMETERS.items() if column.dtype == "float64"]
_SETTINGS = (
    "learning_rate",
    "train_batch_size",
    "num_epochs",
    "optimizer",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "gradient_accumulation_steps",
    "weight_decay",
)
_NUMBER_IN_NAME = re.compile(r"\d+(?:[._]\d+)*(?:e[-_]?\d+)?")

_EMPTY: dict[str, Any] = dict.fromkeys(FEATURE_COLUMNS)
_NO_SOURCE: dict[str, Any] = dict.fromkeys(PROVENANCE_COLUMNS)
_STATED = [name for name in FEATURE_COLUMNS if name in PARSED_COLUMNS]

Row = dict[str, Any]


def build_features(
    parsed_paths: Sequence[str | Path],
    provenance_paths: Sequence[str | Path],
    out_features: str | Path,
    out_provenance: str | Path,
    *,
    eval_sizes: str | Path,
) -> None:
    """Make the features table of all models.

    Args:
        parsed_paths, provenance_paths: all buckets of ``parsing.parse_bucket``.
        out_features: one row a model (``schemas.FEATURE_COLUMNS``), sorted by id.
        out_provenance: one row a value, with those recovered here added.
        eval_sizes: CSV of well-known evaluation sets (``identity.read_eval_sizes``).

    Raises:
        UserError: when a table is missing, holds a model twice, or breaks the schema.
    """
    import pandas as pd

    parsed = _concat(parsed_paths, "parsed models").sort_values("id", kind="stable")
    provenance = _concat(provenance_paths, "provenance")
    features, recovered = features_of(parsed, read_eval_sizes(eval_sizes))
    validate_features(features, str(out_features))
    provenance = pd.concat([provenance, recovered], ignore_index=True)
    write_table(features, out_features, FEATURE_COLUMNS, sort_by=["id"])
    write_table(provenance, out_provenance, PROVENANCE_COLUMNS, sort_by=["id", "field"])


def features_of(parsed: pd.DataFrame, sizes: EvalSizes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of parsed models.

    Args:
        parsed: rows of ``parsing.PARSED_COLUMNS``, in any order.
        sizes: known evaluation sets.

    Returns:
        The features (``schemas.FEATURE_COLUMNS``, sorted by id), and provenance rows of the values
        that were recovered rather than stated (training-set size, evaluation-set size, a base
        model named by config or tags).
    """
    impossible = _impossible(parsed)
    records = _plain_rows(parsed.sort_values("id", kind="stable"))
    rows: list[Row] = []
    recovered: list[Row] = []
    for record in records:
        row, sources = _features_row(record, sizes)
        for name in impossible.get(row["id"], ()):
            row["flags"].add(f"impossible_value:{name}")
        rows.append(row)
        recovered += [source | {"id": row["id"]} for source in sources]
    _add_chains(rows)
    _add_duplicates(rows)
    _add_families(rows)
    for row in rows:
        row["flags"] = SEPARATOR.join(sorted(row["flags"])) or None
    return _typed(rows, FEATURE_COLUMNS), _typed(recovered, PROVENANCE_COLUMNS)


# --- one model ----------------------------------------------------------------------------------


def _features_row(record: Row, sizes: EvalSizes) -> tuple[Row, list[Row]]:
    row: Row = _EMPTY | record
    flags = set(_split(record["flags"]))
    sources: list[Row] = []
    row["owner"] = (record["owner"] or EARLY_OWNER).lower()
    row["base_model"] = _base_model(record, flags, sources)
    row["dataset"], named = _datasets(record, flags)
    row["datasets"] = SEPARATOR.join(named) or None
    _batches(row, flags)
    _train_size(row, record, sources)
    _n_eval(row, record, sizes, flags, sources)
    row["task"] = _task(row, record, named, flags)
    row["exclude_reason"] = _exclude_reason(row, record["status"])
    row["flags"] = flags
    return row, sources


def _base_model(record: Row, flags: set[str], sources: list[Row]) -> str | None:
    stated = record["base_model"]
    if stated:
        name = canonical_model(stated)
        if name is not None:
            return name
        flags.add("base_model_not_an_id")
    tagged = [
        tag.split(":", 1)[1] for tag in _split(record["tags"]) if tag.startswith("base_model:")
    ]
    for kind, options in (("config", [record["config_base_model"]]), ("tags", tagged)):
        for option in options:
            name = canonical_model((option or "").rpartition(":")[2])
            if name is not None:
                sources.append(_source("base_model", name, kind, 0.9))
                return name
    return None


def _datasets(record: Row, flags: set[str]) -> tuple[str | None, list[str]]:
    """The data set of the headline evaluation and all that the card names."""
    stated = _split(record["datasets"])
    config = record["dataset_config"]
    headline = None
    for name in (record["dataset_type"], record["dataset_name"]):
        headline = headline or canonical_dataset(name, config)
    # Cards list a suite and its member as two names: glue, sst2.
    named = [canonical_dataset(name) for name in stated]
    if len(stated) == 2 and headline is None:
        joined = canonical_dataset(stated[0], stated[1])
        if joined is not None and "/" in joined and joined != named[0]:
            headline, named = joined, [joined]
    distinct = list(dict.fromkeys(name for name in named if name))
    if headline is None and len(distinct) == 1:
        headline = distinct[0]
    if headline is not None and "/" not in headline:
        member = suite_member_in_name(headline, name_of(record["id"]))
        if member is not None:
            headline = f"{headline}/{member}"
            flags.add("dataset_member_from_name")
    if headline is not None:
        suite = headline.partition("/")[0]
        distinct = [headline if name == suite else name for name in distinct] or [headline]
    return headline, list(dict.fromkeys(distinct))


def _batches(row: Row, flags: set[str]) -> None:
    """Fill in the total batch where everything it is made of is known.

    The Trainer leaves out accumulation and devices when they are 1.
    """
    batch = row["train_batch_size"]
    complete = row["card_kind"] == "trainer" or (
        row["gradient_accumulation_steps"] is not None and row["num_devices"] is not None
    )
    if batch is None or not complete:
        return
    total = batch * (row["gradient_accumulation_steps"] or 1) * (row["num_devices"] or 1)
    if row["total_train_batch_size"] is None:
        row["total_train_batch_size"] = total
    elif row["total_train_batch_size"] != total:
        flags.add("total_batch_inconsistent")


def _train_size(row: Row, record: Row, sources: list[Row]) -> None:
    """Recover the training examples: ``S`` steps an epoch of ``B`` examples, the last may be short.

    Dropped or short last batches and accumulation leave an interval; its midpoint is taken when it
    is narrow enough.
    """
    low, high, total = record["steps_low"], record["steps_high"], row["total_train_batch_size"]
    if row["card_kind"] != "trainer" or low is None or high is None or total is None:
        return
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if first > last or first < 1:
        return
    spare = 1 if (row["gradient_accumulation_steps"] or 1) > 1 else 0
    fewest, most = (first - 1) * total + 1, (last + spare) * total
    middle = (fewest + most) / 2
    width = (most - fewest) / middle
    if width > SIZE_TOLERANCE:
        return
    row["train_size"] = middle
    place = {key: record[f"table_{key}"] for key in ("line", "start", "end")}
    value = f"{fewest:.0f}..{most:.0f}"
    sources.append(_source("train_size", value, "results_table", 1 - width, **place))


def _n_eval(row: Row, record: Row, sizes: EvalSizes, flags: set[str], sources: list[Row]) -> None:
    examples, stated = sizes.lookup(row["dataset"], record["dataset_split"])
    if examples is None:
        return
    accuracy = row["accuracy"]
    if accuracy is not None and 0 <= accuracy <= 1 and not possible_with(accuracy, examples):
        flags.add("n_eval_unlikely")
        return
    row["n_eval"] = float(examples)
    sources.append(_source("n_eval", str(examples), "eval_sizes", 0.9 if stated else 0.6))


def _task(row: Row, record: Row, named: Sequence[str], flags: set[str]) -> str | None:
    task = find_task(
        Evidence(
            architectures=_split(record["architectures"]),
            stated=_split(record["task"]),
            pipeline_tag=record["pipeline_tag"],
            tags=_split(record["tags"]),
            metric_names=_split(record["metric_names"]),
            metrics=[name for name in METRICS if row[name] is not None],
            datasets=[*filter(None, [row["dataset"]]), *named],
            model_name=name_of(row["id"]),
        )
    )
    if task.conflicts:
        flags.add("task_conflict")
    if task.name is None:
        flags.add("task_unknown")
    elif task.name != TEXT_CLASSIFICATION:
        flags.add("wrong_task")
    elif task.source == "metrics_assumed":
        flags.add("task_assumed")
    return task.name


def _impossible(parsed: pd.DataFrame) -> dict[str, list[str]]:
    """Model id -> its columns with numbers outside the schema's bounds."""
    found: dict[str, list[str]] = {}
    for name in _STATED:
        column = FEATURES[name]
        if column.dtype != "str":
            values = parsed[name].astype("float64")
            for model_id in parsed["id"][out_of_bounds(values, column)]:
                found.setdefault(model_id, []).append(name)
    return found


def _exclude_reason(row: Row, status: str) -> str | None:
    if status != "ok":
        return "unreadable_card" if status.startswith("failed") else status.replace(" ", "_")
    if all(row[name] is None for name in _SETTINGS):
        return "no_hyperparameters"
    if all(row[name] is None for name in METRICS):
        return "no_metrics"
    return None


def _source(field: str, value: str, kind: str, confidence: float, **place: int | None) -> Row:
    return _NO_SOURCE | {
        "field": field,
        "value": value,
        "kind": kind,
        "confidence": round(confidence, 4),
        "flag": "recovered",
        **place,
    }


# --- relations between models -------------------------------------------------------------------


def _add_chains(rows: Sequence[Row]) -> None:
    """Follow base models through the models at hand: ``base_chain``, nearest first."""
    parents = {(canonical_model(row["id"]) or row["id"]).lower(): row["base_model"] for row in rows}
    for row in rows:
        chain: list[str] = []
        seen = {row["id"].lower()}
        parent = row["base_model"]
        while parent is not None and parent.lower() not in seen and len(chain) < _CHAIN_LIMIT:
            chain.append(parent)
            seen.add(parent.lower())
            parent = parents.get(parent.lower())
        row["base_chain"] = SEPARATOR.join(chain) or None


def _add_duplicates(rows: Sequence[Row]) -> None:
    """Point every model that repeats all of another's numbers to the first of them.

    First is the one modified earliest (undated ones last), then by id. Only rows with enough digits
    of results can repeat: that two models print accuracy 0.9 says nothing.
    """
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        if _result_digits(row) >= RESULT_DIGITS and row["exclude_reason"] is None:
            numbers = tuple(row[name] for name in (*_NUMERIC, *METRICS) if name != "n_eval")
            key = (_fold(row["base_model"]), row["optimizer"], row["lr_scheduler_type"], numbers)
            groups.setdefault(key, []).append(row)
    for group in groups.values():
        group.sort(key=_first_published)
        for row in group[1:]:
            row["duplicate_of"] = group[0]["id"]
            row["flags"].add("duplicate")


def _result_digits(row: Row) -> int:
    """Significant digits of all results of a row; those of 0 and 1 count nothing."""
    total = 0
    for name in METRICS:
        value = row[name]
        if value is not None and value not in (0.0, 1.0):
            total += len(f"{abs(value):.6g}".replace(".", "").strip("0"))
    return total


def _first_published(row: Row) -> tuple[str, str]:
    return row["last_modified"] or "~", row["id"]


def _add_families(rows: Sequence[Row]) -> None:
    """Group repeats, re-uploads and sweeps.

    One family: models with the same numbers, whoever published them; and models of one owner with
    the same base and data set that have the same settings, or names that differ in numbers alone.
    """
    groups = _Groups()
    for row in rows:
        own = row["id"]
        groups.join(own, row["duplicate_of"] or own)
        if row["base_model"] is None or row["exclude_reason"] is not None:
            continue
        home = (row["owner"], _fold(row["base_model"]), row["dataset"])
        stem = _NUMBER_IN_NAME.sub("#", name_of(own).lower())
        groups.join(own, ("stem", *home, re.sub(r"[#._-]+", "-", stem)))
        groups.join(own, ("settings", *home, *(row[name] for name in _SETTINGS)))
    members: dict[Hashable, list[Row]] = {}
    for row in rows:
        members.setdefault(groups.find(row["id"]), []).append(row)
    for family in members.values():
        first = min(family, key=_first_published)["id"]
        for row in family:
            row["family"] = first


class _Groups:
    """Disjoint sets with path halving (Tarjan & van Leeuwen 1984)."""

    def __init__(self) -> None:
        self.parent: dict[Hashable, Hashable] = {}

    def find(self, item: Hashable) -> Hashable:
        parent = self.parent
        parent.setdefault(item, item)
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: Hashable, other: Hashable) -> None:
        self.parent[self.find(one)] = self.find(other)


# --- frames -------------------------------------------------------------------------------------


def _concat(paths: Sequence[str | Path], what: str) -> pd.DataFrame:
    import pandas as pd

    if not paths:
        raise UserError(f"no table of {what}")
    return pd.concat([read_table(path) for path in sorted(map(str, paths))], ignore_index=True)


def _plain_rows(frame: pd.DataFrame) -> Iterable[Row]:
    """Rows as plain Python values, missing ones as ``None``."""
    import pyarrow as pa

    columns = pa.Table.from_pandas(frame, preserve_index=False).to_pydict()
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _typed(rows: Sequence[Row], columns: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    cells = list(zip(*map(itemgetter(*columns), rows), strict=True)) or [()] * len(columns)
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=dtype)
            for (name, dtype), values in zip(columns.items(), cells, strict=True)
        }
    )


@lru_cache(maxsize=65536)
def _split(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(SEPARATOR)) if text else ()


def _fold(text: str | None) -> str | None:
    return None if text is None else text.casefold()
