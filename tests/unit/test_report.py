"""The report: self-contained, escaped, complete, the same bytes for the same tables."""

from __future__ import annotations

import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from study_tables import FACTORS, analyse, models, regression_spec
from tunescape.errors import UserError
from tunescape.figures.of_population import draw_population
from tunescape.figures.of_regression import draw_analysis
from tunescape.regression import adjust_study
from tunescape.report import numbers, write_report
from tunescape.report.data import read_inputs
from tunescape.report.sections import SECTIONS
from tunescape.report.sections.regressions import coefficient_rows, joint_rows
from tunescape.report.svg import inline_svg
from tunescape.schemas import COVERAGE_COLUMNS, FLOW_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
EVIL = "<script>alert('x')</script>"
# This study has no such tables.
ABSENT = {
    "experiments", "contrast", "specifications", "surface", "tradeoffs", "strategy", "audit",
    "tuning", "lora",
}  # fmt: skip
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Checks nesting, and gathers ids, links, elements and the text shown."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + " "

    def _seen(self, tag: str, attrs: dict[str, str | None]) -> None:
        self.tags.append((tag, attrs))
        if "id" in attrs:
            self.ids.append(str(attrs["id"]))
        if "href" in attrs:
            self.links.append(str(attrs["href"]))


def make_inputs(folder: Path, sizes: dict[str, int], evil: str = "") -> dict[str, Any]:
    """Tables and figures of a study with the given numbers of models."""
    analyses: list[Path] = []
    flow, coverage = [], []
    for seed, (name, rows) in enumerate(sizes.items()):
        frame = models(rows, seed)
        if evil:
            frame.loc[: rows // 2, "owner"] = evil
            frame.loc[:3, "id"] = [f"{evil}{i}" for i in range(min(rows, 4))]
        flow += [
            (name, "base model", evil or "other base model", 500, rows, 500 - rows),
            (name, "base model", "remain", rows, rows, 0),
            (name, "metric accuracy", "remain", rows, rows, 0),
        ]
        coverage += [(name, f, "accuracy", rows, 4, 9, 2) for f in FACTORS]
        for view in ("absolute", "relative"):
            place = folder / "analysis" / name / view / "accuracy"
            analyse(frame, place, "accuracy", view)
            analyses.append(place)
    pd.DataFrame(flow, columns=list(FLOW_COLUMNS)).to_csv(folder / "flow.csv", index=False)
    pd.DataFrame(coverage, columns=list(COVERAGE_COLUMNS)).to_csv(
        folder / "coverage.csv", index=False
    )
    coefficients = [place / "coefficients.csv" for place in analyses]
    adjust_study(coefficients, folder / "family.csv")
    figures = []
    for place in analyses:
        out = folder / "figures" / place.relative_to(folder / "analysis")
        files = [out / "regression.svg", out / "scatter.svg", out / "forest.svg"]
        tables = [
            place / n for n in ("sample.parquet", "coefficients.csv", "fit.json", "diagnostics.csv")
        ]
        view = place.parent.name
        draw_analysis(*tables, files, regression_spec("accuracy", view))
        figures += files
    for name in sizes:
        files = [folder / "figures" / name / "flow.svg", folder / "figures" / name / "coverage.svg"]
        spec = {"population": name, "min_rows": 30, "min_settings": 3}
        draw_population(folder / "flow.csv", folder / "coverage.csv", files, spec)
        figures += files
    return {
        "sample_flow": folder / "flow.csv",
        "coverage": folder / "coverage.csv",
        "family": folder / "family.csv",
        "fits": [place / "fit.json" for place in analyses],
        "coefficients": coefficients,
        "figures": figures,
        "paper_figures": ROOT / "resources" / "paper_figures.csv",
        "citation": ROOT / "CITATION.cff",
    }


def report_spec(sizes: dict[str, int], title: str = "A study") -> dict[str, Any]:
    return {
        "title": title,
        "populations": list(sizes),
        "coverage": {"min_rows": 30, "min_settings": 3},
        "config": {"report": {"title": title}},
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """A hostile study: one population that can be fitted and an empty one."""
    folder = tmp_path_factory.mktemp("study")
    sizes = {"first": 80, "empty": 0}
    inputs, spec = make_inputs(folder, sizes, EVIL), report_spec(sizes, f"Title {EVIL}")
    published = folder / "published" / "first" / "published.csv"
    published.parent.mkdir(parents=True)
    pd.DataFrame(
        [
            [1, "accuracy", "absolute", "intercept", "const", 0.18, 0.048, 0.0, 0.5, 0.1, 0.01, True],
            [1, "accuracy", "absolute", "learning_rate", f"x1{EVIL}", -9595.1379, 6952.389, 0.178, -2.0, 1.5, 0.2, True],
            [1, "accuracy", "absolute", "num_epochs^2", "x9", 0.0001, 6.76e-05, 0.095, None, None, None, None],
        ],
        columns=["table", "metric", "view", "term", "published_term", "published_coef", "published_std_err",
                 "published_p", "coef", "std_err", "p", "same_sign"],
    ).assign(std_err_cr3=None, p_cr3=None, n=80, clusters=13).to_csv(published, index=False)  # fmt: skip
    inputs["published"] = [published]
    out = folder / "report.html"
    write_report(inputs, out, spec)
    return inputs, spec, out


def test_page_is_well_formed_with_unique_ids_and_live_links(study: Any) -> None:
    page = Page(study[2])
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert page.links and all(link[1:] in page.ids for link in page.links)


def test_every_section_is_there(study: Any) -> None:
    page = Page(study[2])
    for section in SECTIONS:
        if section.id in ABSENT:
            assert section.id not in page.ids
            continue
        assert section.id in page.ids
        assert section.title in page.text
        assert f"#{section.id}" in page.links


def test_nothing_is_loaded_and_nothing_runs(study: Any) -> None:
    text = study[2].read_text(encoding="utf-8")
    for tag, attrs in Page(study[2]).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "action", "data"):
                assert value is not None and value.startswith(("#", "data:image/png;base64,"))
            if name == "style":
                assert not re.search(r"url\((?!#)|expression", value or "")
    assert "@import" not in text and not re.search(r"url\((?!#)", text)


def test_untrusted_text_is_shown_as_text(study: Any) -> None:
    text = study[2].read_text(encoding="utf-8")
    assert "<script" not in text
    page = Page(study[2])
    assert "<script>alert(" in page.text  # escaped, and still readable
    assert EVIL in page.text  # the reason in the sample flow, and the title


def test_same_tables_same_bytes(study: Any, tmp_path: Path) -> None:
    inputs, spec, out = study
    write_report(inputs, tmp_path / "again.html", spec)
    assert out.read_bytes() == (tmp_path / "again.html").read_bytes()


def test_numbers_come_from_the_tables(study: Any) -> None:
    inputs, _, out = study
    page = re.sub(r"\s+", " ", Page(out).text)
    table = pd.read_csv(inputs["coefficients"][0]).set_index("term")
    for term in ("learning_rate", "num_epochs^2"):
        assert numbers.significant(table.loc[term, "estimate"]) in page
        assert numbers.significant(table.loc[term, "se_cr3"]) in page
    assert "500 model cards read" in page
    assert "−9595.1379" in page and "not estimable" in page


def test_bold_marks_evidence_alone(study: Any) -> None:
    """Errors that take one uploader's models for independent are shown, never emphasised."""
    analysis = next(a for a in read_inputs(study[0], study[1]).of("first") if a.fitted)
    assert analysis.error == "cr3" and (analysis.table["p_classical"] < 0.05).any()
    rows = [row["tests"] for row in coefficient_rows(analysis) if row["estimable"]]
    assert not any(test["small"] for tests in rows for test in tests[:2])
    assert [tests[2]["small"] for tests in rows] == [
        bool(p < 0.05) for p in analysis.table.loc[analysis.table["estimable"], "p_cr3"]
    ]
    assert not any(row["tests"][0]["small"] for row in joint_rows(analysis))


def test_empty_population_is_said(study: Any) -> None:
    page = Page(study[2])
    assert "Nothing can be estimated." in page.text
    assert "not fitted" in page.text


def test_tables_and_figures_are_accessible(study: Any) -> None:
    page = Page(study[2])
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption") > 3
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
    drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert drawings and all(a.get("role") == "img" and a.get("aria-label") for a in drawings)
    scrolled = [a for _, a in page.tags if "scroll" in (a.get("class") or "").split()]
    assert scrolled and all(a.get("tabindex") == "0" and a.get("aria-label") for a in scrolled)
    assert ("a", {"class": "skip", "href": "#main"}) in page.tags
    html = next(attrs for tag, attrs in page.tags if tag == "html")
    assert html["lang"] == "en"


def test_page_follows_the_theme_and_prints(study: Any) -> None:
    text = study[2].read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text and "@media print" in text
    drawing = text[text.index("<svg") : text.index("</svg>")]
    assert "var(--ink)" in drawing and "#1d2329" not in drawing


def test_a_study_without_models_gives_a_page(tmp_path: Path) -> None:
    sizes = {"none": 0}
    inputs = make_inputs(tmp_path, sizes)
    write_report(inputs, tmp_path / "r.html", report_spec(sizes))
    page = Page(tmp_path / "r.html")
    assert not page.open and "Nothing can be estimated." in page.text


def test_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="family"):
        write_report({"fits": [], "coefficients": []}, tmp_path / "r.html", {})
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    "body",
    [
        "<script>1</script>",
        '<image href="https://example.org/x.png"/>',
        '<rect onload="x()"/>',
        '<rect style="fill: url(https://example.org/#a)"/>',
        "<foreignObject/>",
        '<a href="#x"/>',
    ],
)
def test_drawing_with_code_or_links_is_refused(body: str, tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    path.write_text(f'<svg viewBox="0 0 1 1">{body}</svg>')
    with pytest.raises(UserError, match="script or a link"):
        inline_svg(path, "p", "alt")


def test_inlined_drawing_is_prefixed_and_text_untouched(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    path.write_text(
        '<?xml version="1.0"?><!-- c --><svg width="9" viewBox="0 0 500 9"><g id="a"/><g id="b"/>'
        '<use xlink:href="#a" x="1.23456" style="fill: #1d2329"/>'
        '<text>id="a" #1d2329 onload=1 1.2345</text></svg>'
    )
    own = f"g{zlib.crc32(b'fig'):x}"
    assert inline_svg(path, "fig", 'say "x" <b>') == (
        '<svg viewBox="0 0 500 9" role="img" aria-label="say &#34;x&#34; &lt;b&gt;">'
        f'<g id="{own}-a"/><g/><use href="#{own}-a" x="1.23" style="fill:var(--ink)"/>'
        '<text>id="a" #1d2329 onload=1 1.2345</text></svg>'
    )


def test_drawing_made_for_a_column_stays_narrow(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    path.write_text('<svg viewBox="0 0 252 200"><g/></svg>')
    assert 'style="width:50%;min-width:19rem"' in inline_svg(path, "fig", "half")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.5506631234, 6, "0.550663"),
        (-9595.1379, 6, "−9595.14"),
        (3.705e8, 6, "3.70500e8"),
        (1.2e-10, 3, "1.20e−10"),
        (0, 6, "0"),
        (999999.7, 6, "1.00000e6"),
        (0.00012345678, 6, "0.000123457"),
        (float("nan"), 6, "–"),
        (None, 6, "–"),
        (float("inf"), 6, "–"),
    ],
)
def test_significant_digits(value: object, digits: int, text: str) -> None:
    assert numbers.significant(value, digits) == text


