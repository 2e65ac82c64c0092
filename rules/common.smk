"""Helpers that every stage shares: the checked study, and the one parameter of each rule."""

import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "scripts"))

from tunescape.cluster import mend
from tunescape.errors import UserError
from tunescape.jobs import prefer_library
from tunescape.receipts import find_doubts
from tunescape.study import load_study
from tunescape.turns import is_free, join_turn, take_turn

prefer_library(ROOT / "scripts")

try:
    if workflow.remote_exec:
        join_turn()
    # So that a workflow does not wait for ever for a Slurm that is gone.
    mend(sys.modules.get("snakemake_executor_plugin_slurm"))
    STUDY = load_study(ROOT, files=workflow.overwrite_configfiles, overrides=config)
except UserError as error:
    sys.exit(f"tunescape: {error}" if workflow.remote_exec else str(error))


def make_again(doubts):
    """Let Snakemake make these outputs again, and what follows from them, in this call.

    It has an option for that (`--forcerun`) but nothing that a Snakefile could say.
    """
    prepare = workflow._prepare_dag

    def prepare_dag(*args, **kwargs):
        prepare(*args, **kwargs)
        # What was cut off, too: behind a checkpoint, Snakemake does not look for it.
        cut_off = workflow.persistence._filter_incomplete_keys(doubts.known)
        workflow.dag.forcefiles.update(doubts.outputs, cut_off)

    workflow._prepare_dag = prepare_dag
    print(doubts.tell(), end="", file=sys.stderr)


# Not in a job's own process, nor while another call is at work: its files change.
if workflow.is_main_process and is_free("."):
    make_again(find_doubts("."))


onstart:
    try:
        take_turn(".")
    except UserError as error:
        sys.exit(f"tunescape: {error}")


wildcard_constraints:
    bucket=r"\d+",
    population=STUDY.pattern("populations", "experiments"),
    experiment=STUDY.pattern("experiments"),
    tuning=STUDY.pattern("tunings"),
    search=r"(?:screen|grid|bayes|surface|confirm)[a-z0-9-]*",
    round=r"\d+",
    run_id=r"[0-9a-f]+",
    pack=r"\d+",
    view="absolute|relative",
    metric=r"[a-z0-9_]+",


def spec(rule):
    """A function of wildcards that gives a rule's `spec`: all that its script is told, as one
    plain dict with a digest of its code and packages, so that Snakemake sees every change and no
    other.
    """

    def of(wildcards):
        environment = Path(workflow.get_rule(rule).conda_env).name
        return STUDY.spec(rule, environment, **wildcards)

    return of


def growing(amount):
    """A function of wildcards and attempt: a request that each retry doubles."""

    def of(wildcards, attempt):
        return amount * 2 ** (attempt - 1)

    return of


def parsed_buckets(wildcards):
    checkpoints.split_source.get()
    return expand("results/hub/parsed/{bucket}.parquet", bucket=STUDY.buckets)


def provenance_buckets(wildcards):
    checkpoints.split_source.get()
    return expand(
        "results/hub/parsed/{bucket}.provenance.parquet", bucket=STUDY.buckets
    )


def source_report(wildcards):
    """How the source of models was read; a study without populations reads none."""
    return "results/hub/source.json" if STUDY.populations else []


def planned_runs(experiment):
    """Run ids of an experiment's design."""
    design = checkpoints.design_experiment.get(experiment=experiment).output.design
    return STUDY.run_ids(design)


def experiment_data(wildcards):
    return STUDY.local_files(wildcards.experiment)


def finished_runs(wildcards):
    for pack in STUDY.packs:
        checkpoints.finetune_pack.get(experiment=wildcards.experiment, pack=pack)
    return expand(
        "results/runs/{run_id}/metrics.json",
        run_id=planned_runs(wildcards.experiment),
    )


def published_timings(wildcards):
    return expand(
        "results/runs/{run_id}/timing.json",
        run_id=[run for name in STUDY.experiments for run in planned_runs(name)],
    )


