"""A data set written back: the rows that were chosen, as they were, in their order, whole or not at all."""

import csv
import gzip
import io
import json
import os
import resource
import signal
import stat
import subprocess
import sys

import duckdb
import numpy as np
import pytest

from groupsigma import ArgumentError, Groups, SourceError, load, mixture, plan
from groupsigma.rewrite import Choice, check_target, named_data, planned, rewriting, teaching
from test_cli import COMMAND, run

CHAT = [{"role": "user", "content": 'line 1\nline "2", é 😀 }\\'}, {"role": "assistant", "content": ""}]
#: Names of columns that DuckDB, SQL or this module could take for something else.
NAMES = ['say "x"', "two\nlines", "select", "it's", "number", "copies", "why", "added tries", "a,b", "ü/~1", "data"]


def keep(ids, copies=None, **columns):
    copies = np.ones(len(ids), dtype=np.int64) if copies is None else np.asarray(copies)
    return Choice(ids, copies, ["left"] * len(ids), columns)


def write(data, target, choice, **options):
    with rewriting(str(data), str(target), choice, **options) as told:
        assert not target.exists()
    return told


def cells(path, delimiter=","):
    return list(csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), delimiter=delimiter))


def records(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_json_lines_keep_every_letter(tmp_path):
    lines = [
        json.dumps({"id": "a", "prompt": CHAT}, ensure_ascii=False),
        json.dumps({"prompt": CHAT, "id": "b"}) + "  ",
        '{"id":"c",  "big": 12345678901234567890123, "n":1.10, "e":1E5, "at": "2020-01-01T00:00:00Z", "x":{"a":[ ]}}',
        "",
        '{"id": "d", "twice": 1, "twice": 2, "ID": null, "end": "}"}',
        '{"other": 1}',
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    choice = keep(["d", "c", "b", "a"], [1, 1, 0, 1], tries=[4, 3, 2, 1], weight=[1e-17, 0.1 + 0.2, 2.0, 1.0])
    told = write(tmp_path / "t.jsonl", tmp_path / "o.jsonl", choice)
    found = (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()
    added = [(0, ', "tries": 1, "weight": 1.0}'), (2, ', "tries": 3, "weight": 0.30000000000000004}')]
    added.append((4, ', "tries": 4, "weight": 1e-17}'))
    assert found == [lines[at][:-1] + more for at, more in added]
    assert (told.rows, told.problems, told.copies, told.id_column) == (5, 3, 3, "id")
    assert dict(told.left_out) == {"left": 1, "not in the plan": 1}
    assert told.text.endswith("o.jsonl: 3 of 5 rows of " + told.data + "; left out 1 left, 1 not in the plan")


def test_cells_keep_their_text(tmp_path):
    header = ["id", *NAMES, "code", "day", "empty", "quoted"]
    rows = [[str(i), *(f"{name} {i}" for name in NAMES), f"00{i}", f"2020-1-{i + 1}"] for i in range(3)]
    rows[0][1:6] = ["007", "1.10", " x ", "true", "a\r\nb"]
    rows[1][1:5] = ["NA", "null", "2020-01-01", "12345678901234567890123"]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *([*row, "@", "@@"] for row in rows)])
    # An empty cell and an empty text are two things in CSV.
    (tmp_path / "t.csv").write_bytes(text.getvalue().replace("@@", '""').replace("@", "").encode())
    write(tmp_path / "t.csv", tmp_path / "o.csv", keep([2, 0, 1], [1, 1, 0], tries=[9, 7, 0]))
    assert cells(tmp_path / "o.csv") == [[*header, "tries"], [*rows[0], "", "", "7"], [*rows[2], "", "", "9"]]
    assert (tmp_path / "o.csv").read_text().splitlines()[-1].endswith(',,"",9')


def test_parquet_keeps_its_types(tmp_path):
    name = NAMES[0].replace('"', '""')
    duckdb.sql(
        f"""SELECT i AS id, [{{'role': 'user', 'content': 'q' || i}}] AS "{name}", i / 2 AS "number", NULL::DOUBLE AS n,
        '2020-01-01'::TIMESTAMP AS at, 1.50::DECIMAL(9, 2) AS d, 'x'::BLOB AS blob, map {{'k': [i]}} AS "why",
        (i % 2)::BOOLEAN AS "Added" FROM range(9) t(i)"""
    ).write_parquet(str(tmp_path / "t.parquet"))
    told = write(tmp_path / "t.parquet", tmp_path / "o.pq", keep(["7", "3"], tries=[5, 6], weight=[0.5, 1.5]))
    before, after = (duckdb.sql(f"FROM read_parquet('{tmp_path}/{name}')") for name in ("t.parquet", "o.pq"))
    assert after.columns == [*before.columns, "tries", "weight"] and after.types[:-2] == before.types
    wanted = {row[0]: row for row in before.fetchall()}
    assert after.fetchall() == [(*wanted[3], 6, 1.5), (*wanted[7], 5, 0.5)]
    assert told.left_out == {"not in the plan": 7}


@pytest.mark.parametrize("end", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".jsonl.gz", ".ndjson.zst"])
@pytest.mark.parametrize("start", ["csv", "jsonl", "parquet", "json"])
def test_every_format_into_every_other(tmp_path, start, end):
    rows = [{"id": f"{i}", "prompt": CHAT, "at": "2020-01-02", "u": "A" * 8, "n": i, "e": None} for i in range(4)]
    data = tmp_path / f"t.{start}"
    if start == "csv":
        with data.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows({**row, "prompt": json.dumps(CHAT)} for row in rows)
    elif start == "json":
        data.write_text(json.dumps(rows, indent=1))
    else:
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if start == "parquet":
            duckdb.sql(f"FROM read_json('{tmp_path}/rows.jsonl')").write_parquet(str(data))
        else:
            os.replace(tmp_path / "rows.jsonl", data)
    write(data, tmp_path / f"o{end}", keep(["3", "1", "0", "2"], [1, 0, 1, 1], tries=[8, 0, 2, 4]))
    reader = {"c": "read_csv", "t": "read_csv", "j": "read_json", "n": "read_json", "p": "read_parquet"}[end[1]]
    found = duckdb.sql(f"FROM {reader}('{tmp_path}/o{end}')")
    assert found.columns == [*rows[0], "tries"]
    assert end != ".tsv" or (tmp_path / "o.tsv").read_text().startswith("id\tprompt\t")
    out = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    assert [(int(row["id"]), int(row["tries"]), int(row["n"])) for row in out] == [(0, 2, 0), (2, 4, 2), (3, 8, 3)]
    for row in out:
        prompt = row["prompt"]
        assert (json.loads(prompt) if isinstance(prompt, str) else prompt) == CHAT
        assert str(row["at"])[:10] == "2020-01-02" and row["u"] == "A" * 8 and row["e"] in (None, "")


