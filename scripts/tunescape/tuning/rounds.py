"""One round of a search: propose its trials, train them; or a whole search in one process.

Proposals are files (``spec.json`` at each trial's place) and depend on files alone: the results
of earlier rounds and stages. So an interruption costs the trials that were in training and nothing
else, and the finished search is the one that an undisturbed process gives.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError
from tunescape.tables import read_json, write_json, write_text
from tunescape.tuning import bayes, grid, priors, screening, surface_search
from tunescape.tuning.study import Search, TuningStudy, read_study, trial_folder
from tunescape.tuning.trials import (
    EMPTY,
    RUN,
    Proposal,
    Trial,
    read_trial,
    read_trials,
    require_finished,
    write_proposals,
)

if TYPE_CHECKING:
    from tunescape.training.run import PackOptions

logger = logging.getLogger(__name__)

KEPT = "kept.json"
ROUND = "round.json"
MINED = ("fit", "coefficients", "diagnostics")

Train = Callable[[Sequence[Path]], None]
"""Trains the trials at these places: writes ``run/metrics.json`` and the run's other files."""


def round_inputs(study: TuningStudy, search_name: str, round_number: int) -> list[str]:
    """Files that a round's proposals depend on, relative to the experiment's folder.

    The metrics of all trials of earlier stages and of the search's earlier rounds, and what the
    screening kept.
    """
    search = study.search(search_name)
    found = []
    screen = study.screen_before(search)
    if screen is not None:
        found.append(f"{screen.name}/{KEPT}")
    for name in search.reads:
        found += _metrics(study.search(name), len(study.search(name).rounds))
    return found + _metrics(search, round_number - 1)


def _metrics(search: Search, rounds: int) -> list[str]:
    return [
        (trial_folder("", search.name, r, i) / RUN / "metrics.json").as_posix()
        for r in range(1, rounds + 1)
        for i in range(1, search.rounds[r - 1] + 1)
    ]


def propose_round(
    spec: Mapping[str, Any],
    root: str | Path,
    search_name: str,
    round_number: int,
    mined: Mapping[str, str | Path] | None = None,
) -> list[Path]:
    """Write the proposals of one round: ``spec.json`` of each trial, and ``round.json``.

    Args:
        spec: the study (see `study.read_study`).
        root: the experiment's folder.
        search_name, round_number: which round; rounds count from 1.
        mined: ``fit``, ``coefficients`` and optionally ``diagnostics`` of a mined surface, for
            searches whose prior is ``hub``.

    Returns:
        The trials' files. ``round.json`` says why places were left empty, what a surface search
        decided and what the prior gave.

    Raises:
        UserError: an earlier trial has no result yet.
    """
    study = read_study(spec)
    search = study.search(search_name)
    earlier = read_trials(study, root, search.reads)
    own = read_trials(study, root, [search.name], {search.name: round_number - 1})
    where = f"{study.name}.{search.name}, round {round_number}"
    require_finished([*earlier, *own], where)
    kept = read_kept(study, search, root)
    surface = None
    if mined is not None and search.options.get("prior") == "hub":
        surface = priors.read_surface(*(mined[key] for key in MINED if key in mined))
    proposals, told = _propose(study, search, round_number, kept, earlier, own, surface)
    reason = str(told.get("decision", {}).get("reason") or "the stage needs fewer trials")
    paths = write_proposals(study, search, round_number, proposals, root, [*earlier, *own], reason)
    content = {
        "experiment": study.name,
        "search": search.name,
        "round": round_number,
        "proposed": len(proposals),
        "kept": None if kept is None else list(kept),
        **told,
    }
    folder = trial_folder(root, search.name, round_number, 1).parent
    write_json(content, folder / ROUND)
    return paths


def read_kept(study: TuningStudy, search: Search, root: str | Path) -> tuple[str, ...] | None:
    """Factors that the screening before a search kept; None where there is none."""
    screen = study.screen_before(search)
    if screen is None:
        return None
    return tuple(read_json(Path(root) / screen.name / KEPT)["kept"])


def _propose(
    study: TuningStudy,
    search: Search,
    round_number: int,
    kept: Sequence[str] | None,
    earlier: Sequence[Trial],
    own: Sequence[Trial],
    mined: priors.MinedSurface | str | None,
) -> tuple[list[Proposal], dict[str, Any]]:
    if search.kind == "screen":
        return screening.propose_screening(study, search), {}
    if search.kind == "grid":
        return grid.propose_grid(study, search, kept, earlier), {}
    if search.kind == "confirm":
        return propose_confirmation(study, search, earlier), {}
    factors = study.factors_of(search, kept)
    if search.kind == "surface":
        proposals, decision = surface_search.propose_trials(
            study, search, round_number, factors, own
        )
        return proposals, {"decision": decision}
    factors, warm, starts, summary = priors.search_prior(
        study, search, factors, earlier, own, mined
    )
    found = bayes.propose_trials(study, search, round_number, factors, own, warm, starts)
    return found, {"prior": summary}


def candidates(study: TuningStudy, trials: Sequence[Trial]) -> list[tuple[str, dict[str, Any]]]:
    """Settings that a study ends with: baseline, best by hand, best of each automatic search.

    Returns:
        (name, settings); the names are ``baseline``, ``manual`` and the searches' own.
    """
    found: list[tuple[str, dict[str, Any]]] = [("baseline", dict(study.baseline))]
    whole = complete_trials(study, trials)
    by_hand = {s.name for s in study.searches if s.kind in ("screen", "grid")}
    best = grid.best_setting([t for t in whole if t.search in by_hand], study.maximise)
    if best is not None:
        found.append(("manual", dict(best.settings)))
    for search in study.searches:
        if search.kind in ("bayes", "surface"):
            best = grid.best_setting([t for t in whole if t.search == search.name], study.maximise)
            if best is not None:
                found.append((search.name, dict(best.settings)))
    return found


