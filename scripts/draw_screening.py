"""Draw the effects of a screening."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.figures.tuning import draw_tuning

    draw_tuning(dict(snakemake.input.items()), list(snakemake.output), snakemake.params.spec)
