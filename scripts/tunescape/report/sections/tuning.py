"""Tuning studies: what was found, what the choice was corrected by, what the search cost."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tunescape.figures.style import plain, short_number, wording
from tunescape.report.data import ReportData, by_folder, paths
from tunescape.report.numbers import aligned, count, fixed, is_number, listed, plural
from tunescape.report.section import Context, Plot, Section, plot_id, slug
from tunescape.report.sections.experiments import capitalised, configured, in_words, named_facts
from tunescape.report.svg import inline_svg
from tunescape.tables import read_json, read_table
from tunescape.tuning.interactive import parallel_data, parallel_snippet

if TYPE_CHECKING:
    import pandas as pd

CANDIDATES = {"baseline": "baseline", "manual": "best by hand"}
STAGES = {
    "screen": "screening",
    "grid": "grid",
    "bayes": "Bayesian search",
    "surface": "surface search",
    "confirm": "confirmation",
}


def build(data: ReportData) -> Context | None:
    """One part a tuning study, in the order of the configuration."""
    tables = {kind: by_folder(data.inputs.get(f"tuning_{kind}", ())) for kind in _TABLES}
    figures = {path.parts[-2:]: path for path in _drawings(data)}
    studies = []
    for name, told in dict(data.spec.get("tunings", {})).items():
        if any(name not in found for found in tables.values()):
            continue
        table, trials = read_table(tables["tables"][name]), read_table(tables["trials"][name])
        summary = read_json(tables["summaries"][name])
        factors = [str(factor) for factor in told["factors"]]
        studies.append(
            {
                "name": name,
                "id": slug("tuning", name),
                "metric": wording(str(summary["metric"])),
                "headline": headline(summary),
                "facts": _facts(data, name, trials, factors),
                "n_eval": count(table["n_eval"].iloc[0]),
                "rows": result_rows(table),
                "settings": setting_rows(table, factors),
                "statements": [_named(in_words(s, factors)) for s in summary["statements"]],
                "screenings": _screenings(data, name, factors, figures),
                "importance": _importance(read_table(tables["importance"][name])),
                "budget": _plot(figures, name, "budget", _budget_alt(name)),
                "training": _plot(figures, name, "training", _training_alt(name)),
                "parallel": _plot(figures, name, "parallel", _parallel_alt(name, trials)),
                "interactive": _interactive(name, trials, factors, told),
                "exports": [
                    path.as_posix()
                    for path in paths(data.inputs.get("tuning_exports", ()))
                    if path.parts[-4] == name
                ],
            }
        )
    return {"studies": studies} if studies else None


_TABLES = ("tables", "trials", "summaries", "importance")


def headline(summary: Mapping[str, Any]) -> str:
    """How many trials there were, of how many runs, and how many failed."""
    said = f"{plural(summary['trials'], 'trial')}, {plural(summary['runs'], 'distinct run')}"
    failed = int(summary["failed"])
    return said + (f", {count(failed)} failed" if failed else "")


def candidate_name(name: str) -> str:
    """A candidate in words: ``bayes-warm-s2`` as Bayesian search, warm start, repeat 2."""
    if name in CANDIDATES:
        return CANDIDATES[name]
    stage, *rest = name.split("-")
    kind, number = stage.rstrip("0123456789"), stage[len(stage.rstrip("0123456789")) :]
    said = [f"{STAGES.get(kind, kind)}{' ' + number if number else ''}"]
    said += [f"{part} start" if part in ("warm", "cold") else f"repeat {part[1:]}" for part in rest]
    return ", ".join(said)


def _named(statement: str) -> str:
    """A statement about a candidate with the candidate in words."""
    name, colon, rest = statement.partition(": ")
    known = name in CANDIDATES or name.split("-")[0].rstrip("0123456789") in STAGES
    return candidate_name(name) + colon + rest if known and " " not in name else statement


def result_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """The table of candidates as text."""
    rows: list[dict[str, str]] = []
    for line in table.to_dict("records"):
        examples = _between(line, "gain_examples", "gain_low", "gain_high", 0)
        confirmed = _between(line, "confirmed", "confirmed_low", "confirmed_high", 4)
        again = _between(
            line,
            "confirmed_examples",
            "confirmed_examples_low",
            "confirmed_examples_high",
            0,
        )
        rows.append(
            {
                "name": candidate_name(str(line["candidate"])),
                "runs": count(line["runs"]),
                "found": fixed(line["found"], 4),
                "corrected": fixed(line["corrected"], 4),
                "se": fixed(line["corrected_se"], 4) if is_number(line["corrected_se"]) else "",
                "gain": fixed(line["gain"], 4) if line["candidate"] != "baseline" else "",
                "examples": examples if line["candidate"] != "baseline" else "",
                "confirmed": confirmed,
                "seeds": count(line["seeds"]),
                "again": again if line["candidate"] != "baseline" else "",
            }
        )
    for column in ("found", "corrected", "gain"):
        for row, text in zip(rows, aligned(row[column] for row in rows), strict=True):
            row[column] = text
    return rows


def _between(line: Mapping[Hashable, Any], value: str, low: str, high: str, places: int) -> str:
    """A number with its limits, where it has them."""
    said = fixed(line[value], places)
    if is_number(line[low]) and is_number(line[high]):
        said += f" ({fixed(line[low], places)} to {fixed(line[high], places)})"
    return said


def setting_rows(table: pd.DataFrame, factors: list[str]) -> dict[str, Any]:
    """Settings of the candidates; factors that are the same in all are left to one sentence."""
    moved = [name for name in factors if table[name].nunique() > 1]
    shared = [f"{wording(n)} {_setting(table[n].iloc[0])}" for n in factors if n not in moved]
    return {
        "factors": [wording(name) for name in moved],
        "rows": [
            {
                "name": candidate_name(str(line["candidate"])),
                "values": [_setting(line[name]) for name in moved],
            }
            for line in table.to_dict("records")
        ],
        "shared": listed(shared),
    }


def _setting(value: Any) -> str:
    return short_number(value) if is_number(value) else plain(value)


def _facts(
    data: ReportData, name: str, trials: pd.DataFrame, factors: list[str]
) -> list[tuple[str, str]]:
    """What was searched, as pairs of a name and a value."""
    told = configured(data, name)
    facts = named_facts(told)
    for stage, part in trials.groupby("search", sort=False):
        facts.append(
            (
                capitalised(candidate_name(str(stage))),
                f"{plural(len(part), 'trial')} in {plural(part['round'].nunique(), 'round')}",
            )
        )
    for factor in factors:
        values = sorted(set(trials[factor].dropna()))
        few = len(values) <= 3
        said = [_setting(v) for v in (values if few else (values[0], values[-1]))]
        facts.append((capitalised(wording(factor)), (", " if few else " to ").join(said)))
    held = dict(told.get("fixed") or {})
    if held:
        said = [f"{wording(key)} {_setting(value)}" for key, value in held.items()]
        facts.append(("Held fixed", ", ".join(said)))
    return facts


def _screenings(
    data: ReportData, name: str, factors: list[str], figures: Mapping[tuple[str, ...], Path]
) -> list[dict[str, Any]]:
    """Each screening with its effects, what was kept by the rule, and the comparison of designs."""
    kept = {path.parts[-3:-1]: path for path in paths(data.inputs.get("tuning_kept", ()))}
    found = []
    for path in paths(data.inputs.get("tuning_effects", ())):
        place = path.parts[-3:-1]
        if place[0] != name or place not in kept:
            continue
        effects, told = read_table(path), read_json(kept[place])
        rows = [
            {
                "rank": count(line["rank"]),
                "factor": wording(str(line["factor"])),
                "kept": bool(line["kept"]),
                "effect": fixed(line["effect"], 4),
                "limits": f"{fixed(line['ci_low'], 4)} to {fixed(line['ci_high'], 4)}",
                "low": plain(line["low"]),
                "high": plain(line["high"]),
                "p": fixed(line["p_holm"], 3),
            }
            for line in effects.to_dict("records")
        ]
        drawn = figures.get((place[1], "half_normal.svg"))
        found.append(
            {
                "name": place[1],
                "rule": in_words(str(told["rule"]), factors),
                "statements": [in_words(str(said), factors) for said in told["statements"]],
                "rows": rows,
                "plot": _drawn(drawn, name, f"{place[1]}-half-normal", _half_normal_alt(name)),
            }
        )
    return found


def _importance(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "factor": wording(str(line["factor"])),
            "r2": fixed(line["partial_r2"], 3),
            "limits": f"{fixed(line['low'], 3)} to {fixed(line['high'], 3)}",
            "permutation": fixed(line["permutation"], 3),
            "runs": count(line["runs"]),
        }
        for line in table.to_dict("records")
    ]


def _drawings(data: ReportData) -> list[Path]:
    return [path for path in paths(data.inputs.get("tuning_figures", ())) if path.suffix == ".svg"]


def _plot(figures: Mapping[tuple[str, ...], Path], name: str, kind: str, alt: str) -> Plot | None:
    return _drawn(figures.get((name, f"{kind}.svg")), name, kind, alt)


def _drawn(path: Path | None, name: str, kind: str, alt: str) -> Plot | None:
    if path is None:
        return None
    own = plot_id("tuning", name, kind)
    return Plot(own, inline_svg(path, own, alt), alt, "")


def _interactive(
    name: str, trials: pd.DataFrame, factors: list[str], told: Mapping[str, Any]
) -> Markup | None:
    """The same lines to explore, for a reader whose browser runs scripts."""
    shown = parallel_data(trials, factors, str(told["metric"]), bool(told["maximise"]))
    if len(shown["rows"]) < 2 or len(shown["axes"]) < 2:
        return None
    return Markup(parallel_snippet(shown, slug("parallel", name).replace("_", "-")))


def _budget_alt(name: str) -> str:
    return (
        f"Budget curves of {plain(name)}: the best value after each run (steps), and the median "
        "best of as many independent runs with its 95 % band."
    )


def _training_alt(name: str) -> str:
    return f"Training curves of the best setting of {plain(name)}, one line a seed."


def _parallel_alt(name: str, trials: pd.DataFrame) -> str:
    return (
        f"Parallel coordinates of {plain(name)}: settings of "
        f"{plural(trials['run_id'].nunique(), 'run')} and what each gave."
    )


def _half_normal_alt(name: str) -> str:
    return (
        f"Half-normal plot of {plain(name)}: absolute effects of the factors against what noise "
        "alone would give."
    )


SECTION = Section("tuning", "Tuning in stages", build)
