"""Families of problems: every row is right, every kind has its share, and a tiny model is taught what is not a sum."""

import itertools
import json
import re
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("transformers")

import torch

from groupsigma import ArgumentError
from groupsigma.experiments import addition as a
from groupsigma.experiments.tasks import MIXED, TASKS, find_task

#: Kinds of one digit: taught in two seconds.
TINY = a.Setting(
    layers=1, width=96, inner=128, heads=4, learning_rate=0.01, steps=160, batch=64, digits=1, problems=200,
    held_out=60, task="kinds",
)  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def by_counting(prompt):
    """(kind, answer) of a prompt, found without the arithmetic that made it."""
    if prompt.startswith(">"):
        digits = prompt[1:-1]
        return "sorted", "".join(digit * digits.count(digit) for digit in "0123456789")
    first, sign, second = re.fullmatch(r"(\d+)([-*%+])(\d+)=", prompt).groups()
    x, y = int(first), int(second)
    if sign == "-":
        return "difference", str(len(range(y, x)))
    if sign == "*":
        return "product", str(sum(x for _ in range(y)))
    if sign == "%":
        return "remainder", str(x - range(0, x + 1, y)[-1])
    return "sum", str(len([*range(x), *range(y)]))


# ---- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [1, 3, 4])
def test_every_answer_is_right(digits):
    for row in TASKS["kinds"].draw(2000, rng(digits), digits):
        assert (row["kind"], row["answer"]) == by_counting(row["prompt"])
        first = re.match(r">?(\d+)", row["prompt"])[1]
        assert row["digits"] == len(first)
        assert set(row) == {"prompt", "answer", "kind", "digits"}


def test_every_sum_is_right():
    for row in TASKS["sums"].draw(300, rng(), 3):
        assert ("sum", row["answer"]) == by_counting(row["prompt"])
        assert row["digits"] == max(map(len, row["prompt"][:-1].split("+")))


def test_numbers_are_written_as_numbers_and_strings_are_not():
    rows = TASKS["kinds"].draw(4000, rng(1), 3)
    for row in rows:
        if row["kind"] != "sorted":
            for number in [*re.findall(r"\d+", row["prompt"]), row["answer"]]:
                assert number == str(int(number))
    assert any(row["prompt"].startswith(">0") for row in rows) and any(row["answer"][:2] == "00" for row in rows)


@pytest.mark.parametrize("digits", [1, 2, 4])
def test_lengths_are_those_stated(digits):
    rows = TASKS["kinds"].draw(3000, rng(2), digits)
    lengths = {name: {row["digits"] for row in rows if row["kind"] == name} for name in MIXED}
    assert lengths.pop("sorted") == set(range(2, 2 * digits + 1))
    assert all(found == set(range(1, digits + 1)) for found in lengths.values())
    # An answer and the end fit where a model has room for 8 letters a digit, and no answer is empty.
    assert max(len(row["prompt"] + row["answer"]) for row in rows) + 1 <= 8 * digits
    assert min(len(row["answer"]) for row in rows) >= 1


def test_every_length_is_drawn_as_often_as_another():
    rows = TASKS["kinds"].draw(20_000, rng(3), 3)
    for name in ("product", "remainder", "sorted"):
        lengths = Counter(row["digits"] for row in rows if row["kind"] == name)
        assert stats.chisquare(list(lengths.values())).pvalue > 1e-4
    # A difference's first number is the larger: 1, 3 and 5 of 9 pairs of lengths.
    lengths = Counter(row["digits"] for row in rows if row["kind"] == "difference")
    seen, n = [lengths[length] for length in (1, 2, 3)], lengths.total()
    assert stats.chisquare(seen, [n / 9, 3 * n / 9, 5 * n / 9]).pvalue > 1e-4


def test_a_number_is_multiplied_and_divided_by_every_digit_but_0_and_1():
    rows = TASKS["kinds"].draw(20_000, rng(4), 3)
    for sign in "*%":
        seconds = Counter(row["prompt"].split(sign)[1] for row in rows if sign in row["prompt"])
        assert sorted(seconds) == [f"{b}=" for b in range(2, 10)]
        assert stats.chisquare(list(seconds.values())).pvalue > 1e-4


