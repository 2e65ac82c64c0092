"""export_search: what Optuna and DeepCAVE open."""

from __future__ import annotations

from pathlib import Path

import pytest
from tunescape.tables import read_table

PLACE = Path("results/experiments/mrpc-tuning")


@pytest.mark.parametrize("search", ["screen", "grid", "bayes-warm", "bayes-cold", "confirm"])
def test_optuna_opens_the_journal(tuned: Path, search: str) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder = tuned / PLACE / search / "export"
    storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    study = optuna.load_study(study_name=f"mrpc-tuning/{search}", storage=storage)
    trials = read_table(tuned / PLACE / "trials.csv")
    own = trials[trials["search"] == search]
    assert [trial.value for trial in study.trials] == own["value"].tolist()
    assert len(read_table(folder / "trials.csv")) == len(own)
    assert {"name", "type", "lower", "upper"} <= set(read_table(folder / "configspace.csv").columns)
