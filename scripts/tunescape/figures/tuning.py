"""Figures of a tuning study: effects, budget curves, parallel coordinates, training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tunescape.figures import style
from tunescape.tables import read_json, read_table
from tunescape.tuning.trials import explored

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Array = NDArray[np.float64]
Paths = Sequence[str | Path]

KINDS = ("half_normal", "budget", "parallel", "training")
ARMS = {
    "only": (style.BLUE, "-"),
    "warm": (style.ORANGE, "-"),
    "cold": (style.BLUE, (0, (4, 2))),
}
ARM_WORDS = {"only": "", "warm": "warm start", "cold": "cold start"}


def draw_tuning(inputs: Mapping[str, str | Path], outputs: Paths, spec: Mapping[str, Any]) -> None:
    """Draw the figures of a tuning study.

    Args:
        inputs: ``effects`` (screening), ``curves``, ``trials``, ``history`` (of the best run) and
            ``summary``, as `tuning.screening` and `tuning.results` write them.
        outputs: files named ``half_normal``, ``budget``, ``parallel`` or ``training`` with
            ``.svg`` or ``.png``; what is not named is not drawn.
        spec: ``metric``, ``maximise``, ``factors`` (names), ``dpi``.
    """
    wanted: dict[str, list[Path]] = {}
    for path in map(Path, outputs):
        wanted.setdefault(path.stem, []).append(path)
    dpi = int(spec.get("dpi", 160))
    if "half_normal" in wanted:
        draw_half_normal(inputs["effects"], wanted["half_normal"], str(spec["metric"]), dpi)
    if "budget" in wanted:
        draw_budget(inputs["curves"], inputs["summary"], wanted["budget"], dpi)
    if "parallel" in wanted:
        draw_parallel(inputs["trials"], wanted["parallel"], spec)
    if "training" in wanted:
        draw_training(inputs["history"], wanted["training"], str(spec["metric"]), dpi)


def draw_half_normal(effects: str | Path, outputs: Paths, metric: str, dpi: int = 160) -> None:
    """Half-normal plot: absolute effects against what noise alone would give.

    Effects that are noise lie on a line through the origin; its slope here is their standard
    error.
    """
    table = read_table(effects)
    with style.sheet(style.PAGE_WIDTH, 2.8) as figure:
        axes = figure.add_subplot()
        x = table["half_normal"].to_numpy(dtype=float)
        y = table["absolute"].to_numpy(dtype=float)
        kept = table["kept"].to_numpy(dtype=bool)
        se = float(table["se"].median())
        edge = float(x.max()) * 1.25
        if np.isfinite(se) and se > 0:
            axes.plot([0, edge], [0, se * edge], color=style.MUTED, linewidth=0.8, zorder=0)
        for mask, colour, mark, said in (
            (kept, style.ORANGE, "s", "kept"),
            (~kept, style.BLUE, "o", "left at the baseline"),
        ):
            axes.plot(x[mask], y[mask], mark, color=colour, markersize=4, label=said)
        for px, py, name, chosen in zip(x, y, table["factor"], kept, strict=True):
            if chosen or len(table) <= 12:
                # Effects that are noise crowd at the origin, so their names stand on end.
                turned: dict[str, Any] = (
                    {} if chosen else {"rotation": 60, "rotation_mode": "anchor"}
                )
                axes.annotate(
                    style.wording(str(name)), (px, py), xytext=(5, -2) if chosen else (2, 5),
                    fontsize=style.SMALL, textcoords="offset points", ha="left",
                    color=style.INK, **turned,
                )  # fmt: skip
        axes.set_xlim(0, edge)
        axes.set_ylim(0, 1.15 * max(float(y.max()), 1e-12))
        axes.set_xlabel("half-normal quantile (line: noise alone)")
        axes.set_ylabel(f"absolute effect on {style.wording(metric)}")
        axes.legend(loc="upper left", borderaxespad=0.2)
        method = style.plain(table["method"].iloc[0], 80)
        axes.set_title(f"{len(table)} factors; {method}", fontsize=style.SMALL, color=style.MUTED)
        style.save(figure, outputs, dpi)


def draw_budget(curves: str | Path, summary: str | Path, outputs: Paths, dpi: int = 160) -> None:
    """Budget curves: best so far (steps) and the median tuning curve with its band, by stage."""
    table, told = read_table(curves), read_json(summary)
    if table.empty:
        style.save_sentence("no search has a run that ended well", outputs, dpi)
        return
    stages = list(dict.fromkeys(table["stage"]))
    columns = min(len(stages), 3)
    lines = -(-len(stages) // columns)
    with style.sheet(style.PAGE_WIDTH, 0.4 + 2.1 * lines) as figure:
        grid = np.ravel(figure.subplots(lines, columns, squeeze=False, sharey=True))
        low, high = _window(table)
        for axes, stage in zip(grid, stages, strict=False):
            part = table[table["stage"] == stage]
            for arm, rows in part.groupby("arm", sort=False):
                colour, dash = ARMS[str(arm)]
                x = rows["runs"].to_numpy(dtype=float)
                axes.fill_between(
                    x, rows["tuning_low"], rows["tuning_high"], color=colour, alpha=0.12,
                    linewidth=0,
                )  # fmt: skip
                axes.plot(x, rows["tuning"], color=colour, linestyle=":", linewidth=0.9)
                axes.step(
                    x, rows["best"], where="post", color=colour, linestyle=dash,
                    label=ARM_WORDS[str(arm)] or "best so far",
                )  # fmt: skip
            searches = int(part["searches"].max())
            title = f"{stage}: {int(part['runs'].max())} runs, {searches} search"
            axes.set_title(title + ("es" if searches > 1 else ""), fontsize=style.SMALL)
            axes.set_ylim(low, high)
            axes.set_xlabel("runs")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(loc="lower right" if told["maximise"] else "upper right")
        for axes in grid[len(stages) :]:
            axes.set_visible(False)
        for first in grid[::columns]:
            first.set_ylabel(style.wording(str(told["metric"])))
        figure.supxlabel(
            "steps: best so far; dotted: median best of n independent runs, 95 % band",
            fontsize=style.SMALL, color=style.MUTED,
        )  # fmt: skip
        style.save(figure, outputs, dpi)


def _window(table: pd.DataFrame) -> tuple[float, float]:
    """Limits by the curves themselves: a band may reach to the metric's bounds."""
    values = table[["best", "tuning"]].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    room = 0.35 * (high - low) or 0.01
    return low - room, high + room


