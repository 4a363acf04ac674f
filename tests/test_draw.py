"""Answers drawn as a tree: each as often as its exact probability says, whatever stands beside it in the batch."""

import pytest

pytest.importorskip("transformers")

import numpy as np
import torch
from scipy import stats

from groupsigma.checkers import exact
from groupsigma.experiments import addition as a
from groupsigma.experiments import draw as d

#: Sums of one digit: taught in a second.
TINY = a.Setting(
    layers=1, width=32, inner=64, heads=4, learning_rate=0.01, steps=120, batch=128, until=0.3, digits=1, problems=60,
    held_out=20,
)  # fmt: skip

#: Token ids of prompts of five lengths; most were never taught, and what is said to them is said nonetheless.
ASKED = [[4, 11, 6, 12], [3], [10, 10, 11, 2, 12], [8, 12], [5, 11, 9]]
END, LETTERS = 0, 13


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with a.one_thread():
        yield


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    # One model for all test files of a session that ask for this setting.
    return a.load(a.taught(TINY, tmp_path_factory.getbasetemp() / "taught"))


@pytest.fixture(scope="module")
def model(taught):
    return taught[0]


def rng(seed=0):
    return np.random.default_rng(seed)


def every_answer(model, asked, most, end=END):
    """answer -> exact probability, over all token sequences that end or have `most` tokens; no padding, no cache."""
    done, open_ = {}, {(): 1.0}
    for _ in range(most):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*asked, *begun] for begun in open_])).logits[:, -1]
        grown = {}
        for (begun, chance), row in zip(open_.items(), torch.softmax(logits.double(), -1).tolist(), strict=True):
            for token, p in enumerate(row):
                (done if token == end else grown)[*begun, token] = chance * p
        open_ = grown
    return done | open_


@pytest.fixture(scope="module")
def truth(model):
    """Of each of ASKED, up to three tokens; the last token is that of any sequence."""
    found = [every_answer(model, asked, 3) for asked in ASKED]
    for of_one in found:
        assert len(of_one) == 1 + 12 + 12 * 12 * LETTERS and sum(of_one.values()) == pytest.approx(1, abs=1e-12)
    return found


def counts(came, prompt):
    return {ids: int(n) for at, n, ids in zip(came.prompt, came.count, came.ids, strict=True) if at == prompt}


def agrees(found, chances, n):
    """p-value of χ² over all answers; those expected less than ten times are one."""
    assert set(found) <= set(chances) and sum(found.values()) == n
    expected = np.array(list(chances.values())) * n
    seen = np.array([found.get(ids, 0) for ids in chances])
    often = expected >= 10
    seen, expected = np.append(seen[often], seen[~often].sum()), np.append(expected[often], expected[~often].sum())
    assert len(seen) > 20
    return stats.chisquare(seen, expected).pvalue


def chi_square(model, truth, n, **change):
    came = d.draw(model, ASKED, n, rng(7), most=3, **change)
    return [agrees(counts(came, i), truth[i], n[i]) for i in np.flatnonzero(n)]


# ---- the distribution ---------------------------------------------------------------------------


def test_every_answer_comes_as_often_as_its_exact_probability_says(model, truth):
    """Ten million draws cost no more than there are answers, and see a probability off by a hundredth."""
    assert min(chi_square(model, truth, np.full(5, 10_000_000))) > 1e-4


def test_the_check_of_the_distribution_can_fail(model, truth):
    came = d.draw(model, ASKED, np.full(5, 10_000_000), rng(7), most=3)
    flatter = [{ids: p**0.995 for ids, p in of_one.items()} for of_one in truth]
    for i in range(5):
        total = sum(flatter[i].values())
        assert agrees(counts(came, i), {ids: p / total for ids, p in flatter[i].items()}, 10_000_000) < 1e-4
        assert agrees(counts(came, i), dict(zip(truth[i], truth[i - 1].values(), strict=True)), 10_000_000) < 1e-4


def test_each_prompt_gets_its_own_number_of_answers_and_none_where_none_are_asked(model, truth):
    n = np.array([3_000_000, 0, 1, 5_000_000, 0])
    came = d.draw(model, ASKED, n, rng(1), most=3)
    assert np.bincount(came.prompt, came.count, 5).tolist() == n.tolist()
    assert all(agrees(counts(came, i), truth[i], n[i]) > 1e-4 for i in (0, 3))


def test_more_prompts_than_one_pass_takes(model, truth, monkeypatch):
    monkeypatch.setattr(d, "_ROWS", 2)
    widths = passes(model, monkeypatch)
    assert min(chi_square(model, truth, np.array([3_000_000, 0, 3_000_000, 2_000_000, 1_000_000]))) > 1e-4
    # Two prompts at a time, as long as the longer of them.
    assert [shape for shape in widths if shape[0] == 2][:1] == [(2, 5)] and (2, 3) in widths


def test_another_token_may_be_the_end(model):
    chances = every_answer(model, ASKED[0], 2, end=8)
    came = d.draw(model, ASKED[:2], np.array([1_000_000, 50]), rng(3), most=2, end=8)
    assert agrees(counts(came, 0), chances, 1_000_000) > 1e-4


