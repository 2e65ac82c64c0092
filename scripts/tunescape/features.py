"""Parsed cards to the features table: one identity each, repaired where stated, flagged where not.

Nothing is dropped here. A number that cannot be stays in its column with the flag
``impossible_value:<column>``; which models a study uses is decided in ``populations``.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise
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
from tunescape.ranges import Ranges, arrow_table, read_rows, write_ranges, write_rows
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
from tunescape.tables import read_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

EARLY_OWNER = "huggingface"
"""Owner of the models that were published before the Hub had accounts."""

SIZE_TOLERANCE = 0.25
"""Widest relative interval of a training-set size whose midpoint is taken."""

RESULT_DIGITS = 6
"""Significant digits of results that two models must share to count as the same run."""

GROUP_MODELS = 4096
"""Rows of small buckets that are read together."""

RANGE_MODELS = 32768
"""Models whose rows are put in order at one time; a row group of the features."""

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
    """Make the features table of all models, in memory that grows little with their number.

    Buckets are read one by one; what relates models of different buckets (repeats, families, base
    models of base models) goes by hashes. The tables are put in order range by range.

    Args:
        parsed_paths, provenance_paths: all buckets of ``parsing.parse_bucket``.
        out_features: one row a model (``schemas.FEATURE_COLUMNS``), sorted by id.
        out_provenance: one row a value, with those recovered here added.
        eval_sizes: CSV of well-known evaluation sets (``identity.read_eval_sizes``).

    Raises:
        UserError: when a table is missing, holds a model twice, or breaks the schema.
    """
    if not parsed_paths:
        raise UserError("no table of parsed models")
    sizes, relations = read_eval_sizes(eval_sizes), _Relations()
    target = Path(out_features)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".features.") as name:
        folder = Path(name)
        parts = []
        for number, parsed in enumerate(_together(parsed_paths, GROUP_MODELS)):
            rows, recovered = _own_rows(parsed, sizes)
            relations.add(rows)
            parts.append((folder / f"{number}.rows", folder / f"{number}.recovered"))
            write_rows(arrow_table(_typed_rows(rows, FEATURE_COLUMNS)), parts[-1][0])
            found = arrow_table(_typed_rows(recovered, PROVENANCE_COLUMNS))
            write_rows(found, parts[-1][1])
        relations.settle(str(target))
        ranges = Ranges(relations.ids, relations.order, RANGE_MODELS)
        with ranges.writers(folder, "features") as put:
            for start, (part, _) in zip(relations.starts, parts, strict=True):
                put(relations.fill(read_rows(part), start))
        write_ranges(
            ranges.files(folder, "features"),
            target,
            FEATURE_COLUMNS,
            ["id"],
            check=partial(validate_features, where=str(target)),
        )
        with ranges.writers(folder, "provenance") as put:
            for sources in _together(provenance_paths, 16 * GROUP_MODELS):
                put(arrow_table(sources))
            for _, part in parts:
                put(read_rows(part))
        files = ranges.files(folder, "provenance")
        write_ranges(files, out_provenance, PROVENANCE_COLUMNS, ["id", "field"])


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
    rows, recovered = _own_rows(parsed, sizes)
    relations = _Relations()
    relations.add(rows)
    relations.settle("features")
    features = relations.fill(arrow_table(_typed_rows(rows, FEATURE_COLUMNS)), 0).to_pandas()
    return features, _typed_rows(recovered, PROVENANCE_COLUMNS)


def _own_rows(parsed: pd.DataFrame, sizes: EvalSizes) -> tuple[list[Row], list[Row]]:
    """Rows of features without what depends on other models, and recovered values; by id."""
    impossible = _impossible(parsed)
    rows: list[Row] = []
    recovered: list[Row] = []
    for record in _plain_rows(parsed.sort_values("id", kind="stable")):
        row, sources = _features_row(record, sizes)
        for name in impossible.get(row["id"], ()):
            row["flags"].add(f"impossible_value:{name}")
        row["flags"] = SEPARATOR.join(sorted(row["flags"])) or None
        rows.append(row)
        recovered += [source | {"id": row["id"]} for source in sources]
    return rows, recovered


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
            outside = out_of_bounds(values, column)
            for model_id in parsed["id"][outside] if outside.any() else ():
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


class _Relations:
    """What relates models to each other, from a few numbers a model.

    ``base_chain`` follows base models through the models at hand, nearest first. ``duplicate_of``
    points every model that repeats all of another's numbers to the first of them; only rows with
    enough digits of results can repeat: that two models print accuracy 0.9 says nothing. One family
    are models with the same numbers, whoever published them, and models of one owner with the same
    base and data set that have the same settings, or names that differ in numbers alone.

    First is the one modified earliest (undated ones last), then by id. Keys are 64-bit hashes: of a
    million models, two unlike ones share one with a probability of 3e-8.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.starts: list[int] = []
        self.order: list[int] = []
        self._dates: list[str] = []
        self._bases: list[str | None] = []
        self._keys = {name: array("Q") for name in ("numbers", "stem", "settings")}
        self._parents: dict[str, str | None] = {}
        self._duplicate_of = array("q")
        self._family = array("q")

    def add(self, rows: Sequence[Row]) -> None:
        """Take note of the rows of one bucket."""
        self.starts.append(len(self.ids))
        for row in rows:
            self.ids.append(row["id"])
            self._dates.append(row["last_modified"] or "~")
            base = row["base_model"]
            self._bases.append(None if base is None else sys.intern(base))
            usable = row["exclude_reason"] is None
            repeats = usable and _result_digits(row) >= RESULT_DIGITS
            self._keys["numbers"].append(_key(_numbers(row)) if repeats else 0)
            kin = usable and base is not None
            home = (row["owner"], _fold(base), row["dataset"])
            stem = _NUMBER_IN_NAME.sub("#", name_of(row["id"]).lower())
            stem = re.sub(r"[#._-]+", "-", stem)
            self._keys["stem"].append(_key((*home, stem)) if kin else 0)
            settings = [row[name] for name in _SETTINGS]
            self._keys["settings"].append(_key((*home, *settings)) if kin else 0)

    def settle(self, where: str) -> None:
        """Relate all models that were added.

        Raises:
            UserError: when a model was added twice.
        """
        ids = self.ids
        self.order = sorted(range(len(ids)), key=ids.__getitem__)
        for one, other in pairwise(self.order):
            if ids[one] == ids[other]:
                raise UserError(f"model '{ids[one]}' has several rows", where=where)
        wanted = {base.lower() for base in self._bases if base is not None}
        for place in self.order:
            name = (canonical_model(ids[place]) or ids[place]).lower()
            if name in wanted:
                self._parents[name] = self._bases[place]
        self._duplicate_of = array("q", [-1]) * len(ids)
        groups = _Groups(len(ids))
        for members in _runs(self._keys["numbers"]):
            first = min(members, key=self._published)
            for place in members:
                if place != first:
                    self._duplicate_of[place] = first
                    groups.join(place, first)
        for name in ("stem", "settings"):
            for members in _runs(self._keys[name]):
                for place in members[1:]:
                    groups.join(place, members[0])
        firsts: dict[int, int] = {}
        for place in range(len(ids)):
            root = groups.find(place)
            known = firsts.setdefault(root, place)
            if self._published(place) < self._published(known):
                firsts[root] = place
        self._family = array("q", (firsts[groups.find(place)] for place in range(len(ids))))

    def fill(self, table: pa.Table, start: int) -> pa.Table:
        """The rows of one bucket with their relations.

        Args:
            table: as they were added.
            start: how many rows were added before (:attr:`starts`).
        """
        import pyarrow as pa

        places = range(start, start + len(table))
        repeats = [self._duplicate_of[place] for place in places]
        flags = [
            own if first < 0 else SEPARATOR.join(sorted({*_split(own), "duplicate"}))
            for own, first in zip(table["flags"].to_pylist(), repeats, strict=True)
        ]
        filled = {
            "base_chain": [self._chain(place) for place in places],
            "duplicate_of": [self.ids[first] if first >= 0 else None for first in repeats],
            "family": [self.ids[self._family[place]] for place in places],
            "flags": flags,
        }
        for name, values in filled.items():
            number = table.schema.get_field_index(name)
            field = table.schema.field(number)
            table = table.set_column(number, field, pa.array(values, type=field.type))
        return table

    def _published(self, place: int) -> tuple[str, str]:
        return self._dates[place], self.ids[place]

    def _chain(self, place: int) -> str | None:
        chain: list[str] = []
        seen = {self.ids[place].lower()}
        parent = self._bases[place]
        while parent is not None and parent.lower() not in seen and len(chain) < _CHAIN_LIMIT:
            chain.append(parent)
            seen.add(parent.lower())
            parent = self._parents.get(parent.lower())
        return SEPARATOR.join(chain) or None


