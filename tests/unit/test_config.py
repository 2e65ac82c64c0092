"""The configuration: defaults, messages, and the documents generated from it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from tunescape import config as cfg
from tunescape.errors import UserError


def problems(data: dict) -> list[str]:
    with pytest.raises(UserError) as caught:
        cfg.load_config(data)
    return str(caught.value).splitlines()


def test_shipped_file_states_every_default(root: Path) -> None:
    data = cfg.read_config(root / "config.yaml")
    assert cfg.load_config(data) == cfg.Config()
    assert set(data) == set(cfg.Config.model_fields)
    for name, section in data.items():
        annotation = cfg.Config.model_fields[name].annotation
        model = cfg._section_of(annotation)
        if annotation is model:
            assert set(section) == set(model.model_fields), name
            continue
        required = {key for key, field in model.model_fields.items() if field.is_required()}
        for entry in section if isinstance(section, list) else section.values():
            assert required <= set(entry), name


def test_shipped_file_names_its_schema(root: Path) -> None:
    first = (root / "config.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={cfg.SCHEMA_PATH.as_posix()}"


def test_generated_documents_are_current(root: Path, tmp_path: Path) -> None:
    cfg.write_docs(tmp_path)
    for path in (cfg.SCHEMA_PATH, cfg.DOCS_PATH):
        assert (root / path).read_text() == (tmp_path / path).read_text(), (
            f"run `make docs`: {path}"
        )


def test_shipped_files_fit_the_json_schema(root: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((root / cfg.SCHEMA_PATH).read_text())
    for path in [root / "config.yaml", *sorted((root / "studies").glob("*.yaml"))]:
        errors = jsonschema.Draft202012Validator(schema).iter_errors(cfg.read_config(path))
        assert [error.message for error in errors] == [], path


def test_unknown_key_names_the_nearest() -> None:
    assert problems({"regression": {"degre": 2}}) == [
        "config.yaml: regression.degre: unknown key (did you mean 'degree'?)"
    ]


def test_all_problems_at_once() -> None:
    said = problems(
        {
            "hub": {"source": "snapsho", "buckets": 0},
            "regression": {"degree": True, "metrics": ["acuracy"]},
            "populations": {"a": {"base_model": []}},
            "nonsense": 1,
        }
    )
    assert [line.split(": ")[1] for line in said] == [
        "hub.source",
        "hub.buckets",
        "populations.a.base_model",
        "populations.a.baseline",
        "regression.metrics.0",
        "regression.degree",
        "nonsense",
    ]
    assert "did you mean 'accuracy'?" in said[4]


@pytest.mark.parametrize(
    ("data", "key", "says"),
    [
        ({"coverage": {"min_rows": 10}}, "coverage.min_rows", "10 terms"),
        (
            {"populations": {"a": {"base_model": ["x"], "baseline": "sst2-englsh"}}},
            "populations.a.baseline",
            "unknown baseline 'sst2-englsh' (did you mean 'sst2-english'?)",
        ),
        (
            {"regression": {"metrics": ["precision"]}},
            "baselines.sst2-english.values",
            "no precision",
        ),
        ({"regression": {"metrics": ["bleu"]}}, "regression.metrics.0", "got 'bleu'"),
        ({"regression": {"metrics": ["f1", "f1"]}}, "regression.metrics", "given twice"),
        ({"hub": None}, "hub", "expected keys and values"),
        ({"regression": {"degree": 3}}, "regression.degree", "expected less than or equal to 2"),
        ({"regression": {"degree": 1.5}}, "regression.degree", "whole number"),
        ({"regression": {"views": []}}, "regression.views", "at least 1"),
        ({"populations": {"../x": {}}}, "populations.../x", "bad name"),
    ],
)
def test_each_kind_of_problem(data: dict, key: str, says: str) -> None:
    said = problems(data)
    assert any(line.startswith(f"config.yaml: {key}: ") and says in line for line in said), said


def test_numbers_may_be_written_as_yaml_strings() -> None:
    base = {"model": "m", "values": {"learning_rate": "1e-5", "loss": "0.4", "accuracy": 1}}
    values = cfg.load_config({"baselines": {"b": base, "sst2-english": full_baseline()}}).baselines
    assert values["b"].values["learning_rate"] == 1e-5


def full_baseline() -> dict:
    return cfg.Config().baselines["sst2-english"].model_dump()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "c.yaml:"),
        ("a: 1\na: 2", "c.yaml:2: not valid YAML (key 'a' is given twice)"),
        ("- 1", "expected keys and values"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_unreadable_files_are_one_message(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        cfg.read_config(path)
    assert says in str(caught.value)


def test_merge_goes_key_by_key() -> None:
    merged = cfg.merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": {"e": 1}})
    assert merged == {"a": {"b": 9, "c": 2}, "d": {"e": 1}}


def test_numbers_that_snakemake_reads_as_text_are_numbers() -> None:
    told = cfg.with_numbers({"a": [{"low": "1e-6", "name": "1e-6x"}], "b": "-2.5E+3", "c": "e1"})
    assert told == {"a": [{"low": 1e-6, "name": "1e-6x"}], "b": -2500.0, "c": "e1"}


def test_dates_and_base_models_of_a_discovery_are_checked() -> None:
    dated = cfg.load_config({"discovery": {"modified_after": datetime.date(2023, 4, 1)}})
    assert dated.discovery.modified_after == "2023-04-01"
    with pytest.raises(UserError) as error:
        cfg.load_config({"discovery": {"modified_before": "May", "base_models": ["distilbert*"]}})
    assert "discovery.modified_before: got 'May'" in str(error.value)
    with pytest.raises(UserError, match=r"discovery\.base_models\.0: got 'distilbert\*'"):
        cfg.load_config({"discovery": {"base_models": ["distilbert*"]}})
