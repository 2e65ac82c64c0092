"""Cost of the observational arm at scale: a dump of cards to a population's regression.

    python benchmarks/hub_arm.py CARDS.jsonl.gz [--cards 50000] [--cores 2] [--folder DIR]

The dump is made from real cards by giving each copy its own id and numbers. The workflow itself
runs on it, cold and once more after 1 % of the cards changed. A quarter of the cards is measured
first, so that the ratio of the two says whether the cost is linear (4 is) and memory flat (1 is).
CPU seconds and peak memory are of whole processes, by what they run; on a machine that others use,
CPU seconds say more than seconds. A million cards need 15 GB of disk and 1.2 million inodes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CARDS_A_BUCKET = 10_000
CHANGED = 100
"""One card in so many changes before the second run."""

FIGURE = re.compile(r"(?<=\d\.\d)\d(?=\d)")
TARGETS = ["results/analysis/sample_flow.csv", "results/analysis/cards/absolute/accuracy/fit.json"]
STUDY = """
hub: {{source: cards, path: dump.jsonl.gz, buckets: {buckets}}}
baselines: {{none: {{model: distilbert/distilbert-base-uncased, values: {{}}}}}}
populations: {{cards: {{base_model: ["distilbert*"], baseline: none}}}}
regression: {{metrics: [accuracy], views: [absolute]}}
experiments: {{}}
contrasts: []
"""
RECORDER = """
import atexit, json, os, re, sys, time

def note():
    name = os.path.basename(sys.argv[0]).removesuffix(".py").rpartition(".")[2]
    # The peak that resource.getrusage knows is also that of the process that started this one.
    peak = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
    told = [name, time.process_time(), peak / 1024]
    with open(os.environ["TUNESCAPE_PROCESSES"], "a") as handle:
        handle.write(json.dumps(told) + "\\n")

atexit.register(note)
"""
"""Python runs it in every process that has it on its path as sitecustomize."""


def varied(cards: Path, count: int, changed: int | None = None) -> Iterator[str]:
    """``count`` lines of a dump: the real cards again and again, each with its own numbers.

    One in ``changed`` cards has other numbers than without it.
    """
    with gzip.open(cards, "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    for number in range(count):
        row = rows[number % len(rows)]
        turn = number // len(rows)
        anew = changed is not None and number % changed == 0
        if turn or anew:
            seed = number + (count if anew else 0)
            digit = str(random.Random(seed).randrange(10))
            owner, _, name = row["id"].rpartition("/")
            text = FIGURE.sub(digit, row["readme"])
            text += f"\n<!-- {seed} -->\n" if anew else ""
            own = f"{owner or 'none'}-{turn}/{name}" if turn else row["id"]
            row = {**row, "id": own, "readme": text}
        yield json.dumps(row) + "\n"


def make_dump(cards: Path, path: Path, count: int, changed: int | None = None) -> None:
    """Write a gzip dump of ``count`` cards."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as handle:
        handle.writelines(varied(cards, count, changed))


@dataclass
class Use:
    """What the processes of one kind used: their number, CPU seconds, most memory in MiB."""

    jobs: int = 0
    cpu: float = 0.0
    peak: float = 0.0


@dataclass
class Cost:
    """What one call of the workflow cost."""

    seconds: float
    kinds: dict[str, Use] = field(default_factory=dict)

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes."""
        return sum(use.cpu for use in self.kinds.values())

    @property
    def peak(self) -> float:
        """Peak memory of the largest process, MiB."""
        return max(use.peak for use in self.kinds.values())

    def show(self, title: str) -> None:
        """Print one line, and one more a kind of process."""
        print(
            f"{title}: {self.seconds:.1f} s, {self.cpu:.1f} CPU s, "
            f"no process above {self.peak:.0f} MiB",
            flush=True,
        )
        for name, use in sorted(self.kinds.items(), key=lambda item: -item[1].cpu):
            print(f"    {name:<20}{use.jobs:>5} x{use.cpu:>9.1f} CPU s{use.peak:>7.0f} MiB")


def run_workflow(folder: Path, cores: int) -> Cost:
    """Run the workflow in a folder that :func:`lay_out` made."""
    notes = folder / "processes.jsonl"
    notes.unlink(missing_ok=True)
    path = os.pathsep.join(filter(None, [str(folder / "recorder"), os.environ.get("PYTHONPATH")]))
    began = time.perf_counter()
    project = ["--snakefile", ROOT / "Snakefile", "--workflow-profile", ROOT / "profiles/default"]
    study = ["--configfile", "study.yaml", "--cores", str(cores), *TARGETS]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *project, *study],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "TUNESCAPE_PROCESSES": str(notes)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr[-4000:])
    cost = Cost(time.perf_counter() - began)
    for name, cpu, peak in map(json.loads, notes.read_text().splitlines()):
        use = cost.kinds.setdefault(name.replace("__main__", "snakemake"), Use())
        use.jobs += 1
        use.cpu += cpu
        use.peak = max(use.peak, peak)
    return cost


def lay_out(folder: Path, count: int) -> None:
    """A study of cards that Snakemake can run in."""
    buckets = max(1, count // CARDS_A_BUCKET)
    (folder / "study.yaml").write_text(STUDY.format(buckets=buckets))
    (folder / "resources").symlink_to(ROOT / "resources")
    (folder / "recorder").mkdir()
    (folder / "recorder/sitecustomize.py").write_text(RECORDER)


def measure(cards: Path, folder: Path, count: int, cores: int) -> tuple[Cost, Cost]:
    """Cost of a cold run, and of one after some cards changed."""
    lay_out(folder, count)
    costs = []
    for title, changed in (("cold", None), (f"1 in {CHANGED} changed", CHANGED)):
        make_dump(cards, folder / "dump.jsonl.gz", count, changed)
        costs.append(run_workflow(folder, cores))
        costs[-1].show(f"{count:,} cards, {title}")
    return costs[0], costs[1]


def main() -> None:
    """Measure a quarter of the cards, then all of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cards", type=Path, help="JSON Lines (.gz) of {id, info, readme}")
    parser.add_argument("--cards", dest="count", type=int, default=50_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where there is room (default: temporary)")
    options = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {options.cores} cores used")
    found = []
    for count in (options.count // 4, options.count):
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="hub_arm.") as name:
            found.append(measure(options.cards.resolve(), Path(name), count, options.cores))
    (few, _), (many, again) = found
    print(
        f"four times the cards: {many.seconds / few.seconds:.2f} times as long, "
        f"{many.cpu / few.cpu:.2f} times the CPU, {many.peak / few.peak:.2f} times the memory; "
        f"1 in {CHANGED} changed: {again.cpu / many.cpu:.2f} of the CPU"
    )


if __name__ == "__main__":
    main()
