"""What every rule's script shares: its log, and how its failures are shown."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunescape.errors import UserError


@contextmanager
def logged(log_path: str | Path) -> Iterator[logging.Logger]:
    """Send logging and any traceback to the rule's log; show the user one message.

    A :class:`UserError` ends the script with exit code 1 and its message on standard error. Any
    other exception is a defect of the project: its traceback goes to the log and the message
    names the log.

    Args:
        log_path: the rule's log file; its folder is made when missing.

    Yields:
        The ``tunescape`` logger.
    """
    path = Path(log_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    logger = logging.getLogger("tunescape")
    try:
        yield logger
    except UserError as error:
        logger.error("%s", error)
        _leave(str(error))
    except Exception as error:
        logger.error("%s", traceback.format_exc())
        _leave(f"unexpected {type(error).__name__}: {error} (traceback in {path})")
    finally:
        root.removeHandler(handler)
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
