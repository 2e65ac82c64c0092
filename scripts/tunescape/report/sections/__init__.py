"""The sections of the report, in order. A new part of the study is a module and a line here."""

from tunescape.report.section import Section
from tunescape.report.sections import (
    answer,
    contrast,
    coverage,
    experiments,
    figures,
    method,
    published,
    regressions,
    sample,
    trust,
)

SECTIONS: tuple[Section, ...] = (
    answer.SECTION,
    sample.SECTION,
    coverage.SECTION,
    trust.SECTION,
    regressions.SECTION,
    published.SECTION,
    experiments.SECTION,
    contrast.SECTION,
    figures.SECTION,
    method.SECTION,
)
