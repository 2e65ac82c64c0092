"""Content digests: of plain data, and of the code that a rule's script runs."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "tunescape"


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
        for module in _imported_modules(path, root):
            queue.extend(file for file in _module_files(module, root) if file not in seen)
    return seen


def _data_files(package: Path) -> Iterator[Path]:
    for path in package.iterdir():
        if path.is_dir() and not (path / "__init__.py").exists() and path.name != "__pycache__":
            yield from (file for file in path.rglob("*") if file.is_file())
        elif path.is_file() and path.suffix not in (".py", ".typed"):
            yield path


def _imported_modules(path: Path, root: Path) -> tuple[str, ...]:
    stat = path.stat()
    return _read_imports(path, root, (stat.st_mtime_ns, stat.st_size))


@cache
def _read_imports(path: Path, root: Path, _stamp: tuple[int, int]) -> tuple[str, ...]:
    package = path.relative_to(root).parts[:-1]
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package[: len(package) - node.level + 1]
                base = ".".join((*parent, *filter(None, [base])))
            found += (base, *(f"{base}.{alias.name}" for alias in node.names))
    return tuple(filter(_ours, dict.fromkeys(found)))


def _ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(PACKAGE + ".")


def _module_files(module: str, root: Path) -> Iterator[Path]:
    """Files that importing ``module`` runs: each package's ``__init__`` and the module."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:depth])
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                yield candidate
