"""Write the report."""

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.report.build import write_report

    inputs = dict(snakemake.input.items())
    for kind in ("population", "specification", "experiment", "contrast"):
        inputs["figures"] = [*inputs["figures"], *inputs.pop(f"{kind}_figures")]
    write_report(inputs, snakemake.output.page, snakemake.params.spec)
