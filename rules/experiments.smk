"""Experiments: designed fine-tuning, one checkpoint a configuration.

Inputs: `experiments`, `tasks` and `training` of the configuration; data files and models named there.
Outputs: results/experiments/{experiment}/{design.csv, diagnostics.csv, design.json} before anything
is trained; results/runs/{run_id}/{spec.json, metrics.json, timing.json, history.csv, model/};
results/experiments/{experiment}/{features.parquet, runs.csv, sample_flow.csv, history.csv}.
Reruns: a run is named by what it is made of, so a new point or seed trains that run alone, and a
reordered list nothing. Finished runs are kept in work/runs/; states of interrupted ones too.
"""


# Checkpoints, so that runs which are there already are seen to be up to date in the same call.
checkpoint design_experiment:
    input:
        data=experiment_data,
    output:
        design="results/experiments/{experiment}/design.csv",
        diagnostics="results/experiments/{experiment}/diagnostics.csv",
        summary="results/experiments/{experiment}/design.json",
        runs=directory("results/experiments/{experiment}/runs"),
    log:
        "results/logs/design_experiment/{experiment}.log",
    benchmark:
        "results/benchmarks/design_experiment/{experiment}.tsv"
    priority: 10
    localrule: True
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
    params:
        spec=spec("design_experiment"),
    message:
        "Design {wildcards.experiment}: runs, what they can tell, what they cost"
    script:
        "../scripts/design_experiment.py"


checkpoint finetune_pack:
    input:
        runs="results/experiments/{experiment}/runs",
        data=experiment_data,
    output:
        ledger="results/experiments/{experiment}/packs/{pack}.txt",
    log:
        "results/logs/finetune_pack/{experiment}/{pack}.log",
    benchmark:
        "results/benchmarks/finetune_pack/{experiment}/{pack}.tsv"
    # The longest jobs: nothing else is worth a core as long as one of them waits.
    priority: 10
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=STUDY.config.training.gpus,
    params:
        spec=spec("finetune_pack"),
    message:
        "Fine-tune pack {wildcards.pack} of {wildcards.experiment}"
    script:
        "../scripts/finetune_pack.py"


rule publish_run:
    input:
        unpack(run_sources),
    output:
        run_spec="results/runs/{run_id}/spec.json",
        metrics="results/runs/{run_id}/metrics.json",
        timing="results/runs/{run_id}/timing.json",
        history="results/runs/{run_id}/history.csv",
        model=directory("results/runs/{run_id}/model"),
    log:
        "results/logs/publish_run/{run_id}.log",
    benchmark:
        "results/benchmarks/publish_run/{run_id}.tsv"
    localrule: True
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        spec=spec("publish_run"),
    message:
        "Publish run {wildcards.run_id}"
    script:
        "../scripts/publish_run.py"


rule collect_runs:
    input:
        design="results/experiments/{experiment}/design.csv",
        # Named here too, or the function below would ask for one pack after the other.
        packs=expand(
            "results/experiments/{{experiment}}/packs/{pack}.txt", pack=STUDY.packs
        ),
        metrics=finished_runs,
    output:
        features="results/experiments/{experiment}/features.parquet",
        runs="results/experiments/{experiment}/runs.csv",
        flow="results/experiments/{experiment}/sample_flow.csv",
        history="results/experiments/{experiment}/history.csv",
    log:
        "results/logs/collect_runs/{experiment}.log",
    benchmark:
        "results/benchmarks/collect_runs/{experiment}.tsv"
    localrule: True
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("collect_runs"),
    message:
        "Collect the runs of {wildcards.experiment}"
    script:
        "../scripts/collect_runs.py"
