"""What is kept of a bucket from call to call: used when it is right, redone whenever it is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_cards import card
from tunescape import parsing
from tunescape.errors import UserError
from tunescape.hub import safe_name
from tunescape.parsing import parse_bucket
from tunescape.sources import harvest_bucket, split_source
from tunescape.tables import read_sealed, read_table, write_sealed

MODELS = 12


def rows(changed: int | None = None) -> list[dict[str, Any]]:
    seeds = [n + (1000 if n == changed else 0) for n in range(MODELS)]
    texts = [card(seed=seed) if n else "" for n, seed in enumerate(seeds)]
    return [{"id": f"Owner/m{n}", "readme": text} for n, text in enumerate(texts)]


class Arm:
    """One bucket of a study, from dump to parsed tables; keeps where it is told to."""

    def __init__(self, folder: Path, keeps: bool = True) -> None:
        self.folder, self.kept = folder, folder / "work" if keeps else None
        folder.mkdir()

    def run(self, cards: list[dict[str, Any]], parser: str = "one") -> dict[str, bytes]:
        """Every output file, from a start as Snakemake's: declared outputs are gone."""
        dump, models = self.folder / "dump.jsonl", self.folder / "0.jsonl"
        dump.write_text("".join(json.dumps(row) + "\n" for row in cards))
        split_source("cards", dump, {"0": models})
        raw, index, home = self.raw, self.folder / "raw/0.index.jsonl", self.folder / "parsed"
        for path in raw.iterdir() if raw.is_dir() else ():
            path.unlink()
        kept = {name: self.kept and self.kept / name / "0" for name in ("raw", "parsed")}
        harvest_bucket(models, raw, index, kept["raw"])
        out, places = home / "0.parquet", home / "0.provenance.parquet"
        parse_bucket(raw, index, out, places, kept["parsed"], parser)
        files = [*raw.iterdir(), index, out, places]
        return {path.name: path.read_bytes() for path in files}

    @property
    def raw(self) -> Path:
        return self.folder / "raw/0"

    def inodes(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.raw.iterdir()}

    def files(self) -> list[Path]:
        assert self.kept is not None
        return sorted(path for path in self.kept.rglob("*") if path.is_file())


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the cards that are parsed."""
    seen: list[str] = []
    real = parsing.parse_record

    def counted(raw: dict[str, Any]) -> Any:
        seen.append(raw["id"])
        return real(raw)

    monkeypatch.setattr(parsing, "parse_record", counted)
    return seen


@pytest.fixture
def cold(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Outputs of a run with nothing kept."""

    def run(cards: list[dict[str, Any]]) -> dict[str, bytes]:
        return Arm(tmp_path / f"cold{len(list(tmp_path.iterdir()))}", keeps=False).run(cards)

    return run


def test_only_changed_cards_are_written_and_parsed(
    tmp_path: Path, parses: list[str], cold: Callable[..., dict[str, bytes]]
) -> None:
    arm = Arm(tmp_path / "arm")
    first = arm.run(rows())
    assert first == cold(rows())
    before = arm.inodes()
    parses.clear()
    assert arm.run(rows()) == first and not parses and arm.inodes() == before
    second = arm.run(rows(changed=7))
    assert parses == ["Owner/m7"]
    after = arm.inodes()
    anew = [name for name in after if before.get(name) != after[name]]
    assert anew == [f"{safe_name('Owner/m7')}.json"] and before.keys() == after.keys()
    assert second == cold(rows(changed=7)) != first


def test_cards_come_and_go_and_nothing_else_is_kept(
    tmp_path: Path, cold: Callable[..., dict[str, bytes]]
) -> None:
    arm = Arm(tmp_path / "arm")
    arm.run(rows())
    assert arm.run(rows()[3:]) == cold(rows()[3:])
    assert len(arm.files()) == MODELS - 3 + 4  # the list, two tables, their seal
    assert arm.run(rows()) == cold(rows())


def test_another_parser_parses_all(tmp_path: Path, parses: list[str]) -> None:
    arm = Arm(tmp_path / "arm")
    arm.run(rows())
    parses.clear()
    arm.run(rows(), parser="two")
    assert len(parses) == MODELS
    arm.run(rows(), parser="two")
    assert len(parses) == MODELS


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def garble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    # A clock may be coarse; what was written after the list has a later time.
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize("damage", [truncate, garble, Path.unlink])
@pytest.mark.parametrize("place", range(MODELS + 4))
def test_what_is_damaged_is_redone(
    tmp_path: Path,
    cold: Callable[..., dict[str, bytes]],
    damage: Callable[[Path], None],
    place: int,
) -> None:
    arm = Arm(tmp_path / "arm")
    arm.run(rows())
    damage(arm.files()[place])
    assert arm.run(rows(changed=5)) == cold(rows(changed=5))
    assert arm.run(rows()) == cold(rows())


def test_a_raw_file_edited_in_its_place_is_made_anew(tmp_path: Path) -> None:
    arm = Arm(tmp_path / "arm")
    first = arm.run(rows())
    for path in arm.raw.iterdir():
        garble(path)
    assert arm.run(rows()) == first


def test_a_folder_that_takes_no_links_costs_time_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cold: Callable[..., dict[str, bytes]],
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    arm = Arm(tmp_path / "arm")
    arm.run(rows())
    assert arm.run(rows(changed=3)) == cold(rows(changed=3))


def test_cards_that_failed_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cold: Callable[..., dict[str, bytes]]
) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    arm = Arm(tmp_path / "arm")
    with monkeypatch.context() as patch:
        patch.setattr(parsing, "interpret", exhausted)
        arm.run(rows())
        found = read_table(arm.folder / "parsed/0.parquet")["status"]
        assert found.str.startswith("failed: MemoryError").sum() == MODELS
    assert arm.run(rows()) == cold(rows())


def test_a_raw_file_that_is_not_of_its_index_is_refused(tmp_path: Path) -> None:
    arm = Arm(tmp_path / "arm", keeps=False)
    arm.run(rows())
    path = next(arm.raw.iterdir())
    path.write_text(path.read_text().replace("Owner", "Other"))
    index = arm.folder / "raw/0.index.jsonl"
    outs = [tmp_path / "p.parquet", tmp_path / "q.parquet"]
    with pytest.raises(UserError, match="not what its index says"):
        parse_bucket(arm.raw, index, *outs)
    path.unlink()
    with pytest.raises(UserError, match=r"No such file.*made anew"):
        parse_bucket(arm.raw, index, *outs)
    index.write_text("[1]\n")
    with pytest.raises(UserError, match="not readable as an index"):
        parse_bucket(arm.raw, index, *outs)
    assert not any(path.exists() for path in outs)


def test_a_sealed_file_is_what_was_written_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sealed"
    assert read_sealed(path) is None
    write_sealed({"a": [1, "é"]}, path)
    whole = path.read_bytes()
    assert read_sealed(path) == {"a": [1, "é"]}
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert read_sealed(path) is None
        changed = bytearray(whole)
        changed[size] ^= 1
        path.write_bytes(changed)
        assert read_sealed(path) is None
