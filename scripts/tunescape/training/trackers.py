"""Finished runs sent to TensorBoard (event files), W&B or trackio, as configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescape.errors import UserError

TRACKERS = ("tensorboard", "wandb", "trackio")


def check_trackers(names: Sequence[str]) -> None:
    """Refuse unknown trackers and those whose package is not installed, before any training.

    Raises:
        UserError: naming the package to install.
    """
    import importlib.util

    for name in names:
        if name not in TRACKERS:
            raise UserError(f"unknown tracker '{name}'", expected=", ".join(TRACKERS))
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"'{name}' is not installed", where="report_to", fix=f"pip install {name}"
            )


def report_run(
    names: Sequence[str],
    log_dir: Path,
    run: str,
    spec: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    losses: Sequence[float],
) -> None:
    """Send one finished run: the training loss of each step, the other columns of each epoch.

    Args:
        names: checked trackers.
        log_dir: TensorBoard's event files go to ``log_dir/run``.
        run: run id.
        spec: canonical specification.
        history: rows of ``history.csv``.
        losses: training loss of each step.
    """
    points = [(step, {"train/step_loss": loss}) for step, loss in enumerate(losses, start=1)]
    for row in history:
        values = {
            f"{'train' if key in ('train_loss', 'learning_rate') else 'eval'}/{key}": value
            for key, value in row.items()
            if key not in ("epoch", "step") and value is not None
        }
        points.append((row["step"], values))
    points.sort(key=lambda point: point[0])
    for name in names:
        if name == "tensorboard":
            _to_tensorboard(log_dir / run, points)
        else:
            _to_service(name, run, spec, points)


def _to_tensorboard(folder: Path, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    import shutil

    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for step, values in points:
            for key, value in values.items():
                writer.add_scalar(key, value, step)


def _to_service(
    name: str,
    run: str,
    spec: Mapping[str, Any],
    points: Sequence[tuple[int, Mapping[str, float]]],
) -> None:
    import importlib

    service: Any = importlib.import_module(name)
    service.init(project="tunescape", name=run, config=dict(spec))
    for step, values in points:
        service.log(dict(values), step=step)
    service.finish()
