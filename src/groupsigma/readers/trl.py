"""TRL's `log_completions=True`: completions/completions_{step}.parquet, one row an answer."""

from __future__ import annotations

from collections.abc import Mapping

from groupsigma.readers.layout import TEXT, Layout, has

_OWN = ("step", "prompt", "completion", "advantage")


def _rewards(columns: Mapping[str, str]) -> list[str]:
    """Numbers between completion and advantage: a column for each reward function, then what `log_extra` added."""
    names = list(columns)
    ends = [names.index(name) if name in names else None for name in ("completion", "advantage")]
    first = 0 if ends[0] is None else ends[0] + 1
    return [name for name in names[first : ends[1]] if name not in _OWN and columns[name] not in ("VARCHAR", "BOOLEAN")]


#: grpo_trainer.py `log`: no id of the group; rows of a prompt in a step are one, and each reward function's column
#: is summed with equal weights, None and NaN left out, as the trainer does when `reward_weights` is not set.
TRL = Layout(
    name="trl",
    writer="TRL log_completions",
    form="parquet",
    fields=dict.fromkeys(_OWN, TEXT),
    recognise=has(*_OWN),
    rewards=_rewards,
    prompt="CAST(prompt AS VARCHAR)",
    text="CAST(completion AS VARCHAR)",
    step="step",
    notes=("TRL writes completions of training and of evaluation into one table",),
    between="of the batches between two logging steps TRL keeps the last alone (logging_steps = 1 keeps all)",
    verify=(
        """SELECT avg(CASE WHEN fits > 0.999 THEN 0.0 ELSE 1.0 END)
           FROM (SELECT corr({reward}, advantage) AS fits FROM {log} GROUP BY step, prompt
                 HAVING stddev_pop({reward}) > 1e-6 AND stddev_pop(advantage) > 1e-6)""",
        "the logged advantages do not follow from these rewards in {share:.0%} of the groups: other reward weights? "
        "--reward 'a + 0.5*b' says them",
    ),
)
