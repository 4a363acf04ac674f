"""The taught model: its problems, its tokens, that teaching teaches, and that its solve rates are known exactly."""

import itertools
import json
from dataclasses import asdict, replace
from hashlib import blake2b

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from scipy import stats
from transformers import AutoModelForCausalLM, AutoTokenizer

from groupsigma import ArgumentError
from groupsigma.experiments import addition as a

#: Sums of one digit: taught in a second.
TINY = a.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=120, batch=128, digits=1, problems=60, held_out=20
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("taught")


@pytest.fixture(scope="module")
def taught(folder):
    return a.load(a.taught(TINY, folder))


def rng(seed=0):
    return np.random.default_rng(seed)


def torch_rng(seed=0):
    return torch.Generator().manual_seed(seed)


def weights(model):
    return torch.cat([p.detach().ravel() for p in model.parameters()])


# ---- problems -----------------------------------------------------------------------------------


def test_problems_are_sums_with_their_answers():
    rows = a.problems(2000, rng())
    assert len({row["prompt"] for row in rows}) == 2000
    for row in rows:
        left, right = row["prompt"].removesuffix("=").split("+")
        assert row["answer"] == str(int(left) + int(right)) and row["digits"] == max(len(left), len(right))
        assert left == str(int(left)) and right == str(int(right))


def test_every_length_of_a_summand_is_as_common_as_another():
    rows = a.problems(3000, rng(1))
    lengths = np.array([[len(x) for x in row["prompt"][:-1].split("+")] for row in rows])
    # Of two summands of one digit there are only a hundred.
    longer = lengths[lengths.min(1) > 1]
    counts = [((longer == pair).all(1)).sum() for pair in itertools.product((2, 3, 4), repeat=2)]
    assert stats.chisquare(counts).pvalue > 1e-4


def test_any_cut_of_the_rows_is_like_any_other():
    """Short sums run out while distinct ones are drawn; they do not lie in front."""
    digits = np.array([row["digits"] for row in a.problems(20_000, rng(2))])
    short = digits == 1
    assert short.sum() == 100
    assert stats.binomtest(int(short[:10_000].sum()), 100, 0.5).pvalue > 1e-4


def test_all_the_sums_there_are():
    rows = a.problems(100, rng(), digits=1)
    assert {row["prompt"] for row in rows} == {f"{i}+{j}=" for i in range(10) for j in range(10)}
    with pytest.raises(ArgumentError, match="at most 100 rows of sums of 1 digits, got 101"):
        a.problems(101, rng(), digits=1)


@pytest.mark.parametrize(("n", "digits", "says"), [(0, 4, "n to be"), (2.5, 4, "n to be"), (3, 0, "digits to be")])
def test_problems_that_cannot_be_drawn(n, digits, says):
    with pytest.raises(ArgumentError, match=says):
        a.problems(n, rng(), digits=digits)


def test_a_seed_is_a_draw():
    assert a.problems(50, rng(3)) == a.problems(50, rng(3)) != a.problems(50, rng(4))


def test_held_out_rows_are_in_no_other():
    for setting in (TINY, a.QUICK):
        train, held_out = a.data(setting)
        assert (len(train), len(held_out)) == (setting.problems, setting.held_out)
        assert not {row["prompt"] for row in train} & {row["prompt"] for row in held_out}
        assert a.data(setting) == (train, held_out)
    assert a.data(replace(TINY, seed=1)) != a.data(TINY)


def test_the_full_test_s_sums_and_folders_are_those_they_always_were():
    """Made before a setting had a task: results that are committed begin there."""
    rows = [*itertools.chain(*a.data(a.FULL))]
    assert [rows[i]["prompt"] + rows[i]["answer"] for i in (0, 1, 4096, -1)] == [
        "476+9727=10203", "236+84=320", "17+642=659", "72+9909=9981",
    ]  # fmt: skip
    assert blake2b(json.dumps(rows).encode(), digest_size=8).hexdigest() == "b6b823a5dced9348"
    drawn = a._fresh(a.FULL, rng(5), ())
    assert [row["prompt"] for row in drawn[:2]] == ["385+1639=", "9+5716="] and len(drawn) == a.FULL.batch
    assert (a._name(a.QUICK), a._name(a.FULL)) == ("addition-fd64f494", "addition-74f78e0c")
    assert a._name(replace(a.FULL, seed=1)) != a._name(a.FULL)
    assert a.new_tokenizer()("0123456789+=")["input_ids"] == list(range(1, 13))


