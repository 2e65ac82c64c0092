"""rank_factors: every factor has an effect, the kept ones are the largest, by the stated rule."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_json, read_table

SCREEN = Path("results/experiments/mrpc-tuning/screen")


def test_the_largest_effects_are_kept_and_the_designs_compared(tuned: Path) -> None:
    effects, kept = (
        read_table(tuned / SCREEN / "effects.csv"),
        read_json(tuned / SCREEN / "kept.json"),
    )
    assert len(effects) == 7 and effects["rank"].tolist() == list(range(1, 8))
    assert effects["absolute"].is_monotonic_decreasing
    assert sorted(effects.loc[effects["kept"], "factor"]) == kept["kept"]
    assert effects["kept"].tolist() == [True] * 2 + [False] * 5
    assert any("cannot see interactions" in said for said in kept["statements"])
    assert {row["design"] for row in kept["comparison"]} >= {"ofat", "plackett_burman"}
