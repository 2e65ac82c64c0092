"""The model card of a trained checkpoint: ``model-index`` and Trainer's hyperparameter list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunescape.training.models import PUBLISHED_AS
from tunescape.training.runspec import run_id, warmup_step_count

SCHEDULER_NAMES = {"wsd": "warmup_stable_decay"}
NAMED_METRICS = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "matthews_correlation": "Matthews Correlation",
}


def model_card(
    spec: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: list[dict[str, Any]],
    total_steps: int,
) -> str:
    """Markdown with a YAML header, in the layout of Trainer's generated cards.

    Args:
        spec: canonical specification.
        metrics: as in ``metrics.json``.
        history: rows of ``history.csv``.
        total_steps: optimizer steps of the run.
    """
    name = f"{spec['task']['name']}-{run_id(spec)}"
    return "\n".join(
        [
            "---",
            *_header(spec, metrics, name),
            "---",
            "",
            f"# {_inline(name)}",
            "",
            f"This model is a fine-tuned version of {_model_link(spec)} on the "
            f"{_inline(_dataset(spec))} dataset.",
            "It achieves the following results on the evaluation set:",
            *(f"- {label}: {metrics[key]!r}" for key, label in NAMED_METRICS.items()),
            "",
            "## Training procedure",
            "",
            "### Training hyperparameters",
            "",
            "The following hyperparameters were used during training:",
            *_hyperparameters(spec, metrics, total_steps),
            "",
            "### Training results",
            "",
            *_results(history),
            "",
            "### Framework versions",
            "",
            *(f"- {key.capitalize()} {value}" for key, value in metrics["versions"].items()),
            "",
        ]
    )


def failure_card(spec: Mapping[str, Any], why: str) -> str:
    """What stands in the place of the card of a run that failed."""
    return f"# {_inline(spec['task']['name'])}-{run_id(spec)}\n\nNo model: {_inline(why)}\n"


def _dataset(spec: Mapping[str, Any]) -> str:
    return str(spec["task"]["dataset"] or spec["task"]["name"])


def _base_model(spec: Mapping[str, Any]) -> str | None:
    source = str(spec["model"]["source"])
    if source in PUBLISHED_AS:
        return PUBLISHED_AS[source]
    parts = source.split("/")
    named = len(parts) <= 2 and not source.startswith((".", "/", "~")) and ":" not in source
    return source if named else None


def _model_link(spec: Mapping[str, Any]) -> str:
    base = _base_model(spec)
    if base is None:
        return "a local model"
    return f"[{_inline(base)}](https://huggingface.co/{base})"


def _inline(text: str) -> str:
    """Text that cannot open Markdown or HTML."""
    return "".join(c if c.isalnum() or c in " -_./:" else "_" for c in text.replace("\n", " "))


def _header(spec: Mapping[str, Any], metrics: Mapping[str, Any], name: str) -> list[str]:
    """YAML lines; JSON strings are YAML strings, so nothing needs another escape."""
    base = _base_model(spec)
    lines = ["library_name: " + ("peft" if spec["method"] == "lora" else "transformers")]
    if base:
        lines.append(f"base_model: {json.dumps(base)}")
    lines += ["tags:", "- generated_from_trainer"]
    if spec["task"]["dataset"]:
        lines += ["datasets:", f"- {json.dumps(spec['task']['dataset'])}"]
    lines += ["metrics:", *(f"- {key}" for key in NAMED_METRICS if key != "loss")]
    lines += [
        "model-index:",
        f"- name: {json.dumps(name)}",
        "  results:",
        "  - task:",
        "      name: Text Classification",
        "      type: text-classification",
        "    dataset:",
        f"      name: {json.dumps(_dataset(spec))}",
        f"      type: {json.dumps(_dataset(spec))}",
        f"      config: {json.dumps(spec['task']['subset'] or 'default')}",
        f"      split: {json.dumps(spec['task']['validation_split'] or 'train')}",
        "    metrics:",
    ]
    for key, label in NAMED_METRICS.items():
        lines += [f"    - name: {label}", f"      type: {key}", f"      value: {metrics[key]!r}"]
    return lines


def _hyperparameters(
    spec: Mapping[str, Any], metrics: Mapping[str, Any], total_steps: int
) -> list[str]:
    warmup = warmup_step_count(spec, total_steps)
    lines = [
        f"- learning_rate: {spec['learning_rate']!r}",
        f"- train_batch_size: {spec['train_batch_size']}",
        f"- eval_batch_size: {spec['eval_batch_size']}",
        f"- seed: {spec['seed']}",
        f"- optimizer: Use adamw_torch_fused with betas=(0.9,0.999) and "
        f"epsilon={spec['adam_epsilon']!r}",
        f"- lr_scheduler_type: {SCHEDULER_NAMES.get(spec['schedule'], spec['schedule'])}",
    ]
    if spec["warmup_ratio"]:
        lines.append(f"- lr_scheduler_warmup_ratio: {spec['warmup_ratio']!r}")
    elif warmup:
        lines.append(f"- lr_scheduler_warmup_steps: {warmup}")
    lines.append(f"- num_epochs: {spec['num_epochs']}")
    if metrics["numeric_precision"] == "bf16":
        lines.append("- mixed_precision_training: bf16")
    return lines


def _results(history: list[dict[str, Any]]) -> list[str]:
    columns = ["Training Loss", "Epoch", "Step", "Validation Loss", "Accuracy", "F1"]
    keys = ["train_loss", "epoch", "step", "loss", "accuracy", "f1"]
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join(':---:' for _ in columns)}|"]
    for row in history:
        if row["loss"] is None:
            continue
        lines.append(f"| {' | '.join(_cell(row[key]) for key in keys)} |")
    return lines


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
