"""Write the report."""

from tunescape.jobs import logged

with logged(snakemake.log[0]):
    from tunescape.report.build import write_report

    inputs = dict(snakemake.input.items())
    for kind in ("population_figures", "experiment_figures", "contrast_figures"):
        inputs["figures"] = [*inputs["figures"], *inputs.pop(kind)]
    write_report(inputs, snakemake.output.page, snakemake.params.spec)
