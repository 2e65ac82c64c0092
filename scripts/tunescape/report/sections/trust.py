"""How far each regression can be trusted."""

from __future__ import annotations

from typing import Any

from tunescape.figures.style import plain, wording
from tunescape.report.data import MODELS, RUNS, Analysis, ReportData
from tunescape.report.numbers import aligned, count, fixed, p_value, percent, plural, significant
from tunescape.report.section import Context, Section


def build(data: ReportData) -> Context | None:
    """One row a regression (absolute view), and the statements made from its numbers."""
    populations = []
    for name in (*data.populations, *data.experiments):
        nouns = RUNS if name in data.experiments else MODELS
        analyses = data.of(name)
        rows = [_row(analysis) for analysis in analyses]
        for column in ("r2", "held_out", "condition"):
            for row, text in zip(rows, aligned(r[column] for r in rows), strict=True):
                row[column] = text
        statements = [{"metric": wording(a.metric), "said": statements_of(a)} for a in analyses]
        populations.append(
            {
                "name": name,
                "rows": rows,
                "statements": statements,
                "row": nouns.row,
                "cluster": nouns.cluster,
                "runs": nouns == RUNS,
            }
        )
    return {"populations": populations} if any(p["rows"] for p in populations) else None


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


def _row(analysis: Analysis) -> dict[str, Any]:
    summary = analysis.summary
    row: dict[str, Any] = {
        "metric": wording(analysis.metric),
        "n": count(summary["n"]),
        "owners": count(summary.get("owners")),
        "datasets": count(summary.get("datasets")),
        "reason": "",
        "marks": [],
    }
    if not analysis.fitted:
        return row | {"reason": summary["reason"], "r2": "", "held_out": "", "condition": ""}
    share = float(summary["dominant_owner"]["share"])
    held = summary["held_out"]["owner"]["r2"]
    lack = summary["lack_of_fit"]
    rank = int(summary["rank"]) - int(summary["effects"])
    terms = len(summary["terms"])
    impossible = int(summary["impossible"]["rows"])
    marks = []
    if rank < terms:
        marks.append("rank-deficient")
    cluster = analysis.nouns.cluster
    if share >= 0.5:
        marks.append(f"one {cluster} dominates")
    if analysis.error == "cr3" and not analysis.robust:
        marks.append("no cluster-robust error")
    if held is not None and held <= 0:
        marks.append(f"does not carry over to other {cluster}s")
    if isinstance(lack["p"], float) and lack["p"] < 0.05:
        marks.append("lack of fit")
    if impossible:
        marks.append("impossible predictions")
    return row | {
        "largest": percent(share),
        "uploader": plain(summary["dominant_owner"]["owner"], 24),
        "rank": f"{rank} of {terms}",
        "condition": significant(summary["condition_coded"], 3),
        "df": count(summary["df_residual"]),
        "r2": fixed(summary["r2"]),
        "r2_kind": summary["r2_kind"],
        "held_out": fixed(held),
        "lack": p_value(lack["p"]),
        "pure": count(lack["df_pure"]),
        "impossible": count(impossible),
        "marks": marks,
    }


SECTION = Section("trust", "Trust", build)
