"""Design an experiment: its runs, what they can tell, what they cost."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.design import write_design

    write_design(
        snakemake.params.spec,
        snakemake.output.design,
        snakemake.output.diagnostics,
        snakemake.output.summary,
        snakemake.output.runs,
    )
