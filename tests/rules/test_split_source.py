"""split_source: every model of the source in exactly one bucket."""

from __future__ import annotations

import json
from pathlib import Path

from tunescape.hub import bucket_of


def test_buckets_partition_the_source(finished: Path) -> None:
    source = (finished / "resources/hub_snapshot.jsonl").read_text(encoding="utf-8").splitlines()
    wanted = sorted(json.loads(line)["id"] for line in source)
    found = []
    for path in sorted((finished / "results/hub/models").glob("*.jsonl")):
        ids = [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]
        assert ids == sorted(ids) and {bucket_of(name, 3) for name in ids} == {path.stem}
        found += ids
    assert sorted(found) == wanted and len(wanted) > 300
    report = json.loads((finished / "results/hub/source.json").read_text())
    assert report["models"] == len(wanted) and report["bad"] == {}
