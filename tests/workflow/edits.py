"""Edits of a finished study: of its configuration, code, inputs, results and environment."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

Edit = Callable[[Path], None]
NEW_CARD = "someone/one-more-model"


def changed_copy(finished: Path, target: Path) -> Path:
    """A copy of the finished study with the same modification times."""
    shutil.copytree(finished, target, symlinks=True)
    return target


def nothing(project: Path) -> None:
    """No edit."""


def together(*edits: Edit) -> Edit:
    """Several edits as one."""

    def edit(project: Path) -> None:
        for one in edits:
            one(project)

    return edit


def configure(*keys: str | int, value: object) -> Edit:
    """An edit of config.yaml."""

    def edit(project: Path) -> None:
        path = project / "config.yaml"
        config = yaml.safe_load(path.read_text())
        place = config
        for key in keys[:-1]:
            place = place.setdefault(key, {}) if isinstance(key, str) else place[key]
        place[keys[-1]] = value
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    return edit


def reverse(*keys: str) -> Edit:
    """An edit of config.yaml: a mapping or list in reverse order."""

    def edit(project: Path) -> None:
        place = yaml.safe_load((project / "config.yaml").read_text())
        for key in keys:
            place = place[key]
        turned = dict(reversed(place.items())) if isinstance(place, dict) else place[::-1]
        configure(*keys, value=turned)(project)

    return edit


def append(*names: str, text: str = "\n# an edit\n") -> Edit:
    """An edit of the content of files."""

    def edit(project: Path) -> None:
        for name in names:
            with (project / name).open("a", encoding="utf-8") as handle:
                handle.write(text)

    return edit


def replace(name: str, pattern: str, by: str) -> Edit:
    """An edit of one place of a file."""

    def edit(project: Path) -> None:
        text, count = re.subn(pattern, by, (project / name).read_text(encoding="utf-8"), count=1)
        assert count, f"{name} holds no {pattern}"
        (project / name).write_text(text, encoding="utf-8")

    return edit


def module(name: str) -> Edit:
    """An edit of a module of the library."""
    return append(f"scripts/tunescape/{name}.py")


def touch(name: str) -> Edit:
    """A file's time alone."""
    return lambda project: (project / name).touch()


def touch_everything(project: Path) -> None:
    """The times of all that is not a result, as a fresh clone beside old results has them."""
    for path in project.rglob("*"):
        if path.is_file() and "results" not in path.parts and ".snakemake" not in path.parts:
            path.touch()


def delete(name: str) -> Edit:
    """A file that is gone."""
    return lambda project: (project / name).unlink()


def upgrade(package: str) -> Edit:
    """Another version of a package in the lock and in the conda files, which a test ties to it."""

    def edit(project: Path) -> None:
        pin = re.compile(rf"^((?:  - )?{package}==?)(\S+)$", re.M)
        changed = 0
        for path in sorted((project / "envs").iterdir()):
            text, count = pin.subn(r"\1\2.1", path.read_text(encoding="utf-8"))
            path.write_text(text, encoding="utf-8")
            changed += count
        assert changed, package

    return edit


def card(change: str) -> Edit:
    """One model card of the snapshot added, changed or removed."""

    def edit(project: Path) -> None:
        path = project / "resources/hub_snapshot.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        record = json.loads(lines[0])
        if change == "added":
            lines.append(json.dumps(record | {"id": NEW_CARD}) + "\n")
        elif change == "changed":
            lines[0] = json.dumps(record | {"downloads": (record["downloads"] or 0) + 1}) + "\n"
        else:
            del lines[0]
        path.write_text("".join(sorted(lines)), encoding="utf-8")

    return edit
