"""One fine-tuning as a user of transformers does it: run_glue.py's steps through Trainer.

``default`` is run_glue.py as it comes: every row padded to the maximum length, float32, evaluation
batches of 8. ``tuned`` is what its documentation advises: dynamic padding, batches of similar
length, evaluation batches of 64, bfloat16 where the CPU multiplies it natively.

usage: trainer_peer.py SPEC.json OUT_DIR default|tuned
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(spec: dict[str, Any], out: Path, variant: str) -> None:
    """Load, tokenise, train, evaluate and save one configuration."""
    import datasets
    import torch
    import transformers
    from tunescape.training.data import subset_index
    from tunescape.training.engine import resolve_precision
    from tunescape.training.models import locate

    tuned = variant == "tuned"
    transformers.set_seed(spec["seed"])
    folder = str(locate(spec["model"]))
    files = {split: paths[0] for split, paths in spec["task"]["files"].items()}
    raw = datasets.load_dataset("csv", data_files=files, sep="\t")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=2)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, config=config)

    def tokenise(rows: dict[str, list[str]]) -> Any:
        padding = False if tuned else "max_length"
        return tokenizer(
            rows["sentence"], padding=padding, max_length=spec["max_length"], truncation=True
        )

    index = subset_index(len(raw["train"]), spec["train_size"], spec["seed"])
    raw["train"] = raw["train"].select(index)
    data = raw.map(tokenise, batched=True)

    def compute_metrics(prediction: Any) -> dict[str, float]:
        return {
            "accuracy": float((prediction.predictions.argmax(1) == prediction.label_ids).mean())
        }

    arguments = transformers.TrainingArguments(
        output_dir=str(out),
        learning_rate=spec["learning_rate"],
        per_device_train_batch_size=spec["train_batch_size"],
        per_device_eval_batch_size=64 if tuned else 8,
        num_train_epochs=spec["num_epochs"],
        lr_scheduler_type=spec["schedule"],
        seed=spec["seed"],
        use_cpu=True,
        bf16=tuned and resolve_precision("auto", torch.device("cpu")) == "bf16",
        train_sampling_strategy="group_by_length" if tuned else "random",
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
    )
    collator = transformers.DataCollatorWithPadding(tokenizer) if tuned else None
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        compute_metrics=compute_metrics,
        processing_class=tokenizer,
        data_collator=collator or transformers.default_data_collator,
    )
    trainer.train()
    metrics = trainer.evaluate()
    trainer.save_model()
    assert np.isfinite(metrics["eval_loss"])
    (out / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), sys.argv[3])
