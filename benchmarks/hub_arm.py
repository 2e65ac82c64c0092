"""Time and memory of the observational arm, from a dump of cards to features.parquet.

    python benchmarks/hub_arm.py CARDS.jsonl.gz [--cards 50000] [--processes 2]

The dump is made from real cards by giving each copy its own id and numbers, in a temporary folder.
Each stage is the library call that its rule makes. Half the cards are measured first, so that the
ratio of the two says whether the cost is linear (2 is). On a machine that others use, CPU seconds
say more than seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from tunescape.features import build_features  # noqa: E402
from tunescape.hub import bucket_names  # noqa: E402
from tunescape.parsing import parse_bucket  # noqa: E402
from tunescape.sources import harvest_bucket, split_source  # noqa: E402

CARDS_A_BUCKET = 1000
FIGURE = re.compile(r"(?<=\d\.\d)\d(?=\d)")


def varied(cards: Path, count: int) -> Iterator[str]:
    """``count`` lines of a dump: the real cards again and again, each with its own numbers."""
    with gzip.open(cards, "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    for number in range(count):
        row = rows[number % len(rows)]
        turn = number // len(rows)
        if turn:
            digit = str(random.Random(number).randrange(10))
            owner, _, name = row["id"].rpartition("/")
            text = FIGURE.sub(digit, row["readme"])
            row = {**row, "id": f"{owner or 'none'}-{turn}/{name}", "readme": text}
        yield json.dumps(row) + "\n"


def make_dump(cards: Path, path: Path, count: int) -> None:
    """Write a gzip dump of ``count`` cards."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as handle:
        handle.writelines(varied(cards, count))


def harvest_and_parse(folder: str, bucket: str) -> int:
    """The two jobs of one bucket; returns the peak memory of its process in KiB."""
    home = Path(folder)
    harvest_bucket(home / f"models/{bucket}.jsonl", home / f"raw/{bucket}")
    parse_bucket(
        home / f"raw/{bucket}",
        home / f"parsed/{bucket}.parquet",
        home / f"parsed/{bucket}.provenance.parquet",
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(dump: Path, folder: Path, count: int, processes: int) -> tuple[float, float]:
    """Seconds from dump to features.parquet, and the peak memory of all processes in MB."""
    buckets = bucket_names(max(1, count // CARDS_A_BUCKET))
    stamps = [time.perf_counter()]
    used = sum(os.times()[:4])

    def stamp() -> None:
        stamps.append(time.perf_counter())

    split_source("cards", dump, {b: folder / f"models/{b}.jsonl" for b in buckets})
    stamp()
    with ProcessPoolExecutor(processes) as pool:
        peaks = list(pool.map(harvest_and_parse, [str(folder)] * len(buckets), buckets))
    stamp()
    build_features(
        [folder / f"parsed/{b}.parquet" for b in buckets],
        [folder / f"parsed/{b}.provenance.parquet" for b in buckets],
        folder / "features.parquet",
        folder / "provenance.parquet",
        eval_sizes=ROOT / "resources" / "eval_sizes.csv",
    )
    stamp()
    split, parse, features = (b - a for a, b in pairwise(stamps))
    total = stamps[-1] - stamps[0]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Workers and the last stage do not run at the same time.
    memory = max(own, processes * max(peaks)) / 1024
    used = sum(os.times()[:4]) - used
    print(
        f"{count:>7} cards: {total:6.1f} s, {used:.1f} CPU s "
        f"(split {split:.1f}, harvest and parse {parse:.1f}, "
        f"features {features:.1f}), {memory:.0f} MiB"
    )
    return total, memory


def main() -> None:
    """Measure half the cards, then all of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cards", type=Path, help="JSON Lines (.gz) of {id, info, readme}")
    parser.add_argument("--cards", dest="count", type=int, default=50_000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {options.processes} processes")
    times = []
    for count in (options.count // 2, options.count):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_dump(options.cards, folder / "dump.jsonl.gz", count)
            times.append(measure(folder / "dump.jsonl.gz", folder, count, options.processes)[0])
    print(f"twice the cards take {times[1] / times[0]:.2f} times as long")


if __name__ == "__main__":
    main()
