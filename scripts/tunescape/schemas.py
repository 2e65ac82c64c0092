"""Schemas of the records and tables that stages hand to each other.

``python -m tunescape.schemas`` writes them to schemas/ as JSON; a test fails when they drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError, show
from tunescape.tables import write_json

if TYPE_CHECKING:
    import pandas as pd

RAW_SCHEMA_VERSION = 1
FEATURES_SCHEMA_VERSION = 1
SEPARATOR = "|"
"""Joins several names in one cell (``datasets``, ``flags``)."""

NINE_HYPERPARAMETERS: tuple[str, ...] = (
    "learning_rate",
    "train_batch_size",
    "eval_batch_size",
    "seed",
    "optimizer",
    "lr_scheduler_type",
    "warmup",
    "num_epochs",
    "gradient_accumulation_steps",
)
"""The hyperparameters of the study's coverage table; warm-up is stated in steps or as a ratio."""

METRICS: tuple[str, ...] = (
    "loss",
    "accuracy",
    "f1",
    "precision",
    "recall",
    "matthews_correlation",
    "roc_auc",
    "pearson",
    "spearmanr",
)

_NULL = {"type": "null"}
_TEXT = {"type": "string"}
_WHOLE = {"type": "integer", "minimum": 0}
_OBJECT = {"type": "object"}
_TEXTS = {"type": "array", "items": _TEXT}

RAW_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Raw record of one published model",
    "description": "What a source knows of a model: Hub metadata and either the card's text or, "
    "in a snapshot, the facts read from it.",
    "type": "object",
    "additionalProperties": False,
    "required": [
        "schema",
        "id",
        "revision",
        "last_modified",
        "downloads",
        "likes",
        "tags",
        "pipeline_tag",
        "library",
        "config",
        "card_text",
        "facts",
        "source",
        "fetched_at",
        "status",
    ],
    "properties": {
        "schema": {"const": RAW_SCHEMA_VERSION},
        "id": {**_TEXT, "minLength": 1, "description": "owner/name, or an early id with no owner"},
        "revision": {"anyOf": [_TEXT, _NULL], "description": "commit hash on the Hub"},
        "last_modified": {"anyOf": [_TEXT, _NULL], "description": "ISO 8601, UTC"},
        "downloads": {"anyOf": [_WHOLE, _NULL]},
        "likes": {"anyOf": [_WHOLE, _NULL]},
        "tags": _TEXTS,
        "pipeline_tag": {"anyOf": [_TEXT, _NULL]},
        "library": {"anyOf": [_TEXT, _NULL]},
        "config": {
            **_OBJECT,
            "description": "architectures, model_type, num_labels, base_model: where known",
        },
        "card_text": {"anyOf": [_TEXT, _NULL]},
        "facts": {
            "anyOf": [_OBJECT, _NULL],
            "description": "tunescape.cards.CardFacts as JSON, in place of the text",
        },
        "source": {"enum": ["cards", "snapshot", "hub"]},
        "fetched_at": {"anyOf": [_TEXT, _NULL], "description": "ISO 8601; null offline"},
        "status": {**_TEXT, "minLength": 1, "description": "ok, no card, or why there is none"},
        "hub": {
            **_OBJECT,
            "description": "what a live harvest knows besides: gated, private, disabled, siblings, "
            "parameters, relation, found_by, renamed_to, notes, evaluations; absent elsewhere",
        },
    },
}


@dataclass(frozen=True)
class Column:
    """One column of a table: pandas dtype, meaning with unit, and the values that can be."""

    dtype: str
    about: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None


def _number(about: str, **bounds: float) -> Column:
    return Column("float64", about, **bounds)


def _text(about: str) -> Column:
    return Column("str", about)


def _whole(about: str) -> Column:
    return Column("Int64", about, minimum=0)


_FRACTION = {"minimum": 0.0, "maximum": 1.0}
_CORRELATION = {"minimum": -1.0, "maximum": 1.0}

IDENTITY: dict[str, Column] = {
    "id": _text("model id (owner/name) or run id; unique"),
    "owner": _text("account that published it, lower case; missing for early ids"),
    "revision": _text("commit hash, or the run's spec digest"),
    "last_modified": _text("ISO 8601, UTC"),
    "downloads": _whole("downloads of the last 30 days when listed"),
    "likes": _whole("likes when listed"),
    "base_model": _text("model it was fine-tuned from; the Hub's early names without their owner"),
    "base_chain": _text("base_model and its own bases as far as known, nearest first"),
    "dataset": _text("data set of the headline evaluation, one spelling each: glue/sst2, imdb"),
    "datasets": _text("all data sets that the card names, same spelling"),
    "task": _text("task found from config, tags, model-index, metrics; missing when unknown"),
    "n_labels": _whole("number of classes"),
    "model_type": _text("architecture family of config.json: distilbert, bert, ..."),
    "library": _text("library named on the Hub"),
    "card_kind": _text("how the card was made: trainer, keras, autotrain, ..."),
    "family": _text("id of the first of a group of near-identical siblings (repeats, sweeps)"),
    "duplicate_of": _text("id of the model whose every number this one repeats"),
}

