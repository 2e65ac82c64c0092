"""Download pinned revisions of models: what they are, their cards, their evaluations.

A model that cannot be had is a row with a status. A network that cannot be had is one message;
what was saved until then is kept, and the next call goes on from there.
"""

from __future__ import annotations

import gzip
import json
import queue
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.digests import digest
from tunescape.errors import UserError
from tunescape.hub import CACHE, is_hub_id
from tunescape.live.cache import Cache
from tunescape.live.pins import Pin, read_pins, sample_pins
from tunescape.live.plan import PAGE, Plan, Progress, announce, default_rate
from tunescape.schemas import FLOW_COLUMNS
from tunescape.sources import CARD_LIMIT, card_record, raw_line
from tunescape.tables import atomic, read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from tunescape.live.client import Answer, Policy, PoliteClient

FILE_LIMIT = 1 * 2**20
"""Largest config.json or evaluation file in bytes; a larger one is left out with a note."""

EVALUATION_FILES = 20
"""Most evaluation files that are read of one model."""

OWN_FAILURES = 0.1
"""Largest share of models (or one) that may fail for themselves; more are a failed network."""

WORTH_LISTING = 20
"""Missing metadata of more models than this is had from listings, not model by model."""

POPULATION = "(source)"

EVALUATION_COLUMNS: dict[str, str] = {
    "id": "str",
    "file": "str",
    "dataset": "str",
    "task": "str",
    "value": "float64",
    "date": "str",
    "source": "str",
    "verifiable": "bool",
}
"""Results of `.eval_results/*.yaml`, apart from what cards report of themselves."""

CHANGE_COLUMNS: dict[str, str] = {
    "id": "str",
    "change": "str",
    "revision_before": "str",
    "revision": "str",
    "status_before": "str",
    "status": "str",
}

_RECHECKED = ("gated", "private")
_EVALUATION = re.compile(r"\.eval_results/[\w-][\w.-]*\.ya?ml")
_RESOLVED = re.compile(r"/([^/]+(?:/[^/]+)?)/resolve/")

Entry = dict[str, Any]
"""What is saved of one model and commit."""


def fetch_models(
    models_path: str | Path,
    out_harvest: str | Path,
    out_flow: str | Path,
    out_changes: str | Path,
    out_evaluations: str | Path,
    spec: Mapping[str, Any],
    *,
    folder: str | Path = CACHE,
    policy: Policy | None = None,
) -> dict[str, int]:
    """Harvest the pinned revisions of a list of models.

    Args:
        models_path: the list (``pins.read_pins``); its sample flow lies beside it.
        out_harvest: gzip JSON Lines of raw records, sorted by id.
        out_flow: CSV of ``schemas.FLOW_COLUMNS``: from what was listed to what is here.
        out_changes: CSV of :data:`CHANGE_COLUMNS`: since the last different harvest of this list.
        out_evaluations: CSV of :data:`EVALUATION_COLUMNS`.
        spec: ``max_models``, ``sample_seed``, ``config_files``, ``max_in_flight``,
            ``requests_per_second``, ``base_models``, ``search``.
        folder: where downloads are kept between calls.
        policy: in place of the one that ``spec`` asks for.

    Returns:
        Models by status.

    Raises:
        UserError: when the list cannot be read, the token is refused, or the network fails.
    """
    pins = read_pins(models_path)
    chosen = sample_pins(pins, spec["max_models"], spec["sample_seed"])
    cache = Cache(folder)
    download(chosen, cache, spec, policy)
    statuses: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    evaluations: list[dict[str, Any]] = []
    now: dict[str, tuple[str, str]] = {}
    with (
        atomic(out_harvest) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=3, fileobj=raw, mtime=0) as lines,
    ):
        for pin in chosen:
            entry = cache.read("models", pin.id, pin.revision)
            if entry is None:
                raise UserError(
                    f"'{pin.id}' is gone from the cache", where=str(folder), fix="run again"
                )
            lines.write(f"{raw_line(raw_record(pin, entry))}\n".encode())
            statuses[entry["status"]] += 1
            notes.update(entry["notes"])
            evaluations += [{"id": pin.id, **row} for row in entry["evaluations"]]
            now[pin.id] = pin.revision, entry["status"]
    _write_flow(models_path, len(pins), len(chosen), statuses, notes, out_flow)
    _write_rows(evaluations, out_evaluations, EVALUATION_COLUMNS, ["id", "file", "dataset", "task"])
    pinned = {pin.id for pin in pins}
    before = _last_harvest(cache.folder / "harvests" / digest(str(models_path)), now)
    _write_rows(_changes(before, now, pinned), out_changes, CHANGE_COLUMNS, ["id"])
    return dict(statuses)


