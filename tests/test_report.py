"""The page: in a real browser, from the disk; its numbers are --json's, its texts are text."""

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from browser import browsing, opened
from groupsigma import (
    DAPO,
    DIALS,
    GRPO,
    ArgumentError,
    Dial,
    Groups,
    audit,
    compare,
    course,
    course_findings,
    difficulty_weight,
    expected_gain,
    findings,
    limit_gain,
    load,
    objective,
    plan,
)
from groupsigma.cli import app
from groupsigma.compare_findings import compare_findings
from groupsigma.figures import COLORS
from groupsigma.mixture import mixture
from groupsigma.presets import find_dial
from groupsigma.report.audit_page import audit_page, check_size
from groupsigma.report.compare_page import compare_page
from groupsigma.report.crowd import crowd
from groupsigma.report.dial_pictures import band_shares, hardest_share
from groupsigma.report.page import part
from groupsigma.report.plan_page import plan_page
from groupsigma.report.rows import MOST, rows
from helpers import run
from test_logs_cli import kept_run

BIG = load("bigmath")
HOSTILE = (
    "<script>window.struck = 1</script>",
    "</script><img src=x onerror='window.struck=1'>",
    "{{data}} & \"quotes\" 'single' `back`",
    '=1+1,"csv"\nand a line',
    "שלום <b>עולם</b> \u202e drawkcab",
    "<!-- <script> \u2028 \ud800",
    "x" * 100_000,
)


@cache
def page_of(dial="grpo", G=8):
    return text_of(BIG, dial, G)


def text_of(groups, dial="grpo", G=8, **more):
    result = audit(groups, group_size=G, dial=DIALS[dial], dial_name=dial)
    return audit_page(result, findings(result), groups, DIALS[dial], **more)[0]


def written(folder, text):
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


@pytest.fixture(scope="module")
def browser():
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def big(browser, tmp_path_factory):
    """Big-Math's page, trl's rule."""
    page = opened(browser, written(tmp_path_factory.mktemp("big"), page_of("trl")))
    yield page
    page.close()


def set_size(page, G):
    stops = page.evaluate("JSON.parse(document.getElementById('dial-data').textContent).sizes.map((s) => s.G)")
    page.locator("#size").fill(str(stops.index(G)))


def shown(page, name):
    return page.locator(f"#{name} b").inner_text()


def numbers(page):
    """The table of all numbers: head, then a row a band."""
    page.evaluate("document.querySelector('details').open = true")
    head = page.locator("#numbers thead th").all_inner_texts()
    body = [row.locator("th, td").all_inner_texts() for row in page.locator("#numbers tbody tr").all()]
    return [dict(zip(head, cells, strict=True)) for cells in body]


def percent(x):
    return "–" if x is None else f"{x:.1%}"


def test_it_opens_from_the_disk_without_a_word_or_a_request(big):
    assert big.troubles == [] and len(big.asked) == 1 and big.asked[0].startswith("file:")
    assert big.locator("h1").inner_text() == BIG.source
    assert big.locator(".findings h3").first.inner_text() == "43.1% of the groups at G = 8 teach nothing"


def test_a_page_that_asks_for_something_is_caught(browser, tmp_path):
    page = opened(browser, written(tmp_path, page_of().replace("<main", '<img src="http://127.0.0.1:9/x"><main')))
    assert page.troubles != []
    page.close()


