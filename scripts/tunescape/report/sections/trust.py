"""How far each regression can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from tunescape.figures.style import plain, wording
from tunescape.report.data import MODELS, RUNS, Analysis, Nouns, ReportData
from tunescape.report.numbers import count, fixed, is_number, p_value, percent, plural, significant
from tunescape.report.section import Context, Section
from tunescape.report.sections.experiments import in_words
from tunescape.report.verdict import DOMINANT, thresholds

COLLINEAR = 30.0
"""Condition number from which on terms share their information (Belsley, Kuh and Welsch, 1980)."""
INFLUENTIAL = 1.0
"""Cook's distance from which on one cluster decides the estimates (Cook and Weisberg, 1982)."""
FEW_CLUSTERS = 15
"""Below this, a cluster-robust test is held to its level by no simulation of ours."""

Cell = dict[str, Any]


def build(data: ReportData) -> Context | None:
    """One panel a population: measures down, metrics across (absolute view)."""
    populations = []
    for name in (*data.populations, *data.experiments):
        analyses = data.of(name)
        if not analyses:
            continue
        nouns = RUNS if name in data.experiments else MODELS
        populations.append(
            {
                "name": name,
                "runs": nouns == RUNS,
                "metrics": [wording(a.metric) for a in analyses],
                "groups": [
                    [
                        {"label": label, "cells": [_cell(data, a, measure) for a in analyses]}
                        for label, measure in group
                    ]
                    for group in _measures(data, name, nouns)
                ],
                "checks": [
                    {"label": label, "cells": [_cell(data, a, measure) for a in analyses]}
                    for label, measure in (_further(nouns) if _checked(data, name) else ())
                ],
                "statements": [
                    {
                        "metric": wording(a.metric),
                        "said": [in_words(said, data.names(name)) for said in statements_of(a)],
                    }
                    for a in analyses
                ],
            }
        )
    return {"populations": populations} if populations else None


Measure = Callable[[ReportData, Analysis], Cell]


def _measures(data: ReportData, name: str, nouns: Nouns) -> list[list[tuple[str, Measure]]]:
    """Labels and measures in groups: the sample, the fit, what carries over, other ways to fit."""
    runs = nouns == RUNS
    sample: list[tuple[str, Measure]] = [
        (f"{nouns.row.capitalize()}s", _rows),
        (f"{nouns.cluster.capitalize()}s", _clusters),
    ]
    if not runs:
        sample += [("Largest uploader’s share", _largest), ("Data sets", _datasets)]
    fit: list[tuple[str, Measure]] = [
        ("Terms estimated", _rank),
        ("Residual df", _degrees),
        ("Condition number", _condition),
        ("R²", _r2),
        ("Lack of fit, p", _lack),
        ("Impossible predictions", _impossible),
    ]
    if runs:
        fit.insert(2, ("df, pure error", _pure))
    elif _checked(data, name):
        sample.append(("Most influential uploader", _influential))
    carries: list[tuple[str, Measure]] = [
        (f"R², {nouns.cluster}s left out", _held_out),
        ("Terms with a cluster-robust error", _robust),
    ]
    groups = [sample, fit, carries]
    if any(place[0] == name for place in data.specifications):
        limits = thresholds(data.spec)
        sign, small = percent(limits.share_sign), percent(limits.share_significant)
        groups.append(
            [
                ("Specifications", _specifications),
                (f"Terms that keep their sign in {sign} of them", _keep_sign),
                (f"Terms significant with it in {small}", _keep_significance),
            ]
        )
    return groups


def _further(nouns: Nouns) -> list[tuple[str, Measure]]:
    """Labels and measures of the folded table, all from the checks of a fit."""
    return [
        ("PRESS R²", partial(_predicted, check="press_r2")),
        ("R², data sets left out", partial(_predicted, check="left_out_dataset_r2")),
        ("Even errors (Breusch–Pagan), p", _even),
        (f"Largest Cook’s D, one {nouns.row}", partial(_cook, check="largest_cook")),
        (f"Largest Cook’s D, one {nouns.cluster}", partial(_cook, check="largest_cook_cluster")),
        ("Largest leverage", _leverage),
    ]


def _cell(data: ReportData, analysis: Analysis, measure: Measure) -> Cell:
    blank = {"value": "", "note": "", "bad": False}
    if not analysis.fitted and measure not in (_rows, *_OF_CURVE):
        return blank
    return blank | measure(data, analysis)


def _rows(data: ReportData, analysis: Analysis) -> Cell:
    if analysis.fitted:
        return {"value": count(analysis.summary["n"])}
    reason = f"not fitted: {analysis.summary['reason']}"
    return {"value": count(analysis.summary["n"]), "note": reason, "bad": True}


