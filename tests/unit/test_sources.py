"""Dumps of model cards: streamed, split into stable buckets, laid out as raw JSON files."""

import gzip
import json
import random
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tunescape import sources
from tunescape.errors import UserError
from tunescape.hub import bucket_names, bucket_of
from tunescape.schemas import RAW_SCHEMA, features_schema, validate_raw
from tunescape.sources import (
    SourceReport,
    card_record,
    harvest_bucket,
    raw_line,
    read_index,
    read_raw,
    read_source,
    split_source,
)

INFO = {
    "sha": "abc",
    "lastModified": "2022-05-01T10:00:00.000Z",
    "tags": ["pytorch"],
    "pipeline_tag": "text-classification",
    "library_name": "transformers",
    "downloads": 7,
    "likes": 0,
    "config": {
        "architectures": ["DistilBertForSequenceClassification"],
        "model_type": "distilbert",
    },
}


def row(model_id: str, readme: str = "# card", **info: Any) -> dict[str, Any]:
    return {"id": model_id, "info": {**INFO, **info}, "readme": readme}


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def split(path: Path, folder: Path, buckets: int = 4) -> dict[str, bytes]:
    outs = {name: folder / f"{name}.jsonl" for name in bucket_names(buckets)}
    split_source("cards", path, outs, folder / "source.json")
    return {name: out.read_bytes() for name, out in outs.items()}


def records(path: Path, kind: str = "cards") -> tuple[list[dict[str, Any]], SourceReport]:
    report = SourceReport()
    return list(read_source(kind, path, report)), report


def test_a_record_holds_what_the_hub_says(tmp_path: Path) -> None:
    (found,), _ = records(jsonl(tmp_path / "d.jsonl", [row("a/b")]))
    assert found == {
        "schema": 1,
        "id": "a/b",
        "revision": "abc",
        "last_modified": "2022-05-01T10:00:00Z",
        "downloads": 7,
        "likes": 0,
        "tags": ["pytorch"],
        "pipeline_tag": "text-classification",
        "library": "transformers",
        "config": INFO["config"],
        "card_text": "# card",
        "facts": None,
        "source": "cards",
        "fetched_at": None,
        "status": "ok",
    }
    validate_raw(found, "here")


def test_formats_agree(tmp_path: Path) -> None:
    """JSON Lines, gzip and parquet of the same models give the same records."""
    rows = [row(f"o/m{n}", readme=f"# card {n}\r\n\ttab é") for n in range(1200)]
    plain = jsonl(tmp_path / "d.jsonl", rows)
    zipped = tmp_path / "d.jsonl.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    table = pa.table(
        {
            "modelId": [r["id"] for r in rows],
            "author": ["o"] * len(rows),
            "last_modified": pa.array(
                [datetime(2022, 5, 1, 10, tzinfo=UTC)] * len(rows), pa.timestamp("ns", "UTC")
            ),
            "downloads": [7] * len(rows),
            "likes": [0] * len(rows),
            "library_name": ["transformers"] * len(rows),
            "tags": [["pytorch"]] * len(rows),
            "pipeline_tag": ["text-classification"] * len(rows),
            "createdAt": pa.array([None] * len(rows), pa.timestamp("us", "UTC")),
            "card": [r["readme"] for r in rows],
        }
    )
    dump = tmp_path / "d.parquet"
    pq.write_table(table, dump, row_group_size=500)
    one, _ = records(plain)
    assert records(zipped)[0] == one
    other, report = records(dump)
    assert report.records == 1200
    for record in one:
        record["revision"], record["config"] = None, {}
    assert other == one


def test_parquet_with_broken_bytes_and_odd_columns(tmp_path: Path) -> None:
    cards = pa.Array.from_buffers(
        pa.string(),
        2,
        pa.array([b"caf\xe9 \xff", b"fine"], pa.binary()).buffers(),
    )
    table = pa.table(
        {
            "modelId": pa.array(["a/b", None]).dictionary_encode(),
            "card": cards,
            "downloads": [3.0, float("nan")],
            "tags": pa.array([["x", None], None], pa.list_(pa.large_string())),
        }
    )
    path = tmp_path / "odd.parquet"
    pq.write_table(table, path)
    found, report = records(path)
    assert [f["card_text"] for f in found] == ["caf\ufffd \ufffd"]
    assert (found[0]["downloads"], found[0]["tags"]) == (3, ["x"])
    assert report.bad == {"no model id": 1}
    assert report.replaced == 1


def test_parquet_without_cards_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pd.DataFrame({"modelId": ["a"]}).to_parquet(path)
    with pytest.raises(UserError, match=r"x\.parquet: no column card"):
        records(path)


def test_a_cut_off_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pd.DataFrame({"modelId": ["a"], "card": ["b"]}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match="not readable as parquet"):
        records(path)


