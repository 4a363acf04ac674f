"""Small rollout logs of every layout, written after the schema of the tool that writes it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True)
class Answer:
    prompt: str
    text: str
    reward: float | None
    step: int = 1


#: Right answers, of how many.
COUNTS = ((2, 4), (0, 4), (4, 4), (1, 4))


def pairs(groups):
    return sorted(zip(groups.n_correct.tolist(), groups.n_rollouts.tolist(), strict=True))


def answers(counts=COUNTS, step=1):
    """k of n for each prompt, right answers first; every text differs."""
    return [
        Answer(f"What is {p} + {p}?", f"{p} then {i}: {2 * p if i < k else -1}", float(i < k), step)
        for p, (k, n) in enumerate(counts)
        for i in range(n)
    ]


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def numbered(given):
    """Each answer with the number of its prompt, and its own among that prompt's answers."""
    prompts, seen = {}, {}
    for one in given:
        number = prompts.setdefault(one.prompt, len(prompts))
        at = seen[one.step, one.prompt] = seen.get((one.step, one.prompt), -1) + 1
        yield one, number, at


def by_step(given):
    steps = {}
    for one in given:
        steps.setdefault(one.step, []).append(one)
    return steps.items()


def trl(folder, given, rewards=("accuracy_reward",), scores=None, advantage=None):
    """completions/completions_{step:05d}.parquet; scores: a tuple of one number for each reward function."""
    for step, mine in by_step(given):
        path = folder / "completions" / f"completions_{step:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(f'"{name}" DOUBLE' for name in rewards)
        with duckdb.connect() as db:
            db.execute(f"CREATE TABLE t (step BIGINT, prompt VARCHAR, completion VARCHAR, {columns}, advantage DOUBLE)")
            for one in mine:
                got = scores(one) if scores else (one.reward,)
                row = [step, one.prompt, one.text, *got, advantage(one) if advantage else 0.0]
                db.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", row)
            db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return folder


def verl(folder, given, extra=lambda one: {}):
    for step, mine in by_step(given):
        lines(
            folder / f"{step}.jsonl",
            [
                {"input": one.prompt, "output": one.text, "gts": "4", "score": one.reward, "step": step, **extra(one)}
                for one in mine
            ],
        )
    return folder


def verl_v1(folder, given):
    for step, mine in by_step(given):
        rows = [
            {
                "input": one.prompt,
                "output": one.text,
                "gts": "4",
                "score": one.reward,
                "step": step,
                "uid": f"{step:03d}-{number}_{at}_0",
            }
            for one, number, at in numbered(mine)
        ]
        lines(folder / f"{step}.jsonl", rows)
    return folder


def verifiers(folder, given):
    rows = [
        {
            "example_id": number,
            "prompt": [{"role": "user", "content": one.prompt}],
            "completion": [{"role": "assistant", "content": one.text}],
            "answer": "4",
            "reward": one.reward,
            "error": None,
            "timing": {"total": 0.1},
            "is_completed": True,
            "is_truncated": False,
            "metrics": {"correct": one.reward},
            "correct": one.reward,
        }
        for one, number, _ in numbered(given)
    ]
    run = folder / "outputs" / "evals" / "sums--small" / "0a1b2c3d"
    lines(run / "results.jsonl", rows)
    (run / "metadata.json").write_text(json.dumps({"env_id": "sums", "rollouts_per_example": 4}))
    return folder


def trace(one, number, at):
    return {
        "version": 1,
        "id": f"t{one.step}-{number}-{at}",
        "task": {"type": "Task", "data": {"prompt": one.prompt}, "key": str(number)},
        "agent": {"config": {}, "name": "agent", "trainable": True},
        "nodes": [{"message": {"role": "assistant", "content": one.text}, "sampled": True}],
        "rewards": {"correct": {"score": one.reward, "weight": 1.0}, "style": None},
        "metrics": {},
        "is_completed": True,
        "ok": True,
        "errors": [],
    }