def _clusters(data: ReportData, analysis: Analysis) -> Cell:
    summary = analysis.summary
    effective = summary.get("clusters_effective")
    if (
        not is_number(effective)
        or round(effective) >= int(summary["clusters"])
        or analysis.error == "classical"
    ):
        return {"value": count(summary["clusters"])}
    return {
        "value": count(summary["clusters"]),
        "note": f"as good as {significant(effective, 2)} equal ones",
        "bad": effective < FEW_CLUSTERS,
    }


def _largest(data: ReportData, analysis: Analysis) -> Cell:
    largest = analysis.summary["dominant_owner"]
    note = plain(largest["owner"], 24)
    if float(largest["share"]) < DOMINANT:
        return {"value": percent(largest["share"]), "note": note}
    return {
        "value": percent(largest["share"]),
        "note": f"{note}: one uploader’s habits",
        "bad": True,
    }


def _checked(data: ReportData, name: str) -> bool:
    return any((a.population, a.view, a.metric) in data.checks for a in data.of(name))


def _check(data: ReportData, analysis: Analysis, name: str) -> tuple[float | None, str]:
    """Number and place of a check of a fit; None where it is not known (it may be infinite)."""
    table = data.checks.get((analysis.population, analysis.view, analysis.metric))
    if table is None or name not in table.index:
        return None, ""
    value, where = table["value"][name], table["where"][name]
    return None if math.isnan(value) else float(value), where if isinstance(where, str) else ""


def _influential(data: ReportData, analysis: Analysis) -> Cell:
    """Who moves the coefficients most, and what the fit explains without them."""
    distance, owner = _check(data, analysis, "largest_cook_cluster")
    if distance is None:
        return {"value": "–"}
    fitted, left_out = (
        _check(data, analysis, name)[0]
        for name in ("r2_without_cluster", "left_out_owner_r2_without_cluster")
    )
    said = [f"Cook’s D {distance_said(distance)}"]
    if fitted is not None:
        said.append(
            f"without it R² {fixed(fitted)}, uploaders left out "
            f"{'not determined' if left_out is None else fixed(left_out)}"
        )
    return {
        "value": plain(owner, 24),
        "note": "; ".join(said),
        "bad": distance > INFLUENTIAL,
    }


def distance_said(value: float) -> str:
    """Cook’s distance as text; infinite where the estimates need the rows."""
    return significant(value, 2 if value < 100 else 3) if math.isfinite(value) else "without limit"


def _predicted(data: ReportData, analysis: Analysis, check: str) -> Cell:
    value, _ = _check(data, analysis, check)
    if value is None:
        return {"value": "–", "note": "not determined"}
    found = {"value": fixed(value)}
    return found if value > 0 else found | {"note": "worse than a mean", "bad": True}


def _even(data: ReportData, analysis: Analysis) -> Cell:
    value, _ = _check(data, analysis, "breusch_pagan_p")
    found = {"value": p_value(value)}
    # Tests of terms rest on robust errors, so that this is no trouble of its own.
    return found | ({"note": "errors are not even"} if value is not None and value < 0.05 else {})


def _cook(data: ReportData, analysis: Analysis, check: str) -> Cell:
    value, where = _check(data, analysis, check)
    if value is None:
        return {"value": "–"}
    # Designs have configurations that a term needs, such as the centre.
    needed = math.isinf(value) and analysis.error == "classical"
    bad = value > INFLUENTIAL and not needed
    return {"value": distance_said(value), "note": plain(where, 40), "bad": bad}


def _leverage(data: ReportData, analysis: Analysis) -> Cell:
    value, where = _check(data, analysis, "largest_leverage")
    if value is None:
        return {"value": "–"}
    alone = value > 1 - 1e-9
    said = plain(where, 40) + (": a term rests on it alone" if alone else "")
    return {"value": fixed(value), "note": said, "bad": alone}


def _datasets(data: ReportData, analysis: Analysis) -> Cell:
    return {"value": count(analysis.summary["datasets"])}


def _rank(data: ReportData, analysis: Analysis) -> Cell:
    summary = analysis.summary
    rank, terms = int(summary["rank"]) - int(summary["effects"]), len(summary["terms"])
    found = {"value": f"{rank} of {terms}"}
    if rank == terms:
        return found
    return found | {"note": "rank-deficient", "bad": True}


def _degrees(data: ReportData, analysis: Analysis) -> Cell:
    return {"value": count(analysis.summary["df_residual"])}


def _pure(data: ReportData, analysis: Analysis) -> Cell:
    return {"value": count(analysis.summary["lack_of_fit"]["df_pure"])}


def _condition(data: ReportData, analysis: Analysis) -> Cell:
    value = analysis.summary["condition_coded"]
    found = {"value": significant(value, 3)}
    if not is_number(value) or value < COLLINEAR:
        return found
    return found | {"note": "collinear terms", "bad": True}


