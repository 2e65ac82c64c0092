"""What was run: designs and what they could tell, runs, costs, learning curves, regressions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tunescape.figures.design import factor_columns
from tunescape.figures.style import plain, short_number, wording
from tunescape.report.data import Analysis, ReportData, by_folder
from tunescape.report.numbers import (
    aligned,
    count,
    fixed,
    is_number,
    listed,
    plural,
    significant,
)
from tunescape.report.section import Context, Section, population_plot, slug
from tunescape.report.sections.regressions import shown_regression
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("loss", "accuracy", "f1")
MOST_LEVELS = 5
MOST_RUNS = 200
OK = "ok"


def build(data: ReportData) -> Context | None:
    """One part an experiment, in the order of the configuration."""
    tables = {key: by_folder(data.inputs.get(key, ())) for key in _TABLES}
    timings = by_folder(data.inputs.get("timings", ()))
    experiments = []
    for name in data.experiments:
        if any(name not in found for found in tables.values()):
            continue
        design, runs = read_table(tables["designs"][name]), read_table(tables["runs"][name])
        summary = read_json(tables["design_summaries"][name])
        seconds = {
            run: float(read_json(timings[run])["seconds"])
            for run in runs["run_id"]
            if run in timings
        }
        experiments.append(
            {
                "name": name,
                "id": slug("experiment", name),
                "headline": headline(summary, runs),
                "facts": _facts(data, name, design, runs, summary, seconds),
                "beforehand": [
                    *(_in_words(said, design) for said in summary["statements"]),
                    *_replicates(data.of(name)),
                ],
                "diagnostics": _terms(read_table(tables["design_diagnostics"][name])),
                "power": fixed(summary.get("power"), 1),
                "failed": _lost(runs),
                **_runs(runs, seconds),
                "design": population_plot(data, name, "design", _design_alt(name, summary)),
                "learning": population_plot(data, name, "learning", _learning_alt(name, runs)),
                "metrics": [
                    {
                        "id": slug("fit", name, analysis.metric),
                        "name": wording(analysis.metric),
                        "shown": shown_regression(data, analysis),
                    }
                    for analysis in data.of(name)
                ],
            }
        )
    return {"experiments": experiments} if experiments else None


_TABLES = ("designs", "design_summaries", "design_diagnostics", "runs")


def _replicates(analyses: Iterable[Analysis]) -> list[str]:
    """The noise that repeated settings showed, to hold against the one that was assumed."""
    said = []
    for analysis in analyses:
        lack = analysis.summary["lack_of_fit"]
        if analysis.metric == "accuracy" and lack["df_pure"] and not lack["reason"]:
            sd = math.sqrt(lack["ss_pure"] / lack["df_pure"])
            said.append(
                f"afterwards, repeated settings differed by a standard deviation of {sd:.4f} "
                f"({plural(lack['df_pure'], 'degree')} of freedom)"
            )
    return said


def headline(summary: Mapping[str, Any], runs: pd.DataFrame) -> str:
    """How many runs were planned and how many ended well."""
    planned, done = len(runs), int((runs["status"] == OK).sum())
    lost = planned - done
    said = f"{plural(planned, 'run')} at {plural(summary['settings'], 'setting')}"
    return said + (", all trained" if not lost else f", {count(done)} trained, {count(lost)} lost")


def configured(data: ReportData, name: str) -> Mapping[str, Any]:
    """An experiment as the configuration states it."""
    found: Mapping[str, Any] = data.spec.get("config", {}).get("experiments", {}).get(name, {})
    return found


def named_facts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Model, task and method of an experiment, as pairs of a name and a value."""
    return [
        (said, plain(told[key], 120))
        for key, said in (("model", "Model"), ("task", "Task"), ("method", "Method"))
        if told.get(key)
    ]


