"""The published tables with our own fit of the same form beside each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunescape.figures.style import wording
from tunescape.report.data import ReportData
from tunescape.report.numbers import aligned, count, fixed, is_number, p_value, printed, significant
from tunescape.report.section import Context, Section

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("published", "published_se", "coef", "se", "se_cr3")


def build(data: ReportData) -> Context | None:
    """Six tables a population, linear in every factor as printed there."""
    populations = [
        {
            "name": name,
            "tables": [
                _table(int(str(number)), part)
                for number, part in data.published[name].groupby("table", sort=True)
            ],
        }
        for name in data.populations
        if name in data.published
    ]
    return {"populations": populations} if populations else None


def _table(number: int, lines: pd.DataFrame) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    agree = comparable = 0
    for _, line in lines.iterrows():
        known = is_number(line.get("coef"))
        same = line.get("same_sign")
        if known and line["term"] != "intercept":
            comparable += 1
            agree += bool(same)
        rows.append(
            {
                "term": wording(str(line["term"])),
                "label": str(line["published_term"]),
                "published": printed(line["published_coef"]),
                "published_se": printed(line["published_std_err"]),
                "published_p": fixed(line["published_p"], 3),
                "known": known,
                "coef": significant(line.get("coef")),
                "se": significant(line.get("std_err")),
                "p": p_value(line.get("p")),
                "se_cr3": significant(line.get("std_err_cr3")),
                "p_cr3": p_value(line.get("p_cr3")),
                "sign": ("same" if same else "opposite") if known else "",
            }
        )
    for column in NUMBERS:
        chosen = [r for r in rows if column.startswith("published") or r["known"]]
        for row, text in zip(chosen, aligned(r[column] for r in chosen), strict=True):
            row[column] = text
    first = lines.iloc[0]
    return {
        "number": number,
        "metric": wording(str(first["metric"])),
        "view": str(first["view"]),
        "intercept": bool((lines["term"] == "intercept").any()),
        "n": count(first.get("n")),
        "clusters": count(first.get("clusters")),
        "rows": rows,
        "agree": count(agree),
        "comparable": count(comparable),
    }


SECTION = Section("published", "Beside the published tables", build)
