"""A study: the checked configuration, and what it tells each rule.

Every rule has one parameter, its *spec*: a plain dict that holds all its script is told and a
digest of the script's code. Specs depend on the configuration and the wildcards alone.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

from tunescape.config import Config, experiment_spec, load_config, merge, read_config, with_numbers
from tunescape.digests import code_digest
from tunescape.factors import read_factors
from tunescape.hub import bucket_names, name_of

CONFIG_FILE = "config.yaml"
HARVEST = "results/hub/harvest.jsonl.gz"

Spec = dict[str, Any]


def load_study(
    root: Path, files: Sequence[str | Path] = (), overrides: Mapping[str, Any] | None = None
) -> Study:
    """Read and check the configuration.

    Args:
        root: the project's folder; its config.yaml is read unless ``files`` are named.
        files: configuration files named on the command line; they replace config.yaml, and what
            they leave out has its default.
        overrides: what Snakemake holds as ``config``: the content of ``files`` and single values
            given by ``--config``.

    Raises:
        UserError: with every problem of the configuration, one line each.
    """
    data: dict[str, Any] = {}
    for file in files or [root / CONFIG_FILE]:
        data = merge(data, read_config(file))
    source = ", ".join(map(str, files)) or CONFIG_FILE
    return Study(root, load_config(merge(data, with_numbers(overrides or {})), source))


class Study:
    """The configuration of a run, as the rules see it.

    Args:
        root: the project's folder (code digests are of its scripts).
        config: the checked configuration.
    """

    def __init__(self, root: Path, config: Config) -> None:
        self.root = root
        self.config = config
        self._codes: dict[str, str] = {}

    def spec(self, rule: str, **wildcards: str) -> Spec:
        """What ``rule`` is told for these wildcards, with the digest of its code."""
        if rule not in self._codes:
            self._codes[rule] = code_digest(self.root / "scripts" / f"{rule}.py")
        told = getattr(self, f"_{rule}", None)
        return {"code": self._codes[rule], **(told(**wildcards) if told else {})}

    @cached_property
    def buckets(self) -> list[str]:
        """Names of the parts that the models are split into."""
        return bucket_names(self.config.hub.buckets)

    @property
    def populations(self) -> list[str]:
        """Names of the sets of models that are analysed."""
        return list(self.config.populations)

    @property
    def experiments(self) -> list[str]:
        """Names of the designed experiments."""
        return list(self.config.experiments)

    @property
    def packs(self) -> list[str]:
        """Names of the packs that an experiment's runs are shared out to."""
        return [str(pack) for pack in range(self.config.training.packs)]

    @cached_property
    def fits(self) -> dict[str, list[str]]:
        """Every regression of the study: population, view and metric as columns.

        Experiments have no relative view: it differs from the absolute one in its origin alone,
        and their baseline would be a run of their own.
        """
        regression = self.config.regression
        rows: list[tuple[str, ...]] = [
            *product(self.populations, regression.views, regression.metrics)
        ]
        rows += [(name, "absolute", metric) for name, metric in self._experiment_metrics]
        return _columns(("population", "view", "metric"), rows)

    @cached_property
    def contrasts(self) -> dict[str, list[str]]:
        """Every contrast of a population with an experiment, as columns."""
        rows = [
            (contrast.population, contrast.experiment, metric)
            for contrast in self.config.contrasts
            for metric in self.config.regression.metrics
        ]
        return _columns(("population", "experiment", "metric"), rows)

    @property
    def _experiment_metrics(self) -> Iterator[tuple[str, str]]:
        return product(self.experiments, self.config.regression.metrics)

    def pattern(self, *keys: str) -> str:
        """A regular expression of the names below configuration keys, for wildcards."""
        names = [name for key in keys for name in getattr(self.config, key)]
        return "|".join(map(re.escape, names)) or "(?!)"

    def run_ids(self, design: str | Path) -> list[str]:
        """Run ids of a design table."""
        return _run_ids(str(design), Path(design).stat().st_mtime_ns)

    def task_files(self, experiment: str) -> list[str]:
        """Local data files that an experiment reads."""
        files = self.config.tasks[self.config.experiments[experiment].task].files or {}
        listed = [[names] if isinstance(names, str) else names for names in files.values()]
        return [name for names in listed for name in names]

    def _design_experiment(self, experiment: str) -> Spec:
        return experiment_spec(self.config, experiment)

    def _finetune_pack(self, experiment: str, pack: str) -> Spec:
        training = self.config.training
        return {"pack": int(pack), **training.model_dump(exclude={"gpus"})}

    def _publish_run(self, run_id: str) -> Spec:
        return {"device": self.config.training.device}

    def _collect_runs(self, experiment: str) -> Spec:
        return {"name": experiment}

    def _experiment_factors(self, experiment: str) -> dict[str, str]:
        """Numeric factors of an experiment with the scale that each is coded on."""
        from tunescape.design import infer_factors

        stated = self.config.experiments[experiment]
        raw = stated.factors or infer_factors(stated.design.get("points"), experiment)
        return {f.name: f.scale for f in read_factors(raw) if not f.categorical}

    def _contrast_arms(self, population: str, experiment: str, metric: str) -> Spec:
        regression = self.config.regression
        own = self._experiment_factors(experiment)
        return {
            "metric": metric,
            "factors": {name: own[name] for name in regression.factors if name in own},
            "degree": regression.degree,
            "cluster": regression.cluster,
            "confidence": regression.confidence,
            "labels": {"hub": population, "experiment": experiment},
        }

    def _draw_experiment(self, experiment: str) -> Spec:
        return {"name": experiment, "dpi": self.config.figures.dpi}

    def _draw_contrast(self, population: str, experiment: str, metric: str) -> Spec:
        told = self._contrast_arms(population, experiment, metric)
        return {**told, "dpi": self.config.figures.dpi}

    @property
    def dump(self) -> str:
        """The file that models are read from: a dump, the snapshot, or what a harvest saved."""
        live = self.config.hub.source == "hub"
        return HARVEST if live else self.config.hub.path

    @property
    def pinned(self) -> list[str]:
        """The pinned list of models, where there is one."""
        path = self.config.hub.models
        return [path] if Path(path).exists() else []

    @property
    def base_models(self) -> list[str]:
        """Base models to look for on the Hub: as stated, or those that populations name."""
        named = [name for p in self.config.populations.values() for name in p.base_model]
        plain = [name for name in named if not re.search(r"[*?\[]", name)]
        return self.config.discovery.base_models or list(dict.fromkeys(plain))

    def live(self, *paths: str) -> list[str]:
        """These paths in a study of the live Hub; none in any other."""
        return list(paths) if self.config.hub.source == "hub" else []

    def _fetch_models(self) -> Spec:
        hub, discovery = self.config.hub, self.config.discovery
        search = discovery.search
        return {
            **hub.model_dump(exclude={"source", "path", "buckets"}),
            "base_models": self.base_models,
            "search": [name_of(base) for base in self.base_models] if search is None else search,
        }

    def _discover_models(self) -> Spec:
        return {**self.config.discovery.model_dump(), **self._fetch_models()}

    def _record_drift(self) -> Spec:
        dumped = self.config.model_dump(include={"populations", "regression", "coverage"})
        return {"models": self.config.hub.models, **dumped}

    def _split_source(self) -> Spec:
        return {"source": self.config.hub.source, "buckets": self.buckets}

    def _select_population(self, population: str) -> Spec:
        regression = self.config.regression
        return {
            "name": population,
            **self.config.populations[population].model_dump(exclude={"baseline"}),
            "factors": list(regression.factors),
            "metrics": list(regression.metrics),
        }

    def _measure_coverage(self, population: str) -> Spec:
        regression = self.config.regression
        if population in self.experiments:
            # What varies was designed: nothing is too rare to be analysed.
            rule = {"min_rows": 1, "min_settings": 2}
            factors = list(self._experiment_factors(population))
        else:
            rule, factors = self.config.coverage.model_dump(), list(regression.factors)
        return {
            "name": population,
            **rule,
            "factors": factors,
            "metrics": list(regression.metrics),
        }

    def _surface(self, population: str) -> Spec:
        """What every fit of a population shares."""
        regression = self.config.regression
        shared = regression.model_dump(exclude={"metrics", "views"})
        if population in self.experiments:
            own = self._experiment_factors(population)
            return {**shared, "factors": own, "cluster": "owner"}
        baseline = self.config.baselines[self.config.populations[population].baseline]
        return {**shared, "factors": dict(regression.factors), "baseline": baseline.model_dump()}

    def _regress_metric(self, population: str, view: str, metric: str) -> Spec:
        return {"view": view, "metric": metric, **self._surface(population)}

    def _compare_published(self, population: str) -> Spec:
        return self._surface(population)

    def _draw_population(self, population: str) -> Spec:
        regression = self.config.regression
        return {
            "population": population,
            **self.config.coverage.model_dump(),
            "factors": list(regression.factors),
            "metrics": list(regression.metrics),
            "dpi": self.config.figures.dpi,
        }

    def _draw_analysis(self, population: str, view: str, metric: str) -> Spec:
        told = self._regress_metric(population, view, metric)
        unit = "run" if population in self.experiments else "model"
        return {**told, "unit": unit, "dpi": self.config.figures.dpi}

    def _write_report(self) -> Spec:
        return {
            "title": self.config.report.title,
            "populations": self.populations,
            "experiments": self.experiments,
            "coverage": self.config.coverage.model_dump(),
            "config": self.config.model_dump(),
        }


@cache
def _run_ids(design: str, _modified: int) -> list[str]:
    with Path(design).open(encoding="utf-8", newline="") as rows:
        return sorted({row["run_id"] for row in csv.DictReader(rows)})


def _columns(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}
