"""Say what a tuning study found."""

from pathlib import Path

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.tuning.results import summarise_study

    spec, out = snakemake.params.spec, snakemake.output
    summarise_study(
        spec["study"],
        Path(out.trials).parent,
        out.trials,
        out.table,
        out.curves,
        out.importance,
        out.history,
        out.summary,
    )