# ---- tokens -------------------------------------------------------------------------------------


def test_a_token_is_a_letter():
    words = a.new_tokenizer()
    ids = words("12+345=")["input_ids"]
    assert len(ids) == 7 and words.decode(ids) == "12+345="
    assert len(words) == 13 and words.pad_token_id == words.eos_token_id == 0
    assert words.decode([*ids, words.eos_token_id], skip_special_tokens=True) == "12+345="
    assert set(words("1+1=")) == {"input_ids", "attention_mask"}


def test_prompts_of_two_lengths_are_padded_on_the_left():
    words = a.new_tokenizer()
    asked = words(["1+1=", "12+3="], padding=True)
    assert asked["input_ids"][0][0] == 0 and asked["attention_mask"] == [[0, 1, 1, 1, 1], [1] * 5]


def test_an_unknown_letter_is_an_error():
    with pytest.raises(Exception, match="UNK"):
        a.new_tokenizer()("1-1=")


# ---- the model and its teaching -----------------------------------------------------------------


def test_a_model_has_the_shape_of_its_setting():
    model = a.new_model(a.FULL)
    assert sum(p.numel() for p in model.parameters()) == 494_080
    assert {p.dtype for p in model.parameters()} == {torch.float32} and not model.training
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert sum(p.numel() for p in a.new_model(a.QUICK).parameters()) < sum(p.numel() for p in model.parameters())


def test_equal_seeds_teach_equal_bytes(tmp_path):
    made = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        torch.manual_seed(len(made))
        place = a.taught(replace(TINY, steps=20, seed=seed), tmp_path / name)
        made.append({file.name: file.read_bytes() for file in place.iterdir()})
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} < set(made[0])
    assert made[0] == made[1] and made[0]["model.safetensors"] != made[2]["model.safetensors"]


def test_one_thread_is_taken_and_as_many_given_back_as_there_were(monkeypatch):
    before, seen = torch.get_num_threads(), []
    few, words, encoded = replace(TINY, steps=20), a.new_tokenizer(), a._encoded

    def listening(words, rows):
        seen.append(torch.get_num_threads())
        return encoded(words, rows)

    monkeypatch.setattr(a, "_encoded", listening)
    try:
        torch.set_num_threads(2)
        a.teach(a.new_model(few), words, few)
        a.solve_chances(a.new_model(few), words, a.data(few)[0])
        assert set(seen) == {1} and torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), a.one_thread():
            1 / 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_global_generator_is_left_alone(taught):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    a.new_model(TINY)
    a.solve_rates(*taught, a.data(TINY)[0][:2], 2, torch_rng())
    assert torch.equal(torch.rand(3), wanted)


def test_teaching_teaches_sums_and_those_never_seen(taught):
    train, held_out = a.data(TINY)
    before = a.solve_chances(a.new_model(TINY), a.new_tokenizer(), train).mean()
    assert before < 0.01
    assert a.solve_chances(*taught, train).mean() > 0.4
    assert a.solve_chances(*taught, held_out).mean() > 0.02


def test_teaching_ends_where_the_mean_solve_rate_is_reached():
    seen, low = [], replace(TINY, until=0.1)
    model = a.new_model(low)
    solved = a.teach(model, a.new_tokenizer(), low, lambda step, mean: seen.append((step, mean)))
    assert solved[-1] >= 0.1 and all(mean < 0.1 for mean in solved[:-1])
    assert seen == [(20 * i, mean) for i, mean in enumerate(solved, 1)] and len(solved) < 6
    assert a.solve_chances(model, a.new_tokenizer(), a.data(low)[0]).mean() == solved[-1]
    assert all(p.grad is None for p in model.parameters())


