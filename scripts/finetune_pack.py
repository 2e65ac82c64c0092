"""Fine-tune one pack of an experiment's runs."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.training.stage import train_share

    train_share(snakemake.input.runs, snakemake.output.ledger, "work/runs", snakemake.params.spec)
