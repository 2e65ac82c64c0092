"""Parsed cards to features: identity, task, recovered sizes, flags, duplicates and families."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hub_cards import SIZES, SST2, card, features, parsed
from tunescape.cards import HistoryRow
from tunescape.errors import UserError
from tunescape.features import build_features, features_of
from tunescape.identity import (
    Evidence,
    canonical_dataset,
    canonical_model,
    find_task,
    possible_with,
    read_eval_sizes,
)
from tunescape.parsing import parse_bucket, steps_per_epoch
from tunescape.schemas import FEATURE_COLUMNS, FEATURES, validate_features
from tunescape.sources import harvest_bucket, split_source

ROOT = Path(__file__).resolve().parents[2]


def test_metrics_have_one_list_wherever_it_stands() -> None:
    from typing import get_args

    from tunescape import config, schemas
    from tunescape.cards import records
    from tunescape.training import metrics as training_metrics

    assert records.METRICS == schemas.METRICS == get_args(config.Metric)
    assert get_args(config.TunedMetric) == training_metrics.METRICS
    assert set(records.METRICS) <= set(FEATURE_COLUMNS)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("distilbert/distilbert-base-uncased", "distilbert-base-uncased"),
        ("distilbert-base-uncased", "distilbert-base-uncased"),
        ("https://huggingface.co/google-bert/bert-base-cased/", "bert-base-cased"),
        ("FacebookAI/xlm-roberta-base", "xlm-roberta-base"),
        ("FacebookAI/other", "FacebookAI/other"),
        ("dbmdz/distilbert-base-turkish-cased", "dbmdz/distilbert-base-turkish-cased"),
        ("./results/checkpoint-500", None),
        ("/content/drive/model", None),
        ("C:\\models\\x", None),
        ("my own model", None),
        ("None", None),
        ("", None),
    ],
)
def test_base_models_have_one_spelling(stated: str, expected: str | None) -> None:
    assert canonical_model(stated) == expected


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("glue", "sst2", "glue/sst2"),
        ("GLUE", "SST-2", "glue/sst2"),
        ("nyu-mll/glue", "sst2", "glue/sst2"),
        ("sst2", None, "glue/sst2"),
        ("stanfordnlp/sst2", None, "glue/sst2"),
        ("GLUE SST-2", None, "glue/sst2"),
        ("glue_mrpc", None, "glue/mrpc"),
        ("glue", "default", "glue"),
        ("stanfordnlp/imdb", "plain_text", "imdb"),
        ("IMDB", None, "imdb"),
        ("dair-ai/emotion", "split", "emotion"),
        ("tweet_eval", "emotion", "tweet_eval/emotion"),
        ("someone/emotion", None, "someone/emotion"),
        ("csv", None, None),
        ("an unknown dataset", None, None),
        ("None", None, None),
    ],
)
def test_data_sets_have_one_spelling(name: str, config: str | None, expected: str | None) -> None:
    assert canonical_dataset(name, config) == expected


def test_shipped_evaluation_sets() -> None:
    sizes = read_eval_sizes(ROOT / "resources" / "eval_sizes.csv")
    assert sizes.lookup("glue/sst2", None) == (872, False)
    assert sizes.lookup("glue/mrpc", "test") == (1725, True)
    # `train` is the split the Trainer's data set was made from, not the one evaluated on.
    assert sizes.lookup("glue/cola", "train") == (1043, False)
    assert sizes.lookup("glue/cola", "some[:10%]") == (None, False)
    assert sizes.lookup("nobody/knows", None) == (None, False)
    splits = pd.read_csv(ROOT / "resources" / "eval_sizes.csv")
    assert (splits.groupby("dataset")["default"].sum() == 1).all()


def test_a_bad_size_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text("dataset,split,examples,default\nimdb,test,many,1\n")
    with pytest.raises(UserError, match=r"sizes\.csv:2"):
        read_eval_sizes(path)


def test_which_shares_are_possible() -> None:
    assert possible_with(0.9106, 872)  # 794 of 872
    assert not possible_with(0.9103, 872)
    assert possible_with(0.91055046, 872)
    assert not possible_with(0.91055145, 872)
    assert possible_with(0.91, 25000)


def history(*pairs: tuple[float, float]) -> list[HistoryRow]:
    return [HistoryRow(epoch, step, None, None) for epoch, step in pairs]


def test_steps_per_epoch() -> None:
    assert steps_per_epoch(history((1.0, 230.0), (2.0, 460.0))) == (230, 230)
    low, high = steps_per_epoch(history((0.32, 500.0), (0.64, 1000.0), (1.92, 3000.0))) or (0, 0)
    assert 1558 < low < 1563 < high < 1567
    assert steps_per_epoch(history((1.0, 230.0), (2.0, 500.0))) is None
    assert steps_per_epoch(history((0.0, 0.0))) is None
    assert steps_per_epoch([HistoryRow(None, 10.0, None, None)]) is None


TABLE = """| Training Loss | Epoch | Step | Validation Loss |
|:-------------:|:-----:|:----:|:---------------:|
| 0.5           | 1.0   | {0}  | 0.4213          |
| 0.3           | 2.0   | {1}  | 0.4213          |"""


def test_training_size_is_recovered_where_rows_agree() -> None:
    found = features(
        ("a/agree", card(table=TABLE.format(230, 460))),
        ("a/accumulated", card(table=TABLE.format(115, 230), gradient_accumulation_steps=2,
                               total_train_batch_size=32)),
        ("a/disagree", card(table=TABLE.format(230, 500))),
        ("a/tiny", card(table=TABLE.format(2, 4))),
        ("a/none", card()),
    )  # fmt: skip
    size = found["train_size"]
    assert abs(size["a/agree"] - 3668) <= 8  # MRPC: 3,668 examples in batches of 16
    assert abs(size["a/accumulated"] - 3668) <= 32
    assert size[["a/disagree", "a/tiny", "a/none"]].isna().all()


def test_recovered_values_carry_provenance() -> None:
    frame, _ = parsed([("a/m", card(table=TABLE.format(230, 460)), {})])
    _, recovered = features_of(frame, SIZES)
    (row,) = recovered[recovered["field"] == "train_size"].to_dict("records")
    assert (row["value"], row["kind"], row["flag"]) == ("3665..3680", "results_table", "recovered")
    assert row["line"] > 1 and 0.9 < row["confidence"] < 1


def test_total_batches() -> None:
    found = features(
        ("a/plain", card()),
        ("a/devices", card(num_devices=4, gradient_accumulation_steps=2)),
        ("a/stated", card(gradient_accumulation_steps=2, total_train_batch_size=99)),
    )
    assert list(found["total_train_batch_size"]) == [128, 16, 99]
    assert list(found["train_batch_size"]) == [16, 16, 16]
    assert "total_batch_inconsistent" in found["flags"]["a/stated"]
    assert pd.isna(found["flags"]["a/plain"]) or "batch" not in found["flags"]["a/plain"]


def test_evaluation_size_only_where_the_accuracy_is_possible() -> None:
    sst2 = "glue/sst2"
    found = features(
        ("a/sst2-right", card(dataset=sst2, metrics={"Loss": 0.3, "Accuracy": 0.9106})),
        ("a/sst2-wrong", card(dataset=sst2, metrics={"Loss": 0.3, "Accuracy": 0.9103})),
    )
    assert found["n_eval"]["a/sst2-right"] == 872
    assert pd.isna(found["n_eval"]["a/sst2-wrong"])
    assert "n_eval_unlikely" in found["flags"]["a/sst2-wrong"]


@pytest.mark.parametrize(
    ("evidence", "task"),
    [
        ({"architectures": ["DistilBertForTokenClassification"], "tags": ["text-classification"]},
         "token-classification"),
        ({"architectures": ["DistilBertForSequenceClassification"]}, "text-classification"),
        ({"architectures": ["Wav2Vec2ForSequenceClassification"]}, "audio-classification"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "text2text-generation"),
        ({"stated": ["Token Classification"], "metrics": ["f1"]}, "token-classification"),
        ({"pipeline_tag": "translation"}, "translation"),
        ({"tags": ["pytorch", "question-answering"]}, "question-answering"),
        ({"metric_names": ["Loss", "Rouge1"], "metrics": ["loss"]}, "summarization"),
        ({"metric_names": ["Wer"]}, "automatic-speech-recognition"),
        ({"metric_names": ["Bleu", "Gen Len"]}, "translation"),
        ({"metric_names": ["Loss", "Precision", "Recall", "F1", "Accuracy"], "metrics": ["f1"]},
         "token-classification"),
        ({"metric_names": ["Loss", "Accuracy", "F1", "Precision", "Recall"], "metrics": ["f1"]},
         "text-classification"),
        ({"datasets": ["conll2003"], "metrics": ["accuracy"]}, "token-classification"),
        ({"datasets": ["squad_v2"], "metrics": ["loss"]}, "question-answering"),
        ({"model_name": "distilbert-finetuned-ner", "metrics": ["f1"]}, "token-classification"),
        ({"model_name": "bert-partner", "metrics": ["f1"]}, "text-classification"),
        # A loss on the texts of IMDb may be a language model's.
        ({"datasets": ["imdb"], "model_name": "distilbert-finetuned-imdb", "metrics": ["loss"]}, None),
        ({"pipeline_tag": "feature-extraction", "metrics": ["accuracy"]}, "feature-extraction"),
        ({}, None),
    ],
)  # fmt: skip
def test_tasks(evidence: dict[str, Any], task: str | None) -> None:
    assert find_task(Evidence(**evidence)).name == task


def test_task_flags() -> None:
    found = features(
        ("a/assumed", card(dataset=None)),
        ("a/wrong", card(seed=1), {"config": {"architectures": ["BertForTokenClassification"]}}),
        ("a/unknown", card(dataset=None, metrics={"Loss": 0.3})),
        ("a/known", card(seed=2), {"pipeline_tag": "text-classification"}),
        ("a/conflict-ner", card(seed=3), {"pipeline_tag": "text-classification"}),
    )
    flags = found["flags"].fillna("")
    assert flags["a/assumed"] == "task_assumed"
    assert "wrong_task" in flags["a/wrong"]
    assert flags["a/unknown"] == "task_unknown"
    assert flags["a/known"] == ""
    assert flags["a/conflict-ner"] == "task_conflict"


def test_impossible_values_are_kept_and_flagged() -> None:
    found = features(
        ("a/lr", card(learning_rate=5)),
        ("a/epochs", card(num_epochs=50000)),
        ("a/batch", card(train_batch_size=0.5)),
        ("a/accuracy", card(metrics={"Accuracy": 250})),
        ("a/fine", card()),
    )
    assert found["learning_rate"]["a/lr"] == 5
    assert found["accuracy"]["a/accuracy"] == 250
    assert found["exclude_reason"].isna().all()
    assert "impossible_value:train_batch_size" in found["flags"]["a/batch"].split("|")
    assert "impossible_value:accuracy" in found["flags"]["a/accuracy"].split("|")
    assert "impossible_value:learning_rate" in found["flags"]["a/lr"].split("|")
    assert "impossible_value:num_epochs" in found["flags"]["a/epochs"].split("|")
    assert "impossible" not in str(found["flags"]["a/fine"])


def test_percent_is_repaired() -> None:
    found = features(("a/m", card(metrics={"Loss": 0.4, "Accuracy": "91.06%"})))
    assert found["accuracy"]["a/m"] == pytest.approx(0.9106)


def test_chains_follow_base_models_and_stop_at_loops() -> None:
    found = features(
        ("a/child", card(base=f"distilbert/{SST2}")),
        ("a/grandchild", card(base="A/Child", metrics={"Loss": 0.3131, "Accuracy": 0.7111})),
        ("x/one", card(base="x/two")),
        ("x/two", card(base="x/one")),
        ("x/self", card(base="x/self")),
    )
    assert found["base_chain"]["a/child"] == SST2
    assert found["base_chain"]["a/grandchild"] == f"A/Child|{SST2}"
    assert found["base_chain"]["x/one"] == "x/two"
    assert pd.isna(found["base_chain"]["x/self"])


def test_a_base_model_in_config_or_tags_counts_where_the_card_names_none() -> None:
    peft = {"config": {"peft": {"base_model_name_or_path": "distilbert-base-uncased"}}}
    found = features(
        ("a/config", card(base=None), peft),
        (
            "a/tag",
            card(base=None),
            {"tags": ["base_model:adapter:distilbert/distilbert-base-cased"]},
        ),
        ("a/none", card(base=None)),
    )
    assert found["base_model"]["a/config"] == "distilbert-base-uncased"
    assert found["base_model"]["a/tag"] == "distilbert-base-cased"
    assert pd.isna(found["base_model"]["a/none"])


def test_repeats_point_to_the_first() -> None:
    found = features(
        ("b/first", card(), {"lastModified": "2022-01-01T00:00:00Z"}),
        ("a/later", card(), {"lastModified": "2022-02-01T00:00:00Z"}),
        ("a/undated", card()),
        ("c/other-seed", card(seed=1)),
        ("c/other-base", card(base="bert-base-uncased")),
        ("d/coarse", card(metrics={"Accuracy": 0.9})),
        ("e/coarse", card(metrics={"Accuracy": 0.9})),
    )
    duplicate = found["duplicate_of"]
    assert duplicate["a/later"] == duplicate["a/undated"] == "b/first"
    others = ["b/first", "c/other-seed", "c/other-base", "d/coarse", "e/coarse"]
    assert duplicate[others].isna().all()
    assert "duplicate" in found["flags"]["a/later"].split("|")


def test_families_join_repeats_and_sweeps() -> None:
    def results(loss: float) -> dict[str, object]:
        return {"Loss": loss, "Accuracy": 0.8}

    found = features(
        ("a/sweep-lr1e-05-bs16", card(learning_rate="1e-05", metrics=results(0.41))),
        ("a/sweep-lr2e-05-bs16", card(metrics=results(0.42))),
        ("a/sweep-lr2e-05-bs32", card(train_batch_size=32, metrics=results(0.43))),
        ("a/same-settings", card(train_batch_size=32, metrics=results(0.44))),
        ("a/other", card(train_batch_size=64, metrics=results(0.45))),
        ("b/sweep-lr1e-05-bs16", card(learning_rate="1e-05", metrics=results(0.46))),
        ("b/reupload", card(train_batch_size=64, metrics={"Loss": 0.5123, "Accuracy": 0.8111})),
        ("c/reupload", card(train_batch_size=64, metrics={"Loss": 0.5123, "Accuracy": 0.8111})),
    )
    family = found["family"]
    assert family[[i for i in found.index if i.startswith("a/s")]].nunique() == 1
    assert family["a/other"] == "a/other"
    assert family["b/sweep-lr1e-05-bs16"] == "b/sweep-lr1e-05-bs16"
    assert family["b/reupload"] == family["c/reupload"]


def test_owners_and_early_models() -> None:
    found = features(("SomeOne/m", card()), ("gpt2", card(base=None)))
    assert found["owner"]["SomeOne/m"] == "someone"
    assert found["owner"]["gpt2"] == "huggingface"


def test_cards_without_use_have_a_reason() -> None:
    found = features(
        ("a/blank", ""),
        ("a/prose", "# just a title"),
        ("a/no-metrics", card(metrics={})),
        ("a/fine", card()),
    )
    reason = found["exclude_reason"]
    assert reason[["a/blank", "a/prose", "a/no-metrics"]].tolist() == [
        "no_card",
        "no_hyperparameters",
        "no_metrics",
    ]
    assert pd.isna(reason["a/fine"])


def test_a_parser_crash_stays_in_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunescape import parsing

    real = parsing.interpret

    def fragile(facts: Any, metadata: Any) -> Any:
        if metadata["id"] == "a/bad":
            raise RecursionError("too deep")
        return real(facts, metadata)

    monkeypatch.setattr(parsing, "interpret", fragile)
    frame, provenance = parsed([("a/bad", card(), {}), ("a/good", card(), {})])
    assert list(frame["status"]) == ["failed: RecursionError: too deep", "ok"]
    assert set(provenance["id"]) == {"a/good"}
    found, _ = features_of(frame, SIZES)
    assert found["exclude_reason"].tolist()[0] == "unreadable_card"


def test_the_schema_is_checked() -> None:
    frame = features(("a/m", card())).reset_index(drop=True)
    validate_features(frame, "here")
    with pytest.raises(UserError, match="model 'a/m' has several rows"):
        validate_features(pd.concat([frame, frame]), "here")
    with pytest.raises(UserError, match=r"accuracy of 'a/m' is 1\.5 and not flagged"):
        validate_features(frame.assign(accuracy=1.5), "here")
    assert list(frame.columns) == list(FEATURE_COLUMNS) == list(FEATURES)


def _arm(folder: Path, rows: list[dict[str, Any]], buckets: int) -> dict[str, bytes]:
    dump = folder / "dump.jsonl"
    dump.parent.mkdir(parents=True)
    dump.write_text("".join(json.dumps(r) + "\n" for r in rows))
    outs = {str(n): folder / "models" / f"{n}.jsonl" for n in range(buckets)}
    split_source("cards", dump, outs, folder / "source.json")
    for name, path in outs.items():
        raw, index = folder / "raw" / name, folder / f"{name}.index.jsonl"
        harvest_bucket(path, raw, index)
        parse_bucket(raw, index, folder / f"p{name}.parquet", folder / f"v{name}.parquet")
    build_features(
        [folder / f"p{name}.parquet" for name in outs],
        [folder / f"v{name}.parquet" for name in reversed(outs)],
        folder / "features.parquet",
        folder / "provenance.parquet",
        eval_sizes=ROOT / "resources" / "eval_sizes.csv",
    )
    names = ("features.parquet", "provenance.parquet")
    return {name: (folder / name).read_bytes() for name in names}


def test_the_arm_is_deterministic_whatever_the_order_and_buckets(tmp_path: Path) -> None:
    rows = [
        {"id": f"o{n % 3}/m{n}", "info": None, "readme": card(seed=n, table=TABLE.format(9, 18))}
        for n in range(20)
    ]
    one = _arm(tmp_path / "one", rows, 4)
    assert _arm(tmp_path / "two", rows[::-1], 4) == one
    assert _arm(tmp_path / "three", rows, 2)["features.parquet"] == one["features.parquet"]


def test_hostile_ids_pass_through_as_text(tmp_path: Path) -> None:
    ids = ["../../x", "<script>alert(1)</script>", "o/" + "n" * 300]
    _arm(tmp_path / "a", [{"id": i, "readme": card()} for i in ids], 2)
    assert sorted(pd.read_parquet(tmp_path / "a" / "features.parquet")["id"]) == sorted(ids)
