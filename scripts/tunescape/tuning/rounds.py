"""One round of a search: what it proposes; or a whole search in one process.

Proposals are a file a round and depend on files alone: the results of earlier rounds and stages.
So an interruption costs the trials that were in training and nothing else, and the finished search
is the one that an undisturbed process gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescape.errors import UserError
from tunescape.tuning import bayes, grid, priors, screening, surface_search
from tunescape.tuning.study import (
    Search,
    TuningStudy,
    read_study,
    round_file,
    trial_folder,
)
from tunescape.tuning.trials import (
    KEPT,
    Proposal,
    Trial,
    complete_trials,
    proposed_trials,
    read_kept,
    read_trials,
    require_finished,
    write_round,
)

MINED = ("fit", "coefficients", "diagnostics")

Train = Callable[[Sequence[Mapping[str, Any]], Sequence[Path]], None]
"""Trains canonical specifications: each run's ``metrics.json`` and other files in its folder."""


def propose_round(
    spec: Mapping[str, Any],
    root: str | Path,
    search_name: str,
    round_number: int,
    mined: Mapping[str, str | Path] | None = None,
) -> dict[str, Any]:
    """The proposals of one round.

    Args:
        spec: the study (see `study.read_study`), as far as the search needs it.
        root: the experiment's folder.
        search_name, round_number: which round; rounds count from 1.
        mined: ``fit``, ``coefficients`` and optionally ``diagnostics`` of a mined surface, for
            searches whose prior is ``hub``.

    Returns:
        ``trials`` (see `trials.proposed_trials`), and what was decided: the factors ``kept``, the
        ``decision`` of a surface search, what the ``prior`` gave.

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
    known = [*earlier, *own]
    return {
        "schema": 2,
        "experiment": study.name,
        "search": search.name,
        "round": round_number,
        "proposed": len(proposals),
        "kept": None if kept is None else list(kept),
        **told,
        "trials": proposed_trials(study, search, round_number, proposals, known, reason),
    }


def propose_trials(
    out_round: str | Path,
    root: str | Path,
    spec: Mapping[str, Any],
    mined: Mapping[str, str | Path] | None = None,
) -> None:
    """Write the proposals of one round.

    Args:
        out_round: JSON of :func:`propose_round`.
        root: the experiment's folder.
        spec: ``study``, ``search``, ``round``.
        mined: see :func:`propose_round`.
    """
    content = propose_round(spec["study"], root, spec["search"], int(spec["round"]), mined)
    write_round(content, out_round)


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
        train: is given the trials that have no result yet, round by round.

    Returns:
        The search's trials.

    Raises:
        UserError: a trial has no result after its training.
    """
    study = read_study(spec)
    search = study.search(search_name)
    for number in range(1, len(search.rounds) + 1):
        content = propose_round(spec, root, search_name, number, mined)
        write_round(content, round_file(root, search_name, number))
        waiting = [
            trial
            for trial in read_trials(study, root, [search_name], {search_name: number})
            if trial.round == number and trial.status == "pending"
        ]
        if waiting:
            folders = [trial_folder(root, search_name, number, t.number) for t in waiting]
            train([dict(trial.spec) for trial in waiting], folders)
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
