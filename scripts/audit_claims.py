"""Judge the published claims."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.audit import audit_claims

    audit_claims(
        snakemake.input.claims,
        snakemake.input.tables,
        snakemake.input.refits,
        snakemake.output.claims,
    )