def test_bad_lines_are_counted_with_reasons_and_cost_nothing_else(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"id": "a/1", "info": null, "readme": "x"}',
        b"",
        b"not json",
        b'{"id": "a/2", "readme": 5}',
        b"[1, 2]",
        b'{"info": {}, "readme": "no id"}',
        b'{"id": "a\\u0000b", "readme": ""}',
        b'{"id": "a/3", "info": "text", "readme": "caf\xe9"}',
        b"[" * 100_000,
        b'{"id": "a/4", "info": {"tags": "x", "downloads": -1, "lastModified": "soon", "config": []}}',
        b'{"id": "a/5", "info": {"likes": true, "tags": [1, "t"], "sha": ["x"]}, "readme": "\\ud800"}',
        b'{"id": "' + b"x" * 1001 + b'", "readme": ""}',
        b'{"id": "a/6", "readme": "cut',
    ]
    path = tmp_path / "d.jsonl"
    path.write_bytes(b"\r\n".join(lines))
    found, report = records(path)
    assert [f["id"] for f in found] == ["a/1", "a/3", "a/4", "a/5"]
    for record in found:
        validate_raw(record, "here")
        raw_line(record).encode("utf-8")
    assert found[1]["card_text"] == "caf\ufffd"
    assert (found[2]["status"], found[2]["tags"], found[2]["downloads"]) == ("no card", [], None)
    assert (found[3]["tags"], found[3]["likes"], found[3]["revision"]) == (["t"], None, None)
    assert report.records == 12
    assert report.bad == {
        "not JSON": 2,
        "card is not text": 1,
        "not a JSON object": 1,
        "no model id": 1,
        "model id with control characters": 1,
        "JSON nested too deeply": 1,
        "model id too long": 1,
    }
    assert report.examples[0] == {"where": "d.jsonl:3", "reason": "not JSON"}


def test_overlong_lines_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LINE_LIMIT", 1000)
    path = jsonl(tmp_path / "d.jsonl", [row("a/1"), row("a/2", "x" * 5000), row("a/3")])
    found, report = records(path)
    assert [f["id"] for f in found] == ["a/1", "a/3"]
    assert report.bad == {"line too long": 1}


def test_a_cut_off_gzip_file_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl.gz"
    text = "".join(json.dumps(row(f"a/{n}", str(random.random()))) + "\n" for n in range(2000))
    path.write_bytes(gzip.compress(text.encode())[:-4000])
    with pytest.raises(UserError, match=r"d\.jsonl\.gz: damaged or cut off after line \d+"):
        split(path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.jsonl"))


@pytest.mark.parametrize("text", ["", "[]\n", "{}\n{}\n"])
def test_a_dump_without_models_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match="no model in"):
        split(path, tmp_path / "out")


def test_missing_dumps_and_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        records(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="unknown source 'web'"):
        records(tmp_path, kind="web")
    with pytest.raises(UserError, match="no dump in this folder"):
        records(tmp_path)


def test_a_folder_of_shards_is_one_dump(tmp_path: Path) -> None:
    jsonl(tmp_path / "b.jsonl", [row("a/2")])
    pd.DataFrame({"modelId": ["a/1"], "card": ["x"]}).to_parquet(tmp_path / "a.parquet")
    assert [f["id"] for f in records(tmp_path)[0]] == ["a/1", "a/2"]


def test_bucket_files_are_sorted_complete_and_independent_of_order(tmp_path: Path) -> None:
    rows = [row(f"o/m{n}") for n in range(60)]
    one = split(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "one")
    random.Random(1).shuffle(rows)
    assert split(jsonl(tmp_path / "b.jsonl", rows), tmp_path / "two") == one
    for name, data in one.items():
        ids = [json.loads(line)["id"] for line in data.splitlines()]
        assert ids == sorted(ids)
        assert {bucket_of(i, 4) for i in ids} <= {name}
    assert sum(data.count(b"\n") for data in one.values()) == 60


def test_splitting_does_not_depend_on_how_much_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(tmp_path / "d.jsonl", [row(f"o/m{n % 40}", f"{n}") for n in range(100)])
    one = split(path, tmp_path / "one")
    monkeypatch.setattr(sources, "SPILL_LIMIT", 500)
    assert split(path, tmp_path / "two") == one


def test_one_more_card_changes_one_bucket(tmp_path: Path) -> None:
    rows = [row(f"o/m{n}") for n in range(60)]
    before = split(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "one")
    after = split(jsonl(tmp_path / "b.jsonl", [*rows, row("new/model")]), tmp_path / "two")
    assert [name for name in before if before[name] != after[name]] == [bucket_of("new/model", 4)]


