"""Failures that are reported in one line, without a traceback."""

from __future__ import annotations


class UnbraidError(Exception):
    """A failure with a known cause, reported in one line: what happened, and what to do."""


class UserError(UnbraidError):
    """A mistake that the user can correct: `value: rule; remedy`.

    The command line prints it without a traceback and exits with code 2. Names of arguments
    are in backticks; the command line prints the flag instead.
    """


class ArgumentError(UserError, ValueError):
    """A wrong value of an argument; also a `ValueError`.

    Parameters
    ----------
    argument : str
        Name of the argument.
    value : object
        The value that was passed.
    rule : str
        What every value must satisfy, for example "must be at least 1".
    remedy : str
        What to do instead, for example "set `batch_size` to 1 or more".

    Examples
    --------
    >>> str(ArgumentError("steps", 0, "must be at least 1", "set `steps` to 1 or more"))
    'steps=0: must be at least 1; set `steps` to 1 or more'
    """

    def __init__(self, argument: str, value: object, rule: str, remedy: str) -> None:
        super().__init__(argument, value, rule, remedy)
        self.argument, self.value, self.rule, self.remedy = argument, value, rule, remedy

    def __str__(self) -> str:
        return f"{self.argument}={self.value}: {self.rule}; {self.remedy}"


class DivergedError(UnbraidError):
    """A loss or a weight became NaN or infinite."""


class StorageError(UnbraidError):
    """A file could not be written, and the user is not at fault: for example, a full disk."""
