"""Edit -> exactly these jobs. The README's table is made from the same list."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import yaml
from harness import snakemake
from tunescape.hub import bucket_of

POPULATIONS = ("distilbert-sst2", "distilbert")
EXPERIMENT = "mini-surface"
CONTRASTED = "distilbert"
VIEWS = ("absolute", "relative")
METRICS = ("loss",)
BUCKETS = ("0", "1", "2")
PACKS = ("0", "1")


def jobs(rule: str, **wildcards: Iterable[str]) -> list[str]:
    """Every job of a rule for these values, in the form of ``harness.snakemake``."""
    names = sorted(wildcards)
    return [
        f"{rule}[{','.join(f'{n}={v}' for n, v in zip(names, values, strict=True))}]"
        for values in product(*(wildcards[name] for name in names))
    ]


def fits(rule: str, populations: Iterable[str] = (*POPULATIONS, EXPERIMENT)) -> list[str]:
    """Jobs of a rule that is there for every regression; an experiment has one view."""
    mined = [name for name in populations if name != EXPERIMENT]
    found = jobs(rule, population=mined, view=VIEWS, metric=METRICS)
    if EXPERIMENT in populations:
        found += jobs(rule, population=[EXPERIMENT], view=["absolute"], metric=METRICS)
    return found


def per(rule: str, populations: Iterable[str] = POPULATIONS) -> list[str]:
    return jobs(rule, population=list(populations))


def by_metric(rule: str, populations: Iterable[str] = POPULATIONS) -> list[str]:
    """Jobs of a rule that is there for every metric of published models."""
    return jobs(rule, population=list(populations), metric=METRICS)


def by_view(rule: str, populations: Iterable[str] = (*POPULATIONS, EXPERIMENT)) -> list[str]:
    mined = [name for name in populations if name != EXPERIMENT]
    found = jobs(rule, population=mined, view=VIEWS)
    return found + (
        jobs(rule, population=[EXPERIMENT], view=["absolute"]) if EXPERIMENT in populations else []
    )


def after_fits(populations: Iterable[str] = (*POPULATIONS, EXPERIMENT)) -> list[str]:
    """The regressions of these populations, and all that follows from them but contrasts."""
    chosen = list(populations)
    mined = [name for name in chosen if name != EXPERIMENT]
    return [
        *fits("regress_metric", chosen),
        *fits("draw_analysis", chosen),
        *fits("describe_surface", chosen),
        *by_view("weigh_metrics", chosen),
        "adjust_family",
        *per("map_strategy", (*POPULATIONS, EXPERIMENT)),
        *(["check_views", "audit_claims"] if mined else []),
        *by_metric("trace_specifications", mined),
        *by_metric("draw_specifications", mined),
        "write_report",
    ]


def contrasts(*rules: str) -> list[str]:
    """Jobs of the contrast of published models and the experiment."""
    places = {"population": [CONTRASTED], "experiment": [EXPERIMENT], "metric": METRICS}
    return [job for rule in rules for job in jobs(rule, **places)]


def after_sample(populations: Iterable[str] = POPULATIONS) -> list[str]:
    """Everything that follows from a population's sample."""
    chosen = list(populations)
    return [
        *per("select_population", chosen),
        *per("measure_coverage", chosen),
        *per("draw_population", chosen),
        *per("compare_published", chosen),
        *(contrasts("contrast_arms", "draw_contrast") if CONTRASTED in chosen else []),
        "account_models",
        *after_fits(chosen),
    ]


def after_training() -> list[str]:
    """Everything that follows from a changed run; which runs are new is not known before."""
    return [
        *jobs("finetune_pack", experiment=[EXPERIMENT], pack=PACKS),
        *jobs("collect_runs", experiment=[EXPERIMENT]),
        *jobs("draw_experiment", experiment=[EXPERIMENT]),
        *per("measure_coverage", [EXPERIMENT]),
        *contrasts("contrast_arms", "draw_contrast"),
        "account_models",
        *after_fits([EXPERIMENT]),
    ]


