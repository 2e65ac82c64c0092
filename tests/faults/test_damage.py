"""Files that an interrupted copy cut off or garbled: found, named, and made again."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty import assert_same_results, assert_told, call_plainly, results
from harness import snakemake
from test_reruns import EXPERIMENT, changed_copy, configure
from tunescape.receipts import find_doubts
from tunescape.tables import read_json
from tunescape.training.run import finished_folder

FIGURES = "results/figures/experiments/mini-surface"
RUNS = "work/runs"


def cut(path: Path) -> None:
    """The copy stopped early."""
    os.truncate(path, path.stat().st_size // 2)


def cut_at_a_line(path: Path) -> None:
    """The copy stopped early, by bad luck where the rest still reads well."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: max(1, len(lines) - 1)]) if len(lines) > 1 else b"")


def zero(path: Path) -> None:
    """The copy has the right size, but the last blocks never came."""
    size = path.stat().st_size
    with path.open("r+b") as handle:
        handle.seek(size // 2)
        handle.write(bytes(size - size // 2))


DAMAGES = (cut, cut_at_a_line, zero)


def keep_time(damage: Callable[[Path], None], path: Path) -> None:
    """Damage a file that looks as old as it was."""
    stat = path.stat()
    damage(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_damage_to_any_output_is_found_whatever_its_time(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    chance, damaged = random.Random(7), []
    for number, (name, path) in enumerate(sorted(results(project).items())):
        if not path.stat().st_size or name == "results/.gitkeep":
            continue
        damage = chance.choice(DAMAGES)
        if number % 2:
            keep_time(damage, path)
        else:
            damage(path)
        if path.read_bytes() != (finished / name).read_bytes():
            damaged.append(name)
    assert len(damaged) > 300
    outcome = snakemake(project, "--dry-run")
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert "Traceback" not in outcome.output
    told = [line for line in outcome.output.splitlines() if line.startswith("tunescape: ")]
    assert len(told) == 11 and told[-1].endswith("more files")
    found = find_doubts(project).damaged
    for name in damaged:
        assert any(name == path or name.startswith(f"{path}/") for path in found), name


def test_damaged_outputs_are_made_again(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    fit = f"results/analysis/{EXPERIMENT}/absolute/loss"
    chosen = {
        "results/report.html": cut,
        f"{fit}/surface/estimates.csv": cut_at_a_line,
        f"{fit}/tradeoffs/summary.json"
        if (project / fit / "tradeoffs").exists()
        else "results/audit/summary.json": zero,
        "results/audit/findings.csv": zero,
        next(
            path.relative_to(project).as_posix()
            for path in sorted((project / FIGURES).rglob("*.svg"))
        ): cut,
    }
    for name, damage in chosen.items():
        keep_time(damage, project / name)
    outcome = call_plainly(project)
    assert outcome.returncode == 0, outcome.output[-3000:]
    for name in chosen:
        assert f"tunescape: {name}: not as it was written; it is made again" in outcome.output
    assert_same_results(project, finished)
    assert snakemake(project, "--dry-run").jobs == ()


def test_damaged_caches_of_training_are_made_again(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    specs = [read_json(path) for path in sorted((project / "results/runs").glob("*/spec.json"))]
    kept = [finished_folder(project / RUNS, spec, "auto") for spec in specs]
    cut(kept[0] / "metrics.json")
    cut_at_a_line(kept[1] / "history.csv")
    keep_time(zero, kept[2] / "predictions.csv")
    for tokens in (project / RUNS / "cache/tokens").glob("*/train.safetensors"):
        keep_time(zero, tokens)
    ledgers = sorted((project / f"results/experiments/{EXPERIMENT}/packs").glob("*.txt"))
    for ledger in ledgers:
        ledger.unlink()
    before = {folder: (folder / "metrics.json").stat().st_ino for folder in kept}
    outcome = call_plainly(project, *(str(path.relative_to(project)) for path in ledgers))
    assert outcome.returncode == 0, outcome.output[-3000:]
    again = [folder for folder in kept if (folder / "metrics.json").stat().st_ino != before[folder]]
    assert again == kept[:3]
    for folder in kept:
        for name in (
            "spec.json",
            "metrics.json",
            "history.csv",
            "predictions.csv",
            "model/README.md",
        ):
            other = finished / folder.relative_to(project) / name
            assert (folder / name).read_bytes() == other.read_bytes()


def test_a_run_that_is_damaged_in_the_store_is_not_published(
    finished: Path, tmp_path: Path
) -> None:
    project = changed_copy(finished, tmp_path / "study")
    run = sorted((project / "results/runs").iterdir())[0]
    store = finished_folder(project / RUNS, read_json(run / "spec.json"), "auto")
    cut(store / "history.csv")
    cut(run / "history.csv")
    assert_told(
        call_plainly(project), str(store.relative_to(project)), "results/experiments/*/packs"
    )
    for ledger in (project / f"results/experiments/{EXPERIMENT}/packs").glob("*.txt"):
        ledger.unlink()
    outcome = call_plainly(project)
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert_same_results(project, finished)


# The clock --------------------------------------------------------------------------------------


def date(project: Path, seconds: float) -> None:
    """Move the times of all files: the clock was that much ahead when they were written."""
    for path in project.rglob("*"):
        if path.is_file() and not path.is_symlink():
            stat = path.stat()
            os.utime(path, (stat.st_atime, stat.st_mtime + seconds))


def test_a_clock_set_back_after_a_run_harms_no_result(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    date(project, 86400.0)
    (project / "results/report.html").unlink()
    (project / "results/audit/findings.csv").unlink()
    outcome = call_plainly(project, "results/report.html", "results/audit/findings.csv")
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert_same_results(project, finished)
    assert snakemake(project, "--dry-run").jobs == ()


@pytest.mark.parametrize("name", ["resources/published_tables.csv", "resources/claims.yaml"])
def test_an_input_changed_while_the_clock_was_back_is_seen(
    finished: Path, tmp_path: Path, name: str
) -> None:
    usual, back = (changed_copy(finished, tmp_path / kind) for kind in ("usual", "back"))
    for project in (usual, back):
        with (project / name).open("a") as handle:
            handle.write("\n")
    os.utime(back / name, (1.0e9, 1.0e9))
    expected = snakemake(usual, "--dry-run")
    assert expected.jobs and snakemake(back, "--dry-run").jobs == expected.jobs


def test_a_setting_changed_while_the_clock_was_back_is_seen(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    configure("report", "title", value="Another title")(project)
    os.utime(project / "config.yaml", (1.0e9, 1.0e9))
    assert snakemake(project, "--dry-run").jobs == ("write_report",)
