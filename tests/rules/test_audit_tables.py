"""audit_tables: the six published tables, as the study's own factors and baseline read them."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_json, read_table


def test_findings_of_the_published_tables(finished: Path) -> None:
    findings = read_table(finished / "results/audit/findings.csv")
    summary = read_json(finished / "results/audit/summary.json")
    assert set(summary["tables"]) == {str(i) for i in range(1, 7)}
    assert summary["factors"] == ["learning_rate", "train_batch_size", "num_epochs"]
    assert summary["findings"]["error"] == (findings["severity"] == "error").sum() > 0
    assert findings["id"].is_unique and findings["why"].notna().all()