def download(
    pins: Sequence[Pin], cache: Cache, spec: Mapping[str, Any], policy: Policy | None = None
) -> None:
    """Save every model that is not saved yet: the plan first, then the requests.

    Args:
        pins: what is wanted.
        cache: where it is kept.
        spec: as :func:`fetch_models` takes it.
        policy: in place of the one that ``spec`` asks for.

    Raises:
        UserError: when the token is refused or the network fails; what was saved is kept.
    """
    signed_in = has_token()
    missing = [pin for pin in pins if not _saved(cache, pin, spec, signed_in)]
    unlisted = [pin for pin in missing if cache.read("listed", pin.id, pin.revision) is None]
    listed = len(unlisted) > WORTH_LISTING and bool(spec["base_models"])
    plan = Plan(
        models=len(pins),
        cached=len(pins) - len(missing),
        listings=_pages(len(pins), spec) if listed else 0,
        infos=0 if listed else len(unlisted),
        files=len(missing) * (2 if spec["config_files"] else 1),
    )
    announce(plan.told(spec["requests_per_second"], signed_in))
    if not missing:
        return
    from huggingface_hub import HfApi
    from huggingface_hub.utils import build_hf_headers

    from tunescape.live.client import hub_session

    with hub_session(policy or policy_of(spec, signed_in)) as client, one_message(cache, pins):
        api = HfApi()
        if listed:
            _list_again(api, cache, unlisted, spec)
        headers = build_hf_headers(library_name="tunescape")
        worker = _Worker(client, api, cache, headers, bool(spec["config_files"]), signed_in)
        _run(worker, missing, pins, Progress(len(missing)))


def policy_of(spec: Mapping[str, Any], signed_in: bool) -> Policy:
    """The policy that a study asks for."""
    from tunescape.live.client import Policy

    return Policy(
        requests_per_second=spec["requests_per_second"] or default_rate(signed_in),
        max_in_flight=spec["max_in_flight"],
    )


def has_token() -> bool:
    """Whether requests will carry a token; where it comes from is huggingface_hub's affair."""
    from huggingface_hub.utils import build_hf_headers

    return "authorization" in {name.lower() for name in build_hf_headers()}


