"""Hold a population of published models against an experiment."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.contrast import contrast

    contrast(
        snakemake.input.hub,
        snakemake.input.experiment,
        snakemake.output.table,
        snakemake.output.summary,
        snakemake.params.spec,
    )