HYPERPARAMETERS: dict[str, Column] = {
    "learning_rate": _number("peak learning rate", above=0, maximum=1),
    "train_batch_size": _number("examples a step and device", minimum=1, maximum=65536),
    "eval_batch_size": _number("examples a step in evaluation", minimum=1, maximum=65536),
    "seed": _number("random seed", minimum=0),
    "optimizer": _text("adam, adamw, sgd, ..."),
    "lr_scheduler_type": _text("linear, cosine, constant, ..."),
    "warmup_steps": _number("steps of warm-up", minimum=0),
    "warmup_ratio": _number("warm-up as a share of all steps", **_FRACTION),
    "num_epochs": _number("passes over the training set", above=0, maximum=10000),
    "gradient_accumulation_steps": _number("batches a step", minimum=1, maximum=65536),
    "weight_decay": _number("decoupled weight decay", **_FRACTION),
    "adam_epsilon": _number("Adam's epsilon", above=0, maximum=1),
    "max_grad_norm": _number("norm at which gradients are clipped", minimum=0),
    "dropout": _number("dropout probability", **_FRACTION),
    "max_length": _number("tokens at which texts are cut", minimum=1),
    "train_size": _number("training examples: stated, or the midpoint that steps an epoch imply"),
    "n_eval": _number("examples of the evaluation set, for well-known sets", minimum=1),
    "total_train_batch_size": _number("examples an optimiser step, all devices", minimum=1),
    "mixed_precision": _text("native AMP, fp16, bf16, ..."),
    "distributed_type": _text("multi-GPU, tpu, ..."),
    "num_devices": _number("devices", minimum=1),
    "lora_r": _number("LoRA rank", minimum=1),
    "lora_alpha": _number("LoRA alpha", above=0),
    "lora_dropout": _number("LoRA dropout probability", **_FRACTION),
}

METRIC_COLUMNS: dict[str, Column] = {
    "loss": _number("evaluation loss (nats)", minimum=0),
    "accuracy": _number("fraction", **_FRACTION),
    "f1": _number("fraction", **_FRACTION),
    "precision": _number("fraction", **_FRACTION),
    "recall": _number("fraction", **_FRACTION),
    "matthews_correlation": _number("coefficient", **_CORRELATION),
    "roc_auc": _number("fraction", **_FRACTION),
    "pearson": _number("coefficient", **_CORRELATION),
    "spearmanr": _number("coefficient", **_CORRELATION),
}

STATUS: dict[str, Column] = {
    "flags": _text("what to know before use: impossible_value:f1, ambiguous_seed, wrong_task, ..."),
    "exclude_reason": _text("why no population can use the row; missing when one may"),
}

FEATURES: dict[str, Column] = {**IDENTITY, **HYPERPARAMETERS, **METRIC_COLUMNS, **STATUS}
"""The one table that regressions read, from cards and from our own runs alike."""

FEATURE_COLUMNS: dict[str, str] = {name: column.dtype for name, column in FEATURES.items()}
"""Column -> pandas dtype of :data:`FEATURES`, in order, as ``tables.write_table`` takes it."""

PROVENANCE_COLUMNS: dict[str, str] = {
    "id": "str",
    "field": "str",
    "value": "str",
    "kind": "str",
    "line": "Int64",
    "start": "Int64",
    "end": "Int64",
    "confidence": "float64",
    "flag": "str",
}
"""Where in its card each value of a model was found, one row a value."""

FLOW_COLUMNS: dict[str, str] = {
    "population": "str",
    "step": "str",
    "reason": "str",
    "before": "int64",
    "after": "int64",
    "removed": "int64",
}
"""How many models each reason removed; ``before - removed == after`` in every row."""

COVERAGE_COLUMNS: dict[str, str] = {
    "population": "str",
    "hyperparameter": "str",
    "metric": "str",
    "rows": "int64",
    "settings": "int64",
    "owners": "int64",
    "datasets": "int64",
}
"""How many models of a population state a hyperparameter and a metric together."""


def validate_raw(record: object, where: str) -> None:
    """Check one raw record against :data:`RAW_SCHEMA`.

    Args:
        record: parsed JSON.
        where: ``file`` or ``file:line`` for the message.

    Raises:
        UserError: with the place and the first key that does not fit.
    """
    if _plainly_valid(record):
        return
    if not isinstance(record, dict):
        raise UserError(f"holds {show(record)}", where=where, expected="a raw record (an object)")
    for key in RAW_SCHEMA["required"]:
        if key not in record:
            raise UserError("missing", where=f"{where}: {key}", expected=_wanted(key))
    for key, value in record.items():
        rule = RAW_SCHEMA["properties"].get(key)
        if rule is None:
            known = ", ".join(RAW_SCHEMA["properties"])
            raise UserError("unknown key", where=f"{where}: {key}", expected=f"one of {known}")
        if not _fits(value, rule):
            raise UserError(
                f"holds {show(value)}",
                where=f"{where}: {key}",
                expected=_wanted(key),
                fix="delete the file and run again, or make the snapshot anew",
            )


