"""verl's `trainer.rollout_data_dir` and `validation_data_dir`: {step}.jsonl, one line an answer."""

from __future__ import annotations

from groupsigma.readers.layout import TEXT, Layout, has

_FIELDS = dict.fromkeys(("input", "output", "score", "step", "reward", "uid"), TEXT)
#: `reward` is what the validation loop adds.
_SPLIT = "CASE WHEN reward IS NULL THEN 'train' ELSE 'eval' END"

#: ppo/ray_trainer.py `_dump_generations`: no id of the group, so rows of one input in a step are one.
VERL = Layout(
    name="verl",
    writer="verl rollout_data_dir",
    form="json",
    fields=_FIELDS,
    recognise=lambda path, keys: has("input", "output", "score")(path, keys) and "uid" not in keys,
    prompt="input",
    reward="score",
    text="output",
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
    recognise=has("input", "output", "score", "uid"),
    prompt="input",
    reward="score",
    text="output",
    group="regexp_replace(uid, '_[^_]*_[^_]*$', '')",
    step="step",
    split=_SPLIT,
    answer="regexp_replace(uid, '_[^_]*$', '')",
    part="TRY_CAST(regexp_extract(uid, '[^_]*$') AS BIGINT)",
    filter="verl v1 writes the batch it trained on: with algorithm.filter_groups silent groups were evicted before "
    "(training/filter_groups/evicted_samples counts them)",
)
