"""Designs of experiments: from named factors to a table of runs, judged before any is trained.

`make_design` gives the points, `expand` crosses them with seeds, `plan_runs` gives each run its
canonical specification and id, `design_diagnostics` says what the design can and cannot tell, and
`write_design` is the stage. Factors are taken in alphabetical order, levels and points in rising
order, so that reordering a configuration changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape import constructions
from tunescape import factors as factors_module
from tunescape.digests import digest, file_digest
from tunescape.errors import UserError, show
from tunescape.factors import DesignFactor, Value, finite, is_whole, read_factors, unknown
from tunescape.tables import read_json, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

KINDS = (
    "factorial",
    "ofat",
    "box_behnken",
    "central_composite",
    "latin_hypercube",
    "sobol",
    "d_optimal",
    "list",
    "plackett_burman",
    "definitive_screening",
)
"""Kinds of designs that `make_design` knows."""

CATEGORICAL_KINDS = ("factorial", "ofat", "latin_hypercube", "sobol", "list")
OPTIONS: dict[str, tuple[str, ...]] = {
    "factorial": ("levels", "center"),
    "ofat": ("baseline",),
    "box_behnken": ("center",),
    "central_composite": ("center", "alpha"),
    "latin_hypercube": ("points",),
    "sobol": ("points",),
    "d_optimal": ("points", "levels", "degree", "starts", "center"),
    "list": ("points",),
    "plackett_burman": ("center", "foldover"),
    "definitive_screening": ("center",),
}
WHOLE_OPTIONS: dict[str, tuple[int, int]] = {
    "levels": (2, 1000),
    "center": (0, 5000),
    "points": (1, 5000),
    "degree": (1, 2),
    "starts": (1, 1000),
}
"""Options that are whole numbers (the points of a list are not): least and most."""

CENTRE_RUNS = {"box_behnken": 3, "central_composite": 3, "definitive_screening": 1}
NOISE_KEYS = ("sd", "accuracy", "n_eval")
CENTRE_SEED_STEP = 100_000
"""Copy c of the centre point runs with seed + c * this, so that it is a run of its own."""

EXPERIMENT_KEYS = (
    "name",
    "task",
    "model",
    "method",
    "design",
    "factors",
    "fixed",
    "seeds",
    "train_size",
    "keep",
    "degree",
    "noise",
    "max_runs",
    "code",
)
MAX_RUNS = 5000
MAX_CANDIDATES = 20_000
ROUNDING_NOTED = 0.1


@dataclass(frozen=True)
class Design:
    """Points of a design.

    Attributes:
        factors: in alphabetical order.
        rows: one a point and centre copy: ``point`` (1, 2, ...), ``kind``, ``copy`` (0 but for
            repeated centre points), the factors' settings, and ``NAME_coded`` of each numeric
            factor's setting.
        notes: what rounding and merging did to the points as planned.
    """

    kind: str
    factors: tuple[DesignFactor, ...]
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        import pandas as pd

        return pd.DataFrame(list(self.rows))


@dataclass(frozen=True)
class PlannedRun:
    """One run of an experiment, before it is trained.

    Attributes:
        run_id: id of `spec`, see ``training.runspec``.
        configuration: id of `spec` without its seed.
        point, kind, replicate: place in the design; replicates of a point differ in seed alone.
        settings: factor -> raw value.
        coded: numeric factor -> coded value.
        spec: the canonical specification.
    """

    run_id: str
    configuration: str
    point: int
    kind: str
    replicate: int
    seed: int
    settings: dict[str, Value]
    coded: dict[str, float]
    spec: dict[str, Any]


# Points -----------------------------------------------------------------------------------------


def make_design(
    kind: str,
    factors: Sequence[DesignFactor],
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    where: str = "design",
) -> Design:
    """Points of a design, in a stable order, none twice but for copies of the centre.

    Args:
        kind: one of :data:`KINDS`.
        factors: see `read_factors`.
        options: ``center`` (copies of the centre point), ``levels`` (a number for factors that
            name none; factorial 2, d_optimal 3), ``alpha`` (central_composite: faced or
            rotatable), ``points`` (a number; for list the points themselves), ``baseline``
            (ofat: name -> value), ``degree`` and ``starts`` (d_optimal), ``foldover``
            (plackett_burman).
        seed: of latin_hypercube, sobol and d_optimal.

    Raises:
        UserError: unknown kind or option, a factor that the kind cannot vary, too few factors or
            points, too many points.
    """
    options = dict(options or {})
    check_options(kind, options, where)
    factors = tuple(sorted(factors, key=lambda factor: factor.name))
    names = [factor.name for factor in factors if factor.categorical]
    if names and kind not in CATEGORICAL_KINDS:
        raise UserError(
            f"{kind} cannot vary {', '.join(names)}, whose levels are names",
            where=where,
            expected=f"one of {', '.join(CATEGORICAL_KINDS)}",
        )
    copies = _whole_option(options, "center", CENTRE_RUNS.get(kind, 0), where)
    if copies and names:
        raise UserError(f"{', '.join(names)} has no centre", where=f"{where}.center", expected="0")
    points = _POINTS[kind](factors, options, seed, where)
    centre: _Point = ("center", {factor.name: 0.0 for factor in factors}, {})
    return _tabulate(kind, factors, points + [centre] * copies)


_Point = tuple[str, dict[str, float], dict[str, Value]]
"""What a point is (corner, ...), coded values of some factors, exact settings of the others."""


def check_options(kind: Any, options: Mapping[str, Any], where: str) -> None:
    """Refuse a kind of design that is not known, and options that it cannot have.

    Raises:
        UserError: naming the option and what it may be.
    """
    if kind not in KINDS:
        raise unknown(f"kind '{kind}'", str(kind), KINDS, f"{where}.kind")
    for key, value in options.items():
        if key not in OPTIONS[kind]:
            raise unknown(f"option '{key}' of {kind}", str(key), OPTIONS[kind], where)
        expected = None
        if kind == "list" and not isinstance(value, (list, tuple)):
            expected = "a list of points"
        elif key in WHOLE_OPTIONS and kind != "list":
            _whole_option(options, key, None, where)
        elif key == "foldover" and not isinstance(value, bool):
            expected = "true or false"
        elif key == "baseline" and not isinstance(value, Mapping | None):
            expected = "factors and their values"
        elif key == "alpha" and value not in constructions.ALPHAS:
            expected = " or ".join(constructions.ALPHAS)
        if expected:
            raise UserError(f"got {show(value)}", where=f"{where}.{key}", expected=expected)


def _whole_option(options: Mapping[str, Any], key: str, default: int | None, where: str) -> int:
    value = options.get(key, default)
    least, most = WHOLE_OPTIONS[key]
    if not is_whole(value) or not least <= value <= most:
        expected = f"a whole number from {least} to {most}"
        raise UserError(f"got {show(value)}", where=f"{where}.{key}", expected=expected)
    return int(value)


def _coded_points(
    factors: Sequence[DesignFactor], rows: Array, kinds: str | Sequence[str]
) -> list[_Point]:
    labels = [kinds] * len(rows) if isinstance(kinds, str) else kinds
    names = [factor.name for factor in factors]
    return [
        (label, {name: float(z) for name, z in zip(names, row, strict=True)}, {})
        for label, row in zip(labels, rows, strict=True)
    ]


def _level_values(factor: DesignFactor, count: int) -> tuple[Value, ...]:
    """A factor's own values, or levels equally spaced on its scale."""
    if factor.values:
        return factor.values
    return tuple(factor.setting(float(z)) for z in np.linspace(-1, 1, factor.levels or count))


