"""summarise_study: baseline, by hand and by search, with gains paired and choices corrected."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_json, read_table

PLACE = Path("results/experiments/mrpc-tuning")


def test_gains_are_paired_and_the_choice_is_corrected_by_halves(tuned: Path) -> None:
    table = read_table(tuned / PLACE / "table.csv").set_index("candidate")
    assert list(table.index) == ["baseline", "manual", "bayes-warm", "bayes-cold"]
    found = table.drop(index="baseline")
    assert (found["gain_method"] == "paired").all()
    assert found["correction"].str.contains("one half of the 40 rows").all()
    assert (found["corrected"] <= found["found"] + 1e-12).all()
    assert (found["gain_low"] <= found["gain_examples"]).all()
    assert (found["gain_examples"] <= found["gain_high"]).all()
    assert (table["seeds"] == 2).all() and table["confirmed"].notna().all()


def test_every_trial_is_in_the_table_once(tuned: Path) -> None:
    trials = read_table(tuned / PLACE / "trials.csv")
    sizes = trials.groupby("search", sort=False).size().to_dict()
    assert sizes == {"screen": 16, "grid": 4, "bayes-warm": 2, "bayes-cold": 2, "confirm": 8}
    assert (trials["status"] == "ok").all()
    summary = read_json(tuned / PLACE / "summary.json")
    assert summary["trials"] == 32 and summary["runs"] == trials["run_id"].nunique()
    assert any("the warm start" in said for said in summary["statements"])
