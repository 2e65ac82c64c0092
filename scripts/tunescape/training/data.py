"""Task data: rows of one or two texts and a class, tokenised once and shared by every run.

Rows come through ``datasets`` (a Hub id or local csv, tsv, jsonl and parquet files). Everything
that would make a metric meaningless is refused with the row it concerns: an unknown label, an
empty text, a single class. Subsets of one seed are nested, and the evaluation rows never change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunescape.digests import digest
from tunescape.errors import UserError, storage_failure
from tunescape.receipts import is_whole, seal
from tunescape.tables import PARTIAL, atomic, read_json, write_json

if TYPE_CHECKING:
    from datasets import Dataset

Ints = npt.NDArray[np.int64]
READERS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".parquet": "parquet"}
HOLDOUT_SEED = 0


@dataclass(frozen=True)
class Rows:
    """Checked rows of a split.

    Attributes:
        texts: one list of n texts for each text column (1 or 2 lists).
        labels: class indices, shape (n,).
    """

    texts: list[list[str]]
    labels: Ints

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Ints) -> Rows:
        """The rows at ``index``, in its order."""
        return Rows([[column[i] for i in index] for column in self.texts], self.labels[index])


@dataclass(frozen=True)
class TaskData:
    """Training and evaluation rows and the names of the classes, in label order."""

    train: Rows
    evaluation: Rows
    label_names: list[str]


@dataclass(frozen=True)
class Tokens:
    """Tokenised rows, unpadded.

    Attributes:
        ids, types: token and segment ids of all rows one after another, shape (sum of lengths,).
        offsets: where each row starts, shape (n + 1,).
        labels: class indices, shape (n,).
        row_digests: first eight bytes of each row's SHA-256, shape (n,), uint64.
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32]
    offsets: Ints
    labels: Ints
    row_digests: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Ints:
        """Tokens in each row, shape (n,)."""
        return np.diff(self.offsets)

    def take(self, index: Ints) -> Tokens:
        """The rows at ``index``, in its order."""
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], lengths)
        return Tokens(
            self.ids[places],
            self.types[places],
            offsets,
            self.labels[index],
            self.row_digests[index],
        )

    def digest(self) -> str:
        """Digest of exactly these rows' texts and labels, in this order."""
        return hashlib.sha256(self.row_digests.astype("<u8").tobytes()).hexdigest()[:32]


@dataclass(frozen=True)
class TokenisedTask:
    """A task ready for training: both splits' tokens, and the names of the classes."""

    train: Tokens
    evaluation: Tokens
    label_names: list[str]


def subset_index(n_rows: int, train_size: int | None, seed: int) -> Ints:
    """Rows of a training subset: the first ``train_size`` of one permutation a seed (nested).

    Returns:
        Row numbers in file order, shape (train_size,), or all of them when it is ``None``.

    Raises:
        UserError: when there are fewer rows than asked for.
    """
    if train_size is None:
        return np.arange(n_rows)
    if train_size > n_rows:
        raise UserError(
            f"train_size is {train_size}, but the training split has {n_rows} rows",
            fix="lower train_size, or leave it out to use every row",
        )
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:train_size])


def load_task(task: Mapping[str, Any], cache_dir: str | Path) -> TaskData:
    """Read and check a task's rows.

    Args:
        task: the ``task`` part of a canonical specification.
        cache_dir: where ``datasets`` puts its Arrow files.

    Raises:
        UserError: for a missing file, split or column, an empty text, an unknown label, fewer
            than two classes, or data that do not have the stated digest.
    """
    splits = _read_splits(task, Path(cache_dir))
    where = task["dataset"] or task["name"]
    train_split = _pick_split(splits, task["train_split"], where)
    names = _class_names(train_split, task["label"])
    train = _check_rows(train_split, task, task["train_split"])
    if names is None:
        names = sorted(set(train[1]), key=_label_order)
    known = {name: index for index, name in enumerate(names)}
    rows = _encode_labels(train, known, f"{where}, split '{task['train_split']}'")
    if task["holdout"] is not None:
        rows, evaluation = _hold_out(rows, task["holdout"])
    else:
        split = task["validation_split"]
        checked = _check_rows(_pick_split(splits, split, where), task, split)
        evaluation = _encode_labels(checked, known, f"{where}, split '{split}'")
    if task["validation_size"] is not None:
        evaluation = _draw_evaluation(evaluation, task["validation_size"], where)
    if len(np.unique(rows.labels)) < 2:
        raise UserError("the training rows have one class", where=where, expected="at least 2")
    data = TaskData(rows, evaluation, names)
    if task["data_digest"] and not task["files"] and rows_digest(data) != task["data_digest"]:
        raise UserError(
            f"the rows have digest {rows_digest(data)}, not {task['data_digest']}",
            where=where,
            fix="pin the data set's revision, or state the new digest",
        )
    return data


