"""What a harvest will cost, told before its first request, and how far it is."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from typing import TextIO

WINDOW = 300
"""Seconds that the Hub's quotas are for."""

QUOTAS: dict[bool, dict[str, int]] = {
    False: {"api": 500, "file": 3000},
    True: {"api": 1000, "file": 5000},
}
"""Signed in -> requests in a window, as published for anonymous and for free accounts."""

HOPS = 2
"""Requests that a file takes, as the Hub redirects each once; its quota counts one of them."""

PAGE = 1000
"""Models that one request of a listing gives."""

_LOG = logging.getLogger("tunescape")


@dataclass(frozen=True)
class Plan:
    """Requests of a harvest.

    Attributes:
        models: how many are wanted.
        cached: how many of them are there already.
        listings: requests of listings, of up to :data:`PAGE` models each.
        infos: requests for one model's metadata.
        files: requests for files.
    """

    models: int
    cached: int
    listings: int
    infos: int
    files: int

    @property
    def requests(self) -> int:
        """All requests, where none has to be repeated."""
        return self.listings + self.infos + self.files

    def seconds(self, per_second: float, signed_in: bool) -> float:
        """Expected seconds under the published quotas.

        Args:
            per_second: most requests a second, redirects included.
            signed_in: whether there is a token.
        """
        quota = QUOTAS[signed_in]
        api = _seconds(self.listings + self.infos, quota["api"], per_second)
        return api + _seconds(self.files, quota["file"], per_second / HOPS)

    def told(self, rate: float | None, signed_in: bool) -> str:
        """The plan in a sentence.

        Args:
            rate: requests a second that the study asks for; the quotas' rate unless stated.
            signed_in: whether there is a token.
        """
        if not self.requests:
            return f"{self.models:,} models, all of them saved before: nothing to download"
        without, using = (
            duration(self.seconds(rate or default_rate(token), token)) for token in (False, True)
        )
        return (
            f"{self.models:,} models, {self.cached:,} saved before; {self.requests:,} requests "
            f"({self.listings:,} of listings, {self.infos:,} of metadata, {self.files:,} of "
            f"files, each redirected once); about {without} without a token, {using} with one "
            f"({'one is' if signed_in else 'none is'} set)"
        )


def default_rate(signed_in: bool) -> float:
    """Requests a second, redirects included, that the quota allows for ever: 20, or 33."""
    return HOPS * QUOTAS[signed_in]["file"] / WINDOW


def announce(text: str) -> None:
    """Tell the user, and the log."""
    _LOG.info("%s", text)
    print(f"tunescape: {text}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``45 s``, ``8 min``, ``2 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _seconds(requests: int, quota: int, per_second: float) -> float:
    if not requests:
        return 0.0
    windows = (requests - 1) // quota
    return windows * max(WINDOW, quota / per_second) + (requests - windows * quota) / per_second


class Progress:
    """One line that says how far a harvest is; drawn in place on a terminal.

    Args:
        total: models to download.
        stream: where it is written.
        every: seconds between lines where they cannot be drawn in place.
    """

    def __init__(self, total: int, stream: TextIO | None = None, every: float = 10.0) -> None:
        self.total, self.done, self.failed = total, 0, 0
        self._stream = stream if stream is not None else sys.stderr
        self._place = self._stream.isatty()
        self._every = 0.2 if self._place else every
        self._began = self._told = time.monotonic()

    def step(self, failed: bool, retried: int) -> None:
        """Count one model and tell, unless that was just done."""
        self.done += 1
        self.failed += failed
        now = time.monotonic()
        if now - self._told >= self._every or self.done == self.total:
            self._told = now
            self._write(self.line(now - self._began, retried))

    def line(self, elapsed: float, retried: int) -> str:
        """Bar, counts, rate, remaining time and errors so far."""
        filled = 20 * self.done // max(1, self.total)
        rate = self.done / max(elapsed, 1e-9)
        left = duration((self.total - self.done) / max(rate, 1e-9))
        return (
            f"[{'#' * filled}{'-' * (20 - filled)}] {self.done:,}/{self.total:,} models, "
            f"{rate:.1f}/s, {left} left, {self.failed:,} failed, {retried:,} requests repeated"
        )

    def _write(self, line: str) -> None:
        end = "\n" if not self._place or self.done == self.total else ""
        self._stream.write(f"{chr(13) if self._place else 'tunescape: '}{line}{end}")
        self._stream.flush()
