"""For the tests of adapters: recorded groups, and code of a trainer whose module needs a GPU's packages to import."""

import ast
import importlib.util
from pathlib import Path

#: What comes out of trainers, name -> the rewards of one group; None: an answer that nobody scored.
GROUPS = {
    "mixed": [1.0, 0.0, 0.0, 1.0],
    "all right": [1.0] * 4,
    "all wrong": [0.0] * 3,
    "near tie": [0.1] * 8,  # in float32 its standard deviation is not 0
    "alone": [1.0],
    "graded": [0.25, 0.5, 0.125, 1.0, 0.0],
    "unscored": [1.0, None, 0.0],
    "nothing scored": [None, None],
}
SILENT = ("all right", "all wrong", "near tie", "alone", "nothing scored")


def rows(*names):
    """(rewards, ids) of groups one after the other."""
    return [r for name in names for r in GROUPS[name]], [name for name in names for _ in GROUPS[name]]


def source_of(package, file, name, given):
    """A function of an installed trainer by its source, with the names it uses; the module around it is not run.

    For code whose module imports what only a GPU has. It is the trainer's own text, so it moves with its version.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / file
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            node.decorator_list, node.returns = [], None
            for argument in node.args.args:
                argument.annotation = None
            scope = dict(given)
            exec(compile(ast.Module([node], []), str(path), "exec"), scope)
            return scope[name]
    raise LookupError(f"{name} is not in {path}")
