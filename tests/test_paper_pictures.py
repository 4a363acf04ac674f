"""The paper's figures drawn from our computations: all there, and published points where they belong."""

import shutil

import pytest

from groupsigma.experiments.paper_pictures import FIGURES
from groupsigma.experiments.pictures import FIGURES as EVERY
from groupsigma.figures import INK, svg


def drawn():
    return {name: chart for part in FIGURES.values() for name, chart in part().items()}


def caption(chart):
    return " ".join(chart.to_dict()["title"]["subtitle"])


def circles(chart):
    """The hollow INK marks of a figure, panel by panel, as (x, y)."""
    given = chart.to_dict()
    layers = [layer for panel in given["hconcat"] for layer in panel["layer"]]
    marks = [one for one in layers if one["mark"]["type"] == "point" and one["mark"].get("color") == INK]
    return [[(row["x"], row["y"]) for row in given["datasets"][mark["data"]["name"]]] for mark in marks]


def test_all_of_the_papers_figures_are_drawn(monkeypatch):
    monkeypatch.delenv("GROUPSIGMA_DATA", raising=False)
    charts = drawn()
    assert sorted(charts) == [f"paper-{n}" for n in range(3, 10)] and "dynamics" in EVERY
    for name, chart in charts.items():
        assert f"(the paper's Fig. {name[6:]})" in svg(chart)
    for name in ("paper-3", "paper-4", "paper-6", "paper-9"):
        assert "the published points are not at hand" in caption(charts[name]) and not circles(charts[name])
    assert "closed form, R²" not in svg(charts["paper-6"])


def test_published_points_lie_where_they_were_published(data_dir):
    charts = drawn()
    left, right = circles(charts["paper-3"])
    assert len(left) == 9 and left[4] == (4, pytest.approx(0.5, abs=1e-8)) and len(right) == 24
    assert "3e-10 in a, 0.002 in b" in caption(charts["paper-3"])
    assert [len(c) for c in circles(charts["paper-4"])] == [42, 47]
    assert [len(c) for c in circles(charts["paper-9"])] == [64, 10, 10]
    assert "0 in a" in caption(charts["paper-9"]) and "closed form, R² = 0.923" in svg(charts["paper-6"])


def test_a_point_that_is_off_is_seen_and_said(data_dir, tmp_path, monkeypatch):
    folder = tmp_path / "paper_figures"
    shutil.copytree(data_dir / "paper_figures", folder, copy_function=shutil.copyfile)
    file = folder / "groupsize_left_fidelity.csv"
    text = file.read_text()
    assert "0.5,2,0.5,0.75" in text
    file.write_text(text.replace("0.5,2,0.5,0.75", "0.5,2,0.8,0.75"))
    monkeypatch.setenv("GROUPSIGMA_DATA", str(tmp_path))
    chart = FIGURES["group-size"]()["paper-4"]
    assert "0.3 in a, 0 in b" in caption(chart) and circles(chart)[0][0] == (2, 0.8)
