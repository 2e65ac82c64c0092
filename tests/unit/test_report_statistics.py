"""Trust, inference, surfaces, trade-offs, strategy and audit on the page, from made tables."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from study_tables import FACTORS, analyse, models, regression_spec
from test_report import EVIL, ROOT, Page, report_spec
from test_report_experiment import section
from tunescape.audit import audit_claims, audit_tables, read_study
from tunescape.desirability import weigh_metrics
from tunescape.figures.contour import draw_contour
from tunescape.figures.style import wording
from tunescape.regression import adjust_study
from tunescape.report import numbers, write_report
from tunescape.report.sections import audit, specifications, strategy, surface, trust
from tunescape.report.sections.experiments import in_words
from tunescape.response import SURFACE_TABLES, write_surface
from tunescape.schemas import COVERAGE_COLUMNS, FLOW_COLUMNS
from tunescape.specification import DECISIONS, summarise_curve
from tunescape.strategy import map_strategy, unresolved_numbers
from tunescape.surface import INTERCEPT
from tunescape.tables import read_json, read_table, write_json, write_table

NAME = "first"
METRICS = ("accuracy", "loss")
ROWS = 160
NEW = {"specifications", "surface", "tradeoffs", "strategy", "audit"}


def made_summary(metric: str, terms: list[str], shift: float = 0.0) -> pd.DataFrame:
    """Counts over four specifications a term; ``shift`` moves the second half's p-values."""
    parts = []
    for k, term in enumerate(terms):
        estimate = [0.1, 0.1, 0.1, -0.1 if k else 0.1]
        parts.append(
            pd.DataFrame(
                {
                    "metric": metric, "term": term, "specification": range(4),
                    **dict.fromkeys(DECISIONS, "one"), "covariance": ["classical", "cr3"] * 2,
                    "n": ROWS, "clusters": 25, "estimate": estimate, "se": 0.05, "df": 24.0,
                    "p": [0.001, 0.2 + shift, 0.002, 0.3], "status": "",
                }
            )
        )  # fmt: skip
    curve = pd.concat(parts, ignore_index=True)
    return summarise_curve(curve, {**dict.fromkeys(DECISIONS, "one"), "covariance": "cr3"})


def add_statistics(folder: Path, frame: pd.DataFrame, draws: int = 0) -> dict[str, Any]:
    """Inputs of a report on one population, with all tables of its statistics.

    ``draws`` of the wild bootstrap; with any, the contours are drawn, too.
    """
    root = folder / "analysis" / NAME
    coefficients, fits = [], []
    for metric in METRICS:
        for view in ("absolute", "relative"):
            place = root / view / metric
            spec = {**regression_spec(metric, view), "wild_draws": draws}
            analyse(frame, place, metric, view, spec)
            coefficients.append(place / "coefficients.csv")
            fits.append(place / "fit.json")
    family = folder / "analysis" / "family.csv"
    adjust_study(coefficients, family)
    summaries = []
    for metric in METRICS:
        path = root / "specifications" / metric / "summary.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        terms = [t for t in read_table(coefficients[0])["term"] if t != INTERCEPT]
        write_table(made_summary(metric, terms), path)
        summaries.append(path)
    surfaces = []
    for metric in METRICS:
        place = root / "absolute" / metric
        outs = [place / "surface" / f"{name}.csv" for name in SURFACE_TABLES]
        write_surface(place / "fit.json", place / "diagnostics.csv", outs, {"draws": 200})
        surfaces += outs
    tradeoffs = [root / "absolute" / "tradeoffs" / n for n in ("surface.csv", "observed.csv")]
    tradeoffs.append(tradeoffs[0].with_name("summary.json"))
    own = [root / "absolute" / metric for metric in METRICS]
    weigh_metrics(
        [p / "fit.json" for p in own], [p / "diagnostics.csv" for p in own], *tradeoffs, {}
    )
    told = {"population": NAME, "metrics": METRICS, "views": ("absolute", "relative")}
    map_strategy(coefficients, fits, summaries, family, root / "strategy.csv", told)
    figures = []
    if draws:
        figures.append(folder / "figures" / NAME / "absolute" / "accuracy" / "contour.svg")
        draw_contour(own[0] / "fit.json", own[0] / "diagnostics.csv", figures, {"dpi": 80})
    flow, coverage = folder / "flow.csv", folder / "coverage.csv"
    pd.DataFrame(columns=list(FLOW_COLUMNS)).to_csv(flow, index=False)
    pd.DataFrame(columns=list(COVERAGE_COLUMNS)).to_csv(coverage, index=False)
    return {
        "sample_flow": flow,
        "coverage": coverage,
        "fits": fits,
        "coefficients": coefficients,
        "family": family,
        "specification_curves": summaries,
        "surfaces": surfaces,
        "tradeoffs": tradeoffs,
        "strategies": [root / "strategy.csv"],
        "figures": figures,
    }


