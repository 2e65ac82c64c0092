"""Pin the models made from the study's base models."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.live.discover import discover_models

    discover_models(snakemake.params.spec, snakemake.output.report)
