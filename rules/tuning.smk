"""Tuning: studies in stages, each a search or several, each search a row of rounds.

Inputs: `experiments` with `stages`, `tasks` and `training` of the configuration; data files and
models named there; with `prior: hub` the regression of a population.
Outputs: results/experiments/{tuning}/{search}/round-{round}.json (what is tried) and the folder
round-{round}/trial-{trial}/ (its run); {search}/{effects.csv, kept.json} of a screening;
{search}/export/{study.log, trials.csv, configspace.csv} for other programs; {trials.csv, table.csv,
curves.csv, importance.csv, history.csv, summary.json} of the whole; of LoRA experiments
results/experiments/{experiment}/lora/{losses.csv, sizes.csv, ranks.csv, summary.json}.
Reruns: a larger budget adds rounds and leaves those before it as they are; a later stage's options
leave earlier stages alone. Finished runs are kept in work/runs/, so that no trial is trained twice.
"""


rule propose_trials:
    input:
        unpack(proposal_sources),
    output:
        proposals="results/experiments/{tuning}/{search}/round-{round}.json",
    log:
        "results/logs/propose_trials/{tuning}/{search}/{round}.log",
    benchmark:
        "results/benchmarks/propose_trials/{tuning}/{search}/{round}.tsv"
    priority: 10
    localrule: True
    conda:
        "../envs/tuning.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
    params:
        spec=spec("propose_trials"),
    message:
        "Propose round {wildcards.round} of {wildcards.search} in {wildcards.tuning}"
    script:
        "../scripts/propose_trials.py"


rule train_trials:
    input:
        proposals="results/experiments/{tuning}/{search}/round-{round}.json",
        data=tuning_data,
    output:
        ledger="results/experiments/{tuning}/{search}/packs/{round}-{pack}.txt",
    log:
        "results/logs/train_trials/{tuning}/{search}/{round}-{pack}.log",
    benchmark:
        "results/benchmarks/train_trials/{tuning}/{search}/{round}-{pack}.tsv"
    priority: 10
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=STUDY.config.training.gpus,
    params:
        spec=spec("train_trials"),
    message:
        "Train pack {wildcards.pack} of round {wildcards.round}, {wildcards.search} in {wildcards.tuning}"
    script:
        "../scripts/train_trials.py"


rule publish_trials:
    input:
        proposals="results/experiments/{tuning}/{search}/round-{round}.json",
        packs=round_ledgers,
    output:
        trials=directory("results/experiments/{tuning}/{search}/round-{round}"),
    log:
        "results/logs/publish_trials/{tuning}/{search}/{round}.log",
    benchmark:
        "results/benchmarks/publish_trials/{tuning}/{search}/{round}.tsv"
    priority: 10
    localrule: True
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=growing(30),
    params:
        spec=spec("publish_trials"),
    message:
        "Publish round {wildcards.round} of {wildcards.search} in {wildcards.tuning}"
    script:
        "../scripts/publish_trials.py"


rule rank_factors:
    input:
        unpack(search_rounds),
    output:
        effects="results/experiments/{tuning}/{search}/effects.csv",
        kept="results/experiments/{tuning}/{search}/kept.json",
    log:
        "results/logs/rank_factors/{tuning}/{search}.log",
    benchmark:
        "results/benchmarks/rank_factors/{tuning}/{search}.tsv"
    wildcard_constraints:
        search=r"screen\d*",
    priority: 10
    localrule: True
    conda:
        "../envs/tuning.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("rank_factors"),
    message:
        "Rank the factors of {wildcards.tuning} by {wildcards.search}"
    script:
        "../scripts/rank_factors.py"


rule export_search:
    input:
        unpack(search_rounds),
    output:
        journal="results/experiments/{tuning}/{search}/export/study.log",
        trials="results/experiments/{tuning}/{search}/export/trials.csv",
        configspace="results/experiments/{tuning}/{search}/export/configspace.csv",
    log:
        "results/logs/export_search/{tuning}/{search}.log",
    benchmark:
        "results/benchmarks/export_search/{tuning}/{search}.tsv"
    localrule: True
    conda:
        "../envs/tuning.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("export_search"),
    message:
        "Export {wildcards.search} of {wildcards.tuning} for other programs"
    script:
        "../scripts/export_search.py"


