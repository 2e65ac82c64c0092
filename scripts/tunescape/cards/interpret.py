"""From stated facts to one record: conventions, units, precedence, ambiguity."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tunescape.cards.read import read_card
from tunescape.cards.records import (
    METRICS,
    CardFacts,
    CardRecord,
    DatasetRef,
    EvalMetric,
    EvalResult,
    Extracted,
    HistoryRow,
    ResultsTable,
    Statement,
)
from tunescape.cards.vocab import (
    hyperparameter_field,
    metric_of,
    names_another_measure,
    normal_name,
    number,
    optimizer_family,
    schedule_family,
)

# How surely a statement of this kind speaks of the published model.
_CONFIDENCE: dict[str, float] = {
    "trainer_list": 1.0,
    "keras_optimizer": 1.0,
    "evaluation_list": 1.0,
    "front_matter": 0.98,
    "model_index": 0.95,
    "list": 0.9,
    "table": 0.85,
    "sentence": 0.9,
    "results_table": 0.85,
    "report": 0.8,
    "code": 0.75,
    "prose": 0.7,
}
# Lists written by the training library speak before anything that a person added around them.
_AUTHORITY: dict[str, int] = {"trainer_list": 0, "keras_optimizer": 0, "evaluation_list": 0}
_FRACTIONS = frozenset({"accuracy", "f1", "precision", "recall", "roc_auc"})
_CORRELATIONS = frozenset({"matthews_correlation", "pearson", "spearmanr"})
_COUNTS = frozenset(
    {
        "train_batch_size",
        "eval_batch_size",
        "gradient_accumulation_steps",
        "total_train_batch_size",
        "num_devices",
        "max_length",
        "max_steps",
    }
)
_LIMITS = frozenset({"max_steps", "max_length"})
_EVALUATION_WORDS = frozenset({"eval", "evaluation", "validation", "val", "valid", "dev", "test"})
_IndexReading = tuple[EvalMetric, float, str, int]
_NUMBERS = re.compile(r"[^,;/\s][^,;/]*")
_IMPOSSIBLE = "impossible"
_UNSET = -1.0
"""What the Trainer writes for a limit that is not set."""


@dataclass(slots=True)
class _Draft:
    """A record in the making."""

    fields: dict[str, Extracted] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    impossible: dict[str, Extracted] = field(default_factory=dict)
    """The first number of a field that cannot be, in case nothing else states the field."""


def parse_card(text: str | bytes, metadata: Mapping[str, Any] | None = None) -> CardRecord:
    """The record of a card: :func:`tunescape.cards.read_card`, then :func:`interpret`."""
    return interpret(read_card(text), metadata or {})


def interpret(facts: CardFacts, metadata: Mapping[str, Any]) -> CardRecord:
    """Apply the conventions to the facts of one card.

    Args:
        facts: what the card states.
        metadata: what the hub says of the model: ``id``, ``tags``, ``pipeline_tag``, ``library``,
            ``config`` (``architectures``, ``model_type``); any may be missing or None.

    Returns:
        The record. A metric is a fraction (loss excepted), a missing or non-finite value is absent,
        a field with several values is None with the flag ``ambiguous``, and ``ambiguous_<field>``
        is among the flags of the record. A number that cannot be (a batch of 0, an accuracy of
        250) gives way to any other statement of the field; where it is the only one it stays, with
        ``impossible_value:<field>`` among the flags.
    """
    kind = _card_kind(facts, metadata)
    draft = _Draft()
    _hyperparameters(facts, kind, draft)
    history = _history(facts.table)
    dataset = _metrics(facts, kind, draft)
    _identity(facts, metadata, draft)
    for name, extracted in draft.impossible.items():
        if name not in draft.fields:
            draft.fields[name] = extracted
            draft.flags.append(f"impossible_value:{name}")
    return CardRecord(
        card_kind=kind,
        fields=draft.fields,
        dataset=dataset,
        task=_task(facts, metadata),
        flags=tuple(dict.fromkeys(draft.flags)),
        history=history,
        metric_names=_metric_names(facts),
        frameworks=dict(facts.frameworks),
        problems=facts.problems,
    )


def _card_kind(facts: CardFacts, metadata: Mapping[str, Any]) -> str:
    """One word for the way the card was written."""
    marks = set(facts.marks)
    if "autotrain" in marks:
        return "autotrain"
    if "keras" in marks and any(
        s.kind in ("keras_optimizer", "trainer_list") for s in facts.hyperparameters
    ):
        return "keras"
    for mark in (
        "trainer",
        "keras",
        "setfit",
        "peft",
        "adapter",
        "sentence_transformers",
        "reinforcement_learning",
    ):
        if mark in marks:
            return mark
    library = metadata.get("library")
    if isinstance(library, str) and library in ("stable-baselines3", "ml-agents", "sample-factory"):
        return "reinforcement_learning"
    if facts.results:
        return "model_index"
    if facts.hyperparameters or facts.evaluations or facts.sentences:
        return "free_form"
    return "front_matter" if facts.front else "empty"


# -- hyperparameters ---------------------------------------------------------------------------


def _hyperparameters(facts: CardFacts, kind: str, draft: _Draft) -> None:
    stated: dict[str, list[tuple[Statement, float | str]]] = {}
    several: dict[str, Statement] = {}
    for statement in facts.hyperparameters:
        field = _field_of(statement, kind)
        if field is None:
            continue
        written = _values(field, statement)
        values = [v for v in written if isinstance(v, str) or _plausible(field, v)]
        if written and not values and field not in draft.impossible:
            confidence = _CONFIDENCE.get(statement.kind, 0.5)
            draft.impossible[field] = _extracted(written[0], statement, confidence, _IMPOSSIBLE)
        if len(values) > 1:
            several.setdefault(field, statement)
            continue
        if not values:
            continue
        stated.setdefault(field, []).append((statement, values[0]))
        if field == "optimizer" and "epsilon=" in statement.value:
            epsilon = number(statement.value.rpartition("epsilon=")[2].split(" ")[0].rstrip(",)"))
            if epsilon is not None and "adam_epsilon" not in stated:
                stated["adam_epsilon"] = [(statement, epsilon)]
    for field, statement in several.items():
        if field not in stated:
            _ambiguous(field, statement, draft)
    for field, found in stated.items():
        best = min(_AUTHORITY.get(s.kind, 1) for s, _ in found)
        found = [(s, v) for s, v in found if _AUTHORITY.get(s.kind, 1) == best]
        if best and field in several:
            _ambiguous(field, several[field], draft)
            continue
        found = _own_batch(field, found)
        distinct = dict.fromkeys(v for _, v in found)
        if len(distinct) > 1:
            _ambiguous(field, found[0][0], draft)
            continue
        statement, value = found[0]
        confidence = _CONFIDENCE.get(statement.kind, 0.5)
        draft.fields[field] = _extracted(value, statement, confidence)


def _field_of(statement: Statement, kind: str) -> str | None:
    if statement.kind == "keras_optimizer":
        name = normal_name(statement.name)
        if name in ("learning_rate", "initial_learning_rate", "lr"):
            return "learning_rate"
        if name == "schedule":
            return "lr_scheduler_type"
        if name in ("decay_steps",):
            return None
    field = hyperparameter_field(statement.name)
    if field == "num_epochs" and kind == "reinforcement_learning":
        return None
    if field == "warmup":
        value = number(statement.value.rstrip("%"))
        return (
            "warmup_ratio"
            if "%" in statement.value or (value is not None and value < 1)
            else "warmup_steps"
        )
    if field == "warmup_steps" and "%" in statement.value:
        return "warmup_ratio"
    return field


def _own_batch(
    field: str, found: list[tuple[Statement, float | str]]
) -> list[tuple[Statement, float | str]]:
    """A batch size that names training or the device says more than a bare one."""
    if field != "train_batch_size":
        return found
    named = [(s, v) for s, v in found if "train" in s.name.lower()]
    whole = [(s, v) for s, v in found if "mini" not in s.name.lower()]
    return named or whole or found


def _values(field: str, statement: Statement) -> list[float | str]:
    """The distinct values that a statement gives a field; empty when none can be read.

    A number that cannot be is among them.
    """
    raw = statement.value
    if field == "optimizer":
        family = optimizer_family(raw)
        return [] if family is None else [family]
    if field == "lr_scheduler_type":
        schedule = schedule_family(raw)
        if schedule is None and statement.kind == "trainer_list":
            schedule = normal_name(raw) or None
        return [] if schedule is None or schedule in ("none", "null") else [schedule]
    if field == "mixed_precision":
        word = raw.strip()
        return [] if not word or word.lower() in ("none", "no", "false") else [word[:40]]
    if field == "distributed_type":
        return [raw.strip()[:40]] if raw.strip() else []
    values: list[float] = []
    whole = number(raw.rstrip("%"))
    if whole is None and "," not in raw:
        whole = number(raw.split(" ")[0].rstrip("%"))
    tokens = [raw] if whole is not None else _NUMBERS.findall(raw.strip("[]{}() "))
    for token in tokens[:12]:
        value = number(token.strip().rstrip("%").strip()) if whole is None else whole
        if value is None and (leading := re.match(r"\s*[\d.]+(?:e-?\d+)?", token)):
            value = number(leading[0])
        if value is None:
            continue
        if token.strip().endswith("%") or "%" in token:
            value /= 100.0
        if value not in values and not (field in _LIMITS and value == _UNSET):
            values.append(value)
    return list(values)


def _plausible(field: str, value: float) -> bool:
    if value < 0 or value > 1e12:
        return False
    if field == "learning_rate":
        return 0 < value <= 100
    if field in _COUNTS:
        return value >= 1 and value == int(value)
    if field == "seed":
        return value == int(value)
    if field == "num_epochs":
        return 0 < value <= 100_000
    if field in ("warmup_ratio", "dropout", "lora_dropout"):
        return value <= 1
    return True


def _ambiguous(field: str, statement: Statement, draft: _Draft) -> None:
    draft.fields[field] = _extracted(None, statement, 0.0, "ambiguous")
    draft.flags.append(f"ambiguous_{field}")


def _extracted(
    value: float | str | tuple[str, ...] | None,
    place: Statement | EvalMetric,
    confidence: float,
    flag: str = "",
) -> Extracted:
    kind = place.kind if isinstance(place, Statement) else "model_index"
    return Extracted(value, kind, place.line, place.start, place.end, confidence, flag)


# -- metrics -----------------------------------------------------------------------------------


def _metrics(facts: CardFacts, kind: str, draft: _Draft) -> DatasetRef:
    lists = [s for s in facts.evaluations if s.kind == "evaluation_list"]
    others = [s for s in facts.evaluations if s.kind != "evaluation_list"]
    _from_statements(lists, draft)
    generated = "trainer" in facts.marks
    dataset = _from_index(facts.results, draft, generated)
    _from_table(facts.table, draft)
    _from_statements([s for s in others if s.kind == "report"], draft)
    single = len(facts.front.get("datasets", ())) == 1
    _from_statements([s for s in others if s.kind not in ("report", "grid")], draft, first=single)
    _stand_ins(facts, lists, draft)
    for statement in others:
        meaning = metric_of(statement.name) if statement.kind == "grid" else None
        if (
            meaning is not None
            and meaning[1] not in ("train", "other")
            and meaning[0] not in draft.fields
        ):
            _ambiguous(meaning[0], statement, draft)
    return dataset


def _from_statements(
    statements: Sequence[Statement],
    draft: _Draft,
    first: bool = False,
) -> None:
    """Headline figures of statements.

    ``first``: of several result blocks the first one speaks, as for a card that trained on one data
    set and reports further ones behind it.
    """
    found: dict[str, list[tuple[Statement, float, str]]] = {}
    for statement in statements:
        meaning = metric_of(statement.name)
        if meaning is None or meaning[1]:
            if meaning is not None and meaning[1] == "train":
                draft.flags.append(f"training_{meaning[0]}")
            continue
        metric = meaning[0]
        if metric in draft.fields:
            continue
        reading = _metric_value(metric, statement.value)
        if reading is not None and not _set_aside(metric, reading, statement, draft):
            found.setdefault(metric, []).append((statement, *reading))
    for metric, readings in found.items():
        ranked = [(s, v, f, _place_rank(s)) for s, v, f in readings]
        blocks = [entry for entry in ranked if entry[0].kind == "code"]
        if first and len(blocks) > 1 and len(blocks) == len(ranked):
            ranked = blocks[:1]
            draft.flags.append(f"first_of_several_{metric}")
        _settle(metric, ranked, draft)


def _set_aside(
    metric: str,
    reading: tuple[float, str],
    place: Statement | EvalMetric,
    draft: _Draft,
    keep: bool = True,
) -> bool:
    """Whether a figure cannot be; the first of a metric is kept for want of a better one."""
    value, flag = reading
    if flag != _IMPOSSIBLE:
        return False
    if keep and metric not in draft.impossible:
        kind = place.kind if isinstance(place, Statement) else "model_index"
        confidence = _CONFIDENCE.get(kind, 0.5)
        draft.impossible[metric] = _extracted(value, place, confidence, _IMPOSSIBLE)
    return True


def _place_rank(statement: Statement) -> int:
    """Lists, tables and result blocks before running text, named evaluations before bare."""
    if statement.kind == "evaluation_list":
        return 0
    words = set(normal_name(statement.name).split("_"))
    named = not _EVALUATION_WORDS.isdisjoint(words)
    # `best_f1` of the SQuAD script is tuned on the evaluation data.
    return 4 * ("best" in words) + 2 * (statement.kind == "prose") + (not named)


def _settle(
    metric: str,
    readings: Sequence[tuple[Statement | EvalMetric, float, str, int]],
    draft: _Draft,
) -> None:
    top = min(rank for *_, rank in readings)
    chosen = [(place, value, flag) for place, value, flag, rank in readings if rank == top]
    place, value, flag = chosen[0]
    if any(not _same_figure(place.value, value, p.value, other) for p, other, _ in chosen[1:]):
        draft.fields[metric] = _extracted(None, place, 0.0, "ambiguous")
        draft.flags.append(f"ambiguous_{metric}")
        return
    # Of the same figure at two roundings the finer one is the value.
    place, value, flag = max(chosen, key=lambda item: len(_digits(item[0].value)))
    kind = place.kind if isinstance(place, Statement) else "model_index"
    confidence = _CONFIDENCE.get(kind, 0.5) * (0.9 if flag == "implied_percent" else 1.0)
    if flag:
        draft.flags.append(f"{flag}_{metric}")
    if isinstance(place, EvalMetric) and place.verified:
        flag = "verified" if not flag else f"{flag} verified"
    draft.fields[metric] = _extracted(value, place, confidence, flag)


def _same_figure(raw: str, value: float, other_raw: str, other: float) -> bool:
    """Whether two figures are one, perhaps at two roundings."""
    if raw == other_raw:
        return True
    unit = max(_last_unit(raw, value), _last_unit(other_raw, other))
    return abs(value - other) <= max(0.51 * unit, 1e-6 * abs(value))


def _last_unit(raw: str, value: float) -> float:
    """The weight of the last stated digit, in units of the value."""
    if "e" in raw.lower():
        return 1e-9 * abs(value)
    decimals = len(re.sub(r"\D", "", raw.partition(".")[2]))
    stated = number(raw.rstrip("% ").replace(",", "."))
    scale = value / stated if stated else 1.0
    return float(10.0**-decimals * abs(scale))


def _digits(raw: str) -> str:
    return re.sub(r"\D", "", raw).strip("0")


def _metric_value(metric: str, raw: str) -> tuple[float, str] | None:
    """(value as a fraction, flag) of a stated figure, or None for nan and what is no number.

    The flag of a figure that cannot be, whose value is as stated, is ``impossible``.
    """
    token = raw.strip()
    percent = token.endswith("%")
    value = number(token.rstrip("% "))
    if value is None and re.fullmatch(r"\d{1,3},\d{1,6}\s?%?", token):
        value = number(token.rstrip("% ").replace(",", "."))
    if value is None:
        return None
    if metric == "loss":
        return value, _IMPOSSIBLE if percent else ""
    if percent:
        value = _hundredth(value)
        return value, "percent" if -1.0 <= value <= 1.0 else _IMPOSSIBLE
    limit = -1.0 if metric in _CORRELATIONS else 0.0
    if limit <= value <= 1.0:
        return value, ""
    if 1.0 < value <= 100.0:
        return _hundredth(value), "implied_percent"
    return value, _IMPOSSIBLE


def _hundredth(value: float) -> float:
    """A percentage as a fraction, in decimal so that 91.3 becomes 0.913."""
    return float(Decimal(repr(value)) / 100)


def _from_index(
    results: Sequence[EvalResult],
    draft: _Draft,
    generated: bool,
) -> DatasetRef:
    """Headline figures of ``model-index``, the author's before verified ones.

    Results on the training split are no evaluation, unless the Trainer ``generated`` the card.
    """
    usable = [r for r in results if r.metrics]
    own = usable
    if not generated:
        # The Trainer names its training data as the data set of an evaluation; nobody else does.
        own = [r for r in usable if dict(r.dataset).get("split", "").lower() != "train"]
    if len(own) < len(usable):
        draft.flags.append("training_split_in_index")
    plain: dict[str, list[_IndexReading]] = {}
    partial: dict[str, list[_IndexReading]] = {}
    averaged: dict[str, list[_IndexReading]] = {}
    source: dict[int, EvalResult] = {}
    for position, result in enumerate(own):
        for metric in result.metrics:
            meaning = _index_meaning(metric)
            if meaning is None or meaning[0] in draft.fields:
                continue
            name, qualifier = meaning
            reading = _metric_value(name, metric.value)
            if reading is None or _set_aside(name, reading, metric, draft, keep=not qualifier):
                continue
            source[metric.start] = result
            entry = (metric, *reading, position)
            if qualifier == "":
                plain.setdefault(name, []).append(entry)
            elif qualifier in ("macro", "micro", "weighted"):
                averaged.setdefault(name, []).append(entry)
            elif qualifier == "other":
                partial.setdefault(name, []).append(entry)
    for name, readings in plain.items():
        places = {position for *_, position in readings}
        rivals = [r for r in partial.get(name, ()) if r[3] not in places]
        _settle(
            name,
            [(m, v, f, 1 if m.verified else 0) for m, v, f, _ in (*readings, *rivals)],
            draft,
        )
    for name, readings in partial.items():
        if name not in draft.fields and name not in averaged:
            _settle(name, [(m, v, f, 0) for m, v, f, _ in readings], draft)
    for name, readings in averaged.items():
        if name not in draft.fields and len(readings) == 1:
            metric, value, _, _ = readings[0]
            _settle(name, [(metric, value, _qualifier_flag(metric), 0)], draft)
    reference = own or usable
    for name in METRICS:
        extracted = draft.fields.get(name)
        if extracted is not None and extracted.kind == "model_index" and extracted.start in source:
            reference = [source[extracted.start]]
            break
    if not reference and results:
        reference = list(results)
    if not reference:
        return DatasetRef()
    stated = dict(reference[0].dataset)
    return DatasetRef(
        name=stated.get("name", ""),
        type=stated.get("type", ""),
        config=stated.get("config", ""),
        split=stated.get("split", ""),
        args=stated.get("args", ""),
    )


def _qualifier_flag(metric: EvalMetric) -> str:
    meaning = _index_meaning(metric)
    return meaning[1] if meaning else ""


def _index_meaning(metric: EvalMetric) -> tuple[str, str] | None:
    """Metric and qualifier of a ``model-index`` entry; the name speaks where it contradicts."""
    by_name = metric_of(metric.name) if metric.name else None
    kind = metric.type.rpartition("/")[2]
    by_type = metric_of(kind) if kind else None
    if by_name is not None and (by_type is None or by_type[0] == by_name[0]):
        if by_type is not None and by_type[1] and not by_name[1]:
            return by_type
        return by_name
    if by_name is not None:
        return by_name
    if by_type is not None and metric.name:
        if names_another_measure(metric.name):
            return None
        # A name that is no measure (`JGA`, `TAG`) narrows the type.
        return by_type[0], "" if normal_name(metric.name) == normal_name(kind) else "other"
    return by_type


def _from_table(table: ResultsTable | None, draft: _Draft) -> None:
    if table is None or not table.rows:
        return
    last = table.rows[-1]
    for column, cell in zip(table.columns, last, strict=False):
        meaning = metric_of(column)
        if meaning is None or meaning[1]:
            continue
        metric = meaning[0]
        if metric in draft.fields or (metric == "loss" and normal_name(column) == "loss"):
            continue
        reading = _metric_value(metric, cell)
        place = Statement(column, cell, "results_table", table.line, table.start, table.end)
        if reading is None or _set_aside(metric, reading, place, draft):
            continue
        value, flag = reading
        draft.fields[metric] = _extracted(
            value, place, _CONFIDENCE["results_table"], flag or "last_table_row"
        )
        draft.flags.append(f"last_table_row_{metric}")


def _stand_ins(
    facts: CardFacts,
    lists: Sequence[Statement],
    draft: _Draft,
) -> None:
    """Macro figures stand in where no plain one is given; a lone micro or weighted one does too."""
    stand_in = "autotrain" in facts.marks
    others = [s for s in facts.evaluations if s.kind not in ("evaluation_list", "grid")]
    for group in (lists, others):
        averaged: dict[str, dict[str, Statement]] = {}
        for statement in group:
            meaning = metric_of(statement.name)
            if meaning is not None and meaning[1] in ("macro", "micro", "weighted"):
                averaged.setdefault(meaning[0], {}).setdefault(meaning[1], statement)
        for metric, kinds in averaged.items():
            if metric in draft.fields or (
                len(kinds) > 1 and (metric != "f1" or "macro" not in kinds or not stand_in)
            ):
                continue
            qualifier = "macro" if "macro" in kinds else next(iter(kinds))
            statement = kinds[qualifier]
            reading = _metric_value(metric, statement.value)
            if reading is None or reading[1] == _IMPOSSIBLE:
                continue
            draft.fields[metric] = _extracted(reading[0], statement, 0.6, f"{qualifier}_{metric}")
            draft.flags.append(f"{qualifier}_{metric}")


def _metric_names(facts: CardFacts) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for statement in facts.evaluations:
        if statement.kind == "evaluation_list":
            names[statement.name] = None
    for result in facts.results:
        for metric in result.metrics:
            names[metric.name or metric.type] = None
    if facts.table is not None:
        for column in facts.table.columns:
            names[column] = None
    return tuple(names)[:80]


# -- base model, data sets, task ---------------------------------------------------------------


def _identity(
    facts: CardFacts,
    metadata: Mapping[str, Any],
    draft: _Draft,
) -> None:
    own = str(metadata.get("id") or "").removesuffix("/README.md")
    said = {
        s.name: s
        for s in reversed(facts.sentences)
        if s.name != "base_model"
        or s.value.lower() not in (own.lower(), own.lower().rpartition("/")[2])
    }
    bases = facts.front.get("base_model", ())
    if bases:
        line, start, end = facts.front_places.get("base_model", (0, 0, 0))
        confidence = _CONFIDENCE["front_matter"]
        distinct = tuple(dict.fromkeys(bases))
        if len(distinct) > 1:
            draft.fields["base_model"] = Extracted(
                None, "front_matter", line, start, end, 0.0, "ambiguous"
            )
            draft.flags.append("ambiguous_base_model")
        else:
            draft.fields["base_model"] = Extracted(
                distinct[0], "front_matter", line, start, end, confidence
            )
    elif "base_model" in said:
        statement = said["base_model"]
        draft.fields["base_model"] = _extracted(statement.value, statement, _CONFIDENCE["sentence"])
    datasets = tuple(sorted(set(facts.front.get("datasets", ()))))
    if datasets:
        line, start, end = facts.front_places.get("datasets", (0, 0, 0))
        draft.fields["datasets"] = Extracted(
            datasets, "front_matter", line, start, end, _CONFIDENCE["front_matter"]
        )
    elif "dataset" in said:
        names = {s.value for s in facts.sentences if s.name == "dataset"}
        draft.fields["datasets"] = _extracted(tuple(sorted(names)), said["dataset"], 0.8)


def _task(facts: CardFacts, metadata: Mapping[str, Any]) -> str:
    """The task hint: the hub's, the card's, then that of ``model-index``."""
    stated = metadata.get("pipeline_tag")
    if isinstance(stated, str) and stated:
        return stated
    if front := facts.front.get("pipeline_tag"):
        return front[0]
    for result in facts.results:
        if result.task:
            return normal_name(result.task).replace("_", "-")
    return ""


# -- history -----------------------------------------------------------------------------------


def _history(table: ResultsTable | None) -> tuple[HistoryRow, ...]:
    if table is None:
        return ()
    names = [normal_name(column) for column in table.columns]
    epoch = _column(names, ("epoch", "epochs", "num_of_epochs"))
    step = _column(names, ("step", "steps"))
    training = _column(names, ("training_loss", "train_loss"))
    validation = _column(names, ("validation_loss", "valid_loss", "eval_loss", "val_loss"))
    known = {epoch, step, training, validation}
    others = [(i, name) for i, name in enumerate(table.columns) if name and i not in known]
    missing = [None] * (len(names) + 1)  # an absent column has position -1
    rows: list[HistoryRow] = []
    for cells in table.rows:
        values = [*map(number, cells), *missing]
        rows.append(
            HistoryRow(
                values[epoch],
                values[step],
                values[training],
                values[validation],
                tuple([(name, value) for i, name in others if (value := values[i]) is not None]),
            )
        )
    return tuple(rows)


def _column(names: Sequence[str], wanted: Iterable[str]) -> int:
    """Position of the first wanted name that is there; -1 when none is."""
    return next((names.index(name) for name in wanted if name in names), -1)
