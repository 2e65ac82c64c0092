"""Metrics against scikit-learn, standard errors against resampling, schedules against transformers."""

from __future__ import annotations

import numpy as np
import pytest
from tunescape.training import schedules
from tunescape.training.metrics import evaluate_logits
from tunescape.training.runspec import normalise


def draw(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    logits = generator.normal(size=(count, classes)).astype(np.float32)
    logits[np.arange(count), labels] += 1.0
    return logits, labels


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_metrics_equal_scikit_learn(classes: int) -> None:
    from sklearn import metrics as reference

    logits, labels = draw(200, classes, classes)
    predicted = logits.argmax(1)
    average = "binary" if classes == 2 else "macro"
    found, _ = evaluate_logits(logits, labels)
    options = {"zero_division": 0}
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    for name in ("f1", "precision", "recall"):
        function = getattr(reference, f"{name}_score")
        assert found[name] == pytest.approx(function(labels, predicted, average=average, **options))
        macro = function(labels, predicted, average="macro", **options)
        assert found[f"{name}_macro"] == pytest.approx(macro)
    matthews = reference.matthews_corrcoef(labels, predicted)
    assert found["matthews_correlation"] == pytest.approx(matthews)
    shifted = np.exp(logits.astype(float))
    assert found["loss"] == pytest.approx(
        reference.log_loss(labels, shifted / shifted.sum(1, keepdims=True))
    )


def test_one_predicted_class_gives_zeros_and_no_warning() -> None:
    logits = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (10, 1))
    found, errors = evaluate_logits(logits, np.array([0, 1] * 5))
    assert (found["f1"], found["precision"], found["matthews_correlation"]) == (0.0, 0.0, 0.0)
    assert all(np.isfinite(value) for value in errors.values())


def test_standard_errors_match_the_bootstrap() -> None:
    logits, labels = draw(400, 2, 5)
    _, errors = evaluate_logits(logits, labels)
    generator = np.random.default_rng(0)
    resampled = []
    for _ in range(400):
        rows = generator.integers(0, 400, 400)
        resampled.append(evaluate_logits(logits[rows], labels[rows])[0])
    for name, error in errors.items():
        spread = np.std([sample[name] for sample in resampled])
        assert error == pytest.approx(spread, rel=0.15), name


@pytest.mark.parametrize("warmup", [{}, {"warmup_steps": 5}, {"warmup_ratio": 0.15}])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant", "wsd"])
def test_schedules_equal_transformers(schedule: str, warmup: dict[str, float]) -> None:
    import torch
    from transformers import get_scheduler

    total = 37
    spec = normalise({"model": "a/b", "task": {"dataset": "c"}, "schedule": schedule, **warmup})
    steps = schedules.warmup_step_count(spec, total)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    names = {"constant": "constant_with_warmup", "wsd": "warmup_stable_decay"}
    options = {}
    if schedule == "wsd":
        options = {
            "num_decay_steps": schedules.decay_step_count(spec, total),
            "decay_type": "linear",
        }
    reference = get_scheduler(
        names.get(schedule, schedule), optimizer, steps, total, scheduler_specific_kwargs=options
    )
    expected = []
    for _ in range(total):
        expected.append(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    assert np.allclose(schedules.lr_factors(spec, total), expected, atol=1e-12)


def test_shared_steps_are_those_with_equal_factors() -> None:
    for schedule, share in (("constant", 20), ("wsd", 18), ("linear", 0), ("cosine", 0)):
        spec = normalise(
            {"model": "a/b", "task": {"dataset": "c"}, "schedule": schedule, "warmup_steps": 3}
        )
        assert schedules.shared_steps(spec, 20) == share
        short, long = schedules.lr_factors(spec, 20), schedules.lr_factors(spec, 60)
        assert np.array_equal(short[:share], long[:share])
    ratio = normalise(
        {"model": "a/b", "task": {"dataset": "c"}, "schedule": "constant", "warmup_ratio": 0.2}
    )
    assert schedules.shared_steps(ratio, 20) == 0
