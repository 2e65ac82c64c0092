"""build_features: one valid row a model."""

from __future__ import annotations

from pathlib import Path

from tunescape.schemas import FEATURE_COLUMNS, validate_features
from tunescape.tables import read_table


def test_features_are_valid_sorted_and_whole(finished: Path) -> None:
    features = read_table(finished / "results/hub/features.parquet")
    assert list(features.columns) == list(FEATURE_COLUMNS)
    assert list(features["id"]) == sorted(features["id"]) and features["id"].is_unique
    validate_features(features, "features")
    parsed = sum(
        len(read_table(finished / f"results/hub/parsed/{bucket}.parquet")) for bucket in "012"
    )
    assert len(features) == parsed
