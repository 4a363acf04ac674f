"""verifiers before v1: outputs/evals/{env}--{model}/{id}/results.jsonl, one line an answer."""

from __future__ import annotations

from groupsigma.readers.layout import TEXT, Layout

#: legacy/utils/save_utils.py `state_to_output`. An answer that ended in an error has reward 0, which nobody gave.
VERIFIERS = Layout(
    name="verifiers",
    writer="verifiers results.jsonl",
    form="json",
    fields=dict.fromkeys(("example_id", "reward", "error", "completion"), TEXT),
    recognise=lambda path, keys: (
        "example_id" in keys and "reward" in keys and ("is_completed" in keys or "completion" in keys)
    ),
    # One environment's example 0 is not another's: {env}--{model} names the run.
    prompt="CASE WHEN example_id IS NOT NULL THEN concat_ws(' ', "
    "nullif(regexp_extract(filename, '([^/]+--[^/]+)/[^/]*/[^/]*$', 1), ''), example_id) END",
    text="completion",
    split="'eval'",
    dead="coalesce(error NOT IN ('', 'false', 'null', '[]', '{}'), false)",
)
