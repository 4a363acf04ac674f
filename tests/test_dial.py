import dataclasses

import pytest

from groupsigma import DAPO, DR_GRPO, GRPO, LOGIT, MAXRL, RLOO, ArgumentError, Dial, pass_at


@pytest.mark.parametrize(
    ("dial", "exponents"),
    [
        (DR_GRPO, (0, 0)),
        (GRPO, (0.5, 0.5)),
        (DAPO, (0.5, 0.5)),
        (MAXRL, (1, 0)),
        (LOGIT, (1, 1)),
        (RLOO, (0, 0)),
        (pass_at(4), (0, -3)),
    ],
)
def test_points_of_the_plane(dial, exponents):
    """theory: the exponents (a, b) of p^-a (1-p)^-b for each known rule."""
    assert dial.exponents == exponents


@pytest.mark.parametrize(
    "field",
    [
        {"power": "1"},
        {"power": float("nan")},
        {"tilt": float("inf")},
        {"center": "median"},
        {"spread": "all"},
        {"keep": "some"},
        {"ddof": 2},
        {"ddof": True},
        {"eps": -1e-6},
        {"eps": None},
    ],
)
def test_fields_out_of_range_are_refused(field):
    with pytest.raises(ArgumentError, match="Dial: needs"):
        Dial(**field)


def test_is_frozen_hashable_data():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GRPO.power = 2.0  # type: ignore[misc]
    assert len({Dial(), GRPO, Dial(power=1.0)}) == 1


@pytest.mark.parametrize(
    ("dial", "text"),
    [
        (GRPO, "Dial: (R − μ) / σ"),
        (DR_GRPO, "Dial: R − μ"),
        (DAPO, "Dial: (R − μ) / σ, silent groups replaced"),
        (RLOO, "Dial: R − μ₋ᵢ"),
        (Dial(ddof=1, eps=1e-4), "Dial: (R − μ) / (s + 0.0001)"),
        (Dial(center="loo", spread="others", ddof=1), "Dial: (R − μ₋ᵢ) / s₋ᵢ"),
        (Dial(spread="batch"), "Dial: (R − μ) / σ of the batch"),
        (LOGIT, "Dial: (R − μ) / σ^2"),
        (MAXRL, "Dial: (R − μ) / σ · (μ/(1−μ))^-0.5"),
        (Dial(center="none", power=0), "Dial: R"),
    ],
)
def test_repr_reads_as_a_formula(dial, text):
    assert repr(dial) == text


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_pass_at_needs_a_whole_number(n):
    with pytest.raises(ArgumentError, match="pass_at"):
        pass_at(n)
