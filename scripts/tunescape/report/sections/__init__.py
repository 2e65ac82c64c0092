"""The sections of the report, in order. A new part of the study is a module and a line here."""

from tunescape.report.section import Section
from tunescape.report.sections import (
    answer,
    contrast,
    coverage,
    experiments,
    figures,
    lora,
    method,
    published,
    regressions,
    sample,
    trust,
    tuning,
)

SECTIONS: tuple[Section, ...] = (
    answer.SECTION,
    sample.SECTION,
    coverage.SECTION,
    trust.SECTION,
    regressions.SECTION,
    published.SECTION,
    experiments.SECTION,
    tuning.SECTION,
    lora.SECTION,
    contrast.SECTION,
    figures.SECTION,
    method.SECTION,
)