def _r2(data: ReportData, analysis: Analysis) -> Cell:
    summary = analysis.summary
    ceiling = summary["lack_of_fit"].get("noise_ceiling")
    notes = [] if summary["r2_kind"] == "centred" else [str(summary["r2_kind"])]
    if is_number(ceiling):
        notes.append(f"at most {fixed(ceiling)} is possible")
    return {"value": fixed(summary["r2"]), "note": ", ".join(notes)}


def _lack(data: ReportData, analysis: Analysis) -> Cell:
    lack = analysis.summary["lack_of_fit"]
    found = {"value": p_value(lack["p"])}
    if not is_number(lack["p"]):
        return found | {"note": "not testable"}
    if lack["p"] >= 0.05:
        return found
    return found | {"note": "second order does not fit", "bad": True}


def _impossible(data: ReportData, analysis: Analysis) -> Cell:
    found = analysis.summary["impossible"]
    rows, grid, points = (int(found.get(k) or 0) for k in ("rows", "grid", "grid_points"))
    said = {"value": count(rows), "bad": bool(rows)}
    return said | ({"note": f"and {count(grid)} of {count(points)} grid points"} if grid else {})


def _held_out(data: ReportData, analysis: Analysis) -> Cell:
    value = analysis.summary["held_out"]["owner"]["r2"]
    found = {"value": fixed(value)}
    if not is_number(value):
        return found | {"note": "no fit without each of them", "bad": True}
    return found | ({} if value > 0 else {"note": "worse than a mean", "bad": True})


def _robust(data: ReportData, analysis: Analysis) -> Cell:
    covariance = analysis.summary["covariance"]["cr3"]
    estimated = int(analysis.summary["rank"]) - int(analysis.summary["effects"])
    found = {"value": f"{int(covariance['terms_with_variance'])} of {estimated}"}
    if covariance["exists"]:
        return found
    if analysis.error == "classical":
        return found | {"note": "runs are independent: classical errors serve"}
    return found | {"note": "classical p-values are no evidence", "bad": True}


def _curve(data: ReportData, analysis: Analysis) -> Any:
    """Counts over all specifications, one row a term; None where none was traced."""
    table = data.specifications.get((analysis.population, analysis.metric))
    if table is None or table.empty:
        return None
    return table[table["decision"] == "all"]


def _specifications(data: ReportData, analysis: Analysis) -> Cell:
    curve = _curve(data, analysis)
    return {"value": "–" if curve is None else count(curve["specifications"].max())}


def _kept(data: ReportData, analysis: Analysis, column: str, least: float) -> Cell:
    curve = _curve(data, analysis)
    if curve is None:
        return {"value": "–"}
    known = curve[curve[column].notna()]
    kept = int((known[column] >= least).sum())
    found = {"value": f"{count(kept)} of {count(len(curve))}", "bad": not kept}
    highest = known[column].max() if len(known) else None
    if kept or not is_number(highest):
        return found
    return found | {"note": f"the firmest in {percent(highest)}"}


def _keep_sign(data: ReportData, analysis: Analysis) -> Cell:
    return _kept(data, analysis, "share_sign", thresholds(data.spec).share_sign)


def _keep_significance(data: ReportData, analysis: Analysis) -> Cell:
    least = thresholds(data.spec).share_significant
    return _kept(data, analysis, "share_significant_sign", least)


_OF_CURVE = (_specifications, _keep_sign, _keep_significance)


def statements_of(analysis: Analysis) -> list[str]:
    """What a fit says of itself; of runs, only what is not about uploaders and views."""
    summary = analysis.summary
    if analysis.nouns == MODELS or not analysis.fitted:
        return list(summary.get("statements", []))
    lack = summary["lack_of_fit"]
    said = [
        f"{plural(summary['n'], 'run')} of {plural(summary['owners'], 'configuration')}; "
        f"{plural(summary['df_residual'], 'residual degree')} of freedom, "
        f"{count(lack['df_pure'])} of them of pure error between runs of one configuration"
    ]
    if analysis.error == "classical":
        said.append("no error by configuration for every term: classical errors serve")
    if lack["reason"]:
        said.append(f"lack of fit not tested: {lack['reason']}")
    else:
        said.append(
            f"lack of fit: F({lack['df_lack']}, {lack['df_pure']}) = {fixed(lack['f'])}, "
            f"p {p_value(lack['p'])}; no function of these settings exceeds R² "
            f"{fixed(lack['noise_ceiling'], 3)} on these runs"
        )
    if "canonical" in summary["surface"]:
        said.append(summary["surface"]["canonical"]["statement"])
    if summary["sampling_noise"]:
        said.append(summary["sampling_noise"]["statement"])
    return said


SECTION = Section("trust", "Trust", build)
