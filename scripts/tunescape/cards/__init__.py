"""Model cards to records.

Two steps, so that a facts-only snapshot loses nothing: :func:`read_card` finds the structure of a
card (:class:`CardFacts`, short tokens with line and span, never a sentence), :func:`interpret`
applies the conventions (:class:`CardRecord`). :func:`parse_card` does both.
"""

from tunescape.cards.interpret import interpret, parse_card
from tunescape.cards.read import read_card
from tunescape.cards.records import (
    HYPERPARAMETERS,
    METRICS,
    CardFacts,
    CardRecord,
    DatasetRef,
    EvalMetric,
    EvalResult,
    Extracted,
    HistoryRow,
    ResultsTable,
    Statement,
)

__all__ = [
    "HYPERPARAMETERS",
    "METRICS",
    "CardFacts",
    "CardRecord",
    "DatasetRef",
    "EvalMetric",
    "EvalResult",
    "Extracted",
    "HistoryRow",
    "ResultsTable",
    "Statement",
    "interpret",
    "parse_card",
    "read_card",
]
