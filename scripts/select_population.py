"""Take one population out of the features."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.populations import write_sample

    write_sample(
        snakemake.input.features,
        snakemake.input.provenance,
        snakemake.output.sample,
        snakemake.output.flow,
        snakemake.params.spec,
    )
