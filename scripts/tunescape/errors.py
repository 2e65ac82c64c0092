"""The one error that a user is meant to see."""

from __future__ import annotations

import errno
import os
import re
import reprlib
from collections.abc import Iterable

_FIXES = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some of the quota and run again",
    errno.EROFS: "make it writable and run again",
    errno.EACCES: "check its permissions and run again",
    errno.EPERM: "check its permissions and run again",
    errno.EIO: "check the disk and run again",
}
_RUST = re.compile(r"\(os error (\d+)\)")


class UserError(Exception):
    """A failure that the user can act on, shown as one message and never as a traceback.

    Args:
        what: what went wrong.
        where: the file, line or key it concerns.
        expected: what would have been right.
        fix: what to do next.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.fix = what, where, expected, fix
        message = f"{where}: {what}" if where else what
        if expected:
            message += f"; expected {expected}"
        if fix:
            message += f". {fix[:1].upper()}{fix[1:]}"
        super().__init__(message)


def refuse(problems: Iterable[str], source: str) -> UserError:
    """One error for all problems of a file, one line each, whatever texts they quote."""
    lines = [f"{source}: {problem}" for problem in problems]
    return UserError("\n".join("".join(map(_visible, line)) for line in lines))


def _visible(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


SHOWN = 60
"""Longest text of a value in a message."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 2 * SHOWN


def show(value: object) -> str:
    """A value as a message shows it: at most 60 printable characters, whatever it is.

    A text of megabytes, a number of many digits or a deep nest costs no more than a short one.
    """
    try:
        text = _SHORT.repr(value)
    except ValueError:  # Python writes out no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def storage_failure(error: BaseException) -> UserError | None:
    """The message of a failure that is the disk's and not the project's; ``None`` for any other.

    The libraries that write files wrap what the system said in exceptions of their own.
    """
    seen: BaseException | None = error
    while seen is not None:
        number = getattr(seen, "errno", None)
        told = _RUST.search(str(seen))
        if number is None and told:
            number = int(told.group(1))
        if number in _FIXES:
            where = getattr(seen, "filename", None)
            return UserError(
                os.strerror(number).lower(),
                where=str(where) if where else None,
                fix=_FIXES[number],
            )
        seen = seen.__cause__ or seen.__context__
    return None
