"""The shipped snapshot: facts only, complete, and as good as the cards it was made from.

``python tests/unit/test_snapshot.py`` pins the digest anew after a change of parser or features.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hub_cards import card
from tunescape.digests import digest
from tunescape.errors import UserError
from tunescape.features import features_of
from tunescape.identity import read_eval_sizes
from tunescape.parsing import PARSED_COLUMNS, parse_record
from tunescape.snapshot import facts_only, main, sentences, write_snapshot
from tunescape.sources import SourceReport, card_record, read_source

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "resources" / "hub_snapshot.jsonl"
PINNED = ROOT / "tests" / "data" / "snapshot_features.json"
CARDS = ROOT.parent / "shared" / "hub" / "model_cards.jsonl.gz"


def raw_records(path: Path, kind: str) -> list[dict[str, Any]]:
    return list(read_source(kind, path, SourceReport()))


@pytest.fixture(scope="module")
def shipped() -> list[dict[str, Any]]:
    return raw_records(SNAPSHOT, "snapshot")


def feature_rows(records: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
    """Features of raw records as plain rows; floats as text, so that they digest."""
    rows = [parse_record(raw)[0] for raw in records]
    frame = pd.DataFrame(
        {n: pd.Series([r.get(n) or None if d == "str" else r.get(n) for r in rows], dtype=d)
         for n, d in PARSED_COLUMNS.items()}
    )  # fmt: skip
    features, _ = features_of(frame, read_eval_sizes(ROOT / "resources" / "eval_sizes.csv"))
    plain = features.astype(object).where(features.notna(), None)
    return [
        [repr(float(v)) if isinstance(v, float) else v if v is None else str(v) for v in row]
        for row in plain.itertuples(index=False)
    ]


def test_size_order_and_owners(shipped: list[dict[str, Any]]) -> None:
    ids = [raw["id"] for raw in shipped]
    assert ids == sorted(set(ids))
    assert 2300 <= len(ids) <= 2600
    assert SNAPSHOT.stat().st_size < 3_000_000
    assert all(raw["card_text"] is None and raw["source"] == "snapshot" for raw in shipped)
    assert all(raw["facts"] is not None for raw in shipped if raw["status"] == "ok")


def test_it_holds_no_sentence(shipped: list[dict[str, Any]]) -> None:
    found = [(raw["id"], text) for raw in shipped for text in sentences(raw)]
    assert found == []


def test_a_sentence_would_be_found() -> None:
    prose = "This is a model that we have trained for the classification of reviews of films."
    assert list(sentences({"a": ["short", {"b": prose}]})) == [prose]
    assert list(sentences("x" * 201)) == ["x" * 201]
    assert list(sentences("Training Loss|Epoch|Step|Validation Loss|" * 10)) == []


def test_features_are_the_pinned_ones(shipped: list[dict[str, Any]]) -> None:
    """The digest was taken from the original cards, which are not always at hand."""
    rows = feature_rows(shipped)
    assert {"models": len(rows), "features": digest(rows)} == json.loads(PINNED.read_text())


def test_features_are_those_of_the_original_cards(shipped: list[dict[str, Any]]) -> None:
    if not CARDS.exists():
        pytest.skip("the original cards (../shared/hub) are not there")
    members = {raw["id"] for raw in shipped}
    originals = [raw for raw in raw_records(CARDS, "cards") if raw["id"] in members]
    assert len(originals) == len(shipped)
    originals.sort(key=lambda raw: raw["id"])
    for mine, theirs in zip(feature_rows(shipped), feature_rows(originals), strict=True):
        assert mine == theirs


def test_provenance_survives() -> None:
    raw = card_record(
        "a/distilbert", {}, card(table="| Epoch | Step |\n|:---:|:---:|\n| 1.0 | 9 |")
    )
    row, places = parse_record(raw)
    again, others = parse_record(json.loads(json.dumps(facts_only(raw))))
    assert places == others and len(places) > 8
    assert row == again


def dump(path: Path, models: Mapping[str, tuple[str, Mapping[str, Any] | None]]) -> Path:
    lines = [
        json.dumps({"id": i, "info": info, "readme": text}) for i, (text, info) in models.items()
    ]
    path.write_text("\n".join(lines))
    return path


def test_who_belongs(tmp_path: Path) -> None:
    source = dump(
        tmp_path / "d.jsonl",
        {
            "a/DistilBERT-x": ("", None),
            "a/base": (card(base="distilbert/distilbert-base-uncased"), None),
            "a/config": ("", {"config": {"model_type": "distilbert"}}),
            "a/child": (card(base="a/base"), None),
            "a/grandchild": (card(base="a/child"), None),
            "a/named-distilbert": (card(base="a/ancestor"), None),
            "a/ancestor": (card(base="bert-base-uncased"), None),
            "a/sibling": (card(base="a/ancestor"), None),
            "a/bert": (card(base="bert-base-uncased"), None),
        },
    )
    out = tmp_path / "snapshot.jsonl"
    assert write_snapshot(source, out) == 7
    ids = {raw["id"] for raw in raw_records(out, "snapshot")}
    assert ids == {
        "a/DistilBERT-x",
        "a/base",
        "a/config",
        "a/child",
        "a/grandchild",
        "a/named-distilbert",
        "a/ancestor",
    }


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = dump(tmp_path / "d.jsonl", {"a/distilbert": (card(), None)})
    out = tmp_path / "s.jsonl"
    assert main([str(source), "-o", str(out)]) == 0
    assert capsys.readouterr().out.startswith("1 models, 0.00 MB")
    first = out.read_bytes()
    assert main([str(source), "-o", str(out)]) == 0
    assert out.read_bytes() == first
    assert main([str(tmp_path / "none"), "-o", str(tmp_path / "t")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


def test_a_source_without_the_family_is_refused(tmp_path: Path) -> None:
    source = dump(tmp_path / "d.jsonl", {"a/bert": ("", None)})
    with pytest.raises(UserError, match="no model of the family"):
        write_snapshot(source, tmp_path / "s.jsonl")


if __name__ == "__main__":
    members = {raw["id"] for raw in raw_records(SNAPSHOT, "snapshot")}
    kept = [raw for raw in raw_records(CARDS, "cards") if raw["id"] in members]
    rows = feature_rows(kept)
    text = json.dumps({"features": digest(rows), "models": len(rows)}, indent=1, sort_keys=True)
    PINNED.write_text(text + "\n")
