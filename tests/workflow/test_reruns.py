"""Edit -> exactly these jobs, of the whole workflow. The README's table is made from the same list.

Each edit is one dry run on a copy of a study that has run: ``finished`` (the default study made
small), ``tuned`` (both published tunings) or, in test_live_hub.py, ``mined`` (the live Hub). What
really runs after some of them, and that nothing is trained twice, is in test_experiment_runs.py and
test_tuning.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from edits import (
    Edit,
    append,
    card,
    changed_copy,
    configure,
    delete,
    module,
    nothing,
    replace,
    reverse,
    together,
    touch,
    touch_everything,
    upgrade,
)
from harness import jobs_of, snakemake

POPULATIONS = ("distilbert-sst2", "distilbert")
EXPERIMENT = "mini-surface"
PACKS = ("0", "1")
TUNING, LORA = "mrpc-tuning", "imdb-lora"
SPLIT = "results/hub/source.json"
FIGURE = "results/figures/distilbert/flow"
FIT = "results/analysis/distilbert/absolute/loss"

# Rules that are there for every regression, what is told of all of them together, ...
FITS = "regress_metric draw_analysis describe_surface weigh_metrics"
JOINT = "adjust_family map_strategy write_report"
# ... and of published models alone.
CURVES = "trace_specifications draw_specifications"
CHECKS = "check_views audit_claims"
CONTRAST = "contrast_arms draw_contrast"

FIGURES = (
    "draw_population draw_analysis draw_specifications draw_experiment draw_contrast write_report"
)


def jobs(rule: str, **wildcards: Iterable[str]) -> list[str]:
    """Every job of a rule for these values, in the form of ``harness.snakemake``."""
    names = sorted(wildcards)
    return [
        f"{rule}[{','.join(f'{n}={v}' for n, v in zip(names, values, strict=True))}]"
        for values in product(*(wildcards[name] for name in names))
    ]


@dataclass(frozen=True)
class Some:
    """Jobs of a study by rule and, where a job has them, by wildcards."""

    rules: Sequence[str]
    where: dict[str, tuple[str, ...]]

    def among(self, known: Iterable[str]) -> set[str]:
        """Those of a finished study's jobs."""
        found = {job for job in known if job.split("[")[0] in self.rules and self._fits(job)}
        missing = set(self.rules) - {job.split("[")[0] for job in found}
        assert not missing, f"no jobs of {missing} in the study"
        return found

    def _fits(self, job: str) -> bool:
        values = dict(re.findall(r"(\w+)=([^,\]]+)", job))
        return all(values.get(name, one[0]) in one for name, one in self.where.items())


def some(rules: str, **where: str | tuple[str, ...]) -> Some:
    """All jobs of these rules; with wildcards, those that have other values are left out."""
    values = {name: (one,) if isinstance(one, str) else one for name, one in where.items()}
    return Some(rules.split(), values)


def after_fits(*populations: str) -> list[Some]:
    """The regressions of these populations (all by default), and what follows but contrasts."""
    chosen = populations or (*POPULATIONS, EXPERIMENT)
    mined = tuple(name for name in chosen if name != EXPERIMENT)
    only_mined = [some(CURVES, population=mined), some(CHECKS)] if mined else []
    return [some(FITS, population=chosen), some(JOINT), *only_mined]


def after_sample(*populations: str) -> list[Some]:
    """All that follows from the samples of these populations (all by default)."""
    chosen = populations or POPULATIONS
    rules = "select_population measure_coverage draw_population compare_published"
    contrasts = [some(CONTRAST, population="distilbert")] if "distilbert" in chosen else []
    return [
        some(rules, population=chosen),
        some("account_models"),
        *contrasts,
        *after_fits(*chosen),
    ]


def after_training() -> list[Some]:
    """All that follows from a changed run; which runs are new is not known before."""
    return [
        some("finetune_pack collect_runs draw_experiment account_models"),
        some("measure_coverage", population=EXPERIMENT),
        some(CONTRAST),
        *after_fits(EXPERIMENT),
    ]


