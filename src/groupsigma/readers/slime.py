"""slime's rollout samples: {rollout_id}.pt, a torch file of plain data; opened with weights_only, or not at all."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from groupsigma.errors import TRAIN, SourceError
from groupsigma.readers.layout import TEXT, Layout, quoted

_NEEDS = "a torch file of slime's samples, plain data only"
#: Sample.Status: an answer that was cut off by the engine, or never came, was not judged.
_UNJUDGED = ("aborted", "failed", "pending")


def unpack(source: Path, target: Path) -> None:
    """One line an answer."""
    if find_spec("torch") is None:
        raise SourceError(source.name, "torch to open it", "an environment without", hint=TRAIN)
    import torch

    try:
        # Objects that run code when they are loaded are refused by weights_only.
        found = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        said = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        hint = "files with pickled objects are not opened: they could run code"
        raise SourceError(source.name, _NEEDS, said, hint=hint) from None
    samples = found.get("samples") if isinstance(found, dict) else None
    if not isinstance(samples, list):
        raise SourceError(source.name, _NEEDS, "no list of samples")
    with target.open("w", encoding="utf-8", errors="replace") as out:
        for sample in samples:
            out.write(json.dumps(_line(sample, found.get("rollout_id")), ensure_ascii=False, default=str) + "\n")


def _line(sample: Any, step: Any) -> Any:
    if not isinstance(sample, dict):
        return {"prompt": None}
    prompt = sample.get("prompt")
    return {
        "prompt": prompt if prompt is None or isinstance(prompt, str) else json.dumps(prompt, default=str),
        "group": sample.get("group_index"),
        "step": sample.get("rollout_id", step) if step is None else step,
        "unjudged": str(sample.get("status", "")).lower().rpartition(".")[2] in _UNJUDGED,
        "reward": sample.get("reward"),
        "response": sample.get("response"),
    }


#: utils/types.py `Sample.to_dict`, ray/rollout.py `_save_debug_rollout_data`. A reward may be an object of several:
#: --reward says which (the run's `reward_key`).
SLIME = Layout(
    name="slime",
    writer="slime rollout samples",
    form="torch",
    fields=dict.fromkeys(("prompt", "group", "step", "unjudged", "reward", "response"), TEXT),
    recognise=lambda path, keys: path.suffix == ".pt",
    unpack=unpack,
    prompt="prompt",
    named=lambda name: f"reward->>{quoted(name, chr(39))}",
    text="response",
    group='"group"',
    step="step",
    split="CASE WHEN parse_filename(filename) LIKE '%eval%' THEN 'eval' ELSE 'train' END",
    dead="unjudged = 'true'",
)
