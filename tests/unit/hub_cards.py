"""Made-up models for the tests of the hub arm: cards as the Trainer writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from tunescape.features import features_of
from tunescape.identity import EvalSizes
from tunescape.parsing import PARSED_COLUMNS, parse_record
from tunescape.schemas import PROVENANCE_COLUMNS
from tunescape.sources import card_record

SIZES = EvalSizes(
    {("glue/sst2", "validation"): 872, ("imdb", "test"): 25000},
    {"glue/sst2": "validation", "imdb": "test"},
)
SST2 = "distilbert-base-uncased-finetuned-sst-2-english"


def card(
    base: str | None = "distilbert-base-uncased",
    dataset: str | None = "imdb",
    metrics: Mapping[str, object] | None = None,
    table: str = "",
    front: str = "tags:\n- generated_from_trainer",
    **hyperparameters: object,
) -> str:
    """A Trainer card; a hyperparameter given as ``None`` is left out."""
    stated: dict[str, object] = {
        "learning_rate": "2e-05",
        "train_batch_size": 16,
        "eval_batch_size": 16,
        "seed": 42,
        "optimizer": "Adam with betas=(0.9,0.999) and epsilon=1e-08",
        "lr_scheduler_type": "linear",
        "num_epochs": 3,
    } | hyperparameters
    results = {"Loss": 0.4213, "Accuracy": 0.8765, "F1": 0.8123} if metrics is None else metrics
    lines = ["---", front, "---", "", "# model", ""]
    if base:
        on = f"the {dataset} dataset" if dataset else "an unknown dataset"
        lines += [
            f"This model is a fine-tuned version of [{base}](https://huggingface.co/{base}) on {on}."
        ]
    lines += ["It achieves the following results on the evaluation set:"]
    lines += [f"- {name}: {value}" for name, value in results.items()]
    lines += ["", "### Training hyperparameters", ""]
    lines += ["The following hyperparameters were used during training:"]
    lines += [f"- {name}: {value}" for name, value in stated.items() if value is not None]
    return "\n".join([*lines, "", "### Training results", "", table, ""])


def parsed(
    models: Sequence[tuple[str, str, Mapping[str, Any]]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Parsed rows and provenance of (id, card, info) models."""
    rows, places = [], []
    for model_id, text, info in models:
        row, found = parse_record(card_record(model_id, info, text))
        rows.append({name: row.get(name) for name in PARSED_COLUMNS})
        places += found
    frame = pd.DataFrame(
        {n: pd.Series([r[n] for r in rows], dtype=d) for n, d in PARSED_COLUMNS.items()}
    )
    provenance = pd.DataFrame(places, columns=list(PROVENANCE_COLUMNS)).astype(PROVENANCE_COLUMNS)
    return frame, provenance


def features(*models: tuple[str, str] | tuple[str, str, Mapping[str, Any]]) -> pd.DataFrame:
    """Features of (id, card[, info]) models, by id."""
    full = [(m[0], m[1], m[2] if len(m) > 2 else {}) for m in models]
    frame, _ = features_of(parsed(full)[0], SIZES)
    return frame.set_index("id", drop=False)
