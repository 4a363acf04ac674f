"""Checkpoints: a run that was stopped, killed or short of disk goes on bit for bit as if it had not been."""

import multiprocessing
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl")

import torch
import transformers
import trl

from groupsigma import DAPO, GRPO, MAXRL, ArgumentError, Groups
from groupsigma.trainers import trl as module
from groupsigma.trainers.checkpoint import last_whole, load_state, out_of_space, save_state
from tiny_llama import QUIET, Script, by_units, coin, judge, parameters, problems, run, trainer, watched

pytestmark = QUIET

STEPS = 9
WAYS = dict(dial=dict(dial=MAXRL), mixed=dict(dial=DAPO), tries=dict(tries=lambda ids: [2, 8, 0, 6], dial=GRPO))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def saving(**more):
    return dict(max_steps=STEPS, save_strategy="steps", save_steps=1, **more)


def told(made):
    """All that should be the same: numbers logged, parameters, optimizer, beliefs, place in the data, account."""
    clocks = ("runtime", "per_second", "step_time")
    history = [
        {key: value for key, value in entry.items() if not any(c in key for c in clocks) and key != "train_loss"}
        for entry in made.state.log_history
    ]
    moments = [x for s in made.optimizer.state_dict()["state"].values() for x in s.values()]
    return dict(
        history=history,
        parameters=parameters(made).tolist(),
        moments=[x.tolist() for x in moments],
        rate=made.lr_scheduler.get_last_lr(),
        beliefs={name: np.asarray(x).tolist() for name, x in made.tracker.state().items()},
        position=made._walk.position if made._walk else 0,
        draws=made.draws.state(),
    )


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key] == b[key], key


