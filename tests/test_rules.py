"""Published rules against what their public code gave, and how every rule must behave.

Expected values: `data/published_rules.json`, recorded when the named functions of the named commits were run.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from groupsigma.experiments.arena import Arena, Family, run
from groupsigma.experiments.engine import Engine, Memory
from groupsigma.experiments.published import (
    by_cumulative,
    gvm_tries,
    hora,
    knapsack_tries,
    nearest_half,
    neyman,
    screened,
    skip_chance,
)
from groupsigma.experiments.rules import RULES

RECORDED = json.loads((Path(__file__).parent / "data" / "published_rules.json").read_text(encoding="utf-8"))["rules"]


def recorded(name):
    """The recorded cases of a function, one test each."""
    found = RECORDED[name]
    cases = [SimpleNamespace(**dict(zip(found["columns"], row, strict=True))) for row in found["cases"]]
    return pytest.mark.parametrize("case", cases, ids=range(len(cases)))


class Scripted:
    """A world whose answers are written down ("1" right) and whose problems come in their order."""

    def __init__(self, answers, batch, draws=None):
        self.answers, self.at = answers, np.zeros(len(answers), dtype=int)
        self.problems, self.batch = len(answers), batch
        self.rng = SimpleNamespace(permutation=np.arange, beta=lambda a, b: np.array(draws))

    def sample(self, problem, n):
        out = [self.answers[i][self.at[i] : self.at[i] + m].count("1") for i, m in zip(problem, n, strict=True)]
        self.at[problem] += n
        assert all(self.at[i] <= len(self.answers[i]) for i in problem)
        return np.array(out)


def visited(k, n, **settings):
    """What is remembered of one problem after visits with k right, step by step."""
    memory = Memory(1, **settings)
    for right, size in zip(k, n, strict=True):
        memory.visit(np.array([0]), np.array([right]), np.array([size]))
    return memory


# ---- against recorded outputs -------------------------------------------------------------------


@recorded("mopps_posterior")
def test_mopps_counts(case):
    memory = Memory(1, prior=1.0, per_visit=case.decay)
    memory.right[:], memory.wrong[:] = case.alpha - 1, case.beta - 1
    for k, after in zip(case.k, case.after, strict=True):
        memory.visit(np.array([0]), np.array([k]), np.array([case.n]))
        if case.n == 1:
            # Ours on purpose: a slip of operator precedence there makes both 8 whatever came out.
            assert after == [8, 8] and memory.a[0] == 1 + case.decay * (case.alpha - 1) + k
        else:
            assert [memory.a[0], memory.b[0]] == pytest.approx(after, rel=1e-14)


@recorded("mopps_selection")
def test_mopps_takes_draws_nearest_half(case):
    draws = np.array(case.draws)
    world = Scripted([""] * len(draws), 0, draws)
    ours = nearest_half(len(draws))(Memory(len(draws)), world)[: case.take]
    off = np.abs(draws - 0.5)
    assert off[ours] == pytest.approx(off[case.selected], abs=1e-15)
    # Equally near ones: ours in the order they came, theirs as an unstable sort leaves them.
    if len(np.unique(np.round(off, 12))) == len(off):
        assert ours.tolist() == case.selected


@recorded("greso_skip")
def test_greso_skips_silent_streaks(case):
    # Exactly 0 or 1 of the answers right is silent here; there a mean of at least .98 or at most .11 is.
    k = [{1.0: 8, 0.5: 4, 0.2125: 1}.get(mean, 0) for mean in case.visits]
    streak = visited(k, [8] * len(k)).streak
    skip = skip_chance(streak, case.keep)[0]
    assert skip == pytest.approx(case.skip_easy + case.skip_hard, abs=1e-11)
    assert (streak[0] > 0, streak[0] < 0) == (case.skip_easy > 0, case.skip_hard > 0)


@recorded("gvm_allocation")
def test_gvm_tries(case):
    n = gvm_tries(np.array(case.rates, float), np.array(case.norms, float), case.budget, case.alpha, case.beta)
    # Where nothing is worth a try the public code divides by zero; ours draws nothing.
    assert n.tolist() == (case.n or [0] * len(case.rates))


@recorded("gvm_rounding")
def test_gvm_rounding(case):
    shares = np.array(case.shares)
    assert gvm_tries(np.full(len(shares), 0.5), shares, case.budget).tolist() == case.n


@pytest.mark.parametrize(("rule", "case"), [
    pytest.param(rule, case, id=f"{name}-{at}")
    for name, rule in (("positive", "Reinforce-Ada +"), ("balanced", "Reinforce-Ada ="))
    for at, case in enumerate(RECORDED[f"reinforce_ada_{name}"]["cases"])
])  # fmt: skip
def test_reinforce_ada(rule, case):
    answers, by, keep, drawn, right, kept_right, kept_wrong, plus, minus = case
    world = Scripted([answers], by)
    step = RULES[rule].make("own", by=by, keep=keep)(world)
    assert (step.answers, world.at[0], answers[:drawn].count("1")) == (drawn, drawn, right)
    assert (step.right[0], step.wrong[0]) == (kept_right, kept_wrong)
    # Pushes are sums over the kept answers, for a group that counts as 8 whatever is kept of it.
    assert step.plus[0] == pytest.approx(8 / keep * kept_right * (plus or 0), abs=1e-5)
    assert step.minus[0] == pytest.approx(-8 / keep * kept_wrong * (minus or 0), abs=1e-5)


@recorded("pilot_commit")
def test_pilot_commit_goes_on_between_the_bounds(case):
    k, low, high = np.array(case.k), case.lower, 1 - case.upper
    further = screened(case.n, 3 * case.n, low, high)(k, np.full(len(k), case.n))
    if (low, high) == (0, 1):
        # These bounds pass everything there; ours have them stand for SPEED's "any mixed", and no knob is so.
        assert all(case.commit) and (further > 0).tolist() == ((k > 0) & (k < case.n)).tolist()
    else:
        assert (further == np.where(case.commit, 3 * case.n, 0)).all()


@recorded("speed")
def test_speed_continues_what_the_screen_mixed(case):
    world = Scripted(case.answers, case.first * len(case.answers))
    step = Engine("grpo", size=case.first, more=screened(case.first, case.further))(world)
    # There a group is continued one call later, so that what passed last still waits; here in the same step.
    behind = world.at - case.drawn
    assert set(behind.tolist()) <= {0, case.further}
    assert (behind > 0).sum() == case.waiting
    assert step.answers == world.at.sum()


@recorded("knapsack_allocation")
def test_knapsack_tries(case):
    n = knapsack_tries(np.array(case.rates, float), case.size, case.most)
    if case.n is None:
        # All in between and cheap: there nobody is left for the surplus and an assertion fails; here they get it.
        assert n.sum() == case.size * len(n)
    else:
        assert n.tolist() == case.n


@recorded("knapsack_rate")
def test_knapsack_rate(case):
    rate = visited(*zip(*case.visits, strict=True)).rate(np.array([0]))[0]
    assert np.isnan(rate) if case.rate is None else rate == case.rate


def test_a_visit_cut_by_the_window_counts_with_its_share():
    """Ours on purpose: there the newest answers of the cut visit count, an order that counts do not keep."""
    assert visited([4, 0, 0], [8, 8, 4]).rate(np.array([0]))[0] == (4 * 0.5) / 16


@recorded("dapo")
def test_dapo_draws_until_the_batch_is_mixed(case):
    flat = [k for in_round in case.k for k in in_round]
    world = Scripted(["1" * k + "0" * (case.n - k) for k in flat], case.train * case.n)
    step = RULES["DAPO"].make("grpo", size=case.n)(world)
    mixed = step.problem[step.plus > 0].tolist()
    # Ours draws as many new problems as are missing, never a surplus to throw away: the same groups, no more answers.
    assert step.answers <= case.drawn
    if case.n == 1:
        # A single answer counts as mixed there, although its advantage is 0.
        assert mixed == []
    elif case.trained is None:
        assert len(mixed) < case.train
    else:
        assert mixed == case.trained


@recorded("aero")
def test_aero(case):
    world = Scripted([case.answers], 8)
    step = RULES["AERO"].make("own", first=8)(world)
    assert step.answers == case.drawn
    if set(case.answers[: case.drawn]) == {"0", "1"}:
        assert (step.right[0], step.wrong[0]) == (case.kept_right, case.kept_wrong)
        k, size = case.kept_right, case.kept_right + case.kept_wrong
        assert step.plus[0] == step.minus[0] == pytest.approx(8 * k * (size - k) / size**2)
    else:
        # All the same: 4 are kept there, all here, with advantages of 0 either way.
        assert step.plus[0] == step.minus[0] == 0


# ---- rules known from their abstracts: what the formula says --------------------------------------


def test_neyman_gives_by_the_root_of_the_variance():
    memory = Memory(3, prior=0.5)
    memory.visit(np.arange(3), np.array([50, 20, 2]), np.array([100, 100, 100]))
    n = neyman(16)(memory, np.arange(3), 0)
    root = np.sqrt(memory.variance)
    assert n.sum() == 48 and np.abs(n - 1 - 45 * root / root.sum()).max() < 1


def test_hora_looks_for_first_hits():
    further = hora(8)(np.array([0, 0, 1, 4]), np.full(4, 4))
    # Misses share the rest by the chance of a first hit, of which the next try adds (t+1)/((t+1+m)(t+2+m)).
    assert further.tolist() == [8, 8, 0, 0]
    assert hora(8)(np.array([1, 4]), np.full(2, 4)).tolist() == [4, 4]
    assert hora(8)(np.array([0, 1]), np.array([12, 4])).tolist() == [0, 0]


def test_cumulative_turns_to_what_was_tried_least():
    memory = Memory(2)
    memory.visit(np.arange(2), np.array([32, 2]), np.array([64, 4]))
    order = by_cumulative(8.0)(memory, SimpleNamespace(rng=np.random.default_rng(0)))
    assert memory.variance[0] > memory.variance[1] and order.tolist() == [1, 0]


# ---- every rule ---------------------------------------------------------------------------------

TINY = Family("tiny", 0.1, 5.0, problems=160, width=16, batch=64, budget=320, hint=1.0)
#: What a chooser must not look at, unless it is the oracle.
HIDDEN = {"p", "base", "x", "theta", "skill", "held_base", "held_x", "held_out"}
SETTINGS = [
    pytest.param(rule, knob, id=f"{rule.name}-{at}") for rule in RULES.values() for at, knob in enumerate(rule.knobs)
]


class Shown:
    """A world as a chooser may see it, with a count of what was sampled."""

    def __init__(self, world, hidden):
        self._world, self._hidden, self.sampled = world, hidden, 0

    def __getattr__(self, name):
        assert name not in self._hidden, f"looked at {name}"
        return getattr(self._world, name)

    def sample(self, problem, n):
        assert len(np.unique(problem)) == len(problem)
        self.sampled += int(np.sum(n))
        return self._world.sample(problem, n)


@pytest.mark.parametrize(("rule", "knob"), SETTINGS)
def test_a_rule_pays_for_all_it_samples_and_sees_no_solve_rate(rule, knob):
    for weight in rule.weights:
        world = Arena(TINY, 3)
        choose = rule.make(weight, **knob)
        for _ in range(3):
            shown = Shown(world, HIDDEN - {"p"} if rule.name.startswith("oracle") else HIDDEN)
            step = choose(shown)
            assert 0 < step.answers == shown.sampled
            assert len(np.unique(step.problem)) == len(step.problem)
            assert (step.right + step.wrong).sum() <= step.answers
            assert all(np.isfinite(x).all() and (x >= 0).all() for x in (step.right, step.wrong, step.plus, step.minus))
            silent = (step.right == 0) | (step.wrong == 0)
            assert not step.plus[silent].any() and not step.minus[silent].any()
            world.learn(step, 4.0 / TINY.batch)
            world.step += 1


def test_the_check_of_looking_can_fail():
    with pytest.raises(AssertionError, match="looked at p"):
        RULES["oracle plan"].make("grpo")(Shown(Arena(TINY, 3), HIDDEN))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_same_seed_gives_the_same_bytes(rule):
    first, second = (run(TINY, 5, lambda: rule.make(rule.weights[0], **rule.knobs[0]), 4.0) for _ in range(2))
    assert first.answers == second.answers and len(first.answers) > 2
    assert np.array(first.solved).tobytes() == np.array(second.solved).tobytes()


def test_knapsack_spends_its_budget_to_the_last_try():
    rng = np.random.default_rng(1)
    for _ in range(200):
        rate = rng.choice([0, 1, np.nan, *rng.integers(1, 16, 4) / 16], rng.integers(1, 12))
        n = knapsack_tries(rate, 8)
        assert n.sum() == 8 * len(rate) and n.min() >= 2
