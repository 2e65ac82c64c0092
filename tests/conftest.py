"""Paths and the small finished study that tests share."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "workflow"))

from harness import copy_project, snakemake  # noqa: E402


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


def write_tiny_encoder(folder: Path) -> None:
    """A random two-layer DistilBERT whose tokenizer knows letters only."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    letters = list("abcdefghijklmnopqrstuvwxyz.,'!?-0123456789")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: i for i, token in enumerate([*special, *letters])}
    vocabulary |= {f"##{letter}": len(vocabulary) + i for i, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    names = dict(zip(roles, special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    config = DistilBertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **size)
    DistilBertModel(config).save_pretrained(folder)


def shrink(project: Path) -> None:
    """Make the default study small: part of the snapshot, fewer buckets and metrics."""
    snapshot = project / "resources" / "hub_snapshot.jsonl"
    lines = snapshot.read_text(encoding="utf-8").splitlines(keepends=True)
    child = re.compile("distilbert-base-uncased-finetuned-sst-2-english")
    kept = [line for i, line in enumerate(lines) if i % 8 == 0 or child.search(line)]
    snapshot.write_text("".join(kept), encoding="utf-8")
    path = project / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["hub"]["buckets"] = 3
    config["coverage"]["min_rows"] = 12
    config["regression"]["metrics"] = ["loss"]
    config["figures"]["dpi"] = 60
    experiment = config["experiments"]["mini-surface"]
    experiment["design"] = {"kind": "factorial"}
    experiment["factors"] = {
        "learning_rate": {"values": [1e-4, 4e-4], "scale": "log"},
        "num_epochs": {"values": [1, 2]},
    }
    experiment |= {"train_size": 24, "seeds": [1, 2]}
    experiment["fixed"] = {"max_length": 16, "train_batch_size": 8, "eval_batch_size": 128}
    write_tiny_encoder(project / "tiny")
    experiment["model"] = "tiny"
    for split in ("train", "validation"):
        rows = (project / f"resources/mini_reviews/{split}.csv").read_text().splitlines(True)
        (project / f"resources/mini_reviews/{split}.csv").write_text("".join(rows[:61]))
    path.write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose small study has run; made once, also by several workers.

    Tests read it and leave it as it is; those that change something take a copy.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    project, done = shared / "small", shared / "small.json"
    with FileLock(f"{done}.lock"):
        if not done.exists():
            shrink(copy_project(project))
            outcome = snakemake(project)
            assert outcome.returncode == 0, outcome.output[-6000:]
            done.write_text(json.dumps(outcome.rules))
    return project


@pytest.fixture(scope="session")
def first_jobs(finished: Path) -> dict[str, int]:
    """Rule -> number of jobs of the run that finished the small study."""
    counts: dict[str, int] = json.loads(finished.with_suffix(".json").read_text())
    return counts


@pytest.fixture(scope="session")
def hub_cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the live arm does against a small Hub (tests/hub_server/cases.py), by case.

    In a process of its own, for huggingface_hub reads HF_ENDPOINT when it is imported; run once.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    done = shared / "hub_cases.json"
    with FileLock(f"{done}.lock"):
        if not done.exists():
            command = [sys.executable, ROOT / "tests/hub_server/cases.py", shared / "hub_cases"]
            told = subprocess.run(command, capture_output=True, text=True, timeout=400)
            assert told.returncode == 0, told.stderr[-6000:]
            done.write_text(told.stdout)
    found: dict[str, Any] = json.loads(done.read_text())
    return found