@pytest.mark.parametrize("dial", ["grpo", "dr-grpo", "maxrl", "trl"])
@pytest.mark.parametrize("G", [2, 8, 32, 128])
def test_the_slider_shows_what_json_says(big, dial, G):
    said = json.loads(CliRunner().invoke(app, ["audit", "bigmath", "-G", str(G), "--dial", dial, "--json"]).stdout)
    text = {"grpo": "GRPO", "dr-grpo": "Dr. GRPO", "maxrl": "MaxRL", "trl": "trl"}[dial]
    big.locator("#marks button", has_text=re.compile(rf"^{re.escape(text)}( · yours)?$")).click()
    set_size(big, G)
    assert shown(big, "silent-share") == percent(said["metrics"]["silent"])
    assert shown(big, "mixed-groups") == f"{1000 * said['metrics']['mixed'] / G:.2f}"
    assert shown(big, "fidelity") == percent(said["fidelity"])
    assert shown(big, "draws") == f"{said['draws_per_kept_group']:.2f}"
    best = next(said[m] for m in ("unbiased", "estimated") if said[m] and said[m]["problems"] >= 0.5)
    assert best["silent"]["value"] == said["metrics"]["silent"]
    low, high = (percent(best["silent"][end]) for end in ("low", "high"))
    assert big.locator("#silent-share small").inner_text() == f"{low} to {high}, {best['method']}"
    for row, band in zip(numbers(big), said["bands"], strict=True):
        assert row["solved"] == band["name"] and row["problems"] == percent(band["problems"])
        assert row["silent"] == percent(band["silent"]) and row["kept groups"] == percent(band["kept_groups"])
        assert row["fidelity"] == percent(band["fidelity"])
        assert row[f"now: {text}"] == percent(band["gradient"][dial])
        assert row["Dr. GRPO"] == percent(band["gradient"]["dr-grpo"])
        bar = said["bands"].index(band)
        assert big.locator(f"#share-{bar}").text_content() == percent(band["gradient"][dial])


