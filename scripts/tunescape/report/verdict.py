"""What the numbers of a population, or of an experiment, allow to be concluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunescape.figures.style import wording
from tunescape.report.data import Analysis
from tunescape.report.numbers import count, fixed, listed, p_value, percent, plural, significant
from tunescape.strategy import Thresholds

DOMINANT = 0.5
"""From this share of the rows on, one uploader's habits cannot be told from the hyperparameters."""


@dataclass(frozen=True)
class Verdict:
    """What can and cannot be concluded from one population or experiment.

    Attributes:
        size: rows and clusters in words.
        terms: terms that remain, as text; ``caption`` and ``error`` head their table.
    """

    population: str
    size: str
    headline: str
    can: tuple[str, ...]
    cannot: tuple[str, ...]
    terms: tuple[dict[str, str], ...] = ()
    caption: str = ""
    error: str = ""


def thresholds(spec: Mapping[str, Any]) -> Thresholds:
    """Limits of the grades, as the strategy map was told them."""
    return Thresholds(**spec.get("thresholds", {}))


def verdict_of_models(
    population: str,
    analyses: list[Analysis],
    tested: str,
    grades: Mapping[tuple[str, str], str] | None = None,
) -> Verdict:
    """Judge the absolute regressions of one population (the relative ones are the same models).

    Args:
        tested: number of tests that the correction is over, in words.
        grades: (metric, term) -> grade of the strategy map, where there is one.
    """
    fitted = [a for a in analyses if a.fitted]
    if not fitted:
        return _nothing(population, analyses)
    surviving = [_term(a, row, grades or {}) for a in fitted for row in _survivors(a)]
    robust = [a for a in fitted if a.robust]
    useful = [a for a in fitted if _held_out(a) > 0]
    if not robust:
        headline = "Nothing can be concluded about single hyperparameters."
    elif not surviving:
        headline = "No single coefficient withstands clustering and multiplicity."
    elif useful:
        headline = (
            "Some associations withstand clustering and multiplicity; none is a proven effect."
        )
    else:
        headline = "Associations withstand clustering and multiplicity, but do not carry over."
    return Verdict(
        population,
        _span(fitted),
        headline,
        tuple(_can(fitted, surviving)),
        tuple(_cannot(fitted)),
        tuple(surviving),
        f"Terms with p < 0.05 after Holm’s correction over {tested} tests (absolute view). "
        + (
            "Grades are those of the strategy map."
            if grades
            else "Supported: the surface also predicts uploaders left out better than a mean; "
            "fragile: it does not."
        ),
        "CR3",
    )


def verdict_of_runs(experiment: str, analyses: list[Analysis]) -> Verdict:
    """Judge the regressions of one experiment, whose runs differ in settings and seed alone."""
    fitted = [a for a in analyses if a.fitted]
    if not fitted:
        return _nothing(experiment, analyses)
    tested = [a for a in fitted if a.table["p_holm"].notna().any()]
    surviving = [_term(a, row, {}) for a in fitted for row in _survivors(a)]
    if not tested:
        headline = "The runs leave no error to test an effect with."
    elif not surviving:
        headline = "No effect stands out from the noise between runs."
    else:
        said = "; ".join(_movers(fitted))
        headline = f"{said[:1].upper()}{said[1:]}, beyond noise."
    tests = count(sum(int(a.table["p_holm"].notna().sum()) for a in fitted))
    kinds = dict.fromkeys(_ERRORS[a.error] for a in tested)
    return Verdict(
        experiment,
        _span(fitted),
        headline,
        tuple(_can_of_runs(fitted, surviving)),
        tuple(_cannot_of_runs(fitted)),
        tuple(surviving),
        f"Terms with p < 0.05 after Holm’s correction over {tests} tests of this experiment. "
        "Supported: the surface also predicts configurations left out better than a mean; fragile: "
        "it does not.",
        listed(kinds),
    )


_ERRORS = {"cr3": "CR3", "classical": "classical"}


