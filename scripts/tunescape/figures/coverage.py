"""Coverage: which hyperparameters are stated together with which metrics, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescape.figures import style
from tunescape.tables import read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def draw_coverage(
    coverage: str | Path, outputs: Sequence[str | Path], spec: Mapping[str, Any]
) -> None:
    """Draw models and distinct settings for every pair of hyperparameter and metric.

    Args:
        coverage: table with ``population, hyperparameter, metric, rows, settings, ...``.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``population``; ``min_rows`` and ``min_settings``, the rule of what is analysed; the
            analysed ``factors`` and ``metrics`` (outlined); ``dpi``.
    """
    table = read_table(coverage)
    name = spec.get("population")
    rows = table if name is None else table[table["population"] == name]
    with style.sheet(style.PAGE_WIDTH, 3.7) as figure:
        _draw(figure.add_subplot(), rows, spec)
        style.save(figure, outputs, int(spec.get("dpi", 160)))


def _draw(axes: Axes, table: pd.DataFrame, spec: Mapping[str, Any]) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    if table.empty or not table["rows"].max() > 0:
        style.bare(axes)
        style.say_instead(axes, "No model states a hyperparameter together with a metric: n = 0")
        return
    across = list(dict.fromkeys(table["metric"]))
    down = list(dict.fromkeys(table["hyperparameter"]))
    rows = _grid(table, "rows", down, across)
    settings = _grid(table, "settings", down, across)
    least_rows = int(spec.get("min_rows", 1))
    least_settings = int(spec.get("min_settings", 1))
    colours = style.sequential()
    norm = LogNorm(1, max(float(rows.max()), 2.0))
    chosen = {(f, m) for f in spec.get("factors", ()) for m in spec.get("metrics", ())}
    for i, hyperparameter in enumerate(down):
        for j, metric in enumerate(across):
            n, distinct = int(rows[i, j]), int(settings[i, j])
            enough = n >= least_rows and distinct >= least_settings
            fill = colours(norm(max(n, 1))) if enough else None
            axes.add_patch(
                Rectangle(
                    (j - 0.5, i - 0.5), 1, 1, facecolor=fill or style.WASH,
                    edgecolor=style.PAPER, linewidth=1.2,
                )
            )  # fmt: skip
            ink = style.ink_on(fill) if fill else style.MUTED
            big: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
            axes.text(j, i - (0.13 if n else 0), f"{n:,}" if n else "0", fontsize=style.BASE, **big)
            if n:
                said = f"{distinct:,} setting" + "s" * (distinct != 1)
                axes.text(j, i + 0.25, said, fontsize=5.2, **big)
            if (hyperparameter, metric) in chosen:
                axes.add_patch(
                    Rectangle(
                        (j - 0.47, i - 0.46), 0.94, 0.92, fill=False, edgecolor=style.ORANGE,
                        linewidth=1.3, zorder=3,
                    )
                )  # fmt: skip
    axes.set_xlim(-0.5, len(across) - 0.5)
    axes.set_ylim(len(down) - 0.5, -0.5)
    axes.set_xticks(range(len(across)), [_stacked(style.wording(m)) for m in across])
    axes.set_yticks(range(len(down)), [style.wording(f) for f in down])
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    says = (
        f"large: models (n); small: distinct settings; grey: fewer than {least_rows} models or "
        f"{least_settings} settings"
    )
    axes.set_xlabel(
        says + ("; outlined: analysed" if chosen else ""), fontsize=style.SMALL, color=style.MUTED
    )


def _grid(
    table: pd.DataFrame, column: str, down: list[str], across: list[str]
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    grid = np.zeros((len(down), len(across)), dtype=np.int64)
    for h, m, value in zip(table["hyperparameter"], table["metric"], table[column], strict=True):
        grid[down.index(h), across.index(m)] = int(value)
    return grid


def _stacked(text: str) -> str:
    return "\n".join(text.split(" "))
