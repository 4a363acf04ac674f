"""Which layout a file is of, told by the names in its first rows; add yours to LAYOUTS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from groupsigma.errors import ArgumentError, SourceError
from groupsigma.readers import files
from groupsigma.readers.inspect_ai import INSPECT
from groupsigma.readers.keys import first_keys
from groupsigma.readers.layout import Keys, Layout
from groupsigma.readers.lm_eval import LM_EVAL
from groupsigma.readers.prime_rl import EPISODES, TRACES
from groupsigma.readers.skyrl import SKYRL
from groupsigma.readers.slime import SLIME
from groupsigma.readers.trl import TRL
from groupsigma.readers.verifiers import VERIFIERS
from groupsigma.readers.verl import VERL, VERL_V1

#: By name; the first that recognises a file is its layout.
LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout for layout in (TRL, VERL_V1, VERL, EPISODES, TRACES, VERIFIERS, SKYRL, LM_EVAL, INSPECT, SLIME)
}
#: Endings of files that are no tables.
UNPACKED = (".eval", ".pt")


@dataclass(frozen=True)
class Recognised:
    """Files of one layout, others found beside them, and what to say."""

    layout: Layout
    paths: list[str]
    others: list[str]
    notes: list[str]


def recognise(paths: Sequence[str], asked: str | None, folders: bool) -> Recognised | None:
    """The layout of these files, None where they are plain tables.

    Args: asked: a layout's name to take without looking; folders: files of no layout may lie beside those that are.
    Raises: SourceError where files of several layouts were found; ArgumentError for a layout there is not.
    """
    if asked == "table":
        return None
    if asked is not None and asked not in LAYOUTS:
        raise ArgumentError("--layout", f"one of {', '.join(LAYOUTS)} or table", repr(asked))
    keys = {path: first_keys(path) for path in paths if "://" not in path}
    of = {path: _layout(path, keys[path]) for path in keys}
    if asked is not None:
        layout = LAYOUTS[asked]
        # Asked for against the looks of it: the files that have some of its fields, or else all.
        alike = [path for path in paths if layout.fields.keys() & keys.get(path, {}).keys()]
        fitting = _fitting(layout, paths, of, keys) or alike or list(paths)
        return _adapted(layout, fitting, keys, [path for path in paths if path not in fitting], "as asked")
    found = list(dict.fromkeys(layout.name for layout in of.values() if layout is not None))
    if len(found) > 1 and SLIME.name in found:
        found.remove(SLIME.name)  # Torch files lie in every run's folder.
    if not found:
        return None
    if len(found) > 1:
        got = " and ".join(f"{name} ({_first(of, name)})" for name in found)
        raise SourceError(_shown(paths), "a log of one layout", got, hint="--layout NAME reads one of them")
    layout = LAYOUTS[found[0]]
    fitting = _fitting(layout, paths, of, keys)
    strangers = [path for path in paths if path not in fitting]
    if strangers and not folders:
        raise SourceError(
            strangers[0], f"a {layout.writer} log like the others", "another layout", hint="read it alone"
        )
    return _adapted(layout, fitting, keys, strangers, "told by its fields, --layout overrides")


def _fitting(
    layout: Layout, paths: Sequence[str], of: Mapping[str, Layout | None], keys: Mapping[str, Keys]
) -> list[str]:
    """The files of a layout; one that cannot be looked into among them: what is wrong is said when it is read."""
    return [path for path in paths if of.get(path) is layout or (not keys.get(path) and _of_form(layout, path))]


def _adapted(layout: Layout, paths: list[str], keys: Mapping[str, Keys], others: list[str], how: str) -> Recognised:
    first = next((path for path in paths if layout.recognise(Path(path), keys.get(path, {}))), paths[0])
    own = _as_files_make_it(layout, first, paths, keys)
    notes = [f"layout {layout.name}: {layout.writer}, {how}"]
    if others:
        notes.append(f"{len(others):,} other {'file' if len(others) == 1 else 'files'} beside them not read")
    return Recognised(own, paths, others, notes)


def _as_files_make_it(layout: Layout, first: str, paths: Sequence[str], keys: Mapping[str, Keys]) -> Layout:
    """A layout whose fields the data names; the same in all files, or their rows would be of different things."""
    if layout.adapt is None:
        return layout
    own = layout.adapt(Path(first), keys.get(first, {}))
    for path in paths:
        if layout.recognise(Path(path), keys.get(path, {})) and (other := layout.adapt(Path(path), keys[path])) != own:
            got = f"{'; '.join(own.notes)} in {Path(first).name}, {'; '.join(other.notes)} in {Path(path).name}"
            raise SourceError(_shown(paths), "files that score alike", got, hint="name those of one task")
    return own


def _layout(path: str, keys: Keys) -> Layout | None:
    return next((layout for layout in LAYOUTS.values() if _fits(layout, path, keys)), None)


def _fits(layout: Layout, path: str, keys: Keys) -> bool:
    return (_of_form(layout, path) or layout.unpack is not None) and layout.recognise(Path(path), keys)


def _of_form(layout: Layout, path: str) -> bool:
    return layout.form == files.format_of(path) and Path(path).stat().st_size > 0


def _first(of: Mapping[str, Layout | None], name: str) -> str:
    return next(Path(path).name for path, layout in of.items() if layout is not None and layout.name == name)


def _shown(paths: Sequence[str]) -> str:
    return ", ".join(paths[:2]) + (", …" if len(paths) > 2 else "")
