"""Draw the sample flow and the coverage of one population."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.figures.of_population import draw_population

    draw_population(
        snakemake.input.flow,
        snakemake.input.coverage,
        list(snakemake.output),
        snakemake.params.spec,
    )
