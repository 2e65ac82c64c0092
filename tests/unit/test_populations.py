"""Populations: membership, an account of every model, coverage and the rule of choice."""

from pathlib import Path

import pandas as pd
import pytest
from hub_cards import SIZES, SST2, card, features, parsed
from tunescape.errors import UserError
from tunescape.features import features_of
from tunescape.populations import (
    PAPER_FACTORS,
    PAPER_METRICS,
    SOURCE,
    account_models,
    choose_variables,
    coverage,
    matches_base,
    measure_coverage,
    read_candidates,
    select_population,
    source_flow,
    write_sample,
)
from tunescape.schemas import COVERAGE_COLUMNS, METRICS, NINE_HYPERPARAMETERS
from tunescape.tables import write_json, write_table

CLASSIFIER = {"pipeline_tag": "text-classification"}
DISTIL = {"config": {"model_type": "distilbert"}}


@pytest.fixture(scope="module")
def zoo() -> pd.DataFrame:
    return features(
        ("a/child", card(base=SST2)),
        ("a/child2", card(base=f"distilbert/{SST2}")),
        ("a/grandchild", card(base="a/child", seed=2)),
        ("a/cased", card(base="DistilBERT-base-cased", seed=3)),
        ("a/turkish", card(base="dbmdz/distilbert-base-turkish-cased", seed=4)),
        ("a/multilingual", card(base="distilbert-base-multilingual-cased", seed=5)),
        ("a/bert", card(base="bert-base-uncased", seed=6)),
        ("a/roberta", card(base="distilroberta-base", seed=7)),
        ("a/by-config", card(base=None, seed=8), DISTIL),
        ("a/local", card(base="./my-model", seed=9), DISTIL),
        ("a/distilbert-by-name", card(base=None, seed=10)),
        ("distilbert-by-name", card(base=None, seed=11)),
        ("a/nothing", card(base=None, seed=12)),
    )


def members(frame: pd.DataFrame, *patterns: str) -> set[str]:
    return set(frame["id"][matches_base(frame, patterns)])


def test_a_plain_name_means_its_direct_children(zoo: pd.DataFrame) -> None:
    assert members(zoo, SST2) == {"a/child", "a/child2"}
    assert members(zoo, f"distilbert/{SST2}") == {"a/child", "a/child2"}
    assert members(zoo, "a/child") == {"a/grandchild"}


def test_a_star_means_the_family(zoo: pd.DataFrame) -> None:
    assert members(zoo, "distilbert*") == set(zoo["id"]) - {"a/bert", "a/roberta", "a/nothing"}
    assert members(zoo, "distilbert-base-*cased") >= {"a/cased", "a/turkish", "a/multilingual"}
    assert members(zoo, "nothing*") == {"a/nothing"}


def population(**over: object) -> dict[str, object]:
    return {"name": "p", "base_model": ["distilbert*"]} | over


def test_the_flow_accounts_for_every_model(zoo: pd.DataFrame) -> None:
    extra = features(
        ("b/blank", "", DISTIL),
        ("b/ner", card(seed=20), {"pipeline_tag": "token-classification"}),
        ("b/loss-only", card(metrics={"Loss": 2.4}, seed=21, dataset=None)),
        ("b/repeat", card(base=SST2)),
        ("b/no-lr", card(learning_rate=None, seed=22)),
        ("b/grid", card(learning_rate="1e-5, 2e-5, 3e-5", seed=23)),
        ("b/bad-lr", card(learning_rate=7, seed=24)),
        ("b/no-f1", card(metrics={"Loss": 0.31, "Accuracy": 0.93}, seed=25)),
    )
    models = features_again(zoo, extra)
    frame, flow = select_population(models, population())
    assert (flow["before"] - flow["removed"] == flow["after"]).all()
    assert flow["before"].iloc[0] == len(models)
    branch = flow["step"].str.startswith("metric ")
    chain = flow[~branch]
    assert (chain["before"].iloc[1:].to_numpy() == chain["after"].iloc[:-1].to_numpy()).all()
    assert chain["after"].iloc[-1] == len(frame)
    assert len(models) - chain["removed"].sum() == len(frame)
    for metric in ("accuracy", "f1", "loss"):
        part = flow[flow["step"] == f"metric {metric}"]
        assert part["before"].iloc[0] == len(frame)
        assert part["after"].iloc[-1] == frame[metric].notna().sum()
    reasons = set(zip(flow["step"], flow["reason"], strict=True))
    assert reasons >= {
        ("base model", "base model unknown"),
        ("base model", "other base model"),
        ("card", "no card"),
        ("task", "token-classification"),
        ("task", "unknown"),
        ("duplicates", "repeats another model's numbers"),
        ("learning_rate", "not stated"),
        ("learning_rate", "ambiguous"),
        ("learning_rate", "impossible value"),
        ("metric f1", "not stated"),
    }
    assert not {"b/blank", "b/ner", "b/loss-only", "b/no-lr", "b/grid", "b/bad-lr"} & set(
        frame["id"]
    )
    assert "b/no-f1" in set(frame["id"])


