"""Audit published regression tables and the claims made from them.

A table is read as printed: each number is an interval of half a unit in its last place, and a
contradiction is reported only where no set of unrounded numbers could have been printed so.

`audit_tables` checks tables, `audit_claims` resolves a study's sentences to table cells, and
``python -m tunescape.audit TABLE.csv`` does the first for anyone's table.
"""

from tunescape.audit.claims import audit_claims, read_claims, read_study
from tunescape.audit.findings import Finding
from tunescape.audit.printed import Interval, Printed, parse_printed
from tunescape.audit.study import Audit, Spec, audit_tables, examine
from tunescape.audit.table import PublishedTable, Row, read_tables

__all__ = [
    "Audit",
    "Finding",
    "Interval",
    "Printed",
    "PublishedTable",
    "Row",
    "Spec",
    "audit_claims",
    "audit_tables",
    "examine",
    "parse_printed",
    "read_claims",
    "read_study",
    "read_tables",
]