_WHOLE_OR_NONE = (int, type(None))
_TEXT_OR_NONE = (str, type(None))
_PLAIN: dict[str, tuple[type, ...]] = {
    "schema": (int,),
    "id": (str,),
    "revision": _TEXT_OR_NONE,
    "last_modified": _TEXT_OR_NONE,
    "downloads": _WHOLE_OR_NONE,
    "likes": _WHOLE_OR_NONE,
    "tags": (list,),
    "pipeline_tag": _TEXT_OR_NONE,
    "library": _TEXT_OR_NONE,
    "config": (dict,),
    "card_text": _TEXT_OR_NONE,
    "facts": (dict, type(None)),
    "source": (str,),
    "fetched_at": _TEXT_OR_NONE,
    "status": (str,),
}
_PLAIN_LIVE = {**_PLAIN, "hub": (dict,)}


def _plainly_valid(record: Any) -> bool:
    """A quick yes for what is right; tens of thousands of records are checked twice a run."""
    if type(record) is not dict:
        return False
    plain = _PLAIN_LIVE if "hub" in record else _PLAIN
    return (
        record.keys() == plain.keys()
        and all(type(record[key]) in types for key, types in plain.items())
        and record["schema"] == RAW_SCHEMA_VERSION
        and record["id"] != ""
        and record["status"] != ""
        and record["source"] in RAW_SCHEMA["properties"]["source"]["enum"]
        and (record["downloads"] or 0) >= 0
        and (record["likes"] or 0) >= 0
        and all(type(tag) is str for tag in record["tags"])
    )


_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "array": list,
    "object": dict,
    "null": type(None),
}


def _fits(value: Any, rule: Mapping[str, Any]) -> bool:
    """Whether ``value`` satisfies the part of JSON Schema that :data:`RAW_SCHEMA` uses."""
    if "anyOf" in rule:
        return any(_fits(value, option) for option in rule["anyOf"])
    if "const" in rule:
        return bool(value == rule["const"]) and not isinstance(value, bool)
    if "enum" in rule:
        return value in rule["enum"]
    if not isinstance(value, _TYPES[rule["type"]]) or isinstance(value, bool):
        return False
    if isinstance(value, list):
        return all(_fits(item, rule["items"]) for item in value)
    if isinstance(value, str):
        return len(value) >= int(rule.get("minLength", 0))
    return not isinstance(value, int) or value >= int(rule["minimum"])


def _wanted(key: str) -> str:
    rule = RAW_SCHEMA["properties"][key]
    if "const" in rule:
        return f"{rule['const']}"
    if "enum" in rule:
        return " or ".join(rule["enum"])
    return " or ".join(option["type"] for option in rule.get("anyOf", [rule]))


def validate_features(frame: pd.DataFrame, where: str) -> None:
    """Check rows of the features table beyond their types: ids, and that flags hold.

    A number outside its column's bounds must carry the flag ``impossible_value:<column>``.

    Raises:
        UserError: naming the first model and column that do not fit.
    """
    if frame["id"].isna().any():
        raise UserError("a row has no id", where=where)
    repeated = frame["id"][frame["id"].duplicated()]
    if len(repeated):
        raise UserError(f"model '{repeated.iloc[0]}' has several rows", where=where)
    for name, column in FEATURES.items():
        if column.dtype == "str":
            continue
        outside = frame[out_of_bounds(frame[name].astype("float64"), column)]
        for own, value, flags in zip(outside["id"], outside[name], outside["flags"], strict=True):
            if f"impossible_value:{name}" not in str(flags).split(SEPARATOR):
                raise UserError(
                    f"{name} of '{own}' is {value} and not flagged as impossible", where=where
                )


def out_of_bounds(values: pd.Series, column: Column) -> pd.Series:
    """Which numbers a column's bounds rule out (missing ones are within)."""
    outside = values.notna() & False
    if column.minimum is not None:
        outside |= values < column.minimum
    if column.maximum is not None:
        outside |= values > column.maximum
    if column.above is not None:
        outside |= values <= column.above
    return outside


def features_schema() -> dict[str, Any]:
    """The features table as plain data: columns in order with type, meaning and bounds."""
    columns = []
    for name, column in FEATURES.items():
        entry: dict[str, Any] = {"name": name, "type": column.dtype, "about": column.about}
        for bound in ("minimum", "maximum", "above"):
            if (value := getattr(column, bound)) is not None:
                entry[bound] = value
        columns.append(entry)
    return {
        "title": "One row a model or run",
        "version": FEATURES_SCHEMA_VERSION,
        "separator": SEPARATOR,
        "missing": "null",
        "columns": columns,
        "provenance": PROVENANCE_COLUMNS,
        "sample_flow": FLOW_COLUMNS,
        "coverage": COVERAGE_COLUMNS,
    }


def main() -> None:
    """Write schemas/raw.schema.json and schemas/features.json anew."""
    folder = Path("schemas")
    write_json(RAW_SCHEMA, folder / "raw.schema.json")
    write_json(features_schema(), folder / "features.json")


if __name__ == "__main__":
    main()
