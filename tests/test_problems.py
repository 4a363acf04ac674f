"""Problems come in as they are written: no text is taken for a number, no id twice, what is guessed is said."""

import datetime
import json
import sys

import duckdb
import pytest

from groupsigma.errors import ArgumentError, SourceError
from groupsigma.problems import fingerprint, load_problems

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1="}]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_csv_keeps_every_value_a_text(tmp_path):
    (tmp_path / "sums.csv").write_text('prompt_id,prompt,answer,level\na,"1+1=, please",02,1.10\nb,2024-01-02?,true,\n')
    first, second = load_problems(str(tmp_path / "sums.csv"))
    assert first == {"prompt_id": "a", "prompt": "1+1=, please", "answer": "02", "level": "1.10"}
    assert second == {"prompt_id": "b", "prompt": "2024-01-02?", "answer": "true", "level": None}


def test_json_lines_keep_texts_numbers_and_what_is_inside(tmp_path):
    rows = [
        {"uid": "x", "prompt": CHAT, "answer": "2024-01-02", "more": {"digits": [1, 2.5], "a": None}},
        {"uid": "y", "prompt": CHAT, "answer": 12, "other": "00"},
    ]
    found = load_problems(jsonl(tmp_path / "chats.jsonl", rows))
    assert [{k: row[k] for k in row if k != "prompt_id"} for row in found] == rows
    assert [row["prompt_id"] for row in found] == ["x", "y"] and found.notes == ("prompt_id = uid",)


def test_an_array_of_objects_and_several_files(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"prompt": "1"}, {"prompt": "2"}]))
    assert [row["prompt"] for row in load_problems(str(tmp_path / "a.json"))] == ["1", "2"]
    (tmp_path / "many").mkdir()
    for name in "ab":
        jsonl(tmp_path / "many" / f"{name}.jsonl", [{"prompt": name, "id": name}])
    assert [row["prompt_id"] for row in load_problems(str(tmp_path / "many"))] == ["a", "b"]
    assert len(load_problems(str(tmp_path / "many" / "*.jsonl"))) == 2


def test_parquet_with_dates_stays_plain_data(tmp_path):
    path = tmp_path / "it's.parquet"
    quoted = str(path).replace("'", "''")
    duckdb.sql(
        f"COPY (SELECT 7 AS id, [{{'role': 'user', 'content': 'hi'}}] AS prompt, DATE '2024-01-02' AS day, "
        f"0.5::DECIMAL(4,2) AS share) TO '{quoted}'"
    )
    (row,) = load_problems(str(path))
    assert row == {
        "id": 7,
        "prompt": [{"role": "user", "content": "hi"}],
        "day": str(datetime.date(2024, 1, 2)),
        "share": "0.50",
        "prompt_id": 7,
    }
    json.dumps(row)


@pytest.mark.parametrize("column", ["question", "problem"])
def test_a_column_stands_in_for_the_prompt_and_that_is_said(tmp_path, column):
    path = jsonl(tmp_path / "p.jsonl", [{column: "1+1=", "answer": "2", "id": 3}])
    found = load_problems(path)
    assert found == [{column: "1+1=", "answer": "2", "id": 3, "prompt": "1+1=", "prompt_id": 3}]
    assert found.notes == (f"prompt = {column}", "prompt_id = id")
    with pytest.raises(SourceError, match="column 'text' with the prompts, got columns"):
        load_problems(path, prompt="text")


