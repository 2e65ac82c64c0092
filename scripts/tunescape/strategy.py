"""Strategy map: what the tables of a study say about setting hyperparameters, and how firmly.

Every statement is generated from named terms, every number in it is a table cell that the
statement cites, and every grade comes from a rule over such cells (`grade_term` and its
neighbours). A cell is cited as ``file?column=value&...#column`` in a CSV file and as
``file#key.key`` in a JSON file, with the file relative to the folder of the family table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from tunescape.errors import UserError
from tunescape.response import LOWER_IS_BETTER
from tunescape.surface import INTERCEPT
from tunescape.tables import read_json, read_table, write_table

Grade = Literal["supported", "fragile", "artefact", "no evidence", "identity"]
"""Identities hold by algebra: a check of the fits, no finding about hyperparameters."""

STRATEGY_COLUMNS = dict.fromkeys(
    ("id", "kind", "metric", "term", "text", "grade", "rule", "cells"), "str"
)
SEPARATOR = " | "


@dataclass(frozen=True)
class Thresholds:
    """Limits of the grades.

    Attributes:
        alpha: level of every test.
        share_sign: least share of specifications with the study's sign.
        share_significant: least share of specifications significant with that sign.
        owner_r2: R2 for owners left out must exceed this.
        slope_t: least ratio of a slope to its classical standard error.
    """

    alpha: float = 0.05
    share_sign: float = 0.9
    share_significant: float = 0.5
    owner_r2: float = 0.0
    slope_t: float = 2.0


@dataclass(frozen=True)
class TermEvidence:
    """The numbers that grade one term of one metric; nan where there are none.

    ``raw_p`` are the cluster-robust p-values of the term in raw units, by view: those of a slope
    belong to the origin of that view. For the runs of an experiment (``designed``), ``p_cr3`` and
    ``raw_p`` are by the error that the family table names; there is no specification curve, since
    the analysis was decided before the data were there.
    """

    estimable: bool
    confounded: bool
    slope: bool
    p_classical: float
    p_cr3: float
    holm: float
    p_wild: float
    share_sign: float
    share_significant: float
    owner_r2: float
    raw_p: tuple[float, ...]
    designed: bool = False


def grade_term(e: TermEvidence, limits: Thresholds) -> tuple[Grade, str]:
    """Grade of "this term is not zero", and the rule that gave it; the first that applies.

    ========================= ============ ====================================================
    rule                      grade        when
    ========================= ============ ====================================================
    not_estimable             no evidence  the term is aliased
    no_cluster_error          no evidence  one uploader carries it: no cluster-robust error
    confounded                artefact     significant, but only if aliased terms are zero
    fails: cluster_robust     fragile      significant by the wild bootstrap alone
    only_at_an_origin         artefact     a slope significant at the origin of a view, not
                                           at the midpoint of the range
    only_without_clusters     artefact     significant only if models of one uploader were
                                           independent
    not_significant           no evidence  cluster-robust p at alpha or above
    fails: ...                fragile      significant, but not by Holm over the family, the
                                           wild bootstrap, the specification curve, R2 for
                                           owners left out, or in every view (slopes)
    all_criteria              supported    all of them hold; for an experiment, which has no
    (..._of_an_experiment)                 specification curve, all others
    ========================= ============ ====================================================
    """
    if not e.estimable:
        return "no evidence", "not_estimable"
    if not np.isfinite(e.p_cr3):
        return "no evidence", "no_cluster_error"
    if e.p_cr3 >= limits.alpha:
        if e.p_wild < limits.alpha:
            return "fragile", "fails: cluster_robust"
        if e.slope and any(p < limits.alpha for p in e.raw_p):
            return "artefact", "only_at_an_origin"
        if e.p_classical < limits.alpha:
            return "artefact", "only_without_clusters"
        return "no evidence", "not_significant"
    if e.confounded:
        return "artefact", "confounded"
    passed = {
        "holm": e.holm < limits.alpha,
        "wild_bootstrap": e.p_wild < limits.alpha,
        "specifications": e.share_sign >= limits.share_sign
        and e.share_significant >= limits.share_significant,
        "owners_left_out": e.owner_r2 > limits.owner_r2,
        "views": not e.slope or all(p < limits.alpha for p in e.raw_p),
    }
    if e.designed:
        del passed["specifications"]
        if not np.isfinite(e.p_wild):
            del passed["wild_bootstrap"]
    failed = [name for name, good in passed.items() if not good]
    if failed:
        return "fragile", f"fails: {', '.join(failed)}"
    return "supported", "all_criteria_of_an_experiment" if e.designed else "all_criteria"


def weakest(grades: Sequence[Grade]) -> Grade:
    """The grade of a statement that needs all of several."""
    order: tuple[Grade, ...] = ("no evidence", "artefact", "fragile", "supported")
    return min(grades, key=order.index)


def map_strategy(
    coefficient_paths: Sequence[str | Path],
    fit_paths: Sequence[str | Path],
    summary_paths: Sequence[str | Path],
    family_path: str | Path,
    out_strategy: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Write the strategy map of one population.

    Args:
        coefficient_paths, fit_paths: ``.../{population}/{view}/{metric}/coefficients.csv`` and
            ``fit.json`` of `regression.regress`, all views and metrics of the population.
        summary_paths: ``.../{metric}/summary.csv`` of `specification.specification_curve`; none
            for an experiment.
        family_path: of `regression.adjust_study`; cells are cited relative to its folder.
        out_strategy: CSV of `STRATEGY_COLUMNS`, one row a statement.
        spec: ``population`` (its name), ``metrics`` and ``views`` in order, ``thresholds`` (keys
            of `Thresholds`), and ``designed`` (true for an experiment; false).
    """
    book = Book(Path(family_path).parent)
    study = _Study(
        book=book,
        population=str(spec["population"]),
        metrics=tuple(spec["metrics"]),
        views=tuple(spec["views"]),
        coefficients={_place(p): book.name(p) for p in coefficient_paths},
        fits={_place(p): book.name(p) for p in fit_paths},
        summaries={Path(p).parent.name: book.name(p) for p in summary_paths},
        family=book.name(family_path),
        limits=Thresholds(**spec.get("thresholds", {})),
        designed=bool(spec.get("designed", False)),
    )
    rows = [statement.row() for statement in study.statements()]
    table = pd.DataFrame(rows, columns=list(STRATEGY_COLUMNS))
    write_table(table, out_strategy, STRATEGY_COLUMNS)


