"""Card extraction against merely constructing ``huggingface_hub.ModelCard`` on the same cards.

    python benchmarks/cards.py [CARDS.jsonl.gz] [--every N] [--rounds N]

Both run in this process, interleaved in blocks of cards, so that a neighbour's load meets both
alike. Prints CPU microseconds a card (medians over rounds) and the ratio; 1 or more means that full
extraction (read and interpret) is at least as fast.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from huggingface_hub import ModelCard  # noqa: E402
from tunescape.cards import parse_card  # noqa: E402

BLOCK = 50


def construct(text: str) -> None:
    """ModelCard as its users call it; some real cards make it raise."""
    try:
        ModelCard(text, ignore_metadata_errors=True)
    except Exception:
        return


def extract(text: str) -> None:
    parse_card(text, {})


def cpu(run: Callable[[str], None], texts: Sequence[str]) -> float:
    started = time.process_time()
    for text in texts:
        run(text)
    return time.process_time() - started


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    default = ROOT.parent / "shared" / "hub" / "model_cards.jsonl.gz"
    parser.add_argument("cards", nargs="?", type=Path, default=default)
    parser.add_argument("--every", type=int, default=3, help="take every n-th card")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not arguments.cards.exists():
        print(f"{arguments.cards}: not there; give a dump of cards in JSON Lines", file=sys.stderr)
        return 1
    logging.disable(logging.CRITICAL)
    with gzip.open(arguments.cards, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["readme"] or "" for line in lines][:: arguments.every]
    blocks = [texts[i : i + BLOCK] for i in range(0, len(texts), BLOCK)]
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(0.0)
        theirs.append(0.0)
        for number, block in enumerate(blocks):
            # Alternate the order, so that neither always meets a warm cache.
            if number % 2:
                ours[-1] += cpu(extract, block)
                theirs[-1] += cpu(construct, block)
            else:
                theirs[-1] += cpu(construct, block)
                ours[-1] += cpu(extract, block)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    scale = 1e6 / len(texts)
    print(f"cards                    {len(texts)} ({sum(map(len, texts)) / 1e6:.1f} M characters)")
    print(f"read + interpret         {statistics.median(ours) * scale:8.0f} us a card")
    print(f"ModelCard construction   {statistics.median(theirs) * scale:8.0f} us a card")
    print(
        f"ratio (higher is better) {statistics.median(ratios):8.2f}  "
        f"(min {min(ratios):.2f}, max {max(ratios):.2f})"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
