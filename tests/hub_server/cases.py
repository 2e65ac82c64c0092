"""What the live arm does against a small Hub, each case in turn; prints one JSON object.

huggingface_hub reads HF_ENDPOINT when it is imported, so that this runs in a process of its own:

    python tests/hub_server/cases.py FOLDER
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "unit"), str(ROOT / "tests")]

from hub_cards import SST2, card  # noqa: E402

from hub_server.leaks import leaks, spellings  # noqa: E402
from hub_server.server import LARGE, Fault, HubServer, Model  # noqa: E402

SERVER = HubServer(page=5)
os.environ["HF_ENDPOINT"] = SERVER.url
TOKEN = "hf_plantedTokenThatMustNotLeak"
for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_OIDC_RESOURCE"):
    os.environ.pop(name, None)
for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
    os.environ.pop(name, None)
    os.environ.pop(name.lower(), None)
os.environ["HF_HOME"] = str(Path(sys.argv[1]) / "hf-home")

from huggingface_hub import constants  # noqa: E402
from tunescape.errors import UserError  # noqa: E402
from tunescape.features import build_features  # noqa: E402
from tunescape.live import client, harvest  # noqa: E402
from tunescape.live.client import Policy  # noqa: E402
from tunescape.live.discover import discover_models  # noqa: E402
from tunescape.live.pins import Pin, read_pins, write_pins  # noqa: E402
from tunescape.parsing import parse_bucket  # noqa: E402
from tunescape.sources import (  # noqa: E402
    SourceReport,
    harvest_bucket,
    read_source,
    split_source,
)
from tunescape.tables import read_table  # noqa: E402

BASE = f"distilbert/{SST2}"
QUICK = Policy(requests_per_second=2000, attempts=8, backoff=0.004, timeout=0.3)
SPEC: dict[str, Any] = {
    "max_models": None,
    "sample_seed": 1,
    "config_files": True,
    "max_in_flight": 8,
    "requests_per_second": 2000,
    "base_models": [BASE],
    "search": [],
}
KINDS = (
    "429",
    "retry-date",
    "ratelimit",
    "500",
    "503",
    "reset",
    "silent",
    "truncated",
    "slow",
    "stalled",
    "long_length",
    "short_length",
    "garbled",
)
STEPS = ("list", "info", "resolve", "file", "cdn")
BODILESS = ("truncated", "slow", "stalled", "long_length", "short_length", "garbled")
EVALUATION = b"""- dataset: {id: nyu-mll/glue, task_id: sst2}
  value: 91.5
  verifyToken: eyJhbGciOiJIUzI1NiJ9.secret
  source: {url: "https://huggingface.co/spaces/org/evaluation"}