@pytest.mark.parametrize(
    ("step", "model"),
    [
        ("train_batch_size", card(train_batch_size=0)),
        ("learning_rate", card(learning_rate=250)),
        ("num_epochs", card(num_epochs=0)),
        ("metric accuracy", card(metrics={"Loss": 0.4, "Accuracy": 250})),
    ],
)
def test_what_cannot_be_is_told_apart_from_what_is_not_stated(step: str, model: str) -> None:
    models = features(("a/fine", card()), ("a/odd", model)).reset_index(drop=True)
    frame, flow = select_population(models, population())
    found = flow[(flow["reason"] == "impossible value")]
    assert list(zip(found["step"], found["removed"], strict=True)) == [(step, 1)]
    assert frame.loc[frame["id"] == "a/odd", "accuracy"].isna().all()


def features_again(*frames: pd.DataFrame) -> pd.DataFrame:
    """One table of several, with repeats across them pointed to as if they came together."""
    frame = pd.concat([f.reset_index(drop=True) for f in frames], ignore_index=True)
    frame.loc[frame["id"] == "b/repeat", "duplicate_of"] = "a/child"
    frame.loc[frame["id"] == "a/child2", "duplicate_of"] = "a/child"
    return frame


def test_duplicates_are_dropped_or_kept(zoo: pd.DataFrame) -> None:
    dropped, _ = select_population(zoo, population(base_model=[SST2]))
    kept, flow = select_population(zoo, population(base_model=[SST2], duplicates="keep"))
    assert set(dropped["id"]) == {"a/child"}
    assert set(kept["id"]) == {"a/child", "a/child2"}
    assert "duplicates" not in set(flow["step"])


def test_a_repeat_stays_when_its_original_is_not_in_the_population(zoo: pd.DataFrame) -> None:
    models = zoo.copy()
    models.loc["a/child", "task"] = "token-classification"
    frame, _ = select_population(models, population(base_model=[SST2]))
    assert set(frame["id"]) == {"a/child2"}


def test_unsure_numbers_are_left_out() -> None:
    frame, provenance = parsed([("a/m", card(), CLASSIFIER), ("a/n", card(seed=2), CLASSIFIER)])
    models, _ = features_of(frame, SIZES)
    unsure = (provenance["id"] == "a/m") & (provenance["field"] == "num_epochs")
    provenance.loc[unsure, "confidence"] = 0.4
    spec = population(min_confidence=0.5)
    found, flow = select_population(models, spec, provenance=provenance)
    assert set(found["id"]) == {"a/n"}
    assert "extraction not sure enough" in set(flow["reason"])
    assert models["num_epochs"].notna().all()


def test_bad_specs_are_refused(zoo: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="name and base_model"):
        select_population(zoo, {"name": "p"})
    with pytest.raises(UserError, match="no column lr"):
        select_population(zoo, population(), factors=["lr"])
    with pytest.raises(UserError, match="expected drop or keep"):
        select_population(zoo, population(duplicates="maybe"))


def test_coverage_counts_models_settings_owners_and_datasets() -> None:
    models = features(
        ("a/1", card(learning_rate="1e-05", seed=1, lr_scheduler_warmup_steps=100)),
        ("a/2", card(learning_rate="2e-05", seed=2, lr_scheduler_warmup_ratio=0.1)),
        ("b/3", card(learning_rate="2e-05", seed=3, dataset="glue/sst2")),
        ("b/4", card(learning_rate=None, seed=4, metrics={"Loss": 0.1, "Accuracy": 0.97})),
    )
    table = coverage(models, "p")
    assert list(table.columns) == list(COVERAGE_COLUMNS)
    assert len(table) == len(NINE_HYPERPARAMETERS) * len(METRICS) == 81
    cells = table.set_index(["hyperparameter", "metric"])[
        ["rows", "settings", "owners", "datasets"]
    ]
    assert tuple(cells.loc["learning_rate", "f1"]) == (3, 2, 2, 2)
    assert tuple(cells.loc["seed", "accuracy"]) == (4, 4, 2, 2)
    assert tuple(cells.loc["warmup", "loss"]) == (2, 2, 1, 1)
    assert tuple(cells.loc["learning_rate", "roc_auc"]) == (0, 0, 0, 0)


