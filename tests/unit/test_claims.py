"""Claims: resolved to cells, judged by rule."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tunescape.audit import audit_claims, read_claims, read_study
from tunescape.audit.claims import CellClaim, judge, read_refits
from tunescape.audit.study import Audit, examine
from tunescape.audit.table import read_tables
from tunescape.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "resources" / "published_tables.csv"
CLAIMS = ROOT / "resources" / "claims.yaml"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED} is not there")
    out = tmp_path_factory.mktemp("claims") / "claims.csv"
    audit_claims(CLAIMS, PUBLISHED, None, out)
    return pd.read_csv(out, dtype=str, keep_default_na=False).set_index("id")


@pytest.fixture(scope="module")
def audit() -> Audit:
    return examine(read_tables(PUBLISHED), read_study(CLAIMS))


def claim(**given: object) -> CellClaim:
    base = {
        "id": "t",
        "study": "s",
        "kind": "cell",
        "where": "w",
        "statement": "s",
        "term": "words",
    }
    return CellClaim.model_validate({**base, **given})


def test_there_are_enough_claims_and_each_has_a_verdict(judged: pd.DataFrame) -> None:
    paper = judged[judged["study"] == "distilbert-variability"]
    assert len(paper) >= 30
    assert (judged["verdict"] != "").all() and (judged["why"] != "").all()
    parts = {where.split(",")[0] for where in paper["where"]}
    assert {"abstract", "results", "strategy map", "conclusions"} <= parts


@pytest.mark.parametrize(
    ("name", "cell", "cell_term", "verdict"),
    [
        ("abstract-1", "table 6 x2", "train_batch_size", "wrong_term"),
        ("abstract-3", "table 3 x2", "train_batch_size", "wrong_table"),
        ("abstract-4", "table 3 x3", "num_epochs", "wrong_term"),
        ("abstract-5", "table 5 x3", "num_epochs", "wrong_term"),
        ("abstract-6", "table 3 x9", "num_epochs^2", "wrong_term"),
        ("accuracy-1", "table 1 x2", "train_batch_size", "holds"),
        ("accuracy-3", "table 1 x7", "train_batch_size^2", "wrong_term"),
        ("accuracy-5", "table 2 x2", "train_batch_size", "fragile"),
        ("f1-3", "table 3 x8", "train_batch_size:num_epochs", "wrong_term"),
        ("loss-3", "table 5 x4", "learning_rate^2", "wrong_term"),
        ("loss-6", "table 6 x5", "learning_rate:train_batch_size", "wrong_term"),
        ("loss-7", "table 6 x7", "train_batch_size^2", "wrong_term"),
        ("strategy-1", "table 3 x2", "train_batch_size", "wrong_table"),
        ("strategy-2", "table 3 x3", "num_epochs", "wrong_table"),
        ("consistency-2", "table 3 x2", "train_batch_size", "does_not_survive"),
        ("consistency-4", "table 6 x2", "train_batch_size", "wrong_significance"),
        ("advice-1", "table 1 x3", "num_epochs", "not_significant"),
        ("advice-2", "table 6 x1", "learning_rate", "wrong_direction"),
    ],
)
def test_published_claims(
    judged: pd.DataFrame, name: str, cell: str, cell_term: str, verdict: str
) -> None:
    row = judged.loc[name]
    assert (row["cell"], row["cell_term"], row["verdict"]) == (cell, cell_term, verdict)


def test_what_the_table_says_of_the_named_term(judged: pd.DataFrame) -> None:
    row = judged.loc["abstract-1"]
    assert row["named_term_says"] == "table 6 x1: coef 1.735e+04, p 0.614"
    assert row["right_direction"] == "yes" and row["right_term"] == "no"
    assert judged.loc["loss-6", "right_direction"] == "no"
    assert judged.loc["accuracy-1", "label_also_names"] == "learning_rate"


def test_figures_of_the_small_studies(judged: pd.DataFrame) -> None:
    assert judged.loc["mrpc-1", "cell_says"] == "347"
    assert judged.loc["mrpc-4", "verdict"] == "within_noise"
    assert "3 examples of 408" in judged.loc["mrpc-4", "why"]
    assert judged.loc["mrpc-7", "why"] == "warmup_steps 50 is not among 100, 200"
    assert judged.loc["mrpc-10", "verdict"] == "contradicted"
    assert judged.loc["lora-1", "verdict"] == "undecidable"
    assert judged.loc["sample-1", "verdict"] == "contradicted"


def test_a_quoted_value_that_is_nowhere(audit: Audit) -> None:
    asked = claim(metric="f1", view="absolute", means="num_epochs", quantity="p", value="0.777")
    assert judge(asked, audit)["verdict"] == "not_found"


def test_the_label_decides_between_equal_values(audit: Audit) -> None:
    given = {"metric": "f1", "view": "absolute", "means": "num_epochs", "quantity": "p"}
    assert judge(claim(**given, value="0.001", label="X9"), audit)["cell"] == "table 3 x9"
    coarse = judge(claim(**given, value="0.00", label="x8"), audit)
    assert coarse["cell"] == "table 3 x8"


def refit(tmp_path: Path, **changes: object) -> Path:
    row = {
        "metric": "loss", "view": "relative", "term": "learning_rate", "estimable": True,
        "estimate": -0.4, "p_cr3": 0.01, "p_hc3": 0.2, "p_classical": 0.3, **changes,
    }  # fmt: skip
    path = tmp_path / "coefficients.csv"
    pd.DataFrame([row]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "agrees"),
        ({"estimate": 0.4}, "disagrees"),
        ({"p_cr3": 0.4}, "disagrees"),
        ({"p_cr3": None, "p_hc3": 0.03}, "agrees"),
        ({"estimable": False, "estimate": None}, "not estimable"),
        ({"metric": "f1"}, "not available"),
    ],
)
def test_a_refit_is_set_beside(
    tmp_path: Path, audit: Audit, changes: dict[str, object], verdict: str
) -> None:
    refits = read_refits([refit(tmp_path, **changes)])
    given = {"metric": "loss", "view": "relative", "means": "learning_rate"}
    asked = claim(**given, direction="negative", significant="yes")
    assert judge(asked, audit, refits)["refit"] == verdict


def test_refits_of_several_populations_may_differ(tmp_path: Path, audit: Audit) -> None:
    paths = []
    for name, estimate in (("small", -0.4), ("large", 0.4)):
        paths.append(tmp_path / name / "relative" / "loss" / "coefficients.csv")
        paths[-1].parent.mkdir(parents=True)
        refit(tmp_path, estimate=estimate).rename(paths[-1])
    asked = claim(
        metric="loss", view="relative", means="learning_rate", direction="negative",
        significant="yes",
    )  # fmt: skip
    row = judge(asked, audit, read_refits(paths))
    assert row["refit"] == "mixed"
    assert row["refit_says"].startswith("small relative: -0.4, p 0.01 (cr3); large relative: +0.4")


def test_claims_with_a_refit_file(tmp_path: Path) -> None:
    table = audit_claims(CLAIMS, PUBLISHED, [refit(tmp_path)], tmp_path / "c.csv")
    assert table.set_index("id").loc["abstract-1", "refit"] == "agrees"
    assert (tmp_path / "c.csv").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "not valid YAML"),
        ("studies: {}\nclaims: [{id: a}]", "claims.0"),
        (
            "studies: {}\nclaims: [{id: a, study: s, where: w, statement: s, kind: rows, n: 3}]",
            "unknown study",
        ),
    ],
)
def test_bad_claim_files_are_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        read_claims(path)
    with pytest.raises(UserError, match="no such file"):
        read_claims(tmp_path / "none.yaml")