class one_message:
    """Turns whatever a broken network raises into one message that says what was kept."""

    def __init__(self, cache: Cache, pins: Sequence[Pin]) -> None:
        self.cache, self.pins = cache, pins

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Say what failed, what was kept, and how to go on."""
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        from tunescape.live.client import NetworkFailed, endpoint, refuse_token

        if isinstance(error, HfHubHTTPError):
            refuse_token(error.response.headers)
            error = NetworkFailed(f"HTTP {error.response.status_code}")
        if not isinstance(error, (NetworkFailed, OfflineModeIsEnabled)):
            return
        saved = sum(self.cache.path("models", pin.id, pin.revision).exists() for pin in self.pins)
        kept = f"{saved:,} of {len(self.pins):,} models are saved in {self.cache.folder}"
        kept = kept if self.pins else "no list was written"
        if isinstance(error, OfflineModeIsEnabled):
            raise UserError(
                f"HF_HUB_OFFLINE is set, and {kept}",
                where=endpoint(),
                fix="unset it and run again: only what is missing will be downloaded",
            ) from None
        raise UserError(
            f"the Hub could not be read ({error}); {kept}",
            where=endpoint(),
            fix="run the same command again when the network is back: it goes on from there",
        ) from None


def raw_record(pin: Pin, entry: Entry) -> dict[str, Any]:
    """The raw record (``schemas/raw.schema.json``) of a saved model."""
    info = entry["info"]
    tags = info.get("tags") or ([f"base_model:{pin.base_model}"] if pin.base_model else [])
    told = {
        "sha": pin.revision,
        "lastModified": pin.last_modified or info.get("lastModified"),
        "downloads": info.get("downloads") if pin.downloads is None else pin.downloads,
        "likes": info.get("likes") if pin.likes is None else pin.likes,
        "tags": tags,
        "pipeline_tag": info.get("pipeline_tag"),
        "library_name": info.get("library_name"),
        "config": {**(info.get("config") or {}), **(entry["config"] or {})},
    }
    record = card_record(pin.id, told, entry["card"])
    extra = {key: info.get(key) for key in ("gated", "private", "disabled", "siblings")}
    return record | {
        "source": "hub",
        "status": entry["status"],
        "fetched_at": entry["fetched_at"],
        "hub": {
            **extra,
            "parameters": info.get("parameters"),
            "relation": pin.relation or None,
            "found_by": pin.found_by or None,
            "renamed_to": entry["renamed_to"],
            "notes": entry["notes"],
            "evaluations": entry["evaluations"],
        },
    }


# --- one model ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Worker:
    """Downloads one model at a time; shared by all threads."""

    client: PoliteClient
    api: HfApi
    cache: Cache
    headers: Mapping[str, str]
    config_files: bool
    signed_in: bool

    def fetch(self, pin: Pin) -> Entry:
        """Everything that is kept of one model."""
        entry = self.entry(pin, "ok")
        entry["info"], refused = self._info(pin)
        if refused is not None:
            entry["status"] = refused
            return entry
        self._card(pin, entry)
        if entry["status"] in ("ok", "no card"):
            names = entry["info"].get("siblings")
            self._config(pin, entry, names)
            self._evaluations(pin, entry, names or [])
        entry["notes"].sort()
        return entry

    def entry(self, pin: Pin, status: str) -> Entry:
        """What is kept of a model of which nothing was read."""
        return {
            "id": pin.id,
            "revision": pin.revision,
            "status": status,
            "notes": [],
            "card": None,
            "card_etag": None,
            "config": None,
            "info": {},
            "renamed_to": None,
            "evaluations": [],
            "config_files": self.config_files,
            "signed_in": self.signed_in,
            "fetched_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def answers(self, pin: Pin) -> bool:
        """Whether the Hub gives a model's metadata and card."""
        from huggingface_hub.errors import HfHubHTTPError

        from tunescape.live.client import NetworkFailed
        from tunescape.live.listing import one

        try:
            found = one(self.api, pin.id, pin.revision)
            return found is not None and self._get(pin, "README.md", CARD_LIMIT).status == 200
        except (NetworkFailed, HfHubHTTPError):
            return False

    def _info(self, pin: Pin) -> tuple[dict[str, Any], str | None]:
        from huggingface_hub.errors import HfHubHTTPError

        from tunescape.live.listing import one

        known = self.cache.read("listed", pin.id, pin.revision)
        if known is not None:
            return known, None
        try:
            return one(self.api, pin.id, pin.revision) or {}, None
        except HfHubHTTPError as error:
            return {}, _refusal(error.response.status_code, error.response.headers)

    def _card(self, pin: Pin, entry: Entry) -> None:
        older = next(
            (old for old in self.cache.others("models", pin.id) if old.get("card_etag")), None
        )
        tag = older["card_etag"] if older else None
        answer = self._get(pin, "README.md", CARD_LIMIT, tag)
        _note_renaming(pin, answer, entry)
        if answer.too_large:
            entry["status"] = "card too large"
        elif answer.status == 304 and older is not None:
            entry["card"], entry["card_etag"] = older["card"], tag
            entry["notes"] += [note for note in older["notes"] if note == "bad encoding"]
        elif answer.body is None:
            entry["status"] = _refusal(answer.status, answer.headers)
        else:
            entry["card"], entry["card_etag"] = _text(answer.body, entry), answer.etag
        if entry["status"] == "ok" and not (entry["card"] or "").strip():
            entry["status"] = "no card"

    def _config(self, pin: Pin, entry: Entry, names: Sequence[str] | None) -> None:
        from tunescape.live.listing import config_of

        if self.config_files and (names is None or "config.json" in names):
            answer = self._get(pin, "config.json", FILE_LIMIT)
            if answer.body is not None:
                with suppress(ValueError, RecursionError):
                    found = json.loads(answer.body)
                    entry["config"] = config_of(found)
        if entry["config"] is None and not entry["info"].get("config"):
            entry["notes"].append("no config")

    def _evaluations(self, pin: Pin, entry: Entry, names: Sequence[str]) -> None:
        files = sorted(name for name in names if _EVALUATION.fullmatch(name))
        for name in files[:EVALUATION_FILES]:
            answer = self._get(pin, name, FILE_LIMIT)
            rows = None if answer.body is None else read_evaluations(name, answer.body)
            if rows is None:
                entry["notes"].append("unreadable evaluation file")
            else:
                entry["evaluations"] += rows

    def _get(self, pin: Pin, name: str, limit: int, tag: str | None = None) -> Answer:
        from huggingface_hub import hf_hub_url

        headers = {**self.headers, "If-None-Match": f'"{tag}"'} if tag else self.headers
        url = hf_hub_url(pin.id, name, revision=pin.revision)
        return self.client.download(url, headers, limit)


