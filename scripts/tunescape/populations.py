"""Populations of published models: who belongs, who is left out and why, and what is covered."""

from __future__ import annotations

import difflib
import fnmatch
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError
from tunescape.hub import name_of
from tunescape.identity import TEXT_CLASSIFICATION, canonical_model
from tunescape.schemas import (
    COVERAGE_COLUMNS,
    FEATURE_COLUMNS,
    FLOW_COLUMNS,
    HYPERPARAMETERS,
    METRICS,
    NINE_HYPERPARAMETERS,
    SEPARATOR,
)
from tunescape.tables import read_json, read_row_groups, read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

PAPER_FACTORS: tuple[str, ...] = ("learning_rate", "train_batch_size", "num_epochs")
PAPER_METRICS: tuple[str, ...] = ("accuracy", "f1", "loss")

SOURCE = "(source)"
"""Name in the sample flow of what happens before there are populations."""

CHOICE_COLUMNS: dict[str, str] = {
    "population": "str",
    "metric": "str",
    "hyperparameter": "str",
    "rows": "int64",
    "settings": "int64",
    "chosen": "bool",
    "reason": "str",
}

NONE_DESCENDS = "no model descends from "
"""Beginning of the reason of a flow's rows that name base models without any child."""

MATCHED_COLUMNS = ("id", "base_model", "base_chain", "model_type")
"""What says from which base models a model descends."""

_WILD = re.compile(r"[*?\[]")


def matches_base(features: pd.DataFrame, patterns: Sequence[str]) -> pd.Series:
    """Which models descend from the base models that patterns name.

    A plain name means the direct children of that model; its owner may be left out where the Hub's
    early models had none. A name with ``*`` means the whole family: any ancestor counts, under any
    owner, as does the architecture in the model's config (``distilbert*``: model type
    ``distilbert``) and, where nothing else is known, the model's own name.

    Args:
        features: rows with ``id``, ``base_model``, ``base_chain``, ``model_type``.
        patterns: shell patterns; case does not count.

    Returns:
        Booleans with the index of ``features``.
    """
    import pandas as pd

    exact = {(canonical_model(p) or p).lower() for p in patterns if not _WILD.search(p)}
    wild = [p.lower() for p in patterns if _WILD.search(p)]
    globs = [re.compile(fnmatch.translate(p)) for p in wild]
    families = {p.rstrip("*") for p in wild if re.fullmatch(r"[a-z0-9_-]+\*", p)}

    @cache
    def any_glob(name: str) -> bool:
        return any(glob.match(name) or glob.match(name_of(name)) for glob in globs)

    chosen = []
    cells = [_texts(features[name]) for name in MATCHED_COLUMNS]
    for own, base, chain, kind in zip(*cells, strict=True):
        chosen.append(
            base in exact
            or (chain != "" and any(map(any_glob, chain.split(SEPARATOR))))
            or kind in families
            or (chain == "" and kind == "" and any_glob(own))
        )
    return pd.Series(chosen, index=features.index, dtype=bool)


def _texts(column: pd.Series) -> list[str]:
    # Iterating over an Arrow-backed column is many times slower than over a list.
    values: list[str] = column.fillna("").str.lower().tolist()
    return values


