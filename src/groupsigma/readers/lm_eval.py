"""lm-eval's --log_samples: {path}/{model}/samples_{task}_{date}.jsonl, one line a document and filter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from groupsigma.errors import SourceError
from groupsigma.readers.layout import TEXT, Keys, Layout, has, quoted

_NAMED = (
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
    "doc_hash", "prompt_hash", "target_hash",
)  # fmt: skip


def _adapt(path: Path, keys: Keys) -> Layout:
    """With the metric that the first row names, and its filter: every filter scores the same texts again."""
    named = keys.get("metrics")
    numbers = [name for name, value in keys.items() if name not in _NAMED and _is_score(value)]
    metrics = [name for name in (named if isinstance(named, list) else numbers) if isinstance(name, str)]
    metric = next((name for name in metrics if name in keys and name != "metrics"), "metric")
    texts = keys["resps"][0] if isinstance(keys.get("resps"), list) and keys["resps"] else []
    if isinstance(texts, list) and len(texts) > 1 and not isinstance(keys.get(metric), list):
        raise SourceError(
            path.name,
            "a score for each answer",
            f"{len(texts)} answers a document and one {metric}",
            hint="lm-eval scores the first or the majority; groupsigma probe checks every answer",
        )
    only = str(keys.get("filter", "none"))
    others = f"; other metrics: {', '.join(metrics[1:])}" if metrics[1:] else ""
    return replace(
        LM_EVAL,
        fields={**LM_EVAL.fields, metric: TEXT},
        rows=_ROWS.replace("{metric}", quoted(metric)),
        split=f"CASE WHEN coalesce(filter, 'none') = {quoted(only, chr(39))} THEN 'eval' ELSE 'another filter' END",
        notes=(f"lm-eval: metric {metric[:60]!r} under the filter {only[:60]!r}{others[:200]}",),
    )


def _is_score(value: object) -> bool:
    parts = value if isinstance(value, list) and value else [value]
    return all(isinstance(part, int | float) for part in parts)


#: evaluator.py: with `repeats: N` a line has N texts and one metric, of the first or of the majority: which texts were
#: right is not in the file. A metric that is a list of N numbers is read.
LM_EVAL = Layout(
    name="lm-eval",
    writer="lm-eval samples",
    form="json",
    fields=dict.fromkeys(("doc_id", "resps", "filter"), TEXT),
    recognise=has("doc_id", "resps", "filtered_resps"),
    adapt=_adapt,
    prompt=r"CASE WHEN doc_id IS NOT NULL THEN "
    r"concat_ws(' ', nullif(regexp_extract(parse_filename(filename), 'samples_(.*)_\d{4}-', 1), ''), doc_id) END",
    group="parse_path(filename)[-2]",
    reward="score",
)

_ROWS = """(SELECT *, unnest(CASE WHEN len(TRY_CAST({metric} AS VARCHAR[])) > 0 THEN TRY_CAST({metric} AS VARCHAR[])
                             WHEN len(TRY_CAST(resps->'$[0]' AS VARCHAR[])) > 1 THEN ['one score for several texts']
                             ELSE [{metric}] END) AS score
            FROM {log})"""
