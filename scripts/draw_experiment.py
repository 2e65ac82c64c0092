"""Draw the design and the learning curves of an experiment."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.figures.of_experiment import draw_experiment

    draw_experiment(
        snakemake.input.design,
        snakemake.input.diagnostics,
        snakemake.input.summary,
        snakemake.input.history,
        list(snakemake.output),
        snakemake.params.spec,
    )
