"""All checks over all tables of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunescape.audit import arithmetic, multiplicity, surfaces, views
from tunescape.audit.findings import SEVERITIES, Finding, finding_table
from tunescape.audit.table import PublishedTable, read_tables
from tunescape.audit.terms import factor_count, is_numbered, named_factors
from tunescape.errors import UserError
from tunescape.tables import write_json, write_table

_KEYS = ("level", "alpha", "factors", "baseline", "settings", "n")


@dataclass(frozen=True)
class Spec:
    """What is known of a study beside its tables; all of it optional.

    Attributes:
        level: confidence level of the intervals; None takes it from the column names, or 0.95.
        alpha: below which a p-value counts.
        factors: names of the factors of numbered second-order terms, in the stated order.
        baseline: values of the factors and metrics of the model that a relative view refers to.
        settings: named points (factor -> value) at which to predict.
        n: table -> stated number of observations.
    """

    level: float | None = None
    alpha: float = 0.05
    factors: tuple[str, ...] = ()
    baseline: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    n: Mapping[str, int] = field(default_factory=dict)


def read_spec(spec: Mapping[str, Any] | None) -> Spec:
    """Check a plain dict with the keys of `Spec`.

    Raises:
        UserError: an unknown key or a value of another kind.
    """
    given = dict(spec or {})
    unknown = sorted(set(given) - set(_KEYS))
    if unknown:
        raise UserError(f"unknown key {unknown[0]!r}", where="spec", expected=", ".join(_KEYS))
    try:
        level = None if given.get("level") is None else float(given["level"])
        alpha = float(given.get("alpha", 0.05))
        baseline = {str(k): float(v) for k, v in dict(given.get("baseline") or {}).items()}
        settings = {
            str(name): {str(k): float(v) for k, v in dict(point).items()}
            for name, point in dict(given.get("settings") or {}).items()
        }
        n = {str(k): int(v) for k, v in dict(given.get("n") or {}).items()}
        factors = tuple(str(name) for name in given.get("factors") or ())
    except (TypeError, ValueError) as error:
        raise UserError(
            f"not readable ({error})",
            where="spec",
            expected="factors: a list; baseline and n: name -> number; settings: name -> point",
        ) from None
    for name, value in (("level", level), ("alpha", alpha)):
        if value is not None and not 0 < value < 1:
            raise UserError(f"{value:g}", where=f"spec.{name}", expected="between 0 and 1")
    if len(set(factors)) < len(factors) or len(factors) > 6:
        raise UserError("factors repeat or are too many", where="spec.factors", expected="1 to 6")
    return Spec(level, alpha, factors, baseline, settings, n)


@dataclass(frozen=True)
class Audit:
    """The tables with everything worked out from them."""

    spec: Spec
    tables: tuple[PublishedTable, ...]
    degrees: Mapping[str, arithmetic.Degrees]
    reading: views.Reading
    family: multiplicity.Family
    findings: tuple[Finding, ...]

    def table(self, metric: str, view: str) -> PublishedTable | None:
        """The table of a metric and view."""
        return next((t for t in self.tables if (t.metric, t.view) == (metric, view)), None)

    def summary(self) -> dict[str, Any]:
        """Per table: df, n, surface, predictions, survivors, counts of findings."""
        tables = {}
        for table in self.tables:
            own = [f for f in self.findings if table.name in f.table.split("|")]
            tables[table.name] = {
                "metric": table.metric,
                "view": table.view,
                "level": table.level,
                **arithmetic.summarise(table, self.degrees[table.name]),
                **surfaces.summarise(
                    table, self.reading, self.spec.settings, self.spec.baseline
                ),
                "survivors": multiplicity.survivors(table, self.family),
                "terms": {row.term: self.reading.name(table, row.term) for row in table.rows},
                "findings": {s: sum(f.severity == s for f in own) for s in SEVERITIES},
            }  # fmt: skip
        small = [cell for cell in self.family.p if self.family.significant(cell)]
        survivors = {
            method: sum(self.family.survives(cell, method) == "yes" for cell in small)
            for method in multiplicity.METHODS
        }
        return {
            "schema": 1,
            "alpha": self.spec.alpha,
            "factors": list(self.reading.factors),
            "term_order": self.reading.convention if self.reading.numbered else None,
            "order_misfit": {" ".join(k): v for k, v in self.reading.misfit.items()},
            "family": {"tests": len(self.family.p), "printed": len(small), **survivors},
            "findings": {s: sum(f.severity == s for f in self.findings) for s in SEVERITIES},
            "tables": tables,
        }


def examine(tables: Sequence[PublishedTable], spec: Mapping[str, Any] | None = None) -> Audit:
    """Run every check on tables already read.

    Args:
        tables: of one study; their p-values are one family for multiplicity.
        spec: see `Spec`.
    """
    known = read_spec(spec)
    degrees = {table.name: arithmetic.infer_degrees(table) for table in tables}
    factors = known.factors or _default_factors(tables)
    reading = views.identify_factors(tables, factors, known.baseline)
    family = multiplicity.make_family(tables, degrees, known.alpha)
    found: list[Finding] = []
    for table in tables:
        for check in arithmetic.CHECKS:
            found += check(table, degrees[table.name])
        found += arithmetic.check_constant(table, degrees[table.name], known.n)
        found += surfaces.check_shape(table, reading)
        found += surfaces.check_predictions(table, reading, known.settings, known.baseline)
    for pair in views.view_pairs(tables):
        found += views.check_rows(pair, degrees)
        found += views.check_identity(pair, reading, degrees, known.baseline)
    found += views.check_order(reading, tables)
    found += multiplicity.check_multiplicity(tables, family)
    return Audit(known, tuple(tables), degrees, reading, family, tuple(found))


def _default_factors(tables: Sequence[PublishedTable]) -> tuple[str, ...]:
    """x1 ... xk for numbered tables, the names themselves for named ones."""
    for table in tables:
        if is_numbered(table) and (k := factor_count(len(table.slopes))) and 2 <= k <= 6:
            return tuple(f"x{i + 1}" for i in range(k))
    names = named_factors(tables)
    return tuple(names) if len(names) <= 6 else ()


def audit_tables(
    tables_csv: str | Path,
    out_findings_csv: str | Path,
    out_summary_json: str | Path,
    spec: Mapping[str, Any] | None = None,
) -> Audit:
    """Audit a file of published tables and write findings and summary.

    Args:
        tables_csv: see `read_tables`.
        out_findings_csv: columns id, table, term, check, severity, printed, recomputed, why.
        out_summary_json: per table df, n, surface, predictions, survivors, counts of findings.
        spec: see `Spec`.

    Raises:
        UserError: an unreadable file or spec; nothing is written then.
    """
    audit = examine(read_tables(tables_csv, read_spec(spec).level), spec)
    write_table(finding_table(audit.findings), out_findings_csv)
    write_json(audit.summary(), out_summary_json)
    return audit
