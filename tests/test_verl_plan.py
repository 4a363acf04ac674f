"""A plan in the released verl: the file that `plan --data-out` writes, its own data set, its own agent loop."""

import asyncio
import importlib
import json
from collections import Counter

import numpy as np
import pytest
from typer.testing import CliRunner

from asked import trainer

loops = trainer("verl", "verl.trainer.ppo.v1.agent_loop_tq")

import duckdb
import torch
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

from groupsigma import GRPO, advantages
from groupsigma.cli import app

importlib.import_module("groupsigma.trainers.verl")  # its estimators

pytestmark = pytest.mark.filterwarnings("ignore")

PROBLEMS = 40


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Counts and a data set of verl's kind, planned from the shell: the file, its tries by id, the lines to paste."""
    folder = tmp_path_factory.mktemp("plan")
    rows = [
        {
            "qid": f"q{i}",
            "prompt": [{"role": "user", "content": f"{i} + {i} ="}],
            "data_source": "sums",
            "reward_model": {"style": "rule", "ground_truth": str(2 * i)},
            "extra_info": {"index": i},
        }
        for i in range(PROBLEMS)
    ]
    problems, counts = folder / "problems.jsonl", folder / "counts.csv"
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = folder / "problems.parquet"
    duckdb.sql(f"COPY (SELECT * FROM read_json('{problems}')) TO '{data}' (FORMAT parquet)")
    counts.write_text("qid,n_correct,n_rollouts\n" + "".join(f"q{i},{i % 9},8\n" for i in range(PROBLEMS)))
    target = folder / "planned.parquet"
    words = [
        "plan",
        str(counts),
        "--prompt-id",
        "qid",
        "--budget",
        "240",
        "--data",
        str(data),
        "--data-out",
        str(target),
    ]
    done = CliRunner().invoke(app, [*words, "--config", "verl"])
    assert done.exit_code == 0, done.output
    tries = dict(duckdb.sql(f"SELECT qid, tries FROM '{target}'").fetchall())
    assert len(set(tries.values())) > 1
    return target, tries, done.stdout


def test_each_prompt_gets_its_tries(planned, monkeypatch):
    """verl's own data set, collation, tensor dict and agent loop; the answering alone is stood in for."""
    target, tries, _ = planned
    asked, told = Counter(), []

    async def put(key, partition_id, tag, **_):
        told.append((key, tag["status"]))

    monkeypatch.setattr(loops.tq, "async_kv_put", put)
    worker = loops.AgentLoopWorkerTQ.__ray_metadata__.modified_class
    held = worker.__new__(worker)
    rollout = dict(n=7, temperature=1.0, top_p=1.0, top_k=-1, calculate_log_probs=False)
    rollout |= dict(agent=dict(default_agent_loop="single_turn_agent"), val_kwargs=dict(n=1))
    held.config = OmegaConf.create({"actor_rollout_ref": {"rollout": rollout}})
    held.background_tasks = set()

    async def answer(sampling_params, *, trajectory, trace, session_id, qid, **prompt):
        assert "__rollout_n__" not in prompt and prompt["raw_prompt"]
        asked[qid] += 1

    held._run_agent_loop = answer
    data = RLHFDataset(str(target), None, OmegaConf.create({"filter_overlong_prompts": False}))
    assert len(data) == len(tries)
    rows = collate_fn([data[i] for i in range(len(data))])
    rows["uid"] = np.array([f"u{i}" for i in range(len(data))], dtype=object)
    batch = tu.get_tensordict(rows)
    tu.assign_non_tensor_data(batch, "global_steps", 1)

    async def step():
        await held.generate_sequences(batch)
        await asyncio.gather(*held.background_tasks)

    asyncio.run(step())
    assert asked == tries
    assert sorted(key for key, status in told if status == "finished") == sorted(rows["uid"])


def test_the_lines_name_an_estimator_that_counts_prompts_equally(planned):
    _, tries, text = planned
    options = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    assert int(options["actor_rollout_ref.rollout.n"]) >= sum(tries.values()) / len(tries)
    estimate = ADV_ESTIMATOR_REGISTRY[options["algorithm.adv_estimator"]]
    rewards, ids = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 0.0]), np.array(["a", "a", "b", "b", "b", "b"], dtype=object)
    found, _ = estimate(rewards[:, None], torch.ones(6, 1), index=ids, config=None)
    each = np.concatenate(
        [advantages(rewards[:2].numpy(), GRPO) * 3 / 2, advantages(rewards[2:].numpy(), GRPO) * 3 / 4]
    )
    assert found[:, 0].numpy() == pytest.approx(each, rel=1e-6)