def _grid(
    factors: Sequence[DesignFactor], count: int, limit: int, where: str
) -> list[dict[str, Value]]:
    levels = [_level_values(factor, count) for factor in factors]
    total = int(np.prod([float(len(each)) for each in levels]))
    if total > limit:
        raise UserError(
            f"{total} combinations of levels",
            where=where,
            expected=f"at most {limit}",
            fix="use fewer levels, or another kind of design",
        )
    rows = constructions.full_factorial([len(each) for each in levels])
    names = [factor.name for factor in factors]
    return [
        {name: each[i] for name, each, i in zip(names, levels, row, strict=True)} for row in rows
    ]


def _factorial(
    factors: Sequence[DesignFactor], options: Mapping[str, Any], _seed: int, where: str
) -> list[_Point]:
    count = _whole_option(options, "levels", 2, where)
    return [("factorial", {}, row) for row in _grid(factors, count, MAX_RUNS, where)]


def _ofat(
    factors: Sequence[DesignFactor], options: Mapping[str, Any], _seed: int, where: str
) -> list[_Point]:
    given = dict(options.get("baseline") or {})
    by_name = {factor.name: factor for factor in factors}
    base: dict[str, Value] = {}
    for name in given:
        if name not in by_name:
            raise unknown(f"factor '{name}'", name, list(by_name), f"{where}.baseline")
    for name, factor in by_name.items():
        value = given.get(name, factor.baseline)
        if value is None:
            value = factor.values[0] if factor.categorical else factor.setting(0.0)
        base[name] = _checked_setting(factor, value, f"{where}.baseline.{name}")
    points: list[_Point] = [("baseline", {}, base)]
    for name, factor in by_name.items():
        others = [value for value in _level_values(factor, 2) if value != base[name]]
        points += [("ofat", {}, {**base, name: value}) for value in others]
    return points


