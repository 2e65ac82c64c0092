"""Precision and recall of the card parser against cards labelled by reading.

The labels (ids and values) are in tests/data; the cards themselves are other people's texts and lie
beside the repository. Run with ``-s`` to see the table.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tunescape.cards import CardRecord, parse_card

FIELDS = (
    "base_model",
    "learning_rate",
    "train_batch_size",
    "eval_batch_size",
    "seed",
    "num_epochs",
    "optimizer",
    "lr_scheduler_type",
    "loss",
    "accuracy",
    "f1",
    "precision",
    "recall",
    "datasets",
)
PRECISION_BAR = 0.99
RECALL_BAR = 0.97
ROOT = Path(__file__).resolve().parents[2]
LABELS = ROOT / "tests" / "data" / "card_labels.jsonl"
CARDS = ROOT.parent / "shared" / "hub" / "model_cards.jsonl.gz"


def metadata(card: dict[str, Any]) -> dict[str, Any]:
    info = card["info"] or {}
    return {
        "id": card["id"],
        "tags": info.get("tags"),
        "pipeline_tag": info.get("pipeline_tag"),
        "library": info.get("library_name"),
        "config": info.get("config"),
    }


def stated(record: CardRecord, field: str) -> Any:
    """A field in the form of the labels: None when not stated, ``ambiguous`` when several."""
    extracted = record.fields.get(field)
    if extracted is None:
        return None
    if extracted.flag == "ambiguous":
        return "ambiguous"
    return list(extracted.value) if isinstance(extracted.value, tuple) else extracted.value


def same(label: Any, value: Any) -> bool:
    if isinstance(label, list) or isinstance(value, list):
        return (
            isinstance(label, list) and isinstance(value, list) and sorted(label) == sorted(value)
        )
    if isinstance(label, str) or isinstance(value, str):
        return bool(label == value)
    return abs(label - value) <= 1e-9 * max(1.0, abs(label))


@pytest.fixture(scope="module")
def judged() -> list[tuple[str, str, Any, Any]]:
    """(field, id, label, value) for every label and field."""
    if not CARDS.exists():
        pytest.skip("shared/hub is not there: the labelled cards cannot be read")
    labels = {row["id"]: row for row in map(json.loads, LABELS.read_text().splitlines())}
    rows: list[tuple[str, str, Any, Any]] = []
    found = set()
    with gzip.open(CARDS, "rt", encoding="utf-8") as lines:
        for line in lines:
            card = json.loads(line)
            if card["id"] in labels:
                found.add(card["id"])
                record = parse_card(card["readme"], metadata(card))
                wanted = labels[card["id"]]["labels"]
                rows += [(f, card["id"], wanted[f], stated(record, f)) for f in FIELDS]
    assert found == set(labels), "labelled cards are missing from shared/hub"
    return rows


def score(rows: list[tuple[str, str, Any, Any]], field: str) -> tuple[int, int, int]:
    """(stated and right, extracted, labelled) of one field."""
    mine = [(label, value) for f, _, label, value in rows if f == field]
    right = sum(
        label is not None and value is not None and same(label, value) for label, value in mine
    )
    return (
        right,
        sum(value is not None for _, value in mine),
        sum(label is not None for label, _ in mine),
    )


def test_table(judged: list[tuple[str, str, Any, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    cards = len({card for _, card, _, _ in judged})
    lines = [f"{'field':20} {'labelled':>8} {'precision':>9} {'recall':>7}   ({cards} cards)"]
    for field in FIELDS:
        right, extracted, labelled = score(judged, field)
        lines.append(
            f"{field:20} {labelled:8} {right / max(extracted, 1):9.3f} {right / max(labelled, 1):7.3f}"
        )
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert cards >= 120


@pytest.mark.parametrize("field", FIELDS)
def test_bar(judged: list[tuple[str, str, Any, Any]], field: str) -> None:
    right, extracted, labelled = score(judged, field)
    wrong = [
        f"{card}: labelled {label!r}, read {value!r}"
        for f, card, label, value in judged
        if f == field
        and (label is not None or value is not None)
        and not (label is not None and value is not None and same(label, value))
    ]
    assert labelled > 0
    assert right >= PRECISION_BAR * extracted, wrong
    assert right >= RECALL_BAR * labelled, wrong
