"""Specification curve of one metric: every estimate of every coefficient, and what moves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.figures import style
from tunescape.tables import read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

COLUMNS = 3
WORDS = {
    "coding": "factors coded", "intercept": "intercept", "view": "view", "duplicates": "duplicates",
    "confidence": "least confidence", "dataset": "data sets", "outliers": "outliers",
    "covariance": "errors",
}  # fmt: skip
LEVELS = {
    "study": "as the study", "cook": "Cook > 4/n out", "studentised": "|residual| > 3 out",
    "keep": "kept", "drop": "dropped", "fixed": "own level each", "hc3": "HC3", "cr3": "CR3",
}  # fmt: skip


def draw_specifications(
    curve: str | Path, summary: str | Path, outputs: Sequence[str | Path], spec: Mapping[str, Any]
) -> None:
    """Draw the specification curve of one metric.

    Above, a panel a coefficient: its ratios to the standard error over all specifications in
    order, the significant ones in colour, the study's own marked. Below, for each level of each
    decision, the share of specifications that are significant with the study's sign.

    Args:
        curve, summary: files of ``specification.specification_curve``.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``confidence`` (0.95) and ``dpi``.
    """
    table, counted = read_table(curve), read_table(summary)
    dpi = int(spec.get("dpi", 160))
    tested = table[np.isfinite(table["p"].astype(float))]  # an empty table has no types
    if tested.empty:
        total = table["specification"].nunique()
        style.save_sentence(f"none of {total:,} specifications tests a coefficient", outputs, dpi)
        return
    terms = list(dict.fromkeys(counted["term"]))
    alpha = 1 - float(spec.get("confidence", 0.95))
    lines = -(-len(terms) // COLUMNS)
    decided = counted[counted["decision"] != "all"]
    levels = decided[["decision", "level"]].drop_duplicates()
    heights = [1.0] * lines + [0.115 * len(levels) + 0.9]
    with style.sheet(style.PAGE_WIDTH, 0.4 + 1.15 * sum(heights)) as figure:
        grid = figure.add_gridspec(lines + 1, COLUMNS, height_ratios=heights)
        for k, term in enumerate(terms):
            axes = figure.add_subplot(grid[divmod(k, COLUMNS)])
            shares = counted[(counted["term"] == term) & (counted["decision"] == "all")].iloc[0]
            _curve(axes, tested[tested["term"] == term], term, shares, alpha)
            if k % COLUMNS == 0:
                axes.set_ylabel("estimate / error")
        _decisions(figure.add_subplot(grid[lines, :]), decided, levels, terms)
        metric = style.wording(str(counted["metric"].iloc[0]))
        figure.suptitle(
            f"{metric}: {int(counted['specifications'].max()):,} specifications a coefficient; "
            f"orange: p < {alpha:.2g}; diamond: the study's own",
            fontsize=style.SMALL, color=style.MUTED, x=0.01, ha="left",
        )  # fmt: skip
        style.save(figure, outputs, dpi)


def _curve(axes: Axes, part: pd.DataFrame, term: str, shares: pd.Series, alpha: float) -> None:
    axes.axhline(0, color=style.MUTED, linewidth=0.6, zorder=0)
    axes.set_title(style.wording(term), fontsize=style.SMALL)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    if part.empty:
        style.say_instead(axes, "not estimable")
        axes.set_yticks([])
        return
    ratio = (part["estimate"] / part["se"]).to_numpy(dtype=float)
    order = np.argsort(ratio, kind="stable")
    ratio, p = ratio[order], part["p"].to_numpy(dtype=float)[order]
    x = np.arange(len(ratio))
    for mask, colour in ((p >= alpha, style.GREY), (p < alpha, style.ORANGE)):
        axes.plot(
            x[mask], ratio[mask], linestyle="none", marker=".", markersize=2.0, color=colour,
            rasterized=len(x) > 300,
        )  # fmt: skip
    reach = 1.1 * max(float(np.quantile(np.abs(ratio), 0.98)), 2.5)
    axes.set_ylim(-reach, reach)
    estimate = part["estimate"].to_numpy(dtype=float)[order]
    own = (p == shares["reference_p"]) & (estimate == shares["reference_estimate"])
    axes.plot(x[own][:1], ratio[own][:1], marker="D", markersize=4, color=style.INK, zorder=4)
    said = f"sign kept {shares['share_sign']:.0%}, significant {shares['share_significant']:.0%}"
    style.note(axes, said)


def _decisions(
    axes: Axes, decided: pd.DataFrame, levels: pd.DataFrame, terms: Sequence[str]
) -> None:
    """Table of shares: one line a level, one column a coefficient."""
    shares = decided.pivot_table(
        index=["decision", "level"], columns="term", values="share_significant_sign", sort=False,
        dropna=False,
    )  # fmt: skip
    wanted = list(levels.itertuples(index=False, name=None))
    cells = shares.reindex(index=wanted, columns=list(terms)).to_numpy(dtype=float)
    colours = style.sequential()
    axes.imshow(cells, aspect="auto", cmap=colours, vmin=0, vmax=1)
    for i, j in np.ndindex(*cells.shape):
        value = cells[i, j]
        known = bool(np.isfinite(value))
        axes.text(
            j, i, f"{value:.0%}" if known else "–", ha="center", va="center",
            fontsize=style.SMALL - 1, color=style.ink_on(colours(value)) if known else style.MUTED,
        )  # fmt: skip
    axes.set_xticks(range(len(terms)), [_two_lines(term) for term in terms])
    labels, before = [], ""
    for decision, level in wanted:
        head = f"{WORDS.get(decision, decision)}: " if decision != before else ""
        labels.append(head + LEVELS.get(level, level))
        before = decision
    axes.set_yticks(range(len(wanted)), labels)
    axes.tick_params(length=0, labelsize=style.SMALL - 0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(
        "share of specifications significant with the study's sign, by decision",
        fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip


def _two_lines(term: str) -> str:
    return style.wording(term).replace(" × ", "\n× ").replace("train batch size", "batch size")
