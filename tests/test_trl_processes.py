"""Two processes on the CPU, joined by gloo, do together what one does alone."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("trl")

import torch

from groupsigma import DAPO, DIALS, GRPO, MAXRL
from groupsigma.trainers.checkpoint import last_whole
from tiny_llama import QUIET, Script, by_units, judge, parameters, problems, trainer, watched

pytestmark = QUIET

#: Rows of all processes, 12 a batch; with two processes each holds 6, so groups of 4 straddle them.
SIZES = dict(
    straddling=dict(size=4, ours=dict(dial=MAXRL)),
    batch=dict(size=4, ours=dict(dial=DIALS["trl-batch"])),
    stock=dict(size=6, ours={}),
    mixed=dict(size=3, ours=dict(dial=DAPO)),
    short=dict(size=3, ours=dict(dial=DAPO, max_batches=1)),
    tries=dict(size=4, ours=dict(tries=lambda ids: [5, 0, 7], dial=GRPO)),
    proportional=dict(size=4, ours=dict(tries=lambda ids: [3, 2, 7], dial=GRPO, weight="proportional")),
    judged=dict(size=4, ours=dict(dial=GRPO, judge="judge")),
)


def length(prompt, text):
    return -len(text) / 10


def scenario(folder, name, world):
    """A run of some steps; what this process saw of it."""
    size, ours = SIZES[name]["size"], SIZES[name]["ours"]
    change = dict(
        num_generations=size,
        per_device_train_batch_size=12 // world,
        max_steps=4,
        optim="sgd",
        learning_rate=0.5,
        log_completions=True,
        eval_strategy="steps",
        eval_steps=2,
        per_device_eval_batch_size=12 // world,
    )
    reward = judge(extra="echo")
    functions = [reward, judge(length, "length")] if name == "judged" else reward
    made = trainer(
        folder, functions, data=problems(11), rollout=Script(by_units), change=change,
        eval_dataset=problems(24 // size), **ours,
    )  # fmt: skip
    made.train()
    return dict(
        rows=[batch.rows for batch in made.batches],
        advantages=[batch.advantages for batch in made.batches],
        seen=[sorted(rows) for rows in made.seen],
        history=[{k: v for k, v in e.items() if "time" not in k and "second" not in k} for e in made.state.log_history],
        parameters=parameters(made).tolist(),
        beliefs={k: np.asarray(v).tolist() for k, v in made.tracker.state().items()},
        draws=made.draws.state(),
        rounds=[[len(call.prompts) for call in batch.calls] for batch in made.batches],
    )


def resumed(folder, world):
    """A run over data of 7, in epochs of 2 steps, taken up before the third epoch and in its middle."""
    change = dict(
        num_generations=4, per_device_train_batch_size=12 // world, max_steps=7, save_strategy="steps", save_steps=1
    )
    given = dict(data=problems(7), change=change)
    before = trainer(Path(folder) / "a", judge(), rollout=Script(by_units), **given)
    before.train()
    told = {}
    for step in (4, 5):
        made = trainer(Path(folder) / "b", judge(), rollout=Script(by_units), **given)
        made.train(str(Path(folder) / "a" / f"checkpoint-{step}"))
        told[step] = dict(
            prompts=[b.prompts for b in made.batches],
            expected=[b.prompts for b in before.batches[step:]],
            parameters=parameters(made).tolist() == parameters(before).tolist(),
            beliefs=all(np.array_equal(v, before.tracker.state()[k]) for k, v in made.tracker.state().items()),
        )
    return told


def full_disk(folder, world):
    """The third checkpoint of the first process finds no room; the others go on with it."""
    import transformers

    change = dict(
        num_generations=4, per_device_train_batch_size=12 // world, max_steps=5, save_strategy="steps", save_steps=1
    )
    made = trainer(folder, judge(), data=problems(7), rollout=Script(by_units), dial=DAPO, change=change)
    real, calls = transformers.Trainer._save_optimizer_and_scheduler, []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3 and made.accelerator.is_main_process:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    transformers.Trainer._save_optimizer_and_scheduler = full
    try:
        made.train()
    finally:
        transformers.Trainer._save_optimizer_and_scheduler = real
    made.accelerator.wait_for_everyone()
    return dict(
        step=made.state.global_step,
        kept=sorted(p.name for p in Path(folder).glob("checkpoint-*")),
        parameters=parameters(made).tolist(),
    )


def late(folder, world):
    """The second process is slow to write its part of a checkpoint: what is there when the first one calls it whole."""
    found = []

    class Late(watched()):
        def _save_rng_state(self, output_dir):
            if not self.accelerator.is_main_process:
                time.sleep(0.5)
            return super()._save_rng_state(output_dir)

        def _save_checkpoint(self, model, trial):
            super()._save_checkpoint(model, trial)
            if self.accelerator.is_main_process:
                found.append(sorted(p.name for p in last_whole(Path(folder)).iterdir()))

    change = dict(
        num_generations=4, per_device_train_batch_size=12 // world, max_steps=1, save_strategy="steps", save_steps=1
    )
    trainer(folder, judge(), cls=Late, data=problems(7), rollout=Script(by_units), change=change).train()
    return found


def one_of(folder, rank, world, port):
    """A process of a group: all scenarios one after the other, each told to a file."""
    os.environ |= dict(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world),
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TRL_EXPERIMENTAL_SILENCE="1",
    )  # fmt: skip
    torch.set_num_threads(1)
    folder = Path(folder)
    told = {name: scenario(folder / name, name, world) for name in SIZES}
    told["resumed"] = resumed(folder / "resumed", world)
    told["full"] = full_disk(folder / "full", world)
    told["late"] = late(folder / "late", world)
    (folder / f"{rank}.json").write_text(json.dumps(told))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes saw."""
    folder = tmp_path_factory.mktemp("two")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["groupsigma.trainers.trl", "transformers.models.llama.modeling_llama"])
    port = free_port()
    both = [context.Process(target=one_of, args=(str(folder), rank, 2, port)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(180)
    codes = [process.exitcode for process in both]
    for process in both:
        process.kill()
        process.join()
    assert codes == [0, 0]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)], folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same in this process, as JSON would hold it."""
    torch.set_num_threads(1)
    folder, made = tmp_path_factory.mktemp("one"), {}

    def of(name):
        if name not in made:
            made[name] = json.loads(json.dumps(scenario(folder / name, name, 1)))
        return made[name]

    return of


@pytest.mark.parametrize("name", SIZES)
def test_two_processes_train_on_the_rows_and_advantages_of_one(two, alone, name):
    first, second = (told[name] for told in two[0])
    one = alone(name)
    for a, b, whole in zip(first["rows"], second["rows"], one["rows"], strict=True):
        assert len(a) == len(b) == 6 and a + b == whole
    for a, b, whole in zip(first["advantages"], second["advantages"], one["advantages"], strict=True):
        assert a + b == whole
    for a, b, whole in zip(first["seen"], second["seen"], one["seen"], strict=True):
        assert sorted(a + b) == whole
    assert first["parameters"] == second["parameters"]
    np.testing.assert_allclose(first["parameters"], one["parameters"], atol=1e-5)
    assert len({a for batch in one["advantages"] for a in batch if a}) > 1


@pytest.mark.parametrize("name", SIZES)
def test_two_processes_tell_the_numbers_of_one(two, alone, name):
    """Beliefs and account the same on both; the log of the first is that of one process."""
    first, second = (told[name] for told in two[0])
    one = alone(name)
    assert first["beliefs"] == second["beliefs"] == one["beliefs"]
    assert first["draws"] == second["draws"] == one["draws"]
    known = 0
    for a, whole in zip(first["history"], one["history"], strict=True):
        assert set(a) == set(whole)
        for key in whole:
            # The losses of an evaluation are cut by the number of prompts, not of answers, in TRL itself.
            if key == "eval_loss" or (
                name in ("mixed", "short") and key.endswith(("_length", "clipped_ratio", "num_tokens"))
            ):
                continue
            assert a[key] == pytest.approx(whole[key], rel=1e-3, abs=1e-5), key
            known += key.startswith(("group/", "eval_group/"))
    assert known > 40


def test_the_answers_that_fill_up_a_round_are_not_counted(two, alone):
    """Rounds of 3, 9, … rows on two processes: one answer more is generated than is needed."""
    first = two[0][0]["mixed"]
    assert any(
        sum(rounds) * 2 != sum(whole) for rounds, whole in zip(first["rounds"], alone("mixed")["rounds"], strict=True)
    )
    for a, whole in zip(first["history"], alone("mixed")["history"], strict=True):
        for key in (key for key in whole if key.startswith("completions/") and "terminated" not in key):
            assert a[key] == pytest.approx(whole[key], rel=1e-5), key


def test_rounds_that_do_not_divide_are_filled_up_and_the_rest_is_dropped(two, alone):
    """The rounds of one process, each divided by two and rounded up."""
    whole = alone("mixed")["rounds"]
    assert any(rows % 2 for rounds in whole for rows in rounds)
    for told in two[0]:
        assert told["mixed"]["rounds"] == [[-(-rows // 2) for rows in rounds] for rounds in whole]


@pytest.mark.parametrize("name", SIZES)
def test_the_first_process_logs_the_completions_of_both(two, alone, name):
    one = alone(name)
    for step in (1, 3):  # At 2 and 4 the evaluation is logged over it.
        rows, advantages = one["rows"][step - 1], one["advantages"][step - 1]
        told = pd.read_parquet(two[1] / name / "completions" / f"completions_{step:05d}.parquet")
        assert [list(row) for row in zip(told.prompt, told.completion, strict=True)] == rows
        assert told.advantage.tolist() == advantages
        assert told.echo.tolist() == told.completion.tolist()


LATER = "accelerate nests samplers deeper once batches are skipped, and the epoch does not reach ours"


@pytest.mark.parametrize("step", ["4", "5"])
def test_two_processes_take_up_a_later_epoch_where_it_was(two, step):
    """Between two epochs, and in the middle of one."""
    for told in two[0]:
        again = told["resumed"][step]
        assert again["prompts"] == again["expected"] and len(again["prompts"]) == 7 - int(step)
        assert again["parameters"] and again["beliefs"]


def test_a_full_disk_of_one_process_stops_neither(two):
    first, second = (told["full"] for told in two[0])
    assert first["step"] == second["step"] == 5 and first["parameters"] == second["parameters"]
    assert first["kept"] == [f"checkpoint-{i}" for i in (1, 2, 4, 5)]


def test_a_checkpoint_is_whole_when_every_process_has_written_its_part(two):
    (files,) = two[0][0]["late"]
    assert {"groupsigma.npz", "rng_state_0.pth", "rng_state_1.pth"} <= set(files)


@pytest.mark.slow
def test_torchrun_starts_it_too(tmp_path):
    """The launcher that people use, with the model's own answers."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from tiny_llama import coin, judge, trainer
            from groupsigma import DAPO
            change = dict(num_generations=3, per_device_train_batch_size=6)
            made = trainer(sys.argv[1], judge(coin), dial=DAPO, change=change)
            made.train()
            assert made.accelerator.num_processes == 2 and made.state.global_step == 3
            if made.accelerator.is_main_process:
                print("kept", made.draws.kept)
            """
        )
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            "2",
            "--master_port",
            str(free_port()),
            str(script),
            str(tmp_path / "run"),
        ],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "kept 12" in done.stdout, done.stderr