def test_right_answers_come_with_the_exact_solve_rate(taught):
    """Answers as long as the task's, on the rows it was taught for."""
    rows = a.data(TINY)[0]
    prompts = taught[1]([row["prompt"] for row in rows])["input_ids"]
    came = d.draw(taught[0], prompts, np.full(60, 10**8), rng(2), most=3)
    texts = taught[1].batch_decode(came.ids, skip_special_tokens=True)
    right = [exact(text, rows[i]) for text, i in zip(texts, came.prompt, strict=True)]
    p = a.solve_chances(*taught, rows)
    off = (np.bincount(came.prompt, came.count * right) - 1e8 * p) / np.sqrt(1e8 * p * (1 - p))
    # A float32 model says p to about 1e-6, two hundredths of a standard deviation here.
    assert stats.kstest(off, "norm").pvalue > 1e-4 and abs(off).max() < 5


# ---- independence -------------------------------------------------------------------------------


def test_answers_to_one_prompt_are_independent(model, truth):
    """How many of 8 say the likeliest answer is Binomial(8, p): not more even than chance, and no less."""
    best = max(truth[0], key=truth[0].get)
    assert 0.05 < truth[0][best] < 0.8
    came = d.draw(model, [ASKED[0], ASKED[4]] * 3000, np.tile([8, 1], 3000), rng(4), most=3)
    which = [ids == best for ids in came.ids]
    k = np.bincount(came.prompt, came.count * which, 6000)[::2].astype(int)
    expected = 3000 * stats.binom.pmf(np.arange(9), 8, truth[0][best])
    seen = np.bincount(k, minlength=9)
    often = expected >= 5
    seen, expected = (np.append(x[often], x[~often].sum()) for x in (seen, expected))
    assert stats.chisquare(seen, expected).pvalue > 1e-4
    # From one prompt to the next too.
    assert abs(np.corrcoef(k[:-1], k[1:])[0, 1]) < 4 / np.sqrt(3000)


def test_calls_are_independent(model, truth):
    best, other = max(truth[0], key=truth[0].get), rng(5)
    p = truth[0][best]
    k = np.array([counts(d.draw(model, ASKED[:1], np.array([8]), other, most=3), 0).get(best, 0) for _ in range(300)])
    assert abs(k.mean() - 8 * p) < 4 * np.sqrt(8 * p * (1 - p) / 300)
    spread = k.var(ddof=1) / (8 * p * (1 - p))
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], 299) / 299
    assert low < spread < high and abs(np.corrcoef(k[:-1], k[1:])[0, 1]) < 4 / np.sqrt(300)


# ---- the form -----------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 4])
def test_answers_end_or_are_cut_and_none_is_told_twice(model, most):
    n = np.array([300_000, 0, 40, 7, 1])
    came = d.draw(model, ASKED, n, rng(6), most=most)
    assert len(came.prompt) == len(came.count) == len(came.ids) and came.count.min() >= 1
    assert came.prompt.dtype == came.count.dtype == np.int64
    assert np.bincount(came.prompt, came.count, 5).tolist() == n.tolist()
    assert (np.diff(came.prompt) >= 0).all()
    assert len(set(zip(came.prompt.tolist(), came.ids, strict=True))) == len(came.ids)
    for ids in came.ids:
        assert END not in ids[:-1] and (ids[-1] == END or len(ids) == most) and 1 <= len(ids) <= most
        assert all(type(token) is int and 0 <= token < LETTERS for token in ids)
    assert {len(ids) for ids in came.ids} == set(range(1, most + 1))
    if most > 1:
        assert {ids[-1] == END for ids in came.ids if len(ids) == most} == {True, False}


def test_nothing_asked(model, monkeypatch):
    seen = passes(model, monkeypatch)
    for prompts, n in ((ASKED, np.zeros(5, dtype=int)), ([], np.zeros(0, dtype=int))):
        came = d.draw(model, prompts, n, rng(), most=3)
        assert (len(came.prompt), len(came.count), came.ids) == (0, 0, [])
    assert seen == []


def test_equal_seeds_draw_equal_answers(model):
    def drawn(seed):
        came = d.draw(model, ASKED, np.full(5, 20), rng(seed), most=3)
        return came.prompt.tolist(), came.count.tolist(), came.ids

    torch.manual_seed(1)
    first = drawn(0)
    torch.manual_seed(2)
    assert drawn(0) == first != drawn(1)


def test_each_different_beginning_is_computed_once(model, monkeypatch):
    seen = passes(model, monkeypatch)
    came = d.draw(model, ASKED, np.full(5, 5000), rng(8), most=3)
    begun = [
        {(at, ids[:size]) for at, ids in zip(came.prompt, came.ids, strict=True) if END not in ids[:size]}
        for size in (1, 2)
    ]
    # No token follows an answer that was cut off, so the last pass is that of the second token.
    assert seen == [(5, 5), (len(begun[0]), 1), (len(begun[1]), 1)] and all(p.grad is None for p in model.parameters())


def passes(model, monkeypatch):
    """Shapes of the tokens the model is given, from here on."""
    seen, forward = [], model.forward

    def listening(input_ids=None, **more):
        seen.append(tuple(input_ids.shape))
        assert not torch.is_grad_enabled()
        return forward(input_ids=input_ids, **more)

    monkeypatch.setattr(model, "forward", listening)
    return seen
