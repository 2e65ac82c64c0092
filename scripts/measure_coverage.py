"""Count what the models of a population state together, and choose what is analysed."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.populations import measure_coverage

    measure_coverage(
        snakemake.input.sample,
        snakemake.output.coverage,
        snakemake.output.chosen,
        snakemake.params.spec,
    )
