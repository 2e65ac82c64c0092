"""The loop against transformers: same logits, same losses as Trainer, same checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import save_model, spec_of
from tunescape.training import data, models, packed
from tunescape.training.engine import Learner, RunFailed, resolve_device, resolve_precision
from tunescape.training.run import PackOptions, train_run
from tunescape.training.schedules import lr_factors

CPU = torch.device("cpu")


def make_learner(spec: dict[str, Any], folder: Path, **options: Any) -> Learner:
    source = models.locate(spec["model"])
    task = data.tokenised_task(spec, source, folder / "cache")
    model, new = models.load_classifier(source, task.label_names, spec["dropout"])
    models.initialise_head(model, new, spec["seed"])
    if spec["method"] == "lora":
        from tunescape.training.lora import add_adapter

        model = add_adapter(model, new, spec)
    return Learner(spec, model, task.train, task.evaluation, CPU, **options)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_packed_logits_equal_padded(tmp_path: Path, family: str, method: str) -> None:
    spec = spec_of(save_model(tmp_path / "m", family), tmp_path, method=method)
    plain = make_learner(spec, tmp_path, run_packed=False)
    expected = plain.logits(plain.evaluation_tokens)
    plain.close()
    learner = make_learner(spec, tmp_path)
    assert learner.packed and not plain.packed
    assert np.abs(learner.logits(learner.evaluation_tokens) - expected).max() < 1e-5
    single = learner.evaluation_tokens.take(np.array([3]))
    assert np.abs(learner.logits(single) - expected[3]).max() < 1e-5


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_packed_training_equals_padded_without_dropout(
    tmp_path: Path, family: str, method: str
) -> None:
    spec = spec_of(
        save_model(tmp_path / "m", family), tmp_path, dropout=0.0, weight_decay=0.1, method=method
    )
    losses = []
    for run_packed in (False, True):
        learner = make_learner(spec, tmp_path, run_packed=run_packed)
        learner.train(20, np.ones(20))
        losses.append(learner.losses)
        state = learner.state_dict()
        learner.close()
        losses.append([float(value.double().sum()) for _, value in sorted(state.items())])
    assert np.allclose(losses[0], losses[2], atol=1e-5)
    assert np.allclose(losses[1], losses[3], atol=2e-3)


def test_every_gradient_equals_the_padded_one(tmp_path: Path) -> None:
    spec = spec_of(save_model(tmp_path / "m", "bert"), tmp_path, dropout=0.0)
    rows = np.arange(24)
    gradients = []
    for run_packed in (False, True):
        learner = make_learner(spec, tmp_path, run_packed=run_packed)
        logits, labels = learner._train_forward(rows, 0)
        torch.nn.functional.cross_entropy(logits, labels).backward()
        found = {}
        for slot in learner.parameters.slots:
            gradient = slot.leaf.grad
            assert gradient is not None
            key = id(slot.parameters[0])
            if slot.rows is not None:
                full = torch.zeros_like(slot.parameters[0])
                gradient = full.index_copy(0, slot.rows, gradient)
            begin = 0
            for parameter in slot.parameters:
                found[id(parameter)] = gradient[begin : begin + parameter.shape[0]]
                begin += parameter.shape[0]
            assert key in found
        gradients.append({n: found[id(p)] for n, p in learner.model.named_parameters()})
        learner.close()
    for name, expected in gradients[0].items():
        assert torch.allclose(gradients[1][name], expected, atol=1e-6), name


def _trainer(spec: dict[str, Any], folder: Path, steps: int) -> tuple[Any, list[float], list[int]]:
    """Train with transformers.Trainer; its step losses and the order in which it saw the rows."""
    import transformers

    source = models.locate(spec["model"])
    task = data.tokenised_task(spec, source, folder / "cache")
    model, new = models.load_classifier(source, task.label_names, spec["dropout"])
    models.initialise_head(model, new, spec["seed"])
    rows = []
    for index in range(len(task.train)):
        one = task.train.take(np.array([index]))
        rows.append({"input_ids": one.ids.tolist(), "labels": int(one.labels[0]), "row": index})
    order: list[int] = []
    losses: list[float] = []

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        order.extend(row["row"] for row in batch)
        longest = max(len(row["input_ids"]) for row in batch)
        padded = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in batch]
        ids = torch.tensor(padded)
        labels = torch.tensor([row["labels"] for row in batch])
        return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": labels}

    class Recorder(transformers.Trainer):
        def compute_loss(self, *args: Any, **options: Any) -> Any:
            loss = super().compute_loss(*args, **options)
            losses.append(float(loss.detach()))
            return loss

    names = {"constant": "constant_with_warmup", "wsd": "warmup_stable_decay"}
    decay = {"num_decay_steps": -(-steps // 10), "decay_type": "linear"}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "trainer"),
        learning_rate=spec["learning_rate"],
        per_device_train_batch_size=spec["train_batch_size"],
        num_train_epochs=spec["num_epochs"],
        weight_decay=spec["weight_decay"],
        warmup_steps=spec["warmup_steps"],
        lr_scheduler_type=names.get(spec["schedule"], spec["schedule"]),
        lr_scheduler_kwargs=decay if spec["schedule"] == "wsd" else {},
        adam_epsilon=spec["adam_epsilon"],
        max_grad_norm=spec["max_grad_norm"],
        seed=spec["seed"],
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = Recorder(model=model, args=arguments, train_dataset=rows, data_collator=collate)
    trainer.train()
    return model, losses, order


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("bert", {"schedule": "linear", "warmup_steps": 6, "weight_decay": 0.05}),
        ("distilbert", {"schedule": "cosine", "max_grad_norm": 0.3, "adam_epsilon": 1e-6}),
        ("distilbert", {"schedule": "wsd"}),
        ("roberta", {"schedule": "constant", "max_grad_norm": 0.0}),
    ],
)
def test_fifty_steps_equal_trainer(tmp_path: Path, family: str, changes: dict[str, Any]) -> None:
    spec = spec_of(
        save_model(tmp_path / "m", family), tmp_path, dropout=0.0, num_epochs=50 / 8, **changes
    )
    model, expected, order = _trainer(spec, tmp_path, 50)
    learner = make_learner(spec, tmp_path)
    assert learner.packed == (family != "roberta")
    count = len(learner.train_tokens)
    recorded = [np.array(order[i : i + count]) for i in range(0, len(order), count)]
    assert all(np.array_equal(learner.epoch_order(i), r) for i, r in enumerate(recorded[:6]))
    learner.train(50, lr_factors(spec, 50))
    assert len(expected) == 50
    assert np.abs(np.array(learner.losses) - expected).max() < 1e-4
    state = learner.state_dict()
    for name, value in model.state_dict().items():
        assert torch.allclose(state[name], value, atol=5e-4), name


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_checkpoint_loads_with_plain_transformers(tmp_path: Path, family: str) -> None:
    import transformers

    spec = spec_of(
        save_model(tmp_path / "m", family), tmp_path, weight_decay=0.1, num_epochs=1, keep="weights"
    )
    train_run(spec, tmp_path / "out", tmp_path / "work")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out/model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out/model")
    learner = make_learner(spec, tmp_path)
    learner.train(8, lr_factors(spec, 8))
    expected = learner.logits(learner.evaluation_tokens)
    lines = (tmp_path / "dev.tsv").read_text().splitlines()[1:]
    texts = [line.split("\t")[0] for line in lines]
    with torch.no_grad():
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        found = model.eval()(**inputs).logits.numpy()
    assert np.abs(found - expected).max() < 1e-5


def test_adapter_loads_with_peft_and_merges(tmp_path: Path) -> None:
    import peft
    import transformers
    from tunescape.training.lora import merge_adapter

    base = save_model(tmp_path / "m", "distilbert")
    spec = spec_of(
        base, tmp_path, method="lora", lora_r=4, lora_dropout=0.1, num_epochs=3, keep="weights"
    )
    metrics = train_run(spec, tmp_path / "out", tmp_path / "work")
    learner = make_learner(spec, tmp_path)
    total = metrics["steps"]
    before = learner.logits(learner.evaluation_tokens)
    learner.train(total, lr_factors(spec, total))
    expected = learner.logits(learner.evaluation_tokens)
    assert np.abs(expected - before).max() > 1e-2
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    wrapped = peft.PeftModel.from_pretrained(plain, tmp_path / "out/model")
    merge_adapter(base, tmp_path / "out/model", tmp_path / "merged")
    train_run({**spec, "keep": "merged"}, tmp_path / "kept", tmp_path / "work")
    kept = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "kept/model")
    merged = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    inputs = _padded(learner)
    for model in (wrapped, merged, kept):
        with torch.no_grad():
            assert np.abs(model.eval()(**inputs).logits.numpy() - expected).max() < 1e-5
    weights = tmp_path / "out/model/adapter_model.safetensors"
    assert weights.stat().st_size < 40_000


def _padded(learner: Learner) -> dict[str, torch.Tensor]:
    inputs, _ = learner._pad(learner.evaluation_tokens, np.arange(len(learner.evaluation_tokens)))
    return inputs


def test_dropout_masks_are_keyed_by_seed_and_step() -> None:
    first = packed.Masks(1, 5, CPU).draw((200, 100), 0.1)
    assert first is not None
    again, other = (packed.Masks(1, step, CPU).draw((200, 100), 0.1) for step in (5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    dropped = float((first == 0).float().mean())
    assert abs(dropped - 0.1) < 0.01
    assert float(first.max()) == pytest.approx(1 / 0.9)
    assert packed.Masks(1, 5, CPU).draw((3,), 0.0) is None


def test_dropout_regularises_as_trainers_does(tmp_path: Path) -> None:
    """Mean training loss over seeds with our masks and with torch's, within two standard errors."""
    model = save_model(tmp_path / "m", "distilbert", dropout=0.3)
    means = []
    for run_packed in (True, False):
        losses = []
        for seed in range(5):
            learner = make_learner(
                spec_of(model, tmp_path, seed=seed), tmp_path, run_packed=run_packed
            )
            learner.train(16, np.ones(16))
            losses.append(float(np.mean(learner.losses)))
            learner.close()
        means.append(np.array(losses))
    difference = means[0] - means[1]
    assert abs(difference.mean()) < 2 * difference.std(ddof=1) / np.sqrt(5) + 0.01