def run_sources(wildcards):
    """A run's specification, and the packs that may have trained it."""
    for experiment in STUDY.experiments:
        if wildcards.run_id in planned_runs(experiment):
            break
    else:
        raise ValueError(f"no experiment has a run {wildcards.run_id}")
    return {
        "run_spec": f"results/experiments/{experiment}/runs/{wildcards.run_id}.json",
        "packs": expand(
            "results/experiments/{experiment}/packs/{pack}.txt",
            experiment=experiment,
            pack=STUDY.packs,
        ),
    }


def published_runs(wildcards):
    """What the runs of an experiment measured, and how long they took."""
    return expand(
        "results/runs/{run_id}/{file}",
        run_id=planned_runs(wildcards.experiment),
        file=["metrics.json", "timing.json"],
    )


def tuning_data(wildcards):
    return STUDY.local_files(wildcards.tuning)


def finished_rounds(tuning, rounds):
    """Proposals and runs of some rounds (search and round as columns)."""
    place = expand(
        "results/experiments/{tuning}/{{search}}/round-{{round}}", tuning=tuning
    )
    trials = expand(place, zip, **rounds)
    return {"proposals": expand("{trials}.json", trials=trials), "trials": trials}


def screening_result(wildcards):
    """What the screening before a search kept, where there is one."""
    screening = STUDY.screening_of(wildcards.tuning, wildcards.search)
    kept = f"results/experiments/{wildcards.tuning}/{screening}/kept.json"
    return {"kept": kept} if screening else {}


def proposal_sources(wildcards):
    """All that a round of a search is proposed from."""
    tuning, search = wildcards.tuning, wildcards.search
    before = STUDY.rounds_before(tuning, search, int(wildcards.round))
    surface = STUDY.surface_of(tuning, search)
    files = {
        "fit": "results/analysis/{population}/{view}/{metric}/fit.json",
        "coefficients": "results/analysis/{population}/{view}/{metric}/coefficients.csv",
        "diagnostics": "results/analysis/{population}/{view}/{metric}/diagnostics.csv",
    }
    mined = {name: path.format(**surface) for name, path in files.items() if surface}
    return {
        "data": tuning_data(wildcards),
        **finished_rounds(tuning, before),
        **screening_result(wildcards),
        **mined,
    }


def round_ledgers(wildcards):
    number = int(wildcards.round)
    return expand(
        "results/experiments/{tuning}/{search}/packs/{round}-{pack}.txt",
        pack=STUDY.round_packs(wildcards.tuning, wildcards.search, number),
        **wildcards,
    )


def search_rounds(wildcards):
    rounds = STUDY.rounds(wildcards.tuning, [wildcards.search])
    return finished_rounds(wildcards.tuning, rounds) | screening_result(wildcards)


def study_rounds(wildcards):
    return finished_rounds(wildcards.tuning, STUDY.rounds(wildcards.tuning))


def sample_of(wildcards):
    """The rows of a population: mined models, or an experiment's runs."""
    if wildcards.population in STUDY.experiments:
        return f"results/experiments/{wildcards.population}/features.parquet"
    return f"results/analysis/{wildcards.population}/sample.parquet"


def strategy_sources(wildcards):
    """A population's regressions, and the specification curves that published models have."""
    population = wildcards.population
    mined = population in STUDY.populations
    fits = [fit for fit in zip(*STUDY.fits.values()) if fit[0] == population]
    views, metrics = ([fit[i] for fit in fits] for i in (1, 2))
    return {
        "coefficients": expand(
            "results/analysis/{population}/{view}/{metric}/coefficients.csv",
            zip,
            population=[population] * len(fits),
            view=views,
            metric=metrics,
        ),
        "fits": expand(
            "results/analysis/{population}/{view}/{metric}/fit.json",
            zip,
            population=[population] * len(fits),
            view=views,
            metric=metrics,
        ),
        "specifications": expand(
            "results/analysis/{population}/specifications/{metric}/summary.csv",
            population=[population] if mined else [],
            metric=STUDY.config.regression.metrics,
        ),
    }
