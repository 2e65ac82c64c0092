"""A study: the checked configuration, and what it tells each rule.

Every rule has one parameter, its *spec*: a plain dict that holds all its script is told and a
digest of what the script runs: its code and the versions of its packages. Specs depend on the
configuration, the wildcards and the locks alone.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.config import (
    Config,
    experiment_spec,
    is_staged,
    load_config,
    merge,
    missing_files,
    override,
    short_data,
)
from tunescape.digests import code_digest, digest, environment_digest
from tunescape.errors import UserError, refuse
from tunescape.factors import read_factors
from tunescape.hub import bucket_names, name_of
from tunescape.plain import read_yaml
from tunescape.sources import dump_files

if TYPE_CHECKING:
    from tunescape.tuning.study import Search, TuningStudy

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
        data = merge(data, read_yaml(file))
    source = ", ".join(map(str, files)) or CONFIG_FILE
    config = load_config(override(data, overrides or {}), source)
    problems = list(missing_files(config, root)) or list(short_data(config, root))
    if problems:
        raise refuse(problems, source)
    return Study(root, config)


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

    def spec(self, rule: str, environment: str | None = None, **wildcards: str) -> Spec:
        """What ``rule`` is told for these wildcards, with the digest of its code.

        Args:
            rule: name of the rule, and of its script.
            environment: name of the rule's file in envs/, whose packages belong to its code.
            wildcards: of the job.
        """
        if rule not in self._codes:
            code = [code_digest(self.root / "scripts" / f"{rule}.py")]
            if environment:
                code.append(environment_digest(self.root / "envs" / environment))
            self._codes[rule] = digest(code)
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
        return [name for name, one in self.config.experiments.items() if not is_staged(one)]

    @property
    def tunings(self) -> list[str]:
        """Names of the tuning studies, which are experiments in stages."""
        return [name for name, one in self.config.experiments.items() if is_staged(one)]

    @property
    def lora_experiments(self) -> list[str]:
        """Names of the designed experiments that vary LoRA's rank or the data size."""
        found = [n for n in self.experiments if self.config.experiments[n].method == "lora"]
        return [n for n in found if {"lora_r", "train_size"} & set(self._experiment_factors(n))]

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

    @cached_property
    def views(self) -> dict[str, list[str]]:
        """Every population and experiment in each of its views, as columns."""
        rows = list(product(self.populations, self.config.regression.views))
        rows += [(name, "absolute") for name in self.experiments]
        return _columns(("population", "view"), rows)

    @property
    def _experiment_metrics(self) -> Iterator[tuple[str, str]]:
        return product(self.experiments, self.config.regression.metrics)

    def pattern(self, *kinds: str) -> str:
        """A regular expression of the names of `populations`, `experiments` or `tunings`."""
        names = [name for kind in kinds for name in getattr(self, kind)]
        return "|".join(map(re.escape, names)) or "(?!)"

    def run_ids(self, design: str | Path) -> list[str]:
        """Run ids of a design table."""
        return _run_ids(str(design), Path(design).stat().st_mtime_ns)

    def local_files(self, experiment: str) -> list[str]:
        """Local files that an experiment reads: its data, and a model that is a folder."""
        from tunescape.training.models import local_files

        stated = self.config.experiments[experiment]
        files = self.config.tasks[stated.task].files or {}
        listed = [[names] if isinstance(names, str) else names for names in files.values()]
        return [*(name for names in listed for name in names), *local_files(stated.model)]

    # Tuning studies ---------------------------------------------------------------------------

    @cached_property
    def _studies(self) -> dict[str, TuningStudy]:
        from tunescape.tuning.study import read_study

        return {name: read_study(experiment_spec(self.config, name)) for name in self.tunings}

    def search(self, tuning: str, search: str) -> Search:
        """A search of a tuning study.

        Raises:
            UserError: there is none of that name.
        """
        return self._studies[tuning].search(search)

    @property
    def searches(self) -> dict[str, list[str]]:
        """Every search of every tuning study: tuning and search as columns."""
        return _columns(
            ("tuning", "search"),
            [(name, one.name) for name in self.tunings for one in self._studies[name].searches],
        )

    @property
    def screenings(self) -> dict[str, list[str]]:
        """Every screening of every tuning study: tuning and search as columns."""
        rows = [(name, one.name) for name in self.tunings for one in self._studies[name].screens()]
        return _columns(("tuning", "search"), rows)

    def rounds(self, tuning: str, searches: Sequence[str] | None = None) -> dict[str, list[str]]:
        """Rounds of some searches (all by default) of a tuning study: search, round as columns."""
        names = [one.name for one in self._studies[tuning].searches]
        rows = [
            (name, str(number + 1))
            for name in (names if searches is None else searches)
            for number in range(len(self.search(tuning, name).rounds))
        ]
        return _columns(("search", "round"), rows)

    def rounds_before(self, tuning: str, search: str, number: int) -> dict[str, list[str]]:
        """Rounds whose results a round may depend on: search and round as columns."""
        found = self.rounds(tuning, self.search(tuning, search).reads)
        for earlier in range(1, number):
            found["search"].append(search)
            found["round"].append(str(earlier))
        return found

    def screening_of(self, tuning: str, search: str) -> str | None:
        """The screening that says which factors a search varies."""
        found = self._studies[tuning].screen_before(self.search(tuning, search))
        return found.name if found else None

    def surface_of(self, tuning: str, search: str) -> dict[str, str] | None:
        """The mined regression that warms a search: population, view and metric."""
        found = self.search(tuning, search)
        mined = self.config.experiments[tuning].mined
        if mined is None or found.arm != "warm" or found.options.get("prior") != "hub":
            return None
        metric = self._studies[tuning].metric
        return {"population": mined, "view": "absolute", "metric": metric}

    def round_packs(self, tuning: str, search: str, number: int) -> list[str]:
        """Names of the packs that a round's trials are shared out to."""
        return self.packs[: self.search(tuning, search).rounds[number - 1]]

    def _until(self, tuning: str, search: str, number: int | None = None) -> Spec:
        """A tuning study as far as a search, or its rounds up to one, depend on it."""
        from tunescape.tuning.study import study_until

        told = experiment_spec(self.config, tuning)
        return study_until(told, self.search(tuning, search), number)

    def _propose_trials(self, tuning: str, search: str, round: str) -> Spec:
        study = self._until(tuning, search, int(round))
        return {"study": study, "search": search, "round": int(round)}

    def _train_trials(self, tuning: str, search: str, round: str, pack: str) -> Spec:
        told = self.config.training.model_dump(exclude={"gpus"})
        packs = len(self.round_packs(tuning, search, int(round)))
        return {**told, "pack": int(pack), "packs": packs}

    def _publish_trials(self, tuning: str, search: str, round: str) -> Spec:
        return {"device": self.config.training.device}

    def _rank_factors(self, tuning: str, search: str) -> Spec:
        return {"study": self._until(tuning, search), "search": search}

    def _export_search(self, tuning: str, search: str) -> Spec:
        return {"study": self._until(tuning, search), "search": search}

    def _summarise_study(self, tuning: str) -> Spec:
        return {"study": experiment_spec(self.config, tuning)}

    def _draw_tuning(self, tuning: str) -> Spec:
        study = self._studies[tuning]
        return {
            "metric": study.metric,
            "maximise": study.maximise,
            "factors": [factor.name for factor in study.factors],
            "dpi": self.config.figures.dpi,
        }

    def _draw_screening(self, tuning: str, search: str) -> Spec:
        return {"metric": self._studies[tuning].metric, "dpi": self.config.figures.dpi}

    def _tabulate_lora(self, experiment: str) -> Spec:
        stated = self.config.experiments[experiment]
        baseline = {
            factor.name: factor.baseline
            for factor in read_factors(stated.factors)
            if factor.baseline is not None
        }
        baseline |= dict((stated.design or {}).get("baseline") or {})
        return {"name": experiment, "baseline": baseline}

    # Experiments by design --------------------------------------------------------------------

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
        raw = stated.factors or infer_factors((stated.design or {}).get("points"), experiment)
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
    def dump(self) -> list[str]:
        """The files that models are read from: a dump, the snapshot, or what a harvest saved."""
        try:
            return [str(path) for path in dump_files(self._dump)]
        except UserError:
            return [self._dump]  # whoever reads it says what is the matter

    @property
    def _dump(self) -> str:
        return HARVEST if self.config.hub.source == "hub" else self.config.hub.path

    @property
    def pinned(self) -> list[str]:
        """The pinned list of models, where there is one."""
        path = self.config.hub.models
        return [path] if os.path.exists(path) else []  # noqa: PTH110 (a name may be too long)

    @property
    def base_models(self) -> list[str]:
        """Base models to look for on the Hub: as stated, or those that populations name."""
        named = [name for p in self.config.populations.values() for name in p.base_model]
        plain = [name for name in named if not re.search(r"[*?\[]", name)]
        return self.config.discovery.base_models or list(dict.fromkeys(plain))

    def live(self, *paths: str) -> list[str]:
        """These paths in a study that analyses models of the live Hub; none in any other."""
        return list(paths) if self.config.hub.source == "hub" and self.populations else []

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
        hub = self.config.hub
        return {"source": hub.source, "path": self._dump, "buckets": self.buckets}

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
        shared = regression.model_dump(exclude={"metrics", "views", "effects"})
        if population in self.experiments:
            # A run's owner is its configuration: its level would absorb every term.
            own = self._experiment_factors(population)
            return {
                **shared,
                "factors": own,
                "cluster": "owner",
                "effects": [],
                "mixed": None,
                "designed": True,
            }
        kind, _, group = regression.effects.partition("_")
        shared["effects"] = [group] if kind == "fixed" else []
        shared["mixed"] = group if kind == "mixed" else None
        baseline = self.config.baselines[self.config.populations[population].baseline]
        return {**shared, "factors": dict(regression.factors), "baseline": baseline.model_dump()}

    def _regress_metric(self, population: str, view: str, metric: str) -> Spec:
        return {"view": view, "metric": metric, **self._surface(population)}

    def _adjust_family(self) -> Spec:
        return {"experiments": sorted(self.experiments)}

    def _compare_published(self, population: str) -> Spec:
        # The published tables say which form is fitted; intervals are not compared.
        told = self._surface(population)
        return {name: told[name] for name in ("factors", "degree", "cluster", "baseline")}

    def _trace_specifications(self, population: str, metric: str) -> Spec:
        asked = self.config.populations[population].model_dump(exclude={"baseline"})
        told = {"name": population, **asked}
        return {"metric": metric, "population": told, **self._surface(population)}

    def _describe_surface(self, population: str, view: str, metric: str) -> Spec:
        return {"effects": self._surface(population)["effects"]}

    def _weigh_metrics(self, population: str, view: str) -> Spec:
        goals = {
            metric: goal.model_dump(exclude_none=True) for metric, goal in self.config.goals.items()
        }
        # Goals are stated on the metric's own scale; a relative view has another.
        stated = goals if view == "absolute" else {}
        return {"effects": self._surface(population)["effects"], "goals": stated}

    def _map_strategy(self, population: str) -> Spec:
        regression = self.config.regression
        mined = population in self.populations
        return {
            "population": population,
            "metrics": list(regression.metrics),
            "views": list(regression.views) if mined else ["absolute"],
            "designed": not mined,
            "thresholds": self._thresholds,
        }

    @property
    def _thresholds(self) -> Spec:
        """Limits of the grades; what is not said has its default."""
        return {"alpha": round(1 - self.config.regression.confidence, 12)}

    def _draw_specifications(self, population: str, metric: str) -> Spec:
        return {"confidence": self.config.regression.confidence, "dpi": self.config.figures.dpi}

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
            "tunings": {name: self._draw_tuning(name) for name in self.tunings},
            "coverage": self.config.coverage.model_dump(),
            "thresholds": self._thresholds,
            "config": self.config.model_dump(),
        }


@cache
def _run_ids(design: str, _modified: int) -> list[str]:
    with Path(design).open(encoding="utf-8", newline="") as rows:
        return sorted({row["run_id"] for row in csv.DictReader(rows)})


def _columns(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}