def test_a_prompt_column_is_not_replaced(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", [{"question": "a", "prompt": "b", "text": "c", "prompt_id": 0}])
    assert load_problems(path)[0]["prompt"] == "b" and load_problems(path).notes == ()
    assert load_problems(path, prompt="text")[0]["prompt"] == "c"


def test_ids_that_repeat_are_not_ids(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", [{"prompt": p, "id": 1, "uid": u} for p, u in (("a", 5), ("b", 6))])
    found = load_problems(path)
    assert [row["prompt_id"] for row in found] == [5, 6]
    assert found.notes == ("'id' is not a different text or number in each row, and was left out", "prompt_id = uid")
    path = jsonl(tmp_path / "q.jsonl", [{"prompt": p, "id": 1.5} for p in "ab"])
    assert [row["prompt_id"] for row in load_problems(path)] == [0, 1]
    assert "number of the row" in load_problems(path).notes[-1]


@pytest.mark.parametrize("ids", [["a", "b", "a"], [1, 2, "1"], [1, 2, None], [1, 2, True], [1, 2, 2.5]])
def test_prompt_ids_must_be_ids(tmp_path, ids):
    path = jsonl(tmp_path / "p.jsonl", [{"prompt": "x", "prompt_id": name} for name in ids])
    with pytest.raises(SourceError, match=r"of its own in every 'prompt_id'.* at data row 3"):
        load_problems(path)


def test_only_the_first_so_many(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", [{"prompt": str(i)} for i in range(5)])
    assert [row["prompt"] for row in load_problems(path, limit=2)] == ["0", "1"]
    assert len(load_problems(path, limit=9)) == 5
    with pytest.raises(ArgumentError, match="limit to be a whole number of at least 1"):
        load_problems(path, limit=0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"prompt": ""}\n', "text or chat messages in 'prompt', got '' at data row 1"),
        ('{"prompt": "a"}\n{"prompt": null}\n', "got None at data row 2"),
        ('{"prompt": "a"}\n{"answer": 2}\n', "got None at data row 2"),
        ('{"prompt": 7}\n', "got 7 at data row 1"),
        ('{"prompt": []}\n', "got the list []"),
        ('{"prompt": [{"role": "user"}]}\n', "got the list"),
        ('{"prompt": "a"}\n{"prompt": [{"role": "user", "content": "b"}]}\n', "got text beside chats at data row 2"),
        ('{"answer": 2, "text": "a"}\n', "needs a column 'prompt' with the prompts, got columns answer, text"),
        ('{"prompt": "a"}\n{"prompt": \n', "line 2"),
        ("", "an empty file"),
        ("[1]\n", "one JSON object"),
    ],
)
def test_bad_tables_are_told_with_the_row(tmp_path, text, words):
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(SourceError) as caught:
        load_problems(str(tmp_path / "p.jsonl"))
    assert words in str(caught.value) and "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.csv", "needs an existing file or folder"),
        ("no/such/folder/at/all", "needs an existing file or folder"),
        ("*.nothing", "needs a file matching the pattern"),
        ("", "needs a file, a data set"),
    ],
)
def test_sources_that_are_not_there(source, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=words):
        load_problems(source)


def test_a_data_set_of_the_hub(monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    def load_dataset(*args, **kwargs):
        asked.append((args, kwargs))
        return datasets.Dataset.from_dict({"question": ["a", "b", "c"], "day": [datetime.date(2024, 1, 2)] * 3})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = load_problems("openai/gsm8k:main", split="test", limit=2)
    assert asked == [(("openai/gsm8k", "main"), {"split": "test"})]
    assert [(row["prompt"], row["day"]) for row in found] == [("a", "2024-01-02"), ("b", "2024-01-02")]
    load_problems("gsm8k")
    assert asked[1] == (("gsm8k", None), {"split": "train"})


def test_what_the_hub_says_is_told_in_one_line(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def load_dataset(*args, **kwargs):
        raise ValueError("Config name is missing.\nPlease pick one among: ['main', 'socratic']")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        SourceError, match=r"missing. Please pick one among: \['main', 'socratic'\]\nhint: .*openai/x:main"
    ):
        load_problems("openai/x")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SourceError, match="pip install datasets"):
        load_problems("openai/x")


def test_generated_problems_are_the_same_each_time():
    pytest.importorskip("reasoning_gym")
    source = "reasoning-gym:chain_sum?size=4&seed=3&max_terms=2"
    found = load_problems(source)
    assert len(found) == 4 and found == load_problems(source) and found[:2] == load_problems(source, limit=2)
    assert found != load_problems(source.replace("seed=3", "seed=4"))
    assert [row["prompt_id"] for row in found] == [0, 1, 2, 3] and {"answer", "metadata"} <= found[0].keys()
    with pytest.raises(ArgumentError, match="chain_sum"):
        load_problems("reasoning-gym:chain_sums")


def test_a_fingerprint_follows_prompt_and_answer_alone():
    row = {"prompt": "1+1=", "answer": "2", "source": "a"}
    assert fingerprint(row) == fingerprint({**row, "source": "b"})
    others = [fingerprint(r) for r in ({**row, "answer": "3"}, {**row, "answer": 2}, {**row, "prompt": "1+1"})]
    assert len({fingerprint(row), *others}) == 4
