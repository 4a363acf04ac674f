"""The page: in a real browser, from the disk; its numbers are --json's, its texts are text."""

import csv
import io
import json
import re
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from browser import groupsigma, opened, percent, shown, written
from groupsigma import (
    DAPO,
    DIALS,
    Dial,
    Groups,
    audit,
    course,
    course_findings,
    difficulty_weight,
    expected_gain,
    findings,
    limit_gain,
    load,
    objective,
)
from groupsigma.cli import app
from groupsigma.figures import COLORS
from groupsigma.mixture import mixture
from groupsigma.presets import find_dial
from groupsigma.report.audit_page import audit_page
from groupsigma.report.crowd import crowd
from groupsigma.report.page import part
from groupsigma.report.rows import MOST, rows
from helpers import run

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


@pytest.fixture(scope="module")
def big(browser, tmp_path_factory):
    """Big-Math's page, trl's rule."""
    page = opened(browser, written(tmp_path_factory.mktemp("big"), page_of("trl")))
    yield page
    page.close()


def set_size(page, G):
    stops = page.evaluate("JSON.parse(document.getElementById('dial-data').textContent).sizes.map((s) => s.G)")
    page.locator("#size").fill(str(stops.index(G)))


def numbers(page):
    """The table of all numbers: head, then a row a band."""
    page.evaluate("document.querySelector('details').open = true")
    head = page.locator("#numbers thead th").all_inner_texts()
    body = [row.locator("th, td").all_inner_texts() for row in page.locator("#numbers tbody tr").all()]
    return [dict(zip(head, cells, strict=True)) for cells in body]


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
