"""Regression plots: fitted curve per factor with interval, data and residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.figures import style
from tunescape.figures.forest import panel_title
from tunescape.figures.sample import (
    UNITS,
    FittedSample,
    Sample,
    read_fitted,
    reference_said,
)
from tunescape.figures.scatter import marks, owner_legend, spread_ties

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from tunescape.inference import Covariance
    from tunescape.surface import SurfaceFit

Array = NDArray[np.float64]

STEPS = 60


def draw_regression(
    fit: str | Path,
    diagnostics: str | Path,
    outputs: Sequence[str | Path],
    spec: Mapping[str, Any],
) -> None:
    """Draw the fitted curve over each factor, the others at their median, and the residuals.

    The curve is drawn where the data determine it, thin and dashed where it extrapolates (leverage
    above that of every model); where they do not, the panel says so. The interval is the
    cluster-robust one where it exists, otherwise the classical one; the caption line says which.

    Args:
        fit: the regression's summary.
        diagnostics: its rows.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``effects`` as in the regression, ``unit`` and ``dpi``.
    """
    unit = str(spec.get("unit", "model"))
    found = read_fitted(fit, diagnostics, tuple(spec.get("effects", ())), unit)
    dpi = int(spec.get("dpi", 160))
    if not len(found.rows.response):
        n = found.summary["n"]
        style.save_sentence(f"n = {n}, not fitted: {found.summary['reason']}", outputs, dpi)
        return
    names = list(found.rows.codings)
    columns = min(len(names), 3)
    blocks = -(-len(names) // columns)
    with style.sheet(style.PAGE_WIDTH, 0.35 + 3.55 * blocks) as figure:
        heights = [2.3, 1.0] * blocks
        grid = figure.subplots(
            2 * blocks, columns, squeeze=False, height_ratios=heights, sharey="row"
        )
        for axes in grid.ravel():
            axes.set_visible(False)
        for k, name in enumerate(names):
            block, column = divmod(k, columns)
            upper, lower = grid[2 * block, column], grid[2 * block + 1, column]
            upper.set_visible(True)
            lower.set_visible(True)
            _curve_panel(upper, found, name)
            _residual_panel(lower, found, name)
            if column == 0:
                upper.set_ylabel(found.rows.said(found.rows.metric))
                lower.set_ylabel("residual")
        curves = _curve_handles(UNITS[unit][0]) if found.fit is not None else ()
        owner_legend(figure, found.rows, curves)
        style.save(figure, outputs, dpi)


def _curve_panel(axes: Axes, found: FittedSample, name: str) -> None:
    from tunescape.inference import surface_covariance

    rows = found.rows
    x, y = rows.values[name], rows.response
    axes.tick_params(labelbottom=False)
    style.factor_axis(axes, x, rows.is_log(name))
    _limit_y(axes, y)
    if found.fit is None:
        marks(axes, spread_ties(axes, x, rows.is_log(name)), y, np.isfinite(y), rows.marked)
        _say(axes, f"not fitted: {found.summary['reason']}")
        axes.set_title(f"n = {len(y):,}", fontsize=style.SMALL, color=style.MUTED)
        return
    used = surface_covariance(found.fit, found.clusters)
    drawn = _curve(axes, found.fit, found, name, used)
    marks(axes, spread_ties(axes, x, rows.is_log(name)), y, np.isfinite(y), rows.marked)
    if not drawn:
        terms = [t for t in found.summary["aliased"] if name in t.replace("^2", "").split(":")]
        because = ", ".join(style.wording(t) for t in terms or found.summary["aliased"])
        _say(axes, f"curve not estimable: the data cannot tell apart {because}")
    interval = (
        f"{found.summary['level']:.0%} {'CR3' if used.kind == 'cr3' else 'classical'} interval"
    )
    if not drawn or used.df < 1:
        interval = "no interval"
    head, _, r2 = panel_title(found.summary, rows.unit).partition(", R²")
    lines = [head, f"R²{r2}, {interval}" if r2 else interval]
    if held := _held(rows, name):
        lines.append(f"curve at {held}")
    if level := reference_said(found.summary).removeprefix(", "):
        lines.append(level)
    axes.set_title("\n".join(lines), fontsize=style.SMALL, color=style.MUTED, linespacing=1.15)


def _curve(axes: Axes, fit: SurfaceFit, found: FittedSample, name: str, used: Covariance) -> bool:
    """Draw what the data determine of the slice through the medians; False when it is nothing."""
    rows = found.rows
    x = rows.values[name]
    low, high = float(x.min()), float(x.max())
    grid = np.geomspace(low, high, STEPS) if rows.is_log(name) else np.linspace(low, high, STEPS)
    grid = np.unique(np.concatenate([grid, np.unique(x)]))
    medians = held_values(rows.values)
    at = {n: np.full(grid.shape, medians[n]) for n in rows.values} | {name: grid}
    predicted = fit.predict(
        at, level=float(found.summary["level"]), covariance=used.matrix, df=used.df
    )
    known = predicted.estimable
    if not bool(known.any()):
        return False
    # A run of two or more neighbouring points is a curve; a lone one is a setting in the data.
    neighbour = np.zeros(known.shape, dtype=bool)
    neighbour[1:] |= known[:-1]
    neighbour[:-1] |= known[1:]
    curve, lone = known & neighbour, known & ~neighbour
    inside = curve & ~predicted.extrapolated
    blank = np.where(curve, predicted.fit, np.nan)
    axes.fill_between(
        grid, predicted.ci_low, predicted.ci_high, where=curve.tolist(), color=style.INK,
        alpha=0.13, linewidth=0, zorder=1,
    )  # fmt: skip
    axes.plot(grid, blank, color=style.INK, linewidth=0.8, linestyle=(0, (3, 2)), zorder=3)
    axes.plot(
        grid, np.where(inside, predicted.fit, np.nan), color=style.INK, linewidth=1.5, zorder=3
    )
    if bool(inside.any()):
        bottom = axes.get_xaxis_transform()
        axes.fill_between(
            grid, 0, 0.014, where=inside.tolist(), transform=bottom, color=style.MUTED, linewidth=0,
            zorder=2,
        )  # fmt: skip
    for k in np.flatnonzero(lone):
        axes.plot(
            [grid[k]] * 2,
            [predicted.ci_low[k], predicted.ci_high[k]],
            color=style.INK,
            linewidth=1.0,
            zorder=4,
        )
        axes.plot(grid[k], predicted.fit[k], marker="_", markersize=7, color=style.INK, zorder=4)
    if not bool(curve.any()):
        style.note(axes, "determined at single settings only", y=0.02, va="bottom")
    return True


def _curve_handles(rows: str) -> list[Line2D]:
    from matplotlib.lines import Line2D

    dashed = (0, (3, 2))
    return [
        Line2D([], [], color=style.INK, linewidth=1.5, label=f"fit where {rows} lie"),
        Line2D([], [], color=style.INK, linewidth=0.8, linestyle=dashed, label="fit beyond them"),
    ]


def held_values(values: Mapping[str, Array]) -> dict[str, float]:
    """Where the other factors are held: the median setting, one that occurs in the data."""
    return {
        name: float(np.sort(column)[(len(column) - 1) // 2]) if len(column) else float("nan")
        for name, column in values.items()
    }


def _held(rows: Sample, name: str) -> str:
    """The settings of the other factors along a curve, in words."""
    said = []
    for other, value in held_values(rows.values).items():
        if other == name:
            continue
        number = style.short_number(value)
        if rows.view == "relative":
            sign = "×" if rows.is_log(other) else "+" if value > 0 else "" if value < 0 else "±"
            number = sign + number
        said.append(f"{style.wording(other)} {number}")
    return ", ".join(said)


def _residual_panel(axes: Axes, found: FittedSample, name: str) -> None:
    rows = found.rows
    x = rows.values[name]
    axes.set_xlabel(rows.said(name))
    if found.fit is None:
        style.say_instead(axes, "no residuals: not fitted")
        axes.set_xticks([])
        return
    style.factor_axis(axes, x, rows.is_log(name))
    axes.axhline(0, color=style.MUTED, linewidth=0.6, zorder=0)
    every = np.isfinite(found.residuals)
    marks(axes, spread_ties(axes, x, rows.is_log(name)), found.residuals, every, rows.marked)
    reach = 1.4 * float(np.abs(found.residuals).max()) or 1.0
    axes.set_ylim(-reach, reach)
    style.note(axes, f"n = {len(x):,}")


def _limit_y(axes: Axes, y: Array) -> None:
    """Room for the data and a little more: an interval may leave the panel, the data may not."""
    low, high = float(y.min()), float(y.max())
    room = 0.25 * (high - low) or max(abs(high), 1.0) * 0.1
    axes.set_ylim(low - room, high + room)


def _say(axes: Axes, text: str) -> None:
    """A sentence over the data, set off from them."""
    import textwrap

    axes.text(
        0.5, 0.04, "\n".join(textwrap.wrap(style.plain(text, 160), 36)), ha="center", va="bottom",
        transform=axes.transAxes, fontsize=style.SMALL, color=style.INK, zorder=5,
        bbox={"facecolor": style.WASH, "edgecolor": "none", "pad": 2.5},
    )  # fmt: skip
