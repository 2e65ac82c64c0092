"""Classification metrics from logits, with standard errors over the evaluation rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

METRICS = (
    "loss",
    "accuracy",
    "f1",
    "f1_macro",
    "precision",
    "precision_macro",
    "recall",
    "recall_macro",
    "matthews_correlation",
)


def evaluate_logits(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> tuple[dict[str, float], dict[str, float]]:
    """Metrics of a split and their standard errors.

    Args:
        logits: shape (n, classes).
        labels: class indices, shape (n,).

    Returns:
        Two dicts with the keys :data:`METRICS`. With two classes F1, precision and recall are
        those of class 1, with more they are the macro averages; an undefined ratio counts as 0,
        as in scikit-learn. Standard errors: s / sqrt(n) for the loss; for the others the delta
        method over the confusion matrix (Agresti, Categorical Data Analysis, 3rd ed., 16.1).
    """
    values = logits.astype(np.float64)
    count, classes = values.shape
    shifted = values - values.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(count), labels]
    predicted = values.argmax(axis=1)
    matrix = np.bincount(labels * classes + predicted, minlength=classes * classes)
    shares = matrix.reshape(classes, classes) / count
    metrics = {"loss": float(losses.mean())}
    spread = float(losses.std(ddof=1)) if count > 1 else 0.0
    errors = {"loss": spread / math.sqrt(count)}
    functions = _functions(classes)
    for name in METRICS[1:]:
        metrics[name] = functions[name](shares)
        errors[name] = _delta_error(functions[name], shares, count)
    return metrics, errors


def _functions(classes: int) -> dict[str, Callable[[Floats], float]]:
    def by_class(shares: Floats) -> tuple[Floats, Floats, Floats]:
        hits = np.diag(shares)
        precision = _ratio(hits, shares.sum(axis=0))
        recall = _ratio(hits, shares.sum(axis=1))
        return precision, recall, _ratio(2 * hits, shares.sum(axis=0) + shares.sum(axis=1))

    def averaged(which: int) -> Callable[[Floats], float]:
        def average(shares: Floats) -> float:
            present = (shares.sum(axis=0) + shares.sum(axis=1)) > 0
            return float(by_class(shares)[which][present].mean())

        return average

    def positive(which: int) -> Callable[[Floats], float]:
        return (
            (lambda shares: float(by_class(shares)[which][1])) if classes == 2 else averaged(which)
        )

    return {
        "accuracy": lambda shares: float(np.trace(shares)),
        "precision": positive(0),
        "precision_macro": averaged(0),
        "recall": positive(1),
        "recall_macro": averaged(1),
        "f1": positive(2),
        "f1_macro": averaged(2),
        "matthews_correlation": _matthews,
    }


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _matthews(shares: Floats) -> float:
    true, predicted = shares.sum(axis=1), shares.sum(axis=0)
    covariance = np.trace(shares) - true @ predicted
    below = (1.0 - true @ true) * (1.0 - predicted @ predicted)
    return float(covariance / math.sqrt(below)) if below > 1e-15 else 0.0


def _delta_error(function: Callable[[Floats], float], shares: Floats, count: int) -> float:
    """sqrt(Var_cells(gradient) / n) for a function of multinomial cell shares."""
    step = 1e-6
    cells = np.argwhere(shares > 0)
    gradient = np.empty(len(cells))
    for index, (row, column) in enumerate(cells):
        moved = shares * (1 - step)
        moved[row, column] += step
        lowered = shares * (1 + step)
        lowered[row, column] -= step
        gradient[index] = (function(moved) - function(lowered)) / (2 * step)
    weights = shares[tuple(cells.T)]
    mean = float(weights @ gradient)
    return math.sqrt(max(0.0, float(weights @ (gradient - mean) ** 2)) / count)