def _refusal(status: int, headers: Mapping[str, str]) -> str:
    """Why a model, or its card, cannot be had.

    Without a token the Hub answers 401 for private and for deleted models alike.
    """
    from tunescape.live.client import refuse_token

    refuse_token(headers)
    code = headers.get("x-error-code")
    if code == "EntryNotFound":
        return "no card"
    if code == "GatedRepo":
        return "gated"
    if "is disabled" in headers.get("x-error-message", ""):
        return "disabled"
    if status in (404, 410):
        return "gone"
    return "private" if status in (401, 403) else f"unavailable: HTTP {status}"


def _note_renaming(pin: Pin, answer: Answer, entry: Entry) -> None:
    for path in answer.visited[1:]:
        found = _RESOLVED.match(path)
        if found and found[1] != pin.id and is_hub_id(found[1]):
            entry["renamed_to"] = found[1]
    if entry["renamed_to"]:
        entry["notes"].append("renamed")


def _text(body: bytes, entry: Entry) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        entry["notes"].append("bad encoding")
        return body.decode("utf-8", "replace")


def read_evaluations(name: str, body: bytes) -> list[dict[str, Any]] | None:
    """Rows of one `.eval_results/*.yaml` file (the Hub's format for evaluation results).

    Whether a result carries a verification token is kept, the token is not.

    Returns:
        One row a result with a number; ``None`` when the file cannot be read.
    """
    import yaml

    try:
        found = yaml.safe_load(body.decode("utf-8"))
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return None  # YAML's own types (dates, numbers) raise what their constructors raise
    rows = []
    for item in found if isinstance(found, list) else [found]:
        if not isinstance(item, dict):
            return None
        dataset, source = item.get("dataset"), item.get("source")
        value = item.get("value")
        if not isinstance(dataset, dict) or isinstance(value, bool):
            continue
        if not isinstance(value, (int, float)):
            continue
        rows.append(
            {
                "file": name,
                "dataset": _short(dataset.get("id")),
                "task": _short(dataset.get("task_id")),
                "value": float(value) if abs(value) < 1e300 else None,
                "date": _short(item.get("date")),
                "source": _short(source.get("url")) if isinstance(source, dict) else None,
                "verifiable": bool(item.get("verifyToken")),
            }
        )
    return rows