def _checked_setting(factor: DesignFactor, value: Any, where: str) -> Value:
    """A stated setting, if the factor can have it."""
    if factor.categorical:
        if value not in factor.values:
            expected = f"one of {', '.join(map(str, factor.values))}"
            raise UserError(f"got {show(value)}", where=where, expected=expected)
        return str(value)
    number = finite(value, where)
    if not factor.low <= number <= factor.high:
        expected = f"from {factor.low:g} to {factor.high:g}"
        raise UserError(f"got {number:g}", where=where, expected=expected)
    if factor.integer:
        if number != int(number):
            raise UserError(f"got {number:g}", where=where, expected="a whole number")
        return int(number)
    return number


def _box_behnken(
    factors: Sequence[DesignFactor], _options: Mapping[str, Any], _seed: int, _where: str
) -> list[_Point]:
    return _coded_points(factors, constructions.box_behnken(len(factors)), "edge")


def _central_composite(
    factors: Sequence[DesignFactor], options: Mapping[str, Any], _seed: int, where: str
) -> list[_Point]:
    if len(factors) > 10:
        raise UserError(f"{len(factors)} factors", where=where, expected="at most 10")
    rows, corners = constructions.central_composite(len(factors), options.get("alpha", "faced"))
    kinds = ["corner"] * corners + ["axial"] * (len(rows) - corners)
    return _coded_points(factors, rows, kinds)


def _plackett_burman(
    factors: Sequence[DesignFactor], options: Mapping[str, Any], _seed: int, _where: str
) -> list[_Point]:
    rows = constructions.plackett_burman(len(factors), bool(options.get("foldover", False)))
    return _coded_points(factors, rows, "screening")


def _definitive_screening(
    factors: Sequence[DesignFactor], _options: Mapping[str, Any], _seed: int, _where: str
) -> list[_Point]:
    return _coded_points(factors, constructions.definitive_screening(len(factors)), "screening")


def _latin_hypercube(
    factors: Sequence[DesignFactor], options: Mapping[str, Any], seed: int, where: str
) -> list[_Point]:
    points = _whole_option(options, "points", None, where)
    return _spread(factors, constructions.latin_hypercube(len(factors), points, seed))


def _sobol(
    factors: Sequence[DesignFactor], options: Mapping[str, Any], seed: int, where: str
) -> list[_Point]:
    points = _whole_option(options, "points", None, where)
    return _spread(factors, constructions.sobol(len(factors), points, seed))


def _spread(factors: Sequence[DesignFactor], rows: Array) -> list[_Point]:
    """Space-filling rows; explicit levels get equal shares of their factor's range."""
    points: list[_Point] = []
    for row in rows:
        coded: dict[str, float] = {}
        exact: dict[str, Value] = {}
        for factor, z in zip(factors, row, strict=True):
            levels = factor.values or (_level_values(factor, 2) if factor.levels else ())
            if levels:
                index = min(int((z + 1) / 2 * len(levels)), len(levels) - 1)
                exact[factor.name] = levels[index]
            else:
                coded[factor.name] = float(z)
        points.append(("point", coded, exact))
    return points


def _d_optimal(
    factors: Sequence[DesignFactor], options: Mapping[str, Any], seed: int, where: str
) -> list[_Point]:
    from tunescape import surface

    degree = _whole_option(options, "degree", 2, where)
    levels = _whole_option(options, "levels", 3, where)
    starts = _whole_option(options, "starts", 10, where)
    grid = _grid(factors, levels, MAX_CANDIDATES, where)
    names = [factor.name for factor in factors]
    terms = surface.polynomial_terms(names, degree)
    values = {name: [float(row[name]) for row in grid] for name in names}
    matrix = surface.design_matrix(values, [factor.coding for factor in factors], terms)
    if "points" in options:
        points = _whole_option(options, "points", None, where)
    else:
        points = min(len(grid), len(terms) + 5)
    return [("point", {}, grid[i]) for i in constructions.d_optimal(matrix, points, seed, starts)]


