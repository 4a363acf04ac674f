"""audit, plan and compare on what trainers write, from the shell."""

import json

import numpy as np

import logs
from logs import Answer, answers
from test_cli import run as shell

CASES = ((4, 4), (0, 4), (2, 4), (1, 4))


def run(*words):
    done = shell(*map(str, words))
    return done.stdout, done.stderr, done.returncode


def kept_run(folder, problems=3000):
    """A log of verl's v1 trainer with filter_groups: mixed groups alone."""
    rng = np.random.default_rng(0)
    k = rng.binomial(4, rng.beta(0.5, 0.5, problems))
    given = [
        Answer(f"q{p}", f"{p}-{i}", float(i < right), p // 100)
        for p, right in enumerate(k.tolist())
        if 0 < right < 4
        for i in range(4)
    ]
    return logs.verl_v1(folder, given)


def test_a_log_with_steps_shows_its_course_and_its_account(tmp_path):
    folder = logs.verl(tmp_path / "run", [a for step in (1, 2, 3) for a in answers(CASES, step)])
    out, _, code = run("audit", folder, "--window", "1", "--json")
    found = json.loads(out)
    assert code == 0
    assert [w["silent"] for w in found["course"]["windows"]] == [0.5, 0.5, 0.5]
    assert any(note.startswith("layout verl: verl rollout_data_dir") for note in found["notes"])
    out, _, _ = run("audit", folder)
    assert "the run over time" in out and "3 steps, 12 groups of 4 prompts, G = 4" in out


def test_a_log_without_its_silent_groups_has_no_silent_share(tmp_path):
    folder = kept_run(tmp_path / "run")
    out, _, code = run("audit", folder)
    assert code == 0
    assert "no silent share can be read from this log" in out
    assert "Silent groups are missing from this log" in out
    assert "with algorithm.filter_groups silent groups were evicted" in " ".join(out.split())
    assert "teach nothing" not in out
    out, _, _ = run("audit", folder, "--json")
    found = json.loads(out)
    assert found["silent"] is None and found["removed"]["removed"] and found["schema"] == "groupsigma.removed/1"
    _, errors, code = run("audit", folder, "--fail-on", "silent>0.5")
    assert code == 2 and "needs a number this log without its silent groups has" in errors
    _, errors, code = run("audit", folder, "--fail-on", "silent_removed>0.1")
    assert code == 1


def test_a_trainers_own_numbers(tmp_path):
    rows = [{"step": s, "reward": 0.25, "frac_reward_zero_std": 0.8} for s in range(1, 5)]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": rows}))
    out, _, code = run("audit", path)
    assert code == 0
    assert out.startswith("trainer_state.json\n4 steps of the trainer's own numbers: silent = frac_reward_zero_std")
    assert "all     0.250   80.0%          –          –      5.0% to 25.0%" in out
    assert "What these numbers cannot tell" in out and "log_completions=True" in out
    out, _, code = run("audit", path, "--json", "--fail-on", "silent>0.5")
    assert code == 1 and json.loads(out)["metrics"] == {"silent": 0.8, "silent_last_window": 0.8, "mean_reward": 0.25}


def test_the_trainers_number_is_held_against_the_rewards(tmp_path):
    def score(one):
        return (1.2,)

    given = [a for step in (1, 2) for a in answers(((4, 4), (4, 4)), step)]
    folder = logs.trl(tmp_path / "run", given, scores=score)
    rows = [{"step": s, "frac_reward_zero_std": 0.0} for s in (1, 2)]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    out, _, _ = run("audit", folder, "--json")
    claimed = json.loads(out)["course"]["claimed"]
    assert (claimed["different"], claimed["ours"], claimed["theirs"]) == (2, 1.0, 0.0)
    out, _, _ = run("audit", folder)
    assert "The trainer's own silent share differs from its rewards' at 2 of 2 steps" in out


def test_plan_and_compare_read_logs(tmp_path):
    a = logs.verl(tmp_path / "a", answers(CASES))
    b = logs.trl(tmp_path / "b", answers(((4, 4), (4, 4), (2, 4), (0, 4))))
    out, _, code = run("plan", a, "--budget", "40", "--csv", "-", "--no-text")
    assert code == 0 and "What is" not in out
    out, _, code = run("compare", a, b, "--json")
    found = json.loads(out)
    assert code == 0 and found["schema"] == "groupsigma.compare/1"


def test_bad_lines_from_the_shell(tmp_path):
    folder = logs.verl(tmp_path / "run", answers(CASES))
    path = folder / "1.jsonl"
    path.write_text(path.read_text() + '{"input": "secret')
    _, errors, code = run("audit", folder)
    assert code == 2
    assert errors == (
        'error: 1.jsonl: needs one JSON object a line, got a line that is no JSON: \'{"input": "secret\' at line 17\n'
        "hint: --skip-bad leaves such lines out and counts them\n"
    )
    _, errors, _ = run("audit", folder, "--no-text")
    assert "secret" not in errors
    out, _, code = run("audit", folder, "--skip-bad")
    assert code == 0 and "1 lines could not be read and were left out" in out
    _, errors, code = run("audit", folder, "--layout", "verll")
    assert code == 2 and "--layout: needs one of trl" in errors
    _, errors, code = run("audit", folder, "--split", "test")
    assert code == 2 and "split: needs train, eval or all" in errors


def test_few_groups_of_a_filtering_writer_are_not_called_won(tmp_path):
    """Too few to prove that silent ones are missing; "little to win" would be no less of a guess."""
    cases = [(k, 4) for k in (1, 2, 3, 2)]
    one = logs.verl_v1(tmp_path / "one", answers(cases, 1))
    out, _, code = run("audit", one, "-G", "4")
    told = " ".join(out.split())
    assert code == 0 and "little to win here, if these are all groups drawn: verl v1 writes the batch it" in told
    out, _, _ = run("audit", logs.verl(tmp_path / "old", answers(cases, 1)), "-G", "4")
    assert "→ little to win here\n" in out
