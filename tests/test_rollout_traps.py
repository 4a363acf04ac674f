"""Rollout logs that would be misread without a word: each a way that real ones went wrong."""

import json

import pytest

import logs
from groupsigma.errors import SourceError
from groupsigma.readers import load
from groupsigma.readers.columns import Columns
from groupsigma.readers.lines import unfinished
from groupsigma.readers.reading import Reading
from logs import COUNTS, Answer, answers, pairs


def test_home_made_lines_can_be_skipped_too(tmp_path):
    rows = [{"question": one.prompt, "grade": one.reward, "at": 3} for one in answers()]
    path = logs.lines(tmp_path / "mine.jsonl", rows)
    path.write_text(path.read_text() + '{"question": "half')
    columns = Columns(prompt_id="question", reward="grade", step="at")
    with pytest.raises(SourceError, match=r"one JSON object a line.* at line 17"):
        load(path, columns)
    groups = load(path, columns, Reading(skip_bad=True))
    assert pairs(groups) == sorted(COUNTS) and groups.step.tolist() == [3] * 4
    assert (groups.intake.rows, groups.intake.refused) == (17, 1)
    rows[2]["grade"] = "good"
    groups = load(logs.lines(path, rows), columns, Reading(skip_bad=True, no_text=True))
    assert (groups.intake.rows, groups.intake.refused, groups.intake.scorable) == (16, 1, 15)
    assert not any("What" in label for label in groups.prompt_ids)


@pytest.mark.parametrize("place", ["run", "run/checkpoint-1"])
def test_the_trainers_own_number_is_found_beside_its_log(tmp_path, place):
    folder = logs.trl(tmp_path / "run", answers())
    history = [{"step": 1, "reward": 0.4, "frac_reward_zero_std": 0.5}]
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    for source in (folder, folder / "completions", folder / "completions" / "completions_00001.parquet"):
        groups = load(source)
        assert groups.intake.claimed == {1: 0.5}
        assert any("frac_reward_zero_std in trainer_state.json, 1 steps" in note for note in groups.notes)


# What a sceptic found


def test_trl_numbers_that_are_no_rewards_are_told_by_the_advantages(tmp_path):
    folder = logs.trl(
        tmp_path / "run", answers(), ("accuracy", "n_tokens"), lambda one: (one.reward, len(one.text) * 7.0),
        lambda one: one.reward,
    )  # fmt: skip
    groups = load(folder)
    assert pairs(groups) == sorted(COUNTS)
    assert "n_tokens left out: the logged advantages speak against it" in groups.notes


def test_trl_text_beside_the_rewards_is_no_reward(tmp_path):
    import duckdb

    folder = logs.trl(tmp_path / "run", answers())
    path = folder / "completions" / "completions_00001.parquet"
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE t AS SELECT step, prompt, completion, accuracy_reward, 'gold' AS answer, advantage "
                   f"FROM read_parquet('{path}')")  # fmt: skip
        db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    assert pairs(load(folder)) == sorted(COUNTS)


def test_environments_and_models_are_kept_apart(tmp_path):
    for name, counts in (("math--m", ((4, 4), (4, 4))), ("code--m", ((0, 4), (0, 4)))):
        made = logs.verifiers(tmp_path / name, answers(counts))
        (tmp_path / "all").mkdir(exist_ok=True)
        (made / "outputs" / "evals" / "sums--small").rename(tmp_path / "all" / name)
    assert pairs(load(tmp_path / "all")) == [(0, 4), (0, 4), (4, 4), (4, 4)]
    for model, reward in (("a", 1.0), ("b", 0.0)):
        rows = [
            {"doc_id": i, "resps": [["x"]], "filtered_resps": ["x"], "filter": "none", "exact_match": reward}
            for i in range(3)
        ]
        logs.lines(tmp_path / "lm" / model / "samples_sums_2026-01-01T00-00-00.jsonl", rows)
    assert pairs(load(tmp_path / "lm")) == [(0, 1)] * 3 + [(1, 1)] * 3
    rows = [{"doc_id": 0, "resps": [["x"]], "filtered_resps": ["x"], "filter": "none", "acc": 1.0}]
    logs.lines(tmp_path / "lm" / "a" / "samples_other_2026-01-01T00-00-00.jsonl", rows)
    with pytest.raises(SourceError, match="files that score alike"):
        load(tmp_path / "lm")


