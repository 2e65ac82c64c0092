"""Publish a finished run's files."""

from pathlib import Path

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.training.stage import publish_run

    folder = Path(snakemake.output.metrics).parent
    publish_run(snakemake.input.run_spec, folder, "work/runs", snakemake.params.spec)
