"""inspect_ai's logs: .eval (a zip archive) and .json, an answer a sample and epoch.

Only what the log says of each sample is unpacked: its summary where there is one, else the sample itself. Where
inspect_ai is installed its own reader gives the summaries.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from groupsigma.errors import SourceError
from groupsigma.readers.layout import TEXT, Layout, quoted
from groupsigma.readers.packed import read_entry

_HINT = "is it complete? inspect_ai writes it when the evaluation ends"
_SAMPLE = re.compile(r"samples/.+_epoch_\d+\.json")

#: inspect_ai's value_to_float: letters and words as numbers.
_LETTERS = {"c": 1.0, "correct": 1.0, "i": 0.0, "incorrect": 0.0, "p": 0.5, "partial": 0.5, "n": 0.0, "noanswer": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def unpack(source: Path, target: Path) -> None:
    """One line an answer: sample, task, model, epoch, whether it ended in an error, and each scorer's number."""
    try:
        task, model, samples = _archive(source) if zipfile.is_zipfile(source) else _document(source)
        with target.open("w", encoding="utf-8", errors="replace") as out:
            for sample in samples:
                out.write(json.dumps(_line(sample, task, model), ensure_ascii=False) + "\n")
    except (ValueError, KeyError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise SourceError(source.name, "a log that inspect_ai finished writing", _said(error), hint=_HINT) from None


def _said(error: Exception) -> str:
    # Of a damaged archive Python quotes what it found, however long.
    text = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
    return text if not isinstance(error, KeyError) else f"no entry {text}"


def _archive(source: Path) -> tuple[str, str, Iterator[Any]]:
    with zipfile.ZipFile(source) as archive:
        names = archive.namelist()
        start = "header.json" if "header.json" in names else "_journal/start.json"
        task, model = _named(_loads(read_entry(archive, start)))
        wanted = [name for name in names if _SAMPLE.fullmatch(name)]
        samples = _summaries(source, archive, names)
        if len(samples) < len(wanted):
            # An evaluation that was stopped has samples without a summary.
            known = {(str(s.get("id")), str(s.get("epoch"))) for s in samples}
            for name in wanted:
                label, epoch = name.removeprefix("samples/").removesuffix(".json").rsplit("_epoch_", 1)
                if (label, epoch) not in known:
                    samples.append(_object(_loads(read_entry(archive, name))))
        return task, model, iter(samples)


def _summaries(source: Path, archive: zipfile.ZipFile, names: list[str]) -> list[dict[str, Any]]:
    if find_spec("inspect_ai") is not None:
        from inspect_ai.log import read_eval_log_sample_summaries  # type: ignore[import-not-found, unused-ignore]

        return [summary.model_dump() for summary in read_eval_log_sample_summaries(str(source))]
    if "summaries.json" in names:
        found = _loads(read_entry(archive, "summaries.json"))
    else:
        parts = sorted(name for name in names if name.startswith("_journal/summaries/"))
        found = [one for name in parts for one in _list(_loads(read_entry(archive, name)))]
    return [_object(one) for one in _list(found)]


def _document(source: Path) -> tuple[str, str, Iterator[Any]]:
    log = _object(_loads(source.read_bytes()))
    if not isinstance(log.get("samples"), list):
        raise ValueError("no samples: the log was written without them")
    task, model = _named(log)
    return task, model, map(_object, log["samples"])


def _named(log: Any) -> tuple[str, str]:
    run = _object(_object(log).get("eval", {}))
    return str(run.get("task", "")), str(run.get("model", ""))


def _line(sample: Mapping[str, Any], task: str, model: str) -> dict[str, Any]:
    scores = sample.get("scores")
    found = scores if isinstance(scores, dict) else {}
    numbers: dict[str, Any] = {}
    for name, score in found.items():
        value = score.get("value") if isinstance(score, dict) else score
        # A scorer may give several values, by name.
        parts = {f"{name}.{part}": one for part, one in value.items()} if isinstance(value, dict) else {name: value}
        numbers |= {part: _number(one) for part, one in parts.items()}
    label = sample.get("id")
    return {
        "sample": None if label is None else f"{task} {label}",
        "model": model,
        "failed": bool(sample.get("error")),
        "scores": numbers or None,
    }


def _number(value: Any) -> Any:
    """A score as inspect_ai counts it; what it does not count stays as it is, and is refused as no number."""
    if isinstance(value, str):
        word = value.strip().lower()
        return _LETTERS.get(word, _WORDS.get(word, value))
    return value


def _loads(data: bytes) -> Any:
    return json.loads(data.decode("utf-8"))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} where an object should be")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a list should be")
    return value


INSPECT = Layout(
    name="inspect",
    writer="inspect_ai log",
    form="inspect",
    fields={"sample": TEXT, "model": TEXT, "failed": TEXT, "scores": {"*": TEXT}},
    recognise=lambda path, keys: path.suffix == ".eval" or ("samples" in keys and "eval" in keys and "status" in keys),
    unpack=unpack,
    reward="map_values(scores)[1]",
    scorers=("map_keys(scores)", "the first of a sample"),
    named=lambda name: f"scores[{quoted(name, chr(39))}]",
    prompt="sample",
    group="model",
    split="'eval'",
    dead="failed = 'true'",
)
