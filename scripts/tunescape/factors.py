"""Factors of an experiment: names, bounds, scales and levels, read from plain data."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tunescape.errors import UserError, show

if TYPE_CHECKING:
    from tunescape import surface

Scale = Literal["linear", "log", "categorical"]
Value = float | int | str

NUMERIC_FACTORS = (
    "learning_rate",
    "train_batch_size",
    "num_epochs",
    "weight_decay",
    "warmup_steps",
    "warmup_ratio",
    "decay_ratio",
    "adam_epsilon",
    "max_grad_norm",
    "dropout",
    "max_length",
    "train_size",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
)
CATEGORICAL_FACTORS = ("schedule",)
INTEGER_FACTORS = (
    "train_batch_size",
    "num_epochs",
    "warmup_steps",
    "max_length",
    "train_size",
    "lora_r",
)
SIGNIFICANT_DIGITS = 6


@dataclass(frozen=True)
class DesignFactor:
    """One factor of a design.

    Attributes:
        scale: on which levels are equally spaced; ``categorical`` for names.
        low, high: bounds in raw units (nan when categorical).
        values: explicit levels in rising order, or none.
        levels: number of levels asked for, or none.
        integer: whether settings are rounded to whole numbers.
        baseline: setting that one-factor-at-a-time designs start from, or none.
    """

    name: str
    scale: Scale
    low: float
    high: float
    values: tuple[Value, ...] = ()
    levels: int | None = None
    integer: bool = False
    baseline: Value | None = None

    @property
    def categorical(self) -> bool:
        """Whether its levels are names."""
        return self.scale == "categorical"

    @property
    def coding(self) -> surface.Factor:
        """The coding that takes `low` to -1 and `high` to 1."""
        from tunescape import surface

        return surface.code_factor(
            self.name, [self.low, self.high], "log" if self.scale == "log" else "linear"
        )

    def setting(self, coded: float) -> float | int:
        """Raw setting at a coded value: rounded, and within the bounds.

        Inner settings have six significant digits: readable, and the same on every machine.
        """
        if coded <= -1 + 1e-9:
            return self._rounded(self.low)
        if coded >= 1 - 1e-9:
            return self._rounded(self.high)
        low, high = self._measure(self.low), self._measure(self.high)
        measured = low + (high - low) * (coded + 1) / 2
        raw = math.exp(measured) if self.scale == "log" else measured
        return self._rounded(float(f"{raw:.{SIGNIFICANT_DIGITS}g}"))

    def code(self, value: Value) -> float:
        """Coded value of a setting (12 decimals), nan for names."""
        if self.categorical:
            return math.nan
        low, high = self._measure(self.low), self._measure(self.high)
        return round(2 * (self._measure(float(value)) - low) / (high - low) - 1, 12) + 0.0

    def _measure(self, raw: float) -> float:
        return math.log(raw) if self.scale == "log" else raw

    def _rounded(self, raw: float) -> float | int:
        value = min(max(raw, self.low), self.high)
        return int(np.floor(value + 0.5)) if self.integer else value


def read_factors(
    raw: Mapping[str, Any],
    where: str = "factors",
    known: Sequence[str] | None = (*NUMERIC_FACTORS, *CATEGORICAL_FACTORS),
) -> tuple[DesignFactor, ...]:
    """Read factors from plain data, in alphabetical order.

    Each is a list of values, or a mapping of ``low`` and ``high`` (or ``values``), ``scale``
    (linear or log), ``levels`` (a number, or values), ``integer``, ``baseline``.

    Args:
        raw: name -> description.
        where: dotted key for messages.
        known: names that can be factors; ``None`` allows all.

    Raises:
        UserError: unknown factor or key, bad bounds, log scale of values not above 0.
    """
    if not isinstance(raw, Mapping) or not raw:
        raise UserError("no factors", where=where, expected="a mapping of factors")
    for name in raw:
        if known is not None and name not in known:
            raise unknown(f"factor '{name}'", str(name), known, where)
    return tuple(_read_factor(str(name), raw[name], f"{where}.{name}") for name in sorted(raw))


def _read_factor(name: str, raw: Any, where: str) -> DesignFactor:
    described = {"values": raw} if isinstance(raw, (list, tuple)) else raw
    if not isinstance(described, Mapping):
        raise UserError(f"got {show(raw)}", where=where, expected="a mapping with low and high")
    keys = ("low", "high", "scale", "levels", "values", "integer", "baseline")
    for key in described:
        if key not in keys:
            raise unknown(f"key '{key}'", str(key), keys, where)
    values, levels = described.get("values"), described.get("levels")
    if isinstance(levels, (list, tuple)):
        values, levels = levels, None
    baseline = described.get("baseline")
    if values is not None and not isinstance(values, (list, tuple)):
        raise UserError(f"got {show(values)}", where=f"{where}.values", expected="a list of values")
    if values is not None and any(isinstance(value, str) for value in values):
        return _read_categorical(name, values, baseline, where)
    if name in CATEGORICAL_FACTORS:
        raise UserError("no values", where=where, expected="a list of names (values: [...])")
    if levels is not None and (not is_whole(levels) or not 2 <= levels <= 1000):
        raise UserError(f"got {show(levels)}", where=f"{where}.levels", expected="2 to 1000 levels")
    scale = described.get("scale", "linear")
    if scale not in ("linear", "log"):
        raise UserError(f"got {show(scale)}", where=f"{where}.scale", expected="linear or log")
    integer = described.get("integer", name in INTEGER_FACTORS)
    if not isinstance(integer, bool):
        raise UserError(f"got {show(integer)}", where=f"{where}.integer", expected="true or false")
    exact = sorted({finite(value, f"{where}.values") for value in values or ()})
    for key in ("low", "high"):
        if key not in described and not exact:
            raise UserError("missing", where=f"{where}.{key}", expected="a number")
    low = finite(described.get("low", exact[0] if exact else None), f"{where}.low")
    high = finite(described.get("high", exact[-1] if exact else None), f"{where}.high")
    if not low < high:
        raise UserError(f"low {low:g}, high {high:g}", where=where, expected="low below high")
    if scale == "log" and low <= 0:
        raise UserError(f"low {low:g}", where=where, expected="values above 0 on a log scale")
    if exact and not low <= exact[0] <= exact[-1] <= high:
        raise UserError("a value lies outside low and high", where=f"{where}.values")
    numbers = [low, high, *exact]
    if baseline is not None:
        baseline = finite(baseline, f"{where}.baseline")
        if not low <= baseline <= high:
            raise UserError(
                f"got {baseline:g}", where=f"{where}.baseline", expected="within bounds"
            )
        numbers.append(baseline)
    if integer and any(number != int(number) for number in numbers):
        fix = "give whole numbers, or integer: false"
        raise UserError("a bound or value is not a whole number", where=where, fix=fix)
    kind = int if integer else float
    return DesignFactor(
        name,
        scale,
        low,
        high,
        tuple(kind(value) for value in exact),
        levels,
        integer,
        None if baseline is None else kind(baseline),
    )


def _read_categorical(name: str, values: Any, baseline: Any, where: str) -> DesignFactor:
    if not all(isinstance(value, str) for value in values) or len(set(values)) < 2:
        raise UserError(
            f"got {show(values)}", where=f"{where}.values", expected="two or more names"
        )
    if baseline is not None and baseline not in values:
        raise UserError(
            f"got {show(baseline)}", where=f"{where}.baseline", expected="one of the values"
        )
    nan = float("nan")
    return DesignFactor(
        name, "categorical", nan, nan, tuple(sorted(set(values))), baseline=baseline
    )


def finite(value: Any, where: str) -> float:
    """A finite number, or a UserError that names the place."""
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # a whole number that no float can hold
            number = float(value)
    if not math.isfinite(number):
        raise UserError(f"got {show(value)}", where=where, expected="a finite number")
    return number


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def unknown(what: str, name: str, known: Sequence[str], where: str) -> UserError:
    """The error for a name that is not known, with the nearest one that is."""
    near = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return UserError(f"unknown {what}", where=where, fix=fix)
