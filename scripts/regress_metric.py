"""Fit the second-order model of one population, view and metric."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.regression import regress

    regress(
        snakemake.input.sample,
        snakemake.input.chosen,
        snakemake.output.coefficients,
        snakemake.output.fit,
        snakemake.output.diagnostics,
        snakemake.params.spec,
    )
