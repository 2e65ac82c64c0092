"""Read published coefficient tables from CSV, as text."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunescape.audit.printed import Interval, Printed, parse_printed
from tunescape.errors import UserError

NUMBERS = ("coef", "std_err", "t", "p", "ci_low", "ci_high")
REQUIRED = ("term", "coef", "std_err")
TESTS = ("t", "p", "ci_low", "ci_high")
"""At least one of these says something that coefficient and error can be held against."""

OPTIONAL = (*TESTS, "table", "metric", "view")
CONSTANTS = frozenset({"const", "constant", "intercept", "(intercept)", "_cons", "1", "bias"})
_ALIASES = {
    "term": "term variable parameter predictor feature name regressor unnamed:0",
    "coef": "coef coefficient coeff estimate b beta coef. coefs",
    "std_err": "std_err stderr se std.err std.err. std.error standarderror stderror s.e. bse",
    "t": "t tvalue t-value tstat t-stat t-statistic tstatistic statistic z zvalue z-value",
    "p": "p pvalue p-value p.value p>|t| pr(>|t|) p>|z| pr(>|z|) p|t| sig sig. pvalues p≤|t| "
    "p>t p>z",
    "ci_low": "ci_low cilow conf.low lower lowerci ci_lower lower95% low lcl lower95",
    "ci_high": "ci_high cihigh conf.high upper upperci ci_upper upper95% high ucl upper95",
    "table": "table",
    "metric": "metric outcome response dependent",
    "view": "view",
}
_LOOKUP = {
    re.sub(r"[\s_]", "", alias): column
    for column, aliases in _ALIASES.items()
    for alias in aliases.split()
}
MAX_BYTES = 20_000_000


@dataclass(frozen=True)
class Row:
    """One printed row."""

    term: str
    coef: Printed
    std_err: Printed
    t: Printed
    p: Printed
    ci_low: Printed
    ci_high: Printed
    line: int

    @property
    def is_constant(self) -> bool:
        """Whether it is the regression constant."""
        return self.term.strip().lower() in CONSTANTS

    @property
    def se(self) -> Interval:
        """The printed standard error, never negative."""
        return self.std_err.interval & Interval(0.0, float("inf"))

    @property
    def recovered_se(self) -> Interval:
        """The standard error with what coefficient and t add to the printed digits."""
        size, t = self.coef.interval.magnitude(), self.t.interval.magnitude()
        if t.low <= 0 or not size.high < float("inf"):
            return self.se
        sharper = self.se & size.over(t)
        return self.se if sharper.empty else sharper

    @property
    def t_range(self) -> Interval:
        """t as printed with what coefficient and standard error add."""
        sharper = self.t.interval & self.coef.interval.over(self.se)
        return self.t.interval if sharper.empty else sharper

    @property
    def p_printed(self) -> Interval:
        """The printed p within [0, 1]."""
        return self.p.interval & Interval(0.0, 1.0)


@dataclass(frozen=True)
class PublishedTable:
    """One regression as printed; `level` is the confidence level of its intervals."""

    name: str
    metric: str
    view: str
    rows: tuple[Row, ...]
    level: float

    @property
    def constant(self) -> Row | None:
        """The constant's row, if printed."""
        return next((row for row in self.rows if row.is_constant), None)

    @property
    def slopes(self) -> tuple[Row, ...]:
        """All rows but the constant."""
        return tuple(row for row in self.rows if not row.is_constant)

    def row(self, term: str) -> Row | None:
        """The first row of that name."""
        return next((row for row in self.rows if row.term == term), None)


