"""Adjust the p-values of all terms of all tables."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.regression import adjust_study

    adjust_study(
        snakemake.input.coefficients,
        snakemake.output.family,
        snakemake.params.spec["experiments"],
    )
