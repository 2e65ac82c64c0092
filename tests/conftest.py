"""Paths and the small finished study that tests share."""

from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "workflow"))

from harness import copy_project, count_rules, jobs_of, snakemake  # noqa: E402
from tunescape.plain import read_yaml  # noqa: E402


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


def write_texts(project: Path) -> dict[str, dict[str, object]]:
    """Small files of the two published tunings' data sets, and how tasks read them.

    They are of the real texts where a checkout has them beside it, else of the shipped reviews
    (each of which is a pair with the next one).
    """
    shared = ROOT.parent / "shared" / "text"
    folder = project / "texts"
    folder.mkdir()
    texts = {"mrpc": ["sentence1", "sentence2"], "imdb": ["sentence"]}
    for name, columns in texts.items():
        for split, rows in (("train", 60), ("dev", 40)):
            path = shared / name / f"small_{split}.tsv"
            if path.is_file():
                lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[: rows + 1]
            else:
                source = ROOT / "resources/mini_reviews"
                source /= f"{'train' if split == 'train' else 'validation'}.csv"
                with source.open(encoding="utf-8", newline="") as handle:
                    found = list(csv.DictReader(handle))[: rows + 1]
                lines = ["\t".join([*columns, "label"]) + "\n"]
                for row, following in itertools.pairwise(found):
                    said = [row["sentence"], following["sentence"]][: len(columns)]
                    lines.append("\t".join([*said, row["label"]]) + "\n")
            (folder / f"{name}_{split}.tsv").write_text("".join(lines), encoding="utf-8")
    return {
        name: {
            "files": {"train": f"texts/{name}_train.tsv", "validation": f"texts/{name}_dev.tsv"},
            "text": columns,
            "label": "label",
        }
        for name, columns in texts.items()
    }


def reduce_studies(project: Path) -> None:
    """Make config.yaml of the two published tunings, with a tiny encoder, few rows and stages."""
    mrpc, imdb = (read_yaml(project / f"studies/{name}.yaml") for name in ("mrpc", "imdb_lora"))
    write_tiny_encoder(project / "tiny")
    tuning, lora = mrpc["experiments"]["mrpc-tuning"], imdb["experiments"]["imdb-lora"]
    tuning["factors"] |= {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log", "baseline": 1e-3},
        "warmup_steps": {"low": 0, "high": 8, "baseline": 2},
        "max_length": {"low": 8, "high": 24, "baseline": 16},
    }
    tuning["stages"] = [
        {"screen": {"keep": 2, "replicates": 2}},
        {"grid": {"levels": 2}},
        {"bayes": {"trials": 2, "parallel": 2, "prior": "earlier_stages"}},
        {"confirm": {"seeds": [101, 102]}},
    ]
    tuning |= {"model": "tiny", "train_size": 32, "seeds": [42]}
    tuning["fixed"] |= {"num_epochs": 2, "train_batch_size": 8}
    lora["design"]["baseline"] = {"train_size": 16, "lora_r": 4}
    lora["factors"] = {"train_size": {"values": [16, 32]}, "lora_r": {"values": [1, 2, 4]}}
    lora["fixed"] |= {"num_epochs": 2, "max_length": 24, "learning_rate": 1e-3}
    lora |= {"model": "tiny", "seeds": [42, 43]}
    config = {
        **mrpc,
        "tasks": write_texts(project),
        "experiments": {"mrpc-tuning": tuning, "imdb-lora": lora},
        "regression": {"metrics": ["loss"]},
        "figures": {"dpi": 60},
        "training": {"packs": 1},
    }
    config["tasks"]["imdb"]["validation_size"] = 30
    (project / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which both published tunings have run at reduced size.

    Tests read it and leave it as it is; those that change something take a copy.
    """
    return run_once(tmp_path_factory, "tuned", reduce_studies)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose small study has run; made once, also by several workers.

    Tests read it and leave it as it is; those that change something take a copy.
    """
    return run_once(tmp_path_factory, "small", shrink)


def run_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, prepare: Callable[[Path], None]
) -> Path:
    """Run the workflow on a prepared copy of the project, once for all workers of a session."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    project, done = shared / name, shared / f"{name}.json"
    with FileLock(f"{done}.lock"):
        if not done.exists():
            prepare(copy_project(project))
            outcome = snakemake(project)
            assert outcome.returncode == 0, outcome.output[-6000:]
            done.write_text(json.dumps(outcome.jobs))
    return project


@pytest.fixture(scope="session")
def first_jobs(finished: Path) -> dict[str, int]:
    """Rule -> number of jobs of the run that finished the small study."""
    return count_rules(jobs_of(finished))


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