def select_population(
    features: pd.DataFrame,
    population: Mapping[str, Any],
    *,
    factors: Sequence[str] = PAPER_FACTORS,
    metrics: Sequence[str] = PAPER_METRICS,
    provenance: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take a population's models out of the features table, and account for all others.

    In this order: base model, card, task, duplicates, then each factor. Numbers that cannot be, or
    whose extraction is less sure than ``min_confidence``, are made missing first.

    Args:
        features: rows of ``schemas.FEATURE_COLUMNS``.
        population: ``name``; ``base_model`` (patterns, :func:`matches_base`); ``task`` (default
            text-classification); ``duplicates`` (``drop``, default, or ``keep``);
            ``min_confidence`` (default 0).
        factors: hyperparameters that must be there; ``warmup`` means steps or ratio.
        metrics: for each, one further step of the flow that starts from the same rows.
        provenance: rows of ``schemas.PROVENANCE_COLUMNS``; needed for ``min_confidence``.

    Returns:
        The rows that have all factors (metrics may be missing), and the flow
        (``schemas.FLOW_COLUMNS``).

    Raises:
        UserError: for a spec that lacks a key or names an unknown column.
    """
    _check_spec(population, [*factors, *metrics])
    flow = _Flow(str(population["name"]))
    frame, blanked = _sample([features], population, provenance, flow)
    return _stated(frame, factors, metrics, blanked, flow), flow.table()


def write_sample(
    features_path: str | Path,
    provenance_path: str | Path,
    out_sample: str | Path,
    out_flow: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Write a population's models and the account of all others.

    The sample keeps models that state only some of the factors (coverage and scatter plots show
    them); the flow goes on to those that state all.

    Args:
        features_path, provenance_path: tables of ``features.build_features``.
        out_sample: the population's models (``schemas.FEATURE_COLUMNS``), unusable numbers blank.
        out_flow: CSV of ``schemas.FLOW_COLUMNS``.
        spec: as :func:`select_population` takes it, with ``factors`` and ``metrics``.

    Raises:
        UserError: when no model descends from any of the base models; one of several without a
            child is a row of the flow and a warning in the log.
    """
    _check_spec(spec, [*spec["factors"], *spec["metrics"]])
    flow = _Flow(str(spec["name"]))
    _note_childless(features_path, spec, flow)
    least = float(spec.get("min_confidence", 0.0))
    unsure = read_unsure(provenance_path, least) if least > 0 else None
    sample, blanked = _sample(read_row_groups(features_path), spec, unsure, flow)
    _stated(sample, spec["factors"], spec["metrics"], blanked, flow)
    write_table(sample, out_sample, FEATURE_COLUMNS, sort_by=["id"])
    write_table(flow.table(), out_flow, FLOW_COLUMNS)


def read_candidates(features_path: str | Path, population: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of which a population's samples are made: its base model, a card, its task.

    Args:
        features_path: table of ``features.build_features``; read in parts, for it may be large.
        population: as :func:`select_population` takes it.
    """
    chunks = read_row_groups(features_path)
    return _candidates(chunks, population, _Flow(str(population["name"])))


def read_unsure(provenance_path: str | Path, least: float) -> pd.DataFrame:
    """The provenance of hyperparameters and metrics that are less sure than ``least``."""
    import pandas as pd

    columns = ["id", "field", "value", "confidence"]
    found = (
        part[part["field"].isin(_VALUES) & (part["confidence"] < least)]
        for part in read_row_groups(provenance_path, columns)
    )
    return pd.concat(found, ignore_index=True)


def _candidates(
    chunks: Iterable[pd.DataFrame], population: Mapping[str, Any], flow: _Flow
) -> pd.DataFrame:
    """The rows that belong by what they say of themselves."""
    import pandas as pd

    steps: dict[str, Callable[[pd.DataFrame, Mapping[str, Any]], pd.Series]] = {
        "base model": _base_reason,
        "card": _card_reason,
        "task": _task_reason,
    }
    counts: dict[str, Counter[str]] = {step: Counter() for step in steps}
    kept = []
    for frame in chunks:
        for step, reason_of in steps.items():
            reason = reason_of(frame, population)
            counts[step].update(reason)
            frame = frame[reason == ""]
        kept.append(frame)
    for step, count in counts.items():
        flow.note(step, count)
    return pd.concat(kept, ignore_index=True)


def _sample(
    chunks: Iterable[pd.DataFrame],
    population: Mapping[str, Any],
    provenance: pd.DataFrame | None,
    flow: _Flow,
) -> tuple[pd.DataFrame, Blanked]:
    """A population's rows without values that cannot be used, and why each of these is gone."""
    frame = _candidates(chunks, population, flow)
    frame, blanked = _blank_unusable(frame, population, provenance)
    if population.get("duplicates", "drop") == "drop":
        frame = flow.apply("duplicates", frame, _repeat_reason(frame))
    return frame, blanked


def _stated(
    frame: pd.DataFrame,
    factors: Sequence[str],
    metrics: Sequence[str],
    blanked: Blanked,
    flow: _Flow,
) -> pd.DataFrame:
    """The rows that state all factors."""
    for factor in factors:
        frame = flow.apply(factor, frame, _missing_reason(frame, factor, blanked))
    for metric in metrics:
        flow.branch(f"metric {metric}", _missing_reason(frame, metric, blanked))
    return frame


def _note_childless(features_path: str | Path, population: Mapping[str, Any], flow: _Flow) -> None:
    """Note base models from which no model descends; where that is all of them, refuse."""
    named = list(dict.fromkeys(population["base_model"]))
    left, known, rows = set(named), set[str](), 0
    for chunk in read_row_groups(features_path, MATCHED_COLUMNS):
        left -= {base for base in left if matches_base(chunk, [base]).any()}
        known.update(chunk["base_model"].dropna())
        rows += len(chunk)
    if len(left) == len(named):
        near = difflib.get_close_matches(named[0], sorted({*known, *map(name_of, known)}), n=1)
        raise UserError(
            f"{NONE_DESCENDS}{' or '.join(named)}",
            where=f"populations.{population['name']}.base_model",
            expected=f"a base model of the {rows} models that were read",
            fix=f"did you mean '{near[0]}'?" if near else "see base_model in features.parquet",
        )
    for base in filter(left.__contains__, named):
        logger.warning("%s: %s%s", population["name"], NONE_DESCENDS, base)
        flow.rows.append((flow.population, "base model", f"{NONE_DESCENDS}{base}", rows, rows, 0))


def account_models(
    source_report: str | Path | None,
    flow_paths: Sequence[str | Path],
    out_flow: str | Path,
    harvest_flows: Sequence[str | Path] = (),
) -> None:
    """Write one sample flow: from the source's records to models, then population by population.

    Args:
        source_report: JSON of ``sources.split_source``; None in a study that reads no source.
        flow_paths: flows of :func:`write_sample`.
        out_flow: CSV of ``schemas.FLOW_COLUMNS``.
        harvest_flows: flows of what came before the source: discovery and harvest.
    """
    import pandas as pd

    flows = [pd.DataFrame(columns=list(FLOW_COLUMNS)), *map(read_table, harvest_flows)]
    if source_report is not None:
        flows.append(source_flow(read_json(source_report)))
    flows += map(read_table, flow_paths)
    joined = pd.concat([flow for flow in flows if len(flow)] or flows[:1], ignore_index=True)
    write_table(joined, out_flow, FLOW_COLUMNS)


def measure_coverage(
    sample_path: str | Path,
    out_coverage: str | Path,
    out_choice: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Write the coverage of a population, and what the rule chooses from it.

    Args:
        sample_path: table of :func:`write_sample`.
        out_coverage: CSV of ``schemas.COVERAGE_COLUMNS``.
        out_choice: CSV of :data:`CHOICE_COLUMNS`.
        spec: ``name``, and the rule of :func:`choose_variables`: ``factors``, ``metrics``,
            ``min_rows``, ``min_settings``.
    """
    table = coverage(read_table(sample_path), spec["name"])
    rule = {key: spec[key] for key in ("factors", "metrics", "min_rows", "min_settings")}
    write_table(table, out_coverage, COVERAGE_COLUMNS)
    write_table(choose_variables(table, **rule), out_choice, CHOICE_COLUMNS)


def coverage(sample: pd.DataFrame, name: str) -> pd.DataFrame:
    """Count the models that state a hyperparameter and a metric together.

    Args:
        sample: a population's models.
        name: the population's name.

    Returns:
        Nine by nine rows (``schemas.COVERAGE_COLUMNS``): models, distinct values of the
        hyperparameter, owners, and data sets among them.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for hyperparameter in NINE_HYPERPARAMETERS:
        setting = _setting(sample, hyperparameter)
        for metric in METRICS:
            both = sample[setting.notna() & sample[metric].notna()]
            rows.append(
                (
                    name,
                    hyperparameter,
                    metric,
                    len(both),
                    setting[both.index].nunique(),
                    both["owner"].nunique(),
                    both["dataset"].nunique(),
                )
            )
    return pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))


def choose_variables(
    covered: pd.DataFrame,
    *,
    factors: Sequence[str] | None = PAPER_FACTORS,
    metrics: Sequence[str] | None = PAPER_METRICS,
    min_rows: int = 30,
    min_settings: int = 3,
) -> pd.DataFrame:
    """Choose what is analysed by coverage alone, before any result is seen.

    A hyperparameter is analysed for a metric when at least ``min_rows`` models state both and it
    takes at least ``min_settings`` distinct values among them.

    Args:
        covered: the table of :func:`coverage`.
        factors: candidates; ``None`` for all nine hyperparameters.
        metrics: candidates; ``None`` for all nine metrics.

    Returns:
        One row a population, metric and candidate (:data:`CHOICE_COLUMNS`), with the reason where
        it is not chosen.
    """
    factors = NINE_HYPERPARAMETERS if factors is None else factors
    metrics = METRICS if metrics is None else metrics
    table = covered[
        covered["hyperparameter"].isin(list(factors)) & covered["metric"].isin(list(metrics))
    ].copy()
    few_rows = table["rows"] < min_rows
    few_settings = table["settings"] < min_settings
    table["chosen"] = ~(few_rows | few_settings)
    table["reason"] = ""
    table.loc[few_settings, "reason"] = f"fewer than {min_settings} distinct values"
    table.loc[few_rows, "reason"] = f"fewer than {min_rows} models"
    return table[list(CHOICE_COLUMNS)].reset_index(drop=True)


def source_flow(report: Mapping[str, Any]) -> pd.DataFrame:
    """The flow from the records of a dump to models (``sources.SourceReport.as_dict``)."""
    import pandas as pd

    before = int(report["records"])
    rows = []
    reasons = {**report["bad"], "an id that comes again": report["duplicates"]}
    for reason, removed in reasons.items():
        if removed:
            rows.append((SOURCE, "read", reason, before, before - removed, removed))
            before -= removed
    rows.append((SOURCE, "read", "models", before, before, 0))
    return pd.DataFrame(rows, columns=list(FLOW_COLUMNS))


# --- reasons ------------------------------------------------------------------------------------

_VALUES = [
    name for name in FEATURE_COLUMNS if name in HYPERPARAMETERS or name in METRICS
]  # fmt: skip
_IMPOSSIBLE = "impossible_value:"

Blanked = Mapping[tuple[str, str], str]
"""(id, column) -> why a stated value is not used."""


def _blank_unusable(
    features: pd.DataFrame, population: Mapping[str, Any], provenance: pd.DataFrame | None
) -> tuple[pd.DataFrame, Blanked]:
    """A copy of the features without values that cannot be used, and why each is gone."""
    blanked: dict[tuple[str, str], str] = {}
    flagged = features[features["flags"].str.contains(_IMPOSSIBLE, regex=False, na=False)]
    for own, text in zip(flagged["id"], flagged["flags"], strict=True):
        for flag in text.split(SEPARATOR):
            if flag.startswith(_IMPOSSIBLE):
                blanked[own, flag.removeprefix(_IMPOSSIBLE)] = "impossible value"
    least = float(population.get("min_confidence", 0.0))
    if least > 0 and provenance is not None:
        unsure = provenance[(provenance["confidence"] < least) & provenance["value"].notna()]
        unsure = unsure[unsure["id"].isin(features["id"])]
        for own, name in zip(unsure["id"], unsure["field"], strict=True):
            blanked.setdefault((own, name), "extraction not sure enough")
    by_column: dict[str, list[str]] = {}
    for own, name in blanked:
        if name in _VALUES:
            by_column.setdefault(name, []).append(own)
    blanks = {
        name: features[name].mask(features["id"].isin(ids)) for name, ids in by_column.items()
    }
    return features.assign(**blanks), blanked


def _base_reason(frame: pd.DataFrame, population: Mapping[str, Any]) -> pd.Series:
    unknown = frame["base_model"].isna() & frame["model_type"].isna()
    reason = _reasons(frame, "other base model").mask(unknown, "base model unknown")
    return reason.mask(matches_base(frame, population["base_model"]), "")


def _card_reason(frame: pd.DataFrame, _: Mapping[str, Any]) -> pd.Series:
    return frame["exclude_reason"].fillna("").str.replace("_", " ")


def _task_reason(frame: pd.DataFrame, population: Mapping[str, Any]) -> pd.Series:
    task = frame["task"].fillna("unknown")
    wanted = population.get("task", TEXT_CLASSIFICATION)
    return task.mask(task == wanted, "")


def _repeat_reason(frame: pd.DataFrame) -> pd.Series:
    """Marks all but one of the models with the same numbers: the first of those still here."""
    import pandas as pd

    order = pd.DataFrame(
        {
            "group": frame["duplicate_of"].fillna(frame["id"]),
            "repeats": frame["duplicate_of"].notna(),
            "model": frame["id"],
        }
    ).sort_values(["group", "repeats", "model"], kind="stable")
    again = order["group"].duplicated().reindex(frame.index)
    return _reasons(frame, "").mask(again, "repeats another model's numbers")


def _missing_reason(frame: pd.DataFrame, name: str, blanked: Blanked) -> pd.Series:
    import pandas as pd

    parts = ("warmup_steps", "warmup_ratio") if name == "warmup" else (name,)
    present = _setting(frame, name).notna()
    ambiguous = "|".join(rf"\bambiguous_{part}\b" for part in parts)
    reason = _reasons(frame, "not stated")
    reason = reason.mask(frame["flags"].fillna("").str.contains(ambiguous), "ambiguous")
    gone = [
        next((blanked[own, part] for part in parts if (own, part) in blanked), "")
        for own in frame["id"].tolist()
    ]
    why = pd.Series(gone, index=frame.index, dtype="str")
    return reason.mask(why != "", why).mask(present, "")


def _reasons(frame: pd.DataFrame, reason: str) -> pd.Series:
    import pandas as pd

    return pd.Series(reason, index=frame.index, dtype="str")


def _setting(frame: pd.DataFrame, hyperparameter: str) -> pd.Series:
    """The values of a hyperparameter; those of warm-up say their unit."""
    if hyperparameter != "warmup":
        return frame[hyperparameter]
    steps = frame["warmup_steps"].map("{} steps".format, na_action="ignore").astype("object")
    ratio = frame["warmup_ratio"].map("{} of all".format, na_action="ignore").astype("object")
    return steps.where(steps.notna(), ratio)


class _Flow:
    """Collects the rows of a flow while a frame shrinks."""

    def __init__(self, population: str) -> None:
        self.population = population
        self.rows: list[tuple[str, str, str, int, int, int]] = []

    def apply(self, step: str, frame: pd.DataFrame, reason: pd.Series) -> pd.DataFrame:
        """Drop the rows that have a reason (not empty) and note each reason, commonest first."""
        self.branch(step, reason)
        return frame[reason == ""]

    def branch(self, step: str, reason: pd.Series) -> None:
        """Note the reasons without going on from what is left."""
        self.note(step, Counter(reason))

    def note(self, step: str, counts: Mapping[str, int]) -> None:
        """Note how many rows have each reason; those with none have an empty one."""
        before = sum(counts.values())
        reasons = ((why, removed) for why, removed in counts.items() if why)
        for why, removed in sorted(reasons, key=lambda item: (-item[1], item[0])):
            self._note(step, why, before, removed)
            before -= removed
        self._note(step, "remain", before, 0)

    def _note(self, step: str, reason: str, before: int, removed: int) -> None:
        self.rows.append((self.population, step, reason, before, before - removed, removed))

    def table(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(FLOW_COLUMNS))


def _check_spec(population: Mapping[str, Any], names: Sequence[str]) -> None:
    for key in ("name", "base_model"):
        if not population.get(key):
            raise UserError("a population needs a name and base_model", expected=f"'{key}'")
    unknown = [name for name in names if name not in FEATURE_COLUMNS and name != "warmup"]
    if unknown:
        raise UserError(f"no column {', '.join(unknown)}", where=f"population {population['name']}")
    if population.get("duplicates", "drop") not in ("drop", "keep"):
        raise UserError(
            f"duplicates is '{population['duplicates']}'",
            where=f"population {population['name']}",
            expected="drop or keep",
        )