def test_evaluation_does_not_touch_training(tmp_path: Path) -> None:
    spec = spec_of(save_model(tmp_path / "m", "distilbert"), tmp_path)
    histories = []
    for evaluate in (False, True):
        learner = make_learner(spec, tmp_path)
        for step in range(1, 9):
            learner.train(step, np.ones(8))
            if evaluate:
                learner.evaluate()
                torch.rand(3)
        histories.append(learner.losses)
    assert histories[0] == histories[1]


def test_loss_that_is_not_a_number_is_a_failed_run(tmp_path: Path) -> None:
    spec = spec_of(save_model(tmp_path / "m", "distilbert"), tmp_path)
    learner = make_learner(spec, tmp_path)
    with pytest.raises(RunFailed, match="training loss is nan at step"):
        learner.train(8, np.full(8, 1e30))


def test_bf16_stays_near_fp32(tmp_path: Path) -> None:
    model = save_model(tmp_path / "m", "bert")
    losses = []
    for precision in ("fp32", "bf16"):
        learner = make_learner(spec_of(model, tmp_path, precision=precision), tmp_path)
        assert learner.precision == precision
        learner.train(6, np.ones(6))
        losses.append(learner.losses)
    assert np.abs(np.subtract(*losses)).max() < 0.02
    assert resolve_precision("auto", CPU) in ("fp32", "bf16")


