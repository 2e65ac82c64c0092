"""What every rule's script shares: its log, its receipt, and how its failures are shown."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunescape.errors import UserError, storage_failure
from tunescape.receipts import close_receipt, contents, open_receipt
from tunescape.turns import keep_turn


@contextmanager
def logged(
    log_path: str | Path, inputs: Iterable[str] = (), outputs: Iterable[str] = ()
) -> Iterator[logging.Logger]:
    """Send logging and any traceback to the rule's log; show the user one message.

    A :class:`UserError`, or a disk that is full or cannot be written, ends the script with exit
    code 1 and its message on standard error. Any other exception is a defect of the project: its
    traceback goes to the log and the message names the log. The process ends when the call of the
    workflow that started it does (see :mod:`tunescape.turns`).

    Args:
        log_path: the rule's log file; its folder is made when missing.
        inputs, outputs: what the job reads and writes, for its receipt (see
            :mod:`tunescape.receipts`).

    Yields:
        The ``tunescape`` logger.
    """
    path = Path(log_path)
    root = logging.getLogger()
    logger = logging.getLogger("tunescape")
    logging.raiseExceptions = False  # A log that cannot be written has no trace of its own to show.
    handler: logging.Handler = logging.NullHandler()
    try:
        keep_turn()
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, mode="w", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
        read = contents(inputs)
        if outputs:
            open_receipt(path, outputs)
        yield logger
        if outputs:
            close_receipt(path, read, outputs)
    except UserError as error:
        logger.error("%s", error)
        _leave(str(error))
    except Exception as error:
        told = storage_failure(error)
        logger.error("%s", told or traceback.format_exc())
        if told:
            _leave(str(told))
        _leave(f"unexpected {type(error).__name__}: {error} (traceback in {path})")
    finally:
        root.removeHandler(handler)
        with suppress(OSError):  # What it holds may not fit on the disk.
            handler.close()


def _leave(message: str) -> None:
    print(f"tunescape: {message}", file=sys.stderr)
    raise SystemExit(1)


def prefer_library(folder: str | Path) -> None:
    """Let every process that this one starts import the library in ``folder``.

    Snakemake puts a script's own folder last on the path: a copy of the project would run what
    the environment knows under the library's name.
    """
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([before] if before else [])])
