"""The examples name what exists: every dotted path of ours in them is imported."""

import importlib
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
FILES = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in (".sh", ".md", ".yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_name_of_ours_exists(path):
    for name in re.findall(r"groupsigma\.trainers\.\w+\.\w+", path.read_text()):
        module, _, attribute = name.rpartition(".")
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            assert error.name and not error.name.startswith("groupsigma"), error  # the trainer is not here
            pytest.skip(f"{module} needs {error.name}")
        assert callable(getattr(found, attribute)), name


@pytest.mark.parametrize("folder", [path for path in EXAMPLES.iterdir() if path.is_dir()], ids=lambda path: path.name)
def test_every_example_says_how_it_is_run_and_with_which_version(folder):
    text = (folder / "README.md").read_text()
    assert re.search(r"tested with .* \d+\.\d+", text) and len(text.splitlines()) < 20
