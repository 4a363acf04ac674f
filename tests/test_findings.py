import numpy as np

from groupsigma import MAXRL, Groups, audit, findings


def about(k, n, G=8):
    return findings(audit(Groups(np.arange(len(k)), k, n), group_size=G))


def test_little_silence_is_little_to_win():
    silence, size = about([32] * 5, [64] * 5)
    assert silence.title.startswith("0.5%") and silence.remedy == "little to win here"
    assert "from G = 11 on" in size.remedy


def test_everything_silent_says_so_once():
    (silence,) = findings(audit(Groups(["a"], None, [0], rate=[0.0])))
    assert silence.title.startswith("100.0%") and "no group size helps" in silence.remedy


def test_groups_of_one_need_no_numbers():
    (silence,) = about([1, 4], [8, 8], G=1)
    assert silence.title == "Groups of one teach nothing"


def test_a_group_that_is_large_enough_is_said_to_be():
    assert "enough: from G = 11 on" in about([32] * 5, [64] * 5, G=16)[-1].remedy


def test_few_data_get_a_range_not_a_number():
    assert about([1, 4, 7], [8, 8, 8], G=32)[0].title.startswith("Between ")


def test_a_larger_group_is_offered_with_its_number():
    assert "G = 8:" in about([1, 4, 7], [8, 8, 8], G=4)[0].remedy


def test_a_cap_that_is_likely_hit_is_named():
    remedy = about([1] * 50 + [0] * 60, [64] * 110)[0].remedy
    assert "stops after 3 batches' worth of draws for 128 prompts runs out 100% of the time" in remedy


def test_another_dial_is_named_beside_the_three():
    groups = Groups(np.arange(4), [2, 30, 40, 62], [64] * 4)
    said = findings(audit(groups, dial=MAXRL))
    assert "MaxRL" in said[1].title and "MaxRL's large-group update" in said[2].title