def add_audit(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The audit of the published tables, with hostile text among claims and findings."""
    source, printed = ROOT / "resources" / "claims.yaml", ROOT / "resources/published_tables.csv"
    outs = {name: folder / f"{name}.csv" for name in ("findings", "claims")}
    summary = folder / "summary.json"
    audit_tables(printed, outs["findings"], summary, read_study(source))
    audit_claims(source, printed, inputs["coefficients"], outs["claims"])
    for name, column in (("findings", "printed"), ("claims", "statement")):
        table = pd.read_csv(outs[name], dtype=str, keep_default_na=False)
        table.loc[0, column] += EVIL
        table.to_csv(outs[name], index=False)
    return {**inputs, **outs, "audit": summary, "claims_source": source}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("statistics")
    frame = models(ROWS, seed=3)
    frame.loc[:2, "id"] = [f"{EVIL}{i}" for i in range(3)]
    # So good that it leads the table of observed models.
    frame.loc[0, ["accuracy", "loss"]] = [0.999, 0.01]
    inputs = add_statistics(folder, frame, draws=99)
    inputs = add_audit(inputs, folder)
    write_report(inputs, folder / "r.html", report_spec({NAME: ROWS}))
    return inputs, folder / "r.html"


def test_page_stays_well_formed_escaped_and_whole(study: Any) -> None:
    html, page = study[1].read_text(encoding="utf-8"), Page(study[1])
    assert not page.open and len(page.ids) == len(set(page.ids))
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert set(page.ids) >= NEW
    assert "<script" not in html and "Undefined" not in html and "None" not in page.text
    assert page.text.count(EVIL) >= 3  # a model, a finding and a claim
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption")
    assert names.count("details") == names.count("summary")
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")


def test_sections_stand_in_reading_order(study: Any) -> None:
    ids = [name for name in Page(study[1]).ids if re.fullmatch(r"[a-z]+", name)]
    wanted = ["answer", "trust", "regressions", "specifications", "surface", "strategy", "audit",
              "method"]  # fmt: skip
    assert [name for name in ids if name in wanted] == wanted


def test_trust_panel_says_numbers_and_trouble(study: Any) -> None:
    inputs, page = study
    said = section(page, "trust")
    fit = read_json(inputs["fits"][0])
    assert fit["clusters_effective"] == pytest.approx(25.0, abs=0.5)
    assert numbers.significant(fit["condition_coded"], 3) in said
    assert numbers.fixed(fit["held_out"]["owner"]["r2"]) in said
    assert "Specifications 4 4" in said
    # One term of nine keeps its sign in all four; each is significant in two.
    assert "1 of 9 1 of 9" in said and "9 of 9 9 of 9" in said
    for fact in (
        "collinear",
        "rank-deficient",
        "one uploader’s habits",
        "second order does not fit",
    ):
        assert fact not in said


def test_trouble_is_named_in_the_panel(study: Any, tmp_path: Path) -> None:
    inputs, _ = study
    fit = read_json(inputs["fits"][0])
    fit |= {"condition_coded": 1e5, "clusters_effective": 1.4}
    fit["held_out"]["owner"]["r2"] = -2.0
    fit["dominant_owner"] = {"owner": EVIL, "share": 0.93}
    place = tmp_path / NAME / "absolute" / "accuracy"
    write_json(fit, place / "fit.json")
    changed = {
        **inputs,
        "fits": [place / "fit.json", *inputs["fits"][1:]],
    }
    write_report(changed, tmp_path / "r.html", report_spec({NAME: ROWS}))
    said = section(tmp_path / "r.html", "trust")
    for words in ("collinear", "as good as 1.4", "worse than a mean", "93 %", "one uploader"):
        assert words in said


def test_panel_names_who_decides_a_fit(study: Any, tmp_path: Path) -> None:
    inputs, page = study
    path = next(p for p in inputs["surfaces"] if p.stem == "checks" and "accuracy" in p.parts)
    checks = read_table(path).set_index("check")
    said = section(page, "trust")
    owner = checks.loc["largest_cook_cluster", "where"]
    without = numbers.fixed(checks.loc["r2_without_cluster", "value"])
    assert re.search(
        rf"Most influential uploader {owner} Cook’s D 0\.\d+; without it R² {without}", said
    )
    calm = r'<td>[^<]*<span class="note">Cook’s D'
    assert len(re.findall(calm, page.read_text(encoding="utf-8"))) == len(METRICS)
    checks.loc["largest_cook_cluster", "value"] = 399.77
    changed = tmp_path / NAME / "absolute" / "accuracy" / "surface" / "checks.csv"
    changed.parent.mkdir(parents=True)
    write_table(checks.reset_index(), changed)
    surfaces = [changed if p == path else p for p in inputs["surfaces"]]
    write_report({**inputs, "surfaces": surfaces}, tmp_path / "r.html", report_spec({NAME: ROWS}))
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.search(rf'<td class="bad">{owner} <span class="note">Cook’s D 400; without', html)
    checks.loc["largest_cook_cluster", "value"] = float("inf")
    write_table(checks.reset_index(), changed)
    write_report({**inputs, "surfaces": surfaces}, tmp_path / "r.html", report_spec({NAME: ROWS}))
    assert "Cook’s D without limit" in section(tmp_path / "r.html", "trust")


def test_further_checks_are_folded_beneath_the_panel(study: Any) -> None:
    inputs, page = study
    said = section(page, "trust")
    said = said[said.index("Further checks") : said.index("All statements")]
    tables = [read_table(p).set_index("check") for p in inputs["surfaces"] if p.stem == "checks"]
    assert len(tables) == len(METRICS)
    for label, check, shown in (
        ("PRESS R²", "press_r2", numbers.fixed),
        ("R², data sets left out", "left_out_dataset_r2", numbers.fixed),
        ("Even errors (Breusch–Pagan), p", "breusch_pagan_p", numbers.p_value),
        ("Largest Cook’s D, one model", "largest_cook", trust.distance_said),
        ("Largest Cook’s D, one uploader", "largest_cook_cluster", trust.distance_said),
        ("Largest leverage", "largest_leverage", numbers.fixed),
    ):
        row = said[said.index(label) + len(label) :][:200]
        places = [row.index(f" {shown(table.loc[check, 'value'])} ") for table in tables]
        assert places[0] < 3, label


def test_tests_stand_side_by_side_and_sizes_beside_what_was_not_found(study: Any) -> None:
    inputs, page = study
    said = unescape(section(page, "regressions"))
    table = read_table(inputs["coefficients"][0]).set_index("term")
    for term, line in table.iterrows():
        if term == INTERCEPT:
            continue
        row = said[
            said.index(f"{wording(str(term))} {numbers.significant(line['estimate'])[:4]}") :
        ]
        row = row[:300]
        for kind in ("classical", "hc3", "cr3", "wild"):
            assert numbers.p_value(line[f"p_{kind}"]) in row, (term, kind)
        shown = numbers.significant(line["equivalence_bound"], 3) in row
        assert shown == (line["p_cr3"] >= 0.05), term
    joint = read_json(inputs["fits"][0])["joint_tests"]["cr3"]
    tested = next(t for t in joint if t["name"] == "factor:learning_rate")
    assert f"learning rate {len(tested['tested'])}" in said and numbers.p_value(tested["p"]) in said


def test_sizes_by_another_error_are_marked(study: Any, tmp_path: Path) -> None:
    inputs, page = study
    assert "Without a CR3 error" not in section(page, "regressions")
    place = Path(inputs["coefficients"][0])
    table = read_table(place)
    terms = table.index[(table["kind"] != "intercept") & table["estimable"]][:2]
    table.loc[terms, ["se_cr3", "p_cr3", "ci_low", "ci_high"]] = float("nan")
    table.loc[terms, "p_hc3"], table.loc[terms, "p_classical"] = 0.3, 0.4
    table["size_error"] = "cr3"
    table.loc[terms, "size_error"] = ["hc3", "classical"]
    changed = tmp_path.joinpath(*place.parts[-5:])
    changed.parent.mkdir(parents=True)
    write_table(table, changed)
    others = [path for path in inputs["coefficients"] if Path(path) != place]
    write_report(
        {**inputs, "coefficients": [changed, *others]},
        tmp_path / "r.html",
        report_spec({NAME: ROWS}),
    )
    said = section(tmp_path / "r.html", "regressions")
    assert "Without a CR3 error, effects are judged by another: ‡ HC3 and § classical." in said
    for mark, term in zip("‡§", terms, strict=True):
        size = numbers.significant(table.loc[term, "detectable_effect"], 3)
        assert re.search(re.escape(size) + r"0*\s?" + mark, said), (size, mark)


def test_what_the_views_share_is_what_the_tables_hold(study: Any) -> None:
    inputs, page = study
    said = section(page, "regressions")
    assert said.count("Coded linear terms coincide as well") == len(METRICS)
    assert said.count("the uncoded ones differ") == len(METRICS)
    for metric in METRICS:
        one, two = (
            table[table["kind"] == "linear"]
            for path in inputs["coefficients"]
            if metric in path.parts and len(table := read_table(path))
        )
        assert list(one["estimate"]) == pytest.approx(list(two["estimate"]), rel=1e-8)
        assert not any(
            a == pytest.approx(b, rel=1e-3)
            for a, b in zip(one["raw_estimate"], two["raw_estimate"], strict=True)
        )


def test_specifications_have_a_sentence(study: Any) -> None:
    said = section(study[1], "specifications")
    assert (
        "4 specifications a coefficient, 2 of them different; significant with the study’s sign in "
        "50 % or more" in said
    )
    assert "matters most: errors (classical: 100 % of tests significant; CR3: 0 %)" in said
    terms = ["learning_rate", "num_epochs"]
    weak = made_summary("accuracy", terms).assign(share_significant_sign=0.25)
    assert "no term is significant" in specifications.sentence(weak, 0.5)
    none = weak.assign(tested=0)
    assert specifications.sentence(none, 0.5) == (
        "4 specifications a coefficient, none of which can test one."
    )
    assert specifications.sentence(weak.iloc[:0], 0.5) == "No specification could be fitted."


def test_surface_is_told_from_its_tables(study: Any) -> None:
    inputs, page = study
    said = section(page, "surface")
    tables = {p.stem: read_table(p) for p in inputs["surfaces"] if "accuracy" in p.parts}
    sentence = in_words(tables["stationary_point"]["statement"][0], [*FACTORS, *METRICS])
    assert sentence[1:] in said
    region = tables["optimum_region"].iloc[0]
    assert (
        f"Of 200 surfaces refitted to resampled uploaders, {numbers.percent(region['share_maximum'])}"
        in said
    )
    ridge = tables["ridge"]
    last = ridge[(ridge["goal"] == "maximum") & (ridge["radius"] == 1.0)].iloc[0]
    assert (
        f"{numbers.significant(last['ci_low'], 3)} to {numbers.significant(last['ci_high'], 3)}"
        in said
    )
    assert "at each distance from the midpoint of the range (coded)" in said
    assert "gradient at the midpoint of the range (coded)" in said
    assert "Ridge path: the maximum" in said and "Ridge path: the minimum" in said
    assert said.count("Along the gradient") == len(METRICS)
    assert "Fitted accuracy and its standard error" in said


@pytest.mark.parametrize(
    ("low", "fit", "high", "outside", "said"),
    [
        (0.8, 0.9, 0.99, False, ""),
        (0.8, 0.9, 1.01, False, "interval partly impossible"),
        (0.9, 1.1, 1.3, True, "outside the data, impossible"),
        (None, None, None, True, "outside the data"),
    ],
)
def test_a_step_of_a_path_says_what_speaks_against_it(
    low: float | None, fit: float | None, high: float | None, outside: bool, said: str
) -> None:
    numbers_of = pd.Series({"ci_low": low, "fit": fit, "ci_high": high}, dtype=float)
    line = pd.concat([numbers_of, pd.Series({"extrapolated": outside})])
    assert surface._note(line, (0.0, 1.0)) == said


def test_tradeoffs_name_the_best_settings_and_models(study: Any) -> None:
    inputs, page = study
    said = section(page, "tradeoffs")
    summary, surface = read_json(inputs["tradeoffs"][2]), read_table(inputs["tradeoffs"][0])
    assert f"Of {numbers.count(summary['candidates']['tried'])} settings tried" in said
    assert "most desirable" in said and f"{numbers.fixed(surface['desirability'][0])}" in said
    assert "highest accuracy" in said or "most desirable and highest accuracy" in said
    front = int(read_table(inputs["tradeoffs"][1])["front"].sum())
    assert f"{ROWS} models state every metric, {front} of them" in said
    assert EVIL in unescape(said)


def test_every_statement_is_there_with_grade_and_rule(study: Any) -> None:
    inputs, page = study
    table = read_table(inputs["strategies"][0])
    shown = statements(page)
    assert len(shown) == len(table)
    said = section(page, "strategy")
    names = [*FACTORS, *METRICS]
    for _, row in table.iterrows():
        one = strategy.shown_statement(row, names)
        assert one["claim"] in said and one["grade"] == row["grade"]
        assert "_" not in one["rule"] and "fails:" not in one["rule"]
    assert f"{len(table)} statements" in said
    counts = table["grade"].value_counts()
    tally = said[said.index(f"{len(table)} statements") :][:150]
    assert f" {counts['supported']} supported" in tally
    assert f" and {counts['identity']} identity" in tally
    assert said.count("both views are one model") == counts["identity"]


def statements(page: Path) -> list[str]:
    """What the strategy section says, statement by statement, without the rules."""
    html = page.read_text(encoding="utf-8")
    body = re.search(r'<section id="strategy".*?</section>', html, re.DOTALL)
    assert body is not None
    found = []
    for one in re.findall(r'<details class="said">.*?</details>', body[0], re.DOTALL):
        text = re.sub(r"<b>Why.*", "", re.sub(r'<span class="grade.*?</span>', "", one), flags=re.S)
        found.append(unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))).strip())
    return found


def resolved(page: Path, table: pd.DataFrame, root: Path) -> list[str]:
    """Numbers in statements on the page that none of the study's cited cells holds."""
    claims = {
        strategy.shown_statement(row, [*FACTORS, *METRICS])["claim"]: row
        for _, row in table.iterrows()
    }
    rows = []
    for text in statements(page):
        row = max((c for c in claims if text.startswith(c[:30])), key=lambda c: _same(c, text))
        rows.append(claims[row].to_dict() | {"text": text.replace("−", "-")})
    return unresolved_numbers(pd.DataFrame(rows), root)


def _same(claim: str, text: str) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(claim, text, strict=False)) if a != b), len(claim)
    )


