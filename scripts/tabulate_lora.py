"""Tabulate losses, data sizes and ranks of a LoRA experiment."""

from pathlib import Path

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.tuning.lora import write_lora_tables

    folders = sorted({Path(path).parent for path in snakemake.input.published})
    write_lora_tables(
        snakemake.input.runs,
        snakemake.input.history,
        folders,
        snakemake.output.losses,
        snakemake.output.sizes,
        snakemake.output.ranks,
        snakemake.output.summary,
        snakemake.params.spec,
    )
