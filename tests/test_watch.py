"""A live run watched: findings once, limits in words, the run stopped; a growing log followed from the shell."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

import logs
from groupsigma.errors import ArgumentError, SourceError
from groupsigma.groups import Groups
from groupsigma.trainers.monitor import monitor
from groupsigma.verbs.running import finished, follow
from groupsigma.watch import Watch
from logs import answers

CASES = ((4, 4), (0, 4), (4, 4), (1, 4))


def silent_run(watch, steps, share=1.0):
    """Steps of eight groups of four, a share of them silent."""
    met = []
    for step in range(steps):
        rewards = [[1, 1, 1, 1] if group < 8 * share else [1, 0, 1, 0] for group in range(8)]
        watch.add(np.repeat(np.arange(8), 4), np.ravel(rewards), step)
        met.append(watch.look(step))
    return met


def test_it_looks_every_so_many_steps_and_says_findings_once():
    told = []
    assert silent_run(Watch(every=3, tell=told.append), 9, share=0.5) == [False] * 9
    assert len(told) == 3
    assert told[0].startswith(
        "step 2: 24 groups so far; at this step 50.0% silent (50.0% all right, 0.0% all wrong); 48 answers"
    )
    assert "50.0% of the groups are silent" in told[0] and "are silent from first" not in told[2]


def test_a_limit_that_is_met_is_a_reason():
    watch = Watch(every=2, limits=["spent_on_silence>=50%"], tell=lambda text: None)
    assert silent_run(watch, 4, share=0.5) == [False, True, True, True]
    assert watch.reasons == ["spent_on_silence = 0.5 >= 0.5"]
    with pytest.raises(ArgumentError, match="limits: needs a number this run has, got 'silence'"):
        Watch(every=2, limits=["silence>1"])
    with pytest.raises(ArgumentError, match="limits: needs a test like"):
        Watch(limits=["silent"])


def test_graded_and_unscorable_answers():
    watch = Watch(every=1, tell=lambda text: None)
    watch.add(["a", "a", "b", "b"], [0.5, 0.5, None, None], 1)
    watch.add(["a", "a"], [0.25, 0.75], 2)
    groups = watch.groups
    assert groups.graded and groups.rewards.silent.tolist() == [True, False]
    assert (groups.n_unscorable, groups.n_empty, groups.step.tolist()) == (2, 1, [1, 2])
    with pytest.raises(ArgumentError, match="one prompt id for each reward"):
        watch.add(["a"], [1, 0], 3)


def test_the_monitor_feeds_it():
    watch = Watch(every=1, tell=lambda text: None)
    judge = monitor(lambda prompts, completions, **_: [1.0, 0.0, 1.0, 1.0], watch=watch)
    for step in (1, 2):
        state = SimpleNamespace(global_step=step)
        judge(prompts=list("aabb"), completions=[""] * 4, log_metric=lambda *_: None, trainer_state=state)
    assert watch.groups.n_correct.tolist() == [1, 2, 1, 2]
    assert watch.groups.step.tolist() == [1, 1, 2, 2]


def test_the_callback_stops_a_run():
    pytest.importorskip("transformers")
    from groupsigma.trainers.watch import WatchCallback

    watch = Watch(every=1, limits=["silent_last_window>0.9"], tell=lambda text: None)
    control = SimpleNamespace(should_training_stop=False)
    for step in range(2):
        watch.add(["a", "a"], [1, 1], step)
        WatchCallback(watch).on_step_end(None, SimpleNamespace(is_world_process_zero=True, global_step=step), control)
    assert control.should_training_stop


def test_follow_reads_again_what_has_grown(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("one\n")
    seen, slept = [], []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            path.write_text("one\ntwo\n")
        if len(slept) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow([str(tmp_path)], path.read_text, lambda text: seen.append(text) or [], 5.0, sleep)
    assert seen == ["one\n", "one\ntwo\n"] and slept == [5.0] * 4


def test_follow_waits_for_a_file_that_is_being_written_but_not_for_ever(tmp_path):
    tries = []

    def read():
        tries.append(1)
        raise SourceError("log", "a log", "half of one")

    (tmp_path / "log.jsonl").write_text("{")
    with pytest.raises(SourceError):
        follow([str(tmp_path)], read, lambda groups: [], 1.0, lambda seconds: None)
    assert len(tries) == 3


def groupsigma(*arguments, **given):
    command = [sys.executable, "-m", "groupsigma.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **given)


def test_follow_from_the_shell_ends_when_a_limit_is_met(tmp_path):
    folder = logs.verl(tmp_path / "run", [a for step in (1, 2) for a in answers(CASES, step)])
    child = groupsigma("audit", folder, "--follow", "--every", "0.2", "--fail-on", "silent_last_window>0.9")
    try:
        assert child.stdout.readline().startswith("step 2: 8 groups so far; at this step 75.0% silent")
        # A line that is only half there is not there yet.
        text = "".join(
            json.dumps({"input": a.prompt, "output": a.text, "score": 1.0, "step": 3}) + "\n" for a in answers(CASES)
        )
        (folder / "3.jsonl").write_text(text + '{"input": "What')
        time.sleep(1)
        # A step is not judged before it is whole.
        (folder / "4.jsonl").write_text(text[: len(text) // 4].rpartition("\n")[0].replace('"step": 3', '"step": 4'))
        out, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 1, errors
    assert "step 3: 12 groups so far; at this step 100.0% silent" in out
    assert "failed: silent_last_window = 1 > 0.9" in errors


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_follow_ends_quietly_on_ctrl_c(tmp_path):
    folder = logs.verl(tmp_path / "run", [a for step in (1, 2) for a in answers(CASES, step)])
    child = groupsigma("audit", folder, "--follow", "--every", "0.2")
    try:
        assert child.stdout.readline().startswith("step 2:")
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130 and "Traceback" not in errors


def test_follow_has_the_screen_for_itself(tmp_path):
    child = groupsigma("audit", tmp_path, "--follow", "--json")
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 2 and "--follow: needs the screen for itself" in errors


def test_a_step_that_is_being_written_is_not_judged():
    groups = Groups(["a", "b", "a", "b"], [4, 0, 1, 2], [4, 4, 4, 4], step=[1, 1, 2, 2])
    assert finished(groups).step.tolist() == [1, 1, 2, 2]
    half = Groups(["a", "b", "a", "a", "b"], [4, 0, 1, 0, 2], [4, 4, 4, 1, 4], step=[1, 1, 2, 3, 2])
    assert finished(half).step.tolist() == [1, 1, 2, 2]
    assert finished(groups.only(np.array([True, True, True, False]))) is None


def test_follow_says_what_it_waits_for_and_refuses_what_it_can_never_do(tmp_path):
    said = []

    def sleep(seconds):
        said.append(seconds)
        if len(said) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow([str(tmp_path / "soon")], dict, lambda groups: [], 1.0, sleep)
    logs.verl(tmp_path / "run", answers(CASES))
    child = groupsigma("audit", tmp_path / "run", "--follow", "--fail-on", "silent>0.9")
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 2 and "a number this run has, got 'silent'" in errors
    logs.verifiers(tmp_path / "evals", answers(CASES))
    child = groupsigma("audit", tmp_path / "evals", "--follow")
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 2 and "--follow: needs a log with steps" in errors
