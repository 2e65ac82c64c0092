"""Train one pack of a round's trials."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.tuning.training import train_trials

    proposals, ledger = snakemake.input.proposals, snakemake.output.ledger
    train_trials(proposals, ledger, "work/runs", snakemake.params.spec)