def test_json_fields_that_look_like_dates_or_come_late_stay_what_they_are(tmp_path):
    rows = [{"id": i, "u": "550E8400-E29B-41D4-A716-446655440000", "when": {"date": "2020-1-1"}} for i in range(5000)]
    rows[-1] |= {"mixed": "x", "late": [1]}
    rows[-2] |= {"mixed": 5}
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path / "t.jsonl", tmp_path / "o.parquet", keep([4998, 4999]))
    found = duckdb.sql(f"SELECT u, \"when\", mixed, late FROM '{tmp_path}/o.parquet'").fetchall()
    common = (rows[0]["u"], {"date": "2020-1-1"})
    assert found == [(*common, "5", None), (*common, "x", [1])]


@pytest.mark.parametrize("end", ["jsonl", "csv", "parquet"])
def test_the_order_of_many_rows_is_kept(tmp_path, end):
    n = 300_000
    scheme = f"SELECT 'q' || i AS id, repeat('x', (i % 50)::INT) AS text FROM range({n}) t(i)"
    form = {"jsonl": "FORMAT json", "csv": "FORMAT csv, HEADER", "parquet": "FORMAT parquet"}[end]
    duckdb.sql(f"COPY ({scheme}) TO '{tmp_path}/t.{end}' ({form})")
    chosen = np.random.default_rng(0).permutation(n)
    told = write(tmp_path / f"t.{end}", tmp_path / f"o.{end}", keep([f"q{i}" for i in chosen], chosen % 3, nth=chosen))
    found = duckdb.sql(f"SELECT id, nth FROM '{tmp_path}/o.{end}'").fetchnumpy()
    wanted = np.repeat(np.arange(n), np.arange(n) % 3)
    np.testing.assert_array_equal(found["nth"], wanted)
    assert (
        found["id"].tolist() == [f"q{i}" for i in wanted] and told.copies == len(wanted) and told.problems == n - n // 3
    )
    assert f"{told.copies:,} with repeats" in told.text