def test_every_number_of_the_prose_on_the_page_is_a_cell(study: Any, tmp_path: Path) -> None:
    inputs, page = study
    table, root = read_table(inputs["strategies"][0]), Path(inputs["family"]).parent
    assert sum(bool(re.search(r"\d\.\d", text)) for text in statements(page)) > 20
    assert resolved(page, table, root) == []
    html = page.read_text(encoding="utf-8")
    forged = tmp_path / "forged.html"
    forged.write_text(html.replace("joint p ", "joint p 0.98765 or "), encoding="utf-8")
    assert any("0.98765" in lost for lost in resolved(forged, table, root))


def test_answer_takes_the_grades_of_the_map(study: Any) -> None:
    inputs, page = study
    said = section(page, "answer")
    table = read_table(inputs["strategies"][0]).set_index("id")
    assert "Grades are those of the strategy map." in said
    grade = table.loc["curvature.accuracy.learning_rate^2", "grade"]
    row = said[said.index("accuracy learning rate²") :].partition(" loss ")[0]
    assert row.split()[-1] == grade


def test_audit_sets_each_claim_beside_its_numbers(study: Any) -> None:
    inputs, page = study
    said = unescape(section(page, "audit"))
    claims = pd.read_csv(inputs["claims"], dtype=str, keep_default_na=False)
    for _, row in claims.iterrows():
        assert row["statement"].strip() in said
    for verdict, rows in claims[claims["study"] == "distilbert-variability"].groupby("verdict"):
        assert f"{len(rows)} {audit.VERDICTS[str(verdict)]}" in said
    assert set(claims["verdict"]) <= set(audit.VERDICTS)
    summary = read_json(inputs["audit"])
    family = summary["family"]
    assert f"Of {family['tests']} tests printed, {family['printed']} have p < 0.05" in said
    assert "arXiv:2501.00241" in said and "MRPC" in said and "IMDB" in said
    findings = pd.read_csv(inputs["findings"], dtype=str, keep_default_na=False)
    for severity in ("error", "warning"):
        count = int((findings["severity"] == severity).sum())
        assert not count or f"{count} {severity}" in said


