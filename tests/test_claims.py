import pytest

from groupsigma import ArgumentError
from groupsigma.experiments.claims import MEANING, Claim, Missing, check, choose
from groupsigma.experiments.paper import CLAIMS

NEEDS_SERIES = {c.name for c in CLAIMS if "figure" in c.name} | {"fidelity/monte-carlo", "dapo/curve", "dapo/fit"}


def test_every_claim_without_published_series_stands():
    results = check(c for c in CLAIMS if c.name not in NEEDS_SERIES)
    assert [r.name for r in results if r.verdict in ("fails", "skipped")] == []
    assert {r.verdict for r in results} == {"holds", "misworded", "filled in", "ours"}


def test_every_claim_with_published_series_stands(data_dir):
    results = check(c for c in CLAIMS if c.name in NEEDS_SERIES)
    assert [(r.name, r.verdict) for r in results if r.verdict != "holds"] == []


def test_without_the_series_a_claim_is_skipped_and_says_what_is_missing(monkeypatch, tmp_path):
    wanted = [c for c in CLAIMS if c.name in NEEDS_SERIES and c.name != "dapo/fit"]
    monkeypatch.delenv("GROUPSIGMA_DATA", raising=False)
    assert all(r.verdict == "skipped" and "GROUPSIGMA_DATA" in r.comment for r in check(wanted))
    monkeypatch.setenv("GROUPSIGMA_DATA", str(tmp_path))
    assert all(r.verdict == "skipped" and "no " in r.comment for r in check(wanted))


@pytest.mark.parametrize("ours", [(1.0, 2.1), (1.0,), (1.0, float("nan"))])
def test_a_number_that_does_not_come_out_fails(ours):
    claim = Claim("x/y", "here", "says", (1, 2), lambda: ours, within=0.05, verdict="filled in")
    assert check([claim])[0].verdict == "fails"


def test_a_condition_that_does_not_hold_fails():
    claim = Claim("x/y", "here", "says", (), lambda: (1.0,), holds=lambda ours: ours[0] < 0)
    assert check([claim])[0].verdict == "fails"


def test_missing_data_is_not_a_pass():
    def nothing():
        raise Missing("the file")

    assert check([Claim("x/y", "here", "says", (1,), nothing)])[0].verdict == "skipped"


def test_claims_are_chosen_by_name_or_part():
    assert {c.name.split("/")[0] for c in choose(CLAIMS, ["silent"])} == {"silent"}
    assert [c.name for c in choose(CLAIMS, ["dapo/fit"])] == ["dapo/fit"]
    assert len(choose(CLAIMS, [])) == len(CLAIMS) == len({c.name for c in CLAIMS})
    with pytest.raises(ArgumentError, match="hint: one of bigmath, dapo"):
        choose(CLAIMS, ["nonsense"])


def test_every_verdict_has_a_meaning_and_no_claim_is_empty():
    assert set(MEANING) == {"holds", "misworded", "filled in", "ours", "fails", "skipped"}
    assert all(c.published or c.holds for c in CLAIMS)
