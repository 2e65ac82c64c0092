"""Report: the one self-contained page that a run ends with.

Inputs: the tables of results/analysis/ and results/audit/, the figures, CITATION.cff.
Outputs: results/report.html.
Reruns: for any change of a table or figure, or of the configuration (the page shows it).
"""


rule write_report:
    input:
        sample_flow="results/analysis/sample_flow.csv",
        coverage=expand(
            "results/analysis/{population}/coverage.csv",
            population=STUDY.populations,
        ),
        chosen=expand(
            "results/analysis/{population}/chosen.csv",
            population=STUDY.populations,
        ),
        fits=expand(
            "results/analysis/{population}/{view}/{metric}/fit.json",
            zip,
            **STUDY.fits,
        ),
        coefficients=expand(
            "results/analysis/{population}/{view}/{metric}/coefficients.csv",
            zip,
            **STUDY.fits,
        ),
        family="results/analysis/family.csv",
        published=expand(
            "results/analysis/{population}/published.csv",
            population=STUDY.populations,
        ),
        population_figures=expand(
            "results/figures/{population}/{figure}.svg",
            population=STUDY.populations,
            figure=["flow", "coverage"],
        ),
        figures=expand(
            expand(
                "results/figures/{population}/{view}/{metric}/{{figure}}.svg",
                zip,
                **STUDY.fits,
            ),
            figure=["correlation", "scatter", "regression", "forest", "contour"],
        ),
        designs=expand(
            "results/experiments/{experiment}/design.csv",
            experiment=STUDY.experiments,
        ),
        design_summaries=expand(
            "results/experiments/{experiment}/design.json",
            experiment=STUDY.experiments,
        ),
        design_diagnostics=expand(
            "results/experiments/{experiment}/diagnostics.csv",
            experiment=STUDY.experiments,
        ),
        runs=expand(
            "results/experiments/{experiment}/runs.csv",
            experiment=STUDY.experiments,
        ),
        timings=published_timings,
        experiment_figures=expand(
            "results/figures/experiments/{experiment}/{figure}.svg",
            experiment=STUDY.experiments,
            figure=["design", "learning"],
        ),
        contrasts=expand(
            "results/contrast/{population}/{experiment}/{metric}/contrast.csv",
            zip,
            **STUDY.contrasts,
        ),
        contrast_summaries=expand(
            "results/contrast/{population}/{experiment}/{metric}/contrast.json",
            zip,
            **STUDY.contrasts,
        ),
        contrast_figures=expand(
            "results/figures/contrast/{population}/{experiment}/{metric}.svg",
            zip,
            **STUDY.contrasts,
        ),
        specification_curves=expand(
            "results/analysis/{population}/specifications/{metric}/summary.csv",
            population=STUDY.populations,
            metric=STUDY.config.regression.metrics,
        ),
        specification_figures=expand(
            "results/figures/{population}/specifications/{metric}.svg",
            population=STUDY.populations,
            metric=STUDY.config.regression.metrics,
        ),
        surfaces=expand(
            expand(
                "results/analysis/{population}/{view}/{metric}/surface/{{table}}.csv",
                zip,
                **STUDY.fits,
            ),
            table=[
                "stationary_point",
                "optimum_region",
                "ridge",
                "steepest",
                "checks",
            ],
        ),
        tradeoffs=expand(
            expand(
                "results/analysis/{population}/{view}/tradeoffs/{{table}}",
                zip,
                **STUDY.views,
            ),
            table=["surface.csv", "observed.csv", "summary.json"],
        ),
        strategies=expand(
            "results/analysis/{population}/strategy.csv",
            population=[*STUDY.populations, *STUDY.experiments],
        ),
        identity="results/analysis/identity.csv",
        findings="results/audit/findings.csv",
        audit="results/audit/summary.json",
        claims="results/audit/claims.csv",
        claims_source="resources/claims.yaml",
        tuning_tables=expand(
            "results/experiments/{tuning}/table.csv", tuning=STUDY.tunings
        ),
        tuning_trials=expand(
            "results/experiments/{tuning}/trials.csv", tuning=STUDY.tunings
        ),
        tuning_summaries=expand(
            "results/experiments/{tuning}/summary.json", tuning=STUDY.tunings
        ),
        tuning_importance=expand(
            "results/experiments/{tuning}/importance.csv", tuning=STUDY.tunings
        ),
        tuning_effects=expand(
            "results/experiments/{tuning}/{search}/effects.csv",
            zip,
            **STUDY.screenings,
        ),
        tuning_kept=expand(
            "results/experiments/{tuning}/{search}/kept.json",
            zip,
            **STUDY.screenings,
        ),
        tuning_figures=[
            *expand(
                "results/figures/experiments/{tuning}/{figure}.svg",
                tuning=STUDY.tunings,
                figure=["budget", "parallel", "training"],
            ),
            *expand(
                "results/figures/experiments/{tuning}/{search}/half_normal.svg",
                zip,
                **STUDY.screenings,
            ),
        ],
        tuning_exports=expand(
            "results/experiments/{tuning}/{search}/export/study.log",
            zip,
            **STUDY.searches,
        ),
        lora_losses=expand(
            "results/experiments/{experiment}/lora/losses.csv",
            experiment=STUDY.lora_experiments,
        ),
        lora_sizes=expand(
            "results/experiments/{experiment}/lora/sizes.csv",
            experiment=STUDY.lora_experiments,
        ),
        lora_ranks=expand(
            "results/experiments/{experiment}/lora/ranks.csv",
            experiment=STUDY.lora_experiments,
        ),
        lora_summaries=expand(
            "results/experiments/{experiment}/lora/summary.json",
            experiment=STUDY.lora_experiments,
        ),
        paper_figures="resources/paper_figures.csv",
        citation="CITATION.cff",
    output:
        page=report(
            "results/report.html",
            caption="../report/report.rst",
            category="Report",
        ),
    log:
        "results/logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.tsv"
    localrule: True
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("write_report"),
    message:
        "Write results/report.html"
    script:
        "../scripts/write_report.py"
