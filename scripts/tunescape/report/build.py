"""Make the report: tables in, one self-contained page out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunescape.report.data import Inputs, read_inputs
from tunescape.tables import write_text

# A number and its unit stay on one line.
_UNITS = re.compile(r"(?<=\d) (?=[%±](?!\w))|(?<=±) (?=\d)")
TEMPLATES = Path(__file__).parent / "templates"


def write_report(inputs: Inputs, out_html: str | Path, spec: Mapping[str, Any]) -> None:
    """Write the report.

    Nothing is loaded when the page is opened: style and drawings are within it. Only a tuning study
    brings a script, which repeats a drawing for readers to explore. Every text that comes from a
    table is escaped.

    Args:
        inputs: paths, or lists of paths where several are said.

            - ``sample_flow`` (``populations.account_models``), ``coverage`` (one or several) and
              ``family`` (``regression.adjust_study``);
            - ``fits``, ``coefficients`` (several): what ``regression.regress`` wrote as
              ``.../{population}/{view}/{metric}/fit.json`` and ``coefficients.csv``;
            - optional: ``figures`` (several; files of ``tunescape.figures``, of which the
              SVG are used), ``published`` (several; ``.../{population}/*.csv`` of
              ``regression.regress_published``), ``chosen`` (one or several), ``paper_figures``,
              ``citation`` (CITATION.cff);
            - optional, by experiment: ``designs``, ``design_summaries``, ``design_diagnostics``
              (``.../{experiment}/design.csv``, ``design.json``, ``diagnostics.csv`` of
              ``design.write_design``), ``runs`` (``.../{experiment}/runs.csv`` of
              ``experiments.collect_runs``), ``timings`` (``.../{run_id}/timing.json``);
            - optional, of published models: ``specification_curves``
              (``.../{population}/specifications/{metric}/summary.csv``);
            - optional, of both: ``surfaces``
              (``.../{population}/{view}/{metric}/surface/{table}.csv`` of
              ``response.write_surface``), ``tradeoffs``
              (``.../{population}/{view}/tradeoffs/`` of ``desirability.weigh_metrics``) and
              ``strategies`` (``.../{population}/strategy.csv`` of ``strategy.map_strategy``);
            - optional, of a published study: ``findings`` and ``audit`` (of
              ``audit.audit_tables``), ``claims`` (of ``audit.audit_claims``) and
              ``claims_source`` (the claims as data);
            - optional, by contrast: ``contrasts``, ``contrast_summaries``
              (``.../{population}/{experiment}/{metric}/contrast.csv`` and ``contrast.json``);
            - optional, by tuning study: ``tuning_tables``, ``tuning_trials``,
              ``tuning_summaries``, ``tuning_importance`` (``.../{tuning}/FILE`` of
              ``tuning.results.summarise_study``), ``tuning_effects`` and ``tuning_kept``
              (``.../{tuning}/{search}/FILE`` of ``tuning.screening.rank_factors``),
              ``tuning_figures``, ``tuning_exports``;
            - optional, by LoRA experiment: ``lora_losses``, ``lora_sizes``, ``lora_ranks``,
              ``lora_summaries`` (``.../{experiment}/lora/FILE`` of ``tuning.lora``).
        out_html: the page.
        spec: ``title``; ``populations`` and ``experiments`` (names in order); ``tunings`` (name ->
            ``metric``, ``maximise``, ``factors`` of a tuning study); ``coverage``
            (``min_rows``, ``min_settings``); ``config`` (the whole configuration, shown at the
            end); ``thresholds`` (keys of ``strategy.Thresholds``).

    Raises:
        UserError: for tables that are missing or damaged, or a drawing that would load something.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from tunescape.report.sections import SECTIONS

    data = read_inputs(inputs, spec)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = []
    for section in SECTIONS:
        context = section.build(data)
        if context is not None:
            body = environment.get_template(section.template).render(context)
            sections.append({"id": section.id, "title": section.title, "body": Markup(body)})
    page = environment.get_template("page.html.j2").render(
        title=str(spec.get("title", "Report")),
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        sections=sections,
    )
    write_text(_UNITS.sub("\u00a0", page), out_html)
