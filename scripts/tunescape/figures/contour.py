"""Contours of a fitted surface over each pair of factors, with data, hull and standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.figures import style
from tunescape.figures.forest import panel_title
from tunescape.figures.regression import held_values
from tunescape.figures.sample import UNITS, FittedSample, Sample, read_fitted, reference_said
from tunescape.figures.scatter import spread_ties
from tunescape.region import Region, outline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

    from tunescape.inference import Covariance
    from tunescape.surface import Factor, SurfaceFit

Array = NDArray[np.float64]

STEPS = 41
PER_LINE = 3


@dataclass(frozen=True)
class _Slice:
    """The surface over two factors, the others held; nan where it may not be shown.

    ``x`` and ``y`` are raw; ``fit`` and ``se`` have shape (y, x); ``inside`` is the hull.
    """

    names: tuple[str, str]
    x: Array
    y: Array
    fit: Array
    se: Array
    inside: NDArray[np.bool_]
    known: NDArray[np.bool_]

    @property
    def drawable(self) -> bool:
        """Whether the data determine the surface in most of their own hull."""
        flat = len(self.x) < 2 or len(self.y) < 2
        return not flat and bool(self.inside.any()) and float(self.known[self.inside].mean()) > 0.5


def draw_contour(
    fit: str | Path,
    diagnostics: str | Path,
    outputs: Sequence[str | Path],
    spec: Mapping[str, Any],
) -> None:
    """Draw the fitted mean and its standard error over every pair of factors.

    The other factors are held at their median setting. Points are models (or runs), the line is
    the convex hull of their settings in coded units; outside it the surface is pale. What the data
    do not determine is left blank, and where nothing is left the panel says why.

    Args:
        fit: the regression's summary.
        diagnostics: its rows.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``effects`` as in the regression, ``unit`` and ``dpi``.
    """
    unit = str(spec.get("unit", "model"))
    found = read_fitted(fit, diagnostics, tuple(spec.get("effects", ())), unit)
    dpi = int(spec.get("dpi", 160))
    names = list(found.rows.codings)
    if found.fit is None:
        reason = f"n = {found.summary['n']:,}, not fitted: {found.summary['reason']}"
        style.save_sentence(reason, outputs, dpi)
        return
    if len(names) < 2:
        style.save_sentence(f"one factor ({style.wording(names[0])}) has no contours", outputs, dpi)
        return
    used, said = _covariance(found, found.fit)
    slices = [_slice(found, found.fit, used, pair) for pair in combinations(names, 2)]
    blocks = -(-len(slices) // PER_LINE)
    # Without a surface one line of panels shows the data and says why.
    lines = 2 if any(part.drawable for part in slices) else 1
    columns = min(len(slices), PER_LINE)
    width = style.PAGE_WIDTH if columns > 1 else style.COLUMN_WIDTH + 0.7
    with style.sheet(width, 0.45 + 2.15 * lines * blocks) as figure:
        grid = figure.subplots(lines * blocks, columns, squeeze=False)
        for axes in grid.ravel():
            axes.set_visible(False)
        metric = found.rows.said(found.rows.metric)
        kinds = (("fit", metric, style.sequential()), ("se", f"standard error ({said})", _greys()))
        for row, (kind, label, colours) in enumerate(kinds[:lines]):
            norm = _norm([getattr(s, kind)[s.inside] for s in slices if s.drawable])
            used_axes = []
            for k, part in enumerate(slices):
                block, column = divmod(k, PER_LINE)
                axes = grid[lines * block + row, column]
                axes.set_visible(True)
                used_axes.append(axes)
                _panel(axes, found, part, kind, norm, colours)
            if norm is not None:
                _bar(figure, used_axes, norm, colours, label)
        figure.suptitle(
            f"{panel_title(found.summary, unit)}; line: hull of the {UNITS[unit][0]}' settings"
            f"{reference_said(found.summary)}",
            fontsize=style.SMALL, color=style.MUTED, x=0.01, ha="left",
        )  # fmt: skip
        style.save(figure, outputs, dpi)


def _covariance(found: FittedSample, fit: SurfaceFit) -> tuple[Covariance, str]:
    from tunescape.inference import surface_covariance

    used = surface_covariance(fit, found.clusters)
    return used, "CR3" if used.kind == "cr3" else used.kind


def _slice(
    found: FittedSample, fit: SurfaceFit, used: Covariance, names: tuple[str, str]
) -> _Slice:
    values = found.rows.values
    x, y = (_steps(found, name) for name in names)
    across, up = np.meshgrid(x, y)
    at = {n: np.full(across.size, v) for n, v in held_values(values).items()}
    at |= {names[0]: across.ravel(), names[1]: up.ravel()}
    predicted = fit.predict(at, covariance=used.matrix, df=used.df)
    pair = [_factor(fit, name) for name in names]
    data = np.column_stack([f.encode(values[f.name]) for f in pair])
    points = np.column_stack([f.encode(at[f.name]) for f in pair])
    known = predicted.estimable
    shape = across.shape
    blank = np.where(known, 1.0, np.nan)
    return _Slice(
        names, x, y, (predicted.fit * blank).reshape(shape), (predicted.se * blank).reshape(shape),
        Region(data).contains(points).reshape(shape), known.reshape(shape),
    )  # fmt: skip


def _factor(fit: SurfaceFit, name: str) -> Factor:
    return next(f for f in fit.factors if f.name == name)


def _steps(found: FittedSample, name: str) -> Array:
    column = found.rows.values[name]
    low, high = float(column.min()), float(column.max())
    if low == high:
        return np.array([low])
    spaced = np.geomspace if found.rows.is_log(name) else np.linspace
    return np.asarray(spaced(low, high, STEPS), dtype=float)


def _norm(parts: Sequence[Array]) -> Normalize | None:
    """One scale for all panels, None when they show nothing."""
    from matplotlib.colors import Normalize

    shown = np.concatenate([np.empty(0), *(p[np.isfinite(p)] for p in parts)])
    if not shown.size:
        return None
    low, high = (float(q) for q in np.quantile(shown, [0.02, 0.98]))
    return Normalize(low, high if high > low else low + max(abs(low), 1.0) * 1e-3)


def _panel(
    axes: Axes,
    found: FittedSample,
    part: _Slice,
    kind: str,
    norm: Normalize | None,
    colours: Colormap,
) -> None:
    rows = found.rows
    first, second = part.names
    axes.set_xlabel(rows.said(first))
    axes.set_ylabel(rows.said(second))
    style.factor_axis(axes, rows.values[first], rows.is_log(first))
    _vertical(axes, rows.values[second], rows.is_log(second))
    title = f"at {held}" if (held := _held(rows, part.names)) else ""
    if norm is None or not part.drawable:
        title = _no_surface(found, part)
    else:
        _surface(axes, found, part, kind, norm, colours)
    _data(axes, found, part)
    axes.set_title(title, fontsize=style.SMALL, color=style.MUTED)


def _held(rows: Sample, shown: Sequence[str]) -> str:
    """The settings of the factors that a panel does not show, in words."""
    said = []
    for name, value in held_values(rows.values).items():
        if name in shown:
            continue
        number = style.short_number(value)
        if rows.view == "relative":
            number = f"× {number}" if rows.is_log(name) else f"{value:+.4g}"
        said.append(f"{style.wording(name)} {number}".replace("-", "−"))
    return ", ".join(said)


def _surface(
    axes: Axes, found: FittedSample, part: _Slice, kind: str, norm: Normalize, colours: Colormap
) -> None:
    """Colours and contours, pale outside the hull; fewer lines of the error.

    The sheet below stays white on a dark page, so that pale colours and black lines stay legible.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Polygon
    from matplotlib.ticker import MaxNLocator

    shown: Array = getattr(part, kind)
    hull = Polygon(_hull(found, part), transform=axes.transData)
    sheet = ListedColormap([style.ON_DARK])
    for tints, clip, alpha in ((sheet, None, 1.0), (colours, None, 0.25), (colours, hull, 1.0)):
        mesh = axes.pcolormesh(
            part.x, part.y, shown, norm=norm, cmap=tints, alpha=alpha, shading="nearest",
            rasterized=True, linewidth=0,
        )  # fmt: skip
        if clip is not None:
            mesh.set_clip_path(clip)
    levels = MaxNLocator(8 if kind == "fit" else 4, steps=[1, 2, 2.5, 5, 10]).tick_values(
        norm.vmin or 0.0, norm.vmax or 0.0
    )
    lines = axes.contour(
        part.x,
        part.y,
        shown,
        levels=levels,
        colors=style.ON_LIGHT,
        linewidths=0.4,
        linestyles="solid",
    )
    axes.clabel(lines, fontsize=style.SMALL - 1, fmt=lambda v: style.short_number(float(v)))


