"""The numerical traps other code falls into, one test each, named after their list (T1 …).

T12, T15 and T18 are about rows, losses and loops of trainers, not about a formula.
"""

import importlib.util
import json
import os
import warnings

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from groupsigma import DIALS, GRPO, MAXRL, ArgumentError, Dial, Groups, advantages, advantages_by_prompt, is_silent
from groupsigma.cli import app

CONSTANTS = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3]


@pytest.mark.parametrize("value", CONSTANTS)
@pytest.mark.parametrize("G", [6, 8, 12, 16])
def test_T1_unanimous_rewards_in_float32_give_exact_zeros(value, G):
    r = torch.full((G,), value, dtype=torch.float32)
    for dial in (GRPO, DIALS["trl"], DIALS["verl"], DIALS["openrlhf"]):
        assert not advantages(r, dial).any()
        assert not advantages_by_prompt(r, torch.zeros(G, dtype=torch.int64), dial).any()


def test_T1_the_trap_is_real():
    r = torch.full((8,), 1.2, dtype=torch.float32)
    assert ((r - r.mean()) / (r.std() + 1e-6)).abs().max() > 0.05


def test_T2_unanimous_rewards_in_float64_are_seen_as_silent():
    assert np.std([0.7] * 6) > 0  # the trap
    for value in CONSTANTS:
        for G in (5, 6, 10, 12, 24, 64):
            assert is_silent([value] * G) and not advantages([value] * G).any()
    assert is_silent([0.1 + 0.2, 0.3])


@pytest.mark.parametrize("value", CONSTANTS)
def test_T3_silence_is_counted_where_isclose_misses_it(value):
    r = torch.full((4, 8), value, dtype=torch.float32)
    assert is_silent(r.numpy()).all()
    ids = np.repeat(np.arange(4), 8)
    assert Groups.from_rewards(ids, r.ravel().numpy()).rewards.silent.all()


def test_T4_exact_equality_after_subtracting_the_mean_is_not_needed():
    r = np.full(12, 0.1, dtype=np.float32)
    assert (r - r.mean()).any() or np.full(6, 0.7).std() > 0  # the trap, on some platform
    assert not advantages(r, Dial(power=0)).any()


def test_T5_two_passes_lose_nothing_to_a_large_mean():
    r = 1e8 + np.array([0.0, 1e3, 2e3, 5e3])
    np.testing.assert_allclose(advantages(r), (r - r.mean()) / r.std(), rtol=1e-9)
    assert np.isfinite(advantages(np.array([3000.0, 3000.0, 3000.01], dtype=np.float32))).all()


def test_T6_leave_one_out_spread_keeps_the_lone_answer_and_divides_by_no_residue():
    """The lone right answer has unanimous peers: undivided, +1.0; NeMo-RL #4161 divided .95 by a residue."""
    assert advantages([1, 0, 0, 0, 0, 0, 0, 0], DIALS["nemo-rl"])[0] == 1.0
    for dtype in (np.float32, np.float64):
        r = np.array([0.0] + [0.95] * 7, dtype=dtype)
        out = advantages(r, DIALS["nemo-rl"])
        assert out[0] == pytest.approx(-0.95, rel=1e-6) and abs(out).max() < 1.1
    np.testing.assert_allclose(advantages([1, 0], DIALS["nemo-rl"]), [1, -1])


def test_T7_ddof_is_explicit():
    r = [1, 0, 0, 0, 0, 0, 0, 0]
    ratio = advantages(r, Dial(ddof=1)) / advantages(r)
    np.testing.assert_allclose(ratio, np.sqrt(7 / 8), rtol=1e-14)
    np.testing.assert_allclose(advantages(r, Dial(ddof=1))[0], 2.4749, rtol=1e-4)


def test_T8_eps_is_not_scale_free_and_is_nowhere_unless_asked():
    r = np.array([1.0, 0, 0, 0, 0, 0, 0, 0])
    for scale, seen in ((1e-3, 1.93), (1e-4, 0.65)):
        assert advantages(scale * r, Dial(ddof=1, eps=1e-4), atol=1e-9)[0] == pytest.approx(seen, abs=6e-3)
        assert advantages(scale * r, Dial(ddof=1), atol=1e-9)[0] == pytest.approx(2.4749, rel=1e-4)


def test_T9_unequal_groups_are_never_mixed():
    """7 of 8 answers, two unanimous prompts: slime's positional fallback gives +.80 and −1.07."""
    r, ids = [1, 1, 1, 1, 0, 0, 0], ["a"] * 4 + ["b"] * 3
    assert not advantages_by_prompt(r, ids).any()
    flat = np.array(r, dtype=float)
    assert abs((flat - flat.mean()) / flat.std(ddof=1)).max() > 0.7  # the trap


def test_T10_a_group_of_one_gets_zero():
    for dial in DIALS.values():
        assert advantages([1.0], dial).tolist() == [0.0]
        assert advantages_by_prompt([1.0, 1, 0], ["a", "b", "b"], dial)[0] == 0


def test_T11_unscorable_answers_stay_out_of_mean_and_spread():
    """ms-swift turns None into 0: [.5,.5,.5,−1.5]."""
    assert advantages([1, 1, 1, None]).tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(advantages([1, 0, None, np.inf]), [1, -1, 0, 0])
    np.testing.assert_allclose(advantages_by_prompt([1, 0, np.nan], ["a"] * 3, weight="proportional"), [1, -1, 0])
    assert Groups.from_rewards(["a"] * 4, [1, 0, None, np.nan]).n_unscorable == 2


