import gzip
import io
import json
import os
import sys

import duckdb
import numpy as np
import pytest

from groupsigma import Columns, Groups, SourceError, load
from groupsigma.readers import files, grid
from groupsigma.readers.columns import NAMES

HERE = os.path.join(os.path.dirname(__file__), "data")


def fixture(name):
    return os.path.join(HERE, name)


def counts(groups):
    return dict(
        zip(
            groups.prompt_ids.tolist(),
            zip(groups.n_correct.tolist(), groups.n_rollouts.tolist(), strict=True),
            strict=True,
        )
    )


def test_bigmath_is_the_published_distribution():
    groups = load("bigmath")
    assert groups.problems == 215_608 and len(groups.n_correct) == 71
    assert (groups.count[groups.n_correct == 0].sum(), groups.count[groups.solve_rate == 1].sum()) == (8661, 15446)
    assert set(groups.n_rollouts.tolist()) == {9, 64} and groups.count[groups.n_rollouts == 9].tolist() == [1] * 6


def test_bigmath_equals_the_shared_copy(data_dir):
    shared = load(data_dir / "bigmath" / "bigmath_solve_rate_exact.csv")
    ours = load("bigmath")
    for field in ("n_correct", "n_rollouts", "count"):
        np.testing.assert_array_equal(getattr(shared, field), getattr(ours, field))


def test_k_and_n():
    groups = load(fixture("counts.csv"))
    assert counts(groups) == {"p1": (0, 8), "p2": (3, 8), "p3": (8, 8), "p4": (5, 8)}
    assert groups.notes == ("columns: prompt id = problem_id, correct = n_correct, answers = n_samples",)


def test_rates_with_a_stated_number_of_answers():
    groups = load(fixture("rates.jsonl"), Columns(answers="8"))
    assert counts(groups) == {"1+1": (8, 8), "2+3": (5, 8), "7*8": (0, 8), "hard": (1, 3), "x": (1, 8)}
    assert groups.n_empty == 1
    assert any("1 problem off the /8 grid, read as /3" in note for note in groups.notes)


def test_rates_whose_grid_is_read_off(tmp_path):
    path = tmp_path / "rates.csv"
    rows = [f"q{i},{(i % 65) / 64}" for i in range(1300)] + ["odd,0.1111111111111111"]
    path.write_text("id,solve_rate\n" + "\n".join(rows) + "\n")
    groups = load(path)
    assert sorted(set(groups.n_rollouts.tolist())) == [9, 64] and "guessed from the grid" in groups.notes[1]
    assert "1 problem off the /64 grid, read as /9" in groups.notes[2]


