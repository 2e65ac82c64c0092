"""Read the model cards of one bucket."""

from tunescape.jobs import logged

with logged(snakemake.log[0]):
    from tunescape.parsing import parse_bucket

    parse_bucket(snakemake.input.raw, snakemake.output.parsed, snakemake.output.provenance)