def after_design() -> list[Some]:
    return [some("design_experiment"), *after_training()]


def new(rules: str, **wildcards: str | tuple[str, ...]) -> list[str]:
    """Jobs that the study has not run before: all of these rules for these values."""
    values = {name: (one,) if isinstance(one, str) else one for name, one in wildcards.items()}
    return [job for rule in rules.split() for job in jobs(rule, **values)]


def rounds(search: str, *numbers: str) -> list[str]:
    """Jobs of rounds of a search."""
    place = {"tuning": TUNING, "search": search, "round": numbers}
    return [*new("propose_trials publish_trials", **place), *new("train_trials", **place, pack="0")]


def after_searches(*searches: str) -> list[Some]:
    """What follows from changed trials of some searches."""
    exports = some("export_search", search=searches)
    return [exports, some("summarise_study draw_tuning write_report")]


def after_stage(*searches: str) -> list[Some]:
    """These searches from their proposals on, and what follows."""
    trained = some("propose_trials train_trials publish_trials", search=searches)
    return [trained, *after_searches(*searches)]


WHOLE_TUNING = [
    some("propose_trials train_trials publish_trials rank_factors export_search"),
    some("summarise_study draw_screening draw_tuning write_report"),
]


# Of a study of the live Hub as far as drift.csv; its buckets are behind the split.
HARVESTED = [
    some("fetch_models split_source build_features"),
    some("select_population measure_coverage regress_metric record_drift"),
]


@dataclass(frozen=True)
class Rerun:
    """Edits, in words for the README, and the jobs that each of them causes.

    Attributes:
        what, said: the README's row.
        edits: each is tried by itself.
        expected: jobs, of those that the study has run or by name.
        study: fixture of the study.
        first: a file that is made before the dry run: what comes after a checkpoint that is to run
            is known when it has.
        shown: whether the README has the row; it is there for users, not for all of the code.
    """

    what: str
    said: str
    edits: Edit | Sequence[Edit]
    expected: Sequence[Some | str] = ()
    study: str = "finished"
    first: str | None = None
    shown: bool = True

    @property
    def each(self) -> Sequence[Edit]:
        return [self.edits] if callable(self.edits) else self.edits

    def jobs(self, known: Sequence[str]) -> set[str]:
        """The jobs that are expected."""
        found = [{one} if isinstance(one, str) else one.among(known) for one in self.expected]
        return set().union(*found)


STAGES = ("experiments", TUNING, "stages")
OTHER = {"base_model": ["distilbert-base-multilingual-cased"], "baseline": "sst2-english"}
VIEWS = ("absolute", "relative")
FITTED = "regress_metric draw_analysis describe_surface"
NEW_POPULATION = [
    *new(
        "select_population measure_coverage draw_population compare_published", population="other"
    ),
    *new("map_strategy", population="other"),
    *new("weigh_metrics", population="other", view=VIEWS),
    *new(FITTED, population="other", view=VIEWS, metric="loss"),
    *new(CURVES, population="other", metric="loss"),
]
NEW_METRIC = [
    *new(FITTED, population=POPULATIONS, view=VIEWS, metric="f1"),
    *new(FITTED, population=EXPERIMENT, view="absolute", metric="f1"),
    *new(CURVES, population=POPULATIONS, metric="f1"),
    *new(CONTRAST, population="distilbert", experiment=EXPERIMENT, metric="f1"),
]

