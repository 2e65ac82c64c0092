"""Trials on disk: what was proposed (``spec.json``) and what its run gave (``run/``)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.design import CENTRE_SEED_STEP, configuration_id
from tunescape.digests import canonical_json
from tunescape.errors import UserError
from tunescape.factors import Value
from tunescape.tables import read_json, write_json
from tunescape.tuning.study import Search, TuningStudy, trial_folder

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
EMPTY = "empty"
RUN = "run"
PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class Proposal:
    """One trial to be run.

    Attributes:
        kind: why it is tried: baseline, ofat, screening, factorial, start, ask, promoted, ...
        settings: raw values of all the study's factors.
        seed: the training seed.
        overrides: run keys that differ from the study's (epochs of a rung).
        parent: trial of the rung below, as ``round-R/trial-I``.
    """

    kind: str
    settings: Mapping[str, Value]
    seed: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None


@dataclass(frozen=True)
class Trial:
    """One trial with its result.

    Attributes:
        search, round, number: its place.
        run_id, configuration: ids of its specification, with and without the seed.
        status: ``ok``, ``failed``, ``pending`` (no result yet) or ``empty`` (not needed).
        value: the tuned metric; None unless ok.
        history: (epoch, value) of every evaluation of the metric.
        metrics: content of metrics.json.
        spec: the run's canonical specification.
    """

    search: str
    round: int
    number: int
    kind: str
    settings: Mapping[str, Value]
    seed: int
    run_id: str
    configuration: str
    status: str
    value: float | None = None
    history: tuple[tuple[float, float], ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    same_as: str | None = None

    @property
    def place(self) -> str:
        """Its folder below its search's."""
        return f"round-{self.round}/trial-{self.number}"


def run_spec(study: TuningStudy, proposal: Proposal, where: str) -> dict[str, Any]:
    """The canonical specification of a proposal's run.

    Raises:
        UserError: a setting that no run can have.
    """
    from tunescape.training import runspec

    raw = {**study.shared, **proposal.settings, **proposal.overrides, "seed": proposal.seed}
    return runspec.complete(raw, where)


def write_proposals(
    study: TuningStudy,
    search: Search,
    round_number: int,
    proposals: Sequence[Proposal],
    root: str | Path,
    earlier: Sequence[Trial] = (),
    reason: str = "not needed",
) -> list[Path]:
    """Write the ``spec.json`` of every trial of a round; places left over are empty.

    A file is rewritten only when its bytes change, so that an unchanged proposal retrains nothing.

    Args:
        proposals: at most as many as the round can have.
        earlier: trials with a result; one of the same run is named as ``same_as``, so that its
            files are taken over instead of training again.
        reason: why places are left empty.

    Returns:
        The files, in the order of the trials.
    """
    from tunescape.training import runspec

    capacity = search.rounds[round_number - 1]
    if len(proposals) > capacity:
        raise UserError(
            f"{len(proposals)} proposals",
            where=f"{search.name}, round {round_number}",
            expected=f"at most {capacity}",
        )
    known = {t.run_id: f"{t.search}/{t.place}" for t in reversed(earlier) if t.status == "ok"}
    paths = []
    for number in range(1, capacity + 1):
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "experiment": study.name,
            "search": search.name,
            "round": round_number,
            "trial": number,
        }
        if number <= len(proposals):
            proposal = proposals[number - 1]
            spec = run_spec(study, proposal, f"{study.name}.{search.name}")
            run = runspec.run_id(spec)
            content |= {
                "kind": proposal.kind,
                "settings": dict(proposal.settings),
                "seed": proposal.seed,
                "run_id": run,
                "configuration": configuration_id(spec),
                "parent": proposal.parent,
                "partial": bool(proposal.overrides),
                "same_as": known.get(run),
                "spec": spec,
            }
            known.setdefault(run, f"{search.name}/round-{round_number}/trial-{number}")
        else:
            content |= {"kind": EMPTY, "reason": reason, "spec": None}
        path = trial_folder(root, search.name, round_number, number) / "spec.json"
        _write_changed(content, path)
        paths.append(path)
    return paths


def _write_changed(content: Mapping[str, Any], path: Path) -> None:
    if path.is_file():
        try:
            if canonical_json(read_json(path)) == canonical_json(dict(content)):
                return
        except UserError:
            pass  # A damaged file is written anew.
    write_json(dict(content), path)


