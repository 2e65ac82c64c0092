"""Trials on disk: what rounds propose (``round-R.json``), what runs gave (``round-R/trial-I``)."""

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
from tunescape.tuning.study import (
    DEFAULT_EPOCHS,
    Search,
    TuningStudy,
    round_file,
    trial_folder,
)

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "empty"
KEPT = "kept.json"


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
        status: ``ok``, ``failed`` or ``pending`` (no result yet).
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


def proposed_trials(
    study: TuningStudy,
    search: Search,
    round_number: int,
    proposals: Sequence[Proposal],
    earlier: Sequence[Trial] = (),
    reason: str = "not needed",
) -> list[dict[str, Any]]:
    """The trials of a round as plain data, one a place; places left over are empty.

    Args:
        proposals: at most as many as the round can have.
        earlier: trials with a result; one of the same run is named as ``same_as``.
        reason: why places are left empty.

    Raises:
        UserError: more proposals than places, or a setting that no run can have.
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
    found: list[dict[str, Any]] = []
    for number, proposal in enumerate(proposals, start=1):
        spec = run_spec(study, proposal, f"{study.name}.{search.name}")
        run = runspec.run_id(spec)
        found.append(
            {
                "trial": number,
                "kind": proposal.kind,
                "settings": dict(proposal.settings),
                "seed": proposal.seed,
                "run_id": run,
                "configuration": configuration_id(spec),
                "parent": proposal.parent,
                "same_as": known.get(run),
                "spec": spec,
            }
        )
        known.setdefault(run, f"{search.name}/round-{round_number}/trial-{number}")
    return found + [
        {"trial": number, "kind": EMPTY, "reason": reason, "spec": None}
        for number in range(len(proposals) + 1, capacity + 1)
    ]


def write_round(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a round's proposals; a file that says the same already is left as it is."""
    path = Path(path)
    if path.is_file():
        try:
            if canonical_json(read_json(path)) == canonical_json(dict(content)):
                return
        except UserError:
            pass  # A damaged file is written anew.
    write_json(dict(content), path)


def read_round(path: str | Path) -> list[dict[str, Any]]:
    """The trials that a round's file proposes, without its empty places."""
    return [one for one in read_json(path)["trials"] if one["spec"] is not None]


def read_trial(
    proposed: Mapping[str, Any], search: str, round_number: int, folder: str | Path, metric: str
) -> Trial:
    """One trial, with its result when it has one.

    Args:
        proposed: of :func:`read_round`.
        search, round_number: its place.
        folder: of its run.
        metric: the tuned one.
    """
    folder = Path(folder)
    place = (search, round_number, int(proposed["trial"]))
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
    path = folder / "metrics.json"
    if not path.is_file():
        return Trial(*place, status="pending", **known)
    metrics = read_json(path)
    if metrics.get("run_id", proposed["run_id"]) != proposed["run_id"]:
        # The proposal changed since: the result is of another run, so there is none yet.
        return Trial(*place, status="pending", **known)
    value = metrics.get(metric)
    if metrics.get("status", "ok") != "ok" or value is None or not math.isfinite(value):
        return Trial(*place, status="failed", metrics=metrics, **known)
    history = tuple(_history(folder / "history.csv", metric))
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
    """Trials of some searches, by search, round and number, without empty places.

    Args:
        root: the experiment's folder.
        searches: names; all by default.
        rounds: search -> last round that is read; all by default.
    """
    names = [search.name for search in study.searches] if searches is None else list(searches)
    found = []
    for name in names:
        for number in range(1, (rounds or {}).get(name, len(study.search(name).rounds)) + 1):
            path = round_file(root, name, number)
            for one in read_round(path) if path.is_file() else ():
                folder = trial_folder(root, name, number, int(one["trial"]))
                found.append(read_trial(one, name, number, folder, study.metric))
    return found


def explored(trials: pd.DataFrame) -> pd.DataFrame:
    """Rows of trials.csv that searches chose from: ended well, whole, each run once.

    Confirmation is left out: its fresh seeds are of settings that were chosen already.
    """
    whole = trials[(trials["status"] == "ok") & ~trials["censored"] & ~trials["promoted"]]
    whole = whole[~whole["search"].str.startswith("confirm")]
    return whole.drop_duplicates("run_id").reset_index(drop=True)


def read_kept(study: TuningStudy, search: Search, root: str | Path) -> tuple[str, ...] | None:
    """Factors that the screening before a search kept; None where there is none."""
    screen = study.screen_before(search)
    if screen is None:
        return None
    return tuple(read_json(Path(root) / screen.name / KEPT)["kept"])


def complete_trials(study: TuningStudy, trials: Sequence[Trial]) -> list[Trial]:
    """Trials that ended well at their full length."""
    full = float(study.shared.get("num_epochs", DEFAULT_EPOCHS))
    return [
        trial
        for trial in trials
        if trial.value is not None
        and ("num_epochs" in study.baseline or float(trial.spec.get("num_epochs", full)) >= full)
    ]


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

    full = float(study.shared.get("num_epochs", DEFAULT_EPOCHS))
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
