"""Shared: where published data lies, and how a result is held against 50 digits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from browser import browsing


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of published data; tests that need it are skipped, with this reason, elsewhere."""
    folder = os.environ.get("GROUPSIGMA_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("published data not here: set GROUPSIGMA_DATA to the folder that holds it")
    return Path(folder)


@pytest.fixture(scope="module")
def browser():
    with browsing() as found:
        yield found
