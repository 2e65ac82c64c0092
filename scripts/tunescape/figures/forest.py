"""Forest plot: every coefficient with its classical and its cluster-robust interval."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.figures import style
from tunescape.figures.sample import UNITS
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

INTERVALS = (
    ("classical", "ci_low_classical", "ci_high_classical", style.BLUE, "o", -0.15),
    ("cluster-robust (CR3)", "ci_low", "ci_high", style.ORANGE, "s", 0.15),
)


def draw_forest(
    coefficients: str | Path,
    fit: str | Path,
    outputs: Sequence[str | Path],
    spec: Mapping[str, Any],
) -> None:
    """Draw coded coefficients (effect of half a factor's range), one line a term.

    Args:
        coefficients: the regression's coefficient table.
        fit: its summary.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``unit`` and ``dpi``.
    """
    table = read_table(coefficients)
    summary = read_json(fit)
    terms = table[table["kind"] != "intercept"].reset_index(drop=True)
    with style.sheet(style.PAGE_WIDTH, 0.75 + 0.27 * max(len(terms), 2)) as figure:
        axes = figure.add_subplot()
        if summary["status"] == "not_fitted" or not terms["estimable"].any():
            style.bare(axes)
            style.say_instead(axes, f"n = {summary['n']:,}: not fitted.\n{_reason(summary)}")
        else:
            _draw(axes, terms, summary, str(spec.get("unit", "model")))
        style.save(figure, outputs, int(spec.get("dpi", 160)))


def _draw(axes: Axes, terms: pd.DataFrame, summary: Mapping[str, Any], unit: str) -> None:
    from matplotlib.lines import Line2D

    reach = _reach(terms)
    axes.axvline(0, color=style.MUTED, linewidth=0.6, zorder=0)
    handles = []
    for said, low, high, colour, shape, shift in INTERVALS:
        drawn = False
        for y, (_, row) in enumerate(terms.iterrows()):
            if not row["estimable"] or not np.isfinite(row[low]):
                continue
            drawn = True
            _interval(axes, y + shift, row, (low, high), colour, shape, reach)
        label = said if drawn else f"no {said} interval"
        handles.append(Line2D([], [], color=colour, marker=shape, markersize=3.6, label=label))
    for y, (_, row) in enumerate(terms.iterrows()):
        if not row["estimable"]:
            axes.annotate(
                "not estimable", (0, y), (4, 0), textcoords="offset points", va="center",
                fontsize=style.SMALL, color=style.MUTED,
            )  # fmt: skip
        elif not np.isfinite(row["ci_low"]) and not np.isfinite(row["ci_low_classical"]):
            axes.plot(row["estimate"], y, marker="o", markersize=3.6, color=style.GREY)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(terms) - 0.5, -0.5)
    axes.set_yticks(range(len(terms)), [style.wording(str(t)) for t in terms["term"]])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    change = "" if summary["view"] == "absolute" else ", difference to baseline"
    lines = [f"coefficient in coded units ({style.wording(summary['metric'])}{change})"]
    lines += textwrap.wrap(style.plain(summary["covariance"]["cr3"]["reason"], 200), 100)
    axes.set_xlabel("\n".join(lines))
    axes.set_title(panel_title(summary, unit), fontsize=style.SMALL, color=style.MUTED)
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0.0,
        borderaxespad=0.3,
    )  # fmt: skip


def _interval(
    axes: Axes,
    y: float,
    row: pd.Series,
    columns: tuple[str, str],
    colour: str,
    shape: str,
    reach: float,
) -> None:
    low, high = float(row[columns[0]]), float(row[columns[1]])
    estimate = float(row["estimate"])
    axes.plot(
        [max(low, -reach), min(high, reach)], [y, y], color=colour, linewidth=1.0,
        solid_capstyle="butt",
    )  # fmt: skip
    for beyond, x, arrow in ((low < -reach, -reach, "<"), (high > reach, reach, ">")):
        if beyond:
            axes.plot(x, y, marker=arrow, markersize=3.5, color=colour, clip_on=False)
    if abs(estimate) <= reach:
        axes.plot(
            estimate, y, marker=shape, markersize=3.6, color=colour, markeredgecolor=style.PAPER,
            markeredgewidth=0.3,
        )  # fmt: skip


def _reach(terms: pd.DataFrame) -> float:
    """Half-width of the axis: all estimates, and intervals unless they dwarf the others."""
    estimates = np.abs(terms["estimate"].to_numpy(dtype=float))
    ends = np.abs(
        terms[["ci_low_classical", "ci_high_classical", "ci_low", "ci_high"]].to_numpy(dtype=float)
    )
    ends = ends[np.isfinite(ends)]
    largest = float(np.nanmax(estimates))
    if not ends.size:
        return 1.2 * largest or 1.0
    usual = 2.5 * float(np.quantile(ends, 0.75))
    return 1.05 * max(min(float(ends.max()), usual), largest) or 1.0


def panel_title(summary: Mapping[str, Any], unit: str = "model") -> str:
    """n, owners (or configurations), rank and R² of a fit in one line."""
    terms = len(summary["terms"])
    rank = int(summary["rank"] or 0) - int(summary.get("effects", 0))
    said = f"n = {summary['n']:,}, {summary['owners']:,} {UNITS[unit][1]}, rank {rank} of {terms}"
    if summary.get("r2") is not None:
        kind = "" if summary["r2_kind"] == "centred" else " (uncentred)"
        said += f", R² {summary['r2']:.2f}{kind}".replace("-", "−")
    return said


def _reason(summary: Mapping[str, Any]) -> str:
    return style.plain(summary.get("reason") or "no term can be estimated", 110)
