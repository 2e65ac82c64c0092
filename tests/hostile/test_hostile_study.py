"""A whole study on hostile cards: nothing runs, nothing leaves the folder, all is shown escaped."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from conftest import run_once
from hostile_cards import FORMULAS, MARKUP, write_dump
from tunescape.tables import read_table

TITLE = MARKUP[2] + MARKUP[1]
STUDY = {
    "hub": {"source": "cards", "path": "cards.jsonl", "buckets": 2},
    "coverage": {"min_rows": 12},
    "populations": {"p": {"base_model": ["distilbert*", "nobody/*"], "baseline": "sst2-english"}},
    "regression": {"metrics": ["loss"], "views": ["absolute"]},
    "experiments": {},
    "contrasts": [],
    "figures": {"dpi": 50},
    "report": {"title": TITLE},
}


def prepare(project: Path) -> None:
    write_dump(project / "cards.jsonl")
    (project / "config.yaml").write_text(yaml.safe_dump(STUDY))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study on hostile cards; made once, also by several workers."""
    return run_once(tmp_path_factory, "hostile", prepare)


class Page(HTMLParser):
    """What a browser would see: elements, attributes and texts, references resolved."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_models_are_all_accounted_for(hostile: Path) -> None:
    flow = read_table(hostile / "results/analysis/sample_flow.csv")
    assert (flow["before"] - flow["removed"] == flow["after"]).all()
    features = read_table(hostile / "results/hub/features.parquet")
    assert len(features) > 90 and set(FORMULAS[:4]) & set(features["id"])
    assert not features["id"].str.contains("\n").any()
    fit = json.loads((hostile / "results/analysis/p/absolute/loss/fit.json").read_text())
    assert fit["status"] != "not_fitted" and fit["n"] > 40


def test_nothing_was_made_where_cards_asked_for_it(hostile: Path) -> None:
    known = {"cards.jsonl", "config.yaml", "results", "work", ".snakemake"}
    shipped = {"Snakefile", "Makefile", "README.md", "scripts", "rules", "tests", "docs", "envs"}
    there = {path.name for path in hostile.iterdir()}
    assert shipped <= there
    assert not {name for name in there - known if "pwned" in name or not name.isascii()}
    folders = [hostile, *list(hostile.parents)[:3], Path("/tmp"), Path.cwd()]
    assert not [folder for folder in folders if (folder / "pwned").exists()]
    for path in (hostile / "results/hub/raw").rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._~-]+", path.name) and not path.is_symlink()
        assert len(path.relative_to(hostile / "results/hub/raw").parts) <= 2


def test_the_page_shows_texts_and_runs_none(hostile: Path) -> None:
    text = (hostile / "results/report.html").read_text()
    page = Page(text)
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "base", "form", "img"}
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "xlink:href"):
            assert value.startswith(("#", "data:image/png;base64,", "https://")), (tag, value)
    shown = "".join(page.texts)
    assert TITLE in shown
    assert "no model descends from nobody/*" in shown
    assert not [markup for markup in MARKUP[:4] if markup in text]


def test_drawings_hold_no_foreign_element(hostile: Path) -> None:
    drawings = list((hostile / "results/figures").rglob("*.svg"))
    assert len(drawings) >= 8
    for path in drawings:
        for element in ET.parse(path).iter():
            tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "comment"
            assert tag not in ("script", "foreignObject", "img", "iframe", "a", "animate", "set")
            assert not [name for name in element.attrib if name.lower().startswith("on")]


def test_no_cell_of_any_table_is_a_formula(hostile: Path) -> None:
    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?inf")
    guarded = 0
    tables = [p for p in (hostile / "results").rglob("*") if p.suffix in (".csv", ".tsv")]
    assert len(tables) > 30
    for path in tables:
        with path.open(encoding="utf-8", newline="") as handle:
            for row in csv.reader(handle, delimiter="," if path.suffix == ".csv" else "\t"):
                for cell in row:
                    if not path.is_relative_to(hostile / "results/benchmarks"):
                        assert cell[:1] not in tuple("=+-@\t\r\n＝") or number.fullmatch(cell), path
                    guarded += cell.startswith(("'=", "'+", "'@", "'-"))
    assert guarded > 50


def test_our_own_tables_give_the_ids_back(hostile: Path) -> None:
    features = set(read_table(hostile / "results/hub/features.parquet")["id"])
    rows = read_table(hostile / "results/analysis/p/absolute/loss/diagnostics.csv")
    assert set(rows["id"]) <= features
    assert set(FORMULAS[:4]) & {name.rpartition("/")[0] or name for name in rows["id"]}


def test_nobody_saw_a_traceback(hostile: Path) -> None:
    logs = [path.read_text() for path in (hostile / "results/logs").rglob("*.log")]
    assert len(logs) > 15
    assert not [log for log in logs if "Traceback" in log]