def _nothing(name: str, analyses: list[Analysis]) -> Verdict:
    reasons = tuple(f"{wording(a.metric)}: {a.summary['reason']}" for a in analyses)
    cannot = reasons or ("no regression was asked for",)
    return Verdict(name, "n = 0", "Nothing can be estimated.", (), cannot)


def _movers(fitted: list[Analysis]) -> list[str]:
    """Which factors change which metrics, metrics with the same factors together."""
    found: dict[tuple[str, ...], list[str]] = {}
    for analysis in fitted:
        terms = [str(row["term"]) for row in _survivors(analysis)]
        parts = {factor.partition("^")[0] for term in terms for factor in term.split(":")}
        named = tuple(name for name in analysis.summary["factors"] if name in parts)
        if named:
            found.setdefault(named, []).append(wording(analysis.metric))
    said = []
    for named, metrics in found.items():
        verb = "change" if len(named) > 1 else "changes"
        said.append(f"{listed(map(wording, named))} {verb} {listed(metrics)}")
    return said


def _can_of_runs(fitted: list[Analysis], surviving: list[dict[str, str]]) -> list[str]:
    said = [_share(a) for a in fitted]
    if surviving:
        said.append(
            f"{plural(len(surviving), 'effect')} with p < 0.05 after Holm's correction over the "
            "experiment: runs differ in settings and seed alone, so what remains is their effect"
        )
    return said


def _cannot_of_runs(fitted: list[Analysis]) -> list[str]:
    said = _deficient(fitted)
    worse = [a for a in fitted if _held_out(a) <= 0]
    if worse:
        each = listed(f"{wording(a.metric)} R² {_held_words(a)}" for a in worse)
        said.append(
            f"for configurations left out, the surface does not predict better than a mean ({each})"
        )
    said += _misfit(fitted)
    for analysis in fitted:
        slopes = analysis.table[analysis.table["kind"] != "intercept"]
        found = slopes["detectable_effect"].dropna()
        if analysis.robust and len(found):
            said.append(
                f"effects on {wording(analysis.metric)} below {significant(found.max(), 2)} over "
                "half a factor's range could have been missed"
            )
    said.append(
        "other models, data sets or ranges: the experiment is one of each, and says nothing beyond"
    )
    return said


def _share(analysis: Analysis) -> str:
    """R², beside what as many terms take up of noise on average, and a mean for each setting."""
    summary = analysis.summary
    terms, rows = len(summary["terms"]) - len(summary["aliased"]) - 1, int(summary["n"])
    share = (
        f"the surface takes up {percent(summary['r2'])} of the variation in "
        f"{wording(analysis.metric)}; of noise, {plural(terms, 'term')} would take up "
        f"{percent(terms / (rows - 1))} on {rows} rows"
    )
    lack = summary["lack_of_fit"]
    if lack["settings"] and not lack["reason"]:
        share += (
            f", and a mean for each of the {count(lack['settings'])} settings takes up "
            f"{percent(lack['noise_ceiling'])}"
        )
    return share


def _can(fitted: list[Analysis], surviving: list[dict[str, str]]) -> list[str]:
    said = [_share(a) for a in fitted]
    if surviving:
        said.append(
            f"{plural(len(surviving), 'term')} with p < 0.05 after Holm's correction over the "
            "whole study, with errors clustered by uploader"
        )
    joint, tests = _joint(fitted)
    if joint:
        each = listed(f"{wording(a.metric)} with {listed(map(wording, f))}" for a, f in joint)
        said.append(
            f"all terms of a hyperparameter together: {each} (errors clustered by uploader, "
            f"p < 0.05 after Holm's correction over {count(tests)} tests of a hyperparameter)"
        )
    return said