- {dataset: {id: org/other, task_id: default}, value: 0.5}
"""


def model(name: str, number: int = 0, text: str | None = None, **more: Any) -> Model:
    """A child of the base model with a Trainer card."""
    sha = hashlib.sha1(f"{name}{number}".encode()).hexdigest()
    figures = {"Loss": f"0.{4000 + number * 17}", "Accuracy": f"0.{8600 + number * 13}"}
    body = (
        card(base=BASE, metrics=figures, learning_rate=f"{1 + number}e-05")
        if text is None
        else text
    )
    files = {"README.md": body.encode(), "config.json": b'{"id2label": {"0": "a", "1": "b"}}'}
    files |= more.pop("files", {})
    tags = more.pop("tags", [f"base_model:{BASE}", f"base_model:finetune:{BASE}"])
    kept = {key: value for key, value in files.items() if value is not None}
    return Model(f"owner{number % 3}/{name}", sha, kept, tags, **more)


def plain(count: int, start: int = 0) -> list[Model]:
    """Models without anything odd; the first one's card is a large file."""
    found = [model(f"plain-{n}", n) for n in range(start, start + count)]
    if found:
        found[0].files["README.md"] += b"\n" + b"<!-- filler -->\n" * (LARGE // 16 + 1)
    return found


def odd() -> list[Model]:
    """One model for each thing that can be wrong with one, and one with evaluations."""
    return [
        model("gated", 1, state="gated"),
        model("private", 2, state="private"),
        model("gone", 3, state="gone"),
        model("disabled", 4, state="disabled"),
        model("new-name", 5, renamed_from="owner2/old-name"),
        model("no-card", 6, files={"README.md": None}),
        model("no-config", 7, files={"config.json": None}, more={"config": None}),
        model("too-large", 8, text="x" * (harvest.CARD_LIMIT + 1)),
        model("encoding", 9, files={"README.md": card(base=BASE).encode() + b"\xff\xfe caf\xe9"}),
        model("evaluated", 10, files={".eval_results/glue.yaml": EVALUATION}),
        model("evil", 11, files={".eval_results/../../x.yaml": EVALUATION}),
        model("broken", 12, files={".eval_results/bad.yaml": b"a: ["}),
    ]


def pins_of(models: Sequence[Model]) -> list[Pin]:
    return [
        Pin(
            m.renamed_from or m.id,
            m.sha,
            "2024-03-05T10:00:00Z",
            "no",
            len(m.id),
            1,
            BASE,
            "finetune",
        )
        for m in models
    ]


def run(
    folder: Path, policy: Policy = QUICK, models: Sequence[Model] | None = None, **spec: Any
) -> dict[str, Any]:
    """Harvest into a folder; what it said, and the digest of the features that follow."""
    folder.mkdir(parents=True, exist_ok=True)
    pins = folder / "models.tsv"
    if models is not None:
        write_pins(pins_of(models), pins)
    said = io.StringIO()
    out = {name: folder / name for name in ("flow.csv", "changes.csv", "evaluations.csv")}
    try:
        with contextlib.redirect_stderr(said):
            statuses = harvest.fetch_models(
                pins,
                folder / "harvest.jsonl.gz",
                *out.values(),
                {**SPEC, **spec},
                folder=folder / "cache",
                policy=policy,
            )
    except UserError as error:
        return {"error": str(error), "said": said.getvalue()}
    return {"statuses": statuses, "said": said.getvalue(), "features": features(folder)}


def features(folder: Path) -> str:
    """Digest of the features.parquet that follows from a harvest.

    Made once for the same records: when they were fetched is in none of its columns.
    """
    told = [record | {"fetched_at": None} for record in records(folder).values()]
    known = json.dumps(told, sort_keys=True)
    if known in _FEATURES:
        return _FEATURES[known]
    split_source("hub", folder / "harvest.jsonl.gz", {"0": folder / "0.jsonl"})
    harvest_bucket(folder / "0.jsonl", folder / "raw", folder / "index.jsonl")
    parse_bucket(folder / "raw", folder / "index.jsonl", folder / "p.parquet", folder / "q.parquet")
    target = folder / "features.parquet"
    build_features(
        [folder / "p.parquet"],
        [folder / "q.parquet"],
        target,
        folder / "provenance.parquet",
        eval_sizes=ROOT / "resources" / "eval_sizes.csv",
    )
    _FEATURES[known] = hashlib.sha256(target.read_bytes()).hexdigest()
    return _FEATURES[known]


_FEATURES: dict[str, str] = {}


def records(folder: Path) -> dict[str, dict[str, Any]]:
    return {r["id"]: r for r in read_source("hub", folder / "harvest.jsonl.gz", SourceReport())}


def asked(step: str | None = None) -> int:
    return sum(step in (None, seen["step"]) for seen in SERVER.log)


@contextlib.contextmanager
def patched(place: object, name: str, value: object) -> Iterator[None]:
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


# --- cases --------------------------------------------------------------------------------------


def case_statuses(folder: Path) -> dict[str, Any]:
    models = [*plain(10, 20), *odd()]
    SERVER.set_models(models)
    SERVER.reset()
    first = run(folder, models=models)
    other = [seen["path"] for seen in SERVER.log if "/models" not in seen["path"]]
    requests = Counter(seen["step"] for seen in SERVER.log)
    found = records(folder)
    told = {
        key: [r["status"], r["hub"]["notes"], r["hub"]["renamed_to"]] for key, r in found.items()
    }
    SERVER.reset()
    again = run(folder)
    table = read_table(folder / "features.parquet").set_index("id")
    return {
        "first": first,
        "again": again["features"] == first["features"],
        "again_said": again["said"],
        "requests": requests,
        "unplanned": [
            path for path in other if "/resolve" not in path and not path.startswith("/cdn/")
        ],
        "requests_again": len(SERVER.log),
        "told": told,
        "record": found["owner2/plain-20"] | {"card_text": None},
        "evaluations": read_table(folder / "evaluations.csv").to_dict("records"),
        "flow": read_table(folder / "flow.csv")[["step", "reason"]].to_numpy().tolist(),
        "changes": read_table(folder / "changes.csv")["change"].value_counts().to_dict(),
        "reasons": table["exclude_reason"].dropna().to_dict(),
        "labels": float(table.loc["owner2/plain-20", "n_labels"]),
        "escaped": [str(p) for p in folder.parent.rglob("x.yaml")],
    }


def case_matrix(folder: Path) -> dict[str, Any]:
    """Every fault at every step: the same features as without any."""
    models = [*plain(3), odd()[9], odd()[4]]
    SERVER.set_models(models)
    SERVER.reset()
    wanted = run(folder / "none", models=models)["features"]
    stubborn = dataclasses.replace(QUICK, attempts=30, longest_backoff=0.02)
    real, outcomes, injected = client.asked_wait, {}, Counter[str]()

    def brief(headers: Any) -> float | None:
        seconds = real(headers)
        return None if seconds is None else min(seconds, 0.05)

    reading = client.parse_ratelimit_headers

    def at_once(headers: Any) -> Any:
        told = reading(headers)
        return told and dataclasses.replace(told, reset_in_seconds=0)

    # What is asked for is waited for, but not as long; case_quota waits in full.
    with (
        patched(client, "asked_wait", brief),
        patched(client, "parse_ratelimit_headers", at_once),
    ):
        scenarios = [
            (f"{kind} at {step}", [Fault(kind, step, 1 if kind == "stalled" else 2)], step)
            for kind, step in product(KINDS, STEPS)
            if not (step == "resolve" and kind in BODILESS)
        ]
        for seed in range(4):
            mixed = [Fault(k, s, 1, 0.15, seed) for k, s in product(KINDS, STEPS)]
            scenarios.append((f"mixed {seed}", mixed, "list" if seed % 2 else "info"))
        for name, faults, step in scenarios:
            SERVER.reset(faults)
            worth = 0 if step == "list" else 1000
            with patched(harvest, "WORTH_LISTING", worth):
                done = run(folder / name.replace(" ", "-"), stubborn, models=models)
            outcomes[name] = done.get("error") or done["features"] == wanted
            injected.update(SERVER.injected)
    return {"outcomes": outcomes, "injected": injected}


def case_resume(folder: Path) -> dict[str, Any]:
    """The network fails half-way: what was saved is kept, and the rest comes next time."""
    models = plain(40)
    SERVER.set_models(models)
    SERVER.reset()
    wanted = run(folder / "whole", models=models)["features"]
    late = [m.id for m in sorted(models, key=lambda m: m.id)[24:]]
    SERVER.reset([Fault("reset", "resolve", 1000)])
    share = lambda fault, address: any(f"/{name}/" in address for name in late)  # noqa: E731
    with patched(
        SERVER, "_fault", lambda step, a: FALL if step == "resolve" and share(FALL, a) else None
    ):
        policy = dataclasses.replace(QUICK, attempts=2)
        failed = run(folder / "half", policy, models=models)
    SERVER.reset()
    done = run(folder / "half")
    return {
        "failed": failed["error"],
        "asked_again": len(
            {seen["path"].split("/resolve")[0] for seen in SERVER.log if seen["step"] == "resolve"}
        ),
        "same": done["features"] == wanted,
        "outputs": sorted(path.name for path in (folder / "half").glob("*.gz")),
    }


FALL = Fault("reset", "resolve")


def case_broken(folder: Path) -> dict[str, Any]:
    """A model that the Hub always has an error for, while it answers for all others; and not."""
    models = plain(12)
    SERVER.set_models(models)
    SERVER.reset()
    wanted = run(folder / "whole", models=models)["features"]
    policy = dataclasses.replace(QUICK, attempts=2)

    def broken(*names: str, step: str = "resolve") -> Any:
        def fault(at: str, address: str) -> Fault | None:
            hit = at == step and any(f"/{name}/" in address for name in names)
            return Fault("500", at) if hit else None

        return patched(SERVER, "_fault", fault)

    with broken("plain-5"):
        first = run(folder / "one", policy, models=models)
        SERVER.reset()
        again = run(folder / "one", policy)
        flow = read_table(folder / "one/flow.csv")["reason"].tolist()
    with broken("plain-5", "plain-6"):
        several = run(folder / "two", policy, models=models)
    down = {}
    for step in ("info", "resolve"):
        SERVER.reset()
        with patched(SERVER, "_fault", lambda at, _, step=step: FAIL if at == step else None):
            down[step] = run(folder / "one", policy).get("error")
    SERVER.reset()
    return {
        "first": first.get("statuses"),
        "again": again.get("statuses"),
        "flow": flow,
        "several": several.get("error"),
        "down": down,
        "same": run(folder / "one").get("features") == wanted,
    }


FAIL = Fault("500", "resolve")


def case_changes(folder: Path) -> dict[str, Any]:
    """One model changed: one card is asked for, by its entity tag; two others come and go."""
    models = plain(8)
    SERVER.set_models(models)
    SERVER.reset()
    run(folder, models=models, config_files=False)
    same_card = dataclasses.replace(models[3], sha="c" * 40)
    changed = [*models[:3], same_card, *models[4:7], model("added", 9)]
    SERVER.set_models(changed)
    SERVER.reset()
    run(folder, models=changed, config_files=False)
    kept = read_table(folder / "changes.csv").fillna("").to_dict("records")
    requests = [[seen["step"], seen["status"], seen["path"].split("/")[-1]] for seen in SERVER.log]
    run(folder, config_files=False)
    return {
        "changes": kept,
        "again": read_table(folder / "changes.csv").fillna("").to_dict("records") == kept,
        "requests": requests,
        "card": records(folder)[same_card.id]["card_text"] == same_card.files["README.md"].decode(),
        "shown": records(folder)[same_card.id]["revision"],
    }


def case_offline(folder: Path) -> dict[str, Any]:
    models = plain(3)
    SERVER.set_models(models)
    SERVER.reset()
    whole = run(folder, models=models)
    with patched(constants, "HF_HUB_OFFLINE", True):
        SERVER.reset()
        again = run(folder)
        more = run(folder, models=[*models, model("more", 7)])
    return {
        "same": again["features"] == whole["features"],
        "requests": len(SERVER.log),
        "more": more["error"],
    }


def case_token(folder: Path) -> dict[str, Any]:
    models = [*plain(4), odd()[0]]
    SERVER.set_models(models)
    SERVER.reset()
    before = run(folder, models=models)
    SERVER.token = TOKEN
    os.environ["HF_TOKEN"] = TOKEN
    try:
        SERVER.reset()
        rechecked = run(folder)
        asked_for = sorted(
            {seen["path"].split("/")[2] for seen in SERVER.log if seen["step"] == "resolve"}
        )
        signed = run(folder / "signed", models=models)
        hosts = {(seen["host"], seen["signed_in"]) for seen in SERVER.log}
        os.environ["HF_TOKEN"] = TOKEN + "Wrong"
        refused = run(folder / "refused", models=models)
        SERVER.reset([Fault("reset", "info", 1000), Fault("reset", "list", 1000)])
        failed = run(folder / "failed", dataclasses.replace(QUICK, attempts=2), models=models)
    finally:
        SERVER.token = None
        del os.environ["HF_TOKEN"]
    said = "".join(str(part) for part in (before, rechecked, signed, refused, failed))
    return {
        "asked_for": asked_for,
        "hosts": sorted(hosts),
        "refused": refused["error"],
        "failed": failed["error"],
        "said": any(word in said.encode() for word in spellings(TOKEN)),
        "leaks": leaks(folder, TOKEN),
        "plan": signed["said"].splitlines()[0],
    }


def case_rate(folder: Path) -> dict[str, Any]:
    """No more requests a second, and at one time, than the study allows."""
    models = plain(30, 100)
    SERVER.set_models(models)
    SERVER.reset()
    policy = dataclasses.replace(QUICK, requests_per_second=60, timeout=5)
    with patched(harvest, "WORTH_LISTING", 0):
        run(folder / "paced", policy, models=models, config_files=False)
    times = [seen["t"] for seen in SERVER.log]
    windows = [sum(start <= t < start + 1 for t in times) for start in times]
    SERVER.reset([Fault("slow", "file", 1)])
    policy = dataclasses.replace(QUICK, max_in_flight=3, timeout=5)
    run(folder / "few", policy, models=models[:12], config_files=False)
    return {
        "requests": len(times),
        "rate": (len(times) - 1) / (times[-1] - times[0]),
        "busiest_second": max(windows),
        "at_once": SERVER.busiest,
    }


def case_quota(folder: Path) -> dict[str, Any]:
    """A quota that is used up: the client waits as told, and is hardly ever refused."""
    models = plain(30, 200)
    SERVER.set_models(models)
    SERVER.reset()
    SERVER.quota, SERVER.window = {"resolvers": 25}, 1.0
    try:
        done = run(folder, models=models, config_files=False)
    finally:
        SERVER.quota = {}
    statuses = Counter(seen["status"] for seen in SERVER.log)
    return {"done": done.get("statuses"), "statuses": statuses}


def case_proxy(folder: Path) -> dict[str, Any]:
    """A Hub that only a proxy can reach, named as httpx reads it from the environment."""
    far = "http://hub.invalid"
    template = far + "/{repo_id}/resolve/{revision}/{filename}"
    models = plain(3, 300)[1:]
    SERVER.set_models(models)
    SERVER.reset()
    once = dataclasses.replace(QUICK, attempts=1)
    with (
        patched(constants, "ENDPOINT", far),
        patched(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template),
    ):
        direct = run(folder, once, models=models)
        os.environ["HTTP_PROXY"] = SERVER.url
        try:
            through = run(folder, once)
        finally:
            del os.environ["HTTP_PROXY"]
    return {"direct": direct.get("error"), "through": through.get("statuses")}


def discovery(**more: Any) -> dict[str, Any]:
    return {
        **SPEC,
        "config_files": False,
        "relations": ["finetune"],
        "search": ["sst-2-english"],
        "task": "text-classification",
        "library": None,
        "modified_after": None,
        "modified_before": None,
        "min_downloads": 0,
        **more,
    }


def case_discover(folder: Path) -> dict[str, Any]:
    child = "sst-2-english"
    models = [
        *plain(7),
        model("adapter", 11, tags=[f"base_model:{BASE}", f"base_model:adapter:{BASE}"]),
        model("quantized", 12, tags=[f"base_model:{BASE}", f"base_model:quantized:{BASE}"]),
        model("bare", 13, tags=[f"base_model:{SST2}", f"base_model:finetune:{SST2}"]),
        model("translated", 14, more={"pipeline_tag": "translation"}),
        model("old", 15, more={"lastModified": "2020-01-01T00:00:00.000Z"}),
        model("keras", 16, more={"library_name": "keras"}),
        model("off", 17, state="disabled"),
        model(f"my-{child}-tuned", 18, tags=[]),
        model(f"other-{child}", 19, tags=[], text=card(base="bert-base-uncased")),
        model(f"silent-{child}", 20, tags=[], text="# nothing"),
        model(f"cardless-{child}", 21, tags=[], files={"README.md": None}),
        model(f"tagged-{child}", 22, tags=["base_model:google-bert/bert-base-uncased"]),
        model("unrelated", 23, tags=[]),
    ]
    SERVER.set_models(models)
    folder.mkdir(parents=True)
    target = folder / "models.tsv"
    limits = {"modified_after": "2022-01-01", "library": "transformers"}
    spec = discovery(models=str(target), **limits)
    said = io.StringIO()

    def discover(**more: Any) -> dict[str, int]:
        with contextlib.redirect_stderr(said):
            return discover_models(
                {**spec, **more}, folder / "report.json", folder=folder / "cache", policy=QUICK
            )

    SERVER.reset([Fault("503", "list", 1), Fault("reset", "resolve", 1)])
    first = discover()
    listed = read_pins(target)
    flow = read_table(folder / "models.flow.csv")
    text = target.read_text()
    SERVER.reset()
    again = discover()
    cards_again = asked("file")
    SERVER.reset()
    harvested = run(folder, config_files=False)
    after = Counter(seen["step"] for seen in SERVER.log)
    harvest_flow = read_table(folder / "flow.csv")
    wider = discover(relations=["adapter", "quantized"], search=[])
    try:
        discover(task="no-such-task")
    except UserError as error:
        nothing = str(error)
    return {
        "first": first,
        "again": again,
        "pins": [[p.id, p.base_model, p.relation, p.found_by] for p in listed],
        "lines": text.splitlines()[:2],
        "sorted": [p.id for p in listed] == sorted(p.id for p in listed),
        "revisions": all(p.revision == SERVER.models[p.id].sha for p in listed),
        "flow": flow[["step", "reason", "before", "after", "removed"]].to_numpy().tolist(),
        "harvest_flow": harvest_flow["step"].tolist(),
        "cards_again": cards_again,
        "after": after,
        "harvested": harvested["statuses"],
        "wider": wider,
        "nothing": nothing,
        "said": said.getvalue(),
    }


CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    name.removeprefix("case_"): value
    for name, value in globals().items()
    if name.startswith("case_")
}


def main() -> None:
    """Run all cases, or those named after the folder."""
    random.seed(1)
    home, told = Path(sys.argv[1]), {}
    for name in sys.argv[2:] or CASES:
        began, clock = time.process_time(), time.monotonic()
        try:
            told[name] = CASES[name](home / name)
        except Exception:
            told[name] = {"failed": traceback.format_exc()}
        told[name]["cpu"] = time.process_time() - began
        told[name]["seconds"] = time.monotonic() - clock
    print(json.dumps(told, default=str))


if __name__ == "__main__":
    main()
