"""Tuning studies on the page: candidates in words, honest numbers, one escaped script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from test_report import EVIL, Page, make_inputs, report_spec
from tunescape.figures.tuning import draw_tuning
from tunescape.report import write_report
from tunescape.report.sections.tuning import candidate_name, headline
from tunescape.tables import read_json, read_table
from tunescape.tuning import export, results, rounds
from tuning_objective import FACTORS, make_trainer, study_spec

STAGES: list[dict[str, Any]] = [
    {"screen": {"keep": 2}},
    {"bayes": {"trials": 4, "parallel": 2, "prior": "earlier_stages", "repeats": 2}},
    {"confirm": {"seeds": [101, 102]}},
]
TABLES = ("trials.csv", "table.csv", "curves.csv", "importance.csv", "history.csv", "summary.json")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a study of an analytic objective, and its page."""
    folder = tmp_path_factory.mktemp("page")
    root, figures = folder / "experiments/toy", folder / "figures/experiments/toy"
    spec = study_spec(STAGES)
    rounds.run_study(spec, root, make_trainer())
    results.summarise_study(spec, root, *[root / name for name in TABLES])
    journal = root / "screen/export/study.log"
    export.export_search(spec, root, "screen", journal, root / "t.csv", root / "c.csv")
    told = {"metric": "accuracy", "maximise": True, "factors": list(FACTORS), "dpi": 60}
    inputs = {name: root / f"{name}.csv" for name in ("trials", "curves", "history")}
    inputs |= {"effects": root / "screen/effects.csv", "summary": root / "summary.json"}
    drawn = [figures / f"{kind}.svg" for kind in ("budget", "parallel", "training")]
    drawn.append(figures / "screen/half_normal.svg")
    drawn[-1].parent.mkdir(parents=True)
    draw_tuning(inputs, drawn, told)
    base = make_inputs(tmp_path_factory.mktemp("base"), {"first": 80})
    tuning = {
        "tuning_tables": [root / "table.csv"],
        "tuning_trials": [root / "trials.csv"],
        "tuning_summaries": [root / "summary.json"],
        "tuning_importance": [root / "importance.csv"],
        "tuning_effects": [root / "screen/effects.csv"],
        "tuning_kept": [root / "screen/kept.json"],
        "tuning_figures": drawn,
        "tuning_exports": [journal],
    }
    own = {"model": f"owner/model{EVIL}", "task": "toy", "fixed": {"num_epochs": 3}}
    told_page = {**report_spec({"first": 80}), "tunings": {"toy": told}}
    told_page["config"] = {"experiments": {"toy": own}}
    write_report(base | tuning, folder / "report.html", told_page)
    return root, folder / "report.html"


def section(path: Path) -> str:
    body = re.search(r'<section id="tuning".*?</section>', path.read_text("utf-8"), re.DOTALL)
    assert body is not None
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]+>", " ", body[0], flags=re.S))


def test_numbers_of_the_table_are_on_the_page(page: tuple[Path, Path]) -> None:
    root, out = page
    said = section(out)
    table = read_table(root / "table.csv")
    for row in table.to_dict("records"):
        assert candidate_name(str(row["candidate"])) in said
        assert f"{row['found']:.4f}" in said and f"{row['confirmed']:.4f}" in said
    assert headline(read_json(root / "summary.json")) in said
    assert "the warm start" in said and "learning_rate" not in said
    assert "One factor at a time cannot see interactions" in said
    assert "screen/export/study.log" in said


def test_the_page_stays_well_formed_and_escaped(page: tuple[Path, Path]) -> None:
    html = page[1].read_text(encoding="utf-8")
    parsed = Page(page[1])
    assert not parsed.open and len(parsed.ids) == len(set(parsed.ids))
    assert html.count("<script") == 2 and EVIL not in html
    assert '<div class="parallel small" id="parallel-toy" hidden>' in html
    assert not re.search(r'<script[^>]*src=|https?://(?!www\.w3\.org/2000/svg)[^"<\s]+\.js', html)
    assert "Undefined" not in html and all(link[1:] in parsed.ids for link in parsed.links)


def test_candidates_in_words() -> None:
    assert candidate_name("manual") == "best by hand"
    assert candidate_name("bayes-warm-s2") == "Bayesian search, warm start, repeat 2"
    assert candidate_name("surface2") == "surface search 2"