def after_design() -> list[str]:
    return [*jobs("design_experiment", experiment=[EXPERIMENT]), *after_training()]


def configure(*keys: str | int, value: object) -> Callable[[Path], None]:
    """An edit of config.yaml."""

    def edit(project: Path) -> None:
        path = project / "config.yaml"
        config = yaml.safe_load(path.read_text())
        place = config
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    return edit


def append(name: str, text: str = "\n# an edit\n") -> Callable[[Path], None]:
    """An edit of a file's content."""

    def edit(project: Path) -> None:
        with (project / name).open("a") as handle:
            handle.write(text)

    return edit


def touch_everything(project: Path) -> None:
    for path in project.rglob("*"):
        if path.is_file() and "results" not in path.parts and ".snakemake" not in path.parts:
            path.touch()


def reverse(*keys: str) -> Callable[[Path], None]:
    """An edit of config.yaml: a mapping or list in reverse order."""

    def edit(project: Path) -> None:
        place = yaml.safe_load((project / "config.yaml").read_text())
        for key in keys:
            place = place[key]
        turned = dict(reversed(place.items())) if isinstance(place, dict) else place[::-1]
        configure(*keys, value=turned)(project)

    return edit


@dataclass(frozen=True)
class Rerun:
    """An edit, in words for the README, and the jobs that it causes."""

    what: str
    said: str
    edit: Callable[[Path], None]
    expected: list[str]


RERUNS = [
    Rerun("nothing", "nothing", lambda project: None, []),
    Rerun("every file touched, as by a fresh clone", "nothing", touch_everything, []),
    Rerun(
        "`report.title`",
        "the report",
        configure("report", "title", value="Another title"),
        ["write_report"],
    ),
    Rerun(
        "`figures.dpi`",
        "all figures, the report",
        configure("figures", "dpi", value=90),
        [
            *per("draw_population"),
            *fits("draw_analysis"),
            *by_metric("draw_specifications"),
            *jobs("draw_experiment", experiment=[EXPERIMENT]),
            *contrasts("draw_contrast"),
            "write_report",
        ],
    ),
    Rerun(
        "`regression.confidence`",
        "all regressions and contrasts, their figures and tables, the report",
        configure("regression", "confidence", value=0.9),
        [
            *after_fits(),
            *per("compare_published"),
            *contrasts("contrast_arms", "draw_contrast"),
        ],
    ),
    Rerun(
        "`regression.link`, `weights` or `effects`",
        "all regressions and what describes them, the report; no contrast",
        configure("regression", "link", value="auto"),
        after_fits(),
    ),
    Rerun(
        "`goals`",
        "the trade-offs of the absolute views, the report",
        configure("goals", value={"loss": {"worst": 1.0, "target": 0.1}}),
        [
            *jobs("weigh_metrics", population=(*POPULATIONS, EXPERIMENT), view=["absolute"]),
            "write_report",
        ],
    ),
    Rerun(
        "`coverage.min_rows`",
        "coverage, regressions and figures of published models, the report",
        configure("coverage", "min_rows", value=13),
        [
            *per("measure_coverage"),
            *per("draw_population"),
            *after_fits(POPULATIONS),
        ],
    ),
    Rerun(
        "one population's `min_confidence`",
        "that population, the study's joint tables, the report",
        configure("populations", "distilbert-sst2", "min_confidence", value=0.6),
        after_sample(["distilbert-sst2"]),
    ),
    Rerun(
        "the order of `populations`",
        "the report",
        reverse("populations"),
        ["write_report"],
    ),
    Rerun(
        "a figure's module",
        "the figures that it draws, the report",
        append("scripts/tunescape/figures/forest.py"),
        [
            *per("draw_population"),
            *fits("draw_analysis"),
            *jobs("draw_experiment", experiment=[EXPERIMENT]),
            "write_report",
        ],
    ),
    Rerun(
        "the card parser",
        "parsing and all that follows; nothing is read from the source again",
        append("scripts/tunescape/cards/interpret.py"),
        [*jobs("parse_cards", bucket=BUCKETS), "build_features", *after_sample()],
    ),
    Rerun(
        "`resources/eval_sizes.csv`",
        "the features and all that follows",
        append("resources/eval_sizes.csv", "\n"),
        ["build_features", *after_sample()],
    ),
    Rerun(
        "`resources/published_tables.csv`",
        "the comparison with the published tables, their audit, the report",
        append("resources/published_tables.csv", "\n"),
        [*per("compare_published"), "audit_tables", "audit_claims", "write_report"],
    ),
    Rerun(
        "`resources/claims.yaml`",
        "the audit, the report",
        append("resources/claims.yaml"),
        ["audit_tables", "audit_claims", "write_report"],
    ),
    Rerun(
        "an experiment's `seeds`, or a value of a factor",
        "the design; the new runs alone are trained; what follows from them",
        configure("experiments", EXPERIMENT, "seeds", value=[1, 2, 3]),
        after_design(),
    ),
    Rerun(
        "the order of `factors`",
        "the design and what is written from it; no run is trained or published",
        reverse("experiments", EXPERIMENT, "factors"),
        after_design(),
    ),
    Rerun(
        "an experiment's data file",
        "the design, all of its runs, and what follows",
        append(
            "resources/mini_reviews/train.csv", "t9999,A gem from start to end.,1,plain,film,0\n"
        ),
        after_design(),
    ),
    Rerun(
        "a module of training",
        "all runs, and what follows; not the designs",
        append("scripts/tunescape/training/engine.py"),
        after_training(),
    ),
    Rerun(
        "a config schema, a README, a test",
        "nothing",
        append("docs/config.md"),
        [],
    ),
]


