"""The one look of every figure, and how a figure becomes files.

Widths are those of a two-column journal (3.5 in a column, 7 in a page): a figure is read at
the size it is drawn. Colours are Okabe and Ito's, told apart with every common colour vision; marks
differ in shape as well. The neutrals are named because a page may swap them for a dark theme.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.errors import UserError
from tunescape.tables import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Paths = Sequence[str | Path]

COLUMN_WIDTH = 3.5
PAGE_WIDTH = 7.0

INK = "#1d2329"
MUTED = "#5b6670"
FAINT = "#c9d0d6"
WASH = "#eef1f4"
PAPER = "#fefefe"
NEUTRALS = {"ink": INK, "muted": MUTED, "faint": FAINT, "wash": WASH, "paper": PAPER}

# Text on a coloured cell keeps its colour whatever the page's theme.
ON_LIGHT = "#000000"
ON_DARK = "#ffffff"

BLUE = "#0072b2"
ORANGE = "#d55e00"
GREEN = "#009e73"
PURPLE = "#b5659a"
GREY = "#8b959e"

SMALL = 6.0
BASE = 7.0

_RC: dict[str, Any] = {
    "svg.hashsalt": "tunescape",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": BASE,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.labelcolor": INK,
    "axes.labelsize": BASE,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": BASE,
    "axes.titlepad": 4.0,
    "axes.unicode_minus": True,
    "axes.axisbelow": True,
    "axes.grid": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "grid.color": FAINT,
    "grid.linewidth": 0.4,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
}

_WORDS = {
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "pearson": "Pearson r",
    "spearmanr": "Spearman ρ",
    "matthews_correlation": "Matthews correlation",
    "lr_scheduler_type": "schedule",
    "num_epochs": "epochs",
    "adam_epsilon": "Adam epsilon",
    "max_grad_norm": "gradient clipping",
    "train_size": "training rows",
    "lora_r": "LoRA rank",
    "lora_alpha": "LoRA alpha",
    "lora_dropout": "LoRA dropout",
}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextmanager
def sheet(width: float, height: float) -> Iterator[Figure]:
    """An empty figure of ``width`` by ``height`` inches; draw and :func:`save` inside the block."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    settings: Any = {**matplotlib.rcParamsDefault, **_RC}
    with matplotlib.rc_context(settings):
        engine = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.04, hspace=0.04)
        figure = Figure(figsize=(width, height), layout=engine)
        FigureCanvasAgg(figure)
        yield figure


def save(figure: Figure, paths: Sequence[str | Path], dpi: int = 160) -> None:
    """Write a figure to each path (``.svg`` or ``.png``), the same bytes for the same figure.

    No date, no version and no random id goes into a file; each is written whole or not at all.

    Raises:
        UserError: for another suffix.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    engine = figure.get_layout_engine()
    if engine is not None:
        # Settled once at one resolution: no format shifts another, and drawing costs one pass.
        figure.set_dpi(_LAYOUT_DPI)
        engine.execute(figure)
        figure.set_layout_engine("none")
    for path in map(Path, paths):
        buffer = BytesIO()
        if path.suffix == ".svg":
            svg: Any = FigureCanvasSVG(figure)
            svg.print_svg(buffer, metadata={"Date": None, "Creator": None})
            write_bytes(_compact(buffer.getvalue().decode("utf-8")).encode("utf-8"), path)
        elif path.suffix == ".png":
            figure.set_dpi(dpi)
            png: Any = FigureCanvasAgg(figure)
            png.print_png(buffer, metadata={"Software": None})
            write_bytes(buffer.getvalue(), path)
        else:
            raise UserError(
                f"cannot draw a figure as '{path.suffix}'", where=str(path), expected=".svg or .png"
            )


def save_sentence(text: str, paths: Sequence[str | Path], dpi: int = 160) -> None:
    """Write a figure that only says why there is nothing to draw."""
    with sheet(PAGE_WIDTH, 0.6) as figure:
        axes = figure.add_subplot()
        bare(axes)
        say_instead(axes, plain(text, 110))
        save(figure, paths, dpi)


_LAYOUT_DPI = 144
_GEOMETRY = re.compile(r' (?:d|x|y|points|transform)="[^"]*"')
_DECIMALS = re.compile(r"(\.\d\d)\d+")


def _compact(svg: str) -> str:
    """Geometry to a hundredth of a point on one line; fonts with a stand-in of equal width."""
    svg = _GEOMETRY.sub(lambda m: _DECIMALS.sub(r"\1", m[0].replace("\n", " ")), svg)
    return svg.replace(
        "font-family: 'DejaVu Sans'", "font-family: 'DejaVu Sans', Verdana, sans-serif"
    )


def by_kind(paths: Paths) -> dict[str, list[Path]]:
    """Files of a figure, by the figure's name: ``flow.svg`` and ``flow.png`` are both ``flow``."""
    found: dict[str, list[Path]] = {}
    for path in map(Path, paths):
        found.setdefault(path.stem, []).append(path)
    return found