@pytest.fixture
def batches(monkeypatch):
    """What a setting's steps are taught on: prompts, step by step."""
    encoded = a._encoded

    def of(setting):
        found = []

        def listening(words, rows):
            found.append([row["prompt"] for row in rows])
            return encoded(words, rows)

        monkeypatch.setattr(a, "_LOOK", 1000)
        monkeypatch.setattr(a, "_encoded", listening)
        a.teach(a.new_model(setting), a.new_tokenizer(), setting)
        return found

    return of


def test_no_step_teaches_what_is_held_out(batches):
    found = batches(replace(TINY, steps=40))
    every, held_out = a.problems(100, rng(), digits=1), a.data(TINY)[1]
    wanted = {row["prompt"] for row in every} - {row["prompt"] for row in held_out}
    assert len(found) == 40 and set(itertools.chain(*found)) == wanted


def test_a_seed_teaches_its_own_problems(batches):
    one, same, other = (batches(replace(TINY, steps=2, seed=seed, held_out=1))[0] for seed in (0, 0, 1))
    assert one == same and len(set(one) & set(other)) < 90 and one[:5] != other[:5]
    first, second = batches(replace(TINY, steps=2))
    assert first[:5] != second[:5]


def test_the_learning_rate_rises_for_a_tenth_and_falls_to_the_end(monkeypatch):
    rates = []

    class Watched(torch.optim.AdamW):
        def step(self):
            rates.append(self.param_groups[0]["lr"])
            super().step()

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    a.teach(a.new_model(TINY), a.new_tokenizer(), replace(TINY, steps=40, until=1.0))
    risen = [0.01 * step / 4 for step in (1, 2, 3)]
    assert rates == pytest.approx([*risen, *(0.01 * (1 - step / 40) for step in range(3, 40))])


def test_the_loss_is_on_the_answer_and_the_end_alone():
    words = a.new_tokenizer()
    ids, targets = a._encoded(words, [{"prompt": "1+1=", "answer": "2"}, {"prompt": "99+1=", "answer": "100"}])
    assert [words.decode(row[row >= 0]) for row in targets] == ["2<eos>", "100<eos>"]
    assert (targets[targets >= 0] == ids[targets >= 0]).all() and ids.shape == (2, 9)
    assert words.decode(ids[0]) == "1+1=2<eos><eos><eos><eos>"


# ---- what is written ----------------------------------------------------------------------------


def test_a_taught_model_is_kept(folder, taught, monkeypatch):
    place = a.taught(TINY, folder)
    monkeypatch.setattr(a, "teach", lambda *_: pytest.fail("taught again"))
    assert a.taught(TINY, str(folder)) == place and list(folder.iterdir()) == [place]
    told = json.loads((place / "setting.json").read_text())
    assert told["setting"] == asdict(TINY) and len(told["solved"]) >= 1
    with pytest.raises(pytest.fail.Exception, match="taught again"):
        a.taught(replace(TINY, seed=1), folder)
    assert list(folder.iterdir()) == [place]


def test_what_is_kept_is_what_was_taught(folder, taught):
    model = a.new_model(TINY)
    a.teach(model, a.new_tokenizer(), TINY)
    assert torch.equal(weights(model), weights(taught[0]))
    place = a.taught(TINY, folder)
    loaded, words = AutoModelForCausalLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    assert torch.equal(weights(loaded), weights(model)) and loaded.dtype == torch.float32
    assert words.padding_side == "left" and words("1+2=")["input_ids"] == a.new_tokenizer()("1+2=")["input_ids"]
    how = loaded.generation_config
    assert (how.eos_token_id, how.pad_token_id, how.do_sample, how.top_k) == (0, 0, True, 0)


