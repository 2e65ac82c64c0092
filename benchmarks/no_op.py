"""What `snakemake -n` costs when everything is up to date, beside Snakemake's own trivial jobs.

    python benchmarks/no_op.py                               # of a finished study
    python benchmarks/no_op.py --models 20000 --runs 1000    # of that one, enlarged first

Works on a copy. The enlarged study has real files: the snapshot's cards again and again under new
ids, split, laid out, parsed and made features by the workflow (a bucket a thousand models), and a
factorial design of the default experiment, designed by the workflow. Training it would take hours,
so each run's files are those of a finished run of the default study under the new run's id and
specification. `snakemake --touch` then records all of it as made; only tables that follow from
them keep the default study's content, which a dry run does not read.

The peer is a workflow of one rule without inputs, with as many jobs and as many files, settled in
the same way and called in turn with ours. On a machine that others use, compare CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = "mini-surface"
RATES, BATCHES, EPOCHS = 10, 5, 4
PEER = """
rule all:
    input: expand("out/{{n}}/0.txt", n=range({jobs}))

rule one:
    output: {outputs}
    params: spec=1
    shell: "touch {{output}}"
"""


def snakemake(project: Path, *arguments: str) -> str:
    """Call Snakemake in a folder; what it says."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(os.cpu_count()), *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout + done.stderr


def copy_study(target: Path) -> None:
    """The project with its finished results, settled: an edit since then is not measured here."""
    kept = shutil.ignore_patterns("conda", "log", "shadow", "__pycache__", ".venv", ".git")
    shutil.copytree(ROOT, target, symlinks=True, ignore=kept)
    snakemake(target, "--touch")


def enlarge(project: Path, models: int, runs: int) -> None:
    """Grow the study to so many models and runs."""
    path = project / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["hub"]["buckets"] = max(1, models // 1000)
    experiment = config["experiments"][EXPERIMENT]
    experiment["design"] = {"kind": "factorial"}
    experiment["factors"] = {
        "learning_rate": {"values": [1e-5 * n for n in range(1, RATES + 1)], "scale": "log"},
        "train_batch_size": {"values": [2**n for n in range(1, BATCHES + 1)], "scale": "log"},
        "num_epochs": {"values": list(range(1, EPOCHS + 1))},
    }
    experiment["seeds"] = list(range(-(-runs // (RATES * BATCHES * EPOCHS))))
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    snapshot = project / "resources/hub_snapshot.jsonl"
    records = [json.loads(line) for line in snapshot.read_text(encoding="utf-8").splitlines()]
    lines = []
    for number in range(models):
        record: dict[str, Any] = dict(records[number % len(records)])
        if number >= len(records):
            record["id"] += f"-{number // len(records)}"
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    snapshot.write_text("".join(sorted(lines)), encoding="utf-8")
    snakemake(project, "results/hub/features.parquet")

    finished = sorted((project / "results/runs").iterdir())
    design = project / f"results/experiments/{EXPERIMENT}"
    snakemake(project, str((design / "design.json").relative_to(project)))
    for number, spec in enumerate(sorted((design / "runs").glob("*.json"))):
        folder = project / "results/runs" / spec.stem
        if folder.exists():
            continue
        shutil.copytree(finished[number % len(finished)], folder)
        shutil.copyfile(spec, folder / "spec.json")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        (folder / "metrics.json").write_text(json.dumps(metrics | {"run_id": spec.stem}))
    snakemake(project, "--touch")


def make_peer(folder: Path, jobs: int, files: int) -> None:
    """A workflow of so many trivial jobs with so many files in all, settled."""
    each = [f"{n}.txt" for n in range(max(1, round(files / jobs)))]
    for n in range(jobs):
        (folder / "out" / str(n)).mkdir(parents=True)
        for name in each:
            (folder / "out" / str(n) / name).touch()
    outputs = ", ".join(f'"out/{{n}}/{name}"' for name in each)
    (folder / "Snakefile").write_text(PEER.format(jobs=jobs, outputs=outputs))
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    snakemake(folder, "--touch")


def measure(project: Path) -> dict[str, float]:
    """CPU seconds, seconds and peak memory of one `snakemake -n` that finds nothing to do."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "-n"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    if process.returncode or "Nothing to be done" not in said:
        raise SystemExit(f"not up to date: {said[-3000:]}")
    return {
        "CPU s": used.ru_utime + used.ru_stime,
        "s": seconds,
        "MB": used.ru_maxrss / 1024,
    }


def main() -> None:
    """Measure ours and the peer in turn; print medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, help="enlarge the study to so many")
    parser.add_argument("--runs", type=int, default=1000, help="with --models")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if not (ROOT / "results/report.html").is_file():
        parser.error("`make run` first: this measures a finished study")
    with tempfile.TemporaryDirectory() as name:
        project, peer = Path(name) / "study", Path(name) / "peer"
        copy_study(project)
        if options.models:
            enlarge(project, options.models, options.runs)
        jobs = len(re.findall(r"^\s*\d+\[label", snakemake(project, "--dag", "dot"), re.M))
        files = sum(path.is_file() for path in (project / ".snakemake/metadata").rglob("*"))
        make_peer(peer, jobs, files)
        told: dict[str, list[dict[str, float]]] = {"tunescape": [], "trivial jobs": []}
        for _ in range(options.repeats):
            told["tunescape"].append(measure(project))
            told["trivial jobs"].append(measure(peer))
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {options.repeats}")
    print(f"{jobs} jobs, {files} files")
    for what, rows in told.items():
        medians = {unit: statistics.median(row[unit] for row in rows) for unit in rows[0]}
        print(f"{what:<14}" + "".join(f"{value:9.2f} {unit}" for unit, value in medians.items()))


if __name__ == "__main__":
    main()
