"""Collect an experiment's runs in the schema of the mined models."""

from pathlib import Path

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.experiments import collect_runs

    collect_runs(
        snakemake.input.design,
        [Path(path).parent for path in snakemake.input.metrics],
        snakemake.output.features,
        snakemake.output.runs,
        snakemake.output.flow,
        snakemake.output.history,
        snakemake.params.spec,
    )
