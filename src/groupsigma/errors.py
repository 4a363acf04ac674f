"""Every error this package raises: who, what it needs, what it got, where, and a hint."""

from __future__ import annotations

#: The hint where torch, TRL or a checker's package is missing.
TRAIN = "pip install '.[train]'"


class GroupsigmaError(Exception):
    """Base of all our errors; the message is built here and nowhere else.

    >>> print(GroupsigmaError("sigma", "0 <= k <= G", "k = 9, G = 8", hint="swap the arguments?"))
    sigma: needs 0 <= k <= G, got k = 9, G = 8
    hint: swap the arguments?
    """

    def __init__(self, who: str, needs: str, got: str, where: str = "", hint: str = "") -> None:
        # All five go to args, so that the error survives pickling between processes.
        super().__init__(who, needs, got, where, hint)
        self.who, self.needs, self.got, self.where, self.hint = who, needs, got, where, hint

    def __str__(self) -> str:
        line = f"{self.who}: needs {self.needs}, got {self.got}"
        if self.where:
            line += f" at {self.where}"
        return f"{line}\nhint: {self.hint}" if self.hint else line


class ArgumentError(GroupsigmaError, ValueError):
    """A value passed to a function or an option cannot be used."""


class SourceError(GroupsigmaError):
    """A file, folder or table cannot be read as what it was taken for."""
