"""A tuning study as plain data: factors, stages, and the searches that the stages amount to.

A *stage* is what a configuration names (screen, grid, bayes, surface, confirm). A *search* is a
sequence of rounds with a folder of its own: a stage is one search, or several where a warm start
runs beside a cold one or a search is repeated over seeds. How many trials each round can have is
known before anything is trained, so that the graph of jobs is static; a trial that is not needed
is proposed as an empty one.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any, Literal

from tunescape.design import CENTRE_SEED_STEP, make_design
from tunescape.errors import UserError, show
from tunescape.factors import DesignFactor, Value, read_factors

Arm = Literal["only", "warm", "cold"]

MINIMISED = ("loss",)
SCREEN_DESIGNS = {
    "ofat": "ofat",
    "plackett_burman": "plackett_burman",
    "definitive": "definitive_screening",
    "definitive_screening": "definitive_screening",
    "factorial": "factorial",
}
SAMPLERS = ("tpe", "gp", "random")
PRIORS = ("none", "earlier_stages", "hub")
OPTIONS: dict[str, dict[str, Any]] = {
    "screen": {
        "design": "ofat",
        "levels": 2,
        "keep": 3,
        "replicates": 3,
        "seeds": None,
        "foldover": False,
        "test": "t",
        "alpha": 0.05,
    },
    "grid": {"levels": 3, "around": None, "shrink": 0.5, "seeds": None, "factors": "kept"},
    "bayes": {
        "trials": 20,
        "parallel": 4,
        "sampler": "tpe",
        "prior": "none",
        "weight": 0.25,
        "repeats": 1,
        "startup": 5,
        "ranges": {},
        "factors": "kept",
        "pruning": None,
        "seed": 0,
    },
    "surface": {
        "trials": 20,
        "parallel": 4,
        "initial": None,
        "acquisition": "expected_improvement",
        "alpha": 0.05,
        "power": 0.8,
        "repeats": 1,
        "ranges": {},
        "factors": "kept",
        "seed": 0,
    },
    "confirm": {"seeds": [101, 102, 103]},
}
"""Stage -> its options and their defaults."""

PRUNING = {"reduction": 3, "min_epochs": 1}
STUDY_KEYS = (
    "name", "task", "model", "method", "factors", "fixed", "seeds", "train_size", "keep", "stages",
    "metric", "code",
)  # fmt: skip
DEFAULT_EPOCHS = 3
"""Of a run that states none (as in `training.runspec`)."""

MAX_TRIALS = 2000
MAX_GRID = 2000


@dataclass(frozen=True)
class Search:
    """One sequence of rounds.

    Attributes:
        name: its folder below the experiment's.
        stage, kind: the stage's name, and its kind (a key of :data:`OPTIONS`).
        place: of the stage in the study's list, from 0.
        arm: ``warm`` or ``cold`` where a warm start is held against a cold one.
        repeat: 1, 2, ... of a search that is repeated over seeds.
        rounds: most trials of each round.
        options: of the stage, complete.
        reads: searches whose trials it may read (those of earlier stages).
    """

    name: str
    stage: str
    kind: str
    place: int
    arm: Arm
    repeat: int
    rounds: tuple[int, ...]
    options: Mapping[str, Any]
    reads: tuple[str, ...]

    @property
    def trials(self) -> int:
        """Most trials of the search."""
        return sum(self.rounds)


@dataclass(frozen=True)
class TuningStudy:
    """A tuning study.

    Attributes:
        factors: in alphabetical order.
        baseline: setting of every factor where it is not varied.
        shared: run keys that are the same in every trial (model, task, fixed hyperparameters).
        metric, maximise: what is tuned.
        searches: in the order of the stages.
    """

    name: str
    factors: tuple[DesignFactor, ...]
    baseline: Mapping[str, Value]
    shared: Mapping[str, Any]
    seeds: tuple[int, ...]
    metric: str
    maximise: bool
    searches: tuple[Search, ...]

    def search(self, name: str) -> Search:
        """A search by its name.

        Raises:
            UserError: there is none of that name.
        """
        for search in self.searches:
            if search.name == name:
                return search
        raise _unknown("search", name, [s.name for s in self.searches], self.name)

    def screens(self) -> tuple[Search, ...]:
        """The screening stages."""
        return tuple(search for search in self.searches if search.kind == "screen")

    def screen_before(self, search: Search) -> Search | None:
        """The last screening that a search can read, which says what factors are kept."""
        found = [other for other in self.screens() if other.name in search.reads]
        return found[-1] if found else None

    def factors_of(self, search: Search, kept: Sequence[str] | None) -> tuple[DesignFactor, ...]:
        """Factors that a search varies, with the ranges that its stage states.

        Args:
            search: of this study.
            kept: what the screening kept; ``None`` where there is no screening.
        """
        names = varied_names(search, [f.name for f in self.factors], kept)
        ranges = dict(search.options.get("ranges") or {})
        chosen = [factor for factor in self.factors if factor.name in names]
        return tuple(
            _ranged(factor, ranges.get(factor.name), f"{self.name}.{search.stage}.ranges")
            for factor in chosen
        )

    def settings(self, chosen: Mapping[str, Value]) -> dict[str, Value]:
        """All factors' settings: those chosen, the others at the baseline."""
        return {f.name: chosen.get(f.name, self.baseline[f.name]) for f in self.factors}

    def training_seed(self, search: Search) -> int:
        """Training seed of an adaptive search's trials: repeat r has the study's r-th seed."""
        turns, place = divmod(search.repeat - 1, len(self.seeds))
        return self.seeds[place] + turns * CENTRE_SEED_STEP


