"""The live Hub: statuses, faults, resuming, rates, secrets; against a small Hub on the loopback."""

from __future__ import annotations

import email.utils
import io
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tunescape.errors import UserError
from tunescape.live.cache import Cache
from tunescape.live.client import Gate, Stopped, asked_wait, git_digest, intact, kind_of
from tunescape.live.harvest import _changes, read_evaluations
from tunescape.live.pins import Pin, read_pins, sample_pins, write_pins
from tunescape.live.plan import Plan, Progress, default_rate, duration
from tunescape.schemas import RAW_SCHEMA, validate_raw

SHA = "0123456789abcdef0123456789abcdef01234567"
CASES = (
    "statuses", "matrix", "resume", "broken", "changes", "offline", "token", "rate", "quota",
    "proxy", "discover",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_case_ran_to_its_end(hub_cases: dict[str, Any], name: str) -> None:
    assert "Traceback" not in str(hub_cases[name].get("failed")), hub_cases[name]["failed"]


# --- against the server -------------------------------------------------------------------------


def test_whatever_is_wrong_with_a_model_is_its_status(hub_cases: dict[str, Any]) -> None:
    told = hub_cases["statuses"]["told"]
    statuses = {key.split("/")[1]: value[0] for key, value in told.items()}
    assert statuses["gated"] == "gated"
    assert statuses["private"] == "private"
    assert statuses["gone"] == "gone"
    assert statuses["disabled"] == "disabled"
    assert statuses["no-card"] == "no card"
    assert statuses["too-large"] == "card too large"
    assert sum(value == "ok" for value in statuses.values()) == 16 and len(statuses) == 22
    notes = {key.split("/")[1]: value[1] for key, value in told.items() if value[1]}
    assert notes == {
        "old-name": ["renamed"],
        "no-config": ["no config"],
        "encoding": ["bad encoding"],
        "broken": ["unreadable evaluation file"],
    }
    assert told["owner2/old-name"][2] == "owner2/new-name"


def test_statuses_reach_the_features_and_the_sample_flow(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["statuses"]
    reasons = {key.split("/")[1]: value for key, value in found["reasons"].items()}
    assert reasons == {
        "gated": "gated",
        "private": "private",
        "gone": "gone",
        "disabled": "disabled",
        "no-card": "no_card",
        "too-large": "card_too_large",
    }
    flow = [reason.partition(":")[0] for step, reason in found["flow"] if step == "harvest"]
    assert {"gated", "private", "gone", "disabled", "no card", "card too large"} < set(flow)
    assert {"renamed", "no config", "bad encoding"} < set(flow)


def test_a_record_holds_what_the_hub_says_at_the_pinned_commit(hub_cases: dict[str, Any]) -> None:
    record = hub_cases["statuses"]["record"]
    validate_raw(record, "record")
    assert set(record) == set(RAW_SCHEMA["properties"])
    assert record["source"] == "hub" and len(record["revision"]) == 40
    assert record["config"] == {
        "architectures": ["DistilBertForSequenceClassification"],
        "model_type": "distilbert",
        "num_labels": 2,
    }
    assert record["hub"]["parameters"] == {"F32": 66955010, "total": 66955010}
    assert record["hub"]["siblings"] == ["README.md", "config.json"]
    assert hub_cases["statuses"]["labels"] == 2


def test_evaluations_are_kept_apart_without_their_tokens(hub_cases: dict[str, Any]) -> None:
    rows = hub_cases["statuses"]["evaluations"]
    assert [(r["dataset"], r["value"], r["verifiable"]) for r in rows] == [
        ("nyu-mll/glue", 91.5, True),
        ("org/other", 0.5, False),
    ]
    assert "secret" not in json.dumps(hub_cases["statuses"])


def test_file_names_of_a_repository_never_become_paths(hub_cases: dict[str, Any]) -> None:
    assert hub_cases["statuses"]["escaped"] == []


def test_a_second_harvest_asks_for_nothing(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["statuses"]
    assert found["requests_again"] == 0 and found["again"] is True
    assert "nothing to download" in found["again_said"]
    assert found["changes"] == {"new": 22}


def test_the_plan_is_told_before_the_first_request(hub_cases: dict[str, Any]) -> None:
    said = hub_cases["statuses"]["first"]["said"]
    assert said.startswith("tunescape: 22 models, 0 saved before; 46 requests")
    assert "without a token" in said and "(none is set)" in said
    assert "22/22 models" in said.splitlines()[1]
    assert hub_cases["statuses"]["unplanned"] == []


def test_every_fault_at_every_step_leads_to_the_same_features(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["matrix"]
    assert [name for name, same in found["outcomes"].items() if same is not True] == []
    assert len(found["outcomes"]) == 13 * 5 - 6 + 4
    injected = Counter(found["injected"])
    singles = [name for name in found["outcomes"] if not name.startswith("mixed")]
    assert all(injected[name] >= 1 for name in singles), set(singles) - set(injected)
    assert injected.total() > 500


def test_a_failed_network_keeps_what_was_saved(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["resume"]
    assert "24 of 40 models are saved" in found["failed"]
    assert "run the same command again" in found["failed"].lower()
    assert found["asked_again"] == 16 and found["same"] is True


def test_a_model_that_always_fails_is_a_status_and_a_hub_that_does_is_a_failure(
    hub_cases: dict[str, Any],
) -> None:
    found = hub_cases["broken"]
    assert found["first"] == found["again"] == {"ok": 11, "unavailable: HTTP 500": 1}
    assert "unavailable: HTTP 500: 1, kept with this status" in found["flow"]
    assert "HTTP 500 (2 attempts)); 10 of 12 models are saved" in found["several"], "a tenth is 1"
    for step in ("info", "resolve"):
        assert "the Hub could not be read" in found["down"][step]
    assert found["same"], "asked for again, and there when the Hub is well"


def test_one_changed_model_is_one_card_by_its_tag(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["changes"]
    assert [(row["id"], row["change"]) for row in found["changes"]] == [
        ("owner0/added", "new"),
        ("owner0/plain-3", "changed"),
        ("owner1/plain-7", "vanished"),
    ]
    assert found["again"] is True
    files = sorted(status for step, status, _ in found["requests"] if step == "file")
    assert files == [200, 304]
    assert found["card"] is True and found["shown"] == "c" * 40


def test_offline_needs_no_request_when_all_is_saved(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["offline"]
    assert found["same"] is True and found["requests"] == 0
    assert "HF_HUB_OFFLINE is set, and 3 of 4 models are saved" in found["more"]


def test_a_token_is_used_and_found_nowhere(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["token"]
    assert found["hosts"] == [["cdn", False], ["hub", True]]
    assert found["asked_for"] == ["gated"]
    assert found["leaks"] == [] and found["said"] is False
    assert "(one is set)" in found["plan"]
    assert "does not accept the access token" in found["refused"]


def test_no_more_requests_than_allowed(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["rate"]
    assert found["requests"] > 60
    assert found["rate"] <= 60 and found["busiest_second"] <= 60
    assert found["at_once"] == 3


def test_a_used_up_quota_is_waited_for(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["quota"]
    assert found["done"] == {"ok": 30}
    # At most what was in flight when each of the windows ended.
    assert found["statuses"].get("429", 0) <= 8 * 3


def test_a_proxy_is_used_and_an_unknown_hub_is_one_message(hub_cases: dict[str, Any]) -> None:
    found = hub_cases["proxy"]
    assert found["through"] == {"ok": 2}
    assert found["direct"].startswith("http://hub.invalid: the Hub could not be read (http://hub")
    assert "0 of 2 models are saved" in found["direct"]


# --- one by one ---------------------------------------------------------------------------------


def test_waits_are_read_from_every_form() -> None:
    later = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert asked_wait(httpx2.Headers({"Retry-After": "7"})) == 7
    assert 25 < (asked_wait(httpx2.Headers({"Retry-After": later})) or 0) <= 30
    assert asked_wait(httpx2.Headers({"RateLimit": '"api";r=0;t=55'})) == 55
    assert asked_wait(httpx2.Headers({"RateLimit": '"api";r=3;t=55'})) is None
    assert asked_wait(httpx2.Headers({"Retry-After": "soon"})) is None
    assert asked_wait({}) is None


def test_files_are_checked_against_their_tags() -> None:
    # The names that git itself gives to an empty file and to "hello\n".
    assert git_digest(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_digest(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert intact(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert not intact(b"hello", "ce013625030ba8dba906f756967f9e9ca394464a")
    assert kind_of("/api/resolve-cache/models/a/b/c/README.md") == kind_of("/a/b/resolve/c/R")
    assert kind_of("/api/models/a/b") == "api"


def test_a_gate_spaces_requests_and_opens_when_told_to_stop() -> None:
    gate = Gate(200)
    began = time.monotonic()
    for _ in range(11):
        gate.enter("file")
    assert time.monotonic() - began >= 10 / 200
    gate.pause("file", 60)
    gate.enter("api")
    gate.stop.set()
    with pytest.raises(Stopped):
        gate.enter("file")


def test_the_plan_follows_the_published_quotas() -> None:
    plan = Plan(models=5000, cached=0, listings=5, infos=0, files=5000)
    assert plan.requests == 5005
    assert default_rate(False) == 20 and default_rate(True) == pytest.approx(33.3, abs=0.04)
    assert plan.seconds(20, False) == pytest.approx(0.25 + 300 + 200)
    assert plan.seconds(100, True) == pytest.approx(0.05 + 100)
    assert "5,005 requests (5 of listings" in plan.told(None, False)
    assert "about 8 min without a token, 5 min with one" in plan.told(None, False)
    assert [duration(s) for s in (45, 480, 7500)] == ["45 s", "8 min", "2 h 5 min"]


def test_progress_is_one_line() -> None:
    stream = io.StringIO()
    progress = Progress(4, stream)
    for failed in (False, True, False, False):
        progress.step(failed, 3)
    (line,) = stream.getvalue().splitlines()
    assert "4/4 models" in line and "1 failed, 3 requests repeated" in line
    assert progress.line(2.0, 0).startswith("[####################] 4/4 models, 2.0/s, 0 s left")


def pins(count: int) -> list[Pin]:
    return [Pin(f"o/m{n:04d}", SHA, downloads=10 ** (n % 4) - 1) for n in range(count)]


def test_a_pilot_sample_has_each_stratum_in_its_share() -> None:
    everyone = pins(400)
    taken = sample_pins(everyone, 42, seed=3)
    counts = Counter(pin.downloads for pin in taken)
    assert len(taken) == 42 and sorted(counts.values()) == [10, 10, 11, 11]
    assert taken == sample_pins(everyone, 42, seed=3) != sample_pins(everyone, 42, seed=4)
    assert {p.id for p in taken} == {p.id for p in sample_pins(everyone[::-1], 42, seed=3)}
    assert sample_pins(everyone, None, 1) == sample_pins(everyone, 400, 1) == everyone


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "models.tsv"
    known = [Pin("b/x", SHA, "2024-01-01T00:00:00Z", "auto", 3, 0, "base", "adapter", "tree")]
    write_pins([*known, Pin("a", SHA)], path)
    assert read_pins(path) == [Pin("a", SHA), *known]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id\tsha\na\tb\n", "no column revision"),
        (f"id\trevision\n../../etc\t{SHA}\n", "models.tsv:2: '../../etc' is no model id"),
        ("id\trevision\na/b\tmain\n", "revision of 'a/b' is 'main'"),
        (f"id\trevision\na\t{SHA}\na\t{SHA}\n", "models.tsv:3: model 'a' comes again"),
        (f"id\trevision\tlikes\na\t{SHA}\t-2\n", "likes is '-2'"),
        ("id\trevision\n", "holds no model"),
    ],
)
def test_a_wrong_list_is_one_message(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "models.tsv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_pins(path)
    assert says in str(error.value)


def test_a_missing_list_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="snakemake discover"):
        read_pins(tmp_path / "models.tsv")


@pytest.mark.parametrize("revision", ["../../x", "", "A" * 40, SHA, "x" * 400])
def test_cache_entries_stay_in_their_folder(tmp_path: Path, revision: str) -> None:
    cache = Cache(tmp_path / "cache")
    for model in ("../../evil", "a/b", "A/b", "con", "\x00", "é/ö"):
        path = cache.path("models", model, revision)
        assert path.resolve().is_relative_to((tmp_path / "cache" / "models").resolve())
        cache.write("models", model, revision, {"id": model})
        assert cache.read("models", model, revision) == {"id": model}
    assert len(list(tmp_path.rglob("*.json"))) == 6


def test_a_damaged_entry_is_no_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.write("models", "a/b", SHA, {"id": "a/b"})
    cache.path("models", "a/b", SHA).write_text('{"id": "a')
    assert cache.read("models", "a/b", SHA) is None
    assert list(cache.others("models", "a/b")) == []


def test_what_a_pilot_leaves_out_has_not_vanished() -> None:
    before = {"a": ("1", "ok"), "b": ("1", "ok"), "c": ("1", "ok"), "d": ("1", "ok")}
    now = {"a": ("1", "ok"), "d": ("1", "gone")}
    changes = _changes(before, now, pinned={"a", "b", "d"})
    assert [(row["id"], row["change"]) for row in changes] == [("c", "vanished"), ("d", "vanished")]


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"- {dataset: {id: a}, value: true}", 0),
        (b"- {dataset: {id: a}, value: high}", 0),
        (b"{dataset: {id: a, task_id: b}, value: 3}", 1),
        (b"- 3", None),
        (b"\xff", None),
        (b"!!python/object/apply:os.system [ls]", None),
    ],
)
def test_odd_evaluation_files(body: bytes, rows: int | None) -> None:
    found = read_evaluations("x.yaml", body)
    assert (None if found is None else len(found)) == rows