def _listed(
    factors: Sequence[DesignFactor], options: Mapping[str, Any], _seed: int, where: str
) -> list[_Point]:
    given = options.get("points")
    if not isinstance(given, (list, tuple)) or not given:
        raise UserError(f"got {show(given)}", where=f"{where}.points", expected="a list of points")
    rows: list[dict[str, Value]] = []
    for index, point in enumerate(given):
        place = f"{where}.points[{index}]"
        if not isinstance(point, Mapping):
            raise UserError(f"got {show(point)}", where=place, expected="factors and their values")
        names = [factor.name for factor in factors]
        for name in point:
            if name not in names:
                raise unknown(f"factor '{name}'", str(name), names, place)
        for name in names:
            if name not in point:
                raise UserError("missing", where=f"{place}.{name}", expected="a value")
        rows.append(
            {f.name: _checked_setting(f, point[f.name], f"{place}.{f.name}") for f in factors}
        )
    rows.sort(key=lambda row: tuple(row.values()))
    return [("point", {}, row) for row in rows]


_POINTS: dict[
    str, Callable[[Sequence[DesignFactor], Mapping[str, Any], int, str], list[_Point]]
] = {
    "factorial": _factorial,
    "ofat": _ofat,
    "box_behnken": _box_behnken,
    "central_composite": _central_composite,
    "latin_hypercube": _latin_hypercube,
    "sobol": _sobol,
    "d_optimal": _d_optimal,
    "list": _listed,
    "plackett_burman": _plackett_burman,
    "definitive_screening": _definitive_screening,
}


def infer_factors(points: Any, where: str = "design.points") -> dict[str, Any]:
    """Factors of a list of points that names none: each with the values that occur."""
    found: dict[str, list[Any]] = {}
    for index, point in enumerate(points if isinstance(points, (list, tuple)) else ()):
        if not isinstance(point, Mapping):
            expected = "factors and their values"
            raise UserError(f"got {show(point)}", where=f"{where}[{index}]", expected=expected)
        for name, value in point.items():
            found.setdefault(str(name), []).append(value)
    return {
        name: {"values": values} for name, values in found.items() if len({*map(str, values)}) > 1
    }


def _tabulate(kind: str, factors: tuple[DesignFactor, ...], points: Sequence[_Point]) -> Design:
    """Settle, merge and number the points."""
    moved = {factor.name: 0.0 for factor in factors}
    rows: list[tuple[str, tuple[Value, ...]]] = []
    for label, coded, exact in points:
        settled: list[Value] = []
        for factor in factors:
            if factor.name in exact:
                settled.append(exact[factor.name])
                continue
            value = factor.setting(coded[factor.name])
            shift = abs(factor.code(value) - coded[factor.name])
            moved[factor.name] = max(moved[factor.name], shift)
            settled.append(value)
        rows.append((label, tuple(settled)))
    notes = [
        f"rounding to whole numbers moves {name} by up to {shift:.2f} in coded units"
        for name, shift in moved.items()
        if shift > ROUNDING_NOTED
    ]
    centres = {settings for label, settings in rows if label == "center"}
    numbers: dict[tuple[Value, ...], int] = {}
    copies: dict[tuple[Value, ...], int] = {}
    records = []
    merged = 0
    for label, settings in rows:
        if label != "center" and (settings in numbers or settings in centres):
            merged += 1
            continue
        point = numbers.setdefault(settings, len(numbers) + 1)
        copy = copies.get(settings, 0)
        copies[settings] = copy + 1
        record: dict[str, Any] = {"point": point, "kind": label, "copy": copy}
        record |= {f.name: value for f, value in zip(factors, settings, strict=True)}
        record |= {
            f"{f.name}_coded": f.code(value)
            for f, value in zip(factors, settings, strict=True)
            if not f.categorical
        }
        records.append(record)
    if merged:
        notes.append(f"{merged} point(s) have the settings of another and are left out")
    return Design(kind, factors, tuple(records), tuple(notes))


# Runs -------------------------------------------------------------------------------------------