def read_tables(path: str | Path, level: float | None = None) -> list[PublishedTable]:
    """Read one or more published tables from a CSV (or TSV) file.

    Columns: term, coef, std_err and some of t, p, ci_low, ci_high, by these or by their usual names
    (``Std Err``, ``P>|t|``, ``[0.025``, ``0.975]``); optionally table, metric and view, which tell
    the tables of one file apart. A nameless first column holds the terms. A column that is not
    there is read as one of empty cells.

    Args:
        level: confidence level of the intervals; None reads it from headers such as ``[0.025``
            and takes 0.95 where they do not say.

    Raises:
        UserError: no such file, not a table, missing or unknown columns, a cell that is no number.
    """
    source = Path(path)
    lines = _records(source)
    _, header = next(lines, (0, []))
    if not header:
        raise UserError("the file is empty", where=str(source), expected="a header and rows")
    columns, stated = _columns(header, str(source))
    level = level if level is not None else stated
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        place = f"{source}:{line}"
        if len(cells) != len(header):
            raise UserError(
                f"{len(cells)} cells", where=place, expected=f"{len(header)} as in the header"
            )
        cell = dict.fromkeys(TESTS, "")
        cell |= {name: cells[i].strip() for name, i in columns.items()}
        if "ci_low" in columns and columns["ci_low"] == columns["ci_high"]:
            cell["ci_low"], cell["ci_high"] = _split_interval(cell["ci_low"], place)
        numbers = {n: parse_printed(cell[n], f"{place}, column '{n}'") for n in NUMBERS}
        key = (cell.get("table", ""), cell.get("metric", ""), cell.get("view", "").lower())
        if not cell["term"]:
            raise UserError("a row without a term", where=place, expected="a name in each row")
        grouped.setdefault(key, []).append(Row(term=cell["term"], line=line, **numbers))
    if not grouped:
        raise UserError("a header and no rows", where=str(source), expected="one row a term")
    names = [name or " ".join(filter(None, (metric, view))) for name, metric, view in grouped]
    if len(set(names)) < len(names):
        names = [" ".join(filter(None, key)) for key in grouped]
    return [
        PublishedTable(name or source.stem, key[1], key[2], tuple(rows), level)
        for name, (key, rows) in zip(names, grouped.items(), strict=True)
    ]


def _records(source: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        if source.stat().st_size > MAX_BYTES:
            raise UserError("too large for a printed table", where=str(source), expected="< 20 MB")
        text = source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError("no such file", where=str(source)) from None
    except IsADirectoryError:
        raise UserError("a folder", where=str(source), expected="a CSV file") from None
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"not readable as text ({error})", where=str(source)) from None
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(
            f"not readable as CSV ({error})", where=f"{source}:{reader.line_num}"
        ) from None


def _columns(header: list[str], where: str) -> tuple[dict[str, int], float]:
    """Column name -> position, and the level that the interval's headers state."""
    found: dict[str, int] = {}
    tails: dict[str, float] = {}
    unknown: list[str] = []
    for position, title in enumerate(header):
        plain = re.sub(r"[\s_]", "", title.strip().lower())
        name = _LOOKUP.get(plain) or ("term" if position == 0 and not plain else None)
        if name is None and (tail := _tail(plain)) is not None:
            name = "ci_low" if tail < 0.5 else "ci_high"
            tails[name] = tail
        ends = re.fullmatch(r"\[?(\d*\.\d+)[,;](\d*\.\d+)\]?", plain)
        if ends or plain in ("ci", "95%ci", "confidenceinterval"):
            found |= {"ci_low": position, "ci_high": position}
            tails |= {"ci_low": float(ends[1]), "ci_high": float(ends[2])} if ends else {}
            continue
        if name is None:
            unknown.append(title.strip())
        elif name in found:
            raise UserError(f"two columns for '{name}'", where=where, fix="remove one of them")
        else:
            found[name] = position
    missing = [name for name in REQUIRED if name not in found]
    for end, other in (("ci_low", "ci_high"), ("ci_high", "ci_low")):
        if end in found and other not in found:
            missing.append(other)
    said = [f"missing column {', '.join(map(repr, missing))}"] if missing else []
    if not missing and not any(name in found for name in TESTS):
        said.append("neither t, p nor an interval: there is nothing to check")
    if said or unknown:
        for title in unknown:
            near = difflib.get_close_matches(title.lower(), (*REQUIRED, *OPTIONAL), n=1)
            said.append(f"unknown column {title[:60]!r}" + "".join(f" (near '{n}')" for n in near))
        raise UserError(
            "; ".join(said),
            where=where,
            expected=f"{', '.join(REQUIRED)} and optionally {', '.join(OPTIONAL)}",
            fix="rename or remove columns",
        )
    level = 0.95
    if len(tails) == 2 and abs(tails["ci_low"] + tails["ci_high"] - 1) < 1e-9:
        level = round(tails["ci_high"] - tails["ci_low"], 12)
    return found, level


def _split_interval(cell: str, where: str) -> tuple[str, str]:
    """The ends of ``[0.086, 0.277]``."""
    if not cell.strip():
        return "", ""
    ends = re.split(r"\s*[,;]\s+|\s*[,;]\s*|\s+to\s+", cell.strip())
    if len(ends) != 2:
        raise UserError(f"{cell[:60]!r} is no interval", where=where, expected="[0.086, 0.277]")
    return ends[0], ends[1]


def _tail(title: str) -> float | None:
    """0.025 for ``[0.025``, ``2.5%`` and ``2.5 %``."""
    match = re.fullmatch(r"[\[(]?(\d*\.?\d+)(%?)[\])]?", title)
    if match is None:
        return None
    value = float(match[1]) / (100 if match[2] else 1)
    return value if 0 < value < 1 else None
