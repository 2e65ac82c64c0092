"""Analysis: populations out of the features, and one regression a population, view and metric.

Inputs: results/hub/features.parquet and provenance.parquet; the published tables in resources/.
Outputs: results/analysis/{population}/{sample.parquet, sample_flow.csv, coverage.csv, chosen.csv,
published.csv}; below it, by view and metric, coefficients.csv, fit.json and diagnostics.csv;
results/analysis/{sample_flow.csv, family.csv} over all populations;
results/contrast/{population}/{experiment}/{metric}/{contrast.csv, contrast.json}.
An experiment is a population of its own, its runs the rows and their configurations the owners.
Reruns: for a population's keys, that population; for `regression` keys, all regressions.
"""


rule select_population:
    input:
        features="results/hub/features.parquet",
        provenance="results/hub/provenance.parquet",
    output:
        sample="results/analysis/{population}/sample.parquet",
        flow="results/analysis/{population}/sample_flow.csv",
    log:
        "results/logs/select_population/{population}.log",
    benchmark:
        "results/benchmarks/select_population/{population}.tsv"
    wildcard_constraints:
        population=STUDY.pattern("populations"),
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("select_population"),
    message:
        "Take population {wildcards.population} out of the features"
    script:
        "../scripts/select_population.py"


rule account_models:
    input:
        source=source_report,
        harvest=STUDY.live("results/hub/harvest_flow.csv"),
        flows=expand(
            "results/analysis/{population}/sample_flow.csv",
            population=STUDY.populations,
        ),
        runs=expand(
            "results/experiments/{experiment}/sample_flow.csv",
            experiment=STUDY.experiments,
        ),
    output:
        flow="results/analysis/sample_flow.csv",
    log:
        "results/logs/account_models.log",
    benchmark:
        "results/benchmarks/account_models.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("account_models"),
    message:
        "Account for every model"
    script:
        "../scripts/account_models.py"


rule measure_coverage:
    input:
        sample=sample_of,
    output:
        coverage="results/analysis/{population}/coverage.csv",
        chosen="results/analysis/{population}/chosen.csv",
    log:
        "results/logs/measure_coverage/{population}.log",
    benchmark:
        "results/benchmarks/measure_coverage/{population}.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("measure_coverage"),
    message:
        "Count what the models of {wildcards.population} state together"
    script:
        "../scripts/measure_coverage.py"


rule regress_metric:
    input:
        sample=sample_of,
        chosen="results/analysis/{population}/chosen.csv",
    output:
        coefficients="results/analysis/{population}/{view}/{metric}/coefficients.csv",
        fit="results/analysis/{population}/{view}/{metric}/fit.json",
        diagnostics="results/analysis/{population}/{view}/{metric}/diagnostics.csv",
    log:
        "results/logs/regress_metric/{population}/{view}/{metric}.log",
    benchmark:
        "results/benchmarks/regress_metric/{population}/{view}/{metric}.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("regress_metric"),
    message:
        "Regress {wildcards.metric} ({wildcards.view}) in {wildcards.population}"
    script:
        "../scripts/regress_metric.py"


rule compare_published:
    input:
        sample="results/analysis/{population}/sample.parquet",
        published="resources/published_tables.csv",
    output:
        table="results/analysis/{population}/published.csv",
        mapping="results/analysis/{population}/published_terms.json",
    log:
        "results/logs/compare_published/{population}.log",
    benchmark:
        "results/benchmarks/compare_published/{population}.tsv"
    wildcard_constraints:
        population=STUDY.pattern("populations"),
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("compare_published"),
    message:
        "Set {wildcards.population} beside the published tables"
    script:
        "../scripts/compare_published.py"


rule adjust_family:
    input:
        coefficients=expand(
            "results/analysis/{population}/{view}/{metric}/coefficients.csv",
            zip,
            **STUDY.fits,
        ),
    output:
        family="results/analysis/family.csv",
    log:
        "results/logs/adjust_family.log",
    benchmark:
        "results/benchmarks/adjust_family.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("adjust_family"),
    message:
        "Adjust the p-values of all terms of all tables"
    script:
        "../scripts/adjust_family.py"


# Of a study of the live Hub; earlier harvests are on record in work/hub/.
rule record_drift:
    input:
        harvest="results/hub/harvest.jsonl.gz",
        coefficients=expand(
            "results/analysis/{population}/{view}/{metric}/coefficients.csv",
            population=STUDY.populations,
            view=STUDY.config.regression.views,
            metric=STUDY.config.regression.metrics,
        ),
    output:
        drift="results/hub/drift.csv",
    log:
        "results/logs/record_drift.log",
    benchmark:
        "results/benchmarks/record_drift.tsv"
    localrule: True
    conda:
        "../envs/hub.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("record_drift"),
    message:
        "Hold the coefficients of all harvests beside each other"
    script:
        "../scripts/record_drift.py"


rule contrast_arms:
    input:
        hub="results/analysis/{population}/sample.parquet",
        experiment="results/experiments/{experiment}/features.parquet",
    output:
        table="results/contrast/{population}/{experiment}/{metric}/contrast.csv",
        summary="results/contrast/{population}/{experiment}/{metric}/contrast.json",
    log:
        "results/logs/contrast_arms/{population}/{experiment}/{metric}.log",
    benchmark:
        "results/benchmarks/contrast_arms/{population}/{experiment}/{metric}.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("contrast_arms"),
    message:
        "Hold {wildcards.population} against {wildcards.experiment} ({wildcards.metric})"
    script:
        "../scripts/contrast_arms.py"