def test_of_several_records_the_latest_counts(tmp_path: Path) -> None:
    rows = [
        row("a/dated", "new", lastModified="2023-01-01T00:00:00Z"),
        row("a/dated", "old", lastModified="2022-01-01T00:00:00+02:00"),
        {"id": "a/undated", "readme": "first"},
        {"id": "a/undated", "readme": "last"},
    ]
    data = split(jsonl(tmp_path / "d.jsonl", rows), tmp_path / "out", 1)
    cards = {r["id"]: r["card_text"] for r in map(json.loads, data["0"].splitlines())}
    assert cards == {"a/dated": "new", "a/undated": "last"}
    report = json.loads((tmp_path / "out/source.json").read_text())
    assert (report["records"], report["duplicates"], report["models"]) == (4, 2, 2)


def test_wrong_bucket_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="buckets are named"):
        split_source("cards", tmp_path / "d.jsonl", {"a": tmp_path / "a"})


def test_memory_does_not_grow_with_the_dump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SPILL_LIMIT", 2**20)

    def peak(models: int) -> int:
        path = tmp_path / f"{models}.jsonl"
        with path.open("w") as handle:
            for n in range(models):
                handle.write(json.dumps(row(f"o/m{n}", "x" * 8000)) + "\n")
        tracemalloc.start()
        outs = {name: tmp_path / f"{models}-{name}" for name in bucket_names(models // 100)}
        split_source("cards", path, outs)
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    assert peak(1600) < 1.5 * peak(400)


def test_a_harvested_bucket_is_one_safe_file_a_model(tmp_path: Path) -> None:
    ids = ["a/b", "A/B", "../../x", "gpt2", "o/" + "n" * 300, "<script>alert(1)</script>"]
    split(jsonl(tmp_path / "d.jsonl", [row(i) for i in ids]), tmp_path / "models", 1)
    raw = tmp_path / "raw" / "0"
    raw.mkdir(parents=True)
    (raw / "stale.json").write_text("{}")
    index = tmp_path / "raw" / "0.index.jsonl"
    assert harvest_bucket(tmp_path / "models/0.jsonl", raw, index) == len(ids)
    entries = read_index(index)
    assert [r["id"] for r in read_raw(raw, entries)] == sorted(ids)
    assert {e["file"] for e in entries} == {p.name for p in raw.iterdir()}
    assert {p.name for p in (tmp_path / "raw").iterdir()} == {"0", "0.index.jsonl"}
    first = index.read_bytes()
    harvest_bucket(tmp_path / "models/0.jsonl", raw, index)
    assert index.read_bytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, r"here: schema: holds 2; expected 1"),
        ({"id": ""}, r"here: id: holds ''"),
        ({"downloads": -1}, r"here: downloads: holds -1; expected integer or null"),
        ({"likes": True}, r"here: likes: holds True"),
        ({"tags": ["a", 1]}, r"here: tags: holds"),
        ({"source": "web"}, r"expected cards or snapshot or hub"),
        ({"extra": 1}, r"here: extra: unknown key"),
        ({"config": None}, r"here: config: holds None; expected object"),
    ],
)
def test_raw_records_are_checked(change: dict[str, Any], message: str) -> None:
    record = card_record("a/b", INFO, "x") | change
    with pytest.raises(UserError, match=message):
        validate_raw(record, "here")


def test_missing_keys_and_other_values_are_refused() -> None:
    record = card_record("a/b", INFO, "x")
    del record["status"]
    with pytest.raises(UserError, match="here: status: missing"):
        validate_raw(record, "here")
    with pytest.raises(UserError, match="an object"):
        validate_raw([], "here")


def test_the_validator_agrees_with_the_json_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator(RAW_SCHEMA)
    base = card_record("a/b", INFO, "x")
    values: list[Any] = [None, "", "ok", "cards", 0, 1, -1, 1.5, True, [], [1], ["a"], {}, {"a": 1}]
    for key in base:
        for value in values:
            record = base | {key: value}
            try:
                validate_raw(record, "here")
                ours = True
            except UserError:
                ours = False
            # JSON Schema counts 1.0 as an integer and, for const, true is not 1.
            assert ours == checker.is_valid(record), (key, value)


def test_damaged_raw_files_name_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"schema": 1')
    with pytest.raises(UserError, match=r"a\.json: not readable as JSON"):
        list(read_raw(tmp_path, [{"file": "a.json", "id": "a", "sha256": ""}]))
    path = tmp_path / "snapshot.jsonl"
    path.write_text(raw_line(card_record("a/b", INFO, "x")) + '\n{"schema": 1}\n')
    with pytest.raises(UserError, match=r"snapshot\.jsonl:2: id: missing"):
        records(path, "snapshot")


def test_committed_schemas_are_current() -> None:
    folder = Path(__file__).resolve().parents[2] / "schemas"
    assert json.loads((folder / "raw.schema.json").read_text()) == RAW_SCHEMA
    assert json.loads((folder / "features.json").read_text()) == features_schema()
