"""The published study on the live Hub, end to end at small size, against a Hub on the loopback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from edits import changed_copy
from harness import ROOT, copy_project, snakemake
from test_reruns import RERUNS, causes
from tunescape.tables import read_table

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "unit")]

from hub_cards import SST2, card  # noqa: E402
from hub_server.leaks import leaks, spellings  # noqa: E402
from hub_server.server import Fault, HubServer, Model  # noqa: E402

# In parts, for the copy of the project holds this file.
TOKEN = "/".join(("hf_planted", "Token+That~Must=NotLeak"))
BASE = f"distilbert/{SST2}"
SMALL = """
hub: {requests_per_second: 500, buckets: 1}
coverage: {min_rows: 12}
regression: {metrics: [loss], views: [absolute]}
"""
FIT = "results/analysis/distilbert-sst2/absolute/loss/coefficients.csv"
DRIFT = "results/hub/drift.csv"
LEFT = "results/analysis/distilbert-sst2/sample_flow.csv"


def models(count: int) -> list[Model]:
    """Children of the SST-2 DistilBERT whose loss depends on what they were trained with."""
    found = []
    for n in range(count):
        rate, batch, epochs = (1 + n % 4) * 1e-5, 8 * 2 ** (n // 4 % 3), 1 + n // 12 % 3
        loss = f"{0.3 + 0.01 * (n % 4) ** 2 + 0.02 * epochs + n * 0.000137:.4f}"
        text = card(
            base=BASE,
            metrics={"Loss": loss},
            learning_rate=rate,
            train_batch_size=batch,
            num_epochs=epochs,
        )
        tags = ["text-classification", f"base_model:{BASE}", f"base_model:finetune:{BASE}"]
        state = "gated" if n == 5 else "ok"
        name = f"owner{n % 7}/model-{n}"
        found.append(Model(name, f"{n:040x}", {"README.md": text.encode()}, tags, state))
    return found


def test_the_published_study_mines_the_live_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(tmp_path / "study")
    (project / "small.yaml").write_text(SMALL)
    server = HubServer(models(40), page=25)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.token = TOKEN
    study = ("--configfile", "studies/paper.yaml", "small.yaml")
    try:
        found = snakemake(project, "discover", *study)
        assert found.returncode == 0, found.output[-3000:]
        assert "40 models pinned in studies/paper_models.tsv (40 new" in found.output
        server.reset([Fault("503", "resolve", 1, 0.2)])
        outcome = snakemake(project, DRIFT, LEFT, *study)
        assert outcome.returncode == 0, outcome.output[-3000:]
        assert server.injected.total() > 0
        assert {seen["step"] for seen in server.log} == {"resolve", "file"}
        assert all(seen["signed_in"] for seen in server.log)
        again = snakemake(project, "discover", "--dry-run", *study)
        assert set(again.rules) - {"discover"} == {"discover_models"}
    finally:
        server.close()
    for number, rerun in enumerate(rerun for rerun in RERUNS if rerun.study == "mined"):
        changed = changed_copy(project, tmp_path / f"edit-{number}")
        for edit in rerun.each:
            edit(changed)
        assert causes(changed, None, DRIFT, LEFT, *study) == rerun.jobs(outcome.jobs), rerun.what
    assert len(read_table(project / "results/hub/features.parquet")) == 40
    flow = read_table(project / LEFT)
    assert flow[flow["reason"] == "gated"]["removed"].tolist() == [1]
    terms = read_table(project / FIT)["term"].tolist()
    assert "learning_rate:num_epochs" in terms
    drift = read_table(project / DRIFT)
    own = drift[drift["population"] == "distilbert-sst2"]
    assert own["term"].tolist() == sorted(terms) and (own["models"] == 40).all()
    changes = read_table(project / "results/hub/changes.csv")
    assert (changes["change"] == "new").all() and len(changes) == 40
    assert leaks(project, TOKEN) == []
    said = (found.output + outcome.output + again.output).encode()
    assert not [word for word in spellings(TOKEN) if word in said]


def test_a_token_that_is_refused_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token lies in a file; the Hub does not take it, and the run fails with a message."""
    project = copy_project(tmp_path / "study")
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(TOKEN)
    server = HubServer(models(3), page=25)
    server.token = "hf_another"
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    study = ("--configfile", "studies/paper.yaml", str(tmp_path / "small.yaml"))
    try:
        refused = snakemake(project, "discover", *study)
        assert server.log and all(seen["signed_in"] for seen in server.log)
    finally:
        server.close()
    assert refused.returncode == 1
    assert "the Hub does not accept the access token" in refused.output
    assert "Traceback" not in refused.output
    assert leaks(project, TOKEN) == []
    assert not [word for word in spellings(TOKEN) if word in refused.output.encode()]


def test_the_search_for_a_token_finds_it(tmp_path: Path) -> None:
    import base64
    import gzip
    from urllib.parse import quote

    import pandas as pd

    (tmp_path / "a.log").write_text(f"Authorization: Bearer {TOKEN}")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(TOKEN.encode()))
    (tmp_path / "c.html").write_text(quote(TOKEN, safe=""))
    (tmp_path / "d").write_bytes(base64.b64encode(f"ab{TOKEN}cd".encode()))
    (tmp_path / "e").write_bytes(base64.urlsafe_b64encode(f"a{TOKEN}".encode()))
    pd.DataFrame({"text": ["x", TOKEN]}).to_parquet(tmp_path / "f.parquet")
    (tmp_path / "g").write_text("hf_another")
    assert leaks(tmp_path, TOKEN) == ["a.log", "b.json.gz", "c.html", "d", "e", "f.parquet"]