def expand(
    design: Design, fixed: Mapping[str, Any], seeds: Sequence[int], where: str = "seeds"
) -> list[dict[str, Any]]:
    """Cross the points of a design with seeds.

    Returns:
        One mapping a run, by point, copy and seed: ``point``, ``kind``, ``replicate`` (1, 2, ...
        at each point), ``settings`` (`fixed`, the factors, and ``seed``). Copy c of the centre
        point has seed + c * :data:`CENTRE_SEED_STEP`.

    Raises:
        UserError: no seeds, a seed twice, or two runs that would be one.
    """
    if not seeds or not all(is_whole(seed) and 0 <= seed < 2**32 for seed in seeds):
        expected = "whole numbers from 0 to 4294967295"
        raise UserError(f"got {show(list(seeds))}", where=where, expected=expected)
    if len(set(seeds)) < len(seeds):
        raise UserError("a seed is given twice", where=where, expected="distinct seeds")
    names = [factor.name for factor in design.factors]
    replicates: dict[int, int] = {}
    used: set[tuple[int, int]] = set()
    runs = []
    for row in design.rows:
        for seed in sorted(seeds):
            point = int(row["point"])
            own = (seed + CENTRE_SEED_STEP * int(row["copy"])) % 2**32
            if (point, own) in used:
                raise UserError(
                    f"seed {own} occurs twice at the centre point, whose copies use seeds "
                    f"{CENTRE_SEED_STEP} apart",
                    where=where,
                    fix="choose seeds below that number",
                )
            used.add((point, own))
            replicates[point] = replicates.get(point, 0) + 1
            settings = {**fixed, **{name: row[name] for name in names}, "seed": own}
            runs.append(
                {
                    "point": point,
                    "kind": str(row["kind"]),
                    "replicate": replicates[point],
                    "settings": settings,
                }
            )
    return runs


def read_design(
    experiment: Mapping[str, Any], where: str, cache: str | Path | None = None
) -> Design:
    """The design of an experiment (see `plan_runs`)."""
    kind, factors, options, seed = stated_design(experiment, where)

    def make() -> Design:
        return make_design(kind, factors, options, seed, f"{where}.design")

    if cache is None:
        return make()
    return _remembered(make, factors, [kind, options, seed], Path(cache))


def stated_design(
    experiment: Mapping[str, Any], where: str
) -> tuple[str, tuple[DesignFactor, ...], dict[str, Any], int]:
    """Kind, factors, options and seed of an experiment's design, checked at little cost.

    Raises:
        UserError: for an unknown key, kind or option, or factors that cannot be.
    """
    for key in experiment:
        if key not in EXPERIMENT_KEYS:
            raise unknown(f"key '{key}'", str(key), EXPERIMENT_KEYS, where)
    options = dict(experiment.get("design") or {})
    kind, seed = options.pop("kind", None), options.pop("seed", 0)
    if kind is None:
        raise UserError(
            "missing", where=f"{where}.design.kind", expected=f"one of {', '.join(KINDS)}"
        )
    check_options(kind, options, f"{where}.design")
    raw = experiment.get("factors")
    if not raw and kind == "list":
        raw = infer_factors(options.get("points"), f"{where}.design.points")
        given = options.get("points") or []
        constant = {key for point in given for key in point if key not in raw}
        if constant:
            raise UserError(
                f"{', '.join(sorted(constant))} never varies",
                where=f"{where}.design.points",
                fix="state it under fixed",
            )
    factors = read_factors(raw or {}, f"{where}.factors")
    if not is_whole(seed) or seed < 0:
        raise UserError(
            f"got {show(seed)}", where=f"{where}.design.seed", expected="a whole number"
        )
    if kind in ("ofat", "list"):  # settings are stated, and looking at them costs nothing
        make_design(kind, factors, options, seed, f"{where}.design")
    return str(kind), factors, options, seed


def _remembered(
    make: Callable[[], Design], factors: tuple[DesignFactor, ...], key: Any, cache: Path
) -> Design:
    """A design out of the cache, which spares the import of the design libraries."""
    code = [
        file_digest(path) for path in (__file__, constructions.__file__, factors_module.__file__)
    ]
    path = cache / f"design-{digest([key, [repr(factor) for factor in factors], code])}.json"
    if path.is_file():
        stored = read_json(path)
        return Design(stored["kind"], factors, tuple(stored["rows"]), tuple(stored["notes"]))
    design = make()
    rows = [{key: _plain(value) for key, value in row.items()} for row in design.rows]
    write_json({"kind": design.kind, "rows": rows, "notes": list(design.notes)}, path)
    return design


