"""audit_claims: every claim has a verdict, beside what our own regressions say of the term."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_table


def test_every_claim_is_judged(finished: Path) -> None:
    claims = read_table(finished / "results/audit/claims.csv")
    assert claims["verdict"].notna().all() and claims["id"].is_unique
    per_study = claims["study"].value_counts()
    assert per_study["distilbert-variability"] >= 25
    assert {"mrpc-tuning", "imdb-lora"} <= set(per_study.index)
    figures = claims[claims["study"] == "mrpc-tuning"].set_index("id")
    assert "3 examples of 408" in figures.loc["mrpc-4", "why"]
    refit = claims[(claims["metric"] == "loss") & claims["refit_says"].notna()]
    assert len(refit) and refit["refit_says"].str.contains("distilbert ").all()
    assert set(refit["refit"]) <= {"agrees", "disagrees", "mixed"}