def test_ids_are_compared_as_text(tmp_path):
    (tmp_path / "t.jsonl").write_text(
        '{"id": 1.10}\n{"id": "x"}\n{"id": [1, {"a": "b c"}]}\n{"id": true}\n{"id": null}\n'
    )
    groups = Groups(["1.1", "x", '[1,{"a":"b c"}]', "true"], [4] * 4, [8] * 4)
    assert write(tmp_path / "t.jsonl", tmp_path / "o.jsonl", teaching(groups, 8)).problems == 4
    (tmp_path / "p.jsonl").write_text('{"a/b~1": "x", "a": {"b~1": "y"}}\n')
    assert write(tmp_path / "p.jsonl", tmp_path / "q.jsonl", keep(["x"]), id_column="a/b~1").problems == 1
    duckdb.sql("SELECT 7 AS task_id, 4 AS k, 8 AS n").write_parquet(str(tmp_path / "t.parquet"))
    for ids in (["7"], [7], np.array([7])):
        assert write(tmp_path / "t.parquet", tmp_path / "o.csv", keep(ids)).id_column == "task_id"
        (tmp_path / "o.csv").unlink()


@pytest.mark.parametrize("end", ["csv", "jsonl", "parquet"])
def test_what_a_reader_calls_a_prompt_is_found_again(tmp_path, end):
    """Ids as the readers give them, from every format, also where the chat itself is the id."""
    rows = [{"prompt": [{"role": "user", "content": f'say "{i}",  é'}], "k": i, "n": 8} for i in range(5)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row, separators=(" ,", ": ")) + "\n" for row in rows))
    data = tmp_path / f"t.{end}"
    write(tmp_path / "r.jsonl", data, keep(load(tmp_path / "r.jsonl").prompt_ids.tolist()))
    groups = load(data)
    assert groups.problems == 5
    assert write(data, tmp_path / f"o.{end}", teaching(groups, 8, 0.999)).left_out["not in the audit"] == 0


