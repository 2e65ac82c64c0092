"""Write the strategy map of one population."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.strategy import map_strategy

    map_strategy(
        snakemake.input.coefficients,
        snakemake.input.fits,
        snakemake.input.get("specifications", []),
        snakemake.input.family,
        snakemake.output.strategy,
        snakemake.params.spec,
    )
