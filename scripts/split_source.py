"""Split a source of model cards into buckets."""

from tunescape.jobs import logged

with logged(snakemake.log[0]):
    from tunescape.sources import split_source

    spec = snakemake.params.spec
    split_source(
        spec["source"],
        snakemake.input.dump,
        dict(zip(spec["buckets"], snakemake.output.models, strict=True)),
        snakemake.output.report,
    )
