"""Write the coefficients of every harvest beside each other."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.live.drift import record_drift

    record_drift(
        snakemake.input.harvest,
        snakemake.input.coefficients,
        snakemake.output.drift,
        snakemake.params.spec,
    )
