"""Harvest the pinned models from the Hub."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.live.harvest import fetch_models

    fetch_models(
        snakemake.params.spec["models"],
        snakemake.output.harvest,
        snakemake.output.flow,
        snakemake.output.changes,
        snakemake.output.evaluations,
        snakemake.params.spec,
    )
