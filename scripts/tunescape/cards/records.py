"""Record types of the card parser and their compact JSON form.

Positions: ``line`` counts from 1; ``start`` and ``end`` are character offsets into the decoded card
(``text[start:end]`` is the span). Lines end with LF, CRLF or CR; offsets are those of the original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

HYPERPARAMETERS: tuple[str, ...] = (
    "learning_rate",
    "train_batch_size",
    "eval_batch_size",
    "seed",
    "optimizer",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "num_epochs",
    "gradient_accumulation_steps",
    "weight_decay",
    "adam_epsilon",
    "max_grad_norm",
    "dropout",
    "max_length",
    "total_train_batch_size",
    "mixed_precision",
    "distributed_type",
    "num_devices",
    "max_steps",
    "label_smoothing",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
)
"""Every hyperparameter that a record can hold, in column order."""

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
"""Every metric that a record can hold, as fractions except ``loss``."""

# The small records are tuples: a card makes dozens, and a frozen dataclass takes thrice as long.

# Kinds of statements, by where in the card they stand. The codes go into JSON.
KIND_CODES: dict[str, str] = {
    "trainer_list": "t",
    "keras_optimizer": "k",
    "evaluation_list": "e",
    "list": "l",
    "table": "b",
    "code": "c",
    "prose": "p",
    "sentence": "s",
    "report": "r",
    "grid": "g",
    "front_matter": "f",
    "model_index": "m",
    "results_table": "u",
}
_KIND_NAMES = {code: kind for kind, code in KIND_CODES.items()}


class Statement(NamedTuple):
    """One ``name``-``value`` pair as the card states it, with its place."""

    name: str
    value: str
    kind: str
    line: int
    start: int
    end: int


class EvalMetric(NamedTuple):
    """One metric of a ``model-index`` result; ``value`` is the raw scalar."""

    type: str
    name: str
    value: str
    verified: bool
    line: int
    start: int
    end: int


class EvalResult(NamedTuple):
    """One result of ``model-index``: task, data set and its metrics."""

    task: str
    dataset: tuple[tuple[str, str], ...]
    metrics: tuple[EvalMetric, ...]


class ResultsTable(NamedTuple):
    """A training-results table: column names and cells as strings."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    line: int
    start: int
    end: int
    dropped: int = 0
    """Rows between the kept head and tail that were left out of a very long table."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card states, in short tokens, without any sentence of it."""

    front: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Factual front-matter keys (language, tags, datasets, base_model, ...) to their scalars."""
    front_places: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Line, start and end of the front-matter keys that become values of a record."""
    results: tuple[EvalResult, ...] = ()
    hyperparameters: tuple[Statement, ...] = ()
    evaluations: tuple[Statement, ...] = ()
    sentences: tuple[Statement, ...] = ()
    """Base model and data sets that a sentence of the card names (``base_model``, ``dataset``)."""
    table: ResultsTable | None = None
    frameworks: tuple[tuple[str, str], ...] = ()
    marks: tuple[str, ...] = ()
    """Signs of the kind of card, such as ``trainer``, ``keras``, ``autotrain``."""
    problems: tuple[str, ...] = ()
    """Why something could not be read (``front_matter_malformed: ...``, ``not_utf8``, ...)."""

    def to_json(self) -> dict[str, Any]:
        """The facts as a compact JSON object; empty parts are left out."""
        out: dict[str, Any] = {}
        if self.front:
            out["front"] = {
                key: [*self.front_places.get(key, ()), *values]
                if key in self.front_places
                else list(values)
                for key, values in self.front.items()
            }
        if self.results:
            out["index"] = [
                [
                    result.task,
                    dict(result.dataset),
                    _pack_metrics(result.metrics),
                ]
                for result in self.results
            ]
        for key, statements in (
            ("hyper", self.hyperparameters),
            ("eval", self.evaluations),
            ("said", self.sentences),
        ):
            if statements:
                out[key] = _pack_statements(statements)
        if self.table is not None:
            table = self.table
            out["table"] = [
                table.line,
                table.start,
                table.end,
                table.dropped,
                "|".join(cell.replace("|", "/") for cell in table.columns),
                ["|".join(row) for row in table.rows],
            ]
        if self.frameworks:
            out["frameworks"] = [f"{name} {version}" for name, version in self.frameworks]
        if self.marks:
            out["marks"] = list(self.marks)
        if self.problems:
            out["problems"] = list(self.problems)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CardFacts:
        """The facts that :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: the object was not written by :meth:`to_json`.
        """
        front: dict[str, tuple[str, ...]] = {}
        places: dict[str, tuple[int, int, int]] = {}
        for key, values in data.get("front", {}).items():
            if len(values) >= 3 and all(isinstance(value, int) for value in values[:3]):
                places[key] = (values[0], values[1], values[2])
                values = values[3:]
            front[key] = tuple(str(value) for value in values)
        results = tuple(
            EvalResult(
                task=str(task),
                dataset=tuple((str(key), str(value)) for key, value in dataset.items()),
                metrics=_unpack_metrics(metrics),
            )
            for task, dataset, metrics in data.get("index", ())
        )
        table = None
        if "table" in data:
            line, start, end, dropped, columns, rows = data["table"]
            table = ResultsTable(
                columns=tuple(columns.split("|")),
                rows=tuple(tuple(row.split("|")) for row in rows),
                line=line,
                start=start,
                end=end,
                dropped=dropped,
            )
        return cls(
            front=front,
            front_places=places,
            results=results,
            hyperparameters=_unpack_statements(data.get("hyper", ())),
            evaluations=_unpack_statements(data.get("eval", ())),
            sentences=_unpack_statements(data.get("said", ())),
            table=table,
            frameworks=tuple(
                (name, version)
                for name, _, version in (str(f).rpartition(" ") for f in data.get("frameworks", ()))
            ),
            marks=tuple(data.get("marks", ())),
            problems=tuple(data.get("problems", ())),
        )


