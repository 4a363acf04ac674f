"""SkyRL's dumped evals: dumped_evals/global_step_{N}_evals/{data_source}.jsonl, one line an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groupsigma.readers.layout import TEXT, Layout, has


def _choose(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Averages stand beside the answers."""
    return [path for path in paths if Path(path).name != "aggregated_results.jsonl"], []


#: train/utils/trainer_utils.py `dump_per_dataset_eval_results`: a score is a number, or one for each token.
SKYRL = Layout(
    name="skyrl",
    writer="SkyRL dumped evals",
    form="json",
    fields=dict.fromkeys(("input_prompt", "output_response", "score"), TEXT),
    recognise=has("input_prompt", "output_response", "score"),
    choose=_choose,
    prompt="input_prompt",
    reward="CASE WHEN score[1] = '[' THEN coalesce(CAST(list_sum(TRY_CAST(score AS DOUBLE[])) AS VARCHAR), score) "
    "ELSE score END",
    text="output_response",
    step=r"nullif(regexp_extract(filename, '.*global_step_(\d+)', 1), '')",
    split="'eval'",
)
