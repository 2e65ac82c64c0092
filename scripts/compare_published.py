"""Set a population's regressions beside the published tables."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.regression import regress_published

    regress_published(
        snakemake.input.sample,
        snakemake.input.published,
        snakemake.output.table,
        snakemake.output.mapping,
        snakemake.params.spec,
    )