RERUNS = [
    Rerun("nothing", "nothing", nothing),
    Rerun(
        "every file touched, as by a fresh clone; a result touched",
        "nothing",
        [touch_everything, touch(f"{FIT}/coefficients.csv")],
    ),
    Rerun(
        "a schema, a page of the docs, a test; a package that no rule uses",
        "nothing",
        [
            append("schemas/config.schema.json", "docs/config.md", "tests/conftest.py", text="\n"),
            upgrade("snakemake"),
        ],
    ),
    # Configuration ----------------------------------------------------------------------------
    Rerun(
        "`report.title`, and keys that the study does not use (the page shows all)",
        "the report",
        [
            configure("report", "title", value="Another title"),
            together(
                configure("hub", "max_in_flight", value=4),
                configure("discovery", "min_downloads", value=10),
                configure("training", "gpus", value=1),
            ),
        ],
        [some("write_report")],
    ),
    Rerun(
        "`figures.dpi`",
        "all figures, the report",
        configure("figures", "dpi", value=90),
        [some(FIGURES)],
    ),
    Rerun(
        "`hub.buckets`",
        "all models are split, laid out and parsed anew, and all that follows",
        configure("hub", "buckets", value=2),
        [
            some("split_source"),
            some("harvest_models parse_cards", bucket=("0", "1")),
            some("build_features"),
            *after_sample(),
        ],
        first=SPLIT,
    ),
    Rerun(
        "`coverage.min_rows`",
        "coverage, regressions and figures of published models, the report",
        configure("coverage", "min_rows", value=13),
        [
            some("measure_coverage draw_population", population=POPULATIONS),
            *after_fits(*POPULATIONS),
        ],
    ),
    Rerun(
        "a value of `baselines`",
        "the regressions of published models, their comparison with the published tables, "
        "the report",
        configure("baselines", "sst2-english", "values", "loss", value=0.4),
        [some("compare_published"), *after_fits(*POPULATIONS)],
    ),
    Rerun(
        "a filter of one population (`min_confidence`, `duplicates`, `task`)",
        "that population, the study's joint tables, the report",
        configure("populations", "distilbert-sst2", "min_confidence", value=0.6),
        after_sample("distilbert-sst2"),
    ),
    Rerun(
        "a population more",
        "its jobs, the study's joint tables, the report",
        configure("populations", "other", value=OTHER),
        [*NEW_POPULATION, some("account_models"), some(JOINT), some(CHECKS)],
    ),
    Rerun(
        "the order of `populations`; `contrasts` taken out",
        "the report",
        [reverse("populations"), configure("contrasts", value=[])],
        [some("write_report")],
    ),
    Rerun(
        "`regression.confidence`",
        "all regressions and contrasts, their figures and tables, the report",
        configure("regression", "confidence", value=0.9),
        [some(CONTRAST), *after_fits()],
    ),
    Rerun(
        "`regression.degree`",
        "the same, and the comparison with the published tables",
        configure("regression", "degree", value=1),
        [some(CONTRAST), some("compare_published"), *after_fits()],
    ),
    Rerun(
        "`regression.link`, `weights`, `intercept`",
        "all regressions and what describes them, the report; no contrast",
        [
            configure("regression", "link", value="auto"),
            configure("regression", "intercept", value=False),
        ],
        after_fits(),
    ),
    Rerun(
        "`regression.effects`",
        "the same of published models alone",
        configure("regression", "effects", value="fixed_dataset"),
        after_fits(*POPULATIONS),
    ),
    Rerun(
        "the scale of a factor in `regression.factors`",
        "the same, and the comparison with the published tables",
        configure("regression", "factors", "learning_rate", value="linear"),
        [some("compare_published"), *after_fits(*POPULATIONS)],
        shown=False,
    ),
    Rerun(
        "`regression.cluster`",
        "the same, the comparison with the published tables, the contrasts",
        configure("regression", "cluster", value="dataset"),
        [some("compare_published"), some(CONTRAST), *after_fits(*POPULATIONS)],
    ),
    Rerun(
        "a metric more in `regression.metrics`",
        "all that follows from the features and the runs; nothing is parsed or trained",
        configure("regression", "metrics", value=["loss", "f1"]),
        [*NEW_METRIC, *after_sample(), *after_fits(), some("measure_coverage")],
    ),
    Rerun(
        "`regression.views` with one view less",
        "what is told of all regressions together, the report; no regression",
        configure("regression", "views", value=["absolute"]),
        [some(JOINT), some(CHECKS)],
    ),
    Rerun(
        "`goals`",
        "the trade-offs of the absolute views, the report",
        configure("goals", value={"loss": {"worst": 1.0, "target": 0.1}}),
        [some("weigh_metrics write_report", view="absolute")],
    ),
    Rerun(
        "an experiment's `seeds`, a value of a factor",
        "the design; the new runs alone are trained; what follows from them",
        [
            configure("experiments", EXPERIMENT, "seeds", value=[1, 2, 3]),
            configure(
                *("experiments", EXPERIMENT, "factors", "num_epochs", "values"), value=[1, 2, 3]
            ),
        ],
        after_design(),
    ),
    Rerun(
        "the order of `factors`",
        "the design and what is written from it; no run is trained or published",
        reverse("experiments", EXPERIMENT, "factors"),
        after_design(),
    ),
    Rerun(
        "an experiment's `fixed` values, its task, its data file, a file of its model's folder",
        "the design, all of its runs, and what follows",
        [
            configure("experiments", EXPERIMENT, "fixed", "weight_decay", value=0.1),
            configure("tasks", "mini-reviews", "validation_size", value=40),
            append(
                "resources/mini_reviews/train.csv",
                text="t9999,A gem from start to end.,1,plain,film,0\n",
            ),
            append("tiny/config.json", text="\n"),
        ],
        after_design(),
    ),
    Rerun(
        "`training.report_to`",
        "the packs, which find their runs finished, and what follows; nothing is trained",
        configure("training", "report_to", value=["tensorboard"]),
        after_training(),
    ),
    # Tuning -----------------------------------------------------------------------------------
    Rerun(
        "a larger budget of a tuning stage (`trials`)",
        "its new rounds, later stages, the tuning's tables, the report",
        configure(*STAGES, 2, "bayes", "trials", value=4),
        [
            *rounds("bayes-warm", "2"),
            *rounds("bayes-cold", "2"),
            *rounds("confirm", "1"),
            *after_searches("bayes-warm", "bayes-cold", "confirm"),
        ],
        "tuned",
    ),
    Rerun(
        "an option of a tuning stage",
        "that stage and later ones, the tuning's tables, the report",
        configure(*STAGES, 2, "bayes", "sampler", value="random"),
        after_stage("bayes-warm", "bayes-cold", "confirm"),
        "tuned",
    ),
    Rerun(
        "how many factors a screening keeps (`keep`)",
        "which factors they are, later stages, the tuning's tables, the report; no screening",
        configure(*STAGES, 0, "screen", "keep", value=1),
        [
            some("rank_factors draw_screening"),
            *after_stage("grid", "bayes-warm", "bayes-cold", "confirm"),
            some("export_search", search="screen"),
        ],
        "tuned",
    ),
    Rerun(
        "the seeds that confirm a tuning",
        "their runs, the tuning's tables, the report",
        configure(*STAGES, 3, "confirm", "seeds", value=[101]),
        [*rounds("confirm", "1"), *after_searches("confirm")],
        "tuned",
    ),
    Rerun(
        "a tuned factor's range, the tuning's data",
        "the whole tuning; no other experiment",
        [
            configure("experiments", TUNING, "factors", "learning_rate", "high", value=0.02),
            append("texts/mrpc_dev.tsv", text="A gem.\tA jewel.\t1\n"),
        ],
        WHOLE_TUNING,
        "tuned",
    ),
    Rerun(
        "an experiment beside a tuning",
        "that experiment; no tuning",
        configure("experiments", LORA, "seeds", value=[42]),
        [
            some("design_experiment finetune_pack collect_runs tabulate_lora draw_experiment"),
            some(f"account_models measure_coverage {FITS} {JOINT}"),
        ],
        "tuned",
        shown=False,
    ),
    # The live Hub -----------------------------------------------------------------------------
    Rerun(
        "the pinned list of a study of the live Hub",
        "the harvest, which downloads what is new; the buckets that changed; what follows",
        replace("studies/paper_models.tsv", r"owner3/.*\n", ""),
        HARVESTED,
        "mined",
    ),
    Rerun(
        "its `hub.requests_per_second`",
        "the harvest, from what is kept in work/hub/",
        replace("small.yaml", "requests_per_second: 500", "requests_per_second: 400"),
        HARVESTED,
        "mined",
        shown=False,
    ),
    Rerun(
        "its `discovery`",
        "nothing, until `snakemake discover` pins another list",
        append("small.yaml", text="discovery: {min_downloads: 10}\n"),
        study="mined",
        shown=False,
    ),
    # Code -------------------------------------------------------------------------------------
    Rerun(
        "how the source is read",
        "all models are split, laid out and parsed anew, and all that follows",
        module("sources"),
        [some("split_source harvest_models parse_cards build_features"), *after_sample()],
        first=SPLIT,
        shown=False,
    ),
    Rerun(
        "the card parser",
        "parsing and all that follows; nothing is read from the source again",
        module("cards/interpret"),
        [some("parse_cards build_features"), *after_sample()],
    ),
    Rerun(
        "the module of contrasts",
        "all contrasts, their figures, the report",
        module("contrast"),
        [some(CONTRAST), some("write_report")],
        shown=False,
    ),
    Rerun(
        "the module of specification curves",
        "them, their figures, strategies, the report; no regression",
        module("specification"),
        [some(CURVES), some("map_strategy", population=POPULATIONS), some("write_report")],
        shown=False,
    ),
    Rerun(
        "the module of trade-offs",
        "them, the report",
        module("desirability"),
        [some("weigh_metrics write_report")],
        shown=False,
    ),
    Rerun(
        "the module that describes surfaces",
        "them, the trade-offs, strategies, the report; no regression",
        module("response"),
        [some("describe_surface weigh_metrics map_strategy write_report")],
        shown=False,
    ),
    Rerun(
        "the module of the regression",
        "all regressions, and what follows from them",
        module("regression"),
        [some(CONTRAST), some("compare_published"), *after_fits()],
    ),
    Rerun(
        "the module of the audit",
        "the audit, the report",
        module("audit/claims"),
        [some("audit_tables audit_claims write_report")],
        shown=False,
    ),
    Rerun(
        "a figure's module",
        "the figures that it draws, the report",
        module("figures/forest"),
        [some("draw_analysis write_report")],
    ),
    Rerun(
        "the report's module or template",
        "the report",
        [module("report/build"), append("scripts/tunescape/report/templates/page.html.j2")],
        [some("write_report")],
    ),
    Rerun(
        "a module of training",
        "all runs, and what follows; not the designs",
        module("training/engine"),
        after_training(),
    ),
    Rerun(
        "the module of designs",
        "the design and what is written from it; no run is trained or published",
        module("design"),
        after_design(),
        shown=False,
    ),
    Rerun(
        "the module of searches",
        "all searches, which find their runs finished unless they propose others; what follows",
        module("tuning/bayes"),
        WHOLE_TUNING,
        "tuned",
        shown=False,
    ),
    Rerun(
        "the module of a tuning's tables",
        "them, their figures, the report; nothing is proposed or trained",
        module("tuning/results"),
        [some("summarise_study draw_tuning write_report")],
        "tuned",
        shown=False,
    ),
    # Resources --------------------------------------------------------------------------------
    Rerun(
        "one card added, changed or removed",
        "its bucket, and what follows",
        [card("added"), card("changed"), card("removed")],
        [
            some("split_source build_features"),
            some("harvest_models parse_cards", bucket="2"),
            *after_sample(),
        ],
        first=SPLIT,
    ),
    Rerun(
        "`resources/eval_sizes.csv`",
        "the features and all that follows",
        append("resources/eval_sizes.csv", text="\n"),
        [some("build_features"), *after_sample()],
    ),
    Rerun(
        "`resources/published_tables.csv`",
        "the comparison with the published tables, their audit, the report",
        append("resources/published_tables.csv", text="\n"),
        [some("compare_published audit_tables audit_claims write_report")],
    ),
    Rerun(
        "`resources/claims.yaml`",
        "the audit, the report",
        append("resources/claims.yaml"),
        [some("audit_tables audit_claims write_report")],
    ),
    Rerun(
        "`resources/paper_figures.csv`, `CITATION.cff`",
        "the report",
        [append("resources/paper_figures.csv", text="\n"), append("CITATION.cff", text="\n")],
        [some("write_report")],
    ),
    # Results and environment ------------------------------------------------------------------
    Rerun(
        "the report deleted",
        "the report",
        delete("results/report.html"),
        [some("write_report")],
    ),
    Rerun(
        "another result deleted",
        "the job that makes it, and what follows where it is not the same again",
        delete(f"{FIGURE}.svg"),
        [some("draw_population", population="distilbert"), some("write_report")],
    ),
    Rerun(
        "a result edited by hand, or damaged",
        "it is told, and made again, and what follows",
        append(f"{FIT}/fit.json", text="\n"),
        [
            some("regress_metric", population="distilbert", view="absolute"),
            some("describe_surface draw_analysis", population="distilbert", view="absolute"),
            some("weigh_metrics", population="distilbert", view="absolute"),
            some("adjust_family check_views audit_claims map_strategy write_report"),
        ],
    ),
    Rerun(
        "another version of matplotlib in the lock",
        "all figures, the report",
        upgrade("matplotlib"),
        [some(FIGURES)],
    ),
    Rerun(
        "another version of statsmodels in the lock",
        "populations, regressions, audit and figures; nothing is parsed or trained",
        upgrade("statsmodels"),
        [*after_sample(), *after_fits(), some("audit_tables measure_coverage"), some(FIGURES)],
    ),
    Rerun(
        "another version of torch in the lock",
        "designs, all runs, searches, and what follows",
        upgrade("torch"),
        after_design(),
    ),
]

