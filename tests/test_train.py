"""`groupsigma train`, run as a user runs it: a real model, a real trainer, in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groupsigma.errors import GroupsigmaError

pytest.importorskip("trl")

TINY = """
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
import torch
torch.manual_seed(0)
letters = ["<pad>", "<eos>", *"0123456789+="]
t = Tokenizer(models.WordLevel({c: i for i, c in enumerate(letters)}, unk_token="<pad>"))
t.pre_tokenizer, t.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
PreTrainedTokenizerFast(
    tokenizer_object=t, pad_token="<pad>", eos_token="<eos>", padding_side="left"
).save_pretrained(sys.argv[1])
LlamaForCausalLM(
    LlamaConfig(
        vocab_size=14, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, eos_token_id=1, bos_token_id=1,
    )
).save_pretrained(sys.argv[1])
"""

#: A right answer holds a 3: about a quarter of the answers of an untaught model do.
CHECKER = """
import time
def three(completion, row):
    return "3" in completion
def bad(completion, row):
    if "5" in completion:
        raise ValueError("no fives")
    return "3" in completion
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    subprocess.run([sys.executable, "-W", "ignore", "-c", TINY, str(folder / "model")], check=True, capture_output=True)
    rows = [{"prompt": f"{i % 10}+{i // 10}=", "answer": str(i % 10)} for i in range(96)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mine.py").write_text(CHECKER)
    return folder


def command(*words, method="grpo", checker="mine:three"):
    return [
        sys.executable, "-m", "groupsigma.cli", "train", "--method", method, "--model", "model", "--data", "sums.jsonl",
        "--checker", checker, "--per_device_train_batch_size", "32", "--num_generations", "4",
        "--max_completion_length", "6", "--learning_rate", "1e-2", *map(str, words),
    ]  # fmt: skip


def train(place, *words, **options):
    return subprocess.run(command(*words, **options), cwd=place, capture_output=True, text=True, timeout=300)


def history(folder):
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


@pytest.mark.parametrize("method", ["grpo", "dr-grpo", "dapo"])
def test_each_method_trains_and_says_what_its_groups_do(place, method):
    done = train(place, "--output_dir", f"run-{method}", "--max_steps", 3, method=method)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"trained model in run-{method}\n"
    steps = history(place / f"run-{method}")[:-1]
    assert len(steps) == 3
    for at, logged in enumerate(steps):
        together = logged["group/all_right"] + logged["group/all_wrong"]
        assert logged["group/silent"] == pytest.approx(together, abs=1e-12)
        assert ("group/silent_predicted" in logged) == (at > 0)
        assert 0 <= logged["group/mixed"] <= 1
        if method == "dapo":
            assert logged["frac_reward_zero_std"] == 0
            assert logged["group/draws_per_kept"] == pytest.approx(1 / logged["group/mixed"])
    said = [text for text in done.stderr.splitlines() if "step " in text and "solved" in text]
    assert len(said) == 3
    assert all(text.startswith("groupsigma: ") for text in done.stderr.splitlines()), done.stderr
    assert ("replacing silent groups" in done.stderr) == (method == "dapo")
    assert (place / f"run-{method}" / "model.safetensors").is_file()


def test_a_planned_batch_spreads_its_answers(place):
    done = train(place, "--output_dir", "run-plan", "--max_steps", 3, "--plan", "signal", "--candidates", 16)
    assert done.returncode == 0, done.stderr
    sizes = [logged["group/size_mean"] for logged in history(place / "run-plan")[:-1]]
    # Stock groups are of 4; a plan spreads its 32 answers otherwise as soon as it knows anything.
    assert any(size != 4 for size in sizes[1:])
    assert all(32 % size == 0 or 32 / size == pytest.approx(round(32 / size)) for size in sizes)


def test_what_the_checker_cannot_score_is_counted_and_left_out(place):
    done = train(place, "--output_dir", "run-bad", "--max_steps", 2, checker="mine:bad")
    assert done.returncode == 0, done.stderr
    logged = history(place / "run-bad")[0]
    assert logged["group/unscorable"] == logged["checker/raised"] > 0
    assert logged["group/size_mean"] < 4


def test_the_settings_of_a_method_are_shown_with_their_sources(place):
    done = subprocess.run(
        [sys.executable, "-m", "groupsigma.cli", "train", "--method", "dapo", "--show"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "0.28" in done.stdout and "2503.14476" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--num_generations", 1], "at least 2 generations"),
        (["--num_generations", 5], "multiple of num_generations"),
        (["--learning_rato", 3], "did you mean --learning_rate"),
        (["--learning_rate", "fast"], "invalid float value"),
        (["--checker", "mathh"], "math"),
        (["--model", "nowhere"], "nowhere"),
        (["--model", "."], "config.json"),
        (["--model", "absent.gguf"], "absent.gguf"),
        (["--data", "nothing.jsonl"], "nothing.jsonl"),
        (["--data", "empty.jsonl"], "empty.jsonl"),
        (["--data", "noprompt.jsonl"], "prompt"),
        (["--checker", "exact", "--data", "noanswer.jsonl"], "answer"),
        (["--dial", "grpoo"], "did you mean"),
        (["--method", "grop"], "did you mean"),
        (["--method", "dapo", "--plan", "signal"], "both"),
        (["--method", "dapo", "--limit", 4], "at least 8 prompts"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_bad_input_is_one_clear_line_and_writes_nothing(place, monkeypatch, words, says):
    from typer.testing import CliRunner

    from groupsigma.cli import app

    (place / "empty.jsonl").write_text("")
    (place / "noprompt.jsonl").write_text('{"answer": "3"}\n')
    (place / "noanswer.jsonl").write_text('{"prompt": "1+1="}\n' * 20)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = CliRunner().invoke(app, [*command("--output_dir", "run-none", "--max_steps", 1, *words)[3:]])
    assert isinstance(done.exception, GroupsigmaError), done.exception
    assert says in str(done.exception)
    assert not Path("run-none").exists() or not any(Path("run-none").iterdir())


def test_an_error_is_one_line_and_exit_2(place):
    done = train(place, "--output_dir", "run-none", "--num_generations", 1)
    assert done.returncode == 2
    assert [text.split(":")[0] for text in done.stderr.splitlines()] == ["error", "hint"]


def test_a_folder_with_checkpoints_is_not_overwritten(place):
    assert train(place, "--output_dir", "run-twice", "--max_steps", 2, "--save_steps", 1).returncode == 0
    again = train(place, "--output_dir", "run-twice", "--max_steps", 2)
    assert again.returncode == 2 and "--resume" in again.stderr


def numbers(folder):
    """What was logged at each step, clocks left out."""
    return [{k: v for k, v in step.items() if "time" not in k} for step in history(folder)[:-1]]


def parameters(folder):
    return (folder / "model.safetensors").read_bytes()


def test_interrupted_it_saves_and_resumed_it_ends_the_same(place):
    words = ("--max_steps", 30, "--save_steps", 1000)
    assert train(place, "--output_dir", "run-whole", *words, method="dapo").returncode == 0
    running = subprocess.Popen(
        command("--output_dir", "run-cut", *words, method="dapo"), cwd=place, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    for text in running.stderr:
        if re.search(r"step [2-9] ", text):
            running.send_signal(signal.SIGINT)
            break
    rest = running.stderr.read()
    running.stderr.close()
    assert running.wait(60) == 130, rest
    assert "--resume goes on from there" in rest
    stopped = int(re.search(r"stopped after step (\d+)", rest)[1])
    assert stopped < 30
    resumed = train(place, "--output_dir", "run-cut", "--resume", *words, method="dapo")
    assert resumed.returncode == 0, resumed.stderr
    assert parameters(place / "run-cut") == parameters(place / "run-whole")


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_anywhere_it_ends_the_same(place, seed):
    words = ("--max_steps", 20, "--save_steps", 2)
    if not (place / "run-20").exists():
        assert train(place, "--output_dir", "run-20", *words).returncode == 0
    out = f"run-killed-{seed}"
    running = subprocess.Popen(
        command("--output_dir", out, *words), cwd=place, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wanted = 3 + 5 * seed
    for text in running.stderr:
        if f"step {wanted} " in text:
            time.sleep(0.03 * seed)
            os.killpg(running.pid, signal.SIGKILL)
            break
    running.stderr.close()
    running.wait()
    assert not (place / out / "model.safetensors").exists()
    resumed = train(place, "--output_dir", out, "--resume", *words)
    assert resumed.returncode == 0, resumed.stderr
    assert parameters(place / out) == parameters(place / "run-20")
    assert numbers(place / out) == numbers(place / "run-20")


def test_a_half_written_checkpoint_is_passed_over(place):
    words = ("--max_steps", 4, "--save_steps", 2)
    assert train(place, "--output_dir", "run-half", *words).returncode == 0
    for name in ("groupsigma.npz", "trainer_state.json"):
        (Path(place) / "run-half" / "checkpoint-4" / name).unlink()
    resumed = train(place, "--output_dir", "run-half", "--resume", *words)
    assert resumed.returncode == 0, resumed.stderr
    assert "step 3 " in resumed.stderr and "step 1 " not in resumed.stderr
