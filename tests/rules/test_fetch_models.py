"""fetch_models: part of a study of the live Hub, and of no other."""

from __future__ import annotations

from pathlib import Path

from harness import copy_project, snakemake

LIST = "id\trevision\no/m\t" + "0" * 40 + "\n"


def test_the_live_route_and_nothing_of_it_elsewhere(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "study")
    (project / "studies/models.tsv").write_text(LIST)
    study = tmp_path / "live.yaml"
    study.write_text("hub: {source: hub, buckets: 2}")
    planned = snakemake(project, "--dry-run", "--configfile", str(study))
    assert planned.rules["fetch_models"] == 1 and "discover_models" not in planned.rules
    (project / "studies/models.tsv").unlink()
    target = "results/hub/harvest.jsonl.gz"
    failed = snakemake(project, "--configfile", str(study), "--", target, cores=1)
    assert failed.returncode == 1
    assert "studies/models.tsv: no list of models. `snakemake discover` makes one" in failed.output