CASES = [
    pytest.param(rerun, edit, id=f"{rerun.what}-{number}")
    for rerun in RERUNS
    for number, edit in enumerate(rerun.each)
    if rerun.study != "mined"
]


@pytest.mark.parametrize(("rerun", "edit"), CASES)
def test_edit_causes_exactly_these_jobs(
    request: pytest.FixtureRequest, tmp_path: Path, rerun: Rerun, edit: Edit
) -> None:
    finished: Path = request.getfixturevalue(rerun.study)
    project = changed_copy(finished, tmp_path / "study")
    edit(project)
    caused = causes(project, rerun.first)
    expected = rerun.jobs(jobs_of(finished))
    assert caused == expected


def causes(project: Path, first: str | None = None, *arguments: str) -> set[str]:
    """The jobs that a call would run; ``first`` is made before, and its jobs are among them.

    Behind a pack that is to be trained, runs are listed or not, as Snakemake's sets are ordered.
    """
    made: set[str] = set()
    if first is not None:
        outcome = snakemake(project, first, *arguments)
        assert outcome.returncode == 0, outcome.output[-3000:]
        made = set(outcome.jobs)
    outcome = snakemake(project, "--dry-run", *arguments)
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert bool(outcome.jobs) != ("Nothing to be done" in outcome.output)
    found = made | set(outcome.jobs)
    if any(job.startswith("finetune_pack") for job in found):
        found = {job for job in found if not job.startswith("publish_run")}
    return found


def rerun_table() -> str:
    lines = ["| edit | what runs again |", "| --- | --- |"]
    lines += [f"| {rerun.what} | {rerun.said} |" for rerun in RERUNS if rerun.shown]
    return "\n".join(lines)


def test_readme_holds_the_rerun_table(root: Path) -> None:
    assert rerun_table() in (root / "README.md").read_text(encoding="utf-8")