def _pack_statements(statements: Sequence[Statement]) -> list[list[Any]]:
    """Arrays ``[name, value, kind, line, start, length]``; in a run of lines only name and value.

    A list writes ``- name: value`` line after line, so kind, line and span follow from the
    statement before; only what departs from this is stored.
    """
    packed: list[list[Any]] = []
    previous: Statement | None = None
    for statement in statements:
        row: list[Any] = [statement.name, statement.value]
        if previous is None or statement != _follow(previous, statement.name, statement.value):
            row += [
                KIND_CODES[statement.kind],
                statement.line,
                statement.start,
                statement.end - statement.start,
            ]
        packed.append(row)
        previous = statement
    return packed


def _unpack_statements(packed: Sequence[Sequence[Any]]) -> tuple[Statement, ...]:
    statements: list[Statement] = []
    for row in packed:
        name, value = str(row[0]), str(row[1])
        if len(row) == 2:
            statements.append(_follow(statements[-1], name, value))
        else:
            kind, line, start, length = row[2:]
            statements.append(
                Statement(name, value, _KIND_NAMES[kind], line, start, start + length)
            )
    return tuple(statements)


def _follow(previous: Statement, name: str, value: str) -> Statement:
    start = previous.end + 3
    return Statement(
        name, value, previous.kind, previous.line + 1, start, start + len(name) + 2 + len(value)
    )


def _pack_metrics(metrics: Sequence[EvalMetric]) -> list[list[Any]]:
    return [
        [m.type, m.name, m.value, m.line, m.start, m.end - m.start, *([1] if m.verified else [])]
        for m in metrics
    ]


def _unpack_metrics(packed: Sequence[Sequence[Any]]) -> tuple[EvalMetric, ...]:
    return tuple(
        EvalMetric(
            str(row[0]), str(row[1]), str(row[2]), len(row) > 6, row[3], row[4], row[4] + row[5]
        )
        for row in packed
    )


class Extracted(NamedTuple):
    """One value of a record with its provenance.

    ``value`` is a float, a canonical word, or a tuple of names; None when the card states several
    (``flag`` is then ``ambiguous``). ``confidence`` is between 0 and 1: how surely the text span
    says this of the published model.
    """

    value: float | str | tuple[str, ...] | None
    kind: str
    line: int
    start: int
    end: int
    confidence: float
    flag: str = ""


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """The data set of the headline evaluation; empty strings where not stated."""

    name: str = ""
    type: str = ""
    config: str = ""
    split: str = ""
    args: str = ""


class HistoryRow(NamedTuple):
    """One row of the training-results table; None where the cell holds no number."""

    epoch: float | None
    step: float | None
    training_loss: float | None
    validation_loss: float | None
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class CardRecord:
    """What a card says of one model, after the conventions."""

    card_kind: str
    fields: Mapping[str, Extracted] = field(default_factory=dict)
    """Hyperparameters, metrics, ``base_model`` and ``datasets``, where stated."""
    dataset: DatasetRef = DatasetRef()
    task: str = ""
    flags: tuple[str, ...] = ()
    history: tuple[HistoryRow, ...] = ()
    metric_names: tuple[str, ...] = ()
    """Names of all metrics that the card reports, as stated (also those without a column)."""
    frameworks: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def value(self, name: str) -> float | str | tuple[str, ...] | None:
        """The value of a field; None when the card does not state it or is ambiguous."""
        extracted = self.fields.get(name)
        return None if extracted is None else extracted.value

    def number(self, name: str) -> float | None:
        """The value of a numeric field; None when absent, ambiguous or a word."""
        value = self.value(name)
        return value if isinstance(value, float) else None
