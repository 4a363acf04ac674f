"""Logs of one number a step: TRL's trainer state, metrics as lines, exports of W&B and TensorBoard."""

import json

import pytest

import logs
from groupsigma.errors import SourceError
from groupsigma.readers.scalars import read_scalars, trainers_own


def state(folder, rows, name="trainer_state.json"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({"global_step": 3, "log_history": rows}))
    return path


def test_trls_trainer_state(tmp_path):
    rows = [
        {"step": 1, "reward": 0.25, "frac_reward_zero_std": 0.5, "rewards/accuracy/mean": 0.25},
        {"step": 2, "eval_reward": 0.75, "eval_frac_reward_zero_std": 0.1},
        {"step": 2, "reward": 0.5, "frac_reward_zero_std": 0.75},
        {"step": 3, "train_runtime": 12.0},
    ]
    found = read_scalars(str(state(tmp_path, rows)))
    assert found.step.tolist() == [1, 2]
    assert found.by_step("silent") == {1: 0.5, 2: 0.75}
    assert found.by_step("reward") == {1: 0.25, 2: 0.5}
    assert found.names == {"silent": "frac_reward_zero_std", "reward": "reward"}
    assert found.by_step("all_right") == {}


def test_a_resumed_step_counts_as_it_was_logged_last(tmp_path):
    rows = [{"step": s, "frac_reward_zero_std": v} for s, v in ((1, 0.1), (2, 0.2), (2, 0.3), (3, 0.4))]
    assert read_scalars(str(state(tmp_path, rows))).by_step("silent") == {1: 0.1, 2: 0.3, 3: 0.4}


def test_metrics_as_lines(tmp_path):
    plain = logs.lines(
        tmp_path / "metrics.jsonl",
        [{"step": s, "time": 1.5, "train/solved_none": 0.5, "train/solved_all": 0.25} for s in range(3)],
    )
    assert read_scalars(str(plain)).by_step("all_wrong") == {0: 0.5, 1: 0.5, 2: 0.5}
    nested = logs.lines(
        tmp_path / "verl.jsonl", [{"step": s, "data": {"critic/score/mean": 0.5, "group/silent": 0.5}} for s in (1, 2)]
    )
    assert read_scalars(str(nested)).by_step("reward") == {1: 0.5, 2: 0.5}


def test_exports_of_wandb_and_tensorboard(tmp_path):
    wandb = tmp_path / "wandb.csv"
    wandb.write_text(
        '"Step","run - train/frac_reward_zero_std","run - train/frac_reward_zero_std__MIN"\n'
        '"1","0.5","0.1"\n"2","",""\n'
    )
    assert read_scalars(str(wandb)).by_step("silent") == {1: 0.5}
    board = tmp_path / "run-a-tag-train_frac_reward_zero_std.csv"
    board.write_text("Wall time,Step,Value\n1.5,10,0.25\n2.5,20,0.5\n")
    assert read_scalars(str(board)).by_step("silent") == {10: 0.25, 20: 0.5}


@pytest.mark.parametrize(
    "rows",
    [
        [{"step": 1, "prompt_id": "a", "reward": 1.0}, {"step": 2, "prompt_id": "a", "reward": 0.0}],
        [{"step": 1, "reward": 1.0}] * 8,
        [{"input": "a", "output": "b" * 300, "score": 1.0, "step": 1}],
        [{"prompt_id": "a", "reward": 1.0}],
    ],
)
def test_answers_are_no_scalars(tmp_path, rows):
    assert read_scalars(str(logs.lines(tmp_path / "answers.jsonl", rows))) is None


def test_scalars_that_tell_nothing_are_refused(tmp_path):
    rows = [{"step": s, "loss": 0.1, "grad_norm": 1.0} for s in (1, 2)]
    with pytest.raises(SourceError, match=r"needs one of group/silent, .* got loss, grad_norm"):
        read_scalars(str(state(tmp_path, rows)))


def test_beside_a_log_the_furthest_counts(tmp_path):
    early = state(tmp_path / "checkpoint-1", [{"step": 1, "frac_reward_zero_std": 0.5}])
    late = state(tmp_path / "checkpoint-2", [{"step": s, "frac_reward_zero_std": 0.25} for s in (1, 2)])
    other = state(tmp_path / "checkpoint-3", [{"step": 9, "loss": 1.0}])
    assert trainers_own([str(p) for p in (early, late, other)]).by_step("silent") == {1: 0.25, 2: 0.25}
    assert trainers_own([]) is None
