"""What was downloaded, by model and commit: kept for ever, since a commit does not change."""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunescape.hub import CACHE, safe_name
from tunescape.tables import write_bytes

_SHA = re.compile(r"[0-9a-f]{40,64}")


class Cache:
    """A folder of JSON files, one a model and commit, written whole or not at all.

    Args:
        folder: made when the first entry is written.
    """

    def __init__(self, folder: str | Path = CACHE) -> None:
        self.folder = Path(folder)

    def path(self, kind: str, model_id: str, revision: str) -> Path:
        """Where an entry lies; neither id nor revision is trusted.

        Args:
            kind: ``listed`` (metadata) or ``models`` (what a harvest saved).
            model_id, revision: any text.
        """
        if not _SHA.fullmatch(revision):
            revision = "x" + _hash(revision)[:39]
        return self._home(kind, model_id) / f"{safe_name(model_id)}@{revision}.json"

    def read(self, kind: str, model_id: str, revision: str) -> dict[str, Any] | None:
        """An entry, or ``None`` when there is none that can be read."""
        try:
            found = json.loads(self.path(kind, model_id, revision).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) and found.get("id") == model_id else None

    def write(self, kind: str, model_id: str, revision: str, entry: Mapping[str, Any]) -> None:
        """Save an entry."""
        data = json.dumps(entry, sort_keys=True, ensure_ascii=False, allow_nan=False)
        write_bytes(data.encode("utf-8", "surrogatepass"), self.path(kind, model_id, revision))

    def others(self, kind: str, model_id: str) -> Iterator[dict[str, Any]]:
        """Entries of a model's other commits, the last written one first."""
        home = self._home(kind, model_id)
        pattern = glob.escape(safe_name(model_id)) + "@*.json"
        found = [(path.stat().st_mtime_ns, path) for path in home.glob(pattern)]
        for _, path in sorted(found, reverse=True):
            try:
                entry = json.loads(path.read_bytes())
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("id") == model_id:
                yield entry

    def _home(self, kind: str, model_id: str) -> Path:
        return self.folder / kind / _hash(model_id)[:2]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
