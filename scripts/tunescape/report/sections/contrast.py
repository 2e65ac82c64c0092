"""Published models held against the runs of an experiment, term by term."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tunescape.figures.style import plain, wording
from tunescape.report.data import Key, ReportData, by_place
from tunescape.report.numbers import (
    aligned,
    count,
    fixed,
    p_value,
    percent,
    plural,
    significant,
)
from tunescape.report.section import Context, Plot, Section, plot_id, slug
from tunescape.report.sections.experiments import in_words
from tunescape.report.svg import inline_svg
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("hub", "experiment")
NUMBERS = ("hub", "experiment", "difference", "combined")


def build(data: ReportData) -> Context | None:
    """One part a pair of population and experiment, its metrics below it."""
    tables = by_place(data.inputs.get("contrasts", ()))
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key, path in by_place(data.inputs.get("contrast_summaries", ())).items():
        if key in tables:
            shown = _shown(data, key, read_json(path), read_table(tables[key]))
            pairs.setdefault(key[:2], []).append(shown)
    contrasts = [
        {
            "population": population,
            "experiment": experiment,
            "id": slug("contrast", population, experiment),
            "metrics": metrics,
        }
        for (population, experiment), metrics in pairs.items()
    ]
    return {"contrasts": contrasts} if contrasts else None


def _shown(
    data: ReportData, key: Key, summary: dict[str, Any], table: pd.DataFrame
) -> dict[str, Any]:
    factors = [entry["name"] for entry in summary.get("coding", [])]
    shown: dict[str, Any] = {
        "id": slug("contrast", *key),
        "name": wording(key[2]),
        "statements": [in_words(said, factors) for said in summary["statements"]],
        "compared": summary["status"] == "ok",
        "reason": summary["reason"],
        "plot": _plot(data, key, summary),
        "rows": [],
    }
    if not shown["compared"]:
        return shown
    signs, joint = summary["signs"], summary["joint"]
    return shown | {
        "signs": {name: count(number) for name, number in signs.items()},
        "terms": count(int((table["kind"] != "intercept").sum())),
        "joint": joint["reason"]
        or f"F({joint['df1']}, {fixed(joint['df2'], 1)}) = {fixed(joint['f'])}",
        "joint_p": p_value(joint["p"]),
        "inside": count(summary["hub_rows_inside_experiment"]),
        "sizes": {
            "hub": count(summary["samples"]["hub"]["n"]),
            "experiment": count(summary["samples"]["experiment"]["n"]),
        },
        "level": percent(summary["level"]),
        "rows": _rows(table, factors),
        "classical": bool((table[[f"{arm}_error" for arm in ARMS]] == "classical").any(axis=None)),
    }


def _rows(table: pd.DataFrame, factors: list[str]) -> list[dict[str, Any]]:
    """The table of the contrast as text, numbers aligned column by column."""
    rows = []
    for _, line in table[table["kind"] != "intercept"].iterrows():
        row: dict[str, Any] = {
            "term": wording(str(line["term"])),
            "comparable": bool(line["comparable"]),
            "reason": in_words(str(line["reason"]), factors) if not line["comparable"] else "",
            "compared": in_words(_text(line["compared"]), factors),
            "p": p_value(line["p"]),
            "p_holm": p_value(line["p_holm"]),
            "sign": _sign(line),
            "difference": significant(line["difference"], 4),
            "combined": significant(line["combined"], 4),
            "combined_interval": _interval(line, "combined_ci_low", "combined_ci_high"),
        }
        for arm in ARMS:
            row[arm] = significant(line[f"{arm}_estimate"], 4)
            row[f"{arm}_interval"] = _interval(line, f"{arm}_ci_low", f"{arm}_ci_high")
            row[f"{arm}_classical"] = line[f"{arm}_error"] == "classical"
        rows.append(row)
    for column in NUMBERS:
        for row, text in zip(rows, aligned(row[column] for row in rows), strict=True):
            row[column] = text
    return rows


def _interval(line: pd.Series, low: str, high: str) -> str:
    if not np.isfinite(line[low]):
        return "–"
    return f"{significant(line[low], 3)} to {significant(line[high], 3)}"


def _sign(line: pd.Series) -> str:
    if not line["comparable"]:
        return ""
    # Nullable: missing where one sample has no error.
    both = str(line["both_clear"]) == "True"
    return ("same" if str(line["same_sign"]) == "True" else "opposite") + (", clear" * both)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _plot(data: ReportData, key: Key, summary: dict[str, Any]) -> Plot | None:
    path = data.figures.get((key, "contrast"))
    if path is None:
        return None
    own = plot_id(*key, "contrast")
    metric = wording(key[2])
    said = (
        f"Coefficients of {metric} in coded units as {plain(key[0])} suggests and as "
        f"{plain(key[1])} finds them, and both combined"
    )
    if summary["status"] == "ok":
        signs = summary["signs"]
        said += f"; {count(signs['same'])} of {plural(signs['compared'], 'term')} agree in sign"
    return Plot(own, inline_svg(path, own, f"{said}."), f"{said}.", "")


SECTION = Section("contrast", "What the Hub suggests and what the experiment finds", build)
