"""One polite client for every request to the Hub: paced, retried, and told to wait when asked.

huggingface_hub shares one httpx client between all of its calls. The client made here takes that
place, so that listings, metadata and files alike keep to one rate, one number of requests in
flight and one way of trying again. huggingface_hub itself retries listings but not
``model_info``, and its downloads cost two requests a file.
"""

from __future__ import annotations

import email.utils
import hashlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
from huggingface_hub import constants, is_offline_mode
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import (
    close_session,
    get_session,
    parse_ratelimit_headers,
    set_client_factory,
)

from tunescape.errors import UserError

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that say to try again."""

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ERROR_BYTES = 1 << 16


@dataclass(frozen=True)
class Policy:
    """How requests are made.

    Attributes:
        requests_per_second: most requests a second, redirects and retries included.
        max_in_flight: most requests at one time.
        attempts: how often one request is tried before the network counts as failed.
        backoff: seconds before the second attempt; doubles with each, less up to half at random.
        longest_backoff: upper bound of that, in seconds.
        longest_wait: most seconds that one request waits because the server says so.
        timeout: seconds without a byte after which an attempt has failed.
    """

    requests_per_second: float = 20.0
    max_in_flight: int = 8
    attempts: int = 7
    backoff: float = 0.5
    longest_backoff: float = 30.0
    longest_wait: float = 900.0
    timeout: float = 30.0


@dataclass(frozen=True)
class Answer:
    """A downloaded file, or why there is none.

    Attributes:
        status: HTTP status of the last hop.
        body: the file; ``None`` unless the status is 200 and the file within the limit.
        too_large: whether the file is larger than the limit.
        etag: entity tag without quotes.
        headers: of the last hop.
        visited: path of every hop's URL, the first one first.
    """

    status: int
    body: bytes | None
    too_large: bool
    etag: str | None
    headers: Mapping[str, str]
    visited: tuple[str, ...]


class NetworkFailed(Exception):
    """A request that was given up: says which and why, never with a header of ours.

    Attributes:
        status: HTTP status of the last attempt; ``None`` when it had no answer.
    """

    def __init__(self, said: str, status: int | None = None) -> None:
        super().__init__(said)
        self.status = status


class Stopped(Exception):
    """Raised in waiting requests when the harvest is being ended."""


class Gate:
    """Spaces requests evenly, and holds back one kind of them while the server says so."""

    def __init__(self, per_second: float) -> None:
        self.stop = threading.Event()
        self._interval = 1.0 / per_second
        self._lock = threading.Lock()
        self._next = 0.0
        self._until: dict[str, float] = {}

    def enter(self, kind: str) -> None:
        """Wait until a request of this kind may be sent."""
        while True:
            with self._lock:
                now = time.monotonic()
                ready = max(self._next, self._until.get(kind, 0.0))
                if ready <= now:
                    self._next = now + self._interval
                    return
            self.sleep(ready - now)

    def pause(self, kind: str, seconds: float) -> None:
        """Send no request of this kind for some seconds."""
        with self._lock:
            self._until[kind] = max(self._until.get(kind, 0.0), time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Sleep, unless the harvest is being ended."""
        if self.stop.wait(seconds):
            raise Stopped


