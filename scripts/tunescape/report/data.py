"""What a report is made from: the tables of a run, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, str]
"""(population, view, metric)"""

Inputs = Mapping[str, str | Path | Sequence[str | Path]]


@dataclass(frozen=True)
class Nouns:
    """What a row of a sample is called, and what a cluster of rows."""

    row: str
    cluster: str


MODELS = Nouns("model", "uploader")
RUNS = Nouns("run", "configuration")


@dataclass(frozen=True)
class Analysis:
    """One regression: its summary and its coefficients.

    ``p_holm`` of the table is adjusted over the whole study, and for the runs of an experiment
    over the experiment. ``nouns`` say which of the two a row is.
    """

    population: str
    view: str
    metric: str
    summary: dict[str, Any]
    table: pd.DataFrame
    nouns: Nouns = MODELS

    @property
    def fitted(self) -> bool:
        """Whether there is a fit at all."""
        return bool(self.summary["status"] != "not_fitted")

    @property
    def robust(self) -> bool:
        """Whether cluster-robust errors exist for every term."""
        return self.fitted and bool(self.summary["covariance"]["cr3"]["exists"])

    @property
    def error(self) -> str:
        """Errors that conclusions rest on.

        Runs of a designed experiment are independent, so that classical errors serve where leaving
        out a configuration loses a term (the centre of a Box-Behnken design).
        """
        return "classical" if self.nouns is RUNS and not self.robust else "cr3"


@dataclass(frozen=True)
class ReportData:
    """All that sections may use. Tables that a run does not have are empty or None.

    Attributes:
        populations: names of sets of published models, in the order of the configuration.
        experiments: names of designed experiments, whose runs are analysed as a population.
        figures: (population, view, metric) or (population,) and kind -> SVG file; a contrast is
            (population, experiment, metric) and ``contrast``, a specification curve (population,
            metric) and ``specifications``.
        published: population -> published and own coefficients side by side.
        strategies: population -> statements of the strategy map.
        specifications: (population, metric) -> counts over the specification curve.
        checks: (population, view, metric) -> checks of the fit by name: ``value``, ``where``.
        inputs: every path given, for sections that read their own tables.
    """

    spec: Mapping[str, Any]
    inputs: Inputs
    populations: tuple[str, ...]
    experiments: tuple[str, ...]
    analyses: tuple[Analysis, ...]
    flow: pd.DataFrame
    coverage: pd.DataFrame
    chosen: pd.DataFrame | None
    published: dict[str, pd.DataFrame]
    paper_figures: pd.DataFrame | None
    figures: dict[tuple[tuple[str, ...], str], Path]
    strategies: dict[str, pd.DataFrame]
    specifications: dict[tuple[str, str], pd.DataFrame]
    checks: dict[tuple[str, ...], pd.DataFrame]
    citation: Mapping[str, Any]

    def of(self, population: str, view: str = "absolute") -> list[Analysis]:
        """A population's regressions in one view."""
        return [a for a in self.analyses if a.population == population and a.view == view]

    def names(self, population: str) -> list[str]:
        """Columns that sentences about a population may name: hyperparameters and metrics."""
        mine = [a for a in self.analyses if a.population == population]
        factors = [name for a in mine for name in a.summary["factors"]]
        return list(dict.fromkeys([*factors, *(a.metric for a in mine)]))


def read_inputs(inputs: Inputs, spec: Mapping[str, Any]) -> ReportData:
    """Read the tables of a run; see :func:`tunescape.report.build.write_report`."""
    import pandas as pd

    coefficients = by_place(inputs.get("coefficients", ()))
    named = spec.get("experiments") or [p.parent.name for p in paths(inputs.get("designs", ()))]
    experiments = tuple(dict.fromkeys(named))
    analyses = [
        Analysis(
            *key,
            read_json(path),
            read_table(coefficients[key]),
            RUNS if key[0] in experiments else MODELS,
        )
        for key, path in by_place(inputs.get("fits", ())).items()
        if _there(key, coefficients, path)
    ]
    analyses = _with_adjusted_p(analyses, read_table(_one(inputs, "family")))
    stated = list(spec.get("populations", ())) or [a.population for a in analyses]
    populations = tuple(n for n in dict.fromkeys(stated) if n not in experiments)
    order = {name: i for i, name in enumerate((*populations, *experiments))}
    analyses.sort(key=lambda a: (order.get(a.population, len(order)), a.view))
    return ReportData(
        spec=spec,
        inputs=inputs,
        populations=populations,
        experiments=experiments,
        analyses=tuple(analyses),
        flow=read_table(_one(inputs, "sample_flow")),
        coverage=_joined(inputs, "coverage") if populations else pd.DataFrame(),
        chosen=_joined(inputs, "chosen") if populations and "chosen" in inputs else None,
        published={
            path.parent.name: read_table(path) for path in paths(inputs.get("published", ()))
        },
        paper_figures=(
            read_table(_one(inputs, "paper_figures")) if "paper_figures" in inputs else None
        ),
        figures=_figures(paths(inputs.get("figures", ()))),
        strategies={
            name: read_table(path) for name, path in by_folder(inputs.get("strategies", ())).items()
        },
        specifications={
            (place[0], place[2]): read_table(path)
            for place, path in by_place(inputs.get("specification_curves", ())).items()
        },
        checks={
            place: read_table(files["checks"]).set_index("check")
            for place, files in by_parent(inputs.get("surfaces", ()), 3).items()
            if "checks" in files
        },
        citation=_citation(inputs),
    )


