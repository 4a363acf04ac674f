"""Something done right after an import, once, and nothing else changed."""

import importlib
import sys

import pytest

from groupsigma.trainers.late import when_imported


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "later_one.py").write_text("number = 1\n")
    (tmp_path / "later_two.py").write_text("from later_one import number\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.meta_path)
    yield "later_one"
    for name in ("later_one", "later_two"):
        sys.modules.pop(name, None)
    sys.meta_path[:] = before


def test_it_is_done_before_anyone_takes_a_name_from_the_module(module):
    def change(found):
        found.number += 1

    finders = len(sys.meta_path)
    when_imported(module, change)
    assert module not in sys.modules and len(sys.meta_path) == finders + 1
    assert importlib.import_module("later_two").number == 2
    assert len(sys.meta_path) == finders, "the finder takes itself away"
    importlib.reload(sys.modules["later_two"])
    assert sys.modules[module].number == 2, "once"


def test_a_module_that_is_there_is_changed_at_once(module):
    importlib.import_module(module)
    when_imported(module, lambda found: setattr(found, "number", 7))
    assert sys.modules[module].number == 7


def test_a_module_that_does_not_exist_stays_missing(module):
    when_imported("later_none", lambda found: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("later_none")
    assert sys.modules.get("later_none") is None


def test_its_source_can_still_be_read(module):
    import inspect

    when_imported(module, lambda found: None)
    assert inspect.getsource(importlib.import_module(module)) == "number = 1\n"
