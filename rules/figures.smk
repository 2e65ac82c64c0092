"""Figures: the published figures' counterparts, one set a population, view and metric.

Inputs: results/analysis/.
Outputs: results/figures/{population}/{view}/{metric}/{correlation,scatter,regression,forest,contour};
results/figures/{population}/{flow,coverage} and /specifications/{metric};
results/figures/experiments/{experiment}/{design,learning};
results/figures/contrast/{population}/{experiment}/{metric}; all as SVG and PNG.
Reruns: for `figures` keys, all of it and the report; never a regression.
"""


rule draw_population:
    input:
        flow="results/analysis/{population}/sample_flow.csv",
        coverage="results/analysis/{population}/coverage.csv",
    output:
        flow=report(
            "results/figures/{population}/flow.svg",
            caption="../report/flow.rst",
            category="{population}",
            subcategory="Sample",
            labels={"figure": "flow"},
        ),
        flow_png="results/figures/{population}/flow.png",
        coverage=report(
            "results/figures/{population}/coverage.svg",
            caption="../report/coverage.rst",
            category="{population}",
            subcategory="Sample",
            labels={"figure": "coverage"},
        ),
        coverage_png="results/figures/{population}/coverage.png",
    log:
        "results/logs/draw_population/{population}.log",
    benchmark:
        "results/benchmarks/draw_population/{population}.tsv"
    wildcard_constraints:
        population=STUDY.pattern("populations"),
    localrule: True
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("draw_population"),
    message:
        "Draw how population {wildcards.population} came about"
    script:
        "../scripts/draw_population.py"


rule draw_analysis:
    input:
        sample=sample_of,
        coefficients="results/analysis/{population}/{view}/{metric}/coefficients.csv",
        fit="results/analysis/{population}/{view}/{metric}/fit.json",
        diagnostics="results/analysis/{population}/{view}/{metric}/diagnostics.csv",
    output:
        correlation=report(
            "results/figures/{population}/{view}/{metric}/correlation.svg",
            caption="../report/correlation.rst",
            category="{population}",
            subcategory="Figures",
            labels={"view": "{view}", "metric": "{metric}", "figure": "correlation"},
        ),
        correlation_png="results/figures/{population}/{view}/{metric}/correlation.png",
        scatter=report(
            "results/figures/{population}/{view}/{metric}/scatter.svg",
            caption="../report/scatter.rst",
            category="{population}",
            subcategory="Figures",
            labels={"view": "{view}", "metric": "{metric}", "figure": "scatter"},
        ),
        scatter_png="results/figures/{population}/{view}/{metric}/scatter.png",
        regression=report(
            "results/figures/{population}/{view}/{metric}/regression.svg",
            caption="../report/regression.rst",
            category="{population}",
            subcategory="Figures",
            labels={"view": "{view}", "metric": "{metric}", "figure": "regression"},
        ),
        regression_png="results/figures/{population}/{view}/{metric}/regression.png",
        forest=report(
            "results/figures/{population}/{view}/{metric}/forest.svg",
            caption="../report/forest.rst",
            category="{population}",
            subcategory="Figures",
            labels={"view": "{view}", "metric": "{metric}", "figure": "forest"},
        ),
        forest_png="results/figures/{population}/{view}/{metric}/forest.png",
        contour=report(
            "results/figures/{population}/{view}/{metric}/contour.svg",
            caption="../report/contour.rst",
            category="{population}",
            subcategory="Surface",
            labels={"view": "{view}", "metric": "{metric}", "figure": "contour"},
        ),
        contour_png="results/figures/{population}/{view}/{metric}/contour.png",
    log:
        "results/logs/draw_analysis/{population}/{view}/{metric}.log",
    benchmark:
        "results/benchmarks/draw_analysis/{population}/{view}/{metric}.tsv"
    localrule: True
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("draw_analysis"),
    message:
        "Draw {wildcards.metric} ({wildcards.view}) in {wildcards.population}"
    script:
        "../scripts/draw_analysis.py"


rule draw_experiment:
    input:
        design="results/experiments/{experiment}/design.csv",
        diagnostics="results/experiments/{experiment}/diagnostics.csv",
        summary="results/experiments/{experiment}/design.json",
        history="results/experiments/{experiment}/history.csv",
    output:
        design=report(
            "results/figures/experiments/{experiment}/design.svg",
            caption="../report/design.rst",
            category="{experiment}",
            subcategory="Experiment",
            labels={"figure": "design"},
        ),
        design_png="results/figures/experiments/{experiment}/design.png",
        learning=report(
            "results/figures/experiments/{experiment}/learning.svg",
            caption="../report/learning.rst",
            category="{experiment}",
            subcategory="Experiment",
            labels={"figure": "learning curves"},
        ),
        learning_png="results/figures/experiments/{experiment}/learning.png",
    log:
        "results/logs/draw_experiment/{experiment}.log",
    benchmark:
        "results/benchmarks/draw_experiment/{experiment}.tsv"
    localrule: True
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("draw_experiment"),
    message:
        "Draw the design and the learning curves of {wildcards.experiment}"
    script:
        "../scripts/draw_experiment.py"


rule draw_contrast:
    input:
        table="results/contrast/{population}/{experiment}/{metric}/contrast.csv",
    output:
        forest=report(
            "results/figures/contrast/{population}/{experiment}/{metric}.svg",
            caption="../report/contrast.rst",
            category="{experiment}",
            subcategory="Contrast",
            labels={"metric": "{metric}", "figure": "contrast"},
        ),
        forest_png="results/figures/contrast/{population}/{experiment}/{metric}.png",
    log:
        "results/logs/draw_contrast/{population}/{experiment}/{metric}.log",
    benchmark:
        "results/benchmarks/draw_contrast/{population}/{experiment}/{metric}.tsv"
    localrule: True
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("draw_contrast"),
    message:
        "Draw the contrast of {wildcards.population} and {wildcards.experiment} ({wildcards.metric})"
    script:
        "../scripts/draw_contrast.py"


rule draw_specifications:
    input:
        curve="results/analysis/{population}/specifications/{metric}/curve.csv",
        summary="results/analysis/{population}/specifications/{metric}/summary.csv",
    output:
        curve=report(
            "results/figures/{population}/specifications/{metric}.svg",
            caption="../report/specifications.rst",
            category="{population}",
            subcategory="Surface",
            labels={"metric": "{metric}", "figure": "specification curve"},
        ),
        curve_png="results/figures/{population}/specifications/{metric}.png",
    log:
        "results/logs/draw_specifications/{population}/{metric}.log",
    benchmark:
        "results/benchmarks/draw_specifications/{population}/{metric}.tsv"
    wildcard_constraints:
        population=STUDY.pattern("populations"),
    localrule: True
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("draw_specifications"),
    message:
        "Draw the specification curve of {wildcards.metric} in {wildcards.population}"
    script:
        "../scripts/draw_specifications.py"
