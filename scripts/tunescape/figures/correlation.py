"""Correlation heatmap of a response, its factors and their second-order terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.figures import style
from tunescape.figures.sample import Sample, read_sample
from tunescape.surface import Factor, code_factor, design_matrix, polynomial_terms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

LEAST_ROWS = 8


def draw_correlation(
    features: str | Path, outputs: Sequence[str | Path], spec: Mapping[str, Any]
) -> None:
    """Draw the heatmap: Pearson below the diagonal, Spearman above it, n in every cell.

    Every cell uses all models of the population that state both columns.

    Args:
        features: the population's models.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: the regression's; ``degree`` 2 adds the second-order terms. Also ``least_rows``,
            under which a cell is grey (default 8), and ``dpi``.
    """
    sample = read_sample(features, spec)
    dpi = int(spec.get("dpi", 160))
    if not np.isfinite(sample.response).any():
        style.save_sentence(f"n = 0: no model states {style.wording(sample.metric)}", outputs, dpi)
        return
    names, columns = correlation_columns(sample, int(spec.get("degree", 2)))
    size = 0.62 * len(names)
    with style.sheet(min(style.PAGE_WIDTH, 1.5 + size), 1.0 + 0.52 * len(names)) as figure:
        _draw(figure.add_subplot(), sample, names, columns, int(spec.get("least_rows", LEAST_ROWS)))
        style.save(figure, outputs, dpi)


def correlation_columns(sample: Sample, degree: int = 2) -> tuple[list[str], Array]:
    """The response, the factors and, for degree 2, the coded second-order terms.

    Returns:
        names and a (rows, columns) array, nan where a model does not state the factor.
    """
    names = [sample.metric]
    columns = [sample.response]
    coded: dict[str, Array] = {}
    for name, coding in sample.codings.items():
        values = sample.values[name]
        stated = np.isfinite(values)
        column = np.full(values.shape, np.nan)
        if bool(stated.any()):
            factor = code_factor(name, values[stated], coding)
            column[stated] = factor.encode(values[stated])
        coded[name] = column
    # The columns are coded already, so the terms are their plain products.
    terms = polynomial_terms(list(coded), degree, intercept=False)
    matrix = design_matrix(coded, [Factor(name) for name in coded], terms)
    names += [term.name for term in terms]
    return names, np.column_stack([*columns, *matrix.T])


def correlate(x: Array, y: Array, kind: str) -> tuple[float, int]:
    """Pearson or Spearman correlation over the rows that have both, and their number.

    The correlation is nan with fewer than three rows or when a column does not vary.
    """
    both = np.isfinite(x) & np.isfinite(y)
    n = int(both.sum())
    if n < 3:
        return float("nan"), n
    a, b = x[both], y[both]
    if kind == "spearman":
        a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    flat = float(np.sqrt(a @ a)) < 1e-12 or float(np.sqrt(b @ b)) < 1e-12
    return (float("nan") if flat or size == 0 else float(np.clip(a @ b / size, -1, 1))), n


def _ranks(values: Array) -> Array:
    """Ranks with ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=float)


def _draw(axes: Axes, sample: Sample, names: list[str], columns: Array, least_rows: int) -> None:
    from matplotlib.colors import ListedColormap

    colours = style.diverging()
    count = len(names)
    r = np.full((count, count), np.nan)
    n = np.zeros((count, count), dtype=int)
    for i in range(count):
        n[i, i] = int(np.isfinite(columns[:, i]).sum())
        for j in range(i):
            r[i, j], n[i, j] = correlate(columns[:, i], columns[:, j], "pearson")
            r[j, i], n[j, i] = correlate(columns[:, i], columns[:, j], "spearman")
    shown = (n >= least_rows) & np.isfinite(r)
    edges = np.arange(count + 1) - 0.5
    grey = np.where(~shown & ~np.eye(count, dtype=bool), 1.0, np.nan)
    lines: dict[str, Any] = {"edgecolor": style.PAPER, "linewidth": 1.2}
    axes.pcolormesh(edges, edges, grey, cmap=ListedColormap([style.WASH]), **lines)
    axes.pcolormesh(
        edges, edges, np.where(shown, r, np.nan), cmap=colours, vmin=-1, vmax=1, **lines
    )
    for i, j in np.ndindex(count, count):
        ink = style.ink_on(colours(float(r[i, j] + 1) / 2)) if shown[i, j] else style.MUTED
        cell: dict[str, Any] = {"ha": "center", "va": "center", "color": ink, "in_layout": False}
        if i == j:
            axes.text(j, i, f"n {n[i, i]:,}", fontsize=5.0, **cell)
            continue
        said = f"{r[i, j]:+.2f}".replace("-", "−") if shown[i, j] else "–"
        axes.text(j, i - 0.13, said, fontsize=style.SMALL + 0.5, **cell)
        axes.text(j, i + 0.24, f"n {n[i, j]:,}", fontsize=5.0, **cell)
    for edge in (0.5, len(sample.codings) + 0.5):
        if edge < count - 0.5:
            axes.axhline(edge, color=style.MUTED, linewidth=0.6)
            axes.axvline(edge, color=style.MUTED, linewidth=0.6)
    labels = [sample.said(sample.metric), *map(style.wording, names[1:])]
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks(range(count), labels)
    axes.set_xticks(range(count), labels, rotation=35, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    logged = [style.wording(name) for name, coding in sample.codings.items() if coding == "log"]
    axes.set_xlabel(
        "below the diagonal: Pearson; above: Spearman; grey: does not vary, or n < "
        f"{least_rows}" + (f"\nlogarithm taken of {' and '.join(logged)}" if logged else ""),
        fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip
