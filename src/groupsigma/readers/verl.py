"""verl's `trainer.rollout_data_dir` and `validation_data_dir`: {step}.jsonl, one line an answer."""

from __future__ import annotations

from pathlib import Path

from groupsigma.readers.layout import TEXT, Keys, Layout, has

_FIELDS = dict.fromkeys(("input", "output", "gts", "score", "step", "reward", "uid"), TEXT)
#: Columns that name a problem, which verl does not write: a table with one of them is somebody's own.
_OTHERS = {"id", "prompt_id", "problem_id", "question_id", "example_id", "task_id", "doc_id"}
#: `reward` is what the validation loop adds.
_SPLIT = "CASE WHEN reward IS NULL THEN 'train' ELSE 'eval' END"


def _written_by_verl(path: Path, keys: Keys) -> bool:
    return has("input", "output", "score", "step")(path, keys) and not _OTHERS & set(keys)


#: ppo/ray_trainer.py `_dump_generations`: no id of the group, so rows of one input in a step are one.
VERL = Layout(
    name="verl",
    writer="verl rollout_data_dir",
    form="json",
    fields=_FIELDS,
    recognise=lambda path, keys: _written_by_verl(path, keys) and "uid" not in keys,
    prompt="input",
    reward="score",
    text="output",
    # One text may stand for several problems, as where images are not in it: their answers differ.
    group="gts",
    own_groups=False,
    step="step",
    split=_SPLIT,
)

#: v1/trainer_base.py: uid = "{group}_{session}_{output}". GRPO compares the last output of each session
#: (`compute_advantage_for_multi_trajectories`), and the dump holds the batch that was trained on.
VERL_V1 = Layout(
    name="verl-v1",
    writer="verl v1 rollout_data_dir",
    form="json",
    fields=_FIELDS,
    recognise=lambda path, keys: _written_by_verl(path, keys) and "uid" in keys,
    prompt="input",
    reward="score",
    text="output",
    group=r"regexp_replace(uid, '_\d+_\d+$', '')",
    step="step",
    split=_SPLIT,
    # A uid of another form names the group alone.
    answer=r"CASE WHEN regexp_matches(uid, '_\d+_\d+$') THEN regexp_replace(uid, '_\d+$', '') END",
    part=r"TRY_CAST(regexp_extract(uid, '_(\d+)$', 1) AS BIGINT)",
    filter="verl v1 writes the batch it trained on: with algorithm.filter_groups silent groups were evicted before "
    "(training/filter_groups/evicted_samples counts them)",
)