def _facts(
    data: ReportData,
    name: str,
    design: pd.DataFrame,
    runs: pd.DataFrame,
    summary: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> list[tuple[str, str]]:
    """What was run, as pairs of a name and a value."""
    told = configured(data, name)
    facts = named_facts(told)
    facts.append(("Design", str(summary["kind"]).replace("_", " ")))
    facts += [
        (capitalised(wording(factor)), _levels(design, factor))
        for factor in factor_columns(design.columns)
    ]
    seeds = [str(seed) for seed in summary.get("seeds", [])]
    facts.append(("Seeds" if len(seeds) > 1 else "Seed", listed(seeds)))
    fixed_settings = [
        f"{wording(key)} {short_number(value) if is_number(value) else plain(value)}"
        for key, value in dict(told.get("fixed") or {}).items()
    ]
    if fixed_settings:
        facts.append(("Held fixed", ", ".join(fixed_settings)))
    for column, said in (("n_train", "Training rows"), ("n_eval", "Evaluation rows")):
        if said in dict(facts):
            continue
        sizes = sorted(set(runs[column].dropna())) if column in runs else []
        if sizes:
            ends = dict.fromkeys((sizes[0], sizes[-1]))
            facts.append((said, " to ".join(map(count, ends))))
    predicted = summary["cost"]["core_seconds"]
    facts.append(("Cost predicted", f"{duration(predicted)} on one core"))
    facts.append(("Cost spent", _spent(seconds, runs)))
    return facts


def capitalised(text: str) -> str:
    """A text that begins with a capital, the rest (F1, LoRA) as it is."""
    return text[:1].upper() + text[1:]


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _spent(seconds: Mapping[str, float], runs: pd.DataFrame) -> str:
    if not seconds:
        return "not recorded"
    said = f"{duration(sum(seconds.values()))} in training and evaluation"
    if len(seconds) < len(runs):
        said += f" ({count(len(seconds))} of {plural(len(runs), 'run')} timed)"
    return said


def _levels(design: pd.DataFrame, factor: str) -> str:
    """Settings of a factor: all of them when few, otherwise the range."""
    settings = sorted(set(design[factor].dropna()))
    said = [short_number(v) if is_number(v) else plain(v) for v in settings]
    if len(said) <= MOST_LEVELS:
        return ", ".join(said)
    return f"{said[0]} to {said[-1]}, {count(len(said))} settings"


def _in_words(sentence: str, design: pd.DataFrame) -> str:
    return in_words(sentence, factor_columns(design.columns))


def in_words(sentence: str, factors: Iterable[str]) -> str:
    """A sentence with the names of factors and terms in words, and proper minus signs."""
    import re

    known = "|".join(map(re.escape, sorted(factors, key=len, reverse=True)))
    if known:
        one = rf"(?:{known})(?:\^\d+)?"
        pattern = rf"(?<![\w-]){one}(?::{one})*(?![\w-])"
        sentence = re.sub(pattern, lambda match: wording(match[0]), sentence)
    return re.sub(r"(?<![\w)-])-(?=\d| \d)|(?<=\de)-(?=\d)", "−", sentence)


def _terms(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "term": wording(str(line["term"])),
            "estimable": bool(line["estimable"]),
            "aliased": str(line["aliased_with"]) if isinstance(line["aliased_with"], str) else "",
            "vif": fixed(line["vif"]),
            "effect": significant(line["detectable_effect"], 3),
        }
        for _, line in table[table["kind"] != "intercept"].iterrows()
    ]
    for row, text in zip(rows, aligned(row["effect"] for row in rows), strict=True):
        row["effect"] = text
    return rows


def _lost(runs: pd.DataFrame) -> list[dict[str, str]]:
    """Reasons for which runs are missing from the analysis, with their number."""
    lost = runs[runs["status"] != OK]
    return [
        {"status": str(status), "reason": plain(reason, 200), "runs": plural(len(part), "run")}
        for (status, reason), part in lost.groupby(["status", "reason"], sort=True)
    ]


def _runs(runs: pd.DataFrame, seconds: Mapping[str, float]) -> dict[str, Any]:
    """The table of runs as text."""
    factors = factor_columns(runs.columns)
    metrics = [m for m in METRICS if m in runs]
    rows: list[dict[str, Any]] = [
        {
            "id": str(line["run_id"]),
            "point": count(line["point"]),
            "kind": plain(line["kind"]),
            "settings": [
                short_number(line[f]) if is_number(line[f]) else plain(line[f]) for f in factors
            ],
            "seed": str(line["seed"]),
            "ok": line["status"] == OK,
            "reason": plain(line["reason"], 120),
            "metrics": [fixed(line[m], 4) for m in metrics],
            "errors": [fixed(line.get(f"{m}_se"), 4) for m in metrics],
            "seconds": fixed(seconds.get(str(line["run_id"])), 1),
        }
        for _, line in runs.head(MOST_RUNS).iterrows()
    ]
    return {
        "factors": [wording(f) for f in factors],
        "responses": [wording(m) for m in metrics],
        "runs": rows,
        "shown": count(len(rows)),
        "planned": count(len(runs)),
    }


def _design_alt(name: str, summary: Mapping[str, Any]) -> str:
    return (
        f"Design of {plain(name)}: {plural(summary['runs'], 'run')} at "
        f"{plural(summary['settings'], 'setting')} in the space of the factors, and what they can "
        "tell before any is trained."
    )


def _learning_alt(name: str, runs: pd.DataFrame) -> str:
    done = plural(int((runs["status"] == OK).sum()), "run")
    return (
        f"Learning curves of {plain(name)}: evaluation loss and accuracy by epoch of {done}, and "
        "their mean with standard deviation at each level of a factor."
    )


SECTION = Section("experiments", "Experiments", build)