def complete_trials(study: TuningStudy, trials: Sequence[Trial]) -> list[Trial]:
    """Trials that ended well at their full length."""
    full = float(study.shared.get("num_epochs", 3))
    return [
        trial
        for trial in trials
        if trial.value is not None
        and ("num_epochs" in study.baseline or float(trial.spec.get("num_epochs", full)) >= full)
    ]


def propose_confirmation(
    study: TuningStudy, search: Search, earlier: Sequence[Trial]
) -> list[Proposal]:
    """Each candidate with fresh seeds, the same ones for all."""
    used = {trial.seed for trial in earlier}
    again = sorted(used & set(search.options["seeds"]))
    if again:
        raise UserError(
            f"seeds {', '.join(map(str, again))} were used to choose",
            where=f"{study.name}.{search.name}.seeds",
            expected="seeds that no earlier stage has",
        )
    return [
        Proposal(name, settings, int(seed))
        for name, settings in candidates(study, earlier)
        for seed in search.options["seeds"]
    ]


# Training ---------------------------------------------------------------------------------------


def train_trials(
    folders: Sequence[str | Path],
    root: str | Path,
    work_dir: str | Path,
    options: PackOptions | None = None,
) -> None:
    """Train the trials at these places in one process; each one's files go to its ``run`` folder.

    An empty place gets files that say so, a trial whose run is there already (``same_as``) takes
    that run's files over, the others are trained as one pack. A run that fails is recorded as
    failed, and the search goes on without it.

    Args:
        folders: of trials with a ``spec.json``.
        root: the experiment's folder, which ``same_as`` is relative to.
        work_dir: for caches and states, shared between jobs.
        options: see `training.run.PackOptions`.
    """
    from dataclasses import replace

    from tunescape.training.run import PackOptions, train_pack

    specs, outs, partial = [], [], False
    for folder in map(Path, folders):
        proposed = read_json(folder / "spec.json")
        if proposed["spec"] is None:
            _write_empty(folder / RUN, str(proposed.get("reason", "")))
        elif not _take_over(proposed, Path(root), folder / RUN):
            specs.append(proposed["spec"])
            outs.append(folder / RUN)
            partial = partial or bool(proposed["partial"]) or proposed["parent"] is not None
    if specs:
        given = options or PackOptions()
        keep_states = given.keep_states or partial
        train_pack(
            specs, outs, work_dir, replace(given, record_failures=True, keep_states=keep_states)
        )


def _take_over(proposed: Mapping[str, Any], root: Path, out: Path) -> bool:
    """Copy the files of an earlier trial that is the same run; False when it is not there."""
    if proposed["same_as"] is None:
        return False
    source = root / str(proposed["same_as"]) / RUN
    try:
        metrics = read_json(source / "metrics.json")
    except UserError:
        return False
    if metrics.get("run_id") != proposed["run_id"] or metrics.get("status") != "ok":
        return False
    staged = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(source, staged)
    shutil.rmtree(out, ignore_errors=True)
    staged.rename(out)
    logger.info("run %s: taken over from %s", proposed["run_id"], proposed["same_as"])
    return True


def _write_empty(out: Path, reason: str) -> None:
    from tunescape.training.run import HISTORY_COLUMNS, MODEL_FOLDER

    write_json({}, out / "spec.json")
    write_json({}, out / "timing.json")
    write_text(",".join(HISTORY_COLUMNS) + "\n", out / "history.csv")
    write_text(f"No run was needed here: {reason}.\n", out / MODEL_FOLDER / "README.md")
    write_json({"schema": 1, "status": EMPTY, "error": reason}, out / "metrics.json")


# Whole searches ---------------------------------------------------------------------------------


def run_search(
    spec: Mapping[str, Any],
    root: str | Path,
    search_name: str,
    train: Train,
    mined: Mapping[str, str | Path] | None = None,
) -> list[Trial]:
    """Run a search to its end in this process, or finish one that was interrupted.

    Args:
        spec, root, mined: see `propose_round`.
        search_name: of the study.
        train: is given the places that have no result yet, round by round.

    Returns:
        The search's trials.

    Raises:
        UserError: a trial has no result after its training.
    """
    study = read_study(spec)
    search = study.search(search_name)
    for number in range(1, len(search.rounds) + 1):
        paths = propose_round(spec, root, search_name, number, mined)
        trials = [(path.parent, read_trial(path.parent, study.metric)) for path in paths]
        waiting = [folder for folder, trial in trials if trial.status == "pending"]
        if waiting:
            train(waiting)
    trials_now = read_trials(study, root, [search_name])
    require_finished(trials_now, f"{study.name}.{search_name}")
    return trials_now


def run_study(
    spec: Mapping[str, Any],
    root: str | Path,
    train: Train,
    mined: Mapping[str, str | Path] | None = None,
) -> list[Trial]:
    """Run all searches of a study in this process, in the order of its stages.

    Arguments as for `run_search`; screenings write ``effects.csv`` and ``kept.json``.
    """
    study = read_study(spec)
    for search in study.searches:
        run_search(spec, root, search.name, train, mined)
        if search.kind == "screen":
            folder = Path(root) / search.name
            screening.rank_factors(spec, root, search.name, folder / "effects.csv", folder / KEPT)
    return read_trials(study, root)