def at(folder, step):
    return str(Path(folder) / f"checkpoint-{step}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One uninterrupted run of each way, real answers of the model, over data of 11: epochs of 2 steps."""
    made = {}

    def of(way):
        if way not in made:
            torch.set_num_threads(1)
            folder = tmp_path_factory.mktemp(way)
            made[way] = run(folder, judge(coin), data=problems(11), change=saving(), **WAYS[way])
        return made[way]

    return of


@pytest.mark.parametrize("step", [1, 2, 5, 6, 8])
@pytest.mark.parametrize("way", WAYS)
def test_a_run_taken_up_is_the_run_bit_for_bit(tmp_path, whole, way, step):
    """In the first epoch and in later ones, in the middle (odd steps) and between two (even ones)."""
    before = whole(way)
    assert len({tuple(b.prompts) for b in before.batches}) == STEPS
    made = trainer(tmp_path, judge(coin), data=problems(11), change=saving(), **WAYS[way])
    made.train(at(before.args.output_dir, step))
    assert [b.step for b in made.batches] == list(range(step, STEPS))
    for a, b in zip(before.batches[step:], made.batches, strict=True):
        assert (a.rows, a.advantages) == (b.rows, b.advantages)
    same(told(before), told(made))


def test_trl_itself_starts_a_later_epoch_from_the_first_one_s_order(tmp_path):
    """What ours corrects: the check above can fail."""
    stock = watched(trl.GRPOTrainer)
    given = dict(cls=stock, data=problems(11), rollout=Script(), change=saving())
    before = run(tmp_path / "a", judge(coin), **given)
    made = trainer(tmp_path / "b", judge(coin), **given)
    made.train(at(tmp_path / "a", 5))
    again = [b.prompts for b in made.batches]
    assert again != [b.prompts for b in before.batches[5:]]
    assert again[0] == before.batches[1].prompts


@pytest.mark.parametrize("way", WAYS)
def test_with_accumulation_and_passes_on_a_generation_boundary(tmp_path, way):
    """Three steps a generation batch: checkpoints at 3 and 6 are on its boundary."""
    change = saving(
        per_device_train_batch_size=8, gradient_accumulation_steps=2, steps_per_generation=2, num_iterations=3
    )
    given = dict(data=problems(11), change=change | dict(save_steps=3), **WAYS[way])
    before = run(tmp_path / "a", judge(coin), **given)
    assert len(before.batches) == 3
    for step in (3, 6):
        made = trainer(tmp_path / f"b{step}", judge(coin), **given)
        made.train(at(tmp_path / "a", step))
        same(told(before), told(made))


def test_text_ids_and_a_history_survive(tmp_path):
    data = problems(11, prompt_id=[f"problem {i}" for i in range(11)])
    history = Groups(["problem 3", "problem 30"], [1, 7], [8, 8])
    given = dict(data=data, history=history, dial=DAPO, change=saving())
    before = run(tmp_path / "a", judge(coin), **given)
    made = trainer(tmp_path / "b", judge(coin), **given)
    made.train(at(tmp_path / "a", 4))
    same(told(before), told(made))
    assert "problem 30" in made.tracker.beliefs.prompt_ids.tolist()


def test_a_history_under_text_ids_beside_row_numbers_survives(tmp_path):
    """What `load(...)` gives beside data that has no column of ids."""
    given = dict(data=problems(11), history=Groups(["a", "b"], [1, 7], [8, 8]), dial=DAPO, change=saving())
    before = run(tmp_path / "a", judge(coin), **given)
    made = trainer(tmp_path / "b", judge(coin), **given)
    made.train(at(tmp_path / "a", 4))
    same(told(before), told(made))


def test_graded_rewards_leave_no_beliefs_and_go_on_too(tmp_path):
    given = dict(dial=DAPO, data=problems(11), change=saving())
    before = run(tmp_path / "a", judge(lambda p, t: len(t) / 7), **given)
    assert before.tracker.state() == {}
    made = trainer(tmp_path / "b", judge(lambda p, t: len(t) / 7), **given)
    made.train(at(tmp_path / "a", 4))
    same(told(before), told(made))


# ---- killed at any moment -------------------------------------------------------------------------------


class Killed(BaseException):
    """As a kill: nothing that catches errors sees it, nothing is tidied up."""


def dying(where, monkeypatch, name, times, half=None):
    """`where.name` dies at its `times`-th call, after writing half a file where one is named."""
    real, calls = getattr(where, name), []

    def dies(*args, **kwargs):
        calls.append(1)
        if len(calls) == times:
            if half is not None:
                half(*args)
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(where, name, dies)


def half_a_file(*args):
    """The trainer's state, cut off."""
    Path(args[-1]).write_text('{"best_')


@pytest.mark.parametrize("kept", [None, 2])
@pytest.mark.parametrize("stage", ["model", "optimizer", "rng", "state", "ours", "rename"])
def test_killed_while_a_checkpoint_is_written_the_one_before_is_taken(tmp_path, whole, monkeypatch, stage, kept):
    """At every stage of the fifth checkpoint."""
    given = dict(data=problems(11), change=saving(save_total_limit=kept), **WAYS["mixed"])
    with monkeypatch.context() as patch:
        if stage == "rename":
            dying(Path, patch, "replace", 5)
        elif stage == "ours":
            dying(module, patch, "save_state", 5)
        elif stage == "state":
            dying(transformers.TrainerState, patch, "save_to_json", 5, half_a_file)
        else:
            name = dict(model="save_model", optimizer="_save_optimizer_and_scheduler", rng="_save_rng_state")[stage]
            dying(transformers.Trainer, patch, name, 5)
        with pytest.raises(Killed):
            run(tmp_path, judge(coin), **given)
    assert last_whole(tmp_path).name == "checkpoint-4"
    made = trainer(tmp_path, judge(coin), **given)
    made.train(resume_from_checkpoint=True)
    assert made.batches[0].step == 4
    same(told(whole("mixed")), told(made))


@pytest.mark.parametrize("stage", ["ours", "rename"])
def test_killed_with_one_checkpoint_kept_there_is_still_a_whole_one(tmp_path, whole, monkeypatch, stage):
    """save_total_limit=1, the usual setting of large models: TRL has tidied up when our file is written."""
    given = dict(data=problems(11), change=saving(save_total_limit=1), **WAYS["mixed"])
    with monkeypatch.context() as patch:
        dying(*((Path, patch, "replace") if stage == "rename" else (module, patch, "save_state")), 5)
        with pytest.raises(Killed):
            run(tmp_path, judge(coin), **given)
    made = trainer(tmp_path, judge(coin), **given)
    made.train(resume_from_checkpoint=True)
    same(told(whole("mixed")), told(made))


LONG = 32


def job(folder, way):
    """The run of another process, taken up where there is a checkpoint; its end goes to a file."""
    torch.set_num_threads(1)
    folder = Path(folder)
    made = trainer(
        folder, judge(coin), data=problems(17), change=saving(save_total_limit=3) | dict(max_steps=LONG), **WAYS[way]
    )
    made.train(True if last_whole(folder) else None)
    np.savez(
        folder / "end.part.npz",
        parameters=parameters(made).numpy(),
        position=told(made)["position"],
        **made.tracker.state(),
    )
    (folder / "end.part.npz").rename(folder / "end.npz")


@pytest.fixture(scope="module")
def apart():
    """Processes that begin with TRL imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["groupsigma.trainers.trl", "transformers.models.llama.modeling_llama"])
    return context


def step_of(folder):
    found = last_whole(folder)
    return 0 if found is None else int(found.name.split("-")[1])


@pytest.mark.parametrize("way", ["dial", "mixed", pytest.param("tries", marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_taken_up_it_ends_as_if_nothing_had_been(tmp_path, apart, way):
    rng = np.random.default_rng(list(WAYS).index(way))
    alone, cut = tmp_path / "alone", tmp_path / "cut"

    def start(folder):
        process = apart.Process(target=job, args=(str(folder), way))
        process.start()
        return process

    first = start(alone)
    first.join(120)
    assert first.exitcode == 0
    for _ in range(4):
        process, before = start(cut), step_of(cut)
        # Some way into the steps after the next checkpoint, so that every life gets somewhere.
        while step_of(cut) == before and process.is_alive():
            time.sleep(0.002)
        process.join(rng.uniform(0, 0.06))
        process.kill()
        process.join()
        assert process.exitcode == -9
    assert 4 <= step_of(cut) < LONG
    last = start(cut)
    last.join(120)
    assert last.exitcode == 0
    with np.load(tmp_path / "alone" / "end.npz") as a, np.load(cut / "end.npz") as b:
        assert set(a.files) == set(b.files) > {"parameters", "position", "weight", "prompt_ids"}
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


# ---- which checkpoint is taken -------------------------------------------------------------------------------


def test_half_written_checkpoints_are_passed_over(tmp_path):
    made = run(tmp_path, rollout=Script(by_units), dial=DAPO, change=saving() | dict(save_steps=4))
    shutil.rmtree(tmp_path / "checkpoint-9")
    assert last_whole(tmp_path).name == "checkpoint-8"
    (tmp_path / "checkpoint-100").mkdir()
    shutil.copytree(tmp_path / "checkpoint-8", tmp_path / "checkpoint-12")
    (tmp_path / "checkpoint-12" / "groupsigma.npz").rename(tmp_path / "checkpoint-12" / ".groupsigma.npz.part")
    shutil.copytree(tmp_path / "checkpoint-8", tmp_path / "checkpoint-x9")
    shutil.copytree(tmp_path / "checkpoint-8", tmp_path / "before-checkpoint-99")
    assert last_whole(tmp_path).name == "checkpoint-8"
    again = trainer(tmp_path, rollout=Script(by_units), dial=DAPO, change=saving() | dict(save_steps=4))
    again.train(resume_from_checkpoint=True)
    assert again.batches[0].step == 8
    assert told(again)["parameters"] == told(made)["parameters"]


def test_checkpoints_are_ordered_by_number(tmp_path):
    for step in (2, 10, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
        save_state(tmp_path / f"checkpoint-{step}", {}, {})
    assert last_whole(tmp_path).name == "checkpoint-10"


def test_with_no_checkpoint_there_is_nothing_to_take_up(tmp_path):
    made = trainer(tmp_path, rollout=Script())
    with pytest.raises(ArgumentError, match=r"a whole checkpoint to resume from, got none in") as error:
        made.train(resume_from_checkpoint=True)
    assert "leave resume_from_checkpoint out" in error.value.hint
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(ArgumentError):
        made.train(resume_from_checkpoint=True)


def test_a_checkpoint_of_trl_s_own_can_be_taken_up(tmp_path, capsys):
    """Predictions and the refill's order start anew, and it is said."""
    run(tmp_path, judge(coin), cls=watched(trl.GRPOTrainer), change=saving() | dict(max_steps=4))
    made = trainer(tmp_path, judge(coin), dial=DAPO, change=saving())
    capsys.readouterr()
    made.train(resume_from_checkpoint=True)
    assert "checkpoint-4 was written by another trainer: predictions start anew" in capsys.readouterr().err
    assert made.batches[0].step == 4 and made._walk.position >= 4 * 5


def test_state_goes_through_a_file_bit_for_bit(tmp_path):
    arrays = dict(
        a=np.array([0.1, np.nan, -0.0]), ids=np.array(["x", "ü", ""], dtype=object), n=np.arange(3, dtype=np.int64)
    )
    save_state(tmp_path, arrays, dict(position=3, draws=dict(came=1.5)))
    held, numbers = load_state(tmp_path)
    assert held["a"].tobytes() == arrays["a"].tobytes() and held["n"].dtype == np.int64
    assert held["ids"].tolist() == ["x", "ü", ""] and held["ids"].dtype == object
    assert numbers == dict(position=3, draws=dict(came=1.5))
    assert [p.name for p in tmp_path.iterdir()] == ["groupsigma.npz"]
    assert load_state(tmp_path / "elsewhere") is None


# ---- no room ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "name", "error"),
    [
        (module, "save_state", OSError(28, "No space left on device")),
        (transformers.Trainer, "_save_optimizer_and_scheduler", OSError(122, "Disk quota exceeded")),
        (
            transformers.Trainer,
            "_save_optimizer_and_scheduler",
            RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
        ),
        (
            transformers.Trainer,
            "save_model",
            Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
        ),
        (trl.GRPOTrainer, "create_model_card", OSError(28, "No space left on device")),
    ],
    ids=["ours", "quota", "torch", "safetensors", "card"],
)
def test_a_full_disk_costs_a_checkpoint_and_nothing_else(tmp_path, whole, monkeypatch, capsys, where, name, error):
    """The fifth write fails: no partial folder stays, the others are whole, and the run ends as it would have."""
    real, calls = getattr(where, name), []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) == 5:
            raise error
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, full)
        if "PytorchStreamWriter" in str(error):
            patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 1 << 30, 0))
        made = run(tmp_path, judge(coin), data=problems(11), change=saving(), **WAYS["mixed"])
    said = capsys.readouterr().err
    assert (
        said.count("no room for") == 1
        and f"no room for {tmp_path / 'checkpoint-5'}: this checkpoint was not kept" in said
    )
    assert sorted(p.name for p in tmp_path.glob("checkpoint-*")) == [f"checkpoint-{i}" for i in range(1, 10) if i != 5]
    same(told(whole("mixed")), told(made))
    again = trainer(tmp_path / "again", judge(coin), data=problems(11), change=saving(), **WAYS["mixed"])
    again.train(at(tmp_path, 4))
    same(told(whole("mixed")), told(again))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("PytorchStreamWriter failed writing file data/3"),
        OSError(13, "Permission denied"),
        ValueError("no"),
    ],
)
def test_any_other_error_of_a_checkpoint_is_raised(tmp_path, monkeypatch, error):
    """With room on the disk a failed write is something else."""

    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(transformers.Trainer, "_save_optimizer_and_scheduler", fails)
    with pytest.raises(type(error), match=str(error).split("]")[-1].strip()):
        run(tmp_path, rollout=Script(), change=saving())