def _place(path: str | Path) -> tuple[str, str]:
    """(view, metric) of a regression's file."""
    return Path(path).parts[-3], Path(path).parts[-2]


class Book:
    """Reads cited cells of the tables below one folder; every table is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables: dict[str, Any] = {}

    def name(self, path: str | Path) -> str:
        """A file as citations spell it."""
        return Path(path).relative_to(self.root).as_posix()

    def table(self, name: str) -> Any:
        """The content of a file: a data frame, or what the JSON holds.

        Raises:
            UserError: the name leads out of the folder, or the file cannot be read.
        """
        if name not in self._tables:
            path = self.root / name
            if not path.resolve().is_relative_to(self.root.resolve()):
                raise UserError("leads out of the folder of results", where=name)
            self._tables[name] = read_json(path) if path.suffix == ".json" else read_table(path)
        return self._tables[name]

    def value(self, cell: str) -> Any:
        """The value of a cited cell; None where it is empty.

        Raises:
            UserError: no such cell, or more than one.
        """
        place, _, column = cell.partition("#")
        name, _, query = place.partition("?")
        content = self.table(name)
        if not isinstance(content, pd.DataFrame):
            for key in column.split("."):
                try:
                    content = content[int(key)] if isinstance(content, list) else content[key]
                except (KeyError, IndexError, ValueError, TypeError):
                    raise UserError("no such cell", where=cell) from None
            return content
        keys = [part.partition("=") for part in query.split("&")]
        missing = [k for k in (*(k for k, _, _ in keys), column) if k not in content]
        if missing:
            raise UserError(f"no column {', '.join(missing)}", where=cell)
        mask = np.logical_and.reduce([content[k].fillna("").astype(str) == v for k, _, v in keys])
        if int(mask.sum()) != 1:
            raise UserError(f"{int(mask.sum())} rows answer to it", where=cell, expected="one")
        value = content.loc[mask, column].iloc[0]
        return None if pd.isna(value) else value

    def number(self, cell: str) -> float:
        """A cell as a number, nan where it is empty or not there."""
        try:
            value = self.value(cell)
        except UserError:
            return float("nan")
        return float("nan") if value is None else float(value)


@dataclass
class Statement:
    """One sentence under construction; `say` formats a cell and cites it."""

    book: Book
    kind: str
    metric: str
    term: str
    text: str = ""
    grade: Grade = "no evidence"
    rule: str = ""
    cells: list[str] = field(default_factory=list)

    def say(self, cell: str, style: str) -> str:
        """The number of a cell in a format, e.g. ``.2g`` or ``.0%``; the cell is cited."""
        if cell not in self.cells:
            self.cells.append(cell)
        return format(self.book.number(cell), style)

    def clause(self, words: str, cell: str, style: str) -> str:
        """``words number`` (or with the number where words has {}), empty without the number."""
        if not np.isfinite(self.book.number(cell)):
            return ""
        number = self.say(cell, style)
        return words.format(number) if "{}" in words else f"{words} {number}"

    def row(self) -> dict[str, str]:
        """As `STRATEGY_COLUMNS`."""
        name = ".".join(part for part in (self.kind, self.metric, self.term) if part)
        return {
            "id": name.replace(" ", "_"),
            "kind": self.kind,
            "metric": self.metric,
            "term": self.term,
            "text": self.text,
            "grade": self.grade,
            "rule": self.rule,
            "cells": SEPARATOR.join(self.cells),
        }


@dataclass(frozen=True)
class _Study:
    book: Book
    population: str
    metrics: tuple[str, ...]
    views: tuple[str, ...]
    coefficients: Mapping[tuple[str, str], str]
    fits: Mapping[tuple[str, str], str]
    summaries: Mapping[str, str]
    family: str
    limits: Thresholds
    designed: bool = False

    @property
    def view(self) -> str:
        """The view that terms are read in: the absolute one where it was fitted."""
        return "absolute" if "absolute" in self.views else self.views[0]

    def statements(self) -> Iterator[Statement]:
        """All statements, metric by metric, then across metrics and views."""
        fitted = [m for m in self.metrics if self._fitted(m)]
        for metric in self.metrics:
            if metric not in fitted:
                yield self._unfitted(metric)
                continue
            yield from self._order(metric)
            for term in self._terms(metric):
                yield self._term(metric, term)
            if len(self.views) > 1:
                yield from self._across_views(metric)
        yield from self._across_metrics(fitted)
        yield from self._cross_effects(fitted)

    # --- where numbers lie --------------------------------------------------------------------

    def _fit(self, metric: str) -> Any:
        return self.book.table(self.fits[self.view, metric])

    def _fitted(self, metric: str) -> bool:
        return bool(self._fit(metric)["status"] != "not_fitted")

    def _terms(self, metric: str) -> list[str]:
        return [t for t in self._fit(metric)["terms"] if t != INTERCEPT]

    def _cell(self, metric: str, term: str, column: str, view: str | None = None) -> str:
        return f"{self.coefficients[view or self.view, metric]}?term={term}#{column}"

    def _holm(self, metric: str, term: str) -> str:
        where = f"population={self.population}&view={self.view}&metric={metric}&term={term}"
        return f"{self.family}?{where}#holm"

    def _curve(self, metric: str, term: str, column: str) -> str:
        return f"{self.summaries.get(metric, 'none.csv')}?term={term}&decision=all#{column}"

    def _json(self, metric: str, key: str) -> str:
        return f"{self.fits[self.view, metric]}#{key}"

    def _error(self, metric: str) -> str:
        """Errors that conclusions rest on: CR3, or what the family took for an experiment."""
        if not self.designed:
            return "cr3"
        cell = self._holm(metric, self._terms(metric)[0]).removesuffix("#holm")
        return str(self.book.value(f"{cell}#error"))

    def _p(self, metric: str, term: str) -> str:
        return self._cell(metric, term, f"p_{self._error(metric)}")

    def _raw_p(self, metric: str, term: str, view: str) -> str:
        column = {"cr3": "raw_p_cr3", "classical": "raw_p"}[self._error(metric)]
        return self._cell(metric, term, column, view)

    @property
    def _cluster(self) -> str:
        return "configurations" if self.designed else "owners"

    def _evidence(self, metric: str, term: str) -> TermEvidence:
        number = self.book.number
        table = self.book.table(self.coefficients[self.view, metric]).set_index("term")
        row = table.loc[term]
        return TermEvidence(
            estimable=bool(row["estimable"]),
            confounded=isinstance(row["confounded_with"], str) and bool(row["confounded_with"]),
            slope=row["kind"] == "linear",
            p_classical=float(row["p_classical"]),
            p_cr3=number(self._p(metric, term)),
            holm=number(self._holm(metric, term)),
            p_wild=float(row["p_wild"]),
            share_sign=number(self._curve(metric, term, "share_sign")),
            share_significant=number(self._curve(metric, term, "share_significant_sign")),
            owner_r2=number(self._json(metric, "held_out.owner.r2")),
            raw_p=tuple(number(self._raw_p(metric, term, v)) for v in self.views),
            designed=self.designed,
        )

    def _grade(self, metric: str, term: str) -> tuple[Grade, str]:
        return grade_term(self._evidence(metric, term), self.limits)

    # --- statements ---------------------------------------------------------------------------

    def _unfitted(self, metric: str) -> Statement:
        made = Statement(self.book, "not fitted", metric, "")
        made.text = f"{metric}: nothing can be said, the regression was not fitted"
        made.rule = "not_fitted"
        made.cells.append(self._json(metric, "reason"))
        return made

    def _term(self, metric: str, term: str) -> Statement:
        """What one term does to one metric."""
        kind = "interaction" if ":" in term else "curvature" if "^" in term else "effect"
        made = Statement(self.book, kind, metric, term)
        made.grade, made.rule = self._grade(metric, term)
        estimate = self._cell(metric, term, "estimate")
        value = self.book.number(estimate)
        if not np.isfinite(value):
            made.cells.append(self._cell(metric, term, "aliased_with"))
            made.text = f"{metric}: the data cannot estimate {term}"
            return made
        size = made.say(estimate, "+.3g")
        if kind == "effect":
            said = (
                f"raising {term} from the middle of its range to the end moves {metric} by {size}"
            )
        elif kind == "curvature":
            factor = term.partition("^")[0]
            said = f"{metric} bends {'up' if value > 0 else 'down'} along {factor} ({size})"
        else:
            first, second = term.split(":")
            more = "more" if value > 0 else "less"
            said = f"the higher {second}, the {more} raising {first} adds to {metric} ({size})"
        robust = "cluster-robust p" if self._error(metric) == "cr3" else "classical p"
        evidence = [
            made.clause(robust, self._p(metric, term), ".2g"),
            made.clause("after Holm", self._holm(metric, term), ".2g"),
            made.clause("wild bootstrap p", self._cell(metric, term, "p_wild"), ".2g"),
            made.clause("classical p", self._cell(metric, term, "p_classical"), ".2g")
            if robust != "classical p"
            else "",
            made.clause(
                "sign kept in {} of specifications", self._curve(metric, term, "share_sign"), ".0%"
            ),
            made.clause(
                "significant with it in {}",
                self._curve(metric, term, "share_significant_sign"),
                ".0%",
            ),
            made.clause(
                f"R² for {self._cluster} left out", self._json(metric, "held_out.owner.r2"), ".2f"
            ),
        ]
        if made.rule == "only_at_an_origin" or "views" in made.rule:
            evidence += [
                made.clause(
                    f"p at the origin of the {view} view",
                    self._raw_p(metric, term, view),
                    ".2g",
                )
                for view in self.views
            ]
        made.text = f"{said}: {', '.join(part for part in evidence if part)}"
        return made

    def _order(self, metric: str) -> Iterator[Statement]:
        """Which factor to set first and which last."""
        found = self._fit(metric)["importance"]
        order = sorted(range(len(found)), key=lambda i: -_finite(found[i]["partial_r2"]))
        if len(order) < 2:
            return
        for kind, at, other in (("first", order[0], order[1]), ("last", order[-1], order[-2])):
            made = Statement(self.book, kind, metric, found[at]["factor"])
            cells = [
                self._json(metric, f"importance.{at}.{k}") for k in ("partial_r2", "low", "high")
            ]
            size, low, high = (
                made.say(c, ".3f") if np.isfinite(self.book.number(c)) else "" for c in cells
            )
            interval = f" (interval {low} to {high})" if low and high else ""
            made.text = (
                f"for {metric}, set {made.term} {kind}: its terms take up {size}{interval} of "
                f"what the other factors leave"
            )
            joint = self._joint(metric, made.term)
            made.text += ", " + (made.clause("joint p", joint, ".2g") or "no joint test")
            made.grade, made.rule = self._grade_order(metric, kind, found[at], found[other], made)
            yield made

    def _joint(self, metric: str, factor: str) -> str:
        error = self._error(metric)
        tests = self._fit(metric)["joint_tests"][error]
        at = next((i for i, t in enumerate(tests) if t["name"] == f"factor:{factor}"), len(tests))
        return self._json(metric, f"joint_tests.{error}.{at}.p")

    def _grade_order(
        self,
        metric: str,
        kind: str,
        own: Mapping[str, Any],
        neighbour: Mapping[str, Any],
        made: Statement,
    ) -> tuple[Grade, str]:
        """An order is supported where intervals part, some factor matters, owners generalise."""
        fit = self._fit(metric)
        if any(own["factor"] in re.split(r"[:^]", term) for term in fit["aliased"]):
            return "artefact", "terms_aliased"
        names = [f["factor"] for f in fit["importance"]]
        p = {name: self.book.number(self._joint(metric, name)) for name in names}
        leading = own["factor"] if kind == "first" else min(p, key=lambda n: _finite(p[n], 2.0))
        if not p[leading] < self.limits.alpha:
            return "no evidence", "no_joint_significance"
        above, below = (own, neighbour) if kind == "first" else (neighbour, own)
        owner = self._json(metric, "held_out.owner.r2")
        failed = []
        if kind == "last" and p[own["factor"]] < self.limits.alpha:
            failed.append("joint_significance")
        if not _finite(above["low"]) > _finite(below["high"], np.inf):
            failed.append("intervals_part")
        if not self.book.number(owner) > self.limits.owner_r2:
            failed.append("owners_left_out")
        made.cells.append(owner)
        return (
            ("fragile", f"fails: {', '.join(failed)}") if failed else ("supported", "all_criteria")
        )

    def _across_views(self, metric: str) -> Iterator[Statement]:
        """Whether the views say the same of each slope; second-order terms must coincide."""
        holds = self._fit(metric)["identity"].get("holds", False)
        made = Statement(self.book, "views", metric, "second order")
        if holds:
            largest = made.say(self._json(metric, "identity.max_difference"), ".1e")
            made.text = f"{metric}: both views are one model (largest difference {largest})"
            made.grade, made.rule = "identity", "identity"
        else:
            made.cells.append(self._json(metric, "identity.reason"))
            made.text = f"{metric}: the views were not shown to be one model"
            made.rule = "no_identity"
        yield made
        for term in self._terms(metric):
            if ":" in term or "^" in term:
                continue
            made = Statement(self.book, "views", metric, term)
            cells = {v: self._raw_p(metric, term, v) for v in self.views}
            p = {v: self.book.number(c) for v, c in cells.items()}
            if not all(np.isfinite(list(p.values()))):
                made.cells += list(cells.values())
                made.text = f"{metric}: no cluster-robust p of {term} in every view"
                made.rule = "no_cluster_error"
                yield made
                continue
            said = ", ".join(f"{made.say(c, '.2g')} in the {v} view" for v, c in cells.items())
            verdicts = {value < self.limits.alpha for value in p.values()}
            if len(verdicts) > 1:
                made.text = f"{metric}: the views disagree on {term} (p {said})"
                made.text += ", two points of one curve" if holds else ""
                made.grade, made.rule = ("artefact" if holds else "fragile"), "origin_of_the_view"
            elif verdicts == {True}:
                made.grade, made.rule = self._grade(metric, term)
                made.text = f"{metric}: {term} is significant in every view (p {said}), "
                cell = self._p(metric, term)
                made.text += made.clause("at the midpoint of the range p", cell, ".2g")
            else:
                made.text = f"{metric}: {term} is significant in no view (p {said})"
                made.rule = "not_significant"
            yield made

    def _across_metrics(self, fitted: Sequence[str]) -> Iterator[Statement]:
        """Whether a term points the same way, for better or worse, in all metrics."""
        if len(fitted) < 2:
            return
        terms = dict.fromkeys(term for metric in fitted for term in self._terms(metric))
        for term in terms:
            made = Statement(self.book, "metrics", "", term)
            having, signs, said = [], [], []
            for metric in fitted:
                cell = self._cell(metric, term, "estimate")
                value = self.book.number(cell)
                if np.isfinite(value):
                    having.append(metric)
                    signs.append(np.sign(value) * (-1 if metric in LOWER_IS_BETTER else 1))
                    said.append(f"{metric} {made.say(cell, '+.3g')}")
            if len(having) < 2:
                continue
            way = "the same way" if len(set(signs)) == 1 else "different ways"
            made.text = f"{term} points {way} for better or worse: {', '.join(said)}"
            grades = {metric: self._grade(metric, term)[0] for metric in having}
            made.grade = weakest(list(grades.values()))
            made.rule = "weakest: " + ", ".join(f"{m} {g}" for m, g in grades.items())
            made.cells += [self._p(metric, term) for metric in having]
            yield made

    def _cross_effects(self, fitted: Sequence[str]) -> Iterator[Statement]:
        """What raising a factor from the median setting does to two metrics at once."""
        for one, two in combinations(fitted, 2):
            shared = [f for f in self._fit(one)["factors"] if f in self._fit(two)["factors"]]
            for factor in shared:
                made = Statement(self.book, "cross effect", f"{one}+{two}", factor)
                slopes = [self._slope(metric, factor) for metric in (one, two)]
                sizes = [self.book.number(cell) for cell, _ in slopes]
                if not np.isfinite(sizes).all():
                    continue
                better = [
                    size * (-1 if metric in LOWER_IS_BETTER else 1) > 0
                    for size, metric in zip(sizes, (one, two), strict=True)
                ]
                outcome = {
                    (True, True): "better for both",
                    (False, False): "worse for both",
                    (True, False): f"better for {one}, worse for {two}",
                    (False, True): f"worse for {one}, better for {two}",
                }[better[0], better[1]]
                said = " and ".join(
                    f"{metric} by {made.say(cell, '+.3g')}"
                    for metric, (cell, _) in zip((one, two), slopes, strict=True)
                )
                made.text = f"raising {factor} from the median setting moves {said} per half-range"
                made.text += f": {outcome}"
                made.grade, made.rule = self._grade_cross((one, two), factor, slopes, made)
                yield made

    def _slope(self, metric: str, factor: str) -> tuple[str, float]:
        """Cell of a factor's slope at the median, and the slope over its standard error."""
        found = self._fit(metric)["surface"]["slopes_at_median"]
        at = found["factors"].index(factor)
        key = "surface.slopes_at_median"
        per_unit, se = found["per_measured_unit"][at], found["se_per_measured_unit"][at]
        ratio = per_unit / se if per_unit is not None and se else float("nan")
        return self._json(metric, f"{key}.per_coded_unit.{at}"), float(ratio)

    def _grade_cross(
        self,
        metrics: Sequence[str],
        factor: str,
        slopes: Sequence[tuple[str, float]],
        made: Statement,
    ) -> tuple[Grade, str]:
        joint = {metric: self._joint(metric, factor) for metric in metrics}
        made.cells += joint.values()
        lacking = [m for m, c in joint.items() if not self.book.number(c) < self.limits.alpha]
        if lacking:
            return "no evidence", f"no_joint_significance: {', '.join(lacking)}"
        failed = [
            f"slope of {metric}"
            for metric, (_, ratio) in zip(metrics, slopes, strict=True)
            if not abs(ratio) >= self.limits.slope_t
        ]
        for metric in metrics:
            owner = self._json(metric, "held_out.owner.r2")
            made.cells.append(owner)
            if not self.book.number(owner) > self.limits.owner_r2:
                failed.append(f"owners_left_out of {metric}")
        return (
            ("fragile", f"fails: {', '.join(failed)}") if failed else ("supported", "all_criteria")
        )