def test_kinds_have_their_shares():
    assert sum(kind.share for kind in MIXED.values()) == pytest.approx(1, abs=1e-12)
    n = 20_000
    rows = TASKS["kinds"].draw(n, rng(5), 3)
    for part in (rows, rows[:2000]):
        counts = Counter(row["kind"] for row in part)
        assert list(MIXED) == sorted(counts)
        assert stats.chisquare([counts[k] for k in MIXED], [len(part) * x.share for x in MIXED.values()]).pvalue > 1e-4


def test_kinds_lie_in_no_order():
    """Neighbours are of one kind as often as two drawn by the shares are."""
    kinds = [row["kind"] for row in TASKS["kinds"].draw(20_000, rng(6), 3)]
    alike = sum(a == b for a, b in itertools.pairwise(kinds))
    assert abs(alike / 20_000 - sum(kind.share**2 for kind in MIXED.values())) < 0.02


@pytest.mark.parametrize("task", ["sums", "kinds"])
def test_a_seed_is_a_draw(task):
    draw = TASKS[task].draw
    assert draw(60, rng(7), 3) == draw(60, rng(7), 3) != draw(60, rng(8), 3)
    assert draw(0, rng(), 3) == []


@pytest.mark.parametrize("task", ["sums", "kinds"])
def test_prompts_are_of_the_task_s_letters_and_end_alike(task):
    rows = TASKS[task].draw(4000, rng(9), 4)
    used = set("".join(row["prompt"] + row["answer"] for row in rows))
    assert used == set(TASKS[task].letters) and len(TASKS[task].letters) == len(used)
    assert all(row["prompt"].index("=") == len(row["prompt"]) - 1 and "=" not in row["answer"] for row in rows)


def test_as_many_as_there_are():
    """Every prompt of one digit, written out; and the count for two of the kinds at two digits."""
    wanted = {f"{a}-{b}=" for a in range(10) for b in range(a + 1)}
    wanted |= {f"{a}{sign}{b}=" for a in range(10) for b in range(2, 10) for sign in "*%"}
    wanted |= {f">{a}{b}=" for a in range(10) for b in range(10)}
    assert {row["prompt"] for row in TASKS["kinds"].draw(30_000, rng(), 1)} == wanted
    assert TASKS["kinds"].many(1) == len(wanted) == 315
    assert MIXED["sorted"].many(2) == 100 + 1000 + 10_000 and MIXED["difference"].many(2) == 100 * 101 // 2
    assert MIXED["product"].many(2) == MIXED["remainder"].many(2) == 800
    assert TASKS["sums"].many(2) == 10_000


def test_a_task_that_there_is_not():
    assert find_task("kinds") is TASKS["kinds"]
    with pytest.raises(ArgumentError, match="one of sums, kinds, gym, got 'sum'"):
        find_task("sum")


def test_sums_are_those_they_always_were():
    """Drawn by the code of before there was another task: what was computed from them stays what it was."""
    assert [(row["prompt"], row["answer"], row["digits"]) for row in TASKS["sums"].draw(4, rng([0, 1]), 4)] == [
        ("902+1527=", "2429", 4), ("1570+312=", "1882", 4), ("32+8090=", "8122", 4), ("2+1002=", "1004", 4),
    ]  # fmt: skip
    assert list(TASKS["sums"].draw(1, rng(), 4)[0]) == ["prompt", "answer", "digits"]
    assert TASKS["sums"].letters == "0123456789+="


# ---- taught -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("taught")


@pytest.fixture(scope="module")
def place(folder):
    return a.taught(TINY, folder)


def means(p, rows):
    return {name: float(p[[row["kind"] == name for row in rows]].mean()) for name in MIXED}


def test_rows_to_train_on_and_rows_held_out_are_all_different():
    for setting in (TINY, a.KINDS):
        train, held_out = a.data(setting)
        assert (len(train), len(held_out)) == (setting.problems, setting.held_out)
        assert len({row["prompt"] for row in [*train, *held_out]}) == setting.problems + setting.held_out
        assert {row["kind"] for row in train} == {row["kind"] for row in held_out} == set(MIXED)
        assert a.data(setting) == (train, held_out) != a.data(replace(setting, seed=1))