def test_missing_gpu_is_said() -> None:
    from tunescape.errors import UserError

    if not torch.cuda.is_available():
        assert resolve_device("auto") == CPU
        with pytest.raises(UserError, match="no GPU"):
            resolve_device("cuda")
    with pytest.raises(UserError, match="unknown device"):
        resolve_device("tpu")


def test_batches_cover_every_row_and_cut_padding(tmp_path: Path) -> None:
    spec = spec_of(save_model(tmp_path / "m", "bert"), tmp_path)
    learner = make_learner(spec, tmp_path)
    rows = learner.epoch_order(0)
    batch, order = packed.pack(learner.train_tokens, rows, CPU)
    assert sorted(order) == sorted(rows)
    assert len(batch.ids) == int(learner.train_tokens.lengths.sum())
    assert batch.groups[0].start == 0 and batch.groups[-1].stop == len(batch.ids)
    assert sum(group.count for group in batch.groups) == len(rows)
    assert PackOptions().threads == 1


def test_texts_longer_than_the_model_are_refused(tmp_path: Path) -> None:
    from tunescape.errors import UserError

    model = save_model(tmp_path / "m", "distilbert")
    (tmp_path / "train.tsv").write_text("sentence\tlabel\n" + "ba " * 60 + "\t0\nbe\t1\n")
    with pytest.raises(UserError, match="60 tokens, but the model reads 40"):
        make_learner(spec_of(model, tmp_path, max_length=60), tmp_path)