def test_number_words() -> None:
    assert numbers.p_value(0.0) == "<0.001" and numbers.p_value(0.0345) == "0.035"
    assert numbers.p_value(None) == "–" and numbers.p_value(1) == "1.000"
    assert numbers.percent(0.9375) == "94 %" and numbers.percent(0.999) == ">99 %"
    assert numbers.percent(0.001) == "<1 %" and numbers.percent(1) == "100 %"
    assert numbers.count(7551) == "7,551" and numbers.count(float("nan")) == "–"
    assert numbers.fixed(-0.001) == "0.00" and numbers.fixed(-3.632) == "−3.63"
    assert numbers.printed(0.1815) == "0.1815" and numbers.printed(3.705e8) == "3.705e8"
    assert numbers.printed(6.76e-5) == "6.76e−5" and numbers.printed(0.0) == "0.000"
    assert numbers.listed(["a", "b", "c"]) == "a, b and c" and numbers.listed([]) == ""
    assert numbers.plural(1, "model") == "1 model" and numbers.plural(2, "model") == "2 models"


def test_aligned_points_stand_in_one_column() -> None:
    padded = numbers.aligned(["1.25", "10", "0.5", "–"])
    assert [len(p) for p in padded[:3]] == [4, 5, 4]
    after = [
        len(p) - (p.index(".") if "." in p else len(p.rstrip("\u2007\u2008"))) for p in padded[:3]
    ]
    assert after == [3, 3, 3]
    assert padded[3] == "–"