def _numbers(row: Row) -> tuple[Any, ...]:
    """All that a repeat repeats."""
    words = (_fold(row["base_model"]), row["optimizer"], row["lr_scheduler_type"])
    return (*words, *(row[name] for name in (*_NUMERIC, *METRICS) if name != "n_eval"))


def _key(parts: tuple[Any, ...]) -> int:
    """A hash that is never 0, which stands for no key."""
    data = repr(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") or 1


def _runs(keys: array[int]) -> Iterator[list[int]]:
    """Places of each key that several places share."""
    import numpy as np

    values = np.frombuffer(keys, dtype=np.uint64)
    order = np.argsort(values, kind="stable")
    breaks = np.flatnonzero(np.diff(values[order])) + 1
    for members in np.split(order, breaks):
        if len(members) > 1 and values[members[0]]:
            yield members.tolist()


def _result_digits(row: Row) -> int:
    """Significant digits of all results of a row; those of 0 and 1 count nothing."""
    total = 0
    for name in METRICS:
        value = row[name]
        if value is not None and value not in (0.0, 1.0):
            total += len(f"{abs(value):.6g}".replace(".", "").strip("0"))
    return total


class _Groups:
    """Disjoint sets of whole numbers with path halving (Tarjan & van Leeuwen 1984)."""

    def __init__(self, size: int) -> None:
        self.parent = array("q", range(size))

    def find(self, item: int) -> int:
        parent = self.parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        self.parent[self.find(one)] = self.find(other)


# --- frames -------------------------------------------------------------------------------------


def _together(paths: Sequence[str | Path], rows: int) -> Iterator[pd.DataFrame]:
    """Tables in order of path, small ones joined until they have so many rows."""
    import pandas as pd

    waiting: list[pd.DataFrame] = []
    for path in sorted(map(str, paths)):
        waiting.append(read_table(path))
        if sum(map(len, waiting)) >= rows:
            yield pd.concat(waiting, ignore_index=True)
            waiting.clear()
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


def _plain_rows(frame: pd.DataFrame) -> Iterable[Row]:
    """Rows as plain Python values, missing ones as ``None``."""
    import pyarrow as pa

    columns = pa.Table.from_pandas(frame, preserve_index=False).to_pydict()
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _typed_rows(rows: Sequence[Row], columns: Mapping[str, str]) -> pd.DataFrame:
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
