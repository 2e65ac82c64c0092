"""Weigh the metrics of one population and view against each other."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.desirability import weigh_metrics

    weigh_metrics(
        snakemake.input.fits,
        snakemake.input.diagnostics,
        snakemake.output.surface,
        snakemake.output.observed,
        snakemake.output.summary,
        snakemake.params.spec,
    )