def test_a_uid_of_another_form_names_the_group(tmp_path):
    folder = logs.verl_v1(tmp_path / "run", answers())
    path = folder / "1.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    logs.lines(path, [{**row, "uid": row["uid"].split("_")[0]} for row in rows])
    assert pairs(load(folder)) == sorted(COUNTS)


def test_two_runs_in_one_folder_are_refused(tmp_path):
    logs.verl(tmp_path / "run" / "a", answers())
    logs.verl(tmp_path / "run" / "b", answers(((4, 4), (4, 4), (0, 4), (3, 4))))
    with pytest.raises(SourceError, match="needs one run, got step 1 in a and in b"):
        load(tmp_path / "run")


def test_tables_of_ones_own_stay_tables(tmp_path):
    rows = [{"id": p, "input": "", "output": f"{i}", "score": p % 2, "step": 1} for p in range(4) for i in range(4)]
    groups = load(logs.lines(tmp_path / "alpaca.jsonl", rows))
    assert groups.intake.layout == "table" and pairs(groups) == [(0, 4), (0, 4), (4, 4), (4, 4)]


def test_steps_are_of_the_last_folder_that_names_one(tmp_path):
    for step in (1, 2):
        logs.skyrl(tmp_path / "global_step_100" / "export", answers(step=step))
        logs.traces(tmp_path / "step_1_warm" / "run", answers(step=step))
    assert sorted(set(load(tmp_path / "global_step_100").step.tolist())) == [1, 2]
    assert sorted(set(load(tmp_path / "step_1_warm").step.tolist())) == [1, 2]
    folder = logs.traces_old(tmp_path / "eval" / "run", answers())
    assert "answers of an evaluation" not in load(folder).notes


def test_one_text_for_two_problems_is_told_by_their_answers(tmp_path):
    given = answers(((1, 4), (2, 4), (3, 4)))
    shown = [Answer("What is shown?", f"{i}", float(i < 4)) for i in range(8)]
    folder = logs.verl(tmp_path / "run", given + shown, lambda one: {"gts": "cat" if one.reward else "dog"})
    assert pairs(load(folder))[-1] == (4, 4) and (0, 4) in pairs(load(folder))