def read_trial(folder: str | Path, metric: str) -> Trial:
    """One trial, with its result when it has one.

    Raises:
        UserError: no proposal, or a run that is not the proposed one.
    """
    folder = Path(folder)
    proposed = read_json(folder / "spec.json")
    place = (str(proposed["search"]), int(proposed["round"]), int(proposed["trial"]))
    if proposed["spec"] is None:
        return Trial(*place, EMPTY, {}, 0, "", "", EMPTY)
    known = {
        "kind": proposed["kind"],
        "settings": proposed["settings"],
        "seed": int(proposed["seed"]),
        "run_id": proposed["run_id"],
        "configuration": proposed["configuration"],
        "spec": proposed["spec"],
        "parent": proposed["parent"],
        "same_as": proposed["same_as"],
    }
    path = folder / RUN / "metrics.json"
    if not path.is_file():
        return Trial(*place, status="pending", **known)
    metrics = read_json(path)
    if metrics.get("run_id", proposed["run_id"]) != proposed["run_id"]:
        # The proposal changed since: the result is of another run, so there is none yet.
        return Trial(*place, status="pending", **known)
    value = metrics.get(metric)
    if metrics.get("status", "ok") != "ok" or value is None or not math.isfinite(value):
        return Trial(*place, status="failed", metrics=metrics, **known)
    history = tuple(_history(folder / RUN / "history.csv", metric))
    return Trial(*place, status="ok", value=float(value), history=history, metrics=metrics, **known)


def _history(path: Path, metric: str) -> Iterable[tuple[float, float]]:
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    header = lines[0].split(",") if lines else []
    if "epoch" not in header or metric not in header:
        return
    epoch, column = header.index("epoch"), header.index(metric)
    for line in lines[1:]:
        cells = line.split(",")
        if cells[column]:
            yield float(cells[epoch]), float(cells[column])


def read_trials(
    study: TuningStudy,
    root: str | Path,
    searches: Sequence[str] | None = None,
    rounds: Mapping[str, int] | None = None,
) -> list[Trial]:
    """Trials of some searches, by search, round and number; empty ones are left out.

    Args:
        root: the experiment's folder.
        searches: names; all by default.
        rounds: search -> last round that is read; all by default.
    """
    names = [search.name for search in study.searches] if searches is None else list(searches)
    found = []
    for name in names:
        search = study.search(name)
        last = (rounds or {}).get(name, len(search.rounds))
        for number in range(1, last + 1):
            for trial in range(1, search.rounds[number - 1] + 1):
                folder = trial_folder(root, name, number, trial)
                if (folder / "spec.json").is_file():
                    found.append(read_trial(folder, study.metric))
    return [trial for trial in found if trial.status != EMPTY]


def require_finished(trials: Sequence[Trial], where: str) -> None:
    """Refuse to go on where a trial has no result.

    Raises:
        UserError: naming the first of them.
    """
    waiting = [trial for trial in trials if trial.status == "pending"]
    if waiting:
        first = waiting[0]
        raise UserError(
            f"{len(waiting)} trials have no result, the first is {first.search}/{first.place}",
            where=where,
            fix="train them first",
        )


def trial_table(study: TuningStudy, trials: Sequence[Trial]) -> pd.DataFrame:
    """Trials as a table, one row each: place, ids, seed, settings, status, metrics.

    ``value`` is the tuned metric; ``epochs`` the length of the run. With successive halving
    ``promoted`` marks trials that a longer one continues, and ``censored`` shorter ones that were
    stopped: their value is that of a shorter run.
    """
    import pandas as pd

    from tunescape.training.metrics import METRICS

    full = float(study.shared.get("num_epochs", 3))
    promoted = {(trial.search, trial.parent) for trial in trials if trial.parent}
    rows = []
    for trial in trials:
        epochs = float(trial.spec.get("num_epochs", full))
        continued = (trial.search, trial.place) in promoted
        short = "num_epochs" not in study.baseline and epochs < full
        rows.append(
            {
                "search": trial.search,
                "round": trial.round,
                "trial": trial.number,
                "kind": trial.kind,
                "run_id": trial.run_id,
                "configuration": trial.configuration,
                "seed": trial.seed,
                **{factor.name: trial.settings[factor.name] for factor in study.factors},
                "status": trial.status,
                "value": trial.value,
                "epochs": epochs,
                "promoted": continued,
                "censored": short and not continued,
                **{name: trial.metrics.get(name) for name in METRICS},
                "n_eval": trial.metrics.get("n_eval"),
                "steps": trial.metrics.get("steps"),
                "same_as": trial.same_as,
            }
        )
    columns = [
        "search", "round", "trial", "kind", "run_id", "configuration", "seed",
        *(f.name for f in study.factors), "status", "value", "epochs", "promoted",
        "censored", *METRICS,
        "n_eval", "steps", "same_as",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    for name in ("value", *METRICS, "n_eval", "steps"):
        frame[name] = pd.to_numeric(frame[name]).astype("float64")
    return frame


def free_seed(settings: Mapping[str, Value], seed: int, taken: set[tuple[str, int]]) -> int:
    """The first of seed, seed + 100,000, ... with which these settings have not been tried."""
    key = settings_key(settings)
    while (key, seed) in taken:
        seed += CENTRE_SEED_STEP
    return seed


def settings_key(settings: Mapping[str, Value]) -> str:
    """One spelling of settings."""
    return canonical_json({k: settings[k] for k in sorted(settings)})
