"""How many printed p-values below alpha survive correction over the whole study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunescape.audit.arithmetic import Degrees, p_range
from tunescape.audit.findings import Finding
from tunescape.audit.printed import Interval
from tunescape.audit.table import PublishedTable, Row
from tunescape.inference import adjust_p

Method = Literal["holm", "bh", "by"]
METHODS: tuple[Method, ...] = ("holm", "bh", "by")
TITLES = {"holm": "Holm", "bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}
Cell = tuple[str, str]
Answer = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class Family:
    """Adjusted p-values of all printed rows of a study.

    Attributes:
        p: (table, term) -> p, sharpened by t and df where the row agrees with them.
        adjusted: method -> (table, term) -> range of the adjusted p.
    """

    alpha: float
    p: Mapping[Cell, Interval]
    adjusted: Mapping[Method, Mapping[Cell, Interval]]

    def significant(self, cell: Cell) -> bool:
        """Whether the printed p is below alpha, for every value that it can stand for."""
        return cell in self.p and self.p[cell].high < self.alpha

    def survives(self, cell: Cell, method: Method) -> Answer:
        """Whether the adjusted p is below alpha, as far as rounding lets one say."""
        interval = self.adjusted[method].get(cell)
        if interval is None or interval.low >= self.alpha:
            return "no"
        return "yes" if interval.high < self.alpha else "undecided"


def sharpen_p(row: Row, degrees: Degrees) -> Interval:
    """The printed p, narrowed by t and df where the row agrees with them."""
    printed = row.p_printed
    if np.isnan(degrees.df) or row in degrees.outliers or row.t.missing:
        return printed
    narrowed = printed & p_range(row.t_range, degrees.df)
    return printed if narrowed.empty else narrowed


def make_family(
    tables: Sequence[PublishedTable], degrees: Mapping[str, Degrees], alpha: float = 0.05
) -> Family:
    """Adjust every printed p (constants included) as one family.

    Adjusted values grow with every p, so the lower and the upper ends give exact ranges.
    """
    p = {
        (table.name, row.term): sharpen_p(row, degrees[table.name])
        for table in tables
        for row in table.rows
        if not row.p.missing and not row.p_printed.empty
    }
    lows = np.array([interval.low for interval in p.values()])
    highs = np.array([interval.high for interval in p.values()])
    adjusted = {}
    for method in METHODS:
        ends = zip(adjust_p(lows, method), adjust_p(highs, method), strict=True)
        adjusted[method] = {
            cell: Interval(float(a), float(b)) for cell, (a, b) in zip(p, ends, strict=True)
        }
    return Family(alpha, p, adjusted)


def check_multiplicity(tables: Sequence[PublishedTable], family: Family) -> list[Finding]:
    """One line a table, and one for each p below alpha that does not survive."""
    found = []
    for table in tables:
        cells = [(table.name, row.term) for row in table.rows]
        small = [cell for cell in cells if family.significant(cell)]
        counts = {m: sum(family.survives(c, m) == "yes" for c in small) for m in METHODS}
        said = ", ".join(f"{count} after {TITLES[m]}" for m, count in counts.items())
        why = f"one family: the {len(family.p)} printed p-values of all tables"
        found.append(
            Finding(table.name, "multiplicity", "info", f"{len(small)} p < {family.alpha:g}", said,
                    why)
        )  # fmt: skip
        for name, term in small:
            lost = [m for m in METHODS if family.survives((name, term), m) != "yes"]
            if lost:
                ranges = ", ".join(f"{TITLES[m]} p {family.adjusted[m][name, term]}" for m in lost)
                why = f"not below {family.alpha:g} when all tests of the study count"
                printed = f"p {family.p[name, term]}"
                found.append(Finding(name, "survival", "note", printed, ranges, why, term))
    return found


def survivors(table: PublishedTable, family: Family) -> dict[str, list[str]]:
    """Terms with p below alpha as printed and after each correction."""
    cells = [(table.name, row.term) for row in table.rows]
    result = {"printed": [term for name, term in cells if family.significant((name, term))]}
    for method in METHODS:
        result[method] = [c[1] for c in cells if family.survives(c, method) == "yes"]
    return result
