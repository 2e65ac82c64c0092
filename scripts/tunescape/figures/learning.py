"""Learning curves of an experiment: every run, and the mean at each level of a factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescape.figures import style
from tunescape.figures.design import factor_columns
from tunescape.tables import read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LEVEL_MARKS = (
    (style.BLUE, "o"),
    (style.ORANGE, "s"),
    (style.GREEN, "^"),
    (style.PURPLE, "D"),
    (style.GREY, "v"),
)
MOST_LEVELS = len(LEVEL_MARKS)
ACROSS = 3
BARS_UP_TO = 12
"""With more epochs than this the spread is a band instead of bars."""
METRICS = ("loss", "accuracy")


def draw_learning(
    history_csv: str | Path, outputs: Sequence[str | Path], spec: Mapping[str, Any]
) -> None:
    """Draw evaluation loss and accuracy by epoch, one column of panels a factor.

    Thin lines are runs; marks are the mean of the runs at one level with their standard deviation,
    hollow and joined by dashes once some of those runs have ended: from there on the mean is of
    other settings. A factor with more than five settings is cut into thirds.

    Args:
        history_csv: table of ``experiments.collect_runs``, one row a run and epoch.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``dpi``.
    """
    history = read_table(history_csv)
    dpi = int(spec.get("dpi", 160))
    metrics = [m for m in METRICS if m in history and history[m].notna().any()]
    if history.empty or not metrics:
        style.save_sentence("no run has a history: n = 0", outputs, dpi)
        return
    factors = factor_columns(history.columns) or [""]
    columns = min(len(factors), ACROSS)
    blocks = -(-len(factors) // columns)
    with style.sheet(style.PAGE_WIDTH, 0.3 + blocks * (0.3 + 1.55 * len(metrics))) as figure:
        grid = figure.subplots(
            blocks * len(metrics), columns, squeeze=False, sharex=True, sharey="row"
        )
        for axes in grid.ravel():
            axes.set_visible(False)
        levels_of = {factor: level_names(history, factor) for factor in factors}
        for k, factor in enumerate(factors):
            block, column = divmod(k, columns)
            levels = levels_of[factor]
            for line, metric in enumerate(metrics):
                axes = grid[block * len(metrics) + line, column]
                axes.set_visible(True)
                _panel(axes, history, levels, metric)
                if column == 0:
                    axes.set_ylabel(f"evaluation {style.wording(metric)}")
                axes.tick_params(labelbottom=line == len(metrics) - 1)
            beside = factors[block * columns : (block + 1) * columns]
            room = max(_legend_lines(levels_of[name]) for name in beside)
            _name_levels(grid[block * len(metrics), column], history, factor, levels, room)
            axes.set_xlabel("epoch")
        figure.supxlabel(
            "thin: runs; marks: mean and standard deviation of the runs at a level; hollow: some "
            "of them have ended",
            fontsize=style.SMALL, color=style.MUTED,
        )  # fmt: skip
        style.save(figure, outputs, dpi)


def level_names(history: pd.DataFrame, factor: str) -> pd.Series:
    """The level of a factor that each row belongs to, in words, categories in rising order."""
    import pandas as pd

    if not factor:
        return pd.Series(pd.Categorical(["all"] * len(history)), index=history.index)
    column = history[factor]
    if not pd.api.types.is_numeric_dtype(column):
        names = sorted(column.astype(str).unique())
        return pd.Series(pd.Categorical(column.astype(str), names), index=history.index)
    settings = np.unique(column.to_numpy(dtype=float))
    if len(settings) <= MOST_LEVELS:
        parts = [settings[i : i + 1] for i in range(len(settings))]
    else:
        parts = np.array_split(settings, 3)
    names = [
        style.short_number(part[0]) if len(part) == 1 else f"{_two(part[0])} to {_two(part[-1])}"
        for part in parts
    ]
    place = {float(v): name for part, name in zip(parts, names, strict=True) for v in part}
    said = [place[float(v)] for v in column]
    return pd.Series(pd.Categorical(said, list(dict.fromkeys(names))), index=history.index)


def _panel(axes: Axes, history: pd.DataFrame, levels: pd.Series, metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    names = list(levels.cat.categories)
    marks = {name: LEVEL_MARKS[i % MOST_LEVELS] for i, name in enumerate(names)}
    for _, run in history.groupby("run_id", sort=True):
        run = run.sort_values("epoch")
        axes.plot(
            run["epoch"], run[metric], color=marks[levels[run.index[0]]][0], linewidth=0.5,
            alpha=0.4, zorder=1,
        )  # fmt: skip
    last = float(history["epoch"].max())
    dodge = 0.05 if last <= BARS_UP_TO else 0.0
    for i, name in enumerate(names):
        colour, shape = marks[name]
        part = history[(levels == name) & np.isfinite(history[metric])]
        found = part.groupby("epoch")[metric].agg(["mean", "std", "size"]).sort_index()
        x = found.index.to_numpy(dtype=float) + dodge * (i - (len(names) - 1) / 2)
        mean = found["mean"].to_numpy(dtype=float)
        spread = np.nan_to_num(found["std"].to_numpy(dtype=float))
        whole = (found["size"] == part["run_id"].nunique()).to_numpy()
        if dodge:
            axes.errorbar(
                x, mean, spread, color=colour, linestyle="none", elinewidth=0.8, capsize=1.6,
                capthick=0.8, zorder=3,
            )  # fmt: skip
        else:
            axes.fill_between(
                x, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0
            )
        axes.plot(x, mean, color=colour, linewidth=0.8, linestyle=(0, (3, 2)), zorder=3)
        axes.plot(x, np.where(whole, mean, np.nan), color=colour, linewidth=1.3, zorder=3)
        for kept, face in ((whole, colour), (~whole, style.PAPER)):
            axes.plot(
                x[kept], mean[kept], linestyle="none", marker=shape, zorder=4,
                markersize=3.4 if dodge else 2.0, markerfacecolor=face, markeredgecolor=colour,
                markeredgewidth=0.6,
            )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _two(value: float) -> str:
    return style.short_number(float(f"{value:.2g}"))


def _legend_columns(levels: pd.Series) -> int:
    return 3 if max(map(len, levels.cat.categories)) <= 8 else 1


def _legend_lines(levels: pd.Series) -> int:
    return -(-len(levels.cat.categories) // _legend_columns(levels))


def _name_levels(
    axes: Axes, history: pd.DataFrame, factor: str, levels: pd.Series, room: int
) -> None:
    """Title of a column of panels (the factor and n), over ``room`` lines that name its levels."""
    from matplotlib.lines import Line2D

    names = list(levels.cat.categories)
    runs = history.assign(level=levels).groupby("level", observed=True)["run_id"].nunique()
    words = style.wording(factor) if factor else "all runs"
    total = history["run_id"].nunique()
    axes.set_title(f"{words}: n = {total:,} runs", pad=3 + 9 * room, fontsize=style.BASE)
    handles = [
        Line2D(
            [], [], color=LEVEL_MARKS[i % MOST_LEVELS][0], marker=LEVEL_MARKS[i % MOST_LEVELS][1],
            markersize=3.4, linewidth=1.2, label=f"{style.plain(name, 24)} ({runs[name]})",
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderpad=0.0,
        ncols=_legend_columns(levels), borderaxespad=0.2, handlelength=1.4, handletextpad=0.4,
        columnspacing=1.0, labelspacing=0.2,
    )  # fmt: skip
