"""Export a search for Optuna's dashboard and for DeepCAVE."""

from pathlib import Path

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.tuning.export import export_search

    spec, out = snakemake.params.spec, snakemake.output
    root = Path(out.journal).parents[2]
    files = (out.journal, out.trials, out.configspace)
    export_search(spec["study"], root, spec["search"], *files)