def _joint(fitted: list[Analysis]) -> tuple[list[tuple[Analysis, list[str]]], int]:
    """Factors whose terms together are significant (CR3, Holm over all of them), by metric."""
    from tunescape.inference import adjust_p

    tests = [
        (analysis, str(test["name"]).removeprefix("factor:"), float(test["p"]))
        for analysis in fitted
        if analysis.robust
        for test in analysis.summary["joint_tests"].get("cr3", [])
        if str(test["name"]).startswith("factor:") and test["p"] is not None
    ]
    if not tests:
        return [], 0
    holm = adjust_p([p for _, _, p in tests], "holm")
    found: dict[str, tuple[Analysis, list[str]]] = {}
    for (analysis, factor, _), p in zip(tests, holm, strict=True):
        if p < 0.05:
            found.setdefault(analysis.metric, (analysis, []))[1].append(factor)
    return list(found.values()), len(tests)


def _deficient(fitted: list[Analysis]) -> list[str]:
    deficient = [a for a in fitted if a.summary["aliased"]]
    each = listed(
        f"{len(a.summary['aliased'])} of {len(a.summary['terms']) - 1} for {wording(a.metric)}"
        for a in deficient
    )
    said = f"rank-deficient: terms that the settings do not separate ({each})"
    return [said] if deficient else []


def _misfit(fitted: list[Analysis]) -> list[str]:
    misfit = [a for a in fitted if _small(a.summary["lack_of_fit"].get("p"))]
    each = listed(wording(a.metric) for a in misfit)
    said = f"a second-order surface does not fit {each} (lack of fit, p < 0.05)"
    return [said] if misfit else []


def _cannot(fitted: list[Analysis]) -> list[str]:
    said = _deficient(fitted)
    shares = [float(a.summary["dominant_owner"]["share"]) for a in fitted]
    if max(shares) >= DOMINANT:
        low, high = percent(min(shares)), percent(max(shares))
        said.append(
            f"one uploader published {low if low == high else f'{low} to {high}'} of the models: "
            "that uploader's habits cannot be told from the hyperparameters"
        )
    lacking = [wording(a.metric) for a in fitted if not a.robust]
    if lacking:
        said.append(
            f"no cluster-robust error exists for {listed(lacking)}: classical p-values treat "
            "models of one uploader as independent and are not evidence"
        )
    worse = [a for a in fitted if a.robust and _held_out(a) <= 0]
    if worse:
        each = listed(f"{wording(a.metric)} R² {significant(_held_out(a), 2)}" for a in worse)
        said.append(
            f"for uploaders left out, the surface predicts worse than a plain mean ({each})"
        )
    said += _misfit(fitted)
    said.append(
        "causes: who chooses a setting also chooses data, task and when to publish; only runs that "
        "vary the settings alone can tell"
    )
    return said


def _survivors(analysis: Analysis) -> list[Any]:
    table = analysis.table
    kept = table[(table["kind"] != "intercept") & (table["p_holm"] < 0.05)]
    return [row for _, row in kept.iterrows()]


def _term(analysis: Analysis, row: Any, grades: Mapping[tuple[str, str], str]) -> dict[str, str]:
    held = _held_out(analysis)
    own = "supported" if held > 0 else "fragile"
    return {
        "metric": wording(analysis.metric),
        "term": wording(str(row["term"])),
        "estimate": significant(row["estimate"], 3),
        "p": p_value(row[f"p_{analysis.error}"]),
        "holm": p_value(row["p_holm"]),
        "held_out": _held_words(analysis),
        "grade": grades.get((analysis.metric, str(row["term"])), own),
    }


def _held_out(analysis: Analysis) -> float:
    value = analysis.summary["held_out"]["owner"]["r2"]
    return float("-inf") if value is None else float(value)


def _held_words(analysis: Analysis) -> str:
    return fixed(analysis.summary["held_out"]["owner"]["r2"])


def _small(p: object) -> bool:
    return isinstance(p, float) and p < 0.05


def _span(fitted: list[Analysis]) -> str:
    rows = [int(a.summary["n"]) for a in fitted]
    low, high = count(min(rows)), count(max(rows))
    owners = max(int(a.summary["owners"]) for a in fitted)
    span = low if low == high else f"{low} to {high}"
    nouns = fitted[0].nouns
    return f"{span} {nouns.row}s, {plural(owners, nouns.cluster)}"
