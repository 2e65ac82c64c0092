"""Put the finished runs of a round into their places."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.tuning.training import publish_trials

    proposals, trials = snakemake.input.proposals, snakemake.output.trials
    publish_trials(proposals, trials, "work/runs", snakemake.params.spec)
