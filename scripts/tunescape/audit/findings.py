"""Findings: one row each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

Severity = Literal["info", "note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "note", "warning", "error")
COLUMNS = ("id", "table", "term", "check", "severity", "printed", "recomputed", "why")


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


def finding_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Rows with the columns of `COLUMNS`; ids made unique by a counter where they repeat."""
    rows = [{"id": finding.id, **asdict(finding)} for finding in findings]
    seen: dict[str, int] = {}
    for row in rows:
        name = row["id"]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            row["id"] = f"{name}#{seen[name]}"
    return text_table(rows, COLUMNS)


def text_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A table of text cells."""
    cells = {name: [str(row.get(name, "")) for row in rows] for name in columns}
    return pd.DataFrame(cells, columns=list(columns), dtype="str")


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity present."""
    present = {finding.severity for finding in findings}
    return max(present, key=SEVERITIES.index, default=None)