def test_claims_of_an_unknown_verdict_or_study_are_still_shown() -> None:
    row = dict.fromkeys(
        ["id", "where", "cell", "cell_says", "why", "quoted", "named_term_says", "refit",
         "label_also_names", "survives_holm", "survives_bh", "survives_by", "refit_says"], "",
    )  # fmt: skip
    shown = audit.shown_claim(pd.Series({**row, "statement": "s", "survives_holm": "no"}), [])
    assert shown["detail"] == ["survives Holm no"] and not shown["disagrees"]


def test_rules_in_words() -> None:
    said = strategy.rule_in_words("fails: holm, owners_left_out of loss, slope of f1")
    assert said == (
        "lost in Holm’s correction over the study; no better than a mean for those left out "
        "(loss); a slope not clear of zero (f1)"
    )
    assert strategy.rule_in_words("weakest: accuracy fragile, loss artefact") == (
        "the weakest of accuracy fragile and loss artefact"
    )
    assert strategy.rule_in_words("no_joint_significance: loss").endswith("not significant (loss)")


def test_a_rank_deficient_population_renders(tmp_path: Path) -> None:
    frame = models(40, seed=2)
    frame["train_batch_size"] = frame["train_batch_size"].map(lambda b: 16.0 if b < 20 else 32.0)
    inputs = add_statistics(tmp_path, frame)
    write_report(inputs, tmp_path / "r.html", report_spec({NAME: 40}))
    page = Page(tmp_path / "r.html")
    assert not page.open and set(page.ids) >= NEW - {"audit"}
    assert "rank-deficient" in section(tmp_path / "r.html", "trust")
    surface = section(tmp_path / "r.html", "surface")
    assert "No stationary point: 1 term(s) cannot be estimated (train batch size²)" in surface
    assert "the data cannot estimate train batch size²" in section(tmp_path / "r.html", "strategy")


