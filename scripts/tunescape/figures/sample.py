"""The rows behind a figure: a population's models in one view, and a fit rebuilt from its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.figures.style import plain, wording
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

    from tunescape.surface import Coding, SurfaceFit

Array = NDArray[np.float64]

NO_OWNER = "(no owner stated)"

UNITS = {"model": ("models", "owners"), "run": ("runs", "configurations")}
"""What a row is -> rows and their groups in words."""


@dataclass(frozen=True)
class Sample:
    """Models of one population as one view shows them.

    Attributes:
        metric: name of the response; ``view`` is ``absolute`` or ``relative``.
        codings: factor -> ``linear`` or ``log``, in the model's order.
        values: factor -> (rows,), nan where a model does not state it. Relative values are
            ratios to the baseline for log factors and differences for linear ones.
        response: (rows,), as stated, or the difference to the baseline; nan where not stated.
        owners: (rows,) who published the model; the configuration of a run.
        unit: what a row is, a key of :data:`UNITS`.
        scale: that of a relative response: the link on whose scale differences were taken.
    """

    metric: str
    view: str
    codings: dict[str, Coding]
    values: dict[str, Array]
    response: Array
    owners: NDArray[np.str_]
    unit: str = "model"
    scale: str = "identity"

    @property
    def marked(self) -> NDArray[np.str_]:
        """Whose rows get marks of their own: none of an experiment's, whose settings differ."""
        return self.owners if self.unit == "model" else np.full(self.owners.shape, NO_OWNER)

    def said(self, name: str) -> str:
        """Axis label of a factor or of the response."""
        words = wording(name)
        if self.view == "absolute":
            return words
        if name == self.metric and self.scale != "identity":
            return f"{self.scale} {words} − baseline"
        return f"{words} ÷ baseline" if self.codings.get(name) == "log" else f"{words} − baseline"

    def is_log(self, name: str) -> bool:
        """Whether a factor belongs on a logarithmic axis."""
        return self.codings[name] == "log"


@dataclass(frozen=True)
class FittedSample:
    """The complete rows of a regression with its fit (None when there is none) and summary."""

    rows: Sample
    fit: SurfaceFit | None
    clusters: tuple[str, ...]
    residuals: Array
    summary: dict[str, Any]


def read_sample(features: str | Path, spec: Mapping[str, Any]) -> Sample:
    """Read a population's models, also those that state only some of the columns.

    Args:
        features: the population's models.
        spec: the regression's, see :func:`tunescape.regression.read_specification`, and ``unit``.
    """
    from tunescape.regression import read_specification

    wanted = read_specification(spec)
    table = read_table(features)
    codings: dict[str, Coding] = {
        name: described.get("coding", "linear") for name, described in wanted.codings.items()
    }
    sample = make_sample(table, wanted.metric, wanted.view, codings, wanted.baseline)
    return replace(sample, unit=str(spec.get("unit", "model")))


def make_sample(
    table: pd.DataFrame,
    metric: str,
    view: str,
    codings: Mapping[str, Coding],
    baseline: Mapping[str, float],
) -> Sample:
    """A table of models (one column a factor and metric) as one view shows it."""
    relative = view == "relative"
    nan = float("nan")
    values = {}
    for name, coding in codings.items():
        column = _numbers(table, name)
        if coding == "log":
            column = np.where(column > 0, column, nan)
        base = baseline.get(name, nan)
        if relative:
            column = column / base if coding == "log" else column - base
        values[name] = column
    response = _numbers(table, metric)
    if relative:
        response = response - baseline.get(metric, nan)
    return Sample(metric, view, dict(codings), values, response, _owners(table))


def read_fitted(
    fit: str | Path,
    diagnostics: str | Path,
    effects: Sequence[str] = (),
    unit: str = "model",
) -> FittedSample:
    """Rebuild a regression from its summary (``fit.json``) and its rows (``diagnostics.csv``)."""
    from tunescape.surface import Factor, fit_surface

    summary = read_json(fit)
    table = read_table(diagnostics)
    coded = summary.get("coding") or [
        {"name": name, "coding": "linear"} for name in summary["factors"]
    ]
    codings: dict[str, Coding] = {f["name"]: f["coding"] for f in coded}
    baseline = {k: float(v) for k, v in summary["baseline"]["values"].items()}
    rows = make_sample(table, "response", summary["view"], codings, baseline)
    # The rows already hold the view's response under its own name.
    response = _numbers(table, "response")
    scale = str(summary.get("scale", "identity"))
    rows = replace(rows, metric=summary["metric"], response=response, unit=unit, scale=scale)
    if summary["status"] == "not_fitted":
        return FittedSample(rows, None, (), np.empty(0), summary)
    fitted = fit_surface(
        rows.values,
        response,
        [Factor(f["name"], f["coding"], f["centre"], f["scale"]) for f in coded],
        degree=int(summary["degree"]),
        intercept=bool(summary["intercept"]),
        weights=_numbers(table, "weight"),
        effects={name: [str(v) for v in table[name]] for name in effects},
        link=summary["link"],
    )
    clusters = tuple(str(name) for name in table["cluster"])
    return FittedSample(rows, fitted, clusters, _numbers(table, "residual"), summary)


def reference_said(summary: Mapping[str, Any]) -> str:
    """At which level of each effect a surface is shown, in words; empty without effects."""
    levels = summary.get("reference_levels") or {}
    return "".join(f", {wording(name)} {plain(label, 40)}" for name, label in levels.items())


def largest_owners(owners: NDArray[np.str_], most: int = 3) -> list[tuple[str, int]]:
    """Owners of the most rows with their count; only named ones with at least two rows."""
    names, counts = np.unique(owners, return_counts=True)
    order = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda p: (-p[1], p[0]))
    return [(name, count) for name, count in order if count > 1 and name != NO_OWNER][:most]


def _numbers(table: pd.DataFrame, name: str) -> Array:
    if name not in table.columns:
        return np.full(len(table), np.nan)
    return np.asarray(table[name].astype("float64"), dtype=float)


def _owners(table: pd.DataFrame) -> NDArray[np.str_]:
    column = table["owner"] if "owner" in table.columns else [None] * len(table)
    return np.asarray([o if isinstance(o, str) and o else NO_OWNER for o in column], dtype=str)