def trial_folder(root: str | Path, search: str, round_number: int, trial: int) -> Path:
    """Where a trial's run lies (rounds and trials count from 1)."""
    return Path(root) / search / f"round-{round_number}" / f"trial-{trial}"


def round_file(root: str | Path, search: str, round_number: int) -> Path:
    """Where the proposals of a round lie, beside the folder of its trials."""
    return Path(root) / search / f"round-{round_number}.json"


def study_until(
    spec: Mapping[str, Any], search: Search, round_number: int | None = None
) -> dict[str, Any]:
    """The part of a study that a search, or its rounds up to one, depend on.

    Later stages are left out, and so is what a larger budget or more repetitions would add: the
    proposals of a round are the same, and are the same file, when a study is continued.

    Args:
        spec: the study (see :func:`read_study`).
        search: one of its searches.
        round_number: the last round that counts; all by default.
    """
    stages = [dict(stage) for stage in spec["stages"][: search.place + 1]]
    own = dict(stages[-1][search.kind] or {})
    if int(own.get("repeats", 1)) > 1:
        own["repeats"] = max(2, search.repeat)
    if search.kind == "bayes" and round_number is not None:
        epochs = float(dict(spec.get("fixed") or {}).get("num_epochs", DEFAULT_EPOCHS))
        asking = round_plan(search.options, epochs)[round_number - 1][0]
        most = int(search.options["trials"])
        own["trials"] = min(most, asking * int(search.options["parallel"]))
    if search.kind == "screen" and round_number is not None:
        # How effects are judged is asked when there are some; trials do not depend on it.
        own = {key: value for key, value in own.items() if key not in ("test", "alpha")}
        own["keep"] = 1
    stages[-1] = {search.kind: own}
    return {**spec, "stages": stages}


def read_study(spec: Mapping[str, Any], where: str | None = None) -> TuningStudy:
    """Read a study from plain data.

    Args:
        spec: ``name``, ``task``, ``model``, ``factors`` (as in `design.read_factors`; ``baseline``
            is a factor's default setting, else its middle), ``fixed``, ``seeds``, ``stages`` (a
            list of one-key mappings, see :data:`OPTIONS`), and optionally ``metric`` (accuracy),
            ``method``, ``train_size``, ``keep``.
        where: dotted key for messages.

    Raises:
        UserError: an unknown key, a stage that cannot be, more trials than 2,000 in a search.
    """
    place = where or f"experiments.{spec.get('name', 'study')}"
    for key in spec:
        if key not in STUDY_KEYS:
            raise _unknown("key", str(key), STUDY_KEYS, place)
    factors = read_factors(spec.get("factors") or {}, f"{place}.factors")
    seeds = tuple(spec.get("seeds") or (42,))
    if len(set(seeds)) < len(seeds) or not all(isinstance(s, int) and s >= 0 for s in seeds):
        raise UserError(
            f"got {show(list(seeds))}", where=f"{place}.seeds", expected="distinct seeds"
        )
    fixed = dict(spec.get("fixed") or {})
    fixed |= {
        key: spec[key] for key in ("method", "train_size", "keep") if spec.get(key) is not None
    }
    both = [factor.name for factor in factors if factor.name in fixed]
    if both:
        raise UserError(f"{', '.join(both)} is a factor and fixed as well", where=f"{place}.fixed")
    base = make_design("ofat", factors, where=f"{place}.factors").rows[0]
    metric = str(spec.get("metric") or "accuracy")
    shared = {"model": spec.get("model"), "task": spec.get("task"), **fixed}
    study = TuningStudy(
        str(spec.get("name", "study")),
        factors,
        {factor.name: base[factor.name] for factor in factors},
        shared,
        seeds,
        metric,
        metric not in MINIMISED,
        (),
    )
    return replace(study, searches=tuple(_searches(study, spec.get("stages"), f"{place}.stages")))


