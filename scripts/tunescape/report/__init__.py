"""The report: one self-contained page, every number of which comes from a table."""

from tunescape.report.build import write_report

__all__ = ["write_report"]
