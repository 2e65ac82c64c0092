"""harvest_models: one raw JSON file a model, and an index of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tunescape.hub import safe_name


def test_one_file_a_model_and_the_index_names_each(finished: Path) -> None:
    for bucket in "012":
        folder = finished / "results/hub/raw" / bucket
        index = folder.with_name(f"{bucket}.index.jsonl").read_text(encoding="utf-8")
        entries = [json.loads(line) for line in index.splitlines()]
        assert {entry["file"] for entry in entries} == {path.name for path in folder.glob("*.json")}
        for entry in entries[:20]:
            raw = (folder / entry["file"]).read_bytes()
            assert json.loads(raw)["id"] == entry["id"]
            assert entry["file"] == f"{safe_name(entry['id'])}.json"
            assert hashlib.sha256(raw).hexdigest().startswith(entry["sha256"])