def test_the_point_is_dragged(browser, tmp_path):
    """From GRPO to a place of no name: what is shown there is `expected_gain` under that power and tilt."""
    page = opened(browser, written(tmp_path, page_of()))
    page.locator("#plane").evaluate("(plane) => plane.scrollIntoView({ block: 'center' })")
    box = page.locator("#plane").bounding_box()
    handle = page.locator(".handle .core").bounding_box()
    before = shown(page, "fidelity")
    page.mouse.move(handle["x"] + 3, handle["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.3 * box["height"], steps=5)
    page.mouse.up()
    power, tilt = (float(page.locator(f"#{name}-told").inner_text().replace("−", "-")) for name in ("power", "tilt"))
    assert (power, tilt) != (1, 0) and shown(page, "fidelity") != before
    there = audit(BIG, dial=Dial(power=power, tilt=tilt), dial_name="there")
    assert shown(page, "fidelity") == percent(there.fidelity)
    gradient = [percent(band.gradient["there"]) for band in there.bands]
    assert [page.locator(f"#share-{b}").text_content() for b in range(7)] == gradient
    assert page.troubles == []
    page.close()


def test_arrow_keys_move_the_point_and_the_slider(browser, tmp_path):
    page = opened(browser, written(tmp_path, page_of()))
    page.locator(".handle").focus()
    for _ in range(10):
        page.keyboard.press("ArrowUp")
    assert page.locator(".handle").get_attribute("aria-valuetext") == "power 1.00, tilt 0.50, MaxRL"
    assert shown(page, "fidelity") == percent(audit(BIG, dial=DIALS["maxrl"]).fidelity)
    page.locator("#size").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#size").get_attribute("aria-valuetext") == "G = 9"
    assert shown(page, "silent-share") == percent(audit(BIG, group_size=9).best.silent.value)
    page.close()


def test_what_it_costs(browser, tmp_path):
    """DAPO's switch: G/(1 − silent) answers a mixed group either way; an update of 64 is filled."""
    page = opened(browser, written(tmp_path, page_of()))
    page.locator("#keep").check()
    page.locator("#price").fill("2.5")
    kept = audit(BIG).best.mixed.value
    before, now = ([c.inner_text() for c in row.locator("td").all()] for row in page.locator("#before tbody tr").all())
    each = [f"{8 / kept:.2f}", f"{2.5 * 8 / kept:.2f}"]
    assert before == ["GRPO, G = 8", "512", f"{64 * kept:.1f}", each[0], f"{2.5 * 0.512:.2f}", each[1]]
    assert now[0] == "GRPO, G = 8, silent replaced" and now[3] == each[0] and now[5] == each[1]
    assert now[1:3] == [f"{512 / kept:.0f}", "64.0"] and now[4] == f"{2.5 * 0.512 / kept:.2f}"
    page.close()


def test_dapo_starts_with_the_switch_on(browser, tmp_path):
    page = opened(browser, written(tmp_path, page_of("dapo")))
    assert page.locator("#keep").is_checked() and DAPO.keep == "mixed"
    assert page.locator("#marks [aria-pressed=true]").all_inner_texts() == ["GRPO · yours"]
    page.close()


def test_the_script_computes_what_the_package_does(big):
    """E[gain], its weight and objective at finite G and its limit: all dials that look at one group, to 1e-9."""
    p = [0.0, 1e-9, 1e-4, 0.003, 0.05, 0.1, 0.3, 0.5, 0.77, 0.95, 0.9999, 1 - 1e-9, 1.0]
    sizes = [2, 3, 8, 16, 64, 256, 1000]
    dials = {name: dial for name, dial in DIALS.items() if dial.spread != "batch"}
    dials |= {f"{a},{t}": Dial(power=a, tilt=t) for a, t in ((0.37, -0.61), (-2.2, 1.4), (2.3, 0.8), (-3.2, -0.9))}
    found = big.evaluate(
        """([dials, sizes, p]) => dials.map((d) => sizes.map((G) => p.map((x) =>
           [law.expectedGain(x, G, d), law.weight(x, G, d), law.objective(x, G, d), law.limitGain(x, d)])))""",
        [[asdict(dial) for dial in dials.values()], sizes, p],
    )
    for values, (name, dial) in zip(found, dials.items(), strict=True):
        for at, G in zip(values, sizes, strict=True):
            ours = [
                expected_gain(p, G, dial),
                difficulty_weight(p, dial, G),
                objective(p, dial, G),
                limit_gain(p, dial),
            ]
            np.testing.assert_allclose(at, np.stack(ours, 1), rtol=1e-9, atol=0, err_msg=f"{name}, G = {G}")


def test_the_crowd_stands_for_every_problem():
    """Mass on the grid, folded: the audit's own shares, by posterior and at bare rates."""
    rng = np.random.default_rng(0)
    rates = Groups(np.arange(9000), None, np.zeros(9000), rate=rng.beta(0.5, 0.5, 9000))
    for groups in (BIG, Groups(np.arange(500), rng.binomial(8, 0.3, 500), np.full(500, 8)), rates):
        tally = groups.tally()
        found = crowd(tally, mixture(tally) if groups.n_correct is not None else None)
        assert found.gathered == (groups is rates) and len(found.p) <= 7000
        mass = found.mass @ expected_gain(found.p, 16, DIALS["maxrl"])
        told = audit(groups, group_size=16, dial=DIALS["maxrl"])
        expected = [band.gradient.get("maxrl", 0.0) for band in told.bands]
        np.testing.assert_allclose(mass / mass.sum(), expected, rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("width", [400, 1280, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_scrolls_sideways(browser, tmp_path, width, scheme):
    groups = run(steps=8)
    told = course(groups)
    text = text_of(groups, course=told, course_findings=course_findings(told), price=2.0)
    page = opened(browser, written(tmp_path, text), width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width and page.troubles == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != paper
    page.close()


def test_a_run_over_time(browser, tmp_path):
    groups = run(steps=8)
    told = course(groups)
    said = course_findings(told)
    page = opened(browser, written(tmp_path, text_of(groups, course=told, course_findings=said)))
    heads = page.locator("h3").all_inner_texts()
    assert {f.title for f in said} <= set(heads) and "Silent groups, as they came and as foretold" in heads
    words = " ".join(page.locator(".chart text").all_text_contents())
    assert "training step" in words and "all wrong" in words and f"n = {told.whole.groups:,} groups" in words
    assert page.locator(".spark").count() == 100 and page.troubles == []
    page.close()


def test_every_axis_has_a_title_with_its_unit(big):
    for name in ("plane", "shares", "silent", "objective", "slope"):
        assert all(big.locator(f"#{name} .title").all_text_contents()), name
    for chart in big.locator(".chart").all():
        assert chart.locator(".role-axis-title text").count() == 2


def test_the_table_sorts_filters_and_saves(browser, tmp_path):
    rng = np.random.default_rng(1)
    groups = Groups([f"problem {i}" for i in range(300)], rng.binomial(8, rng.beta(0.5, 0.5, 300)), np.full(300, 8))
    page = opened(browser, written(tmp_path, text_of(groups)))
    first = "#rows tbody tr:first-child"
    assert page.locator("#counted").inner_text() == "300 of 300" and page.locator("#rows tbody tr").count() == 100
    page.locator("#more").click()
    assert page.locator("#rows tbody tr").count() == 300
    page.get_by_role("button", name="right", exact=True).click()
    assert page.locator(f"{first} td").first.inner_text() == "8"
    page.get_by_role("button", name="right", exact=True).click()
    assert page.locator(f"{first} td").first.inner_text() == "0"
    assert page.locator("#rows th[aria-sort]").get_attribute("aria-sort") == "ascending"
    page.locator("#most").fill("0.5")
    page.locator("#from").fill("0.4")
    spread = mixture(groups)
    posterior = spread.posterior(groups.n_correct, groups.n_rollouts)
    wanted = (posterior.silent_rate(8) <= 0.5) & (posterior.mean >= 0.4)
    assert page.locator("#counted").inner_text() == f"{wanted.sum()} of 300"
    saved = {}
    for button in ("csv", "jsonl"):
        with page.expect_download() as download:
            page.locator(f"#{button}").click()
        saved[button] = download.value.path().read_bytes().decode()
    by_csv = list(csv.DictReader(io.StringIO(saved["csv"])))
    by_lines = [json.loads(line) for line in saved["jsonl"].splitlines()]
    assert {row["prompt_id"] for row in by_csv} == {f"problem {i}" for i in np.flatnonzero(wanted)}
    for name in ("silent", "update"):
        assert [float(row[name]) for row in by_csv] == [row[name] for row in by_lines]
    table = tmp_path / "saved.csv"
    table.write_text(saved["csv"])
    again = load(str(table))
    assert again.n_correct.sum() == groups.n_correct[wanted].sum() and again.problems == wanted.sum()
    assert page.troubles == []
    page.close()


def test_hostile_texts_are_text(browser, tmp_path):
    """Markup, quotes, a line break, right to left, a lone surrogate, 10⁵ letters: as ids, as file name, as notes."""
    k = np.arange(len(HOSTILE)) % 5 + 1
    groups = replace(Groups(list(HOSTILE), k, [8] * len(k)), source=f"{HOSTILE[1]}.jsonl", notes=(HOSTILE[0],))
    page = opened(browser, written(tmp_path, text_of(groups)))
    assert page.evaluate("window.struck") is None and page.troubles == [] and len(page.asked) == 1
    assert page.locator("h1").inner_text() == groups.source
    ids = set(page.locator("#rows bdi").all_text_contents())
    assert {text[:200] for text in HOSTILE if "\ud800" not in text} <= ids and len(ids) == len(HOSTILE)
    assert "100,000 letters" in page.locator("#rows").inner_text()
    assert page.locator("main script, main img, main b:not(dd b)").count() == 0
    with page.expect_download() as download:
        page.locator("#csv").click()
    saved = list(csv.DictReader(io.StringIO(download.value.path().read_bytes().decode(), newline="")))
    named = {row["prompt_id"] for row in saved}
    assert set(HOSTILE[:5]) <= named
    assert any(re.fullmatch("[0-9a-f]{16}", name) for name in named)
    page.close()


def test_ties_round_as_python_does(big):
    values = [0.0625, 0.1875, 0.03125, 0.5, 0.9995, 1.0, 0.00049, 0.125125]
    assert big.evaluate("(v) => v.map((x) => words.percent(x))", values) == [f"{x:.1%}" for x in values]
    plain = [0.5, 2.5, 1234567.5, 0.125, 13.045, -0.004]
    assert big.evaluate("(v) => v.map((x) => words.fixed(x, 0))", plain[:3]) == [f"{x:,.0f}" for x in plain[:3]]
    assert big.evaluate("(v) => v.map((x) => words.fixed(x, 2))", plain[3:]) == ["0.12", f"{13.045:.2f}", "0.00"]


def test_of_many_problems_the_ends_are_kept():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 30_000)
    groups = Groups([f"{'long ' * 60}{i}" for i in range(30_000)], rng.binomial(8, p), np.full(30_000, 8))
    told = rows(groups, mixture(groups), 8)
    silent = np.array([row["silent"] for row in told["rows"]])
    assert told["all"] == 30_000 and len(silent) == MOST and (np.diff(silent) >= 0).all()
    assert len({row["id"] + row["hash"] for row in told["rows"]}) == MOST
    every = mixture(groups).posterior(groups.n_correct, groups.n_rollouts).silent_rate(8)
    np.testing.assert_allclose(silent[:1000], np.sort(every)[:1000], rtol=1e-12)
    np.testing.assert_allclose(silent[1000:], np.sort(every)[-1000:], rtol=1e-12)
    assert len(text_of(groups).encode()) < 3_000_000


@pytest.mark.parametrize("name", ["grpo", "maxrl"])
def test_the_table_s_updates_are_the_bands_shares(name):
    rng = np.random.default_rng(1)
    groups = Groups(np.arange(900), rng.binomial(8, rng.beta(0.5, 0.5, 900)), np.full(900, 8))
    told = rows(groups, mixture(groups), 8, find_dial(name))["rows"]
    found = audit(groups, group_size=8, dial=find_dial(name), dial_name=name)
    assert np.mean([row["update"] for row in told]) == pytest.approx(1)
    for band, logged in zip(found.bands, ([0], [], [1, 2, 3], [4], [5, 6, 7], [], [8]), strict=True):
        share = sum(row["update"] for row in told if row["right"] in logged) / 900
        assert share == pytest.approx(band.gradient[name], abs=1e-12)
    assert "update" not in rows(groups, mixture(groups), 1)["rows"][0]


def test_rates_and_graded_rewards_have_pages(browser, tmp_path):
    rates = Groups(["a", "b", "c"], None, [0] * 3, rate=[0.2, 0.5, 1.0])
    page = opened(browser, written(tmp_path, text_of(rates)))
    assert shown(page, "silent-share") == percent(audit(rates).best.silent.value) and page.troubles == []
    page.close()
    graded = Groups.from_rewards(None, [[0.5, 0.5], [1, 1], [0.2, 0.7]])
    page = opened(browser, written(tmp_path, text_of(graded)))
    assert page.locator("#dial").count() == 0 and page.locator("#rows tbody tr").count() == 3 and page.troubles == []
    page.close()


def test_it_prints_dark_on_white_without_controls(browser, tmp_path):
    page = opened(browser, written(tmp_path, page_of()), scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#csv").is_visible() and page.locator("#shares").is_visible()
    page.close()


def test_the_style_sheet_knows_the_colours_of_the_charts():
    style = part("style.css")
    named = set(re.findall(r'\[(?:fill|stroke)="(#\w+)"\]', style))
    assert {COLORS[name] for name in ("grpo", "dr-grpo", "dapo", "maxrl", "plan")} <= named


def groupsigma(*words):
    done = subprocess.run([sys.executable, "-m", "groupsigma.cli", *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


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


@pytest.mark.parametrize(
    "groups",
    [
        Groups(["a", "b"], [0, 4], [4, 4]),
        Groups(["a"], [0], [1]),
        Groups(["a"], [1], [2]),
        Groups(["a"], None, [0], rate=[0.0]),
        Groups(["a", "b"], None, [0, 0], rate=[0.3, 1.1e-16]),
        Groups(np.arange(50), [8] * 50, [8] * 50),
        Groups(["a", "b", "c"], [3, 1, 2], [16, 4, 4]),
        Groups(["a", "b"] * 3, [4, 0, 4, 1, 3, 2], [4] * 6, step=[1, 1, 2, 2, 3, 3]),
    ],
)
@pytest.mark.parametrize("G", [1, 2, 3])
def test_odd_but_valid_data_have_pages(browser, tmp_path, groups, G):
    told = course(groups) if groups.step is not None else None
    said = course_findings(told) if told else ()
    page = opened(browser, written(tmp_path, text_of(groups, "trl", G, course=told, course_findings=said)))
    words = page.locator("main").inner_text()
    assert page.troubles == [] and not re.search(r"\bNaN\b|undefined|Infinity|\bnull\b|\bNone\b", words)
    assert page.evaluate("[...document.querySelectorAll('svg *')].every((n) => !/NaN/.test(n.outerHTML))")
    if G > 1:
        assert shown(page, "silent-share") == percent(audit(groups, group_size=G, dial=DIALS["trl"]).best.silent.value)
    page.close()


def test_no_text_keeps_prompts_out(tmp_path):
    log = Path(__file__).parent.parent / "docs" / "examples" / "run"
    for option, there in ((), True), (("--no-text",), False):
        target = tmp_path / "run.html"
        code, _, err = groupsigma("audit", str(log), *option, "--html", str(target))
        assert code == 0 and ("36 + 36 =" in target.read_text()) == there, err
