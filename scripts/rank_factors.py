"""Rank the factors of a screening and choose those that later stages vary."""

from pathlib import Path

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.tuning.screening import rank_factors

    spec, effects = snakemake.params.spec, Path(snakemake.output.effects)
    root = effects.parents[1]
    rank_factors(spec["study"], root, spec["search"], effects, snakemake.output.kept)