def test_checkpoints_beside_a_log_are_no_log(tmp_path):
    folder = logs.trl(tmp_path / "run", answers())
    (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1" / "optimizer.pt").write_bytes(b"PK")
    assert pairs(load(folder)) == sorted(COUNTS)


def test_a_step_that_is_none_is_named_as_such(tmp_path):
    folder = logs.verl(tmp_path / "run", answers())
    path = folder / "1.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[2]["step"] = "third"
    with pytest.raises(SourceError, match=r"needs a step that is a whole number, got 'third' at line 3"):
        load(logs.lines(path, rows))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_no_text_holds_for_tables_too(tmp_path, form):
    path = tmp_path / f"t.{form}"
    if form == "csv":
        path.write_text("prompt,reward\na,1\na,SECRET\n")
    else:
        path.write_text('{"prompt": "a", "reward": 1}\n{"prompt": "SECRET\n')
    with pytest.raises(SourceError) as caught:
        load(path, reading=Reading(no_text=True))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("layout", ["verl", "table"])
def test_a_last_line_that_is_cut_is_never_lost_without_a_word(tmp_path, layout):
    """DuckDB 2.0, several files at once: one time in ten such a line was not there, and no error."""
    folder = logs.verl(tmp_path / "run", [a for step in range(1, 5) for a in answers(step=step)])
    path = folder / "1.jsonl"
    path.write_text(path.read_text().rstrip()[:-20])
    for _ in range(40):
        with pytest.raises(SourceError, match=r"1.jsonl"):
            load(folder, reading=Reading(layout=layout))
        groups = load(folder, reading=Reading(layout=layout, skip_bad=True))
        assert (groups.intake.rows, groups.intake.refused) == (64, 1)
    path.write_text(path.read_text().rpartition("\n")[0])
    assert load(folder, reading=Reading(layout=layout)).intake.rows == 63


@pytest.mark.parametrize(("layout", "name"), [("verifiers", "example_id"), ("lm-eval", "doc_id")])
def test_an_answer_without_its_problem_is_refused_not_pooled(tmp_path, layout, name):
    """The run's name alone is no prompt; and of a layout asked for by name, its files beside it are no answers."""
    folder = logs.WRITERS[layout](tmp_path / "run", answers(((1, 2), (2, 2))))
    path = logs.data_files(folder)[0]
    whole = path.read_text()
    path.write_text(whole.replace(f'"{name}"', '"other"', 1))
    for asked in (None, layout):
        if asked or layout != "verifiers":  # told by the first row
            with pytest.raises(SourceError, match="needs a prompt, got none"):
                load(folder, reading=Reading(layout=asked))
    kept = load(folder, reading=Reading(layout=layout, skip_bad=True)).intake
    assert (kept.refused, kept.scorable, kept.rows) == (1, 3, 4)


def test_a_last_line_that_duckdb_alone_refuses_is_not_lost_either(tmp_path):
    """Half a surrogate pair in a field that is not read: JSON to Python, so the answer counts; lost 1 time in 50."""
    folder = logs.verl(tmp_path / "run", [a for step in range(1, 5) for a in answers(((1, 2),), step)])
    path = folder / "1.jsonl"
    path.write_text(path.read_text().rstrip()[:-1] + ', "note": "\\ud800"}')
    assert unfinished([str(path)]) == [str(path)]
    for _ in range(100):
        assert load(folder, reading=Reading(layout="verl", skip_bad=True)).intake.rows == 8


@pytest.mark.parametrize(
    ("mark", "at", "value"),
    [
        (b"PK\x03\x04", 26, 60_000),  # the length of an entry's name
        (b"PK\x01\x02", 6, 214),  # a version of zip that there is not
        (b"PK\x01\x02", 8, 1),  # encrypted
    ],
)
def test_a_damaged_archive_is_said_in_few_words(tmp_path, mark, at, value):
    path = logs.data_files(logs.WRITERS["inspect"](tmp_path / "run", answers()))[0]
    data = bytearray(path.read_bytes())
    start = data.rindex(mark) + at
    data[start : start + 2] = value.to_bytes(2, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(SourceError) as caught:
        load(path)
    assert len(str(caught.value)) < 400


def test_episodes_of_several_environments_are_kept_apart(tmp_path):
    path = tmp_path / "traces.jsonl"
    rows = []
    for env, counts in (("math", ((4, 4),)), ("code", ((0, 4),))):
        made = logs.traces(tmp_path / env, answers(counts)) / "rollouts" / "step_1" / "train" / "all" / "traces.jsonl"
        for line in made.read_text().splitlines():
            row = json.loads(line)
            rows.append(
                {**row, "env": {"id": env}, "group": None, "traces": [{**row["traces"][0], "id": f"{len(rows)}"}]}
            )
    assert pairs(load(logs.lines(path, rows))) == [(0, 4), (4, 4)]


def test_a_reward_that_is_not_there_is_told_with_those_that_are(tmp_path):
    for folder, names in (
        (logs.verl(tmp_path / "verl", answers()), "input, output, gts, score, step"),
        (logs.traces(tmp_path / "traces", answers()), "correct, style"),
        (logs.trl(tmp_path / "trl", answers()), "step, prompt, completion, accuracy_reward, advantage"),
    ):
        with pytest.raises(SourceError) as caught:
            load(folder, Columns(reward="nosuch"))
        assert all(name in str(caught.value) for name in names.split(", "))


def test_an_apostrophe_in_a_path_is_part_of_it(tmp_path):
    import duckdb

    folder = tmp_path / "it's here"
    path = logs.verl(folder, answers()) / "1.jsonl"
    assert pairs(load(path)) == sorted(COUNTS)
    with duckdb.connect() as db:
        packed = str(path) + ".zst"
        db.execute("CREATE TABLE t AS SELECT json FROM read_json_objects(?, format = 'newline_delimited')", [str(path)])
        db.execute(f"""COPY t TO '{packed.replace("'", "''")}'
                       (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01', COMPRESSION zstd)""")
    groups = load(packed)
    assert groups.intake.layout == "verl" and pairs(groups) == sorted(COUNTS)
    assert pairs(load(logs.trl(tmp_path / "plain", answers()).rename(folder / "trl"))) == sorted(COUNTS)
