"""Learning-rate schedules, step for step those of ``transformers.optimization``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tunescape.training.runspec import warmup_step_count


def decay_step_count(spec: Mapping[str, Any], total_steps: int) -> int:
    """Steps of the final decay of a warm-up-stable-decay schedule."""
    return math.ceil(total_steps * float(spec["decay_ratio"]))


def lr_factors(spec: Mapping[str, Any], total_steps: int) -> npt.NDArray[np.float64]:
    """Factor of the learning rate at each step, shape (total_steps,).

    Warm-up is linear from 0. Then ``linear`` and ``cosine`` (half a period) fall to 0 at the end,
    ``constant`` stays, and ``wsd`` (warm-up, stable, decay) stays and falls linearly to 0 over
    the last ``decay_ratio`` of the steps.
    """
    step = np.arange(total_steps, dtype=np.float64)
    warmup = warmup_step_count(spec, total_steps)
    rest = max(1, total_steps - warmup)
    if spec["schedule"] == "linear":
        after = np.maximum(0.0, (total_steps - step) / rest)
    elif spec["schedule"] == "cosine":
        after = np.maximum(0.0, 0.5 * (1.0 + np.cos(np.pi * (step - warmup) / rest)))
    elif spec["schedule"] == "wsd":
        decay = decay_step_count(spec, total_steps)
        after = np.clip((total_steps - step) / max(1, decay), 0.0, 1.0)
    else:
        after = np.ones(total_steps)
    return np.where(step < warmup, step / max(1, warmup), after)


def shared_steps(spec: Mapping[str, Any], total_steps: int) -> int:
    """Leading steps that a run shares exactly with every longer run that is otherwise the same.

    All of them under a constant schedule, those before the decay under ``wsd``, none under a
    schedule (or a warm-up ratio) that depends on the number of steps.
    """
    if spec["warmup_ratio"] or spec["schedule"] not in ("constant", "wsd"):
        return 0
    if spec["schedule"] == "constant":
        return total_steps
    return max(0, total_steps - decay_step_count(spec, total_steps))
