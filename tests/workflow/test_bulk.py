"""A dump of cards of which few change: few are parsed, and the tables are those of a cold run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import copy_project, snakemake

CARD = """---
base_model: distilbert-base-uncased
---
This model was trained from scratch. It achieves the following results on the evaluation set:
- Loss: 0.{number:04d}
- Accuracy: 0.9{number:03d}

### Training hyperparameters

- learning_rate: {rate}e-05
- train_batch_size: 16
- num_epochs: 3
"""
CARDS, CHANGED, BUCKETS = 300, 3, 2
TARGET = "results/hub/features.parquet"


def write_dump(project: Path, changed: int = 0) -> None:
    rows = [
        {
            "id": f"owner{n % 7}/model-{n}",
            "readme": CARD.format(number=n, rate=9 if n < changed else 1 + n % 5),
        }
        for n in range(CARDS)
    ]
    (project / "dump.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def outputs(project: Path) -> dict[str, bytes]:
    home = project / "results" / "hub"
    files = [path for path in home.rglob("*") if path.is_file() and path.name[0] != "."]
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def told(project: Path, rule: str) -> list[int]:
    """Numbers in the last line of each bucket's log, summed over buckets."""
    logs = sorted((project / "results/logs" / rule).iterdir())
    lines = [path.read_text().splitlines()[-1] for path in logs]
    found = [re.search(r"(\d+) of (\d+) (?:cards|raw files)", line) for line in lines]
    return [sum(int(match[part]) for match in found if match) for part in (1, 2)]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    project = copy_project(tmp_path / "study")
    config: dict[str, Any] = yaml.safe_load((project / "config.yaml").read_text())
    config["hub"] = {"source": "cards", "path": "dump.jsonl", "buckets": BUCKETS}
    (project / "config.yaml").write_text(yaml.safe_dump(config))
    write_dump(project)
    return project


def test_one_percent_changed_costs_one_percent_and_ends_as_a_cold_run(study: Path) -> None:
    assert snakemake(study, TARGET).returncode == 0
    assert told(study, "parse_cards") == told(study, "harvest_models") == [CARDS, CARDS]
    before = outputs(study)
    write_dump(study, changed=CHANGED)
    again = snakemake(study, TARGET)
    assert again.returncode == 0, again.output[-3000:]
    assert again.rules["parse_cards"] == BUCKETS, "changes in every bucket"
    assert told(study, "parse_cards") == told(study, "harvest_models") == [CHANGED, CARDS]
    found = outputs(study)
    for folder in ("results", "work", ".snakemake"):
        shutil.rmtree(study / folder)
    assert snakemake(study, TARGET).returncode == 0
    assert told(study, "parse_cards") == [CARDS, CARDS]
    assert outputs(study) == found != before
    assert set(found) == set(before)
