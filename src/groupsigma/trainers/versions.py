"""The version an adapter was tested with, beside the one that is installed."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version


def tested(package: str, with_version: str, found: str | None = None) -> str | None:
    """The version installed; a warning that names both where it is not the one tested, never an error.

    Args:
        package: the distribution's name. with_version: what the adapter was tested with.
        found: what is installed, for a trainer that is run from its source tree.

    Returns: None where the package is not installed, or does not say its version.

    >>> tested("no-such-trainer", "1.0") is None
    True
    """
    if found is None:
        try:
            found = version(package)
        except PackageNotFoundError:
            return None
    if found != with_version:
        text = f"groupsigma: tested with {package} {with_version}, found {found}; groupsigma.trainers may not fit it"
        warnings.warn(text, stacklevel=3)
    return found
