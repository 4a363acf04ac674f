"""How a log is to be read, where that is asked rather than found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from groupsigma.errors import ArgumentError

Split = Literal["train", "eval", "all"]


@dataclass(frozen=True)
class Reading:
    """What the reader of a log is told.

    Attributes:
        layout: a name in LAYOUTS, or "table"; None: told by the files.
        split: which answers where a log has both of training and of evaluation; None: of training.
        skip_bad: leave out, and count, lines that cannot be read; otherwise the first one is an error.
        no_text: prompts become a hash, and no message quotes a line.
        growing: the log is being written: an unfinished last line is not there yet.
    """

    layout: str | None = None
    split: Split | None = None
    skip_bad: bool = False
    no_text: bool = False
    growing: bool = False

    def __post_init__(self) -> None:
        if self.split not in (None, "train", "eval", "all"):
            raise ArgumentError("split", "train, eval or all", repr(self.split))
