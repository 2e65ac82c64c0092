"""Audit: the published tables against themselves, and the published claims against the tables.

Inputs: resources/published_tables.csv, resources/claims.yaml; our regressions.
Outputs: results/audit/{findings.csv, summary.json, claims.csv}.
Reruns: for an edited resource, what is read from it; for a regression, the claims.
"""


rule audit_tables:
    input:
        tables="resources/published_tables.csv",
        claims="resources/claims.yaml",
    output:
        findings="results/audit/findings.csv",
        summary="results/audit/summary.json",
    log:
        "results/logs/audit_tables.log",
    benchmark:
        "results/benchmarks/audit_tables.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("audit_tables"),
    message:
        "Audit the published tables"
    script:
        "../scripts/audit_tables.py"


rule audit_claims:
    input:
        claims="resources/claims.yaml",
        tables="resources/published_tables.csv",
        refits=expand(
            "results/analysis/{population}/{view}/{metric}/coefficients.csv",
            population=STUDY.populations,
            view=STUDY.config.regression.views,
            metric=STUDY.config.regression.metrics,
        ),
    output:
        claims="results/audit/claims.csv",
    log:
        "results/logs/audit_claims.log",
    benchmark:
        "results/benchmarks/audit_claims.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("audit_claims"),
    message:
        "Judge the published claims"
    script:
        "../scripts/audit_claims.py"