def test_problems_of_a_task_to_the_last_one():
    assert len({row["prompt"] for row in a.problems(315, rng(), digits=1, task="kinds")}) == 315
    with pytest.raises(ArgumentError, match="at most 315 rows of kinds of 1 digits, got 316"):
        a.problems(316, rng(), digits=1, task="kinds")
    for wrong in (lambda: a.problems(3, rng(), task="sum"), lambda: a.new_tokenizer("sum")):
        with pytest.raises(ArgumentError, match="one of sums, kinds"):
            wrong()


def test_a_token_is_a_letter_of_its_task():
    words = a.new_tokenizer("kinds")
    for row in a.problems(500, rng(), task="kinds"):
        text = row["prompt"] + row["answer"]
        ids = words(text)["input_ids"]
        assert len(ids) == len(text) and words.decode(ids) == text and 0 not in ids
    assert words("0123456789-*%>=")["input_ids"] == list(range(1, 16))
    assert len(words) == 16 and words.eos_token_id == words.pad_token_id == 0
    with pytest.raises(Exception, match="UNK"):
        words("1+1=")
    assert a.new_tokenizer("sums").get_vocab() == a.new_tokenizer().get_vocab() != words.get_vocab()


def test_a_model_has_an_output_for_every_letter():
    assert a.new_model(TINY).config.vocab_size == len(a.new_tokenizer("kinds"))
    assert a.new_model(replace(TINY, task="sums")).config.vocab_size == len(a.new_tokenizer())


def test_teaching_teaches_every_kind(place):
    model, words = a.load(place)
    train, held_out = a.data(TINY)
    before = a.solve_chances(a.new_model(TINY), words, train)
    after = a.solve_chances(model, words, train)
    assert before.mean() < 0.02 and after.mean() > 0.25
    assert all(p > 0.05 for p in means(after, train).values())
    assert a.solve_chances(model, words, held_out).mean() > 0.08


def test_sampled_rates_are_those_known(place):
    """z of 100 binomial counts under the exact chances, of every kind."""
    model, words = a.load(place)
    rows = a.data(TINY)[0][:100]
    p, k = a.solve_chances(model, words, rows), a.solve_rates(model, words, rows, 200, torch.Generator().manual_seed(0))
    z = (k - 200 * p) / np.sqrt(200 * p * (1 - p))
    assert {row["kind"] for row in rows} == set(MIXED) and abs(z[p > 0.02]).max() < 4.5
    assert 0.5 < (z[p > 0.02] ** 2).mean() < 1.6


def test_no_step_teaches_what_is_held_out(monkeypatch):
    seen, encoded = set(), a._encoded

    def listening(words, rows):
        seen.update(row["prompt"] for row in rows)
        return encoded(words, rows)

    monkeypatch.setattr(a, "_encoded", listening)
    monkeypatch.setattr(a, "_LOOK", 1000)
    a.teach(a.new_model(TINY), a.new_tokenizer("kinds"), replace(TINY, steps=60))
    every, held_out = (
        {row["prompt"] for row in rows} for rows in (a.problems(315, rng(), digits=1, task="kinds"), a.data(TINY)[1])
    )
    assert not seen & held_out and len(seen) > 200 and seen <= every - held_out


def test_a_taught_folder_is_of_its_task(folder, place, monkeypatch):
    monkeypatch.setattr(a, "teach", lambda *_: pytest.fail("taught again"))
    assert a.taught(TINY, folder) == place and place.name.startswith("kinds-")
    assert json.loads((place / "setting.json").read_text())["setting"] == asdict(TINY)
    with pytest.raises(pytest.fail.Exception, match="taught again"):
        a.taught(replace(TINY, task="sums", problems=80, held_out=20), folder)


def test_what_is_taught_again_is_the_same(place, tmp_path):
    few = replace(TINY, steps=20)
    one, other = (a.load(a.taught(few, tmp_path / name))[0].state_dict() for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)
