"""Count the mini review corpus and keep the tables of its README true.

`python describe.py` prints the tables; `python describe.py --write` puts them into README.md
between the two marker lines. Standard library only.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN = "<!-- counts: begin (written by describe.py) -->"
END = "<!-- counts: end -->"
KINDS = (
    "plain",
    "negation",
    "contrast",
    "irony",
    "understatement",
    "mixed",
    "comparative",
)
HARD = frozenset({"negation", "contrast", "irony", "understatement"})
Row = dict[str, str]


def read(split: str) -> list[Row]:
    """Rows of `train` or `validation` in file order."""
    with (HERE / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words(sentence: str) -> list[str]:
    """Lower-case words; an apostrophe inside a word belongs to it."""
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)*", sentence.lower())


def vocabulary(rows: list[Row]) -> set[str]:
    """Distinct words of the rows."""
    return {word for row in rows for word in words(row["sentence"])}


def unseen_shares(train: list[Row], validation: list[Row]) -> tuple[float, float, float]:
    """Shares of validation word types, word tokens and sentences not covered by training words."""
    known = vocabulary(train)
    types = vocabulary(validation)
    tokens = [word for row in validation for word in words(row["sentence"])]
    fresh = [row for row in validation if not known.issuperset(words(row["sentence"]))]
    return (
        len(types - known) / len(types),
        sum(token not in known for token in tokens) / len(tokens),
        len(fresh) / len(validation),
    )


def table(header: list[str], body: list[list[str]]) -> list[str]:
    """A Markdown table, the first column left and the others right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *body)]


def describe() -> str:
    """The counts as Markdown, ending in a newline."""
    splits = {split: read(split) for split in ("train", "validation")}
    train, validation = splits.values()

    def line(name: str, column: str, value: str) -> list[str]:
        counts = [
            sum(row[column] == value and row["label"] == label for row in rows)
            for rows in splits.values()
            for label in ("1", "0")
        ]
        return [name, *map(str, counts), str(sum(counts))]

    header = ["", "train positive", "train negative", "validation positive"]
    header += ["validation negative", "all"]
    domains = Counter(row["domain"] for row in train + validation)
    out = ["By kind (labels as stored):", ""]
    out += table(["kind", *header[1:]], [line(kind, "kind", kind) for kind in KINDS])
    out += ["", "By domain (labels as stored):", ""]
    out += table(
        ["domain", *header[1:]], [line(domain, "domain", domain) for domain in sorted(domains)]
    )
    body = []
    for split, rows in splits.items():
        n_words = [len(row["sentence"].split()) for row in rows]
        flipped = [row for row in rows if row["noise"] == "1"]
        hard = sum(row["kind"] in HARD for row in rows)
        to_negative = sum(row["label"] == "0" for row in flipped)
        body.append(
            [
                split,
                str(len(rows)),
                str(sum(row["label"] == "1" for row in rows)),
                f"{hard} ({hard / len(rows):.1%})",
                f"{len(flipped)} ({len(flipped) / len(rows):.1%})",
                f"{to_negative} / {len(flipped) - to_negative}",
                f"{min(n_words)}-{max(n_words)}, mean {sum(n_words) / len(n_words):.1f}",
                str(len(vocabulary(rows))),
            ]
        )
    out += ["", "By split (hard: negation, contrast, irony, understatement):", ""]
    out += table(
        [
            "split",
            "sentences",
            "positive",
            "hard",
            "flipped labels",
            "to negative / to positive",
            "words a sentence",
            "vocabulary",
        ],
        body,
    )
    types, tokens, sentences = unseen_shares(train, validation)
    only = sorted({row["domain"] for row in validation} - {row["domain"] for row in train})
    out += [
        "",
        f"Unseen in training: {types:.1%} of the validation vocabulary, {tokens:.1%} of the "
        f"validation words; {sentences:.1%} of the validation sentences hold such a word.",
        f"Domains in validation only: {', '.join(only)}.",
    ]
    return "\n".join(out) + "\n"


def embed(readme: str) -> str:
    """The README text with the section between the markers replaced by fresh counts."""
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n\n{describe()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        path = HERE / "README.md"
        path.write_text(embed(path.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(describe())
