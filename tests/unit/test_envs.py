"""Environments: the conda files pin what the lock pins, and locks name packages, not places."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tunescape.digests import CONDA_NAMES

FILES = ("analysis", "figures", "hub", "report", "training", "tuning")
LOCKS = ("lock.txt", "lock-dev.txt", "lock-nodeps.txt")


def pins(root: Path, *locks: str) -> dict[str, str]:
    """Package -> version of lists of ``name==version`` lines."""
    lines = [
        line.strip()
        for lock in locks
        for line in (root / "envs" / lock).read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), lines
    found = dict(line.lower().replace("_", "-").split("==") for line in lines)
    assert len(found) == len(lines)
    return found


@pytest.mark.parametrize("name", FILES)
def test_conda_file_pins_what_the_lock_pins(root: Path, name: str) -> None:
    locked = pins(root, "lock.txt")
    stated = yaml.safe_load((root / f"envs/{name}.yaml").read_text(encoding="utf-8"))
    listed = [item for item in stated["dependencies"] if isinstance(item, str) and item != "pip"]
    for item in listed:
        package, version = item.split("=")
        if package == "python":
            assert version == "3.11"
        else:
            assert locked[CONDA_NAMES.get(package, package)] == version, item
    for extra in [item["pip"] for item in stated["dependencies"] if isinstance(item, dict)]:
        for package, _, version in (line.partition("==") for line in extra):
            assert package.startswith("--requirement") or locked[package] == version, package


def test_every_conda_file_is_checked_and_used(root: Path) -> None:
    assert sorted(path.stem for path in (root / "envs").glob("*.yaml")) == sorted(FILES)
    rules = "".join(path.read_text(encoding="utf-8") for path in (root / "rules").glob("*.smk"))
    assert set(re.findall(r'"\.\./envs/(\w+)\.yaml"', rules)) == set(FILES)


def test_locks_agree_and_hold_no_address(root: Path) -> None:
    for lock in LOCKS:
        text = (root / "envs" / lock).read_text(encoding="utf-8")
        assert "://" not in text and "--index-url" not in text and "@ " not in text, lock
    assert not set(pins(root, "lock.txt")) & set(pins(root, "lock-dev.txt"))


def test_lock_holds_what_is_asked_for(root: Path) -> None:
    for listed, locks in (
        ("requirements.in", ["lock.txt"]),
        ("requirements-dev.in", ["lock.txt", "lock-dev.txt"]),
    ):
        locked = pins(root, *locks)
        for line in (root / "envs" / listed).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                name, _, version = line.lower().replace("_", "-").partition("==")
                assert name in locked, name
                assert not version or locked[name] == version, line


def test_container_builds_what_make_installs(root: Path) -> None:
    text = (root / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    base = re.findall(r"^FROM (\S+)$", text, flags=re.M)
    assert len(base) == 1
    stated = yaml.safe_load((root / "envs/training.yaml").read_text(encoding="utf-8"))
    python = next(item for item in stated["dependencies"] if str(item).startswith("python="))
    assert f"python:{python.split('=')[1]}-" in base[0]
    made = re.findall(r"\$\(PIP\) (.*)envs/([\w-]+\.txt)", (root / "Makefile").read_text())
    run = {file: "--no-deps" in options for options, file in made if file != "lock-dev.txt"}
    built = re.findall(r"pip install (.*?)--requirement /envs/([\w-]+\.txt)", text)
    assert {file: "--no-deps" in options for options, file in built} == run
    copied = re.search(r"^COPY (.*) /envs/$", text, flags=re.M)
    assert copied and set(copied[1].split()) == {f"envs/{file}" for file in run}
    # Versions are in the locks alone.
    assert "==" not in text and "://" not in text


def test_the_plugin_of_the_slurm_profile_is_pinned(root: Path) -> None:
    profile = yaml.safe_load((root / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    plugin = f"snakemake-executor-plugin-{profile['executor']}"
    listed = (root / "envs/requirements.in").read_text(encoding="utf-8")
    assert f"{plugin}=={pins(root, 'lock.txt')[plugin]}\n" in listed


def test_make_puts_the_library_on_the_environments_path(root: Path, tmp_path: Path) -> None:
    """What README's `python -m tunescape...` commands rest on."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (tmp_path / "env" / "run.done").touch()
    target = f"{tmp_path}/env/path.done"
    subprocess.run(["make", f"VENV={tmp_path}/env", target], cwd=root, check=True)
    done = subprocess.run(
        [tmp_path / "env/bin/python", "-c", "import tunescape; print(tunescape.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(root / "scripts" / "tunescape" / "__init__.py")


def test_commands_of_the_documents_are_there(root: Path) -> None:
    pages = [root / "README.md", *(root / "docs").glob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(re.findall(r"python -m (tunescape[\w.]*)", text))
    assert {"tunescape.audit", "tunescape.snapshot"} <= named
    for module in named:
        place = root / "scripts" / Path(*module.split("."))
        source = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        assert "__main__" in source.read_text(encoding="utf-8"), module
    assert "cd scripts" not in text and "PYTHONPATH" not in text
