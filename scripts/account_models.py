"""Account for every model, from the source to each population, and for every run."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.populations import account_models

    flows = [*snakemake.input.flows, *snakemake.input.runs]
    source, harvest = snakemake.input.source or None, snakemake.input.harvest
    account_models(source, flows, snakemake.output.flow, harvest)