BAD = {
    "lost": ("id\na\nb\n", keep(["a", "c", "d"]), r"all 3 prompt ids of the plan in column 'id', got 2 missing"),
    "null": ("id,x\na,1\n,2\n", keep(["a", "c"]), r"got 1 missing, the first 'c'\nhint: --data names"),
    "log": ("id,x\na,1\na,2\n", keep(["a"]), r"one row a problem, got 2 rows for 'a'\nhint: a log of answers\?"),
    "column": ("name,x\na,1\n", keep(["a"]), r"a column of prompt ids, got columns name, x\nhint: --data-id"),
    "taken": ("id,Tries\na,1\n", keep(["a"], tries=[1], weight=[1.0]), r"'tries' and 'weight', .* got 'Tries' among"),
    "none": ("id,x\na,1\n", keep(["a"], [0]), "at least one row to write, got none\nhint: left out 1 left"),
    "case": ("id,x,X\na,1,2\n", keep(["a"]), "differ in more than letter case, got 'X' twice"),
    "ragged": ("id,x\n" + "a,1\n" * 30_000 + "b,2,3,4\n", keep(["a"]), "a readable csv file, got"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_written_is_one_clear_error_and_leaves_what_was_there(tmp_path, name):
    text, choice, words = BAD[name]
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "o.csv").write_text("older")
    with pytest.raises(SourceError, match=words), rewriting(f"{tmp_path}/t.csv", f"{tmp_path}/o.csv", choice):
        pass
    assert sorted(os.listdir(tmp_path)) == ["o.csv", "t.csv"] and (tmp_path / "o.csv").read_text() == "older"


def test_more_that_is_refused(tmp_path):
    data = tmp_path / "t.jsonl"
    data.write_text('{"id": "a"}\n' + '{"id": "b"}\n' * 5000 + '{"id": "c", "weight": 1}\n')
    choice = keep(["a"], weight=[1.0])
    with pytest.raises(SourceError, match=r"without 'weight', .* got them in later rows"):
        write(data, tmp_path / "o.jsonl", choice)
    data.write_text('{"id": "a", "x": 1, "X": 2}\n{"id": "a"\n')
    with pytest.raises(SourceError, match=r"t.jsonl: needs one JSON object a line, got .* at line 2"):
        write(data, tmp_path / "o.jsonl", choice)
    data.write_text('{"id": "a", "x": 1, "X": 2}\n')
    with pytest.raises(SourceError, match="'X' twice"):
        write(data, tmp_path / "o.parquet", choice)
    write(data, tmp_path / "o.jsonl", choice)  # as it is, letter by letter, it can be kept
    duckdb.sql("SELECT 'a' AS id, 'x'::BLOB AS image, 1 AS \"a\", 2 AS a_1").write_parquet(str(tmp_path / "t.parquet"))
    with pytest.raises(SourceError, match=r"got bytes in 'image'\nhint: a name that ends in \.parquet"):
        write(tmp_path / "t.parquet", tmp_path / "o.csv", choice)
    write(tmp_path / "t.parquet", tmp_path / "o.parquet", choice)  # a_1 is its own name
    with pytest.raises(SourceError, match="the column 'qid' of prompt ids, got columns id"):
        write(data, tmp_path / "p.jsonl", choice, id_column="qid")
    with pytest.raises(ArgumentError, match="stand for one problem each, got 'a'"):
        keep(["b", "a", "a"])
    for name in ("o.json", "o", "o.parquet.gz", "-", "o.xlsx"):
        with pytest.raises(ArgumentError, match=r"--data-out: needs a file that ends in"):
            check_target(name)
    (tmp_path / "null.csv").symlink_to(os.devnull)
    with pytest.raises(ArgumentError, match="a regular file"):
        write(data, tmp_path / "null.csv", choice)


def test_lines_of_many_megabytes(tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps({"id": "a", "x": "y" * 40_000_000}) + "\n" + '{"id": "b"}\n')
    write(tmp_path / "t.jsonl", tmp_path / "o.jsonl", keep(["b", "a"]))
    assert (tmp_path / "o.jsonl").stat().st_size == (tmp_path / "t.jsonl").stat().st_size


def test_an_error_further_on_leaves_what_was_there(tmp_path):
    (tmp_path / "t.csv").write_text("id\na\n")
    (tmp_path / "o.csv").write_text("older")
    with pytest.raises(ZeroDivisionError), rewriting(f"{tmp_path}/t.csv", f"{tmp_path}/o.csv", keep(["a"])):
        _ = 1 / 0
    assert sorted(os.listdir(tmp_path)) == ["o.csv", "t.csv"] and (tmp_path / "o.csv").read_text() == "older"


@pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")
def test_a_file_replaced_keeps_its_mode_and_a_link_stays_one(tmp_path):
    (tmp_path / "t.csv").write_text("id\na\n")
    (tmp_path / "real.csv").write_text("older")
    (tmp_path / "real.csv").chmod(0o600)
    (tmp_path / "o.csv").symlink_to("real.csv")
    with rewriting(f"{tmp_path}/t.csv", f"{tmp_path}/o.csv", keep(["a"])):
        pass
    assert (tmp_path / "o.csv").is_symlink() and (tmp_path / "real.csv").read_text() == "id\na\n"
    assert stat.S_IMODE((tmp_path / "real.csv").stat().st_mode) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_disk_without_room_is_one_line(tmp_path):
    rows = "".join(f"q{i},4,8,{'x' * 400}\n" for i in range(20_000))
    (tmp_path / "t.csv").write_text("id,k,n,text\n" + rows)

    def little():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    args = [*COMMAND, "audit", "t.csv", "--data-out", "o.csv"]
    done = subprocess.run(args, cwd=tmp_path, capture_output=True, text=True, preexec_fn=little)
    assert done.returncode == 2 and done.stdout == "" and os.listdir(tmp_path) == ["t.csv"]
    assert done.stderr == "error: --data-out: needs a file that can be written, got o.csv: File too large\n"


def test_the_data_set_is_the_one_file_read_or_the_one_named(tmp_path):
    (tmp_path / "t.csv").write_text("id\n")
    assert named_data("x.csv", ["-"]) == "x.csv" and named_data(None, [f"{tmp_path}/t.csv"]) == f"{tmp_path}/t.csv"
    for sources in (["bigmath"], ["-"], ["a", "b"], [str(tmp_path)]):
        with pytest.raises(ArgumentError, match=r"the data set to filter, got .*\nhint: --data FILE"):
            named_data(None, sources)


def test_what_can_teach_is_decided_by_the_posterior():
    k = np.repeat(np.arange(9), [400, 100, 60, 50, 50, 60, 80, 150, 500])
    groups = Groups(np.arange(len(k)), k, np.full(len(k), 8))
    silent = mixture(groups).posterior(np.arange(9), np.full(9, 8)).silent_rate(16)
    for limit in (0.2, 0.6, 0.9, 0.999):
        choice = teaching(groups, 16, limit)
        np.testing.assert_array_equal(choice.copies, (silent[k] <= limit).astype(int))
        assert set(choice.why) == {"too hard", "too easy"} and choice.what == "audit" and not choice.columns
        assert [choice.why[i] for i in (0, -1)] == ["too hard", "too easy"]
    # A checker that passes wrong answers wakes the hard ones, or so it looks; the easy ones it leaves alone.
    errs = teaching(groups, 16, 0.6, false_positive=0.3)
    assert errs.copies[0] == 1 and errs.copies[-1] == 0 and teaching(groups, 16, 0.6).copies[0] == 0


def test_visits_of_a_prompt_count_together_and_rates_as_they_are():
    several = Groups(["a", "b", "a", "b"], [0, 4, 0, 4], [8, 8, 64, 8], step=[0, 0, 1, 1])
    assert teaching(several, 8, 0.9).prompt_ids == ["a", "b"] and teaching(several, 8, 0.9).copies.tolist() == [0, 1]
    # p⁸ + (1−p)⁸: .5 → .0078, .05 → .66, .01 → .92
    rates = Groups(["a", "b", "c"], None, np.zeros(3, dtype=int), rate=np.array([0.5, 0.05, 0.99]))
    assert [teaching(rates, 8, limit).copies.tolist() for limit in (0.6, 0.7, 0.93)] == [
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 1],
    ]
    with pytest.raises(ArgumentError, match="one rate for each problem"):
        teaching(Groups(["a", "a"], None, [0, 0], rate=[0.5, 0.6]), 8)
    with pytest.raises(ArgumentError, match="--drop-above: needs the probability strictly between 0 and 1"):
        teaching(rates, 8, 1.0)
    with pytest.raises(ArgumentError, match="15,446 behind one id"):
        teaching(load("bigmath"), 8)
    with pytest.raises(ArgumentError, match="right-or-wrong rewards"):
        teaching(Groups.from_rewards(["a", "a"], [0.2, 0.3]), 8)