class PoliteClient(httpx2.Client):
    """The client that huggingface_hub shares, kept to a policy."""

    def __init__(self, policy: Policy, gate: Gate) -> None:
        super().__init__(
            event_hooks={"request": [self._before], "response": [self._after]},
            follow_redirects=True,
            timeout=policy.timeout,
            limits=httpx2.Limits(
                max_connections=policy.max_in_flight,
                max_keepalive_connections=policy.max_in_flight,
            ),
        )
        self.policy = policy
        self.gate = gate
        self.sent = 0
        self.retried = 0
        self._tags_are_digests: bool | None = None

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, again where that can help.

        Raises:
            NetworkFailed: when the last attempt failed, too.
        """

        def attempt() -> httpx2.Response:
            response = self._send_once(request, **options)
            if response.status_code == 200 and "json" in response.headers.get("content-type", ""):
                # A wrong Content-Length cuts an answer off without any other sign.
                try:
                    response.json()
                except ValueError:
                    raise httpx2.RemoteProtocolError("the answer is not JSON") from None
            return response

        return self._persist(str(request.url), attempt)

    def download(self, url: str, headers: Mapping[str, str], limit: int) -> Answer:
        """Get a file into memory, checked against its entity tag where that is a digest.

        Args:
            url: as ``huggingface_hub.hf_hub_url`` makes it.
            headers: as ``huggingface_hub.utils.build_hf_headers`` makes them.
            limit: most bytes that are read.

        Raises:
            NetworkFailed: when the last attempt failed, too.
        """
        found: Answer | None = None
        misfits: list[bytes] = []

        def attempt() -> httpx2.Response:
            nonlocal found
            request = self.build_request("GET", url, headers=dict(headers))
            response = self._send_once(request, stream=True)
            try:
                found = _answer(response, limit)
            finally:
                response.close()
            if found.body is not None and _DIGEST.fullmatch(found.etag or ""):
                self._check(found, misfits)
            return response

        try:
            self._persist(url, attempt)
        except httpx2.TooManyRedirects:
            return Answer(310, None, False, None, {}, ())
        assert found is not None
        return found

    def _send_once(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        return super().send(request, **options)

    def _check(self, answer: Answer, misfits: list[bytes]) -> None:
        """Refuse a file that does not fit its tag, where tags are known to be digests.

        Mirrors give tags that only look like digests: there, what comes three times is the file.
        """
        assert answer.body is not None
        if intact(answer.body, answer.etag or ""):
            self._tags_are_digests = True
        elif self._tags_are_digests is not False:
            misfits.append(answer.body)
            same = len(misfits) == 3 and len(set(misfits)) == 1
            if self._tags_are_digests or not same:
                raise httpx2.RemoteProtocolError("the file does not fit its entity tag")
            self._tags_are_digests = False

    def _persist(self, url: str, attempt: Callable[[], httpx2.Response]) -> httpx2.Response:
        policy, tries, waited = self.policy, 0, 0.0
        while True:
            asked: float | None = None
            status: int | None = None
            try:
                response = attempt()
            except httpx2.UnsupportedProtocol as error:
                raise NetworkFailed(f"{_shown(url)}: {error}") from None
            except (httpx2.TransportError, httpx2.DecodingError) as error:
                problem = f"{type(error).__name__}: {error}".strip(": ")
            else:
                if response.status_code not in RETRIED:
                    return response
                status = response.status_code
                problem = f"HTTP {status}"
                asked = asked_wait(response.headers)
                response.close()
            self.retried += 1
            if asked is not None:
                # A wait that the server asks for is no failure, up to a bound.
                waited += max(asked, 5.0)
                if waited > policy.longest_wait:
                    raise NetworkFailed(
                        f"{_shown(url)}: {problem}, to be tried in {asked:.0f} s", status
                    )
                self.gate.pause(kind_of(url), asked)
                continue
            tries += 1
            if tries >= policy.attempts:
                raise NetworkFailed(f"{_shown(url)}: {problem} ({tries} attempts)", status)
            longest = min(policy.longest_backoff, policy.backoff * 2 ** (tries - 1))
            self.gate.sleep(longest * random.uniform(0.5, 1.0))

    def _before(self, request: httpx2.Request) -> None:
        if is_offline_mode():
            raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
        self.gate.enter(kind_of(request.url.path))
        self.sent += 1

    def _after(self, response: httpx2.Response) -> None:
        if "ratelimit" in response.headers:
            told = parse_ratelimit_headers(response.headers)
            if told is not None and told.remaining == 0:
                seconds = min(float(told.reset_in_seconds), self.policy.longest_wait)
                self.gate.pause(kind_of(response.url.path), seconds)


@contextmanager
def hub_session(policy: Policy) -> Iterator[PoliteClient]:
    """Make huggingface_hub use one polite client.

    Yields:
        The client, which ``HfApi`` uses as well.
    """
    gate = Gate(policy.requests_per_second)
    set_client_factory(lambda: PoliteClient(policy, gate))
    client = get_session()
    assert isinstance(client, PoliteClient)
    try:
        yield client
    finally:
        gate.stop.set()
        close_session()
        set_client_factory(_plain_client)


def _plain_client() -> httpx2.Client:
    return httpx2.Client(follow_redirects=True, timeout=None)


def endpoint() -> str:
    """Where the Hub is (``HF_ENDPOINT``), without any password that the address may hold."""
    return re.sub(r"//[^/@]*@", "//", str(constants.ENDPOINT))


def kind_of(url: str) -> str:
    """Which of the Hub's quotas a request counts towards: ``file`` or ``api``."""
    return "file" if "/resolve" in url else "api"


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: ``Retry-After`` (seconds or date) or ``RateLimit``."""
    stated = headers.get("retry-after", "").strip()
    if stated.isdigit():
        return float(stated)
    if stated:
        try:
            moment = email.utils.parsedate_to_datetime(stated)
        except ValueError:
            moment = None
        if moment is not None:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    told = parse_ratelimit_headers(headers)
    return float(told.reset_in_seconds) if told is not None and told.remaining == 0 else None


def refuse_token(answer_headers: Mapping[str, str]) -> None:
    """Stop when the Hub does not take the token: every request would fail alike.

    Raises:
        UserError: that says so, without the token.
    """
    if "Invalid credentials" in answer_headers.get("x-error-message", ""):
        raise UserError(
            "the Hub does not accept the access token",
            where=endpoint(),
            fix="log in again (`hf auth login`), or unset HF_TOKEN: public models need none",
        )


def _answer(response: httpx2.Response, limit: int) -> Answer:
    hops = [*response.history, response]
    tags = [hop.headers.get("x-linked-etag") for hop in hops] + [response.headers.get("etag")]
    tag = next((tag for tag in tags if tag), None)
    body, too_large = _read(response, limit if response.status_code == 200 else _ERROR_BYTES)
    return Answer(
        status=response.status_code,
        body=body if response.status_code == 200 and not too_large else None,
        too_large=too_large and response.status_code == 200,
        etag=tag.removeprefix("W/").strip('"') if tag else None,
        headers=response.headers,
        visited=tuple(hop.url.path for hop in hops),
    )


def _read(response: httpx2.Response, limit: int) -> tuple[bytes, bool]:
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if size > limit:
            return b"", True
        parts.append(part)
    return b"".join(parts), False


def intact(body: bytes, tag: str) -> bool:
    """Whether a file has the digest that its tag states: SHA-256 of large files, else git's."""
    if len(tag) == 64:
        return hashlib.sha256(body).hexdigest() == tag
    return git_digest(body) == tag


def git_digest(body: bytes) -> str:
    """The name that git gives a file of this content, which the Hub uses as its entity tag."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def _shown(url: str) -> str:
    """A URL without user, query and fragment, which can hold secrets."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]
