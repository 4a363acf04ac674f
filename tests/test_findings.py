import numpy as np

from groupsigma import Groups, audit, findings


def about(k, n, G=8):
    return findings(audit(Groups(np.arange(len(k)), k, n), group_size=G))


def test_little_silence_is_little_to_win():
    silence, _, size = about([32] * 5, [64] * 5)
    assert silence.title.startswith("0.5%") and silence.remedy == "little to win here"
    assert "G = 11 brings 90%" in size.remedy


def test_everything_silent_gives_no_number_that_is_not_there():
    silence, gradient, size = about([0, 64], [64, 64])
    assert silence.title.startswith("100.0%") and "groups drawn" not in silence.remedy
    assert "no G helps" in size.remedy and gradient.title.endswith("Dr. GRPO 0.0%")


def test_a_group_that_is_large_enough_is_said_to_be():
    assert "G = 16 is enough" in about([32] * 5, [64] * 5, G=16)[2].remedy


def test_a_larger_group_is_only_offered_where_the_data_can_tell():
    """8 answers say nothing without bias about G = 16, so that step is left out."""
    assert "G = 16" not in about([1, 4, 7], [8, 8, 8])[0].remedy
    assert "G = 8" in about([1, 4, 7], [8, 8, 8], G=4)[0].remedy


def test_a_cap_that_is_likely_hit_is_named():
    assert "a cap of 3 x 128 draws is hit" in about([1] * 50 + [0] * 60, [64] * 110)[0].remedy
