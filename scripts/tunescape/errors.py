"""The one error that a user is meant to see."""

from __future__ import annotations


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
