"""Build the features table of all models."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.features import build_features

    build_features(
        snakemake.input.parsed,
        snakemake.input.provenance,
        snakemake.output.features,
        snakemake.output.provenance,
        eval_sizes=snakemake.input.eval_sizes,
    )
