"""Scatter plots: a response against each factor, marked by who published the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.figures import style
from tunescape.figures.correlation import correlate
from tunescape.figures.sample import UNITS, Sample, largest_owners, read_sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Array = NDArray[np.float64]

OWNER_MARKS = ((style.ORANGE, "s"), (style.GREEN, "^"), (style.PURPLE, "D"))
OTHER_MARK = (style.BLUE, "o")
# Above this number the points of an SVG are an embedded picture: smaller, and quicker to show.
MANY = 300


def draw_scatter(
    features: str | Path, outputs: Sequence[str | Path], spec: Mapping[str, Any]
) -> None:
    """Draw the response against each factor, one panel a factor.

    Args:
        features: the population's models; each panel shows all models that state its factor.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: the regression's, ``unit`` and ``dpi``.
    """
    sample = read_sample(features, spec)
    dpi = int(spec.get("dpi", 160))
    if not np.isfinite(sample.response).any():
        style.save_sentence(
            f"n = 0: no {sample.unit} states {style.wording(sample.metric)}", outputs, dpi
        )
        return
    columns = min(len(sample.codings), 3)
    lines = -(-len(sample.codings) // columns)
    with style.sheet(style.PAGE_WIDTH, 0.35 + 2.3 * lines) as figure:
        grid = np.ravel(figure.subplots(lines, columns, sharey=True, squeeze=False))
        for axes, name in zip(grid, sample.codings, strict=False):
            _panel(axes, sample, name)
        for axes in grid[len(sample.codings) :]:
            axes.set_visible(False)
        for first in grid[::columns]:
            first.set_ylabel(sample.said(sample.metric))
        owner_legend(figure, sample)
        style.save(figure, outputs, dpi)


def _panel(axes: Axes, sample: Sample, name: str) -> None:
    x, y = sample.values[name], sample.response
    both = np.isfinite(x) & np.isfinite(y)
    axes.set_xlabel(sample.said(name))
    if not bool(both.any()):
        style.say_instead(axes, "n = 0")
        axes.set_xticks([])
        return
    log = sample.is_log(name)
    owners = sample.owners
    style.factor_axis(axes, x[both], log)
    shown = spread_ties(axes, x, log)
    marks(axes, shown, y, both, sample.marked)
    rho, n = correlate(x, y, "spearman")
    said = f"n = {n:,}, {len(set(owners[both].tolist())):,} {UNITS[sample.unit][1]}"
    if np.isfinite(rho):
        said += f", Spearman {rho:+.2f}".replace("-", "−")
    axes.set_title(said, fontsize=style.SMALL, color=style.MUTED)
    if sample.view == "relative":
        axes.axhline(0, color=style.MUTED, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)


def spread_ties(axes: Axes, x: Array, log: bool) -> Array:
    """``x`` moved a little sideways, the same at every call, so that equal settings show."""
    low, high = axes.get_xlim()
    offsets = style.jitter(len(x), 0.012)
    if log:
        return np.asarray(x * np.exp(offsets * np.log(high / low)), dtype=float)
    return np.asarray(x + offsets * (high - low), dtype=float)


def marks(
    axes: Axes, x: Array, y: Array, kept: NDArray[np.bool_], owners: NDArray[np.str_]
) -> None:
    """Points of the largest owners in their own colour and shape over those of all others."""
    largest = [name for name, _ in largest_owners(owners[kept], len(OWNER_MARKS))]
    others = kept & ~np.isin(owners, largest)
    many = int(kept.sum()) > MANY
    size = 2.6 if many else 3.6
    layers = [(others, OTHER_MARK)] + [
        (kept & (owners == name), mark) for name, mark in zip(largest, OWNER_MARKS, strict=False)
    ]
    for where, (colour, shape) in layers:
        axes.plot(
            x[where], y[where], linestyle="none", marker=shape, markersize=size,
            markerfacecolor=colour, markeredgecolor=style.PAPER, markeredgewidth=0.3, alpha=0.75,
            rasterized=many,
        )  # fmt: skip


def owner_legend(figure: Figure, sample: Sample, more: Sequence[Line2D] = ()) -> None:
    """One line under the panels: the largest owners with their share of the rows, and ``more``."""
    from matplotlib.lines import Line2D

    stated = np.isfinite(sample.response)
    owners = sample.marked[stated]
    if not owners.size:
        return
    largest = largest_owners(owners, len(OWNER_MARKS))
    rest = len(owners) - sum(count for _, count in largest)
    entries = [
        (f"{style.plain(name, 24)} ({count:,} of {len(owners):,})", mark)
        for (name, count), mark in zip(largest, OWNER_MARKS, strict=False)
    ]
    if sample.unit != "model":
        others = f"{rest:,} {UNITS[sample.unit][0]}"
    else:
        others = f"all others ({rest:,})" if largest else f"{rest:,} owners, one model each"
    entries.append((others, OTHER_MARK))
    handles = [
        Line2D(
            [], [], linestyle="none", marker=shape, color=colour, markersize=3.6,
            markeredgecolor=style.PAPER, markeredgewidth=0.3, label=said,
        )
        for said, (colour, shape) in entries
    ]  # fmt: skip
    handles += more
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.3,
        columnspacing=1.2,
    )  # fmt: skip