def test_a_plan_s_tries_and_weights_go_with_their_ids():
    groups = Groups(["e", "d", "c", "b", "a"], [0, 2, 4, 6, 8], [8] * 5)
    found = plan(groups, budget=40, weight="proportional", goal="coverage")
    choice = planned(found)
    rows = {row["prompt_id"]: row for row in found.rows()}
    for label, copies, tries, weight in zip(choice.prompt_ids, choice.copies, *choice.columns.values(), strict=True):
        assert (tries, weight) == (rows[label]["tries"], rows[label]["weight"]) and copies == (tries > 0)
    assert choice.copies.sum() > 0 and choice.why == found.why
    tries = choice.columns["tries"]
    np.testing.assert_array_equal(planned(found, 4).copies, [max(1, int(n / 4 + 0.5)) if n else 0 for n in tries])
    np.testing.assert_array_equal(planned(found, 100).copies, tries > 0)
    with pytest.raises(ArgumentError, match="behind one id"):
        planned(plan(load("bigmath"), budget=1e6))


# ---- as a user sees it


def table(folder, n=40):
    rows = [{"id": i, "prompt": CHAT, "n_correct": i % 9, "n": 8} for i in range(n)]
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def test_audit_writes_what_can_teach(tmp_path):
    rows = table(tmp_path)
    screen = run("audit", "t.jsonl", "-G", "4", cwd=tmp_path).stdout
    done = run("audit", "t.jsonl", "-G", "4", "--data-out", "o.jsonl", "--drop-above", "0.5", cwd=tmp_path)
    choice = teaching(load(tmp_path / "t.jsonl"), 4, 0.5)
    wanted = [row for row, copies in zip(rows, choice.copies, strict=True) if copies]
    assert list(map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())) == wanted and 0 < len(wanted) < 40
    hard, easy = (
        sum(1 - c for c, w in zip(choice.copies, choice.why, strict=True) if w == x) for x in ("too hard", "too easy")
    )
    told = f"wrote o.jsonl: {len(wanted)} of 40 rows of t.jsonl; left out {hard} too hard, {easy} too easy\n"
    assert done.returncode == 0 and done.stdout == screen and done.stderr == told


