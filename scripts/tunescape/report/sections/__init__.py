"""The sections of the report, in order. A new part of the study is a module and a line here."""

from tunescape.report.section import Section
from tunescape.report.sections import (
    answer,
    audit,
    contrast,
    coverage,
    experiments,
    figures,
    lora,
    method,
    published,
    regressions,
    sample,
    specifications,
    strategy,
    surface,
    tradeoffs,
    trust,
    tuning,
)

SECTIONS: tuple[Section, ...] = (
    answer.SECTION,
    sample.SECTION,
    coverage.SECTION,
    trust.SECTION,
    regressions.SECTION,
    specifications.SECTION,
    surface.SECTION,
    tradeoffs.SECTION,
    strategy.SECTION,
    experiments.SECTION,
    tuning.SECTION,
    lora.SECTION,
    contrast.SECTION,
    published.SECTION,
    audit.SECTION,
    figures.SECTION,
    method.SECTION,
)
