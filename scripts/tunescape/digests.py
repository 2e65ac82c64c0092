"""Content digests: of plain data, and of the code and packages that a rule's script runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "tunescape"
# An import statement: dots, module and names of ``from``, or names alone. To parse the modules
# instead would take a third of a call that finds nothing to do; a test holds both to be the same.
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n(]+)|import[ \t]+([^\n]+))",
    re.M,
)
COMMENT = re.compile(r"#[^\n]*|[()]")
LOCKS = ("lock.txt", "lock-nodeps.txt")
CONDA_NAMES = {"pytorch": "torch"}
"""Packages that conda knows by another name than the lock."""


def canonical_json(obj: Any) -> str:
    """Serialise plain data to its one JSON spelling: sorted keys, no spaces, no NaN.

    Args:
        obj: builtins only (dict with string keys, list, str, int, float, bool, None).

    Raises:
        TypeError: for anything that is not a builtin.
        ValueError: for NaN or an infinity.
    """
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(obj: Any, length: int = 16) -> str:
    """Hex SHA-256 of :func:`canonical_json`, cut to ``length`` characters."""
    return hashlib.sha256(canonical_json(obj).encode()).hexdigest()[:length]


def file_digest(path: str | Path, length: int = 64) -> str:
    """Hex SHA-256 of a file's bytes, cut to ``length`` characters."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:length]


def code_digest(script: str | Path, length: int = 16) -> str:
    """Digest of a script and every package module it imports, directly or not.

    Snakemake tracks a script by its modification time and not at all the modules it imports. This
    follows the content instead: a clone or a ``touch`` changes nothing, while an edited helper
    changes the digest of exactly the scripts that reach it. Imports inside functions count.

    Args:
        script: a file in the folder that holds the package ``tunescape``.
    """
    script = Path(script).resolve()
    members = sorted(import_closure(script))
    root = script.parent
    parts = [[member.relative_to(root).as_posix(), file_digest(member)] for member in members]
    return digest(parts, length)


def environment_digest(conda_file: str | Path, length: int = 16) -> str:
    """Digest of the versions that a conda file's packages have in the locks beside it.

    Snakemake follows environments only where it makes them itself (``--sdm conda``). This follows
    the lock, which the environment that ``make`` sets up is installed from: an upgraded package
    changes the digest of exactly the environments that name it.

    Args:
        conda_file: a file in the folder that holds the locks.
    """
    import yaml

    conda_file = Path(conda_file)
    listed = yaml.safe_load(conda_file.read_text(encoding="utf-8"))["dependencies"]
    stated: list[str] = []
    for item in listed:
        stated += item["pip"] if isinstance(item, dict) else [item]
    pins = {lock: _pins(conda_file.parent / lock) for lock in LOCKS}
    locked = {name: version for lock in pins.values() for name, version in lock.items()}
    found: dict[str, str] = {}
    for item in stated:
        if item.startswith("--requirement "):
            found |= pins[item.split()[1]]
            continue
        name, _, version = item.partition("=")
        name = CONDA_NAMES.get(name, name)
        found[name] = locked.get(name, version)
    return digest(found, length)


def _pins(lock: Path) -> dict[str, str]:
    """Package -> version of a list of ``name==version`` lines; names as conda spells them."""
    lines = map(str.strip, lock.read_text(encoding="utf-8").splitlines())
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def import_closure(script: Path) -> set[Path]:
    """Files of the package that ``script`` reaches by imports, and ``script`` itself.

    Data files (templates, style sheets) belong to the module's folder that they lie in.
    """
    root = script.parent
    seen: set[Path] = set()
    queue = [script]
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.name == "__init__.py":
            seen.update(_data_files(path.parent))
        for module in imported_modules(path, root):
            queue.extend(file for file in _module_files(module, root) if file not in seen)
    return seen


def _data_files(package: Path) -> Iterator[Path]:
    for path in package.iterdir():
        if path.is_dir() and not (path / "__init__.py").exists() and path.name != "__pycache__":
            yield from (file for file in path.rglob("*") if file.is_file())
        elif path.is_file() and path.suffix not in (".py", ".typed"):
            yield path


def imported_modules(path: Path, root: Path) -> tuple[str, ...]:
    """Modules of the package that a file in ``root`` or below imports, and names out of them."""
    stat = path.stat()
    return _read_imports(path, root, (stat.st_mtime_ns, stat.st_size))


@cache
def _read_imports(path: Path, root: Path, _stamp: tuple[int, int]) -> tuple[str, ...]:
    package = path.relative_to(root).parts[:-1]
    found: list[str] = []
    for dots, module, names, plain in IMPORT.findall(path.read_text(encoding="utf-8")):
        listed = [
            name.split()[0] for name in COMMENT.sub("", names or plain).split(",") if name.strip()
        ]
        if plain:
            found += listed
            continue
        parent = package[: len(package) - len(dots) + 1] if dots else ()
        base = ".".join((*parent, *filter(None, [module])))
        found += (base, *(f"{base}.{name}" for name in listed))
    return tuple(filter(_ours, dict.fromkeys(found)))


def _ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(PACKAGE + ".")


@cache
def _module_files(module: str, root: Path) -> tuple[Path, ...]:
    """Files that importing ``module`` runs: each package's ``__init__`` and the module."""
    parts = module.split(".")
    bases = [root.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    files = [file for base in bases for file in (base / "__init__.py", base.with_suffix(".py"))]
    return tuple(file for file in files if file.is_file())
