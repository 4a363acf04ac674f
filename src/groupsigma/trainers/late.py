"""Something done to a module of a trainer's once it is there, without importing it before its time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def when_imported(name: str, do: Callable[[ModuleType], None]) -> None:
    """Call `do` with the module of that name: now where it is imported already, else right after its import."""
    if name in sys.modules:
        do(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Once(name, do))


class _Once(MetaPathFinder):
    """Finds one module as Python itself does, and stays out of the way ever after."""

    def __init__(self, name: str, do: Callable[[ModuleType], None]) -> None:
        self.name, self.do = name, do

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader, self.do)
        return spec


class _Then(Loader):
    """The module's own loader, and one call after it."""

    def __init__(self, loader: Loader, do: Callable[[ModuleType], None]) -> None:
        self.loader, self.do = loader, do

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        self.do(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)