def test_a_study_without_populations_renders(tmp_path: Path) -> None:
    flow, family = tmp_path / "flow.csv", tmp_path / "family.csv"
    pd.DataFrame(columns=list(FLOW_COLUMNS)).to_csv(flow, index=False)
    pd.DataFrame(columns=["population", "view", "metric", "term", "holm"]).to_csv(family)
    empty: dict[str, Any] = {
        key: []
        for key in ("fits", "coefficients", "figures", "coverage", "chosen", "published",
                    "specification_curves", "surfaces", "tradeoffs", "strategies")
    }  # fmt: skip
    inputs = {**empty, "sample_flow": flow, "family": family}
    write_report(inputs, tmp_path / "r.html", {"title": "T", "populations": []})
    page = Page(tmp_path / "r.html")
    assert not page.open and "Runs of our own" in page.text
    assert not {"sample", "coverage", "trust", *NEW} & set(page.ids)


def test_answers_name_hyperparameters_whose_terms_count_together() -> None:
    from types import SimpleNamespace

    from tunescape.report.verdict import _joint

    def tested(metric: str, robust: bool, **factors: float | None) -> Any:
        tests = [{"name": "model", "p": 1e-9}]
        tests += [{"name": f"factor:{name}", "p": p} for name, p in factors.items()]
        summary = {"joint_tests": {"cr3": tests}}
        return SimpleNamespace(metric=metric, robust=robust, summary=summary)

    loss = tested("loss", True, learning_rate=0.02, num_epochs=0.001)
    accuracy = tested("accuracy", True, learning_rate=0.3, num_epochs=None)
    f1 = tested("f1", False, learning_rate=1e-9)
    found, tests = _joint([loss, accuracy, f1])
    assert tests == 3
    # Holm: 3 x .001 and 2 x .02 stay below .05, .3 does not; without CR3 nothing is tested.
    assert found == [(loss, ["learning_rate", "num_epochs"])]
    assert _joint([f1]) == ([], 0)
