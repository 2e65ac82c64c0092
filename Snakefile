"""What fine-tuning hyperparameters do to a text classifier: from model cards to a report."""

from snakemake.utils import min_version

min_version("9.27")


include: "rules/common.smk"
include: "rules/hub.smk"
include: "rules/experiments.smk"
include: "rules/tuning.smk"
include: "rules/analysis.smk"
include: "rules/surfaces.smk"
include: "rules/audit.smk"
include: "rules/figures.smk"
include: "rules/report.smk"


report: "report/workflow.rst"


localrules:
    all,
    discover,


rule all:
    default_target: True
    input:
        "results/report.html",
        STUDY.live("results/hub/drift.csv"),


# Opt-in: writes the pinned list of models anew (`hub.models`).
rule discover:
    input:
        "results/hub/discovered.json",
