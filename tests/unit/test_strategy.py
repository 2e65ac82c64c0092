"""The strategy map: grades follow their rules, and every number in the prose is a table cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from study_tables import FACTORS, analyse, models, regression_spec
from tunescape.errors import UserError
from tunescape.regression import adjust_study, regress
from tunescape.specification import SUMMARY_COLUMNS
from tunescape.strategy import (
    SEPARATOR,
    Book,
    TermEvidence,
    Thresholds,
    grade_term,
    map_strategy,
    unresolved_numbers,
    weakest,
)
from tunescape.tables import read_table, write_table

METRICS, VIEWS = ("accuracy", "loss"), ("absolute", "relative")
STRONG = TermEvidence(
    estimable=True, confounded=False, slope=True, p_classical=1e-6, p_cr3=1e-4, holm=0.01,
    p_wild=0.001, share_sign=1.0, share_significant=0.8, owner_r2=0.4, raw_p=(1e-4, 1e-3),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "grade", "rule"),
    [
        ({}, "supported", "all_criteria"),
        ({"estimable": False}, "no evidence", "not_estimable"),
        ({"p_cr3": np.nan}, "no evidence", "no_cluster_error"),
        ({"confounded": True}, "artefact", "confounded"),
        ({"p_cr3": 0.2, "p_wild": 0.3}, "artefact", "only_at_an_origin"),
        ({"p_cr3": 0.2, "p_wild": 0.3, "slope": False}, "artefact", "only_without_clusters"),
        ({"p_cr3": 0.2, "p_wild": 0.01}, "fragile", "fails: cluster_robust"),
        (
            {"p_cr3": 0.2, "p_wild": 0.3, "slope": False, "p_classical": 0.1},
            "no evidence",
            "not_significant",
        ),
        ({"holm": 0.2}, "fragile", "fails: holm"),
        ({"p_wild": np.nan}, "fragile", "fails: wild_bootstrap"),
        ({"share_sign": 0.8}, "fragile", "fails: specifications"),
        ({"share_significant": 0.4}, "fragile", "fails: specifications"),
        ({"owner_r2": -0.1}, "fragile", "fails: owners_left_out"),
        ({"raw_p": (1e-4, 0.3)}, "fragile", "fails: views"),
        ({"raw_p": (1e-4, 0.3), "slope": False}, "supported", "all_criteria"),
        (
            {"designed": True, "share_sign": np.nan, "share_significant": np.nan, "p_wild": np.nan},
            "supported",
            "all_criteria_of_an_experiment",
        ),
        ({"designed": True, "p_wild": 0.3}, "fragile", "fails: wild_bootstrap"),
        (
            {"p_wild": np.nan, "share_sign": np.nan},
            "fragile",
            "fails: wild_bootstrap, specifications",
        ),
    ],
)
def test_each_rule_gives_its_grade(change, grade, rule):
    assert grade_term(replace(STRONG, **change), Thresholds()) == (grade, rule)


def test_weakest_grade():
    assert weakest(["supported", "fragile", "artefact"]) == "artefact"
    assert weakest(["supported", "no evidence"]) == "no evidence"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A study whose accuracy and loss bend with the learning rate and with nothing else."""
    root = tmp_path_factory.mktemp("analysis")
    coefficients, fits, summaries = [], [], []
    for metric in METRICS:
        for view in VIEWS:
            folder = analyse(models(200, seed=7), root / "p" / view / metric, metric, view)
            spec = {**regression_spec(metric, view), "wild_draws": 499}
            regress(
                folder / "sample.parquet", folder / "chosen.csv", folder / "coefficients.csv",
                folder / "fit.json", folder / "diagnostics.csv", spec,
            )  # fmt: skip
            coefficients.append(folder / "coefficients.csv")
            fits.append(folder / "fit.json")
        terms = [t for t in read_table(coefficients[-1])["term"] if t != "intercept"]
        summary = pd.DataFrame(
            {**dict.fromkeys(SUMMARY_COLUMNS, 0), "metric": metric, "term": terms, "decision": "all",
             "level": "", "share_sign": 0.97, "share_significant_sign": 0.62}
        )  # fmt: skip
        path = root / "p" / "specifications" / metric / "summary.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(summary, path)
        summaries.append(path)
    adjust_study(coefficients, root / "family.csv")
    out = root / "p" / "strategy.csv"
    spec = {"population": "p", "metrics": METRICS, "views": VIEWS}
    map_strategy(coefficients, fits, summaries, root / "family.csv", out, spec)
    return root, pd.read_csv(out, keep_default_na=False)