def test_rates_on_no_grid_are_taken_as_they_are(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("id,solve_rate\na,0.12345\nb,0.98765\n")
    groups = load(path)
    assert (
        groups.rate.tolist() == [0.12345, 0.98765]
        and groups.answers == 0
        and "no convincing k/n grid" in groups.notes[1]
    )
    with pytest.raises(SourceError, match="another --answers N"):
        load(path, Columns(answers="8"))


def test_single_rewards_grouped_by_prompt_and_step():
    groups = load(fixture("completions.jsonl"))
    keyed = {
        (p, s): (k, n)
        for p, s, k, n in zip(groups.prompt_ids, groups.step, groups.n_correct, groups.n_rollouts, strict=True)
    }
    assert keyed == {("a", 1): (0, 2), ("b", 1): (1, 2), ("a", 2): (1, 1)}
    assert groups.n_unscorable == 1 and groups.n_empty == 0


def test_lists_of_rewards(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "rewards": [1, 0, null]}\n{"prompt": "b", "rewards": [1, 1]}\n')
    assert counts(load(path)) == {"a": (1, 2), "b": (2, 2)}
    path.write_text('{"rewards": [1, 0]}\n{"rewards": [1, 1]}\n')
    assert load(path).n_correct.tolist() == [1, 2]


def test_graded_rewards_stay_graded_unless_asked(tmp_path):
    path = tmp_path / "graded.csv"
    path.write_text("uid,score\na,0.2\na,0.9\nb,0.5\nb,0.5\n")
    groups = load(path)
    assert groups.graded and groups.rewards.silent.tolist() == [False, True]
    np.testing.assert_allclose(groups.rewards.std, [0.35, 0], atol=1e-12)
    assert counts(load(path, Columns(right_from=0.5))) == {"a": (1, 2), "b": (2, 2)}


def test_rates_with_their_own_number_of_answers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,solve_rate,n\na,0.125,8\nb,0.33,3\nc,1,0\nd,,4\n")
    groups = load(path)
    assert counts(groups) == {"a": (1, 8), "b": (1, 3)} and groups.n_empty == 2


def test_nan_as_python_writes_it_and_prompts_of_messages(tmp_path):
    path = tmp_path / "t.jsonl"
    rows = [
        {"prompt": [{"role": "user", "content": c}], "reward": r}
        for c, r in (("a", 1.0), ("a", float("nan")), ("b", 0.0))
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    groups = load(path)
    assert groups.n_rollouts.tolist() == [1, 1] and groups.n_unscorable == 1
    assert "content" in groups.prompt_ids[0]


def test_a_bar_on_a_terminal_only(monkeypatch, capsys):
    load(fixture("counts.csv"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert counts(load(fixture("counts.csv")))["p2"] == (3, 8)


def test_rounded_rates_are_not_taken_for_hundredths(tmp_path):
    """16 answers, rates printed with two digits: no grid is guessed; --answers 16 reads them."""
    path = tmp_path / "t.csv"
    path.write_text("id,solve_rate\n" + "".join(f"q{i},{round((i % 17) / 16, 2)}\n" for i in range(170)))
    assert load(path).answers == 0
    groups = load(path, Columns(answers="16"))
    assert set(groups.n_rollouts.tolist()) == {16} and sorted(set(groups.n_correct.tolist())) == list(range(17))


def test_what_was_taken_for_granted_is_said(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("uid,prompt,reward\n1,a,1\n2,a,0\n")
    assert "every 'uid' occurs once" in load(path).notes[-1] and "--prompt-id prompt?" in load(path).notes[-1]
    path.write_text("id,pass_rate,llama8b_solve_rate\na,0.5,0.25\n")
    assert "rate could also be pass_rate" in load(path).notes[1]
    path.write_text("id,k,n\na,1,4\na,2,4\n")
    assert "each row counts as a problem" in load(path).notes[-1]


def test_types_do_not_depend_on_the_first_rows(tmp_path):
    """DuckDB sniffs types from 20,480 rows: a fraction or another id after them must count as what it is."""
    path = tmp_path / "t.csv"
    path.write_text("id,reward\n" + "a,1\n" * 30_000 + "b,0.5\nb,0.7\n")
    groups = load(path)
    assert groups.graded and groups.rewards.low.tolist() == [1, 0.5]
    path.write_text("problem_id,reward\n" + "1,1\n" * 30_000 + "001,0\n1.10,1\n1.1,0\nb,1\nNA,0\n")
    assert counts(load(path)) == {
        "1": (30_000, 30_000),
        "001": (0, 1),
        "1.10": (1, 1),
        "1.1": (0, 1),
        "b": (1, 1),
        "NA": (0, 1),
    }
    rows = tmp_path / "t.jsonl"
    rows.write_text('{"id": 1, "reward": true}\n' * 30_000 + '{"id": 1.5, "reward": 0.5}\n{"id": 1.5, "reward": 0.5}\n')
    assert load(rows).rewards.low.tolist() == [1, 0.5]
    rows.write_text('{"id": 1, "rewards": [1, 0]}\n' * 30_000 + '{"id": 2, "rewards": [0.5, 0.7]}\n')
    assert load(rows).rewards.high.tolist() == [1, 0.7]
    rates = [1.0] * 30_000 + [k / 64 for k in range(65)] * 10
    rows.write_text("".join(json.dumps({"id": i, "solve_rate": r}) + "\n" for i, r in enumerate(rates)))
    assert set(load(rows, Columns(answers=64)).n_correct.tolist()) == set(range(65))


def test_ids_beyond_64_bits_stay_apart(tmp_path):
    path = tmp_path / "t.jsonl"
    big = 10**25
    path.write_text("".join(json.dumps({"id": big + i, "reward": i % 2}) + "\n" for i in range(4) for _ in range(2)))
    assert load(path).problems == 4


def test_rows_of_completions_that_carry_a_rate_are_rewards(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,reward,solve_rate\na,1,0.5\na,0,0.5\nb,1,0.25\nb,1,0.25\n")
    assert counts(load(path)) == {"a": (1, 2), "b": (2, 2)}


@pytest.mark.parametrize(
    ("header", "row"),
    [("id,correct,total", "a,3,8"), ("task_id,n,c,k", "a,8,3,5"), ("id,num_correct,attempts", "a,3,8")],
)
def test_counts_under_other_names(tmp_path, header, row):
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\n{row}\n")
    assert counts(load(path)) == {"a": (3, 8)}


def test_a_score_that_looks_like_a_rate_is_asked_about(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,score\na,0.5\nb,0.25\n")
    with pytest.raises(SourceError, match="hint: --rate score"):
        load(path)
    assert load(path, Columns(rate="score")).rate.tolist() == [0.5, 0.25]
    assert load(path, Columns(reward="score")).graded


def test_guessed_columns_that_do_not_fit_are_left_out_and_said(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,step,reward\na,step_1,1\na,,0\n")
    groups = load(path)
    assert counts(groups) == {"a": (1, 2)} and "'step' holds no steps" in groups.notes[-1]
    path.write_text("id,k,n,problems\na,1,2,many\n")
    groups = load(path)
    assert counts(groups) == {"a": (1, 2)} and "'problems' holds no whole numbers" in groups.notes[-1]


def test_a_column_called_count_multiplies_nothing_unasked(tmp_path):
    """Beside a rate it is as often the number of answers."""
    path = tmp_path / "t.csv"
    path.write_text("id,pass_rate,count\na,0.5,8\nb,0.25,8\n")
    assert load(path).problems == 2 and load(path, Columns(count="count")).problems == 16
    groups = load(path, Columns(answers="count"))
    assert counts(groups) == {"a": (4, 8), "b": (2, 8)}


def test_paths_are_not_patterns(tmp_path):
    for name, k in (("g[1].csv", 1), ("g1.csv", 2)):
        (tmp_path / name).write_text(f"id,k,n\na,{k},4\n")
    assert counts(load(tmp_path / "g[1].csv")) == {"a": (1, 4)}
    hive = tmp_path / "id=3"
    hive.mkdir()
    (hive / "a.csv").write_text("id,k,n\nx,1,4\n")
    assert counts(load(hive / "a.csv")) == {"x": (1, 4)}


def test_strange_column_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("{t},{x},n\na,1,4\n")
    assert counts(load(path, Columns(prompt_id="{t}", correct="{x}"))) == {"a": (1, 4)}


def test_empty_lists_are_counted_as_left_out(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"prompt": "a", "rewards": []}\n{"prompt": "b", "rewards": [1, 0]}\n{"prompt": "c", "rewards": null}\n'
    )
    groups = load(path)
    assert counts(groups) == {"b": (1, 2)} and groups.n_empty == 2
    assert Groups.from_rewards(None, [[], [1, 0]]).n_empty == 1


def test_booleans_and_unscorable_texts(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("id,correct\na,True\na,False\nb,True\nb,\nb,nan\n")
    groups = load(path)
    assert counts(groups) == {"a": (1, 2), "b": (1, 1)} and groups.n_unscorable == 2


@pytest.mark.parametrize("suffix", ["parquet", "csv.gz", "jsonl.gz", "tsv", "txt"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    rows = [("p1", 0, 8), ("p2", 3, 8)]
    if suffix == "parquet":
        duckdb.sql(
            "SELECT * FROM (VALUES ('p1', 0, 8), ('p2', 3, 8)) t(problem_id, n_correct, n_samples)"
        ).write_parquet(str(path))
    elif suffix == "jsonl.gz":
        with gzip.open(path, "wt") as out:
            out.writelines(
                json.dumps(dict(zip(("problem_id", "n_correct", "n_samples"), r, strict=True))) + "\n" for r in rows
            )
    else:
        mark = "\t" if suffix == "tsv" else ","
        text = (
            mark.join(("problem_id", "n_correct", "n_samples"))
            + "\n"
            + "".join(mark.join(map(str, r)) + "\n" for r in rows)
        )
        with gzip.open(path, "wt") if suffix.endswith("gz") else open(path, "w") as out:
            out.write(text)
    assert counts(load(path)) == {"p1": (0, 8), "p2": (3, 8)}


def test_lines_of_many_megabytes(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"id": "a", "reward": r, "text": "x" * 20_000_000}) + "\n" for r in (1, 0)))
    assert counts(load(path)) == {"a": (1, 2)}


def test_a_json_document(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('[{"id": "a", "k": 1, "n": 4},\n {"id": "b", "k": 0, "n": 4}]')
    assert counts(load(path)) == {"a": (1, 4), "b": (0, 4)}
    path.write_text('{"id": "a", "k": 1, "n": 4}\n{"id": "b", "k": 0, "n": 4}\n')
    assert counts(load(path)) == {"a": (1, 4), "b": (0, 4)}
    path.write_text('[{"id": "a", "k": 1')
    with pytest.raises(SourceError, match="a readable json file"):
        load(path)


def test_folders_globs_and_several_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f"id,k,n\n{name},1,4\n")
    for source in (tmp_path, str(tmp_path / "*.csv"), [tmp_path / "a.csv", tmp_path / "b.csv"]):
        assert counts(load(source)) == {"a": (1, 4), "b": (1, 4)}
    (tmp_path / "c.jsonl").write_text('{"id": "c", "k": 1, "n": 4}\n')
    with pytest.raises(SourceError, match="files of one format, got csv and json"):
        load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"id,k,n\na,1,4\n", b'{"id": "a", "k": 1, "n": 4}\n', gzip.compress(b"id,k,n\na,1,4\n")]
)
def test_standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert counts(load("-")) == {"a": (1, 4)}


def test_columns_are_named_when_guessing_fails(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text("who,Ja,alle\na,1,4\n")
    with pytest.raises(SourceError, match=r"got columns who, Ja, alle\nhint: name them"):
        load(path)
    assert counts(load(path, Columns(prompt_id="who", correct="Ja", answers="alle"))) == {"a": (1, 4)}
    with pytest.raises(SourceError, match="the column 'nein' that --correct names, got columns who"):
        load(path, Columns(correct="nein"))


def test_every_guessed_name_is_found(tmp_path):
    path = tmp_path / "t.csv"
    for rate in NAMES["rate"]:
        path.write_text(f"id,{rate.upper()}\na,0.5\n")
        assert load(path).problems == 1
    for k in NAMES["correct"]:
        path.write_text(f'id,"{k}",n_samples\na,1,4\n')
        assert counts(load(path)) == {"a": (1, 4)}
    for reward in NAMES["reward"]:
        for prompt in NAMES["prompt_id"]:
            path.write_text(f"{prompt},{reward}\na,1\na,0\n")
            assert counts(load(path)) == {"a": (1, 2)}


def test_a_name_with_quotes_is_a_name(tmp_path):
    path = tmp_path / "it's.csv"
    path.write_text('"a""b",k,n\nx,1,4\n')
    assert counts(load(path, Columns(prompt_id='a"b'))) == {"x": (1, 4)}


def test_spilling_goes_to_a_scratch_folder_that_is_removed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    real = files.connection
    monkeypatch.setattr(files, "connection", lambda scratch: seen.append(scratch) or real(scratch))
    load(fixture("counts.csv"))
    assert len(seen) == 1 and not os.path.exists(seen[0]) and os.listdir(tmp_path) == []


def test_the_real_run_and_the_real_samples(data_dir):
    history = load(data_dir / "real" / "one_shot_rlvr" / "history.csv")
    silent = (history.n_correct == 0) | (history.n_correct == history.n_rollouts)
    assert history.problems == 64_000 and silent.mean() == pytest.approx(0.4897, abs=5e-5)
    assert load(data_dir / "real" / "cruxeval" / "counts.csv").answers == 16_000


def test_the_grid_finder():
    values = np.array([0, 0.125, 0.5, 1.0])  # three of nine: no convincing eighths
    assert grid.guess(values, np.full(4, 9)) is None and grid.guess(np.arange(9) / 8, np.full(9, 9)) == 8
    assert grid.guess(np.array([0.1234567]), np.full(1, 99)) is None


@pytest.mark.slow
def test_a_file_larger_than_memory(tmp_path, monkeypatch):
    """2·10⁷ rows of 100-byte ids under a limit of 500 MB: DuckDB spills, the counts are right."""
    path = tmp_path / "large.parquet"
    duckdb.sql(
        "SELECT repeat('x', 92) || lpad((i // 8)::VARCHAR, 8, '0') AS prompt_id, (i % 8 < (i // 8) % 9)::INT AS reward "
        "FROM range(20000000) t(i)"
    ).write_parquet(str(path))
    real = duckdb.connect

    def small(*args, **kwargs):
        db = real(*args, **kwargs)
        db.execute("SET memory_limit = '500MB'")
        return db

    monkeypatch.setattr(duckdb, "connect", small)
    groups = load(path)
    assert groups.problems == 2_500_000 and groups.answers == 20_000_000
    assert np.bincount(groups.n_correct, minlength=9).min() > 277_000


def test_a_large_table_keeps_the_order_of_its_rows(tmp_path):
    """Several row groups of Parquet, read by several threads: row N in an error, and a plan's rows, rest on it."""
    path = tmp_path / "large.parquet"
    duckdb.sql(f"COPY (SELECT i AS id, (i % 8)::VARCHAR AS k, 8 AS n FROM range(400000) t(i)) TO '{path}'")
    groups = load(str(path), Columns(prompt_id="id", correct="k", answers="n"))
    assert (groups.prompt_ids.astype(int) == np.arange(400_000)).all()
    assert (groups.n_correct == np.arange(400_000) % 8).all()
