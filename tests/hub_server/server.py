"""A small Hub on the loopback: what huggingface_hub's client asks for, and seeded misbehaviour.

It speaks as the Hub does as far as the client can tell: pages with absolute ``Link`` addresses,
``expand``, metadata at a revision, files behind a redirect with ``ETag`` and ``X-Repo-Commit``,
``X-Error-Code`` for what cannot be had, 307 for what was renamed, ``RateLimit`` with the quota
that is left. Large files are redirected to another port, as to another host.

    python tests/hub_server/server.py MODELS.jsonl    # prints its address; ends with its input
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

REASONS = {
    200: "OK",
    302: "Found",
    304: "Not Modified",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
CODES = {
    "gated": (401, "GatedRepo", "Access to this model is restricted"),
    "private": (401, "RepoNotFound", "Repository not found"),
    "gone": (404, "RepoNotFound", "Repository not found"),
    "disabled": (403, "", "Access to this resource is disabled."),
}
LARGE = 100_000
"""Files from this size on are served from the other port."""


@dataclass
class Model:
    """A repository at one commit; ``state`` says what is wrong with it, if anything."""

    id: str
    sha: str
    files: dict[str, bytes]
    tags: list[str] = field(default_factory=list)
    state: str = "ok"
    renamed_from: str | None = None
    listed: bool = True
    more: dict[str, Any] = field(default_factory=dict)

    def info(self, expand: Iterable[str] | None) -> dict[str, Any]:
        """What the API says of it."""
        full: dict[str, Any] = {
            "sha": self.sha,
            "lastModified": "2024-03-05T10:00:00.000Z",
            "downloads": len(self.id),
            "likes": 1,
            "tags": self.tags,
            "pipeline_tag": "text-classification",
            "library_name": "transformers",
            "gated": "manual" if self.state == "gated" else False,
            "private": False,
            "disabled": self.state == "disabled",
            "config": {
                "architectures": ["DistilBertForSequenceClassification"],
                "model_type": "distilbert",
            },
            "siblings": [{"rfilename": name} for name in self.files],
            "safetensors": {"parameters": {"F32": 66955010}, "total": 66955010},
            **self.more,
        }
        chosen = full if expand is None else {key: full[key] for key in expand if key in full}
        return {"_id": hashlib.md5(self.id.encode()).hexdigest()[:24], "id": self.id, **chosen}


@dataclass(frozen=True)
class Fault:
    """A misbehaviour: which one, at which step, of which share of addresses, how often each.

    Steps: ``list``, ``info``, ``resolve`` (the redirect), ``file``, ``cdn``. Kinds: ``429`` and
    ``retry-date`` (with ``Retry-After``), ``ratelimit`` (with ``RateLimit`` alone), ``500``,
    ``503``, ``reset``, ``silent`` (closed without an answer), ``truncated``, ``slow`` (in drops),
    ``stalled`` (stops half-way), ``long_length`` and ``short_length`` (wrong ``Content-Length``),
    ``garbled`` (other bytes of the same length).
    """

    kind: str
    step: str
    times: int = 1
    share: float = 1.0
    seed: int = 1


@dataclass
class Answer:
    """Status, headers and body."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class HubServer:
    """Serves models from a thread of its own.

    Args:
        models: what is there.
        page: models a page of a listing.
        quota: requests left at the start, by kind (``api``, ``resolvers``), and the seconds after
            which they are there again; no quota unless given.
    """

    def __init__(
        self,
        models: Iterable[Model] = (),
        page: int = 1000,
        quota: Mapping[str, int] | None = None,
        window: float = 1.0,
    ) -> None:
        self.page, self.quota, self.window = page, dict(quota or {}), window
        self.faults: list[Fault] = []
        self.log: list[dict[str, Any]] = []
        self.injected: Counter[str] = Counter()
        self.token: str | None = None
        self.busy = self.busiest = 0
        self._used: dict[str, tuple[float, int]] = {}
        self._met: Counter[tuple[Fault, str]] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.port = self.cdn_port = 0
        self.set_models(models)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait()

    def set_models(self, models: Iterable[Model]) -> None:
        """Serve these models from now on."""
        chosen = list(models)
        self.models = {model.id: model for model in chosen}
        self.moved = {m.renamed_from: m.id for m in chosen if m.renamed_from}
        self._listed = sorted((m for m in chosen if m.listed), key=lambda m: m.id)

    def reset(self, faults: Iterable[Fault] = ()) -> None:
        """Forget what was asked, and misbehave like this from now on."""
        self.faults = list(faults)
        self.log.clear()
        self.busiest = 0
        self.injected.clear()
        self._met.clear()
        self._used.clear()

    @property
    def url(self) -> str:
        """Value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # --- answers --------------------------------------------------------------------------------

    def answer(self, path: str, query: dict[str, list[str]], headers: dict[str, str]) -> Answer:
        """What the Hub would say."""
        if self.token and headers.get("authorization") not in (None, f"Bearer {self.token}"):
            message = "Invalid credentials in Authorization header"
            return Answer(401, headers={"X-Error-Message": message})
        if path == "/api/models":
            return self._list(query)
        if path.startswith("/api/models/"):
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            found = self._model(name, revision or None, f"/api/models/{{}}/revision/{revision}")
            if isinstance(found, Answer):
                return found
            return _json(found.info(query.get("expand")))
        if path.startswith("/api/resolve-cache/models/"):
            owner, name, _, file = path.removeprefix("/api/resolve-cache/models/").split("/", 3)
            return self._file(self.models[f"{owner}/{name}"], file, headers)
        name, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        found = self._model(name, revision, f"/{{}}/resolve/{rest}")
        if isinstance(found, Answer):
            return found
        if found.state == "gated":
            return _refused("gated")
        if file not in found.files:
            return Answer(
                404, headers={"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            )
        common = {"X-Repo-Commit": found.sha}
        if len(found.files[file]) >= LARGE:
            tag = hashlib.sha256(found.files[file]).hexdigest()
            to = f"http://127.0.0.1:{self.cdn_port}/cdn/{found.id}/{quote(file)}?Signature=x"
            return Answer(302, headers={**common, "Location": to, "X-Linked-Etag": f'"{tag}"'})
        to = f"/api/resolve-cache/models/{found.id}/{found.sha}/{quote(file)}"
        return Answer(307, headers={**common, "Location": to})

    def _list(self, query: dict[str, list[str]]) -> Answer:
        tags, term = query.get("filter", []), query.get("search", [""])[0].lower()
        start = int(query.get("cursor", ["0"])[0])
        chosen = [
            model
            for model in self._listed
            if all(tag in model.tags for tag in tags) and term in model.id.lower()
        ]
        size = min(self.page, int(query.get("limit", [self.page])[0]))
        answer = _json([m.info(query.get("expand")) for m in chosen[start : start + size]])
        if start + size < len(chosen):
            following = {**query, "cursor": [str(start + size)]}
            address = f"{self.url}/api/models?{urlencode(following, doseq=True)}"
            answer.headers["Link"] = f'<{address}>; rel="next"'
        return answer

    def _model(self, name: str, revision: str | None, place: str) -> Model | Answer:
        if name in self.moved:
            to = place.format(self.moved[name])
            return Answer(307, headers={"Location": f"{self.url}{to}"})
        found = self.models.get(name)
        if found is None or found.state == "gone":
            return _refused("gone")
        if found.state in ("private", "disabled"):
            return _refused(found.state)
        if revision not in (None, "main", found.sha):
            message = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}
            return Answer(404, headers=message)
        return found

    def _file(self, model: Model, file: str, headers: dict[str, str]) -> Answer:
        body = model.files[file]
        digest = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        told = {"ETag": f'"{digest}"', "X-Repo-Commit": model.sha}
        if headers.get("if-none-match") == told["ETag"]:
            return Answer(304, headers=told)
        return Answer(200, body, told | {"Content-Type": "text/plain; charset=utf-8"})

    # --- misbehaviour ---------------------------------------------------------------------------

    def _fault(self, step: str, address: str) -> Fault | None:
        for fault in self.faults:
            if fault.step != step or self._met[fault, address] >= fault.times:
                continue
            if random.Random(f"{fault.seed}:{address}").random() < fault.share:
                self._met[fault, address] += 1
                self.injected[f"{fault.kind} at {fault.step}"] += 1
                return fault
        return None

    def _limited(self, kind: str) -> tuple[dict[str, str], bool]:
        """``RateLimit`` headers, and whether the quota is used up."""
        if kind not in self.quota:
            return {}, False
        began, used = self._used.get(kind, (0.0, 0))
        now = time.monotonic()
        if now - began >= self.window:
            began, used = now, 0
        over = used >= self.quota[kind]
        used += not over
        self._used[kind] = began, used
        left = max(0, self.quota[kind] - used)
        seconds = max(1, round(began + self.window - now))
        return {
            "RateLimit": f'"{kind}";r={left};t={seconds}',
            "RateLimit-Policy": f'"fixed window";"{kind}";q={self.quota[kind]};w={self.window:.0f}',
        }, over

    # --- HTTP -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        hub = await asyncio.start_server(self._hub, "127.0.0.1", 0, backlog=256)
        cdn = await asyncio.start_server(self._cdn, "127.0.0.1", 0, backlog=256)
        self.port = hub.sockets[0].getsockname()[1]
        self.cdn_port = cdn.sockets[0].getsockname()[1]

    async def _hub(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._connection(reader, writer, "hub")

    async def _cdn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._connection(reader, writer, "cdn")

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        try:
            while await self._exchange(reader, writer, host):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> bool:
        """One request and its answer; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            return await self._respond(writer, method, target, headers, host)
        finally:
            self.busy -= 1

    async def _respond(
        self,
        writer: asyncio.StreamWriter,
        method: str,
        target: str,
        headers: dict[str, str],
        host: str,
    ) -> bool:
        split = urlsplit(target)
        path, query = unquote(split.path), parse_qs(split.query)
        step, fault = self._step(path, host), None
        fault = self._fault(step, f"{path}?{split.query}")
        limits, over = self._limited("resolvers" if "/resolve" in path else "api")
        seen = {"t": time.monotonic(), "host": host, "step": step, "path": path, "method": method}
        seen |= {"signed_in": "authorization" in headers, "fault": fault.kind if fault else None}
        self.log.append(seen)
        if over:
            answer = Answer(429)
        elif fault and fault.kind in ("429", "retry-date", "ratelimit", "500", "503"):
            answer = _trouble(fault.kind, "resolvers" if "/resolve" in path else "api")
        elif host == "cdn":
            _, _, owner, name, file = path.split("/", 4)
            answer = Answer(200, self.models[f"{owner}/{name}"].files[file])
        else:
            answer = self.answer(path, query, headers)
        answer.headers = {**limits, **answer.headers}
        seen["status"] = answer.status
        return await _send(writer, answer, method, fault.kind if fault else "")

    @staticmethod
    def _step(path: str, host: str) -> str:
        if host == "cdn":
            return "cdn"
        if path == "/api/models":
            return "list"
        if path.startswith("/api/resolve-cache/"):
            return "file"
        return "info" if path.startswith("/api/models/") else "resolve"


