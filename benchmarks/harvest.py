"""Rate of a harvest through a Hub on the loopback, server included.

    python benchmarks/harvest.py CARDS.jsonl.gz [--models 5000] [--in-flight 16]

Real cards are served by tests/hub_server from a process of its own, every card behind a redirect,
as on the Hub. The harvest is the library call that the rule makes, first with an empty cache, then
again, then with one model in a hundred at a new commit. On a machine that others use, CPU seconds
say more than seconds.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

BASE = "org/base"
SPEC: dict[str, Any] = {
    "max_models": None,
    "sample_seed": 1,
    "config_files": False,
    "requests_per_second": 100_000,
    "base_models": [BASE],
    "search": [],
}


def served(cards: Path, count: int, changed: int = 0) -> list[dict[str, Any]]:
    """Models for the server: real cards, each under an id of its own."""
    with gzip.open(cards, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["readme"] or "" for line in lines]
    rows = []
    for number in range(count):
        version = 1 if changed and number % changed == 0 else 0
        sha = hashlib.sha1(f"{number}:{version}".encode()).hexdigest()
        text = texts[number % len(texts)].encode("utf-8", "replace").decode() + "\n" * version
        name = f"owner{number % 97}/model-{number}"
        tags = [f"base_model:{BASE}", f"base_model:finetune:{BASE}"]
        rows.append({"id": name, "sha": sha, "card": text, "tags": tags})
    return rows


def harvest(folder: Path, in_flight: int) -> None:
    """The call of the rule, in the process that ``--worker`` starts."""
    from tunescape.live.harvest import fetch_models

    out = [folder / name for name in ("flow.csv", "changes.csv", "evaluations.csv")]
    fetch_models(
        folder / "models.tsv",
        folder / "harvest.jsonl.gz",
        *out,
        {**SPEC, "max_in_flight": in_flight},
        folder=folder / "cache",
    )
    print(sum(os.times()[:2]))


def measure(what: str, rows: list[dict[str, Any]], folder: Path, in_flight: int) -> None:
    """Serve, pin and harvest; print seconds of both processes."""
    models = folder / "models.jsonl"
    with models.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    pins = [f"{row['id']}\t{row['sha']}\n" for row in rows]
    (folder / "models.tsv").write_text("id\trevision\n" + "".join(sorted(pins)))
    server = subprocess.Popen(
        [sys.executable, ROOT / "tests/hub_server/server.py", models],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None and server.stdout is not None
    address = json.loads(server.stdout.readline())["url"]
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(folder / "home")}
    environment.pop("HF_TOKEN", None)
    command = [sys.executable, __file__, str(folder), "--worker", "--in-flight", str(in_flight)]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    server.stdin.close()
    told = json.loads(server.stdout.read())
    server.wait()
    print(
        f"{what:<20} {len(rows):>6} models: {seconds:6.1f} s ({len(rows) / seconds:.0f} models/s), "
        f"{float(done.stdout):.1f} CPU s, server {told['cpu']:.1f} CPU s, "
        f"{told['requests']} requests"
    )


def main() -> None:
    """Cold, unchanged, and with one in a hundred changed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cards", type=Path, help="JSON Lines (.gz) of {id, info, readme}")
    parser.add_argument("--models", type=int, default=5000)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        harvest(options.cards, options.in_flight)
        return
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = served(options.cards, options.models)
        measure("cold", rows, folder, options.in_flight)
        measure("unchanged", rows, folder, options.in_flight)
        changed = served(options.cards, options.models, changed=100)
        measure("1 % changed", changed, folder, options.in_flight)


if __name__ == "__main__":
    main()
