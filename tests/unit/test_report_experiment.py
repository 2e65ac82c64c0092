"""The experiment on the page: its runs are called runs, what failed is said, both arms are held."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from experiment_tables import experiment, regress_runs, write_contrast, write_experiment
from test_report import EVIL, Page, make_inputs, report_spec
from tunescape.figures.contrast import draw_contrast
from tunescape.figures.of_experiment import draw_experiment
from tunescape.regression import adjust_study
from tunescape.report import numbers, write_report
from tunescape.report.data import RUNS, read_inputs
from tunescape.report.sections.experiments import duration, in_words
from tunescape.tables import read_json, read_table

NAME = "made-up"


def add_experiment(inputs: dict[str, Any], folder: Path, failed: int = 0, **changes: Any) -> None:
    """Put an experiment, its regressions and its contrast beside a study's inputs."""
    spec = experiment(folder, NAME, **changes)
    written = write_experiment(folder, spec, failed, f"the loss is not a number {EVIL}")
    places = [regress_runs(written, metric) for metric in ("accuracy", "loss")]
    held = write_contrast(written, folder, "accuracy", aliased=True)
    drawings = folder / "figures"
    own = [drawings / "experiments" / NAME / f"{kind}.svg" for kind in ("design", "learning")]
    tables = written.tables("design.csv", "diagnostics.csv", "design.json", "history.csv")
    draw_experiment(*tables, own, {})
    forest = drawings / "contrast" / "hub" / NAME / "accuracy.svg"
    draw_contrast(held / "contrast.csv", [forest], {"metric": "accuracy"})
    inputs["fits"] = [*inputs["fits"], *(place / "fit.json" for place in places)]
    inputs["coefficients"] = [
        *inputs["coefficients"],
        *(place / "coefficients.csv" for place in places),
    ]
    inputs["family"] = folder / "family.csv"
    adjust_study(inputs["coefficients"], inputs["family"])
    inputs["figures"] = [*inputs["figures"], *own, forest]
    inputs |= {
        "designs": [written.folder / "design.csv"],
        "design_summaries": [written.folder / "design.json"],
        "design_diagnostics": [written.folder / "diagnostics.csv"],
        "runs": [written.folder / "runs.csv"],
        "timings": sorted(written.runs.glob("*/timing.json")),
        "contrasts": [held / "contrast.csv"],
        "contrast_summaries": [held / "contrast.json"],
    }