def paths(value: str | Path | Sequence[str | Path]) -> list[Path]:
    """One path or several as a list."""
    return [Path(value)] if isinstance(value, (str, Path)) else [Path(item) for item in value]


def by_folder(value: str | Path | Sequence[str | Path]) -> dict[str, Path]:
    """Files by the folder they lie in: ``.../{experiment}/file``."""
    return {path.parent.name: path for path in paths(value)}


def _one(inputs: Inputs, name: str) -> Path:
    found = paths(inputs.get(name, ()))
    if len(found) != 1:
        raise UserError(f"the report needs one {name}, not {len(found)}", where="report")
    return found[0]


def _joined(inputs: Inputs, name: str) -> pd.DataFrame:
    """One table from one file or from one a population."""
    import pandas as pd

    found = paths(inputs.get(name, ()))
    if not found:
        raise UserError(f"the report needs {name}", where="report")
    return pd.concat([read_table(path) for path in found], ignore_index=True)


def by_place(value: str | Path | Sequence[str | Path]) -> dict[Key, Path]:
    """Files by the three folders they lie in: ``.../{population}/{view}/{metric}/file``."""
    return {
        (path.parts[-4], path.parts[-3], path.parts[-2]): path
        for path in paths(value)
        if len(path.parts) >= 4
    }


def by_parent(
    value: str | Path | Sequence[str | Path], levels: int
) -> dict[tuple[str, ...], dict[str, Path]]:
    """Files by place and stem, the place being ``levels`` names above the folder they lie in."""
    found: dict[tuple[str, ...], dict[str, Path]] = {}
    for path in paths(value):
        found.setdefault(path.parts[-2 - levels : -2], {})[path.stem] = path
    return found


def _there(key: Key, coefficients: Mapping[Key, Path], fit: Path) -> bool:
    if key not in coefficients:
        raise UserError("no coefficient table beside this fit", where=str(fit))
    return True


def _figures(files: Sequence[Path]) -> dict[tuple[tuple[str, ...], str], Path]:
    """SVG files by place and kind, see :class:`ReportData`."""
    found: dict[tuple[tuple[str, ...], str], Path] = {}
    for path in files:
        if path.suffix != ".svg":
            continue
        parts = path.parts
        if len(parts) >= 4 and parts[-3] in ("absolute", "relative"):
            found[(parts[-4], parts[-3], parts[-2]), path.stem] = path
        elif len(parts) >= 4 and parts[-4] == "contrast":
            found[(parts[-3], parts[-2], path.stem), "contrast"] = path
        elif parts[-2] == "specifications":
            found[(parts[-3], path.stem), "specifications"] = path
        else:
            found[(parts[-2],), path.stem] = path
    return found


def _with_adjusted_p(analyses: Iterable[Analysis], family: pd.DataFrame) -> list[Analysis]:
    """Set Holm's adjustment beside each term, over the study's tables or the experiment's."""
    import numpy as np

    from tunescape.inference import adjust_p

    analyses = list(analyses)
    places = ["population", "view", "metric", "term"]
    holm = {tuple(line[:4]): line[4] for line in family[[*places, "holm"]].itertuples(index=False)}
    for name in {a.population for a in analyses if a.nouns is RUNS}:
        own = [
            ((a.population, a.view, a.metric, row["term"]), float(row[f"p_{a.error}"]))
            for a in analyses
            if a.population == name
            for _, row in a.table.iterrows()
            if row["kind"] != "intercept"
        ]
        adjusted = adjust_p(np.array([p for _, p in own], dtype=float), "holm")
        holm |= {key: float(p) for (key, _), p in zip(own, adjusted, strict=True)}
    return [
        replace(
            a,
            table=a.table.assign(
                p_holm=[
                    float(holm.get((a.population, a.view, a.metric, term), "nan"))
                    for term in a.table["term"]
                ]
            ),
        )
        for a in analyses
    ]


def _citation(inputs: Inputs) -> Mapping[str, Any]:
    if "citation" not in inputs:
        return {}
    import yaml

    loaded = yaml.safe_load(_one(inputs, "citation").read_text(encoding="utf-8"))
    return loaded if isinstance(loaded, dict) else {}
