"""Inference and diagnostics: against refits, other libraries, and known sampling behaviour."""

from __future__ import annotations

import time

import numpy as np
import owner_settings
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.diagnostic import het_breuschpagan
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.outliers_influence import OLSInfluence, variance_inflation_factor
from tunescape import inference
from tunescape.surface import INTERCEPT, SurfaceFit, code_factor, fit_surface

CODING = {"learning_rate": "log", "train_batch_size": "log", "num_epochs": "linear"}


def data(
    n: int = 120, clusters: int = 12, seed: int = 0
) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    values = {
        "learning_rate": rng.choice([1e-6, 1e-5, 2e-5, 5e-5, 3e-4], n),
        "train_batch_size": rng.choice([8.0, 16.0, 32.0, 64.0], n),
        "num_epochs": rng.choice([1.0, 2.0, 3.0, 5.0, 10.0], n),
    }
    share = 1 / np.arange(1, clusters + 1)
    owner = rng.choice(clusters, n, p=share / share.sum())
    y = 0.9 + 0.02 * rng.normal(size=clusters)[owner] + rng.normal(0, 0.02, n)
    return values, y, [f"owner {i:02d}" for i in owner]


def fitted(values: dict[str, np.ndarray], y: np.ndarray, **options: object) -> SurfaceFit:
    factors = [code_factor(k, v, CODING.get(k, "linear")) for k, v in values.items()]  # type: ignore[arg-type]
    return fit_surface(values, y, factors, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def case() -> tuple[SurfaceFit, dict[str, np.ndarray], list[str]]:
    values, y, owners = data()
    return fitted(values, y), values, owners


def refit(fit: SurfaceFit, keep: np.ndarray) -> np.ndarray:
    """Coefficients of a refit to some rows, by lstsq: an oracle that shares no code."""
    root = np.sqrt(fit.weights[keep])
    return np.linalg.lstsq(fit.design[keep] * root[:, None], fit.response[keep] * root)[0]


def cr3_oracle(fit: SurfaceFit, owners: list[str]) -> np.ndarray:
    labels = np.array(owners)
    total = np.zeros((fit.rank, fit.rank))
    names = sorted(set(owners))
    for name in names:
        gap = refit(fit, labels != name) - fit.kept_coef
        total += np.outer(gap, gap)
    return total * (len(names) - 1) / len(names)


def test_cr3_is_the_leave_one_cluster_out_jackknife(case) -> None:
    fit, _, owners = case
    found = inference.covariance(fit, "cr3", owners)
    assert np.allclose(found.matrix, cr3_oracle(fit, owners), rtol=1e-8, atol=1e-16)
    assert found.df == len(set(owners)) - 1 and found.exists.all()


def test_cr3_and_hc3_match_statsmodels(case) -> None:
    fit, _, owners = case
    model = sm.OLS(fit.response, fit.design)
    codes = np.unique(owners, return_inverse=True)[1]
    theirs = model.fit(cov_type="cluster-crv3", cov_kwds={"groups": codes}).cov_params()
    ours = inference.covariance(fit, "cr3", owners).matrix
    ratio = ours / theirs
    assert np.allclose(ratio, ratio[0, 0], rtol=1e-7)  # their small-sample factor is one number
    g = len(set(owners))
    assert ratio[0, 0] == pytest.approx((g - 1) / g) or ratio[0, 0] == pytest.approx(1.0)
    hc3 = inference.covariance(fit, "hc3")
    assert np.allclose(hc3.matrix, model.fit(cov_type="HC3").cov_params(), rtol=1e-9)
    assert np.allclose(fit.covariance, model.fit().cov_params(), rtol=1e-9)


def test_cr3_works_on_a_rank_deficient_design() -> None:
    values, y, owners = data()
    values["num_epochs"] = values["train_batch_size"] * 2
    fit = fitted(values, y)
    assert fit.aliased
    found = inference.covariance(fit, "cr3", owners)
    assert np.allclose(found.matrix, cr3_oracle(fit, owners), rtol=1e-8, atol=1e-16)
    tests = inference.term_tests(fit, found)
    assert np.isnan(tests.p[fit.columns.index(next(iter(fit.aliased)))])
    assert np.isfinite(tests.p[fit.columns.index("learning_rate^2")])


def test_a_cluster_that_alone_moves_a_factor_leaves_its_terms_without_cr3() -> None:
    values, y, owners = data()
    first = np.array(owners) == "owner 00"
    values["num_epochs"] = np.where(first, values["num_epochs"], 3.0)
    fit = fitted(values, y, degree=1)
    found = inference.covariance(fit, "cr3", owners)
    exists = dict(zip(fit.kept_names, found.exists, strict=True))
    assert exists == {
        "intercept": True, "learning_rate": True, "train_batch_size": True, "num_epochs": False
    } or not exists["num_epochs"]  # fmt: skip
    assert found.blocking["num_epochs"] == ("owner 00",)
    assert "rank-deficient" in found.reason
    tests = inference.term_tests(fit, found)
    assert np.isnan(tests.p[fit.columns.index("num_epochs")])
    # Terms that every deletion determines keep the variance of their jackknife values.
    j = fit.kept_names.index("learning_rate")
    gaps = [refit(fit, np.array(owners) != o)[j] - fit.kept_coef[j] for o in sorted(set(owners))]
    g = len(set(owners))
    assert found.matrix[j, j] == pytest.approx(np.sum(np.square(gaps)) * (g - 1) / g, rel=1e-8)


def test_one_cluster_gives_no_variance_and_says_why(case) -> None:
    fit, _, _ = case
    found = inference.covariance(fit, "cr3", ["only"] * fit.n)
    assert np.isnan(found.matrix).all() and "one cluster" in found.reason
    assert all(t.reason and np.isnan(t.p) for t in inference.joint_tests(fit, found))


def test_classical_joint_tests_are_f_tests_of_nested_models(case) -> None:
    fit, _, _ = case
    classical = inference.covariance(fit, "classical")
    for test in inference.joint_tests(fit, classical):
        keep = [i for i, name in enumerate(fit.kept_names) if name not in test.tested]
        full = sm.OLS(fit.response, fit.design).fit()
        reduced = sm.OLS(fit.response, fit.design[:, keep]).fit()
        f, p, _ = full.compare_f_test(reduced)
        assert (test.f, test.p) == (pytest.approx(f, rel=1e-8), pytest.approx(p, rel=1e-7))
        assert test.partial_r2 == pytest.approx(1 - full.ssr / reduced.ssr, rel=1e-8)


def test_joint_tests_do_not_depend_on_the_origin() -> None:
    values, y, owners = data()
    fit = fitted(values, y)
    moved = {**values, "num_epochs": values["num_epochs"] - 100}
    other = fitted(moved, y)
    for kind in ("classical", "cr3"):
        one = inference.joint_tests(fit, inference.covariance(fit, kind, owners))
        two = inference.joint_tests(other, inference.covariance(other, kind, owners))
        assert [t.p for t in one] == pytest.approx([t.p for t in two], rel=1e-8)


@pytest.mark.parametrize(("ours", "theirs"), [("holm", "holm"), ("bh", "fdr_bh"), ("by", "fdr_by")])
def test_multiplicity_matches_statsmodels_and_skips_missing(ours: str, theirs: str) -> None:
    p = np.random.default_rng(0).uniform(0, 0.2, 30)
    gaps = np.insert(p, [3, 10, 10], np.nan)
    found = inference.adjust_p(gaps, ours)  # type: ignore[arg-type]
    assert np.allclose(found[np.isfinite(gaps)], multipletests(p, method=theirs)[1])
    assert np.isnan(found[np.isnan(gaps)]).all()
    assert np.isnan(inference.adjust_p([np.nan], "holm")).all()


def test_smell_lack_of_fit() -> None:
    from test_surface import smell

    values, y = smell()
    found = inference.lack_of_fit(fitted(values, y))
    assert (found.df_lack, found.df_pure) == (3, 2)
    assert round(found.f, 2) == 40.75 and round(found.p, 4) == 0.0240
    assert found.ss_pure == pytest.approx(122 / 3)
    assert found.noise_ceiling == pytest.approx(1 - (122 / 3) / np.sum((y - y.mean()) ** 2))


def test_lack_of_fit_says_why_there_is_none() -> None:
    x = np.linspace(0, 1, 8)
    fit = fit_surface({"x": x}, x**2 + np.sin(9 * x), [code_factor("x", x)])
    assert "no setting is repeated" in inference.lack_of_fit(fit).reason


def test_diagnostics_match_statsmodels(case) -> None:
    fit, _, _ = case
    model = sm.OLS(fit.response, fit.design).fit()
    influence = OLSInfluence(model)
    assert np.allclose(fit.leverage, influence.hat_matrix_diag)
    assert np.allclose(inference.cook_distance(fit), influence.cooks_distance[0])
    assert np.allclose(inference.studentised_residuals(fit), influence.resid_studentized_external)
    assert inference.press(fit)[0] == pytest.approx(np.sum(influence.resid_press**2))
    vif = inference.variance_inflation(fit)
    assert vif["learning_rate^2"] == pytest.approx(
        variance_inflation_factor(fit.design, fit.kept_names.index("learning_rate^2"))
    )
    lm, _, _, _ = het_breuschpagan(model.resid, fit.design)
    ours = inference.breusch_pagan(fit)
    assert ours[0] == pytest.approx(lm) and ours[1] == 9
    assert ours[2] == pytest.approx(stats.chi2.sf(lm, 9))


@pytest.mark.parametrize("weighted", [False, True])
def test_held_out_owners_match_refits(weighted: bool) -> None:
    values, y, owners = data()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    fit = fitted(values, y, weights=weights)
    labels = np.array(owners)
    found = inference.held_out(fit, owners)
    total = base = 0.0
    cooks = []
    for name in sorted(set(owners)):
        out = labels == name
        coef = refit(fit, ~out)
        gap = fit.response[out] - fit.design[out] @ coef
        assert np.allclose(found.residuals[out], gap)
        w = fit.weights
        mean = np.average(fit.response[~out], weights=w[~out])
        total += float(np.sum(w[out] * gap**2))
        base += float(np.sum(w[out] * (fit.response[out] - mean) ** 2))
        moved = np.sqrt(w) * (fit.design @ (coef - fit.kept_coef))
        cooks.append(float(moved @ moved) / (fit.rank * fit.sigma2))
    assert found.r2 == pytest.approx(1 - total / base)
    assert np.allclose(inference.cook_distance(fit, owners), cooks)


def test_detectable_effect_has_its_power() -> None:
    rng = np.random.default_rng(0)
    se, df = 0.5, 12
    effect = float(inference.detectable_effect(se, df))
    noise = rng.normal(effect, se, 200_000) / (se * np.sqrt(rng.chisquare(df, 200_000) / df))
    assert np.mean(np.abs(noise) > stats.t.ppf(0.975, df)) == pytest.approx(0.8, abs=0.01)


def test_equivalence_bound_is_where_both_one_sided_tests_reject() -> None:
    bound = float(inference.equivalence_bound(-0.3, 0.1, 20))
    assert stats.t.sf((bound - 0.3) / 0.1, 20) == pytest.approx(0.05)


def test_impossible_predictions_are_counted() -> None:
    assert inference.impossible([0.5, 1.01, -0.2, np.nan], 0.0, 1.0) == 2
    assert inference.impossible([5.0, -0.1], 0.0, None) == 1


def test_cluster_bootstrap_equals_refits_and_is_fast() -> None:
    values, y, _ = data(2000, seed=4)
    owners = [f"o{i}" for i in np.random.default_rng(0).integers(0, 150, 2000)]
    fit = fitted(values, y)
    start = time.process_time()
    found = inference.cluster_bootstrap(fit, owners, 10_000, seed=7)
    assert time.process_time() - start < 5
    counts = inference.bootstrap_draws(owners, 10_000, seed=7)
    codes = np.unique(owners, return_inverse=True)[1]
    for draw in (0, 1, 999, 1000, 9_999):
        w = np.sqrt(counts[draw][codes])
        coef = np.linalg.lstsq(fit.design * w[:, None], fit.response * w)[0]
        assert np.allclose(found[draw], coef, rtol=0, atol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_cluster_bootstrap_equals_a_loop_of_statsmodels_fits(weighted: bool) -> None:
    values, y, owners = data(150, 15, seed=11)
    weights = np.random.default_rng(2).uniform(0.5, 2, 150) if weighted else np.ones(150)
    fit = fitted(values, y, weights=weights)
    draws = 60
    found = inference.cluster_bootstrap(fit, owners, draws, seed=5)
    counts = inference.bootstrap_draws(owners, draws, seed=5)
    codes = np.unique(owners, return_inverse=True)[1]
    loop = []
    for drawn in counts:
        rows = np.repeat(np.arange(150), drawn[codes].astype(int))
        theirs = sm.WLS(fit.response[rows], fit.design[rows], weights=weights[rows]).fit()
        loop.append(theirs.params)
    assert np.isfinite(found).all()
    assert np.max(np.abs(found - np.array(loop))) <= 1e-10


@pytest.mark.parametrize("cells", [1, 500])
def test_wild_bootstrap_is_the_same_whatever_is_held_at_a_time(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(size=90)
    fit = fit_surface({"x": x}, 1 + x + rng.normal(size=90), [code_factor("x", x, "linear")])
    owners = [str(n % 15) for n in range(90)]
    whole = inference.wild_bootstrap(fit, owners, 199, seed=3)
    monkeypatch.setattr(inference, "_WILD_CELLS", cells)
    assert inference.wild_bootstrap(fit, owners, 199, seed=3) == whole


def test_wild_bootstrap_matches_a_loop_of_restricted_refits() -> None:
    values, y, owners = data(60, 9, seed=8)
    fit = fitted(values, y, degree=1)
    draws = 200
    found = inference.wild_bootstrap(fit, owners, draws, seed=3)
    codes = np.unique(owners, return_inverse=True)[1]
    count = codes.max() + 1
    signs = np.random.default_rng(3).choice(inference._WEBB, (draws, count))
    x, bread = fit.design, np.linalg.inv(fit.design.T @ fit.design)

    def statistic(response: np.ndarray, j: int) -> float:
        b = bread @ x.T @ response
        e = response - x @ b
        scores = np.array([x[codes == g].T @ e[codes == g] for g in range(count)])
        return abs(b[j]) / np.sqrt((bread @ scores.T @ scores @ bread)[j, j])

    for j, name in enumerate(fit.kept_names):
        rest = np.delete(x, j, axis=1)
        base = rest @ np.linalg.lstsq(rest, fit.response)[0]
        u = fit.response - base
        observed = statistic(fit.response, j)
        hits = sum(statistic(base + u * s[codes], j) >= observed * (1 - 1e-12) for s in signs)
        assert found[name] == pytest.approx((1 + hits) / (draws + 1))


def test_a_response_is_exchanged_as_a_refit_would() -> None:
    rng = np.random.default_rng(0)
    values, owner = owner_settings.owned_settings(rng, 15)
    first = fit_surface(values, owner_settings.true_surface(values), owner_settings.FACTORS)
    y = owner_settings.owned_errors(rng, owner, 0.6)
    ours, whole = owner_settings.with_response(first, y), fit_surface(values, y, first.factors)
    labels = owner.astype(str)
    assert np.allclose(ours.coef, whole.coef, rtol=0, atol=1e-10)
    for kind in ("classical", "cr3"):
        one, two = (inference.covariance(f, kind, labels).matrix for f in (ours, whole))
        assert np.allclose(one, two, rtol=1e-9, atol=1e-14)
    robust = inference.covariance(ours, "cr3", labels)
    theirs = sm.OLS(y, ours.design).fit(cov_type="cluster", cov_kwds={"groups": owner})
    assert np.allclose(owner_settings.cr1(ours, robust, owner), theirs.cov_params(), rtol=1e-9)


@pytest.mark.parametrize("clusters", [15, 40])
def test_default_inference_keeps_its_level_where_settings_belong_to_owners(clusters: int) -> None:
    """Every term's rejection by CR3 is at most 6 %, and its interval holds a true coefficient.

    The rule: of 300 draws, a term may be rejected, or its coefficient be outside its interval, as
    often as the upper 5 % point of the binomial at 0.06, shared among the nine terms (Bonferroni);
    the mean over terms may not pass 0.06 at all.
    Errors without clusters keep the classical test's level, errors with clusters must not, else
    the simulation could not fail. The full one is benchmarks/inference.py.
    """
    found = owner_settings.simulate(clusters, 300, owner_settings.CORRELATIONS)
    most = stats.binom.ppf(1 - 0.05 / 9, 300, 0.06) / 300
    for correlation, rates in zip(owner_settings.CORRELATIONS, found, strict=True):
        assert len(rates.terms) == 9 and rates.draws == 300
        rejected, covered = rates.rejected["cr3"], rates.covered["cr3"]
        for name, reject, cover in zip(rates.terms, rejected, covered, strict=True):
            assert reject <= most, (name, correlation)
            assert 1 - cover <= most, (name, correlation)
        assert 0.02 < rejected.mean() <= 0.06
        assert 0.94 <= covered.mean() < 0.98
        # Intervals do not cover by being too wide to tell anything.
        assert rates.detected["cr3"][rates.terms.index("learning_rate")] > 0.5
        assert rates.rejected["cr1"].mean() > 0.06
    independent, *_, alike = found
    assert independent.rejected["classical"].mean() <= 0.06
    interaction = np.array([":" in name for name in alike.terms])
    classical = alike.rejected["classical"]
    assert (classical[~interaction] > 0.12).all() and classical[interaction].mean() > 0.08
    assert classical.mean() > 0.14
    assert alike.covered["classical"].mean() < 0.87


def test_importance_ignores_sign_and_units_and_finds_the_factor() -> None:
    values, y, owners = data()
    y = y + 0.05 * np.log(values["learning_rate"] / 1e-5)
    found = inference.importance(fitted(values, y), values, owners, draws=200)
    best = max(found, key=lambda i: i.partial_r2)
    assert best.factor == "learning_rate" and best.low > 0.5
    assert best.permutation > 10 * max(i.permutation for i in found if i is not best)
    scaled = {**values, "learning_rate": values["learning_rate"] * 1e6}
    other = inference.importance(fitted(scaled, -y), scaled, owners, draws=200)
    for a, b in zip(found, other, strict=True):
        assert (a.partial_r2, a.low, a.high) == pytest.approx(
            (b.partial_r2, b.low, b.high), rel=1e-8
        )
        assert a.permutation == pytest.approx(b.permutation, rel=1e-8, abs=1e-12)


def test_residual_bootstrap_has_the_classical_errors() -> None:
    """A Box-Behnken design: resampled runs lose terms, resampled residuals keep every one."""
    edges = [(a, b, 0) for a in (-1, 1) for b in (-1, 1)]
    points = np.array([*edges, *np.roll(edges, 1, 1), *np.roll(edges, 2, 1), *[(0, 0, 0)] * 3])
    values = {name: points[:, i].astype(float) for i, name in enumerate("abc")}
    y = 1 + 0.5 * values["a"] - values["b"] ** 2 + np.random.default_rng(3).normal(0, 0.1, 15)
    fit = fit_surface(values, y, [code_factor(k, v) for k, v in values.items()])
    drawn = inference.residual_bootstrap(fit, 4_000, seed=1)
    assert drawn.shape == (4_000, 10) and np.isfinite(drawn).all()
    classical = np.sqrt(np.diag(inference.covariance(fit, "classical").matrix))
    assert np.allclose(drawn.std(axis=0), classical, rtol=0.15)
    assert np.allclose(drawn.mean(axis=0), fit.kept_coef, atol=4 * classical / np.sqrt(4_000))
    runs = [str(i) for i in range(15)]
    lost = inference.importance(fit, values, runs, draws=200)
    kept = inference.importance(fit, values, runs, draws=200, resample="residuals")
    assert all(np.isnan(part.low) for part in lost)
    assert all(0 <= part.low <= part.high <= 1 for part in kept)
    assert kept[0].low > kept[2].high


def test_importance_has_no_limits_where_resamples_tell_nothing(case) -> None:
    fit, values, _ = case
    alone = inference.importance(fit, values, ["one"] * fit.n, draws=20)
    assert all(np.isnan([part.low, part.high]).all() for part in alone)
    # A single row carries a level of a factor: most resamples of a design without repeats lose it.
    few = np.arange(11)
    small = {name: column[few] for name, column in values.items()}
    lean = fitted(small, fit.response[few], degree=1)
    rows = [str(i) for i in few]
    kept = np.isfinite(inference.cluster_bootstrap(lean, rows, 100)).all(axis=1).mean()
    found = inference.importance(lean, small, rows, draws=100)
    assert all(np.isfinite(part.low) == (kept >= 0.5) for part in found)


def test_random_intercept_agrees_where_there_is_no_clustering(case) -> None:
    fit, _, owners = case
    found = inference.random_intercept(fit, owners)
    assert found.terms == fit.kept_names
    at = fit.kept_names.index("learning_rate")
    assert abs(found.estimate[at] - fit.kept_coef[at]) < 4 * found.se[at]


def test_random_intercept_finds_the_share_of_variance_between_clusters() -> None:
    """Levels of 40 clusters have three times the variance of the rows: a correlation of 0.75."""
    values, _, owners = data(400, 40, seed=5)
    codes = np.unique(owners, return_inverse=True)[1]
    rng = np.random.default_rng(5)
    y = 1e-3 * (rng.normal(size=400) + np.sqrt(3) * rng.normal(size=codes.max() + 1)[codes])
    fit = fitted(values, y)
    found = inference.random_intercept(fit, owners)
    assert found.converged and found.intraclass_correlation == pytest.approx(0.75, abs=0.08)
    within = fit_surface(values, y, fit.factors, effects={"owner": owners})
    place = within.kept_names.index("learning_rate:num_epochs")
    mixed = found.terms.index("learning_rate:num_epochs")
    # With levels this large the random intercept comes to the within-cluster estimate.
    assert found.estimate[mixed] == pytest.approx(
        within.kept_coef[place], abs=0.3 * found.se[mixed]
    )
    assert found.se[mixed] < fit.sigma * np.linalg.norm(fit.r_inverse[mixed])


@pytest.mark.parametrize("group", ["owner", "dataset"])
def test_bootstrap_with_effects_equals_refits_with_indicators(group: str) -> None:
    """A resample loses levels; what it still tells of the terms is the least-squares solution."""
    values, y, owners = data(120, 20, seed=6)
    sets = [f"d{i}" for i in np.random.default_rng(1).integers(0, 6, 120)]
    labels = owners if group == "owner" else sets
    fit = fit_surface(values, y, fitted(values, y).factors, effects={group: labels})
    found = inference.cluster_bootstrap(fit, owners, 50, seed=2)
    counts = inference.bootstrap_draws(owners, 50, seed=2)
    codes = np.unique(owners, return_inverse=True)[1]
    terms = [
        i for i, j in enumerate(fit.kept) if j >= fit.n_effects and fit.columns[j] != INTERCEPT
    ]
    assert len(terms) == 9 and np.isnan(np.delete(found, terms, axis=1)).all()
    for draw in range(50):
        w = np.sqrt(counts[draw][codes])
        coef = np.linalg.lstsq(fit.design * w[:, None], fit.response * w)[0]
        assert np.allclose(found[draw, terms], coef[terms], rtol=0, atol=1e-10)
    boot = inference.importance(fit, values, owners, draws=100)
    assert all(0 <= part.low <= part.partial_r2 <= part.high <= 1 for part in boot)


def test_concentration_names_the_largest() -> None:
    assert inference.concentration(["b", "a", "b", "a", "c"]) == ("a", 0.4)


def test_effective_clusters_are_as_many_as_equal_ones_weigh() -> None:
    assert inference.effective_clusters("aabbcc") == 3
    assert inference.effective_clusters(["a"] * 9 + ["b"]) == pytest.approx(100 / 82)
    assert np.isnan(inference.effective_clusters([]))
