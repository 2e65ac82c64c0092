"""Sample flow: how many models each step leaves, and what it takes away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.figures import style
from tunescape.tables import read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def draw_flow(
    sample_flow: str | Path, outputs: Sequence[str | Path], spec: Mapping[str, Any]
) -> None:
    """Draw the sample flow of one population.

    Args:
        sample_flow: table with ``population, step, reason, before, after, removed``.
        outputs: ``.svg`` and/or ``.png`` paths.
        spec: ``population`` (name, or absent for all rows of the table) and ``dpi``.
    """
    table = read_table(sample_flow)
    name = spec.get("population")
    steps = flow_steps(table if name is None else table[table["population"] == name])
    with style.sheet(style.PAGE_WIDTH, 0.3 + 0.23 * max(len(steps), 2)) as figure:
        # Browsers set the long lines on the right a little wider than they were measured.
        figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, rect=(0, 0, 0.96, 1))
        _draw(figure.add_subplot(), steps)
        style.save(figure, outputs, int(spec.get("dpi", 160)))


@dataclass(frozen=True)
class FlowStep:
    """One step: how many models remain, and how many each reason removed, commonest first.

    ``branch`` is true for a step that later ones do not build upon (one a metric).
    """

    step: str
    before: int
    after: int
    reasons: tuple[tuple[str, int], ...]
    branch: bool


def flow_steps(rows: pd.DataFrame) -> list[FlowStep]:
    """The rows of a sample flow (one a reason) gathered by step, in order."""
    steps = []
    for step, part in rows.groupby("step", sort=False):
        reasons = tuple(
            (str(reason), int(removed))
            for reason, removed in zip(part["reason"], part["removed"], strict=True)
            if removed
        )
        branch = str(step).startswith("metric ")
        first, last = int(part["before"].iloc[0]), int(part["after"].iloc[-1])
        steps.append(FlowStep(str(step), first, last, reasons, branch))
    return steps


def _draw(axes: Axes, steps: Sequence[FlowStep]) -> None:
    if not steps:
        style.bare(axes)
        style.say_instead(axes, "No models: n = 0")
        return
    start = steps[0].before
    labels = ["models read", *(style.plain(_label(step), 40) for step in steps)]
    after = [start, *(step.after for step in steps)]
    colours = [style.INK, *(style.GREEN if step.branch else style.BLUE for step in steps)]
    reasons = ["", *(_reasons(step.reasons) for step in steps)]
    axes.barh(range(len(after)), after, height=0.6, color=colours, linewidth=0)
    for y, (left, why) in enumerate(zip(after, reasons, strict=True)):
        beside: dict[str, Any] = {
            "va": "center",
            "fontsize": style.SMALL,
            "transform": axes.get_yaxis_transform(),
        }
        axes.text(1.21, y, f"n = {left:,}", ha="right", **beside)
        axes.text(1.24, y, why, ha="left", color=style.MUTED, **beside)
    axes.set_yticks(range(len(after)), labels)
    axes.set_ylim(len(after) - 0.5, -0.5)
    axes.set_xlim(0, max(start, 1))
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    if any(step.branch for step in steps):
        axes.set_xlabel(
            "green: each metric, counted from the models of the last blue bar",
            fontsize=style.SMALL, color=style.MUTED, loc="left",
        )  # fmt: skip


def _label(step: FlowStep) -> str:
    words = {"card": "readable card", "duplicates": "no repeats"}
    if step.branch:
        return "states " + style.wording(step.step.removeprefix("metric "))
    if "_" in step.step:
        return "states " + style.wording(step.step)
    return words.get(step.step, step.step)


def _reasons(reasons: Sequence[tuple[str, int]], most: int = 2) -> str:
    """What a step removed: the commonest reasons with their counts, the rest summed up."""
    said = [f"−{removed:,} {style.plain(reason, 36)}" for reason, removed in reasons[:most]]
    if rest := sum(removed for _, removed in reasons[most:]):
        others = len(reasons) - most
        said.append(f"−{rest:,} for {others} other reason" + "s" * (others > 1))
    return ", ".join(said)
