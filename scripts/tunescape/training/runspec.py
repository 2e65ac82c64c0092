"""One run is one canonical specification, and its id is a short hash of that specification.

A specification is a plain dict of builtins (it can be a Snakemake parameter and JSON):

``model``
    ``source`` (local folder, Hub id or ``package:NAME``), ``revision`` (Hub commit or tag),
    ``weights_sha256`` (of the safetensors file; filled in by :func:`complete`), ``files_digest``
    (of a local folder's configuration and tokenizer).
``task``
    ``name``; ``dataset``, ``subset``, ``revision`` (Hub) or ``files`` (split -> list of local
    files); ``text`` (one or two column names), ``label``; ``train_split``, ``validation_split``
    or ``holdout`` (fraction of the training rows, drawn with seed 0 whatever the run's seed);
    ``validation_size`` (so many of the evaluation rows, drawn likewise; all unless stated);
    ``data_digest`` (of the local files' bytes, or of the rows of a Hub data set).
hyperparameters
    flat, under the names of ``transformers.TrainingArguments`` where it has them: see
    :data:`HYPERPARAMETERS`.

The id leaves out what cannot change a metric: the task's name, where the files and weights lie
once their digests are known, and :data:`OUTPUT_KEYS`. So a run that two designs share is trained
once, and a reordered list or a renamed task retrains nothing.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunescape.digests import digest, file_digest
from tunescape.errors import UserError, show

SCHEMA = 1
SCHEDULES = ("linear", "cosine", "constant", "wsd")
METHODS = ("full", "lora")
PRECISIONS = ("auto", "fp32", "bf16")
KEEPS = ("metrics", "head", "weights", "merged")
EVAL_STRATEGIES = ("epoch", "end")
FILE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
OUTPUT_KEYS = ("keep", "eval_strategy")
LORA_KEYS = ("lora_r", "lora_alpha", "lora_dropout")
LORA_DEFAULTS = {"lora_r": 8, "lora_alpha": 16.0, "lora_dropout": 0.0}
MODEL_KEYS = ("source", "revision", "weights_sha256", "files_digest")
TASK_DEFAULTS: dict[str, Any] = {
    "name": "task",
    "dataset": None,
    "subset": None,
    "revision": None,
    "files": None,
    "text": ["sentence"],
    "label": "label",
    "train_split": "train",
    "validation_split": None,
    "holdout": None,
    "validation_size": None,
    "data_digest": None,
}


@dataclass(frozen=True)
class Field:
    """One hyperparameter: default, canonical form, and what is right (for messages)."""

    default: Any
    convert: Callable[[Any], Any]
    expected: str


def _number(
    low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False
) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError
        number = float(value)
        above = number > low if open_low else number >= low
        below = number < high if open_high else number <= high
        if not (math.isfinite(number) and above and below):
            raise ValueError
        return number

    return convert


def _integer(low: int, high: int = 2**53) -> Callable[[Any], int]:
    number = _number(low, high)

    def convert(value: Any) -> int:
        result = number(value)
        if result != int(result):
            raise ValueError
        return int(result)

    return convert


def _choice(names: Sequence[str]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return convert


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def _epochs(value: Any) -> int | float:
    number = _number(0, open_low=True)(value)
    return int(number) if number == int(number) else number


HYPERPARAMETERS: dict[str, Field] = {
    "method": Field("full", _choice(METHODS), "full or lora"),
    "learning_rate": Field(5e-5, _number(0, 10.0, open_low=True), "a number above 0, at most 10"),
    "train_batch_size": Field(32, _integer(1), "a whole number of at least 1"),
    "eval_batch_size": Field(64, _integer(1), "a whole number of at least 1"),
    "num_epochs": Field(3, _epochs, "a number above 0"),
    "weight_decay": Field(0.0, _number(0, 10.0), "a number from 0 to 10"),
    "warmup_steps": Field(0, _integer(0), "a whole number of at least 0"),
    "warmup_ratio": Field(0.0, _number(0, 1, open_high=True), "a number from 0 to below 1"),
    "schedule": Field("linear", _choice(SCHEDULES), "linear, cosine, constant or wsd"),
    "decay_ratio": Field(0.1, _number(0, 1), "a number from 0 to 1 (share of steps, wsd only)"),
    "adam_epsilon": Field(1e-8, _number(0, 1.0, open_low=True), "a number above 0, at most 1"),
    "max_grad_norm": Field(1.0, _number(0), "a number of at least 0 (0: no clipping)"),
    "dropout": Field(
        None,
        _optional(_number(0, 1, open_high=True)),
        "a number from 0 to below 1, or null for the model's own rates",
    ),
    "max_length": Field(128, _integer(3), "a whole number of at least 3 (tokens)"),
    "train_size": Field(None, _optional(_integer(1)), "a whole number of at least 1, or null"),
    "lora_r": Field(None, _optional(_integer(1)), "a whole number of at least 1"),
    "lora_alpha": Field(None, _optional(_number(0, open_low=True)), "a number above 0"),
    "lora_dropout": Field(
        None, _optional(_number(0, 1, open_high=True)), "a number from 0 to below 1"
    ),
    "seed": Field(42, _integer(0, 2**32 - 1), "a whole number from 0 to 4294967295"),
    "precision": Field("auto", _choice(PRECISIONS), "auto, fp32 or bf16"),
    "keep": Field("metrics", _choice(KEEPS), "metrics, head, weights or merged"),
    "eval_strategy": Field("epoch", _choice(EVAL_STRATEGIES), "epoch or end"),
}


def normalise(raw: Mapping[str, Any], where: str = "spec") -> dict[str, Any]:
    """Check a specification and bring it to its one canonical form, defaults filled in.

    Args:
        raw: ``model`` (text or mapping), ``task`` (mapping) and any hyperparameters.
        where: the dotted place that messages name.

    Raises:
        UserError: naming the key, the value, what is right, and the nearest known key.
    """
    _refuse_unknown(raw, ("schema", "model", "task", *HYPERPARAMETERS), where)
    if raw.get("schema", SCHEMA) != SCHEMA:
        raise UserError(f"unknown schema {show(raw['schema'])}", where=where, expected=str(SCHEMA))
    spec: dict[str, Any] = {"schema": SCHEMA}
    spec["model"] = _normalise_model(raw.get("model"), f"{where}.model")
    spec["task"] = _normalise_task(raw.get("task"), f"{where}.task")
    for key, field in HYPERPARAMETERS.items():
        spec[key] = _convert(field, raw.get(key, field.default), f"{where}.{key}")
    _check_together(spec, where)
    return spec


def _convert(field: Field, value: Any, where: str) -> Any:
    try:
        return field.convert(value)
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"got {show(value)}", where=where, expected=field.expected) from None


def _refuse_unknown(raw: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise UserError(
                f"unknown key '{key}'",
                where=where,
                fix=f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}",
            )


def _check_together(spec: dict[str, Any], where: str) -> None:
    if spec["warmup_steps"] and spec["warmup_ratio"]:
        raise UserError("both warmup_steps and warmup_ratio are given", where=where, fix="keep one")
    if spec["schedule"] != "wsd":
        spec["decay_ratio"] = HYPERPARAMETERS["decay_ratio"].default
    if spec["keep"] == "merged" and spec["method"] != "lora":
        raise UserError(
            "keep is 'merged', but method is 'full': there is no adapter to merge",
            where=where,
            fix="set keep: weights",
        )
    if spec["method"] == "lora":
        for key, default in LORA_DEFAULTS.items():
            spec[key] = default if spec[key] is None else spec[key]
        return
    given = [key for key in LORA_KEYS if spec[key] is not None]
    if given:
        raise UserError(
            f"{', '.join(given)} given, but method is 'full'", where=where, fix="set method: lora"
        )


def _normalise_model(raw: Any, where: str) -> dict[str, Any]:
    if isinstance(raw, str):
        raw = {"source": raw}
    if not isinstance(raw, Mapping):
        raise UserError(
            f"got {show(raw)}",
            where=where,
            expected="a Hub id, a local folder, package:NAME, or a mapping with 'source'",
        )
    _refuse_unknown(raw, MODEL_KEYS, where)
    return {
        key: _text_or_none(raw.get(key), f"{where}.{key}", key == "source") for key in MODEL_KEYS
    }


def _text_or_none(value: Any, where: str, required: bool = False) -> str | None:
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        raise UserError(f"got {show(value)}", where=where, expected="a text")
    return value


def _normalise_task(raw: Any, where: str) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise UserError(
            f"got {show(raw)}", where=where, expected="a mapping with 'dataset' or 'files'"
        )
    raw = dict(raw)
    if "path" in raw:
        raw["files"] = raw.pop("path")
    _refuse_unknown(raw, tuple(TASK_DEFAULTS), where)
    task = {**TASK_DEFAULTS, **raw}
    for key in ("name", "dataset", "subset", "revision", "validation_split", "data_digest"):
        task[key] = _text_or_none(task[key], f"{where}.{key}")
    for key in ("label", "train_split"):
        task[key] = _text_or_none(task[key], f"{where}.{key}", required=True)
    text = [task["text"]] if isinstance(task["text"], str) else list(task["text"] or [])
    if len(text) not in (1, 2) or not all(isinstance(name, str) and name for name in text):
        raise UserError(
            f"got {show(task['text'])}", where=f"{where}.text", expected="1 or 2 columns"
        )
    task["text"] = text
    if (task["dataset"] is None) == (task["files"] is None):
        raise UserError("exactly one of 'dataset' and 'files' is needed", where=where)
    task["files"] = _normalise_files(task["files"], where)
    if task["validation_size"] is not None:
        whole = Field(None, _integer(1), "a whole number of at least 1")
        task["validation_size"] = _convert(
            whole, task["validation_size"], f"{where}.validation_size"
        )
    if task["holdout"] is not None and task["validation_split"] is not None:
        raise UserError(
            "both 'holdout' and 'validation_split' are given", where=where, fix="keep one"
        )
    if task["holdout"] is not None:
        field = Field(
            None, _number(0, 1, open_low=True, open_high=True), "a number between 0 and 1"
        )
        task["holdout"] = _convert(field, task["holdout"], f"{where}.holdout")
    elif task["validation_split"] is None:
        if task["files"] is not None and set(task["files"]) == {task["train_split"]}:
            raise UserError(
                "no evaluation data",
                where=where,
                fix="name a validation file or set 'holdout' (a fraction of the training rows)",
            )
        task["validation_split"] = "validation"
    return task


def _normalise_files(raw: Any, where: str) -> dict[str, list[str]] | None:
    if raw is None:
        return None
    splits = raw if isinstance(raw, Mapping) else {"train": raw}
    files: dict[str, list[str]] = {}
    for split, names in splits.items():
        paths = [names] if isinstance(names, str) else names
        if not isinstance(paths, (list, tuple)) or not paths:
            raise UserError(
                f"got {show(names)}", where=f"{where}.files.{split}", expected="file names"
            )
        for path in paths:
            if not isinstance(path, str) or Path(path).suffix not in FILE_SUFFIXES:
                raise UserError(
                    f"got {show(path)}",
                    where=f"{where}.files.{split}",
                    expected=f"a file that ends in {', '.join(FILE_SUFFIXES)}",
                )
        files[str(split)] = list(paths)
    return files


def complete(raw: Mapping[str, Any], where: str = "spec") -> dict[str, Any]:
    """Normalise a specification and fill in the digests that local files can give.

    Cheap enough for DAG building: no torch, and each file is hashed once a process. Digests of
    Hub sources stay as stated (pin ``revision``); a stated digest is checked when the run starts.

    Raises:
        UserError: also when a local file or model folder is not there.
    """
    from tunescape.training import models

    spec = normalise(raw, where)
    task = spec["task"]
    if task["files"] is not None:
        task["data_digest"] = files_digest(task["files"])
    spec["model"].update(models.identify(spec["model"]))
    return spec


def files_digest(files: Mapping[str, Sequence[str]]) -> str:
    """Digest of local data files: their bytes by split, whatever their names.

    Raises:
        UserError: for a file that is not there.
    """
    return digest(
        {split: [hash_file(path) for path in paths] for split, paths in files.items()}, 32
    )


def hash_file(path: str | Path) -> str:
    """Hex SHA-256 of a file, remembered for as long as its size and time do not change."""
    try:
        stat = Path(path).stat()
    except OSError:
        raise UserError("no such file", where=str(path)) from None
    return _hash_file(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_file(path: str, _size: int, _modified: int) -> str:
    return file_digest(path)


def identity(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a canonical specification that can change a metric."""
    kept = {key: value for key, value in spec.items() if key not in OUTPUT_KEYS}
    task = {key: value for key, value in spec["task"].items() if key != "name"}
    if task["validation_size"] is None:
        del task["validation_size"]
    if task["data_digest"] and task["files"]:
        del task["files"]
    model = dict(spec["model"])
    if model["weights_sha256"]:
        del model["source"], model["revision"]
    return {**kept, "task": task, "model": model}


def run_id(spec: Mapping[str, Any]) -> str:
    """Sixteen hex digits that name a canonical specification (see :func:`identity`)."""
    return digest(identity(spec), 16)


def warmup_step_count(spec: Mapping[str, Any], total_steps: int) -> int:
    """Warm-up steps of a run, a ratio rounded up as ``transformers`` does."""
    if spec["warmup_ratio"]:
        return math.ceil(total_steps * float(spec["warmup_ratio"]))
    return int(spec["warmup_steps"])


def step_counts(n_train: int, batch_size: int, num_epochs: float) -> tuple[int, int]:
    """Steps of an epoch (a short last batch is kept) and of the whole run, as Trainer counts."""
    per_epoch = math.ceil(n_train / batch_size)
    return per_epoch, math.ceil(num_epochs * per_epoch)
