"""Split a source of model cards into buckets."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.hub import CACHE
    from tunescape.sources import split_source

    spec = snakemake.params.spec
    split_source(
        spec["source"],
        spec["path"],
        dict(zip(spec["buckets"], snakemake.output.models, strict=True)),
        snakemake.output.report,
        kept=CACHE,
    )
