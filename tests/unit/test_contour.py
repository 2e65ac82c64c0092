"""Contours and specification curves: they show data, hull and error, or say why they do not."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from study_tables import analyse, models
from tunescape.figures.contour import draw_contour
from tunescape.figures.specification import draw_specifications
from tunescape.specification import DECISIONS, summarise_curve
from tunescape.tables import write_table

SPEC = {"dpi": 60}


def texts(path) -> str:
    """All words of an SVG."""
    return " ".join(re.findall(r">([^<>]+)</text>", path.read_text(encoding="utf-8")))


def draw(folder, out):
    paths = [out / "contour.svg", out / "contour.png"]
    draw_contour(folder / "fit.json", folder / "diagnostics.csv", paths, SPEC)
    return paths


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return analyse(models(120, seed=2), tmp_path_factory.mktemp("a"), "accuracy", "absolute")


def test_contours_show_every_pair_with_error_and_are_deterministic(fitted, tmp_path):
    svg, png = draw(fitted, tmp_path)
    words = texts(svg)
    assert "n = 120" in words and "25 owners" in words
    assert "standard error (CR3)" in words
    for name in ("learning rate", "train batch size", "epochs"):
        # Twice on an x or y axis in each of two lines of panels.
        assert words.count(name) >= 4
    assert len(re.findall(r"at (?:epochs|train batch size|learning rate)", words)) == 6
    first = svg.read_bytes(), png.read_bytes()
    again = draw(fitted, tmp_path)
    assert first == (again[0].read_bytes(), again[1].read_bytes())
    assert png.read_bytes().startswith(b"\x89PNG")


def test_aliased_surface_says_what_cannot_be_estimated(tmp_path):
    frame = models(80, seed=4)
    frame["num_epochs"] = frame["train_batch_size"] / 8
    folder = analyse(frame, tmp_path / "a", "accuracy", "absolute")
    words = texts(draw(folder, tmp_path)[0])
    assert "no contours" in words
    assert "standard error" not in words


def test_too_few_models_give_a_sentence(tmp_path):
    folder = analyse(models(5, seed=1), tmp_path / "a", "accuracy", "absolute")
    words = texts(draw(folder, tmp_path)[0])
    assert "not fitted" in words and "n = 5" in words


def made_curve(tested: bool) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = 60
    parts = []
    for term, centre in (("a", 3.0), ("a^2", 0.0)):
        estimate = rng.normal(centre, 1, rows)
        parts.append(
            pd.DataFrame(
                {
                    "metric": "accuracy", "term": term, "specification": range(rows),
                    **dict.fromkeys(DECISIONS, "one"), "view": ["absolute", "relative"] * (rows // 2),
                    "n": 50, "clusters": 20, "estimate": estimate, "se": 1.0, "df": 19.0,
                    "p": np.where(np.abs(estimate) > 2, 0.01, 0.5) if tested else np.nan, "status": "",
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("tested", [True, False])
def test_specification_curve_names_terms_decisions_and_shares(tmp_path, tested):
    curve = made_curve(tested)
    reference = {**dict.fromkeys(DECISIONS, "one"), "view": "absolute"}
    summary = summarise_curve(curve, reference)
    write_table(curve, tmp_path / "curve.csv")
    write_table(summary, tmp_path / "summary.csv")
    out = [tmp_path / "s.svg", tmp_path / "s.png"]
    draw_specifications(tmp_path / "curve.csv", tmp_path / "summary.csv", out, SPEC)
    words = texts(out[0])
    if not tested:
        assert "none of 60 specifications tests a coefficient" in words
        return
    assert "60 specifications a coefficient" in words
    share = summary[(summary["term"] == "a") & (summary["decision"] == "all")].iloc[0]
    assert f"sign kept {share['share_sign']:.0%}" in words
    assert "view: absolute" in words and "relative" in words
    assert "a²" in words
