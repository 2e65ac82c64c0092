"""Describe the surface of one regression in tables."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.response import write_surface

    write_surface(
        snakemake.input.fit,
        snakemake.input.diagnostics,
        list(snakemake.output),
        snakemake.params.spec,
    )
