"""Surfaces: what the fits look like, how firm they are, and what follows for setting hyperparameters.

Inputs: the regressions of results/analysis/; results/hub/ features and provenance.
Outputs: results/analysis/{population}/specifications/{metric}/{curve.csv, summary.csv} (published
models: the decisions are about mined data); below a regression, surface/*.csv; by view,
tradeoffs/{surface.csv, observed.csv, summary.json}; results/analysis/{population}/strategy.csv;
results/analysis/identity.csv over all populations.
Reruns: for a changed regression, what describes it; for `goals`, the trade-offs.
"""


rule trace_specifications:
    input:
        features="results/hub/features.parquet",
        provenance="results/hub/provenance.parquet",
        chosen="results/analysis/{population}/chosen.csv",
    output:
        curve="results/analysis/{population}/specifications/{metric}/curve.csv",
        summary="results/analysis/{population}/specifications/{metric}/summary.csv",
    log:
        "results/logs/trace_specifications/{population}/{metric}.log",
    benchmark:
        "results/benchmarks/trace_specifications/{population}/{metric}.tsv"
    wildcard_constraints:
        population=STUDY.pattern("populations"),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("trace_specifications"),
    message:
        "Fit {wildcards.metric} in {wildcards.population} in every defensible way"
    script:
        "../scripts/trace_specifications.py"


rule describe_surface:
    input:
        fit="results/analysis/{population}/{view}/{metric}/fit.json",
        diagnostics="results/analysis/{population}/{view}/{metric}/diagnostics.csv",
    output:
        coding="results/analysis/{population}/{view}/{metric}/surface/coding.csv",
        model_anova="results/analysis/{population}/{view}/{metric}/surface/model_anova.csv",
        error_anova="results/analysis/{population}/{view}/{metric}/surface/error_anova.csv",
        factor_anova="results/analysis/{population}/{view}/{metric}/surface/factor_anova.csv",
        estimates="results/analysis/{population}/{view}/{metric}/surface/estimates.csv",
        spectral="results/analysis/{population}/{view}/{metric}/surface/spectral.csv",
        stationary_point="results/analysis/{population}/{view}/{metric}/surface/stationary_point.csv",
        ridge="results/analysis/{population}/{view}/{metric}/surface/ridge.csv",
        fit_statistics="results/analysis/{population}/{view}/{metric}/surface/fit_statistics.csv",
        steepest="results/analysis/{population}/{view}/{metric}/surface/steepest.csv",
        optimum_region="results/analysis/{population}/{view}/{metric}/surface/optimum_region.csv",
        joint_tests="results/analysis/{population}/{view}/{metric}/surface/joint_tests.csv",
        importance="results/analysis/{population}/{view}/{metric}/surface/importance.csv",
        slopes="results/analysis/{population}/{view}/{metric}/surface/slopes.csv",
        checks="results/analysis/{population}/{view}/{metric}/surface/checks.csv",
    log:
        "results/logs/describe_surface/{population}/{view}/{metric}.log",
    benchmark:
        "results/benchmarks/describe_surface/{population}/{view}/{metric}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("describe_surface"),
    message:
        "Describe the surface of {wildcards.metric} ({wildcards.view}) in {wildcards.population}"
    script:
        "../scripts/describe_surface.py"


rule weigh_metrics:
    input:
        fits=expand(
            "results/analysis/{{population}}/{{view}}/{metric}/fit.json",
            metric=STUDY.config.regression.metrics,
        ),
        diagnostics=expand(
            "results/analysis/{{population}}/{{view}}/{metric}/diagnostics.csv",
            metric=STUDY.config.regression.metrics,
        ),
    output:
        surface="results/analysis/{population}/{view}/tradeoffs/surface.csv",
        observed="results/analysis/{population}/{view}/tradeoffs/observed.csv",
        summary="results/analysis/{population}/{view}/tradeoffs/summary.json",
    log:
        "results/logs/weigh_metrics/{population}/{view}.log",
    benchmark:
        "results/benchmarks/weigh_metrics/{population}/{view}.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("weigh_metrics"),
    message:
        "Weigh the metrics of {wildcards.population} ({wildcards.view}) against each other"
    script:
        "../scripts/weigh_metrics.py"


rule map_strategy:
    input:
        unpack(strategy_sources),
        family="results/analysis/family.csv",
    output:
        strategy="results/analysis/{population}/strategy.csv",
    log:
        "results/logs/map_strategy/{population}.log",
    benchmark:
        "results/benchmarks/map_strategy/{population}.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("map_strategy"),
    message:
        "Say what {wildcards.population} tells about setting hyperparameters, and how firmly"
    script:
        "../scripts/map_strategy.py"


rule check_views:
    input:
        coefficients=expand(
            "results/analysis/{population}/{view}/{metric}/coefficients.csv",
            population=STUDY.populations,
            view=STUDY.config.regression.views,
            metric=STUDY.config.regression.metrics,
        ),
        fits=expand(
            "results/analysis/{population}/{view}/{metric}/fit.json",
            population=STUDY.populations,
            view=STUDY.config.regression.views,
            metric=STUDY.config.regression.metrics,
        ),
    output:
        identity="results/analysis/identity.csv",
    log:
        "results/logs/check_views.log",
    benchmark:
        "results/benchmarks/check_views.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("check_views"),
    message:
        "Check that absolute and relative fits are one model"
    script:
        "../scripts/check_views.py"
