"""Read the model cards of one bucket."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.hub import CACHE
    from tunescape.parsing import parse_bucket

    parse_bucket(
        snakemake.input.raw,
        snakemake.input.index,
        snakemake.output.parsed,
        snakemake.output.provenance,
        kept=CACHE / "parsed" / snakemake.wildcards.bucket,
        parser=snakemake.params.spec["code"],
    )
