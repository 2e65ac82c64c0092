"""LoRA and data size: losses by epoch, data sizes and ranks, with seeds."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from tunescape.report.data import ReportData, paths
from tunescape.report.numbers import count, fixed, is_number, significant
from tunescape.report.section import Context, Section, slug
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

WORDS = {"train_size": "Training rows", "lora_r": "Rank"}


def build(data: ReportData) -> Context | None:
    """One part an experiment that varies LoRA's rank or the data size."""
    found = {
        kind: {path.parts[-3]: path for path in paths(data.inputs.get(f"lora_{kind}", ()))}
        for kind in ("losses", "sizes", "ranks", "summaries")
    }
    experiments = []
    for name in data.experiments:
        if any(name not in places for places in found.values()):
            continue
        told = read_json(found["summaries"][name])
        levels = [
            {"factor": WORDS[factor], "rows": level_rows(read_table(found[kind][name]), factor)}
            for kind, factor in (("sizes", "train_size"), ("ranks", "lora_r"))
        ]
        experiments.append(
            {
                "name": name,
                "id": slug("lora", name),
                "statements": told["statements"],
                "n_eval": ", ".join(count(n) for n in told["n_eval"]),
                "levels": [level for level in levels if level["rows"]],
                **loss_rows(read_table(found["losses"][name]), told["baseline"]),
            }
        )
    return {"experiments": experiments} if experiments else None


def level_rows(table: pd.DataFrame, factor: str) -> list[dict[str, str]]:
    """Time, loss and F1 at each level of a factor, as text."""
    return [
        {
            "level": count(line[factor]),
            "rows": count(line["n_train"]),
            "runs": count(line["runs"]),
            "seconds": _between(line, "seconds", 1),
            "speed": significant(line["examples_per_second"], 3),
            "loss": _between(line, "loss", 4),
            "f1": _between(line, "f1", 4),
        }
        for line in table.to_dict("records")
    ]


def loss_rows(table: pd.DataFrame, baseline: dict[str, float]) -> dict[str, Any]:
    """Losses by epoch at the baseline, and what the baseline is."""
    for name, value in baseline.items():
        table = table[table[name] == value]
    return {
        "baseline": ", ".join(f"{WORDS[n].lower()} {count(v)}" for n, v in baseline.items()),
        "losses": [
            {
                "epoch": significant(line["epoch"], 3).rstrip("0").rstrip("."),
                "runs": count(line["runs"]),
                "train": _between(line, "train_loss", 4),
                "evaluation": _between(line, "loss", 4),
            }
            for line in table.to_dict("records")
        ],
    }


def _between(line: Mapping[Hashable, Any], name: str, places: int) -> str:
    said = fixed(line[name], places)
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    if is_number(low) and is_number(high):
        said += f" ({fixed(low, places)} to {fixed(high, places)})"
    return said


SECTION = Section("lora", "LoRA and data size", build)
