"""The training stage: an experiment's runs, shared out to packs, kept by content, published.

Finished runs are kept in a store below ``work/`` under what they are made of (specification, code,
libraries, device). A changed design trains what the store lacks and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescape.errors import UserError
from tunescape.tables import read_json, write_text
from tunescape.training.packing import make_packs
from tunescape.training.run import (
    INPUT,
    PackOptions,
    finished_folder,
    publish,
    train_pack,
)
from tunescape.training.runspec import run_id


def read_specs(folder: str | Path) -> list[dict[str, Any]]:
    """Canonical specifications of an experiment: ``{run_id}.json`` files, in order of run id."""
    return [read_json(path) for path in sorted(Path(folder).glob("*.json"))]


def train_share(
    specs_dir: str | Path, out_ledger: str | Path, work_dir: str | Path, spec: Mapping[str, Any]
) -> None:
    """Train one pack of an experiment's runs into the store.

    Args:
        specs_dir: folder of canonical specifications.
        out_ledger, work_dir, spec: see :func:`train_specs`.

    Raises:
        UserError: see :func:`train_specs`.
    """
    train_specs(read_specs(specs_dir), out_ledger, work_dir, spec)


def train_specs(
    listed: Sequence[Mapping[str, Any]],
    out_ledger: str | Path,
    work_dir: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Train one pack of some runs into the store.

    A run that fails is kept with its reason, and the others are unharmed. When no run of the pack
    got as far as training, it is the model or the data set that is wrong: an error.

    Args:
        listed: canonical specifications of all packs.
        out_ledger: text file that says only that the pack is done: it stays the same bytes when
            runs are added, so that runs published before need not be published again.
        work_dir: folder for caches, states of interrupted runs and the store.
        spec: ``pack`` (from 0), ``packs``, ``device``, ``report_to``.

    Raises:
        UserError: no such device, or a model or data set that no run of the pack can use.
    """
    specs = {run_id(one): one for one in listed}
    packs = make_packs(list(specs.values()), int(spec["packs"])) if specs else []
    pack = int(spec["pack"])
    if pack < len(packs):
        options = PackOptions(
            device=spec["device"],
            keep_states=True,
            keep_finished=True,
            record_failures=True,
            report_to=tuple(spec["report_to"]),
        )
        results = train_pack([specs[run] for run in packs[pack]], None, work_dir, options)
        if all(metrics.get("cause") == INPUT for metrics in results):
            raise UserError("; ".join(sorted({metrics["error"] for metrics in results})))
    write_text("done\n", out_ledger)


def publish_run(
    spec_path: str | Path, out_dir: str | Path, work_dir: str | Path, spec: Mapping[str, Any]
) -> None:
    """Put a finished run's files from the store into its own folder (hard links where possible).

    Args:
        spec_path: the run's canonical specification.
        out_dir: ``results/runs/{run_id}``: spec.json, metrics.json, timing.json, history.csv, and
            ``model/`` (weights as asked for, model card).
        work_dir: as in :func:`train_share`.
        spec: ``device``.

    Raises:
        UserError: see :func:`tunescape.training.run.publish`.
    """
    folder = finished_folder(work_dir, read_json(spec_path), spec["device"])
    publish(folder, Path(out_dir))