def test_what_counts_as_a_full_disk(tmp_path):
    missing = tmp_path / "not" / "there"
    assert out_of_space(OSError(28, "x"), missing) and out_of_space(RuntimeError("NO SPACE LEFT on device"), missing)
    assert not out_of_space(OSError(2, "No such file"), missing)
    assert not out_of_space(RuntimeError("PytorchStreamWriter failed writing file"), missing)


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 1.5 MB, where this machine lets one be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full(tiny_disk, whole, capsys):
    """A checkpoint is some 110 kB: the disk fills up, and a file in the way is deleted later."""
    reward = judge(coin)
    made = trainer(tiny_disk, reward, data=problems(11), change=saving(), **WAYS["mixed"])
    weight = tiny_disk / "weight"
    weight.write_bytes(b"0" * 1_150_000)
    made.train()
    said = capsys.readouterr().err
    lost = said.count("no room for")
    kept = sorted(int(p.name[11:]) for p in tiny_disk.glob("checkpoint-*"))
    assert lost >= 3 and len(kept) == STEPS - lost >= 1 and kept == list(range(1, len(kept) + 1))
    same(told(whole("mixed")), told(made))
    weight.unlink()
    again = trainer(tiny_disk, judge(coin), data=problems(11), change=saving(), **WAYS["mixed"])
    again.train(resume_from_checkpoint=True)
    assert again.batches[0].step == len(kept)
    same(told(whole("mixed")), told(again))
