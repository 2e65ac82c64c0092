"""Lay out one bucket as raw JSON files."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.hub import CACHE
    from tunescape.sources import harvest_bucket

    harvest_bucket(
        snakemake.input.models,
        snakemake.output.raw,
        snakemake.output.index,
        kept=CACHE / "raw" / snakemake.wildcards.bucket,
    )