def draw_parallel(trials: str | Path, outputs: Paths, spec: Mapping[str, Any]) -> None:
    """Parallel coordinates of the settings that searches chose from, seeds averaged.

    The darker a line, the better its metric, whichever direction is better.
    """
    table = read_table(trials)
    metric, maximise = str(spec["metric"]), bool(spec["maximise"])
    dpi = int(spec.get("dpi", 160))
    whole = explored(table)
    names = [n for n in spec["factors"] if whole[n].nunique() > 1]
    if whole.empty or not names:
        style.save_sentence("no setting varies among the runs that ended well", outputs, dpi)
        return
    runs = len(whole)
    folded = whole.groupby("configuration", sort=False).agg(
        {**dict.fromkeys(names, "first"), "value": "mean"}
    )
    value = folded["value"].to_numpy(dtype=float)
    # By rank: most settings of a search lie close to the best, and would share one shade.
    better = _share(rankdata(value if maximise else -value))
    order = np.argsort(better, kind="stable")
    with style.sheet(style.PAGE_WIDTH, 3.0) as figure:
        axes = figure.add_subplot()
        columns = [_axis(axes, place, folded[name]) for place, name in enumerate(names)]
        columns.append(_axis(axes, len(names), folded["value"]))
        heights = np.column_stack(columns)
        colours = _ramp()(0.15 + 0.85 * better)
        for i in order:
            best = i == order[-1]
            axes.plot(
                range(len(names) + 1), heights[i], color=style.ORANGE if best else colours[i],
                linewidth=1.6 if best else 0.8, alpha=1.0 if best else 0.35 + 0.6 * better[i],
            )  # fmt: skip
        said = [style.wording(name) for name in (*names, metric)]
        axes.set_xticks(range(len(said)), said)
        axes.tick_params(axis="x", length=0, pad=14)
        axes.set_yticks([])
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(-0.35, len(names) + 0.35)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        title = f"{runs:,} runs at {len(folded):,} settings, seeds averaged; orange: best mean"
        direction = "higher" if maximise else "lower"
        axes.set_title(
            f"{title}; darker: better ({direction} {style.wording(metric)})",
            fontsize=style.SMALL, color=style.MUTED, pad=12,
        )  # fmt: skip
        style.save(figure, outputs, dpi)


