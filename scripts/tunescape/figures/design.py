"""A design before any run is trained: its points, and what they can and cannot tell."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.figures import style
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Array = NDArray[np.float64]

AFTER_FACTORS = ("predicted_seconds", "status", "epoch")
REFERENCE_KINDS = ("center", "baseline")
MOST_PAIRS = 6
ACROSS = 3
MOST_TICKS = 5
WRAP = 60
TEXT_LINE = 0.105


def factor_columns(columns: Iterable[str]) -> list[str]:
    """The factors among the columns of design.csv, runs.csv or history.csv, which follow seed."""
    names = list(columns)
    rest = names[names.index("seed") + 1 :] if "seed" in names else []
    return list(
        takewhile(lambda name: name not in AFTER_FACTORS and not name.endswith("_coded"), rest)
    )


def draw_design(
    design: str | Path,
    diagnostics: str | Path,
    summary: str | Path,
    outputs: Sequence[str | Path],
    spec: Mapping[str, Any],
) -> None:
    """Draw the points of a design with the number of runs at each, and its diagnostics as text.

    Up to four factors are shown pair by pair, more of them (or one) by the runs at each setting.

    Args:
        design, diagnostics, summary: design.csv, diagnostics.csv and design.json of
            ``design.write_design``.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``dpi``.
    """
    runs, told = read_table(design), read_json(summary)
    factors = factor_columns(runs.columns)
    pairs = list(combinations(factors, 2))
    by_pair = 0 < len(pairs) <= MOST_PAIRS
    panels: list[tuple[str, ...]] = list(pairs) if by_pair else [(name,) for name in factors]
    facts, effects = diagnostic_lines(told, read_table(diagnostics))
    columns = min(len(panels), ACROSS)
    rows = -(-len(panels) // columns)
    beside = columns < ACROSS
    blocks = [facts + effects] if beside else [facts, effects]
    blocks = [_wrapped(sentences) for sentences in blocks]
    tall = 0.15 + TEXT_LINE * max(map(len, blocks))
    height = 0.25 + 2.1 * rows
    with style.sheet(style.PAGE_WIDTH, max(height, tall) if beside else height + tall) as figure:
        if beside:
            parts = figure.subfigures(1, 2, squeeze=False, width_ratios=[columns, ACROSS - columns])
        else:
            parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, tall])
        drawn, told_in = parts.ravel()
        grid = np.ravel(drawn.subplots(rows, columns, squeeze=False))
        for axes, names in zip(grid, panels, strict=False):
            if len(names) == 2:
                _pair_panel(axes, runs, *names)
            else:
                _single_panel(axes, runs, names[0])
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        for axes, lines in zip(np.ravel(told_in.subplots(1, len(blocks))), blocks, strict=True):
            style.bare(axes)
            axes.text(
                0.0, 1.0, "\n".join(lines), transform=axes.transAxes, va="top",
                fontsize=style.SMALL, linespacing=1.25,
            )  # fmt: skip
        said = f"{style.plain(str(told['kind']).replace('_', ' '))}: n = {len(runs):,} runs"
        if by_pair:
            said += "; number: runs at a point"
        if runs["kind"].isin(REFERENCE_KINDS).any():
            # A single panel is too narrow for both.
            said += "\n" if len(panels) == 1 else "; "
            said += "orange: the centre or baseline"
        grid[0].set_title(said, fontsize=style.SMALL, color=style.MUTED)
        style.save(figure, outputs, int(spec.get("dpi", 160)))


def _wrapped(sentences: Sequence[str]) -> list[str]:
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, WRAP, subsequent_indent="   ")
    ]


def diagnostic_lines(
    summary: Mapping[str, Any], table: pd.DataFrame
) -> tuple[list[str], list[str]]:
    """What a design can tell, in short lines: the design as a whole, and its terms.

    Args:
        summary: content of design.json.
        table: diagnostics.csv.
    """
    seeds = len(summary.get("seeds", ()))
    facts = [
        f"{summary['runs']:,} runs at {summary['settings']:,} settings, {seeds} seed"
        + ("s" if seeds != 1 else "")
    ]
    if summary.get("reason"):
        return facts, [str(summary["reason"])]
    condition = summary["condition"]
    facts += [
        f"{summary['rank']} of {summary['terms']} terms estimable",
        f"D-efficiency {summary['d_efficiency']:.2f}",
        "condition number " + ("not finite" if condition is None else f"{condition:.1f}"),
        f"residual degrees of freedom: {summary['df_residual']}, of pure error: "
        f"{summary['df_pure_error']}",
    ]
    if summary["aliased"]:
        names = ", ".join(style.wording(name) for name in summary["aliased"])
        facts.append(f"not estimable: {style.plain(names, 300)}")
    known = table[(table["kind"] != "intercept") & np.isfinite(table["detectable_effect"])]
    if known.empty:
        return facts, ["no effect can be tested: no degree of freedom is left for an error"]
    sizes: dict[str, list[str]] = {}
    for term, effect in zip(known["term"], known["detectable_effect"], strict=True):
        sizes.setdefault(_short(float(effect), 2), []).append(style.wording(str(term)))
    effects = [
        f"smallest effect found with a power of {summary['power']:g}, over half a factor's range, "
        f"at a noise of {_short(summary['noise']['sd'], 2)}:"
    ]
    return facts, effects + [f"{size}: {', '.join(terms)}" for size, terms in sorted(sizes.items())]


def _short(value: float, digits: int) -> str:
    return style.short_number(float(f"{value:.{digits}g}"))


def _positions(runs: pd.DataFrame, name: str) -> tuple[Array, Array, list[str]]:
    """Where each run stands on an axis of a factor, the places of its settings, and their names."""
    coded = f"{name}_coded"
    if coded in runs:
        settings = runs[[name, coded]].drop_duplicates(name).sort_values(name)
        places = settings[coded].to_numpy(dtype=float)
        said = [_short(float(v), 3) for v in settings[name]]
        return runs[coded].to_numpy(dtype=float), places, said
    names = sorted(runs[name].astype(str).unique())
    at = np.array([names.index(str(v)) for v in runs[name]], dtype=float)
    spread = np.linspace(-1, 1, len(names)) if len(names) > 1 else np.zeros(1)
    return spread[at.astype(int)], spread, [style.plain(v, 14) for v in names]


def _set_axis(axis: Axis, places: Array, said: Sequence[str], name: str) -> None:
    """Ticks at settings, at most five of them, spread over the range."""
    chosen = range(len(places))
    if len(places) > MOST_TICKS:
        targets = np.linspace(places[0], places[-1], 3)
        chosen = sorted({int(np.argmin(np.abs(places - t))) for t in targets})  # type: ignore[assignment]
    axis.set_ticks([float(places[i]) for i in chosen], [said[i] for i in chosen])
    axis.set_label_text(style.wording(name))


def _pair_panel(axes: Axes, runs: pd.DataFrame, across: str, up: str) -> None:
    x, x_places, x_said = _positions(runs, across)
    y, y_places, y_said = _positions(runs, up)
    reference = runs["kind"].isin(REFERENCE_KINDS).to_numpy()
    found: dict[tuple[float, float], list[bool]] = {}
    for px, py, special in zip(x.round(9), y.round(9), reference, strict=True):
        found.setdefault((float(px), float(py)), []).append(bool(special))
    several = max(map(len, found.values())) > 1
    for (px, py), kinds in sorted(found.items()):
        colour, shape = (style.ORANGE, "s") if any(kinds) else (style.BLUE, "o")
        axes.plot(
            px, py, marker=shape, markersize=7.5 if several else 4.0, color=colour,
            markeredgecolor=style.PAPER, markeredgewidth=0.3, clip_on=False,
        )  # fmt: skip
        if several:
            axes.text(
                px, py, str(len(kinds)), ha="center", va="center_baseline", fontsize=5.0,
                color=style.ON_DARK, zorder=4,
            )  # fmt: skip
    _set_axis(axes.xaxis, x_places, x_said, across)
    _set_axis(axes.yaxis, y_places, y_said, up)
    axes.margins(0.14)
    axes.grid(True)


def _single_panel(axes: Axes, runs: pd.DataFrame, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    x, places, said = _positions(runs, name)
    reference = runs["kind"].isin(REFERENCE_KINDS).to_numpy()
    for place in places:
        here = np.isclose(x, place)
        colour, shape = (style.ORANGE, "s") if bool(reference[here].any()) else (style.BLUE, "o")
        axes.plot([place] * 2, [0, int(here.sum())], color=colour, linewidth=0.8)
        axes.plot(place, int(here.sum()), marker=shape, markersize=4.0, color=colour)
    _set_axis(axes.xaxis, places, said, name)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.1)
    axes.set_ylabel("runs")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
