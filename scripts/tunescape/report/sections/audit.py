"""The study's own tables and sentences, held against each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tunescape.figures.style import wording
from tunescape.report.data import ReportData, paths
from tunescape.report.numbers import count, is_number, listed, plural
from tunescape.report.section import Context, Section, slug
from tunescape.report.sections.experiments import in_words
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = {
    "contradicted": "Contradicted by the numbers",
    "impossible": "Cannot occur with so many examples",
    "wrong_term": "The number quoted is another term’s",
    "wrong_table": "The number quoted is of another table",
    "not_found": "No table prints the number",
    "wrong_direction": "The sign is the other one",
    "not_significant": "Said to matter; its number is not significant",
    "wrong_significance": "Said not to matter; its number is significant",
    "within_noise": "No test could tell it from no difference",
    "does_not_survive": "Significant alone, not among so many tests",
    "fragile": "Survives one correction for many tests, not all",
    "undecidable": "Not decided by the number of examples",
    "possible": "Possible with so many examples",
    "holds": "Holds as printed",
}
"""Verdicts of ``audit.claims`` in words, the gravest first."""

FINE = ("holds", "possible", "undecidable")
SERIOUS = ("error", "warning")


def build(data: ReportData) -> Context | None:
    """Tables of the study against themselves, and each claim beside its own numbers."""
    summary = read_json(_path(data, "audit")) if "audit" in data.inputs else None
    claims = _read(data, "claims")
    if summary is None and claims is None:
        return None
    names = _names(summary)
    findings = _read(data, "findings")
    studies = [] if claims is None else _studies(data, claims.fillna(""), names)
    return {
        "tables": _tables(summary) if summary else [],
        "family": _family(summary) if summary else "",
        "order": _order(summary) if summary else "",
        "findings": [] if findings is None else _findings(findings.fillna(""), names),
        "studies": studies,
    }


def _path(data: ReportData, name: str) -> Any:
    return paths(data.inputs[name])[0]


def _read(data: ReportData, name: str) -> pd.DataFrame | None:
    return read_table(_path(data, name)) if name in data.inputs else None


def _names(summary: dict[str, Any] | None) -> list[str]:
    """Hyperparameters and metrics of the audited tables, to be put in words."""
    if not summary:
        return []
    metrics = [str(t["metric"]) for t in summary["tables"].values()]
    return list(dict.fromkeys([*map(str, summary["factors"]), *metrics]))


def _tables(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a table: what its numbers imply."""
    rows = []
    for name, table in summary["tables"].items():
        surface, survivors = table["surface"], table["survivors"]
        found = table["findings"]
        rows.append(
            {
                "name": str(name),
                "metric": wording(str(table["metric"])),
                "view": str(table["view"]),
                "constant": bool(table["constant"]),
                "df": count(table["df"]) if is_number(table["df"]) else _span(table["df_range"]),
                "n": _span(table["n"]),
                "surface": "" if surface is None else str(surface["nature"]),
                "open": bool(surface) and surface["robust"] is not True,
                "survivors": [
                    count(len(survivors.get(method, ())))
                    for method in ("printed", "holm", "bh", "by")
                ],
                "impossible": listed(
                    setting
                    for setting, value in table["predictions"].items()
                    if not value["possible"]
                ),
                "errors": count(found["error"]),
                "contradicts": bool(found["error"]),
                "warnings": count(found["warning"]),
            }
        )
    return rows


def _span(ends: Any) -> str:
    if not ends:
        return "–"
    low, high = ends
    if not is_number(high):
        return f"{count(low)} or more"
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def _family(summary: dict[str, Any]) -> str:
    family = summary["family"]
    return (
        f"Of {plural(family['tests'], 'test')} printed, {count(family['printed'])} have p < "
        f"{summary['alpha']:g}; {count(family['holm'])} survive Holm’s correction, "
        f"{count(family['bh'])} Benjamini and Hochberg’s, {count(family['by'])} Benjamini and "
        "Yekutieli’s."
    )