# Stages -----------------------------------------------------------------------------------------


def _searches(study: TuningStudy, raw: Any, where: str) -> list[Search]:
    if not isinstance(raw, (list, tuple)) or not raw:
        expected = "a list such as [{screen: {...}}, {grid: {...}}]"
        raise UserError("no stages", where=where, expected=expected)
    found: list[Search] = []
    seen: dict[str, int] = {}
    names = [factor.name for factor in study.factors]
    kept = len(names)
    for index, stage in enumerate(raw):
        place = f"{where}[{index}]"
        if not isinstance(stage, Mapping) or len(stage) != 1:
            raise UserError(
                f"got {show(stage)}", where=place, expected="one stage, e.g. {grid: {}}"
            )
        ((kind, given),) = stage.items()
        if kind not in OPTIONS:
            raise _unknown("stage", str(kind), list(OPTIONS), place)
        options = _options(str(kind), given or {}, names, f"{place}.{kind}")
        seen[kind] = seen.get(kind, 0) + 1
        name = str(kind) if seen[kind] == 1 else f"{kind}{seen[kind]}"
        if kind == "screen":
            kept = min(int(options["keep"]), len(names))
        reads = tuple(search.name for search in found)
        needs = options.get("around") or kind == "confirm"
        if (needs or options.get("prior") == "earlier_stages") and not reads:
            raise UserError("nothing comes before it", where=place, fix="put a stage before it")
        used = sorted(set(study.seeds) & set(options["seeds"])) if kind == "confirm" else []
        if used:
            raise UserError(
                f"seeds {', '.join(map(str, used))} were used to choose",
                where=f"{place}.confirm.seeds",
                expected="seeds that no earlier stage has",
            )
        arms: tuple[Arm, ...] = ("only",)
        if options.get("prior", "none") != "none":
            arms = ("warm", "cold")
        repeats = int(options.get("repeats", 1))
        rounds = _rounds(study, str(kind), options, kept, found, place)
        if sum(rounds) > MAX_TRIALS:
            raise UserError(f"{sum(rounds)} trials", where=place, expected=f"at most {MAX_TRIALS}")
        for repeat in range(1, repeats + 1):
            for arm in arms:
                own = name if arm == "only" else f"{name}-{arm}"
                own += f"-s{repeat}" if repeats > 1 else ""
                found.append(
                    Search(own, name, str(kind), index, arm, repeat, rounds, options, reads)
                )
    return found


