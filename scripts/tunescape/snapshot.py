"""The facts-only snapshot of published DistilBERT models that ships with the project.

``python -m tunescape.snapshot CARDS.jsonl.gz -o resources/hub_snapshot.jsonl`` makes it from a
``cards`` source. It holds what the cards state as short tokens with their places, and no sentence.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescape.cards import interpret
from tunescape.errors import UserError
from tunescape.identity import canonical_model
from tunescape.parsing import card_facts
from tunescape.sources import raw_line, read_bucket, split_source
from tunescape.tables import write_bytes

FAMILY = "distilbert"
LONGEST_TEXT = 200
"""Longest string of a snapshot, in characters."""

MOST_WORDS = 12
"""Most words of a name or value in a snapshot."""


def write_snapshot(cards_path: str | Path, out_path: str | Path, family: str = FAMILY) -> int:
    """Write the facts of every model of a family, one raw record a line, sorted by id.

    A model belongs when its id, its config or the base model that its card names says so, or when
    its base belongs; the models that members descend from come along.

    Args:
        cards_path: a ``cards`` source (``sources.read_source``).
        out_path: JSON Lines, readable as the source ``snapshot``.
        family: what names of the family contain, in lower case.

    Returns:
        The number of models.

    Raises:
        UserError: when the source cannot be read or no model belongs.
    """
    with tempfile.TemporaryDirectory(prefix="snapshot.") as folder:
        models = Path(folder) / "models.jsonl"
        split_source("cards", cards_path, {"0": models})
        members = _members(models, family)
        if not members:
            raise UserError(f"no model of the family '{family}'", where=str(cards_path))
        lines = [
            f"{raw_line(facts_only(raw))}\n" for raw in read_bucket(models) if raw["id"] in members
        ]
    write_bytes("".join(lines).encode(), out_path)
    return len(lines)


def facts_only(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A raw record with the card's facts in place of its text."""
    facts = card_facts(raw).to_json() if raw["card_text"] else None
    return {**raw, "card_text": None, "facts": facts, "source": "snapshot"}


def sentences(value: Any) -> Iterator[str]:
    """Texts in a snapshot record that are long enough to be a sentence; there should be none.

    Cells of a table's row, which are joined by ``|``, count one by one.
    """
    if isinstance(value, str):
        for text in value.split("|"):
            words = [word for word in text.split() if any(letter.isalpha() for letter in word)]
            if len(text) > LONGEST_TEXT or len(words) > MOST_WORDS:
                yield text
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from sentences(key)
            yield from sentences(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from sentences(item)


def _members(models: Path, family: str) -> set[str]:
    """Ids of the family: named so, descending from it, or its ancestors."""
    base: dict[str, str | None] = {}
    ids: dict[str, str] = {}
    named: set[str] = set()
    for raw in read_bucket(models):
        key = _key(raw["id"])
        ids[key] = raw["id"]
        stated = interpret(card_facts(raw), raw).value("base_model")
        config = raw["config"]
        parent = stated if isinstance(stated, str) else config.get("base_model")
        base[key] = _key(parent) if parent else None
        says = [raw["id"], parent, config.get("model_type"), *config.get("architectures", ())]
        if any(family in text.lower() for text in says if text):
            named.add(key)
    chosen = set(named)
    for key in ids:
        line = [key]
        while (parent := base.get(line[-1])) is not None and parent not in line:
            line.append(parent)
        first = next((place for place, step in enumerate(line) if step in named), None)
        if first is not None:
            chosen.update(line)
    return {ids[key] for key in chosen if key in ids}


def _key(name: str) -> str:
    return (canonical_model(name) or name).lower()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: ``python -m tunescape.snapshot CARDS -o SNAPSHOT``."""
    parser = argparse.ArgumentParser(prog="python -m tunescape.snapshot", description=__doc__)
    parser.add_argument("cards", help="JSON Lines (.gz) of {id, info, readme}, or parquet")
    parser.add_argument("-o", "--output", required=True, help="the snapshot to write (.jsonl)")
    options = parser.parse_args(arguments)
    try:
        count = write_snapshot(options.cards, options.output)
    except UserError as error:
        print(f"tunescape: {error}", file=sys.stderr)
        return 1
    size = Path(options.output).stat().st_size
    print(f"{count} models, {size / 1e6:.2f} MB: {options.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