def _order(summary: dict[str, Any]) -> str:
    """Which numbered term is which, in a sentence."""
    if not summary["term_order"]:
        return ""
    first = next(iter(summary["tables"].values()))
    pairs = [
        f"{label} is {wording(str(term))}"
        for label, term in first["terms"].items()
        if term and label != term and term not in ("constant", "intercept")
    ]
    return f"By their own numbers, {listed(pairs)}." if pairs else ""


def _findings(table: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Findings by severity, the gravest first."""
    groups = []
    for severity in (*SERIOUS, "note", "info"):
        own = table[table["severity"] == severity]
        if own.empty:
            continue
        groups.append(
            {
                "severity": severity,
                "said": plural(len(own), "result" if severity == "info" else severity),
                "rows": [
                    {
                        "where": " ".join(filter(None, (str(row["table"]), str(row["term"])))),
                        "check": str(row["check"]).replace("_", " "),
                        "printed": str(row["printed"]),
                        "recomputed": in_words(str(row["recomputed"]), names),
                        "why": in_words(str(row["why"]), names),
                    }
                    for _, row in own.iterrows()
                ],
            }
        )
    return groups


def _studies(data: ReportData, claims: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Claims by study and verdict."""
    told = _titles(data)
    spelled = " ".join(claims[["quoted", "why"]].to_numpy().ravel())
    names = list(dict.fromkeys([*names, *re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", spelled)]))
    studies = []
    for name, own in claims.groupby("study", sort=False):
        groups = []
        known = [*VERDICTS, *(v for v in dict.fromkeys(own["verdict"]) if v not in VERDICTS)]
        for verdict in known:
            rows = own[own["verdict"] == verdict]
            if len(rows):
                groups.append(
                    {
                        "verdict": VERDICTS.get(verdict, verdict.replace("_", " ")),
                        "good": verdict in FINE,
                        "size": count(len(rows)),
                        "claims": [shown_claim(row, names) for _, row in rows.iterrows()],
                    }
                )
        holding = int((own["verdict"] == "holds").sum())
        title, source = told.get(str(name), (str(name), ""))
        studies.append(
            {
                "id": slug("claims", name),
                "title": title,
                "source": source,
                "said": f"{plural(len(own), 'statement')}, {count(holding)} of them "
                f"{'holds' if holding == 1 else 'hold'}",
                "groups": groups,
                # What few claims say is read at once, many are opened by verdict.
                "few": len(own) <= FEW,
                "refitted": bool((own["refit"] != "").any()),
            }
        )
    return studies


FEW = 12


def shown_claim(row: pd.Series, names: list[str]) -> dict[str, Any]:
    """A claim beside what its own numbers say."""
    cell = " ".join(filter(None, (str(row["cell"]), f"({row['cell_says']})" * bool(row["cell"]))))
    detail = [
        f"the term named: {row['named_term_says']}" if row["named_term_says"] else "",
        f"the same label is also called {row['label_also_names']}"
        if row["label_also_names"]
        else "",
        _survival(row),
    ]
    refit = str(row["refit"])
    return {
        "id": str(row["id"]),
        "statement": str(row["statement"]),
        "where": str(row["where"]),
        "quoted": in_words(str(row["quoted"]), names),
        "says": in_words(cell, names),
        "why": in_words(str(row["why"]), names),
        "detail": [in_words(text, names) for text in detail if text],
        "refit": refit,
        "refit_says": re.sub(
            r"\((cr3|hc3)\)", lambda m: m[0].upper(), in_words(str(row["refit_says"]), names)
        ),
        "disagrees": refit == "disagrees",
    }


def _survival(row: pd.Series) -> str:
    methods = (("holm", "Holm"), ("bh", "Benjamini-Hochberg"), ("by", "Benjamini-Yekutieli"))
    said = [f"{name} {row[f'survives_{key}']}" for key, name in methods if row[f"survives_{key}"]]
    return f"survives {', '.join(said)}" if said else ""


def _titles(data: ReportData) -> dict[str, tuple[str, str]]:
    """Study -> title and source, where the file of claims is given."""
    if "claims_source" not in data.inputs:
        return {}
    from tunescape.audit.claims import read_claims

    studies = read_claims(_path(data, "claims_source")).studies
    return {name: (study.title, study.source) for name, study in studies.items()}


SECTION = Section("audit", "Audit of the published study", build)
