"""verifiers v1 and prime-rl: traces.jsonl, an episode a line (since July 2026) or a trace a line (before).

A trace's reward is not stored: it is the sum of score · weight over its reward functions, those without a score left
out. "all" keeps what prime-rl's filters drop, "effective" is what was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groupsigma.readers.layout import TEXT, Field, Keys, Layout, quoted

_TASK: Field = {"key": TEXT, "hash": TEXT, "data": TEXT}
_TRACE: dict[str, Field] = {
    "id": TEXT,
    "task": _TASK,
    "agent": {"trainable": TEXT},
    "rewards": {"*": {"score": TEXT, "weight": TEXT}},
    "ok": TEXT,
    "errors": TEXT,
}

#: Σ score · weight; NULL where no function gave a score. A score that is no number is refused as such.
_REWARD = """CASE WHEN len(list_filter(map_values({0}rewards), lambda r: r.score IS NOT NULL
                           AND TRY_CAST(r.score AS DOUBLE) IS NULL)) > 0 THEN 'a score that is no number'
             ELSE CAST(list_sum(list_transform(
                  list_filter(map_values({0}rewards), lambda r: r.score IS NOT NULL),
                  lambda r: TRY_CAST(r.score AS DOUBLE) * coalesce(TRY_CAST(r.weight AS DOUBLE), 1.0)
                  )) AS VARCHAR) END"""
_DEAD = "coalesce({0}ok = 'false', false) OR coalesce({0}errors NOT IN ('[]', 'null'), false)"
_PROMPT = "coalesce({0}task.key, {0}task.hash, md5({0}task.data))"
_FILTER = "prime-rl's effective rollouts are those its filters let through; rollouts/step_N/train/all has the others"
#: Of the cohort that a rollout was trained in, which is the folder's, before that of its policy.
_STEP = r"coalesce(nullif(regexp_extract(filename, '.*/step_(\d+)/', 1), ''), {0})"


def _choose(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """ "all" where there is "all": "effective" repeats a part of it."""
    whole = [path for path in paths if "effective" not in Path(path).parts]
    if not whole:
        return list(paths), ["prime-rl's effective rollouts alone: what its filters dropped is missing"]
    left = len(paths) - len(whole)
    return whole, [f"{left} files of effective rollouts left out: all rollouts hold them too"] if left else []


def _lone(path: Path, keys: Keys) -> bool:
    return "nodes" in keys and "rewards" in keys and "traces" not in keys


#: prime-rl monitors/file.py, verifiers v1 eval: an Episode a line; of several agents those that are trained.
EPISODES = Layout(
    name="traces",
    writer="verifiers v1 / prime-rl traces",
    form="json",
    fields={
        "traces": [_TRACE],
        "env": {"id": TEXT},
        "task": _TASK,
        "group": {"id": TEXT},
        "run": {"type": TEXT, "work": {"step": TEXT}},
    },
    recognise=lambda path, keys: "traces" in keys and ("task" in keys or "env" in keys),
    choose=_choose,
    filter=_FILTER,
    rows="""(SELECT *, unnest(CASE WHEN len(traces) > 0 THEN list_filter(traces, lambda t:
             coalesce(t.agent.trainable, 'true') <> 'false') ELSE [NULL] END) AS t FROM {log})""",
    prompt=f"coalesce(env.id || '/', '') || coalesce({_PROMPT.format('t.')}, {_PROMPT.format('')})",
    reward=_REWARD.format("t."),
    scorers=("map_keys(t.rewards)", "their weighted sum"),
    named=lambda name: f"t.rewards[{quoted(name, chr(39))}].score",
    group='"group".id',
    step=_STEP.format("run.work.step"),
    split="CASE WHEN run.type = 'train' THEN 'train' WHEN run.type IS NULL THEN NULL ELSE 'eval' END",
    answer="t.id",
    dead=_DEAD.format("t."),
)

#: Before: one trace a line; of July 2026 with kind and group_id, older ones without.
TRACES = Layout(
    name="traces-old",
    writer="prime-rl rollouts, a trace a line",
    form="json",
    fields={**_TRACE, **dict.fromkeys(("kind", "group_id", "policy_version"), TEXT)},
    recognise=_lone,
    choose=_choose,
    filter=_FILTER,
    prompt=_PROMPT.format(""),
    reward=_REWARD.format(""),
    scorers=("map_keys(rewards)", "their weighted sum"),
    named=lambda name: f"rewards[{quoted(name, chr(39))}].score",
    group="group_id",
    step=_STEP.format("policy_version"),
    split="coalesce(kind, CASE WHEN regexp_matches(filename, '/eval(_rollouts[^/]*|/(all|effective)/.*)$') THEN 'eval' "
    "ELSE 'train' END)",
    answer="id",
    dead=_DEAD.format(""),
)