def rows_digest(data: TaskData) -> str:
    """Digest of all rows of a task: training, then evaluation."""
    parts = [_digest_rows(split, data.label_names) for split in (data.train, data.evaluation)]
    return hashlib.sha256(np.concatenate(parts).astype("<u8").tobytes()).hexdigest()[:32]


def _read_splits(task: Mapping[str, Any], cache_dir: Path) -> Mapping[str, Dataset]:
    import datasets

    datasets.disable_progress_bars()
    columns = [*task["text"], task["label"]]
    try:
        if task["files"] is None:
            loaded = datasets.load_dataset(
                task["dataset"], task["subset"], revision=task["revision"]
            )
            return dict(loaded)
        return {
            split: datasets.concatenate_datasets(
                [_read_file(Path(path), split, columns, cache_dir) for path in paths]
            )
            for split, paths in task["files"].items()
        }
    except UserError:
        raise
    except Exception as error:  # datasets wraps what its readers raise in many types
        failure = storage_failure(error)
        if failure:
            raise failure from error
        cause = error.__cause__ or error
        raise UserError(
            f"the data cannot be read ({type(cause).__name__}: {cause})",
            where=task["dataset"] or task["name"],
            fix="check the id and the network (or HF_HOME), or give local files",
        ) from error


def _read_file(path: Path, split: str, columns: Sequence[str], cache_dir: Path) -> Dataset:
    import datasets

    if not path.is_file():
        raise UserError("no such data file", where=str(path))
    options: dict[str, Any] = {}
    if path.suffix in (".csv", ".tsv"):
        # Everything as text: "null", "NA" and "007" are words of a sentence, not values.
        options = {
            "sep": "\t" if path.suffix == ".tsv" else ",",
            "converters": dict.fromkeys(columns, str),
            "na_filter": False,
        }
    loaded = datasets.load_dataset(
        READERS[path.suffix],
        data_files={split: str(path)},
        split=split,
        cache_dir=str(cache_dir),
        **options,
    )
    missing = [name for name in columns if name not in loaded.column_names]
    if missing:
        raise UserError(
            f"no column '{missing[0]}'",
            where=str(path),
            expected=f"one of {', '.join(loaded.column_names)}",
        )
    return loaded.select_columns(list(columns))


def _pick_split(splits: Mapping[str, Dataset], name: str, where: str) -> Dataset:
    if name not in splits:
        raise UserError(
            f"no split '{name}'",
            where=where,
            expected=f"one of {', '.join(splits)}",
            fix="set train_split and validation_split, or holdout",
        )
    return splits[name]


def _class_names(split: Dataset, label: str) -> list[str] | None:
    names = getattr(split.features.get(label), "names", None)
    return list(names) if names else None


def _check_rows(
    split: Dataset, task: Mapping[str, Any], name: str
) -> tuple[list[list[str]], list[str]]:
    where = f"{task['dataset'] or task['name']}, split '{name}'"
    for column in (*task["text"], task["label"]):
        if column not in split.column_names:
            raise UserError(
                f"no column '{column}'",
                where=where,
                expected=f"one of {', '.join(split.column_names)}",
            )
    if len(split) == 0:
        raise UserError("no rows", where=where)
    texts = []
    for column in task["text"]:
        values = list(split[column])
        for row, value in enumerate(values):
            if value is None or not str(value).strip():
                raise UserError(
                    f"empty text in column '{column}', row {row + 1}", where=where, fix="remove it"
                )
        texts.append([str(value) for value in values])
    names = _class_names(split, task["label"])
    labels = []
    for row, value in enumerate(split[task["label"]]):
        text = _label_text(value)
        if names is not None and text.isdigit() and int(text) < len(names):
            text = names[int(text)]
        if not text:
            raise UserError(f"no label in row {row + 1}", where=where)
        labels.append(text)
    return texts, labels


def _label_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return "" if value is None else str(value).strip()


def _label_order(label: str) -> tuple[int, int, str]:
    if re.fullmatch(r"[+-]?\d+", label):
        return 0, int(label), label
    return 1, 0, label


def _encode_labels(
    rows: tuple[list[list[str]], list[str]], known: Mapping[str, int], where: str
) -> Rows:
    texts, labels = rows
    for row, label in enumerate(labels):
        if label not in known:
            shown = ", ".join(list(known)[:10])
            raise UserError(
                f"unknown label '{label[:40]}' in row {row + 1}", where=where, expected=shown
            )
    return Rows(texts, np.array([known[label] for label in labels], dtype=np.int64))


def _hold_out(rows: Rows, fraction: float) -> tuple[Rows, Rows]:
    n_rows = len(rows)
    n_held = min(max(round(n_rows * fraction), 1), n_rows - 1)
    if n_rows < 2:
        raise UserError("one row cannot be split into training and evaluation rows")
    order = np.random.default_rng(HOLDOUT_SEED).permutation(n_rows)
    return rows.take(np.sort(order[n_held:])), rows.take(np.sort(order[:n_held]))


