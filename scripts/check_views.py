"""Check that absolute and relative fits are one model."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.regression import check_views

    check_views(snakemake.input.coefficients, snakemake.input.fits, snakemake.output.identity)
