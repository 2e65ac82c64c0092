"""Hub: published model cards to one table of features.

Inputs: the snapshot in resources/ or a local dump (`hub.source`, `hub.path`), or the live Hub at
the revisions that a pinned list names (`hub.models`, which `snakemake discover` writes).
Outputs: results/hub/raw/{bucket}/ (one JSON a model), features.parquet, provenance.parquet; of the
live Hub also harvest.jsonl.gz, harvest_flow.csv, changes.csv, evaluations.csv.
Reruns: for a changed card, its bucket's jobs and what follows; for `hub` keys, all of it. What was
downloaded is kept in work/hub/ by model and commit, as are a bucket's raw files and parsed rows: its
jobs redo those of changed cards only.
"""


# The list is no output: a file of the study, which no run but this may change. The report is
# temporary, so that asking for a discovery always makes one.
rule discover_models:
    input:
        before=STUDY.pinned,
    output:
        report=temp("results/hub/discovered.json"),
    log:
        "results/logs/discover_models.log",
    benchmark:
        "results/benchmarks/discover_models.tsv"
    localrule: True
    conda:
        "../envs/hub.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        spec=spec("discover_models"),
    message:
        "List the models made from the study's base models, and pin them"
    script:
        "../scripts/discover_models.py"


# One job for all models: one client, one rate, one plan.
rule fetch_models:
    input:
        models=STUDY.pinned,
    output:
        harvest="results/hub/harvest.jsonl.gz",
        flow="results/hub/harvest_flow.csv",
        changes="results/hub/changes.csv",
        evaluations="results/hub/evaluations.csv",
    log:
        "results/logs/fetch_models.log",
    benchmark:
        "results/benchmarks/fetch_models.tsv"
    localrule: True
    conda:
        "../envs/hub.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(720),
    params:
        spec=spec("fetch_models"),
    message:
        "Harvest the pinned models from the Hub"
    script:
        "../scripts/fetch_models.py"


# A checkpoint, so that buckets whose models did not change are seen to be up to date in the same call.
checkpoint split_source:
    input:
        dump=STUDY.dump,
    output:
        models=expand("results/hub/models/{bucket}.jsonl", bucket=STUDY.buckets),
        report="results/hub/source.json",
    log:
        "results/logs/split_source.log",
    benchmark:
        "results/benchmarks/split_source.tsv"
    localrule: True
    conda:
        "../envs/hub.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
    params:
        spec=spec("split_source"),
    message:
        "Split {input.dump} into buckets"
    script:
        "../scripts/split_source.py"


rule harvest_models:
    input:
        models="results/hub/models/{bucket}.jsonl",
    output:
        raw=directory("results/hub/raw/{bucket}"),
        index="results/hub/raw/{bucket}.index.jsonl",
    log:
        "results/logs/harvest_models/{bucket}.log",
    benchmark:
        "results/benchmarks/harvest_models/{bucket}.tsv"
    localrule: True
    conda:
        "../envs/hub.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("harvest_models"),
    message:
        "Lay out bucket {wildcards.bucket} as one raw JSON file a model"
    script:
        "../scripts/harvest_models.py"


rule parse_cards:
    input:
        raw="results/hub/raw/{bucket}",
        index="results/hub/raw/{bucket}.index.jsonl",
    output:
        parsed="results/hub/parsed/{bucket}.parquet",
        provenance="results/hub/parsed/{bucket}.provenance.parquet",
    log:
        "results/logs/parse_cards/{bucket}.log",
    benchmark:
        "results/benchmarks/parse_cards/{bucket}.tsv"
    conda:
        "../envs/hub.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("parse_cards"),
    message:
        "Read the model cards of bucket {wildcards.bucket}"
    script:
        "../scripts/parse_cards.py"


rule build_features:
    input:
        parsed=parsed_buckets,
        provenance=provenance_buckets,
        eval_sizes="resources/eval_sizes.csv",
    output:
        features="results/hub/features.parquet",
        provenance="results/hub/provenance.parquet",
    log:
        "results/logs/build_features.log",
    benchmark:
        "results/benchmarks/build_features.tsv"
    conda:
        "../envs/hub.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec("build_features"),
    message:
        "Build the features table of all models"
    script:
        "../scripts/build_features.py"