def _draw_evaluation(rows: Rows, size: int, where: str) -> Rows:
    """Some of the evaluation rows, the same ones for every run, in the order of the file."""
    if size > len(rows):
        raise UserError(
            f"validation_size is {size}, but there are {len(rows)} evaluation rows", where=where
        )
    return rows.take(subset_index(len(rows), size, HOLDOUT_SEED))


def _digest_rows(rows: Rows, names: Sequence[str]) -> npt.NDArray[np.uint64]:
    columns = [*rows.texts, [names[label] for label in rows.labels]]
    return np.array(
        [
            int.from_bytes(hashlib.sha256("\x1f".join(row).encode()).digest()[:8], "little")
            for row in zip(*columns, strict=True)
        ],
        dtype=np.uint64,
    )


def tokenise(rows: Rows, tokenizer: Any, max_length: int, label_names: Sequence[str]) -> Tokens:
    """Tokenise rows with a ``transformers`` tokenizer, truncated and not padded.

    Args:
        rows: checked rows, one or two texts each.
        tokenizer: a ``PreTrainedTokenizerBase``.
        max_length: tokens at most, special ones included.
        label_names: names of the classes (they enter the row digests).
    """
    encoded = tokenizer(
        *rows.texts, truncation=True, max_length=max_length, return_attention_mask=False
    )
    ids: list[list[int]] = encoded["input_ids"]
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    flat = np.array([token for row in ids for token in row], dtype=np.int32)
    types = np.zeros_like(flat)
    if "token_type_ids" in encoded:
        types = np.array([kind for row in encoded["token_type_ids"] for kind in row], np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Tokens(flat, types, offsets, rows.labels, _digest_rows(rows, label_names))


def tokenised_task(
    spec: Mapping[str, Any], model_folder: Path, cache_dir: str | Path
) -> TokenisedTask:
    """Both splits of a run's task as tokens, from the cache when they are there.

    Args:
        spec: a canonical specification.
        model_folder: where the tokenizer's files are.
        cache_dir: folder of the caches; safe to share between processes.

    Raises:
        UserError: see :func:`load_task`.
    """
    root = Path(cache_dir)
    task = spec["task"]
    key = _cache_key(task, model_folder, spec["max_length"])
    folder = root / "tokens" / key if key else None
    if folder is not None and is_whole(folder):
        return _read_tokens(folder)
    root.mkdir(parents=True, exist_ok=True)
    # Arrow files are of no use after this: a cache of them would be one more to be damaged.
    with TemporaryDirectory(dir=root, prefix=".datasets.", suffix=PARTIAL) as scratch:
        data = load_task(task, scratch)
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(model_folder), trust_remote_code=False)
    except (ValueError, OSError, KeyError, ImportError, TypeError) as error:
        raise UserError(
            f"the tokenizer cannot be loaded ({type(error).__name__}: {error})",
            where=str(model_folder),
            expected="a tokenizer that transformers has, without code of its own",
        ) from error
    train, evaluation = (
        tokenise(rows, tokenizer, spec["max_length"], data.label_names)
        for rows in (data.train, data.evaluation)
    )
    tokenised = TokenisedTask(train, evaluation, data.label_names)
    if folder is not None:
        _write_tokens(tokenised, folder)
    return tokenised


def _cache_key(task: Mapping[str, Any], model_folder: Path, max_length: int) -> str | None:
    if not (task["data_digest"] or task["revision"]):
        return None
    from tunescape.training.runspec import files_digest, hash_file

    content = files_digest(task["files"]) if task["files"] else task["data_digest"]
    tokenizer = {
        path.name: hash_file(path)
        for pattern in ("*token*", "vocab*", "merges*", "*.model", "config.json")
        for path in sorted(model_folder.glob(pattern))
        if path.is_file()
    }
    stated = {key: value for key, value in task.items() if key not in ("name", "files")}
    return digest([stated, content, tokenizer, max_length], 24)


def _write_tokens(task: TokenisedTask, folder: Path) -> None:
    from safetensors.numpy import save_file

    for name, tokens in (("train", task.train), ("evaluation", task.evaluation)):
        arrays = {key: np.ascontiguousarray(value) for key, value in vars(tokens).items()}
        with atomic(folder / f"{name}.safetensors") as temporary:
            save_file(arrays, str(temporary))
    write_json(task.label_names, folder / "labels.json")
    seal(folder)


def _read_tokens(folder: Path) -> TokenisedTask:
    from safetensors.numpy import load_file

    splits = [
        Tokens(**load_file(str(folder / f"{name}.safetensors"))) for name in ("train", "evaluation")
    ]
    return TokenisedTask(splits[0], splits[1], read_json(folder / "labels.json"))
