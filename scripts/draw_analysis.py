"""Draw the figures of one regression."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.figures.of_regression import draw_analysis

    draw_analysis(
        snakemake.input.sample,
        snakemake.input.coefficients,
        snakemake.input.fit,
        snakemake.input.diagnostics,
        list(snakemake.output),
        snakemake.params.spec,
    )