rule summarise_study:
    input:
        unpack(study_rounds),
    output:
        trials="results/experiments/{tuning}/trials.csv",
        table="results/experiments/{tuning}/table.csv",
        curves="results/experiments/{tuning}/curves.csv",
        importance="results/experiments/{tuning}/importance.csv",
        history="results/experiments/{tuning}/history.csv",
        summary="results/experiments/{tuning}/summary.json",
    log:
        "results/logs/summarise_study/{tuning}.log",
    benchmark:
        "results/benchmarks/summarise_study/{tuning}.tsv"
    localrule: True
    conda:
        "../envs/tuning.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("summarise_study"),
    message:
        "Say what {wildcards.tuning} found"
    script:
        "../scripts/summarise_study.py"


rule draw_tuning:
    input:
        trials="results/experiments/{tuning}/trials.csv",
        curves="results/experiments/{tuning}/curves.csv",
        history="results/experiments/{tuning}/history.csv",
        summary="results/experiments/{tuning}/summary.json",
    output:
        budget=report(
            "results/figures/experiments/{tuning}/budget.svg",
            caption="../report/budget.rst",
            category="{tuning}",
            subcategory="Tuning",
            labels={"figure": "budget curves"},
        ),
        budget_png="results/figures/experiments/{tuning}/budget.png",
        parallel=report(
            "results/figures/experiments/{tuning}/parallel.svg",
            caption="../report/parallel.rst",
            category="{tuning}",
            subcategory="Tuning",
            labels={"figure": "parallel coordinates"},
        ),
        parallel_png="results/figures/experiments/{tuning}/parallel.png",
        training=report(
            "results/figures/experiments/{tuning}/training.svg",
            caption="../report/training.rst",
            category="{tuning}",
            subcategory="Tuning",
            labels={"figure": "training curves"},
        ),
        training_png="results/figures/experiments/{tuning}/training.png",
    log:
        "results/logs/draw_tuning/{tuning}.log",
    benchmark:
        "results/benchmarks/draw_tuning/{tuning}.tsv"
    localrule: True
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("draw_tuning"),
    message:
        "Draw the searches of {wildcards.tuning}"
    script:
        "../scripts/draw_tuning.py"


rule draw_screening:
    input:
        effects="results/experiments/{tuning}/{search}/effects.csv",
    output:
        half_normal=report(
            "results/figures/experiments/{tuning}/{search}/half_normal.svg",
            caption="../report/half_normal.rst",
            category="{tuning}",
            subcategory="Tuning",
            labels={"figure": "half-normal plot"},
        ),
        half_normal_png="results/figures/experiments/{tuning}/{search}/half_normal.png",
    log:
        "results/logs/draw_screening/{tuning}/{search}.log",
    benchmark:
        "results/benchmarks/draw_screening/{tuning}/{search}.tsv"
    localrule: True
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("draw_screening"),
    message:
        "Draw the effects of {wildcards.search} in {wildcards.tuning}"
    script:
        "../scripts/draw_screening.py"


rule tabulate_lora:
    input:
        runs="results/experiments/{experiment}/runs.csv",
        history="results/experiments/{experiment}/history.csv",
        published=published_runs,
    output:
        losses="results/experiments/{experiment}/lora/losses.csv",
        sizes="results/experiments/{experiment}/lora/sizes.csv",
        ranks="results/experiments/{experiment}/lora/ranks.csv",
        summary="results/experiments/{experiment}/lora/summary.json",
    log:
        "results/logs/tabulate_lora/{experiment}.log",
    benchmark:
        "results/benchmarks/tabulate_lora/{experiment}.tsv"
    wildcard_constraints:
        experiment=STUDY.pattern("lora_experiments"),
    localrule: True
    conda:
        "../envs/tuning.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        spec=spec("tabulate_lora"),
    message:
        "Tabulate losses, data sizes and ranks of {wildcards.experiment}"
    script:
        "../scripts/tabulate_lora.py"