def _options(
    kind: str, given: Mapping[str, Any], names: Sequence[str], where: str
) -> dict[str, Any]:
    for key in given:
        if key not in OPTIONS[kind]:
            raise _unknown(f"option of {kind}", str(key), list(OPTIONS[kind]), where)
    options = {**OPTIONS[kind], **given}
    for key in ("keep", "replicates", "trials", "parallel", "repeats"):
        value = options.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"got {show(value)}", where=f"{where}.{key}", expected="at least 1")
    choices: dict[str, Sequence[Any]] = {
        "design": tuple(SCREEN_DESIGNS),
        "sampler": SAMPLERS,
        "prior": PRIORS,
        "test": ("t", "permutation"),
        "around": (None, "best"),
        "acquisition": ("expected_improvement", "steepest_ascent"),
    }
    for key, allowed in choices.items():
        if key in options and options[key] not in allowed:
            raise UserError(
                f"got {show(options[key])}",
                where=f"{where}.{key}",
                expected=f"one of {', '.join(map(str, allowed))}",
            )
    if options.get("factors", "kept") not in ("kept", "all"):
        stated = options["factors"]
        for name in stated if isinstance(stated, (list, tuple)) else [stated]:
            if name not in names:
                raise _unknown("factor", str(name), names, f"{where}.factors")
    levels = options.get("levels")
    for key, mapping in (("ranges", options.get("ranges")), ("levels", levels)):
        for name in mapping if isinstance(mapping, Mapping) else ():
            if name not in names:
                raise _unknown("factor", str(name), names, f"{where}.{key}")
    for key, (accepts, expected) in _ACCEPTED.items():
        if key in options and options[key] != OPTIONS[kind][key] and not accepts(options[key]):
            raise UserError(f"got {show(options[key])}", where=f"{where}.{key}", expected=expected)
    if kind == "screen" and options["design"] == "ofat" and options["test"] == "permutation":
        raise UserError(
            "one factor at a time has nothing to permute: runs at the baseline and runs off it "
            "cannot change places",
            where=f"{where}.test",
            fix="use test: t, or plackett_burman",
        )
    if kind == "screen" and options["keep"] > len(names):
        expected = f"at most the {len(names)} factors"
        raise UserError(f"got {options['keep']}", where=f"{where}.keep", expected=expected)
    pruning = options.get("pruning")
    if pruning is not None:
        for key in pruning:
            if key not in PRUNING:
                raise _unknown("option of pruning", str(key), list(PRUNING), f"{where}.pruning")
        options["pruning"] = {**PRUNING, **dict(pruning)}
        reduction, least = (options["pruning"][key] for key in ("reduction", "min_epochs"))
        if not (_is_whole(reduction, 2) and _is_number(least) and least > 0):
            expected = "a whole reduction of at least 2, min_epochs above 0"
            raise UserError(
                f"got {show(dict(pruning))}", where=f"{where}.pruning", expected=expected
            )
    return options


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 < value < 1


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_seeds(value: Any) -> bool:
    listed = isinstance(value, (list, tuple)) and bool(value)
    return listed and all(_is_whole(v, 0) for v in value) and len(set(value)) == len(value)


def _are_levels(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_whole(v, 1) or (isinstance(v, (list, tuple)) and v) for v in value.values())
    return _is_whole(value, 1)


def _are_ranges(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(v, Mapping)
        and {"low", "high"} == set(v)
        and all(_is_number(v[end]) for end in ("low", "high"))
        and v["low"] < v["high"]
        for v in value.values()
    )


_ACCEPTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "alpha": (_is_share, "a number between 0 and 1"),
    "power": (_is_share, "a number between 0 and 1"),
    "shrink": (_is_share, "a number between 0 and 1"),
    "weight": (lambda v: _is_number(v) and 0 < v <= 1, "a number above 0, at most 1"),
    "startup": (lambda v: _is_whole(v, 1), "a whole number of at least 1"),
    "initial": (lambda v: _is_whole(v, 1), "a whole number of at least 1"),
    "seed": (lambda v: _is_whole(v, 0), "a whole number of at least 0"),
    "foldover": (lambda v: isinstance(v, bool), "true or false"),
    "seeds": (_are_seeds, "a list of distinct whole numbers"),
    "levels": (_are_levels, "a number of levels, or factors with numbers or lists of values"),
    "ranges": (_are_ranges, "factors with {low: ..., high: ...}, low below high"),
    "pruning": (lambda v: isinstance(v, Mapping), "such as {reduction: 3, min_epochs: 1}"),
}


def varied_names(
    search: Search, names: Sequence[str], kept: Sequence[str] | None
) -> tuple[str, ...]:
    """Names of the factors that a search varies."""
    wanted = search.options.get("factors", "all")
    if wanted == "kept":
        return tuple(names) if kept is None else tuple(kept)
    return tuple(names) if wanted == "all" else tuple(wanted)


def rung_epochs(options: Mapping[str, Any], epochs: float) -> list[float]:
    """Epochs of each rung of successive halving, the full length last.

    Without pruning the full length alone.
    """
    pruning = options.get("pruning")
    if not pruning:
        return [epochs]
    rungs = []
    reached = float(pruning["min_epochs"])
    while reached < epochs:
        rungs.append(reached)
        reached *= float(pruning["reduction"])
    return [*rungs, epochs]