def _axis(axes: Axes, place: int, column: pd.Series) -> Array:
    """Draw one vertical axis with its ends, and give each line's height on it."""
    from pandas.api.types import is_numeric_dtype

    axes.axvline(place, color=style.MUTED, linewidth=0.6, zorder=0)
    if is_numeric_dtype(column):
        values = column.to_numpy(dtype=float)
        ends = [style.short_number(float(values.min())), style.short_number(float(values.max()))]
        heights = _share(np.log(values) if style.use_log(values) else values)
    else:
        names = sorted(set(column.astype(str)))
        heights = np.array([names.index(v) for v in column.astype(str)]) / max(len(names) - 1, 1)
        ends = [style.plain(names[0], 16), style.plain(names[-1], 16)]
    for y, text, anchor in ((-0.03, ends[0], "top"), (1.03, ends[1], "bottom")):
        axes.text(
            place, y, text, ha="center", va=anchor, fontsize=style.SMALL, color=style.MUTED,
            clip_on=False,
        )  # fmt: skip
    return np.asarray(heights, dtype=float)


def _share(values: Array) -> Array:
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.full(len(values), 0.5)
    return np.asarray((values - low) / (high - low), dtype=float)


def _ramp() -> Colormap:
    return style.sequential()


def draw_training(history: str | Path, outputs: Paths, metric: str, dpi: int = 160) -> None:
    """Training curves of the best setting, one line a seed: losses, and the tuned metric."""
    table = read_table(history)
    if table.empty:
        style.save_sentence("the best run has no history", outputs, dpi)
        return
    panels = [("loss", "loss")] + ([] if metric == "loss" else [(metric, style.wording(metric))])
    with style.sheet(style.PAGE_WIDTH, 2.3) as figure:
        grid = np.ravel(figure.subplots(1, len(panels), squeeze=False))
        for axes, (name, said) in zip(grid, panels, strict=True):
            for place, (_, run) in enumerate(table.groupby("run_id", sort=False)):
                run = run.sort_values("epoch")
                first = place == 0
                axes.plot(
                    run["epoch"], run[name], color=style.ORANGE, marker="s", markersize=3,
                    linewidth=0.9, label="evaluation" if first else None,
                )  # fmt: skip
                if name == "loss":
                    axes.plot(
                        run["epoch"], run["train_loss"], color=style.BLUE, marker="o",
                        markersize=3, linewidth=0.9, label="training" if first else None,
                    )  # fmt: skip
            axes.set_xlabel("epoch")
            axes.set_ylabel(said)
            axes.set_xlim(0, float(table["epoch"].max()) + 0.3)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend()
        seeds = table["run_id"].nunique()
        title = f"{style.plain(table['candidate'].iloc[0])}, {seeds} seed" + "s" * (seeds > 1)
        grid[0].set_title(title, fontsize=style.SMALL, color=style.MUTED)
        style.save(figure, outputs, dpi)
