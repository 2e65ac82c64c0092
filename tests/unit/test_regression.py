"""One regression from features to files, and the comparison with published tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tunescape.errors import UserError
from tunescape.regression import (
    COEFFICIENT_COLUMNS,
    adjust_family,
    compare_published,
    fit_population,
    map_published_terms,
    plain,
    regress,
    regress_published,
)
from tunescape.surface import polynomial_terms

PUBLISHED = Path(__file__).parents[2] / "resources" / "published_tables.csv"
BASELINE = {
    "learning_rate": 1e-5, "train_batch_size": 32, "num_epochs": 3,
    "accuracy": 0.9106, "f1": 0.9137, "loss": 0.3901,
}  # fmt: skip
FACTORS = {"learning_rate": "log", "train_batch_size": "log", "num_epochs": "linear"}
SPEC = {
    "metric": "accuracy",
    "view": "absolute",
    "factors": FACTORS,
    "baseline": {"model": "someone/base", "values": BASELINE},
    "wild_draws": 99,
}


def models(n: int = 150, owners: int = 20, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    owner = [f"owner{i:02d}" for i in rng.integers(0, owners, n)]
    frame = pd.DataFrame(
        {
            "id": [f"{o}/model-{i}" for i, o in enumerate(owner)],
            "owner": owner,
            "base_model": "distilbert-base-uncased-finetuned-sst-2-english",
            "dataset": rng.choice(["imdb", "sst2"], n),
            "learning_rate": rng.choice([1e-6, 1e-5, 2e-5, 5e-5, 3e-4], n),
            "train_batch_size": rng.choice([8.0, 16.0, 32.0, 64.0], n),
            "num_epochs": rng.choice([1.0, 2.0, 3.0, 5.0, 10.0], n),
            "n_eval": 872.0,
            "task": "text-classification",
            "model_type": "distilbert",
            "base_chain": "distilbert-base-uncased",
            "flags": "",
            "exclude_reason": None,
            "duplicate_of": None,
        }
    )
    x = np.log(frame["learning_rate"] / 2e-5)
    frame["accuracy"] = 0.9 + 0.01 * x - 0.004 * x**2 + rng.normal(0, 0.01, n)
    frame["loss"] = 0.3 + rng.normal(0, 0.05, n)
    frame["f1"] = np.nan
    return frame


def fit(frame: pd.DataFrame, **changes: object):
    return fit_population(frame, {**SPEC, **changes})


def test_files_are_complete_and_deterministic(tmp_path: Path) -> None:
    models().to_parquet(tmp_path / "features.parquet")
    for turn in ("a", "b"):
        out = [
            tmp_path / turn / name for name in ("coefficients.csv", "fit.json", "diagnostics.csv")
        ]
        regress(tmp_path / "features.parquet", choice(tmp_path), *out, SPEC)
    for name in ("coefficients.csv", "fit.json", "diagnostics.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    table = pd.read_csv(tmp_path / "a" / "coefficients.csv")
    assert list(table.columns) == list(COEFFICIENT_COLUMNS)
    assert table["term"].tolist() == [t.name for t in polynomial_terms(list(FACTORS))]
    numbers = [
        "estimate",
        "se_classical",
        "se_cr3",
        "p_cr3",
        "p_wild",
        "raw_estimate",
        "raw_se_cr3",
    ]
    assert np.isfinite(table[numbers]).all().all()
    summary = json.loads((tmp_path / "a" / "fit.json").read_text())
    assert summary["status"] == "ok" and summary["rank"] == 10 and summary["r2_kind"] == "centred"
    assert summary["n"] == 150 and summary["owners"] == 20 and summary["datasets"] == 2
    rows = pd.read_csv(tmp_path / "a" / "diagnostics.csv")
    assert len(rows) == 150 and rows["leverage"].sum() == pytest.approx(10)
    assert np.allclose(rows["response"] - rows["fitted"], rows["residual"])


def test_rows_may_come_in_any_order() -> None:
    frame = models()
    one, two = fit(frame), fit(frame.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(one.coefficients, two.coefficients)
    pd.testing.assert_frame_equal(one.diagnostics, two.diagnostics)
    assert plain(one.summary) == plain(two.summary)


@pytest.mark.parametrize("published_form", [False, True])
def test_views_are_one_model(published_form: bool) -> None:
    absolute = fit(models(), published_form=published_form)
    relative = fit(models(), view="relative", published_form=published_form)
    for result in (absolute, relative):
        identity = result.summary["identity"]
        assert identity["checked"] and identity["holds"] and identity["max_difference"] < 1e-8
    second = absolute.coefficients["kind"].isin(["quadratic", "interaction"])
    for column in ("raw_estimate", "raw_se", "raw_se_cr3", "raw_p_cr3"):
        a = absolute.coefficients.loc[second, column].to_numpy()
        b = relative.coefficients.loc[second, column].to_numpy()
        assert np.allclose(a, b, rtol=1e-8)
    assert absolute.summary["r2"] == pytest.approx(relative.summary["r2"], abs=1e-12)
    gap = absolute.diagnostics["fitted"] - relative.diagnostics["fitted"]
    assert np.allclose(gap, BASELINE["accuracy"], atol=1e-12)


def test_the_identity_is_not_claimed_where_it_fails() -> None:
    without = fit(models(), intercept=False).summary["identity"]
    assert without["checked"] and not without["holds"] and "intercept" in without["reason"]
    assert without["max_difference"] > 1e-3
    link = fit(models(), link="logit").summary["identity"]
    assert not link["checked"] and "link" in link["reason"]


def test_a_rank_deficient_population_with_one_large_uploader_says_so() -> None:
    frame = models()
    frame["owner"] = np.where(np.arange(len(frame)) < 90, "prolific", frame["owner"])
    frame["num_epochs"] = frame["train_batch_size"]
    result = fit(
        frame,
        factors={"learning_rate": "log", "train_batch_size": "linear", "num_epochs": "linear"},
    )
    assert result.summary["status"] == "rank_deficient"
    said = " ".join(result.summary["statements"])
    assert "4 of 9 terms not estimable" in said
    assert "60% of rows come from one uploader" in said
    table = result.coefficients.set_index("term")
    aliased = table[~table["estimable"]]
    assert len(aliased) == 4 and aliased[["estimate", "p_classical", "p_cr3"]].isna().all().all()
    assert (aliased["aliased_with"] != "").all()


def test_cr3_that_does_not_exist_is_recorded_and_left_empty() -> None:
    frame = models()
    frame.loc[frame["owner"] != "owner00", "num_epochs"] = 3.0
    result = fit(frame)
    cr3 = result.summary["covariance"]["cr3"]
    assert not cr3["exists"] and "owner00" in cr3["blocking"]["num_epochs"]
    row = result.coefficients.set_index("term").loc["num_epochs"]
    assert np.isnan(row["p_cr3"]) and np.isnan(row["ci_low"]) and np.isfinite(row["p_classical"])
    assert np.isnan(row["p_wild"])
    assert any("CR3 does not exist" in s for s in result.summary["statements"])


CASES = {
    "empty": (lambda f: f.iloc[:0], {}, "no model states accuracy"),
    "metric nobody has": (lambda f: f, {"metric": "f1"}, "no model states f1"),
    "metric without a column": (lambda f: f, {"metric": "roc_auc"}, "no such column"),
    "fewer rows than terms": (lambda f: f.iloc[:9], {}, "9 complete rows are fewer than the 10"),
    "constant factors": (
        lambda f: f.assign(learning_rate=1e-5, train_batch_size=8.0, num_epochs=3.0), {},
        "every factor is constant",
    ),
    "constant metric": (lambda f: f.assign(accuracy=0.9), {}, "is the same in all"),
    "no baseline": (lambda f: f, {"view": "relative", "baseline": {}}, "baseline states no"),
    "no metric": (lambda f: f, {"metric": "f1"}, "no model states f1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_fitted_gives_a_reason(name: str, tmp_path: Path) -> None:
    change, options, reason = CASES[name]
    change(models()).to_parquet(tmp_path / "f.parquet")
    out = [tmp_path / n for n in ("c.csv", "fit.json", "d.csv")]
    regress(tmp_path / "f.parquet", choice(tmp_path), *out, {**SPEC, **options})
    summary = json.loads(out[1].read_text())
    assert summary["status"] == "not_fitted" and reason in summary["reason"]
    table = pd.read_csv(out[0])
    assert len(table) == 10 and table["estimate"].isna().all() and not table["estimable"].any()
    rows = pd.read_csv(out[2])
    assert rows.empty and set(fit(models()).diagnostics.columns) == set(rows.columns)


@pytest.mark.parametrize("keep", [10, 11, 12])
def test_tiny_and_single_owner_populations_are_fitted_with_open_eyes(keep: int) -> None:
    frame = models().iloc[:keep].assign(owner="one")
    result = fit(frame)
    assert result.summary["status"] in ("ok", "rank_deficient")
    assert "one cluster" in result.summary["covariance"]["cr3"]["reason"]
    assert result.coefficients["p_cr3"].isna().all()
    json.dumps(plain(result.summary), allow_nan=False)


def test_a_constant_factor_is_aliased_not_fatal() -> None:
    result = fit(models().assign(num_epochs=3.0))
    table = result.coefficients.set_index("term")
    gone = ["num_epochs", "learning_rate:num_epochs", "train_batch_size:num_epochs", "num_epochs^2"]
    assert not table.loc[gone, "estimable"].any() and table["estimable"].sum() == 6


def test_factors_that_were_not_chosen_are_left_out_and_named(tmp_path: Path) -> None:
    models().to_parquet(tmp_path / "s.parquet")
    out = [tmp_path / n for n in ("c.csv", "fit.json", "d.csv")]
    chosen = choice(tmp_path, num_epochs="fewer than 3 distinct values")
    regress(tmp_path / "s.parquet", chosen, *out, SPEC)
    summary = json.loads(out[1].read_text())
    assert summary["factors"] == ["learning_rate", "train_batch_size"]
    assert summary["left_out"] == {"num_epochs": "fewer than 3 distinct values"}
    assert any("num_epochs" in said and "left out" in said for said in summary["statements"])
    assert len(pd.read_csv(out[0])) == 6

    chosen = choice(tmp_path, **dict.fromkeys(FACTORS, "fewer than 30 models"))
    regress(tmp_path / "s.parquet", chosen, *out, SPEC)
    summary = json.loads(out[1].read_text())
    assert summary["status"] == "not_fitted"
    assert "num_epochs: fewer than 30 models" in summary["reason"]


def choice(folder: Path, **reasons: str) -> Path:
    """A table of what is analysed, with the reasons of what is not."""
    rows = [
        {
            "population": "p", "metric": metric, "hyperparameter": name, "rows": 150,
            "settings": 5, "chosen": name not in reasons, "reason": reasons.get(name, ""),
        }
        for metric in ("accuracy", "f1", "loss")
        for name in FACTORS
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "chosen.csv", index=False)
    return folder / "chosen.csv"


def test_weights_effects_and_links_are_options() -> None:
    frame = models()
    frame["n_eval"] = np.where(np.arange(len(frame)) % 2, 100.0, 1000.0)
    frame.loc[0, "n_eval"] = np.nan
    weighted = fit(frame, weights="n_eval")
    assert weighted.summary["n"] == 149
    assert set(weighted.diagnostics["weight"].round(6)) == set(
        (weighted.diagnostics["n_eval"] / weighted.diagnostics["n_eval"].mean()).round(6)
    )
    effects = fit(frame, effects=["dataset"])
    assert effects.summary["effects"] == 1 and len(effects.coefficients) == 10
    squeezed = fit(frame, link="logit")
    assert squeezed.summary["impossible"]["grid"] == 0
    noise = fit(models()).summary["sampling_noise"]
    share = models()["accuracy"].mean()
    assert noise["statement"] == "1 point is 8.7 examples of 872"
    assert noise["se"] == pytest.approx(np.sqrt(share * (1 - share) / 872))


def test_impossible_predictions_are_counted_in_both_views() -> None:
    frame = models()
    frame["accuracy"] = np.clip(frame["accuracy"] + 0.12, 0, 1)
    absolute, relative = fit(frame), fit(frame, view="relative")
    assert absolute.summary["impossible"]["rows"] == absolute.diagnostics["impossible"].sum() > 0
    assert absolute.summary["impossible"]["rows"] == relative.summary["impossible"]["rows"]


def test_multiplicity_is_over_all_tables() -> None:
    tables = [fit(models(), metric=m).coefficients for m in ("accuracy", "loss", "f1")]
    found = adjust_family(tables)
    assert len(found) == 27 and (found["family"] == 18).all()
    assert (found["holm"].dropna() >= found["p"].dropna()).all()
    assert found.loc[found["metric"] == "f1", "holm"].isna().all()


def test_published_terms_are_identified_from_the_printed_numbers() -> None:
    published = pd.read_csv(PUBLISHED)
    mapping, scores = map_published_terms(published, list(reversed(FACTORS)), BASELINE)
    assert [mapping[f"x{i}"] for i in range(1, 10)] == [
        t.name for t in polynomial_terms(list(FACTORS), intercept=False)
    ]
    best, second = scores.iloc[0], scores.iloc[1]
    assert best["magnitude"] == second["magnitude"] == 1.0 > scores.iloc[2]["magnitude"]
    assert best["shift"] < 0.6 * 0.8 and second["shift"] > 0.7
    # The one metric whose two tables both have a constant says so by itself.
    accuracy = published[published["metric"] == "accuracy"]
    assert map_published_terms(accuracy, list(FACTORS), BASELINE)[0] == mapping


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_term_identification_on_tables_of_our_own(order: tuple[int, ...]) -> None:
    names = [list(FACTORS)[i] for i in order]
    lines = []
    for view in ("absolute", "relative"):
        result = fit(
            models(), view=view, published_form=True, factors=dict.fromkeys(names, "linear")
        )
        body = result.coefficients.iloc[1:]
        lines += [
            {"metric": "accuracy", "view": view, "term": f"x{i + 1}", "coef": b}
            for i, b in enumerate(body["raw_estimate"])
        ]
    mapping, scores = map_published_terms(pd.DataFrame(lines), list(FACTORS), BASELINE)
    assert [mapping[f"x{i}"] for i in (1, 2, 3)] == names
    assert scores.iloc[0]["shift"] < 1e-6


def test_comparison_sets_named_terms_side_by_side(tmp_path: Path) -> None:
    models().to_parquet(tmp_path / "f.parquet")
    regress_published(
        tmp_path / "f.parquet", PUBLISHED, tmp_path / "t.csv", tmp_path / "m.json", SPEC
    )
    table = pd.read_csv(tmp_path / "t.csv")
    assert len(table) == len(pd.read_csv(PUBLISHED))
    x7 = table[(table["published_term"] == "x7") & (table["table"] == 1)].iloc[0]
    assert x7["term"] == "train_batch_size^2" and x7["published_coef"] == -0.001
    assert np.isfinite(x7["coef"])
    assert table.loc[table["metric"] == "f1", "coef"].isna().all()
    assert json.loads((tmp_path / "m.json").read_text())["mapping"]["x2"] == "train_batch_size"
    empty = compare_published({}, pd.read_csv(PUBLISHED), {"x1": "learning_rate"})
    assert len(empty) == len(table)


def test_bad_specifications_are_refused() -> None:
    with pytest.raises(UserError, match="metric"):
        fit_population(models(), {"factors": FACTORS})
    with pytest.raises(UserError, match="view"):
        fit(models(), view="sideways")
