"""What the readers refuse: one clear error, nothing written."""

import gzip
import os

import duckdb
import pytest

from groupsigma import ArgumentError, Columns, SourceError, load

COUNTS = os.path.join(os.path.dirname(__file__), "data", "counts.csv")

BAD = {
    "text.csv": ("id,n_correct,n\na,1,8\nb,x,8\n", r"text.csv: needs a number in column 'n_correct', got 'x' at data row 2"),
    "over.csv": ("id,n_correct,n\na,1,8\nb,9,8\n", r"over.csv: needs 0 <= n_correct <= n, got 9 of 8 at data row 2"),
    "negative.csv": ("id,n_correct,n\na,-1,8\n", r"got -1 of 8 at data row 1"),
    "half.csv": ("id,n_correct,n\na,1.5,8\n", r"whole numbers of answers, got 1.5 of 8 at data row 1"),
    "percent.csv": ("id,solve_rate\na,45\nb,80\n", r"got .*45.* at data row 1\nhint: percentages\?"),
    "broken.jsonl": ('{"id": 1, "reward": 1}\n{"id": 1, "rew\n{"id": 2}\n', r"broken.jsonl: needs one JSON object a line, got .* at line 2"),
    "listed.jsonl": ("[1, 2]\n", "one JSON object a line, got something else"),
    "words.jsonl": ('{"id": 1, "reward": 1}\n{"id": 1, "reward": "ok"}\n', r"a number in column 'reward', got .*ok.* at data row 2"),
    "none.jsonl": ('{"id": 1, "reward": null}\n', "no scorable reward at all"),
    "noid.jsonl": ('{"id": "a", "reward": 1}\n{"id": null, "reward": 1}\n', "a value in every row of 'id', got none at data row 2"),
    "offgrid.csv": ("id,solve_rate,n\na,0.5,8\nb,0.3,8\n", r"solve_rate to be k/n, got 0.3 of 8 at data row 2"),
    "empty.csv": ("", "rows of data, got an empty file"),
    "header.csv": ("id,k,n\n", "rows of data, got none"),
    "blank.csv": ("id,k,n\na,,\n", "at least one row with a number"),
    "prose.csv": ("hello world this is prose\nmore prose, really\n", "got columns"),
    "cut.parquet": ("PAR1garbage", "a readable parquet file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_clear_error(tmp_path, name):
    content, words = BAD[name]
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SourceError, match=words):
        load(path)
    assert os.listdir(tmp_path) == [name]


def test_a_truncated_parquet_file(tmp_path):
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    duckdb.sql("SELECT range AS id, 1 AS k, 4 AS n FROM range(1000)").write_parquet(str(whole))
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"cut.parquet: needs a readable parquet file"):
        load(cut)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.csv", "an existing file or folder"),
        ("bigmth", "hint: 'bigmath' is the one data set"),
        ("*.none", "matching the pattern"),
    ],
)
def test_sources_that_are_not_there(source, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=words):
        load(source)


def test_an_empty_folder(tmp_path):
    with pytest.raises(SourceError, match="a CSV, JSONL or Parquet file in the folder, got none"):
        load(tmp_path)


def test_addresses_need_an_ending_and_say_so():
    with pytest.raises(SourceError, match=r"ends in .csv, .jsonl or .parquet"):
        load("hf://datasets/someone/something")


def test_a_broken_archive_is_one_line(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"id,k,n\na,1,4\n" * 1000)[:-20])
    with pytest.raises(SourceError, match="a readable"):
        load(path)
    path.write_text("id,k,n\na,1,4\n")
    with pytest.raises(SourceError, match="a readable"):
        load(path)


@pytest.mark.parametrize("source", [5, [], ["bigmath", "x.csv"]])
def test_sources_that_are_none(source):
    with pytest.raises(ArgumentError, match="load: needs"):
        load(source)
    with pytest.raises(ArgumentError, match="needs Columns"):
        load(COUNTS, {"correct": "k"})


def test_files_with_other_columns_are_refused_not_lost(tmp_path):
    (tmp_path / "a.csv").write_text("id,k,n\na,1,4\n")
    (tmp_path / "b.csv").write_text("id,n_correct,n_samples\nb,1,4\n")
    with pytest.raises(SourceError, match=r"b.csv: needs the column .*\nhint: the others have|a.csv: needs the column"):
        load(tmp_path)
    with pytest.raises(SourceError, match="the same file twice"):
        load([tmp_path / "a.csv", tmp_path / "a.csv"])


@pytest.mark.parametrize(
    ("columns", "words"),
    [(dict(right_from=float("nan")), "a finite number"), (dict(right_from=0.5), "single rewards for --right-from")],
)
def test_options_that_mean_nothing_here(columns, words):
    with pytest.raises((SourceError, ArgumentError), match=words):
        load(COUNTS, Columns(**columns))


def test_nested_rewards_are_refused_by_kind(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "a", "reward": {"total": 1}}\n')
    with pytest.raises(SourceError, match="numbers in column 'reward', got struct"):
        load(path)
