"""Kinds of reasoning-gym: its own texts and answers, rows that fit, kept beside the results and read again."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("reasoning_gym")

from reasoning_gym.factory import create_dataset

from groupsigma import ArgumentError
from groupsigma.errors import SourceError
from groupsigma.experiments import addition as a
from groupsigma.experiments import gym, pool
from groupsigma.experiments.tasks import TASKS

TINY = a.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=30, batch=32, digits=8, problems=60, held_out=20,
    task="gym", pool=200, dtype="bfloat16",
)  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def rows():
    return gym.draw(6000, rng(), 8)


def test_rows_are_of_every_kind_by_its_share(rows):
    assert sum(source.share for source in gym.SOURCES.values()) == pytest.approx(1)
    counts = Counter(row["kind"] for row in rows)
    for kind, source in gym.SOURCES.items():
        assert abs(counts[kind] / 6000 - source.share) < 5 * np.sqrt(source.share / 6000)
    assert set(rows[0]) == {"prompt", "answer", "digits", "kind"}


def test_a_seed_is_a_draw():
    assert gym.draw(60, rng(7), 8) == gym.draw(60, rng(7), 8) != gym.draw(60, rng(8), 8)
    assert gym.draw(0, rng(), 8) == []


def test_rows_fit_and_end_alike(rows):
    assert set("".join(row["prompt"] + row["answer"] for row in rows)) == set(gym.LETTERS) == set(TASKS["gym"].letters)
    assert len(gym.LETTERS) == len(set(gym.LETTERS))
    assert max(len(row["prompt"]) for row in rows) <= 32 and max(len(row["answer"]) for row in rows) <= 8
    assert all(row["prompt"].index("=") == len(row["prompt"]) - 1 and row["answer"] for row in rows)


def test_one_prompt_has_one_answer(rows):
    found = {}
    for row in rows:
        assert found.setdefault(row["prompt"], row["answer"]) == row["answer"]


@pytest.mark.parametrize("kind", list(gym.SOURCES))
def test_the_answer_is_what_the_kind_s_own_scorer_takes_and_no_other(kind):
    source = gym.SOURCES[kind]
    items = create_dataset(kind, seed=3, size=40, **source.options)
    for item in items:
        assert items.score_answer(item["answer"], item) == 1.0
        prompt, answer = source.prompt(item), source.answer(item)
        squeezed = item["answer"].lower().replace(" ", "").replace("'", "").replace(".0", "").strip("[]")
        assert answer == squeezed and not {" ", "\n"} & set(prompt + answer)


def test_rows_say_what_their_items_ask(rows):
    """Answers found again from the prompt alone."""
    checks = {
        "chain_sum": lambda q: str(eval(q)),
        "products": lambda q: str(eval(q)),
        "gcd": lambda q: str(np.gcd(*map(int, q[1:].split(",")))),
        "base_conversion": lambda q: np.base_repr(int(*_base(q)[:2]), _base(q)[2]).lower(),
        "count_bits": lambda q: str(bin(int(q[1:])).count("1")),
        "letter_counting": lambda q: str(q[2:].count(q[0])),
        "spell_backward": lambda q: q[:0:-1],
        "number_sorting": lambda q: ",".join(sorted(q[1:].split(","), key=int, reverse=q[0] == ">")),
        "bitwise_arithmetic": lambda q: hex(eval(q)),
        "simple_equations": _solved,
    }
    for row in rows:
        if row["kind"] in checks:
            assert checks[row["kind"]](row["prompt"][:-1]) == row["answer"], row


def _base(asked):
    number, bases = asked.split(":")
    return number, *map(int, bases.split(">"))


def _solved(asked):
    name, equation = asked.split(":")
    left, right = equation.split("~")
    return next(str(x) for x in range(-500, 501) if eval(left, {name: x}) == eval(right))


def test_rows_too_short_for_their_kinds_are_refused():
    with pytest.raises(ArgumentError, match="gym: needs digits of at least 8, got 3"):
        gym.draw(1, rng(), 3)


# ---- kept ---------------------------------------------------------------------------------------


def test_rows_are_drawn_once_and_kept(tmp_path, monkeypatch):
    train, held_out = a.data(TINY, tmp_path / "one")
    every = a._rows(TINY, tmp_path / "one")
    assert every[:60] == train and every[60:80] == held_out and len(every) == 280
    assert len({row["prompt"] for row in every}) == 280
    assert a.data(TINY) == (train, held_out)
    a.data(TINY, tmp_path / "two")
    one, two = (tmp_path / name / pool.FILE for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes() and list(one.parent.iterdir()) == [one]
    monkeypatch.setattr(a, "problems", lambda *_, **__: pytest.fail("drawn again"))
    assert a.data(TINY, tmp_path / "one") == (train, held_out)
    with pytest.raises(SourceError, match=r"rows: needs .*other.*got"):
        pool.kept(tmp_path / "one", {"other": 1}, list)


def test_a_broken_file_is_told(tmp_path):
    for broken in (b"no gzip", gzip.compress(b""), gzip.compress(b'{"a": 1}\n{')):
        (tmp_path / pool.FILE).write_bytes(broken)
        with pytest.raises(SourceError, match=r"rows: needs gzipped JSON lines, got .* at .*rows\.jsonl\.gz"):
            pool.kept(tmp_path, {"a": 1}, list)


def test_only_a_pool_s_rows_are_taught(tmp_path, monkeypatch):
    seen, encoded = [], a._encoded

    def listening(words, rows):
        seen.extend(row["prompt"] for row in rows)
        return encoded(words, rows)

    monkeypatch.setattr(a, "_encoded", listening)
    monkeypatch.setattr(a, "_LOOK", 1000)
    a.teach(a.new_model(TINY), a.new_tokenizer("gym"), TINY, folder=tmp_path)
    taught = [row["prompt"] for row in a._rows(TINY, tmp_path)[80:]]
    counts = Counter(seen)
    # 30 batches of 32 are five passes of six batches: each row at most once in each.
    assert set(counts) <= set(taught) and len(seen) == 960 and max(counts.values()) <= 5
    assert len(set(seen)) > 190


def test_a_pool_smaller_than_a_batch_is_one(tmp_path):
    few = replace(TINY, pool=5, steps=2)
    assert len(next(a._batches(few, a._rows(few, tmp_path), rng()))) == 5


def test_the_committed_rows_are_those_of_the_setting():
    folder = Path(__file__).parent.parent / "docs" / "results" / "lm" / "gym"
    every = a._rows(a.GYM, folder)
    assert len({row["prompt"] for row in every}) == 104_608 == len(every)
    assert (folder / pool.FILE).stat().st_size < 3_000_000
    with gzip.open(folder / pool.FILE, "rt") as lines:
        assert json.loads(next(lines)) == {"task": "gym", "digits": 8, "rows": 104_608, "seed": 0}
    assert {row["kind"] for row in every[:4096]} == set(gym.SOURCES)