def _json(data: object) -> Answer:
    return Answer(200, json.dumps(data).encode(), {"Content-Type": "application/json"})


def _refused(state: str) -> Answer:
    status, code, message = CODES[state]
    told = {"X-Error-Message": message}
    return Answer(status, headers=told | ({"X-Error-Code": code} if code else {}))


def _trouble(kind: str, quota: str) -> Answer:
    if kind == "429":
        return Answer(429, headers={"Retry-After": "1"})
    if kind == "retry-date":
        moment = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 1))
        return Answer(503, headers={"Retry-After": moment})
    if kind == "ratelimit":
        return Answer(429, headers={"RateLimit": f'"{quota}";r=0;t=1'})
    return Answer(int(kind), b"<html>trouble</html>", {"Content-Type": "text/html"})


async def _send(writer: asyncio.StreamWriter, answer: Answer, method: str, fault: str) -> bool:
    """Write an answer, or what a fault makes of it; whether the connection stays open."""
    if fault in ("reset", "silent"):
        if fault == "reset":
            writer.transport.abort()
        return False
    body, length = answer.body, len(answer.body)
    if fault == "garbled":
        body = bytes(byte ^ 1 for byte in body)
    if fault == "long_length":
        length += 10
    if fault == "short_length":
        length = max(0, length - 10)
    reason = REASONS.get(answer.status, "Unknown")
    lines = [f"HTTP/1.1 {answer.status} {reason}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if method == "HEAD" or answer.status == 304:
        body = b""
    if fault in ("truncated", "stalled"):
        writer.write(head + body[: len(body) // 2])
        await writer.drain()
        if fault == "stalled":
            await asyncio.sleep(1.0)
        return False
    if fault == "slow":
        writer.write(head)
        for start in range(0, len(body), max(1, len(body) // 4)):
            await asyncio.sleep(0.02)
            writer.write(body[start : start + max(1, len(body) // 4)])
        await writer.drain()
        return True
    writer.write(head + body)
    await writer.drain()
    return fault not in ("long_length", "short_length")


def main() -> None:
    """Serve models of a JSON Lines file (id, sha, card, tags) until the input ends."""
    models = []
    with Path(sys.argv[1]).open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            card = {"README.md": row.pop("card").encode()}
            models.append(Model(files=card, **row))
    server = HubServer(models)
    print(json.dumps({"url": server.url}), flush=True)
    used = sum(os.times()[:2])
    sys.stdin.read()
    used = sum(os.times()[:2]) - used
    print(json.dumps({"requests": len(server.log), "cpu": used}), flush=True)


if __name__ == "__main__":
    main()
