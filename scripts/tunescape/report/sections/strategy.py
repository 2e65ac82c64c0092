"""Strategy map: what to set first and last, and how firmly each statement stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunescape.figures.style import wording
from tunescape.report.data import MODELS, RUNS, ReportData
from tunescape.report.numbers import count, is_number, listed, plural
from tunescape.report.section import Context, Section
from tunescape.report.sections.experiments import in_words

if TYPE_CHECKING:
    import pandas as pd

TERMS = ("effect", "curvature", "interaction")
FIRM = ("supported", "fragile", "identity")
GRADES = ("supported", "fragile", "artefact", "no evidence", "identity")

RULES = {
    "all_criteria": "every criterion holds",
    "all_criteria_of_an_experiment": "every criterion holds that an experiment has",
    "not_estimable": "the settings do not separate this term from others",
    "no_cluster_error": "without one uploader the term is lost: no cluster-robust error",
    "confounded": "significant only if the terms that cannot be estimated are zero",
    "only_at_an_origin": "significant at the origin of a view, not at the midpoint of the range",
    "only_without_clusters": "significant only if models of one uploader were independent",
    "not_significant": "not significant with cluster-robust errors",
    "not_fitted": "there is no regression",
    "identity": "both fits give the same second-order terms",
    "no_identity": "the two fits were not shown to agree",
    "origin_of_the_view": "a slope belongs to the origin of its view",
    "terms_aliased": "some of its terms cannot be estimated",
    "no_joint_significance": "its terms are jointly not significant",
}
"""Rules of ``tunescape.strategy`` in words."""

CRITERIA = {
    "cluster_robust": "only the wild bootstrap finds it",
    "holm": "lost in Holm’s correction over the study",
    "wild_bootstrap": "not found by the wild cluster bootstrap",
    "specifications": "not in most other specifications",
    "owners_left_out": "no better than a mean for those left out",
    "views": "not in every view",
    "joint_significance": "its own terms are jointly significant",
    "intervals_part": "its interval overlaps the next hyperparameter’s",
    "slope": "a slope not clear of zero",
}
"""What a statement may fail, in words."""


def build(data: ReportData) -> Context | None:
    """One map a population, and its statements in groups."""
    populations = []
    for name in (*data.populations, *data.experiments):
        table = data.strategies.get(name)
        if table is None:
            continue
        metrics = [str(m) for m in dict.fromkeys(table["metric"].dropna()) if m and "+" not in m]
        groups = [_group(data, name, wording(m), _of_metric(table, m)) for m in metrics]
        groups += [
            _group(data, name, title, table[table["kind"] == kind])
            for kind, title in (
                ("cross effect", "Cross-effects between metrics"),
                ("metrics", "Across metrics"),
                ("views", "Across views"),
            )
        ]
        populations.append(
            {
                "name": name,
                "nouns": RUNS if name in data.experiments else MODELS,
                "summary": _tally([{"grade": str(grade)} for grade in table["grade"]]),
                "metrics": [wording(m) for m in metrics],
                "map": _map(data, name, table, metrics),
                "groups": [group for group in groups if group["firm"] or group["rest"]],
            }
        )
    return {"populations": populations} if populations else None


def _of_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    own = table[table["metric"] == metric]
    return own[own["kind"] != "views"]


def _map(
    data: ReportData, name: str, table: pd.DataFrame, metrics: list[str]
) -> list[dict[str, Any]]:
    """Rows set first, set last and every term; a cell a metric: sign or name, and grade."""
    rows = []
    for kind, label in (("first", "set first"), ("last", "set last")):
        own = table[table["kind"] == kind].set_index("metric")
        cells = [
            {"said": wording(str(own.loc[m, "term"])), "grade": str(own.loc[m, "grade"])}
            if m in own.index
            else None
            for m in metrics
        ]
        if any(cells):
            rows.append({"label": label, "cells": cells, "order": True})
    terms = table[table["kind"].isin(TERMS)]
    grades = {(str(r["metric"]), str(r["term"])): str(r["grade"]) for _, r in terms.iterrows()}
    signs = {
        (a.metric, str(row["term"])): _sign(row["estimate"])
        for a in data.of(name)
        for _, row in a.table.iterrows()
    }
    for term in dict.fromkeys(terms["term"]):
        cells = [
            {"said": signs.get((m, term), ""), "grade": grades[m, term]}
            if (m, term) in grades
            else None
            for m in metrics
        ]
        rows.append({"label": wording(str(term)), "cells": cells, "order": False})
    return rows


def _sign(value: object) -> str:
    if not is_number(value):
        return ""
    return "+" if float(value) > 0 else "−"


def _tally(statements: list[dict[str, str]]) -> str:
    """``9 statements: 2 artefact and 7 no evidence``."""
    found = [(sum(one["grade"] == grade for one in statements), grade) for grade in GRADES]
    said = listed(f"{count(number)} {grade}" for number, grade in found if number)
    return f"{plural(len(statements), 'statement')}: {said}" if statements else ""


def _group(data: ReportData, name: str, title: str, table: pd.DataFrame) -> dict[str, Any]:
    """Statements that stand, and those that do not."""
    said = [shown_statement(row, data.names(name)) for _, row in table.iterrows()]
    rest = [one for one in said if one["grade"] not in FIRM]
    return {
        "title": title,
        "firm": [one for one in said if one["grade"] in FIRM],
        "rest": rest,
        "rest_said": _tally(rest),
    }


def shown_statement(row: pd.Series, names: list[str]) -> dict[str, str]:
    """A statement as its claim, the numbers behind it, its grade and the rule of the grade."""
    text = str(row["text"])
    claim, _, evidence = text.partition(": ")
    if str(row["kind"]) not in ("effect", "curvature", "interaction", "first", "last") or (
        claim == str(row["metric"])
    ):
        claim, evidence = text, ""
    return {
        "claim": in_words(claim, names),
        "evidence": in_words(evidence, names),
        "grade": str(row["grade"]),
        "rule": in_words(rule_in_words(str(row["rule"])), names),
    }


def rule_in_words(rule: str) -> str:
    """The rule of a grade as a sentence without its full stop."""
    head, _, rest = rule.partition(": ")
    if head == "fails":
        return "; ".join(map(_criterion, rest.split(", ")))
    if head == "weakest":
        return f"the weakest of {listed(rest.split(', '))}"
    said = RULES.get(head, head.replace("_", " "))
    return f"{said} ({rest})" if rest else said


def _criterion(name: str) -> str:
    word, joined, metric = name.partition(" of ")
    said = CRITERIA.get(word, word.replace("_", " "))
    return f"{said} ({metric})" if joined else said


SECTION = Section("strategy", "Strategy map", build)