def test_the_rule_chooses_by_coverage_alone() -> None:
    table = pd.DataFrame(
        [
            ("p", "learning_rate", "f1", 30, 3, 9, 9),
            ("p", "num_epochs", "f1", 30, 2, 9, 9),
            ("p", "train_batch_size", "f1", 29, 9, 9, 9),
            ("p", "seed", "f1", 99, 9, 9, 9),
        ],
        columns=list(COVERAGE_COLUMNS),
    )
    chosen = choose_variables(table).set_index("hyperparameter")
    assert chosen["chosen"].to_dict() == {
        "learning_rate": True,
        "num_epochs": False,
        "train_batch_size": False,
    }
    assert chosen["reason"]["num_epochs"] == "fewer than 3 distinct values"
    assert chosen["reason"]["train_batch_size"] == "fewer than 30 models"
    assert "seed" in set(choose_variables(table, factors=None)["hyperparameter"])
    relaxed = choose_variables(table, min_rows=1, min_settings=2)
    assert relaxed["chosen"].all()


def test_sample_coverage_and_account_are_written(tmp_path: Path, zoo: pd.DataFrame) -> None:
    _, provenance = parsed([("a/child", card(), {})])
    write_table(zoo, tmp_path / "f.parquet")
    write_table(provenance, tmp_path / "v.parquet")
    spec = {**population(), "factors": list(PAPER_FACTORS), "metrics": list(PAPER_METRICS)}
    write_sample(
        tmp_path / "f.parquet",
        tmp_path / "v.parquet",
        tmp_path / "sample.parquet",
        tmp_path / "flow.csv",
        spec,
    )
    sample = pd.read_parquet(tmp_path / "sample.parquet")
    complete, flow = select_population(zoo, spec, provenance=provenance)
    assert set(complete["id"]) <= set(sample["id"])
    assert list(sample.columns) == list(zoo.columns)

    rule = {**spec, "min_rows": 30, "min_settings": 3}
    measure_coverage(
        tmp_path / "sample.parquet", tmp_path / "coverage.csv", tmp_path / "choice.csv", rule
    )
    assert len(pd.read_csv(tmp_path / "coverage.csv")) == 81
    assert len(pd.read_csv(tmp_path / "choice.csv")) == 9

    report = {"records": len(zoo) + 1, "bad": {"not JSON": 1}, "duplicates": 0, "models": len(zoo)}
    write_json(report, tmp_path / "source.json")
    account_models(tmp_path / "source.json", [tmp_path / "flow.csv"], tmp_path / "all.csv")
    account = pd.read_csv(tmp_path / "all.csv")
    assert account["population"].iloc[0] == SOURCE
    assert len(account) == 2 + len(flow)
    assert account[account["population"] == SOURCE]["after"].iloc[-1] == flow["before"].iloc[0]


@pytest.mark.parametrize("least", [0.0, 0.95])
def test_a_sample_is_the_same_read_whole_or_in_parts(tmp_path: Path, least: float) -> None:
    cards = [
        (f"o{n}/m{n}", card(seed=n % 9, learning_rate=None if n % 4 else "2e-5"), CLASSIFIER)
        for n in range(40)
    ]
    table, provenance = parsed([*cards, ("a/bert", card(base="bert-base-uncased"), {})])
    models, recovered = features_of(table, SIZES)
    places = pd.concat([provenance, recovered]).sort_values(["id", "field"], kind="stable")
    names = {"factors": list(PAPER_FACTORS), "metrics": list(PAPER_METRICS)}
    spec = {**population(min_confidence=least), **names}
    found = []
    for rows in (1000, 7):
        folder = tmp_path / str(rows)
        folder.mkdir()
        models.to_parquet(folder / "f.parquet", row_group_size=rows)
        places.to_parquet(folder / "v.parquet", row_group_size=rows)
        outs = [folder / "sample.parquet", folder / "flow.csv"]
        write_sample(folder / "f.parquet", folder / "v.parquet", *outs, spec)
        found.append([path.read_bytes() for path in outs])
        candidates = read_candidates(folder / "f.parquet", spec)
        _, whole = select_population(models, spec, provenance=provenance)
        _, again = select_population(candidates, spec, provenance=provenance)
        pd.testing.assert_frame_equal(pd.read_csv(outs[1]), whole.astype({"reason": "str"}))
        assert whole.iloc[-1].tolist() == again.iloc[-1].tolist()
    assert found[0] == found[1]


def test_the_flow_begins_with_the_records_of_the_dump() -> None:
    flow = source_flow({"records": 10, "bad": {"not JSON": 2}, "duplicates": 1, "models": 7})
    assert (flow["before"] - flow["removed"] == flow["after"]).all()
    assert set(flow["population"]) == {SOURCE}
    assert list(flow["after"]) == [8, 7, 7]
