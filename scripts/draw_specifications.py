"""Draw the specification curve of one metric."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.figures.specification import draw_specifications

    draw_specifications(
        snakemake.input.curve,
        snakemake.input.summary,
        list(snakemake.output),
        snakemake.params.spec,
    )
