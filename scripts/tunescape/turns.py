"""One call of the workflow at a time in a folder, and no job that outlives its call.

The turn is a lock of the operating system, which ends with the process that holds it: a killed call
leaves nothing to unlock. Every job that a call starts, here or on a cluster's node, holds a second
lock and looks whether the turn is still its call's. When it is not, the job ends at once, so that
it cannot write among the results of the call that came after.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

from tunescape.errors import UserError
from tunescape.tables import PARTIAL

logger = logging.getLogger("tunescape.turns")

TURN = Path(".snakemake/tunescape.turn")
"""Held by the call at work, and says which one it is; empty when it ended by itself."""
JOBS = Path(".snakemake/tunescape.jobs")
"""Held together by all jobs at work."""
WRITTEN = ("results", "work")
"""Folders that the workflow writes."""

VARIABLE = "TUNESCAPE_TURN"
"""What a job inherits of its call: ``local`` or ``remote``, the turn's token, the folder."""
LOOK_SECONDS = {"local": 0.5, "remote": 15.0}
"""How often a job looks; on a cluster every look is a request to the file server."""
PATIENCE_SECONDS = 3.0
LAST_JOBS_SECONDS = 120.0

_held: list[IO[str]] = []


def take_turn(folder: str | Path) -> None:
    """Be the one call at work in a folder until this process ends, however it ends.

    Waits for jobs of a killed call to end, and removes what killed jobs left half-written.

    Raises:
        UserError: another call is at work, a job of an earlier one does not end, or a folder that
            the workflow writes cannot be written.
    """
    folder = Path(folder).resolve()
    for name in WRITTEN:
        _require_writable(folder / name)
    path = folder / TURN
    handle = _open(path)
    if not _lock(handle, fcntl.LOCK_EX, PATIENCE_SECONDS):
        raise UserError(
            f"another snakemake{_describe(path)} is at work in this folder",
            where=str(folder),
            fix="wait for it, or end it, and run again",
        )
    _held.append(handle)
    token = uuid4().hex
    started = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    turn = {"token": token, "pid": os.getpid(), "host": socket.gethostname(), "started": started}
    _rewrite(handle, json.dumps(turn))
    atexit.register(_rewrite, handle, "")
    os.environ[VARIABLE] = f"local {token} {folder}"
    with _open(folder / JOBS) as jobs:
        if not _lock(jobs, fcntl.LOCK_EX, LAST_JOBS_SECONDS):
            raise UserError(
                "a job of an earlier call is still at work in this folder",
                where=str(folder),
                fix="wait for it, or end it, and run again",
            )
    _remove_partial(folder)


def is_free(folder: str | Path) -> bool:
    """Whether no call is at work in a folder."""
    try:
        with (Path(folder) / TURN).open() as handle:
            return _lock(handle, fcntl.LOCK_SH, 0.0)
    except OSError:
        return True


def join_turn() -> None:
    """In the process that a cluster started for a job: see that the job's call has its turn.

    Such a job goes on when its call is killed, and ends when another call takes the turn.

    Raises:
        UserError: another call has it.
    """
    inherited = _inherited()
    if inherited is None:
        return
    _, token, folder = inherited
    os.environ[VARIABLE] = f"remote {token} {folder}"
    _hold_jobs(folder)
    if _is_over("remote", token, folder):
        raise UserError(
            "the call of snakemake that submitted this job has ended", where=str(folder)
        )


def keep_turn() -> None:
    """In a job's script: end this process as soon as the job's call has lost its turn."""
    inherited = _inherited()
    if inherited is None:
        return
    kind, token, folder = inherited
    _hold_jobs(folder)

    def look() -> None:
        while not _is_over(kind, token, folder):
            time.sleep(LOOK_SECONDS[kind])
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _inherited() -> tuple[str, str, Path] | None:
    """Kind, token and folder of the call's turn, unless the folder is another machine's alone."""
    if VARIABLE not in os.environ:
        return None
    kind, token, folder = os.environ[VARIABLE].split(" ", 2)
    return (kind, token, Path(folder)) if Path(folder, TURN).exists() else None


def _is_over(kind: str, token: str, folder: Path) -> bool:
    try:
        with (folder / TURN).open(encoding="utf-8") as handle:
            if kind == "local" and _lock(handle, fcntl.LOCK_SH, 0.0, unsupported=False):
                return True
            content = handle.read()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return bool(json.loads(content)["token"] != token)
    except (ValueError, KeyError, TypeError):
        return content == ""


def _hold_jobs(folder: Path) -> None:
    handle = _open(folder / JOBS)
    _lock(handle, fcntl.LOCK_SH, PATIENCE_SECONDS)
    _held.append(handle)


def _lock(handle: IO[str], kind: int, patience: float, unsupported: bool = True) -> bool:
    """Try to get a lock for some seconds; a file system without locks gives ``unsupported``."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        except OSError:
            return unsupported


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the file cannot be written ({error.strerror})",
            where=str(path),
            fix="make it writable, and run again",
        ) from None


def _rewrite(handle: IO[str], content: str) -> None:
    handle.seek(0)
    handle.truncate()
    handle.write(content)
    handle.flush()


def _describe(path: Path) -> str:
    try:
        turn = json.loads(path.read_text(encoding="utf-8"))
        return f" (process {turn['pid']} on {turn['host']}, since {turn['started']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"the folder cannot be written ({error.strerror})",
            where=str(folder),
            fix="make it writable, or free some space, and run again",
        ) from None


def _remove_partial(folder: Path) -> None:
    """Remove what killed jobs were writing: no reader looks at it, and nobody else would."""
    for name in WRITTEN:
        for parent, folders, files in os.walk(folder / name):
            for file in files:
                if file.endswith(PARTIAL):
                    Path(parent, file).unlink(missing_ok=True)
            for inner in [inner for inner in folders if inner.endswith(PARTIAL)]:
                shutil.rmtree(Path(parent, inner), ignore_errors=True)
                folders.remove(inner)