def plan_runs(
    experiment: Mapping[str, Any],
    where: str = "experiment",
    cache: str | Path | None = None,
) -> list[PlannedRun]:
    """Every run of an experiment, with its canonical specification and id.

    Args:
        experiment: ``task`` and ``model`` (as in ``training.runspec``), ``design`` (``kind``,
            ``seed`` and options), ``factors``, ``fixed``, ``seeds``, and optionally ``method``,
            ``train_size``, ``keep``, ``max_runs``.
        where: dotted key for messages.
        cache: folder that remembers the points of designs, so that planning stays fast.

    Raises:
        UserError: also when a factor is fixed at the same time, or there are too many runs.
    """
    from tunescape.training import runspec

    design = read_design(experiment, where, cache)
    fixed = dict(experiment.get("fixed") or {})
    fixed |= {key: experiment[key] for key in ("method", "train_size", "keep") if key in experiment}
    if fixed.get("train_size") is None:
        fixed.pop("train_size", None)
    both = [factor.name for factor in design.factors if factor.name in fixed]
    if both:
        raise UserError(f"{', '.join(both)} is a factor and fixed as well", where=f"{where}.fixed")
    limit = int(experiment.get("max_runs") or MAX_RUNS)
    seeds = list(experiment.get("seeds") or ())
    if len(design.rows) * len(seeds) > limit:
        raise UserError(
            f"{len(design.rows)} points with {len(seeds)} seeds are "
            f"{len(design.rows) * len(seeds)} runs",
            where=where,
            expected=f"at most {limit}",
            fix="use fewer points or seeds, or raise max_runs",
        )
    numeric = [factor for factor in design.factors if not factor.categorical]
    shared = {"model": experiment.get("model"), "task": experiment.get("task")}
    planned = []
    for run in expand(design, fixed, seeds, f"{where}.seeds"):
        settings = run["settings"]
        spec = runspec.complete({**shared, **settings}, where)
        planned.append(
            PlannedRun(
                runspec.run_id(spec),
                configuration_id(spec),
                run["point"],
                run["kind"],
                run["replicate"],
                settings["seed"],
                {factor.name: settings[factor.name] for factor in design.factors},
                {factor.name: factor.code(settings[factor.name]) for factor in numeric},
                spec,
            )
        )
    return planned


def configuration_id(spec: Mapping[str, Any]) -> str:
    """Sixteen hex digits that name a canonical specification without its seed."""
    from tunescape.training import runspec

    return digest({k: v for k, v in runspec.identity(spec).items() if k != "seed"}, 16)


# Diagnostics ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """Standard deviation of a metric between runs of one setting, as assumed, and from what."""

    sd: float
    source: str


def read_noise(
    raw: Mapping[str, Any] | None, n_eval: int | None = None, where: str = "noise"
) -> Noise:
    """Assumed noise: ``sd``, or the binomial error of ``accuracy`` (0.85) on ``n_eval`` rows.

    Args:
        raw: ``{sd}`` or ``{accuracy, n_eval}``.
        n_eval: evaluation rows where `raw` states none.
        where: dotted key for messages.
    """
    stated = dict(raw or {})
    for key in stated:
        if key not in NOISE_KEYS:
            raise unknown(f"key '{key}'", str(key), NOISE_KEYS, where)
    sd = finite(stated.get("sd", 1.0), f"{where}.sd")
    if sd <= 0:
        raise UserError(f"got {sd:g}", where=f"{where}.sd", expected="a number above 0")
    share = finite(stated.get("accuracy", 0.85), f"{where}.accuracy")
    rows = finite(stated.get("n_eval", n_eval or 1000), f"{where}.n_eval")
    if not 0 < share < 1 or rows < 1:
        raise UserError(
            f"accuracy {share:g}, n_eval {rows:g}",
            where=where,
            expected="an accuracy between 0 and 1 and at least 1 row",
        )
    if "sd" in stated:
        return Noise(sd, "stated")
    said = (
        f"binomial error of an accuracy of {share:g} on {rows:.0f} evaluation rows, the least "
        "there can be: seeds add theirs"
    )
    return Noise(float(np.sqrt(share * (1 - share) / rows)), said)