def plain(text: object, limit: int = 40) -> str:
    """Untrusted text made safe to draw: printable, on one line, cut to ``limit`` characters."""
    kept = "".join(
        c if unicodedata.category(c)[0] not in "CZ" or c == " " else " " for c in str(text)
    )
    kept = re.sub(r" {2,}", " ", kept).strip()
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def wording(name: str) -> str:
    """A column or term name in words: ``a:b`` as a × b, ``a^2`` as a²."""
    parts = []
    for factor in name.split(":"):
        base, _, power = factor.partition("^")
        said = _WORDS.get(base, base.replace("_", " "))
        parts.append(said + power.translate(_SUPERSCRIPT))
    return " × ".join(parts)


def short_number(value: float) -> str:
    """A tick or setting in its shortest spelling: ``2e−5``, ``0.01``, ``16``, ``10k``."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3 or size >= 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def use_log(values: NDArray[np.float64]) -> bool:
    """Whether positive values span more than a factor of eight, so that a log axis reads better."""
    finite = values[np.isfinite(values)]
    return bool(finite.size) and bool(finite.min() > 0) and float(finite.max() / finite.min()) > 8


def factor_axis(axes: Axes, values: NDArray[np.float64], log: bool) -> None:
    """Scale an x axis to ``values``, linear or log, with few and short tick labels."""
    from matplotlib.ticker import (
        FixedLocator,
        FuncFormatter,
        LogLocator,
        MaxNLocator,
        NullFormatter,
        NullLocator,
    )

    finite = values[np.isfinite(values)]
    formatter = FuncFormatter(lambda value, _: short_number(value))
    if not finite.size:
        axes.xaxis.set_major_locator(NullLocator())
        return
    low, high = float(finite.min()), float(finite.max())
    if log and low > 0:
        axes.set_xscale("log")
        spread = max(np.log(high / low), 0.2)
        axes.set_xlim(low * np.exp(-0.08 * spread), high * np.exp(0.08 * spread))
        decades = np.log10(high / low)
        if decades < 1.3:
            axes.xaxis.set_major_locator(FixedLocator(_few(sorted(set(finite.tolist())), 5)))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(LogLocator(10, numticks=6))
            axes.xaxis.set_minor_locator(LogLocator(10, subs=(2.0, 5.0), numticks=30))
            axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        spread = (high - low) or max(abs(high), 1.0) * 0.2
        axes.set_xlim(low - 0.08 * spread, high + 0.08 * spread)
        whole = bool((finite == np.round(finite)).all())
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(formatter)


def _few(values: list[float], most: int) -> list[float]:
    """At most ``most`` of sorted positive values, spread evenly on a log scale."""
    if len(values) <= most:
        picked = values
    else:
        targets = np.geomspace(values[0], values[-1], most)
        picked = sorted({min(values, key=lambda v: abs(np.log(v / t))) for t in targets})
    gap = np.log(values[-1] / values[0]) / (most * 1.6) if len(values) > 1 else 0.0
    kept: list[float] = []
    for value in picked:
        if not kept or np.log(value / kept[-1]) >= gap:
            kept.append(value)
    return kept


def jitter(count: int, width: float) -> NDArray[np.float64]:
    """``count`` offsets in ±``width``, the same at every call (golden-ratio sequence)."""
    steps = np.arange(1, count + 1) * 0.6180339887498949
    return np.asarray((steps % 1.0 - 0.5) * 2 * width, dtype=float)


def note(axes: Axes, text: str, **where: Any) -> None:
    """Muted small print in the top left corner of a panel, or at ``x``, ``y`` in panel units."""
    x, y = where.pop("x", 0.02), where.pop("y", 0.98)
    style = {"ha": "left", "va": "top", "fontsize": SMALL, "color": MUTED, **where}
    axes.text(x, y, text, transform=axes.transAxes, **style)


def say_instead(axes: Axes, text: str) -> None:
    """A sentence in an otherwise empty panel, where a figure would mislead or nothing is there."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=BASE,
        color=MUTED, wrap=True,
    )  # fmt: skip


def bare(axes: Axes) -> None:
    """Take ticks and frame off a panel."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def diverging() -> Colormap:
    """Blue through white to orange, for values in [-1, 1]."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "tunescape_diverging", ["#00507f", "#4f9ecb", "#f4f5f6", "#e79a5b", "#a14300"]
    )


def sequential() -> Colormap:
    """White to deep blue, for counts."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "tunescape_sequential", ["#f0f5f9", "#a9cfe5", "#3b8fc0", "#00446e"]
    )


def ink_on(colour: tuple[float, float, float, float]) -> str:
    """Dark or light text, whichever has the better contrast on a colour (WCAG 2 luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return ON_LIGHT if luminance > 0.179 else ON_DARK
