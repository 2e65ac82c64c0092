"""Draw the contrast of published models and an experiment."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.figures.contrast import draw_contrast

    draw_contrast(snakemake.input.table, list(snakemake.output), snakemake.params.spec)