def _no_surface(found: FittedSample, part: _Slice) -> str:
    """Why a panel shows data alone."""
    import textwrap

    if len(part.x) < 2 or len(part.y) < 2:
        said = "no contours: a factor takes one value"
    else:
        aliased = ", ".join(style.wording(t) for t in found.summary["aliased"])
        said = f"no contours: the data cannot estimate {aliased}"
    return "\n".join(textwrap.wrap(style.plain(said, 120), 44))


def _vertical(axes: Axes, values: Array, log: bool) -> None:
    """A y axis as `style.factor_axis` makes an x axis."""
    from matplotlib.ticker import (
        FixedLocator,
        FuncFormatter,
        MaxNLocator,
        NullFormatter,
        NullLocator,
    )

    low, high = float(values.min()), float(values.max())
    if log:
        axes.set_yscale("log")
        spread = max(np.log(high / low), 0.2)
        axes.set_ylim(low * np.exp(-0.08 * spread), high * np.exp(0.08 * spread))
        distinct = np.unique(values)
        if len(distinct) <= 6 and high / low < 50:
            axes.yaxis.set_major_locator(FixedLocator(distinct.tolist()))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        spread = (high - low) or max(abs(high), 1.0) * 0.2
        axes.set_ylim(low - 0.08 * spread, high + 0.08 * spread)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.short_number(value)))