def test_nothing_is_left_of_a_model_that_could_not_be_written(tmp_path, monkeypatch):
    def half(model, tokenizer, folder):
        model.save_pretrained(folder)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(a, "save", half)
    with pytest.raises(ArgumentError, match="No space left"):
        a.taught(replace(TINY, steps=1), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_that_teach_at_once_keep_one(tmp_path, monkeypatch):
    few, save = replace(TINY, steps=1), a.save

    def slower(model, tokenizer, folder):
        monkeypatch.setattr(a, "save", save)
        a.taught(few, tmp_path)
        return save(model, tokenizer, folder)

    monkeypatch.setattr(a, "save", slower)
    place = a.taught(few, tmp_path)
    assert list(tmp_path.iterdir()) == [place] and a.load(place)


# ---- solve rates --------------------------------------------------------------------------------


def test_a_solve_chance_is_the_product_of_its_letters(taught):
    model, words = taught
    rows = a.data(TINY)[0][:5]
    for row, found in zip(rows, a.solve_chances(model, words, rows), strict=True):
        ids, p = words(row["prompt"])["input_ids"], 1.0
        for letter in [*words(row["answer"])["input_ids"], 0]:
            with torch.no_grad():
                p *= float(torch.softmax(model(input_ids=torch.tensor([ids])).logits[0, -1].double(), -1)[letter])
            ids = [*ids, letter]
        assert found == pytest.approx(p, rel=1e-5)


def test_sampled_rates_are_those_known(taught):
    """z of 60 binomial counts under the exact chances; the prompts are of one length and of two."""
    rows = a.data(TINY)[0]
    p, k = a.solve_chances(*taught, rows), a.solve_rates(*taught, rows, 200, torch_rng(1))
    assert k.shape == (60,) and k.dtype == np.int64
    z = (k - 200 * p) / np.sqrt(200 * p * (1 - p))
    assert abs(z).max() < 4.5 and 0.5 < (z**2).mean() < 1.7
    mixed = [{"prompt": "1+2=", "answer": "3"}, {"prompt": "12+3=", "answer": "15"}]
    p, k = a.solve_chances(*taught, mixed), a.solve_rates(*taught, mixed, 2000, torch_rng(2))
    assert (abs(k - 2000 * p) <= 4.5 * np.sqrt(2000 * p * (1 - p)) + 1e-9).all()


def test_rows_are_answered_in_batches_in_their_order(taught, monkeypatch):
    rows = a.data(TINY)[0][:7]
    whole = a.solve_chances(*taught, rows)
    monkeypatch.setattr(a, "_ROWS", 3)
    np.testing.assert_allclose(a.solve_chances(*taught, rows), whole, rtol=1e-5)
    # Two rows at a time; and one, where even that is more than is meant to be drawn at once.
    for drawn in (1000, 300):
        monkeypatch.setattr(a, "_DRAWN", drawn)
        k = a.solve_rates(*taught, rows, 400, torch_rng())
        assert (abs(k - 400 * whole) <= 4.5 * np.sqrt(400 * whole * (1 - whole))).all()


def test_a_generator_is_a_draw(taught):
    rows = a.data(TINY)[0][:3]
    one, same, other = (a.sample(*taught, rows, 4, torch_rng(seed)) for seed in (1, 1, 2))
    assert one == same != other
    generator = torch_rng(1)
    assert a.sample(*taught, rows, 4, generator) != a.sample(*taught, rows, 4, generator)


def test_answers_end_once_or_are_cut_off():
    """An untaught model ends anywhere: kept is what comes up to the first end, at most a letter more than is right."""
    words = a.new_tokenizer()
    rows = [{"prompt": "1+2=", "answer": "3"}, {"prompt": "8+9=", "answer": "17"}]
    drawn = a.sample(a.new_model(TINY), words, rows, 64, torch_rng())
    assert [len(answers) for answers in drawn] == [64, 64]
    for answer in itertools.chain(*drawn):
        assert 1 <= len(answer) <= 3 and 0 not in answer[:-1] and (len(answer) == 3 or answer[-1] == 0)
    assert {len(answer) for answer in itertools.chain(*drawn)} == {1, 2, 3}


def test_only_the_whole_answer_is_right():
    words = a.new_tokenizer()
    row = {"prompt": "8+9=", "answer": "17"}
    told = ["17<eos>", "17", "1<eos>", "017<eos>", "17+<eos>", "<eos>", "71<eos>"]
    ids = [words(text)["input_ids"] for text in told]
    assert a.rewards(words, row, ids).tolist() == [1, 1, 0, 0, 0, 0, 0]
    with pytest.raises(ArgumentError, match="tries"):
        a.sample(a.new_model(TINY), words, [row], 0, torch_rng())