DIAGNOSTIC_COLUMNS: dict[str, str] = {
    "term": "str",
    "kind": "str",
    "estimable": "bool",
    "aliased_with": "str",
    "confounded_with": "str",
    "vif": "float64",
    "se_per_sd": "float64",
    "detectable_effect": "float64",
}
"""Columns of diagnostics.csv; effects are of one coded unit, half of the factor's range."""


def design_diagnostics(
    frame: pd.DataFrame,
    factors: Sequence[DesignFactor],
    noise: Noise,
    *,
    degree: int = 2,
    interactions: bool = True,
    power: float = 0.8,
    alpha: float = 0.05,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What a polynomial model can learn from a design, before any response is known.

    Args:
        frame: one row a run with the factors' settings.
        factors: of the design; names enter as indicators of all their levels but the first.
        noise: assumed standard deviation of the response.
        degree, interactions: the model.
        power, alpha: of the two-sided test that the detectable effect belongs to.

    Returns:
        A row a term (:data:`DIAGNOSTIC_COLUMNS`), and the design's summary: ``runs``,
        ``settings``, ``rank``, ``df_residual``, ``df_pure_error``, ``d_efficiency``
        (``det(X'X)^(1/p) / n`` of the coded model matrix: 1 for an orthogonal two-level design, 0
        when a term is aliased), ``d_efficiency_estimable`` (of the estimable terms), ``condition``,
        ``leverage`` (least, largest), ``aliased``, ``confounded``.
    """
    import pandas as pd

    from tunescape import inference, surface

    numeric = [factor for factor in factors if not factor.categorical]
    named = [factor for factor in factors if factor.categorical]
    settings = frame[[factor.name for factor in factors]]
    distinct = len(settings.drop_duplicates())
    base = {"runs": len(frame), "settings": distinct, "df_pure_error": len(frame) - distinct}
    if not numeric:
        empty = pd.DataFrame({c: pd.Series(dtype=t) for c, t in DIAGNOSTIC_COLUMNS.items()})
        return empty, {**base, "reason": "no numeric factor, so no polynomial model"}
    fit = surface.fit_surface(
        {factor.name: settings[factor.name].to_numpy(dtype=float) for factor in numeric},
        np.zeros(len(frame)),
        [factor.coding for factor in numeric],
        degree=degree,
        interactions=interactions,
        effects={factor.name: [str(v) for v in settings[factor.name]] for factor in named},
    )
    unit = np.full(len(fit.columns), np.nan)
    unit[list(fit.kept)] = np.linalg.norm(fit.r_inverse, axis=1)
    inflation = inference.variance_inflation(fit)
    kinds = {term.name: term.kind for term in fit.terms}
    confounded = fit.confounded()
    table = pd.DataFrame(
        {
            "term": list(fit.columns),
            "kind": [kinds.get(name, "level") for name in fit.columns],
            "estimable": np.isfinite(unit),
            "aliased_with": [alias_text(fit.aliased.get(name)) for name in fit.columns],
            "confounded_with": [" ".join(confounded.get(name, ())) for name in fit.columns],
            "vif": [inflation.get(name, float("nan")) for name in fit.columns],
            "se_per_sd": unit,
            "detectable_effect": inference.detectable_effect(
                unit * noise.sd, fit.df_residual, alpha, power
            ),
        }
    )
    log_det = -2 * float(np.sum(np.log(np.abs(np.diag(fit.r_inverse)))))
    efficiency = float(np.exp(log_det / fit.rank) / len(frame))
    summary = {
        **base,
        "terms": len(fit.columns),
        "rank": fit.rank,
        "df_residual": fit.df_residual,
        "d_efficiency": 0.0 if fit.aliased else efficiency,
        "d_efficiency_estimable": efficiency,
        "condition": fit.condition_coded,
        "leverage": [float(fit.leverage.min()), float(fit.leverage.max())],
        "aliased": {name: alias_text(by) for name, by in fit.aliased.items()},
        "confounded": {name: list(by) for name, by in confounded.items()},
        "degree": degree,
        "interactions": interactions,
        "power": power,
        "alpha": alpha,
        "noise": {"sd": noise.sd, "source": noise.source},
        "reason": "",
    }
    return table, summary


def alias_text(combination: Mapping[str, float] | None) -> str:
    """An aliased term as what it equals, e.g. ``0.5 intercept - 1 a:b``; empty for none."""
    if combination is None:
        return ""
    if not combination:
        return "0"
    text = " ".join(f"{'-' if w < 0 else '+'} {abs(w):.4g} {n}" for n, w in combination.items())
    return text.removeprefix("+ ")


# The stage --------------------------------------------------------------------------------------


def write_design(
    spec: Mapping[str, Any],
    out_design: str | Path,
    out_diagnostics: str | Path,
    out_summary: str | Path,
    out_specs: str | Path,
    predict_seconds: Callable[[Mapping[str, Any]], float] | None = None,
) -> None:
    """Write an experiment's runs, what they can tell and what they cost, before training.

    Args:
        spec: the experiment (see `plan_runs`), with ``name`` and optionally ``degree`` (2; 1 for
            plackett_burman) and ``noise`` (see `read_noise`).
        out_design: CSV, one row a run: run_id, configuration, point, kind, replicate, seed, the
            factors, their coded values, predicted_seconds.
        out_diagnostics: CSV of :data:`DIAGNOSTIC_COLUMNS`.
        out_summary: JSON of `design_diagnostics` with the cost, notes and plain statements.
        out_specs: folder that gets one canonical specification a run, ``{run_id}.json``.
        predict_seconds: specification -> seconds on one core; the training engine's by default.

    Raises:
        UserError: see `plan_runs`.
    """
    import pandas as pd

    from tunescape.training import packing

    where = f"experiments.{spec['name']}" if "name" in spec else "experiment"
    design = read_design(spec, where)
    runs = plan_runs(spec, where)
    predict = predict_seconds or packing.predict_seconds
    frame = pd.DataFrame(
        [
            {
                "run_id": run.run_id,
                "configuration": run.configuration,
                "point": run.point,
                "kind": run.kind,
                "replicate": run.replicate,
                "seed": run.seed,
                **run.settings,
                **{f"{name}_coded": value for name, value in run.coded.items()},
                "predicted_seconds": predict(run.spec),
            }
            for run in runs
        ]
    )
    degree = int(spec.get("degree") or (1 if design.kind == "plackett_burman" else 2))
    noise = read_noise(spec.get("noise"), packing.count_rows(runs[0].spec["task"])[1])
    table, summary = design_diagnostics(frame, design.factors, noise, degree=degree)
    seconds = frame["predicted_seconds"]
    summary |= {
        "kind": design.kind,
        "seeds": sorted(spec["seeds"]),
        "notes": list(design.notes),
        "cost": {
            "core_seconds": float(seconds.sum()),
            "longest_run_seconds": float(seconds.max()),
        },
    }
    summary["statements"] = _statements(summary, table)
    for run in runs:
        write_json(run.spec, Path(out_specs) / f"{run.run_id}.json")
    write_table(frame, out_design)
    write_table(table, out_diagnostics, DIAGNOSTIC_COLUMNS)
    write_json(_plain(summary), out_summary)


def _statements(summary: Mapping[str, Any], table: pd.DataFrame) -> list[str]:
    """Plain sentences made from the numbers of a design."""
    cost = summary["cost"]
    said = [
        f"{summary['runs']} runs at {summary['settings']} settings, predicted to take "
        f"{cost['core_seconds']:.0f} s on one core"
    ]
    if summary["reason"]:
        return [*said, summary["reason"]]
    aliased = summary["aliased"]
    if aliased:
        said.append(
            f"{len(aliased)} of {summary['terms']} terms cannot be estimated: "
            + "; ".join(f"{name} = {by}" for name, by in aliased.items())
        )
    else:
        said.append(
            f"all {summary['terms']} terms can be estimated (D-efficiency "
            f"{summary['d_efficiency']:.2f}, condition number {summary['condition']:.1f})"
        )
    effects = table[(table["kind"] != "intercept") & np.isfinite(table["detectable_effect"])]
    if len(effects):
        low, high = effects["detectable_effect"].min(), effects["detectable_effect"].max()
        said.append(
            f"with a noise of {summary['noise']['sd']:.4f} ({summary['noise']['source']}) effects "
            f"of {low:.4f} to {high:.4f} over half a factor's range are found with a power of "
            f"{summary['power']:g}"
        )
    elif summary["df_residual"] < 1:
        said.append("as many terms as runs: no error can be estimated, add seeds or points")
    return said + list(summary["notes"])


def _plain(value: Any) -> Any:
    """JSON has no infinity and no nan: None."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
