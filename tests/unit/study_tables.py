"""Tables of a made-up study, small enough to regress in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tunescape.regression import regress
from tunescape.schemas import FEATURE_COLUMNS
from tunescape.tables import write_table

FACTORS = {"learning_rate": "log", "train_batch_size": "log", "num_epochs": "linear"}
BASELINE: dict[str, Any] = {
    "model": "owner/baseline",
    "values": {
        "learning_rate": 1e-5,
        "train_batch_size": 32,
        "num_epochs": 3,
        "accuracy": 0.9106,
        "loss": 0.3901,
    },
}


def models(rows: int, seed: int) -> pd.DataFrame:
    """Models with random settings and an accuracy that bends with the learning rate."""
    rng = np.random.default_rng(seed)
    rate = rng.choice([1e-5, 2e-5, 3e-5, 5e-5, 1e-4], rows)
    batch = rng.choice([8.0, 16.0, 32.0, 64.0], rows)
    epochs = rng.choice([1.0, 2.0, 3.0, 5.0, 8.0], rows)
    accuracy = 0.85 - 0.03 * np.log(rate / 3e-5) ** 2 + rng.normal(0, 0.02, rows)
    frame = pd.DataFrame(
        {
            name: pd.Series(
                [None if kind == "str" else np.nan] * rows,
                dtype="object" if kind == "str" else "float64",
            )
            for name, kind in FEATURE_COLUMNS.items()
        }
    )
    values = {
        "id": [f"owner{i % 25}/model{i:04d}" for i in range(rows)],
        "owner": [f"owner{i % 25}" for i in range(rows)],
        "dataset": ["imdb" if i % 2 else "glue/sst2" for i in range(rows)],
        "learning_rate": rate,
        "train_batch_size": batch,
        "num_epochs": epochs,
        "accuracy": accuracy,
        "loss": 1.2 - accuracy,
    }
    return frame.assign(**values)


def regression_spec(metric: str, view: str) -> dict[str, Any]:
    """What the regression and the figures of it are told."""
    return {
        "metric": metric,
        "view": view,
        "factors": dict(FACTORS),
        "baseline": BASELINE,
        "wild_draws": 0,
        "dpi": 80,
    }


def analyse(
    frame: pd.DataFrame,
    folder: Path,
    metric: str,
    view: str,
    spec: dict[str, Any] | None = None,
) -> Path:
    """Write the models and their regression; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    typed = frame.astype(FEATURE_COLUMNS)
    write_table(typed, folder / "sample.parquet", FEATURE_COLUMNS)
    write_table(
        pd.DataFrame(
            {
                "population": "p", "metric": metric, "hyperparameter": list(FACTORS),
                "rows": len(frame), "settings": 4, "chosen": True, "reason": "",
            }
        ),
        folder / "chosen.csv",
    )  # fmt: skip
    regress(
        folder / "sample.parquet",
        folder / "chosen.csv",
        folder / "coefficients.csv",
        folder / "fit.json",
        folder / "diagnostics.csv",
        spec or regression_spec(metric, view),
    )
    return folder
