"""Training the trials of a round: shared out to packs, kept by content, put into their places."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tunescape.tables import PARTIAL
from tunescape.training.run import PREDICTIONS, finished_folder, publish
from tunescape.training.stage import train_specs
from tunescape.tuning.trials import read_round


def train_trials(
    round_path: str | Path, out_ledger: str | Path, work_dir: str | Path, spec: Mapping[str, Any]
) -> None:
    """Train one pack of a round's trials into the store of finished runs.

    A trial that was trained before, in this study or in another, is not trained again. One that
    fails is kept with its reason, and the search goes on without it.

    Args:
        round_path: proposals (see `rounds.propose_round`).
        out_ledger, work_dir, spec: see `training.stage.train_specs`.

    Raises:
        UserError: see `training.stage.train_specs`.
    """
    specs = [one["spec"] for one in read_round(round_path)]
    train_specs(specs, out_ledger, work_dir, spec)


def publish_trials(
    round_path: str | Path, out_dir: str | Path, work_dir: str | Path, spec: Mapping[str, Any]
) -> None:
    """Put the finished runs of a round's trials into their places.

    Args:
        round_path: proposals (see `rounds.propose_round`).
        out_dir: folder of the round; each trial's run goes to ``trial-I``, with ``spec.json``,
            ``metrics.json``, ``timing.json``, ``history.csv``, ``predictions.csv`` (of a run that
            ended well) and ``model/``.
        work_dir: as in :func:`train_trials`.
        spec: ``device``.

    Raises:
        UserError: see `training.run.publish`.
    """
    out = Path(out_dir)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=PARTIAL) as temporary:
        staged = Path(temporary) / out.name
        staged.mkdir()
        for one in read_round(round_path):
            folder = finished_folder(work_dir, one["spec"], spec["device"])
            target = staged / f"trial-{one['trial']}"
            publish(folder, target)
            if (folder / PREDICTIONS).is_file():
                shutil.copyfile(folder / PREDICTIONS, target / PREDICTIONS)
        shutil.rmtree(out, ignore_errors=True)
        staged.rename(out)