def episode(one, number, at, kind="train"):
    return {
        "id": f"e{one.step}-{number}-{at}",
        "env": {"id": "sums", "name": "sums"},
        "task": {"type": "Task", "data": {"prompt": one.prompt}, "key": str(number)},
        "group": {"id": f"g{one.step}-{number}"},
        "run": {"type": kind, "id": "run", "work": {"type": kind, "step": one.step, "policy": {"start": 0, "end": 0}}},
        "ok": True,
        "errors": [],
        "traces": [trace(one, number, at)],
    }


def traces(folder, given, subset="all", kind="train"):
    for step, mine in by_step(given):
        path = folder / "rollouts" / f"step_{step}" / kind / subset / "traces.jsonl"
        lines(path, [episode(one, number, at, kind) for one, number, at in numbered(mine)])
    return folder


def traces_old(folder, given):
    for step, mine in by_step(given):
        rows = [trace(one, number, at) for one, number, at in numbered(mine)]
        lines(folder / "rollouts" / f"step_{step}" / "train_rollouts.jsonl", rows)
    return folder


def skyrl(folder, given, score=lambda one: one.reward):
    for step, mine in by_step(given):
        rows = [
            {
                "input_prompt": one.prompt,
                "output_response": one.text,
                "score": score(one),
                "stop_reason": "stop",
                "env_class": "sums",
                "env_extras": {"reward_model": {"ground_truth": "4"}},
                "data_source": "sums",
            }
            for one in mine
        ]
        run = folder / "dumped_evals" / f"global_step_{step}_evals"
        lines(run / "sums.jsonl", rows)
        lines(run / "aggregated_results.jsonl", [{"eval/sums/avg_score": 0.4}])
    return folder


def lm_eval(folder, given):
    """Repeats as files of their own, one answer a document: what lm-eval can tell of single answers."""
    for one, number, at in numbered(given):
        path = folder / "small" / f"samples_sums_2026-01-0{at + 1}T00-00-00.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {
            "doc_id": number,
            "doc": {"question": one.prompt},
            "target": "4",
            "resps": [[one.text]],
            "filtered_resps": [one.text],
            "filter": "none",
            "metrics": ["exact_match"],
            "exact_match": one.reward,
        }
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return folder


def sample(one, number, at, value=None):
    letter = {1.0: "C", 0.0: "I", 0.5: "P"}.get(one.reward, one.reward)
    return {
        "id": number,
        "epoch": at + 1,
        "input": one.prompt,
        "target": "4",
        "scores": {"match": {"value": letter if value is None else value, "answer": one.text}},
    }


def inspect(folder, given, summaries=True, name="log.eval"):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [sample(one, number, at) for one, number, at in numbered(given)]
    head = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "small", "config": {"epochs": 4}}}
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("_journal/start.json", json.dumps(head))
        for row in rows:
            file.writestr(f"samples/{row['id']}_epoch_{row['epoch']}.json", json.dumps({**row, "messages": []}))
        if summaries:
            file.writestr("summaries.json", json.dumps(rows))
            file.writestr("header.json", json.dumps(head))
    return folder


def slime(folder, given):
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for step, mine in by_step(given):
        samples = [
            {
                "group_index": number,
                "index": 4 * number + at,
                "prompt": one.prompt,
                "response": one.text,
                "label": "4",
                "reward": one.reward,
                "status": "completed",
            }
            for one, number, at in numbered(mine)
        ]
        torch.save({"rollout_id": step, "samples": samples}, folder / f"{step}.pt")
    return folder


#: Layout name -> writer.
WRITERS = {
    "trl": trl,
    "verl": verl,
    "verl-v1": verl_v1,
    "traces": traces,
    "traces-old": traces_old,
    "verifiers": verifiers,
    "skyrl": skyrl,
    "lm-eval": lm_eval,
    "inspect": inspect,
    "slime": slime,
}
#: Layouts that say at which step an answer was given.
STEPPED = {"trl", "verl", "verl-v1", "traces", "traces-old", "skyrl", "slime"}


def data_files(folder):
    """The files of a log that hold answers."""
    beside = ("metadata.json", "aggregated_results.jsonl")
    return sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.name not in beside)