def rung_sizes(count: int, rungs: int, options: Mapping[str, Any]) -> list[int]:
    """Trials of each rung: each promotes ``1 / reduction`` of its trials, at least one."""
    pruning = options.get("pruning")
    reduction = int(pruning["reduction"]) if pruning else 1
    return [max(1, count // reduction**rung) for rung in range(rungs)]


def round_plan(options: Mapping[str, Any], epochs: float) -> list[tuple[int, int, float, int]]:
    """Rounds of a Bayesian search: (asking round, rung, epochs, most trials), in order."""
    plan = []
    left, asking = int(options["trials"]), 0
    rungs = rung_epochs(options, epochs)
    while left > 0:
        asking += 1
        count = min(left, int(options["parallel"]))
        left -= count
        sizes = rung_sizes(count, len(rungs), options)
        plan += [(asking, rung, rungs[rung], sizes[rung]) for rung in range(len(rungs))]
    return plan


def _rounds(
    study: TuningStudy,
    kind: str,
    options: Mapping[str, Any],
    kept: int,
    earlier: Sequence[Search],
    where: str,
) -> tuple[int, ...]:
    if kind == "screen":
        from tunescape.tuning.screening import screening_points

        seeds = len(options["seeds"] or study.seeds[:1])
        points = screening_points(study.factors, study.baseline, options, where)
        return (len(points) * seeds + max(0, int(options["replicates"]) - seeds),)
    if kind == "grid":
        counts = level_counts(study.factors, options)
        varied = options["factors"]
        groups: Sequence[tuple[str, ...]]
        if varied == "kept":
            groups = list(combinations(sorted(counts), kept))
        else:
            groups = [tuple(sorted(counts)) if varied == "all" else tuple(varied)]
        most = max(prod(counts[name] for name in group) for group in groups)
        if most > MAX_GRID:
            raise UserError(f"{most} combinations", where=where, expected=f"at most {MAX_GRID}")
        return (most * len(options["seeds"] or study.seeds[:1]),)
    if kind == "bayes":
        epochs = study.shared.get("num_epochs", DEFAULT_EPOCHS)
        if options["pruning"] and "num_epochs" in study.baseline:
            raise UserError(
                "pruning needs a fixed number of epochs", where=where, fix="fix num_epochs"
            )
        return tuple(plan[3] for plan in round_plan(options, float(epochs)))
    if kind == "surface":
        first = min(int(options["trials"]), initial_size(options, kept))
        left, parallel = int(options["trials"]) - first, int(options["parallel"])
        sizes = [min(parallel, left - start) for start in range(0, left, parallel)]
        return (first, *sizes)
    # The baseline, the best by hand, and the best of each automatic search.
    automatic = sum(search.kind in ("bayes", "surface") for search in earlier)
    return ((2 + automatic) * len(options["seeds"]),)


def initial_size(options: Mapping[str, Any], factors: int) -> int:
    """First round of a surface search: the second-order model's terms and two more."""
    stated = options.get("initial")
    return int(stated) if stated else (factors + 1) * (factors + 2) // 2 + 2


def level_counts(factors: Sequence[DesignFactor], options: Mapping[str, Any]) -> dict[str, int]:
    """Levels of each factor in a grid stage."""
    return {
        factor.name: (
            1
            if options.get("around") and factor.categorical
            else len(described.values) or described.levels or 2
        )
        for factor, described in ((f, with_levels(f, options)) for f in factors)
    }


def with_levels(factor: DesignFactor, options: Mapping[str, Any]) -> DesignFactor:
    """A factor with the levels that a grid stage gives it.

    ``levels`` is a number for all factors without values of their own, or a mapping of factors to
    a number or to values; a factor that the mapping leaves out has three.
    """
    stated = options.get("levels", 3)
    own = stated.get(factor.name, 3) if isinstance(stated, Mapping) else stated
    if factor.categorical or len(factor.values) == 1:
        return factor
    if isinstance(own, (list, tuple)):
        given = read_factors(
            {factor.name: {"values": list(own), "scale": factor.scale, "integer": factor.integer}},
            "levels",
            known=None,
        )[0]
        return replace(given, baseline=None)
    if options.get("around") or (isinstance(stated, Mapping) and factor.name in stated):
        return replace(factor, values=(), levels=int(own))
    return factor if factor.values else replace(factor, levels=int(own))


def _ranged(factor: DesignFactor, stated: Any, where: str) -> DesignFactor:
    """A factor over the range that a stage states, which may leave the screening's."""
    if not stated:
        return factor
    described = {"scale": factor.scale, "integer": factor.integer, **dict(stated)}
    found = read_factors({factor.name: described}, where, known=None)[0]
    return replace(found, baseline=None)


def _unknown(what: str, name: str, known: Sequence[str], where: str) -> UserError:
    near = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return UserError(f"unknown {what} '{name}'", where=where, fix=fix)