def test_T13_groups_are_keyed_by_id_and_step_not_by_position():
    groups = Groups.from_rewards(["q", "q", "q", "q"], [1, 1, 0, 0], step=[1, 2, 1, 2])
    assert groups.problems == 2 and groups.n_correct.tolist() == [1, 1]


def test_T14_silence_is_asked_of_the_reward_that_judges():
    """A length penalty makes an all-wrong group look mixed."""
    right, shaped = [0, 0, 0, 0], [-0.1, -0.3, 0.0, -0.2]
    assert is_silent(right) and not is_silent(shaped)


def test_T16_silence_does_not_depend_on_the_scale_chosen():
    r = np.array([[1.0, 1, 1, 1], [1, 0, 0, 0]])
    for dial in (GRPO, Dial(power=0), Dial(spread="batch"), Dial(spread="others", center="loo")):
        assert (advantages(r, dial) == 0).all(1).tolist() == [True, False]


def test_T17_a_group_of_one_is_silent_not_a_nan_comparison():
    assert bool(is_silent([0.3])) is True and bool(is_silent([np.nan])) is True
    assert np.isfinite(advantages(np.array([[0.3], [0.9]]), Dial(ddof=1))).all()


def test_T19_duplicated_rows_change_a_sample_std_and_not_ours():
    once, twice = [1, 0, 0, 0], [1, 0, 0, 0] * 2
    assert advantages(once, Dial(ddof=1))[0] == pytest.approx(1.5)
    assert advantages(twice, Dial(ddof=1))[0] == pytest.approx(1.62, abs=5e-3)
    assert advantages(once)[0] == advantages(twice)[0]


def test_T20_a_mean_that_can_be_negative_is_refused_not_divided_by():
    with pytest.raises(ArgumentError, match="flip signs"):
        advantages([-1.0, 0.5, -0.5], MAXRL)
    with pytest.raises(ArgumentError, match="flip signs"):
        advantages_by_prompt([-1.0, 0.5], ["a", "a"], MAXRL)


# ---- every trap, as `groupsigma traps` shows it -------------------------------------------------------------------


@pytest.fixture(scope="module")
def traps():
    from groupsigma.conformance.traps import shown

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(shown())


def test_every_trap_is_shown_with_a_trainer_that_falls_and_ours_that_does_not(traps):
    assert [trap.number for trap in traps] == list(range(1, 21))
    for trap in traps:
        assert trap.holds, trap
        assert any(seen.falls for seen in trap.seen), trap
        assert trap.given and trap.ours and all(seen.gives for seen in trap.seen)


def test_traps_say_whose_code_was_run(traps):
    own = {seen.trainer: seen.how for seen in traps[0].seen}
    assert own["openrlhf"] == "formula only" and set(own.values()) <= {"own code", "own lines", "formula only"}
    if importlib.util.find_spec("trl"):
        assert own["trl"] == "own lines" and traps[15].seen[0].gives == "frac_reward_zero_std 0"


def test_a_trainer_of_another_version_is_taken_for_none(tmp_path, monkeypatch):
    """Its files or functions may stand elsewhere: then the formula is shown."""
    from groupsigma.conformance.own import source_of

    file = tmp_path / "newer" / "trainer" / "ppo" / "v1"
    file.mkdir(parents=True)
    (tmp_path / "newer" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="newer has no trainer"):
        source_of("newer", "trainer/ppo/v1/replay_buffer.py", "_dapo_filtered_keys", {})
    (file / "replay_buffer.py").write_text("def other():\n    pass\n")
    with pytest.raises(ImportError, match="_dapo_filtered_keys is not in newer's"):
        source_of("newer", "trainer/ppo/v1/replay_buffer.py", "_dapo_filtered_keys", {})


@pytest.mark.filterwarnings("ignore:std")  # torch's, of the sample std of one answer
@pytest.mark.parametrize(
    ("name", "rewards", "keeps"),
    [
        ("verl", [0.7] * 6, True),  # the trap
        ("verl", [1.0] * 6, False),
        ("verl", [1.0, 0.0], True),
        ("skyrl", [0.7] * 6, True),  # the trap
        ("skyrl", [1.0] * 6, False),
        ("skyrl", [1.0, 0.0], True),
        ("slime", [0.7] * 6, False),
        ("slime", [1.0, 0.0], True),
        ("slime", [0.3], False),  # the trap: NaN > 1e-6
    ],
)
def test_trainers_own_filters(name, rewards, keeps):
    from groupsigma.conformance.filters import FILTERS

    asked = name in os.environ.get("GROUPSIGMA_TRAINERS", "").split(",")
    if not asked and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: .ci/trainers {name} makes an environment")
    assert FILTERS[name](rewards) is keeps


def test_traps_from_the_shell():
    one = CliRunner().invoke(app, ["traps", "slime"])
    assert one.exit_code == 0 and "falls slime: [0.802×4, -1.07×3] (" in one.output
    assert "verl" not in one.output and "traps, 1 trainers in one or more of them: slime" in one.output
    found = json.loads(CliRunner().invoke(app, ["traps", "--json"]).output)
    assert found["schema"] == "groupsigma.traps/1" and len(found["traps"]) == 20
    unknown = CliRunner().invoke(app, ["traps", "vrel"])
    assert isinstance(unknown.exception, ArgumentError)