def _data(axes: Axes, found: FittedSample, part: _Slice) -> None:
    """Models as points, and the outline of their hull in coded units."""
    x, y = (found.rows.values[name] for name in part.names)
    corners = _hull(found, part)
    closed = np.vstack([corners, corners[:1]])
    axes.plot(closed[:, 0], closed[:, 1], color=style.ORANGE, linewidth=0.8, zorder=3)
    axes.plot(
        spread_ties(axes, x, found.rows.is_log(part.names[0])), y, linestyle="none", marker="o",
        markersize=2.2, markerfacecolor=style.ORANGE, markeredgecolor=style.PAPER,
        markeredgewidth=0.25, alpha=0.7, zorder=4, rasterized=len(x) > 300,
    )  # fmt: skip


def _hull(found: FittedSample, part: _Slice) -> Array:
    """Corners of the hull in raw units: straight in coded units is straight on these axes."""
    assert found.fit is not None
    first, second = (_factor(found.fit, name) for name in part.names)
    values = found.rows.values
    coded = np.column_stack([first.encode(values[first.name]), second.encode(values[second.name])])
    corners = outline(coded)
    return np.column_stack([first.decode(corners[:, 0]), second.decode(corners[:, 1])])


def _bar(figure: Any, axes: Sequence[Axes], norm: Normalize, colours: Colormap, label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter

    bar = figure.colorbar(
        ScalarMappable(norm, colours), ax=list(axes), shrink=0.85, aspect=28, pad=0.01,
        extend="both",
    )  # fmt: skip
    bar.set_label(label)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.short_number(value)))


def _greys() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("tunescape_error", ["#f7f7f5", "#b9b6ae", "#5d5a52"])
