"""Rollout logs of every layout: the same answers give the same groups, and every row is accounted for."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import logs
from groupsigma.errors import ArgumentError, SourceError
from groupsigma.readers import load
from groupsigma.readers.columns import Columns
from groupsigma.readers.layouts import LAYOUTS
from groupsigma.readers.reading import Reading
from logs import COUNTS, Answer, answers, pairs


def balanced(groups):
    intake = groups.intake
    parts = (intake.scorable, intake.unscorable, intake.refused, intake.repeated, intake.aside)
    return sum(parts) == intake.rows


def test_every_layout_has_a_writer_here_and_a_line_in_its_page():
    assert set(logs.WRITERS) == set(LAYOUTS)
    page = Path(__file__).parent.parent / "docs" / "logs.md"
    assert all(f"\n| `{name}` |" in page.read_text() for name in LAYOUTS)


@pytest.mark.parametrize("name", logs.WRITERS)
def test_a_log_gives_its_counts(tmp_path, name):
    given = answers(COUNTS, step=3)
    groups = load(logs.WRITERS[name](tmp_path / "run", given))
    assert pairs(groups) == sorted(COUNTS)
    assert groups.intake.layout == name
    assert groups.intake.rows == 16 and groups.intake.scorable == 16 and balanced(groups)
    assert any(note.startswith(f"layout {name}:") for note in groups.notes)
    if name in logs.STEPPED:
        assert set(groups.step.tolist()) == {3}
    else:
        assert groups.step is None


@pytest.mark.parametrize("name", sorted(logs.STEPPED))
def test_steps_are_groups_of_their_own(tmp_path, name):
    given = answers(COUNTS, step=1) + answers(((4, 4), (1, 4), (3, 4), (0, 4)), step=2)
    groups = load(logs.WRITERS[name](tmp_path / "run", given))
    assert len(groups.step) == 8
    assert pairs(groups) == sorted([*COUNTS, (4, 4), (1, 4), (3, 4), (0, 4)])


@pytest.mark.parametrize("name", logs.WRITERS)
def test_unscorable_answers_are_left_out_and_counted(tmp_path, name):
    given = [Answer(one.prompt, one.text, None if i % 4 == 3 else one.reward, 1) for i, one in enumerate(answers())]
    groups = load(logs.WRITERS[name](tmp_path / "run", given))
    assert groups.n_rollouts.tolist() == [3, 3, 3, 3]
    assert groups.n_unscorable == 4 and groups.intake.unscorable == 4 and balanced(groups)


@pytest.mark.parametrize("name", [n for n in logs.WRITERS if LAYOUTS[n].form == "json"])
def test_a_broken_line_is_named_or_counted(tmp_path, name):
    folder = logs.WRITERS[name](tmp_path / "run", answers())
    path = logs.data_files(folder)[0]
    text = path.read_text().splitlines()
    path.write_text("\n".join([text[0], '{"input": "half', *text[1:]]) + "\n")
    with pytest.raises(SourceError) as caught:
        load(folder)
    assert (caught.value.who, caught.value.where) == (path.name, "line 2")
    groups = load(folder, reading=Reading(skip_bad=True))
    assert groups.intake.refused == 1 and groups.intake.rows == 17 and balanced(groups)
    assert pairs(groups) == sorted(COUNTS)
    assert "1 lines could not be read and were left out" in groups.notes


def test_a_reward_that_is_no_number_is_named(tmp_path):
    folder = logs.verl(tmp_path / "run", answers())
    path = folder / "1.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[5]["score"] = "good"
    logs.lines(path, rows)
    with pytest.raises(SourceError, match=r"1.jsonl: needs a reward that is a number, got 'good' at line 6"):
        load(folder)
    with pytest.raises(SourceError) as caught:
        load(folder, reading=Reading(no_text=True))
    assert "good" not in str(caught.value)
    groups = load(folder, reading=Reading(skip_bad=True))
    assert (groups.intake.refused, groups.intake.scorable) == (1, 15) and balanced(groups)


def test_no_text_makes_ids_of_prompts(tmp_path):
    folder = logs.verl(tmp_path / "run", answers())
    plain, hashed = load(folder), load(folder, reading=Reading(no_text=True))
    assert pairs(plain) == pairs(hashed)
    assert all(len(label) == 16 and "What" not in label for label in hashed.prompt_ids)
    assert len(set(hashed.prompt_ids)) == 4


def test_gzip_and_globs(tmp_path):
    folder = logs.verl(tmp_path / "run", answers())
    path = folder / "1.jsonl"
    packed = tmp_path / "packed" / "1.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert pairs(load(packed)) == pairs(load(str(folder / "*.jsonl"))) == pairs(load(folder))


def test_two_layouts_in_one_folder_are_refused(tmp_path):
    logs.verl(tmp_path / "run" / "a", answers())
    logs.skyrl(tmp_path / "run" / "b", answers())
    with pytest.raises(SourceError, match=r"a log of one layout, got verl \(1.jsonl\) and skyrl \(sums.jsonl\)"):
        load(tmp_path / "run")
    assert load(tmp_path / "run", reading=Reading(layout="skyrl")).intake.layout == "skyrl"


def test_layouts_are_asked_for_by_name(tmp_path):
    folder = logs.verl(tmp_path / "run", answers())
    assert load(folder, reading=Reading(layout="verl")).intake.layout == "verl"
    assert load(folder, reading=Reading(layout="table")).intake.layout == "table"
    with pytest.raises(ArgumentError, match="--layout: needs one of trl"):
        load(folder, reading=Reading(layout="verlx"))


def test_named_columns_make_a_table_of_a_log(tmp_path):
    folder = logs.verl(tmp_path / "run", answers())
    groups = load(folder, Columns(prompt_id="input", reward="score"))
    assert groups.intake.layout == "table" and pairs(groups) == sorted(COUNTS)


# Traps


def test_trl_sums_its_reward_functions(tmp_path):
    def scores(one):
        return (one.reward, None if one.text.endswith("-1") else 1.0)

    folder = logs.trl(tmp_path / "run", answers(), ("accuracy", "format"), scores)
    groups = load(folder)
    assert groups.graded and sorted(groups.rewards.high.tolist()) == [0.0, 2.0, 2.0, 2.0]
    assert "reward = accuracy + format: --reward says otherwise" in groups.notes
    one = load(folder, Columns(reward="accuracy"))
    assert pairs(one) == sorted(COUNTS)
    half = load(folder, Columns(reward="accuracy + 0.5*format"))
    assert sorted(half.rewards.high.tolist()) == [0.0, 1.5, 1.5, 1.5]
    with pytest.raises(SourceError, match="needs the reward column 'speed'"):
        load(folder, Columns(reward="accuracy + speed"))


def test_trl_advantages_tell_other_weights(tmp_path):
    def scores(one):
        return (one.reward, float(len(one.text) % 2))

    def weighted(one):
        return one.reward + 0.5 * scores(one)[1]

    given = [Answer(a.prompt, a.text + "x" * (i % 3), a.reward) for i, a in enumerate(answers())]
    folder = logs.trl(tmp_path / "run", given, ("accuracy", "format"), scores, weighted)
    assert any("do not follow from these rewards" in note for note in load(folder).notes)
    right = load(folder, Columns(reward="accuracy + 0.5*format"))
    assert not any("do not follow" in note for note in right.notes)


def test_trl_says_which_steps_it_kept(tmp_path):
    given = [a for step in (10, 20, 30) for a in answers(step=step)]
    notes = load(logs.trl(tmp_path / "run", given)).notes
    assert any(note.startswith("steps 10, 20, … 30: of the batches between") for note in notes)


def test_verl_dapo_scores_of_one_and_minus_one(tmp_path):
    given = [Answer(a.prompt, a.text, 2 * a.reward - 1) for a in answers()]
    groups = load(logs.verl(tmp_path / "run", given))
    assert pairs(groups) == sorted(COUNTS)
    assert "rewards are 1 and -1: right and wrong" in groups.notes


def test_verl_another_column_is_the_reward(tmp_path):
    graded = [Answer(a.prompt, a.text, a.reward - 0.1 * (i % 2)) for i, a in enumerate(answers())]
    folder = logs.verl(tmp_path / "run", graded, lambda one: {"acc": one.reward > 0.5})
    assert load(folder).graded
    assert pairs(load(folder, Columns(reward="acc"))) == sorted(COUNTS)


def test_verl_train_and_validation_are_told_apart(tmp_path):
    logs.verl(tmp_path / "run" / "rollouts", answers())
    logs.verl(tmp_path / "run" / "validation", answers(((4, 4),) * 4), lambda one: {"reward": one.reward})
    groups = load(tmp_path / "run")
    assert pairs(groups) == sorted(COUNTS)
    assert groups.intake.aside == 16 and balanced(groups)
    assert pairs(load(tmp_path / "run", reading=Reading(split="eval"))) == [(4, 4)] * 4
    assert len(load(tmp_path / "run", reading=Reading(split="all")).n_correct) == 8
    with pytest.raises(SourceError, match="--split"):
        load(tmp_path / "run" / "rollouts", reading=Reading(split="eval"))


def test_verl_v1_counts_the_last_output_of_a_session_once(tmp_path):
    folder = logs.verl_v1(tmp_path / "run", answers())
    path = folder / "1.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    # A first turn of the same session, scored otherwise; and a padded copy of a row.
    rows = [{**rows[0], "score": 0.0}, {**rows[0], "uid": "001-0_0_1"}, *rows[1:], rows[-1]]
    logs.lines(path, rows)
    groups = load(folder)
    assert pairs(groups) == sorted(COUNTS)
    assert groups.intake.repeated == 2 and groups.intake.rows == 18 and balanced(groups)


def test_a_prompt_drawn_twice_in_a_step_is_two_groups(tmp_path):
    first, again = answers(((1, 4), (2, 4), (3, 4))), [
        Answer("What is 0 + 0?", f"once more {i}", float(i < 3)) for i in range(4)
    ]  # fmt: skip
    groups = load(logs.verl(tmp_path / "run", first + again))
    assert pairs(groups) == [(1, 4), (2, 4), (3, 4), (3, 4)]
    assert any(note.startswith("1 prompts occur twice or more in a step") for note in groups.notes)
    # The group's own id leaves nothing to guess.
    assert pairs(load(logs.WRITERS["trl"](tmp_path / "trl", first + again))) == pairs(groups)


def test_answers_written_again_after_a_resume_count_once(tmp_path):
    folder = logs.verl(tmp_path / "run", answers(step=1) + answers(((3, 4), (1, 4), (0, 4), (4, 4)), step=2))
    path = folder / "2.jsonl"
    path.write_text(path.read_text() * 2)
    groups = load(folder)
    assert pairs(groups) == sorted([*COUNTS, (3, 4), (1, 4), (0, 4), (4, 4)])
    assert groups.intake.repeated == 16 and groups.intake.rows == 48 and balanced(groups)
    assert any("16 answers of step 2 were written again" in note for note in groups.notes)


def test_short_equal_answers_are_no_repetition(tmp_path):
    given = answers(((1, 4), (2, 4), (3, 4))) + [Answer("Yes or no?", "yes", 1.0) for _ in range(8)]
    groups = load(logs.verl(tmp_path / "run", given))
    assert pairs(groups) == [(1, 4), (2, 4), (3, 4), (4, 4), (4, 4)]


def test_traces_sum_scores_by_weight_and_drop_nulls(tmp_path):
    def rewards(one):
        return {
            "right": {"score": one.reward, "weight": 0.5},
            "style": {"score": 1.0, "weight": 0.25},
            "never": None,
        }

    rows = []
    for one, number, at in logs.numbered(answers()):
        row = logs.episode(one, number, at)
        row["traces"][0]["rewards"] = rewards(one)
        rows.append(row)
    path = logs.lines(tmp_path / "rollouts" / "step_1" / "train" / "all" / "traces.jsonl", rows)
    groups = load(path)
    assert sorted(groups.rewards.high.tolist()) == [0.25, 0.75, 0.75, 0.75]
    assert pairs(load(path, Columns(reward="right"))) == sorted(COUNTS)


def test_traces_failures_and_untrained_agents(tmp_path):
    rows = [logs.episode(one, number, at) for one, number, at in logs.numbered(answers())]
    rows[0]["traces"][0] |= {"ok": False, "errors": ["sandbox died"]}
    rows[4]["traces"].append({**rows[4]["traces"][0], "id": "judge", "agent": {"trainable": False}})
    rows[8] |= {"traces": [], "ok": False}
    rows.append(rows[-1])
    groups = load(logs.lines(tmp_path / "traces.jsonl", rows))
    assert groups.n_unscorable == 2
    assert groups.intake.repeated == 1 and groups.intake.rows == 17 and balanced(groups)
    assert pairs(groups) == sorted([(1, 3), (0, 4), (3, 3), (1, 4)])


def test_prime_rl_all_is_read_and_effective_is_not(tmp_path):
    logs.traces(tmp_path / "run", answers())
    logs.traces(tmp_path / "run", [a for a in answers() if "0 + 0" in a.prompt], subset="effective")
    groups = load(tmp_path / "run")
    assert pairs(groups) == sorted(COUNTS)
    assert any("effective rollouts left out" in note for note in groups.notes)
    alone = load(tmp_path / "run" / "rollouts" / "step_1" / "train" / "effective")
    assert "effective" in alone.intake.filter and pairs(alone) == [(2, 4)]


def test_verifiers_errors_are_unscorable(tmp_path):
    folder = logs.verifiers(tmp_path / "run", answers())
    path = next(folder.rglob("results.jsonl"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0] |= {"error": "timeout", "reward": 0.0}
    logs.lines(path, rows)
    assert sorted(pairs(load(folder))) == sorted([(1, 3), (0, 4), (4, 4), (1, 4)])


def test_skyrl_scores_per_token_are_summed(tmp_path):
    groups = load(logs.skyrl(tmp_path / "run", answers(), lambda one: [0.0, 0.0, one.reward]))
    assert pairs(groups) == sorted(COUNTS)


def test_lm_eval_says_why_it_cannot_tell(tmp_path):
    row = {"doc_id": 0, "resps": [["a", "b"]], "filtered_resps": ["a"], "filter": "none", "exact_match": 1.0}
    path = logs.lines(tmp_path / "samples_sums_2026-01-01T00-00-00.jsonl", [row])
    with pytest.raises(SourceError, match="2 answers a document and one exact_match"):
        load(path)
    row["exact_match"] = [1.0, 0.0]
    assert pairs(load(logs.lines(path, [row]))) == [(1, 2)]


def test_inspect_samples_without_summaries(tmp_path):
    assert pairs(load(logs.inspect(tmp_path / "run", answers(), summaries=False))) == sorted(COUNTS)


def test_inspect_scorers_and_words(tmp_path):
    rows = [logs.sample(one, number, at) for one, number, at in logs.numbered(answers())]
    for row in rows:
        row["scores"]["judge"] = {"value": {"C": "yes", "I": "no"}[row["scores"]["match"]["value"]]}
    log = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "m"}, "samples": rows}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log, indent=2))
    assert pairs(load(path)) == pairs(load(path, Columns(reward="judge"))) == sorted(COUNTS)
    for row in rows:
        row["scores"]["match"]["value"] = {"strict": row["scores"]["match"]["value"], "loose": 1}
    path.write_text(json.dumps(log))
    assert pairs(load(path, Columns(reward="match.strict"))) == sorted(COUNTS)
    assert pairs(load(path, Columns(reward="match.loose"))) == [(4, 4)] * 4
    assert any(note.startswith("scores here: judge, match.loose, match.strict; read is") for note in load(path).notes)
    rows[0]["scores"]["match"]["value"]["strict"] = "maybe"
    path.write_text(json.dumps(log))
    with pytest.raises(SourceError, match=r"^log.json: needs a reward that is a number, got 'maybe'\n"):
        load(path, Columns(reward="match.strict"))


def test_a_pickle_is_never_run(tmp_path):
    torch = pytest.importorskip("torch")
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (ran.write_text, ("gotcha",))

    torch.save({"rollout_id": 1, "samples": [Trap()]}, tmp_path / "1.pt")
    with pytest.raises(SourceError, match="a torch file of slime's samples"):
        load(tmp_path / "1.pt")
    assert not ran.exists()


def test_slime_rewards_by_key_and_aborted_answers(tmp_path):
    torch = pytest.importorskip("torch")
    folder = logs.slime(tmp_path / "run", answers())
    found = torch.load(folder / "1.pt", weights_only=True)
    for sample in found["samples"]:
        sample["reward"] = {"accuracy": sample["reward"], "style": 0.3}
    found["samples"][0]["status"] = "aborted"
    torch.save(found, folder / "1.pt")
    with pytest.raises(SourceError, match="a reward that is a number"):
        load(folder)
    assert pairs(load(folder, Columns(reward="accuracy"))) == sorted([(1, 3), (0, 4), (4, 4), (1, 4)])


def test_a_step_is_in_every_row_or_in_none(tmp_path):
    folder = logs.verl(tmp_path / "run", answers())
    path = folder / "1.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    del rows[3]["step"]
    logs.lines(path, rows)
    with pytest.raises(SourceError, match="a step in every row, or in none, got 1 rows without"):
        load(folder)
    groups = load(folder, reading=Reading(skip_bad=True))
    assert groups.intake.refused == 1 and balanced(groups)


def test_a_line_longer_than_duckdb_takes(tmp_path):
    rows = [{"input": one.prompt, "output": one.text, "score": one.reward, "step": 1} for one in answers()]
    rows[0]["output"] = "x" * 20_000_000
    assert pairs(load(logs.lines(tmp_path / "1.jsonl", rows))) == sorted(COUNTS)


def test_real_content_gives_the_same_forty_counts(data_dir):
    folder = data_dir / "log_formats"
    wanted = [0] * 23 + [1] * 7 + [2] * 3 + [3] + [4] * 2 + [5] * 2 + [6, 7]
    (zstandard,) = folder.glob("inspect/*_reencoded.eval")
    names = ["verl", "verl_v1", "trl", "verifiers_legacy", "prime_rl", "skyrl"]
    for source in [*(folder / name for name in names), zstandard]:
        groups = load(source)
        assert sorted(groups.n_correct.tolist()) == wanted, source
        assert np.all(groups.n_rollouts == 8)
    with pytest.raises(SourceError, match="8 answers a document and one exact_match"):
        load(folder / "lm_eval")
    assert pairs(load(folder / "inspect" / "genuine_log_streaming.eval")) == [(1, 2), (2, 2)]
    assert load(folder / "inspect" / "genuine_popularity_gpt-4o-mini.eval").answers == 10
