"""Coefficients, their tests side by side, and curves of every population, view and metric."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from tunescape.figures.style import short_number, wording
from tunescape.report.data import Analysis, ReportData
from tunescape.report.numbers import (
    aligned,
    count,
    fixed,
    is_number,
    listed,
    p_value,
    percent,
    plural,
    significant,
)
from tunescape.report.section import Context, Section, analysis_plot, metric_words, slug

NUMBERS = (
    "estimate", "low", "high", "detectable", "bound", "se_classical", "se_hc3", "se_cr3",
    "raw_estimate", "raw_se", "raw_se_cr3", "vif", "mixed_estimate",
)  # fmt: skip
TESTS = ("classical", "hc3", "cr3", "wild", "holm")
SIZE_MARKS = {"hc3": "‡", "classical": "§"}
"""Marks of effects that were left open by another error than CR3."""


def build(data: ReportData) -> Context | None:
    """Tables and figures, the absolute view first and the relative one beside it."""
    populations = []
    for name in data.populations:
        metrics = []
        for analysis in data.of(name):
            twin = next((a for a in data.of(name, "relative") if a.metric == analysis.metric), None)
            metrics.append(
                {
                    "id": slug("fit", name, analysis.metric),
                    "name": wording(analysis.metric),
                    "absolute": shown_regression(data, analysis),
                    "relative": shown_regression(data, twin) if twin else None,
                    "identity": _identity(analysis),
                }
            )
        populations.append({"name": name, "id": slug("fits", name), "metrics": metrics})
    return {"populations": populations} if any(p["metrics"] for p in populations) else None


def coefficient_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """The coefficient table as text, numbers aligned column by column."""
    rows: list[dict[str, Any]] = []
    alpha, evidence = level_of(analysis), {analysis.error, "wild", "holm"}
    for _, line in analysis.table.iterrows():
        confounded = line["confounded_with"]
        tests = {kind: line.get(f"p_{kind}") for kind in TESTS}
        # Sizes that the data leave open stand beside what was not found, nowhere else.
        instead = _size_error(line)
        judged = tests[analysis.error]
        if not is_number(judged) and instead:
            judged = tests[instead]
        found = is_number(judged) and judged < alpha
        open_size = not found and line["kind"] != "intercept"
        rows.append(
            {
                "term": wording(str(line["term"])),
                "estimable": bool(line["estimable"]),
                "aliased": _sentence(line["aliased_with"]),
                "held": isinstance(confounded, str) and bool(confounded),
                "estimate": significant(line["estimate"]),
                "low": significant(line["ci_low"], 4),
                "high": significant(line["ci_high"], 4),
                "tests": [
                    {"p": p_value(p), "small": kind in evidence and is_number(p) and p < alpha}
                    for kind, p in tests.items()
                ],
                "detectable": significant(line["detectable_effect"] if open_size else None, 3),
                "bound": significant(line["equivalence_bound"] if open_size else None, 3),
                "size_mark": SIZE_MARKS.get(instead, "") if open_size else "",
                **{f"se_{kind}": significant(line[f"se_{kind}"]) for kind in TESTS[:3]},
                "raw_estimate": significant(line["raw_estimate"]),
                "raw_se": significant(line["raw_se"]),
                "raw_se_cr3": significant(line.get("raw_se_cr3")),
                "vif": fixed(line["vif"]),
                "partial_r2": fixed(line["partial_r2"], 3),
                "mixed_estimate": significant(line.get("mixed_estimate")),
                "mixed_p": p_value(line.get("mixed_p")),
            }
        )
    known = [row for row in rows if row["estimable"]]
    for column in NUMBERS:
        for row, text in zip(known, aligned(r[column] for r in known), strict=True):
            row[column] = text
    return rows


def _size_error(line: pd.Series) -> str:
    """Error behind the sizes of a term where it is not CR3."""
    named = line.get("size_error")
    return named if isinstance(named, str) and named in SIZE_MARKS else ""


def level_of(analysis: Analysis) -> float:
    """Level of the tests that go with the intervals."""
    return round(1 - float(analysis.summary["level"]), 12)


def joint_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """Joint tests by order and by factor, with the importance of each factor."""
    summary, alpha = analysis.summary, level_of(analysis)
    importance = {f"factor:{found['factor']}": found for found in summary["importance"]}
    clustered = {test["name"]: test for test in summary["joint_tests"]["cr3"]}
    rows = []
    for test in summary["joint_tests"]["classical"]:
        robust = clustered.get(test["name"], {})
        group, _, name = test["name"].partition(":")
        own = importance.get(test["name"], {})
        rows.append(
            {
                "name": {"factor": wording(name), "order": f"{name} terms"}.get(group, "all terms"),
                "terms": count(len(test["tested"])),
                "tests": [
                    {
                        "p": p_value(p),
                        "small": kind == analysis.error and is_number(p) and p < alpha,
                    }
                    for kind, p in (("classical", test["p"]), ("cr3", robust.get("p")))
                ],
                "partial": fixed(test["partial_r2"], 3),
                "interval": (
                    f"{fixed(own['low'], 3)} to {fixed(own['high'], 3)}"
                    if is_number(own.get("low")) and own["low"] < own["high"]
                    else ""
                ),
                "permuted": fixed(own.get("permutation"), 3) if own else "",
            }
        )
    return rows


def shown_regression(data: ReportData, analysis: Analysis) -> dict[str, Any]:
    """What the macro ``regression`` shows: facts, coefficients and figures of one regression."""
    summary, nouns = analysis.summary, analysis.nouns
    shown: dict[str, Any] = {
        "metric": metric_words(analysis),
        "view": analysis.view,
        "n": plural(summary["n"], nouns.row),
        "rows_named": f"{nouns.row}s",
        "fitted": analysis.fitted,
        "reason": summary["reason"],
        "left_out": "; ".join(
            f"{wording(name)}: {why}" for name, why in summary.get("left_out", {}).items()
        ),
        "rows": coefficient_rows(analysis) if analysis.fitted else [],
        # Seen from the baseline, the terms of a factor are jointly what they were.
        "joint": joint_rows(analysis) if analysis.fitted and analysis.view == "absolute" else [],
        "plots": [
            plot
            for kind in ("regression", "forest")
            if (plot := analysis_plot(data, analysis, kind)) is not None
        ],
    }
    if not analysis.fitted:
        return shown
    covariance = summary["covariance"]["cr3"]
    codings = [
        f"{wording(f['name'])} {f['coding']}, {short_number(f['min'])} to {short_number(f['max'])}"
        for f in summary["coding"]
    ]
    rank = int(summary["rank"]) - int(summary["effects"])
    return shown | {
        "facts": (
            f"{plural(summary['n'], nouns.row)}, {plural(summary['owners'], nouns.cluster)}, "
            f"{plural(summary['datasets'], 'data set')}; rank {rank} of {len(summary['terms'])}, "
            f"{plural(summary['df_residual'], 'residual degree')} of freedom; "
            f"R² {fixed(summary['r2'])} ({summary['r2_kind']}), "
            f"adjusted {fixed(summary['adjusted_r2'])}{_form(summary)}"
        ),
        "coding": "; ".join(codings),
        "level": percent(summary["level"]),
        "alpha": f"{level_of(analysis):g}",
        "no_robust": covariance["reason"],
        "instead": (
            "Runs are independent, so the classical errors serve; Holm’s correction is of their "
            "p-values"
            if analysis.error == "classical"
            else ""
        ),
        "clusters": plural(covariance["clusters"], nouns.cluster),
        "cluster": nouns.cluster,
        "mixed": _mixed(analysis),
        "any_held": bool(summary["confounded"]),
        "size_marks": _size_marks(shown["rows"]),
    }


def _size_marks(rows: list[dict[str, Any]]) -> str:
    """What the marks that are there mean, in a sentence."""
    there = {row["size_mark"] for row in rows if row["estimable"]}
    words = {"hc3": "HC3", "classical": "classical"}
    said = listed(f"{mark} {words[kind]}" for kind, mark in SIZE_MARKS.items() if mark in there)
    return f"Without a CR3 error, effects are judged by another: {said}." if said else ""


def _form(summary: dict[str, Any]) -> str:
    """What departs from plain least squares on the metric itself."""
    said = []
    if summary.get("scale", summary["link"]) != "identity":
        said.append(f"on the {summary.get('scale', summary['link'])} scale")
    if summary.get("weights"):
        said.append(f"weighted by {wording(str(summary['weights']))}")
    said += [f"a level for each {wording(name)}" for name in summary.get("effects_of", ())]
    return "; " + ", ".join(said) if said else ""


def _mixed(analysis: Analysis) -> str:
    """What a random level of a group gives, in a sentence; nothing where it was not asked for."""
    mixed = analysis.summary.get("mixed")
    if not mixed:
        return ""
    group = wording(str(mixed["group"]))
    if "intraclass_correlation" not in mixed:
        return f"No model with a random level for each {group}: {mixed['reason']}."
    return (
        f"Random level: a model with one for each {group}; "
        f"{percent(mixed['intraclass_correlation'])} of the remaining variance lies between them"
        f"{', ' + str(mixed['reason']) if mixed['reason'] else ''}."
    )


def _identity(analysis: Analysis) -> str:
    identity = analysis.summary.get("identity")
    if not identity:
        return "Not compared: there is no fit."
    if identity["checked"] and identity["holds"]:
        return (
            "The relative regression is the absolute one seen from the baseline: quadratic and "
            "interaction coefficients, their errors and R² are the same (largest relative "
            f"difference {significant(identity['max_difference'], 2)}). Coded linear terms "
            "coincide as well, being slopes at the midpoint of the range in either view; the "
            "uncoded ones differ, being slopes at the origin of each view."
        )
    return f"The two views were not shown to be one model: {identity['reason']}."


def _sentence(combination: object) -> str:
    """``-0.38 intercept +1 a:b`` with the terms in words."""
    if not isinstance(combination, str) or not combination:
        return ""
    words = [
        f"{part[0] if part[0] in '+-' else ''}{abs(float(part)):.3g}"
        if re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", part)
        else wording(part)
        for part in combination.split(" ")
    ]
    return " ".join(words).replace("-", "−")


SECTION = Section("regressions", "Regressions", build)
