"""Tiny random classifiers, tokenizers and data sets that the training tests share."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

WORDS = [f"{start}{end}" for start in "bdfgklmnprst" for end in ("a", "e", "i", "o", "u", "an")]
GOOD, BAD = WORDS[:12], WORDS[12:24]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WIDTH, LAYERS, HEADS, INNER = 32, 2, 4, 64


def save_model(folder: Path, family: str, labels: int | None = None, dropout: float = 0.1) -> Path:
    """Save a random two-layer model (with a head when ``labels`` is given) and its tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate(SPECIAL + WORDS)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    common: dict[str, Any] = {"vocab_size": len(vocabulary), "pad_token_id": 0}
    if labels:
        common["num_labels"] = labels
    if family == "distilbert":
        config = transformers.DistilBertConfig(
            dim=WIDTH, n_layers=LAYERS, n_heads=HEADS, hidden_dim=INNER, max_position_embeddings=40,
            dropout=dropout, attention_dropout=dropout, seq_classif_dropout=dropout, **common,
        )  # fmt: skip
    else:
        kind = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig}[family]
        config = kind(
            hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
            intermediate_size=INNER, max_position_embeddings=40, type_vocab_size=2,
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, **common,
        )  # fmt: skip
    torch.manual_seed(0)
    if labels:
        model = transformers.AutoModelForSequenceClassification.from_config(config)
    else:
        model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(path: Path, count: int, seed: int, labels: tuple[str, ...] = ("0", "1")) -> Path:
    """Sentences of 1 to 14 words whose class is that of most of their words, as TSV."""
    draw = random.Random(seed)
    lines = ["sentence\tlabel"]
    for _ in range(count):
        label = draw.randrange(2)
        favoured, other = (GOOD, BAD) if label else (BAD, GOOD)
        words = [
            draw.choice(favoured if draw.random() < 0.7 else other + WORDS[24:])
            for _ in range(draw.randint(1, 14))
        ]
        lines.append(f"{' '.join(words)}\t{labels[label]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def spec_of(model: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """A complete specification on a tiny model and 60 + 40 rows, in fp32 on any machine."""
    from tunescape.training.runspec import complete

    files = {"train": folder / "train.tsv", "validation": folder / "dev.tsv"}
    for seed, path in enumerate(files.values()):
        if not path.exists():
            write_rows(path, 60 if seed == 0 else 40, seed)
    raw = {
        "model": str(model),
        "task": {"name": "words", "files": {split: str(path) for split, path in files.items()}},
        "learning_rate": 1e-3,
        "train_batch_size": 8,
        "eval_batch_size": 16,
        "num_epochs": 2,
        "max_length": 32,
        "seed": 7,
        "precision": "fp32",
    }
    task = {**raw["task"], **changes.pop("task", {})}
    return complete({**raw, "task": task, **changes})