def test_plan_writes_tries_and_weight_into_another_data_set(tmp_path):
    rows = table(tmp_path)
    with gzip.open(tmp_path / "data.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows([("qid", "text"), *((row["id"], f"é\n{row['id']}") for row in rows), (99, "new")])
    args = ["plan", "t.jsonl", "--budget", "200", "--csv", "p.csv", "--data", "data.csv.gz", "--data-id", "qid"]
    done = run(*args, "--data-out", "o.csv", cwd=tmp_path)
    assert done.returncode == 0 and "1 not in the plan" in done.stderr and "wrote p.csv" in done.stderr
    made = [row for row in records(tmp_path / "p.csv") if row["tries"] != "0"]
    found = records(tmp_path / "o.csv")
    assert [(r["qid"], r["tries"], r["weight"]) for r in found] == [
        (r["prompt_id"], r["tries"], r["weight"]) for r in made
    ]
    assert all(row["text"] == f"é\n{row['qid']}" for row in found) and len(found) > 3
    again = run(*args, "--data-out", "r.csv", "--repeat", "-G", "4", cwd=tmp_path)
    times = [row["qid"] for row in records(tmp_path / "r.csv")]
    assert again.returncode == 0 and " with repeats" in again.stderr
    assert {q: times.count(q) for q in times} == {r["qid"]: max(1, int(int(r["tries"]) / 4 + 0.5)) for r in found}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["audit", "t.jsonl", "--data-out", "t.jsonl"], "--data-out: needs a file other than those read"),
        (["audit", "t.jsonl", "--data-out", "o.txt"], "a file that ends in .csv"),
        (["audit", "t.jsonl", "--data-out", "no/o.csv"], "a file in an existing folder"),
        (["audit", "bigmath", "--data-out", "o.csv"], "the data set to filter, got bigmath"),
        (["audit", "-", "--data-out", "o.csv"], "the data set to filter, got standard input"),
        (["audit", "t.jsonl", "--drop-above", "0.0"], "--drop-above: needs --data-out FILE"),
        (["audit", "t.jsonl", "--data", "t.jsonl"], "--data: needs --data-out FILE"),
        (["audit", "t.jsonl", "--data", "nowhere.csv", "--data-out", "o.csv"], "nowhere.csv: needs an existing file"),
        (["plan", "t.jsonl", "--budget", "90", "--repeat"], "--repeat: needs --data-out FILE"),
        (["plan", "t.jsonl", "--budget", "90", "--csv", "o.csv", "--data-out", "o.csv"], "where --csv goes"),
        (
            ["plan", "t.jsonl", "--budget", "90", "--data", "log.csv", "--data-out", "o.csv"],
            "40 prompt ids of the plan",
        ),
        (["plan", "t.jsonl", "--budget", "90", "--csv", "/dev/full", "--data-out", "o.csv"], "error: --csv"),
        (["audit", "log.csv", "--data-out", "o.csv"], "one row a problem, got 2 rows for '1'"),
    ],
)
def test_bad_input_writes_nothing(args, words, tmp_path):
    table(tmp_path)
    (tmp_path / "log.csv").write_text("id,reward\n1,0\n1,1\n2,1\n")
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "t.jsonl"]


def test_neither_pandas_nor_pyarrow_is_needed(tmp_path):
    table(tmp_path)
    code = """
import sys
class Without:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("pandas", "pyarrow"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Without())
from groupsigma.cli import main
sys.argv = ["groupsigma", "plan", "t.jsonl", "--budget", "90", "--data-out", "o.parquet"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "o.parquet").exists(), done.stderr
