"""Tables of a LoRA and data-size study: losses per epoch, data sizes, ranks, with seeds.

Reads what `experiments.collect_runs` writes. One factor at a time: a table of one factor takes the
runs in which the others are at their baseline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.errors import UserError
from tunescape.tables import read_json, read_table, write_json, write_table
from tunescape.tuning.curves import BOUNDS
from tunescape.tuning.selection import mean_interval

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("seconds", "examples_per_second", "loss", "f1")
WORDS = {"train_size": "training rows", "lora_r": "rank"}


def write_lora_tables(
    runs: str | Path,
    history: str | Path,
    run_dirs: Sequence[str | Path],
    out_losses: str | Path,
    out_sizes: str | Path,
    out_ranks: str | Path,
    out_summary: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Write the three tables of the study.

    Args:
        runs, history: runs.csv and history.csv of `experiments.collect_runs`.
        run_dirs: folders of the runs, named by their ids, with timing.json and metrics.json.
        out_losses: CSV: factors, epoch, runs, train_loss and loss with limits.
        out_sizes: CSV: train_size, rows trained on, runs, seconds, examples a second, loss and f1
            with limits; the rank at its baseline.
        out_ranks: CSV: the same by lora_r, the data size at its baseline.
        out_summary: JSON: whether all runs were judged on the same rows, and plain statements.
        spec: ``name``, and ``baseline`` (factor -> setting); the setting with most runs where a
            factor's baseline is not stated.

    Raises:
        UserError: no run ended well, or neither factor is in the table.
    """
    table = read_table(runs)
    table = table[table["status"] == "ok"].reset_index(drop=True)
    if table.empty:
        raise UserError("no run ended well", where=str(runs))
    factors = [name for name in ("train_size", "lora_r") if name in table]
    if not factors:
        raise UserError("neither train_size nor lora_r varies", where=str(runs))
    timed = with_timing(table, run_dirs)
    base = baseline_of(timed, factors, dict(spec.get("baseline") or {}))
    write_table(losses_by_epoch(read_table(history), factors), out_losses)
    said = []
    for name, path in (("train_size", out_sizes), ("lora_r", out_ranks)):
        levels = by_level(timed, name, base)
        write_table(levels, path)
        if len(levels) > 1:
            said.append(_statement(name, levels, seed_differences(timed, name, base)))
    digests = sorted(set(timed["eval_digest"].dropna()))
    write_json(
        {
            "experiment": str(spec.get("name", "")),
            "same_evaluation_rows": len(digests) == 1,
            "n_eval": sorted({int(n) for n in timed["n_eval"]}),
            "baseline": base,
            "statements": [_judged_on(len(digests) == 1), *said],
        },
        out_summary,
    )


def with_timing(table: pd.DataFrame, run_dirs: Sequence[str | Path]) -> pd.DataFrame:
    """Runs with ``seconds`` and ``examples_per_second`` of training, and the evaluation's digest.

    A run that was continued from a state of an earlier process has no time of its own.
    """
    folders = {Path(folder).name: Path(folder) for folder in run_dirs}
    import pandas as pd

    seconds, speed, digests = [], [], []
    for run in table["run_id"]:
        folder = folders.get(str(run))
        timing: dict[str, Any] = {}
        if folder is not None and (folder / "timing.json").is_file():
            timing = read_json(folder / "timing.json")
        whole = not timing.get("resumed_from_step")
        seconds.append(timing.get("train_seconds", math.nan) if whole else math.nan)
        speed.append(timing.get("examples_per_second", math.nan))
        metrics = folder / "metrics.json" if folder is not None else None
        known = metrics is not None and metrics.is_file()
        digests.append(read_json(metrics).get("eval_digest") if known and metrics else None)
    known_digests = pd.Series(digests, index=table.index, dtype="str")
    return table.assign(seconds=seconds, examples_per_second=speed, eval_digest=known_digests)


def baseline_of(
    table: pd.DataFrame, factors: Sequence[str], stated: Mapping[str, Any]
) -> dict[str, float]:
    """Setting of each factor while another one varies."""
    found = {}
    for name in factors:
        common = table[name].mode()
        value = stated.get(name, common.iloc[0])
        if not (table[name] == value).any():
            raise UserError(f"no run has {name} {value}", where="baseline")
        found[name] = float(value)
    return found


def losses_by_epoch(history: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Mean training and evaluation loss of each epoch over seeds, with limits."""
    return _grouped(history, [*factors, "epoch"], ("train_loss", "loss"))


def by_level(table: pd.DataFrame, name: str, base: Mapping[str, float]) -> pd.DataFrame:
    """Time, loss and F1 at each level of one factor, the others at their baseline."""
    import pandas as pd

    columns = [name, "n_train", "n_eval", "runs"]
    if name not in table:
        limits = [f"{m}{end}" for m in MEASURES for end in ("", "_low", "_high")]
        return pd.DataFrame(columns=[*columns, *limits])
    part = _at_baseline(table, name, base)
    grouped = _grouped(part, [name, "n_train", "n_eval"], MEASURES)
    return grouped[[*columns, *(c for c in grouped.columns if c not in columns)]]


def seed_differences(table: pd.DataFrame, name: str, base: Mapping[str, float]) -> list[float]:
    """F1 at a factor's highest level minus F1 at its lowest, one number a seed that has both."""
    part = _at_baseline(table, name, base)
    by_seed = part.pivot_table(index="seed", columns=name, values="f1")
    return [float(d) for d in (by_seed.iloc[:, -1] - by_seed.iloc[:, 0]).dropna()]


def _at_baseline(table: pd.DataFrame, name: str, base: Mapping[str, float]) -> pd.DataFrame:
    """Runs in which every factor but one has its baseline setting."""
    for other, value in base.items():
        if other != name:
            table = table[table[other] == value]
    return table


def _grouped(frame: pd.DataFrame, keys: Sequence[str], measures: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for key, part in frame.groupby(list(keys), sort=True, dropna=False):
        row: dict[str, Any] = dict(zip(keys, key, strict=True)) | {"runs": len(part)}
        for name in measures:
            values = pd.to_numeric(part[name]).dropna().to_list()
            nothing = (math.nan, math.nan, math.nan)
            mean, low, high = mean_interval(values) if values else nothing
            # Student's limits of two seeds reach beyond what can be.
            least, most = BOUNDS.get(name, (0.0, math.inf))
            row |= {name: mean, f"{name}_low": max(low, least), f"{name}_high": min(high, most)}
        rows.append(row)
    return pd.DataFrame(rows)


def _judged_on(same_rows: bool) -> str:
    if same_rows:
        return "all runs were judged on the same rows"
    return "runs were judged on different rows: their losses and F1 cannot be compared"


def _statement(name: str, levels: pd.DataFrame, differences: Sequence[float]) -> str:
    """Least against greatest level; seeds are paired, for they share their batches' order."""
    first, last = levels.iloc[0], levels.iloc[-1]
    text = (
        f"{WORDS[name]} {first[name]:g} to {last[name]:g}: F1 {first['f1']:.4f} to "
        f"{last['f1']:.4f}, loss {first['loss']:.4f} to {last['loss']:.4f}"
    )
    if len(differences) < 2:
        return text + " (fewer than two seeds with both: no interval)"
    mean, low, high = mean_interval(differences)
    shown = "" if low > 0 or high < 0 else ": no effect shown"
    return text + (
        f" (difference by seed {mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f} of "
        f"{len(differences)} seeds{shown})"
    )
