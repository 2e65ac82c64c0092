"""discover_models: opt-in, and made anew whenever it is asked for."""

from __future__ import annotations

from pathlib import Path

from harness import snakemake


def test_only_when_asked_for(finished: Path) -> None:
    outcome = snakemake(finished, "--dry-run", "discover")
    assert outcome.returncode == 0, outcome.output[-2000:]
    assert set(outcome.rules) - {"discover"} == {"discover_models"}
    assert "discover_models" not in snakemake(finished, "--dry-run", "--forceall").rules
