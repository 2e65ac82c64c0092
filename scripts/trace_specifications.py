"""Fit a population's metric under every combination of decisions."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.specification import specification_curve

    specification_curve(
        snakemake.input.features,
        snakemake.input.provenance,
        snakemake.input.chosen,
        snakemake.output.curve,
        snakemake.output.summary,
        snakemake.params.spec,
    )
