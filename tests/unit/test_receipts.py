"""Receipts: which outputs are in doubt, and which are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tunescape.receipts import (
    STAMPS,
    close_receipt,
    contents,
    find_doubts,
    is_whole,
    open_receipt,
    seal,
)

LOG = "results/logs/rule.log"
INPUT, TABLE, FOLDER = "resources/a.csv", "results/b.csv", "results/raw"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one finished job."""
    monkeypatch.chdir(tmp_path)
    for path in (INPUT, TABLE, f"{FOLDER}/x.json", f"{FOLDER}/deep/y.json"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(f"content of {path}\n")
    os.utime(INPUT, (1.0e9, 1.0e9))
    read = contents([INPUT, "resources/not_there.csv"])
    open_receipt(LOG, [TABLE, FOLDER])
    close_receipt(LOG, read, [TABLE, FOLDER])
    return tmp_path


def test_nothing_is_in_doubt_whatever_the_times(project: Path) -> None:
    for path in (INPUT, TABLE, f"{FOLDER}/x.json"):
        os.utime(path, (2.0e9, 2.0e9))
    (project / FOLDER / ".snakemake_timestamp").touch()
    found = find_doubts(project)
    assert found.outputs == found.damaged == () and found.tell() == ""
    # The clock may have been ahead; a date to come would make Snakemake fail.
    assert Path(TABLE).stat().st_mtime < 2.0e9
    Path(STAMPS).write_text("{cut o")
    assert find_doubts(project).outputs == ()


@pytest.mark.parametrize("path", [TABLE, f"{FOLDER}/x.json", f"{FOLDER}/deep/y.json"])
@pytest.mark.parametrize("content", ["", "CONTENT"])
def test_a_changed_output_is_told_and_made_again(project: Path, path: str, content: str) -> None:
    assert find_doubts(project).outputs == ()
    before = Path(path).stat()
    Path(path).write_text(Path(path).read_text().replace("content", content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = find_doubts(project)
    output = TABLE if path == TABLE else FOLDER
    assert set(found.outputs) == {TABLE, FOLDER} and found.damaged == (output,)
    assert found.tell() == f"tunescape: {output}: not as it was written; it is made again\n"


def test_a_file_missing_in_a_folder_is_damage_a_missing_output_is_made_again(project: Path) -> None:
    (project / FOLDER / "x.json").unlink()
    assert find_doubts(project).damaged == (FOLDER,)
    (project / TABLE).unlink()
    (project / FOLDER / "x.json").write_text(f"content of {FOLDER}/x.json\n")
    found = find_doubts(project)
    assert set(found.outputs) == {TABLE, FOLDER} and found.damaged == ()


def test_a_folder_with_an_index_goes_by_sizes_and_times(project: Path) -> None:
    """Its reader compares each file with the index; reading a million here would cost minutes."""
    inner = Path(FOLDER, "x.json")
    Path(f"{FOLDER}.index.jsonl").write_text("{}\n")
    close_receipt(LOG, {}, [TABLE, FOLDER])
    before = inner.stat()
    inner.write_text(inner.read_text().upper())
    os.utime(inner, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert find_doubts(project).outputs == ()
    inner.write_text("cut")
    assert find_doubts(project).damaged == (FOLDER,)


def test_an_input_changed_is_seen_where_its_time_does_not_tell(project: Path) -> None:
    Path(INPUT).write_text("changed")
    assert find_doubts(project).outputs == ()  # Newer than the outputs: Snakemake sees it.
    os.utime(INPUT, (1.0e9, 1.0e9))
    found = find_doubts(project)
    assert set(found.outputs) == {TABLE, FOLDER} and found.damaged == ()
    Path(INPUT).unlink()
    assert find_doubts(project).outputs == ()


def test_a_job_cut_off_is_in_doubt_and_not_told(project: Path) -> None:
    open_receipt(LOG, [TABLE, FOLDER])
    found = find_doubts(project)
    assert set(found.outputs) == {TABLE, FOLDER} and found.tell() == ""


def test_a_receipt_that_is_cut_off_says_nothing(project: Path) -> None:
    path = project / "results/logs/rule.receipt.json"
    for wrong in (path.read_text()[:50], "[]", "{}"):
        path.write_text(wrong)
        assert find_doubts(project).outputs == ()


def test_receipts_of_a_renamed_rule_do_not_count(project: Path) -> None:
    (project / TABLE).write_text("of the rule's new name")
    close_receipt("results/logs/renamed.log", {}, [TABLE])
    for name, time in (("rule", 1.0e9), ("renamed", 1.1e9)):
        os.utime(project / f"results/logs/{name}.receipt.json", (time, time))
    assert find_doubts(project).outputs == ()


def test_many_damaged_files_are_counted(project: Path) -> None:
    paths = [f"results/{number:02d}.csv" for number in range(12)]
    for path in paths:
        Path(path).write_text("a")
    close_receipt("results/logs/many.log", {}, paths)
    for path in paths:
        Path(path).write_text("b")
    told = find_doubts(project).tell().splitlines()
    assert len(told) == 11 and told[-1] == "tunescape: and 2 more files"


def test_a_sealed_folder_is_whole_until_a_file_changes(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    assert not is_whole(folder) and not is_whole(tmp_path / "nowhere")
    (folder / "a").write_text("1")
    seal(folder)
    assert is_whole(folder)
    (folder / "a").write_text("2")
    assert not is_whole(folder)
