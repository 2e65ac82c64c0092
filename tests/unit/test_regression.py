"""One regression from features to files, and the comparison with published tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tunescape.errors import UserError
from tunescape.regression import (
    COEFFICIENT_COLUMNS,
    adjust_family,
    adjust_study,
    check_views,
    compare_published,
    fit_population,
    map_published_terms,
    plain,
    regress,
    regress_published,
)
from tunescape.surface import polynomial_terms
from tunescape.tables import read_table, write_json, write_table

PUBLISHED = Path(__file__).parents[2] / "resources" / "published_tables.csv"
BASELINE = {
    "learning_rate": 1e-5, "train_batch_size": 32, "num_epochs": 3,
    "accuracy": 0.9106, "f1": 0.9137, "loss": 0.3901,
}  # fmt: skip
FACTORS = {"learning_rate": "log", "train_batch_size": "log", "num_epochs": "linear"}
VIEWS = ("absolute", "relative")
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
    lacking = {"model": "someone/base", "values": {"learning_rate": 1e-5}}
    nothing = fit(models(), baseline=lacking).summary["identity"]
    assert not nothing["checked"] and "the baseline states no" in nothing["reason"]


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


def test_sizes_fall_back_to_the_next_error_that_exists() -> None:
    frame = models()
    frame.loc[:49, "owner"] = "owner00"
    frame.loc[frame["owner"] != "owner00", "num_epochs"] = 3.0
    table = fit(frame).coefficients.set_index("term")
    judged = table[table["estimable"]]
    lost = judged["se_cr3"].isna()
    assert lost.any() and (judged.loc[lost, "size_error"] == "hc3").all()
    assert (judged.loc[~lost, "size_error"] == "cr3").all() and not lost.all()
    row = judged.loc["num_epochs"]
    factor = stats.t.ppf(0.975, row["df_classical"]) + stats.t.ppf(0.8, row["df_classical"])
    assert row["detectable_effect"] == pytest.approx(factor * row["se_hc3"])
    reach = stats.t.ppf(0.95, row["df_classical"]) * row["se_hc3"]
    assert row["equivalence_bound"] == pytest.approx(abs(row["estimate"]) + reach)
    # One row alone at another level: HC3 does not exist either.
    frame["num_epochs"] = np.where(frame.index == 4, 5.0, 3.0)
    alone = fit(frame, degree=1).coefficients.set_index("term").loc["num_epochs"]
    assert alone["size_error"] == "classical" and np.isnan(alone["se_hc3"])
    factor = stats.t.ppf(0.975, alone["df_classical"]) + stats.t.ppf(0.8, alone["df_classical"])
    assert alone["detectable_effect"] == pytest.approx(factor * alone["se_classical"])
    assert not table.loc[~table["estimable"], "size_error"].str.len().any()


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


def test_rows_without_a_data_set_are_no_data_sets_of_their_own() -> None:
    frame = models()
    frame["dataset"] = np.resize(["imdb", "sst2", "yelp"], len(frame))
    frame.loc[frame.index % 5 == 0, "dataset"] = None
    frame.loc[7, "dataset"] = ""
    result = fit(frame)
    held = result.summary["held_out"]
    assert held["dataset"]["clusters"] == result.summary["datasets"] == 3
    assert held["dataset"]["rows_unlabelled"] == 31 and held["dataset"]["rows_scored"] == 119
    assert held["row"]["rows_scored"] == 150 and held["row"]["rows_unlabelled"] == 0
    found = result.fit
    assert found is not None
    label = frame["dataset"].fillna("").to_numpy()
    order = {i: k for k, i in enumerate(frame["id"])}
    label = label[[order[i] for i in result.diagnostics["id"]]]
    error = base = 0.0
    for name in ("imdb", "sst2", "yelp"):
        out = label == name
        coef = np.linalg.lstsq(found.design[~out], found.response[~out], rcond=None)[0]
        error += np.sum((found.response[out] - found.design[out] @ coef) ** 2)
        base += np.sum((found.response[out] - found.response[~out].mean()) ** 2)
    assert held["dataset"]["r2"] == pytest.approx(1 - error / base, rel=1e-8)
    frame["owner"] = frame["owner"].where(frame.index != 3)
    alone = fit(frame).summary["held_out"]["owner"]
    assert (alone["rows_scored"], alone["rows_unlabelled"]) == (150, 1)
    nothing = fit(frame.assign(dataset=None)).summary["held_out"]["dataset"]
    assert nothing["clusters"] == 0 and nothing["rows_unlabelled"] == 150
    assert np.isnan(nothing["r2"])


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
    assert fit(frame, link="auto").summary["link"] == "logit"
    assert fit(frame, link="auto", metric="loss").summary["link"] == "log"
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


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_link_makes_views_one_model_on_its_own_scale(metric: str) -> None:
    """The relative response is the difference of logits, or of logarithms."""
    frame = models()
    absolute, relative = (fit(frame, view=v, metric=metric, link="auto") for v in VIEWS)
    one, two = (f.coefficients.set_index("term") for f in (absolute, relative))
    second = [t for t in one.index if ":" in t or "^" in t]
    assert np.allclose(one.loc[second, "raw_estimate"], two.loc[second, "raw_estimate"], rtol=1e-8)
    assert relative.summary["identity"]["holds"] and relative.summary["scale"] != "identity"
    base = BASELINE[metric]
    moved = np.log(base / (1 - base)) if metric == "accuracy" else np.log(base)
    own = frame.set_index("id").loc[relative.diagnostics["id"], metric].to_numpy()
    scale = np.log(own / (1 - own)) if metric == "accuracy" else np.log(own)
    assert np.allclose(relative.diagnostics["response"], scale - moved, atol=1e-12)


def test_weighting_by_n_eval_is_weighted_least_squares() -> None:
    frame = models()
    frame["n_eval"] = np.random.default_rng(3).choice([100.0, 400.0, 1821.0], len(frame))
    found = fit(frame, weights="n_eval")
    import statsmodels.api as sm

    rows = found.diagnostics
    order = ["learning_rate", "train_batch_size", "num_epochs"]
    z = rows[[f"{name}_coded" for name in order]].to_numpy()
    x = np.column_stack([z, *(z[:, i] * z[:, j] for i in range(3) for j in range(i, 3))])
    theirs = sm.WLS(rows["response"], sm.add_constant(x), weights=rows["n_eval"]).fit()
    ours = found.coefficients
    assert np.allclose(ours["estimate"], theirs.params, rtol=1e-9)
    assert np.allclose(ours["se_classical"], theirs.bse, rtol=1e-9)
    assert found.summary["r2"] == pytest.approx(theirs.rsquared, rel=1e-10)


def test_fixed_effects_are_slopes_within_levels_and_rest_on_levels_with_company() -> None:
    frame = models()
    frame["dataset"] = [f"d{i % 7}" for i in range(len(frame))]
    frame.loc[0, "dataset"] = "alone"
    frame.loc[1, "dataset"] = None
    frame["accuracy"] += frame["dataset"].map({f"d{i}": 0.01 * i for i in range(7)}).fillna(0)
    found = fit(frame, effects=["dataset"])
    flow = found.summary["sample_flow"][-1]
    assert flow["reason"] == "no other model of its dataset"
    assert flow["before"] - flow["after"] == 2 and found.summary["effects"] == 6
    rows = found.diagnostics
    centred = rows.groupby("dataset")
    z = rows[[c for c in rows if c.endswith("_coded")]].to_numpy()
    x = np.column_stack([z, *(z[:, i] * z[:, j] for i in range(3) for j in range(i, 3))])
    within = x - pd.DataFrame(x).groupby(rows["dataset"].to_numpy()).transform("mean").to_numpy()
    y = rows["response"] - centred["response"].transform("mean")
    assert np.allclose(
        found.coefficients["estimate"][1:], np.linalg.lstsq(within, y)[0], atol=1e-10
    )
    assert found.summary["reference_levels"] == {"dataset": "d0"}
    # One owner alone has d6: its level has no cluster-robust error, the terms have theirs.
    frame.loc[frame["dataset"] == "d6", "owner"] = "lone"
    nested = fit(frame, effects=["dataset"])
    robust = nested.summary["covariance"]["cr3"]
    assert robust["exists"] and "dataset[d6]" in robust["blocking"]
    assert np.isfinite(nested.coefficients["raw_p_cr3"]).all()
    none = fit(frame.assign(dataset=None), effects=["dataset"])
    assert none.summary["status"] == "not_fitted"


def test_a_mixed_model_stands_beside_the_fit() -> None:
    frame = models()
    owners = sorted(set(frame["owner"]))
    frame["accuracy"] += frame["owner"].map(
        dict(zip(owners, np.linspace(-0.03, 0.03, 20), strict=True))
    )
    found = fit(frame, mixed="owner")
    table, told = found.coefficients, found.summary["mixed"]
    assert told["group"] == "owner" and told["levels"] == frame["owner"].nunique()
    # Levels with a standard deviation of 0.018 about rows of 0.010.
    assert told["between_sd"] == pytest.approx(0.018, abs=0.004) and told["reason"] == ""
    assert told["within_sd"] == pytest.approx(0.010, abs=0.0015)
    assert np.isfinite(table[["mixed_estimate", "mixed_se", "mixed_p"]].to_numpy()).all()
    assert fit(frame).summary["mixed"] is None
    alone = fit(frame.assign(owner="one"), mixed="owner")
    assert alone.summary["mixed"]["reason"].startswith("1 levels of owner")


def test_pairs_of_views_are_checked_as_written(tmp_path: Path) -> None:
    coefficients, fits = [], []
    for metric in ("accuracy", "f1"):
        for view in VIEWS:
            found = fit(models(), metric=metric, view=view)
            folder = tmp_path / "all" / view / metric
            write_table(found.coefficients, folder / "coefficients.csv")
            write_json(plain(found.summary), folder / "fit.json")
            coefficients.append(folder / "coefficients.csv")
            fits.append(folder / "fit.json")
    check_views(coefficients, fits, tmp_path / "identity.csv")
    table = read_table(tmp_path / "identity.csv").set_index("metric")
    assert table.loc["accuracy", "holds"] and table.loc["accuracy", "largest"] < 1e-8
    assert table.loc["f1", "status"] == "not compared" and "f1" in table.loc["f1", "reason"]
    edited = read_table(coefficients[0])
    edited.loc[edited["term"] == "num_epochs^2", "raw_estimate"] *= 1 + 1e-6
    write_table(edited, coefficients[0])
    check_views(coefficients, fits, tmp_path / "identity.csv")
    table = read_table(tmp_path / "identity.csv").set_index("metric")
    assert not table.loc["accuracy", "holds"] and 1e-8 < table.loc["accuracy", "written"] < 1e-5


def test_an_experiment_is_a_family_of_its_own(tmp_path: Path) -> None:
    """And takes classical errors where leaving out a configuration loses a term."""
    paths = {}
    for population in ("mined", "tried"):
        table = fit(models()).coefficients
        if population == "tried":
            table.loc[table["term"] == "num_epochs^2", "p_cr3"] = np.nan
        paths[population] = tmp_path / population / "absolute/accuracy/coefficients.csv"
        write_table(table, paths[population])
    adjust_study(list(paths.values()), tmp_path / "family.csv", ["tried"])
    found = read_table(tmp_path / "family.csv").set_index(["population", "term"])
    assert (found["family"] == 9).all()
    assert set(found.loc["mined", "error"]) == {"cr3"}
    assert set(found.loc["tried", "error"]) == {"classical"}
    own = read_table(paths["tried"]).set_index("term")
    assert np.allclose(found.loc["tried", "p"], own.loc[found.loc["tried"].index, "p_classical"])
