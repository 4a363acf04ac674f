"""Each trainer's preset against that trainer's own numbers on right-or-wrong rewards.

Expected values: restated from each trainer's formula in `conformance.formulas` (torch,
as the trainer writes it, float64 so that only the rule is compared), or values that
were seen when the trainer's own code was run, marked "seen".
"""

import numpy as np
import pytest
import torch

from groupsigma import DIALS, PRESETS, ArgumentError, Dial, advantage_table, advantages, find_dial, gain
from groupsigma.conformance.formulas import FORMULAS
from groupsigma.presets import name_of


def test_every_preset_is_restated():
    assert set(FORMULAS) == set(PRESETS) - {"trl-batch"}  # one scale for a whole batch: below


def test_the_batch_wide_preset():
    r = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.float64)
    expected = (r - r.mean(1, keepdim=True)) / (r.std() + 1e-4)
    np.testing.assert_allclose(advantages(r.numpy(), DIALS["trl-batch"]), expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", ["dapo", "verl-dapo", "open-instruct", "open-instruct-std", "nemo-rl-dapo"])
def test_rules_that_keep_only_mixed_groups(name):
    assert DIALS[name].keep == "mixed" and "silent groups replaced" in DIALS[name].formula


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("G", [2, 3, 8, 16])
def test_preset_gives_the_trainers_number(name, G):
    for k in range(1, G):
        rewards = torch.tensor([1.0] * k + [0.0] * (G - k), dtype=torch.float64)
        expected = FORMULAS[name](rewards).numpy()
        np.testing.assert_allclose(advantages(rewards.numpy(), DIALS[name]), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "k", "G", "right", "wrong"),
    [
        ("nemo-rl", 1, 8, 1.000, -0.378),  # seen
        ("nemo-rl", 4, 8, 1.069, -1.069),  # seen
        ("nemo-rl-dapo", 1, 8, 2.475, -0.354),  # seen
        ("verl", 1, 4, 1.5, -0.5),  # seen: [1,0,0,0] -> [1.5, -.5, -.5, -.5]
        ("grpo", 3, 8, 1.2910, -0.7746),
        ("trl", 3, 8, 1.2074, -0.7244),  # seen
    ],
)
def test_numbers_seen_in_the_trainers(name, k, G, right, wrong):
    table = advantage_table(G, DIALS[name])
    assert table[1, k] == pytest.approx(right, abs=6e-4) and table[0, k] == pytest.approx(wrong, abs=6e-4)


def test_sources_are_given_and_graded_departures_said():
    assert all(p.what and p.source for p in PRESETS.values())
    for name in ("maxrl", "prime-rl-maxrl", "nemo-rl", "ms-swift", "areal"):
        assert PRESETS[name].beyond


def test_the_bessel_factor_is_the_same_for_every_k():
    """ddof 1 multiplies the update by √((G−1)/G): .935 at G = 8, .707 at G = 2."""
    for G, factor in ((8, 0.935414), (2, 0.707107)):
        k = np.arange(1, G)
        np.testing.assert_allclose(gain(k, G, Dial(ddof=1)) / gain(k, G), factor, rtol=1e-6)


def test_names_are_found_and_unknown_ones_listed():
    assert find_dial("pass@7") == Dial(power=-6, tilt=3)
    with pytest.raises(ArgumentError, match=r"hint: did you mean 'grpo'\? one of grpo, dr-grpo"):
        find_dial("gpro")
    assert (
        name_of(DIALS["trl"]) == "trl"
        and name_of(Dial(power=3)) == "(R − μ) / σ^3"
        and find_dial("TRL") == DIALS["trl"]
    )