def changed_copy(finished: Path, target: Path) -> Path:
    """A copy of the finished study with the same modification times."""
    shutil.copytree(finished, target, symlinks=True)
    return target


@pytest.mark.parametrize("rerun", RERUNS, ids=lambda rerun: rerun.what)
def test_edit_causes_exactly_these_jobs(finished: Path, tmp_path: Path, rerun: Rerun) -> None:
    project = changed_copy(finished, tmp_path / "study")
    rerun.edit(project)
    outcome = snakemake(project, "--dry-run")
    assert outcome.returncode == 0, outcome.output[-3000:]
    found = list(outcome.jobs)
    if any(job.startswith("finetune_pack") for job in rerun.expected):
        # Behind a pending checkpoint: Snakemake lists them or not, as its sets are ordered.
        found = [job for job in found if not job.startswith("publish_run")]
    assert found == sorted(rerun.expected)
    if not rerun.expected:
        assert "Nothing to be done" in outcome.output


def test_one_more_card_redoes_its_bucket_only(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    path = project / "resources/hub_snapshot.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    record = json.loads(lines[0])
    record["id"] = "someone/one-more-model"
    path.write_text("".join(sorted([*lines, json.dumps(record) + "\n"])), encoding="utf-8")
    bucket = [bucket_of(record["id"], len(BUCKETS))]
    outcome = snakemake(project, "results/hub/features.parquet")
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert list(outcome.jobs) == sorted(
        [
            "build_features",
            "split_source",
            *jobs("harvest_models", bucket=bucket),
            *jobs("parse_cards", bucket=bucket),
        ]
    )
    following = snakemake(project, "--dry-run")
    assert list(following.jobs) == sorted(after_sample())


def rerun_table() -> str:
    lines = ["| edit | what runs again |", "| --- | --- |"]
    lines += [f"| {rerun.what} | {rerun.said} |" for rerun in RERUNS]
    lines.append("| one card added, changed or removed | its bucket, and what follows |")
    return "\n".join(lines)


def test_readme_holds_the_rerun_table(root: Path) -> None:
    assert rerun_table() in (root / "README.md").read_text(encoding="utf-8")
