"""Trainers that a test needs: skipped where they are not installed, failed where they were asked for."""

import importlib
import os
import warnings

import pytest


def trainer(name: str, *modules: str):
    """Import a trainer; its absence fails where GROUPSIGMA_TRAINERS names it, and skips elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a trainer's own are not ours to hold
        try:
            return [importlib.import_module(module) for module in (name, *modules)][-1]
        except ImportError as error:
            if name in os.environ.get("GROUPSIGMA_TRAINERS", "").split(","):
                raise
            pytest.skip(f"{name} not here ({error}); .ci/trainers {name}", allow_module_level=True)
