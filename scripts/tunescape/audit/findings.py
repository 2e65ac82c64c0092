"""Findings: one row each, safe to open in a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from tunescape.audit.printed import parse_printed
from tunescape.errors import UserError

Severity = Literal["info", "note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "note", "warning", "error")
COLUMNS = ("id", "table", "term", "check", "severity", "printed", "recomputed", "why")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Finding:
    """What one check says.

    ``info`` states a result, ``note`` a limit of what was printed, ``warning`` something that a
    reader should know before relying on the table, ``error`` numbers that contradict each other.
    """

    table: str
    check: str
    severity: Severity
    printed: str
    recomputed: str
    why: str
    term: str = ""

    @property
    def id(self) -> str:
        """Table, term and check."""
        return "/".join(part for part in (self.table, self.term, self.check) if part)


def defuse(text: str) -> str:
    """Text that a spreadsheet shows and does not run; plain numbers stay as they are."""
    if not text.startswith(_FORMULA):
        return text
    try:
        if not parse_printed(text).missing:
            return text
    except UserError:
        pass
    return "'" + text


def finding_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Rows with the columns of `COLUMNS`; ids made unique by a counter where they repeat."""
    rows = [{"id": finding.id, **asdict(finding)} for finding in findings]
    seen: dict[str, int] = {}
    for row in rows:
        name = row["id"]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            row["id"] = f"{name}#{seen[name]}"
    return safe_table(rows, COLUMNS)


def safe_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A table of text cells, each defused."""
    cells = {name: [defuse(str(row.get(name, ""))) for row in rows] for name in columns}
    return pd.DataFrame(cells, columns=list(columns), dtype="str")


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity present."""
    present = {finding.severity for finding in findings}
    return max(present, key=SEVERITIES.index, default=None)
