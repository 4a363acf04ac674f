"""Words to the user beside a running progress bar."""

from __future__ import annotations

import sys

from tqdm import tqdm


def say(text: str) -> None:
    """One line to standard error, above any progress bar."""
    tqdm.write(f"groupsigma: {text}", file=sys.stderr)