def _short(value: object) -> str | None:
    """A single value as a text; a nest of aliases would become one without end."""
    if isinstance(value, str):
        return value[:200]
    return str(value) if isinstance(value, (date, float, bool)) else None


# --- all models ---------------------------------------------------------------------------------


def _saved(cache: Cache, pin: Pin, spec: Mapping[str, Any], signed_in: bool) -> bool:
    entry = cache.read("models", pin.id, pin.revision)
    if entry is None or (spec["config_files"] and not entry["config_files"]):
        return False
    # What was shut without a token may open with one; what nobody understood may have passed.
    shut = entry["status"] in _RECHECKED and signed_in and not entry["signed_in"]
    return not shut and not entry["status"].startswith("unavailable")


def _pages(models: int, spec: Mapping[str, Any]) -> int:
    from tunescape.identity import hub_spellings

    return max(sum(len(hub_spellings(name)) for name in spec["base_models"]), -(-models // PAGE))


def _list_again(api: HfApi, cache: Cache, unlisted: Sequence[Pin], spec: Mapping[str, Any]) -> None:
    """Save metadata of pinned commits from the listings that they were found in."""
    from tunescape.live.listing import children

    wanted = {(pin.id, pin.revision) for pin in unlisted}
    for base in spec["base_models"]:
        for info in children(api, base):
            if (info["id"], info["sha"]) in wanted:
                cache.write("listed", info["id"], info["sha"], info)


def _run(worker: _Worker, missing: Sequence[Pin], pins: Sequence[Pin], progress: Progress) -> None:
    """Download what is missing of ``pins`` in threads and save in this one.

    Raises:
        NetworkFailed: after several failures in a row, or at the end when there was any that is
            not the model's own.
    """
    from tunescape.live.client import NetworkFailed, Stopped

    policy, stop = worker.client.policy, worker.client.gate.stop
    work, done = iter(missing), queue.SimpleQueue[tuple[Pin, Entry | BaseException]]()
    lock = threading.Lock()

    def loop() -> None:
        while not stop.is_set():
            with lock:
                pin = next(work, None)
            if pin is None:
                return
            try:
                done.put((pin, worker.fetch(pin)))
            except BaseException as error:
                done.put((pin, error))

    threads = [
        threading.Thread(target=loop, daemon=True)
        for _ in range(min(policy.max_in_flight, len(missing)))
    ]
    for thread in threads:
        thread.start()
    failed: dict[Pin, Exception] = {}
    in_a_row = 0
    try:
        for _ in missing:
            pin, result = done.get()
            if isinstance(result, (NetworkFailed, Stopped)):
                failed[pin] = result
                in_a_row += 1
            elif isinstance(result, BaseException):
                raise result
            else:
                worker.cache.write("models", pin.id, pin.revision, result)
                in_a_row = 0
            progress.step(isinstance(result, BaseException), worker.client.retried)
            if in_a_row >= max(3, policy.max_in_flight):
                break
        else:
            for pin, status in _own_failures(failed, pins, worker).items():
                entry = worker.entry(pin, f"unavailable: HTTP {status}")
                worker.cache.write("models", pin.id, pin.revision, entry)
                del failed[pin]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        _save_rest(worker.cache, done)
    for problem in failed.values():
        raise problem


def _own_failures(
    failed: Mapping[Pin, Exception], pins: Sequence[Pin], worker: _Worker
) -> dict[Pin, int]:
    """HTTP status of models that failed for themselves, while the Hub answers for others.

    Either all that failed did, or none: they are few, the Hub called each error its own, and it
    gives another model that it gave before.
    """
    from tunescape.live.client import NetworkFailed

    if not failed or len(failed) > max(1, OWN_FAILURES * len(pins)):
        return {}
    told = {
        pin: error.status
        for pin, error in failed.items()
        if isinstance(error, NetworkFailed) and error.status is not None and error.status >= 500
    }
    entries = ((pin, worker.cache.read("models", pin.id, pin.revision)) for pin in pins)
    given = (pin for pin, entry in entries if entry is not None and entry["status"] == "ok")
    alive = len(told) == len(failed) and any(map(worker.answers, islice(given, 3)))
    return told if alive else {}


def _save_rest(cache: Cache, done: queue.SimpleQueue[tuple[Pin, Entry | BaseException]]) -> None:
    with suppress(queue.Empty):
        while True:
            pin, result = done.get_nowait()
            if not isinstance(result, BaseException):
                cache.write("models", pin.id, pin.revision, result)


# --- tables -------------------------------------------------------------------------------------


def flow_beside(models_path: str | Path) -> Path:
    """Where the sample flow of a list of models lies."""
    return Path(models_path).with_suffix(".flow.csv")


def _write_flow(
    models_path: str | Path,
    pinned: int,
    chosen: int,
    statuses: Mapping[str, int],
    notes: Mapping[str, int],
    out_flow: str | Path,
) -> None:
    import pandas as pd

    beside = flow_beside(models_path)
    found = read_table(beside) if beside.exists() else None
    rows: list[tuple[Any, ...]] = []
    if found is not None and len(found) and int(found["after"].iloc[-1]) == pinned:
        rows += found[list(FLOW_COLUMNS)].itertuples(index=False, name=None)
    if chosen < pinned:
        left = pinned - chosen
        rows.append((POPULATION, "sample", "not in the pilot sample", pinned, chosen, left))
    for told in (statuses, notes):
        for reason, number in sorted(told.items()):
            if reason != "ok":
                said = f"{reason}: {number}, kept with this status"
                rows.append((POPULATION, "harvest", said, chosen, chosen, 0))
    write_table(pd.DataFrame(rows, columns=list(FLOW_COLUMNS)), out_flow, FLOW_COLUMNS)


def _write_rows(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    columns: Mapping[str, str],
    sort_by: Sequence[str],
) -> None:
    import pandas as pd

    frame = pd.DataFrame([{name: row[name] for name in columns} for row in rows])
    frame = frame if len(rows) else pd.DataFrame(columns=list(columns))
    write_table(frame, path, columns, sort_by=sort_by)


Harvest = Mapping[str, tuple[str, str]]
"""Model -> revision and status."""


def _last_harvest(folder: Path, now: Harvest) -> Harvest:
    """The latest harvest that differs from this one, which is put on record; empty at first."""
    plain = {model: list(told) for model, told in now.items()}
    kept = sorted(folder.glob("*.json"))
    known = [read_json(path) for path in kept[-2:]]
    if not known or known[-1] != plain:
        write_json(plain, folder / f"{len(kept):06d}.json")
        known.append(plain)
    before = known[-2] if len(known) > 1 else {}
    return {model: (told[0], told[1]) for model, told in before.items()}


def _changes(before: Harvest, now: Harvest, pinned: set[str]) -> list[dict[str, Any]]:
    rows = []
    for model in sorted({*before, *now}):
        old, new = before.get(model), now.get(model)
        if old == new or (new is None and model in pinned):
            continue
        change = "new" if old is None else "vanished" if new is None else "changed"
        if old is not None and new is not None and new[1] in ("gone", "private", "disabled"):
            change = "vanished"
        rows.append(
            {
                "id": model,
                "change": change,
                "revision_before": old[0] if old else None,
                "revision": new[0] if new else None,
                "status_before": old[1] if old else None,
                "status": new[1] if new else None,
            }
        )
    return rows