def test_every_number_in_the_prose_is_a_cell(results):
    root, table = results
    assert unresolved_numbers(table, root) == []
    digits = table["text"].str.contains(r"\d\.\d")
    assert digits.sum() > 20
    book = Book(root)
    for cells in table["cells"]:
        assert cells
        for cell in cells.split(SEPARATOR):
            book.value(cell)


def test_an_edited_sentence_or_table_is_found(results, tmp_path):
    root, table = results
    at = table.index[table["id"] == "curvature.accuracy.learning_rate^2"][0]
    forged = table.copy()
    forged.loc[at, "text"] = forged.loc[at, "text"].replace("97%", "99%")
    assert unresolved_numbers(forged, root) == ["curvature.accuracy.learning_rate^2: 99%"]
    forged.loc[at, "text"] = table.loc[at, "text"] + " in 12 of 15 studies"
    assert len(unresolved_numbers(forged, root)) == 2
    forged = table.iloc[[at]].assign(cells=table.loc[at, "cells"].replace("^2", "^3"))
    with pytest.raises(UserError, match="0 rows"):
        unresolved_numbers(forged, root)


def test_grades_know_the_truth(results):
    _, table = results
    grade = table.set_index("id")["grade"]
    assert grade["curvature.accuracy.learning_rate^2"] == "supported"
    assert grade["curvature.loss.learning_rate^2"] == "supported"
    assert grade["metrics.learning_rate^2"] == "supported"
    assert grade["first.accuracy.learning_rate"] == "supported"
    assert grade["views.accuracy.second_order"] == "identity"
    assert (table["grade"] == "identity").sum() == 2  # one a metric
    idle = [i for i in grade.index if i.startswith(("effect", "curvature", "interaction"))]
    idle = [i for i in idle if "learning_rate" not in i]
    assert len(idle) == 10
    assert "supported" not in set(grade[idle])
    assert table["id"].is_unique
    assert set(table["grade"]) <= {"supported", "fragile", "artefact", "no evidence", "identity"}
    assert (table["rule"] != "").all()


def test_statements_cover_orders_terms_views_and_metrics(results):
    _, table = results
    kinds = table["kind"].value_counts()
    assert kinds["first"] == kinds["last"] == 2
    assert kinds["effect"] == kinds["curvature"] == kinds["interaction"] == 6
    assert kinds["metrics"] == 9
    assert kinds["views"] == 2 * (1 + len(FACTORS))
    assert kinds["cross effect"] == len(FACTORS)
    bends = table.set_index("id")["text"]
    assert "bends down" in bends["curvature.accuracy.learning_rate^2"]
    assert "the same way" in bends["metrics.learning_rate^2"]


def test_coded_terms_are_said_to_be_of_the_midpoint_of_the_range(results):
    _, table = results
    said = table[table["text"].str.contains("is significant in every view")]
    assert len(said) and said["text"].str.contains("at the midpoint of the range p").all()
    assert not table["text"].str.contains("middle of the data").any()


def test_a_metric_without_fit_says_so(tmp_path):
    folder = analyse(
        models(5, seed=1), tmp_path / "p" / "absolute" / "accuracy", "accuracy", "absolute"
    )
    adjust_study([folder / "coefficients.csv"], tmp_path / "family.csv")
    out = tmp_path / "strategy.csv"
    map_strategy(
        [folder / "coefficients.csv"], [folder / "fit.json"], [], tmp_path / "family.csv", out,
        {"population": "p", "metrics": ["accuracy"], "views": ["absolute"]},
    )  # fmt: skip
    table = pd.read_csv(out, keep_default_na=False)
    assert table["grade"].tolist() == ["no evidence"]
    assert "not fitted" in table["text"].iloc[0]
    assert unresolved_numbers(table, tmp_path) == []


def test_citations_stay_in_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises(UserError, match="out of the folder"):
        Book(tmp_path / "in").value("../secret.json#a")