def told(sizes: dict[str, int]) -> dict[str, Any]:
    spec = report_spec(sizes)
    own = {
        "model": f"owner/model{EVIL}",
        "task": "toy",
        "method": "full",
        "fixed": {"dropout": 0.1},
    }
    return {**spec, "experiments": [NAME], "config": {"experiments": {NAME: own}}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A population alone."""
    return make_inputs(tmp_path_factory.mktemp("base"), {"first": 80})


@pytest.fixture(scope="module")
def study(
    base: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """The population and an experiment of which two runs failed."""
    folder = tmp_path_factory.mktemp("study")
    inputs = dict(base)
    add_experiment(inputs, folder, failed=2, seeds=[1, 2])
    spec = told({"first": 80})
    write_report(inputs, folder / "report.html", spec)
    return inputs, spec, folder / "report.html"


def section(path: Path, name: str) -> str:
    """Text of one section."""
    html = path.read_text(encoding="utf-8")
    body = re.search(rf'<section id="{name}".*?</section>', html, re.DOTALL)
    assert body is not None, name
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body[0]))


def test_page_stays_well_formed_and_escaped(study: Any) -> None:
    html = study[2].read_text(encoding="utf-8")
    page = Page(study[2])
    assert not page.open and len(page.ids) == len(set(page.ids))
    assert all(link[1:] in page.ids for link in page.links)
    assert "<script" not in html and EVIL in page.text
    assert "built-in" not in html and "Undefined" not in html and "0x7" not in html
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption")
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")


def test_what_was_run_is_said(study: Any) -> None:
    said = section(study[2], "experiments")
    assert "30 runs at 13 settings, 28 trained, 2 lost" in said
    assert "2 runs failed" in said and "the loss is not a number" in said
    assert "box behnken" in said and "Held fixed dropout 0.1" in said
    assert "3e−5, 9.48683e−5, 3e−4" in said or "3e−5, 9.49e−5, 3e−4" in said
    predicted = read_json(study[0]["design_summaries"][0])["cost"]["core_seconds"]
    assert f"{duration(predicted)} on one core" in said
    assert "56 s in training and evaluation (28 of 30 runs timed)" in said
    for sentence in read_json(study[0]["design_summaries"][0])["statements"][:2]:
        assert sentence in said
    [accuracy] = [p for p in study[0]["fits"] if p.parts[-4:-1] == (NAME, "absolute", "accuracy")]
    lack = read_json(accuracy)["lack_of_fit"]
    spread = math.sqrt(lack["ss_pure"] / lack["df_pure"])
    assert f"repeated settings differed by a standard deviation of {spread:.4f}" in said
    assert said.count("Regression of") == 2 and "Learning curves of made-up" in said


def test_runs_are_not_called_models_of_uploaders(study: Any) -> None:
    experiments = section(study[2], "experiments")
    assert "28 runs, 12 configurations" in experiments
    for word in ("uploader", "owners", "models,"):
        assert word not in experiments
    trust = section(study[2], "trust").partition(NAME)[2]
    assert "Configurations" in trust and "df, pure error" in trust and "Uploaders" not in trust
    assert "28 runs of" in trust and "uploader" not in trust
    assert "absolute and relative views" not in trust
    regressions = section(study[2], "regressions")
    assert NAME not in regressions and "first" in regressions


def test_answer_gives_the_experiment_a_verdict(study: Any) -> None:
    own = section(study[2], "answer").partition(NAME)[2]
    assert "28 runs" in own and "beyond noise" in own and "learning rate" in own.lower()
    assert "tests of this experiment" in own and "settings and seed alone" in own
    assert "uploader" not in own


def test_holm_of_an_experiment_is_over_its_own_terms(study: Any) -> None:
    from tunescape.inference import adjust_p

    inputs, spec, _ = study
    data = read_inputs(inputs, spec)
    own = [a for a in data.analyses if a.nouns == RUNS]
    assert {a.population for a in own} == {NAME} and len(own) == 2
    assert data.populations == ("first",) and data.experiments == (NAME,)
    tables = [a.table[a.table["kind"] != "intercept"] for a in own]
    p = pd.concat([t[f"p_{a.error}"] for a, t in zip(own, tables, strict=True)])
    found = pd.concat([t["p_holm"] for t in tables])
    assert found.to_numpy() == pytest.approx(adjust_p(p.to_numpy(dtype=float), "holm"))


def test_contrast_shows_both_arms_and_what_cannot_be_compared(study: Any) -> None:
    said = section(study[2], "contrast")
    assert "What the Hub suggests and what the experiment finds" in said
    summary = read_json(study[0]["contrast_summaries"][0])
    table = read_table(study[0]["contrasts"][0]).set_index("term")
    assert f"{summary['signs']['compared']} of 9" in said
    assert said.count("not compared:") >= len(summary["not_comparable"]) > 0
    assert numbers.significant(table.loc["learning_rate", "experiment_estimate"], 4) in said
    assert f"{summary['signs']['same']} of {summary['signs']['compared']} terms agree" in said
    for statement in summary["statements"]:
        words = in_words(statement, [c["name"] for c in summary["coding"]])
        assert words[:40] in said
    assert "num_epochs" not in said


def test_one_seed_rests_on_classical_errors_and_says_so(
    base: dict[str, Any], tmp_path: Path
) -> None:
    inputs = dict(base)
    add_experiment(inputs, tmp_path)
    write_report(inputs, tmp_path / "r.html", told({"first": 80}))
    assert "p (classical)" in section(tmp_path / "r.html", "answer").partition(NAME)[2]
    said = section(tmp_path / "r.html", "experiments")
    assert "so the classical errors serve" in said and "all trained" in said
    assert "15 runs, 13 configurations" in said


def test_same_tables_same_bytes(study: Any, tmp_path: Path) -> None:
    inputs, spec, out = study
    write_report(inputs, tmp_path / "again.html", spec)
    assert out.read_bytes() == (tmp_path / "again.html").read_bytes()


def test_a_study_without_experiments_has_no_such_sections(
    base: dict[str, Any], tmp_path: Path
) -> None:
    write_report(base, tmp_path / "r.html", report_spec({"first": 80}))
    page = Page(tmp_path / "r.html")
    assert not {"experiments", "contrast"} & set(page.ids)


def test_samples_that_cannot_be_compared_are_said(study: Any, tmp_path: Path) -> None:
    inputs, spec, _ = study
    written = write_experiment(tmp_path, experiment(tmp_path, NAME))
    held = write_contrast(written, tmp_path, "loss", rows=1)
    changed = {
        **inputs,
        "contrasts": [held / "contrast.csv"],
        "contrast_summaries": [held / "contrast.json"],
    }
    write_report(changed, tmp_path / "r.html", spec)
    assert "not compared: hub: 1 rows with loss" in section(tmp_path / "r.html", "contrast")


def test_words_and_durations() -> None:
    names = ["learning_rate", "num_epochs"]
    said = in_words("learning_rate:num_epochs^2 is -0.2 at 9.5e-05 in my_learning_rate-x", names)
    assert said == "learning rate × epochs² is −0.2 at 9.5e−05 in my_learning_rate-x"
    assert in_words("F(2, 5) - 1 a-b", []) == "F(2, 5) − 1 a-b"
    assert [duration(s) for s in (59.6, 300, 7200)] == ["60 s", "5 min", "2.0 h"]
