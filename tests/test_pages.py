"""The other pages, and what is drawn for papers: of plans, comparisons, claims, a trainer's own numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from browser import groupsigma, opened, percent, written
from groupsigma import (
    GRPO,
    ArgumentError,
    Groups,
    audit,
    compare,
    load,
    plan,
)
from groupsigma.compare_findings import compare_findings
from groupsigma.mixture import mixture
from groupsigma.presets import find_dial
from groupsigma.report.audit_page import audit_page, check_size
from groupsigma.report.compare_page import compare_page
from groupsigma.report.crowd import crowd
from groupsigma.report.dial_pictures import band_shares, hardest_share
from groupsigma.report.plan_page import plan_page
from helpers import run
from test_logs_cli import kept_run

BIG = load("bigmath")


def test_from_the_shell(tmp_path):
    target = tmp_path / "a.html"
    code, out, err = groupsigma("audit", "bigmath", "--html", str(target))
    assert code == 0 and "43.1%" in out and f"wrote {target}" in err
    assert target.read_text().startswith("<!doctype html>") and target.stat().st_size < 3_000_000
    code, out, _ = groupsigma("audit", "bigmath", "--html", "-")
    assert code == 0 and out.startswith("<!doctype html>") and out.rstrip().endswith("</html>")


#: What moves on the page, at rest.
MOVING = ("shares", "silence-by-size", "weight", "objective", "plane")


@pytest.mark.parametrize("name", ["grpo", "maxrl", "trl"])
def test_what_is_drawn_of_the_dial_is_the_audit_s(name):
    found = audit(BIG, group_size=8, dial=find_dial(name), dial_name=name)
    tally = BIG.tally()
    by_band = band_shares(crowd(tally, mixture(tally)), 8, find_dial(name))
    never, *inner, always = (b.gradient["grpo" if name == "grpo" else name] for b in found.bands)
    assert by_band == pytest.approx([never + inner[0], *inner[1:-1], inner[-1] + always], abs=1e-12)


def test_the_plane_is_shaded_by_the_hard_problems_share():
    tally = BIG.tally()
    people = crowd(tally, mixture(tally))
    shade = hardest_share(people, 8, np.array([-2.0, 1.0]), np.array([-1.0, 0.0, 1.5]))
    assert shade[1, 1] == pytest.approx(band_shares(people, 8, GRPO)[:2].sum(), abs=1e-12)
    assert (np.diff(shade, axis=0) > 0).all()  # the more tilt, the more for the hard


def test_a_dial_far_out_is_on_the_plane_and_an_unknown_interval_is_not_drawn(tmp_path):
    found = run(steps=12)
    far = find_dial("pass@7")
    told = audit(found, group_size=4, dial=far, dial_name="pass@7")
    _, pictures = audit_page(told, (), found, far, at_rest=True)
    drawn = {picture.name: picture.alone().to_dict() for picture in pictures}
    places = [row for rows in drawn["plane"]["datasets"].values() for row in rows if "strength" not in row]
    assert {"x": -6.0, "y": 3.0} in places
    bands = [
        [row["x"] for row in drawn["silence-by-size"]["datasets"][layer["data"]["name"]]]
        for layer in drawn["silence-by-size"]["hconcat"][0]["layer"]
        if layer["mark"]["type"] in ("area", "rule")
    ]
    assert bands[0] == [4] and bands[1][0] == 9 and len(bands) == 2  # several visits: none at 2, 3, 5 to 8


def test_figures_for_papers(tmp_path):
    log = Path(__file__).parent.parent / "docs" / "examples" / "run"
    table = tmp_path / "a.csv"
    table.write_text("prompt_id,n_correct,n_rollouts\n" + "".join(f"{i},{i % 9},8\n" for i in range(90)))
    for words, names in (
        (("audit", str(log)), {"difficulty", "fidelity", "required", "silence", "gradient", *MOVING}),
        (("plan", str(table), "--budget", "400"), {"spending", "tries"}),
        (("compare", str(table), "--a", "G=4", "--b", "G=8"), {"shares"}),
    ):
        folder = tmp_path / words[0]
        code, _, err = groupsigma(*words, "--figures", str(folder))
        assert code == 0, err
        assert {path.name for path in folder.iterdir()} == {f"{n}.{kind}" for n in names for kind in ("svg", "png")}
        assert all("NaN" not in path.read_text() for path in folder.glob("*.svg"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--html", "nowhere/a.html"], "a file in an existing folder"),
        (["--html", "-", "--json"], "a place of its own"),
        (["--html", "a.html", "-G", "2000"], "at most 1,000"),
        (["--html", "a.html", "--follow"], "the screen for itself"),
    ],
)
def test_what_cannot_be_written_is_refused(options, said):
    code, _, err = groupsigma("audit", "bigmath", *options)
    assert code == 2 and said in err


def test_sizes_a_page_can_compute():
    check_size(1000)
    with pytest.raises(ArgumentError, match="at most 1,000"):
        check_size(1001)


def test_a_log_without_its_silent_groups_has_a_page(tmp_path):
    log = kept_run(tmp_path / "run")
    target = tmp_path / "kept.html"
    code, _, err = groupsigma("audit", str(log), "--html", str(target))
    assert code == 0, err
    assert "No silent share can be read" in target.read_text()


def test_a_comparison_has_a_page(browser, tmp_path):
    """Both runs over their steps, shares with intervals, and the tables of the screen, number by number."""
    a, b = run(seed=0, steps=12), run(seed=1, steps=12, spread=1.0)
    found = compare(a, b, rng=np.random.default_rng(0), resamples=100)
    said = compare_findings(found)
    page = opened(browser, written(tmp_path, compare_page(found, said, a, b)[0]), width=400)
    assert page.locator(".findings h3").all_inner_texts() == [f.title for f in said]
    assert page.evaluate("document.documentElement.scrollWidth") <= 400 and page.troubles == []
    silent = found["silent"]
    row = page.locator("tr", has_text="silent groups").first.locator("td").all_inner_texts()
    assert row[:2] == [percent(silent.a.value), percent(silent.b.value)]
    heads = page.locator("figure h3").all_inner_texts()
    assert heads == [
        "Shares on both sides",
        "Silent groups over the steps",
        "All right and all wrong over the steps",
        "Mean σ, the size of the update, over the steps",
    ]
    page.close()


def test_numbers_of_a_trainer_that_are_no_shares_stay_in_the_table(tmp_path):
    state = tmp_path / "trainer_state.json"
    state.write_text(json.dumps({"log_history": [{"step": s, "reward": 3.5 + s} for s in range(4)]}))
    code, out, err = groupsigma(
        "audit", str(state), "--html", str(tmp_path / "a.html"), "--figures", str(tmp_path / "f")
    )
    assert code == 0 and "5.000" in out, err
    assert "<figure" not in (tmp_path / "a.html").read_text() and "5.000" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize("steps", [1, 2, 40])
def test_a_trainers_own_numbers_have_a_page(browser, tmp_path, steps):
    """A log of scalars: its means over stretches of steps, and what they cannot tell."""
    rows = [{"step": s, "reward": 0.5, "frac_reward_zero_std": s / 80} for s in range(1, steps + 1)]
    state = tmp_path / "trainer_state.json"
    state.write_text(json.dumps({"log_history": rows}))
    target, folder = tmp_path / "own.html", tmp_path / "figures"
    code, out, err = groupsigma("audit", str(state), "--html", str(target), "--figures", str(folder))
    assert code == 0 and "What these numbers cannot tell" in out, err
    assert {path.name for path in folder.iterdir()} == {"own-numbers.svg", "own-numbers.png"}
    page = opened(browser, target, width=400)
    said = f"{percent((steps + 1) / 160)} of the groups were silent, by the trainer's own number"
    assert page.locator(".findings h3").all_inner_texts() == [said, "What these numbers cannot tell"]
    last = page.locator("tbody tr").last.locator("td").all_inner_texts()
    assert last[:2] == ["0.500", percent((steps + 1) / 160)]
    assert page.evaluate("document.documentElement.scrollWidth") <= 400 and page.troubles == []
    page.close()


def test_a_plan_has_a_page(browser, tmp_path):
    rng = np.random.default_rng(0)
    groups = Groups([f"p{i}" for i in range(400)], rng.binomial(8, rng.beta(0.5, 0.5, 400)), np.full(400, 8))
    made = plan(groups, budget=2000)
    page = opened(browser, written(tmp_path, plan_page(made, "grpo")[0]))
    before, after = made.uniform, made.planned
    shares = (percent(t.silent_rollouts / t.rollouts) for t in (before, after))
    assert " to ".join(shares) in page.locator(".findings h3").first.inner_text()
    with page.expect_download() as download:
        page.locator("#jsonl").click()
    saved = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    ours = {row["prompt_id"]: row for row in made.rows()}
    assert len(saved) == 400 and all(ours[row["prompt_id"]]["tries"] == row["tries"] for row in saved)
    assert sum(row["tries"] for row in saved) == after.rollouts and page.troubles == []
    page.close()


def test_claims_have_a_page(tmp_path):
    target = tmp_path / "claims.html"
    code, out, err = groupsigma("reproduce", "silent", "fidelity", "--html", str(target))
    assert code == 0 and f"wrote {target}" in err and "monte-carlo" in out
    text = target.read_text()
    assert "<h2>silent</h2>" in text and "<h2>fidelity</h2>" in text and text.count("<tr>") >= 8
    # Its figure stands with the claims it is of.
    assert text.index("<h2>fidelity</h2>") < text.index("<h2>silent</h2>") < text.index("(the paper's Fig. 5)")
    code, _, err = groupsigma("reproduce", "silent", "--html", "nowhere/a.html")
    assert code == 2 and "existing folder" in err
