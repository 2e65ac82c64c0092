"""Audit the published tables."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.audit import audit_tables, read_study

    audit_tables(
        snakemake.input.tables,
        snakemake.output.findings,
        snakemake.output.summary,
        read_study(snakemake.input.claims),
    )
