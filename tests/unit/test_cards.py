"""The card parser on cards written for the purpose: conventions, robustness, speed, lossless facts."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tunescape.cards import (
    HYPERPARAMETERS,
    METRICS,
    CardFacts,
    CardRecord,
    interpret,
    parse_card,
    read_card,
)

TRAINER = """---
license: apache-2.0
tags:
- generated_from_trainer
datasets:
- glue
metrics:
- accuracy
- f1
model-index:
- name: tiny-sst2
  results:
  - task:
      name: Text Classification
      type: text-classification
    dataset:
      name: glue
      type: glue
      config: sst2
      split: validation
      args: sst2
    metrics:
    - name: Accuracy
      type: accuracy
      value: 0.5
---

# tiny-sst2

This model is a fine-tuned version of [org/tiny-bert](https://huggingface.co/org/tiny-bert) on the glue dataset.
It achieves the following results on the evaluation set:
- Loss: 0.3901
- Accuracy: 0.9106
- F1: 0.9137

## Training procedure

### Training hyperparameters

The following hyperparameters were used during training:
- learning_rate: 2e-05
- train_batch_size: 16
- eval_batch_size: 64
- seed: 42
- gradient_accumulation_steps: 2
- total_train_batch_size: 32
- optimizer: Adam with betas=(0.9,0.999) and epsilon=1e-08
- lr_scheduler_type: linear
- lr_scheduler_warmup_ratio: 0.1
- lr_scheduler_warmup_steps: 500
- num_epochs: 3.0
- mixed_precision_training: Native AMP

### Training results

| Training Loss | Epoch | Step | Validation Loss | Accuracy | F1     |
|:-------------:|:-----:|:----:|:---------------:|:--------:|:------:|
| No log        | 1.0   | 100  | 0.4100          | 0.9000   | 0.9010 |
| 0.2000        | 2.0   | 200  | 0.3950          | 0.9050   | 0.9060 |
| 0.1000        | 3.0   | 300  | 0.4200          | 0.9100   | 0.9120 |

### Framework versions

- Transformers 4.26.1
- Pytorch 1.13.1+cu116
"""

KERAS = """---
tags:
- generated_from_keras_callback
model-index:
- name: m
  results: []
---

# m

This model is a fine-tuned version of [bert-base-cased](https://huggingface.co/bert-base-cased) on an unknown dataset.
It achieves the following results on the evaluation set:
- Train Loss: 0.3738
- Train Accuracy: 0.99
- Validation Loss: 0.9834
- Epoch: 4

### Training hyperparameters

The following hyperparameters were used during training:
- optimizer: {'name': 'AdamWeightDecay', 'learning_rate': {'class_name': 'WarmUp', 'config': {'initial_learning_rate': 2e-05, 'decay_schedule_fn': {'class_name': 'PolynomialDecay', 'config': {'initial_learning_rate': 2e-05, 'decay_steps': 990, 'end_learning_rate': 0.0, 'power': 1.0, 'cycle': False, 'name': None}, '__passive_serialization__': True}, 'warmup_steps': 10, 'power': 1.0, 'name': None}}, 'decay': 0.0, 'beta_1': 0.9, 'beta_2': 0.999, 'epsilon': 1e-08, 'amsgrad': False, 'weight_decay_rate': 0.01}
- training_precision: mixed_float16

### Training results

| Train Loss | Validation Loss | Epoch |
|:----------:|:---------------:|:-----:|
| 0.9929     | 0.8342          | 0     |
| 0.3738     | 0.9834          | 1     |
"""

AUTOTRAIN = """---
tags:
- autotrain
- text-classification
datasets:
- someone/autotrain-data-x
co2_eq_emissions:
  emissions: 1.2
---

# Model Trained Using AutoTrain

- Problem type: Multi-class Classification
- Model ID: 1

## Validation Metrics

- Loss: 0.167
- Accuracy: 0.938
- Macro F1: 0.911
- Micro F1: 0.938
- Weighted F1: 0.937
- Macro Precision: 0.913
- Micro Precision: 0.938
"""


def numbers(record: CardRecord) -> dict[str, object]:
    return {name: extracted.value for name, extracted in record.fields.items()}


def parse(text: str | bytes) -> CardRecord:
    return parse_card(text, {"id": "someone/model"})


def test_trainer_card() -> None:
    record = parse(TRAINER)
    assert record.card_kind == "trainer"
    assert numbers(record) == {
        "base_model": "org/tiny-bert",
        "datasets": ("glue",),
        "learning_rate": 2e-5,
        "train_batch_size": 16.0,
        "eval_batch_size": 64.0,
        "seed": 42.0,
        "gradient_accumulation_steps": 2.0,
        "total_train_batch_size": 32.0,
        "optimizer": "adam",
        "adam_epsilon": 1e-8,
        "lr_scheduler_type": "linear",
        "warmup_ratio": 0.1,
        "warmup_steps": 500.0,
        "num_epochs": 3.0,
        "mixed_precision": "Native AMP",
        "loss": 0.3901,
        "accuracy": 0.9106,
        "f1": 0.9137,
    }
    assert (record.dataset.type, record.dataset.config, record.dataset.split) == (
        "glue",
        "sst2",
        "validation",
    )
    assert record.task == "text-classification"
    assert record.frameworks == {"Transformers": "4.26.1", "Pytorch": "1.13.1+cu116"}
    assert [row.step for row in record.history] == [100.0, 200.0, 300.0]
    assert record.history[0].training_loss is None
    assert record.history[2].validation_loss == 0.42
    assert dict(record.history[2].metrics) == {"Accuracy": 0.91, "F1": 0.912}


def test_every_value_carries_its_place() -> None:
    lines = TRAINER.split("\n")
    for name, extracted in parse(TRAINER).fields.items():
        span = TRAINER[extracted.start : extracted.end]
        assert span, name
        assert span.split("\n")[0] in lines[extracted.line - 1], name
        assert 0 < extracted.confidence <= 1
    rate = parse(TRAINER).fields["learning_rate"]
    assert TRAINER[rate.start : rate.end] == "learning_rate: 2e-05"
    assert rate.kind == "trainer_list"


def test_keras_card() -> None:
    record = parse(KERAS)
    assert record.card_kind == "keras"
    assert numbers(record) == {
        "base_model": "bert-base-cased",
        "learning_rate": 2e-5,
        "optimizer": "adamw",
        "lr_scheduler_type": "polynomial",
        "warmup_steps": 10.0,
        "weight_decay": 0.01,
        "adam_epsilon": 1e-8,
        "mixed_precision": "mixed_float16",
        "loss": 0.9834,
    }
    assert {"training_loss", "training_accuracy"} <= set(record.flags)


def test_autotrain_macro_f1_stands_in_and_says_so() -> None:
    record = parse(AUTOTRAIN)
    assert record.card_kind == "autotrain"
    assert record.value("f1") == 0.911
    assert record.fields["f1"].flag == "macro_f1"
    assert record.value("accuracy") == 0.938
    assert "precision" not in record.fields
    assert record.value("datasets") == ("someone/autotrain-data-x",)


SETFIT = """---
library_name: setfit
tags:
- setfit
base_model: sentence-transformers/paraphrase-mpnet-base-v2
---

# SetFit

## Evaluation

### Metrics
| Label   | Accuracy |
|:--------|:---------|
| **all** | 0.8600   |

### Training Hyperparameters
- batch_size: (16, 16)
- num_epochs: (1, 1)
- body_learning_rate: (2e-05, 2e-05)
- head_learning_rate: 0.01
- warmup_proportion: 0.1
- seed: 42
"""

SENTENCE_TRANSFORMERS = """---
tags:
- sentence-transformers
base_model: distilbert/distilbert-base-uncased
---

# ST

### Training Hyperparameters
#### Non-Default Hyperparameters

- `per_device_train_batch_size`: 16
- `num_train_epochs`: 1

#### All Hyperparameters
- `per_device_train_batch_size`: 16
- `per_device_eval_batch_size`: 8
- `learning_rate`: 5e-05
- `lr_scheduler_type`: linear
- `warmup_ratio`: 0.1
- `seed`: 42
- `optim`: adamw_torch
"""

AUTOTRAIN_PLAIN = """---
tags:
- autotrain
---

# Model Trained Using AutoTrain

- Problem type: Text Classification

## Validation Metrics
loss: 0.45

f1_macro: 0.9

f1_micro: 0.92

f1_weighted: 0.91

precision_macro: 0.9

precision_micro: 0.92

accuracy: 0.93
"""

PEFT = """---
library_name: peft
base_model: org/base
tags:
- generated_from_trainer
---

# lora

It achieves the following results on the evaluation set:
- Loss: 0.2
- Accuracy: {'accuracy': 0.95}
- F1: {'f1': 0.94}

### Training hyperparameters

The following hyperparameters were used during training:
- learning_rate: 0.001
- optimizer: Use adamw_torch with betas=(0.9,0.999) and epsilon=1e-08 and optimizer_args=No additional optimizer arguments
- lr_scheduler_type: cosine_with_restarts
- training_steps: 500
"""


@pytest.mark.parametrize(
    ("card", "kind", "expected"),
    [
        (
            SETFIT,
            "setfit",
            {
                "accuracy": 0.86,
                "train_batch_size": 16.0,
                "num_epochs": 1.0,
                "learning_rate": 2e-5,
                "warmup_ratio": 0.1,
                "seed": 42.0,
            },
        ),
        (
            SENTENCE_TRANSFORMERS,
            "sentence_transformers",
            {
                "train_batch_size": 16.0,
                "eval_batch_size": 8.0,
                "learning_rate": 5e-5,
                "num_epochs": 1.0,
                "lr_scheduler_type": "linear",
                "optimizer": "adamw",
                "seed": 42.0,
            },
        ),
        (AUTOTRAIN_PLAIN, "autotrain", {"loss": 0.45, "f1": 0.9, "accuracy": 0.93}),
        (
            PEFT,
            "trainer",
            {
                "base_model": "org/base",
                "loss": 0.2,
                "accuracy": 0.95,
                "f1": 0.94,
                "optimizer": "adamw",
                "adam_epsilon": 1e-8,
                "lr_scheduler_type": "cosine_with_restarts",
                "max_steps": 500.0,
            },
        ),
    ],
)
def test_other_kinds(card: str, kind: str, expected: dict[str, object]) -> None:
    record = parse(card)
    assert record.card_kind == kind
    assert {name: record.value(name) for name in expected} == expected
    assert "precision" not in record.fields


def test_precedence_list_then_index_then_last_row() -> None:
    assert parse(TRAINER).value("accuracy") == 0.9106
    without_list = TRAINER.replace("- Accuracy: 0.9106\n", "")
    assert parse(without_list).value("accuracy") == 0.5
    assert parse(without_list).fields["accuracy"].kind == "model_index"
    nothing_else = without_list.replace("- name: Accuracy\n", "- name: Wer\n").replace(
        "type: accuracy", "type: wer"
    )
    extracted = parse(nothing_else).fields["accuracy"]
    assert (extracted.value, extracted.kind) == (0.91, "results_table")


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("- learning_rate = 1e-5\n- epochs = 3", "learning_rate", 1e-5),
        ("trained with a batch size of 16 for 3 epochs", "train_batch_size", 16.0),
        ("trained with a batch size of 16 for 3 epochs", "num_epochs", 3.0),
        ("fine-tuned for three epochs with lr 2e-5", "num_epochs", 3.0),
        ("fine-tuned for three epochs with lr 2e-5", "learning_rate", 2e-5),
        ("We used 32 batch size, 5e-5 learning rate.", "train_batch_size", 32.0),
        ("We used 32 batch size, 5e-5 learning rate.", "learning_rate", 5e-5),
        ("a learning rate of 1·10−4 was used", "learning_rate", 1e-4),
        ("The learning rate was 0,00002.", "learning_rate", 2e-5),
        ("- learning_rate: 0,00005\n- num_epochs: 3", "learning_rate", 5e-5),
        ("- max_steps: 2,000\n- warmup_steps: 1,500", "warmup_steps", 1500.0),
        ("a learning rate of $5 \\times 10^{-5}$", "learning_rate", 5e-5),
        ("- **Learning Rate:** 3e-5", "learning_rate", 3e-5),
        ("| Learning rate | 5e-5 |\n| Epochs | 4 |", "learning_rate", 5e-5),
        ("```\nbatch_size = 26\nn_epochs = 5\nlearning_rate = 5e-5\n```", "num_epochs", 5.0),
        ("```\n--learning_rate 3e-5 \\\n--num_train_epochs 2 \\\n```", "learning_rate", 3e-5),
        ("The optimizer used is AdamW with a learning rate of 1e-4.", "optimizer", "adamw"),
        ("- optimizer: Adam with betas=(0.9,0.999) and epsilon=1e-08", "optimizer", "adam"),
        ("- optim: adamw_torch\n- lr: 1e-4", "optimizer", "adamw"),
        ("- warmup: 600\n- lr: 1e-5", "warmup_steps", 600.0),
        ("- warmup: 6%\n- lr: 1e-5", "warmup_ratio", 0.06),
        ("- weight decay: 0.01\n- lr: 1e-5", "weight_decay", 0.01),
        ("The model achieved an accuracy of 91.3% on the test set.", "accuracy", 0.913),
        ("This model reaches an accuracy of 91.3 on the dev set.", "accuracy", 0.913),
        ("Achieved 75% accuracy on the test set.", "accuracy", 0.75),
        ("Accuracy: 0.91 on the test set", "accuracy", 0.91),
        ("- F1 Score: 87.4 %", "f1", 0.874),
        ("| Accuracy | F1 |\n|---|---|\n| 0.91 | 0.92 |", "f1", 0.92),
        ("Eval loss: 0.33", "loss", 0.33),
        ("- random seed: 7\n- lr: 1e-5", "seed", 7.0),
        ("a batch size of 64, instead of 125K with a batch size of 4096", "train_batch_size", 64.0),
        ("fine-tuned for 3 epochs; a one-epoch version is online", "num_epochs", 3.0),
        ("| lang | F1 |\n|-|-|\n| de | 80.1 |\n| overall | 82.5 |", "f1", 0.825),
        ("| Model | F1 |\n|-|-|\n| BERT | 80.1 |\n| Ours | 82.5 |", "f1", 0.825),
        ("```\n{'eval_loss': 0.5, 'eval_f1': 0.9}\n```", "f1", 0.9),
        (
            "    precision recall f1-score support\n a 1.0 0.9 0.9 10\n accuracy   0.94  20",
            "accuracy",
            0.94,
        ),
    ],
)
def test_free_form(text: str, field: str, value: object) -> None:
    assert parse("# A card\n\n" + text + "\n").value(field) == value


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("- learning rates: 3e-4, 1e-4, 5e-5", "learning_rate"),
        ("- batch sizes: 8, 16, 32", "train_batch_size"),
        ("We tried learning rates of {1e-5, 2e-5, 5e-5}.", "learning_rate"),
        ("- learning_rate: [1e-5, 5e-5]", "learning_rate"),
        ("| lang | F1 |\n|-|-|\n| de | 80.1 |\n| fr | 82.5 |", "f1"),
        ("```\nlr = 5e-5\nepochs = 2\n```\n\n```\nlr = 3e-5\nepochs = 2\n```", "learning_rate"),
    ],
)
def test_several_values_are_ambiguous(text: str, field: str) -> None:
    record = parse("# A card\n\n" + text + "\n")
    assert record.value(field) is None
    assert record.fields[field].flag == "ambiguous"
    assert f"ambiguous_{field}" in record.flags


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Trained for 20,000 steps with warm-up over 1,000 steps.", "num_epochs"),
        ("The best model was found after 1 epoch.", "num_epochs"),
        ("```python\nds.map(f, batched=True, batch_size=8)\n```", "train_batch_size"),
        ("```python\nmodel.generate(x, max_length=128)\n```", "max_length"),
        ("Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 123", "seed"),
        ("- Training loss: 0.12", "loss"),
        ("Train accuracy: 0.99", "accuracy"),
        ("It has less than 1% difference in accuracy.", "accuracy"),
        ("| Epoch | 1 | 2 |\n|---|---|---|\n| x | 3 | 4 |", "num_epochs"),
        ("- Accuracy: nan", "accuracy"),
        ("Recall@100: 0.87", "recall"),
        ("- Macro F1: 0.8\n- Micro F1: 0.9", "f1"),
        ("Latency for batch size = 1 is 3 ms.", "train_batch_size"),
    ],
)
def test_what_is_not_stated(text: str, field: str) -> None:
    assert field not in parse("# A card\n\n" + text + "\n").fields


def test_nan_in_the_evaluation_list_is_missing() -> None:
    record = parse(TRAINER.replace("- Loss: 0.3901", "- Loss: nan"))
    assert record.fields["loss"].kind == "results_table"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("- train_batch_size: 0", "train_batch_size", 0.0),
        ("- train_batch_size: 2.5", "train_batch_size", 2.5),
        ("- num_epochs: 0", "num_epochs", 0.0),
        ("- learning_rate: 250", "learning_rate", 250.0),
        ("- learning_rate: -0.001", "learning_rate", -0.001),
        ("- seed: 0.5", "seed", 0.5),
        ("- Accuracy: 250", "accuracy", 250.0),
        ("- Accuracy: 250%", "accuracy", 2.5),
        ("- F1: -0.4", "f1", -0.4),
        ("It reaches an accuracy of 250.0 on the test set.", "accuracy", 250.0),
        ("| Model | Accuracy |\n|---|---|\n| this | 117.3 |", "accuracy", 117.3),
    ],
)
def test_what_cannot_be_is_kept_and_flagged(text: str, field: str, value: float) -> None:
    record = parse("# A card\n\n" + text + "\n")
    assert record.value(field) == pytest.approx(value)
    assert record.fields[field].flag == "impossible"
    assert record.flags == (f"impossible_value:{field}",)


def test_what_cannot_be_gives_way_to_what_can() -> None:
    record = parse(TRAINER.replace("- Accuracy: 0.9106", "- Accuracy: 250"))
    assert record.value("accuracy") == 0.5
    assert record.fields["accuracy"].kind == "model_index"
    record = parse("# A card\n\n- batch size: 0\n- train batch size: 16\n- max_steps: -1\n")
    assert record.value("train_batch_size") == 16.0
    assert "max_steps" not in record.fields
    assert not record.flags


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("precision", "mAP@0.5", {}),
        ("precision", "mAP", {}),
        ("precision", "Average Precision", {}),
        ("accuracy", "WER", {}),
        ("accuracy", "Top 5 Accuracy@5", {}),
        ("f1", "ROUGE-L", {}),
        ("accuracy", "F1", {"f1": 0.7}),
        ("accuracy", "Test Loss", {"loss": 0.7}),
        ("precision", "Precision", {"precision": 0.7}),
        ("accuracy", "JGA", {"accuracy": 0.7}),
        ("accuracy", "", {"accuracy": 0.7}),
    ],
)
def test_the_name_in_the_index_speaks_where_it_contradicts(
    kind: str, name: str, expected: dict[str, float]
) -> None:
    metric = f"{{type: {kind}, name: '{name}', value: 0.7}}"
    index = f"---\nmodel-index:\n- name: m\n  results:\n  - metrics:\n    - {metric}\n---\n# m\n"
    record = parse(index)
    assert {key: record.value(key) for key in record.fields if key in METRICS} == expected


def test_reinforcement_learning_update_epochs_are_not_epochs() -> None:
    card = (
        "---\ntags:\n- reinforcement-learning\n---\n# PPO\n```python\nOrderedDict([('batch_size', 64),\n"
        " ('learning_rate', 'lin_2.5e-4'),\n ('n_epochs', 4)])\n```\n"
    )
    record = parse(card)
    assert record.value("learning_rate") == 2.5e-4
    assert record.value("train_batch_size") == 64.0
    assert "num_epochs" not in record.fields


def test_front_matter_beats_the_sentence() -> None:
    card = TRAINER.replace("datasets:\n- glue", "base_model: other/base\ndatasets:\n- imdb\n- sst2")
    record = parse(card)
    assert record.value("base_model") == "other/base"
    assert record.value("datasets") == ("imdb", "sst2")
    assert record.fields["base_model"].kind == "front_matter"


def test_index_on_the_training_split_is_not_an_evaluation() -> None:
    card = TRAINER.replace("- Accuracy: 0.9106\n", "").replace("split: validation", "split: train")
    # The Trainer writes the split of its training data beside an evaluation.
    assert parse(card).fields["accuracy"].kind == "model_index"
    other = card.replace("- generated_from_trainer", "- text-classification")
    record = parse(other)
    assert record.fields["accuracy"].kind == "results_table"
    assert "training_split_in_index" in record.flags


def test_index_of_several_tasks_is_ambiguous_and_verified_is_marked() -> None:
    entry = "  - task: {{type: {0}}}\n    metrics:\n    - {{name: {0} Accuracy, type: accuracy, value: {1}}}\n"
    card = (
        "---\nmodel-index:\n- name: m\n  results:\n"
        + entry.format("POS", 0.9)
        + entry.format("DEP", 0.8)
        + "---\n"
    )
    assert parse(card).fields["accuracy"].flag == "ambiguous"
    one = "---\nmodel-index:\n- name: m\n  results:\n  - metrics:\n    - {type: f1, value: 91.5, verified: true}\n---\n"
    extracted = parse(one).fields["f1"]
    assert extracted.value == 0.915
    assert "verified" in extracted.flag


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_ends_and_byte_order_mark(ending: str) -> None:
    text = "\ufeff" + TRAINER.replace("\n", ending)
    record = parse(text)
    assert numbers(record) == numbers(parse(TRAINER))
    rate = record.fields["learning_rate"]
    assert text[rate.start : rate.end].strip() == "learning_rate: 2e-05"
    assert rate.line == parse(TRAINER).fields["learning_rate"].line


def test_bytes_that_are_not_utf8_are_recorded() -> None:
    record = parse(TRAINER.replace("# tiny-sst2", "# caf\u00e9").encode("latin-1"))
    assert record.value("learning_rate") == 2e-5
    assert any(problem.startswith("not_utf8") for problem in record.problems)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("datasets:\n- imdb\nbase_model: a/b\nbad: [1, 2\n", "front_matter_malformed"),
        ("datasets:\n- imdb\nbase_model: a/b\nx: {{{ oops\n", "front_matter_malformed"),
        ("base_model: a/b\ndatasets:\n-\timdb\n", "front_matter_tabs"),
        (
            'base_model: a/b\ndatasets: [imdb]\nx: !!python/object/apply:os.system ["false"]\n',
            "yaml_tag_ignored",
        ),
        ("x: &x [1]\ny: *x\nbase_model: a/b\ndatasets: [imdb]\n", "yaml_alias_bounded"),
        ("base_model: a/b\ndatasets: [imdb]\nx: " + "[" * 5000 + "\n", "front_matter_too_deep"),
        ("base_model: a/b\ndatasets: [imdb]\nx:\n" + "- " * 5000 + "\n", "front_matter_too_deep"),
        (
            "base_model: a/b\ndatasets: [imdb]\nx: '" + "y" * 300_000 + "'\n",
            "front_matter_too_large",
        ),
    ],
)
def test_hostile_front_matter(block: str, problem: str) -> None:
    record = parse("---\n" + block + "---\n\n# Card\n\n- learning_rate: 1e-5\n")
    assert record.value("base_model") == "a/b"
    assert record.value("datasets") == ("imdb",)
    assert any(p.startswith(problem) for p in record.problems), record.problems


def test_alias_bomb_stays_small() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    card = "---\n" + "\n".join(lines) + "\ndatasets: *a39\ntags: *a38\n---\n"
    started = time.perf_counter()
    facts = read_card(card)
    assert time.perf_counter() - started < 2
    assert len(json.dumps(facts.to_json())) < 10_000


def test_unclosed_and_late_front_matter() -> None:
    unclosed = parse("---\ndatasets:\n- squad\n\n# Title\n\n- learning_rate: 2e-5\n")
    assert unclosed.value("datasets") == ("squad",)
    assert unclosed.value("learning_rate") == 2e-5
    assert "front_matter_unterminated" in unclosed.problems
    late = parse("A logo\n---\ndatasets:\n- squad\n---\n# Title\n")
    assert late.value("datasets") == ("squad",)


def test_the_model_itself_is_not_its_base() -> None:
    card = "# X\n\nThis is a fine-tuned version of [someone/model](https://huggingface.co/someone/model).\n"
    assert "base_model" not in parse(card).fields


def test_facts_hold_no_sentence() -> None:
    sentence = (
        "A long remark about how the author felt while training this on a rainy Sunday in 1999."
    )
    card = TRAINER.replace("# tiny-sst2\n", f"# tiny-sst2\n\n{sentence}\n").replace(
        "- seed: 42", f"- seed: 42\n- remark: {sentence}\n- warmup: {sentence}"
    )
    text = json.dumps(read_card(card).to_json())
    assert "rainy" not in text

    def strings(value: object) -> list[str]:
        if isinstance(value, str):
            return [value]
        if isinstance(value, dict):
            return [s for v in value.values() for s in strings(v)]
        if isinstance(value, list):
            return [s for v in value for s in strings(v)]
        return []

    assert max(map(len, strings(read_card(TRAINER).to_json()))) <= 120


@pytest.mark.parametrize(
    "card", [TRAINER, KERAS, AUTOTRAIN, TRAINER.replace("\n", "\r\n"), "", "---\n---\n"]
)
def test_facts_are_lossless(card: str) -> None:
    facts = read_card(card)
    again = CardFacts.from_json(json.loads(json.dumps(facts.to_json())))
    assert again == facts
    assert interpret(again, {}) == interpret(facts, {})


def test_facts_are_compact() -> None:
    assert len(json.dumps(read_card(TRAINER).to_json(), separators=(",", ":"))) < 1500


FRAGMENTS = st.sampled_from(
    [
        "---\n",
        "- learning_rate: ",
        "1e-5",
        "| Epoch | Loss |\n|---|---|\n",
        "| 1 | 0.5 |\n",
        "```\n",
        "{'name': 'Adam', 'learning_rate': {",
        "The following hyperparameters were used during training:\n",
        "results on the evaluation set:\n",
        "- Accuracy: 91%\n",
        "model-index:\n- name: x\n  results:\n  - metrics:\n    - {type: f1, value: 0.5}\n",
        "fine-tuned version of [a](https://huggingface.co/a) on the ",
        "dataset.\n",
        "batch size of ",
        " epochs ",
        "accuracy ",
        "&a [*a]",
        "!!python/name:os.system ",
        "\x00",
        "\ufeff",
        "\r",
        "\u2028",
        "İ",
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(FRAGMENTS, st.text(max_size=30)), max_size=40).map("".join))
def test_any_text_parses_and_survives_json(text: str) -> None:
    facts = read_card(text)
    again = CardFacts.from_json(json.loads(json.dumps(facts.to_json())))
    assert again == facts
    record = interpret(again, {"id": None, "tags": None, "config": None})
    known = {*HYPERPARAMETERS, *METRICS, "base_model", "datasets", "total_eval_batch_size"}
    assert set(record.fields) <= known
    for extracted in record.fields.values():
        assert 0 <= extracted.start <= extracted.end <= len(text)
        assert 1 <= extracted.line <= text.count("\n") + text.count("\r") + 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_parse(data: bytes) -> None:
    for card in (data, b"---\n" + data + b"\n---\n" + data):
        facts = read_card(card)
        assert CardFacts.from_json(facts.to_json()).to_json() == facts.to_json()


LONG = 1_000_000


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        " ",
        "\n",
        "|",
        "| a ",
        "- ",
        "* x: 1\n",
        "1",
        "1,",
        "1 ",
        "train ",
        "train batch ",
        "learning rate of ",
        "learning rate: 1e-5, ",
        "epochs 3 ",
        "accuracy ",
        "accuracy of 91.3% ",
        "macro weighted accuracy ",
        "fine-tuned version of [",
        "fine-tuned ",
        "trained on the ",
        "`x` ",
        "[a](b) ",
        "--- ",
        "'name': 'Adam', ",
        "from a ",
        "dataset: A B C ",
        "precision recall f1-score ",
        "x: y\n",
        "```\n",
        "|---|---|\n",
        "\t",
        "{",
        "optimizer adam ",
        "1e-5 to ",
    ],
)
def test_a_megabyte_of_anything_is_quick(unit: str) -> None:
    started = time.process_time()
    read_card("# t\n" + unit * (LONG // len(unit)))
    assert time.process_time() - started < 6.0  # about 1 s where nobody else computes


@pytest.mark.parametrize("before", ["---\n", "---\nmodel-index:\n- ", "- optimizer: {", "- F1: {"])
@pytest.mark.parametrize("unit", ["a: b\n", "- ", "'name': 'Adam', ", "{", "a ", "[x](y) "])
def test_a_megabyte_in_one_place_is_quick(before: str, unit: str) -> None:
    started = time.process_time()
    read_card(before + unit * (LONG // len(unit)) + "\n---\n")
    assert time.process_time() - started < 6.0  # about 1 s where nobody else computes
