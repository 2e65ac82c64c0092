"""Forest plot of the two arms: what published models suggest, what an experiment finds."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescape.figures import style
from tunescape.tables import read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

WRAP = 46
"""Characters of small print in a line of the column beside the plot."""
MOST_LINES = 4
_TERM = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+(?:\^\d+)?(?::\w+(?:\^\d+)?)*")
ROW = 0.33
LINE = 0.105


@dataclass(frozen=True)
class Arm:
    """How one estimate is drawn; ``prefix`` and ``ends`` name its columns."""

    prefix: str
    colour: str
    shape: str
    shift: float
    ends: tuple[str, str, str]

    @property
    def error(self) -> str:
        """Column that names the covariance of the estimate."""
        return f"{self.prefix}_error"


ARMS = (
    Arm("hub", style.BLUE, "o", -0.2, ("hub_estimate", "hub_ci_low", "hub_ci_high")),
    Arm(
        "experiment", style.ORANGE, "s", 0.0,
        ("experiment_estimate", "experiment_ci_low", "experiment_ci_high"),
    ),
    Arm("combined", style.INK, "D", 0.2, ("combined", "combined_ci_low", "combined_ci_high")),
)  # fmt: skip
FURTHEST = 6.0
"""Estimates of the Hub this many times beyond all of the experiment leave the plot as arrows."""


def draw_contrast(
    contrast_csv: str | Path, outputs: Sequence[str | Path], spec: Mapping[str, Any]
) -> None:
    """Draw both arms' coded coefficients and their combination, one line a term.

    Beside each term stands whether the signs agree and how sure the difference is, or why the
    term cannot be compared. An interval that leaves the plot ends in an arrow.

    Args:
        contrast_csv: table of ``contrast.TABLE_COLUMNS``.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``metric``; optionally ``labels`` (``{hub, experiment}``), ``confidence`` (0.95) and
            ``dpi``.
    """
    table = read_table(contrast_csv)
    terms = table[table["kind"] != "intercept"].reset_index(drop=True)
    dpi = int(spec.get("dpi", 160))
    if terms.empty:
        metric = style.wording(str(spec["metric"]))
        style.save_sentence(f"{metric}: the two samples cannot be compared", outputs, dpi)
        return
    beside = [_beside(row) for _, row in terms.iterrows()]
    heights = np.array([max(ROW, LINE * (len(lines) + 0.6)) for lines, _ in beside])
    with style.sheet(style.PAGE_WIDTH, 0.85 + float(heights.sum())) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.0, 0.62])
        middles = np.cumsum(heights) - heights / 2
        _draw(left, terms, middles, spec)
        style.bare(right)
        right.set_xlim(0, 1)
        right.set_ylim(float(heights.sum()), 0)
        for y, (lines, colour) in zip(middles, beside, strict=True):
            right.text(
                0, y, "\n".join(lines), va="center", fontsize=style.SMALL, color=colour,
                linespacing=1.15,
            )  # fmt: skip
        for edge in np.cumsum(heights)[:-1]:
            for axes in (left, right):
                axes.axhline(edge, color=style.WASH, linewidth=0.6, zorder=-1)
        left.set_ylim(float(heights.sum()), 0)
        style.save(figure, outputs, dpi)


def _draw(
    axes: Axes, terms: pd.DataFrame, middles: np.ndarray[Any, Any], spec: Mapping[str, Any]
) -> None:
    from matplotlib.lines import Line2D

    reach = _reach(terms)
    axes.axvline(0, color=style.MUTED, linewidth=0.6, zorder=0)
    hollow = False
    for arm in ARMS:
        for y, (_, row) in zip(middles, terms.iterrows(), strict=True):
            if np.isfinite(row[arm.ends[0]]):
                rough = arm.error in row and row[arm.error] == "classical"
                hollow |= rough
                _interval(axes, float(y) + arm.shift * ROW, row, arm, reach, rough)
    labels = {"hub": "the Hub", "experiment": "the experiment", **dict(spec.get("labels") or {})}
    handles = [
        Line2D(
            [], [], color=arm.colour, marker=arm.shape, markersize=3.6, linewidth=1.0,
            label=style.plain(labels.get(arm.prefix, arm.prefix), 28),
        )
        for arm in ARMS
    ]  # fmt: skip
    if hollow:
        handles.append(
            Line2D(
                [], [], color=style.MUTED, marker="o", markerfacecolor=style.PAPER, markersize=3.6,
                linewidth=0, label="hollow: classical error",
            )
        )  # fmt: skip
    axes.set_xlim(-reach, reach)
    axes.set_yticks(middles, [style.wording(str(t)) for t in terms["term"]])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    metric = style.wording(str(spec["metric"]))
    level = f"{float(spec.get('confidence', 0.95)):.0%} intervals"
    axes.set_xlabel(f"coefficient in coded units ({metric}), {level}")
    compared = terms[terms["comparable"]]
    same = int(compared["same_sign"].fillna(False).astype(bool).sum())
    axes.set_title(
        f"{len(compared)} of {len(terms)} terms compared, {same} of them with the same sign",
        fontsize=style.SMALL, color=style.MUTED, pad=14,
    )  # fmt: skip
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderpad=0.0,
        borderaxespad=0.3, handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip


def _interval(axes: Axes, y: float, row: pd.Series, arm: Arm, reach: float, rough: bool) -> None:
    value, low, high = (float(row[name]) for name in arm.ends)
    if np.isfinite(low):
        axes.plot(
            [min(max(low, -reach), reach), max(min(high, reach), -reach)], [y, y],
            color=arm.colour, linewidth=1.0, solid_capstyle="butt",
        )  # fmt: skip
    ends = [end for end in (low, high, value) if np.isfinite(end)]
    for beyond, x, arrow in (
        (min(ends) < -reach, -reach, "<"),
        (max(ends) > reach, reach, ">"),
    ):
        if beyond:
            axes.plot(x, y, marker=arrow, markersize=3.5, color=arm.colour, clip_on=False)
    if abs(value) <= reach:
        face = style.PAPER if rough else arm.colour
        axes.plot(
            value, y, marker=arm.shape, markersize=3.4, markerfacecolor=face,
            markeredgecolor=arm.colour, markeredgewidth=0.7, zorder=3,
        )  # fmt: skip
    else:
        inward = -1 if value > 0 else 1
        axes.annotate(
            style.short_number(value), (np.sign(value) * reach, y), (7 * inward, 0),
            textcoords="offset points", va="center", ha="right" if value > 0 else "left",
            fontsize=5.0, color=arm.colour,
            bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.4},
        )  # fmt: skip


def _beside(row: pd.Series) -> tuple[list[str], str]:
    """Lines beside a term and their colour: agreement and difference, or why there is none."""
    if not row["comparable"]:
        return _lines(f"not compared: {_term_words(str(row['reason']))}"), style.MUTED
    same = bool(row["same_sign"])
    both = _is_true(row["both_clear"])
    clear = "clear in both" if both else "not clear in both"
    gap = f"{float(row['difference']):+.3g}".replace("-", "−")
    if np.isfinite(row["p_holm"]):
        p = float(row["p_holm"])
        error = "p < 0.001 (Holm)" if p < 0.001 else f"p = {p:.3f} (Holm)"
    else:
        error = "no error"
    lines = [
        f"{'= same' if same else '≠ opposite'} sign, {clear}",
        f"difference {gap}, {error}",
    ]
    if isinstance(row["compared"], str) and row["compared"]:
        lines += _lines(f"compared as {_term_words(row['compared'])}", MOST_LINES - len(lines))
    return lines, style.INK if both else style.MUTED


def _is_true(value: object) -> bool:
    # Nullable: missing where one sample has no error.
    return str(value) == "True"


def _term_words(text: str) -> str:
    """Names of terms within a sentence in words."""
    said = _TERM.sub(lambda match: style.wording(match[0]), text)
    return said.replace(" - ", " − ").replace(" -", " −")


def _lines(text: str, most: int = MOST_LINES) -> list[str]:
    return textwrap.wrap(
        style.plain(text, 1000), WRAP, max_lines=most, placeholder=" …", break_on_hyphens=False
    )


def _reach(terms: pd.DataFrame) -> float:
    """Half-width of the axis: the experiment whole, the Hub unless it dwarfs the experiment."""

    def sizes(*columns: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        values = np.abs(terms[list(columns)].to_numpy(dtype=float)).ravel()
        return np.asarray(values[np.isfinite(values)], dtype=float)

    hub, own = ARMS[0].ends, ARMS[1].ends
    inner, ends = sizes(*own), sizes(*hub[1:])
    wanted = max([*sizes(hub[0]), *inner, 1e-12])
    if ends.size:
        wanted = max(wanted, min(float(ends.max()), 2.5 * float(np.quantile(ends, 0.75))))
    if inner.size and float(inner.max()) > 0:
        wanted = min(wanted, FURTHEST * float(inner.max()))
    return 1.06 * float(wanted)