def _finite(value: float | None, otherwise: float = -np.inf) -> float:
    return float(value) if value is not None and np.isfinite(value) else otherwise


_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?%?")


def unresolved_numbers(strategy: pd.DataFrame, root: str | Path) -> list[str]:
    """Numbers in the prose that are no cited cell, as ``statement id: number``.

    A number stands for a cell when the cell's value rounds to it. Names of terms and metrics are
    not read as numbers.

    Args:
        strategy: table of `STRATEGY_COLUMNS`.
        root: the folder that cells are cited from.

    Raises:
        UserError: a cited cell is not there.
    """
    book = Book(Path(root))
    names: set[str] = set()
    for column in ("term", "metric"):
        for value in strategy[column].dropna():
            names |= {value, *value.split("+"), *re.split(r":", value)}
    spelled = sorted((n for n in names if n), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, spelled))) if spelled else None
    lost = []
    for _, row in strategy.iterrows():
        cells = [c for c in str(row["cells"]).split(SEPARATOR) if c]
        values = [v for v in map(book.value, cells) if isinstance(v, (int, float, np.number))]
        text = pattern.sub("", row["text"]) if pattern else row["text"]
        lost += [
            f"{row['id']}: {token}"
            for token in _NUMBER.findall(text)
            if not any(_rounds_to(float(value), token) for value in values)
        ]
    return lost


def _rounds_to(value: float, token: str) -> bool:
    share = token.endswith("%")
    mantissa, _, exponent = token.rstrip("%").partition("e")
    digits = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - digits)
    scaled = value * 100 if share else value
    return abs(scaled - float(token.rstrip("%"))) <= 0.5 * unit * (1 + 1e-9)
